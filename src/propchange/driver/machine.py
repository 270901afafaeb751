"""This machine: its clock, its addresses and interfaces, its route to a device, whether it is a
container."""

from __future__ import annotations

import base64
import contextlib
import functools
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, ip_address, ip_interface
from typing import Any

from propchange.core.limits import Limits
from propchange.core.local_addresses import (
    InterfaceKind,
    LocalAddress,
    OnLink,
    interface_kind,
    sharing_network,
)
from propchange.core.record import Record
from propchange.core.token_bucket import TokenBucket
from propchange.core.wire.headers import server_token
from propchange.core.wire.messages import Endpoint
from propchange.core.wire.refusals import PRODUCT
from propchange.driver.reporting import logger_named
from propchange.driver.sockets import (
    ADDRESS_GONE,
    endpoint_of,
    socket_address,
    socket_from,
)
from propchange.errors import ConnectionFailed

_logger = logger_named("propchange.http")

REFRESH_SECONDS = 5.0
"""Seconds until the list of addresses is read again. Reading takes about a millisecond; without
this, subscribers would decide how often."""

_READING_PART = 0.03
"""The part of the time that may be used to read the addresses. A machine with 750 addresses takes
40 ms for one reading."""

LOOK_AGAIN_SECONDS = 0.2
"""Seconds until a request to an unknown address, or one that is refused by the known addresses, may
cause another reading of them, after :data:`LOOKS_AT_ONCE`. Reading takes about a millisecond, so
requests use at most 0.5 % of the time."""

LOOKS_AT_ONCE = 10
"""Such readings that may follow one another at once: an interface gets several addresses."""

# SSDP's group is first, so that a multicast route counts. The second is for all other networks
# (UDA 2.0 §1.1.2; RFC 5737).
_TOWARDS = (Endpoint("239.255.255.250", 1900), Endpoint("192.0.2.1", 1900))

_CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv")
"""Files in the root of a container of Docker and of Podman."""

_File = str | os.PathLike[str]

_LOOPBACK = LocalAddress("127.0.0.1", 0, IPv4Network("127.0.0.0/8"), "lo", 0)


def _choose_clock() -> Callable[[], float]:
    # CLOCK_BOOTTIME is Linux's. On macOS CLOCK_MONOTONIC counts through sleep and
    # time.monotonic() does not; on Windows time.monotonic() does.
    clock = getattr(time, "CLOCK_BOOTTIME", None) or getattr(time, "CLOCK_MONOTONIC", None)
    return functools.partial(time.clock_gettime, clock) if clock else time.monotonic


monotonic: Callable[[], float] = _choose_clock()
"""Seconds since a moment before the program started. Never goes back. It counts the time of a
suspend if the platform has such a clock: durations of subscriptions continue at the peer."""


def random_token() -> str:
    """A text of 22 letters, digits, hyphens and underscores that nobody can guess. The same as
    ``secrets.token_urlsafe(16)``, without that module: importing it takes 1 ms and 1 MB."""
    return base64.urlsafe_b64encode(os.urandom(16)).rstrip(b"=").decode("ascii")


def product(uda: str) -> str:
    """The value of SERVER and USER-AGENT for a program on this machine that follows version
    ``uda``."""
    if sys.platform == "win32":
        import platform  # 1 ms, for Windows alone

        system, release = "Windows", platform.release()
    else:
        system, _, release, _, _ = os.uname()
    return server_token(uda, PRODUCT, f"{system}/{release}")


@functools.lru_cache(maxsize=1024)
def kind_of(name: str, index: int, *, sysfs: _File = "/sys/class/net") -> InterfaceKind:
    """The kind of an interface: by ``sysfs`` on Linux, elsewhere by its name."""
    folder = f"{sysfs}/{name}"
    try:
        number, other_end, link_type = (
            int(_text_of(f"{folder}/{file}")) for file in ("ifindex", "iflink", "type")
        )
        entries = os.listdir(folder)
    except (OSError, ValueError):
        return interface_kind(name)
    if number != index:  # /sys shows another network namespace
        return interface_kind(name)
    # The other end of a VLAN or a MACVLAN is its parent, which has an entry "lower_<name>".
    paired = other_end != number and not any(entry.startswith("lower_") for entry in entries)
    return interface_kind(name, link_type=link_type, bridge="bridge" in entries, paired=paired)


_TEMPORARY = 0x01 | 0x08 | 0x20
"""The flags of Linux for an IPv6 address that is temporary, a duplicate, or deprecated."""


def temporary_addresses(*, table: _File = "/proc/net/if_inet6") -> frozenset[str]:
    """The IPv6 addresses of this machine that are temporary, duplicates or deprecated. Those of the
    privacy extensions (RFC 8981) change each day. Empty if the system does not say."""
    try:
        rows = [line.split() for line in _text_of(table).splitlines()]
        temporary = [row[0] for row in rows if int(row[4], 16) & _TEMPORARY]
        return frozenset(str(IPv6Address(int(each, 16))) for each in temporary)
    except (OSError, ValueError, IndexError):
        return frozenset()


def _text_of(file: _File) -> str:
    with open(file, encoding="ascii") as opened:
        return opened.read()


def seconds_to_next_look(took: float, limits: Limits) -> float:
    """Seconds until the addresses are read again to find new interfaces, if a reading has taken
    ``took`` seconds."""
    return max(limits.link_seconds, took / _READING_PART)


def in_container() -> bool:
    """Whether this program seems to run in a container of Docker, Podman or Kubernetes."""
    marks = any(map(os.path.exists, _CONTAINER_MARKS))
    return marks or "KUBERNETES_SERVICE_HOST" in os.environ


def source_towards(device: Endpoint) -> str | None:
    """The address that the system would send from to the address ``device``; None without a route.
    Nothing is sent: connecting a datagram socket is enough."""
    six = ":" in device.host
    try:
        with socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(socket_address(device._replace(port=device.port or 1900)))
            return endpoint_of(probe.getsockname()).host
    except OSError:
        return None


def has_address(address: Endpoint) -> bool:
    """Whether this machine has ``address``, whose port is ignored. True if that is unknown for lack
    of a descriptor."""
    try:
        socket_from(address, address._replace(port=0)).close()
    except OSError as error:
        return error.errno not in ADDRESS_GONE
    return True


def free_port(host: str) -> int:
    """A TCP port of this machine that is free now, of the address family of ``host``."""
    six = ":" in host
    with socket.socket(socket.AF_INET6 if six else socket.AF_INET) as sock:
        sock.bind(("::" if six else "0.0.0.0", 0))
        return int(sock.getsockname()[1])


@dataclass(slots=True, eq=False, repr=False)
class Machine(Record):
    """What a diagnosis asks of this machine: whether the program runs in a container, the address
    that the system would send from to an endpoint, and a free port to connect from."""

    in_container: Callable[[], bool] = in_container
    source_towards: Callable[[Endpoint], str | None] = source_towards
    free_port: Callable[[str], int] = free_port


class Interfaces:
    """The addresses of this machine, read again when older than :data:`REFRESH_SECONDS`.

    ``adapters`` replaces ``ifaddr.get_adapters``; ``source_towards`` and ``kind_of`` replace the
    functions of this module with these names.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = monotonic,
        adapters: Callable[[], Iterable[Any]] | None = None,
        source_towards: Callable[[Endpoint], str | None] = source_towards,
        kind_of: Callable[[str, int], InterfaceKind] = kind_of,
    ) -> None:
        if adapters is None:
            # This import takes 10 ms and 2 MB, and starts a process: a program that only imports
            # this package does not need it. It is done here and not at the first reading, which a
            # request of a peer may cause when no descriptor is left for an import.
            import ifaddr

            adapters = ifaddr.get_adapters
        self._clock = clock
        self._adapters = adapters
        self._source_towards = source_towards
        self._kind_of = kind_of
        self._read_at: float | None = None
        self._looks = TokenBucket(LOOKS_AT_ONCE, LOOK_AGAIN_SECONDS, clock())
        self._addresses: tuple[LocalAddress, ...] = ()
        self._at: dict[tuple[str, int], LocalAddress] = {}
        self._links: dict[tuple[str, int], tuple[OnLink, ...]] = {}
        self.hosts: frozenset[str] = frozenset()
        """The addresses of the last reading, without zones."""

    def addresses(self) -> tuple[LocalAddress, ...]:
        """Every address of every interface that is up, loopback included. If they cannot be read,
        the last reading: a publisher without a file descriptor must still judge requests."""
        return self._read_again() if self._is_older_than(REFRESH_SECONDS) else self._addresses

    def _is_older_than(self, seconds: float) -> bool:
        return self._read_at is None or self._clock() - self._read_at >= seconds

    def _read_again(self) -> tuple[LocalAddress, ...]:
        try:
            return self.refresh()
        except OSError as error:
            _logger.debug("the addresses of this machine cannot be read: %s", error)
            return self._addresses

    def _look_again(self) -> tuple[LocalAddress, ...]:
        now = self._clock()
        if self._looks.ready_at(now) <= now:
            self._looks.spend(now)
            self._read_again()
        return self._addresses

    def refresh(self) -> tuple[LocalAddress, ...]:
        """Read the addresses now and return them. Raises OSError if they cannot be read."""
        self._read_at = self._clock()
        self._addresses = tuple(self._read(self._adapters()))
        self._at.clear()
        self._links.clear()
        self.hosts = frozenset(address.host for address in self._addresses)
        return self._addresses

    def _read(self, adapters: Iterable[Any]) -> Iterator[LocalAddress]:
        for adapter in adapters:
            name, index = adapter.nice_name, adapter.index or 0
            kind = self._kind_of(name, index)
            for ip in adapter.ips:
                host = ip.ip if isinstance(ip.ip, str) else ip.ip[0].partition("%")[0]
                interface = ip_interface(f"{host}/{ip.network_prefix}")
                scope = 0
                if interface.version == 6 and interface.is_link_local:
                    scope = ip.ip[2] or index
                yield LocalAddress(str(interface.ip), scope, interface.network, name, index, kind)

    def on_link_for(self, local: Endpoint) -> tuple[OnLink, ...]:
        """The prefixes of the interface that has the address ``local``, whose port is ignored.
        Empty if no interface has it.

        A peer has reached this machine at ``local``, so an unknown ``local`` is a new address. The
        addresses are then read again, at most every :data:`LOOK_AGAIN_SECONDS`.
        """
        at = self.address_at(local)
        if at is None:
            return ()
        key = (local.host, local.scope)  # the hash of a LocalAddress takes long
        links = self._links.get(key)
        if links is None:
            links = self._links[key] = _links_of(at, self._addresses)
        return links

    def on_link_now(self, local: Endpoint) -> tuple[OnLink, ...]:
        """As :meth:`on_link_for`. The addresses are read before, at most every
        :data:`LOOK_AGAIN_SECONDS`."""
        self._look_again()
        return self.on_link_for(local)

    def own_towards(self, peer: Endpoint) -> Endpoint | None:
        """The address of this machine on the network of ``peer``, the narrowest network first; None
        if it has no address there."""
        near = sharing_network(peer.host, self.addresses())
        if peer.scope:
            near = tuple(each for each in near if each.scope == peer.scope)
        elif len({each.link for each in near if each.scope}) > 1:
            return None  # a link-local address says nothing without its zone
        return max(near, key=lambda each: each.network.prefixlen).endpoint if near else None

    def address_at(self, local: Endpoint) -> LocalAddress | None:
        """The address of this machine that ``local`` is, read again as in :meth:`on_link_for`. For
        any address of loopback it is that of the interface."""
        read_at, known = self._read_at, self.addresses()
        key = (local.host, local.scope)
        at = self._at.get(key)
        if at is None:
            at = _address_at(local, known)
            if at is None and self._read_at == read_at:
                at = _address_at(local, self._look_again())
            if at is not None:
                self._at[key] = at
        return at

    def own_hosts(self) -> frozenset[str]:
        """The addresses of this machine as texts, in their shortest form."""
        self.addresses()
        return self.hosts

    def names(self) -> set[str]:
        """The names of all interfaces, also of those without an address."""
        names = {address.interface for address in self.addresses()}
        # Windows has other names than ifaddr.
        with contextlib.suppress(OSError):
            names |= {name for _, name in socket.if_nameindex() if sys.platform != "win32"}
        return names

    def host_of(self, interface: str) -> str | None:
        """The address to listen on for ``interface``, an address or the name of a host; None for
        the name of an interface. Raises ConnectionFailed, with the names of the interfaces, for
        anything else."""
        names = self.names()
        if interface in names:
            return None
        if "." not in interface and ":" not in interface and interface != "localhost":
            there = ", ".join(sorted(names))
            raise ConnectionFailed(f"there is no interface {interface!r}; there are: {there}")
        return interface

    def default_address(self, known: Sequence[LocalAddress] | None = None) -> str:
        """The address to advertise, one of ``known``; None: one of all. It is the source address of
        SSDP's multicast, else that of the default route, else the best one of any interface, else
        ``127.0.0.1``."""
        known = self.addresses() if known is None else known
        hosts = {address.host for address in known}
        for remote in _TOWARDS:
            source = self._source_towards(remote)
            if source is not None and source in hosts:
                return source
        return min(known, key=rank, default=_LOOPBACK).host


def _address_at(local: Endpoint, known: tuple[LocalAddress, ...]) -> LocalAddress | None:
    own = ip_address(local.host)
    exact = (a for a in known if a.host == str(own) and a.scope == local.scope)
    # All of 127.0.0.0/8 is this machine's, although the interface lists one address only.
    looped = (a for a in known if own.is_loopback and own in a.network)
    # The system gives no scope for the link-local end of a connection whose peer is not link-local.
    scoped = [a for a in known if not local.scope and a.scope and a.host == str(own)]
    only = scoped[0] if len(scoped) == 1 else None
    return next(exact, None) or next(looped, None) or only


def _links_of(at: LocalAddress, known: tuple[LocalAddress, ...]) -> tuple[OnLink, ...]:
    # An alias ("eth0:1") is its own adapter with the same index.
    same = [
        a
        for a in known
        if a.interface == at.interface or a.interface_index == at.interface_index != 0
    ]
    networks = {a.network: a.interface_index if a.network.version == 6 else 0 for a in same}
    return tuple(OnLink(network, scope) for network, scope in networks.items())


def rank(address: LocalAddress) -> int:
    """The lower, the sooner other machines can reach ``address``."""
    ip = ip_address(address.host)
    six = ip.version == 6
    if ip.is_loopback:
        return 4 + six
    if ip.is_link_local:
        # A URL cannot say which interface a link-local IPv6 address belongs to (UDA 2.0 §A.4).
        return 6 if six else 2
    return int(six)
