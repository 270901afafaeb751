"""AVTransport: the state of a player."""

from __future__ import annotations

from propchange.core.values.state_variables import StateVariable
from propchange.upnp.service import Service
from propchange.upnp.standard.shared import argument_type, indirect

_NOT_IMPLEMENTED = "NOT_IMPLEMENTED"
_MEDIA = (
    "UNKNOWN DV MINI-DV VHS W-VHS S-VHS D-VHS VHSC VIDEO8 HI8 CD-ROM CD-DA CD-R CD-RW VIDEO-CD "
    "SACD MD-AUDIO MD-PICTURE DVD-ROM DVD-VIDEO DVD-R DVD+RW DVD-RW DVD-RAM DVD-AUDIO DAT LD HDD "
    "MICRO-MV NETWORK NONE NOT_IMPLEMENTED"
)


class AVTransport(Service, type="urn:schemas-upnp-org:service:AVTransport:1"):
    """AVTransport:1, the state of a renderer or a recorder. Its variables are evented through
    LastChange, except the four positions, which control points poll (AVTransport:1 §2.3.1, LC-01,
    LC-02).

    A vendor may have further play speeds, media, modes and states: replace those variables.
    Metadata is DIDL-Lite, as text. Durations and times are ``H:MM:SS``.
    """

    transport_state = indirect(
        "NO_MEDIA_PRESENT",
        "STOPPED PAUSED_PLAYBACK PAUSED_RECORDING PLAYING RECORDING TRANSITIONING NO_MEDIA_PRESENT",
    )
    transport_status = indirect(allowed="OK ERROR_OCCURRED")
    playback_storage_medium = indirect("NONE", _MEDIA)
    record_storage_medium = indirect(_NOT_IMPLEMENTED, _MEDIA)
    possible_playback_storage_media = indirect("NETWORK")
    possible_record_storage_media = indirect(_NOT_IMPLEMENTED)
    current_play_mode = indirect(
        allowed="NORMAL SHUFFLE REPEAT_ONE REPEAT_ALL RANDOM DIRECT_1 INTRO"
    )
    transport_play_speed = indirect(allowed="1")
    record_medium_write_status = indirect(
        _NOT_IMPLEMENTED, "WRITABLE PROTECTED NOT_WRITABLE UNKNOWN NOT_IMPLEMENTED"
    )
    current_record_quality_mode = indirect(
        _NOT_IMPLEMENTED, "0:EP 1:LP 2:SP 0:BASIC 1:MEDIUM 2:HIGH NOT_IMPLEMENTED"
    )
    possible_record_quality_modes = indirect(_NOT_IMPLEMENTED)
    number_of_tracks = StateVariable("ui4", evented="LastChange")
    current_track = StateVariable("ui4", evented="LastChange")
    current_track_duration = indirect("0:00:00")
    current_media_duration = indirect("0:00:00")
    current_track_meta_data = indirect()
    current_track_uri = indirect(name="CurrentTrackURI")
    av_transport_uri = indirect(name="AVTransportURI")
    av_transport_uri_meta_data = indirect(name="AVTransportURIMetaData")
    next_av_transport_uri = indirect(name="NextAVTransportURI")
    next_av_transport_uri_meta_data = indirect(name="NextAVTransportURIMetaData")
    current_transport_actions = indirect()

    relative_time_position = StateVariable("string", initial="0:00:00", evented=False)
    absolute_time_position = StateVariable("string", initial="0:00:00", evented=False)
    # The standard's value for a counter that is not implemented.
    relative_counter_position = StateVariable("i4", initial=2_147_483_647, evented=False)
    absolute_counter_position = StateVariable("i4", initial=2_147_483_647, evented=False)

    a_arg_type_seek_mode = argument_type(
        "SeekMode", "TRACK_NR ABS_TIME REL_TIME ABS_COUNT REL_COUNT CHANNEL_FREQ TAPE-INDEX FRAME"
    )
    a_arg_type_seek_target = argument_type("SeekTarget")
    a_arg_type_instance_id = StateVariable("ui4", evented=False, name="A_ARG_TYPE_InstanceID")
