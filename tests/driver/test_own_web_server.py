"""A control point without a port of its own: a web server of the program passes requests on."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest

from propchange.core.diagnosis.verdicts import Verdict
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.subscriber.events import Status
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.wire.messages import Endpoint, Request
from propchange.core.wire.propertyset import format_propertyset
from propchange.driver.control_point import SubscriberDriver
from propchange.driver.machine import Interfaces, Machine
from tests.driver.test_control_point import subscribe
from tests.outer_server import OuterServer

Until = Callable[[Callable[[], object]], Awaitable[None]]


@asynccontextmanager
async def behind(
    driven: Any,
    server: OuterServer,
    path: str = "/{token}",
    *,
    requests: Any = None,
    exclude: Any = (),
    **limits: Any,
) -> AsyncIterator[SubscriberDriver]:
    """A control point whose requests come through ``server``."""
    driver = SubscriberDriver(
        driven.runtime,
        SubscriberPolicy(callback_url=server.url(path)),
        limits=replace(DEFAULT_LIMITS, **limits),
        interfaces=Interfaces(),
        machine=Machine(),
        requests=requests,
        exclude=exclude,
    )
    server.receive = driver.receive
    await driven.run(driver.open(None, None))
    try:
        yield driver
    finally:
        await driven.run(driver.close())


@pytest.mark.parametrize("mount", ["", "/events", "/a/b"])
@pytest.mark.parametrize("path", ["/{token}", "/{token}/notify", "/upnp"])
async def test_events_come_through_the_web_server_of_the_program(
    driven: Any, raw_device: Any, until: Until, mount: str, path: str
) -> None:
    async with raw_device() as device, OuterServer(mount=mount) as server:
        async with behind(driven, server, path) as driver:
            assert driver.listener.endpoints == ()
            held, record = subscribe(driver, device.event_url)
            await until(lambda: held.grants)
            assert record.callback.startswith(f"http://127.0.0.1:{server.port}{mount}/")
            assert (await device.notify(record.callback, record.sid, 0, A="1")).status == 200
            await until(lambda: held.statuses == [Status.ACTIVE])
            assert (await device.notify(record.callback, "uuid:other", 0, A="1")).status == 412
            assert record.values == {"A": "1"}
        assert held.statuses[-1] is Status.CLOSED
        assert [request.fields["sid"] for request in device.of("UNSUBSCRIBE")] == ["uuid:1"]
        assert (await device.notify(record.callback, record.sid, 1, A="2")).status == 412


# --- why no events come ---


@pytest.mark.parametrize("path", ["/{token}", "/x/{token}/notify?k=1", "/upnp"])
@pytest.mark.parametrize(
    ("how", "verdict", "says"),
    [
        ("well", Verdict.LOOPBACK, ""),
        ("unmounted", Verdict.NOT_PASSED_ON, "something else answers at {url} (status 404)"),
        ("get-only", Verdict.NOT_PASSED_ON, "something else answers at {url} (status 405)"),
        ("away", Verdict.WEB_SERVER_AWAY, "nothing answers at {url}: it refuses connections"),
        ("no-host", Verdict.NOT_PASSED_ON, "its events are answered 400: HOST is not"),
    ],
)
async def test_a_diagnosis_tries_the_way_through_the_web_server(
    driven: Any,
    raw_device: Any,
    until: Until,
    *,
    path: str,
    how: str,
    verdict: Verdict,
    says: str,
) -> None:
    async with raw_device() as device, OuterServer(mount="/mount") as server:
        async with behind(driven, server, path) as driver:
            held, record = subscribe(driver, device.event_url)
            await until(lambda: held.grants)
            driver.protocol.handle_deadline(driver.now() + 10)
            if how == "unmounted":
                server.receive = None
            elif how == "get-only":
                server.methods = ("GET", "POST")
            elif how == "no-host":
                server.host_passed_on, server.knows_ends = "upstream", False
            elif how == "away":
                await server.__aexit__()
            found = await driven.run(driver.diagnose(record))
            assert found.verdict is verdict, str(found)
            assert says.format(url=server.url(path)) in found.sentence
            assert not driver.diagnoses.asked
            if how == "away":
                await server.__aenter__()
        assert held.statuses[-1] is Status.CLOSED


async def test_a_diagnosis_notices_that_the_web_server_loses_the_path(
    driven: Any, raw_device: Any, until: Until
) -> None:
    async with raw_device() as device, OuterServer(mount="/mount") as server:
        server.rewrite = lambda path: "/internal"
        async with behind(driven, server) as driver:
            held, record = subscribe(driver, device.event_url)
            await until(lambda: held.grants)
            driver.protocol.handle_deadline(driver.now() + 10)
            found = await driven.run(driver.diagnose(record))
            assert found.verdict is Verdict.NOT_PASSED_ON
            assert "passes requests on, but not the path" in found.sentence
        async with behind(driven, server, "/upnp") as driver:  # where the SID is enough
            held, record = subscribe(driver, device.event_url)
            await until(lambda: held.grants)
            driver.protocol.handle_deadline(driver.now() + 10)
            assert (await driven.run(driver.diagnose(record))).verdict is Verdict.LOOPBACK


@pytest.mark.slow
async def test_events_come_back_with_the_web_server(
    driven: Any, raw_device: Any, until: Until
) -> None:
    async with (
        raw_device() as device,
        OuterServer(mount="/mount") as server,
        behind(driven, server, initial_event_seconds=0.3) as driver,
    ):
        server.receive = None
        held, record = subscribe(driver, device.event_url)
        await until(lambda: held.grants)
        assert (await device.notify(record.callback, record.sid, 0, A="1")).status == 404
        await until(lambda: held.statuses[-1:] == [Status.DEAF])
        told = held.items[-1].reason
        assert f"was told to send to 127.0.0.1:{server.port}, as callback_url says" in told
        server.receive = driver.receive
        await until(lambda: held.grants >= 2)
        assert (await device.notify(record.callback, record.sid, 0, A="1")).status == 200
        await until(lambda: held.statuses[-1] is Status.ACTIVE)


class Postman:
    """The requester of a program: it sends by means of its own."""

    def __init__(self, requests: Any) -> None:
        self._requests = requests
        self.sent: list[str] = []
        self.closed = False

    async def follow(self, url: str, build: Any, **options: Any) -> Any:
        answer = await self._requests.follow(url, build, **options)
        self.sent.append(build(url, answer.local).method)
        return answer

    async def close(self) -> None:
        self.closed = True
        await self._requests.close()


async def test_the_requester_of_the_program_sends_the_subscriptions(
    driven: Any, raw_device: Any, until: Until
) -> None:
    postman = Postman(driven.requests())
    async with raw_device() as device, OuterServer() as server:
        async with behind(driven, server, requests=postman) as driver:
            held, _ = subscribe(driver, device.event_url)
            await until(lambda: held.grants)
            description = await driven.run(driver.documents.description(device.description_url))
            assert description.udn == "uuid:raw"
        assert postman.sent == ["SUBSCRIBE", "UNSUBSCRIBE"]
        assert postman.closed


# --- as on our own listener ---


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ("as it should be", 200),
        ("a huge body", 413),
        ("a huge target", 414),
        ("huge headers", 431),
        ("many headers", 431),
        ("another site in absolute form", 400),
        ("absolute form", 200),
        ("a foreign HOST", 400),
        ("a web page", 403),
    ],
)
async def test_what_our_own_listener_refuses_is_refused_and_is_a_lost_event(
    driven: Any, raw_device: Any, until: Until, how: str, status: int
) -> None:
    """The web server may have other caps, or none."""
    async with raw_device() as device, OuterServer() as server, behind(driven, server) as driver:
        _, record = subscribe(driver, device.event_url)
        await until(lambda: record.sid)
        here = f"127.0.0.1:{server.port}".encode()
        target, body = urlsplit(record.callback).path, format_propertyset([("A", "1")])
        fields = {b"host": here, b"nt": b"upnp:event", b"nts": b"upnp:propchange", b"seq": b"0"}
        fields[b"sid"] = record.sid.encode()
        if how == "a huge body":
            body = bytes(DEFAULT_LIMITS.body_bytes + 1)
        elif how == "a huge target":
            target += "?" + "x" * DEFAULT_LIMITS.target_bytes
        elif how == "huge headers":
            fields[b"x"] = bytes(DEFAULT_LIMITS.header_bytes)
        elif how == "many headers":
            fields |= {b"x%d" % number: b"" for number in range(DEFAULT_LIMITS.header_count)}
        elif how == "a foreign HOST":
            fields[b"host"] = b"evil.example"
        elif how == "a web page":
            fields[b"origin"] = b"http://evil.example"
        elif how.endswith("absolute form"):
            other = how.startswith("another")
            target = f"http://{'evil.example' if other else here.decode()}{target}"
        local = Endpoint("::ffff:127.0.0.1", server.port)  # as a socket of both families says
        request = Request("NOTIFY", target, [*fields.items()], body, local=local)
        assert driver.receive(request).status == status
        assert (record.doubt is None) is (status == 200)


async def test_what_comes_to_an_excluded_interface_is_refused(driven: Any) -> None:
    async with OuterServer() as server, behind(driven, server, exclude=("lo",)) as driver:
        request = Request("NOTIFY", "/x", (), local=Endpoint("127.0.0.1", server.port))
        assert driver.receive(request).status == 403


async def test_a_request_in_another_thread_is_refused_with_the_name_of_what_to_call(
    driven: Any,
) -> None:
    raised: list[Exception] = []

    async with OuterServer() as server, behind(driven, server) as driver:

        def pass_on() -> None:
            try:
                driver.receive(Request("NOTIFY", "/", ()))
            except RuntimeError as error:
                raised.append(error)

        thread = threading.Thread(target=pass_on)
        thread.start()
        thread.join()

    assert str(raised[0]) == (
        "call control_point.receive() in the thread of its loop; from another thread use "
        f"{driven.runtime.from_thread}(control_point.receive, request), or propchange.blocking, "
        "whose receive() any thread may call"
    )
