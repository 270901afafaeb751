"""Announced descriptions are read at a bounded rate per host, and while some of their locations are
silent or fail."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.driver.location_reads import BoundedReads, LocationReads, read_first
from propchange.driver.runtime import Signal
from propchange.errors import ConnectionFailed
from propchange.upnp.description import DeviceDescription, ServiceDescription


class Device:
    """A device whose ``dead`` locations fail at once."""

    def __init__(self, *, dead: str = "") -> None:
        self.dead = dead
        self.asked: list[str] = []

    async def read(self, url: str) -> Any:
        self.asked.append(url)
        if url in self.dead:
            raise ConnectionFailed(f"no connection to {url}")
        return DeviceDescription(url, "uuid:1", "", "")


@pytest.mark.slow
async def test_a_silent_location_does_not_keep_the_others_waiting(driven: Any) -> None:
    device = Device(dead="b")
    never = driven.runtime.future()

    async def read(url: str) -> Any:
        if url == "a":
            device.asked.append(url)
            await never
        return await device.read(url)

    found = await driven.run(read_first(driven.runtime, "abcd", read))
    assert found.url == "c"
    assert device.asked == ["a", "b", "c"]


@pytest.mark.slow
async def test_a_location_is_read_although_newer_ones_are_announced_all_the_time(
    driven: Any,
) -> None:
    """As of a device that another host announces elsewhere, each time at another location."""
    device = Device(dead="".join(f"/{number} " for number in range(99)))
    changed = Signal(driven.runtime)

    async def read_all() -> Any:
        reads = LocationReads(driven.runtime, device.read, changed)
        for number in range(10):
            reads.begin([f"/{number + 1}", f"/{number}", "honest"])
            await changed.wait(1)
        await reads.close()
        return reads.found

    assert (await driven.run(read_all())).url == "honest"


async def test_a_location_that_answers_is_the_only_one_that_is_asked(driven: Any) -> None:
    device = Device()
    assert (await driven.run(read_first(driven.runtime, "ab", device.read))).url == "a"
    assert device.asked == ["a"]


async def test_if_all_locations_fail_the_error_of_the_first_is_raised(driven: Any) -> None:
    device = Device(dead="abc")
    with pytest.raises(ConnectionFailed, match="no connection to a"):
        await driven.run(read_first(driven.runtime, "abc", device.read))
    assert device.asked == ["a", "b", "c"]
    assert await driven.run(read_first(driven.runtime, "", device.read)) is None


async def test_the_locations_that_are_read_are_bounded_until_they_are_tried_again(
    driven: Any,
) -> None:
    urls = [f"{n:03}" for n in range(100)]
    device = Device(dead=" ".join(urls))
    reads = LocationReads(driven.runtime, device.read, Signal(driven.runtime))
    for expected in (16, 32):
        while len(device.asked) < expected:
            reads.begin(urls)
            await asyncio.sleep(0)
        for _ in range(5):
            reads.begin(urls)
            await asyncio.sleep(0)
        assert len(device.asked) == expected
        reads.again()
    assert device.asked[16:] == device.asked[:16]
    await driven.run(reads.close())


def described(url: str, problem: str = "") -> DeviceDescription:
    service = ServiceDescription("urn:x:service:T:1", "id", "", "", "", event_url_problem=problem)
    return DeviceDescription(url, "uuid:1", "", "", services=(service,))


@pytest.mark.parametrize(("usable", "found"), [("c", "c"), ("", "a")])
async def test_a_description_whose_event_urls_can_be_used_comes_before_one_with_problems(
    driven: Any, usable: str, found: str
) -> None:
    """From the address of one IP version, absolute URLs of the other one are of another host."""
    asked: list[str] = []

    async def read(url: str) -> Any:
        asked.append(url)
        if url == "b":
            raise ConnectionFailed("b")
        return described(url, "" if url == usable else "it leads to another host")

    result = await driven.run(read_first(driven.runtime, "abc", read))
    assert (result.url, asked) == (found, ["a", "b", "c"])


# --- the rate per host ---

LIMITS = replace(DEFAULT_LIMITS, announced_reads=5, announced_read_seconds=2.0, announced_hosts=3)


class Victims:
    """Counts the reads of each host."""

    def __init__(self, runtime: Any) -> None:
        self.asked: list[str] = []
        self.reads = BoundedReads(runtime, LIMITS, self.read)

    async def read(self, url: str) -> Any:
        self.asked.append(url)


async def test_forged_announcements_aim_a_bounded_number_of_requests_at_a_host(
    memory: Any,
) -> None:
    victims = Victims(memory)
    forged = [victims.reads.read(f"http://192.0.2.9:{80 + n}/{n}") for n in range(300)]
    tasks = [asyncio.ensure_future(each) for each in forged]
    other = asyncio.ensure_future(victims.reads.read("http://192.0.2.10/d"))
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(victims.asked) == 6
    assert other.done()
    for _ in range(30):
        memory.advance(1)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert len(victims.asked) <= 6 + 10 // 2 + 1
    refused = [task for task in tasks if task.done() and task.exception()]
    assert len(refused) >= 280
    with pytest.raises(ConnectionFailed, match=r"too many devices are announced at 192\.0\.2\.9"):
        refused[0].result()
    for task in tasks:
        task.cancel()


async def test_the_hosts_are_bounded_and_spellings_are_one_host(memory: Any) -> None:
    victims = Victims(memory)
    for number in range(10):
        await victims.reads.read(f"http://192.0.2.{number}/")
    assert len(victims.reads._buckets) == 3
    for host in ("[2001:db8::1]", "[2001:DB8:0::1]", "[::ffff:192.0.2.1]", "192.0.2.1"):
        await victims.reads.read(f"http://{host}/")
    assert list(victims.reads._buckets) == ["192.0.2.9", "2001:db8::1", "192.0.2.1"]
