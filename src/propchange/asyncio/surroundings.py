"""Looking at this machine: what its interfaces are, and which address leads to a device."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from propchange.core.messages import Endpoint
from propchange.core.surroundings import InterfaceKind, interface_kind

__all__ = ["in_container", "kind_of", "source_towards"]

_SYSFS = Path("/sys/class/net")

_CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))
"""What Docker and Podman leave in the root of a container."""


def kind_of(interface: str, index: int, *, sysfs: Path = _SYSFS) -> InterfaceKind:
    """What kind of interface it is, by what Linux says of it, and elsewhere by its name."""
    of_it = sysfs / interface
    number = _number(of_it / "ifindex")
    if number is None or number != index:
        # Not Linux, or /sys shows another network namespace.
        return interface_kind(interface)
    link = _number(of_it / "iflink")
    return interface_kind(
        interface,
        link_type=_number(of_it / "type"),
        bridge=(of_it / "bridge").exists(),
        # The other end of a VLAN or a MACVLAN is its parent, and stands there by its name.
        paired=link != number and not any(of_it.glob("lower_*")),
    )


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return None


def in_container() -> bool:
    """Whether this program seems to run in a container: its files say so, or Kubernetes does."""
    return any(mark.exists() for mark in _CONTAINER_MARKS) or (
        "KUBERNETES_SERVICE_HOST" in os.environ
    )


def source_towards(device: Endpoint) -> str | None:
    """The address that the system would send from to ``device``, None without a route. Nothing is
    sent: a datagram socket that is connected learns it."""
    family = socket.AF_INET6 if ":" in device.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            port = device.port or 1900
            if family == socket.AF_INET6:
                probe.connect((device.host, port, 0, device.scope))
            else:
                probe.connect((device.host, port))
            return str(probe.getsockname()[0]).partition("%")[0]
    except OSError:
        return None
