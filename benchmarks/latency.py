"""Latency: from the assignment to the last byte at a subscriber, at a slow pace."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

from benchmarks.fan_out import Fan, fans, measured, others
from benchmarks.publishers import BarePublisher, PropchangePublisher
from benchmarks.results import (
    COST,
    Figures,
    Incorrect,
    Measured,
    Row,
    Wanted,
    always,
    below,
    within,
)
from benchmarks.sink import Sink

__all__ = ["rows"]

FAMILY = "latency"
P50, P99 = "p50 ms", "p99 ms"
OPENED = "opened again"
PER_SECOND = 10.0
BAD_NUMBERS = (1, 12, 50)
SLOW_MS = 2_000
FIRST = 8_000
CONNECTING = 320
"""Connections that are being made at a time: Limits.connecting_deliveries."""

_HUNDRED = f"100 subscribers, {PER_SECOND:g} changes/s"
_EACH = "subscribers on an address each, 2 changes/s"
_FIRST = f"the first event to {FIRST:,} endpoints without a connection"


def _beside(mode: str) -> str:
    what = f"slow ({SLOW_MS / 1000:g} s)" if mode == "slow" else mode
    return f"the healthy beside {what} ones, 100 in all, {PER_SECOND:g} changes/s"


def _at_a_pace(fan: Fan, per_second: float, seconds: float) -> Figures:
    """The latencies of the good subscribers."""
    is_bare = isinstance(fan.publisher, BarePublisher)
    sink, publisher = fan.sink, fan.publisher
    sink.ask("begin", "unordered" if is_bare else "ordered")
    cpu = publisher.cpu()
    mark = publisher.publish_at(per_second, seconds)
    good = int(sink.ask("report")["good_subscribers"])
    told = sink.settle(int(per_second * seconds) * good, mark)
    used = publisher.cpu() - cpu
    return {
        P50: told["p50"],
        P99: told["p99"],
        "most ms": told["max"],
        COST: used / told["good"] * 1e6,
        OPENED: told["opened"],
    }


def _paced(fan: Fan, per_second: float, seconds: float) -> Measured:
    return lambda: _at_a_pace(fan, per_second, seconds)


def _hundred(rounds: int, seconds: float, on_uvloop: bool, with_peers: bool) -> Row:
    bare = BarePublisher(on_uvloop=on_uvloop)
    theirs = others() if with_peers else []
    row = Row(
        FAMILY,
        _HUNDRED,
        goals=[
            within(2.5, bare.name, P99),
            *(within(0.1, each.name, P99) for each in theirs if "async" in each.name),
        ],
    )
    with fans(
        [PropchangePublisher(on_uvloop=on_uvloop), bare, *theirs],
        partial(Sink, 100, 100, 100),
    ) as (ready, wrong):
        for fan in ready.values():
            row.note = fan.sink.described
        each = {name: _paced(fan, PER_SECOND, seconds) for name, fan in ready.items()}
        return measured(row, each, wrong, rounds)


def _beside_bad(rounds: int, seconds: float, on_uvloop: bool, mode: str) -> Row:
    """Healthy subscribers beside some that never answer, or late."""
    row = Row(
        FAMILY,
        _beside(mode),
        "each subscriber has an address of its own",
        goals=[within(1.2, "none", P99, who=f"{number} {mode}") for number in BAD_NUMBERS],
    )
    with ExitStack() as stack:
        each: dict[str, Measured] = {}
        for number in (0, *BAD_NUMBERS):
            publisher = PropchangePublisher(on_uvloop=on_uvloop)
            stack.callback(publisher.stop)
            publisher.start()
            sink = stack.enter_context(Sink(100, 100, 1))
            if number:
                sink.ask("mode", 0, number, mode, SLOW_MS)
            fan = Fan(publisher, sink)
            name = f"{number} {mode}" if number else "none"
            try:
                fan.subscribe(1)
            except Incorrect as error:
                row.wrong[name] = str(error)
            else:
                each[name] = _paced(fan, PER_SECOND, seconds)
        return measured(row, each, dict(row.wrong), rounds)


def _endpoints(rounds: int, seconds: float, on_uvloop: bool) -> Row:
    """Subscribers with an endpoint of their own, more of them than connections are made at a
    time. All get each change, so the last of 2,000 gets it later than the last of 350: the bare
    contestant shows by how much."""
    counts = (350, 500, 2_000)
    bare_name = BarePublisher(on_uvloop=on_uvloop).name
    row = Row(
        FAMILY,
        _EACH,
        "default limits",
        goals=[
            goal
            for count in counts[1:]
            for goal in (
                within(1.5, "350 endpoints", P99, who=f"{count:,} endpoints"),
                below(0, OPENED, who=f"{count:,} endpoints"),
            )
        ],
    )
    with ExitStack() as stack:
        each: dict[str, Measured] = {}
        for count in counts:
            publishers = [
                PropchangePublisher(on_uvloop=on_uvloop),
                BarePublisher(on_uvloop=on_uvloop),
            ]
            ready, wrong = stack.enter_context(fans(publishers, partial(Sink, count, count, 1)))
            for name in (*ready, *wrong):
                title = f"{count:,} endpoints" + (f", {bare_name}" if name == bare_name else "")
                if name in wrong:
                    row.wrong[title] = wrong[name]
                else:
                    each[title] = _paced(ready[name], 2.0, seconds)
        return measured(row, each, dict(row.wrong), rounds)


def _first(rounds: int, on_uvloop: bool) -> Row:
    """A change for endpoints that have no connection."""
    limits: dict[str, Any] = {
        "subscriptions": 2 * FIRST,
        "subscriptions_per_service": 2 * FIRST,
        "delivery_connections": FIRST + 100,
        "delivery_idle_seconds": 1.0,
    }
    bare_name = BarePublisher(on_uvloop=on_uvloop).name
    row = Row(
        FAMILY,
        _FIRST,
        goals=[within(3, bare_name, "seconds")],
    )
    publishers = [
        PropchangePublisher(on_uvloop=on_uvloop, **limits),
        BarePublisher(on_uvloop=on_uvloop),
    ]
    with fans(publishers, partial(Sink, FIRST, FIRST, 10), most_at_endpoint=0) as (ready, wrong):

        def one(fan: Fan) -> Measured:
            return lambda: _first_event(fan)

        for fan in ready.values():
            row.note = f"{fan.sink.described}; limits changed: {', '.join(limits)}"
        return measured(row, {name: one(fan) for name, fan in ready.items()}, wrong, rounds)


def _first_event(fan: Fan) -> Figures:
    sink, publisher = fan.sink, fan.publisher
    until = time.monotonic() + 30
    while sink.ask("report")["connections"]:
        if time.monotonic() > until:
            raise Incorrect("idle connections were not closed")
        time.sleep(0.1)
    is_bare = isinstance(publisher, BarePublisher)
    sink.ask("begin", "unordered" if is_bare else "ordered")
    cpu = publisher.cpu()
    begin = time.monotonic()
    value = publisher.publish_first(CONNECTING) if is_bare else publisher.publish(1, 1)
    told = sink.settle(FIRST, value)
    used = publisher.cpu() - cpu
    return {"seconds": told["last"] - begin, COST: used / FIRST * 1e6, OPENED: told["opened"]}


def rows(
    rounds: int,
    seconds: float,
    *,
    on_uvloop: bool = True,
    with_peers: bool = True,
    wanted: Wanted = always,
) -> Iterator[Row]:
    """The rows of the table, as they are measured."""
    window = max(2 * seconds, 0.5)
    if wanted(_HUNDRED):
        yield _hundred(rounds, window, on_uvloop, with_peers)
    if wanted(_EACH):
        yield _endpoints(rounds, max(window, 1.0), on_uvloop)
    for mode in ("dead", "slow"):
        if wanted(_beside(mode)):
            yield _beside_bad(rounds, window, on_uvloop, mode)
    if wanted(_FIRST):
        yield _first(rounds, on_uvloop)
