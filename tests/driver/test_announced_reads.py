"""Descriptions that announcements name are read at a bounded rate per host."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.driver.announced_reads import AnnouncedReads
from propchange.errors import ConnectionFailed

LIMITS = replace(DEFAULT_LIMITS, announced_reads=5, announced_read_seconds=2.0, announced_hosts=3)


class Victims:
    """Counts the reads of each host."""

    def __init__(self, runtime: Any) -> None:
        self.asked: list[str] = []
        self.reads = AnnouncedReads(runtime, LIMITS, self.read)

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
