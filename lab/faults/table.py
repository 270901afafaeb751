"""What was measured, as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from lab.faults.measuring import Measured
from lab.faults.plays import Fault
from lab.peers import C_DEVICES, CANNOT, CONTROL_POINTS

__all__ = ["side_by_side", "told"]

_TITLES = {
    "gupnp": "GUPnP",
    "libupnp": "libupnp",
    "propchange": "propchange",
    "twisted": "propchange on Twisted",
    "async-upnp-client": "async-upnp-client",
    "soco": "SoCo",
}


def side_by_side(faults: Sequence[Fault], played: Sequence[Measured]) -> Iterator[str]:
    """A line of Markdown for each fault and device: when each control point was back."""
    yield "| fault | device | " + " | ".join(_TITLES[each] for each in CONTROL_POINTS) + " |"
    yield "|---|---|" + "---|" * len(CONTROL_POINTS)
    for fault in faults:
        title = f"**{fault.__name__}**: {fault.__doc__}"
        for stack in C_DEVICES:
            cells = [
                "cannot run"
                if (stack, control_point) in CANNOT
                else _cell(
                    [
                        each
                        for each in played
                        if (each.fault, each.stack, each.control_point)
                        == (fault.__name__, stack, control_point)
                    ]
                )
                for control_point in CONTROL_POINTS
            ]
            if any(cells):
                yield f"| {title} | {_TITLES[stack]} | " + " | ".join(cells) + " |"
                title = ""


def _cell(plays: Sequence[Measured]) -> str:
    """The longest time of several plays, and how often it was not back at all."""
    back = [each.back_after for each in plays if each.back_after is not None]
    words = [f"{max(back):.1f} s"] if back else []
    lost = [each for each in plays if each.back_after is None]
    if lost:
        often = f" {len(lost)} of {len(plays)} times" if len(plays) > 1 and back else ""
        untold = sum(not any(t.status != "active" for t in each.told) for each in lost)
        silent = {0: "told", len(lost): "told nothing"}.get(untold, "not always told")
        words.append(f"**never**{often}, {silent}")
    elif any(told.status == "lost" for each in plays for told in each.told):
        words.append("and renews no more")
    return ", ".join(words)


def told(played: Iterable[Measured], control_point: str) -> Iterator[str]:
    """A line of Markdown for each change of status that ``control_point`` told."""
    yield "| fault | device | after | status | cause | in words |"
    yield "|---|---|---|---|---|---|"
    before = None
    for each in played:
        if each.control_point != control_point:
            continue
        for change in each.told:
            here = (each.fault, each.stack)
            names = (each.fault, _TITLES[each.stack]) if here != before else ("", "")
            before = here
            words = f"{change.after:.1f} s | {change.status} | {change.cause} | {change.why}"
            yield f"| {names[0]} | {names[1]} | {words} |"
