"""Calls of actions, compared with async-upnp-client: the rows; see :mod:`benchmarks.calling`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

from benchmarks import calling
from benchmarks.processes import PEER_CPU, TARGET_CPU, Worker
from benchmarks.results import (
    COST,
    RATE,
    Figures,
    Incorrect,
    Measured,
    Row,
    Wanted,
    always,
    faster,
    in_turns,
)

__all__ = ["rows"]

FAMILY = "calls"
THEIRS = "async-upnp-client"
REQUIRED = 1.0
AIM = 3.0
"""Multiples of async-upnp-client's speed."""


def _figures(operations: int, seconds: float, cpu: float, load_cpu: float) -> Figures:
    return {
        RATE: operations / seconds,
        COST: cpu / operations * 1e6,
        "load busy": load_cpu / seconds,
    }


def _calling(
    row: Row,
    device_program: Callable[[], Any],
    other: Callable[[], Any],
    at_once: int,
    *,
    rounds: int,
    seconds: float,
    on_uvloop: bool,
) -> Row:
    """Ours and ``other``, control points that call the same device."""
    with ExitStack() as stack:
        device = stack.enter_context(Worker(device_program, PEER_CPU, on_uvloop=on_uvloop))
        url = device.ask("url")

        def one(program: Callable[[], Any]) -> Measured:
            worker = stack.enter_context(Worker(program, TARGET_CPU, on_uvloop=on_uvloop))
            worker.ask("open", url)

            def run() -> Figures:
                before = device.cpu_seconds
                calls, took, cpu = worker.ask("run", url, seconds, at_once)
                return _figures(calls, took, cpu, device.cpu_seconds - before)

            return run

        each = {"propchange": one(calling.propchange_control_point), THEIRS: one(other)}
        return in_turns(row, each, rounds)


def _serving(row: Row, rounds: int, seconds: float, on_uvloop: bool) -> Row:
    """Devices that serve calls."""
    with ExitStack() as stack:
        peer = stack.enter_context(Worker(calling.callers, PEER_CPU, on_uvloop=on_uvloop))

        def one(program: Callable[[], Any]) -> Measured:
            worker = stack.enter_context(Worker(program, TARGET_CPU, on_uvloop=on_uvloop))
            url = worker.ask("url")
            peer.ask("open", url)

            def run() -> Figures:
                before = worker.cpu_seconds
                good, bad, took, busy = peer.ask("run", url, seconds)
                if bad:
                    raise Incorrect(f"{bad} calls were not answered 200")
                return _figures(good, took, worker.cpu_seconds - before, busy)

            return run

        each = {
            "propchange": one(calling.propchange_device),
            THEIRS: one(calling.async_upnp_client_device),
        }
        return in_turns(row, each, rounds)


def rows(
    rounds: int,
    seconds: float,
    *,
    on_uvloop: bool = True,
    with_peers: bool = True,
    wanted: Wanted = always,
) -> Iterator[Row]:
    """The rows of the table, as they are measured."""
    once, session = calling.async_upnp_client_control_point, calling.async_upnp_client_session
    for title, device, other, at_once, judged in (
        ("calls, one at a time", calling.bare_device, once, 1, True),
        ("calls, four at a time", calling.bare_device, once, 4, True),
        ("calls, one at a time, theirs with a session", calling.bare_device, session, 1, False),
        ("calls, four at a time, theirs with a session", calling.bare_device, session, 4, False),
        ("calls, four at a time, device on propchange", calling.propchange_device, once, 4, False),
        (
            "calls, four at a time, device on async-upnp-client",
            calling.async_upnp_client_device,
            once,
            4,
            False,
        ),
    ):
        if not wanted(title):
            continue
        row = Row(FAMILY, title)
        if judged:
            row.goals, row.required = [faster(AIM, THEIRS)], REQUIRED
        yield _calling(
            row, device, other, at_once, rounds=rounds, seconds=seconds, on_uvloop=on_uvloop
        )
    title = f"calls served on {calling.CONNECTIONS} connections"
    if wanted(title):
        row = Row(FAMILY, title, goals=[faster(AIM, THEIRS)], required=REQUIRED)
        yield _serving(row, rounds, seconds, on_uvloop)
