"""This machine: its clock, its interfaces, whether it is a container, its way to a device."""

from __future__ import annotations

import functools
import os
import platform
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ifaddr

from propchange.core.local_addresses import (
    CONTAINER_MARKS,
    CONTAINER_VARIABLE,
    SYSFS,
    SYSFS_FILES,
    InterfaceKind,
    interface_kind_by_sysfs,
)
from propchange.core.wire.headers import server_token
from propchange.core.wire.messages import Endpoint
from propchange.core.wire.refusals import PRODUCT
from propchange.driver.interfaces import Interfaces

__all__ = [
    "Machine",
    "free_port",
    "in_container",
    "kind_of",
    "monotonic",
    "on_link_for",
    "own_interfaces",
    "product",
    "source_towards",
]


def _choose_clock() -> Callable[[], float]:
    # CLOCK_BOOTTIME is Linux's. On macOS CLOCK_MONOTONIC counts through sleep and
    # time.monotonic() does not; on Windows time.monotonic() does.
    for name in ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC"):
        clock = getattr(time, name, None)
        if clock is not None:
            return functools.partial(time.clock_gettime, clock)
    return time.monotonic


monotonic: Callable[[], float] = _choose_clock()
"""Seconds since some moment before the program started. Never goes back; counts suspends where
the platform has such a clock: durations of subscriptions run on at the peer meanwhile."""


def product(uda: str) -> str:
    """The value of SERVER and USER-AGENT for a program on this machine that follows version
    ``uda``."""
    return server_token(uda, PRODUCT, f"{platform.system()}/{platform.release()}")


def own_interfaces(
    *,
    clock: Callable[[], float] = monotonic,
    adapters: Callable[[], Iterable[Any]] = ifaddr.get_adapters,
) -> Interfaces:
    """The addresses of this machine, by ifaddr and the system."""
    return Interfaces(
        clock=clock, adapters=adapters, source_towards=source_towards, kind_of=kind_of
    )


def kind_of(interface: str, index: int, *, sysfs: Path = Path(SYSFS)) -> InterfaceKind:
    """The kind of an interface: by ``sysfs`` on Linux, elsewhere by its name."""
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
    """The address that the system would send from to ``device``, an address; None without a route.
    Nothing is sent: a datagram socket that is connected learns it."""
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


def free_port(host: str) -> int:
    """A TCP port of this machine that nobody uses now, of the address family of ``host``."""
    six = ":" in host
    with socket.socket(socket.AF_INET6 if six else socket.AF_INET) as sock:
        sock.bind(("::" if six else "0.0.0.0", 0))
        return int(sock.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Machine:
    """What a diagnosis asks of this machine: whether the program runs in a container, the address
    that the system would send from to an endpoint, and a free port to connect from."""

    in_container: Callable[[], bool] = in_container
    source_towards: Callable[[Endpoint], str | None] = source_towards
    free_port: Callable[[str], int] = free_port


on_link_for = own_interfaces().on_link_for
"""The prefixes of the interface that has an address, for what has no Interfaces of its own."""
