"""The hosts that a URL of a description or of a redirect may lead to.

The URLs in a description make this machine send requests: GET, SUBSCRIBE, actions. Anybody can
serve a description. With a URL of another host, the server could aim these requests at a third
host, or at servers that only this machine may reach. So a URL must lead to the host that gave it.
Addresses are compared: for a name, the address that the connection is made to.
"""

from __future__ import annotations

from collections.abc import Iterable

from propchange.core.local_addresses import LocalAddress, own_address
from propchange.core.wire.messages import Endpoint, parse_address


def is_here(endpoint: Endpoint, own: Iterable[LocalAddress]) -> bool:
    """Whether ``endpoint`` is an address of this machine, which has the addresses ``own``."""
    address = parse_address(endpoint.host)
    here = address.is_loopback or address.is_unspecified
    return here or own_address(endpoint.host, own) is not None


def judge_url_host(
    led_to: Endpoint,
    giver: Endpoint,
    own: Iterable[LocalAddress] = (),
    *,
    other_hosts: bool = False,
) -> None:
    """Judge the address ``led_to`` of a URL that the host ``giver`` gave. Both are IP literals. The
    ports do not count.

    ``led_to`` must be the address of ``giver``. A giver on loopback may name every loopback address
    and the other addresses of this machine, ``own``; no other giver may. With ``other_hosts``,
    ``led_to`` may be another host on the link of ``giver``. Raises ValueError with a sentence.
    """
    target, source = parse_address(led_to.host), parse_address(giver.host)
    known = tuple(own)
    zones = led_to.scope, giver.scope
    same_link = not all(zones) or zones[0] == zones[1]
    if target == source and same_link:
        return
    if is_here(led_to, known):
        if source.is_loopback:
            return
        raise ValueError(f"it leads to {target}, this machine itself, and {source} gave it")
    if target.is_multicast:
        raise ValueError(f"it leads to {target}, which is no single host")
    if not other_hosts:
        raise ValueError(f"it leads to {target}, another host than {source}, which gave it")
    shared = any(source in each.network and target in each.network for each in known)
    if not shared or not same_link:
        raise ValueError(f"it leads to {target}, which is not on the link of {source}")
