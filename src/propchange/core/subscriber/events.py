"""Events and status changes, as an application receives them."""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

__all__ = ["Cause", "Change", "Convert", "Event", "Status", "StatusChange", "read_changes"]

Convert = Mapping[str, Callable[[str], object]]
"""Variable -> the function that makes a value of its text. The function raises ValueError for a
text that does not fit the declared data type."""


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


def read_changes(
    pairs: Iterable[tuple[str, str]],
    convert: Convert | None,
    known: Mapping[str, object],
    *,
    undeclared: Collection[str] = (),
) -> tuple[dict[str, object], list[Change]]:
    """The values that the (variable, text) ``pairs`` give, and all of them in detail.

    A text that does not fit its type, and a variable that ``convert`` does not have, are in the
    details alone, with the value None (XML-06). The variables ``undeclared`` may be missing from
    ``convert``; their value is then the text. ``convert`` None: the value of each is its text.
    ``known`` are the values before.
    """
    changes: dict[str, object] = {}
    details: list[Change] = []
    for name, text in pairs:
        value: object = text
        if convert is not None:
            try:
                value = convert[name](text)
            except (KeyError, ValueError):
                if name in convert or name not in undeclared:
                    details.append(Change(name, None, known.get(name), None, None, text))
                    continue
        # As Change(…), which makes receiving a NOTIFY of a device that connects anew 6 % slower.
        details.append(tuple.__new__(Change, (name, value, known.get(name), None, None, text)))
        changes[name] = value
    return changes, details


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
    """The status of a subscription, for its application."""

    SUBSCRIBING = "subscribing"
    """Not granted yet, or granted and without its initial event."""
    ACTIVE = "active"
    """Granted, and events arrive."""
    DEAF = "deaf"
    """Granted, and the initial event has not come: the device probably cannot reach us. Other
    addresses of this machine are tried, and the same ones again, until an event arrives."""
    RESUBSCRIBING = "resubscribing"
    """It was granted; the device is away, or a fresh subscription is being made. ``values`` may
    be out of date until the status is ACTIVE again."""
    REFUSED = "refused"
    """The first SUBSCRIBE failed, and the application does not keep trying."""
    CLOSED = "closed"
    """Ended by the application."""


class Cause(enum.Enum):
    """Why a status changed, for programs. The words are in ``StatusChange.reason``."""

    INITIAL_EVENT = "initial-event"
    """ACTIVE: the initial event has come, and with it the full state."""
    NO_INITIAL_EVENT = "no-initial-event"
    """DEAF: granted, and ``Limits.initial_event_seconds`` later no event has come."""
    REFUSED = "refused"
    """The device answered SUBSCRIBE without a grant."""
    UNREACHABLE = "unreachable"
    """No connection to the device, or no answer from it."""
    DESCRIPTION = "description"
    """The description cannot be used to find the event URL again: it cannot be read, has not the
    service any more, or is another device's."""
    RENEWAL_REFUSED = "renewal-refused"
    """The device answered the renewal with another status than 200: it has forgotten the SID."""
    EXPIRED = "expired"
    """The granted duration ended without an answer to a renewal."""
    MISSED_EVENT = "missed-event"
    """A gap in SEQ."""
    OUTAGE = "outage"
    """Renewals had no answer for a while, so events may have been missed."""
    SUSPENDED = "suspended"
    """This machine or process stood still, so events may have been missed."""
    ADDRESS_LOST = "address-lost"
    """The address that events were sent to is no longer one of this machine's."""
    DEVICE_GONE = "device-gone"
    """ssdp:byebye, or its advertisements have expired."""
    DEVICE_REBOOTED = "device-rebooted"
    """Another BOOTID, or alive after a byebye."""
    DEVICE_MOVED = "device-moved"
    """Its description is at another URL."""
    CLOSED = "closed"
    """The application has closed it."""


class StatusChange(NamedTuple):
    """The status of a subscription changes to ``status``. ``reason`` says why in words, ``cause``
    for programs. ``http_status`` is the status of the device's answer, 0 if there was none or if
    it is not the cause."""

    subscription: object
    status: Status
    cause: Cause
    reason: str
    http_status: int = 0
