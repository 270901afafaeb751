"""What a subscription tells its application: events, and changes of its own status."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["Cause", "Change", "Event", "Status", "StatusChange"]


class Change(NamedTuple):
    """One variable in an event.

    ``value`` has the type that the service description declares; it is None when the text does
    not fit that type, or when the variable is not declared. ``previous`` is the value before, None
    at first. ``instance`` and ``channel`` are those of a LastChange. ``text`` is as received.
    """

    variable: str
    value: object
    previous: object
    instance: int | None
    channel: str | None
    text: str


class Event:
    """One event message, decoded (UDA 2.0 §4.3.2).

    ``changes`` maps variables to typed values, those told by LastChange too: of them, what it
    tells of InstanceID 0 and the channel Master or none. ``details`` has everything, a LastChange
    as it came and behind it all that it tells. ``is_initial``: this
    is the full state, after a subscription was granted. ``merged`` counts the events that were
    merged into this one because the application was behind.
    """

    __slots__ = ("changes", "details", "is_initial", "merged", "seq", "sid", "subscription")

    def __init__(
        self,
        subscription: object,
        sid: str,
        seq: int | None,
        changes: Mapping[str, object],
        details: tuple[Change, ...],
        *,
        is_initial: bool = False,
        merged: int = 0,
    ) -> None:
        self.subscription = subscription
        self.sid = sid
        self.seq = seq
        self.changes = changes
        self.details = details
        self.is_initial = is_initial
        self.merged = merged

    def __repr__(self) -> str:
        initial = " initial" if self.is_initial else ""
        return f"<Event {self.seq}{initial} {dict(self.changes)}>"


class Status(enum.Enum):
    """How a subscription is, for its application."""

    SUBSCRIBING = "subscribing"
    """Wanted, and never granted yet, or granted and without its first event."""
    ACTIVE = "active"
    """Granted, and events arrive."""
    DEAF = "deaf"
    """Granted, and the initial event has not come: the device probably cannot reach us."""
    RESUBSCRIBING = "resubscribing"
    """It was active; a fresh subscription is being made."""
    REFUSED = "refused"
    """The device said no to the first SUBSCRIBE."""
    CLOSED = "closed"
    """Ended by the application."""


class Cause(enum.Enum):
    """Why a status changed, for programs. The words are in ``StatusChange.reason``."""

    INITIAL_EVENT = "initial-event"
    NO_INITIAL_EVENT = "no-initial-event"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    RENEWAL_REFUSED = "renewal-refused"
    EXPIRED = "expired"
    MISSED_EVENT = "missed-event"
    DEVICE_GONE = "device-gone"
    DEVICE_REBOOTED = "device-rebooted"
    CLOSED = "closed"


class StatusChange(NamedTuple):
    """A subscription has the status ``status`` from here on. ``http_status`` is what the device
    answered, 0 where it did not or where that is not the cause."""

    subscription: object
    status: Status
    cause: Cause
    reason: str
    http_status: int = 0
