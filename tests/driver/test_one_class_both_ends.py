"""One class, both ends: the class that a device's author writes is the contract of a control point,
over sockets, on both runtimes. The device hosts the class, or is played with another document."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from propchange import Device, Service, StateVariable, action, host
from propchange.core.subscriber.events import Status
from propchange.upnp.standard import RenderingControl
from tests.asyncio.conftest import RawDevice
from tests.hostile.fronts import point, result

__all__ = ["point"]

TYPE = "urn:example-org:service:Thermometer:1"

opened: list[Any] = []


class Thermometer(Service, type=TYPE):
    temperature = StateVariable("r4", initial=20.0)
    alarm = StateVariable("boolean", initial=False)
    target = StateVariable("r4", evented=False, initial=19.0)

    def __init__(self, *, sensor: object) -> None:
        super().__init__()
        opened.append(sensor)
        self.sensor = sensor

    @action
    def set_target(self, target: float) -> None:
        self.target = target

    @action(returns=target)
    def get_target(self) -> float:
        return self.target

    def read_sensor(self) -> float:
        return 0.0


class Alarming(Thermometer):
    """With a variable that the device does not have."""

    loudness = StateVariable("ui2")


class Renderer(RenderingControl):
    @action
    def select_preset(self, instance_id: int, preset_name: str) -> None:
        self.brightness = 1


class Watching:
    """A subscription with its events, on either runtime."""

    def __init__(self, subscription: Any, events: list[Any]) -> None:
        self.subscription = subscription
        self.events = events

    @property
    def state(self) -> Any:
        return self.subscription.state


@contextlib.asynccontextmanager
async def watching(service: Any, until: Any, **options: Any) -> AsyncIterator[Watching]:
    """Subscribe to ``service``, and wait for its initial event."""
    events: list[Any] = []
    if type(service).__module__.startswith("propchange.twisted"):
        subscription = service.subscribe(events.append, wait=True, **options)
        await result(subscription.when_granted)
        await until(lambda: events)
        yield Watching(subscription, events)
        await result(subscription.close())
        return
    async with service.subscribe(**options) as subscription:
        events.append(await anext(aiter(subscription)))
        yield Watching(subscription, events)


async def test_the_state_and_the_changes_are_those_of_the_class(point: Any, until: Any) -> None:
    thermometer = Thermometer(sensor="real")
    opened.clear()
    async with (
        host(Device("Bench", services=[thermometer]), interface="127.0.0.1") as hosted,
        point() as (control_point, _),
    ):
        device = await result(control_point.device(hosted.description_url))
        service = device[Thermometer]
        async with watching(service, until) as watched:
            state = watched.state
            assert isinstance(state, Thermometer)
            assert state is watched.state
            assert (state.temperature, state.alarm) == (20.0, False)
            changes = watched.events[0].changes
            assert changes[Thermometer.temperature] == 20.0
            assert watched.subscription.values[Thermometer.alarm] is False
            thermometer.temperature = 21.5
            await until(lambda: state.temperature == 21.5)
            assert state["Temperature"] == 21.5
            with pytest.raises(AttributeError, match="Temperature is the state of the device"):
                state.temperature = 22.0
            with pytest.raises(AttributeError, match="batch is for the device's side"):
                state.batch()
            with pytest.raises(AttributeError, match="read_sensor is for the device's side"):
                state.read_sensor()
            with pytest.raises(AttributeError, match="nothing that __init__ sets"):
                _ = state.sensor
            with pytest.raises(LookupError, match=r"does not event Target; get_target\(\) asks"):
                _ = state.target
        assert state.temperature == 21.5
        assert thermometer.temperature == 21.5
        assert opened == []


async def test_before_the_first_event_there_is_no_value(point: Any, raw_device: Any) -> None:
    async with raw_device() as device, point() as (control_point, _):
        remote = await result(control_point.device(device.description_url))
        service = remote[Thermometer]
        if type(service).__module__.startswith("propchange.twisted"):
            subscription = service.subscribe(lambda _: None)
        else:
            subscription = service.subscribe()
            with pytest.raises(RuntimeError, match="not subscribed yet"):
                _ = subscription.state.temperature
            await subscription.__aenter__()
        with pytest.raises(LookupError, match="no event has brought Temperature of Thermometer"):
            _ = subscription.state.temperature
        with pytest.raises(LookupError, match="no event has brought"):
            getattr(subscription.state, "temperature", None)
        await result(subscription.close())


def described(variables: str, actions: str = "") -> bytes:
    """A service description. ``variables``: ``"Temperature r4, Alarm boolean no"``."""
    parts = []
    for each in filter(None, variables.split(", ")):
        name, kind, evented = (*each.split(" "), "yes")[:3]
        parts.append(
            f'<stateVariable sendEvents="{evented}"><name>{name}</name>'
            f"<dataType>{kind}</dataType></stateVariable>"
        )
    return (
        '<?xml version="1.0"?><scpd xmlns="urn:schemas-upnp-org:service-1-0"><specVersion><major>1'
        f"</major><minor>0</minor></specVersion>{actions}<serviceStateTable>{''.join(parts)}"
        "</serviceStateTable></scpd>"
    ).encode()


ACTIONS = """<actionList>
<action><name>SetTarget</name><argumentList><argument><name>Target</name><direction>in</direction>
<relatedStateVariable>Target</relatedStateVariable></argument></argumentList></action>
<action><name>GetTarget</name><argumentList><argument><name>Target</name><direction>out</direction>
<relatedStateVariable>Target</relatedStateVariable></argument></argumentList></action>
</actionList>"""


class Played(RawDevice):
    """A device that sends an initial event with ``values`` after each grant."""

    def __init__(self, scpd: bytes | None, values: str) -> None:
        super().__init__()
        if scpd is None:
            del self.documents["/scpd.xml"]
        else:
            self.documents["/scpd.xml"] = scpd
        self.values = dict(each.split("=") for each in values.split())

    async def begin(self, until: Any) -> None:
        await until(lambda: self.of("SUBSCRIBE"))
        callback = self.of("SUBSCRIBE")[-1].fields["callback"].strip("<>")
        await self.notify(callback, "uuid:1", 0, **self.values)


@contextlib.asynccontextmanager
async def played(
    point: Any, until: Any, scpd: bytes | None, values: str, wanted: type[Service] = Thermometer
) -> AsyncIterator[Watching]:
    async with Played(scpd, values) as device, point() as (control_point, _):
        remote = await result(control_point.device(device.description_url))
        beginning = asyncio.create_task(device.begin(until))
        async with watching(remote[wanted], until) as watched:
            await beginning
            yield watched


GOOD = "Temperature r4, Alarm boolean, Target r4 no"


async def test_a_service_that_does_not_fit_says_where_and_works_as_far_as_it_fits(
    point: Any, until: Any, caplog: pytest.LogCaptureFixture
) -> None:
    scpd = described("Temperature ui2, Alarm string, Target r4 no", ACTIONS)
    async with played(point, until, scpd, "Temperature=70 Alarm=on", Alarming) as watched:
        service, state = watched.subscription.service, watched.state
        assert caplog.text.count("does not fit its class") == 1
        assert service.problems == (
            "Alarming: the device has no state variable Loudness",
            (
                "Alarming: values are read with the data types of the device: "
                "Temperature is ui2 instead of r4"
            ),
            "Alarming: values cannot be read by the class: Alarm is string instead of boolean",
        )
        assert (state.temperature, type(state.temperature)) == (70.0, float)
        with pytest.raises(TypeError, match="Alarm: the device has sent 'on'"):
            _ = state.alarm
        with pytest.raises(TypeError, match="Alarm"):
            watched.events[0].changes[Alarming.alarm]
        assert state["Temperature"] == 70.0
        with pytest.raises(LookupError, match=r"has no state variable Loudness; there are: Temp"):
            _ = state.loudness
        async with watching_again(service):
            pass
        # Without the class there is nothing to differ from.
        assert service.device["Thermometer"].problems == ()
    warnings = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
    (warning,) = (each for each in warnings if "does not fit its class" in each)
    assert all(problem in warning for problem in service.problems)


@contextlib.asynccontextmanager
async def watching_again(service: Any) -> AsyncIterator[None]:
    """A second subscription, which compares again."""
    if type(service).__module__.startswith("propchange.twisted"):
        subscription = service.subscribe(lambda _: None, wait=True)
        await result(subscription.when_granted)
    else:
        subscription = service.subscribe()
        await subscription.__aenter__()
    yield
    await result(subscription.close())


async def test_a_service_that_fits_has_no_problem_and_no_warning(
    point: Any, until: Any, caplog: pytest.LogCaptureFixture
) -> None:
    more = GOOD + ", Humidity ui1"
    scpd = described(more, ACTIONS)
    async with played(point, until, scpd, "Temperature=1.5 Alarm=1 Humidity=40") as watched:
        assert watched.subscription.service.problems == ()
        assert (watched.state.temperature, watched.state.alarm) == (1.5, True)
        assert watched.state["Humidity"] == 40
    assert [each for each in caplog.records if "class" in each.getMessage()] == []


async def test_without_a_service_description_the_class_gives_the_types(
    point: Any, until: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with played(point, until, None, "Temperature=20.5 Alarm=1 Other=5") as watched:
        assert (watched.state.temperature, watched.state.alarm) == (20.5, True)
        assert watched.events[0].changes == {"Temperature": 20.5, "Alarm": True}
        assert watched.subscription.status is Status.ACTIVE
    assert "the values of Thermometer have the types of Thermometer" in caplog.text


async def test_a_value_that_does_not_fit_its_type_never_becomes_none(
    point: Any, until: Any
) -> None:
    async with played(
        point, until, described(GOOD, ACTIONS), "Temperature=warm Alarm=1"
    ) as watched:
        with pytest.raises(LookupError, match="no event has brought Temperature"):
            _ = watched.state.temperature
        assert watched.state.alarm is True


async def test_instances_and_channels_of_a_lastchange_are_in_the_state(
    point: Any, until: Any
) -> None:
    renderer = Renderer()
    renderer.volume = 13
    renderer.instance(0)["Volume", "LF"] = 7
    renderer.add_instance(2)["Mute"] = True
    async with (
        host(Device("Bench", services=[renderer]), interface="127.0.0.1") as hosted,
        point() as (control_point, _),
    ):
        device = await result(control_point.device(hosted.description_url))
        async with watching(device[RenderingControl], until) as watched:
            state = watched.state
            assert (state.volume, state.mute) == (13, False)
            assert state.instances == (0, 2)
            assert state.instance(0)["Volume", "LF"] == 7
            assert state.instance(2)["Mute"] is True
            with pytest.raises(LookupError, match="no event has brought Nothing of instance 2"):
                state.instance(2)["Nothing"]
            assert watched.events[0].changes[RenderingControl.volume] == 13


async def test_without_a_class_the_state_is_read_by_name(point: Any, until: Any) -> None:
    async with (
        host(Device("Bench", services=[Thermometer(sensor=1)]), interface="127.0.0.1") as hosted,
        point() as (control_point, _),
    ):
        device = await result(control_point.device(hosted.description_url))
        async with watching(device["Thermometer"], until) as watched:
            assert watched.state["Temperature"] == 20.0
            with pytest.raises(AttributeError, match=r"state\['Name'\] reads a variable"):
                _ = watched.state.temperature
            with pytest.raises(LookupError, match=r"does not event Target; call\('GetTarget'\)"):
                watched.state["Target"]
            with pytest.raises(LookupError, match="has no state variable Humidity; there are: Te"):
                watched.state["Humidity"]


async def test_control_has_no_values(point: Any, raw_device: Any) -> None:
    async with raw_device() as device, point() as (control_point, _):
        remote = await result(control_point.device(device.description_url))
        control = remote[Thermometer].control
        assert isinstance(control, Thermometer)
        assert control is remote[Thermometer].control
        with pytest.raises(LookupError, match=r"control only calls actions.*get_target\(\) asks"):
            _ = control.target
        with pytest.raises(LookupError, match=r"Temperature has no value here"):
            control["Temperature"]
        with pytest.raises(LookupError, match="has no instance 0; there are: none"):
            control.instance(0)
        assert list(control) == []
        assert (control.service_type, control.service_id) == (
            TYPE,
            remote["Thermometer"].service_id,
        )
        with pytest.raises(AttributeError, match="has no attribute 'read_sensor'"):
            _ = remote[Thermometer].read_sensor
        with pytest.raises(AttributeError, match="has no attribute 'set_target'"):
            _ = remote["Thermometer"].set_target
        assert callable(remote[Thermometer].set_target)
