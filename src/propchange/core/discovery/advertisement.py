"""What a device says of itself by SSDP, read (UDA 2.0 §1.2, §1.3.3)."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["ROOT_DEVICE", "Advertisement", "AdvertisementKind", "type_fits", "udn_key"]

ROOT_DEVICE = "upnp:rootdevice"
"""The NT and ST by which root devices alone announce themselves."""


class AdvertisementKind(enum.Enum):
    """Which message it was."""

    ALIVE = "ssdp:alive"
    BYEBYE = "ssdp:byebye"
    UPDATE = "ssdp:update"
    RESPONSE = "response"
    """The answer to an M-SEARCH: it says what ssdp:alive says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advertisement:
    """One NOTIFY or search response. ``target`` is NT or ST: ``upnp:rootdevice``, the UDN, or a
    device or service type. ``location`` is empty in a byebye. What the device did not send, or
    what cannot be read, is None."""

    kind: AdvertisementKind
    udn: str
    target: str
    location: str = ""
    max_age: float | None = None
    """Seconds, from CACHE-CONTROL."""
    server: str | None = None
    boot_id: int | None = None
    next_boot_id: int | None = None
    """In an update alone, and there always."""
    config_id: int | None = None
    search_port: int | None = None
    nls: str | None = None
    """The network location signature (UDA 2.0 §A.4)."""
    secure_location: str | None = None
    """The https URL of the description (UDA 2.0 §1.2.2)."""


def udn_key(udn: str) -> str:
    """What two spellings of one UDN have in common: devices spell theirs in capitals here and in
    small letters there."""
    return udn.strip().lower()


def type_fits(announced: str, wanted: str) -> bool:
    """Whether a device or service type is one that was asked for: the same one, or a later version
    of it, since those can do all that the former could (UDA 2.0 §1.3.2); or one of that short
    name, such as ``MediaRenderer``."""
    if announced == wanted:
        return True
    name, _, version = announced.rpartition(":")
    if ":" not in wanted:
        return name.rpartition(":")[2] == wanted
    wanted_name, _, wanted_version = wanted.rpartition(":")
    numbers = version.isdecimal() and wanted_version.isdecimal()
    return name == wanted_name and numbers and int(version) >= int(wanted_version)
