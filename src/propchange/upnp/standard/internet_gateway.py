"""WANIPConnection and WANCommonInterfaceConfig: an Internet gateway."""

from __future__ import annotations

from propchange.core.values.state_variables import StateVariable
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
