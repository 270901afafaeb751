"""A program that is slow misses no device, and keeps no more than one sighting of each."""

from __future__ import annotations

import pytest

from propchange.asyncio.sightings import Sighting, SightingKind, Sightings
from propchange.core.discovery.advertised import AdvertisedDevice
from propchange.core.limits import DEFAULT_LIMITS

APPEARED, CHANGED, GONE = SightingKind


def device(udn: str = "uuid:a", *, is_root: bool = True) -> AdvertisedDevice:
    made = AdvertisedDevice(udn, "192.0.2.1", DEFAULT_LIMITS, 0.0)
    made.is_root = is_root
    made.types["urn:x:device:Lamp:2"] = None
    return made


def sightings(wanted: str | None = None) -> Sightings:
    return Sightings(None, wanted)  # type: ignore[arg-type] # nothing is read


async def taken(stream: Sightings) -> list[Sighting]:
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
    happened: str, told: list[SightingKind]
) -> None:
    stream, lamp = sightings(), device()

    for what in happened.split():
        if what == "see":
            stream.see(lamp)
        elif what == "lose":
            stream.lose(lamp)
        else:
            await anext(stream)
    assert [sighting.kind for sighting in await taken(stream)] == told


async def test_only_root_devices_are_seen_unless_a_type_is_asked_for() -> None:
    embedded = device("uuid:b", is_root=False)
    every, lamps = sightings(), sightings("Lamp")
    for stream in (every, lamps):
        stream.see(device())
        stream.see(embedded)
    assert [sighting.udn for sighting in await taken(every)] == ["uuid:a"]
    assert [sighting.udn for sighting in await taken(lamps)] == ["uuid:a", "uuid:b"]


async def test_one_that_fits_later_appears_then() -> None:
    stream, late = sightings(), device(is_root=False)
    stream.see(late)
    late.is_root = True
    stream.see(late)
    (sighting,) = await taken(stream)
    assert (sighting.kind, sighting.description_url) == (APPEARED, "")
