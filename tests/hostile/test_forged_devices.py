"""Forged devices: announcements of UDNs without end, from any source, at any host of the link."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from propchange.core.limits import DEFAULT_LIMITS
from propchange.errors import PropchangeError
from tests.asyncio.conftest import Doorkeeper, Message, RawDevice
from tests.hostile.fronts import point

__all__ = ["point"]


class Victim(Doorkeeper):
    """A server that counts what it is asked."""

    async def answer(self, request: Message) -> bytes:
        return RawDevice.reply(404)


def announce(control_point: Any, udn: str, location: str, source: str) -> None:
    control_point.receive_ssdp(
        f"NOTIFY * HTTP/1.1\r\nNT: upnp:rootdevice\r\nNTS: ssdp:alive\r\n"
        f"USN: {udn}::upnp:rootdevice\r\nLOCATION: {location}\r\n"
        "CACHE-CONTROL: max-age=86400\r\n\r\n",
        source,
        "127.0.0.1",
    )


async def test_forged_devices_neither_flood_a_host_nor_hide_a_device(point: Any) -> None:
    sources = (f"127.1.{n // 250}.{n % 250 + 1}" for n in itertools.count())
    device = RawDevice()
    device.host = "127.0.0.77"
    async with (
        Victim() as victim,
        device,
        point(discovery=False) as (control_point, _),
    ):
        target = f"http://127.0.0.1:{victim.port}/d"
        for number in range(1_600):
            announce(control_point, f"uuid:forged-{number}", target, next(sources))
        sightings = control_point.devices()
        location = f"http://{device.host}:{device.port}/description.xml"
        announce(control_point, "uuid:raw", location, device.host)
        found: list[str] = []
        reading: list[Any] = []

        async def describe(sighting: Any) -> None:
            with contextlib.suppress(PropchangeError):
                found.append((await sighting.description()).udn)

        async def look() -> None:
            async for sighting in sightings:
                reading.append(start(describe(sighting)))  # noqa: PERF401 - each at once

        def start(coroutine: Any) -> Any:
            if control_point.__class__.__module__.startswith("propchange.twisted"):
                return Deferred.fromCoroutine(coroutine)
            return asyncio.ensure_future(coroutine)

        looking = start(look())
        async with asyncio.timeout(20):
            while "uuid:raw" not in found:
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.5)
        assert 1 <= len(victim.requests) <= DEFAULT_LIMITS.announced_reads + 10
        # What has come before and after the flood is known.
        for number in range(1_600, 3_200):
            announce(control_point, f"uuid:forged-{number}", target, next(sources))
        presence = control_point._begun().discovery._presence
        assert "uuid:raw" in [each.udn for each in presence.devices]
        assert len(list(presence.devices)) <= DEFAULT_LIMITS.known_devices
        looking.cancel()
        for each in reading:
            each.cancel()
            if isinstance(each, Deferred):
                each.addErrback(lambda _: None)
        if isinstance(looking, Deferred):
            looking.addErrback(lambda _: None)


@pytest.mark.parametrize("sees_devices", [True, False])
async def test_a_device_whose_goodbye_was_forged_is_searched_for_by_who_wants_to_see_it(
    point: Any, sees_devices: bool
) -> None:
    searched: list[str] = []
    limits = replace(DEFAULT_LIMITS, byebye_check_seconds=0.2)
    async with point(discovery=False, search=searched.append, limits=limits) as (control_point, _):
        announce(control_point, "uuid:raw", "http://127.0.0.77/d", "127.0.0.77")
        sightings = control_point.devices() if sees_devices else None
        presence = control_point._begun().discovery._presence
        async with asyncio.timeout(10):
            while not list(presence.devices):
                await asyncio.sleep(0.02)
        searched.clear()
        control_point.receive_ssdp(
            "NOTIFY * HTTP/1.1\r\nNT: upnp:rootdevice\r\nNTS: ssdp:byebye\r\n"
            "USN: uuid:raw::upnp:rootdevice\r\n\r\n",
            "127.0.0.66",
            "127.0.0.1",
        )
        assert not list(presence.devices)
        await asyncio.sleep(0.6)  # thrice the time until the search
        assert searched == (["uuid:raw"] if sightings else [])
        control_point.receive_ssdp(
            "HTTP/1.1 200 OK\r\nST: uuid:raw\r\nUSN: uuid:raw\r\n"
            "LOCATION: http://127.0.0.77/d\r\n\r\n",
            "127.0.0.77",
            "127.0.0.1",
        )
        async with asyncio.timeout(10):
            while not list(presence.devices):
                await asyncio.sleep(0.02)
        assert all(each.is_root for each in presence.devices)
