"""The actions of a class at the control point's end: they call the device, on both runtimes."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from propchange import ActionError, Device, Service, StateVariable, action, argument, host
from propchange.errors import RemoteProtocolError
from propchange.upnp.standard import SwitchPower
from tests.asyncio.conftest import RawDevice
from tests.driver.test_one_class_both_ends import described, watching
from tests.hostile.fronts import point, result

__all__ = ["point"]


class Oven(Service, type="urn:example-org:service:Oven:1"):
    temperature = StateVariable("r4", initial=20.0, minimum=0.0, maximum=300.0)
    door = StateVariable("string", allowed=["open", "closed"])
    minutes = StateVariable("ui2", evented=False)

    @action
    def heat(self, temperature: float = 180.0, minutes: int = 5) -> None:
        self.temperature, self.minutes = temperature, minutes

    @action(returns=temperature)
    async def cool(self, *, temperature: float) -> float:
        self.temperature = min(self.temperature, temperature)
        return self.temperature

    @action(arguments={"wanted": door}, returns={"NowDoor": door, "NowMinutes": minutes})
    def move_door(self, wanted: str) -> Mapping[str, Any]:
        if self.temperature > 200:
            raise ActionError(701, "The door is blocked")
        self.door = wanted
        return {"NowDoor": self.door, "NowMinutes": self.minutes}

    @action(name="X_Set", arguments={"timeout": argument(minutes, name="action")})
    def set_timer(self, timeout: int) -> None:
        self.minutes = timeout


class LaterOven(Oven):
    """The author's next class, which the device does not have yet."""

    @action
    def clean(self, minutes: int) -> None: ...


@contextlib.asynccontextmanager
async def hosted(point: Any, oven: Oven) -> AsyncIterator[Any]:
    async with (
        host(Device("Kitchen", services=[oven]), interface="127.0.0.1") as hosted,
        point() as (control_point, _),
    ):
        yield await result(control_point.device(hosted.description_url))


async def test_a_call_has_the_parameters_and_the_result_of_the_method(point: Any) -> None:
    oven = Oven()
    async with hosted(point, oven) as device:
        remote = device[Oven].control
        assert await result(remote.heat(150.0, minutes=7)) is None
        assert (oven.temperature, oven.minutes) == (150.0, 7)
        assert await result(remote.heat()) is None
        assert (oven.temperature, oven.minutes) == (180.0, 5)
        assert await result(remote.cool(temperature=90)) == 90.0
        assert await result(remote.move_door("closed")) == {"NowDoor": "closed", "NowMinutes": 5}
        # Names that our own parameters have too.
        await result(remote.set_timer(timeout=9))
        await result(device[Oven].set_timer(10))
        await result(device[Oven].call(Oven.set_timer, timeout=11))
        assert oven.minutes == 11


async def test_an_action_of_the_state_makes_the_event_that_the_state_reads(
    point: Any, until: Any
) -> None:
    async with hosted(point, Oven()) as device, watching(device[Oven], until) as watched:
        await result(watched.state.heat(temperature=99.5))
        await until(lambda: watched.state.temperature == 99.5)
        await until(lambda: watched.events[-1:] or True)
        assert watched.subscription.values[Oven.temperature] == 99.5


class SpeltSwitch(Service, type="urn:schemas-upnp-org:service:SwitchPower:1"):
    """SwitchPower with the arguments as some makes spell them."""

    target = StateVariable("boolean", evented=False)
    status = StateVariable("boolean")

    @action(arguments={"value": argument(target, name="NewTargetValue")})
    def set_target(self, value: bool) -> None:
        self.target = self.status = value

    @action(returns={"ret_target_value": target})
    def get_target(self) -> bool:
        return self.target

    @action(returns={"resultStatus": status})
    def get_status(self) -> bool:
        return self.status


async def test_a_device_that_spells_the_arguments_of_a_standard_differently_is_called(
    point: Any,
) -> None:
    async with (
        host(Device("Lamp", services=[SpeltSwitch()]), interface="127.0.0.1") as hosted,
        point() as (control_point, _),
    ):
        device = await result(control_point.device(hosted.description_url))
        lamp = device[SwitchPower].control
        assert await result(lamp.set_target(True)) is None
        assert await result(lamp.get_target()) is True
        assert await result(lamp.get_status()) is True
        assert "newTargetValue" in " ".join(device[SwitchPower].problems)


async def test_wrong_parameters_are_errors_before_anything_is_sent(point: Any) -> None:
    oven = Oven()
    ran: list[Any] = []
    oven.on_action = ran.append  # type: ignore[assignment]  # it would get a request
    async with hosted(point, oven) as device:
        remote = device[Oven].control
        for wrong in (
            lambda: remote.heat(1.0, 2, 3),
            lambda: remote.heat(celsius=3),
            lambda: remote.cool(3.0),
            remote.cool,
            lambda: remote.heat("hot"),
            lambda: remote.move_door(None),
        ):
            with pytest.raises(TypeError):
                await result(wrong())
        for wrong in (lambda: remote.heat(301), lambda: remote.move_door("ajar")):
            with pytest.raises(ValueError, match=r"301|ajar"):
                await result(wrong())
    assert ran == []


async def test_a_fault_is_an_action_error(point: Any) -> None:
    oven = Oven()
    oven.temperature = 250.0
    async with hosted(point, oven) as device:
        with pytest.raises(ActionError, match="The door is blocked") as raised:
            await result(device[Oven].control.move_door("open"))
        assert raised.value.code == 701


async def test_an_action_that_the_device_does_not_have_names_those_that_it_has(
    point: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with hosted(point, Oven()) as device:
        service = device[LaterOven]
        with pytest.raises(LookupError, match=r"has no action 'Clean'; there are: .*Heat"):
            await result(service.control.clean(5))
        assert service.problems == ("LaterOven: the device has no action Clean",)
        assert await result(service.control.cool(temperature=1.0)) == 1.0
    assert caplog.text.count("does not fit its class") == 1


class Cooking:
    """Actions of several services."""

    @action(returns="Temperature")
    def warm(self, temperature: float) -> float:
        self.temperature = temperature
        return temperature


class Stove(Cooking, Service, type="urn:example-org:service:Stove:1"):
    temperature = StateVariable("r4")


async def test_an_action_of_a_class_that_is_no_service_is_called(point: Any) -> None:
    stove = Stove()
    async with (
        host(Device("Kitchen", services=[stove]), interface="127.0.0.1") as hosted,
        point() as (control_point, _),
    ):
        device = await result(control_point.device(hosted.description_url))
        assert await result(device[Stove].control.warm(60.0)) == 60.0
        assert await result(device[Stove].call(Stove.warm, temperature=70)) == 70.0
        assert device[Stove].problems == ()
        assert stove.temperature == 70.0


async def test_the_actions_of_a_device_may_be_called_without_the_class(point: Any) -> None:
    oven = Oven()
    async with hosted(point, oven) as device:
        answer = await result(device["Oven"].call("MoveDoor", Wanted="closed"))
        assert answer == {"NowDoor": "closed", "NowMinutes": 0}
        with pytest.raises(AttributeError, match="has no attribute 'heat'"):
            device["Oven"].heat()


SCPD = """<actionList><action><name>Cool</name><argumentList>
<argument><name>Temperature</name><direction>in</direction>
<relatedStateVariable>Temperature</relatedStateVariable></argument>
<argument><name>{out}</name><direction>out</direction>
<relatedStateVariable>{related}</relatedStateVariable></argument>
</argumentList></action></actionList>"""


@contextlib.asynccontextmanager
async def answering(point: Any, out: str, related: str, text: str) -> AsyncIterator[Any]:
    """A device whose Cool returns ``text`` in the argument ``out``."""
    scpd = SCPD.format(out=out, related=related)
    async with RawDevice() as device, point() as (control_point, _):
        for name, document in device.documents.items():
            device.documents[name] = document.replace(b"Thermometer", b"Oven").replace(
                b"<service>", b"<service><controlURL>/control</controlURL>", 1
            )
        device.documents["/scpd.xml"] = described(
            "Temperature i4, Door string, Fixed fixed.14.4", scpd
        )
        device.answers["POST"] = device.reply(
            200,
            'CONTENT-TYPE: text/xml; charset="utf-8"\r\nEXT:\r\n',
            (
                '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
                '<u:CoolResponse xmlns:u="urn:example-org:service:Oven:1">'
                f"<{out}>{text}</{out}></u:CoolResponse></s:Body></s:Envelope>"
            ).encode(),
        )
        yield await result(control_point.device(device.description_url))


@pytest.mark.parametrize(
    ("related", "text", "value"), [("Temperature", "-5", -5.0), ("Fixed", "1.5", 1.5)]
)
async def test_the_result_has_the_type_of_the_class_if_that_has_room_for_it(
    point: Any, related: str, text: str, value: float
) -> None:
    async with answering(point, "Temperature", related, text) as device:
        cooled = await result(device[Oven].control.cool(temperature=3))
        assert (cooled, type(cooled)) == (value, float)


@pytest.mark.parametrize(
    ("out", "related", "text", "error"),
    [
        ("Temperature", "Door", "open", TypeError),
        ("Temperature", "Temperature", "warm", RemoteProtocolError),
        ("Other", "Temperature", "5", RemoteProtocolError),
    ],
)
async def test_a_result_of_another_kind_is_an_error_and_never_none(
    point: Any, out: str, related: str, text: str, error: type[Exception]
) -> None:
    async with answering(point, out, related, text) as device:
        with pytest.raises(error, match="Temperature"):
            await result(device[Oven].control.cool(temperature=3))
