"""The check of delivery URLs: which addresses a publisher may call.

A publisher connects to the addresses that a SUBSCRIBE names. Without a check, anybody could make
it send requests to any host (CallStranger, CVE-2020-12695). UDA 2.0 §4.1.1 allows only addresses on
the network segment from which the SUBSCRIBE came.
"""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import NamedTuple

from propchange.core.limits import Limits
from propchange.core.local_addresses import OnLink
from propchange.core.wire.headers import parse_host
from propchange.core.wire.messages import DeliveryURL, Endpoint, parse_address, parse_literal
from propchange.errors import RemoteProtocolError

CALLBACK_POLICIES = ("on-link", "same-host", "any")
"""The values of the setting ``callbacks``. ``docs/delivery-urls.md`` has a table of them.

``on-link``: addresses on the network where the SUBSCRIBE came in, for subscribers on that network.
``same-host``: only the address of the subscriber. ``any``: every unicast address, for networks that
are protected in another way.
"""

_Address = IPv4Address | IPv6Address

_FORM = "UDA 2.0 §4.1.2"
_SEGMENT = "UDA 2.0 §4.1.1"
_FAMILY = "UDA 2.0 §A.7"
_ALLOW = 'the setting callbacks="any" of the device allows it'
_ALLOW_SAME = 'the setting callbacks="same-host" of the device allows it'

_TRANSLATED = tuple(
    IPv6Network(prefix)
    for prefix in (
        "::/96",  # IPv4-compatible, deprecated (RFC 4291 §2.5.5.1)
        "::ffff:0:0:0/96",  # IPv4-translated (RFC 2765)
        "64:ff9b::/96",  # NAT64 (RFC 6052)
        "64:ff9b:1::/48",  # NAT64 of a local network (RFC 8215)
        "2001::/32",  # Teredo (RFC 4380)
        "2002::/16",  # 6to4 (RFC 3056)
    )
)
"""IPv6 prefixes whose addresses contain an IPv4 address. It can be the address of any host."""

# A request line cannot carry a fragment, and a URL cannot hold the other characters (RFC 3986).
_FORBIDDEN = re.compile(r'[^!-~]|["#<>\\]')
_URL = re.compile(r"http://([^/?]*)((?:[/?].*)?)", re.IGNORECASE)


def judge_callbacks(
    urls: tuple[str, ...],
    *,
    peer: Endpoint | None,
    local: Endpoint | None,
    on_link: Sequence[OnLink],
    policy: str,
    lenient: bool,
    limits: Limits,
    own_hosts: Container[str] = (),
    own_callback: str = "",
    own_port: int | None = None,
    own_prefix: str = "",
) -> tuple[DeliveryURL, ...]:
    """The URLs of a CALLBACK, checked and split, in their order (UDA 2.0 §4.1.1).

    ``peer`` is the address of the subscriber; None: not known, for the policy "any" alone.
    ``local`` is the address of this machine that the SUBSCRIBE was sent to, None if it is not
    known. ``on_link`` are the prefixes of the interface on which it came in, ``own_hosts`` the
    addresses of this machine. ``policy`` is one of :data:`CALLBACK_POLICIES`. With ``lenient``,
    URLs that may not be called are left out; otherwise one such URL refuses the whole CALLBACK.
    The paths below ``own_prefix`` at ``own_port`` of this machine (None: that of ``local``) lead to
    the device itself.
    ``own_callback`` is the one URL that may lead there.

    Raises :class:`RemoteProtocolError` with status 412 when a URL may not be called or none is
    left.
    """
    if peer is None and policy != "any":
        raise _refusal(
            "the address of the subscriber is not known, because the web server or a proxy of this "
            "machine does not pass it on, so the callback cannot be judged; let the proxy set "
            f"X-Forwarded-For and the web server read it, or {_ALLOW}",
            _SEGMENT,
        )
    if own_port is None and local is not None:
        own_port = local.port
    connection = _Connection(
        None if peer is None else parse_address(peer.host),
        None if local is None else parse_address(local.host),
        own_port,
        own_prefix,
        (local.scope if local else 0) or (peer.scope if peer else 0),
        on_link,
        own_hosts,
    )
    accepted: list[DeliveryURL] = []
    refused: RemoteProtocolError | None = None
    for url in urls:
        known = connection._replace(own_port=None) if url == own_callback else connection
        try:
            accepted.append(_judge(url, known, policy, limits))
        except RemoteProtocolError as error:
            if not lenient:
                raise
            refused = error
    if not accepted:
        raise refused or _refusal("CALLBACK names no URL", _FORM)
    return tuple(accepted)


class _Connection(NamedTuple):
    peer: _Address | None
    local: _Address | None
    own_port: int | None
    own_prefix: str
    scope: int
    on_link: Sequence[OnLink]
    own_hosts: Container[str]

    def is_own(self, address: _Address) -> bool:
        """Whether ``address`` is one of this machine."""
        return address.is_loopback or address == self.local or str(address) in self.own_hosts

    def is_from_loopback(self) -> bool:
        """Whether the subscriber is on the loopback interface."""
        return self.peer is not None and self.peer.is_loopback

    def is_from_own(self) -> bool:
        """Whether the subscriber is on this machine."""
        return self.peer is not None and self.is_own(self.peer)

    def leads_to_device(self, port: int, target: str) -> bool:
        """Whether ``port`` and ``target``, of an address of this machine, lead to the device."""
        path = target.partition("?")[0]
        return port == self.own_port and f"{path}/".startswith(f"{self.own_prefix}/")

    def has_on_link(self, address: _Address) -> bool:
        """Whether ``address`` is in a prefix of the interface."""
        return any(address in network for network, _ in self.on_link)


def _refusal(reason: str, clause: str) -> RemoteProtocolError:
    return RemoteProtocolError(reason, status=412, clause=clause)


def _judge(url: str, connection: _Connection, policy: str, limits: Limits) -> DeliveryURL:
    address, port, authority, target = _take_apart(url, limits)
    _refuse_unusable(address, port, target, connection)
    scope = _scope_of(address, connection)
    if policy == "same-host" and address != connection.peer:
        raise _refusal(
            f"the callback leads to {address}, and this device calls back only the address that "
            f"a SUBSCRIBE came from, here {connection.peer}; {_ALLOW}",
            _SEGMENT,
        )
    if policy == "on-link" and not _is_on_link(address, connection):
        raise _refusal(_why_off_link(address, connection), _SEGMENT)
    return DeliveryURL(url, Endpoint(str(address), port, scope), authority, target)


def _take_apart(url: str, limits: Limits) -> tuple[_Address, int, str, str]:
    """Address, port, authority and target of an absolute http URL with a literal address."""
    if len(url) > limits.callback_url_bytes:
        raise _refusal(
            f"a callback URL has {len(url)} bytes, and this device keeps at most "
            f"{limits.callback_url_bytes} and may not cut it",
            _FORM,
        )
    shown = ascii(url[:100])
    if _FORBIDDEN.search(url):
        raise _refusal(
            f"the callback {shown} has characters that the URL of a request cannot have", _FORM
        )
    parts = _URL.fullmatch(url)
    if parts is None:
        raise _refusal(f"the callback {shown} does not begin with http://", _FORM)
    authority, target = parts.groups()
    if "@" in authority:
        raise _refusal(f"the callback {shown} has a user name; leave it out", _FORM)
    try:
        host, port = parse_host(authority.encode())
    except ValueError as error:
        raise _refusal(f"the callback {shown} does not name an address: {error}", _FORM) from None
    try:
        address = parse_literal(host)
    except ValueError:
        raise _refusal(
            f"the callback {shown} does not name its host by a literal IP address without a zone",
            _SEGMENT,
        ) from None
    return address, port, authority, target if target.startswith("/") else f"/{target}"


def _refuse_unusable(address: _Address, port: int, target: str, connection: _Connection) -> None:
    """Refuse addresses that no policy allows."""
    peer = connection.peer
    version = address.version if peer is None else peer.version
    if address.version != version or getattr(address, "ipv4_mapped", None):
        raise _refusal(
            f"the callback leads to {address}, and the SUBSCRIBE came over "
            f"IPv{version}; both have to be of the same family",
            _FAMILY,
        )
    if not _is_unicast(address, connection.on_link):
        raise _refusal(f"the callback leads to {address}, which is no single host", _SEGMENT)
    if _is_translated(address) and not connection.has_on_link(address):
        raise _refusal(
            f"the callback leads to {address}, which stands for an IPv4 address behind a "
            "translator or a tunnel",
            _SEGMENT,
        )
    if address.is_loopback and not connection.is_from_loopback():
        raise _refusal(
            f"the callback leads to {address}, the device itself; name an address of the "
            "subscriber that the device can reach",
            _SEGMENT,
        )
    if not connection.is_own(address):
        return
    if connection.leads_to_device(port, target):
        raise _refusal(
            f"the callback leads to {address} port {port}, the device's own listener", _SEGMENT
        )
    if not connection.is_from_own():
        raise _refusal(
            f"the callback leads to {address}, an address of the device's own machine, and the "
            f"SUBSCRIBE came from another address ({peer or 'not known'})",
            _SEGMENT,
        )


def _is_unicast(address: _Address, on_link: Sequence[OnLink]) -> bool:
    if address.is_multicast or address.is_unspecified:
        return False
    # 0/8 is "this network". 240/4 is reserved; 255.255.255.255 is its last address.
    if address.version == 4 and (address.is_reserved or address.packed[0] == 0):
        return False
    # The first address of an IPv4 network is the network itself, its last one means all hosts. The
    # first address of an IPv6 prefix means any of its routers (RFC 4291 §2.6.1).
    return not any(
        address == network.network_address
        or (address.version == 4 and address == network.broadcast_address)
        for network, _ in on_link
        if network.prefixlen < network.max_prefixlen - 1
    )


def _is_translated(address: _Address) -> bool:
    return not address.is_loopback and any(address in prefix for prefix in _TRANSLATED)


def _is_link_local_6(address: _Address) -> bool:
    return address.version == 6 and address.is_link_local


def _scope_of(address: _Address, connection: _Connection) -> int:
    """The scope id for connecting to ``address``: that of the connection or, if the connection is
    not link-local, that of its interface."""
    if not _is_link_local_6(address):
        return 0
    scopes = [
        connection.scope,
        *(scope for network, scope in connection.on_link if address in network),
    ]
    scope = next(filter(None, scopes), 0)
    if not scope:
        raise _refusal(
            f"the callback leads to {address}, and the SUBSCRIBE did not come over a link where "
            "that address has a meaning",
            _FAMILY,
        )
    return scope


def _is_on_link(address: _Address, connection: _Connection) -> bool:
    # _refuse_unusable has refused loopback addresses to all peers but loopback ones. A link-local
    # address with a scope is on the link of the connection, whatever its prefix.
    if address.is_loopback or _is_link_local_6(address):
        return True
    if not connection.has_on_link(address):
        return False
    peer = connection.peer
    assert peer is not None  # the policy is not "any"
    return address == peer or connection.has_on_link(peer) or _is_link_local_6(peer)


def _why_off_link(address: _Address, connection: _Connection) -> str:
    """The reason for which ``address`` is not on the link, as an error text."""
    peer, local = connection.peer, connection.local
    networks = ", ".join(str(network) for network, _ in connection.on_link)
    if local is None:
        return (
            f"the SUBSCRIBE of {peer} was passed on by a proxy or a web server, and this machine "
            f"has no network with {peer}, so the callback to {address} cannot be judged; {_ALLOW}"
        )
    if not networks:
        return (
            f"no network of the address that the SUBSCRIBE was sent to ({local}) is known, so the "
            f"callback to {address} cannot be judged; {_ALLOW}"
        )
    where = f"the network of {local} ({networks}), where the SUBSCRIBE came in"
    if address == peer:
        return f"the subscriber {peer} is not on {where}; {_ALLOW_SAME}"
    if connection.has_on_link(address):
        return (
            f"the callback leads to {address}, and the SUBSCRIBE came from {peer}, which is not on "
            f"{where}; {_ALLOW}"
        )
    return f"the callback leads to {address}, which is not on {where}; {_ALLOW}"
