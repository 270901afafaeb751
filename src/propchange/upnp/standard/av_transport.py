"""AVTransport: the state of a player."""

# A declared action has no body.
# mypy: disable-error-code="empty-body"

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from propchange.core.values.state_variables import StateVariable
from propchange.upnp.action_methods import action, argument
from propchange.upnp.instances import ServiceInstance
from propchange.upnp.service import Service
from propchange.upnp.standard.shared import argument_type, called_instance, indirect

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

    _invalid_instance = 718

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

    def check_instance(self, instance_id: int) -> ServiceInstance:
        """The instance of a call, for a method that is an action. Raises :exc:`.ActionError`
        718 if there is none of this number (AVTransport:1 §2.4)."""
        return called_instance(self, instance_id, self._invalid_instance)

    @action(
        name="SetAVTransportURI",
        arguments={
            "current_uri": argument(av_transport_uri, name="CurrentURI"),
            "current_uri_meta_data": argument(
                av_transport_uri_meta_data, name="CurrentURIMetaData"
            ),
        },
        declared="required",
    )
    def set_av_transport_uri(
        self, instance_id: int, current_uri: str, current_uri_meta_data: str
    ) -> None:
        """Take the resource that is played from now on, and its metadata in DIDL-Lite."""

    @action(
        name="SetNextAVTransportURI",
        arguments={
            "next_uri": argument(next_av_transport_uri, name="NextURI"),
            "next_uri_meta_data": argument(next_av_transport_uri_meta_data, name="NextURIMetaData"),
        },
        declared="optional",
    )
    def set_next_av_transport_uri(
        self, instance_id: int, next_uri: str, next_uri_meta_data: str
    ) -> None:
        """Take the resource that is played after the present one."""

    @action(
        returns={
            "NrTracks": number_of_tracks,
            "MediaDuration": current_media_duration,
            "CurrentURI": av_transport_uri,
            "CurrentURIMetaData": av_transport_uri_meta_data,
            "NextURI": next_av_transport_uri,
            "NextURIMetaData": next_av_transport_uri_meta_data,
            "PlayMedium": playback_storage_medium,
            "RecordMedium": record_storage_medium,
            "WriteStatus": record_medium_write_status,
        },
        declared="required",
    )
    def get_media_info(self, instance_id: int) -> Mapping[str, Any]:
        """The present medium."""

    @action(
        returns={
            "CurrentTransportState": transport_state,
            "CurrentTransportStatus": transport_status,
            "CurrentSpeed": transport_play_speed,
        },
        declared="required",
    )
    def get_transport_info(self, instance_id: int) -> Mapping[str, Any]:
        """What the transport does."""

    @action(
        returns={
            "Track": current_track,
            "TrackDuration": current_track_duration,
            "TrackMetaData": current_track_meta_data,
            "TrackURI": current_track_uri,
            "RelTime": relative_time_position,
            "AbsTime": absolute_time_position,
            "RelCount": relative_counter_position,
            "AbsCount": absolute_counter_position,
        },
        declared="required",
    )
    def get_position_info(self, instance_id: int) -> Mapping[str, Any]:
        """The present track, and the position in it."""

    @action(
        returns={
            "PlayMedia": possible_playback_storage_media,
            "RecMedia": possible_record_storage_media,
            "RecQualityModes": possible_record_quality_modes,
        },
        declared="required",
    )
    def get_device_capabilities(self, instance_id: int) -> Mapping[str, Any]:
        """The media and the qualities that the device can play and record."""

    @action(
        returns={"PlayMode": current_play_mode, "RecQualityMode": current_record_quality_mode},
        declared="required",
    )
    def get_transport_settings(self, instance_id: int) -> Mapping[str, Any]:
        """The present modes."""

    @action(declared="required")
    def stop(self, instance_id: int) -> None:
        """Stop playing or recording."""

    @action(
        arguments={"speed": transport_play_speed},
        declared="required",
    )
    def play(self, instance_id: int, speed: str) -> None:
        """Play the resource of AVTransportURI. ``speed`` is a fraction as text, ``1`` as a rule."""

    @action(declared="optional")
    def pause(self, instance_id: int) -> None:
        """Pause playing or recording."""

    @action(declared="optional")
    def record(self, instance_id: int) -> None:
        """Record on the present medium."""

    @action(
        arguments={"unit": a_arg_type_seek_mode, "target": a_arg_type_seek_target},
        declared="required",
    )
    def seek(self, instance_id: int, unit: str, target: str) -> None:
        """Go to the position ``target``, which is of the kind ``unit``."""

    @action(declared="required")
    def next(self, instance_id: int) -> None:
        """Go to the next track."""

    @action(declared="required")
    def previous(self, instance_id: int) -> None:
        """Go to the track before."""

    @action(arguments={"new_play_mode": current_play_mode}, declared="optional")
    def set_play_mode(self, instance_id: int, new_play_mode: str) -> None:
        """Set the order of the tracks."""

    @action(arguments={"new_record_quality_mode": current_record_quality_mode}, declared="optional")
    def set_record_quality_mode(self, instance_id: int, new_record_quality_mode: str) -> None:
        """Set the quality of recordings."""

    @action(returns={"Actions": current_transport_actions}, declared="optional")
    def get_current_transport_actions(self, instance_id: int) -> str:
        """The actions that can be called now, a comma-separated list."""
