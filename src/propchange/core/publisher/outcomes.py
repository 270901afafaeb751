"""Outcomes of the publisher: what happened, for a runtime and for an application that watches it.

Only :class:`AttemptTimedOut` needs an action: the runtime ends the connection. The others are for
the log.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from propchange.core.multicast.publication import MulticastMerged, MulticastTooLarge
from propchange.core.record import Record
from propchange.core.wire.messages import Delivery, Endpoint


@dataclass(slots=True, eq=False, repr=False)
class Subscribed(Record):
    """A SUBSCRIBE was granted for ``duration`` seconds."""

    sid: str
    service: str
    callbacks: tuple[str, ...]
    peer: Endpoint | None
    duration: int


@dataclass(slots=True, eq=False, repr=False)
class Refused(Record):
    """A SUBSCRIBE, renewal or UNSUBSCRIBE was refused with ``status``, for ``reason``. ``clause``
    ("UDA 2.0 §4.1.2") is the rule, a constant of the program."""

    service: str
    peer: Endpoint | None
    status: int
    reason: str
    clause: str = field(default="", compare=False)


@dataclass(slots=True, eq=False, repr=False)
class Renewed(Record):
    """A subscription was renewed for ``duration`` seconds."""

    sid: str
    duration: int


@dataclass(slots=True, eq=False, repr=False)
class Unsubscribed(Record):
    """The subscriber has sent UNSUBSCRIBE."""

    sid: str


@dataclass(slots=True, eq=False, repr=False)
class AnswerUnreported(Record):
    """A subscription has ended, because for ``seconds`` it was not reported whether the answer to
    its SUBSCRIBE has left. It had no event: the initial event waits for that report."""

    sid: str
    seconds: float


@dataclass(slots=True, eq=False, repr=False)
class Expired(Record):
    """The duration ended without a renewal."""

    sid: str


@dataclass(slots=True, eq=False, repr=False)
class Disowned(Record):
    """The subscriber answered 412, so the subscription ended (FAIL-05, AMB-15)."""

    sid: str


@dataclass(slots=True, eq=False, repr=False)
class InitialEventDelivered(Record):
    """The subscriber has answered the initial event with 2xx."""

    sid: str
    service: str


@dataclass(slots=True, eq=False, repr=False)
class AttemptFailed(Record):
    """Message ``seq`` could not be delivered to ``url``. The next delivery URL is tried, if any."""

    sid: str
    seq: int
    url: str
    reason: str


@dataclass(slots=True, eq=False, repr=False)
class AttemptTimedOut(Record):
    """An attempt has timed out. The runtime ends the connection that carries it."""

    delivery: Delivery


@dataclass(slots=True, eq=False, repr=False)
class MessageAbandoned(Record):
    """Message ``seq`` could not be delivered to any delivery URL. Its SEQ is spent, and the
    subscription stays (FAIL-03, FAIL-04)."""

    sid: str
    seq: int
    reason: str


@dataclass(slots=True, eq=False, repr=False)
class Merged(Record):
    """The subscriber was behind, so ``updates`` messages were merged into message ``seq``."""

    sid: str
    seq: int
    updates: int


@dataclass(slots=True, eq=False, repr=False)
class MergeFailed(Record):
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
