"""Declarations of evented services from the standards of the UPnP Forum.

Each class has the state variables of its standard, optional ones included, with their data types,
allowed values, eventing and moderation. Make an instance, or a subclass. ``without=[…]`` removes
optional variables. An attribute of the same name replaces a variable, for another range or other
allowed values; it is evented as in the standard::

    class Amplifier(RenderingControl, without=["Brightness", "Contrast", "Sharpness"]):
        volume = StateVariable("ui2", maximum=31)

Where a standard leaves a value to the vendor, the declaration has a default.
"""

from __future__ import annotations

from propchange.core.values.lastchange import MASTER
from propchange.core.values.merging import CONTAINERS, format_container_update_ids
from propchange.core.values.state_variables import NumericOptions, StateVariable
from propchange.upnp.service import Service

__all__ = [
    "AVTransport",
    "ConnectionManager",
    "ContentDirectory",
    "Dimming",
    "RenderingControl",
    "SwitchPower",
    "WANCommonInterfaceConfig",
    "WANIPConnection",
]


def _argument(name: str, allowed: str = "") -> StateVariable[str]:
    """The variable A_ARG_TYPE_``name``, which only describes arguments of actions."""
    return StateVariable(
        "string", allowed=allowed.split() or None, evented=False, name=f"A_ARG_TYPE_{name}"
    )


def _words(text: str) -> list[str]:
    return text.split()


def _indirect(
    initial: str | None = None, allowed: str = "", name: str | None = None
) -> StateVariable[str]:
    """A string that is evented through LastChange. ``allowed`` is a list of words."""
    options = allowed.split() or None
    return StateVariable(
        "string", initial=initial, allowed=options, evented="LastChange", name=name
    )


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

    transport_state = _indirect(
        "NO_MEDIA_PRESENT",
        "STOPPED PAUSED_PLAYBACK PAUSED_RECORDING PLAYING RECORDING TRANSITIONING NO_MEDIA_PRESENT",
    )
    transport_status = _indirect(allowed="OK ERROR_OCCURRED")
    playback_storage_medium = _indirect("NONE", _MEDIA)
    record_storage_medium = _indirect(_NOT_IMPLEMENTED, _MEDIA)
    possible_playback_storage_media = _indirect("NETWORK")
    possible_record_storage_media = _indirect(_NOT_IMPLEMENTED)
    current_play_mode = _indirect(
        allowed="NORMAL SHUFFLE REPEAT_ONE REPEAT_ALL RANDOM DIRECT_1 INTRO"
    )
    transport_play_speed = _indirect(allowed="1")
    record_medium_write_status = _indirect(
        _NOT_IMPLEMENTED, "WRITABLE PROTECTED NOT_WRITABLE UNKNOWN NOT_IMPLEMENTED"
    )
    current_record_quality_mode = _indirect(
        _NOT_IMPLEMENTED, "0:EP 1:LP 2:SP 0:BASIC 1:MEDIUM 2:HIGH NOT_IMPLEMENTED"
    )
    possible_record_quality_modes = _indirect(_NOT_IMPLEMENTED)
    number_of_tracks = StateVariable("ui4", evented="LastChange")
    current_track = StateVariable("ui4", evented="LastChange")
    current_track_duration = _indirect("0:00:00")
    current_media_duration = _indirect("0:00:00")
    current_track_meta_data = _indirect()
    current_track_uri = _indirect(name="CurrentTrackURI")
    av_transport_uri = _indirect(name="AVTransportURI")
    av_transport_uri_meta_data = _indirect(name="AVTransportURIMetaData")
    next_av_transport_uri = _indirect(name="NextAVTransportURI")
    next_av_transport_uri_meta_data = _indirect(name="NextAVTransportURIMetaData")
    current_transport_actions = _indirect()

    relative_time_position = StateVariable("string", initial="0:00:00", evented=False)
    absolute_time_position = StateVariable("string", initial="0:00:00", evented=False)
    # The standard's value for a counter that is not implemented.
    relative_counter_position = StateVariable("i4", initial=2_147_483_647, evented=False)
    absolute_counter_position = StateVariable("i4", initial=2_147_483_647, evented=False)

    a_arg_type_seek_mode = _argument(
        "SeekMode", "TRACK_NR ABS_TIME REL_TIME ABS_COUNT REL_COUNT CHANNEL_FREQ TAPE-INDEX FRAME"
    )
    a_arg_type_seek_target = _argument("SeekTarget")
    a_arg_type_instance_id = StateVariable("ui4", evented=False, name="A_ARG_TYPE_InstanceID")


_PERCENT: NumericOptions[int] = {"minimum": 0, "maximum": 100, "step": 1, "evented": "LastChange"}
_KEYSTONE: NumericOptions[int] = {**_PERCENT, "minimum": -32_768, "maximum": 32_767}


class RenderingControl(Service, type="urn:schemas-upnp-org:service:RenderingControl:1"):
    """RenderingControl:1, the sound and picture of a renderer. Its variables are evented through
    LastChange. Mute, Volume, VolumeDB and Loudness have channels; their attributes stand for the
    channel Master (LC-01, LC-04).

    A vendor chooses the maxima; the default is 100. The standard requires PresetNameList only.
    ``volume_db`` is in 1/256 dB.
    """

    preset_name_list = _indirect("FactoryDefaults")
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

    a_arg_type_channel = _argument("Channel", f"{MASTER} LF RF CF LFE LS RS LFC RFC SD SL SR T B")
    a_arg_type_instance_id = StateVariable("ui4", evented=False, name="A_ARG_TYPE_InstanceID")
    a_arg_type_preset_name = _argument("PresetName", "FactoryDefaults InstallationDefaults")


class ConnectionManager(Service, type="urn:schemas-upnp-org:service:ConnectionManager:1"):
    """ConnectionManager:1, the streams that a media device can send and receive. Its first three
    variables are evented directly and unmoderated. It has no LastChange (LC-13).

    They are comma-separated lists: protocolInfos such as ``http-get:*:audio/mpeg:*``, and
    connection IDs, which are ``0`` for a device without PrepareForConnection.
    """

    source_protocol_info = StateVariable("string")
    sink_protocol_info = StateVariable("string")
    current_connection_ids = StateVariable("string", initial="0", name="CurrentConnectionIDs")

    a_arg_type_connection_status = StateVariable(
        "string",
        initial="Unknown",
        allowed=_words("OK ContentFormatMismatch InsufficientBandwidth UnreliableChannel Unknown"),
        evented=False,
        name="A_ARG_TYPE_ConnectionStatus",
    )
    a_arg_type_connection_manager = _argument("ConnectionManager")
    a_arg_type_direction = _argument("Direction", "Input Output")
    a_arg_type_protocol_info = _argument("ProtocolInfo")
    a_arg_type_connection_id = StateVariable("i4", evented=False, name="A_ARG_TYPE_ConnectionID")
    a_arg_type_av_transport_id = StateVariable("i4", evented=False, name="A_ARG_TYPE_AVTransportID")
    a_arg_type_rcs_id = StateVariable("i4", evented=False, name="A_ARG_TYPE_RcsID")


class ContentDirectory(Service, type="urn:schemas-upnp-org:service:ContentDirectory:1"):
    """ContentDirectory:1, the contents of a media server. SystemUpdateID is evented at most once
    per 2 s, ContainerUpdateIDs at most once per 0.2 s. TransferIDs is evented at once (LC-11).

    Do not assign ContainerUpdateIDs: call :meth:`container_updated`.
    """

    search_capabilities = StateVariable("string", evented=False)
    sort_capabilities = StateVariable("string", evented=False)
    system_update_id = StateVariable("ui4", minimum_interval=2.0, name="SystemUpdateID")
    container_update_ids = StateVariable(
        "string", minimum_interval=0.2, merge=CONTAINERS, name="ContainerUpdateIDs"
    )
    transfer_ids = StateVariable("string", name="TransferIDs")

    a_arg_type_object_id = _argument("ObjectID")
    a_arg_type_result = _argument("Result")
    a_arg_type_search_criteria = _argument("SearchCriteria")
    a_arg_type_browse_flag = _argument("BrowseFlag", "BrowseMetadata BrowseDirectChildren")
    a_arg_type_filter = _argument("Filter")
    a_arg_type_sort_criteria = _argument("SortCriteria")
    a_arg_type_index = StateVariable("ui4", evented=False, name="A_ARG_TYPE_Index")
    a_arg_type_count = StateVariable("ui4", evented=False, name="A_ARG_TYPE_Count")
    a_arg_type_update_id = StateVariable("ui4", evented=False, name="A_ARG_TYPE_UpdateID")
    a_arg_type_transfer_id = StateVariable("ui4", evented=False, name="A_ARG_TYPE_TransferID")
    a_arg_type_transfer_status = _argument("TransferStatus", "COMPLETED ERROR IN_PROGRESS STOPPED")
    a_arg_type_transfer_length = _argument("TransferLength")
    a_arg_type_transfer_total = _argument("TransferTotal")
    a_arg_type_tag_value_list = _argument("TagValueList")
    a_arg_type_uri = StateVariable("uri", evented=False, name="A_ARG_TYPE_URI")

    def container_updated(self, container: str, update_id: int) -> None:
        """Event that the container with the object ID ``container`` has changed and now has the
        update ID ``update_id``. Calls within one period, or in one ``batch()``, are one event: a
        list with each container once (LC-12)."""
        self.container_update_ids = format_container_update_ids([(container, str(update_id))])


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


class WANIPConnection(Service, type="urn:schemas-upnp-org:service:WANIPConnection:1"):
    """WANIPConnection:1. It events PossibleConnectionTypes (a comma-separated list of
    Unconfigured, IP_Routed and IP_Bridged), ConnectionStatus, ExternalIPAddress and
    PortMappingNumberOfEntries."""

    connection_type = StateVariable("string", initial="Unconfigured", evented=False)
    possible_connection_types = StateVariable("string", initial="Unconfigured")
    connection_status = StateVariable(
        "string",
        allowed=_words(
            "Unconfigured Connecting Connected PendingDisconnect Disconnecting Disconnected"
        ),
    )
    uptime = StateVariable("ui4", evented=False)
    last_connection_error = StateVariable(
        "string",
        allowed=_words(
            "ERROR_NONE ERROR_COMMAND_ABORTED ERROR_NOT_ENABLED_FOR_INTERNET ERROR_USER_DISCONNECT "
            "ERROR_ISP_DISCONNECT ERROR_IDLE_DISCONNECT ERROR_FORCED_DISCONNECT ERROR_NO_CARRIER "
            "ERROR_IP_CONFIGURATION ERROR_UNKNOWN"
        ),
        evented=False,
    )
    auto_disconnect_time = StateVariable("ui4", evented=False)
    idle_disconnect_time = StateVariable("ui4", evented=False)
    warn_disconnect_delay = StateVariable("ui4", evented=False)
    rsip_available = StateVariable("boolean", evented=False, name="RSIPAvailable")
    nat_enabled = StateVariable("boolean", initial=True, evented=False, name="NATEnabled")
    external_ip_address = StateVariable("string", name="ExternalIPAddress")
    port_mapping_number_of_entries = StateVariable("ui2")
    port_mapping_enabled = StateVariable("boolean", evented=False)
    port_mapping_lease_duration = StateVariable("ui4", evented=False)
    remote_host = StateVariable("string", evented=False)
    external_port = StateVariable("ui2", evented=False)
    internal_port = StateVariable("ui2", evented=False)
    port_mapping_protocol = StateVariable("string", allowed=["TCP", "UDP"], evented=False)
    internal_client = StateVariable("string", evented=False)
    port_mapping_description = StateVariable("string", evented=False)


class WANCommonInterfaceConfig(
    Service, type="urn:schemas-upnp-org:service:WANCommonInterfaceConfig:1"
):
    """WANCommonInterfaceConfig:1. It events PhysicalLinkStatus and the optional
    EnabledForInternet. Control points poll the counters."""

    wan_access_type = StateVariable(
        "string",
        initial="Ethernet",
        allowed=["DSL", "POTS", "Cable", "Ethernet"],
        evented=False,
        name="WANAccessType",
    )
    layer1_upstream_max_bit_rate = StateVariable("ui4", evented=False)
    layer1_downstream_max_bit_rate = StateVariable("ui4", evented=False)
    physical_link_status = StateVariable(
        "string", initial="Down", allowed=["Up", "Down", "Initializing", "Unavailable"]
    )
    wan_access_provider = StateVariable("string", evented=False, name="WANAccessProvider")
    maximum_active_connections = StateVariable("ui2", initial=1, minimum=1, evented=False)
    total_bytes_sent = StateVariable("ui4", evented=False)
    total_bytes_received = StateVariable("ui4", evented=False)
    total_packets_sent = StateVariable("ui4", evented=False)
    total_packets_received = StateVariable("ui4", evented=False)
    active_connection_device_container = StateVariable("string", evented=False)
    active_connection_service_id = StateVariable(
        "string", evented=False, name="ActiveConnectionServiceID"
    )
    enabled_for_internet = StateVariable("boolean")
