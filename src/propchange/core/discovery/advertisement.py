"""An SSDP advertisement or search response, parsed (UDA 2.0 §1.2, §1.3.3)."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["ROOT_DEVICE", "Advertisement", "AdvertisementKind", "type_fits", "udn_key"]

ROOT_DEVICE = "upnp:rootdevice"
"""The NT and ST of root devices."""


class AdvertisementKind(enum.Enum):
    """The kind of the message."""

    ALIVE = "ssdp:alive"
    BYEBYE = "ssdp:byebye"
    UPDATE = "ssdp:update"
    RESPONSE = "response"
    """The answer to an M-SEARCH. It means the same as ssdp:alive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advertisement:
    """One NOTIFY or search response. ``target`` is NT or ST: ``upnp:rootdevice``, the UDN, or a
    device or service type. ``location`` is empty in a byebye. A field that is missing or cannot be
    read is None."""

    kind: AdvertisementKind
    udn: str
    target: str
    location: str = ""
    max_age: float | None = None
    """Seconds, from CACHE-CONTROL."""
    server: str | None = None
    boot_id: int | None = None
    next_boot_id: int | None = None
    """Only in an update, and in each one."""
    config_id: int | None = None
    search_port: int | None = None
    nls: str | None = None
    """The network location signature (UDA 2.0 §A.4)."""
    secure_location: str | None = None
    """The https URL of the description (UDA 2.0 §1.2.2)."""


def udn_key(udn: str) -> str:
    """The key for comparing UDNs: devices mix upper and lower case in their own."""
    return udn.strip().lower()


def type_fits(announced: str, wanted: str) -> bool:
    """Whether the type ``announced`` fits the type ``wanted``: it is the same, or a later version,
    which is compatible (UDA 2.0 §1.3.2). ``wanted`` may be a short name such as
    ``MediaRenderer``, which fits any version."""
    if announced == wanted:
        return True
    name, _, version = announced.rpartition(":")
    if ":" not in wanted:
        return name.rpartition(":")[2] == wanted
    wanted_name, _, wanted_version = wanted.rpartition(":")
    numbers = version.isdecimal() and wanted_version.isdecimal()
    return name == wanted_name and numbers and int(version) >= int(wanted_version)
