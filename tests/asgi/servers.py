"""An ASGI server in memory: it calls an application with one scope, as a server of any make may."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from propchange.asgi import Application

Event = dict[str, Any]

GONE: Event = {"type": "http.disconnect"}


def body(*pieces: bytes, ends: bool = True) -> list[Event]:
    """The events of a body in ``pieces``. ``ends``: nothing follows the last one."""
    pieces = pieces or (b"",)
    events = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    events[-1]["more_body"] = not ends
    return events


def scope_of(
    method: str,
    target: str,
    headers: Iterable[tuple[str | bytes, str | bytes]],
    **changes: Any,
) -> dict[str, Any]:
    """An http scope. Of ``changes``, None takes a member out."""
    path, _, query = target.partition("?")
    as_bytes = [
        tuple(each.encode() if isinstance(each, str) else each for each in pair) for pair in headers
    ]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in as_bytes],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 8_000),
    } | changes
    return {name: value for name, value in scope.items() if value is not None}


@dataclass
class Exchanged:
    """What an application has sent."""

    sent: list[Event] = field(default_factory=list)
    left: int = 0
    """Events that it has not received."""

    @property
    def status(self) -> int:
        assert self.sent, "no answer"
        assert self.sent[0]["type"] == "http.response.start"
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[bytes, bytes]:
        pairs: Sequence[tuple[bytes, bytes]] = self.sent[0]["headers"]
        assert all(name == name.lower() for name, _ in pairs)
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    @property
    def body(self) -> bytes:
        assert not self.sent[-1]["more_body"]
        return b"".join(each["body"] for each in self.sent[1:])


class Calls:
    """One call of an application. ``events`` are received in turn; then nothing more comes."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.events = list(events)
        self.exchanged = Exchanged()
        self.more = asyncio.Event()
        self.send_raises: Exception | None = None

    async def receive(self) -> Event:
        while not self.events:
            self.more.clear()
            await self.more.wait()
        return self.events.pop(0)

    def give(self, *events: Event) -> None:
        self.events += events
        self.more.set()

    async def send(self, message: Any) -> None:
        if self.send_raises is not None:
            raise self.send_raises
        self.exchanged.sent.append(dict(message))


async def call(
    application: Application, scope: dict[str, Any], events: Iterable[Event] | None = None
) -> Exchanged:
    """Call an application once, and return what it has sent."""
    calls = Calls(body() if events is None else events)
    await application(scope, calls.receive, calls.send)
    calls.exchanged.left = len(calls.events)
    return calls.exchanged
