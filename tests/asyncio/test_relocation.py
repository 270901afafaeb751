"""Where a device is: at its former URL as long as it answers there, else where it is found."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from propchange.asyncio.relocation import find_description
from propchange.errors import ConnectionFailed
from propchange.upnp.description import DeviceDescription

UDN = "uuid:a"


async def test_it_is_found() -> None:
    for answers, expected in (
        ({"former": UDN, "new": UDN}, "former"),
        ({"former": "gone", "new": UDN}, "new"),
        ({"former": "uuid:other", "new": UDN.upper()}, "new"),
        ({"former": "gone", "new": "uuid:other", "third": UDN}, "third"),
        ({"former": "gone", "new": "gone"}, None),
        ({"former": "silent", "new": UDN}, "new"),
        ({"former": "slow", "new": UDN}, "former"),
        ({"former": "gone", "new": "slow"}, "new"),
        ({"former": "not http"}, None),
    ):
        read, asked = reader(answers)
        found = await find_description(
            UDN, former="former", others=list(answers), read=read, grace=0.1
        )
        assert (found and found.url) == expected, answers
        assert sorted(asked) == sorted(answers), "each is asked once"


async def test_no_more_than_a_few_are_asked() -> None:
    read, asked = reader(dict.fromkeys(map(str, range(100)), "gone"))
    urls = list(map(str, range(100)))
    assert (await find_description(UDN, former="0", others=urls, read=read, grace=0.1)) is None
    assert len(asked) == 9


async def test_cancelling_leaves_nothing_under_way() -> None:
    read, _ = reader({"former": "silent", "new": "silent"})
    finding = asyncio.create_task(
        find_description(UDN, former="former", others=["new"], read=read, grace=0.1)
    )
    await asyncio.sleep(0.01)
    finding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await finding
    assert len(asyncio.all_tasks()) == 1


def reader(answers: dict[str, str]) -> tuple[Any, list[str]]:
    asked: list[str] = []

    async def read(url: str) -> DeviceDescription:
        asked.append(url)
        answer = answers[url]
        if answer == "silent":
            await asyncio.sleep(3600)
        if answer == "slow":
            await asyncio.sleep(0.02)
            answer = UDN
        if answer == "gone":
            raise ConnectionFailed("nobody there")
        if answer == "not http":
            raise ValueError("no URL")
        return DeviceDescription(url, answer, "x", "urn:x:device:X:1")

    return read, asked
