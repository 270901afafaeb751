"""Looking at this machine: what its interfaces are, and which address leads to a device."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from propchange.core.local_addresses import (
    CONTAINER_MARKS,
    CONTAINER_VARIABLE,
    SYSFS,
    SYSFS_FILES,
    InterfaceKind,
    interface_kind_by_sysfs,
)
from propchange.core.wire.messages import Endpoint

__all__ = ["in_container", "kind_of", "source_towards"]


def kind_of(interface: str, index: int, *, sysfs: Path = Path(SYSFS)) -> InterfaceKind:
    """What kind of interface it is, by what Linux says of it, and elsewhere by its name."""
    of_it = sysfs / interface
    try:
        entries = os.listdir(of_it)
        files = {name: (of_it / name).read_text("ascii") for name in SYSFS_FILES}
    except (OSError, ValueError):
        entries, files = [], {}
    return interface_kind_by_sysfs(interface, index, files, entries)


def in_container() -> bool:
    """Whether this program seems to run in a container: its files say so, or Kubernetes does."""
    return any(map(os.path.exists, CONTAINER_MARKS)) or CONTAINER_VARIABLE in os.environ


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
