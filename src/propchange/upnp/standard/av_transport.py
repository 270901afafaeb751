"""AVTransport:1, the state of a renderer or a recorder."""

from __future__ import annotations

from propchange.core.values.state_variables import StateVariable
from propchange.upnp.service import Service

__all__ = ["AVTransport"]

_NOT_IMPLEMENTED = "NOT_IMPLEMENTED"
_MEDIA = (
    *("UNKNOWN", "DV", "MINI-DV", "VHS", "W-VHS", "S-VHS", "D-VHS", "VHSC", "VIDEO8", "HI8"),
    *("CD-ROM", "CD-DA", "CD-R", "CD-RW", "VIDEO-CD", "SACD", "MD-AUDIO", "MD-PICTURE"),
    *("DVD-ROM", "DVD-VIDEO", "DVD-R", "DVD+RW", "DVD-RW", "DVD-RAM", "DVD-AUDIO", "DAT", "LD"),
    *("HDD", "MICRO-MV", "NETWORK", "NONE", _NOT_IMPLEMENTED),
)


class AVTransport(Service, type="urn:schemas-upnp-org:service:AVTransport:1"):
    """AVTransport:1. Its variables are evented through LastChange, except the four positions,
    which control points poll (AVTransport:1 §2.3.1, LC-01, LC-02).

    A vendor may have further play speeds, media, modes and states: replace those variables.
    Metadata is DIDL-Lite, as text. Durations and times are ``H:MM:SS``.
    """

    transport_state = StateVariable(
        "string",
        initial="NO_MEDIA_PRESENT",
        allowed=[
            "STOPPED",
            "PAUSED_PLAYBACK",
            "PAUSED_RECORDING",
            "PLAYING",
            "RECORDING",
            "TRANSITIONING",
            "NO_MEDIA_PRESENT",
        ],
        evented="LastChange",
    )
    transport_status = StateVariable(
        "string", allowed=["OK", "ERROR_OCCURRED"], evented="LastChange"
    )
    playback_storage_medium = StateVariable(
        "string", initial="NONE", allowed=_MEDIA, evented="LastChange"
    )
    record_storage_medium = StateVariable(
        "string", initial=_NOT_IMPLEMENTED, allowed=_MEDIA, evented="LastChange"
    )
    possible_playback_storage_media = StateVariable(
        "string", initial="NETWORK", evented="LastChange"
    )
    possible_record_storage_media = StateVariable(
        "string", initial=_NOT_IMPLEMENTED, evented="LastChange"
    )
    current_play_mode = StateVariable(
        "string",
        allowed=["NORMAL", "SHUFFLE", "REPEAT_ONE", "REPEAT_ALL", "RANDOM", "DIRECT_1", "INTRO"],
        evented="LastChange",
    )
    transport_play_speed = StateVariable("string", allowed=["1"], evented="LastChange")
    record_medium_write_status = StateVariable(
        "string",
        initial=_NOT_IMPLEMENTED,
        allowed=["WRITABLE", "PROTECTED", "NOT_WRITABLE", "UNKNOWN", _NOT_IMPLEMENTED],
        evented="LastChange",
    )
    current_record_quality_mode = StateVariable(
        "string",
        initial=_NOT_IMPLEMENTED,
        allowed=["0:EP", "1:LP", "2:SP", "0:BASIC", "1:MEDIUM", "2:HIGH", _NOT_IMPLEMENTED],
        evented="LastChange",
    )
    possible_record_quality_modes = StateVariable(
        "string", initial=_NOT_IMPLEMENTED, evented="LastChange"
    )
    number_of_tracks = StateVariable("ui4", evented="LastChange")
    current_track = StateVariable("ui4", evented="LastChange")
    current_track_duration = StateVariable("string", initial="0:00:00", evented="LastChange")
    current_media_duration = StateVariable("string", initial="0:00:00", evented="LastChange")
    current_track_meta_data = StateVariable("string", evented="LastChange")
    current_track_uri = StateVariable("string", evented="LastChange", name="CurrentTrackURI")
    av_transport_uri = StateVariable("string", evented="LastChange", name="AVTransportURI")
    av_transport_uri_meta_data = StateVariable(
        "string", evented="LastChange", name="AVTransportURIMetaData"
    )
    next_av_transport_uri = StateVariable("string", evented="LastChange", name="NextAVTransportURI")
    next_av_transport_uri_meta_data = StateVariable(
        "string", evented="LastChange", name="NextAVTransportURIMetaData"
    )
    current_transport_actions = StateVariable("string", evented="LastChange")

    relative_time_position = StateVariable("string", initial="0:00:00", evented=False)
    absolute_time_position = StateVariable("string", initial="0:00:00", evented=False)
    # The standard's value for a counter that is not implemented.
    relative_counter_position = StateVariable("i4", initial=2_147_483_647, evented=False)
    absolute_counter_position = StateVariable("i4", initial=2_147_483_647, evented=False)

    a_arg_type_seek_mode = StateVariable(
        "string",
        allowed=[
            "TRACK_NR",
            "ABS_TIME",
            "REL_TIME",
            "ABS_COUNT",
            "REL_COUNT",
            "CHANNEL_FREQ",
            "TAPE-INDEX",
            "FRAME",
        ],
        evented=False,
        name="A_ARG_TYPE_SeekMode",
    )
    a_arg_type_seek_target = StateVariable("string", evented=False, name="A_ARG_TYPE_SeekTarget")
    a_arg_type_instance_id = StateVariable("ui4", evented=False, name="A_ARG_TYPE_InstanceID")
