"""RenderingControl: the sound and picture of a renderer."""

# A declared action has no body.
# mypy: disable-error-code="empty-body"

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from propchange.core.values.lastchange import MASTER
from propchange.core.values.state_variables import NumericOptions, StateVariable
from propchange.errors import ActionError
from propchange.upnp.action_methods import action
from propchange.upnp.instances import ServiceInstance
from propchange.upnp.service import Service
from propchange.upnp.standard.shared import argument_type, called_instance, indirect

_PERCENT: NumericOptions[int] = {"minimum": 0, "maximum": 100, "step": 1, "evented": "LastChange"}
_KEYSTONE: NumericOptions[int] = {**_PERCENT, "minimum": -32_768, "maximum": 32_767}


class RenderingControl(Service, type="urn:schemas-upnp-org:service:RenderingControl:1"):
    """RenderingControl:1, the sound and picture of a renderer. Its variables are evented through
    LastChange. Mute, Volume, VolumeDB and Loudness have channels; their attributes stand for the
    channel Master (LC-01, LC-04).

    A vendor chooses the maxima; the default is 100. The standard requires PresetNameList only.
    ``volume_db`` is in 1/256 dB.
    """

    _invalid_instance = 702
    # RenderingControl:2 §2.4; version 1 has no code for it.
    _invalid_channel = 703

    preset_name_list = indirect("FactoryDefaults")
    brightness = StateVariable("ui2", **_PERCENT)
    contrast = StateVariable("ui2", **_PERCENT)
    sharpness = StateVariable("ui2", **_PERCENT)
    red_video_gain = StateVariable("ui2", **_PERCENT)
    green_video_gain = StateVariable("ui2", **_PERCENT)
    blue_video_gain = StateVariable("ui2", **_PERCENT)
    red_video_black_level = StateVariable("ui2", **_PERCENT)
    green_video_black_level = StateVariable("ui2", **_PERCENT)
    blue_video_black_level = StateVariable("ui2", **_PERCENT)
    color_temperature = StateVariable(
        "ui2", minimum=0, maximum=65_535, step=1, evented="LastChange"
    )
    horizontal_keystone = StateVariable("i2", **_KEYSTONE)
    vertical_keystone = StateVariable("i2", **_KEYSTONE)
    mute = StateVariable("boolean", evented="LastChange", channel=MASTER)
    volume = StateVariable(
        "ui2", minimum=0, maximum=100, step=1, evented="LastChange", channel=MASTER
    )
    volume_db = StateVariable(
        "i2", name="VolumeDB", minimum=-32_768, maximum=32_767, evented="LastChange", channel=MASTER
    )
    loudness = StateVariable("boolean", evented="LastChange", channel=MASTER)

    a_arg_type_channel = argument_type(
        "Channel", f"{MASTER} LF RF CF LFE LS RS LFC RFC SD SL SR T B"
    )
    a_arg_type_instance_id = StateVariable("ui4", evented=False, name="A_ARG_TYPE_InstanceID")
    a_arg_type_preset_name = argument_type("PresetName", "FactoryDefaults InstallationDefaults")

    def check_instance(self, instance_id: int, channel: str | None = None) -> ServiceInstance:
        """The instance of a call, for a method that is an action. Raises :exc:`.ActionError` 702 if
        there is none of this number, and 703 if no variable has a value in ``channel``
        (RenderingControl:2 §2.4)."""
        instance = called_instance(self, instance_id, self._invalid_instance)
        if channel is not None and not any(
            (name, channel) in instance
            for name, variable in self.variables.items()
            if variable.channel is not None
        ):
            raise ActionError(self._invalid_channel, "Invalid Channel")
        return instance

    @action(returns={"CurrentPresetNameList": preset_name_list}, declared="required")
    def list_presets(self, instance_id: int) -> str:
        """The names of the presets, a comma-separated list."""

    @action(declared="required")
    def select_preset(self, instance_id: int, preset_name: str) -> None:
        """Set the variables to the values of a preset."""

    @action(returns={"CurrentBrightness": brightness}, declared="optional")
    def get_brightness(self, instance_id: int) -> int:
        """The brightness."""

    @action(declared="optional")
    def set_brightness(self, instance_id: int, desired_brightness: int) -> None:
        """Set the brightness."""

    @action(returns={"CurrentContrast": contrast}, declared="optional")
    def get_contrast(self, instance_id: int) -> int:
        """The contrast."""

    @action(declared="optional")
    def set_contrast(self, instance_id: int, desired_contrast: int) -> None:
        """Set the contrast."""

    @action(returns={"CurrentSharpness": sharpness}, declared="optional")
    def get_sharpness(self, instance_id: int) -> int:
        """The sharpness."""

    @action(declared="optional")
    def set_sharpness(self, instance_id: int, desired_sharpness: int) -> None:
        """Set the sharpness."""

    @action(returns={"CurrentRedVideoGain": red_video_gain}, declared="optional")
    def get_red_video_gain(self, instance_id: int) -> int:
        """The gain of red."""

    @action(declared="optional")
    def set_red_video_gain(self, instance_id: int, desired_red_video_gain: int) -> None:
        """Set the gain of red."""

    @action(returns={"CurrentGreenVideoGain": green_video_gain}, declared="optional")
    def get_green_video_gain(self, instance_id: int) -> int:
        """The gain of green."""

    @action(declared="optional")
    def set_green_video_gain(self, instance_id: int, desired_green_video_gain: int) -> None:
        """Set the gain of green."""

    @action(returns={"CurrentBlueVideoGain": blue_video_gain}, declared="optional")
    def get_blue_video_gain(self, instance_id: int) -> int:
        """The gain of blue."""

    @action(declared="optional")
    def set_blue_video_gain(self, instance_id: int, desired_blue_video_gain: int) -> None:
        """Set the gain of blue."""

    @action(returns={"CurrentRedVideoBlackLevel": red_video_black_level}, declared="optional")
    def get_red_video_black_level(self, instance_id: int) -> int:
        """The least intensity of red."""

    @action(declared="optional")
    def set_red_video_black_level(
        self, instance_id: int, desired_red_video_black_level: int
    ) -> None:
        """Set the least intensity of red."""

    @action(returns={"CurrentGreenVideoBlackLevel": green_video_black_level}, declared="optional")
    def get_green_video_black_level(self, instance_id: int) -> int:
        """The least intensity of green."""

    @action(declared="optional")
    def set_green_video_black_level(
        self, instance_id: int, desired_green_video_black_level: int
    ) -> None:
        """Set the least intensity of green."""

    @action(returns={"CurrentBlueVideoBlackLevel": blue_video_black_level}, declared="optional")
    def get_blue_video_black_level(self, instance_id: int) -> int:
        """The least intensity of blue."""

    @action(declared="optional")
    def set_blue_video_black_level(
        self, instance_id: int, desired_blue_video_black_level: int
    ) -> None:
        """Set the least intensity of blue."""

    @action(returns={"CurrentColorTemperature": color_temperature}, declared="optional")
    def get_color_temperature(self, instance_id: int) -> int:
        """The colour quality of white."""

    @action(declared="optional")
    def set_color_temperature(self, instance_id: int, desired_color_temperature: int) -> None:
        """Set the colour quality of white."""

    @action(returns={"CurrentHorizontalKeystone": horizontal_keystone}, declared="optional")
    def get_horizontal_keystone(self, instance_id: int) -> int:
        """The horizontal compensation of distortion."""

    @action(declared="optional")
    def set_horizontal_keystone(self, instance_id: int, desired_horizontal_keystone: int) -> None:
        """Set the horizontal compensation of distortion."""

    @action(returns={"CurrentVerticalKeystone": vertical_keystone}, declared="optional")
    def get_vertical_keystone(self, instance_id: int) -> int:
        """The vertical compensation of distortion."""

    @action(declared="optional")
    def set_vertical_keystone(self, instance_id: int, desired_vertical_keystone: int) -> None:
        """Set the vertical compensation of distortion."""

    @action(returns={"CurrentMute": mute}, declared="optional")
    def get_mute(self, instance_id: int, channel: str) -> bool:
        """Whether the channel is muted."""

    @action(declared="optional")
    def set_mute(self, instance_id: int, channel: str, desired_mute: bool) -> None:
        """Set whether the channel is muted."""

    @action(returns={"CurrentVolume": volume}, declared="optional")
    def get_volume(self, instance_id: int, channel: str) -> int:
        """The volume of the channel."""

    @action(declared="optional")
    def set_volume(self, instance_id: int, channel: str, desired_volume: int) -> None:
        """Set the volume of the channel."""

    @action(name="GetVolumeDB", returns={"CurrentVolume": volume_db}, declared="optional")
    def get_volume_db(self, instance_id: int, channel: str) -> int:
        """The volume of the channel in 1/256 dB."""

    @action(name="SetVolumeDB", arguments={"desired_volume": volume_db}, declared="optional")
    def set_volume_db(self, instance_id: int, channel: str, desired_volume: int) -> None:
        """Set the volume of the channel in 1/256 dB."""

    @action(
        name="GetVolumeDBRange",
        returns={"MinValue": volume_db, "MaxValue": volume_db},
    )
    def get_volume_db_range(self, instance_id: int, channel: str) -> Mapping[str, Any]:
        """The range of VolumeDB. This one is answered from the declaration of the variable."""
        self.check_instance(instance_id, channel)
        volume_db = self.variables["VolumeDB"]
        return {"MinValue": volume_db.minimum, "MaxValue": volume_db.maximum}

    @action(returns={"CurrentLoudness": loudness}, declared="optional")
    def get_loudness(self, instance_id: int, channel: str) -> bool:
        """Whether the loudness of the channel is on."""

    @action(declared="optional")
    def set_loudness(self, instance_id: int, channel: str, desired_loudness: bool) -> None:
        """Set whether the loudness of the channel is on."""
