"""One class, both ends: what a type checker knows of a remote service, its subscription and its
actions, on both runtimes. mypy checks this file; the functions without ``test_`` are never run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, assert_type

from twisted.internet.defer import Deferred

import propchange
import propchange.twisted
from propchange import (
    Action,
    Event,
    RemoteService,
    Service,
    StateVariable,
    StatusChange,
    Subscription,
    action,
)
from propchange.twisted import RemoteService as TwistedService
from propchange.twisted import Subscription as TwistedSubscription
from propchange.upnp.standard import AVTransport, RenderingControl, SwitchPower


class Thermometer(Service, type="urn:example-org:service:Thermometer:1"):
    temperature = StateVariable("r4", initial=20.0)
    alarm = StateVariable("boolean", initial=False)
    label = StateVariable("string")

    @action
    def set_alarm(self, alarm: bool) -> None:
        self.alarm = alarm

    @action(returns=temperature)
    async def measure(self, temperature: float = 0.0) -> float:
        return temperature

    @action(returns={"Label": label, "Alarm": alarm})
    def describe(self) -> Mapping[str, Any]:
        return {"Label": self.label, "Alarm": self.alarm}

    def read_sensor(self) -> float:
        return 0.0


class SmartThermometer(Thermometer):
    """With additions of its own."""

    humidity = StateVariable("ui1")

    @action
    def dry(self, humidity: int) -> None:
        self.humidity = humidity


async def find(device: propchange.RemoteDevice) -> None:
    assert_type(device[Thermometer], RemoteService[Thermometer])
    assert_type(device[SwitchPower], RemoteService[SwitchPower])
    assert_type(device["Thermometer"], RemoteService[Service])
    assert_type(device["Thermometer"].typed(Thermometer), RemoteService[Thermometer])
    assert_type(device.services[0], RemoteService[Service])
    assert_type(device.services_named("Thermometer"), tuple[RemoteService[Service], ...])
    device[int]  # type: ignore[type-var]  # int is no service
    device[5]  # type: ignore[call-overload]  # nor is a number
    device[Thermometer](1)  # type: ignore[operator]  # a service is not called


async def read(service: RemoteService[Thermometer]) -> None:
    async with service.subscribe() as subscription:
        assert_type(subscription, Subscription[Thermometer])
        assert_type(subscription.state, Thermometer)
        assert_type(subscription.state.temperature, float)
        assert_type(subscription.state.alarm, bool)
        assert_type(subscription.state.label, str)
        assert_type(subscription.values[Thermometer.temperature], float)
        async for event in subscription:
            assert_type(event, Event)
            assert_type(event.changes[Thermometer.temperature], float)
            assert_type(event.changes.get(Thermometer.alarm), bool | None)
        async for update in subscription.updates():
            assert_type(update, Event | StatusChange)
        text: str
        text = subscription.state.temperature  # type: ignore[assignment]  # it is a float
        subscription.state.humidity  # type: ignore[attr-defined]  # noqa: B018 - it is no variable
        text = event.changes[Thermometer.alarm]  # type: ignore[assignment]  # it is a bool
        assert text


async def call(service: RemoteService[Thermometer]) -> None:
    control = service.control
    assert_type(control, Thermometer)
    assert_type(await control.set_alarm(True), None)
    assert_type(await control.set_alarm(alarm=True), None)
    assert_type(await control.measure(), float)
    assert_type(await control.measure(temperature=1.5), float)
    assert_type(await control.describe(), Mapping[str, Any])
    await control.set_alarm()  # type: ignore[call-arg]  # the argument is missing
    await control.set_alarm("on")  # type: ignore[arg-type]  # it is a bool
    await control.set_alarm(True, True)  # type: ignore[call-arg]  # it takes one
    await control.set_alarm(alert=True)  # type: ignore[call-arg]  # it has another name
    await control.set_volume(5)  # type: ignore[attr-defined]  # there is no such action
    text: str = await control.measure()  # type: ignore[assignment]  # it returns a float
    assert text
    assert_type(Thermometer.set_alarm.action, Action)
    # The same by the method, and by the names on the wire.
    assert_type(await service.call(Thermometer.set_alarm, True), None)
    assert_type(await service.call(Thermometer.measure, temperature=1.5), float)
    assert_type(await service.call(SwitchPower.get_status), bool)
    shown: object = await service.call(Thermometer.measure, temperature=1.5)
    assert shown
    assert_type(await service.call("SetAlarm", Alarm=True, timeout=5), dict[str, Any])
    await service.call(Thermometer.set_alarm)  # type: ignore[call-overload]  # it is missing
    await service.call(Thermometer.set_alarm, "on")  # type: ignore[call-overload]  # it is a bool
    await service.call(Thermometer.read_sensor)  # type: ignore[call-overload]  # it is no action


async def use_the_standard_services(device: propchange.RemoteDevice) -> None:
    lamp = device[SwitchPower].control
    assert_type(await lamp.set_target(True), None)
    assert_type(await lamp.get_status(), bool)
    async with device[RenderingControl].subscribe() as subscription:
        assert_type(subscription.state.volume, int)
        assert_type(subscription.state.instance(0)["Volume", "LF"], Any)
        await subscription.state.set_volume(0, "Master", 30)
        await subscription.state.set_volume(0, "Master", "30")  # type: ignore[arg-type]  # an int
    async with device[AVTransport].subscribe() as transport:
        assert_type(transport.state.transport_state, str)
        assert_type(transport.values[AVTransport.transport_state], str)


async def watch(service: RemoteService[Thermometer]) -> float:
    """A function for each service with the variables of a Thermometer."""
    async with service.subscribe() as subscription:
        return subscription.state.temperature


def latest(subscription: Subscription[Thermometer]) -> float:
    return subscription.state.temperature


async def use_a_subclass(device: propchange.RemoteDevice) -> None:
    smart = device[SmartThermometer]
    assert_type(await watch(smart), float)
    assert_type(latest(smart.subscribe()), float)
    assert_type(smart.subscribe().state.humidity, int)
    assert_type(await smart.control.dry(40), None)
    assert_type(await smart.control.set_alarm(False), None)
    await watch(device[SwitchPower])  # type: ignore[index]  # it is no Thermometer
    await watch(device["Thermometer"])  # type: ignore[arg-type]  # the class is not known
    any_service: RemoteService = smart
    assert_type(any_service, RemoteService[Service])


async def subscribe_without_a_class(point: propchange.ControlPoint) -> None:
    subscription = point.subscribe_url("http://192.0.2.7/event")
    assert_type(subscription, Subscription[Service])
    assert_type(subscription.state["Temperature"], Any)
    subscription.state.temperature  # type: ignore[attr-defined]  # noqa: B018 - the class is not known


def find_on_twisted(device: propchange.twisted.RemoteDevice) -> None:
    service = device[Thermometer]
    assert_type(service, TwistedService[Thermometer])
    assert_type(device["Thermometer"], TwistedService[Service])
    assert_type(device["Thermometer"].typed(Thermometer), TwistedService[Thermometer])
    subscription = service.subscribe(print)
    assert_type(subscription, TwistedSubscription[Thermometer])
    assert_type(subscription.when_granted, Deferred[TwistedSubscription[Thermometer]] | None)
    assert_type(subscription.state.temperature, float)
    assert_type(subscription.values[Thermometer.temperature], float)
    called: Callable[[bool], Awaitable[None]] = service.control.set_alarm
    called(True)
    assert_type(service.call(Thermometer.measure, 1.5), Deferred[float])
    assert_type(service.call("Measure", Temperature=1.5), Deferred[dict[str, Any]])
    service.call(Thermometer.set_alarm, "on")  # type: ignore[call-overload]  # it is a bool
    service.control.set_alarm("on")  # type: ignore[arg-type]  # it is a bool
    device[int]  # type: ignore[type-var]  # int is no service
    text: str = subscription.state.alarm  # type: ignore[assignment]  # it is a bool
    assert text


def subscribe_on_twisted(
    point: propchange.twisted.ControlPoint, service: TwistedService[Thermometer]
) -> None:
    assert_type(point.subscribe(service, print), TwistedSubscription[Thermometer])
    assert_type(point.subscribe("http://192.0.2.7/event", print), TwistedSubscription[Service])
    assert_type(point.subscribe(service, print, wait=True).state.alarm, bool)


def latest_on_twisted(subscription: TwistedSubscription[Thermometer]) -> float:
    return subscription.state.temperature


def use_a_subclass_on_twisted(device: propchange.twisted.RemoteDevice) -> None:
    latest_on_twisted(device[SmartThermometer].subscribe(print))
    latest_on_twisted(device[SwitchPower].subscribe(print))  # type: ignore[arg-type]  # no Thermometer
