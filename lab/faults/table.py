"""What was measured, as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

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


def side_by_side(faults: Sequence[Fault], played: Iterable[Measured]) -> Iterator[str]:
    """A line of Markdown for each fault and device: when each control point was back."""
    found = {(each.fault, each.stack, each.control_point): each for each in played}
    yield "| fault | device | " + " | ".join(_TITLES[each] for each in CONTROL_POINTS) + " |"
    yield "|---|---|" + "---|" * len(CONTROL_POINTS)
    for fault in faults:
        title = f"**{fault.__name__}**: {fault.__doc__}"
        for stack in C_DEVICES:
            cells = [_cell(found, fault.__name__, stack, each) for each in CONTROL_POINTS]
            if any(cells):
                yield f"| {title} | {_TITLES[stack]} | " + " | ".join(cells) + " |"
                title = ""


def _cell(
    found: Mapping[tuple[str, str, str], Measured], fault: str, stack: str, control_point: str
) -> str:
    measured = found.get((fault, stack, control_point))
    if measured is None:
        return "cannot run" if (stack, control_point) in CANNOT else ""
    bad = [each for each in measured.told if each.status != "active"]
    if measured.back_after is not None:
        back = f"{measured.back_after:.1f} s"
        lost = any(each.status == "lost" for each in bad)
        return f"{back}, and renews no more" if lost else back
    return f"**never**, told after {bad[0].after:.1f} s" if bad else "**never**, told nothing"


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
