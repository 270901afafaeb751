"""Which host a URL may lead to that another host gave: in a description, or in a redirect.

A description is a document of a stranger. Its URLs make this machine send requests: GET, SUBSCRIBE,
actions. A URL that leads elsewhere aims these requests at a third host, or at servers that only
this machine may ask. So each URL leads to the host that gave it. The rule is about addresses: a
name is judged by the address that the connection is made to.
"""

from __future__ import annotations

from collections.abc import Iterable

from propchange.core.local_addresses import LocalAddress, own_address
from propchange.core.wire.messages import Endpoint, parse_address


def is_here(endpoint: Endpoint, own: Iterable[LocalAddress]) -> bool:
    """Whether the address ``endpoint`` is this machine, which has the addresses ``own``."""
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
    """Judge the address ``led_to`` of a URL that the host ``giver`` gave. Both are IP literals; the
    ports do not count.

    ``led_to`` must be the address of ``giver``. All loopback addresses are one host, and a giver on
    loopback may also name the other addresses of this machine, ``own``. With ``other_hosts`` it may
    be another host on the same link. It is never an address of this machine, if the giver has
    another address. Raises ValueError with a sentence.
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
