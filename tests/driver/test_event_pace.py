"""``subscribe(minimum_interval=…)`` of programs on both runtimes."""

from __future__ import annotations

import time
from typing import Any

import pytest

from lab.scripted import ScriptedDevice
from propchange import ControlPoint, Device, Event, Service, StateVariable, Status, host
from propchange.core.values.merging import CONTAINERS
from tests.driver.test_polling_programs import Heard, subscribed
from tests.hostile.fronts import point, result
from tests.wire import Until

__all__ = ["point"]


def events_of(heard: Heard) -> list[Event]:
    return [each for each in heard.updates if isinstance(each, Event)]


@pytest.mark.slow
async def test_a_fast_device_gives_a_program_few_events_and_the_final_value(
    point: Any, until: Until
) -> None:
    interval = 0.2
    async with ScriptedDevice() as device, point() as (control_point, _):
        begin = time.monotonic()
        async with subscribed(control_point, device.event_url, minimum_interval=interval) as heard:
            await until(lambda: heard.events)
            for number in range(1, 101):
                await device.notify(str(number))
            subscription = heard.subscription
            assert subscription.values == {"Value": "100"}
            await until(lambda: events_of(heard)[-1].changes == {"Value": "100"})
            events = events_of(heard)
            assert len(events) <= 2 + (time.monotonic() - begin) / interval
            assert len(events) + sum(event.merged for event in events) == 101
            assert subscription.merged == sum(event.merged for event in events)
            assert subscription.losses == 0
            # Later events come too.
            await device.notify("101")
            await until(lambda: events_of(heard)[-1].changes == {"Value": "101"})


async def test_without_an_interval_each_event_comes(point: Any, until: Until) -> None:
    async with (
        ScriptedDevice() as device,
        point() as (control_point, _),
        subscribed(control_point, device.event_url, minimum_interval=0) as heard,
    ):
        for number in range(1, 21):
            await device.notify(str(number))
        await until(lambda: len(heard.events) == 21)
        assert heard.subscription.merged == 0


async def test_what_is_held_comes_before_closed(point: Any, until: Until) -> None:
    async with ScriptedDevice() as device, point() as (control_point, _):
        async with subscribed(control_point, device.event_url, minimum_interval=60.0) as heard:
            await until(lambda: heard.events)
            for number in range(1, 4):
                await device.notify(str(number))
            assert len(heard.events) == 1
        *_, event, closed = heard.updates
        assert (event.changes, event.merged) == ({"Value": "3"}, 2)
        assert closed.status is Status.CLOSED


async def test_what_is_held_comes_before_the_status_that_follows_it(
    point: Any, until: Until
) -> None:
    async with ScriptedDevice() as device, point() as (control_point, _):
        async with subscribed(control_point, device.event_url, minimum_interval=60.0) as heard:
            await until(lambda: heard.events)
            await device.notify("1")
            await device.notify("5", seq=7)
            await until(lambda: len(heard.updates) == 5)
            assert heard.subscription.values == {"Value": "5"}
            found = [
                each.changes["Value"] if isinstance(each, Event) else each.status
                for each in heard.updates
            ]
            assert found == [Status.ACTIVE, "0", "5", Status.RESUBSCRIBING, Status.ACTIVE]
        assert heard.events[-1] == (False, 0, {"Value": "5"})


class Directory(Service, type="urn:example-org:service:Directory:1"):
    container_update_ids = StateVariable("string", merge=CONTAINERS, name="ContainerUpdateIDs")
    words = StateVariable("string", merge=lambda older, newer: f"{older} {newer}".strip())
    total = StateVariable("ui4", merge=lambda older, newer: str(int(older) + int(newer)))
    level = StateVariable("ui4")


@pytest.mark.parametrize("by_class", [True, False])
async def test_changes_merge_by_the_rules_of_their_variables(
    point: Any, until: Until, by_class: bool
) -> None:
    directory = Directory()
    async with (
        host(Device("Directory", services=[directory]), interface="127.0.0.1") as hosted,
        point(discovery=False) as (control_point, _),
    ):
        remote = await result(control_point.device(hosted.description_url))
        service = remote[Directory] if by_class else remote["Directory"]
        async with subscribed(control_point, service, minimum_interval=60.0) as heard:
            await until(lambda: heard.events)
            for number in range(1, 4):
                directory.container_update_ids = f"c{number},{number}"
                directory.words = f"word{number}"
                directory.total = number
                directory.level = number
                expected = f"c{number},{number}"
                await until(
                    lambda: heard.subscription.values["ContainerUpdateIDs"] == expected  # noqa: B023 - awaited here
                )
                await until(lambda: heard.subscription.values["Level"] == number)  # noqa: B023 - awaited here
        event = events_of(heard)[-1]
        assert event.changes["ContainerUpdateIDs"] == "c1,1,c2,2,c3,3"
        assert event.changes["Level"] == 3
        if by_class:
            assert event.changes[Directory.words] == "word1 word2 word3"
            assert event.changes[Directory.total] == 6
        else:
            assert event.changes["Words"] == "word3"
            assert event.changes["Total"] == 3


@pytest.mark.parametrize("interval", [-1, float("nan"), float("inf")])
async def test_a_wrong_interval_is_refused_before_anything_is_sent(
    point: Any, interval: float
) -> None:
    async with ScriptedDevice() as device, point(discovery=False) as (control_point, _):
        with pytest.raises(ValueError, match="minimum_interval"):
            async with subscribed(control_point, device.event_url, minimum_interval=interval):
                pass
        assert device.asked == []


@pytest.mark.slow
async def test_a_program_that_is_slow_too_gets_all_containers(until: Until) -> None:
    directory = Directory()
    async with (
        host(Device("Directory", services=[directory]), interface="127.0.0.1") as hosted,
        ControlPoint(discovery=False) as control_point,
    ):
        remote = await control_point.device(hosted.description_url)
        limits = control_point._begun().limits
        async with remote["Directory"].subscribe() as subscription:
            most = limits.waiting_events + 5
            for number in range(1, most + 1):
                directory.container_update_ids = f"c{number},{number}"
                await until(
                    lambda: subscription.values.get("ContainerUpdateIDs") == f"c{number},{number}"  # noqa: B023 - awaited here
                )
            listed: list[str] = []
            async for event in subscription:
                listed += event.changes["ContainerUpdateIDs"].split(",")
                if event.changes["ContainerUpdateIDs"].endswith(f",{most}"):
                    break
            assert event.merged > 0
            assert {f"c{number}" for number in range(1, most + 1)} <= set(listed)
