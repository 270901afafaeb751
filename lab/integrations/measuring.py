"""Plays a fault and measures how each program comes through it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from lab.integrations.bench import Bench, ScriptedRenderer, State
from lab.integrations.plays import Fault

__all__ = ["Measured", "measure", "scripted"]


class Measured(NamedTuple):
    """How one program came through one fault. Seconds from the end of the fault until it had the
    state of the device, by an event and by a poll; None: not while it was watched, ``watched``
    seconds."""

    fault: str
    device: str
    program: str
    installed: bool
    by_event: float | None
    by_poll: float | None
    lost: bool
    """Whether it got an event without variables."""
    watched: float
    subscribes: float | None
    """How often in a second it sent SUBSCRIBE, if the device counts that."""


def scripted(duration: int) -> Callable[[Bench], ScriptedRenderer]:
    """Makes the scripted renderer, which grants ``duration`` seconds."""

    def make(bench: Bench) -> ScriptedRenderer:
        return ScriptedRenderer(bench, duration)

    return make


def measure(
    fault: Fault,
    programs: Sequence[tuple[str, bool]],
    make: Callable[[Bench], Any],
    *,
    patience: float,
    every: float = 1.0,
) -> list[Measured]:
    """Play ``fault`` once, with all ``programs`` at one device, and watch them for ``patience``
    seconds afterwards, or until all of them are back. There is an event ``every`` seconds."""
    with Bench(programs, make) as bench:
        entered, asked_before = time.monotonic(), bench.device.asked()
        fault(bench)
        states: list[State] = []

        def all_are_back() -> bool:
            return all(each.right_since(states, bench.ended, "event") for each in bench.followers)

        while time.monotonic() < bench.ended + patience:
            states.append(bench.device.change())
            bench.wait(every)
            if all_are_back():
                break
        # And who is back follows. A device that was cut off may wait before it connects again.
        last = bench.device.change()
        bench.wait_until(lambda: bench.all_right(last), 10)
        watched = time.monotonic() - bench.ended
        lasted, asked = time.monotonic() - entered, bench.device.asked()
        measured = []
        for each in bench.followers:
            event, poll = (each.right_since(states, bench.ended, by) for by in ("event", "poll"))
            if event is not None and not each.is_right(last):
                event = None
            measured.append(
                Measured(
                    fault.__name__,
                    bench.device.name,
                    each.name,
                    each.installed,
                    None if event is None else event - bench.ended,
                    None if poll is None else poll - bench.ended,
                    each.lost(bench.began),
                    watched,
                    (asked[each.listens] - asked_before.get(each.listens, 0)) / lasted
                    if each.listens in asked
                    else None,
                )
            )
        return measured
