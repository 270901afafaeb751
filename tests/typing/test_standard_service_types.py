"""The attributes of the standard services have the types of their variables."""

from __future__ import annotations

from typing import assert_type

from propchange.upnp.standard import AVTransport, Dimming, RenderingControl, SwitchPower


def test_the_attributes_of_standard_services_are_typed() -> None:
    rendering = RenderingControl()
    assert_type(rendering.volume, int)
    assert_type(rendering.mute, bool)
    assert_type(AVTransport().transport_state, str)
    assert_type(Dimming().load_level_status, int)
    assert_type(SwitchPower().status, bool)
