"""Hosted devices without asyncio."""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
from typing import Any

import pytest

import propchange
from propchange import Device, Service, action
from propchange.blocking import Closed, ControlPoint, host
from tests.blocking.devices import Hosted, Thermometer


def test_an_assignment_in_another_thread_names_the_call_that_works(device: Hosted) -> None:
    with pytest.raises(RuntimeError, match=r"hosted\.run\(setattr, service, name, value\)"):
        device.thermometer.temperature = 21.0
    assert device.hosted.run(setattr, device.thermometer, "temperature", 21.0) is None
    assert device.hosted.run(getattr, device.thermometer, "temperature") == 21.0


def test_run_gives_the_result_or_the_exception_of_a_function(device: Hosted) -> None:
    async def after(seconds: float, result: str) -> str:
        await asyncio.sleep(seconds)
        return result

    assert device.hosted.run(after, 0.001, result="there") == "there"
    assert device.hosted.run(threading.get_ident) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        device.hosted.run(lambda: 1 // 0)
    with pytest.raises(SystemExit):
        device.hosted.run(sys.exit, 3)
    with pytest.raises(KeyboardInterrupt):
        device.hosted.run(lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    assert device.hosted.run(lambda: "still runs") == "still runs"


def test_a_function_with_a_batch_is_one_event(device: Hosted, point: ControlPoint) -> None:
    def twice() -> None:
        with device.thermometer.batch():
            device.thermometer.temperature = 30.0
            device.thermometer.temperature = 31.0

    subscription = point.device(device.url)["Thermometer"].subscribe()
    device.hosted.subscribed()
    device.hosted.run(twice)
    assert device.hosted.drain(20)
    assert [subscription.get(timeout=20).changes["Temperature"] for _ in range(2)] == [20.0, 31.0]


def test_actions_run_in_the_thread_of_the_loop_and_cannot_wait(point: ControlPoint) -> None:
    called: list[object] = []

    class Switch(Service, type="urn:example-org:service:Switch:1"):
        @action
        def press(self) -> None:
            called.append(threading.current_thread().name)
            try:
                hosted.drain()
            except RuntimeError as error:
                called.append(str(error))
            try:
                hosted.close()
            except RuntimeError as error:
                called.append(str(error))

    device = Device("Switch", services=[Switch()])
    with host(device, interface="127.0.0.1", announce=False) as hosted:
        point.device(hosted.description_url)["Switch"].call("Press")
        assert hosted.port
    thread, *errors = called
    assert thread == "propchange"
    assert len(errors) == 2
    assert all("must not wait" in str(each) for each in errors)


def test_a_device_is_used_while_it_is_entered_and_entered_once() -> None:
    hosted: Any = host(Device("W", services=[Thermometer()]), announce=False)
    for call in (
        lambda: hosted.port,
        hosted.subscribed,
        hosted.drain,
        lambda: hosted.run(int),
    ):
        with pytest.raises(RuntimeError, match=r"use with host\("):
            call()
    hosted.close()
    with hosted:
        assert hosted.port
        with pytest.raises(RuntimeError, match="entered once"):
            hosted.open()
    hosted.close()
    assert "ended" in repr(hosted)
    for call in (hosted.subscribed, lambda: hosted.drain(1)):
        with pytest.raises(Closed, match="call host"):
            call()


def test_leaving_ends_what_waits_in_another_thread() -> None:
    ended: list[BaseException] = []
    hosted = host(Device("W", services=[Thermometer()]), announce=False)

    def wait() -> None:
        try:
            hosted.subscribed()
        except RuntimeError as error:
            ended.append(error)

    with hosted:
        waiting = threading.Thread(target=wait)
        waiting.start()
    waiting.join(20)
    assert len(ended) == 1


def test_a_hosted_device_is_refused_in_a_thread_with_a_loop() -> None:
    async def enter() -> None:
        hosted = host(Device("W", services=[Thermometer()]), announce=False)
        with pytest.raises(RuntimeError, match=r"propchange\.host"):
            hosted.open()
        with pytest.raises(RuntimeError, match=r"propchange\.host"):
            await hosted.__aenter__()

    asyncio.run(enter())


def test_what_prevents_entering_is_raised(device: Hosted) -> None:
    taken = Device("W", services=[Thermometer()])
    with pytest.raises(propchange.ConnectionFailed):
        host(taken, interface="127.0.0.1", port=device.hosted.port).open()
    with pytest.raises(TypeError, match="Device"):
        host(Thermometer())  # type: ignore[arg-type]  # a service is no device


def test_the_arguments_of_host_are_those_on_asyncio() -> None:
    assert inspect.signature(host).parameters == inspect.signature(propchange.host).parameters
