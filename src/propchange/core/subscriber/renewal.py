"""A granted subscription: renewed, waited for, given back for a fresh one, lost.

Whatever ends it leads to a fresh SUBSCRIBE, whose initial event restores the state.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from math import inf

from propchange.core.diagnosis.facts import Facts
from propchange.core.diagnosis.verdicts import diagnose
from propchange.core.limits import Limits
from propchange.core.subscriber.attempts import Attempts
from propchange.core.subscriber.events import Cause, Status
from propchange.core.subscriber.failures import Failure
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.subscriber.notify_routing import Received, Reception
from propchange.core.subscriber.outbox import Outbox, Timer
from propchange.core.subscriber.outcomes import Granted, RenewalAnswered, RenewalFailed
from propchange.core.subscriber.record import Deafness, HeldSubscription
from propchange.core.subscriber.requests import (
    OutgoingRequest,
    RequestKind,
    accepted_variables,
    renewal_message,
)
from propchange.core.subscriber.states import SubscriberInput, SubscriberState
from propchange.core.subscriber.timing import grant_times, granted_duration, patience, renewal_retry
from propchange.core.wire.headers import parse_sid
from propchange.core.wire.messages import Response

__all__ = ["Grants"]

_S, _I = SubscriberState, SubscriberInput

_KNOWN_AT_ONCE = (Failure.REFUSED, Failure.UNREACHABLE)

_FAILURES_THAT_TELL = 2
"""Renewals in a row that no answer came to, after which that is told: one may be an accident."""


class Grants:
    """The subscriptions that are granted. ``jitter`` gives a number in [0, 1), ``facts`` what is
    known of one now."""

    def __init__(
        self,
        outbox: Outbox,
        reception: Reception,
        attempts: Attempts,
        *,
        policy: SubscriberPolicy,
        limits: Limits,
        jitter: Callable[[], float],
        facts: Callable[[HeldSubscription, float], Facts],
    ) -> None:
        self._outbox = outbox
        self._reception = reception
        self._attempts = attempts
        self._policy = policy
        self._limits = limits
        self._jitter = jitter
        self._facts = facts

    def begin(
        self,
        held: HeldSubscription,
        sid: str,
        request: OutgoingRequest,
        response: Response,
        now: float,
    ) -> list[Received]:
        """SUBSCRIBE was granted with ``sid``. Gives the event messages that came before that."""
        self._outbox.move(held, _I.GRANT)
        held.event_url = request.url
        early = self._reception.grant(held, sid)
        held.sequence.restart()
        held.failures = 0
        held.failed_since = None
        held.outage = False
        held.failure, held.failure_status = "", 0
        held.asked_at = request.sent_at
        held.granted_once = True
        held.granted_at = now
        held.accepted = accepted_variables(held.statevar, response, self._policy, self._limits)
        held.remote = request.remote
        held.device_host = None if request.remote is None else request.remote.host
        self._outbox.deadlines.set((held, Timer.INITIAL), now + self._limits.initial_event_seconds)
        duration = self._take(held, request, response, now)
        self._outbox.outcomes.append(Granted(held, sid, duration))
        return early

    def _take(
        self, held: HeldSubscription, request: OutgoingRequest, response: Response, now: float
    ) -> float:
        """Note what was granted, and when that is to be renewed or lapses."""
        granted = granted_duration(response.fields.get(b"timeout"), held.duration_wanted)
        times = grant_times(granted, request.sent_at, now, self._jitter(), self._limits)
        held.duration_granted = granted
        held.expires = times.expires
        held.interval = times.renews - request.sent_at
        deadlines = self._outbox.deadlines
        deadlines.set((held, Timer.RENEWAL), times.renews)
        if times.lapses is None:
            deadlines.clear((held, Timer.EXPIRY))
        else:
            deadlines.set((held, Timer.EXPIRY), times.lapses)
        return granted

    # --- renewal ---

    def renew(self, held: HeldSubscription, now: float) -> None:
        """Renew as soon as the token bucket allows it; a deaf one is replaced instead, unless the
        device is known to be slow."""
        if held.state is _S.DEAF and not held.slow:
            self._replace_deaf(held, now)
            return
        if held.outstanding is not None:
            return
        if self._is_quiet(held, now):
            self._prove(held, now)
            return
        ready_at = held.bucket.ready_at(now)
        if ready_at > now:
            self.renew_at(held, ready_at)
            return
        held.bucket.spend(now)
        message = renewal_message(
            held.event_url, held.sid, self._policy, duration=held.duration_wanted
        )
        self._outbox.send(
            held, RequestKind.RENEW, now, source=held.source, builder=lambda _: message
        )

    def _is_quiet(self, held: HeldSubscription, now: float) -> bool:
        heard_at = held.last_event_at
        if held.state is not _S.ACTIVE or heard_at is None:
            return False
        return now - heard_at >= self._limits.quiet_seconds

    def _prove(self, held: HeldSubscription, now: float) -> None:
        """Subscribe afresh instead of renewing. Nothing is known to be wrong, so nothing is told
        unless no initial event comes."""
        self.give_back(held, now)
        self._outbox.move(held, _I.REPLACED)
        self._start_afresh(held)
        self._attempts.begin(held, now)

    def renew_at(self, held: HeldSubscription, when: float) -> None:
        """Renew at ``when`` instead of when it was due."""
        self._outbox.deadlines.set((held, Timer.RENEWAL), when)

    def renewal_failed(
        self, held: HeldSubscription, failure: Failure, reason: str, now: float
    ) -> None:
        """The renewal that was out has brought no answer (REN-12)."""
        outbox, limits = self._outbox, self._limits
        outbox.outcomes.append(RenewalFailed(held, reason))
        if failure is Failure.NO_SOURCE:
            self.address_lost(held, now)
            return
        held.failures += 1
        if held.failed_since is None:
            held.failed_since = now
        held.failed_at = now
        held.outage |= failure is not Failure.BROKEN
        # One that answers no renewals and goes on sending events is there all the same.
        silent = held.last_event_at is None or held.last_event_at < held.failed_since
        if silent and held.failures >= limits.renewal_failures:
            self.lapse(held, Cause.UNREACHABLE, f"the device is away: {reason}", now)
            return
        again = held.outage and held.failures >= _FAILURES_THAT_TELL
        known = failure in _KNOWN_AT_ONCE or again
        if silent and known and held.state in (_S.ACTIVE, _S.UNANSWERED):
            outbox.move(held, _I.UNREACHED)
            outbox.tell(
                held,
                Status.RESUBSCRIBING,
                Cause.UNREACHABLE,
                f"the device cannot be asked to renew: {reason}",
            )
        assert held.expires is not None
        self.renew_at(
            held, now + renewal_retry(held.failures, held.expires - now, held.interval, limits)
        )

    def renewal_answered(
        self, held: HeldSubscription, request: OutgoingRequest, response: Response, now: float
    ) -> None:
        """The device has answered the renewal. After an outage that is not enough: it has given
        up meanwhile what it could not deliver, and GENA does not tell."""
        if response.status != 200:
            reason = f"the device answered the renewal with {response.status}"
            self.lapse(held, Cause.RENEWAL_REFUSED, reason, now, response.status)
            return
        away = held.state is _S.UNANSWERED
        self._outbox.move(held, _I.RENEWED)
        held.renewals += 1
        sid = response.fields.get(b"sid")
        if sid is not None and sid != held.sid.encode("latin-1"):
            with suppress(ValueError):  # REN-12, unless it is none
                self._reception.adopt(held, parse_sid(sid))
        duration = self._take(held, request, response, now)
        self._outbox.outcomes.append(RenewalAnswered(held, held.sid, duration))
        failed_since, held.failed_since = held.failed_since, None
        outage, held.outage = held.outage, False
        held.failures = 0
        if failed_since is None or not outage or held.state is not _S.ACTIVE:
            return
        # An event since then has shown by its SEQ whether there was a gap.
        heard = held.last_event_at is not None and held.last_event_at > held.failed_at
        if away or not (heard and held.sequence.reliable):
            seconds = now - failed_since
            self.replace(
                held,
                Cause.OUTAGE,
                f"no renewal was answered for {seconds:.0f} s; events may have been missed",
                now,
            )

    # --- deafness ---

    def overdue(self, held: HeldSubscription, now: float) -> None:
        """No initial event in time: the subscription is deaf. Another address is tried at once;
        when there is none, or all have been tried, the device is given more and more time before
        that, so that a slow one is heard."""
        if held.state is _S.DEAF:
            self._replace_deaf(held, now)
            return
        self._outbox.move(held, _I.INITIAL_OVERDUE)
        first = self._limits.initial_event_seconds
        self._tell_deaf(held, now)
        sources, usable = held.sources, self._attempts.usable(held)
        assert held.source is not None  # since SUBSCRIBE was built
        sources.tried(held.source)
        more = 0.0
        if sources.bound is None:
            rounds = sources.rounds if sources.has_others(usable) else sources.rounds + 1
            interval = inf if held.slow else held.interval
            more = patience(rounds, interval, self._limits) - first
        if more > 0:
            self._outbox.deadlines.set((held, Timer.INITIAL), now + more)
        else:
            self._replace_deaf(held, now)

    def _tell_deaf(self, held: HeldSubscription, now: float) -> None:
        if held.status is Status.DEAF and held.deafness is not None:
            return
        advertised = held.advertised_endpoint
        assert advertised is not None  # since SUBSCRIBE was built
        assert held.granted_at is not None
        known = replace(self._facts(held, now), status=Status.DEAF)
        held.deafness = Deafness(
            held.asked_at,
            held.granted_at,
            advertised,
            bool(known.heard),
            known.empty,
            known.turned_away,
        )
        self._outbox.tell(held, Status.DEAF, Cause.NO_INITIAL_EVENT, str(diagnose(known)))

    def try_next_address(self, held: HeldSubscription, now: float) -> None:
        """There is a new address: do not wait for the end of the patience with the others."""
        if held.state is _S.DEAF:
            self._replace_deaf(held, now)

    def _replace_deaf(self, held: HeldSubscription, now: float) -> None:
        # The status stays DEAF: nothing has become better or worse.
        held.sources.move_on(self._attempts.usable(held))
        self._reception.give_up(held)
        self.give_back(held, now)
        self._outbox.move(held, _I.REPLACED)
        self._start_afresh(held)
        self._attempts.begin(held, now)

    # --- the end of a grant ---

    def lapse(
        self,
        held: HeldSubscription,
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
        held.must_describe = held.describable
        self._outbox.move(held, _I.LAPSED)
        self._start_afresh(held)
        self._outbox.tell(held, held.wanting, cause, reason, status)
        self._begin(held, now, wait)

    def replace(
        self,
        held: HeldSubscription,
        cause: Cause,
        reason: str,
        now: float,
        *,
        wait: float = 0.0,
    ) -> None:
        """Unsubscribe and subscribe afresh: the initial event restores the state (CP-01)."""
        self.give_back(held, now)
        self._outbox.move(held, _I.REPLACED)
        self._start_afresh(held)
        self._outbox.tell(held, held.wanting, cause, reason)
        self._begin(held, now, wait)

    def address_lost(self, held: HeldSubscription, now: float) -> None:
        """Nothing can come to the address that CALLBACK named: begin again with the address that
        the system chooses now."""
        where = "" if held.source is None else held.source.host
        held.source = None  # Or the UNSUBSCRIBE could not leave either.
        held.sources.reset()
        self.replace(
            held,
            Cause.ADDRESS_LOST,
            f"{where}, which events were sent to, is no longer an address of this machine",
            now,
        )

    def _begin(self, held: HeldSubscription, now: float, wait: float) -> None:
        if wait > 0:
            self._attempts.begin_later(held, now + wait)
        else:
            self._attempts.begin(held, now)

    def _start_afresh(self, held: HeldSubscription) -> None:
        self._outbox.settle(held)
        self.forget(held)
        self._outbox.clear_timers(held)

    def give_back(self, held: HeldSubscription, now: float) -> None:
        """Have the SID of ``held`` given back."""
        self._outbox.unsubscribe(held, held.event_url, held.sid, held.source, now)

    def forget(self, held: HeldSubscription) -> None:
        """Nothing is granted any more; what comes is a stray."""
        self._reception.forget(held)
        held.expires = None
        held.duration_granted = None
        held.granted_at = None
