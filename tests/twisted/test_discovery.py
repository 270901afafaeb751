"""A control point on Twisted finds and follows devices by itself: over sockets on loopback, with a
reactor on the test's own loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import uuid
from collections.abc import AsyncIterator, Coroutine, Iterator
from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.defer import Deferred

from propchange import Device, Service, StateVariable, TimedOut, host
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.subscriber.events import Event, Status
from propchange.twisted import ControlPoint, Sighting, SightingKind
from tests.asyncio.announcing import Announcer

LIMITS = replace(DEFAULT_LIMITS, byebye_check_seconds=0.05, settle_seconds=0.05)
TYPE = "urn:example-org:device:Workbench:1"


class Thermometer(Service, type="urn:example-org:service:Thermometer:1"):
    temperature = StateVariable("r4", initial=20.0)


def workbench(udn: str) -> Device:
    return Device("Workbench", services=[Thermometer()], udn=udn, type=TYPE)


@pytest.fixture
def udn() -> str:
    return f"uuid:{uuid.uuid4()}"


@pytest.fixture
def opened() -> Iterator[list[Any]]:
    """What has to be closed when the loop has ended."""
    opened: list[Any] = []
    yield opened
    for reactor in opened:
        reactor.waker.connectionLost(None)


@pytest.fixture
def point(opened: list[Any]) -> Any:
    """``async with point() as control_point``: one that listens on loopback."""

    @contextlib.asynccontextmanager
    async def point(**options: Any) -> AsyncIterator[ControlPoint]:
        reactor: Any = AsyncioSelectorReactor(asyncio.get_running_loop())
        opened.append(reactor)
        options = {"discovery": True, "limits": LIMITS} | options
        control_point = ControlPoint(reactor=reactor, **options)
        control_point.listen(interface="127.0.0.1")
        try:
            yield control_point
        finally:
            await of(control_point.close())

    return point


def of(awaited: Deferred[Any] | Coroutine[Any, Any, Any]) -> asyncio.Future[Any]:
    deferred = awaited if isinstance(awaited, Deferred) else Deferred.fromCoroutine(awaited)
    return deferred.asFuture(asyncio.get_running_loop())


async def next_of(sightings: Any, udn: str) -> Sighting:
    async for sighting in sightings:
        if sighting.udn == udn:
            assert isinstance(sighting, Sighting)
            return sighting
    raise AssertionError("the sightings have ended")


async def test_a_device_is_seen_and_read_and_goes(point: Any, udn: str) -> None:
    async with (
        host(workbench(udn), interface="127.0.0.1", udn=udn) as hosted,
        Announcer(workbench(udn), hosted.description_url) as announcer,
        point() as control_point,
    ):
        assert control_point.discovery_links == ("127.0.0.1",)
        sightings = control_point.devices()
        seen = await of(next_of(sightings, udn))
        assert seen.kind is SightingKind.APPEARED
        assert await of(seen.friendly_name()) == "Workbench"
        assert (await of(seen.description())).udn == udn
        for search in (True, False):
            assert (await of(seen.device(search=search))).url == hosted.description_url
        control_point.search(TYPE)
        while TYPE not in announcer.searches:
            await asyncio.sleep(0.005)
        announcer.byebye()
        assert (await of(next_of(sightings, udn))).kind is SightingKind.GONE


@pytest.mark.slow
async def test_a_program_that_keeps_no_deferred_sees_the_devices_all_the_same(
    point: Any, udn: str
) -> None:
    seen: list[Sighting] = []

    async def see(control_point: ControlPoint) -> None:
        seen.append(await next_of(control_point.devices(), udn))

    async with point() as control_point:
        Deferred.fromCoroutine(see(control_point))
        gc.collect()
        async with Announcer(workbench(udn), "http://127.0.0.1:9/desc.xml"):
            while not seen:
                await asyncio.sleep(0.005)


@pytest.mark.slow
@pytest.mark.parametrize("discovery", [True, None])
async def test_a_device_is_found_by_its_udn_and_followed(
    point: Any, udn: str, discovery: bool | None
) -> None:
    events: list[Event] = []
    device = None
    async with point(discovery=discovery) as control_point:
        async with (
            host(workbench(udn), interface="127.0.0.1") as hosted,
            Announcer(workbench(udn), hosted.description_url),
        ):
            device = await of(control_point.device(udn=udn))
            subscription = device["Thermometer"].subscribe(events.append)
            while not events:
                await asyncio.sleep(0.005)
        async with (
            host(workbench(udn), interface="127.0.0.1") as hosted,
            Announcer(workbench(udn), hosted.description_url, boot_id=2) as announcer,
        ):
            announcer.alive()
            while len(events) < 2:
                await asyncio.sleep(0.005)
            assert device.url == hosted.description_url
            assert events[1].is_initial
            assert subscription.status is Status.ACTIVE


async def test_asking_for_what_is_not_there(point: Any, udn: str) -> None:
    async with point() as control_point:
        with pytest.raises(TimedOut, match=r"0\.1 s: nothing was heard of it on lo"):
            await of(control_point.device(udn=udn, timeout=0.1))
        with pytest.raises(ValueError, match="either a description URL or a udn"):
            control_point.device()
    with pytest.raises(RuntimeError, match="was closed"):
        control_point.search()
    async with point(discovery=False) as control_point:
        for ask in (control_point.devices, control_point.search):
            with pytest.raises(RuntimeError, match="discovery=True"):
                ask()
        with pytest.raises(RuntimeError, match="discovery=True"):
            await of(control_point.device(udn=udn))
        assert control_point.discovery_links == ()


async def test_what_needs_discovery_asks_for_listen_before_it(opened: list[Any]) -> None:
    reactor: Any = AsyncioSelectorReactor(asyncio.get_running_loop())
    opened.append(reactor)
    control_point = ControlPoint(reactor=reactor)
    for needs in (
        control_point.search,
        control_point.devices,
        lambda: of(control_point.multicast_events(print)),
        lambda: of(control_point.device(udn="uuid:1")),
    ):
        with pytest.raises(RuntimeError, match=r"call listen\(\) first"):
            await needs()
    await of(control_point.close())
