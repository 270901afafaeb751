"""Fan-out: events to many subscribers, kept connections or a connection for each event."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from benchmarks.contestants import Publisher
from benchmarks.network import subscribers_of
from benchmarks.peers.publishers import PUBLISHERS
from benchmarks.publishers import BarePublisher, CPublisher, PropchangePublisher
from benchmarks.results import (
    COST,
    RATE,
    Figures,
    Goal,
    Incorrect,
    Measured,
    Row,
    Wanted,
    always,
    faster,
    in_turns,
    within,
)
from benchmarks.sink import Sink

__all__ = ["rows"]

FAMILY = "fan-out"
REQUIRED = 0.5
"""The least share of the bare contestant's speed. Below it the shape of the library is wrong:
its rules and guards would cost more than the network does."""

BURST = 10
"""Events assigned at once: below Limits.waiting_messages, so that none is merged."""

_ALL_PEERS = (1, 100)
"""The numbers of subscribers at which all other libraries are measured."""

MANY = 10_000
"""Subscribers. The default limits admit 3,072 of a service, so for these they are raised."""

MakeSink = Callable[[str], Sink]
"""Makes the subscribers, from an address on."""


class Fan:
    """A publisher and its subscribers."""

    def __init__(self, publisher: Any, sink: Sink, *, closing: bool = False) -> None:
        self.publisher = publisher
        self.sink = sink
        self._is_bare = isinstance(publisher, BarePublisher)
        self._events = 0
        if closing:
            sink.ask("mode", 0, sink.subscribers, "close")

    def subscribe(self, most_at_endpoint: int) -> None:
        if self._is_bare:
            self.publisher.connect(self.sink.targets, most_at_endpoint)
        elif isinstance(self.publisher, CPublisher):
            self.publisher.connect(self.sink.targets)
        else:
            self.sink.subscribe(self.publisher.event_url())

    def round(self, seconds: float, at_once: int) -> Figures:
        """As many events as go into ``seconds``, each of them delivered to all."""
        if not self._events:
            self._events = self._find_number(seconds, at_once)
        return self._publish(self._events, at_once)

    def _find_number(self, seconds: float, at_once: int) -> int:
        """How many events take ``seconds``."""
        events = at_once
        while True:
            begin = time.monotonic()
            self._publish(events, at_once)
            took = time.monotonic() - begin
            if took > seconds / 4 or events * self.sink.subscribers > 1_000_000:
                return max(round(events * seconds / took / at_once), 1) * at_once
            events *= 4

    def _publish(self, events: int, at_once: int) -> Figures:
        publisher, sink = self.publisher, self.sink
        sink.ask("begin", "unordered" if self._is_bare else "ordered")
        cpu = publisher.cpu()
        begin = time.monotonic()
        deliveries = events * sink.subscribers
        if publisher.paced:
            value = publisher.publish(events, at_once)
            told = sink.settle(deliveries, value)
        else:
            told = {}
            for part in range(at_once, events + 1, at_once):
                value = publisher.publish(at_once, at_once)
                told = sink.settle(part * sink.subscribers, value)
        took = told["last"] - begin
        used = publisher.cpu() - cpu
        return {
            RATE: deliveries / took,
            COST: used / deliveries * 1e6,
            "load busy": told["cpu"] / took,
            "connections": told["connections"],
        }


def _subscribers_of(publisher: Any) -> str:
    """The first address of its subscribers."""
    if isinstance(publisher, BarePublisher | CPublisher):
        return "127.0.0.1"
    return subscribers_of(publisher.event_url().host)


def others() -> list[Publisher]:
    """The publishers of other libraries."""
    return [make() for make in PUBLISHERS.values()]


@contextmanager
def fans(
    publishers: Sequence[Any],
    make_sink: MakeSink,
    *,
    closing: bool = False,
    most_at_endpoint: int = 1,
) -> Iterator[tuple[dict[str, Fan], dict[str, str]]]:
    """Start each publisher and its subscribers. Gives these that are ready, by name, and why the
    others are not."""
    ready: dict[str, Fan] = {}
    wrong: dict[str, str] = {}
    with ExitStack() as stack:
        for publisher in publishers:
            stack.callback(publisher.stop)
            try:
                publisher.start()
                sink = stack.enter_context(make_sink(_subscribers_of(publisher)))
                fan = Fan(publisher, sink, closing=closing)
                fan.subscribe(most_at_endpoint)
            except (Incorrect, RuntimeError, OSError) as error:
                wrong[publisher.name] = str(error)
            else:
                ready[publisher.name] = fan
        yield ready, wrong


def measured(row: Row, ready: dict[str, Measured], wrong: dict[str, str], rounds: int) -> Row:
    in_turns(row, ready, rounds)
    row.wrong |= wrong
    return row


def _row(
    publishers: Sequence[Any],
    row: Row,
    make_sink: MakeSink,
    rounds: int,
    seconds: float,
    *,
    at_once: int = 1,
    closing: bool = False,
    dated: bool = False,
    most_at_endpoint: int = 1,
) -> Row:
    with fans(publishers, make_sink, closing=closing, most_at_endpoint=most_at_endpoint) as (
        ready,
        wrong,
    ):
        for fan in ready.values():
            row.note = fan.sink.described
            fan.sink.ask("answer", "dated" if dated else "short")

        def one(fan: Fan) -> Measured:
            return lambda: fan.round(seconds, at_once)

        return measured(row, {name: one(fan) for name, fan in ready.items()}, wrong, rounds)


def rows(
    rounds: int,
    seconds: float,
    *,
    on_uvloop: bool = True,
    with_peers: bool = True,
    wanted: Wanted = always,
) -> Iterator[Row]:
    """The rows of the table, as they are measured."""
    bare_name = BarePublisher(on_uvloop=on_uvloop).name
    names = [each.name for each in others()] if with_peers else []
    costs: dict[int, list[float]] = {}

    def ours(*, closing: bool = False, **limits: Any) -> list[Any]:
        return [
            PropchangePublisher(on_uvloop=on_uvloop, **limits),
            BarePublisher(on_uvloop=on_uvloop, closing=closing),
            CPublisher(closing=closing),
        ]

    def goals(bound: float, count: int = 0) -> list[Goal]:
        theirs = [faster(bound, bare_name)]
        theirs += [faster(40, name) for name in names if name.startswith("async-upnp-client")]
        if count == 100:
            theirs += [faster(4, name) for name in names if "queue lifted" in name]
        return theirs

    def peers(*libraries: str) -> list[Publisher]:
        """The publishers of these libraries, of all if none is named."""
        all_of = others() if with_peers else []
        return [each for each in all_of if not libraries or each.name.startswith(libraries)]

    for count in (1, 10, 100, 1_000, MANY):
        title = f"fan-out to {count:,}"
        if not wanted(title):
            continue
        limits: dict[str, Any] = {}
        endpoints, ports, most = count, min(count, 100), 1
        if count == MANY:
            limits = {"subscriptions": 2 * MANY, "subscriptions_per_service": 2 * MANY}
            endpoints, ports, most = 100, 10, 32
        row = Row(
            FAMILY,
            title,
            goals=goals(0.85 if count >= 100 else 0.75, count),
            required=REQUIRED,
        )
        theirs = peers() if count in _ALL_PEERS else peers("async-upnp-client")
        if limits:  # one event to so many takes async-upnp-client three seconds
            theirs = []
        _row(
            [*ours(**limits), *theirs],
            row,
            partial(Sink, count, endpoints, ports),
            rounds,
            seconds,
            most_at_endpoint=most,
        )
        if limits:
            raised = f"limits raised: {', '.join(limits)}"
            row.note = f"{row.note}; {raised}" if row.note else raised
        costs[count] = row.values("propchange", COST)
        yield row

    if MANY in costs and 10 in costs:
        row = Row(
            FAMILY,
            "CPU of a delivery, of 10 subscribers and of 10,000",
            goals=[within(1.25, "to 10", COST, who="to 10,000")],
        )
        row.rounds = {
            f"to {count:,}": [{COST: each} for each in values] for count, values in costs.items()
        }
        yield row

    hundred = partial(Sink, 100, 100, 100)
    for title, at_once, dated in (
        (f"fan-out to 100, {BURST} events at once", BURST, False),
        ("fan-out to 100, answers with DATE and SERVER", 1, True),
    ):
        if not wanted(title):
            continue
        row = Row(FAMILY, title, goals=[faster(0.85, bare_name)], required=REQUIRED)
        yield _row(ours(), row, hundred, rounds, seconds, at_once=at_once, dated=dated)

    for count in (1, 100):
        title = f"fan-out to {count}, closing after each event"
        if not wanted(title):
            continue
        row = Row(FAMILY, title, required=REQUIRED)
        row.goals = [
            faster(0.88, bare_name),
            *(faster(1, name) for name in names if name.startswith(("async", "GUPnP"))),
            *(within(1.5, name, COST) for name in names if name.startswith("libupnp")),
        ]
        publishers = [*ours(closing=True), *peers()]
        yield _row(
            publishers,
            row,
            partial(Sink, count, count, min(count, 100)),
            rounds,
            seconds,
            closing=True,
            most_at_endpoint=0,
        )
