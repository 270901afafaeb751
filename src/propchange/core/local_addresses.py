"""This machine's addresses: which devices can reach them. A runtime reads them from the system."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import NamedTuple

from propchange.core.wire.messages import Endpoint, parse_address


class InterfaceKind(enum.Enum):
    """The kind of an interface. The value is the wording of a diagnosis."""

    ORDINARY = "a network interface"
    LOOPBACK = "this machine itself"
    BRIDGE = "a bridge for containers or virtual machines on this machine"
    VIRTUAL = "one end of a virtual cable, as containers have"
    TUNNEL = "a tunnel, as VPNs have"
    PEER_TO_PEER = "a radio link between two devices, as AirDrop has"


class OnLink(NamedTuple):
    """A prefix of one interface, with the scope id of that interface (0 for IPv4). Addresses
    inside the prefix are on the link of the interface."""

    network: IPv4Network | IPv6Network
    scope: int = 0


class LocalAddress(NamedTuple):
    """One address of one interface of this machine. ``host`` is an IP literal without zone.
    ``scope`` is the scope id of the interface for a link-local IPv6 address, else 0. ``interface``
    is its name and ``interface_index`` its number, 0 if unknown."""

    host: str
    scope: int
    network: IPv4Network | IPv6Network
    interface: str
    interface_index: int
    kind: InterfaceKind = InterfaceKind.ORDINARY

    @property
    def link(self) -> int | str:
        """The number of the interface, or its name if the number is unknown. An alias such as
        ``eth0:1`` has the number of its interface."""
        return self.interface_index or self.interface

    @property
    def endpoint(self) -> Endpoint:
        """The address as an endpoint with port 0."""
        return Endpoint(self.host, 0, self.scope)


_KERNEL_BRIDGES = re.compile(
    r"docker\d+|docker_gwbridge|br-[0-9a-f]{6,}|(cni|podman|lxcbr|lxdbr|virbr)-?\d+"
)
"""Bridges of Linux. An interface with such a name that is no bridge is something else."""

_NAMES = (
    (InterfaceKind.LOOPBACK, re.compile(r"lo\d*|Loopback.*", re.IGNORECASE)),
    (InterfaceKind.BRIDGE, _KERNEL_BRIDGES),
    (
        InterfaceKind.BRIDGE,
        re.compile(
            r"vmnet\d+"  # VMware
            r"|vboxnet\d+"  # VirtualBox
            r"|vnic\d+"  # Parallels, before macOS 11
            r"|bridge1\d\d|vmenet\d+"  # the vmnet framework of macOS: most virtual machines
        ),
    ),
    (InterfaceKind.VIRTUAL, re.compile(r"veth.*|cali[0-9a-f]+")),
    (
        InterfaceKind.TUNNEL,
        re.compile(
            r"(tun|tap|wg|ppp|utun|ipsec|tailscale|zt|nordlynx|nordtun|proton)[-_\w]*"
            r"|CloudflareWARP|ham\d+|(cscotun|gif|gpd|stf)\d+"
            r"|feth\d+"  # ZeroTier on macOS
        ),
    ),
    (InterfaceKind.PEER_TO_PEER, re.compile(r"(awdl|llw|nan)\d+")),
)

_DESCRIPTIONS = (
    (InterfaceKind.LOOPBACK, re.compile(r"\bloopback\b", re.IGNORECASE)),
    (InterfaceKind.BRIDGE, re.compile(r"VMware Virtual Ethernet|Host-Only|Parallels Shared")),
    # The adapters of Hyper-V, WSL and Docker Desktop. One of them may also be the adapter of the
    # machine itself, bridged to its network card. So the number has to decide: container_address().
    (InterfaceKind.VIRTUAL, re.compile(r"Hyper-V Virtual|vEthernet \(")),
    (
        InterfaceKind.TUNNEL,
        re.compile(
            r"\b(tunnel(ing)?|vpn|wireguard|wintun|tap|openvpn|anyconnect|pangp|hamachi|isatap"
            r"|6to4|teredo|zerotier|cisco secure client|juniper networks virtual"
            r"|wan miniport)\b",
            re.IGNORECASE,
        ),
    ),
)
"""The same for the descriptions of adapters, which Windows has in the place of names. Several words
tell them from the names of the other systems."""

_TUNNEL_TYPES = (512, 65_534, 768, 769, 776, 778)
"""ARPHRD_ of PPP, of what has no link layer (tun, WireGuard), and of the tunnels of the kernel."""

_CONTAINER_POOLS = (
    IPv4Network("172.16.0.0/12"),  # Docker: 172.17.0.0/16 and the following
    IPv4Network("10.88.0.0/16"),  # Podman, CNI
    IPv4Network("10.42.0.0/16"),  # k3s
    IPv4Network("10.244.0.0/16"),  # Kubernetes, flannel
    IPv4Network("10.0.2.0/24"),  # slirp4netns: rootless Podman, QEMU
    IPv4Network("10.0.3.0/24"),  # LXC
)

_CONTAINER_PREFIXES = (16, 20, 32)
"""The prefix lengths of the networks that Docker makes by default, and of a Kubernetes pod. Hardly
a home network has one of them."""


def interface_kind(
    name: str, *, link_type: int | None = None, bridge: bool = False, paired: bool = False
) -> InterfaceKind:
    """What an interface is, by what the system says of it and, where that says nothing, by its
    name. ``link_type`` is Linux' ARPHRD_ number; ``paired``: its other end is another interface,
    which is no parent of it (veth). A bridge is a container's only if its name says so: many
    a router and server has an ordinary one."""
    if link_type == 772:
        return InterfaceKind.LOOPBACK
    if link_type in _TUNNEL_TYPES:
        return InterfaceKind.TUNNEL
    if " " in name:
        named = next((kind for kind, words in _DESCRIPTIONS if words.search(name)), None)
    else:
        named = next((kind for kind, names in _NAMES if names.fullmatch(name)), None)
    if link_type is not None and not bridge and _KERNEL_BRIDGES.fullmatch(name):
        named = None
    if named is not None:
        return named
    return InterfaceKind.VIRTUAL if paired else InterfaceKind.ORDINARY


def address_of(host: str) -> IPv4Address | IPv6Address | None:
    """The IP address that ``host`` is, as :func:`.parse_address` gives it; None for a name."""
    try:
        return parse_address(host)
    except ValueError:
        return None


def is_loopback(endpoint: Endpoint) -> bool:
    """Whether ``endpoint`` is an address of the loopback interface."""
    return _is_loopback(endpoint.host)


@lru_cache(maxsize=1024)  # called several times for each SUBSCRIBE; hosts are few
def _is_loopback(host: str) -> bool:
    return parse_address(host).is_loopback


def own_address(host: str, own: Iterable[LocalAddress]) -> LocalAddress | None:
    """The one of ``own`` with the address ``host``, None where there is none."""
    address = address_of(host)
    return next((o for o in own if address is not None and ip_address(o.host) == address), None)


def sharing_network(device: str, own: Iterable[LocalAddress]) -> tuple[LocalAddress, ...]:
    """Those of ``own`` with the address ``device`` in their network."""
    address = address_of(device)
    return tuple(o for o in own if address is not None and address in o.network)


def usable_towards(device: str, own: Iterable[LocalAddress]) -> tuple[LocalAddress, ...]:
    """Those of ``own`` that the device at the address ``device`` could send to, those in its own
    network first: of its family, and loopback only for a device on loopback."""
    address = address_of(device)
    if address is None:
        return ()
    found = [
        o
        for o in own
        if (ip := ip_address(o.host)).version == address.version
        and ip.is_loopback == address.is_loopback
        and ip.is_link_local <= address.is_link_local
    ]
    return tuple(sorted(found, key=lambda o: (address not in o.network, KIND_RANK[o.kind])))


KIND_RANK = {
    InterfaceKind.ORDINARY: 0,
    InterfaceKind.VIRTUAL: 1,
    InterfaceKind.TUNNEL: 2,
    InterfaceKind.BRIDGE: 3,
    InterfaceKind.PEER_TO_PEER: 4,
    InterfaceKind.LOOPBACK: 5,
}
"""The kinds of interfaces, the one first that most likely leads to a network of other machines."""


def container_address(own: LocalAddress, *, in_container: bool | None) -> bool:
    """Whether ``own`` looks like the address of a container, or of a bridge to the containers of
    this machine, to which the rest of the network has no way. Neither the number alone proves it
    (some home networks are in 172.16.0.0/12) nor a container around the program, which may have
    been given an address of the network outside."""
    if own.kind is InterfaceKind.BRIDGE:
        return True
    address = ip_address(own.host)
    if isinstance(address, IPv6Address) or own.kind is not InterfaceKind.VIRTUAL:
        return False
    if in_container and own.network.prefixlen in _CONTAINER_PREFIXES:
        return True
    return any(address in pool for pool in _CONTAINER_POOLS)
