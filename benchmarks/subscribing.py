"""SUBSCRIBE with its initial event, and renewals."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from benchmarks.network import subscribers_of
from benchmarks.peers.publishers import PUBLISHERS, PeerPublisher
from benchmarks.publishers import PropchangePublisher
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
)
from benchmarks.sink import Sink

__all__ = ["rows"]

AT_ONCE = 16
"""Requests under way."""

PER_SECOND = 2_500
"""Subscriptions of a round of one second: 1,000 of one that takes 0.4 s, which the default limits
admit."""

WARM = 100
"""Subscriptions of other addresses, made before."""


class BareSubscribing(PeerPublisher):
    """The least that SUBSCRIBE can cost on this loop."""

    def __init__(self, *, on_uvloop: bool) -> None:
        self._loop = "uvloop" if on_uvloop else "asyncio"
        super().__init__(f"bare {self._loop}")

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "benchmarks.peers.subscribe_bare", self._loop]


def _subscribe(publisher: Any, make_sink: Callable[[str], Sink], *, keep: bool) -> Figures:
    """Let all subscribers of a fresh sink subscribe to a fresh publisher."""
    try:
        publisher.start()
        url = publisher.event_url()
        first = subscribers_of(url.host)
        with Sink(WARM, WARM, 1, first.replace(".1.1", ".99.1").replace(".0.1", ".99.1")) as others:
            others.subscribe(url, at_once=1, keep=False)
        with make_sink(first) as sink:
            cpu = publisher.cpu()
            told = sink.subscribe(url, at_once=AT_ONCE, keep=keep)
            report = sink.ask("report")
            if report["initial"] != sink.subscribers or report["disorder"]:
                raise Incorrect(f"{report['initial']:,} of {sink.subscribers:,} initial events")
            return {
                RATE: sink.subscribers / (report["last"] - told["began"]),
                COST: (publisher.cpu() - cpu) / sink.subscribers * 1e6,
            }
    finally:
        publisher.stop()


def _renewing(publisher: Any, sink: Sink, *, keep: bool) -> Measured:
    """Renew all subscriptions, several times."""

    def one() -> Figures:
        cpu = publisher.cpu()
        told = sink.ask("renew", AT_ONCE, "keep" if keep else "close")
        if told["granted"] != sink.subscribers:
            raise Incorrect(f"{told['refused']:,} renewals were refused: {told['refusal']}")
        return {
            RATE: told["granted"] / told["seconds"],
            COST: (publisher.cpu() - cpu) / told["granted"] * 1e6,
        }

    return one


def rows(
    rounds: int,
    seconds: float,
    *,
    on_uvloop: bool = True,
    with_peers: bool = True,
    wanted: Wanted = always,
) -> Iterator[Row]:
    """The rows of the table, as they are measured."""
    libraries = ("async-upnp-client", "libupnp", "GUPnP") if with_peers else ()
    subscribers = max(int(PER_SECOND * seconds), 20)

    def publishers() -> list[Any]:
        return [
            PropchangePublisher(on_uvloop=on_uvloop),
            BareSubscribing(on_uvloop=on_uvloop),
            *(PUBLISHERS[n]() for n in libraries),
        ]

    def goals(all_of: Sequence[Any]) -> list[Goal]:
        names = [each.name for each in all_of]
        return [
            faster(8 if name.startswith("async") else 1, name, measure)
            for name in names
            if name.startswith(("async-upnp-client", "GUPnP"))
            for measure in (COST, RATE)
        ]

    def layout(row: Row, endpoints: int, *, keep: bool) -> Callable[[str], Sink]:
        manner = "on kept connections" if keep else "a connection for each"
        where = "an address" if keep else "an address each"
        row.note = (
            f"{subscribers:,} from {endpoints:,} endpoints at {where}, "
            f"{AT_ONCE} requests at once, {manner}"
        )
        ports = 10 if keep else 1
        return lambda base: Sink(subscribers, endpoints, ports, base)

    for title, endpoints, keep in (
        ("SUBSCRIBE with its initial event, each from an endpoint of its own", subscribers, False),
        ("SUBSCRIBE with its initial event, from few endpoints", 10, True),
    ):
        if wanted(title):
            all_of = publishers()
            row = Row("subscribing", title, goals=goals(all_of))
            make = layout(row, endpoints, keep=keep)
            contestants = {
                each.name: lambda each=each, make=make, keep=keep: _subscribe(each, make, keep=keep)  # type: ignore[misc] # inferred wrongly
                for each in all_of
            }
            yield in_turns(row, contestants, rounds, warm=0)

    for title, keep in (
        ("renewals, a connection for each", False),
        ("renewals on kept connections", True),
    ):
        if wanted(title):
            all_of = publishers()
            row = Row("subscribing", title, goals=goals(all_of))
            make = layout(row, 10, keep=keep)
            with ExitStack() as stack:
                contestants = {}
                for each in all_of:
                    stack.callback(each.stop)
                    try:
                        each.start()
                        sink = stack.enter_context(make(subscribers_of(each.event_url().host)))
                        sink.subscribe(each.event_url(), at_once=1)
                    except (Incorrect, RuntimeError) as error:
                        row.wrong[each.name] = str(error)
                    else:
                        contestants[each.name] = _renewing(each, sink, keep=keep)
                wrong = dict(row.wrong)
                in_turns(row, contestants, rounds)
                row.wrong |= wrong
            yield row
