"""Multicast events at the control points of both runtimes, with a device that is there and with
hosts that send in its name."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest

from propchange import Device, Service, StateVariable, host
from propchange.core.multicast.message import Datagram, MulticastMessage, MulticastScope
from propchange.core.wire.propertyset import format_propertyset
from propchange.driver.multicast_sockets import sending_socket
from propchange.errors import DescriptionError
from propchange.http.datagrams import encode_datagram
from propchange.upnp.ssdp import Announcement, announced_targets
from tests.driver.test_multicast_sending import LOOPBACK
from tests.hostile.fronts import point, result
from tests.multicast import own_port

__all__ = ["own_port", "point"]

pytestmark = pytest.mark.usefixtures("own_port")

STRANGER = LOOPBACK._replace(host="127.0.0.66")
RATE = 20_000


class Door(Service, type="urn:example-org:service:Door:1"):
    bell = StateVariable("ui4", multicast=True, level="upnp:/info")
    jammed = StateVariable("boolean", multicast=True, level="upnp:/emergency")
    note = StateVariable("string")


class Porch:
    """A hosted door that a control point knows from its announcements."""

    def __init__(self, hosted: Any, door: Door) -> None:
        self.hosted = hosted
        self.door = door
        self.udn = hosted.udn
        protocol = hosted._opened().publication.protocol
        self.boot_id = protocol._multicast._boot_id()

    def announce(self, control_point: Any) -> None:
        announcement = Announcement(
            location=self.hosted.description_url, server="a/1 UPnP/1.1 b/1", boot_id=self.boot_id
        )
        for target in announced_targets(self.hosted._placed):
            message = announcement.alive(target).encode()
            control_point.receive_ssdp(message, "127.0.0.1", "127.0.0.1")

    def message(self, **changes: Any) -> MulticastMessage:
        """What the device could send next."""
        body = format_propertyset([("Bell", "99")])
        usn, name = f"{self.udn}::{self.door.service_type}", self.door.service_id
        right = MulticastMessage(usn, name, 0, "upnp:/info", self.boot_id, body)
        return replace(right, **changes)


@contextlib.asynccontextmanager
async def hosting() -> AsyncIterator[Porch]:
    door = Door()
    device = Device("Porch", services=[door], udn=f"uuid:{uuid.uuid4()}")
    async with host(device, interface="127.0.0.1") as hosted:
        yield Porch(hosted, door)


@contextlib.asynccontextmanager
async def multicast(of: Any, **options: Any) -> AsyncIterator[list[Any]]:
    """What a program on either runtime gets of a control point, a device or a service."""
    received: list[Any] = []
    is_twisted = type(of).__module__.startswith("propchange.twisted")
    if is_twisted:
        options.update(on_missed=received.append)
        events = await result(of.multicast_events(received.append, **options))
        yield received
        events.close()
        assert events.closed.called
        return
    async with of.multicast_events(**options) as events:

        async def receive() -> None:
            async for update in events.updates():
                received.append(update)  # noqa: PERF401 - each at once, not at the end

        task = asyncio.ensure_future(receive())
        yield received
    await task


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_program_is_told_every_emergency_on_the_network(point: Any) -> None:
    async with hosting() as porch, point() as (control_point, _):
        porch.announce(control_point)
        async with multicast(control_point, level="upnp:/emergency", type="Door") as received:
            porch.door.bell = 1
            porch.door.jammed = True
            await until(lambda: received)
            (event,) = received
            assert (event.level, event.changes) == ("upnp:/emergency", {"Jammed": True})
            assert (event.service.name, event.service.device.udn) == ("Door", porch.udn)


async def test_a_program_hears_one_device_and_one_service(point: Any) -> None:
    async with hosting() as porch, point() as (control_point, _):
        porch.announce(control_point)
        device = await result(control_point.device(porch.hosted.description_url))
        async with multicast(device) as of_device, multicast(device["Door"]) as of_service:
            porch.door.bell = 1
            porch.door.note = "by unicast alone"
            porch.door.jammed = True
            await until(lambda: len(of_device) == len(of_service) == 2)
            assert [event.changes for event in of_device] == [{"Bell": 1}, {"Jammed": True}]
            assert of_device == of_service
            assert of_device[0].service is device["Door"]


async def test_the_errors_of_a_program_are_told_in_words(point: Any) -> None:
    async with hosting() as porch, point(discovery=False) as (control_point, _):
        for wrong in ("emergency", ["upnp:/info", "loud"]):
            with pytest.raises(ValueError, match="a level is upnp:/emergency"):
                await begun(control_point, level=wrong)
        with pytest.raises(RuntimeError, match="this needs discovery"):
            await begun(control_point)
        porch.announce(control_point)
        device = await result(control_point.device(porch.hosted.description_url))
        door = device["Door"]
        door._description = replace(door.description, scpd_url="")
        with pytest.raises(DescriptionError, match="Door has no service description"):
            await begun(device)


async def begun(of: Any, **options: Any) -> None:
    async with multicast(of, **options):
        pass


@contextlib.contextmanager
def flooding(address: Any, *messages: MulticastMessage) -> Iterator[list[int]]:
    """Send these messages in turn, ``RATE`` in a second. Yields a list that has their number in the
    end."""
    ended, sent = threading.Event(), [0]
    datagrams = [encode_datagram(Datagram(each, MulticastScope.IPV4)) for each in messages]

    def flood() -> None:
        with sending_socket(address) as forger:
            began, count = time.monotonic(), 0
            group = MulticastScope.IPV4.group[:2]
            while not ended.is_set():
                for _ in range(20):
                    with contextlib.suppress(BlockingIOError):
                        forger.sendto(datagrams[count % len(datagrams)], group)
                    count += 1
                time.sleep(max(count / RATE - (time.monotonic() - began), 0))
            sent[0] = count

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        yield sent
    finally:
        ended.set()
        thread.join()


@pytest.mark.clause("MC-23")
@pytest.mark.parametrize("kind", ["stranger", "in its name", "other boot ids", "other devices"])
async def test_a_flood_of_forged_events_leaves_subscriptions_alone_and_is_told_once(
    point: Any, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with hosting() as porch, point() as (control_point, _):
        porch.announce(control_point)
        device = await result(control_point.device(porch.hosted.description_url))
        address = STRANGER if kind == "stranger" else LOOPBACK
        messages = [porch.message(body=b"<forged/>", seq=1_000)]
        if kind == "other boot ids":
            messages = [porch.message(boot_id=number) for number in range(1, 500)]
        elif kind == "other devices":
            messages = [
                porch.message(usn=f"uuid:{number}::{Door.__name__}") for number in range(500)
            ]
        async with (
            subscribed(device["Door"]) as events,
            multicast(device) as received,
            multicast(control_point) as of_all,
        ):
            await until(lambda: events)
            reads = reads_of(control_point)
            with flooding(address, *messages) as sent:
                for number in range(1, 101):
                    porch.door.note = str(number)
                    await until(lambda number=number: len(events) > number)
            assert sent[0] > 100
            assert [event.changes["Note"] for event in events[1:]] == [
                str(number) for number in range(1, 101)
            ]
            assert len(reads) <= 2
            porch.door.jammed = True
            await until(lambda: len(events) == 102)
            forged = [each for each in (*received, *of_all) if each.changes.get("Bell") == 99]
            assert forged == []
        told = [line for line in caplog.messages if "is not believed" in line]
        assert len(told) == len(set(told)) <= 4


@contextlib.asynccontextmanager
async def subscribed(service: Any) -> AsyncIterator[list[Any]]:
    events: list[Any] = []
    if type(service).__module__.startswith("propchange.twisted"):
        subscription = service.subscribe(events.append)
        yield events
        await result(subscription.close())
        return
    async with service.subscribe() as subscription:

        async def receive() -> None:
            async for event in subscription:
                events.append(event)  # noqa: PERF401 - each at once, not at the end

        task = asyncio.ensure_future(receive())
        yield events
        task.cancel()


def reads_of(control_point: Any) -> list[str]:
    """The URLs of the descriptions that the control point reads from now on."""
    discovery, reads = control_point._driver.discovery, []
    read_at = discovery.read_at

    def noted(udn: str, url: str) -> Any:
        reads.append(url)
        return read_at(udn, url)

    discovery.read_at = noted
    return reads
