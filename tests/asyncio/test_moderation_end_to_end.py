"""Moderation over real sockets: what subscribers of every kind see, and when."""

from __future__ import annotations

import asyncio

import pytest

from propchange import ControlPoint, Device, Service, StateVariable, host

pytestmark = pytest.mark.slow

LOOPBACK = "127.0.0.1"
PERIOD = 0.3


class Meter(Service, type="urn:example-org:service:Meter:1"):
    power = StateVariable("ui4", minimum_interval=PERIOD)
    energy = StateVariable("ui4", minimum_delta=10)
    label = StateVariable("string")


async def arrivals(subscriber, count: int) -> list[tuple[float, dict[str, str]]]:
    """When the next events came, and their changes."""
    loop = asyncio.get_running_loop()
    came = []
    for _ in range(count):
        _, changes = await subscriber.event()
        came.append((loop.time(), changes))
    return came


@pytest.mark.clause("MOD-02")
@pytest.mark.clause("MOD-03")
@pytest.mark.clause("MOD-04")
@pytest.mark.parametrize("uda", ["1.0", "1.1", "2.0"])
async def test_the_first_change_goes_out_at_once_and_the_last_at_the_end_of_the_period(
    raw_subscriber, uda
) -> None:
    meter = Meter()
    async with (
        raw_subscriber() as one,
        raw_subscriber() as other,
        host(Device("Meter", services=[meter]), interface=LOOPBACK, uda=uda) as hosted,
    ):
        for subscriber in (one, other):
            assert (await subscriber.subscribe(hosted.port, "/Meter/event")).status == 200
            await subscriber.event()
        began = asyncio.get_running_loop().time()
        for power in range(1, 101):
            meter.power = power
        first, last = await arrivals(one, 2)
        assert [first[1], last[1]] == [{"Power": "1"}, {"Power": "100"}]
        # Only what cannot be earlier is certain; clocks round.
        assert last[0] - began >= 0.95 * PERIOD
        # The same for every subscriber, and nothing afterwards.
        assert [changes for _, changes in await arrivals(other, 2)] == [
            {"Power": "1"},
            {"Power": "100"},
        ]
        assert await hosted.drain(5)
        assert len(one.requests) == len(other.requests) == 3


@pytest.mark.clause("MOD-04")
async def test_after_a_quiet_period_the_next_change_goes_out_at_once(raw_subscriber) -> None:
    meter = Meter()
    async with (
        raw_subscriber() as subscriber,
        host(Device("Meter", services=[meter]), interface=LOOPBACK) as hosted,
    ):
        await subscriber.subscribe(hosted.port, "/Meter/event")
        await subscriber.event()
        for power in (1, 3):
            took = []
            for step in (0, 1):  # after a quiet period, and right behind the event of that
                meter.power = power + step
                began = asyncio.get_running_loop().time()
                ((came, changes),) = await arrivals(subscriber, 1)
                assert changes == {"Power": str(power + step)}
                took.append(came - began)
            assert took[0] < took[1]
            await asyncio.sleep(PERIOD)  # the quiet period itself


async def test_a_batch_with_a_moderated_variable_sends_the_others_at_once(raw_subscriber) -> None:
    meter = Meter()
    async with (
        raw_subscriber() as subscriber,
        host(Device("Meter", services=[meter]), interface=LOOPBACK) as hosted,
    ):
        await subscriber.subscribe(hosted.port, "/Meter/event")
        await subscriber.event()
        meter.power = 1
        with meter.batch():
            meter.power = 2
            meter.label = "kitchen"
        told = [changes for _, changes in await arrivals(subscriber, 3)]
        assert told == [{"Power": "1"}, {"Label": "kitchen"}, {"Power": "2"}]


@pytest.mark.clause("MOD-05")
async def test_moves_smaller_than_the_delta_are_not_told() -> None:
    meter = Meter()
    async with (
        host(Device("Meter", services=[meter]), interface=LOOPBACK) as hosted,
        ControlPoint(interface=LOOPBACK) as point,
    ):
        device = await point.device(hosted.description_url)
        async with device["Meter"].subscribe() as subscription:
            await anext(subscription)
            for energy in (3, 9, 10, 15, 19, 20, 12, 10):
                meter.energy = energy
            meter.label = "end"
            told = []
            async for event in subscription:
                told.append(event.changes)
                if "Label" in event.changes:
                    break
            assert told == [{"Energy": 10}, {"Energy": 20}, {"Energy": 10}, {"Label": "end"}]


@pytest.mark.clause("MOD-07")
@pytest.mark.clause("MOD-08")
async def test_an_initial_event_has_the_value_that_is_held_back_for_the_others(
    raw_subscriber,
) -> None:
    meter = Meter()
    async with (
        raw_subscriber() as early,
        raw_subscriber() as late,
        host(Device("Meter", services=[meter]), interface=LOOPBACK) as hosted,
    ):
        await early.subscribe(hosted.port, "/Meter/event")
        await early.event()
        meter.power = 1
        meter.power = 2
        assert meter.power == 2
        await late.subscribe(hosted.port, "/Meter/event")
        _, initial = await late.event()
        assert initial["Power"] == "2"
        told = [changes for _, changes in await arrivals(early, 2)]
        assert told == [{"Power": "1"}, {"Power": "2"}]


async def test_what_is_held_back_is_told_before_the_device_counts_as_drained() -> None:
    meter = Meter()
    async with (
        host(Device("Meter", services=[meter]), interface=LOOPBACK) as hosted,
        ControlPoint(interface=LOOPBACK) as point,
    ):
        device = await point.device(hosted.description_url)
        async with device["Meter"].subscribe() as subscription:
            await hosted.subscribed()
            meter.power = 1
            meter.power = 2
            assert not await hosted.drain(PERIOD / 10)
            assert await hosted.drain(5)
            assert subscription.values["Power"] == 2
