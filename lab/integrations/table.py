"""What was measured, as tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lab.integrations.measuring import Measured
from lab.integrations.plays import Fault

__all__ = ["side_by_side"]

_TITLES = {
    "dlna_dmr": "Home Assistant dlna_dmr",
    "samsungtv": "Home Assistant samsungtv",
    "music_assistant": "Music Assistant",
    "raw_handler": "the handler alone",
    "upnp": "Home Assistant upnp",
}
OFTEN = 5.0
"""SUBSCRIBE requests a second that are worth a word."""


def side_by_side(
    faults: Sequence[Fault], played: Sequence[Measured], *, by_device: bool = False
) -> Iterator[str]:
    """A line of Markdown for each fault: when each program was back, on the original and with
    propchange. ``by_device``: with a line for each device and program."""
    if by_device:
        yield from _by_device(faults, played)
        return
    programs = list(dict.fromkeys(each.program for each in played))
    yield "| fault | " + " | ".join(f"{_TITLES[p]} | with propchange" for p in programs) + " |"
    yield "|---|" + "---|" * (2 * len(programs))
    for fault in faults:
        cells = [
            _cell(each)
            for program in programs
            for installed in (False, True)
            for each in played
            if (each.fault, each.program, each.installed) == (fault.__name__, program, installed)
        ]
        if cells:
            yield f"| **{fault.__name__}**: {fault.__doc__} | " + " | ".join(cells) + " |"


def _by_device(faults: Sequence[Fault], played: Sequence[Measured]) -> Iterator[str]:
    yield "| fault | device | program | async-upnp-client | with propchange |"
    yield "|---|---|---|---|---|"
    for fault in faults:
        title = f"**{fault.__name__}**: {fault.__doc__}"
        ends = dict.fromkeys((e.device, e.program) for e in played if e.fault == fault.__name__)
        for device, program in ends:
            cells = {
                each.installed: _cell(each)
                for each in played
                if (each.fault, each.device, each.program) == (fault.__name__, device, program)
            }
            both = f"{cells.get(False, '')} | {cells.get(True, '')}"
            yield f"| {title} | {device} | {_TITLES[program]} | {both} |"
            title = ""


def _cell(each: Measured) -> str:
    if each.by_event is not None:
        cell = f"{each.by_event:.1f} s"
    elif each.by_poll is not None:
        cell = f"**no events** in {each.watched:.0f} s; it polls"
    else:
        cell = f"**deaf** for {each.watched:.0f} s"
    if each.subscribes is not None and each.subscribes > OFTEN:
        cell += f", {each.subscribes:.1f} SUBSCRIBE a second"
    return cell
