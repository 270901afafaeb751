"""What ``watch --all`` keeps and causes, whatever devices are announced and described."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from propchange import ConnectionFailed, DeviceDescription, RemoteDevice, Sighting, SightingKind
from propchange.asyncio import device_watching
from propchange.asyncio.device_watching import services_of_type
from propchange.asyncio.runtime import AsyncioRuntime
from propchange.cli.lines import DeviceLine, Source
from propchange.cli.watch_all import WatchAll
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.wire.messages import Endpoint
from propchange.driver.discovery import AnotherDevice
from propchange.upnp.description import ServiceDescription

LIMITS = replace(DEFAULT_LIMITS, devices_per_source=4, followed_devices=10)


def described(udn: str, services: int = 1, host: str = "192.0.2.7") -> DeviceDescription:
    url = f"http://{host}/{udn}"
    return DeviceDescription(
        url,
        udn,
        "Bench",
        "urn:x:device:Bench:1",
        services=tuple(
            ServiceDescription(f"urn:x:service:S{n}:1", f"urn:x:serviceId:S{n}", "", "", url, udn)
            for n in range(services)
        ),
        host=Endpoint(host, 80),
    )


class Seen(Sighting):
    """A sighting whose description is in ``Bench.described``."""

    __slots__ = ()

    async def device(self, *, search: bool = True) -> RemoteDevice:
        assert not search
        bench: Bench = self._driver
        bench.reads.append(self.udn)
        bench.locations.append(self.locations)
        await asyncio.sleep(0)
        description = bench.described.get(self.udn)
        if description is None:
            raise ConnectionFailed("nobody is there")
        if description.udn != self.udn:
            raise AnotherDevice(f"it describes {description.udn}", description)
        return RemoteDevice(bench, description)


class Bench:
    """A control point and a printer. ``see`` and ``lose`` announce; ``lines`` were printed,
    ``subscribed`` are the services that were subscribed to."""

    limits = LIMITS

    def __init__(self, **options: Any) -> None:
        self.runtime = AsyncioRuntime()
        self.described: dict[str, DeviceDescription] = {}
        self.reads: list[str] = []
        self.locations: list[tuple[str, ...]] = []
        self.lines: list[DeviceLine] = []
        self.problems: list[str] = []
        self.subscribed: list[Source] = []
        self.find_again: Callable[..., Any]
        self.failed: dict[Source, str] = {}
        self._untaken: list[Sighting] = []
        self._tasks: list[asyncio.Task[Any]] = []
        anything: Any = self
        self.all = WatchAll(anything, anything, **options)
        self.watching = self.all.watching
        self.start(self.all.watch())

    async def seen_device(self, make: Any, seen: Sighting) -> RemoteDevice:
        fields = (seen.kind, seen.udn, seen.types, seen.locations, seen.is_root)
        return await Seen(*fields, None, self).device(search=False)

    async def devices(self, type: str | None) -> AsyncIterator[Sighting]:
        while True:
            while self._untaken:
                yield self._untaken.pop(0)
            await asyncio.sleep(0)

    def start(self, work: Any) -> asyncio.Task[Any]:
        self._tasks.append(asyncio.create_task(work))
        return self._tasks[-1]

    def add(self, source: Source, subscription: Any) -> None:
        self.subscribed.append(source)

    def device(self, line: DeviceLine) -> None:
        self.lines.append(line)

    def problem(self, source: Source, problem: str) -> None:
        self.problems.append(problem)

    def announce(self, kind: SightingKind, udn: str, *types: str) -> None:
        url = f"http://192.0.2.7/{udn}"
        self._untaken.append(Seen(kind, udn, types, (url,), True, None, self))

    async def see(self, description: DeviceDescription, *types: str) -> None:
        self.described[description.udn] = description
        self.announce(SightingKind.APPEARED, description.udn, *types)
        await self.settle()

    async def lose(self, udn: str) -> None:
        self.announce(SightingKind.GONE, udn)
        await self.settle()

    async def settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def kinds(bench: Bench) -> list[tuple[str, str]]:
    return [(line.sighting.kind.value, line.sighting.udn) for line in bench.lines]


async def test_one_host_has_a_part_of_the_devices() -> None:
    bench = Bench()
    for number in range(6):
        await bench.see(described(f"uuid:{number}"))
    await bench.see(described("uuid:other", host="192.0.2.8"))
    assert len(bench.subscribed) == 5
    assert [line.problem for line in bench.lines[4:6]] == [
        "it is not watched: 4 devices of 192.0.2.7 are"
    ] * 2
    # One that has gone makes room for another.
    await bench.lose("uuid:2")
    await bench.see(described("uuid:7"))
    assert bench.lines[-1].problem is None
    assert len(bench.subscribed) == 6
    await bench.close()


async def test_all_hosts_together_have_as_many_devices_as_are_followed() -> None:
    bench = Bench()
    for number in range(12):
        await bench.see(described(f"uuid:{number}", host=f"192.0.2.{number}"))
    assert len(bench.subscribed) == 10
    assert bench.lines[-1].problem == "it is not watched: 10 other devices are"
    await bench.close()


async def test_a_device_and_a_host_have_a_part_of_the_subscriptions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(device_watching, "_SERVICES_OF_DEVICE", 10)
    monkeypatch.setattr(device_watching, "_SERVICES_OF_HOST", 25)
    bench = Bench()
    for number in range(3):
        await bench.see(described(f"uuid:{number}", services=1_000))
    assert len(bench.subscribed) == 25
    assert [problem.partition(" ")[0] for problem in bench.problems] == ["990", "990", "995"]
    # The subscriptions of a device that is let go are free again.
    await bench.lose("uuid:0")
    await bench.see(described("uuid:3"))
    await bench.see(described("uuid:4", services=10))
    assert len(bench.subscribed) == 25 + 10
    await bench.close()


async def test_what_is_kept_of_devices_that_come_and_go_is_bounded() -> None:
    bench = Bench()
    for number in range(200):
        await bench.see(described(f"uuid:{number}", 3, host=f"192.0.2.{number}"))
        await bench.lose(f"uuid:{number}")
        bench.announce(SightingKind.APPEARED, f"uuid:nobody{number}")
        bench.announce(SightingKind.GONE, f"uuid:nobody{number}")
    await bench.settle()
    watching: Any = bench.watching
    kept = vars(watching) | vars(bench.all)
    sizes = {name: len(each) for name, each in kept.items() if hasattr(each, "__len__")}
    assert max(sizes.values()) <= 30, sizes
    assert len(watching._watched) == 10
    await bench.close()


async def test_a_device_that_flaps_is_read_once_and_a_lie_about_its_types_once_more() -> None:
    bench = Bench()
    await bench.see(described("uuid:a"))
    for number in range(50):
        await bench.lose("uuid:a")
        await bench.see(described("uuid:a"), f"urn:x:device:Forged{number}:1")
    assert bench.reads == ["uuid:a"]
    assert kinds(bench)[:3] == [("appeared", "uuid:a"), ("gone", "uuid:a"), ("appeared", "uuid:a")]
    assert len(bench.subscribed) == 1
    await bench.close()


async def test_a_description_that_cannot_be_read_is_read_a_few_times_and_said_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(device_watching, "_READ_AGAIN", (0.0, 0.0, 0.0))
    bench = Bench()
    bench.announce(SightingKind.APPEARED, "uuid:a")
    for _ in range(10):
        await bench.settle()
    assert bench.reads == ["uuid:a"] * 4
    assert [line.problem for line in bench.lines] == ["nobody is there"]
    await bench.close()


async def test_the_reading_of_a_device_that_has_gone_ends() -> None:
    bench = Bench()
    bench.announce(SightingKind.APPEARED, "uuid:a")
    await bench.settle()
    await bench.lose("uuid:a")
    watching: Any = bench.watching
    assert (watching._reading, watching._latest) == ({}, {})
    assert kinds(bench) == [("appeared", "uuid:a"), ("gone", "uuid:a")]
    await bench.see(described("uuid:a"))
    assert len(bench.subscribed) == 1
    await bench.close()


async def test_a_device_without_the_type_that_it_announces_is_not_shown() -> None:
    bench = Bench(type="urn:x:device:Lamp:1")

    def search(target: str) -> None:
        assert target == "urn:x:device:Lamp:1"

    bench.search = search  # type: ignore[attr-defined] # called by the watching
    await bench.see(described("uuid:a"), "urn:x:device:Lamp:1")
    await bench.lose("uuid:a")
    assert (bench.lines, bench.subscribed) == ([], [])
    await bench.close()


async def test_two_devices_at_one_url_are_not_watched_at_once() -> None:
    bench = Bench()
    await bench.see(described("uuid:a"))
    url = bench.described["uuid:a"].url
    await bench.see(replace(described("uuid:b"), url=url))
    watching: Any = bench.watching
    assert watching._watched.keys() == {"uuid:b"}
    # The first one is there again once the other one has gone.
    await bench.lose("uuid:b")
    await bench.settle()
    assert watching._watched.keys() == {"uuid:a"}
    assert [source.udn for source in bench.subscribed] == ["uuid:a", "uuid:b", "uuid:a"]
    await bench.close()


async def test_a_device_whose_url_describes_another_one_is_not_watched_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(device_watching, "_REREAD_SECONDS", 0.0)
    bench = Bench()
    await bench.see(described("uuid:a"))
    watching: Any = bench.watching
    for there, former in (("uuid:b", "uuid:a"), ("uuid:a", "uuid:b"), ("uuid:c", "uuid:a")):
        found = replace(described(there), url=described("uuid:a").url)
        bench.described.update({former: found, there: found})
        (service,) = watching._watched[former].services.values()
        watching.read_again(service)
        for _ in range(3):
            await bench.settle()
        assert watching._watched.keys() == {there}
        assert watching._root_at == {found.url: there}
    await bench.close()


async def test_a_device_that_changes_while_it_is_read_is_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(device_watching, "_REREAD_SECONDS", 0.0)
    bench = Bench()
    await bench.see(described("uuid:a"))
    watching: Any = bench.watching
    (service,) = watching._watched["uuid:a"].services.values()
    watching.read_again(service)
    while len(bench.reads) == 1:
        await asyncio.sleep(0)
    watching.read_again(service)
    await bench.settle()
    assert len(bench.reads) == 3
    await bench.close()


async def test_another_location_of_a_watched_device_is_not_read() -> None:
    bench = Bench()
    await bench.see(described("uuid:a"))
    forged = Seen(
        SightingKind.CHANGED, "uuid:a", ("urn:x:new:1",), ("http://192.0.2.66/",), True, None, bench
    )
    watching: Any = bench.watching
    watching._watched["uuid:a"].read_at -= 60
    bench._untaken.append(forged)
    await bench.settle()
    assert bench.locations == [("http://192.0.2.7/uuid:a",)] * 2
    await bench.close()


async def test_a_device_that_another_one_claims_to_embed_is_watched_all_the_same() -> None:
    bench = Bench()
    evil = replace(described("uuid:evil", host="192.0.2.66"), devices=(described("uuid:a", 0),))
    await bench.see(evil)
    await bench.see(described("uuid:a"))
    assert [source.udn for source in bench.subscribed] == ["uuid:evil", "uuid:a"]
    await bench.lose("uuid:a")
    assert kinds(bench)[-1] == ("gone", "uuid:a")
    await bench.close()


def test_a_type_means_its_services_and_those_of_its_devices() -> None:
    inner = replace(described("uuid:inner", 2), device_type="urn:x:device:Inner:2")
    root = replace(described("uuid:root", 1), devices=(inner,))

    def of(type: str | None) -> list[tuple[str, str]]:
        return [(each.udn, each.name) for each in services_of_type(root, type)]

    assert (
        of(None) == of("Bench") == [("uuid:root", "S0"), ("uuid:inner", "S0"), ("uuid:inner", "S1")]
    )
    assert of("Inner:1") == [("uuid:inner", "S0"), ("uuid:inner", "S1")]
    assert of("S1") == [("uuid:inner", "S1")]
    assert of("urn:x:service:S1:2") == []
