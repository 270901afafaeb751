"""Outcomes of the publisher: what happened, for a runtime and for an application that watches it.

Only :class:`AttemptTimedOut` needs an action: the runtime ends the connection. The others are for
the log.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from propchange.core.multicast.publication import MulticastMerged, MulticastTooLarge
from propchange.core.wire.messages import Delivery, Endpoint


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
    """A SUBSCRIBE, renewal or UNSUBSCRIBE was refused with ``status``, for ``reason``. ``clause``
    ("UDA 2.0 §4.1.2") is the rule, a constant of the program."""

    service: str
    peer: Endpoint | None
    status: int
    reason: str
    clause: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Renewed:
    """A subscription was renewed for ``duration`` seconds."""

    sid: str
    duration: int


@dataclass(frozen=True, slots=True)
class Unsubscribed:
    """The subscriber has sent UNSUBSCRIBE."""

    sid: str


@dataclass(frozen=True, slots=True)
class AnswerUnreported:
    """A subscription has ended, because for ``seconds`` it was not reported whether the answer to
    its SUBSCRIBE has left. It had no event: the initial event waits for that report."""

    sid: str
    seconds: float


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
    """Message ``seq`` could not be delivered to ``url``. The next delivery URL is tried, if any."""

    sid: str
    seq: int
    url: str
    reason: str


@dataclass(frozen=True, slots=True)
class AttemptTimedOut:
    """An attempt has timed out. The runtime ends the connection that carries it."""

    delivery: Delivery


@dataclass(frozen=True, slots=True)
class MessageAbandoned:
    """Message ``seq`` could not be delivered to any delivery URL. Its SEQ is spent, and the
    subscription stays (FAIL-03, FAIL-04)."""

    sid: str
    seq: int
    reason: str


@dataclass(frozen=True, slots=True)
class Merged:
    """The subscriber was behind, so ``updates`` messages were merged into message ``seq``."""

    sid: str
    seq: int
    updates: int


@dataclass(frozen=True, slots=True)
class MergeFailed:
    """The application's merge rule for ``variable`` has failed. The newest text is sent; changes
    before it may be missing."""

    service: str
    variable: str
    reason: str


PublisherOutcome = (
    Subscribed
    | Refused
    | Renewed
    | Unsubscribed
    | AnswerUnreported
    | Expired
    | Disowned
    | InitialEventDelivered
    | AttemptFailed
    | AttemptTimedOut
    | MessageAbandoned
    | Merged
    | MergeFailed
    | MulticastMerged
    | MulticastTooLarge
)
