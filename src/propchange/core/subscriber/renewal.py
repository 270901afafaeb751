"""Gets and keeps the grants of subscriptions: attempts, renewal, outage, deafness, replacement.

**To a grant.** SUBSCRIBE is sent until it is granted, with backoff and within a token bucket that
renewals share. After a lapse the description is read first, where that is possible: the event URL
may be another one, and at a reused address there may be another device.

**Renewal.** A grant ends after its duration. It is renewed at half of that, up to a tenth earlier
at random so that many subscriptions do not renew together; the second half is for more attempts
(CP-04). A renewal ends in one of three ways:

- 200: the grant continues. Another SID in the answer is a new grant (REN-12), which owes an initial
  event. Events with the former SID are taken until one with the new SID has come.
- Another status: the device has forgotten the SID. The grant lapses and a fresh SUBSCRIBE follows.
- No answer: it is tried again, less and less often, until the grant expires. A refused connection
  is known at once; silence is believed the second time. Then the status is RESUBSCRIBING, since
  ``values`` may be out of date. After ``Limits.renewal_failures`` without an answer and without an
  event the device counts as away.

An outage leaves a question that GENA cannot answer: did the device give an event up meanwhile? The
SID may still be good and the next event in order, but a publisher drops what it cannot deliver
within 30 seconds, and its SEQ shows that only with the next change, which may be hours away. So the
first renewal that is answered after an outage is followed by a fresh subscription, unless an event
in order has come since. A connection that broke is no outage: the device was there.

The other reason for a fresh subscription is silence after the grant. The publisher owes an initial
event at once; without one after ``Limits.initial_event_seconds`` the subscription is deaf. Another
address of this machine is tried by a new SUBSCRIBE, see :mod:`.callback_address`. When all were
tried, the wait doubles each round, so that a slow device is heard. If an event for a SID that was
given back does come, the device is *slow*: it then keeps its SID and is waited for.

An active subscription may hear nothing for hours: no variable changes. Renewals show that the
device knows the SID, and not that its events arrive. After ``Limits.quiet_seconds`` without an
event a fresh subscription takes the place of the renewal: its initial event shows both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import inf
from urllib.parse import urlsplit

from propchange.core.diagnosis.facts import Facts, refusal_in_words
from propchange.core.diagnosis.rules import diagnose
from propchange.core.diagnosis.verdicts import Verdict
from propchange.core.limits import Limits
from propchange.core.local_addresses import LocalAddress, address_of
from propchange.core.subscriber.callback_address import Sources, usable_sources
from propchange.core.subscriber.events import Cause, Status
from propchange.core.subscriber.judge import SubscriberPolicy, granted_sid
from propchange.core.subscriber.notify_routing import NotifyRouting, Received
from propchange.core.subscriber.outcomes import (
    Granted,
    RenewalAnswered,
    SubscriberOutcomes,
)
from propchange.core.subscriber.record import (
    Advertised,
    Deafness,
    FailedAttempt,
    Grant,
    Loss,
    Outage,
    Repair,
    SubscriptionRecord,
)
from propchange.core.subscriber.requests import (
    Failure,
    OutgoingRequest,
    RequestKind,
    RequestQueue,
    accepted_variables,
    renewal_message,
    subscribe_message,
)
from propchange.core.subscriber.states import GRANTED, SubscriberInput, SubscriberState
from propchange.core.subscriber.timing import (
    TimerKind,
    backoff,
    grant_times,
    granted_duration,
    patience,
    renewal_retry,
)
from propchange.core.wire.headers import parse_sid
from propchange.core.wire.messages import Endpoint, Request, Response

_S, _I = SubscriberState, SubscriberInput

_MOVED = (404, 405, 410)
"""Answers to SUBSCRIBE that mean that the event URL is wrong, or no longer right."""

_GUARDED = (403, 412)
"""Answers to SUBSCRIBE that may mean the delivery URL: devices that are protected against
CallStranger accept none in another network than their own (CSX-04)."""

_KNOWN_AT_ONCE = (Failure.REFUSED, Failure.UNREACHABLE, Failure.SHORTAGE)

_NO_CONNECTION = (Cause.UNREACHABLE, Cause.SHORTAGE)

_FAILURES_THAT_TELL = 2
"""Renewals in a row without an answer after which the status changes: one may be an accident."""


class SubscriptionRenewal:
    """Gets and keeps the grants of subscriptions. ``jitter`` gives a number in [0, 1). ``facts``
    gives the facts about a subscription, for the diagnosis of a deaf one."""

    def __init__(
        self,
        policy: SubscriberPolicy,
        limits: Limits,
        jitter: Callable[[], float],
        routing: NotifyRouting,
        outcomes: SubscriberOutcomes,
        *,
        facts: Callable[[SubscriptionRecord, float], Facts],
    ) -> None:
        self._policy = policy
        self._limits = limits
        self._jitter = jitter
        self._routing = routing
        self._outcomes = outcomes
        self._facts = facts
        self._timers = self.timers = outcomes.timers
        self._requests = self.requests = RequestQueue(policy, limits, self.timers)
        self.addresses: tuple[LocalAddress, ...] = ()
        """The addresses of this machine that events may come to; empty while unknown."""

    # --- attempts ---

    def subscribe(self, record: SubscriptionRecord, now: float, *, wait: float = 0.0) -> None:
        """Send a SUBSCRIBE, or read the description, ``wait`` seconds from now and not before the
        token bucket allows it."""
        when = max(record.bucket.ready_at(now), now + wait)
        if when > now:
            self._timers.set((record, TimerKind.ATTEMPT), when)
            return
        self._timers.clear((record, TimerKind.ATTEMPT))
        # A description costs the device more than a SUBSCRIBE does.
        record.bucket.spend(now)
        kind = RequestKind.DESCRIBE if record.must_describe else RequestKind.SUBSCRIBE
        request = OutgoingRequest(kind, record, record.event_url, sent_at=now)
        if record.must_describe:
            record.move(_I.DUE_DESCRIBING)
        else:
            record.move(_I.DUE)
            record.loss = record.doubt = None
            record.sequence.restart()
            self._routing.expect(record)
            request.source, request.builder = record.sources.bound, partial(self._build, record)
        self._requests.send(request)

    def begin_anew(self, record: SubscriptionRecord, cause: Cause, now: float) -> None:
        """Try ``record`` at once if it is not granted, because its device was announced. A request
        that was sent before the announcement is given up: its answer may never come."""
        if record.state in GRANTED:
            return
        record.failures = 0
        record.must_describe = record.describable
        record.sources.worked()
        attempt = self._requests.outstanding.get(record)
        if record.state is _S.WAITING:
            self.subscribe(record, now)
        elif attempt is not None:
            overtaken = now - attempt.sent_at > self._limits.announcement_seconds
            if overtaken or cause is Cause.DEVICE_MOVED:
                self._requests.settle(record)
                self._routing.forget(record)
                record.move(_I.ATTEMPT_FAILED)
                self.subscribe(record, now)

    def _usable(self, record: SubscriptionRecord) -> tuple[Endpoint, ...]:
        """The addresses that events for ``record`` can come to; empty if the settings name the host
        in CALLBACK, which makes the source address of SUBSCRIBE irrelevant."""
        if self._policy.callback.host is not None or record.remote is None:
            return ()
        return usable_sources(record.remote, self.addresses)

    def subscribe_answered(
        self, request: OutgoingRequest, response: Response, now: float
    ) -> list[Received]:
        """The device has answered SUBSCRIBE. Returns the messages that came before a grant."""
        record = request.subscription
        record.remote = request.remote
        sid = reason = ""
        if response.status != 200:
            authority = record.advertised and record.advertised.authority
            named = address_of(urlsplit(request.url).hostname or "") is None
            means = refusal_in_words(response.status, authority, named=named)
            reason = f"the device answered SUBSCRIBE with {response.status}: {means}"
        else:
            try:
                sid = parse_sid(response.fields.get(b"sid", b""))
            except ValueError as error:
                reason = f"the device granted without a usable SID: {error}"
        if reason:
            self.attempt_failed(record, Cause.REFUSED, reason, now, response.status)
            return []
        record.failures, record.failure, record.outage = 0, None, None
        record.confirmed_at = request.sent_at
        record.move(_I.GRANT)
        record.event_url = request.url
        if record.doubt is None and self._routing.has_strays(record, sid):
            reason = "an event was not taken: its SID is not the granted one"
            record.doubt = Loss(Cause.EVENT_REFUSED, reason, now, certain=True)
        early = self._routing.grant(record, sid)
        self._timers.set((record, TimerKind.INITIAL), now + self._limits.initial_event_seconds)
        times = self._times(request, response, now)
        accepted = accepted_variables(record.statevar, response, self._policy, self._limits)
        record.grant = grant = Grant(request.sent_at, now, *times, accepted)
        self._outcomes.counts.grants += 1
        self._outcomes.append(Granted(record, sid, grant.duration))
        return early

    def attempt_failed(
        self, record: SubscriptionRecord, cause: Cause, reason: str, now: float, status: int = 0
    ) -> None:
        """The attempt has failed. ``status`` is the HTTP status of the answer, 0 without one."""
        self._outcomes.counts.failed_attempts[cause] += 1
        sources = record.sources
        subscribing = record.state is _S.SUBSCRIBING
        self._routing.forget(record)
        if status in _GUARDED and record.source is not None:
            # The device may take another address of this machine.
            sources.tried(record.source)
            usable = self._usable(record)
            if sources.untried(usable) is not None:
                record.move(_I.ATTEMPT_FAILED)
                sources.move_on(usable)
                self.subscribe(record, now)
                return
        if not record.persistent and record.grant is None:
            record.failures += 1
            record.failure = FailedAttempt(reason, status)
            record.move(_I.GIVEN_UP)
            self._outcomes.change_status(record, Status.REFUSED, cause, reason, status)
            return
        record.move(_I.ATTEMPT_FAILED)
        if subscribing and sources.bound is not None and record.status is Status.DEAF:
            # The address was bound for a trial: the failure is about it, not about the device.
            sources.tried(sources.bound)
            sources.move_on(self._usable(record))
            self.subscribe(record, now)
            return
        record.failures += 1
        record.failure = FailedAttempt(reason, status)
        if subscribing:
            sources.bound = None
            # The event URL may be another one since the device restarted.
            if status == 0 or status in _MOVED:
                record.must_describe = record.describable
        elif cause in _NO_CONNECTION and record.grant is not None:
            # Only the server of descriptions may be away: try the event URL that worked before.
            record.must_describe = False
        self._outcomes.change_status(record, record.wanting, cause, reason, status)
        delay = backoff(record.failures, self._limits, record.interval)
        self.subscribe(record, now, wait=delay * (1.0 - 0.25 * self._jitter()))

    def _build(self, record: SubscriptionRecord, local: Endpoint) -> Request:
        endpoint, source = self._policy.callback.endpoint(local), local._replace(port=0)
        authority = self._policy.callback.authority or str(endpoint)
        callback = f"http://{authority}{record.path}"
        record.advertised = Advertised(authority, callback, endpoint, source)
        wanted, statevar = record.duration_wanted, record.statevar
        return subscribe_message(
            record.event_url, callback, self._policy, duration=wanted, statevar=statevar
        )

    def _times(
        self, request: OutgoingRequest, response: Response, now: float
    ) -> tuple[float, float, float]:
        """Duration, expiry and interval of what ``response`` grants. Sets the timers for that."""
        record, timers = request.subscription, self._timers
        granted = granted_duration(response.fields.get(b"timeout"), record.duration_wanted)
        times = grant_times(granted, request.sent_at, now, self._jitter(), self._limits)
        timers.set((record, TimerKind.RENEWAL), times.renews)
        if times.lapses is None:
            timers.clear((record, TimerKind.EXPIRY))
        else:
            timers.set((record, TimerKind.EXPIRY), times.lapses)
        return granted, times.expires, times.renews - request.sent_at

    # --- renewal ---

    def renew(self, record: SubscriptionRecord, now: float) -> None:
        """Renew as soon as the token bucket allows it. A deaf subscription is replaced instead,
        unless the device is slow, and a quiet one is replaced too."""
        waits = (record, TimerKind.REPAIR) in self._timers
        if record.state is _S.DEAF and not (record.slow or waits):
            self.replace_deaf(record, now)
            return
        if record in self._requests.outstanding:
            return
        heard_at = now if record.last_event_at is None else record.last_event_at
        if record.state is _S.ACTIVE and now - heard_at >= self._limits.quiet_seconds:
            # No status change unless the initial event is missing.
            self._end(record, _I.REPLACED, now)
            return
        ready_at = record.bucket.ready_at(now)
        if ready_at > now:
            self._timers.set((record, TimerKind.RENEWAL), ready_at)
            return
        self.ask(record, now)

    def renew_soon(self, record: SubscriptionRecord, now: float) -> None:
        """Let the next renewal be due as soon as the token bucket allows it."""
        self._timers.set((record, TimerKind.RENEWAL), record.bucket.ready_at(now))

    def ask(self, record: SubscriptionRecord, now: float) -> OutgoingRequest:
        """Send a renewal now. Returns its request."""
        record.bucket.spend(now)
        url, sid = record.event_url, record.sid
        message = renewal_message(url, sid, self._policy, duration=record.duration_wanted)
        request = OutgoingRequest(RequestKind.RENEW, record, url, sid=sid, sent_at=now)
        request.source, request.builder = record.source, lambda _: message
        self._requests.send(request)
        return request

    def renewal_failed(
        self,
        record: SubscriptionRecord,
        failure: Failure,
        reason: str,
        now: float,
        *,
        gone: str | None = None,
    ) -> None:
        """The renewal had no answer (REN-12). ``gone``: the sentence for the status if the device
        was announced to have gone and was not asked about that yet."""
        limits = self._limits
        self._outcomes.renewal_failed(record, reason)
        if failure is Failure.NO_SOURCE:
            self.address_lost(record, now)
            return
        record.failures += 1
        before = record.outage or Outage(now, now, unreachable=False)
        unreachable = before.unreachable or failure is not Failure.BROKEN
        record.outage = outage = Outage(before.since, now, unreachable, reason)
        # A device that answers no renewals but sends events is not away.
        silent = record.last_event_at is None or record.last_event_at < outage.since
        short = failure is Failure.SHORTAGE
        if silent and record.failures >= limits.renewal_failures and not short:
            cause = Cause.DEVICE_GONE if gone else Cause.UNREACHABLE
            self.lapse(record, cause, gone or f"the device is away: {reason}", now)
            return
        again = outage.unreachable and record.failures >= _FAILURES_THAT_TELL
        known = failure in _KNOWN_AT_ONCE or again
        if silent and known and record.state in (_S.ACTIVE, _S.UNANSWERED):
            record.move(_I.UNREACHED)
            cause = Cause.SHORTAGE if short else Cause.UNREACHABLE
            reason = f"the device cannot be asked to renew: {reason}"
            if gone and not short:
                cause, reason = Cause.DEVICE_GONE, gone
            self._outcomes.change_status(record, Status.RESUBSCRIBING, cause, reason)
        assert record.expires is not None
        wait = renewal_retry(record.failures, record.expires - now, record.interval, limits)
        self._timers.set((record, TimerKind.RENEWAL), now + wait)

    def renewal_answered(self, request: OutgoingRequest, response: Response, now: float) -> None:
        """The device has answered the renewal. After an outage a fresh subscription follows."""
        record = request.subscription
        if response.status != 200:
            reason = f"the device answered the renewal with {response.status}"
            self.lapse(record, Cause.RENEWAL_REFUSED, reason, now, response.status)
            return
        away = record.state is _S.UNANSWERED
        record.move(_I.RENEWED)
        record.renewals += 1
        record.confirmed_at = request.sent_at
        sid = granted_sid(response, record.sid)
        renamed = sid is not None and sid != record.sid
        if sid is not None and renamed:
            self._routing.adopt(record, sid)
        assert record.grant is not None
        duration, expires, interval = self._times(request, response, now)
        record.grant = record.grant._replace(duration=duration, expires=expires, interval=interval)
        self._outcomes.append(RenewalAnswered(record, record.sid, duration))
        outage, record.outage = record.outage, None
        record.failures = 0
        if outage is not None and outage.unreachable and record.state is _S.ACTIVE:
            # An event since the last failure has shown by its SEQ whether events were missed.
            heard = record.last_event_at is not None and record.last_event_at > outage.failed_at
            if away or not (heard and record.sequence.reliable):
                reason = f"no renewal was answered for {now - outage.since:.0f} s"
                self.replace(record, Cause.OUTAGE, f"{reason}; events may have been missed", now)
                return
        if renamed and record.state is _S.ACTIVE:
            # No status change unless the initial event is missing.
            record.move(_I.NEW_SID)
            record.grant = record.grant._replace(asked_at=request.sent_at, granted_at=now)
            self._timers.set((record, TimerKind.INITIAL), now + self._limits.initial_event_seconds)

    # --- the initial event ---

    def heard(self, record: SubscriptionRecord, *, complete: bool) -> None:
        """Note that the first event of a grant has come. Unless ``complete``, an event before it
        was missed, or a part of it cannot be read. The state then stays, until a fresh subscription
        follows."""
        record.sources.worked()
        record.deafness = None
        if complete:
            record.move(_I.INITIAL_EVENT)
            self._timers.clear((record, TimerKind.INITIAL))
            self._timers.clear((record, TimerKind.REPAIR))
            cause = Cause.INITIAL_EVENT
            self._outcomes.change_status(record, Status.ACTIVE, cause, "events arrive")

    def overdue(self, record: SubscriptionRecord, now: float) -> None:
        """Note that no initial event came in time. The subscription is deaf, unless the device owes
        no initial event. Another address is tried at once. If there is no other address, or all
        were tried, the device first gets more time."""
        if record.state is _S.DEAF:
            self.replace_deaf(record, now)
            return
        found = diagnose(replace(self._facts(record, now), status=Status.ACTIVE))
        if found.verdict is Verdict.NOTHING_EVENTED:
            # The state stays: an event that comes all the same is the initial event.
            cause = Cause.NOTHING_EVENTED
            self._outcomes.change_status(record, Status.ACTIVE, cause, str(found))
            return
        record.move(_I.INITIAL_OVERDUE)
        if record.doubt is not None:
            record.losses += 1
            record.loss, record.doubt = record.loss or record.doubt, None
            self._timers.clear((record, TimerKind.DOUBT))
        self._report_deaf(record, now)
        if record.awaits_new_sid:
            # Events have come to this address before.
            self._routing.give_up(record)
            self._end(record, _I.REPLACED, now)
            return
        if record.loss is not None and record.loss.cause is not Cause.EVENT_CUT:
            # Its events come to this address: another one would not help.
            self.plan_repair(record, now)
            self.repair(record, now)
            return
        sources, usable = record.sources, self._usable(record)
        assert record.source is not None  # since SUBSCRIBE was built
        sources.tried(record.source)
        more = 0.0
        if sources.bound is None:
            rounds = sources.rounds if sources.has_others(usable) else sources.rounds + 1
            interval = inf if record.slow else record.interval
            more = patience(rounds, interval, self._limits)
            more -= self._limits.initial_event_seconds
        if more > 0:
            self._timers.set((record, TimerKind.INITIAL), now + more)
        else:
            self.replace_deaf(record, now)

    def _report_deaf(self, record: SubscriptionRecord, now: float) -> None:
        if record.status is Status.DEAF and record.deafness is not None:
            return
        granted_at, advertised = record.granted_at, record.advertised_endpoint
        assert advertised is not None  # since SUBSCRIBE was built
        assert granted_at is not None
        known = replace(self._facts(record, now), status=Status.DEAF)
        of_device = bool(known.heard), known.empty, known.turned_away
        new_sid = record.sid if record.awaits_new_sid else None
        record.deafness = Deafness(record.asked_at, granted_at, advertised, *of_device, new_sid)
        reason = str(diagnose(known))
        cause = Cause.NO_INITIAL_EVENT
        if record.awaits_new_sid:
            cause = Cause.NEW_SID
        elif record.loss is not None:
            cause = record.loss.cause
        elif record.status_cause is Cause.EVENT_CUT:
            cause = Cause.EVENT_CUT  # it has not helped
        self._outcomes.change_status(record, Status.DEAF, cause, reason)

    def replace_deaf(self, record: SubscriptionRecord, now: float) -> None:
        """Subscribe afresh from the next address. The status stays DEAF until an event comes."""
        record.sources.move_on(self._usable(record))
        self._routing.give_up(record)
        self._end(record, _I.REPLACED, now)

    # --- after a loss ---

    def plan_repair(self, record: SubscriptionRecord, now: float) -> Repair:
        """Set the time of the fresh subscription that restores the state: now, or after a backoff
        if ``Limits.subscribe_burst`` repairs in a row have not helped. Repairs are in a row if each
        begins less than ``Limits.backoff_most_seconds`` after the last."""
        limits, before, wait, count = self._limits, record.repair, 0.0, 1
        if before is not None and now - before.at < limits.backoff_most_seconds:
            count = before.in_a_row + 1
        helpless = count - limits.subscribe_burst
        if helpless > 0:
            wait = backoff(helpless, limits, record.interval) * (1.0 - 0.25 * self._jitter())
        record.repair = repair = Repair(now + wait, count)
        return repair

    def repair(self, record: SubscriptionRecord, now: float) -> None:
        """Subscribe afresh at the planned time. The grant is kept until then, so later events are
        taken."""
        assert record.repair is not None  # since plan_repair
        if record.repair.at > now:
            self._timers.clear((record, TimerKind.INITIAL))
            self._timers.set((record, TimerKind.REPAIR), record.repair.at)
        else:
            self._end(record, _I.REPLACED, now)

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
        is read first, where that is possible."""
        record.must_describe = record.describable
        self._end(record, _I.LAPSED, now, cause, reason, status=status, wait=wait)

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
        self._end(record, _I.REPLACED, now, cause, reason, wait=wait)

    def _end(
        self,
        record: SubscriptionRecord,
        given: SubscriberInput,
        now: float,
        cause: Cause | None = None,
        reason: str = "",
        *,
        status: int = 0,
        wait: float = 0.0,
    ) -> None:
        """End the grant and subscribe afresh. Without a ``cause`` the status stays."""
        if given is _I.REPLACED:
            self.give_back(record, now)
        record.move(given)
        self._requests.settle(record)
        self._routing.forget(record)
        self._timers.clear_all(record)
        if cause is not None:
            self._outcomes.change_status(record, record.wanting, cause, reason, status)
        self.subscribe(record, now, wait=wait)

    def address_lost(self, record: SubscriptionRecord, now: float) -> None:
        """The address that the SUBSCRIBE left from is no longer one of this machine: subscribe
        afresh from the address that the system chooses now."""
        where = "" if record.source is None else record.source.host
        assert record.advertised is not None  # since SUBSCRIBE was built
        # Otherwise the UNSUBSCRIBE would leave from the lost address, which fails.
        record.advertised = record.advertised._replace(source=None)
        record.sources = Sources()
        is_callback = self._policy.callback.host is None
        what = "events were sent to" if is_callback else "SUBSCRIBE was sent from"
        reason = f"{where}, which {what}, is no longer an address of this machine"
        self.replace(record, Cause.ADDRESS_LOST, reason, now)

    def give_back(self, record: SubscriptionRecord, now: float) -> None:
        """Send an UNSUBSCRIBE for the SID of ``record``."""
        self._requests.unsubscribe(record, record.event_url, record.sid, record.source, now)
