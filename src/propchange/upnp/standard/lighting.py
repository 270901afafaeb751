"""SwitchPower and Dimming: a light."""

# A declared action has no body.
# mypy: disable-error-code="empty-body"

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from propchange.core.values.state_variables import StateVariable
from propchange.upnp.action_methods import action, argument
from propchange.upnp.service import Service


class SwitchPower(Service, type="urn:schemas-upnp-org:service:SwitchPower:1"):
    """SwitchPower:1. ``target`` is the requested state. ``status``, which is evented, is the actual
    one."""

    target = StateVariable("boolean", evented=False)
    status = StateVariable("boolean")

    @action(
        arguments={"new_target_value": argument(target, name="newTargetValue")},
        declared="required",
    )
    def set_target(self, new_target_value: bool) -> None:
        """Switch the load on or off."""

    @action(returns={"RetTargetValue": target}, declared="required")
    def get_target(self) -> bool:
        """The requested state."""

    @action(returns={"ResultStatus": status}, declared="required")
    def get_status(self) -> bool:
        """The actual state."""


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

    # The names of the standard begin with a small letter, except one.

    @action(
        arguments={"new_load_level_target": argument(load_level_target, name="newLoadlevelTarget")},
        declared="required",
    )
    def set_load_level_target(self, new_load_level_target: int) -> None:
        """Set the level of the load in percent."""

    @action(returns={"GetLoadlevelTarget": load_level_target}, declared="required")
    def get_load_level_target(self) -> int:
        """The requested level."""

    @action(returns={"retLoadlevelStatus": load_level_status}, declared="required")
    def get_load_level_status(self) -> int:
        """The actual level."""

    @action(
        arguments={"new_on_effect_level": argument(on_effect_level, name="newOnEffectLevel")},
        declared="optional",
    )
    def set_on_effect_level(self, new_on_effect_level: int) -> None:
        """Set the level of a light that is switched on with the effect OnEffectLevel."""

    @action(
        arguments={"new_on_effect": argument(on_effect, name="newOnEffect")}, declared="optional"
    )
    def set_on_effect(self, new_on_effect: str) -> None:
        """Set which level a light has that is switched on."""

    @action(
        returns={"retOnEffect": on_effect, "retOnEffectLevel": on_effect_level},
        declared="optional",
    )
    def get_on_effect_parameters(self) -> Mapping[str, Any]:
        """The level of a light that is switched on."""

    @action(declared="optional")
    def step_up(self) -> None:
        """Make the level higher by StepDelta."""

    @action(declared="optional")
    def step_down(self) -> None:
        """Make the level lower by StepDelta."""

    @action(declared="optional")
    def start_ramp_up(self) -> None:
        """Begin to raise the level at RampRate."""

    @action(declared="optional")
    def start_ramp_down(self) -> None:
        """Begin to lower the level at RampRate."""

    @action(declared="optional")
    def stop_ramp(self) -> None:
        """Stay at the present level."""

    @action(
        arguments={
            "new_load_level_target": argument(load_level_target, name="newLoadLevelTarget"),
            "new_ramp_time": argument(ramp_time, name="newRampTime"),
        },
        declared="optional",
    )
    def start_ramp_to_level(self, new_load_level_target: int, new_ramp_time: int) -> None:
        """Go to a level in ``new_ramp_time`` milliseconds."""

    @action(
        arguments={"new_step_delta": argument(step_delta, name="newStepDelta")}, declared="optional"
    )
    def set_step_delta(self, new_step_delta: int) -> None:
        """Set the percent of one step."""

    @action(returns={"retStepDelta": step_delta}, declared="optional")
    def get_step_delta(self) -> int:
        """The percent of one step."""

    @action(
        arguments={"new_ramp_rate": argument(ramp_rate, name="newRampRate")}, declared="optional"
    )
    def set_ramp_rate(self, new_ramp_rate: int) -> None:
        """Set the percent of a second of a ramp."""

    @action(returns={"retRampRate": ramp_rate}, declared="optional")
    def get_ramp_rate(self) -> int:
        """The percent of a second of a ramp."""

    @action(declared="optional")
    def pause_ramp(self) -> None:
        """Interrupt the ramp."""

    @action(declared="optional")
    def resume_ramp(self) -> None:
        """Continue the ramp."""

    @action(returns={"retIsRamping": is_ramping}, declared="optional")
    def get_is_ramping(self) -> bool:
        """Whether a ramp runs."""

    @action(returns={"retRampPaused": ramp_paused}, declared="optional")
    def get_ramp_paused(self) -> bool:
        """Whether the ramp is interrupted."""

    @action(returns={"retRampTime": ramp_time}, declared="optional")
    def get_ramp_time(self) -> int:
        """The milliseconds that the ramp still takes."""
