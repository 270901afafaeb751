"""On Twisted: receiving, fan-out of a service, and the functions of Cohen3."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks import receivers, receiving
from benchmarks.fan_out import Fan
from benchmarks.peers.publishers import PeerPublisher
from benchmarks.publishers import PropchangePublisher
from benchmarks.results import Incorrect, Measured, Row, Wanted, always, faster, in_turns
from benchmarks.sink import Sink
from lab import cohen3_environment

__all__ = ["rows"]

SUBSCRIBERS = 100
_COHEN3 = 3.6
"""How much faster than Cohen3 the function of propchange.cohen3 was when this was written."""


class ServicePublisher(PeerPublisher):
    """A ``propchange.twisted.Service``."""

    paced = True

    def __init__(self) -> None:
        super().__init__("propchange.twisted")

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "benchmarks.peers.publish_twisted"]

    def publish(self, events: int, at_once: int) -> str:
        return str(self.program.ask("publish", events, at_once)["last"])


class NotificationPublisher(PeerPublisher):
    """send_notification() of ``which``, in the environment of Cohen3."""

    def __init__(self, name: str, which: str) -> None:
        super().__init__(name)
        self._which = which

    def _command(self) -> list[str]:
        program = Path(__file__).parent / "peers" / "publish_notifications.py"
        python = str(cohen3_environment.python())
        return [python, "-W", "ignore", str(program), self._which]

    def know(self, sink: Sink) -> None:
        """Note the subscribers."""
        self.program.ask("targets", json.dumps(sink.targets))


def rows(
    rounds: int,
    seconds: float,
    *,
    on_uvloop: bool = True,
    with_peers: bool = True,
    wanted: Wanted = always,
) -> Iterator[Row]:
    """The rows of the table, as they are measured."""
    title = "receiving on Twisted"
    if wanted(title):
        row = Row("twisted", title)
        row.note = f"{receiving.CONNECTIONS} connections, kept alive"
        all_of = receivers.twisted_receivers(with_cohen3=with_peers)
        row.goals = [faster(0.85, all_of[1].name, who=all_of[0].name)]
        yield receiving.measure(row, all_of, rounds, seconds)
    title = f"fan-out to {SUBSCRIBERS} of a Service on Twisted"
    if wanted(title):
        yield _fan_out(Row("twisted", title), rounds, seconds, on_uvloop=on_uvloop)
    title = f"send_notification to {SUBSCRIBERS}, on Twisted 21.7"
    if with_peers and wanted(title):
        yield _notifications(Row("twisted", title), rounds, seconds)


def _fan_out(row: Row, rounds: int, seconds: float, *, on_uvloop: bool) -> Row:
    publishers = {
        "propchange.twisted": ServicePublisher(),
        "propchange on asyncio": PropchangePublisher(on_uvloop=False),
    }
    if on_uvloop:
        publishers["propchange on uvloop"] = PropchangePublisher()
    row.goals = [faster(0.6, "propchange on asyncio", who="propchange.twisted")]
    with ExitStack() as stack:
        contestants: dict[str, Measured] = {}
        for name, publisher in publishers.items():
            stack.callback(publisher.stop)
            publisher.start()
            sink = stack.enter_context(Sink(*[SUBSCRIBERS] * 3))
            fan = Fan(publisher, sink)
            sink.subscribe(publisher.event_url())
            contestants[name] = lambda fan=fan: fan.round(seconds, 1)  # type: ignore[misc] # inferred wrongly
            row.note = sink.described
        return in_turns(row, contestants, rounds)


def _notifications(row: Row, rounds: int, seconds: float) -> Row:
    row.goals = [faster(_COHEN3, "Cohen3", who="propchange.cohen3")]
    with ExitStack() as stack:
        contestants: dict[str, Measured] = {}
        wrong = {}
        for publisher in (
            NotificationPublisher("propchange.cohen3", "propchange"),
            NotificationPublisher("Cohen3", "cohen3"),
        ):
            stack.callback(publisher.stop)
            try:
                publisher.start()
                sink = stack.enter_context(Sink(*[SUBSCRIBERS] * 3))
                publisher.know(sink)
            except (Incorrect, RuntimeError) as error:
                wrong[publisher.name] = str(error)
                continue
            fan = Fan(publisher, sink)
            contestants[publisher.name] = lambda fan=fan: fan.round(seconds, 1)  # type: ignore[misc] # inferred wrongly
        in_turns(row, contestants, rounds)
        row.wrong |= wrong
    return row
