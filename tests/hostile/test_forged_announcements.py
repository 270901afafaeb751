"""Forged announcements of a device that is there, against the control points of both runtimes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.subscriber.events import Event, StatusChange
from propchange.twisted import ControlPoint as TwistedControlPoint
from tests.asyncio.conftest import Doorkeeper, Message, RawDevice
from tests.hostile.fronts import point, result

__all__ = ["point"]

LIMITS = replace(
    DEFAULT_LIMITS,
    byebye_check_seconds=0.05,
    search_refill_seconds=0.5,
    relocation_seconds=0.2,
)
EVENTS = 60


class Impostor(Doorkeeper):
    """A host with a copy of the description of the device, which grants everything."""

    def __init__(self, device: RawDevice) -> None:
        super().__init__()
        self._device = device

    async def answer(self, request: Message) -> bytes | None:
        if request.method == "SUBSCRIBE":
            return RawDevice.reply(200, "SID: uuid:impostor\r\nTIMEOUT: Second-1800\r\n")
        return self._device.document(request)


class Forger:
    """Sends announcements in the name of the device, each with another BOOTID."""

    def __init__(self, control_point: Any, device: RawDevice, impostor: Impostor) -> None:
        self._control_point = control_point
        self._numbers = itertools.count(100)
        here = device.description_url
        there = f"http://127.0.0.1:{impostor.port}/description.xml"
        self.kinds = {
            "byebye": ("NTS: ssdp:byebye",),
            "another BOOTID": ("NTS: ssdp:alive", f"LOCATION: {here}"),
            "another LOCATION": ("NTS: ssdp:alive", f"LOCATION: {there}", "BOOTID.UPNP.ORG: 1"),
            "both": ("NTS: ssdp:alive", f"LOCATION: {there}"),
            "update": ("NTS: ssdp:update", f"LOCATION: {here}", "NEXTBOOTID.UPNP.ORG: 5"),
            "expiry": ("NTS: ssdp:alive", f"LOCATION: {here}", "CACHE-CONTROL: max-age=0"),
        }

    def send(self, kind: str) -> None:
        lines = [
            "NOTIFY * HTTP/1.1",
            "NT: upnp:rootdevice",
            "USN: uuid:raw::upnp:rootdevice",
            *self.kinds[kind],
        ]
        if not any("BOOTID.UPNP.ORG: 1" in line for line in lines):
            lines.append(f"BOOTID.UPNP.ORG: {next(self._numbers)}")
        datagram = "\r\n".join([*lines, "", ""]).encode()
        self._control_point.receive_ssdp(datagram, "127.0.0.1", "127.0.0.1")


@contextlib.asynccontextmanager
async def subscribed(control_point: Any, url: str) -> AsyncIterator[list[Any]]:
    """What a program on either runtime gets of the service of the device."""
    device = await result(control_point.device(url))
    service, received = device["Thermometer"], []
    if isinstance(control_point, TwistedControlPoint):
        subscription = service.subscribe(received.append, on_status=received.append)
        yield received
        await result(subscription.close())
        return
    async with service.subscribe() as subscription:

        async def receive() -> None:
            async for update in subscription.updates():
                received.append(update)  # noqa: PERF401 - each at once, not at the end

        task = asyncio.ensure_future(receive())
        yield received
        task.cancel()


@pytest.mark.parametrize(
    "kinds",
    [
        ["byebye"],
        ["another BOOTID"],
        ["another LOCATION"],
        ["both"],
        ["update", "another BOOTID"],
        ["expiry", "byebye", "another LOCATION", "update", "both", "another BOOTID"],
    ],
    ids=" and ".join,
)
async def test_no_forged_announcement_costs_an_event(point: Any, kinds: list[str]) -> None:
    async with (
        RawDevice() as device,
        Impostor(device) as impostor,
        point(limits=LIMITS) as (control_point, _),
        subscribed(control_point, device.description_url) as received,
    ):
        async with asyncio.timeout(20):
            subscribe = await device.arrived.get()
            while subscribe.method != "SUBSCRIBE":
                subscribe = await device.arrived.get()
        callback = subscribe.fields["callback"].strip("<>")
        forger = Forger(control_point, device, impostor)
        await device.notify(callback, "uuid:1", 0, Temperature="0", Alarm="0")
        for seq in range(1, EVENTS + 1):
            for kind in kinds:
                forger.send(kind)
            answer = await device.notify(callback, "uuid:1", seq, Temperature=str(seq))
            assert answer.status == 200
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        events = [each for each in received if isinstance(each, Event)]
        assert [event.changes["Temperature"] for event in events] == list(range(EVENTS + 1))
        changes = [each for each in received if isinstance(each, StatusChange)]
        assert {change.status.value for change in changes} <= {"subscribing", "active"}
        assert [request.method for request in impostor.requests if request.method != "GET"] == []
        renewals = [request for request in device.of("SUBSCRIBE") if "sid" in request.fields]
        assert len(renewals) <= LIMITS.check_burst + 1
        assert len(device.of("SUBSCRIBE")) - len(renewals) == 1


async def test_a_second_device_with_the_same_udn_is_told_once_and_costs_no_event(
    point: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING")
    async with (
        RawDevice() as device,
        RawDevice() as second,
        point(limits=LIMITS) as (control_point, _),
        subscribed(control_point, device.description_url) as received,
    ):
        async with asyncio.timeout(20):
            while not device.of("SUBSCRIBE"):
                await asyncio.sleep(0.01)
        callback = device.of("SUBSCRIBE")[0].fields["callback"].strip("<>")
        await device.notify(callback, "uuid:1", 0, Temperature="0", Alarm="0")
        for seq in range(1, 31):
            location = f"LOCATION: {second.description_url}"
            for lines in (
                ("NTS: ssdp:alive", location, f"BOOTID.UPNP.ORG: {seq}"),
                ("NTS: ssdp:byebye",),
            ):
                usn = ("NT: upnp:rootdevice", "USN: uuid:raw::upnp:rootdevice")
                datagram = "\r\n".join(["NOTIFY * HTTP/1.1", *usn, *lines, "", ""])
                control_point.receive_ssdp(datagram.encode(), "127.0.0.1", "127.0.0.1")
            await device.notify(callback, "uuid:1", seq, Temperature=str(seq))
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.3)
        events = [each for each in received if isinstance(each, Event)]
        assert [event.changes["Temperature"] for event in events] == list(range(31))
        statuses = [each.status.value for each in received if isinstance(each, StatusChange)]
        assert set(statuses) <= {"subscribing", "active"}
        assert second.of("SUBSCRIBE") == []
        told = [line for line in caplog.messages if "another device has the same UDN" in line]
        assert len(told) == len({line.partition("(")[2].partition(")")[0] for line in told})
        assert 1 <= len(told) <= 2  # a goodbye, and a restart
