"""What the subscriber's protocol reports to a runtime and to an application that watches it."""

from __future__ import annotations

from dataclasses import dataclass

from propchange.core.multicast.reception import (
    MulticastEvent,
    MulticastMissed,
    MulticastRefused,
)
from propchange.core.subscriber.events import Event, StatusChange
from propchange.core.subscriber.record import SubscriptionRecord
from propchange.core.wire.messages import Endpoint

__all__ = [
    "ForeignSource",
    "Granted",
    "MulticastEvent",
    "MulticastMissed",
    "MulticastRefused",
    "NotifyRefused",
    "RenewalAnswered",
    "RenewalFailed",
    "SeqUnreliable",
    "SubscriberOutcome",
    "Unreadable",
]


@dataclass(frozen=True, slots=True)
class Granted:
    """A SUBSCRIBE was answered 200. ``duration`` in seconds, ``inf`` for an infinite grant."""

    subscription: SubscriptionRecord
    sid: str
    duration: float


@dataclass(frozen=True, slots=True)
class RenewalAnswered:
    """A renewal was answered 200."""

    subscription: SubscriptionRecord
    sid: str
    duration: float


@dataclass(frozen=True, slots=True)
class RenewalFailed:
    """A renewal got no answer; it is tried again until the subscription expires."""

    subscription: SubscriptionRecord
    reason: str


@dataclass(frozen=True, slots=True)
class SeqUnreliable:
    """The device's SEQ means nothing: events pass, gaps are not repaired. Told once."""

    subscription: SubscriptionRecord


@dataclass(frozen=True, slots=True)
class ForeignSource:
    """A NOTIFY with the right path and SID came from another address than the device's. Told
    once per address."""

    subscription: SubscriptionRecord
    source: str
    refused: bool


@dataclass(frozen=True, slots=True)
class NotifyRefused:
    """A request to the listener was answered with ``status``."""

    peer: Endpoint | None
    target: str
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Part of an event could not be read, for ``reason``; the rest was taken."""

    subscription: SubscriptionRecord
    reason: str


SubscriberOutcome = (
    Event
    | StatusChange
    | Granted
    | RenewalAnswered
    | RenewalFailed
    | SeqUnreliable
    | ForeignSource
    | NotifyRefused
    | Unreadable
    | MulticastEvent
    | MulticastMissed
    | MulticastRefused
)
