"""ConnectionManager: the streams of a media device."""

from __future__ import annotations

from propchange.core.values.state_variables import StateVariable
from propchange.upnp.service import Service
from propchange.upnp.standard.shared import argument_type


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
        allowed=[
            "OK",
            "ContentFormatMismatch",
            "InsufficientBandwidth",
            "UnreliableChannel",
            "Unknown",
        ],
        evented=False,
        name="A_ARG_TYPE_ConnectionStatus",
    )
    a_arg_type_connection_manager = argument_type("ConnectionManager")
    a_arg_type_direction = argument_type("Direction", "Input Output")
    a_arg_type_protocol_info = argument_type("ProtocolInfo")
    a_arg_type_connection_id = StateVariable("i4", evented=False, name="A_ARG_TYPE_ConnectionID")
    a_arg_type_av_transport_id = StateVariable("i4", evented=False, name="A_ARG_TYPE_AVTransportID")
    a_arg_type_rcs_id = StateVariable("i4", evented=False, name="A_ARG_TYPE_RcsID")
