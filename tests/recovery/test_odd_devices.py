"""Devices that do what no device should: the events come back all the same, and nothing is asked
of the device more often than the token bucket allows."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from lab.scripted import ScriptedDevice, granted
from propchange import ControlPoint, Event, Limits
from propchange.core.subscriber.events import Status

pytestmark = [pytest.mark.slow, pytest.mark.timeout(30)]

BRIEF = replace(
    Limits(),
    duration_most_seconds=2.0,
    initial_event_seconds=0.5,
    connect_seconds=1.0,
    backoff_first_seconds=0.2,
)
"""Everything is renewed after a second, and what takes long does so in seconds."""


class Following:
    """A subscription, and what it has told."""

    def __init__(self, subscription):
        self.subscription = subscription
        self.updates = []

    async def collect(self):
        async for update in self.subscription.updates():
            self.updates.append(update)

    @property
    def values(self):
        return [each.changes["Value"] for each in self.updates if isinstance(each, Event)]

    @property
    def statuses(self):
        return [each.status for each in self.updates if not isinstance(each, Event)]

    async def until(self, happens, seconds=10.0):
        async with asyncio.timeout(seconds):
            while not happens(self):
                await asyncio.sleep(0.01)

    async def has(self, value, seconds=10.0):
        await self.until(lambda self: self.values[-1:] == [value], seconds)


@asynccontextmanager
async def followed(script=None, grants="Second-300"):
    """A scripted device, and a subscription to it."""
    async with ScriptedDevice(script, grants) as device, ControlPoint(limits=BRIEF) as point:
        async with point.subscribe_url(device.event_url, wait=False) as subscription:
            following = Following(subscription)
            task = asyncio.create_task(following.collect())
            yield device, following
        await task


async def follow(play, script=None, grants="Second-300"):
    """Run ``play(device, following)`` with a subscription to a scripted device."""
    async with followed(script, grants) as (device, following):
        await play(device, following)


async def follow_all(*plays):
    """Run several at once: most of their time is waiting."""
    async with asyncio.TaskGroup() as group:
        for play in plays:
            group.create_task(play)


async def test_seq_that_is_always_0_loses_no_event():
    async with followed() as (device, following):
        await following.has("0")
        for value in ("1", "2", "3"):
            assert await device.notify(value, seq=0) == 200
            await following.has(value)
        assert len(device.subscribes()) <= 2  # the first repeat may be a restart of the device


async def test_an_event_that_comes_twice_is_told_once():
    async with followed() as (device, following):
        await following.has("0")
        assert await device.notify("1") == 200
        assert await device.notify("1", seq=1) == 200
        await device.notify("2")
        await following.has("2")
        assert following.values == ["0", "1", "2"]
        assert len(device.subscribes()) == 1


async def test_a_grant_of_a_second_is_kept_and_not_hammered():
    async with followed(grants="Second-1") as (device, following):
        await following.has("0")
        began = asyncio.get_running_loop().time()
        await following.until(lambda _: len(device.renewals()) >= 3)
        assert asyncio.get_running_loop().time() - began > 2
        await device.notify("1")
        await following.has("1")


async def test_a_strange_duration_is_survived():
    async def play(device, following):
        await following.has("0")
        await asyncio.sleep(1.5)
        await device.notify("1")
        await following.has("1")
        assert len([each for each in device.asked if each.method == "SUBSCRIBE"]) <= 5

    strange = ("Second-0", "Second--1", "300", "Second-infinite", "soon", "")
    await follow_all(*(follow(play, grants=grants) for grants in strange))


async def test_a_renewal_answered_with_another_sid_goes_on_under_that_one():
    async with followed() as (device, following):

        def rename(asked):
            if asked.is_renewal:
                device.sid = "uuid:renamed"
                return granted(device.sid)
            return device.behave(asked)

        device.script = rename
        await following.has("0")
        await following.until(lambda _: device.sid == "uuid:renamed")
        await asyncio.sleep(0.1)
        assert await device.notify("1") == 200
        await following.has("1")
        assert following.statuses == [Status.ACTIVE]


ILL = (
    b"HTTP/1.1 404 Not Found\r\nCONTENT-LENGTH: 0\r\n\r\n",
    b"HTTP/1.1 412 Precondition Failed\r\nCONTENT-LENGTH: 0\r\n\r\n",
    b"HTTP/1.1 500 Internal Server Error\r\nCONTENT-LENGTH: 0\r\n\r\n",
    b"HTTP/1.1 503 Service Unavailable\r\nCONTENT-LENGTH: 0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\n",  # and no SID at all
    b"HTTP/1.1 200 OK\r\nSID: \r\nCONTENT-LENGTH: 0\r\n\r\n",
    b"<html>busy</html>",
    b"HTTP/1.1 200 OK\r\nSID",  # and closed
    b"HTTP/1.1 100 Continue\r\n\r\n" * 3,
    b"X: " + b"x" * 100_000,
    None,  # closed at once
)


async def test_whatever_a_device_answers_while_it_is_ill_events_are_back_once_it_is_well():
    def falls_ill(answer):
        async def play(device, following):
            ill = True

            def script(asked):
                return answer if ill and asked.method == "SUBSCRIBE" else device.behave(asked)

            await following.has("0")
            device.script = script
            device.sid = ""
            before = len(device.asked)
            await following.until(lambda _: len(device.asked) >= before + 2)
            await asyncio.sleep(1)
            asked = len(device.asked) - before
            ill = False
            device.value = "well"
            await following.has("well", 2 + 5)
            assert asked <= 6, answer

        return play

    await follow_all(*(follow(falls_ill(answer)) for answer in ILL))


async def test_a_device_that_closes_every_connection_at_first_is_tried_again():
    async with followed(script=lambda asked: None) as (device, following):
        await following.until(lambda _: len(device.subscribes()) >= 3)
        device.script = device.behave
        await following.has("0")


async def test_a_device_that_grants_and_never_sends_is_deaf_and_not_hammered():
    async with followed() as (device, following):

        def silent(asked):
            if asked.is_renewal or asked.method == "UNSUBSCRIBE":
                return device.behave(asked)
            device.begin(asked)
            return granted(device.sid)

        device.script = silent
        await following.until(lambda each: Status.DEAF in each.statuses)
        await asyncio.sleep(3)
        assert following.statuses == [Status.DEAF]
        assert len(device.subscribes()) <= 5
        device.script = device.behave
        await following.has("0")


async def test_a_deaf_subscription_is_active_with_the_first_event_that_comes():
    async with followed() as (device, following):

        def silent(asked):
            if asked.is_renewal or asked.method == "UNSUBSCRIBE":
                return device.behave(asked)
            device.begin(asked)
            return granted(device.sid)

        device.script = silent
        await following.until(lambda each: Status.DEAF in each.statuses)
        device.script = device.behave
        await device.notify("late")
        await following.has("late")
        assert following.subscription.status is Status.ACTIVE


async def test_a_connection_that_is_half_open_does_not_hold_up_the_recovery():
    """The device accepts the renewal and never answers it; whoever asks it again is answered."""

    async with followed() as (device, following):
        await following.has("0")
        stuck = 0
        over = asyncio.Event()

        async def silence():
            await over.wait()

        def script(asked):
            nonlocal stuck
            if asked.method == "SUBSCRIBE" and not stuck:
                stuck += 1
                device.sid = ""
                return silence()
            return device.behave(asked)

        device.script = script
        await following.until(lambda _: stuck)
        device.value = "new"
        await following.has("new", 2 + 5)
        over.set()


async def test_a_device_that_restarts_on_its_port_is_followed():
    async with followed() as (device, following):
        await following.has("0")
        port = device.port
        await device.stop()
        await following.until(lambda each: Status.RESUBSCRIBING in each.statuses)
        device.value = "again"
        await device.start(port)
        await following.has("again", 2 + 5)
        assert following.statuses.count(Status.RESUBSCRIBING) == 1
