"""Which LOCATION of an advertisement may be fetched.

Anybody on the link can announce any LOCATION for any UDN. A URL that leads off the link could aim
this host's requests at another host, as CallStranger does with the requests of devices.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from propchange.core.local_addresses import OnLink
from propchange.core.wire.messages import Endpoint

__all__ = ["judge_location"]

_URL = re.compile(
    r"http://(?:\[(?P<six>[0-9A-Fa-f:.]+)(?:%(?:25)?[^\]]*)?\]|(?P<four>[^:/?#\[\]@]+))"
    r"(?::(?P<port>[0-9]{0,5}))?(?P<rest>(?:[/?][!-~]*)?)",
    re.IGNORECASE,
)


def judge_location(
    url: str, *, source: Endpoint, on_link: Sequence[OnLink], off_link: bool = False
) -> str:
    """The URL to fetch for the LOCATION ``url``. A link-local IPv6 address gets the zone of the
    link that the advertisement was received on; the zone in ``url`` is ignored (V6-07).

    The host must be a literal address: the source of the advertisement (``source``), or an address
    on that link (``on_link``). ``off_link`` also accepts every unicast address and every host name.
    Raises ValueError for any other URL, with a sentence.
    """
    match = _URL.fullmatch(url)
    if match is None:
        raise ValueError(f"LOCATION {url[:100]!a} is no http URL with a host")
    if not 1 <= int(match["port"] or 80) <= 65_535:
        raise ValueError(f"LOCATION {url[:100]!a} names no usable port")
    address = _literal(match["six"] or match["four"])
    if address is None:
        if off_link:
            return url
        raise ValueError(f"LOCATION {url[:100]!a} names its host by no literal address")
    if address.is_multicast or address.is_unspecified:
        raise ValueError(f"LOCATION leads to {address}, which is no single host")
    sender = ip_address(source.host)
    if address.is_loopback and not sender.is_loopback:
        raise ValueError(f"LOCATION leads to {address}, this host itself, and came from {sender}")
    if isinstance(address, IPv6Address) and address.is_link_local:
        scope = next((scope for _, scope in on_link if scope), source.scope)
        if not scope:
            raise ValueError(f"LOCATION leads to {address}, and the link it is on is not known")
        port = f":{match['port']}" if match["port"] else ""
        return f"http://[{address}%{scope}]{port}{match['rest']}"
    if off_link or address == sender or any(address in network for network, _ in on_link):
        return url
    raise ValueError(
        f"LOCATION leads to {address}, which is not on the link that the advertisement came in "
        f"on (from {sender})"
    )


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
