"""Discovery on each runtime, with a device that announces itself on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from propchange import Device
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.local_addresses import InterfaceKind
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.subscriber.protocol import SubscriberProtocol
from propchange.core.wire.messages import Endpoint
from propchange.driver.discovery import Discovery, _endpoint
from propchange.driver.machine import Interfaces
from propchange.driver.remote import DescribedDevice
from propchange.driver.sightings import SeenDevice, SightingKind, Sightings
from propchange.errors import ConnectionFailed, DescriptionError, TimedOut
from propchange.upnp.description import DeviceDescription, ServiceDescription
from tests.asyncio.announcing import Announcer
from tests.driver.test_links import adapter

LIMITS = replace(
    DEFAULT_LIMITS, byebye_check_seconds=0.05, settle_seconds=0.05, relocation_seconds=0.05
)
TYPE = "urn:example-org:device:Workbench:1"
HERE, THERE = "http://127.0.0.1:1/d.xml", "http://127.0.0.1:2/d.xml"


class Held(DescribedDevice[Any]):
    def __init__(self, description: DeviceDescription) -> None:
        super().__init__(None, description)


class Documents:
    def __init__(self, read: Any) -> None:
        self.announced_description = read


class Bench:
    """A device, the descriptions that can be read, and the discovery of one control point."""

    def __init__(self, runtime: Any, announcer: Announcer) -> None:
        self.runtime = runtime
        self.udn = announcer.udn
        self.read: list[str] = []
        self.described = {HERE: self.udn}
        self.told: list[str] = []
        self.searched: list[str] = []
        self.announcer = announcer
        protocol = SubscriberProtocol(new_token=lambda: "x", jitter=lambda: 0.0)
        for name in ("device_gone", "device_rebooted", "device_returned", "device_moved"):
            setattr(protocol, name, self._note(name))
        self.discovery = Discovery(
            runtime,
            protocol,
            interfaces=Interfaces(
                clock=runtime.now,
                adapters=lambda: [adapter("lo", 1, "127.0.0.1")],
                source_towards=lambda _: None,
                kind_of=lambda *_: InterfaceKind.LOOPBACK,
            ),
            documents=Documents(self._read),  # type: ignore[arg-type] # it reads nothing else
            policy=SubscriberPolicy(),
            changed=lambda: self.told.append("changed"),
            off_link_locations=False,
            limits=LIMITS,
            search=self.searched.append,
        )

    def _note(self, name: str) -> Any:
        return lambda udn, _: self.told.append(name) if udn == self.udn else None

    def describe(self, url: str) -> DeviceDescription:
        return DeviceDescription(url, self.described[url], "Workbench", TYPE)

    async def _read(self, url: str) -> DeviceDescription:
        self.read.append(url)
        if url not in self.described:
            raise DescriptionError(f"{url} was answered with 404")
        return self.describe(url)

    async def next(self, sightings: Sightings[SeenDevice]) -> SeenDevice:
        """The next one of the device; other tests announce theirs at the same time."""
        while (seen := await anext(sightings)).udn != self.udn:
            pass
        return seen


@pytest.fixture
def announcer() -> Announcer:
    return Announcer(Device("Workbench", udn=f"uuid:{uuid.uuid4()}", type=TYPE), HERE)


@contextlib.asynccontextmanager
async def at(driven: Any, announcer: Announcer) -> AsyncIterator[Bench]:
    async with announcer:
        bench = Bench(driven.runtime, announcer)
        yield bench
        await driven.run(bench.discovery.close())


async def test_a_device_appears_changes_and_goes(driven: Any, announcer: Announcer) -> None:
    async with at(driven, announcer) as bench:
        bench.discovery.start(None)
        sightings = bench.discovery.sightings(partial(SeenDevice._of, None), None)
        seen = await driven.run(bench.next(sightings))
        assert (seen.kind, seen.description_url) == (SightingKind.APPEARED, HERE)
        assert (await driven.run(bench.discovery.describe(seen))).udn == bench.udn
        announcer.boot_id = 2
        announcer.alive()
        assert (await driven.run(bench.next(sightings))).kind is SightingKind.CHANGED
        announcer.byebye()
        gone = await driven.run(bench.next(sightings))
        assert gone.kind is SightingKind.GONE
        with pytest.raises(ConnectionFailed, match="nowhere any more"):
            await driven.run(bench.discovery.describe(replace(gone, locations=())))
        with pytest.raises(DescriptionError, match="404"):
            await driven.run(bench.discovery.describe(replace(gone, locations=(THERE,))))


async def test_a_device_of_another_host_that_claims_to_be_embedded_in_it_is_not_believed(
    driven: Any, announcer: Announcer
) -> None:
    async with at(driven, announcer) as bench:
        bench.discovery.start(None)
        sightings = bench.discovery.sightings(partial(SeenDevice._of, None), None)
        seen = await driven.run(bench.next(sightings))
        inner = DeviceDescription("", "uuid:inner", "Inner", TYPE)
        bench.describe = lambda url: DeviceDescription(  # type: ignore[method-assign] # that is the test
            url, bench.udn, "Workbench", TYPE, devices=(inner,)
        )
        bench.described[THERE] = bench.udn
        claim = replace(seen, udn="uuid:inner", locations=(THERE,))
        with pytest.raises(DescriptionError, match=f"embedded in {bench.udn}, which is at {HERE}"):
            await driven.run(bench.discovery.describe_root(claim))
        true = replace(claim, locations=(HERE,))
        assert (await driven.run(bench.discovery.describe_root(true))).udn == bench.udn
        assert (await driven.run(bench.discovery.describe(true))).udn == "uuid:inner"


async def test_a_device_is_searched_for_until_it_is_found(
    driven: Any, announcer: Announcer
) -> None:
    async with at(driven, announcer) as bench:
        bench.discovery.start("127.0.0.1")
        assert bench.discovery.addresses == ("127.0.0.1",)
        found = await driven.run(bench.discovery.find(bench.udn, 20))
        assert found.url == HERE
        assert bench.searched == [bench.udn]
        # As itself; the answer to one search names the location many times.
        assert bench.read == [HERE]


@pytest.mark.slow
async def test_ipv4_urls_in_a_description_wait_for_the_ipv4_location(
    driven: Any, announcer: Announcer, until: Any
) -> None:
    """A device announces its addresses one after the other, and cannot be used over the first."""
    six = "http://[::1]:1400/d.xml"

    def alive(location: str) -> dict[str, str]:
        usn = f"{bench.udn}::{TYPE}"
        return {"NT": TYPE, "NTS": "ssdp:alive", "USN": usn, "LOCATION": location}

    def describe(url: str) -> DeviceDescription:
        problem = "it leads to another host" if url == six else ""
        service = ServiceDescription(TYPE, "id", "", "", "", event_url_problem=problem)
        return DeviceDescription(url, bench.udn, "Workbench", TYPE, services=(service,))

    async with at(driven, announcer) as bench:
        bench.describe = describe  # type: ignore[method-assign] # that is the test
        bench.described = dict.fromkeys((six, HERE), bench.udn)
        bench.discovery.receive(alive(six), "::1", "::1")
        finding = asyncio.ensure_future(driven.run(bench.discovery.find(bench.udn, 20)))
        await until(lambda: bench.read == [six])
        bench.discovery.receive(alive(HERE), "127.0.0.1", "127.0.0.1")
        assert (await finding).url == HERE
        bench.described = {six: bench.udn}
        # Without another location, it is used as it is.
        bench.discovery.receive(alive(HERE) | {"NTS": "ssdp:byebye"}, "127.0.0.1", "127.0.0.1")
        bench.discovery.receive(alive(six), "::1", "::1")
        assert (await driven.run(bench.discovery.find(bench.udn, 20))).url == six


@pytest.mark.slow
async def test_a_device_that_is_not_found_is_told_with_what_was_heard(
    driven: Any, announcer: Announcer
) -> None:
    async with at(driven, announcer) as bench:
        bench.discovery.start(None)
        with pytest.raises(TimedOut, match=r"uuid:no was .* 0\.1 s: nothing was heard of it on lo"):
            await driven.run(bench.discovery.find("uuid:no", 0.1))
        bench.described[HERE] = "uuid:another"
        with pytest.raises(TimedOut, match=f"describes uuid:another, not {bench.udn}"):
            await driven.run(bench.discovery.find(bench.udn, 0.3))
        with pytest.raises(ValueError, match="no UDN"):
            await driven.run(bench.discovery.find("12345", 0.3))
        with pytest.raises(ValueError, match="searched for"):
            await driven.run(bench.discovery.find("uuid:a\nb", 0.3))


async def test_waiting_for_a_device_raises_when_the_control_point_closes(
    driven: Any, announcer: Announcer, until: Any
) -> None:
    async with at(driven, announcer) as bench:
        bench.discovery.start(None)
        sightings = bench.discovery.sightings(partial(SeenDevice._of, None), "NoSuchThing")
        finding = asyncio.ensure_future(driven.run(bench.discovery.find("uuid:no", 20)))
        await until(lambda: bench.searched)
        await driven.run(bench.discovery.close())
        with pytest.raises(ConnectionFailed, match="control point was closed"):
            await finding
        with pytest.raises(StopAsyncIteration):
            await anext(sightings)
        assert bench.discovery.addresses == ()


async def test_a_device_that_is_held_is_followed(
    driven: Any, announcer: Announcer, until: Any
) -> None:
    async with at(driven, announcer) as bench:
        held = Held(bench.describe(HERE))
        bench.discovery.follow(held)  # before discovery begins
        bench.discovery.start(None)
        announcer.alive()
        announcer.boot_id = 2
        announcer.alive()
        await until(lambda: bench.told)
        assert bench.told == ["device_rebooted", "changed"]
        assert held.url == HERE
        announcer.byebye()
        await until(lambda: "device_gone" in bench.told)
        # It comes back elsewhere.
        del bench.described[HERE]
        bench.described[THERE] = bench.udn
        announcer.location = THERE
        announcer.alive()
        await until(lambda: held.url == THERE)
        assert bench.told[2:4] == ["device_gone", "changed"]
        assert bench.told[-2:] == ["device_returned", "changed"]


async def test_a_program_may_hear_ssdp_by_itself(driven: Any, announcer: Announcer) -> None:
    bench = Bench(driven.runtime, announcer)
    discovery = bench.discovery
    for ask in (lambda: discovery.sightings(partial(SeenDevice._of, None), None), discovery.search):
        with pytest.raises(RuntimeError, match=r"call listen\(\) first"):
            ask()
    with pytest.raises(RuntimeError, match=r"call listen\(\) first"):
        await driven.run(discovery.find(bench.udn, 1))
    for message in announcer.targets:
        datagram = announcer.announcement.alive(message).encode()
        discovery.receive(datagram, "127.0.0.1", "127.0.0.1")
    seen = await driven.run(bench.next(discovery.sightings(partial(SeenDevice._of, None), TYPE)))
    assert seen.description_url == HERE
    assert (await driven.run(discovery.find(bench.udn, 20))).url == HERE
    discovery.search("upnp:rootdevice")
    assert bench.searched == ["upnp:rootdevice"]  # where it is was known already
    for target in ("", "ssdp:all\r\nX: y", "ü"):
        with pytest.raises(ValueError, match="searched for"):
            discovery.search(target)
    await driven.run(discovery.close())
    discovery.receive(b"NOTIFY", "127.0.0.1", "")


@pytest.mark.slow
async def test_a_device_that_is_waited_for_is_tried_at_a_few_locations(
    driven: Any, announcer: Announcer
) -> None:
    bench = Bench(driven.runtime, announcer)
    bench.discovery.receive("NOTIFY", "127.0.0.1", "")  # it begins
    finding = asyncio.ensure_future(driven.run(bench.discovery.find(bench.udn, 0.5)))
    for number in range(100):
        announcer.location = f"http://127.0.0.1:{number + 1_000}/d.xml"
        datagram = announcer.announcement.alive(announcer.targets[0]).encode()
        bench.discovery.receive(datagram, "127.0.0.1", "127.0.0.1")
        await asyncio.sleep(0.002)
    with pytest.raises(TimedOut, match="was answered with 404"):
        await finding
    assert 16 <= len(bench.read) <= 2 * 16  # before and after its first search
    await driven.run(bench.discovery.close())


async def test_announced_locations_are_looked_at_only_so_often(
    driven: Any, announcer: Announcer
) -> None:
    """Who announces locations without end would aim this machine at its neighbours."""
    bench = Bench(driven.runtime, announcer)
    held = Held(bench.describe(HERE))
    bench.discovery.follow(held)
    target = announcer.targets[0]
    for number in range(100):
        announcer.location = f"http://127.0.0.1:{number + 1_000}/d.xml"
        datagram = announcer.announcement.alive(target).encode()
        bench.discovery.receive(datagram, "127.0.0.1", "127.0.0.1")
        await asyncio.sleep(0.002)
    await asyncio.sleep(0.05)
    # A few locations are remembered of a device, and so many checks of them are made at once.
    most = LIMITS.search_burst * (1 + LIMITS.locations_per_link)
    assert len(bench.read) <= most
    assert held.url == HERE
    await driven.run(bench.discovery.close())


@pytest.mark.parametrize("zone", ["lo", str(socket.if_nametoindex("lo"))])
def test_the_address_that_a_program_has_received_ssdp_from_may_have_a_zone(zone: str) -> None:
    assert _endpoint(f"fe80::1%{zone}") == Endpoint("fe80::1", 0, socket.if_nametoindex("lo"))
    assert _endpoint("192.0.2.7") == Endpoint("192.0.2.7", 0)
    assert _endpoint("") == Endpoint("", 0)
    for wrong in ("fe80::1%gone0", "device.lan"):
        with pytest.raises(ValueError, match=r"gone0|device\.lan"):
            _endpoint(wrong)
