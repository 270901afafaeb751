"""What a type checker knows of ``propchange.blocking``. mypy checks this file; the functions
without ``test_`` are never run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, assert_type

from propchange import (
    Device,
    Event,
    Request,
    Response,
    Service,
    StateVariable,
    StatusChange,
    action,
)
from propchange.blocking import (
    ControlPoint,
    HostedDevice,
    RemoteDevice,
    RemoteService,
    Sighting,
    Subscription,
    host,
)


class Oven(Service, type="urn:example-org:service:Oven:1"):
    temperature = StateVariable("ui2", initial=20)

    @action
    def set_temperature(self, temperature: int) -> None:
        self.temperature = temperature

    @action(returns="Temperature")
    async def get_temperature(self) -> int:
        return self.temperature


def use(point: ControlPoint) -> None:
    assert_type(point.device("http://192.0.2.7/description.xml"), RemoteDevice)
    device = point.device(udn="uuid:1", timeout=5)
    assert_type(device["Oven"], RemoteService[Service])
    oven = device[Oven]
    assert_type(oven, RemoteService[Oven])
    assert_type(oven.call("GetTemperature"), dict[str, Any])
    assert_type(oven.call(Oven.get_temperature), int)
    subscription = oven.subscribe(wait=True, poll=lambda: {"Temperature": 20}, poll_interval=5)
    oven.subscribe(minimum_interval=0.2)
    assert_type(subscription, Subscription[Oven])
    assert_type(subscription.state.temperature, int)
    assert_type(subscription.values[Oven.temperature], int)
    assert_type(subscription.get(timeout=0.5), Event)
    assert_type(subscription.get(True, 5), Event)
    for event in subscription:
        assert_type(event, Event)
    assert_type(subscription.updates(), Iterator[Event | StatusChange])
    assert_type(point.devices(timeout=5), Iterator[Sighting])
    assert_type(point.subscribe_url("http://192.0.2.7/event"), Subscription[Service])
    with point as same, subscription as also:
        assert_type(same, ControlPoint)
        assert_type(also, Subscription[Oven])

    oven.subscribe(duration="long")  # type: ignore[arg-type]  # seconds
    oven.subscribe(every=5)  # type: ignore[call-arg]  # there is no such argument
    oven.call(Oven.set_temperature, "hot")  # type: ignore[call-overload]  # a number
    ControlPoint(port="8123")  # type: ignore[arg-type]  # a number
    ControlPoint(ports=8123)  # type: ignore[call-arg]  # there is no such argument


def hosting(oven: Oven, request: Request) -> None:
    with host(Device("Kitchen", services=[oven]), port=8123, announce=False) as hosted:
        assert_type(hosted, HostedDevice)
        assert_type(hosted.run(len, "four"), int)
        assert_type(hosted.drain(timeout=5), bool)
        assert_type(hosted.receive(request), Response)
        hosted.run(setattr, oven, "temperature", 21)
        hosted.run(len, 4)  # type: ignore[arg-type]  # it has no length
    host(oven)  # type: ignore[arg-type]  # no device
    host(Device("Kitchen"), ports=1)  # type: ignore[call-arg]  # there is no such argument
