"""The class of a service on a Twisted control point, with Deferreds, in memory."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from propchange import ActionError, Service, StateVariable, action
from propchange.upnp.soap import build_answer, build_fault
from tests.twisted.devices import Device, reply

HOME = "10.0.0.1:8000"
TYPE = "urn:example-org:service:Thermometer:1"


class Thermometer(Service, type=TYPE):
    temperature = StateVariable("r4")

    @action(returns=temperature)
    def set_temperature(self, temperature: float = 20.0) -> float: ...


SCPD = Thermometer().scpd().decode()


@pytest.fixture
def device(reactor: Any) -> Device:
    device = Device(reactor)
    device.answers[HOME, "GET", "/scpd.xml"] = reply(200, SCPD)
    return device


def answered(body: bytes, status: int = 200) -> bytes:
    return reply(status, body.decode(), 'CONTENT-TYPE: text/xml; charset="utf-8"\r\n')


def test_a_subscription_by_the_class_of_a_service_has_its_state(device: Device) -> None:
    events: list[Any] = []
    service = device.device()[Thermometer]
    for subscription in (
        service.subscribe(events.append),
        device.point.subscribe(service, events.append),
    ):
        device.run()
        with pytest.raises(LookupError, match=r"no event has brought Temperature of Thermometer"):
            _ = subscription.state.temperature
        device.notify(subscription, Temperature="20.5")
        assert subscription.state.temperature == 20.5
        assert events[-1].changes[Thermometer.temperature] == 20.5
        with pytest.raises(AttributeError, match="call an action: set_temperature"):
            subscription.state.temperature = 5.0
    assert service.problems == ()


def test_an_action_of_the_class_is_a_deferred(device: Device) -> None:
    body = build_answer(TYPE, "SetTemperature", {"Temperature": "19.5"})
    device.answers[HOME, "POST", "/control"] = answered(body)
    service = device.device()[Thermometer]
    for calling in (
        service.control.set_temperature(),
        service.set_temperature(temperature=20),
        service.subscribe(lambda _: None).state.set_temperature(20),
        service.call(Thermometer.set_temperature, 20.0),
    ):
        assert isinstance(calling, Deferred)
        assert device.result(calling) == 19.5
    assert device.asked.count((HOME, "GET", "/scpd.xml")) == 2  # and once for the subscription


def test_errors_of_a_call_are_failures(device: Device) -> None:
    service = device.device()[Thermometer]
    device.answers[HOME, "POST", "/control"] = answered(build_fault(701, "Too hot"), 500)
    failure = device.result(service.control.set_temperature(900))
    assert failure.check(ActionError)
    assert failure.value.code == 701
    assert device.result(service.control.set_temperature("hot")).check(TypeError)
    assert device.result(service.control.set_temperature(celsius=1)).check(TypeError)
    assert device.asked.count((HOME, "POST", "/control")) == 1


def test_when_the_device_gets_other_variables_the_class_is_compared_again(
    device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    service = device.device()[Thermometer]
    subscription = service.subscribe(lambda _: None)
    device.run()
    device.notify(subscription, Temperature="20.5")
    assert service.problems == ()
    # It gets other firmware, and restarts a dozen times.
    device.answers[HOME, "GET", "/scpd.xml"] = reply(200, SCPD.replace(">r4<", ">string<"))
    for number in range(2, 14):
        device.restart()
        device.point.device_rebooted(service.device.udn)
        device.run_until(lambda sid=f"uuid:{number}": subscription.sid == sid)
        device.notify(subscription, Temperature="warm")
    assert service.problems[0] == (
        "Thermometer: values cannot be read by the class: Temperature is string instead of r4"
    )
    with pytest.raises(TypeError, match="has sent 'warm'"):
        _ = subscription.state.temperature
    assert caplog.text.count("does not fit its class") == 1
