"""The URL of a followed device: the former one while it answers there, else where it is found."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from propchange.driver.followed_devices import find_description
from propchange.driver.runtime import Runtime, sleep
from propchange.errors import ConnectionFailed
from propchange.twisted.runtime import TwistedRuntime
from propchange.upnp.description import DeviceDescription

UDN = "uuid:a"


async def test_it_is_found(driven: Any) -> None:
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
        read, asked = reader(driven.runtime, answers)
        found = await driven.run(find(driven, "former", list(answers), read))
        assert (found and found.url) == expected, answers
        assert sorted(asked) == sorted(answers), "each is asked once"


async def test_only_a_few_locations_are_asked(driven: Any) -> None:
    read, asked = reader(driven.runtime, dict.fromkeys(map(str, range(100)), "gone"))
    urls = list(map(str, range(100)))
    assert await driven.run(find(driven, "0", urls, read)) is None
    assert len(asked) == 9


async def test_cancelling_leaves_nothing_under_way(driven: Any) -> None:
    ended: list[str] = []
    read, asked = reader(driven.runtime, {"former": "silent", "new": "silent"}, ended)
    finding = driven.runtime.start(find(driven, "former", ["new"], read))
    await asyncio.sleep(0.01)
    assert (len(asked), ended) == (2, [])
    finding.cancel()
    await asyncio.sleep(0.01)
    assert finding.done()
    assert sorted(ended) == sorted(asked)


def find(driven: Any, former: str, others: list[str], read: Any) -> Any:
    return find_description(driven.runtime, UDN, [former, *others], read=read, grace=0.1)


def reader(
    runtime: Runtime, answers: dict[str, str], ended: list[str] | None = None
) -> tuple[Any, list[str]]:
    asked: list[str] = []

    async def read(url: str) -> DeviceDescription:
        asked.append(url)
        answer = answers[url]
        if answer == "silent":
            try:
                await sleep(runtime, 3600)
            finally:
                if ended is not None:
                    ended.append(url)
        if answer == "slow":
            await sleep(runtime, 0.02)
            answer = UDN
        if answer == "gone":
            raise ConnectionFailed("nobody there")
        if answer == "not http":
            raise ValueError("no URL")
        return DeviceDescription(url, answer, "x", "urn:x:device:X:1")

    return read, asked


# --- by a clock that the test moves ---


class Places:
    """Descriptions that come when the test says so."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.runtime = TwistedRuntime(self.clock)  # type: ignore[arg-type] # it does not connect
        self.asked: dict[str, Any] = {}
        self.found: list[DeviceDescription | None] = []

    async def read(self, url: str) -> DeviceDescription:
        if not url.startswith("http:"):
            raise ValueError("no URL")
        self.asked[url] = self.runtime.future()
        description: DeviceDescription = await self.asked[url]
        return description

    def find(self, former: str, *others: str) -> None:
        finding = find_description(self.runtime, UDN, [former, *others], read=self.read, grace=1.0)
        Deferred.fromCoroutine(finding).addCallback(self.found.append)

    def answer(self, url: str, udn: str = UDN) -> None:
        self.asked[url].set_result(DeviceDescription(url, udn, "x", "urn:x:device:X:1"))

    def fail(self, url: str) -> None:
        self.asked[url].set_exception(ConnectionFailed("nobody there"))

    @property
    def url(self) -> str | None:
        (found,) = self.found
        return None if found is None else found.url


@pytest.fixture
def places() -> Places:
    return Places()


A, B, C = "http://a/", "http://b/", "http://c/"


def test_the_former_place_is_preferred_for_a_while(places: Places) -> None:
    places.find(A, A, B)
    places.answer(B)
    places.clock.advance(0.9)
    assert places.found == []
    places.answer(A)
    assert places.url == A
    assert places.clock.getDelayedCalls() == []


def test_a_former_place_that_does_not_answer_is_not_waited_for(places: Places) -> None:
    places.find(A, B)
    places.answer(B)
    places.clock.advance(1.1)
    assert places.url == B
    assert places.asked[A].done(), "it is not read any more"


def test_another_place_counts_once_the_former_has_failed(places: Places) -> None:
    places.find(A, B, C)
    places.fail(A)
    places.answer(B, "uuid:stranger")
    assert places.found == []
    places.answer(C)
    assert places.url == C


def test_a_device_that_is_nowhere_is_not_found(places: Places) -> None:
    places.find(A, "nonsense")
    places.fail(A)
    assert places.url is None
