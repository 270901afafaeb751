"""A program that is slow misses no device, and keeps no more than one sighting of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from propchange.asyncio.sightings import Sighting, SightingKind, Sightings
from propchange.core.discovery.advertised import AdvertisedDevice
from propchange.core.limits import DEFAULT_LIMITS

Run = Callable[..., Any]
APPEARED, CHANGED, GONE = SightingKind


def device(udn: str = "uuid:a", *, is_root: bool = True) -> AdvertisedDevice:
    made = AdvertisedDevice(udn, "192.0.2.1", DEFAULT_LIMITS, 0.0)
    made.is_root = is_root
    made.types["urn:x:device:Lamp:2"] = None
    return made


def sightings(wanted: str | None = None) -> Sightings:
    return Sightings(None, wanted)  # type: ignore[arg-type] # nothing is read


def taken(run: Run, stream: Sightings) -> list[Sighting]:
    """All that waits; closes it."""
    stream.close()

    async def rest() -> list[Sighting]:
        return [sighting async for sighting in stream]

    result: list[Sighting] = run(rest())
    return result


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
def test_what_was_not_taken_of_a_device_is_one_sighting(
    run: Run, happened: str, told: list[SightingKind]
) -> None:
    stream, lamp = sightings(), device()

    async def happen() -> None:
        for what in happened.split():
            if what == "see":
                stream.see(lamp)
            elif what == "lose":
                stream.lose(lamp)
            else:
                await anext(stream)

    run(happen())
    assert [sighting.kind for sighting in taken(run, stream)] == told


def test_only_root_devices_are_seen_unless_a_type_is_asked_for(run: Run) -> None:
    embedded = device("uuid:b", is_root=False)
    every, lamps = sightings(), sightings("Lamp")
    for stream in (every, lamps):
        stream.see(device())
        stream.see(embedded)
    assert [sighting.udn for sighting in taken(run, every)] == ["uuid:a"]
    assert [sighting.udn for sighting in taken(run, lamps)] == ["uuid:a", "uuid:b"]


def test_one_that_fits_later_appears_then(run: Run) -> None:
    stream, late = sightings(), device(is_root=False)
    stream.see(late)
    late.is_root = True
    stream.see(late)
    (sighting,) = taken(run, stream)
    assert (sighting.kind, sighting.description_url) == (APPEARED, "")
