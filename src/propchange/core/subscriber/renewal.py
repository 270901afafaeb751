"""A granted subscription: renewed, waited for, given back for a fresh one, lost.

Whatever ends it leads to a fresh SUBSCRIBE, whose initial event restores the state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf

from propchange.core.diagnosis.facts import Facts
from propchange.core.diagnosis.verdicts import diagnose
from propchange.core.limits import Limits
from propchange.core.subscriber.attempts import Attempts
from propchange.core.subscriber.events import Cause, Status
from propchange.core.subscriber.judge import SubscriberPolicy, granted_sid
from propchange.core.subscriber.notify_routing import NotifyRouting, Received
from propchange.core.subscriber.outcomes import (
    Granted,
    OutcomeQueue,
    RenewalAnswered,
    RenewalFailed,
)
from propchange.core.subscriber.record import Deafness, Grant, Outage, SubscriptionRecord
from propchange.core.subscriber.requests import (
    Failure,
    OutgoingRequest,
    RequestKind,
    RequestQueue,
    accepted_variables,
    renewal_message,
)
from propchange.core.subscriber.states import SubscriberInput, SubscriberState
from propchange.core.subscriber.timing import (
    Timer,
    Timers,
    grant_times,
    granted_duration,
    patience,
    renewal_retry,
)
from propchange.core.wire.messages import Response

__all__ = ["Renewal"]

_S, _I = SubscriberState, SubscriberInput

_KNOWN_AT_ONCE = (Failure.REFUSED, Failure.UNREACHABLE)

_FAILURES_THAT_TELL = 2
"""Renewals in a row that no answer came to, after which that is told: one may be an accident."""


class Renewal:
    """The subscriptions that are granted. ``jitter`` gives a number in [0, 1), ``facts`` what is
    known of one now."""

    def __init__(
        self,
        requests: RequestQueue,
        outcomes: OutcomeQueue,
        timers: Timers,
        routing: NotifyRouting,
        attempts: Attempts,
        *,
        policy: SubscriberPolicy,
        limits: Limits,
        jitter: Callable[[], float],
        facts: Callable[[SubscriptionRecord, float], Facts],
    ) -> None:
        self._requests = requests
        self._outcomes = outcomes
        self._timers = timers
        self._routing = routing
        self._attempts = attempts
        self._policy = policy
        self._limits = limits
        self._jitter = jitter
        self._facts = facts

    def begin(
        self,
        record: SubscriptionRecord,
        sid: str,
        request: OutgoingRequest,
        response: Response,
        now: float,
    ) -> list[Received]:
        """SUBSCRIBE was granted with ``sid``. Gives the event messages that came before that."""
        record.move(_I.GRANT)
        record.event_url = request.url
        early = self._routing.grant(record, sid)
        record.sequence.restart()
        record.failures = 0
        record.outage = None
        record.failure = None
        record.remote = request.remote
        record.device_host = None if request.remote is None else request.remote.host
        self._timers.set((record, Timer.INITIAL), now + self._limits.initial_event_seconds)
        record.grant = grant = Grant(
            request.sent_at,
            now,
            *self._times(record, request, response, now),
            accepted_variables(record.statevar, response, self._policy, self._limits),
        )
        self._outcomes.add(Granted(record, sid, grant.duration))
        return early

    def _times(
        self, record: SubscriptionRecord, request: OutgoingRequest, response: Response, now: float
    ) -> tuple[float, float, float]:
        """Duration, expiry and interval of what ``response`` grants. Sets the timers for that."""
        granted = granted_duration(response.fields.get(b"timeout"), record.duration_wanted)
        times = grant_times(granted, request.sent_at, now, self._jitter(), self._limits)
        timers = self._timers
        timers.set((record, Timer.RENEWAL), times.renews)
        if times.lapses is None:
            timers.clear((record, Timer.EXPIRY))
        else:
            timers.set((record, Timer.EXPIRY), times.lapses)
        return granted, times.expires, times.renews - request.sent_at

    # --- renewal ---

    def renew(self, record: SubscriptionRecord, now: float) -> None:
        """Renew as soon as the token bucket allows it; a deaf one is replaced instead, unless the
        device is known to be slow."""
        if record.state is _S.DEAF and not record.slow:
            self._replace_deaf(record, now)
            return
        if self._requests.outstanding(record) is not None:
            return
        if self._is_quiet(record, now):
            self._prove(record, now)
            return
        ready_at = record.bucket.ready_at(now)
        if ready_at > now:
            self.renew_at(record, ready_at)
            return
        record.bucket.spend(now)
        message = renewal_message(
            record.event_url, record.sid, self._policy, duration=record.duration_wanted
        )
        self._requests.send(
            record, RequestKind.RENEW, now, source=record.source, builder=lambda _: message
        )

    def _is_quiet(self, record: SubscriptionRecord, now: float) -> bool:
        heard_at = record.last_event_at
        if record.state is not _S.ACTIVE or heard_at is None:
            return False
        return now - heard_at >= self._limits.quiet_seconds

    def _prove(self, record: SubscriptionRecord, now: float) -> None:
        """Subscribe afresh instead of renewing. Nothing is known to be wrong, so nothing is told
        unless no initial event comes."""
        self.give_back(record, now)
        record.move(_I.REPLACED)
        self._start_afresh(record)
        self._attempts.begin(record, now)

    def renew_at(self, record: SubscriptionRecord, when: float) -> None:
        """Renew at ``when`` instead of when it was due."""
        self._timers.set((record, Timer.RENEWAL), when)

    def renewal_failed(
        self, record: SubscriptionRecord, failure: Failure, reason: str, now: float
    ) -> None:
        """The renewal that was out has brought no answer (REN-12)."""
        limits = self._limits
        self._outcomes.add(RenewalFailed(record, reason))
        if failure is Failure.NO_SOURCE:
            self.address_lost(record, now)
            return
        record.failures += 1
        before = record.outage or Outage(now, now, unreachable=False)
        unreachable = before.unreachable or failure is not Failure.BROKEN
        record.outage = outage = Outage(before.since, now, unreachable)
        # One that answers no renewals and goes on sending events is there all the same.
        silent = record.last_event_at is None or record.last_event_at < outage.since
        if silent and record.failures >= limits.renewal_failures:
            self.lapse(record, Cause.UNREACHABLE, f"the device is away: {reason}", now)
            return
        again = outage.unreachable and record.failures >= _FAILURES_THAT_TELL
        known = failure in _KNOWN_AT_ONCE or again
        if silent and known and record.state in (_S.ACTIVE, _S.UNANSWERED):
            record.move(_I.UNREACHED)
            self._outcomes.change_status(
                record,
                Status.RESUBSCRIBING,
                Cause.UNREACHABLE,
                f"the device cannot be asked to renew: {reason}",
            )
        assert record.expires is not None
        self.renew_at(
            record,
            now + renewal_retry(record.failures, record.expires - now, record.interval, limits),
        )

    def renewal_answered(
        self, record: SubscriptionRecord, request: OutgoingRequest, response: Response, now: float
    ) -> None:
        """The device has answered the renewal. After an outage that is not enough: it has given
        up meanwhile what it could not deliver, and GENA does not tell."""
        if response.status != 200:
            reason = f"the device answered the renewal with {response.status}"
            self.lapse(record, Cause.RENEWAL_REFUSED, reason, now, response.status)
            return
        away = record.state is _S.UNANSWERED
        record.move(_I.RENEWED)
        record.renewals += 1
        sid = granted_sid(response, record.sid)
        if sid is not None and sid != record.sid:
            self._routing.adopt(record, sid)
        assert record.grant is not None
        duration, expires, interval = self._times(record, request, response, now)
        record.grant = record.grant._replace(duration=duration, expires=expires, interval=interval)
        self._outcomes.add(RenewalAnswered(record, record.sid, duration))
        outage, record.outage = record.outage, None
        record.failures = 0
        if outage is None or not outage.unreachable or record.state is not _S.ACTIVE:
            return
        # An event since then has shown by its SEQ whether there was a gap.
        heard = record.last_event_at is not None and record.last_event_at > outage.failed_at
        if away or not (heard and record.sequence.reliable):
            seconds = now - outage.since
            self.replace(
                record,
                Cause.OUTAGE,
                f"no renewal was answered for {seconds:.0f} s; events may have been missed",
                now,
            )

    # --- deafness ---

    def overdue(self, record: SubscriptionRecord, now: float) -> None:
        """No initial event in time: the subscription is deaf. Another address is tried at once;
        when there is none, or all have been tried, the device is given more and more time before
        that, so that a slow one is heard."""
        if record.state is _S.DEAF:
            self._replace_deaf(record, now)
            return
        record.move(_I.INITIAL_OVERDUE)
        first = self._limits.initial_event_seconds
        self._tell_deaf(record, now)
        sources, usable = record.sources, self._attempts.usable(record)
        assert record.source is not None  # since SUBSCRIBE was built
        sources.tried(record.source)
        more = 0.0
        if sources.bound is None:
            rounds = sources.rounds if sources.has_others(usable) else sources.rounds + 1
            interval = inf if record.slow else record.interval
            more = patience(rounds, interval, self._limits) - first
        if more > 0:
            self._timers.set((record, Timer.INITIAL), now + more)
        else:
            self._replace_deaf(record, now)

    def _tell_deaf(self, record: SubscriptionRecord, now: float) -> None:
        if record.status is Status.DEAF and record.deafness is not None:
            return
        advertised = record.advertised_endpoint
        assert advertised is not None  # since SUBSCRIBE was built
        assert record.granted_at is not None
        known = replace(self._facts(record, now), status=Status.DEAF)
        record.deafness = Deafness(
            record.asked_at,
            record.granted_at,
            advertised,
            bool(known.heard),
            known.empty,
            known.turned_away,
        )
        self._outcomes.change_status(
            record, Status.DEAF, Cause.NO_INITIAL_EVENT, str(diagnose(known))
        )

    def try_next_address(self, record: SubscriptionRecord, now: float) -> None:
        """There is a new address: do not wait for the end of the patience with the others."""
        if record.state is _S.DEAF:
            self._replace_deaf(record, now)

    def _replace_deaf(self, record: SubscriptionRecord, now: float) -> None:
        # The status stays DEAF: nothing has become better or worse.
        record.sources.move_on(self._attempts.usable(record))
        self._routing.give_up(record)
        self.give_back(record, now)
        record.move(_I.REPLACED)
        self._start_afresh(record)
        self._attempts.begin(record, now)

    # --- the end of a grant ---

    def lapse(
        self,
        record: SubscriptionRecord,
        cause: Cause,
        reason: str,
        now: float,
        status: int = 0,
        *,
        wait: float = 0.0,
    ) -> None:
        """The SID is no longer good: subscribe afresh, ``wait`` seconds from now. The description
        is read again before, where that can be done: the device has begun anew, maybe with
        another event URL, or its address is another device's by now."""
        record.must_describe = record.describable
        record.move(_I.LAPSED)
        self._start_afresh(record)
        self._outcomes.change_status(record, record.wanting, cause, reason, status)
        self._begin(record, now, wait)

    def replace(
        self,
        record: SubscriptionRecord,
        cause: Cause,
        reason: str,
        now: float,
        *,
        wait: float = 0.0,
    ) -> None:
        """Unsubscribe and subscribe afresh: the initial event restores the state (CP-01)."""
        self.give_back(record, now)
        record.move(_I.REPLACED)
        self._start_afresh(record)
        self._outcomes.change_status(record, record.wanting, cause, reason)
        self._begin(record, now, wait)

    def address_lost(self, record: SubscriptionRecord, now: float) -> None:
        """Nothing can come to the address that CALLBACK named: begin again with the address that
        the system chooses now."""
        where = "" if record.source is None else record.source.host
        assert record.advertised is not None  # since SUBSCRIBE was built
        # Otherwise the UNSUBSCRIBE would leave from the lost address, which fails.
        record.advertised = record.advertised._replace(source=None)
        record.sources.reset()
        self.replace(
            record,
            Cause.ADDRESS_LOST,
            f"{where}, which events were sent to, is no longer an address of this machine",
            now,
        )

    def _begin(self, record: SubscriptionRecord, now: float, wait: float) -> None:
        if wait > 0:
            self._attempts.begin_later(record, now + wait)
        else:
            self._attempts.begin(record, now)

    def _start_afresh(self, record: SubscriptionRecord) -> None:
        self._requests.settle(record)
        self.forget(record)
        self._timers.clear_all(record)

    def give_back(self, record: SubscriptionRecord, now: float) -> None:
        """Have the SID of ``record`` given back."""
        self._requests.unsubscribe(record, record.event_url, record.sid, record.source, now)

    def forget(self, record: SubscriptionRecord) -> None:
        """Nothing is granted any more; what comes is a stray."""
        self._routing.forget(record)
