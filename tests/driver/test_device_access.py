"""What the state of a subscription reads, and why a variable has no value."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.subscriber.record import SubscriptionRecord
from propchange.core.values.state_variables import StateVariable
from propchange.driver.device_access import StateAccess
from propchange.upnp.actions import Action, Argument
from propchange.upnp.remote_state import remote_instance
from propchange.upnp.scpd import ServiceContents
from propchange.upnp.service import Service


class Speaker(Service, type="urn:example-org:service:Speaker:1"):
    volume = StateVariable("ui2", evented="LastChange", channel="LF")
    mute = StateVariable("boolean", evented="LastChange", channel="Master")
    power = StateVariable("boolean")
    serial = StateVariable("string")


def made(name: str, kind: str = "string", *, evented: bool = True) -> StateVariable[Any]:
    return StateVariable.of(kind, name=name, evented=evented)


POWER, SERIAL = made("Power", "boolean"), made("Serial")
DECLARED = {
    "LastChange": made("LastChange"),
    "Volume": made("Volume", "ui2", evented=False),
    "Mute": made("Mute", "boolean", evented=False),
    "Power": POWER,
    "Serial": SERIAL,
}


class Speaking:
    """A subscription to a Speaker, whose record a test fills."""

    def __init__(self, contents: ServiceContents | None = None, accepted: Any = None) -> None:
        self.record = SubscriptionRecord(
            "http://h/e", persistent=True, describable=True, device=None, convert=None,
            duration_wanted=300, limits=DEFAULT_LIMITS, begun_at=0.0,
        )  # fmt: skip
        if accepted:
            self.record.grant = SimpleNamespace(accepted=accepted)  # type: ignore[assignment]  # read alone
        plain = SimpleNamespace(_contents=contents)
        service = SimpleNamespace(_plain=plain, _called="Speaker of 'Desk'")
        end = StateAccess(service, Speaker, self)  # type: ignore[arg-type]  # what it reads
        self.state = remote_instance(Speaker, end)


def contents(*names: str, actions: tuple[Action, ...] = ()) -> ServiceContents:
    declared = {name: each for name, each in DECLARED.items() if name in names}
    return ServiceContents(declared, {each.name: each for each in actions}, ())


def why(speaking: Speaking, name: str) -> str:
    with pytest.raises(LookupError) as raised:
        getattr(speaking.state, name)
    return str(raised.value)


def test_an_attribute_of_another_channel_is_read_in_that_channel() -> None:
    speaking = Speaking(contents(*DECLARED))
    last_change = (
        '<Event xmlns="urn:schemas-upnp-org:metadata-1-0/RCS/"><InstanceID val="0">'
        '<Volume channel="Master" val="1"/><Volume channel="LF" val="2"/>'
        '<Mute channel="Master" val="0"/></InstanceID></Event>'
    )
    speaking.record.convert = {"LastChange": str, "Volume": int, "Mute": lambda text: text == "1"}
    assert why(speaking, "volume").startswith("no event has brought Volume of Speaker")
    speaking.record.decode(0, (("LastChange", last_change),), initial=True)
    assert (speaking.state.volume, speaking.state.mute) == (2, False)
    assert speaking.state["Volume"] == 2
    assert speaking.record.values["Volume"] == 1


def test_the_error_names_the_variables_of_the_device() -> None:
    assert why(Speaking(contents("Power")), "serial") == (
        "Speaker of 'Desk' has no state variable Serial; there are: Power"
    )
    many = {f"V{number}": POWER for number in range(2_000)}
    assert why(Speaking(ServiceContents(many, {}, ())), "serial") == (
        "Speaker of 'Desk' has no state variable Serial; "
        "there are: V0, V1, V2, V3, V4, V5, V6, V7 and 1992 more"
    )


def test_the_error_names_the_actions_that_return_the_variable() -> None:
    silent = made("Serial", evented=False)
    get = Action("GetSerial", (Argument("Now", "out", silent),))
    described = ServiceContents({"Serial": silent}, {"GetSerial": get}, ())
    assert why(Speaking(described), "serial") == (
        "Speaker of 'Desk' does not event Serial; call('GetSerial') asks the device"
    )


def test_a_subscription_to_other_variables_is_said() -> None:
    speaking = Speaking(contents(*DECLARED), accepted=("Power",))
    assert why(speaking, "serial") == "the subscription is for other variables: Power"
    assert "no event has brought Power" in why(speaking, "power")


@pytest.mark.parametrize("described", [None, contents(*DECLARED)])
def test_before_an_event_the_status_is_said(described: Any) -> None:
    assert why(Speaking(described), "power") == (
        "no event has brought Power of Speaker of 'Desk' yet (subscribing: no event so far)"
    )


def test_a_value_that_has_come_is_read_whatever_the_description_says() -> None:
    speaking = Speaking(contents("Power"))
    speaking.record.values["Serial"] = "x1"
    assert speaking.state.serial == "x1"
