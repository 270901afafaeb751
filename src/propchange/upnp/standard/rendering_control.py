"""RenderingControl:1, the sound and picture of a renderer."""

from __future__ import annotations

from propchange.core.values.lastchange import MASTER
from propchange.core.values.state_variables import StateVariable
from propchange.upnp.service import Service

__all__ = ["RenderingControl"]


class RenderingControl(Service, type="urn:schemas-upnp-org:service:RenderingControl:1"):
    """RenderingControl:1. Its variables are evented through LastChange. Mute, Volume, VolumeDB and
    Loudness have channels; their attributes stand for the channel Master (LC-01, LC-04).

    A vendor chooses the maxima; the default is 100. The standard requires PresetNameList only.
    ``volume_db`` is in 1/256 dB.
    """

    preset_name_list = StateVariable("string", initial="FactoryDefaults", evented="LastChange")
    brightness = StateVariable("ui2", minimum=0, maximum=100, step=1, evented="LastChange")
    contrast = StateVariable("ui2", minimum=0, maximum=100, step=1, evented="LastChange")
    sharpness = StateVariable("ui2", minimum=0, maximum=100, step=1, evented="LastChange")
    red_video_gain = StateVariable("ui2", minimum=0, maximum=100, step=1, evented="LastChange")
    green_video_gain = StateVariable("ui2", minimum=0, maximum=100, step=1, evented="LastChange")
    blue_video_gain = StateVariable("ui2", minimum=0, maximum=100, step=1, evented="LastChange")
    red_video_black_level = StateVariable(
        "ui2", minimum=0, maximum=100, step=1, evented="LastChange"
    )
    green_video_black_level = StateVariable(
        "ui2", minimum=0, maximum=100, step=1, evented="LastChange"
    )
    blue_video_black_level = StateVariable(
        "ui2", minimum=0, maximum=100, step=1, evented="LastChange"
    )
    color_temperature = StateVariable(
        "ui2", minimum=0, maximum=65_535, step=1, evented="LastChange"
    )
    horizontal_keystone = StateVariable(
        "i2", minimum=-32_768, maximum=32_767, step=1, evented="LastChange"
    )
    vertical_keystone = StateVariable(
        "i2", minimum=-32_768, maximum=32_767, step=1, evented="LastChange"
    )
    mute = StateVariable("boolean", evented="LastChange", channel=MASTER)
    volume = StateVariable(
        "ui2", minimum=0, maximum=100, step=1, evented="LastChange", channel=MASTER
    )
    volume_db = StateVariable(
        "i2",
        minimum=-32_768,
        maximum=32_767,
        evented="LastChange",
        channel=MASTER,
        name="VolumeDB",
    )
    loudness = StateVariable("boolean", evented="LastChange", channel=MASTER)

    a_arg_type_channel = StateVariable(
        "string",
        allowed=[
            *(MASTER, "LF", "RF", "CF", "LFE", "LS", "RS", "LFC", "RFC"),
            *("SD", "SL", "SR", "T", "B"),
        ],
        evented=False,
        name="A_ARG_TYPE_Channel",
    )
    a_arg_type_instance_id = StateVariable("ui4", evented=False, name="A_ARG_TYPE_InstanceID")
    a_arg_type_preset_name = StateVariable(
        "string",
        allowed=["FactoryDefaults", "InstallationDefaults"],
        evented=False,
        name="A_ARG_TYPE_PresetName",
    )
