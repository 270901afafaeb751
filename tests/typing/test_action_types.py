"""The types of actions. mypy checks this file; running it shows little."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, assert_type

from propchange import Service, StateVariable, action
from propchange.upnp.action_methods import ActionMethod


class Oven(Service, type="urn:example-org:service:Oven:1"):
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
        return {"NowDoor": wanted, "NowTemperature": self.temperature}


if TYPE_CHECKING:

    def the_class_has_the_action_methods() -> None:
        assert_type(Oven.switch_off, ActionMethod[[], None])

    async def an_instance_has_functions_that_return_awaitables(oven: Oven) -> None:
        assert_type(oven.switch_off(), Awaitable[None])
        assert_type(await oven.set_temperature(180), int)
        assert_type(await oven.set_temperature(temperature=180), int)
        assert_type(await oven.move_door("open"), dict[str, object])
        await oven.set_temperature("180")  # type: ignore[arg-type]  # the error is the point
        await oven.set_temperature(warmth=1)  # type: ignore[call-arg]  # the error is the point
        await oven.move_door()  # type: ignore[call-arg]  # the error is the point


def test_the_class_has_the_methods() -> None:
    assert isinstance(Oven.move_door, ActionMethod)
