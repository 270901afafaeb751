"""Hosts and control points against each other, through the public names alone."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import subprocess
from typing import Any

import pytest

from propchange import (
    Cause,
    ConnectionFailed,
    ControlPoint,
    DescriptionError,
    Device,
    Event,
    HostedDevice,
    Limits,
    RemoteDevice,
    Service,
    StateVariable,
    Status,
    StatusChange,
    Subscription,
    SubscriptionRefused,
    host,
)
from tests.development_mode import IN_DEVELOPMENT, complaints
from tests.wire import Until

pytestmark = pytest.mark.slow


"""For what takes a second, which passes alike on every loop."""


class Thermometer(Service, type="urn:example-org:service:Thermometer:1"):
    temperature = StateVariable("r4", initial=20.0)
    alarm = StateVariable("boolean", initial=False)
    label = StateVariable("string", initial="")


QUICK = Limits(backoff_first_seconds=0.05, subscribe_burst=100)


def hosting(*services: Service, port: int = 0, **options: Any) -> HostedDevice:
    # One that comes back is the same device, also where it came to its port by chance at first.
    options.setdefault("udn", "uuid:3d9a2c4e-6f0b-4f5e-9a51-8c1f0b7d2e64")
    return host(Device("Workbench", services=services), interface="127.0.0.1", port=port, **options)


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


async def test_the_two_programs_of_the_design_in_one() -> None:
    thermometer = Thermometer()
    async with hosting(thermometer) as hosted, ControlPoint() as point:
        device = await point.device(hosted.description_url)
        assert isinstance(device, RemoteDevice)
        assert device.friendly_name == "Workbench"
        assert device.udn == hosted.udn
        async with device["Thermometer"].subscribe() as subscription:
            await hosted.subscribed()
            thermometer.temperature = 20.5
            with thermometer.batch():
                thermometer.temperature = 31.0
                thermometer.alarm = True
            thermometer.label = "<é & \U0001f321>"
            assert await hosted.drain(timeout=5)
            events = [await anext(subscription) for _ in range(4)]
            assert [(event.seq, dict(event.changes)) for event in events] == [
                (0, {"Temperature": 20.0, "Alarm": False, "Label": ""}),
                (1, {"Temperature": 20.5}),
                (2, {"Temperature": 31.0, "Alarm": True}),
                (3, {"Label": "<é & \U0001f321>"}),
            ]
            assert [event.is_initial for event in events] == [True, False, False, False]
            change = events[2].details[0]
            assert (change.variable, change.value) == ("Temperature", 31.0)
            assert (change.previous, change.text) == (20.5, "31.0")
            assert (change.instance, change.channel) == (None, None)
            assert subscription.values["Temperature"] == 31.0
            assert isinstance(subscription.values["Alarm"], bool)
        assert hosted.subscriptions == ()


async def test_services_made_at_run_time() -> None:
    service = Service(
        type="urn:example-org:service:Meter:1",
        variables=[
            StateVariable("ui4", name="Power"),
            StateVariable("string", name="Mode", allowed=["On", "Off"]),
        ],
    )
    async with hosting(service) as hosted, ControlPoint() as point:
        device = await point.device(hosted.description_url)
        async with device["Meter"].subscribe() as subscription:
            assert (await anext(subscription)).changes == {"Power": 0, "Mode": "On"}
            service["Power"] = 7
            assert (await anext(subscription)).changes == {"Power": 7}
            with pytest.raises(ValueError, match="Off"):
                service["Mode"] = "Standby"
            service["Mode"] = "Off"
            assert (await anext(subscription)).changes == {"Mode": "Off"}


async def test_a_bare_event_url_gives_texts() -> None:
    thermometer = Thermometer()
    async with hosting(thermometer) as hosted, ControlPoint() as point:
        url = f"http://127.0.0.1:{hosted.port}/Thermometer/event"
        async with point.subscribe_url(url) as subscription:
            event = await anext(subscription)
            assert event.changes == {"Temperature": "20.0", "Alarm": "0", "Label": ""}
        with pytest.raises(SubscriptionRefused) as refused:
            await point.subscribe_url(f"{url}s").__aenter__()
        assert refused.value.status == 404


async def test_every_subscriber_has_every_event_in_order() -> None:
    """Two control points, several subscriptions each, more changes than wait unmerged: what is
    merged is told, and no SEQ is missing."""

    thermometer = Thermometer()
    async with hosting(thermometer) as hosted, ControlPoint() as one, ControlPoint() as other:
        subscriptions: list[Subscription] = []
        for point in (one, other):
            device = await point.device(hosted.description_url)
            subscriptions += [
                await device["Thermometer"].subscribe().__aenter__() for _ in range(5)
            ]
        for value in range(200):
            thermometer.temperature = value
            await asyncio.sleep(0)
        assert await hosted.drain(10)
        for subscription in subscriptions:
            await subscription.close()
            events = [event async for event in subscription]
            assert [event.seq for event in events] == list(range(len(events)))
            values = [e.changes["Temperature"] for e in events[1:]]
            assert values == sorted(values)
            assert subscription.values["Temperature"] == 199.0
            assert subscription.gaps == 0


async def test_no_control_point_delays_another() -> None:
    """One consumer stands still, one raises, one reads."""

    thermometer = Thermometer()
    async with (
        hosting(thermometer) as hosted,
        ControlPoint(limits=Limits(waiting_events=4)) as point,
    ):
        device = await point.device(hosted.description_url)
        service = device["Thermometer"]
        async with service.subscribe() as still, service.subscribe() as reading:

            async def fail() -> None:
                async with service.subscribe() as subscription:
                    async for event in subscription:
                        raise ZeroDivisionError(event.seq)

            failing = asyncio.create_task(fail())
            for value in range(50):
                thermometer.temperature = value
                while (await anext(reading)).changes.get("Temperature") != value:
                    pass
            with pytest.raises(ZeroDivisionError):
                await failing
            assert await hosted.drain(5)
            assert still.values["Temperature"] == 49.0
            assert still.merged > 0
            # Few wait, whatever came; the last of them has the end.
            await still.close()
            waiting = [event async for event in still]
            assert len(waiting) <= 5
            assert waiting[-1].changes == {"Temperature": 49.0}
            assert sum(event.merged for event in waiting) == still.merged


async def test_a_device_that_restarts_on_its_port_is_heard_again(until: Until) -> None:
    options = {"minimum_duration": 1, "initial_event_delay": 0}
    thermometer = Thermometer()
    hosted = await hosting(thermometer, **options).__aenter__()
    async with ControlPoint(limits=QUICK, duration=2) as point:
        device = await point.device(hosted.description_url)
        async with device["Thermometer"].subscribe() as subscription:
            assert (await anext(subscription)).is_initial
            first = subscription.sid
            await hosted.close()
            thermometer.temperature = 25.0
            async with hosting(thermometer, port=hosted.port, **options) as again:
                await again.subscribed()
                event = await anext(subscription)
                assert event.is_initial
                assert event.changes["Temperature"] == 25.0
                assert subscription.sid != first
                thermometer.temperature = 26.0
                assert (await anext(subscription)).changes == {"Temperature": 26.0}


@pytest.mark.one_loop
async def test_an_outage_is_told_and_survived(until: Until) -> None:
    options = {"minimum_duration": 1, "initial_event_delay": 0}
    thermometer = Thermometer()
    hosted = await hosting(thermometer, **options).__aenter__()
    async with ControlPoint(limits=QUICK, duration=1) as point:
        device = await point.device(hosted.description_url)
        async with device["Thermometer"].subscribe() as subscription:
            updates = subscription.updates()
            statuses = []

            async def follow_to(status: Status) -> None:
                while not statuses or statuses[-1][0] is not status:
                    update = await anext(updates)
                    if isinstance(update, StatusChange):
                        statuses.append((update.status, update.cause))

            await follow_to(Status.ACTIVE)
            await hosted.close()
            await follow_to(Status.RESUBSCRIBING)
            await until(lambda: subscription.granted is None)
            await until(lambda: subscription.record.failures >= 2)
            async with hosting(thermometer, port=hosted.port, **options):
                await follow_to(Status.ACTIVE)
            assert statuses[0] == (Status.ACTIVE, Cause.INITIAL_EVENT)
            assert statuses[-1] == (Status.ACTIVE, Cause.INITIAL_EVENT)
            assert {status for status, _ in statuses[1:-1]} == {Status.RESUBSCRIBING}


async def test_without_wait_a_device_may_come_later(until: Until) -> None:
    thermometer = Thermometer()
    async with hosting(thermometer) as hosted, ControlPoint(limits=QUICK) as point:
        device = await point.device(hosted.description_url)
        service = device["Thermometer"]
        await hosted.close()
        with pytest.raises(ConnectionFailed):
            await service.subscribe().__aenter__()
        async with service.subscribe(wait=False) as subscription:
            updates = subscription.updates()
            change = await anext(updates)
            assert isinstance(change, StatusChange)
            assert (change.status, change.cause) == (Status.SUBSCRIBING, Cause.UNREACHABLE)
            async with hosting(thermometer, port=hosted.port):
                change = await anext(updates)
                assert isinstance(change, StatusChange)
                assert change.status is Status.ACTIVE
                event = await anext(updates)
                assert isinstance(event, Event)
                assert event.changes["Temperature"] == 20.0
                await subscription.close()


@pytest.mark.one_loop
async def test_a_short_subscription_is_renewed(until: Until) -> None:
    thermometer = Thermometer()
    async with (
        hosting(thermometer, minimum_duration=1) as hosted,
        ControlPoint(duration=2) as point,
    ):
        device = await point.device(hosted.description_url)
        async with device["Thermometer"].subscribe() as subscription:
            sid = subscription.sid
            assert subscription.granted == 2
            await until(lambda: subscription.renewals == 1)
            thermometer.alarm = True
            events = [await anext(subscription) for _ in range(2)]
            assert [event.seq for event in events] == [0, 1]
            assert subscription.sid == sid
            assert len(hosted.subscriptions) == 1


async def test_one_variable_alone_is_asked_for_in_2_0() -> None:
    thermometer = Thermometer()
    async with hosting(thermometer, uda="2.0") as hosted, ControlPoint(uda="2.0") as point:
        device = await point.device(hosted.description_url)
        async with device["Thermometer"].subscribe(variables=["Alarm"]) as subscription:
            assert subscription.accepted == ("Alarm",)
            assert (await anext(subscription)).changes == {"Alarm": False}
            thermometer.temperature = 5.0
            thermometer.alarm = True
            event = await anext(subscription)
            assert (event.seq, event.changes) == (1, {"Alarm": True})


async def test_a_service_without_events_says_so() -> None:
    quiet = Service(
        type="urn:example-org:service:Quiet:1",
        variables=[StateVariable("string", name="Text", evented=False)],
    )
    async with hosting(quiet) as hosted, ControlPoint() as point:
        device = await point.device(hosted.description_url)
        with pytest.raises(DescriptionError, match="Quiet of Workbench sends no events"):
            device["Quiet"].subscribe()


@pytest.mark.clause("V6-01")
@pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")
async def test_ipv6_from_end_to_end() -> None:
    thermometer = Thermometer()
    hosted = host(Device("Workbench", services=[thermometer]), interface="::1")
    async with hosted, ControlPoint() as point:
        device = await point.device(hosted.description_url)
        async with device["Thermometer"].subscribe() as subscription:
            assert subscription.callback.startswith(f"http://[::1]:{point.port}/")
            assert (await anext(subscription)).is_initial
            thermometer.temperature = 1.0
            assert (await anext(subscription)).changes == {"Temperature": 1.0}


async def test_a_device_on_every_address_is_heard_at_the_one_it_advertises() -> None:
    thermometer = Thermometer()
    hosted = host(Device("Workbench", services=[thermometer]))
    async with hosted, ControlPoint() as point:
        device = await point.device(hosted.description_url)
        async with device["Thermometer"].subscribe() as subscription:
            assert (await anext(subscription)).is_initial


async def test_both_ends_start_and_stop_again_and_again() -> None:
    thermometer = Thermometer()

    async def once(number: int) -> None:
        async with ControlPoint() as point:
            device = await point.device(hosted.description_url)
            async with device["Thermometer"].subscribe() as subscription:
                assert (await anext(subscription)).is_initial

    for round_of in range(3):
        async with hosting(thermometer) as hosted:
            async with asyncio.TaskGroup() as group:
                for number in range(4):
                    group.create_task(once(number))
            assert hosted.subscriptions == (), round_of
    assert asyncio.all_tasks() == {asyncio.current_task()}


# --- nothing is left, nothing warns ---

_WATCHED = """
import asyncio
import gc
import sys
import threading

from propchange import ControlPoint, Device, Limits, Service, StateVariable, host


class Thermometer(Service, type="urn:example-org:service:Thermometer:1"):
    temperature = StateVariable("r4", initial=20.0)


def hosting(thermometer):
    return host(Device("Workbench", services=[thermometer]), interface="127.0.0.1")


async def a_quiet_life(thermometer):
    async with hosting(thermometer) as hosted, ControlPoint() as point:
        device = await point.device(hosted.description_url)
        async with device["Thermometer"].subscribe() as subscription:
            await anext(subscription)
            thermometer.temperature += 1
            async for event in subscription:
                break


async def the_device_goes_first(thermometer):
    hosted = await hosting(thermometer).__aenter__()
    async with ControlPoint(limits=Limits(unsubscribe_seconds=0.1)) as point:
        device = await point.device(hosted.description_url)
        subscription = await device["Thermometer"].subscribe().__aenter__()
        await anext(subscription)
        thermometer.temperature += 1
        await hosted.close()


async def the_control_point_goes_first(thermometer):
    async with hosting(thermometer) as hosted:
        async with ControlPoint() as point:
            device = await point.device(hosted.description_url)
            for wait in (True, False):
                subscription = device["Thermometer"].subscribe(wait=wait)
                await subscription.__aenter__()
                async for update in subscription.updates():
                    break
        thermometer.temperature += 1
        await hosted.drain(5)


async def cancelled(thermometer):
    async def both():
        async with hosting(thermometer) as hosted, ControlPoint() as point:
            device = await point.device(hosted.description_url)
            async with device["Thermometer"].subscribe() as subscription:
                async for event in subscription:
                    running.set()

    running = asyncio.Event()
    task = asyncio.create_task(both())
    await running.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def failing(thermometer):
    async with hosting(thermometer) as hosted, ControlPoint() as point:
        for attempt in (
            lambda: point.device("http://127.0.0.1:1/"),
            lambda: hosting(Thermometer()).subscribed(),
            lambda: host(Device("Second"), port=hosted.port, interface="127.0.0.1").__aenter__(),
            lambda: ControlPoint(port=hosted.port, interface="127.0.0.1").__aenter__(),
        ):
            try:
                await attempt()
            except Exception:
                pass
            else:
                raise AssertionError


async def main():
    asyncio.get_running_loop().slow_callback_duration = 60  # this machine may be busy
    thermometer = Thermometer()
    for scenario in (
        a_quiet_life,
        the_device_goes_first,
        the_control_point_goes_first,
        cancelled,
        failing,
    ):
        async with asyncio.timeout(20):
            await scenario(thermometer)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}, scenario
        assert not thermometer.hosted, scenario
        gc.collect()
        print(scenario.__name__)


if sys.argv[1] == "uvloop":
    import uvloop

    factory = uvloop.new_event_loop
else:
    factory = None
with asyncio.Runner(loop_factory=factory) as runner:
    runner.run(main())
gc.collect()
assert threading.active_count() == 1
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_no_task_socket_thread_or_warning_is_left(loop: str) -> None:
    ran = subprocess.run(
        [*IN_DEVELOPMENT, "-W", "error", "-c", _WATCHED, loop],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert complaints(ran.stderr) == ""
    assert ran.returncode == 0
    assert ran.stdout.split() == [
        "a_quiet_life",
        "the_device_goes_first",
        "the_control_point_goes_first",
        "cancelled",
        "failing",
    ]


def test_the_limits_are_replaced_field_by_field() -> None:
    assert dataclasses.replace(Limits(), waiting_events=4) == Limits(waiting_events=4)
