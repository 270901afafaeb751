"""ConnectionManager: the streams of a media device."""

# A declared action has no body.
# mypy: disable-error-code="empty-body"

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from propchange.core.values.state_variables import StateVariable
from propchange.errors import ActionError
from propchange.upnp.action_methods import action, argument
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

    @action(
        returns={"Source": source_protocol_info, "Sink": sink_protocol_info}, declared="required"
    )
    def get_protocol_info(self) -> Mapping[str, Any]:
        """The protocolInfos that the device can send and receive."""

    @action(
        arguments={
            "remote_protocol_info": argument(a_arg_type_protocol_info, name="RemoteProtocolInfo"),
            "peer_connection_manager": a_arg_type_connection_manager,
            "peer_connection_id": argument(a_arg_type_connection_id, name="PeerConnectionID"),
            "direction": a_arg_type_direction,
        },
        returns={
            "ConnectionID": a_arg_type_connection_id,
            "AVTransportID": a_arg_type_av_transport_id,
            "RcsID": a_arg_type_rcs_id,
        },
        declared="optional",
    )
    def prepare_for_connection(
        self,
        remote_protocol_info: str,
        peer_connection_manager: str,
        peer_connection_id: int,
        direction: str,
    ) -> Mapping[str, Any]:
        """Make a connection, and the InstanceIDs of AVTransport and RenderingControl for it."""

    @action(declared="optional")
    def connection_complete(self, connection_id: int) -> None:
        """End a connection of PrepareForConnection."""

    @action(
        name="GetCurrentConnectionIDs",
        returns={"ConnectionIDs": current_connection_ids},
        declared="required",
    )
    def get_current_connection_ids(self) -> str:
        """The IDs of the present connections, a comma-separated list."""

    @action(
        returns={
            "RcsID": a_arg_type_rcs_id,
            "AVTransportID": a_arg_type_av_transport_id,
            "ProtocolInfo": a_arg_type_protocol_info,
            "PeerConnectionManager": a_arg_type_connection_manager,
            "PeerConnectionID": a_arg_type_connection_id,
            "Direction": a_arg_type_direction,
            "Status": a_arg_type_connection_status,
        },
    )
    def get_current_connection_info(self, connection_id: int) -> Mapping[str, Any]:
        """The connection ``connection_id``. This one knows connection 0, of a device without
        PrepareForConnection: InstanceID 0 for a device that receives, none for another
        (ConnectionManager:1 §2.4.5)."""
        if connection_id != 0:
            raise ActionError(706, "Invalid connection reference")
        instance = 0 if self.sink_protocol_info else -1
        return {
            "RcsID": instance,
            "AVTransportID": instance,
            "ProtocolInfo": "",
            "PeerConnectionManager": "",
            "PeerConnectionID": -1,
            "Direction": "Input" if self.sink_protocol_info else "Output",
            "Status": "Unknown",
        }
