"""The topics of the bridge, and the names in them.

A device chooses its UDN and the names of its services and variables. In a topic these are *parts*:
a part has no slash, no wildcard and no control character, is bounded, and differs from the part of
any other name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from propchange.core.discovery.advertisement import udn_key
from propchange.upnp.description import ServiceDescription

PART_CHARACTERS = 64
"""Characters of one part of a topic. The longest UDN of UDA has 36, and the names of standard
services and variables have 40 at most. Bounds the topics that a device causes."""

_RESERVED = frozenset({"answer", "availability", "bridge", "call", "set"})
"""Parts that have a meaning of their own in a topic."""


def part(name: str) -> str:
    """``name`` as a part of a topic: the name itself if it can be one, else what is left of it,
    ``~`` and a hash of it."""
    kept = "".join(
        each if each.isprintable() and each not in "/+#~ " else "_"
        for each in name[:PART_CHARACTERS]
    )
    if kept == name and kept and kept.lower() not in _RESERVED and kept[0] != "$":
        return kept
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{kept[: PART_CHARACTERS - 17].lstrip('$')}~{digest}"


def udn_part(udn: str) -> str:
    """The UDN without ``uuid:``, in lower case, as a part of a topic."""
    return part(udn_key(udn).removeprefix("uuid:"))


def service_parts(services: Iterable[ServiceDescription]) -> dict[ServiceDescription, str]:
    """The part of each of ``services``, which are all services of one device: the short name; else
    the tail of the serviceId; else the serviceId; else these and a number. Each differs from all
    others, and is the same when the description is read again."""
    every = list(dict.fromkeys(services))
    parts: dict[ServiceDescription, str] = {}
    taken: set[str] = set()
    ways = [
        [part(each.name) for each in every],
        [part(each.id_tail) for each in every],
        [part(each.service_id) for each in every],
    ]
    for way in ways:
        for service, name in zip(every, way, strict=True):
            if service not in parts and way.count(name) == 1 and name not in taken:
                parts[service] = name
                taken.add(name)
    for service, name in zip(every, ways[0], strict=True):
        number = 2
        while service not in parts:
            numbered = part(f"{name}_{number}")
            if numbered not in taken:
                parts[service] = numbered
                taken.add(numbered)
            number += 1
    return parts


class Topics:
    """The topics of the bridge ``bridge_id``. ``base`` is the first part of all of them."""

    def __init__(self, bridge_id: str, base: str = "propchange") -> None:
        self.base = base
        self.bridge_id = bridge_id
        self.bridge_availability = f"{base}/bridge/{part(bridge_id)}/availability"

    def service(self, udn: str, service: str) -> str:
        """The topic of the state of a service. ``udn`` and ``service`` are parts."""
        return f"{self.base}/{udn}/{service}"

    def availability(self, udn: str, service: str) -> str:
        """The topic of the availability of a service."""
        return f"{self.base}/{udn}/{service}/availability"

    def variable(self, udn: str, service: str, variable: str) -> str:
        """The topic of a variable, by its name."""
        return f"{self.base}/{udn}/{service}/{part(variable)}"
