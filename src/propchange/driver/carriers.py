"""The carriers of network interfaces: whether a cable is plugged in, or a wireless network is
joined.

An interface without a carrier keeps its addresses. While the carrier was away, other hosts may have
come to the link, or may have forgotten a device. So when the carrier is back, a device announces
itself there again, and a control point searches again.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable, Iterable

from propchange.core.local_addresses import LocalAddress

_SIOCGIFFLAGS = 0x8913
_IFF_RUNNING = 0x40
_IFREQ = struct.Struct("16sH22x")


def has_carrier(interfaces: Iterable[str]) -> frozenset[str]:
    """The names among ``interfaces`` whose interfaces are up and have a carrier. All of them if the
    system does not say."""
    names = frozenset(interfaces)
    if sys.platform != "linux":
        return names
    import fcntl

    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            return frozenset(name for name in names if _is_running(fcntl.ioctl, asking, name))
    except OSError:  # no descriptor is left
        return names


def _is_running(ioctl: Callable[..., bytes], asking: socket.socket, name: str) -> bool:
    try:
        answer = ioctl(asking, _SIOCGIFFLAGS, _IFREQ.pack(name.encode(), 0))
    except OSError:  # it has gone
        return False
    return bool(_IFREQ.unpack(answer)[1] & _IFF_RUNNING)


class Carriers:
    """Notices carriers that come back."""

    def __init__(self) -> None:
        self._without: frozenset[str] = frozenset()

    def returned(self, addresses: Iterable[LocalAddress]) -> frozenset[str]:
        """The names of the interfaces of ``addresses`` that have a carrier now, and had none at the
        last call."""
        names = frozenset(address.interface for address in addresses)
        running = has_carrier(names)
        returned = self._without & running
        self._without = names - running
        return returned
