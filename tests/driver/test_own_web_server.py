"""A control point without a port of its own: a web server of the program passes requests on."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from propchange.core.diagnosis.verdicts import Verdict
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.subscriber.events import Status
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.wire.messages import Request
from propchange.driver.control_point import SubscriberDriver
from propchange.driver.machine import Interfaces, Machine
from tests.driver.test_control_point import subscribe
from tests.outer_server import OuterServer

Until = Callable[[Callable[[], object]], Awaitable[None]]


@asynccontextmanager
async def behind(
    driven: Any, server: OuterServer, path: str = "/{token}", *, requests: Any = None, **limits: Any
) -> AsyncIterator[SubscriberDriver]:
    """A control point whose requests come through ``server``."""
    driver = SubscriberDriver(
        driven.runtime,
        SubscriberPolicy(callback_url=server.url(path)),
        limits=replace(DEFAULT_LIMITS, **limits),
        interfaces=Interfaces(),
        machine=Machine(),
        requests=requests,
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

    assert driven.runtime.from_thread in str(raised[0])
