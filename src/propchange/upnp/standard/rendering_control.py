"""RenderingControl: the sound and picture of a renderer."""

from __future__ import annotations

from propchange.core.values.lastchange import MASTER
from propchange.core.values.state_variables import NumericOptions, StateVariable
from propchange.upnp.service import Service
from propchange.upnp.standard.shared import argument_type, indirect

_PERCENT: NumericOptions[int] = {"minimum": 0, "maximum": 100, "step": 1, "evented": "LastChange"}
_KEYSTONE: NumericOptions[int] = {**_PERCENT, "minimum": -32_768, "maximum": 32_767}


class RenderingControl(Service, type="urn:schemas-upnp-org:service:RenderingControl:1"):
    """RenderingControl:1, the sound and picture of a renderer. Its variables are evented through
    LastChange. Mute, Volume, VolumeDB and Loudness have channels; their attributes stand for the
    channel Master (LC-01, LC-04).

    A vendor chooses the maxima; the default is 100. The standard requires PresetNameList only.
    ``volume_db`` is in 1/256 dB.
    """

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
