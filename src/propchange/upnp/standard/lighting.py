"""SwitchPower and Dimming: a light."""

from __future__ import annotations

from propchange.core.values.state_variables import StateVariable
from propchange.upnp.service import Service


class SwitchPower(Service, type="urn:schemas-upnp-org:service:SwitchPower:1"):
    """SwitchPower:1. ``target`` is the requested state. ``status``, which is evented, is the actual
    one."""

    target = StateVariable("boolean", evented=False)
    status = StateVariable("boolean")


class Dimming(Service, type="urn:schemas-upnp-org:service:Dimming:1"):
    """Dimming:1. ``load_level_status``, which is evented, is the actual level of the load in
    percent. The standard requires the two load levels only."""

    load_level_target = StateVariable("ui1", minimum=0, maximum=100, evented=False)
    load_level_status = StateVariable("ui1", minimum=0, maximum=100)
    on_effect_level = StateVariable("ui1", initial=100, minimum=0, maximum=100, evented=False)
    on_effect = StateVariable(
        "string",
        initial="Default",
        allowed=["OnEffectLevel", "LastSetting", "Default"],
        evented=False,
    )
    step_delta = StateVariable("ui1", minimum=1, maximum=100)
    ramp_rate = StateVariable("ui1", minimum=0, maximum=100)
    ramp_time = StateVariable("ui4", evented=False)
    is_ramping = StateVariable("boolean")
    ramp_paused = StateVariable("boolean")
