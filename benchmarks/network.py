"""A network of the benchmark's own: libupnp refuses the loopback interface."""

from __future__ import annotations

import ctypes
import itertools
import os
import subprocess

__all__ = ["ADDRESS", "INTERFACE", "enter", "libupnp_port", "reason", "subscribers_of"]

INTERFACE = "v0"
ADDRESS = "10.77.0.1"
"""Of the interface. All addresses up to 10.77.127.255 are this machine's own, inside."""

_CLONE_NEWNET = 0x40000000

_COMMANDS = (
    "ip link set lo up multicast on",
    f"ip link add {INTERFACE} type veth peer name v1",
    f"ip addr add {ADDRESS}/16 dev {INTERFACE}",
    # libupnp looks for a usable IPv6 address at once: no duplicate detection.
    f"sysctl -qw net.ipv6.conf.{INTERFACE}.accept_dad=0",
    f"ip link set {INTERFACE} up multicast on",
    "ip link set v1 up",
    "ip route add local 10.77.0.0/17 dev lo",
    f"ip route add 239.0.0.0/8 dev {INTERFACE}",
    # libupnp listens from port 49152 on.
    "sysctl -qw net.ipv4.ip_local_port_range=12000\t48000",
    "sysctl -qw net.core.somaxconn=8192",
)


_reason: str | None = "no network namespace was entered"


def reason() -> str | None:
    """Why this process is not in a network namespace of its own; None: it is."""
    return _reason


def enter() -> str | None:
    """Bring this thread, and the processes that it starts from now on, into a network namespace
    with the loopback interface and :data:`INTERFACE`. The namespace ends with the last process in
    it. Returns :func:`reason`."""
    global _reason  # noqa: PLW0603 - a process is in one network
    _reason = _enter()
    return _reason


def _enter() -> str | None:
    if os.geteuid() != 0:
        return "network namespaces need root"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET):
        return f"no network namespace: {os.strerror(ctypes.get_errno())}"
    for command in _COMMANDS:
        try:
            subprocess.run(command.split(" "), check=True, capture_output=True, text=True)
        except FileNotFoundError as error:
            return f"no `{error.filename}` (iproute2, procps)"
        except subprocess.CalledProcessError as error:
            return f"{command}: {error.stderr.strip()}"
    return None


def subscribers_of(host: str) -> str:
    """The first address of subscribers of a publisher at ``host``."""
    return "10.77.1.1" if host == ADDRESS else "127.0.0.1"


def libupnp_port() -> int:
    """A port that libupnp takes, and that was not used in this network."""
    return next(_PORTS)


_PORTS = itertools.count(49_152)
