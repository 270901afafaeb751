"""The check of delivery URLs: which addresses a publisher may call.

A publisher connects to the addresses that a SUBSCRIBE names. Without a check, anybody could make
it send requests to any host (CallStranger, CVE-2020-12695). UDA 2.0 §4.1.1 allows only addresses on
the network segment from which the SUBSCRIBE came.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from propchange.core.limits import Limits
from propchange.core.local_addresses import OnLink
from propchange.core.wire.headers import parse_host
from propchange.core.wire.messages import DeliveryURL, Endpoint, parse_address
from propchange.errors import RemoteProtocolError

CALLBACK_POLICIES = ("on-link", "same-host", "any")
"""``on-link``: addresses on the network from which the SUBSCRIBE came. ``same-host``: only the
address from which it came. ``any``: every unicast address, for networks that are protected in
another way.
"""

_Address = IPv4Address | IPv6Address

_FORM = "UDA 2.0 §4.1.2"
_SEGMENT = "UDA 2.0 §4.1.1"
_FAMILY = "UDA 2.0 §A.7"

# A request line cannot carry a fragment, and a URL cannot hold the other characters (RFC 3986).
_FORBIDDEN = re.compile(r'[^!-~]|["#<>\\]')
_URL = re.compile(r"http://([^/?]*)((?:[/?].*)?)", re.IGNORECASE)


def judge_callbacks(
    urls: tuple[str, ...],
    *,
    peer: Endpoint,
    local: Endpoint,
    on_link: Sequence[OnLink],
    policy: str,
    lenient: bool,
    limits: Limits,
    own_callback: str = "",
) -> tuple[DeliveryURL, ...]:
    """The URLs of a CALLBACK, checked and split, in their order (UDA 2.0 §4.1.1).

    ``peer`` and ``local`` are the ends of the connection that carried the SUBSCRIBE, ``on_link``
    the prefixes of its interface, ``policy`` one of :data:`CALLBACK_POLICIES`. With ``lenient``,
    URLs that may not be called are left out; otherwise one such URL refuses the whole CALLBACK.
    ``own_callback`` is the one URL that may lead to the device's own listener.

    Raises :class:`RemoteProtocolError` with status 412 when a URL may not be called or none is
    left.
    """
    connection = _Connection(
        parse_address(peer.host),
        parse_address(local.host),
        local.port,
        local.scope or peer.scope,
        on_link,
    )
    accepted: list[DeliveryURL] = []
    refused = _refusal("CALLBACK names no URL", _FORM)
    for url in urls:
        known = connection._replace(local_port=0) if url == own_callback else connection
        try:
            accepted.append(_judge(url, known, policy, limits))
        except RemoteProtocolError as error:
            if not lenient:
                raise
            refused = error
    if not accepted:
        raise refused
    return tuple(accepted)


class _Connection(NamedTuple):
    peer: _Address
    local: _Address
    local_port: int
    scope: int
    on_link: Sequence[OnLink]


def _refusal(reason: str, clause: str) -> RemoteProtocolError:
    return RemoteProtocolError(reason, status=412, clause=clause)


def _judge(url: str, connection: _Connection, policy: str, limits: Limits) -> DeliveryURL:
    address, port, authority, target = _take_apart(url, limits)
    _refuse_unusable(address, port, connection)
    scope = _scope_of(address, connection)
    if policy == "same-host" and address != connection.peer:
        raise _refusal(
            f"the callback leads to {address}, and this device calls back only the address that "
            f"a SUBSCRIBE came from, here {connection.peer}",
            _SEGMENT,
        )
    if policy == "on-link" and not _is_on_link(address, connection):
        raise _refusal(
            f"the callback leads to {address}, which is not on the network that the SUBSCRIBE "
            f"came in from ({connection.peer}); subscribe over the network of the callback",
            _SEGMENT,
        )
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
        address = ip_address(host)
    except ValueError:
        raise _refusal(
            f"the callback {shown} does not name its host by a literal IP address without a zone",
            _SEGMENT,
        ) from None
    return address, port, authority, target if target.startswith("/") else f"/{target}"


def _refuse_unusable(address: _Address, port: int, connection: _Connection) -> None:
    """Refuse addresses that no policy allows."""
    if address.version != connection.peer.version or getattr(address, "ipv4_mapped", None):
        raise _refusal(
            f"the callback leads to {address}, and the SUBSCRIBE came over "
            f"IPv{connection.peer.version}; both have to be of the same family",
            _FAMILY,
        )
    if not _is_unicast(address, connection.on_link):
        raise _refusal(f"the callback leads to {address}, which is no single host", _SEGMENT)
    if address.is_loopback and not connection.peer.is_loopback:
        raise _refusal(
            f"the callback leads to {address}, the device itself; name an address of the "
            "subscriber that the device can reach",
            _SEGMENT,
        )
    if (address, port) == (connection.local, connection.local_port):
        raise _refusal(
            f"the callback leads to {address} port {port}, the device's own listener", _SEGMENT
        )


def _is_unicast(address: _Address, on_link: Sequence[OnLink]) -> bool:
    if address.is_multicast or address.is_unspecified:
        return False
    if isinstance(address, IPv6Address):
        return True
    # 0/8 is "this network". 240/4 is reserved; 255.255.255.255 is its last address.
    if address.is_reserved or address.packed[0] == 0:
        return False
    return not any(
        address in (network.broadcast_address, network.network_address)
        for network, _ in on_link
        if network.prefixlen < 31
    )


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
    return any(address in network for network, _ in connection.on_link)
