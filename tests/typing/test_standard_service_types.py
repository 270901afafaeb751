"""The attributes of the standard services have the types of their variables, their actions those of
their arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, assert_type

from propchange import action
from propchange.upnp.standard import AVTransport, Dimming, RenderingControl, SwitchPower


def test_the_attributes_of_standard_services_are_typed() -> None:
    rendering = RenderingControl()
    assert_type(rendering.volume, int)
    assert_type(rendering.mute, bool)
    assert_type(AVTransport().transport_state, str)
    assert_type(Dimming().load_level_status, int)
    assert_type(SwitchPower().status, bool)


class Amplifier(RenderingControl):
    @action
    def select_preset(self, instance_id: int, preset_name: str) -> None:
        self.volume = 10

    @action
    async def set_volume(self, instance_id: int, channel: str, desired_volume: int) -> None:
        self.check_instance(instance_id, channel)["Volume", channel] = desired_volume


class Transport(AVTransport):
    @action
    def get_transport_info(self, instance_id: int) -> dict[str, object]:
        return {}


if TYPE_CHECKING:

    class WrongTransport(AVTransport):
        @action
        def stop(self, instance_id: str) -> None:  # type: ignore[override] # a number in the standard
            pass


async def test_the_actions_of_standard_services_are_typed() -> None:
    amplifier = Amplifier()
    assert_type(await amplifier.get_volume(0, "Master"), int)
    assert_type(await amplifier.get_mute(instance_id=0, channel="Master"), bool)
    assert_type(await amplifier.set_volume(0, "Master", 5), None)
    assert_type(await AVTransport().get_position_info(0), Mapping[str, Any])
    assert amplifier.volume == 5
