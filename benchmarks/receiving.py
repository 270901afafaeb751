"""Receiving: each event decoded to typed values and handed to the application."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

from benchmarks import receivers
from benchmarks.programs import Program, compiled
from benchmarks.receivers import Body, Receiver
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

__all__ = ["Flow", "measure", "rows"]

REQUIRED = 0.5
"""The least share of the bare contestant's speed on kept connections. Below it the shape of the
library is wrong."""

CONNECTIONS = 64
_DOCUMENTS = Path(__file__).parent / "documents"
_SETTLE_SECONDS = 20.0

Manner = Literal["keep", "close"]


class Flow:
    """A receiver, and the generator that sends to it on ``connections`` connections."""

    def __init__(self, receiver: Receiver, generator: Program, connections: int) -> None:
        self._receiver = receiver
        self._generator = generator
        self._expected = 0
        port = receiver.port
        if port is None:
            url = f"http://{receiver.address}:{generator.first['port']}"
            receiver.subscribe(url, connections)
            ready = generator.ask("ready", connections, 20_000)["ready"]
            if ready == connections:
                receiver.subscribed()
        else:
            where = (receiver.address, port, "/events/", 0, connections)
            ready = generator.ask("connect", *where)["ready"]
        if ready != connections:
            raise Incorrect(f"{ready} of {connections} initial events were answered")
        self._settle(connections)

    def _settle(self, events: int) -> None:
        """Wait until the application has so many more events."""
        self._expected += events
        until = time.monotonic() + _SETTLE_SECONDS
        while (counted := self._receiver.count())["events"] < self._expected:
            if time.monotonic() > until:
                break
            time.sleep(0.01)
        if counted["events"] != self._expected:
            raise Incorrect(
                f"the application has {counted['events']:,} of {self._expected:,} events"
            )
        if counted["disorder"]:
            raise Incorrect(f"{counted['disorder']:,} events did not have the next value")

    def round(self, seconds: float, manner: Manner) -> Figures:
        """Send for ``seconds``, each event as soon as the one before is answered."""
        cpu = self._receiver.cpu()
        told = self._generator.ask("run", seconds, 0, manner)
        if told["bad"]:
            raise Incorrect(f"{told['bad']:,} of {told['sent']:,} events were not answered 200")
        if told["lost"]:
            raise Incorrect(f"{told['lost']:,} connections ended before an answer")
        self._settle(told["sent"])
        used = self._receiver.cpu() - cpu
        return {
            RATE: told["sent"] / told["seconds"],
            COST: used / told["sent"] * 1e6,
            "load busy": told["cpu"] / told["seconds"],
            "opened": told["opened"],
        }


@contextmanager
def flows(
    contestants: Sequence[Receiver], body: Body, connections: int
) -> Iterator[tuple[dict[str, Flow], dict[str, str]]]:
    """Start each receiver and its generator. Gives those that are ready, by name, and why the
    others are not."""
    files = [_DOCUMENTS / body / f"{name}.xml" for name in ("description", "scpd", "body")]
    ready: dict[str, Flow] = {}
    wrong: dict[str, str] = {}
    with ExitStack() as stack:
        for receiver in contestants:
            stack.callback(receiver.stop)
            try:
                receiver.start()
                command = [compiled("generator"), receiver.address, *files]
                generator = stack.enter_context(Program(command))
                ready[receiver.name] = Flow(receiver, generator, connections)
            except (Incorrect, RuntimeError) as error:
                wrong[receiver.name] = str(error)
                receiver.stop()
        yield ready, wrong


def measure(
    row: Row,
    contestants: Sequence[Receiver],
    rounds: int,
    seconds: float,
    *,
    connections: int = CONNECTIONS,
    manner: Manner = "keep",
    body: Body = "plain",
) -> Row:
    """Let the contestants receive in turns."""

    def one(flow: Flow) -> Measured:
        return lambda: flow.round(seconds, manner)

    with flows(contestants, body, connections) as (ready, wrong):
        in_turns(row, {name: one(flow) for name, flow in ready.items()}, rounds)
    row.wrong |= wrong
    return row


def rows(
    rounds: int,
    seconds: float,
    *,
    on_uvloop: bool = True,
    with_peers: bool = True,
    wanted: Wanted = always,
) -> Iterator[Row]:
    """The rows of the table, as they are measured."""

    def contestants(body: Body = "plain") -> list[Receiver]:
        peers = receivers.others(body) if with_peers else []
        return [*receivers.ours(body, on_uvloop=on_uvloop), *peers]

    def row(title: str, all_of: Sequence[Receiver], share: float, **multiples: float) -> Row:
        goals = [faster(share, all_of[1].name)]
        for each in all_of[2:]:
            library = each.name.partition(" ")[0].replace("-", "_")
            if library in multiples:
                goals.append(faster(multiples[library], each.name))
        return Row("receiving", title, goals=goals)

    several: dict[str, Any] = {"async_upnp_client": 9, "GUPnP": 2, "libupnp": 3}
    for connections in (1, 8, CONNECTIONS):
        title = f"receiving on {connections} connection{'s' if connections > 1 else ''}, kept alive"
        if wanted(title):
            all_of = contestants()
            new = row(title, all_of, 0.88, **several)
            new.required = REQUIRED
            yield measure(new, all_of, rounds, seconds, connections=connections)
    title = "receiving, a connection for each event"
    if wanted(title):
        all_of = contestants()
        new = row(title, all_of, 0.85, async_upnp_client=8)
        new.note = f"{CONNECTIONS} connections at a time"
        yield measure(new, all_of, rounds, seconds, manner="close")
    title = "receiving LastChange, expanded"
    if wanted(title):
        all_of = contestants("last-change")
        new = row(title, all_of, 0.85, async_upnp_client=8)
        new.note = f"{CONNECTIONS} connections, kept alive; Volume and Mute of one instance"
        yield measure(new, all_of, rounds, seconds, body="last-change")
