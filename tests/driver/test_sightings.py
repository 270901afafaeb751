"""Sightings: a slow program misses no device, and at most one sighting of each waits."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from propchange.core.discovery.advertised import AdvertisedDevice
from propchange.core.limits import DEFAULT_LIMITS
from propchange.driver.sightings import SeenDevice, SightingKind, Sightings

APPEARED, CHANGED, GONE = SightingKind


def device(udn: str = "uuid:a", *, is_root: bool = True) -> AdvertisedDevice:
    made = AdvertisedDevice(udn, "192.0.2.1", DEFAULT_LIMITS, 0.0)
    made.is_root = is_root
    made.types["urn:x:device:Lamp:2"] = None
    return made


def sightings(driven: Any, wanted: str | None = None) -> Sightings[SeenDevice]:
    return Sightings(driven.runtime, partial(SeenDevice._of, None), wanted, set())


async def taken(stream: Sightings[SeenDevice]) -> list[SeenDevice]:
    """All that waits; closes it."""
    stream.close()
    return [sighting async for sighting in stream]


@pytest.mark.parametrize(
    ("happened", "told"),
    [
        ("see", [APPEARED]),
        ("see see", [APPEARED]),
        ("see lose", []),
        ("see lose see", [APPEARED]),
        ("see TAKE see", [CHANGED]),
        ("see TAKE see see", [CHANGED]),
        ("see TAKE lose", [GONE]),
        ("see TAKE see lose", [GONE]),
        ("see TAKE lose see", [CHANGED]),
        ("see TAKE lose see lose", [GONE]),
        ("see TAKE lose TAKE see", [APPEARED]),
        ("lose", []),
    ],
)
async def test_what_was_not_taken_of_a_device_is_one_sighting(
    driven: Any, happened: str, told: list[SightingKind]
) -> None:
    stream, lamp = sightings(driven), device()

    for what in happened.split():
        if what == "see":
            stream.see(lamp)
        elif what == "lose":
            stream.lose(lamp)
        else:
            await driven.run(anext(stream))
    assert [sighting.kind for sighting in await driven.run(taken(stream))] == told


async def test_only_root_devices_are_seen_unless_a_type_is_asked_for(driven: Any) -> None:
    embedded = device("uuid:b", is_root=False)
    every, lamps = sightings(driven), sightings(driven, "Lamp")
    for stream in (every, lamps):
        stream.see(device())
        stream.see(embedded)
    assert [sighting.udn for sighting in await driven.run(taken(every))] == ["uuid:a"]
    assert [sighting.udn for sighting in await driven.run(taken(lamps))] == ["uuid:a", "uuid:b"]


@pytest.mark.parametrize("is_taken", [True, False])
async def test_a_device_that_is_embedded_in_another_one_is_seen_as_that(
    driven: Any, is_taken: bool
) -> None:
    stream, embedded, root = sightings(driven, "Lamp"), device("uuid:b"), device()
    stream.see(embedded)
    if is_taken:
        await driven.run(anext(stream))
    root.reported = True
    stream.join(embedded, root)
    root_again, silent = await driven.run(anext(stream)), device("uuid:silent")
    assert (root_again.kind, root_again.udn) == (APPEARED, "uuid:a")
    # One that was not seen, and a root that has not appeared, change nothing.
    stream.join(device("uuid:c"), root)
    stream.see(silent)
    stream.join(silent, device("uuid:d"))
    stream.lose(embedded)
    stream.lose(root)
    assert [(each.kind, each.udn) for each in await driven.run(taken(stream))] == [(GONE, "uuid:a")]


async def test_a_device_that_fits_later_appears_then(driven: Any) -> None:
    stream, late = sightings(driven), device(is_root=False)
    stream.see(late)
    late.is_root = True
    stream.see(late)
    (sighting,) = await driven.run(taken(stream))
    assert (sighting.kind, sighting.description_url) == (APPEARED, "")


async def test_a_sighting_that_is_waited_for_comes_and_the_end_does_too(driven: Any) -> None:
    stream = sightings(driven)
    waiting = asyncio.ensure_future(driven.run(anext(stream)))
    await asyncio.sleep(0.01)
    with pytest.raises(RuntimeError, match="another coroutine"):
        await driven.run(anext(stream))
    stream.see(device())
    assert (await waiting).udn == "uuid:a"
    ending = asyncio.ensure_future(driven.run(taken(stream)))
    assert await ending == []
