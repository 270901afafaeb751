"""The types of actions. mypy checks this file; running it shows little."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, assert_type

from propchange import Action, ActionError, Argument, Service, StateVariable, action, argument
from propchange.upnp.action_methods import ActionMethod
from propchange.upnp.standard import SwitchPower

TYPE = "urn:example-org:service:Oven:1"


class Oven(Service, type=TYPE):
    temperature = StateVariable("ui2", maximum=300)
    door = StateVariable("string", allowed=["open", "closed"])

    @action
    def switch_off(self) -> None:
        self.temperature = 0

    @action(returns=temperature)
    async def set_temperature(self, temperature: int) -> int:
        self.temperature = temperature
        return temperature

    @action(arguments={"wanted": door}, returns={"NowDoor": door, "NowTemperature": temperature})
    def move_door(self, wanted: str) -> dict[str, object]:
        if wanted == self.door:
            raise ActionError(701, "The door is there already")
        return {"NowDoor": wanted, "NowTemperature": self.temperature}

    @action(name="X_Open", arguments={"kind": argument("Door", name="Kind")}, retval=False)
    async def open_door(self, kind: str = "open") -> None:
        await self.move_door(kind)


class Light(SwitchPower):
    @action
    def set_target(self, new_target_value: bool) -> None:
        self.target = self.status = new_target_value


if TYPE_CHECKING:

    def the_class_has_the_action_methods() -> None:
        assert_type(Oven.switch_off, ActionMethod[[], None])
        assert_type(Oven.switch_off.action, Action)
        assert_type(Oven.switch_off.action.inputs, tuple[Argument, ...])
        assert_type(Oven.set_temperature.inputs_of(temperature=180), dict[str, object])
        assert_type(Oven.set_temperature.result_of({}), int)
        Oven.set_temperature.inputs_of("hot")  # type: ignore[arg-type]  # the error is the point

    async def an_instance_has_functions_that_return_awaitables(oven: Oven) -> None:
        assert_type(oven.switch_off(), Awaitable[None])
        assert_type(await oven.set_temperature(180), int)
        assert_type(await oven.set_temperature(temperature=180), int)
        assert_type(await oven.move_door("open"), dict[str, object])
        await oven.open_door()
        await oven.open_door(kind="closed")
        await oven.set_temperature("180")  # type: ignore[arg-type]  # the error is the point
        await oven.set_temperature(warmth=1)  # type: ignore[call-arg]  # the error is the point
        await oven.move_door()  # type: ignore[call-arg]  # the error is the point
        oven.switch_off = print  # type: ignore[assignment]  # the error is the point

    async def a_subclass_has_the_types_of_the_standard(light: Light) -> None:
        await light.set_target(True)
        await light.set_target(new_target_value=False)
        assert_type(await light.get_status(), bool)
        await light.set_target("on")  # type: ignore[arg-type]  # the error is the point

    class Wrong(SwitchPower):
        @action
        def set_target(self, new_target_value: bytes) -> None:  # type: ignore[override]  # the error is the point
            pass

        @action(declared="perhaps")  # type: ignore[call-overload, untyped-decorator]  # the error is the point
        def dim(self) -> None:
            pass

        @action(returns=3)  # type: ignore[call-overload, untyped-decorator]  # the error is the point
        def brighten(self) -> None:
            pass

    def a_service_describes_its_actions(oven: Oven) -> None:
        assert_type(oven.actions, Mapping[str, Action])
        assert_type(oven.actions["SwitchOff"].outputs[0].variable, StateVariable[Any])
        Argument("A", "both", Oven.door)  # type: ignore[arg-type]  # the error is the point
        ActionError("701")  # type: ignore[arg-type]  # the error is the point

    def functions_are_actions_at_run_time(function: Callable[[bool], None]) -> None:
        @action
        def stop() -> None:
            pass

        Service(type=TYPE, actions=[action(name="SetTarget")(function), stop])
        Service(type=TYPE, actions={"SetTarget": function})
        Service.from_scpd(b"", actions={"SetTarget": function, "Stop": lambda: None})
        Service(type=TYPE, actions=function)  # type: ignore[arg-type]  # the error is the point
        Service(type=TYPE, actions={"Stop": 3})  # type: ignore[dict-item]  # the error is the point


def test_a_class_has_its_actions_as_methods_and_lists_them() -> None:
    assert isinstance(Oven.move_door, ActionMethod)
    assert list(Oven().actions) == ["SwitchOff", "SetTemperature", "MoveDoor", "X_Open"]
