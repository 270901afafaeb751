"""Event messages that are known to be lost: what shows a loss, and what follows from it.

GENA sends each change once. A subscriber that misses a message has values that are out of date,
and only another initial event makes them right. Often the bytes show the loss:

- An event came and was refused (:data:`CAUSES`): its body is no propertyset or is too large, its
  head is no HTTP, NT, NTS or SEQ is wrong, its HOST is not this listener, or its SID is not the
  granted one.
- An event came whole, and the LastChange in it cannot be read.
- An event did not come whole: the connection broke inside of it, or nothing more comes.
- Connections of the device end without a request, stay without one, or find no room.
- SEQ has a gap, or an older event comes after a newer one.

The path of a subscription is secret, so a message with this path counts whoever sends it. On a
shared path the SID must be the granted one.

No loss: a copy of an event that was taken, a message for a path or a SID that was given up, one
that ``require_device_source`` refuses, since it counts as forged, and a value that does not fit its
type, which arrives as text.

A message that was refused or cut is a *doubt* first: the device may send it again. The doubt ends
without a loss when the event with its SEQ comes whole, or, if its SEQ is not known, the next event
in order. It becomes a loss when an event with a later SEQ comes, or ``Limits.doubt_seconds``
later. What cannot be undone by a later message is a loss from the beginning.

One rule follows from every loss. It is counted, the status is no longer ACTIVE, and a fresh
subscription restores the state, at once. After ``Limits.subscribe_burst`` of them in a row the
status is DEAF, and the next ones wait, longer and longer. The grant is kept meanwhile: later events
are still taken. A loss before the initial event needs no repair of its own: the initial event is
then overdue, and the subscription DEAF with the cause of the loss.
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
"""The cause of the loss, by the part of the refused event that is wrong."""

_MOST_WASTED = 4_096
"""The number of wasted connections that count as a lost event is doubled up to this one."""

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
        """An event of ``record`` was not taken. ``seq`` is its SEQ, None if that is not known.
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
            # Of two events one is lost: a device sends them in their order.
            record.doubt = doubt._replace(seq=max(seq, -1 if doubt.seq is None else doubt.seq))
            record.losses += 1
            if state in _HEARD:
                self.confirm(record, now)

    def explains(self, record: SubscriptionRecord, seq: int | None) -> bool:
        """Whether a message with ``seq`` shows that the doubted one is lost. It then has no gap
        before it."""
        doubt = record.doubt
        if doubt is None or doubt.seq is None or seq is None or seq <= doubt.seq:
            return False
        record.sequence.lose(doubt.seq)
        return True

    def settle(
        self, record: SubscriptionRecord, seq: int | None, *, in_order: bool, now: float
    ) -> None:
        """An event was taken while there is a doubt. ``in_order``: SEQ shows nothing missing before
        it."""
        doubt = record.doubt
        assert doubt is not None
        if not in_order:
            self.confirm(record, now)
        elif not doubt.certain and record.sequence.reliable and doubt.seq in (None, seq):
            record.doubt = None
            self._timers.clear((record, TimerKind.DOUBT))

    def confirm(self, record: SubscriptionRecord, now: float) -> None:
        """The doubted event is lost."""
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
        """An event of ``record`` is lost. ``seq`` is its SEQ, None if that is not known."""
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

    def wasted(self, records: Collection[SubscriptionRecord], reason: str, now: float) -> None:
        """A connection from the device of ``records`` has brought no request, for ``reason``."""
        for record in tuple(records):
            if record.state not in _HEARD:
                continue
            before, heard_at = record.wasted, record.last_event_at
            goes_on = before is not None and (heard_at is None or heard_at <= before.at)
            count = before.connections + 1 if before is not None and goes_on else 1
            record.wasted = WastedConnections(count, now)
            if count >= record.wasted_most and record.loss is None:
                record.doubted = dict(record.values)
                why = f"{count} connections from {record.device_host} brought no event: {reason}"
                self.lost(record, Cause.EVENT_CUT, why, now)

    def restored(self, record: SubscriptionRecord, now: float) -> None:
        """The initial event has come at ``now``. If it shows that wasted connections were no
        events, more of them are wanted the next time."""
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
