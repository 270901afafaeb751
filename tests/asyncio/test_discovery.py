"""Devices are found, followed, and their subscriptions told: over multicast on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest

from propchange import ControlPoint, Device, Service, StateVariable, host
from propchange.asyncio.remote import Sighting
from propchange.core.discovery.advertised import AdvertisementIgnored
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.subscriber.events import Cause, Event, Status, StatusChange
from propchange.driver.sightings import SightingKind, Sightings
from propchange.errors import TimedOut
from tests.asyncio.announcing import Announcer

LIMITS = replace(DEFAULT_LIMITS, byebye_check_seconds=0.05, settle_seconds=0.05)
TYPE = "urn:example-org:device:Workbench:1"


class Thermometer(Service, type="urn:example-org:service:Thermometer:1"):
    temperature = StateVariable("r4", initial=20.0)


class Lab:
    """A hosted device, its announcer, and a control point that discovers."""

    def __init__(self) -> None:
        self.udn = f"uuid:{uuid.uuid4()}"
        self.thermometer = Thermometer()
        self.device = self.new_device()

    def new_device(self) -> Device:
        self.thermometer = Thermometer()
        return Device("Workbench", services=[self.thermometer], udn=self.udn, type=TYPE)

    @contextlib.asynccontextmanager
    async def open(self, **options: Any) -> AsyncIterator[ControlPoint]:
        async with (
            host(self.device, interface="127.0.0.1") as self.hosted,
            Announcer(self.device, self.hosted.description_url) as self.announcer,
            point(**options) as control_point,
        ):
            yield control_point


def point(**options: Any) -> ControlPoint:
    return ControlPoint(discovery=True, interface="127.0.0.1", **({"limits": LIMITS} | options))


async def within(awaitable: Any, seconds: float = 20.0) -> Any:
    async with asyncio.timeout(seconds):
        return await awaitable


async def sighting_of(sightings: Sightings[Sighting], udn: str) -> Sighting:
    """The next one of that device; other tests announce theirs at the same time."""
    async with asyncio.timeout(20):
        async for sighting in sightings:
            if sighting.udn == udn:
                return sighting
    raise AssertionError("the sightings have ended")


async def until_initial(updates: AsyncIterator[Event | StatusChange]) -> list[StatusChange]:
    """The status changes before the next initial event."""
    changes = []
    async with asyncio.timeout(20):
        async for update in updates:
            if isinstance(update, StatusChange):
                changes.append(update)
            elif update.is_initial:
                return changes
    raise AssertionError("the updates have ended")


# --- seeing ---


@pytest.mark.clause("CP-06")
async def test_a_device_appears_changes_and_goes() -> None:
    lab = Lab()
    async with lab.open() as control_point:
        sightings = control_point.devices()
        lab.announcer.alive()
        seen = await sighting_of(sightings, lab.udn)
        assert seen.kind is SightingKind.APPEARED
        assert seen.description_url == lab.hosted.description_url
        assert seen.types == (TYPE, "urn:example-org:service:Thermometer:1")
        assert seen.is_root
        assert seen.server == "Linux/6 UPnP/1.1 test/1"
        assert await seen.friendly_name() == "Workbench"
        lab.announcer.boot_id = 2
        lab.announcer.alive()
        assert (await sighting_of(sightings, lab.udn)).kind is SightingKind.CHANGED
        lab.announcer.byebye()
        gone = await sighting_of(sightings, lab.udn)
        assert gone.kind is SightingKind.GONE
        assert gone.description_url == seen.description_url


async def test_whoever_comes_late_sees_the_devices_that_are_there() -> None:
    lab = Lab()
    async with lab.open() as control_point:
        lab.announcer.alive()
        await sighting_of(control_point.devices(), lab.udn)
        late = await sighting_of(control_point.devices(), lab.udn)
        assert late.kind is SightingKind.APPEARED


async def test_devices_can_be_asked_for_by_type() -> None:
    lab = Lab()
    async with lab.open() as control_point:
        others = control_point.devices("MediaRenderer")
        lab.announcer.alive()
        for wanted in ("Workbench", TYPE, "urn:example-org:service:Thermometer:1"):
            assert await sighting_of(control_point.devices(wanted), lab.udn)
        with pytest.raises(TimeoutError):
            await within(sighting_of(others, lab.udn), 0.2)


async def test_a_control_point_searches_when_it_starts() -> None:
    lab = Lab()
    async with (
        host(lab.device, interface="127.0.0.1") as hosted,
        Announcer(lab.device, hosted.description_url) as announcer,
        point() as control_point,
    ):
        assert (await sighting_of(control_point.devices(), lab.udn)).udn == lab.udn
        assert "ssdp:all" in announcer.searches
        announcer.searches.clear()
        control_point.search(TYPE)
        while TYPE not in announcer.searches:
            await asyncio.sleep(0.01)


async def test_the_sightings_end_with_the_control_point() -> None:
    async with point() as control_point:
        sightings = control_point.devices("urn:x:device:NoSuchThing:1")

        async def count() -> int:
            return len([each async for each in sightings])

        counting = asyncio.create_task(count())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="another coroutine"):
            await anext(sightings)
    assert await within(counting) == 0


# --- finding ---


async def test_a_device_is_found_by_its_udn() -> None:
    lab = Lab()
    async with lab.open() as control_point:
        device = await control_point.device(udn=lab.udn)
        assert device.udn == lab.udn
        assert device.url == lab.hosted.description_url
        # Found by nothing but searching: it has never announced itself.
        assert {"ssdp:all", device.udn} & set(lab.announcer.searches)


@pytest.mark.slow
async def test_where_a_redirect_leads_has_not_been_judged(raw_device: Any) -> None:
    """Whoever announces a location on the link could aim this host at any other by a redirect."""

    lab = Lab()
    async with (
        raw_device() as device,
        Announcer(lab.device, device.description_url),
        point() as control_point,
    ):
        device.answers["GET"] = lambda _: device.reply(302, "LOCATION: /elsewhere\r\n")
        with pytest.raises(TimedOut, match="was answered with 302"):
            await control_point.device(udn=lab.udn, timeout=0.3)


async def test_a_device_that_comes_later_is_waited_for() -> None:
    lab = Lab()
    async with lab.open() as control_point:
        lab.announcer.silent = True
        finding = asyncio.create_task(control_point.device(udn=lab.udn))
        await asyncio.sleep(0.05)
        assert not finding.done()
        lab.announcer.alive()
        assert (await within(finding)).udn == lab.udn


@pytest.mark.slow
async def test_the_error_for_a_device_that_is_not_found_names_what_was_heard() -> None:
    lab = Lab()
    async with lab.open() as control_point:
        with pytest.raises(TimedOut, match=r"uuid:nobody.*0\.1 s: nothing was heard.* on lo"):
            await control_point.device(udn="uuid:nobody", timeout=0.1)
    async with (
        host(lab.new_device(), interface="127.0.0.1") as hosted,
        Announcer(lab.device, hosted.description_url + "/nothing"),
        point() as control_point,
    ):
        with pytest.raises(TimedOut, match="was answered with 404"):
            await control_point.device(udn=lab.udn, timeout=0.5)


@pytest.mark.slow
async def test_a_description_with_another_udn_is_not_taken_for_it() -> None:
    lab, other = Lab(), Lab()
    async with (
        lab.open() as control_point,
        Announcer(other.device, lab.hosted.description_url),
    ):
        with pytest.raises(TimedOut, match=f"describes {lab.udn}, not {other.udn}"):
            await control_point.device(udn=other.udn, timeout=0.5)


# --- following ---


@pytest.mark.slow
@pytest.mark.clause("CP-08")
@pytest.mark.clause("CP-09")
async def test_a_reboot_is_one_fresh_subscription() -> None:
    lab = Lab()
    async with point() as control_point:
        async with (
            host(lab.device, interface="127.0.0.1") as hosted,
            Announcer(lab.device, hosted.description_url) as announcer,
        ):
            device = await control_point.device(udn=lab.udn)
            subscription = device["Thermometer"].subscribe()
            await subscription.__aenter__()
            updates = subscription.updates()
            await until_initial(updates)
            port = urlsplit(hosted.description_url).port or 0
        async with (
            host(lab.new_device(), interface="127.0.0.1", port=port) as hosted,
            Announcer(lab.device, hosted.description_url, boot_id=7) as announcer,
        ):
            announcer.alive()
            changes = await until_initial(updates)
            assert [change.status for change in changes] == [Status.RESUBSCRIBING, Status.ACTIVE]
            assert changes[0].cause is Cause.DEVICE_REBOOTED
            assert len(hosted.subscriptions) == 1
            announcer.update(8)
            announcer.alive()
            await asyncio.sleep(0.2)
            assert len(hosted.subscriptions) == 1
            assert subscription.renewals == 0
            await subscription.close()


@pytest.mark.slow
@pytest.mark.clause("CP-07")
async def test_byebye_then_alive_is_one_fresh_subscription() -> None:
    lab = Lab()
    async with point() as control_point:
        async with (
            host(lab.device, interface="127.0.0.1") as hosted,
            Announcer(lab.device, hosted.description_url) as announcer,
        ):
            device = await control_point.device(hosted.description_url)
            subscription = device["Thermometer"].subscribe()
            await subscription.__aenter__()
            updates = subscription.updates()
            await until_initial(updates)
            port = urlsplit(hosted.description_url).port or 0
            announcer.silent = True
            announcer.byebye()
        while subscription.status is not Status.RESUBSCRIBING:
            await asyncio.sleep(0.01)
        assert subscription.status_cause is Cause.DEVICE_GONE
        async with (
            host(lab.new_device(), interface="127.0.0.1", port=port) as hosted,
            Announcer(lab.device, hosted.description_url) as announcer,
        ):
            announcer.alive()
            changes = await until_initial(updates)
            assert [change.status for change in changes] == [Status.RESUBSCRIBING, Status.ACTIVE]
            assert len(hosted.subscriptions) == 1
            await subscription.close()


@pytest.mark.parametrize("said", ["byebye", "BOOTID", "update"])
async def test_a_forged_announcement_costs_one_check_and_no_event(said: str) -> None:
    lab = Lab()
    async with lab.open() as control_point:
        device = await control_point.device(udn=lab.udn)
        async with device["Thermometer"].subscribe() as subscription:
            updates = subscription.updates()
            await until_initial(updates)
            if said == "byebye":
                lab.announcer.byebye()
            else:
                lab.announcer.boot_id = 77
                if said == "update":
                    lab.announcer.update(78)
                else:
                    lab.announcer.alive()
            while not subscription.renewals:
                await asyncio.sleep(0.01)
            lab.thermometer.temperature = 30.5
            event = await within(anext(subscription))
            assert (event.seq, event.changes) == (1, {"Temperature": 30.5})
            assert subscription.status_cause is Cause.INITIAL_EVENT
            assert len(lab.hosted.subscriptions) == 1


@pytest.mark.slow
@pytest.mark.clause("CP-13")
@pytest.mark.parametrize("said", ["alive", "byebye first", "new BOOTID"])
async def test_a_device_that_comes_back_at_another_port_is_followed(said: str) -> None:
    lab = Lab()
    async with point() as control_point:
        async with (
            host(lab.device, interface="127.0.0.1") as hosted,
            Announcer(lab.device, hosted.description_url) as announcer,
        ):
            device = await control_point.device(udn=lab.udn)
            subscription = device["Thermometer"].subscribe()
            await subscription.__aenter__()
            updates = subscription.updates()
            await until_initial(updates)
            if said == "byebye first":
                announcer.byebye()
        async with (
            host(lab.new_device(), interface="127.0.0.1") as hosted,
            Announcer(
                lab.device, hosted.description_url, boot_id=1 + (said == "new BOOTID")
            ) as announcer,
        ):
            assert hosted.description_url != device.url
            announcer.alive()
            await until_initial(updates)
            assert device.url == hosted.description_url
            assert device["Thermometer"].event_url == subscription.event_url
            lab.thermometer.temperature = 31.0
            event = await within(anext(subscription))
            assert event.changes == {"Temperature": 31.0}
            await subscription.close()


async def test_a_device_obtained_by_its_url_is_followed_too() -> None:
    lab = Lab()
    async with point() as control_point:
        async with host(lab.device, interface="127.0.0.1") as hosted:
            device = await control_point.device(hosted.description_url)
        async with (
            host(lab.new_device(), interface="127.0.0.1") as hosted,
            Announcer(lab.device, hosted.description_url) as announcer,
        ):
            announcer.alive()
            while device.url != hosted.description_url:
                await asyncio.sleep(0.01)
            async with device["Thermometer"].subscribe() as subscription:
                assert (await within(anext(subscription))).is_initial


@pytest.mark.slow
async def test_by_default_a_device_that_restarts_elsewhere_is_heard_again_within_seconds() -> None:
    lab = Lab()
    async with ControlPoint(limits=LIMITS) as control_point:
        async with (
            host(lab.device, interface="127.0.0.1") as hosted,
            Announcer(lab.device, hosted.description_url) as announcer,
        ):
            device = await control_point.device(hosted.description_url)
            subscription = device["Thermometer"].subscribe()
            await subscription.__aenter__()
            updates = subscription.updates()
            await until_initial(updates)
            while lab.udn not in announcer.searches:
                await asyncio.sleep(0.01)
        async with (
            host(lab.new_device(), interface="127.0.0.1") as hosted,
            Announcer(lab.device, hosted.description_url) as announcer,
        ):
            announcer.alive()
            await until_initial(updates)
            assert device.url == hosted.description_url
            await subscription.close()


@pytest.mark.slow
async def test_a_subscription_that_fails_searches_for_its_device() -> None:
    """It has moved without a word: nothing but the answer to that search tells where it is."""

    lab = Lab()
    async with point() as control_point:
        async with host(lab.device, interface="127.0.0.1", minimum_duration=1) as hosted:
            device = await control_point.device(hosted.description_url)
            subscription = device["Thermometer"].subscribe(duration=1)
            await subscription.__aenter__()
            updates = subscription.updates()
            await until_initial(updates)
        async with (
            host(lab.new_device(), interface="127.0.0.1") as hosted,
            Announcer(lab.device, hosted.description_url) as announcer,
        ):
            announcer.shy = True
            await until_initial(updates)
            assert lab.udn in announcer.searches
            assert device.url == hosted.description_url
            await subscription.close()


@pytest.mark.slow
async def test_a_location_that_is_only_claimed_moves_nobody() -> None:
    """The device still answers where it was: it may have both addresses, or somebody lies."""

    lab, other = Lab(), Lab()
    async with (
        lab.open() as control_point,
        host(other.device, interface="127.0.0.1") as elsewhere,
    ):
        device = await control_point.device(udn=lab.udn)
        async with device["Thermometer"].subscribe() as subscription:
            await within(anext(subscription))
            lab.announcer.location = elsewhere.description_url
            lab.announcer.alive()
            lab.announcer.location = "http://127.0.0.1:9/nothing"
            lab.announcer.alive()
            await asyncio.sleep(0.3)
            assert device.url == lab.hosted.description_url
            assert subscription.status is Status.ACTIVE
            assert subscription.renewals == 0
            assert len(lab.hosted.subscriptions) == 1


async def test_another_url_of_the_same_description_has_moved_nobody() -> None:
    """GUPnP announces one by its UDN, whichever URL of it the application was given."""

    lab = Lab()
    async with lab.open() as control_point:
        device = await control_point.device(lab.hosted.description_url)
        async with device["Thermometer"].subscribe() as subscription:
            await within(anext(subscription))
            sid = subscription.sid
            lab.announcer.location = other = f"{lab.hosted.description_url}?again"
            lab.announcer.alive()
            async with asyncio.timeout(20):
                while device.url != other:
                    await asyncio.sleep(0.01)
            lab.thermometer.temperature = 31.0
            assert not (await within(anext(subscription))).is_initial
            assert (subscription.sid, subscription.status) == (sid, Status.ACTIVE)


async def test_a_device_that_nobody_holds_any_more_is_followed_no_more() -> None:
    import gc

    lab = Lab()
    async with lab.open() as control_point:
        device = await control_point.device(udn=lab.udn)
        followed_devices = control_point._driver.discovery._followed
        (followed,) = followed_devices._followed
        await asyncio.sleep(0)
        assert followed.followers == 1
        again = await control_point.device(udn=lab.udn)
        await asyncio.sleep(0)
        assert followed.followers == 1
        del device, again
        gc.collect()
        followed_devices.let_go()
        assert not followed_devices._followed
        assert followed.followers == 0


# --- hostile and odd ---

JUNK = (
    b"",
    b"\n",
    b"NOTIFY * HTTP/1.1",
    b"NOTIFY * HTTP/1.1\r\n\xff\xfe: \xff\r\n\r\n",
    b"NOTIFY \xff\xff\xff\r\n\r\n",
    b"NOTIFY * HTTP/1.1\xff\r\nNTS: ssdp:alive\r\n\r\n",
    b"NOTIFY * HTTP/1.1\r\nno colon here\r\n\r\n",
    b"NOTIFY * HTTP/1.1\r\nNTS : ssdp:alive\r\n\r\n",
    b"NOTIFY * HTTP/1.1\r\nNTS: ssdp:alive\r\nUSN: uuid:x\r\nLOCATION: http://[::1\r\n\r\n",
    b"NOTIFY * HTTP/1.1\r\nNTS: ssdp:alive\r\nUSN: uuid:x\r\nLOCATION: http://x:99999/\r\n\r\n",
    b"NOTIFY * HTTP/1.1\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
    b"NOTIFY * HTTP/1.1\r\n" + b"X: y\r\n" * 1_200 + b"\r\n",
    (
        b"NOTIFY * HTTP/1.1\r\nNTS: ssdp:alive\r\nUSN: uuid:j\r\n"
        b"CACHE-CONTROL: max-age=99999999999999999999\r\nLOCATION: http://127.0.0.1:1/\r\n\r\n"
    ),
    b"HTTP/1.1 200 OK\r\n\r\n",
    b'M-SEARCH * HTTP/1.1\r\nMAN: "ssdp:discover"\r\n\r\n',
)


async def test_odd_datagrams_trouble_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """Nor does anything go to the loop's exception handler."""
    lab = Lab()
    with caplog.at_level(logging.WARNING):
        async with lab.open() as control_point:
            sightings = control_point.devices()
            lab.announcer.silent = True
            lab.announcer.send(JUNK, times=2)
            lab.announcer.alive()
            assert await sighting_of(sightings, lab.udn)
    assert [r for r in caplog.records if "Traceback" in (r.exc_text or "")] == []


@pytest.mark.slow
async def test_a_location_that_leads_elsewhere_is_not_followed_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, logger="propchange.discovery")
    lab = Lab()
    ignored = []

    def tap(outcome: object) -> None:
        if isinstance(outcome, AdvertisementIgnored) and outcome.udn == lab.udn:
            ignored.append(outcome.reason)

    async with lab.open(tap=tap) as control_point:
        lab.announcer.location = "http://192.0.2.99:80/d"
        with pytest.raises(TimedOut):
            await control_point.device(udn=lab.udn, timeout=0.3)
        lab.announcer.alive()
        while len(ignored) < 10:
            await asyncio.sleep(0.01)
    assert all("not on the link" in reason for reason in ignored)
    # Other tests announce oddities too; they all come from one address, and so are told once.
    _, *again = [r.getMessage() for r in caplog.records if "from 127.0.0.1" in r.getMessage()]
    assert all("times so far" in line for line in again)


@pytest.mark.clause("NLS-01")
async def test_a_search_is_as_uda_wants_it() -> None:
    lab = Lab()
    async with lab.open() as control_point:
        control_point.search("upnp:rootdevice")
        while "upnp:rootdevice" not in lab.announcer.searches:
            await asyncio.sleep(0.01)
        (datagram,) = {d for d in lab.announcer.datagrams if b"ST: upnp:rootdevice" in d}
        *lines, user_agent, _, _ = datagram.decode().split("\r\n")
        assert lines == [
            "M-SEARCH * HTTP/1.1",
            "HOST: 239.255.255.250:1900",
            'MAN: "ssdp:discover"',
            "MX: 2",
            "ST: upnp:rootdevice",
        ]
        assert re.fullmatch(r"USER-AGENT: \S+/\S+ UPnP/1.1 propchange/\S+", user_agent)


# --- asking for what is not there ---


async def test_without_discovery_what_needs_it_says_so() -> None:
    async with ControlPoint(interface="127.0.0.1", discovery=False) as control_point:
        for ask in (control_point.devices, control_point.search):
            with pytest.raises(RuntimeError, match="discovery=True"):
                ask()
        with pytest.raises(RuntimeError, match="discovery=True"):
            await control_point.device(udn="uuid:x")
        assert control_point.discovery_links == ()


async def test_what_is_no_udn_or_target_is_refused() -> None:
    async with point() as control_point:
        with pytest.raises(ValueError, match="either a description URL or a udn"):
            await control_point.device()  # type: ignore[call-overload] # that is the test
        with pytest.raises(ValueError, match="no UDN"):
            await control_point.device(udn="12345")
        for target in ("", "ssdp:all\r\nX: y", "ü"):
            with pytest.raises(ValueError, match="searched for"):
                control_point.search(target)
