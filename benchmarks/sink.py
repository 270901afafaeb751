"""Subscribers of one publisher: the C program ``native/sink.c``."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

from benchmarks.contestants import EventURL
from benchmarks.programs import Program, compiled
from benchmarks.results import Incorrect

__all__ = ["Sink", "Target"]

_PATIENCE_MS = 5_000
"""Without any message."""

Target = tuple[str, int, str]
"""Address, port and path of a subscriber."""


class Sink(Program):
    """``subscribers``, spread over ``endpoints``, pairs of an address and a port: ``ports`` ports
    on each address from ``base`` on."""

    def __init__(
        self,
        subscribers: int,
        endpoints: int,
        ports: int,
        base: str = "127.0.0.1",
    ) -> None:
        self.subscribers = subscribers
        self.endpoints = endpoints
        self.ports = ports
        self._base = ipaddress.IPv4Address(base)
        command: list[str | Path] = [
            compiled("sink"),
            base,
            str(subscribers),
            str(endpoints),
            str(ports),
        ]
        super().__init__(command)

    @property
    def targets(self) -> list[Target]:
        """Where the events of each subscriber go."""
        ports = self.first["ports"]
        targets = []
        for number in range(self.subscribers):
            endpoint = number % self.endpoints
            address = str(self._base + endpoint // self.ports)
            targets.append((address, ports[endpoint % self.ports], f"/events/{number:05}"))
        return targets

    @property
    def described(self) -> str:
        """How many subscribers an address and a port have."""
        addresses = -(-self.endpoints // self.ports)
        at_port = self.subscribers // self.endpoints
        return (
            f"{addresses:,} {_plural('address', addresses)} with {self.ports} "
            f"{_plural('port', self.ports)}, {at_port} {_plural('subscriber', at_port)} "
            "at an address and port"
        )

    def subscribe(self, url: EventURL, *, at_once: int = 8, keep: bool = True) -> dict[str, Any]:
        """SUBSCRIBE for each of them, and wait for the initial events of the good ones."""
        self.ask("begin", "ordered")
        manner = "keep" if keep else "close"
        told = self.ask("subscribe", url.host, url.port, url.path, at_once, manner)
        if told["refused"]:
            raise Incorrect(f"{told['refused']} SUBSCRIBE refused: {told['refusal']}")
        good = self.ask("report")["good_subscribers"]
        arrived = self.ask("wait", good, 30_000)
        if arrived["good"] < good:
            raise Incorrect(f"{arrived['good']} of {good} initial events came")
        return told

    def settle(self, expected: int, value: str) -> dict[str, Any]:
        """The report, when ``expected`` messages have come. Raises :exc:`Incorrect` if fewer or
        more come, if one is out of order, or if a subscriber does not have ``value``."""
        told: dict[str, Any] = {"good": -1}
        before = -2
        while before < told["good"] < expected:
            before = told["good"]
            told = self.ask("wait", expected, _PATIENCE_MS)
        if told["good"] != expected:
            raise Incorrect(f"{told['good']:,} of {expected:,} events were delivered")
        return self.check(told, value)

    def check(self, told: dict[str, Any], value: str) -> dict[str, Any]:
        """The same for a report, whatever its number of messages."""
        if told["disorder"]:
            raise Incorrect(f"{told['disorder']:,} events were not the next one by their SEQ")
        if told["malformed"]:
            raise Incorrect(f"{told['malformed']:,} events were for nobody, or had no SEQ")
        without = self.ask("last", value)["without"]
        if without:
            raise Incorrect(f"{without:,} subscribers do not have the last value")
        return told


def _plural(word: str, count: int) -> str:
    return word if count == 1 else word + ("es" if word.endswith("s") else "s")
