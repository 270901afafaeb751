"""Devices that lose, repeat, mix up and withhold events of Cohen3's services, and forgers, over
sockets."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.web.resource import Resource

import propchange.twisted
from propchange import cohen3
from propchange.cohen3 import event_server
from propchange.core.limits import DEFAULT_LIMITS
from propchange.twisted import Site
from tests.cohen3.conftest import ClientService

LIMITS = replace(DEFAULT_LIMITS, initial_event_seconds=0.5, doubt_seconds=0.2)
BODY = (
    b'<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0">'
    b"<e:property><Volume>%d</Volume></e:property></e:propertyset>"
)


class Device:
    """Grants each SUBSCRIBE with another SID. ``requests`` are the methods and SIDs that it was
    sent, ``sids`` those that it has granted. ``granted(sid)`` follows a grant, and ``early(sid)``
    goes before its answer."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host = host
        self.requests: list[tuple[str, str]] = []
        self.sids: list[str] = []
        self.callback = ""
        self.granted: Callable[[str], Coroutine[Any, Any, None]] | None = None
        self.early: Callable[[str], Coroutine[Any, Any, None]] | None = None
        self.url = ""
        self._server: Any = None
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Device:
        self._server = await asyncio.start_server(self._accept, self.host, 0)
        host = f"[{self.host}]" if ":" in self.host else self.host
        self.url = f"http://{host}:{self._server.sockets[0].getsockname()[1]}/event"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await asyncio.gather(*self._tasks)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.append(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method = head.split(" ")[0]
        named = re.findall(r"(?m)^SID: (.*?)\r$", head)
        self.requests.append((method, named[0] if named else ""))
        answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
        sid = ""
        if method == "SUBSCRIBE":
            sid = named[0] if named else f"uuid:{len(self.sids)}"
            answer += f"SID: {sid}\r\nTIMEOUT: Second-300\r\n"
            if not named:
                self.sids.append(sid)
                self.callback = re.findall(r"CALLBACK: <(.*?)>", head)[0]
                if self.early is not None:
                    await self.early(sid)
        writer.write(f"{answer}\r\n".encode())
        await writer.drain()
        if sid and not named and self.granted is not None:
            await self.granted(sid)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def notify(self, sid: str, seq: int, volume: int, *, source: str = "") -> bytes:
        """Send an event. Returns the status line of the answer."""
        return await self.send(sid, seq, BODY % volume, source=source)

    async def cut(self, sid: str, seq: int) -> None:
        """Send a part of an event, and end the connection."""
        await self.send(sid, seq, BODY % 1, left_out=20)

    async def send(
        self, sid: str, seq: int, body: bytes, *, source: str = "", left_out: int = 0
    ) -> bytes:
        host, port = re.findall(r"http://\[?(.*?)\]?:(\d+)/", self.callback)[0]
        ours = (source, 0) if source else None
        reader, writer = await asyncio.open_connection(host, int(port), local_addr=ours)
        authority = self.callback.split("/")[2]
        writer.write(
            f"NOTIFY /events HTTP/1.1\r\nHOST: {authority}\r\nNT: upnp:event\r\n"
            f"NTS: upnp:propchange\r\nSID: {sid}\r\nSEQ: {seq}\r\n"
            f"CONTENT-LENGTH: {len(body)}\r\n\r\n".encode()
            + body[: len(body) - left_out]
        )
        if left_out:
            await writer.drain()
            writer.close()
            return b""
        status = await reader.readline()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        return status


class Point:
    """A control point with an EventServer, on a reactor of its own. ``volume`` is the latest value
    that was propagated, ``volumes`` are all."""

    hostname = "127.0.0.1"

    def __init__(self) -> None:
        self.coherence = self
        self.volumes: list[int] = []
        self.reactor: Any = AsyncioSelectorReactor(asyncio.get_running_loop())
        self.reactor.startRunning(installSignalHandlers=False)
        root = self.root = Resource()
        self.add_web_resource = lambda name, resource: root.putChild(name.encode(), resource)
        self.site = Site(root, reactor=self.reactor)
        first = self.reactor.listenTCP(0, self.site, interface="127.0.0.1")
        self.web_server_port = first.getHost().port
        second = self.reactor.listenTCP(self.web_server_port, self.site, interface="::1")
        self.ports = [first, second]
        self.kept = cohen3.hostname, cohen3.web_server_port, event_server.current
        self.server = cohen3.EventServer(self, limits=LIMITS)
        self.service: ClientService | None = None

    def propagate(self, event: cohen3.Event) -> None:
        self.volumes.append(int(event["Volume"]))

    def subscribe(self, url: str) -> ClientService:
        self.service = ClientService(url)
        cohen3.subscribe(self.service, reactor=self.reactor, limits=LIMITS)
        return self.service

    async def __aenter__(self) -> Point:
        return self

    async def __aexit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        if self.service is not None:
            if self.service.event_connection is not None:
                self.service.event_connection.teardown()
            await cohen3.unsubscribe(self.service, reactor=self.reactor).asFuture(loop)
        for port in self.ports:
            await port.stopListening().asFuture(loop)
        await self.site.close().asFuture(loop)
        cohen3.hostname, cohen3.web_server_port, event_server.current = self.kept
        self.reactor.getThreadPool().stop()
        self.reactor.waker.connectionLost(None)


@pytest.mark.clause("V6-05")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_the_events_of_a_device_come_to_an_address_of_its_own_family(
    host: str, until: Any
) -> None:
    async with Device(host) as device, Point() as point:

        async def granted(sid: str) -> None:
            await device.notify(sid, 0, 20)

        device.granted = granted
        point.subscribe(device.url)
        await until(lambda: point.volumes == [20])
        assert f"//{device.url.split('/')[2].rpartition(':')[0]}:" in device.callback


@pytest.mark.clause("CP-01", "CP-02")
@pytest.mark.parametrize(
    ("events", "volumes"),
    [
        pytest.param([(0, 20), (1, 21), (3, 23)], [20, 21, 23, 99], id="a gap"),
        pytest.param([(1, 21)], [21, 99], id="no initial event"),
        pytest.param([(0, 20), (1, 21), (2, 22), (1, 1)], [20, 21, 22, 99], id="late"),
        pytest.param([(0, 20), (1, 21), (1, 21), (1, 21), (3, 23)], [20, 21, 23, 99], id="again"),
    ],
)
async def test_after_a_loss_the_values_are_the_device_s_again(
    until: Any, events: list[tuple[int, int]], volumes: list[int]
) -> None:
    async with Device() as device, Point() as point:

        async def granted(sid: str) -> None:
            for seq, volume in events if sid == "uuid:0" else [(0, 99)]:
                assert b" 200 " in await device.notify(sid, seq, volume)

        device.granted = granted
        service = point.subscribe(device.url)
        await until(lambda: 99 in point.volumes)
        assert point.volumes == volumes
        assert service.sid == "uuid:1"
        assert device.requests == [
            ("SUBSCRIBE", ""),
            ("UNSUBSCRIBE", "uuid:0"),
            ("SUBSCRIBE", ""),
        ]


async def test_an_event_that_cannot_be_read_is_made_up_for_by_a_fresh_subscription(
    until: Any,
) -> None:
    async with Device() as device, Point() as point:

        async def granted(sid: str) -> None:
            await device.notify(sid, 0, 20 + len(device.sids))
            if sid == "uuid:0":
                assert b" 400 " in await device.send(sid, 1, b"<e:propertyset>&<")

        device.granted = granted
        point.subscribe(device.url)
        await until(lambda: point.volumes == [21, 22])


@pytest.mark.parametrize("ours", [False, True], ids=["Cohen3's control point", "our own"])
async def test_an_event_that_is_cut_off_is_made_up_for_by_a_fresh_subscription(
    until: Any, ours: bool
) -> None:
    async with Device() as device, Point() as point:

        async def granted(sid: str) -> None:
            await device.notify(sid, 0, 20 + len(device.sids))
            if sid == "uuid:0":
                await device.cut(sid, 1)

        device.granted = granted
        if not ours:
            point.subscribe(device.url)
            await until(lambda: point.volumes == [21, 22])
            return
        control_point = propchange.twisted.ControlPoint(
            reactor=point.reactor, shared_path="/events", callback_port=point.web_server_port
        )
        control_point.listen(interface="127.0.0.1")
        point.root.putChild(b"events", cohen3.EventServer(control_point))
        subscription = control_point.subscribe(device.url, lambda event: None)
        await until(lambda: subscription.values == {"Volume": "22"})
        await control_point.close().asFuture(asyncio.get_running_loop())


async def test_a_device_that_grants_and_sends_nothing_is_asked_again(
    until: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with Device() as device, Point() as point:

        async def granted(sid: str) -> None:
            if len(device.sids) == 3:
                await device.notify(sid, 0, 20)

        device.granted = granted
        point.subscribe(device.url)
        await until(lambda: point.volumes == [20])
    assert f"{device.url} has granted uuid:0 and sends no initial event" in caplog.text
    assert device.sids == ["uuid:0", "uuid:1", "uuid:2"]


@pytest.mark.clause("SUB-59")
async def test_forged_early_events_do_not_keep_the_device_s_own_away(until: Any) -> None:
    async with Device() as device, Point() as point:
        answers: list[bytes] = []

        async def early(sid: str) -> None:
            if sid == "uuid:0":
                for number in range(50):
                    forged = f"uuid:forged-{number}"
                    answers.append(await device.notify(forged, 0, 66, source="127.0.0.2"))
                assert b" 200 " in await device.notify(sid, 0, 20)

        device.early = early
        service = point.subscribe(device.url)
        await until(lambda: point.volumes)
        assert point.volumes == [20]
        assert service.sid == "uuid:0"
        assert sum(b" 412 " in answer for answer in answers) == 50 - LIMITS.early_messages
