"""A device that is known by a name, and a resolver that falls silent, on both runtimes."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.subscriber.events import Event
from tests.asyncio.conftest import RawDevice
from tests.hostile.fronts import point
from tests.hostile.test_forged_announcements import subscribed

__all__ = ["point"]

NAME = "propchange-device.lan"
LIMITS = replace(DEFAULT_LIMITS, lookup_seconds=0.05)


class Resolver:
    """Answers for :data:`NAME` until it is silent."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.silent = False
        self.unanswered = 0
        self.over = threading.Event()

    def __call__(self, host: Any, *args: Any, **options: Any) -> Any:
        if host != NAME:
            return self._real(host, *args, **options)
        if self.silent:
            self.unanswered += 1
            self.over.wait(30)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        port = args[0] if args and args[0] else 0
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    resolver = Resolver(socket.getaddrinfo)
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    yield resolver
    resolver.over.set()


async def test_a_subscription_is_renewed_while_the_resolver_is_silent(
    point: Any, resolver: Resolver, capfd: pytest.CaptureFixture[str]
) -> None:
    async with RawDevice() as device, point(limits=LIMITS) as (control_point, _):
        device.answers["SUBSCRIBE"] = lambda request: device.grant(request, timeout="Second-2")
        url = f"http://{NAME}:{device.port}/description.xml"
        async with subscribed(control_point, url) as received, asyncio.timeout(20):
            while not device.of("SUBSCRIBE"):
                await asyncio.sleep(0.01)
            callback = device.of("SUBSCRIBE")[0].fields["callback"].strip("<>")
            await device.notify(callback, "uuid:1", 0, Temperature="0", Alarm="0")
            resolver.silent = True
            while len(device.of("SUBSCRIBE")) < 4:
                await asyncio.sleep(0.05)
            await device.notify(callback, "uuid:1", 1, Temperature="1")
            await asyncio.sleep(0.1)
            assert resolver.unanswered >= 1
            assert {request.fields.get("sid") for request in device.of("SUBSCRIBE")[1:]} == {
                "uuid:1"
            }
            events = [each for each in received if isinstance(each, Event)]
            assert [event.changes["Temperature"] for event in events] == [0.0, 1.0]
    assert "never retrieved" not in capfd.readouterr().err
