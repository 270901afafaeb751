"""Plays a fault and measures how each control point comes through it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lab.faults.bench import Bench, State, Told
from lab.faults.plays import Fault

__all__ = ["Measured", "measure"]

GRACE = 5.0
"""Seconds beyond the renewal interval in which events should be back."""


class Measured(NamedTuple):
    """How one control point came through one fault. ``back_after``: seconds from the fault's end
    until an event left it with the state of the device; None: not while it was watched.
    ``told``: what it told its application."""

    fault: str
    stack: str
    control_point: str
    back_after: float | None
    told: tuple[Told, ...]

    @property
    def fault_and_ends(self) -> tuple[str, str, str]:
        """Which of several plays of it this is not told apart from."""
        return self.fault, self.stack, self.control_point


def measure(
    fault: Fault,
    stack: str,
    control_points: Sequence[str],
    *,
    duration: int,
    patience: float,
    options: Mapping[str, object] | None = None,
) -> list[Measured]:
    """Play ``fault`` once, with all ``control_points`` at one device, and watch them for
    ``patience`` seconds afterwards, or until all of them are back."""
    with Bench(stack, control_points, duration, options=options) as bench:
        fault(bench)
        # The state goes on changing: once a second there is an event.
        states: list[State] = []
        followers = bench.followers.values()

        def all_are_back() -> bool:
            return all(each.knows_since(states, bench.ended) for each in followers)

        while time.monotonic() < bench.ended + patience:
            states.append(bench.change("Value"))
            bench.wait(1)
            if all_are_back():
                break
        # And who is back follows.
        bench.all_know(bench.change("Value"), 2)
        measured = []
        for follower in followers:
            back = follower.knows_since(states, bench.ended)
            if back is not None and follower.state == bench.state:
                back -= bench.ended
            else:
                back = None
            told = tuple(follower.told(bench.began))
            measured.append(Measured(fault.__name__, stack, follower.name, back, told))
        return measured
