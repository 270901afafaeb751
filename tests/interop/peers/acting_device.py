"""The devices with actions that act_propchange.py and act_twisted.py host."""

from __future__ import annotations

import re
from typing import Any

from command_lines import tell

from propchange import ActionError, Device, Service, StateVariable, action
from propchange.core.values.data_types import DATA_TYPES
from propchange.upnp.standard import Dimming, SwitchPower


class Switch(SwitchPower):
    @action
    def set_target(self, new_target_value: bool) -> None:
        tell(called="SetTarget", values=[repr(new_target_value)])
        self.target = self.status = new_target_value


class Dimmer(Dimming, without=["StepDelta", "RampRate", "RampTime", "IsRamping", "RampPaused"]):
    @action
    async def set_load_level_target(self, new_load_level_target: int) -> None:
        tell(called="SetLoadLevelTarget", values=[repr(new_load_level_target)])
        self.load_level_target = self.load_level_status = new_load_level_target


class Refusals(Service, type="urn:propchange-test:service:Refusals:1"):
    code = StateVariable("ui2", evented=False)
    words = StateVariable("string", evented=False)
    refused = StateVariable("ui4")

    @action
    def refuse(self, code: int, words: str) -> None:
        """Changes a variable before it is refused."""
        self.refused += 1
        raise ActionError(code, words)

    @action
    def fail(self) -> None:
        raise RuntimeError("a mistake in the method")


def echo(data_type: str) -> Any:
    """An action with an in and an out argument of the type."""
    related = f"A_ARG_TYPE_{variable_name(data_type)}"

    def method(value: Any) -> Any:
        tell(called=data_type, values=[repr(value)])
        return value

    decorated = action(
        name=f"Echo{variable_name(data_type)}",
        arguments={"value": related},
        returns={"Result": related},
    )
    return decorated(method)


def variable_name(data_type: str) -> str:
    return re.sub(r"\W(\w)", lambda found: found[1].upper(), data_type).capitalize()


def types() -> Service:
    """A service with an action for each data type."""
    return Service(
        type="urn:propchange-test:service:Types:1",
        variables=[
            StateVariable.of(each, name=f"A_ARG_TYPE_{variable_name(each)}", evented=False)
            for each in DATA_TYPES
        ],
        actions=[echo(each) for each in DATA_TYPES],
    )


class BasicEvent(
    Service,
    type="urn:Belkin:service:basicevent:1",
    id="urn:Belkin:serviceId:basicevent1",
):
    binary_state = StateVariable("boolean", initial=False)

    @action(returns=binary_state)
    def get_binary_state(self) -> bool:
        return self.binary_state

    @action(returns=binary_state)
    def set_binary_state(self, binary_state: bool) -> bool:
        tell(called="SetBinaryState", values=[repr(binary_state)])
        self.binary_state = binary_state
        return binary_state


def light() -> Device:
    """A dimmable light, with services for the tests beside those of the standard."""
    return Device(
        "Desk lamp",
        services=[Switch(), Dimmer(), types(), Refusals()],
        type="urn:schemas-upnp-org:device:DimmableLight:1",
    )


def wemo() -> Device:
    """A switch that pywemo takes for a WeMo."""
    return Device(
        "WeMo",
        services=[BasicEvent()],
        type="urn:Belkin:device:controllee:1",
        manufacturer="Belkin International Inc.",
        model_name="Socket",
        udn="uuid:Socket-1_0-propchange",
    )


DEVICES = {"light": light, "wemo": wemo}
