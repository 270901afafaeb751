"""Which hosts can reach an address of this machine."""

from __future__ import annotations

from ipaddress import ip_interface, ip_network
from typing import Any

import pytest

from propchange.core.local_addresses import (
    InterfaceKind,
    LocalAddress,
    address_of,
    container_address,
    interface_kind,
    own_address,
    sharing_network,
    usable_towards,
)

K = InterfaceKind


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("lo", K.LOOPBACK),
        ("lo0", K.LOOPBACK),
        ("eth0", K.ORDINARY),
        ("enp3s0", K.ORDINARY),
        ("wlan0", K.ORDINARY),
        ("br0", K.ORDINARY),
        ("br-lan", K.ORDINARY),
        ("docker0", K.BRIDGE),
        ("br-0123456789ab", K.BRIDGE),
        ("cni-podman0", K.ORDINARY),
        ("podman0", K.BRIDGE),
        ("virbr0", K.BRIDGE),
        ("veth12ab", K.VIRTUAL),
        ("tun0", K.TUNNEL),
        ("wg0", K.TUNNEL),
        ("wg-home", K.TUNNEL),
        ("ppp0", K.TUNNEL),
        ("utun3", K.TUNNEL),
        ("tailscale0", K.TUNNEL),
        ("zt5u4uutnd", K.TUNNEL),
        ("CloudflareWARP", K.TUNNEL),
        ("vmnet8", K.BRIDGE),
        ("vboxnet0", K.BRIDGE),
        ("vnic1", K.BRIDGE),
        # macOS: the first bridge is the one of Thunderbolt, from 100 on they are of the system
        ("en0", K.ORDINARY),
        ("bridge0", K.ORDINARY),
        ("bridge100", K.BRIDGE),
        ("vmenet0", K.BRIDGE),
        ("awdl0", K.PEER_TO_PEER),
        ("llw0", K.PEER_TO_PEER),
        ("feth1234", K.TUNNEL),
        ("gif0", K.TUNNEL),
        ("gpd0", K.TUNNEL),
        # Windows
        ("Software Loopback Interface 1", K.LOOPBACK),
        ("Npcap Loopback Adapter", K.LOOPBACK),
        ("Intel(R) Ethernet Connection (2) I219-V", K.ORDINARY),
        ("Realtek PCIe GbE Family Controller", K.ORDINARY),
        ("Intel(R) Wi-Fi 6 AX201 160MHz", K.ORDINARY),
        ("Microsoft Wi-Fi Direct Virtual Adapter #2", K.ORDINARY),
        ("Hyper-V Virtual Ethernet Adapter", K.VIRTUAL),
        ("Hyper-V Virtual Ethernet Adapter #3", K.VIRTUAL),
        ("vEthernet (WSL)", K.VIRTUAL),
        ("VMware Virtual Ethernet Adapter for VMnet8", K.BRIDGE),
        ("VirtualBox Host-Only Ethernet Adapter #2", K.BRIDGE),
        ("Parallels Shared Networking Adapter", K.BRIDGE),
        ("TAP-Windows Adapter V9", K.TUNNEL),
        ("TAP-NordVPN Windows Adapter V9", K.TUNNEL),
        ("Wintun Userspace Tunnel", K.TUNNEL),
        ("WireGuard Tunnel", K.TUNNEL),
        ("Tailscale Tunnel", K.TUNNEL),
        ("OpenVPN Data Channel Offload", K.TUNNEL),
        ("Cisco AnyConnect Virtual Miniport Adapter for Windows x64", K.TUNNEL),
        ("Fortinet SSL VPN Virtual Ethernet Adapter", K.TUNNEL),
        ("PANGP Virtual Ethernet Adapter Secure", K.TUNNEL),
        ("ZeroTier Virtual Port", K.TUNNEL),
        ("Teredo Tunneling Pseudo-Interface", K.TUNNEL),
        ("WAN Miniport (IKEv2)", K.TUNNEL),
    ],
)
def test_an_interface_is_known_by_its_name_where_the_system_says_nothing(
    name: str, kind: InterfaceKind
) -> None:
    assert interface_kind(name) is kind


@pytest.mark.parametrize(
    ("name", "system", "kind"),
    [
        ("anything", {"link_type": 772}, K.LOOPBACK),
        ("office", {"link_type": 65_534}, K.TUNNEL),
        ("dsl", {"link_type": 512}, K.TUNNEL),
        ("eth0", {"link_type": 1, "paired": True}, K.VIRTUAL),
        ("eth0", {"link_type": 1}, K.ORDINARY),
        ("docker0", {"link_type": 1, "bridge": True}, K.BRIDGE),
        ("docker0", {"link_type": 1}, K.ORDINARY),
        ("vboxnet0", {"link_type": 1}, K.BRIDGE),
        ("lan", {"link_type": 1, "bridge": True}, K.ORDINARY),
    ],
)
def test_what_the_system_says_counts_more_than_the_name(
    name: str, system: dict[str, Any], kind: InterfaceKind
) -> None:
    assert interface_kind(name, **system) is kind


def own(
    text: str, interface: str, kind: InterfaceKind = K.ORDINARY, *, scope: int = 0
) -> LocalAddress:
    address = ip_interface(text)
    return LocalAddress(str(address.ip), scope, address.network, interface, 2, kind)


LO = own("127.0.0.1/8", "lo", K.LOOPBACK)
ETH = own("192.168.1.5/24", "eth0")
WLAN = own("10.1.0.5/24", "wlan0")
VPN = own("10.8.0.2/32", "wg0", K.TUNNEL)
LINK = own("fe80::5/64", "eth0", scope=2)
SIX = own("2001:db8::5/64", "eth0")
ALL = (LO, VPN, WLAN, ETH, LINK, SIX)


def test_an_own_address_is_found_however_it_is_written() -> None:
    assert own_address("2001:DB8:0::5", ALL) is SIX
    assert own_address("fe80::5%eth0", ALL) is LINK
    assert own_address("192.168.1.6", ALL) is None
    assert own_address("nas.example", ALL) is None
    assert address_of("nas.example") is None


def test_a_network_that_is_shared_is_found() -> None:
    assert sharing_network("192.168.1.20", ALL) == (ETH,)
    assert sharing_network("8.8.8.8", ALL) == ()
    assert sharing_network("nas.example", ALL) == ()


def test_the_usable_addresses_have_the_device_s_family_and_its_network_first() -> None:
    assert usable_towards("192.168.1.20", ALL) == (ETH, WLAN, VPN)
    assert usable_towards("10.8.0.2", ALL) == (VPN, WLAN, ETH)
    assert usable_towards("2001:db8::20", ALL) == (SIX,)
    assert usable_towards("fe80::20", ALL) == (LINK, SIX)
    assert usable_towards("127.0.0.1", ALL) == (LO,)
    assert usable_towards("nas.example", ALL) == ()


@pytest.mark.parametrize(
    ("host", "network", "kind", "in_container", "looks"),
    [
        ("172.17.0.1", "172.17.0.0/16", K.BRIDGE, None, True),
        ("172.17.0.2", "172.17.0.0/16", K.VIRTUAL, None, True),
        ("10.88.0.7", "10.88.0.0/16", K.VIRTUAL, False, True),
        ("192.168.16.2", "192.168.16.0/20", K.VIRTUAL, True, True),
        ("192.168.16.2", "192.168.16.0/20", K.VIRTUAL, False, False),
        ("192.168.50.2", "192.168.50.0/24", K.VIRTUAL, True, False),
        ("192.168.50.2", "192.168.50.0/24", K.VIRTUAL, False, False),
        ("172.17.0.2", "172.17.0.0/16", K.ORDINARY, None, False),
        ("172.17.0.2", "172.17.0.0/16", K.ORDINARY, True, False),
        ("fd00::2", "fd00::/64", K.VIRTUAL, True, False),
        # Hyper-V: the switch of WSL, and the one that is bridged to the network card
        ("172.28.144.1", "172.28.144.0/20", interface_kind("vEthernet (WSL)"), False, True),
        ("192.168.1.5", "192.168.1.0/24", interface_kind("vEthernet (Home)"), False, False),
        ("192.168.56.1", "192.168.56.0/24", interface_kind("vboxnet0"), False, True),
    ],
)
def test_a_container_is_known_by_its_interface_and_not_by_its_number_alone(
    host: str, network: str, kind: InterfaceKind, in_container: bool | None, looks: bool
) -> None:
    address = LocalAddress(host, 0, ip_network(network), "eth0", 2, kind)

    assert container_address(address, in_container=in_container) is looks
