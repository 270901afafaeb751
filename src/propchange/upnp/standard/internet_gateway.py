"""WANIPConnection and WANCommonInterfaceConfig: an Internet gateway."""

# A declared action has no body.
# mypy: disable-error-code="empty-body"

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from propchange.core.values.state_variables import StateVariable
from propchange.upnp.action_methods import action, argument
from propchange.upnp.service import Service


class WANIPConnection(Service, type="urn:schemas-upnp-org:service:WANIPConnection:1"):
    """WANIPConnection:1. It events PossibleConnectionTypes (a comma-separated list of
    Unconfigured, IP_Routed and IP_Bridged), ConnectionStatus, ExternalIPAddress and
    PortMappingNumberOfEntries."""

    connection_type = StateVariable("string", initial="Unconfigured", evented=False)
    possible_connection_types = StateVariable("string", initial="Unconfigured")
    connection_status = StateVariable(
        "string",
        allowed=[
            "Unconfigured",
            "Connecting",
            "Connected",
            "PendingDisconnect",
            "Disconnecting",
            "Disconnected",
        ],
    )
    uptime = StateVariable("ui4", evented=False)
    last_connection_error = StateVariable(
        "string",
        allowed=[
            "ERROR_NONE",
            "ERROR_COMMAND_ABORTED",
            "ERROR_NOT_ENABLED_FOR_INTERNET",
            "ERROR_USER_DISCONNECT",
            "ERROR_ISP_DISCONNECT",
            "ERROR_IDLE_DISCONNECT",
            "ERROR_FORCED_DISCONNECT",
            "ERROR_NO_CARRIER",
            "ERROR_IP_CONFIGURATION",
            "ERROR_UNKNOWN",
        ],
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

    @action(declared="required")
    def set_connection_type(self, new_connection_type: str) -> None:
        """Set the kind of connection."""

    @action(
        returns={
            "NewConnectionType": connection_type,
            "NewPossibleConnectionTypes": possible_connection_types,
        },
        declared="required",
    )
    def get_connection_type_info(self) -> Mapping[str, Any]:
        """The kind of connection, and those that are possible."""

    @action(declared="required")
    def request_connection(self) -> None:
        """Connect."""

    @action(declared="optional")
    def request_termination(self) -> None:
        """Disconnect after WarnDisconnectDelay."""

    @action(declared="required")
    def force_termination(self) -> None:
        """Disconnect at once."""

    @action(declared="optional")
    def set_auto_disconnect_time(self, new_auto_disconnect_time: int) -> None:
        """Set the seconds after which it disconnects."""

    @action(declared="optional")
    def set_idle_disconnect_time(self, new_idle_disconnect_time: int) -> None:
        """Set the seconds without traffic after which it disconnects."""

    @action(declared="optional")
    def set_warn_disconnect_delay(self, new_warn_disconnect_delay: int) -> None:
        """Set the seconds between a warning and the disconnection."""

    @action(
        returns={
            "NewConnectionStatus": connection_status,
            "NewLastConnectionError": last_connection_error,
            "NewUptime": uptime,
        },
        declared="required",
    )
    def get_status_info(self) -> Mapping[str, Any]:
        """The state of the connection. The uptime is in seconds."""

    @action(returns={"NewAutoDisconnectTime": auto_disconnect_time}, declared="optional")
    def get_auto_disconnect_time(self) -> int:
        """The seconds after which it disconnects."""

    @action(returns={"NewIdleDisconnectTime": idle_disconnect_time}, declared="optional")
    def get_idle_disconnect_time(self) -> int:
        """The seconds without traffic after which it disconnects."""

    @action(returns={"NewWarnDisconnectDelay": warn_disconnect_delay}, declared="optional")
    def get_warn_disconnect_delay(self) -> int:
        """The seconds between a warning and the disconnection."""

    @action(
        name="GetNATRSIPStatus",
        returns={"NewRSIPAvailable": rsip_available, "NewNATEnabled": nat_enabled},
        declared="required",
    )
    def get_nat_rsip_status(self) -> Mapping[str, Any]:
        """Whether addresses are translated, and whether RSIP is available."""

    @action(
        arguments={
            "new_port_mapping_index": argument(
                port_mapping_number_of_entries, name="NewPortMappingIndex"
            ),
        },
        returns={
            "NewRemoteHost": remote_host,
            "NewExternalPort": external_port,
            "NewProtocol": port_mapping_protocol,
            "NewInternalPort": internal_port,
            "NewInternalClient": internal_client,
            "NewEnabled": port_mapping_enabled,
            "NewPortMappingDescription": port_mapping_description,
            "NewLeaseDuration": port_mapping_lease_duration,
        },
        declared="required",
    )
    def get_generic_port_mapping_entry(self, new_port_mapping_index: int) -> Mapping[str, Any]:
        """The port mapping at an index, from 0. There is none: error 713."""

    @action(
        arguments={"new_protocol": argument(port_mapping_protocol, name="NewProtocol")},
        returns={
            "NewInternalPort": internal_port,
            "NewInternalClient": internal_client,
            "NewEnabled": port_mapping_enabled,
            "NewPortMappingDescription": port_mapping_description,
            "NewLeaseDuration": port_mapping_lease_duration,
        },
        declared="required",
    )
    def get_specific_port_mapping_entry(
        self, new_remote_host: str, new_external_port: int, new_protocol: str
    ) -> Mapping[str, Any]:
        """The port mapping of an external port. There is none: error 714."""

    @action(
        arguments={
            "new_protocol": argument(port_mapping_protocol, name="NewProtocol"),
            "new_enabled": argument(port_mapping_enabled, name="NewEnabled"),
            "new_lease_duration": argument(port_mapping_lease_duration, name="NewLeaseDuration"),
        },
        declared="required",
    )
    def add_port_mapping(
        self,
        new_remote_host: str,
        new_external_port: int,
        new_protocol: str,
        new_internal_port: int,
        new_internal_client: str,
        new_enabled: bool,
        new_port_mapping_description: str,
        new_lease_duration: int,
    ) -> None:
        """Add a port mapping, or change it. The port is another client's: error 718."""

    @action(
        arguments={"new_protocol": argument(port_mapping_protocol, name="NewProtocol")},
        declared="required",
    )
    def delete_port_mapping(
        self, new_remote_host: str, new_external_port: int, new_protocol: str
    ) -> None:
        """Remove a port mapping. There is none: error 714."""

    @action(
        name="GetExternalIPAddress",
        returns={"NewExternalIPAddress": external_ip_address},
        declared="required",
    )
    def get_external_ip_address(self) -> str:
        """The address of the connection."""


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
    number_of_active_connections = StateVariable("ui2", evented=False)
    active_connection_device_container = StateVariable("string", evented=False)
    active_connection_service_id = StateVariable(
        "string", evented=False, name="ActiveConnectionServiceID"
    )
    enabled_for_internet = StateVariable("boolean")

    @action(declared="optional")
    def set_enabled_for_internet(self, new_enabled_for_internet: bool) -> None:
        """Allow or forbid connections to the Internet."""

    @action(returns={"NewEnabledForInternet": enabled_for_internet}, declared="optional")
    def get_enabled_for_internet(self) -> bool:
        """Whether connections to the Internet are allowed."""

    @action(
        returns={
            "NewWANAccessType": wan_access_type,
            "NewLayer1UpstreamMaxBitRate": layer1_upstream_max_bit_rate,
            "NewLayer1DownstreamMaxBitRate": layer1_downstream_max_bit_rate,
            "NewPhysicalLinkStatus": physical_link_status,
        },
        declared="required",
    )
    def get_common_link_properties(self) -> Mapping[str, Any]:
        """The kind, the bits a second and the state of the link."""

    @action(
        name="GetWANAccessProvider",
        returns={"NewWANAccessProvider": wan_access_provider},
        declared="optional",
    )
    def get_wan_access_provider(self) -> str:
        """The name of the provider."""

    @action(
        returns={"NewMaximumActiveConnections": maximum_active_connections}, declared="optional"
    )
    def get_maximum_active_connections(self) -> int:
        """The most connections at a time."""

    @action(returns={"NewTotalBytesSent": total_bytes_sent}, declared="optional")
    def get_total_bytes_sent(self) -> int:
        """The bytes that were sent."""

    @action(returns={"NewTotalBytesReceived": total_bytes_received}, declared="optional")
    def get_total_bytes_received(self) -> int:
        """The bytes that were received."""

    @action(returns={"NewTotalPacketsSent": total_packets_sent}, declared="optional")
    def get_total_packets_sent(self) -> int:
        """The packets that were sent."""

    @action(returns={"NewTotalPacketsReceived": total_packets_received}, declared="optional")
    def get_total_packets_received(self) -> int:
        """The packets that were received."""

    @action(
        arguments={
            "new_active_connection_index": argument(
                number_of_active_connections, name="NewActiveConnectionIndex"
            )
        },
        returns={
            "NewActiveConnDeviceContainer": active_connection_device_container,
            "NewActiveConnectionServiceID": active_connection_service_id,
        },
        declared="optional",
    )
    def get_active_connection(self, new_active_connection_index: int) -> Mapping[str, Any]:
        """The device and the service of an active connection, by its index, from 0."""
