"""What the protocols report to a runtime and to whoever watches it.

Nothing here needs an answer, but for :class:`AttemptTimedOut`: the runtime ends its connection.
"""

from __future__ import annotations

from dataclasses import dataclass

from propchange.core.multicast.publication import MulticastMerged, MulticastTooLarge
from propchange.core.multicast.reception import (
    MulticastEvent,
    MulticastMissed,
    MulticastRefused,
)
from propchange.core.subscriber.events import Event, StatusChange
from propchange.core.subscriber.record import HeldSubscription
from propchange.core.wire.messages import Delivery, Endpoint

__all__ = [
    "AttemptFailed",
    "AttemptTimedOut",
    "Disowned",
    "Expired",
    "ForeignSource",
    "Granted",
    "InitialEventDelivered",
    "Merged",
    "MessageAbandoned",
    "MulticastEvent",
    "MulticastMerged",
    "MulticastMissed",
    "MulticastRefused",
    "MulticastTooLarge",
    "NotifyRefused",
    "PublisherOutcome",
    "Refused",
    "RenewalAnswered",
    "RenewalFailed",
    "Renewed",
    "SeqUnreliable",
    "Subscribed",
    "SubscriberOutcome",
    "Unreadable",
    "Unsubscribed",
]


# --- publisher ---


@dataclass(frozen=True, slots=True)
class Subscribed:
    """A SUBSCRIBE was granted for ``duration`` seconds."""

    sid: str
    service: str
    callbacks: tuple[str, ...]
    peer: Endpoint | None
    duration: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A SUBSCRIBE, renewal or UNSUBSCRIBE was answered with ``status``, for ``reason``."""

    service: str
    peer: Endpoint | None
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class Renewed:
    """A subscription was renewed for ``duration`` seconds."""

    sid: str
    duration: int


@dataclass(frozen=True, slots=True)
class Unsubscribed:
    """The subscriber cancelled."""

    sid: str


@dataclass(frozen=True, slots=True)
class Expired:
    """The duration ended without a renewal."""

    sid: str


@dataclass(frozen=True, slots=True)
class Disowned:
    """The subscriber answered 412, so the subscription ended (FAIL-05, AMB-15)."""

    sid: str


@dataclass(frozen=True, slots=True)
class InitialEventDelivered:
    """The subscriber has answered the initial event with 2xx."""

    sid: str
    service: str


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """A delivery URL did not take message ``seq``; the next one is tried if there is one."""

    sid: str
    seq: int
    url: str
    reason: str


@dataclass(frozen=True, slots=True)
class AttemptTimedOut:
    """The time for an attempt is up: the runtime ends the connection that carries it."""

    delivery: Delivery


@dataclass(frozen=True, slots=True)
class MessageAbandoned:
    """No delivery URL took message ``seq``. The number is spent, the subscription stays
    (FAIL-03, FAIL-04)."""

    sid: str
    seq: int
    reason: str


@dataclass(frozen=True, slots=True)
class Merged:
    """The subscriber was behind: ``updates`` messages were merged into message ``seq``."""

    sid: str
    seq: int
    updates: int


PublisherOutcome = (
    Subscribed
    | Refused
    | Renewed
    | Unsubscribed
    | Expired
    | Disowned
    | InitialEventDelivered
    | AttemptFailed
    | AttemptTimedOut
    | MessageAbandoned
    | Merged
    | MulticastMerged
    | MulticastTooLarge
)


# --- subscriber ---


@dataclass(frozen=True, slots=True)
class Granted:
    """A SUBSCRIBE was answered 200. ``duration`` in seconds, ``inf`` for an infinite grant."""

    subscription: HeldSubscription
    sid: str
    duration: float


@dataclass(frozen=True, slots=True)
class RenewalAnswered:
    """A renewal was answered 200."""

    subscription: HeldSubscription
    sid: str
    duration: float


@dataclass(frozen=True, slots=True)
class RenewalFailed:
    """A renewal got no answer; it is tried again until the subscription expires."""

    subscription: HeldSubscription
    reason: str


@dataclass(frozen=True, slots=True)
class SeqUnreliable:
    """The device's SEQ means nothing: events pass, gaps are not repaired. Told once."""

    subscription: HeldSubscription


@dataclass(frozen=True, slots=True)
class ForeignSource:
    """A NOTIFY with the right path and SID came from another address than the device's. Told
    once per address."""

    subscription: HeldSubscription
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

    subscription: HeldSubscription
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
