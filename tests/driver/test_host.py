"""A publisher's protocol on a runtime, and a device on each runtime."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import replace
from email.utils import formatdate
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.publisher.judge import PublisherPolicy
from propchange.core.publisher.outcomes import InitialEventDelivered, Subscribed
from propchange.core.values.state_variables import StateVariable
from propchange.core.wire.messages import Delivery, Endpoint, Request, Response
from propchange.driver.chosen_addresses import ChosenAddresses
from propchange.driver.delivery_pool import DeliveryPool
from propchange.driver.host import DeviceHost, http_date
from propchange.driver.machine import Interfaces
from propchange.driver.publication import Publication
from propchange.errors import ConnectionFailed
from propchange.upnp.device import Device, place_device
from propchange.upnp.service import Service
from tests.asyncio.conftest import ask, raw_subscriber

__all__ = ["raw_subscriber"]

OK = b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH: 0\r\n\r\n"
PEER = Endpoint("10.0.0.7", 5)
HERE = Endpoint("10.0.0.1", 80)


class Thermometer(Service, type="urn:example-org:service:Thermometer:1"):
    temperature = StateVariable("i4", initial=20)
    power = StateVariable("ui4", initial=0, minimum_interval=60)


@pytest.fixture
def thermometer() -> Thermometer:
    return Thermometer()


class Published:
    """A service that is published in memory."""

    def __init__(self, memory: Any, service: Service, pool: DeliveryPool | None = None) -> None:
        self.memory = memory
        self.taps: list[object] = []
        self.publication = Publication(
            memory,
            pool or DeliveryPool(memory),
            policy=PublisherPolicy(callbacks="any", initial_event_delay=0),
            limits=DEFAULT_LIMITS,
            interfaces=Interfaces(adapters=list),
            tap=self.taps.append,
        )
        self.publication.add(service, "/event")

    def subscribe(self, port: int = 9000) -> Response:
        """A SUBSCRIBE whose answer has left."""
        headers = [
            (b"HOST", b"10.0.0.1:80"),
            (b"CALLBACK", b"<http://10.0.0.7:%d/>" % port),
            (b"NT", b"upnp:event"),
        ]
        request = Request("SUBSCRIBE", "/event", headers, peer=PEER, local=HERE)
        response = self.publication.receive_request(request)
        assert response.status == 200
        self.publication.response_sent(response)
        self.memory.advance()
        return response

    def accept(self) -> Any:
        return self.memory.connects[-1].succeed()


def seqs(transport: Any) -> list[str]:
    return [line[5:] for line in transport.data.decode().split("\r\n") if line[:4] == "SEQ:"]


def test_all_assignments_of_a_turn_are_taken_at_once(memory: Any, thermometer: Thermometer) -> None:
    published = Published(memory, thermometer)
    published.subscribe()
    transport = published.accept()
    transport.connection.data_received(OK)
    memory.advance()
    armed = memory.armed
    for value in range(3):
        thermometer.temperature = value
    assert seqs(transport) == ["0"]
    assert memory.armed == armed + 1
    memory.advance()
    assert seqs(transport) == ["0", "1"]
    transport.connection.data_received(OK)
    memory.advance()
    assert seqs(transport) == ["0", "1", "2"]
    kinds = [type(tap) for tap in published.taps]
    assert kinds == [Subscribed, Delivery, InitialEventDelivered, Delivery, Delivery]


def test_a_subscriber_that_is_behind_is_sent_the_next_event_while_others_have_not_answered(
    memory: Any, thermometer: Thermometer
) -> None:
    published = Published(memory, thermometer)
    transports = []
    for port in (9000, 9001, 9002):
        published.subscribe(port)
        transports.append(published.accept())
        transports[-1].connection.data_received(OK)
        memory.advance()
    for value in (1, 2):
        thermometer.temperature = value
        memory.advance()
    first, *others = transports
    first.connection.data_received(OK)
    memory.advance()
    assert [seqs(each) for each in transports] == [["0", "1", "2"], ["0", "1"], ["0", "1"]]
    for transport in others:
        transport.connection.data_received(OK)
    first.connection.data_received(OK)
    memory.advance()
    assert [seqs(each) for each in transports] == [["0", "1", "2"]] * 3
    for transport in others:
        transport.connection.data_received(OK)
    assert published.publication.protocol.settled


def test_an_attempt_that_takes_too_long_gives_its_connection_back(
    memory: Any, thermometer: Thermometer
) -> None:
    published = Published(memory, thermometer)
    published.subscribe()
    transport = published.accept()
    memory.advance(DEFAULT_LIMITS.attempt_seconds + 1)
    assert transport.calls[-1] == "abort"
    assert published.publication._turns.in_flight == 0
    transport.lose()
    thermometer.temperature = 3
    memory.advance()
    assert seqs(published.accept()) == ["1"]


def test_a_response_that_is_lost_leaves_no_subscription(
    memory: Any, thermometer: Thermometer
) -> None:
    published = Published(memory, thermometer)
    publication = published.publication
    response = published.subscribe()
    publication.response_lost(response)  # ignored: it has left already
    assert len(tuple(publication.protocol.subscriptions)) == 1


async def test_waiters_are_woken_after_the_pump(memory: Any, thermometer: Thermometer) -> None:
    published = Published(memory, thermometer)
    publication = published.publication
    heard = asyncio.ensure_future(publication.subscribed())
    published.subscribe()
    drained = asyncio.ensure_future(publication.drained())
    given_up = asyncio.ensure_future(publication.subscribed())
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.sleep(0)
    assert not heard.done()
    published.accept().connection.data_received(OK)
    memory.advance()
    assert await heard
    assert await drained
    assert await publication.drained()
    assert publication._waiters == []


async def test_waiters_get_an_error_when_the_host_stops(
    memory: Any, thermometer: Thermometer
) -> None:
    published = Published(memory, thermometer)
    waiting = asyncio.ensure_future(published.publication.subscribed())
    await asyncio.sleep(0)
    published.publication.stop()
    assert not await waiting
    assert not thermometer.hosted
    assert not await published.publication.subscribed()
    await published.publication.close()


async def test_the_end_gives_up_what_a_shared_pool_carries_for_it_and_no_more(
    memory: Any, thermometer: Thermometer
) -> None:
    pool = DeliveryPool(memory, limits=replace(DEFAULT_LIMITS, connecting_deliveries=2))
    first, second = Published(memory, thermometer, pool), Published(memory, Thermometer(), pool)
    first.subscribe(9000)
    idle = first.accept()
    idle.connection.data_received(OK)
    second.subscribe(9001)
    other = second.accept()
    for port in (9002, 9003, 9004):
        first.subscribe(port)
    busy = memory.connects[2].succeed()
    waiting = memory.connects[3:]
    assert pool.connection_count == 5
    first.publication.stop()
    closing = asyncio.ensure_future(first.publication.close())
    await asyncio.sleep(0)
    assert idle.calls[-1] == "close"
    assert busy.calls[-1] == "abort"
    assert all(attempt.cancelled for attempt in waiting)
    for transport in (idle, busy):
        transport.lose()
    await closing
    assert not other.closing
    assert pool.connection_count == 1
    assert pool.waiting_count == 0


def test_another_thread_is_refused_in_the_words_of_the_runtime(
    memory: Any, thermometer: Thermometer
) -> None:
    Published(memory, thermometer)
    raised: list[Exception] = []

    def assign() -> None:
        try:
            thermometer.temperature = 5
        except RuntimeError as error:
            raised.append(error)

    thread = threading.Thread(target=assign)
    thread.start()
    thread.join()
    assert "use memory.call(setattr, service, name, value)" in str(raised[0])


def device_host(
    runtime: Any, service: Service, interface: str | None = "127.0.0.1", **options: Any
) -> DeviceHost:
    return DeviceHost(
        runtime,
        place_device(Device("Workbench", services=[service]), "uuid:1"),
        policy=PublisherPolicy(),
        limits=DEFAULT_LIMITS,
        chosen=ChosenAddresses(Interfaces(), interface),
        **options,
    )


async def test_a_device_stops_listening_also_when_its_end_is_cancelled(
    driven: Any, thermometer: Thermometer, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = device_host(driven.runtime, thermometer)
    await driven.run(host.open(0))
    waiting = driven.runtime.future()

    async def wait(_: DeliveryPool) -> None:
        await waiting

    monkeypatch.setattr(DeliveryPool, "close", wait)
    closing = driven.runtime.start(host.close())
    await asyncio.sleep(0)
    closing.cancel()
    while not closing.done():
        await asyncio.sleep(0)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", host.port)


async def test_a_device_is_hosted_on_any_runtime(
    driven: Any, thermometer: Thermometer, raw_subscriber: Any
) -> None:
    passing: list[object] = []
    host = device_host(driven.runtime, thermometer, tap=passing.append)
    async with raw_subscriber() as subscriber:
        await driven.run(host.open(0))
        port = host.port
        assert host.description_urls == (f"http://127.0.0.1:{port}/description.xml",)
        described = await ask(port, "GET /description.xml HTTP/1.1\nHOST: {host}")
        assert b"<friendlyName>Workbench</friendlyName>" in described.body
        await subscriber.subscribe(port, "/Thermometer/event")
        assert await subscriber.event() == (0, {"Temperature": "20", "Power": "0"})
        thermometer.temperature = 21
        assert await subscriber.event() == (1, {"Temperature": "21"})
        assert await driven.run(host.publication.drained())
        await driven.run(host.close())
    assert not thermometer.hosted
    assert [type(one) for one in passing[:2]] == [Request, Response]


async def test_a_change_while_listening_fails_leaves_no_timer(
    memory: Any, thermometer: Thermometer
) -> None:
    async def listen(accept: object, **where: object) -> None:
        for power in (1, 2):
            thermometer.power = power
        memory.advance()
        assert memory.armed == 1  # for the change that is held back
        raise OSError(98, "in use")

    memory.listen = listen
    host = device_host(memory, thermometer, "192.0.2.1")
    with pytest.raises(ConnectionFailed, match=r"192\.0\.2\.1: port 80 is taken"):
        await host.open(80)
    assert memory.armed == 0
    thermometer.power = 3


async def test_a_service_that_is_hosted_already_is_refused(
    memory: Any, thermometer: Thermometer
) -> None:
    Published(memory, thermometer)
    with pytest.raises(RuntimeError, match="hosted"), contextlib.suppress(ConnectionFailed):
        await device_host(memory, thermometer).open(0)


@given(st.integers(0, 253_402_300_799))
def test_the_date_of_an_answer_is_that_of_http(seconds: int) -> None:
    with mock.patch("time.time", return_value=seconds + 0.9):
        assert http_date().decode() == formatdate(seconds, usegmt=True)
