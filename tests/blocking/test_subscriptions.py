"""Control points and their subscriptions, without asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
from typing import Any

import pytest

import propchange
from propchange import Event, Limits, Status, StatusChange, SubscriptionRefused
from propchange.blocking import (
    Closed,
    ControlPoint,
    HostedDevice,
    RemoteDevice,
    RemoteService,
    Subscription,
)
from propchange.blocking.loop_thread import Call
from tests.blocking.devices import Hosted, RawDevice, Thermometer


def temperatures(subscription: Subscription[Any], last: float) -> list[float]:
    """The temperatures of the events, to the event with ``last``."""
    values: list[float] = []
    while last not in values:
        values.append(subscription.get(timeout=20).changes["Temperature"])
    return values


def test_a_loop_over_a_subscription_gets_the_events_in_order(
    device: Hosted, point: ControlPoint
) -> None:
    seen: list[tuple[int | None, float]] = []
    for event in point.device(device.url)["Thermometer"].subscribe():
        seen.append((event.seq, event.changes["Temperature"]))
        if len(seen) == 3:
            break
        device.set(20.0 + len(seen))
    assert seen == [(0, 20.0), (1, 21.0), (2, 22.0)]


def test_a_subscription_has_the_values_of_its_class_and_of_the_device(
    device: Hosted, point: ControlPoint
) -> None:
    with point.device(device.url)[Thermometer].subscribe() as subscription:
        event = subscription.get(timeout=20)
        assert event.subscription is subscription
        assert event.changes[Thermometer.temperature] == 20.0
        assert subscription.state.temperature == 20.0
        before = subscription.values
        device.set(21.0)
        subscription.get(timeout=20)
        assert (before["Temperature"], subscription.values["Temperature"]) == (20.0, 21.0)
        assert subscription.status is Status.ACTIVE
        assert "active" in repr(subscription)
    assert subscription.status is Status.CLOSED
    assert device.methods[-1] == "UNSUBSCRIBE"


def test_actions_are_called_by_name_and_by_the_method_of_a_class(
    device: Hosted, point: ControlPoint
) -> None:
    service: Any = point.device(device.url)[Thermometer]
    assert service.call("SetTemperature", Temperature=30.0) == {}
    assert service.call(Thermometer.get_temperature) == 30.0
    assert service.set_temperature(31.0) is None
    assert service.get_temperature() == 31.0
    assert set(service.actions()) >= {"SetTemperature", "GetTemperature"}
    assert service.variables()["Temperature"].data_type.name == "r4"
    with pytest.raises(propchange.ActionError) as caught:
        service.call(Thermometer.set_temperature, 1_001.0)
    assert caught.value.code == 601
    with service.subscribe() as subscription:
        subscription.get(timeout=20)
        subscription.state.set_temperature(32.0)
        assert subscription.get(timeout=20).changes == {"Temperature": 32.0}


def test_get_waits_as_that_of_a_queue(device: Hosted, point: ControlPoint) -> None:
    subscription = point.device(device.url)["Thermometer"].subscribe()
    assert subscription.get(True, 20).is_initial
    for get in (
        lambda: subscription.get(timeout=0.01),
        lambda: subscription.get(False),
        subscription.get_nowait,
    ):
        with pytest.raises(queue.Empty):
            get()
    with pytest.raises(ValueError, match="non-negative"):
        subscription.get(timeout=-1)
    device.set(21.0)
    while subscription.values["Temperature"] != 21.0:
        time.sleep(0.001)
    assert subscription.get_nowait().changes == {"Temperature": 21.0}


def test_no_event_is_lost_between_two_gets_that_time_out(
    device: Hosted, point: ControlPoint
) -> None:
    subscription = point.device(device.url)["Thermometer"].subscribe()
    subscription.get(timeout=20)
    wanted = [float(each) for each in range(100, 300)]
    setting = threading.Thread(target=device.set, args=wanted)
    setting.start()
    seen: list[float] = []
    while wanted[-1] not in seen:
        with contextlib.suppress(queue.Empty):
            seen.append(subscription.get(timeout=0.0005).changes["Temperature"])
    setting.join()
    assert sorted(seen) == seen
    assert len(seen) + subscription.merged == len(wanted)


class Ring(Exception):
    pass


def ring(*_: object) -> None:
    raise Ring


def test_a_signal_ends_the_wait_and_the_next_one_gets_the_event(
    device: Hosted, point: ControlPoint
) -> None:
    subscription = point.device(device.url)["Thermometer"].subscribe()
    subscription.get(timeout=20)
    main = threading.main_thread().ident or 0
    before = signal.signal(signal.SIGUSR1, ring)
    try:
        for value in (100.0, 101.0, 102.0):
            ringing = threading.Timer(0.02, signal.pthread_kill, (main, signal.SIGUSR1))
            ringing.start()
            with pytest.raises(Ring):
                subscription.get()
            device.set(value)
            assert subscription.get(timeout=20).changes == {"Temperature": value}
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_an_event_that_a_signal_kept_from_its_thread_is_the_next_one(
    device: Hosted, point: ControlPoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscription = point.device(device.url)["Thermometer"].subscribe()

    def interrupted(call: Call, seconds: float | None = None) -> bool:
        wait(call, seconds)
        raise Ring  # as late as a signal can come

    wait = Call.wait
    with monkeypatch.context() as patch:
        patch.setattr(Call, "wait", interrupted)
        with pytest.raises(Ring):
            subscription.get()
    device.set(21.0)
    seen = [subscription.get(timeout=20).changes["Temperature"] for _ in range(2)]
    assert seen == [20.0, 21.0]


def test_a_slow_program_gets_merged_events_and_the_last_value(device: Hosted) -> None:
    limits = Limits(waiting_events=4)
    with ControlPoint(interface="127.0.0.1", discovery=False, limits=limits) as point:
        subscription = point.device(device.url)["Thermometer"].subscribe()
        device.hosted.drain(20)
        device.set(*(float(each) for each in range(100, 150)))
        while subscription.values.get("Temperature") != 149.0:
            time.sleep(0.001)
        seen = temperatures(subscription, 149.0)
        assert len(seen) <= 4
        assert subscription.merged == 51 - len(seen)


def test_a_program_asks_for_fewer_events(device: Hosted, point: ControlPoint) -> None:
    subscription = point.device(device.url)[Thermometer].subscribe(minimum_interval=0.2)
    subscription.get(timeout=20)
    device.set(*(float(each) for each in range(100, 150)))
    assert subscription.values["Temperature"] == 149.0
    seen = temperatures(subscription, 149.0)
    assert len(seen) < 50


def test_updates_are_the_events_and_the_status_changes_in_order(
    device: Hosted, point: ControlPoint
) -> None:
    subscription = point.device(device.url)["Thermometer"].subscribe()
    seen: list[str] = []
    for update in subscription.updates():
        assert update.subscription is subscription
        if isinstance(update, StatusChange):
            seen.append(update.status.value)
        else:
            seen.append(str(update.seq))
            subscription.close()
    assert [each for each in seen if each != "subscribing"] == ["active", "0", "closed"]


def test_several_threads_use_one_control_point(device: Hosted, point: ControlPoint) -> None:
    counts: list[int] = []

    def use() -> None:
        service = point.device(device.url)[Thermometer]
        with service.subscribe() as subscription:
            for _ in range(20):
                service.call(Thermometer.get_temperature)
            counts.append(len(temperatures(subscription, 99.0)))

    threads = [threading.Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    while len(device.hosted.subscriptions) < len(threads):
        time.sleep(0.001)
    device.hosted.drain(20)
    device.set(99.0)
    for thread in threads:
        thread.join()
    assert counts == [2] * len(threads)
    assert device.hosted.subscriptions == ()


def test_each_event_goes_to_one_of_the_threads_that_wait(
    device: Hosted, point: ControlPoint
) -> None:
    subscription = point.device(device.url)["Thermometer"].subscribe()
    subscription.get(timeout=20)
    seen: list[float] = []
    threads = [
        threading.Thread(
            target=lambda: seen.extend(each.changes["Temperature"] for each in subscription)
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    wanted = [float(each) for each in range(100, 200)]
    device.set(*wanted)
    while len(seen) + subscription.merged < len(wanted):
        time.sleep(0.001)
    subscription.close()
    for thread in threads:
        thread.join()
    assert len(set(seen)) == len(seen)
    assert max(seen) == wanted[-1]


@pytest.mark.parametrize("what", ["subscription", "control point"])
def test_closing_ends_what_waits_in_other_threads(device: Hosted, what: str) -> None:
    with ControlPoint(interface="127.0.0.1", discovery=False) as point:
        subscription = point.device(device.url)["Thermometer"].subscribe()
        subscription.get(timeout=20)
        ended: list[object] = []

        def wait() -> None:
            try:
                subscription.get()
            except Closed as error:
                ended.append(error)

        def iterate() -> None:
            ended.append(list(subscription))

        threads = [threading.Thread(target=each) for each in (wait, iterate)]
        for thread in threads:
            thread.start()
        time.sleep(0.05)
        (subscription if what == "subscription" else point).close()
        for thread in threads:
            thread.join(20)
        assert len(ended) == 2
        point.close()
        subscription.close()
        with pytest.raises(Closed):
            subscription.get(timeout=20)
    assert device.hosted.subscriptions == ()


def test_events_that_came_before_the_end_can_be_taken_after_it(device: Hosted) -> None:
    with ControlPoint(interface="127.0.0.1", discovery=False) as point:
        subscription = point.device(device.url)["Thermometer"].subscribe()
        device.hosted.drain(20)
        device.set(21.0)
        while subscription.values.get("Temperature") != 21.0:
            time.sleep(0.001)
    assert [each.changes["Temperature"] for each in subscription] == [20.0, 21.0]
    assert subscription.values == {"Temperature": 21.0}
    assert "closed" in repr(subscription)
    with pytest.raises(Closed):
        subscription.get()
    with pytest.raises(RuntimeError, match="the control point was closed: make another"):
        point.fetch(device.url)


@pytest.mark.slow
def test_a_refusal_is_raised_at_the_line_that_subscribes(
    raw_device: RawDevice, point: ControlPoint
) -> None:
    raw_device.answers["SUBSCRIBE"] = 503
    service = point.device(raw_device.url)["Thermometer"]
    with pytest.raises(SubscriptionRefused) as caught:
        service.subscribe()
    assert caught.value.status == 503
    first = traceback.extract_tb(caught.value.__traceback__)[0]
    assert (first.filename, first.line) == (__file__, "service.subscribe()")


def test_an_exception_of_the_program_leaves_the_context_unchanged(device: Hosted) -> None:
    wrong = LookupError("of the program")

    def program() -> None:
        with ControlPoint(interface="127.0.0.1", discovery=False) as point:
            point.device(device.url)["Thermometer"].subscribe().get(timeout=20)
            raise wrong

    with pytest.raises(LookupError) as caught:
        program()
    assert caught.value is wrong
    assert caught.value.__context__ is None
    assert device.hosted.subscriptions == ()


def test_what_blocks_is_refused_in_a_thread_with_a_loop(
    device: Hosted, point: ControlPoint
) -> None:
    service = point.device(device.url)["Thermometer"]
    subscription = service.subscribe()

    async def enter() -> None:
        for call in (
            ControlPoint().open,
            point.devices,
            service.actions,
            subscription.get,
            lambda: subscription.values,
        ):
            with pytest.raises(RuntimeError, match=r"propchange\.ControlPoint"):
                call()
        actions = await asyncio.to_thread(service.actions)
        assert "SetTemperature" in actions

    asyncio.run(enter())


def test_what_blocks_is_refused_in_the_thread_of_the_loop(device: Hosted) -> None:
    errors: list[str] = []

    def tap(item: object) -> None:
        if isinstance(item, Event):
            try:
                point.fetch("http://127.0.0.1/")
            except RuntimeError as error:
                errors.append(str(error))
            assert point.port  # does not wait

    with ControlPoint(interface="127.0.0.1", discovery=False, tap=tap) as point:
        point.device(device.url)["Thermometer"].subscribe().get(timeout=20)
    assert len(errors) == 1
    assert "must not wait" in errors[0]


@pytest.mark.slow
def test_a_poll_may_wait_for_the_device(raw_device: RawDevice, device: Hosted) -> None:
    raw_device.answers["SUBSCRIBE"] = 503
    with ControlPoint(interface="127.0.0.1", discovery=False) as point:
        thermometer = point.device(device.url)["Thermometer"]

        def poll() -> dict[str, object]:
            return thermometer.call("GetTemperature")

        service = point.device(raw_device.url)["Thermometer"]
        subscription = service.subscribe(poll=poll, poll_interval=0.01)
        event = subscription.get(timeout=20)
        assert (event.polled, dict(event.changes)) == (True, {"Temperature": 20.0})
        device.set(21.0)
        assert subscription.get(timeout=20).changes == {"Temperature": 21.0}


@pytest.mark.slow
def test_a_poll_that_does_not_end_has_one_thread(raw_device: RawDevice) -> None:
    raw_device.answers["SUBSCRIBE"] = 503
    over = threading.Event()
    calls: list[int] = []

    def poll() -> dict[str, object]:
        calls.append(threading.get_ident())
        over.wait()
        return {}

    limits = Limits(poll_seconds=0.02)
    with ControlPoint(interface="127.0.0.1", discovery=False, limits=limits) as point:
        service = point.device(raw_device.url)["Thermometer"]
        service.subscribe(poll=poll, poll_interval=0.01)
        time.sleep(0.3)
    over.set()
    assert len(calls) == 1


@pytest.mark.slow
def test_a_poll_that_exits_is_reported_and_called_again(raw_device: RawDevice) -> None:
    raw_device.answers["SUBSCRIBE"] = 503
    calls: list[int] = []

    def poll() -> dict[str, object]:
        calls.append(1)
        if len(calls) == 1:
            sys.exit(3)
        return {"Temperature": "21"}

    with ControlPoint(interface="127.0.0.1", discovery=False) as point:
        service = point.device(raw_device.url)["Thermometer"]
        subscription = service.subscribe(poll=poll, poll_interval=0.01)
        assert subscription.get(timeout=20).changes == {"Temperature": 21.0}


@pytest.mark.slow
def test_without_wait_a_subscription_is_there_at_once(
    raw_device: RawDevice, point: ControlPoint
) -> None:
    raw_device.answers["SUBSCRIBE"] = None
    subscription = point.device(raw_device.url)["Thermometer"].subscribe(wait=False)
    assert subscription.status is Status.SUBSCRIBING
    raw_device.wait_for("SUBSCRIBE")


def test_an_event_url_is_subscribed_to_without_a_description(
    device: Hosted, point: ControlPoint
) -> None:
    url = point.device(device.url)["Thermometer"].event_url
    with point.subscribe_url(url) as subscription:
        assert subscription.service is None
        assert subscription.get(timeout=20).changes == {"Temperature": "20.0"}
        assert subscription.state["Temperature"] == "20.0"


@pytest.mark.slow
def test_devices_are_seen_for_a_time(device: Hosted, point: ControlPoint) -> None:
    message = {
        "NT": "upnp:rootdevice",
        "NTS": "ssdp:alive",
        "USN": f"{device.hosted.udn}::upnp:rootdevice",
        "LOCATION": device.url,
        "CACHE-CONTROL": "max-age=1800",
    }
    with pytest.raises(RuntimeError, match="discovery"):
        point.devices()
    point.receive_ssdp(message, "127.0.0.1", "127.0.0.1")
    (sighting,) = point.devices(timeout=1)
    assert sighting.udn == device.hosted.udn
    assert sighting.friendly_name() == "Workbench"
    found = sighting.device(search=False)
    assert isinstance(found, RemoteDevice)
    assert "Thermometer" in found
    assert point.device(udn=sighting.udn)["Thermometer"].subscribe().get(timeout=20).is_initial


def test_closing_the_control_point_ends_an_iteration_over_devices(device: Hosted) -> None:
    with ControlPoint(interface="127.0.0.1", discovery=False) as point:
        point.receive_ssdp("NOTIFY * HTTP/1.1\r\n\r\n", "127.0.0.1")
        sightings = point.devices()
        closing = threading.Timer(0.1, point.close)
        closing.start()
        assert list(sightings) == []
        closing.join()


def test_without_discovery_multicast_events_are_a_runtime_error(
    device: Hosted, point: ControlPoint
) -> None:
    for made in (point, point.device(device.url)):
        with pytest.raises(RuntimeError, match="discovery"):
            made.multicast_events()


def test_a_control_point_is_used_after_it_is_entered_and_once() -> None:
    point = ControlPoint(discovery=False)
    for call in (point.devices, lambda: point.port, lambda: point.fetch("http://127.0.0.1/")):
        with pytest.raises(RuntimeError, match=r"use with ControlPoint\(\)"):
            call()
    assert "not entered" in repr(point)
    point.close()
    with point:
        assert point.port
        with pytest.raises(RuntimeError, match="entered once"):
            point.open()
    point.close()
    with pytest.raises(RuntimeError, match="entered once"):
        point.open()


def test_entering_raises_what_prevents_it(point: ControlPoint) -> None:
    with pytest.raises(propchange.ConnectionFailed):
        ControlPoint(interface="127.0.0.1", port=point.port).open()
    with pytest.raises(ValueError, match="uda"):
        ControlPoint(uda="3.0")


def test_the_arguments_are_those_on_asyncio() -> None:
    for ours, theirs in (
        (ControlPoint, propchange.ControlPoint),
        (ControlPoint.subscribe_url, propchange.ControlPoint.subscribe_url),
        (RemoteService.subscribe, propchange.RemoteService.subscribe),
    ):
        parameters = inspect.signature(theirs).parameters  # type: ignore[arg-type]  # a function
        assert inspect.signature(ours).parameters == parameters  # type: ignore[arg-type]  # too


class NoLoop:
    """Notes what would run in a loop."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def run(self, function: Any, *_: object) -> str:
        self.ran.append(function.__name__)
        return "ran"


@pytest.mark.parametrize(
    "cls",
    [ControlPoint, HostedDevice, RemoteDevice, RemoteService, Subscription],
)
def test_each_inherited_property_is_read_in_the_loop(cls: type) -> None:
    thread = NoLoop()
    made: Any = type("Made", (cls,), {"_thread": thread, "__init__": lambda _: None})()
    inherited = {
        name
        for base in cls.__mro__[1:]
        for name, member in vars(base).items()
        if isinstance(member, property) and name[0] != "_"
    }
    own = {name for name, member in inspect.getmembers_static(cls) if name in vars(cls) and member}
    for name in inherited:
        if name in own and vars(cls)[name].fget.__module__ == cls.__module__:
            continue  # written by hand
        assert getattr(made, name) == "ran", name


def test_importing_propchange_imports_no_threads_of_ours() -> None:
    program = "import propchange, sys; print('propchange.blocking' in sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout == "False\n"


def test_a_forked_process_does_not_use_the_control_point(device: Hosted) -> None:
    with ControlPoint(interface="127.0.0.1", discovery=False) as point:
        subscription = point.device(device.url)["Thermometer"].subscribe()
        subscription.get(timeout=20)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                point.fetch("http://127.0.0.1/")
            except RuntimeError as error:
                point.close()  # does nothing
                os.write(write, str(error).encode())
            finally:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert b"forked" in os.read(read, 1_000)
        os.close(read)
        os.close(write)
        assert len(device.hosted.subscriptions) == 1
    assert device.hosted.subscriptions == ()
