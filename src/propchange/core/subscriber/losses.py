"""Event messages that are known to be lost: how a loss is noticed and repaired.

GENA sends each change once. A subscriber that misses a message has values that are out of date,
and only another initial event makes them right.

**Signs of a loss.**

- An event came and was refused (:data:`CAUSES`): its body is no propertyset or is too large, its
  head is no HTTP, NT, NTS or SEQ is wrong, its HOST is not this listener, or its SID is not the
  granted one.
- An event came, and the LastChange in it cannot be read.
- A part of an event came: the connection broke, or no more bytes come.
- Several connections of the device in a row brought no request, or there was no room for them. Or
  one began with bytes that are no request.
- SEQ has a gap, or an older event comes after a newer one.

The path of a subscription is secret. So every message to this path counts, except a GET, HEAD or
OPTIONS without a SID. A message to another path, or with an unreadable first line, counts if it
comes from the device and has the granted SID. On a shared path the message must have the granted
SID.

**No loss.** A copy of an event that was taken. A message for a path or a SID that was given up. A
message that ``require_device_source`` refuses: it counts as forged. A value that does not fit its
type: it arrives as text.

**Doubt.** A device may send a message again that was refused or cut. So this is a *doubt* first. It
ends without a loss when the event with the same SEQ comes whole, or, if the SEQ is not known, the
next event in order. It becomes a loss after ``Limits.doubt_seconds``, or when an event with a later
SEQ comes. A gap in SEQ, and connections without a request, are losses from the beginning.

**Repair.** Each loss is counted, the status is no longer ACTIVE, and a fresh subscription restores
the state at once. After ``Limits.subscribe_burst`` repairs in a row the status is DEAF, and further
repairs follow at growing intervals. The grant is kept meanwhile, so later events are taken. A loss
before the initial event needs no repair: the initial event is then overdue, and the subscription is
DEAF with the cause of the loss.
"""

from __future__ import annotations

from collections.abc import Collection
from types import MappingProxyType

from propchange.core.limits import Limits
from propchange.core.subscriber.events import Cause, Status
from propchange.core.subscriber.outcomes import SubscriberOutcomes
from propchange.core.subscriber.record import Loss, SubscriptionRecord, WastedConnections
from propchange.core.subscriber.renewal import SubscriptionRenewal
from propchange.core.subscriber.states import GRANTED, SubscriberInput, SubscriberState
from propchange.core.subscriber.timing import TimerKind
from propchange.core.wire.refusals import Part

CAUSES = MappingProxyType(
    {
        Part.BODY: Cause.EVENT_UNREADABLE,
        Part.SIZE: Cause.EVENT_UNREADABLE,
        Part.FRAMING: Cause.EVENT_UNREADABLE,
        Part.REST: Cause.EVENT_CUT,
        Part.HEADER: Cause.EVENT_REFUSED,
        Part.HOST: Cause.EVENT_REFUSED,
        Part.SUBSCRIPTION: Cause.EVENT_REFUSED,
    }
)
"""Wrong part of a refused event -> cause of the loss."""

_MOST_WASTED = 4_096
"""Largest number of connections without a request that count as a lost event."""

_HEARD = (SubscriberState.ACTIVE, SubscriberState.UNANSWERED)
"""The states after the initial event."""


class EventLosses:
    """Reports and repairs the losses of all subscriptions."""

    def __init__(
        self, limits: Limits, renewal: SubscriptionRenewal, outcomes: SubscriberOutcomes
    ) -> None:
        self._limits = limits
        self._renewal = renewal
        self._outcomes = outcomes
        self._timers = renewal.timers

    def doubt(
        self,
        record: SubscriptionRecord,
        cause: Cause,
        reason: str,
        now: float,
        *,
        seq: int | None = None,
        certain: bool = False,
    ) -> None:
        """Note that an event of ``record`` was not taken. ``seq`` is its SEQ, None if not known.
        ``certain``: no later event can show that nothing is lost."""
        state, doubt = record.state, record.doubt
        if seq is not None and record.sequence.has_taken(seq):
            return
        if state in GRANTED and record.loss is not None:
            self.lost(record, cause, reason, now, seq=seq)
        elif doubt is None:
            record.doubt = Loss(cause, reason, now, seq, certain)
            if state in _HEARD:
                self._await(record, now)
        elif seq is not None and seq != doubt.seq:
            # A device sends its events in order. So the first of these two is lost.
            record.doubt = doubt._replace(seq=max(seq, -1 if doubt.seq is None else doubt.seq))
            record.losses += 1
            if state in _HEARD:
                self.confirm(record, now)

    def explains(self, record: SubscriptionRecord, seq: int | None) -> bool:
        """Whether a message with ``seq`` shows that the doubted message is lost. If so, the
        doubted message is no gap in SEQ."""
        doubt = record.doubt
        if doubt is None or doubt.seq is None or seq is None or seq <= doubt.seq:
            return False
        record.sequence.lose(doubt.seq)
        return True

    def settle(
        self, record: SubscriptionRecord, seq: int | None, *, in_order: bool, now: float
    ) -> None:
        """Note that an event was taken while there is a doubt. ``in_order``: by its SEQ, no event
        is missing before it."""
        doubt = record.doubt
        assert doubt is not None
        if not in_order:
            self.confirm(record, now)
        elif not doubt.certain and record.sequence.reliable and doubt.seq in (None, seq):
            record.doubt = record.doubted = None
            self._timers.clear((record, TimerKind.DOUBT))

    def confirm(self, record: SubscriptionRecord, now: float) -> None:
        """Note that the doubted event is lost."""
        doubt, record.doubt = record.doubt, None
        self._timers.clear((record, TimerKind.DOUBT))
        assert doubt is not None  # since doubt()
        self.lost(record, doubt.cause, doubt.reason, now, seq=doubt.seq)

    def _await(self, record: SubscriptionRecord, now: float) -> None:
        self._timers.set((record, TimerKind.DOUBT), now + self._limits.doubt_seconds)

    def lost(
        self,
        record: SubscriptionRecord,
        cause: Cause,
        reason: str,
        now: float,
        *,
        seq: int | None = None,
    ) -> None:
        """Note that an event of ``record`` is lost. ``seq`` is its SEQ, None if not known."""
        record.losses += 1
        if seq is not None:
            record.sequence.lose(seq)
        if record.loss is not None:
            return  # its repair is on the way
        record.loss = Loss(cause, reason, now, seq)
        if record.state not in _HEARD and cause is not Cause.MISSED_EVENT:
            return
        repair = self._renewal.plan_repair(record, now)
        status = record.wanting
        if repair.at > now:
            status = Status.DEAF
            reason += f"; {repair.in_a_row - 1} fresh subscriptions in a row have not helped"
            record.move(SubscriberInput.EVENT_LOST)
        self._outcomes.change_status(record, status, cause, reason)
        self._renewal.repair(record, now)

    def wasted(
        self,
        records: Collection[SubscriptionRecord],
        reason: str,
        now: float,
        *,
        unreadable: bool = False,
    ) -> None:
        """Note that a connection from the device of ``records`` brought no request. ``reason`` says
        why, as a part of a sentence. ``unreadable``: it brought other bytes. No health check does
        that, so it counts as much as ``Limits.wasted_connections`` connections."""
        weight = self._limits.wasted_connections if unreadable else 1
        for record in tuple(records):
            if record.state not in _HEARD:
                continue
            before, heard_at = record.wasted, record.last_event_at
            if before is None or (heard_at is not None and heard_at > before.at):
                before = WastedConnections(0, 0, now)
            count, weighs = before.connections + 1, before.weight + weight
            record.wasted = WastedConnections(count, weighs, now)
            if weighs >= record.wasted_most and record.loss is None:
                record.doubted = dict(record.values)
                several = "a connection" if count == 1 else f"{count} connections"
                why = f"{several} from {record.device_host} brought no event: {reason}"
                if count == 1:
                    # A device that sends junk now and then goes on with the next event in order.
                    self.doubt(record, Cause.EVENT_CUT, why, now)
                else:
                    self.lost(record, Cause.EVENT_CUT, why, now)

    def restored(self, record: SubscriptionRecord, now: float) -> None:
        """Note that the initial event has come. If it shows that connections without a request were
        no events, the next loss needs more such connections."""
        doubted, record.doubted = record.doubted, None
        record.wasted = None
        if record.doubt is not None:
            self._await(record, now)
        if doubted is not None:
            same = _equal(doubted, record.values)
            most = min(2 * record.wasted_most, _MOST_WASTED)
            record.wasted_most = most if same else self._limits.wasted_connections


def _equal(one: dict[str, object], other: dict[str, object]) -> bool:
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001 - the values are objects of a program's functions
        return False
