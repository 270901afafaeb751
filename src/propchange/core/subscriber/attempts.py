"""Sends SUBSCRIBE until it is granted, rate-limited, with backoff."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from urllib.parse import urlsplit

from propchange.core.diagnosis.facts import refusal_in_words
from propchange.core.limits import Limits
from propchange.core.local_addresses import LocalAddress, address_of
from propchange.core.subscriber.callback_address import usable_sources
from propchange.core.subscriber.events import Cause, Status
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.subscriber.notify_routing import NotifyRouting
from propchange.core.subscriber.outcomes import SubscriberOutcomes
from propchange.core.subscriber.record import Advertised, FailedAttempt, SubscriptionRecord
from propchange.core.subscriber.requests import (
    OutgoingRequest,
    RequestKind,
    RequestQueue,
    subscribe_message,
)
from propchange.core.subscriber.states import SubscriberInput, SubscriberState
from propchange.core.subscriber.timing import Timer, Timers, backoff
from propchange.core.wire.headers import parse_sid
from propchange.core.wire.messages import Endpoint, Request, Response

__all__ = ["Attempts"]

_S, _I = SubscriberState, SubscriberInput

_MOVED = (404, 405, 410)
"""Answers to SUBSCRIBE that mean that the event URL is wrong, or no longer right."""

_GUARDED = (403, 412)
"""Answers to SUBSCRIBE that may mean the delivery URL: devices that are protected against
CallStranger accept none in another network than their own (CSX-04)."""


class Attempts:
    """The attempts to get a grant, and what they share with :class:`.Renewal`. ``jitter`` gives a
    number in [0, 1)."""

    def __init__(
        self,
        policy: SubscriberPolicy,
        limits: Limits,
        jitter: Callable[[], float],
        routing: NotifyRouting,
        outcomes: SubscriberOutcomes,
    ) -> None:
        self.policy = policy
        self.limits = limits
        self.jitter = jitter
        self.routing = routing
        self.outcomes = outcomes
        self.timers = Timers()
        self.requests = RequestQueue(policy, limits, self.timers)
        self.addresses: tuple[LocalAddress, ...] = ()
        """The addresses of this machine that events may come to; empty while unknown."""

    def begin(self, record: SubscriptionRecord, now: float, *, wait: float = 0.0) -> None:
        """Send a SUBSCRIBE, or read the description, ``wait`` seconds from now and not before the
        token bucket allows it."""
        when = max(record.bucket.ready_at(now), now + wait)
        if when > now:
            self.timers.set((record, Timer.ATTEMPT), when)
            return
        self.timers.clear((record, Timer.ATTEMPT))
        # A description costs the device more than a SUBSCRIBE does.
        record.bucket.spend(now)
        if record.must_describe:
            record.move(_I.DUE_DESCRIBING)
            kind = RequestKind.DESCRIBE
            self.requests.send(OutgoingRequest(kind, record, record.event_url, sent_at=now))
            return
        record.move(_I.DUE)
        self.routing.expect(record)
        kind, url, source = RequestKind.SUBSCRIBE, record.event_url, record.sources.bound
        build = partial(self._build, record)
        self.requests.send(
            OutgoingRequest(kind, record, url, source=source, sent_at=now, builder=build)
        )

    def usable(self, record: SubscriptionRecord) -> tuple[Endpoint, ...]:
        """The addresses that events for ``record`` can come to; empty with ``callback_host``, which
        makes the source address of SUBSCRIBE irrelevant."""
        if self.policy.callback_host is not None or record.remote is None:
            return ()
        return usable_sources(record.remote, self.addresses)

    def answered(self, request: OutgoingRequest, response: Response, now: float) -> str | None:
        """The SID that ``response`` to SUBSCRIBE grants. None if it grants none; the attempt has
        failed then."""
        record = request.subscription
        record.remote = request.remote
        if response.status != 200:
            authority = record.advertised and record.advertised.authority
            named = address_of(urlsplit(request.url).hostname or "") is None
            means = refusal_in_words(response.status, authority, named=named)
            reason = f"the device answered SUBSCRIBE with {response.status}: {means}"
            self.failed(record, Cause.REFUSED, reason, now, response.status)
            return None
        try:
            sid = parse_sid(response.fields.get(b"sid", b""))
        except ValueError as error:
            reason = f"the device granted without a usable SID: {error}"
            self.failed(record, Cause.REFUSED, reason, now, response.status)
            return None
        record.failures, record.failure = 0, None
        return sid

    def failed(
        self, record: SubscriptionRecord, cause: Cause, reason: str, now: float, status: int = 0
    ) -> None:
        """The attempt has failed. ``status`` is the HTTP status of the answer, 0 without one."""
        sources = record.sources
        subscribing = record.state is _S.SUBSCRIBING
        self.routing.forget(record)
        if status in _GUARDED and record.source is not None:
            # The device may take another address of this machine.
            sources.tried(record.source)
            usable = self.usable(record)
            if sources.untried(usable) is not None:
                record.move(_I.ATTEMPT_FAILED)
                sources.move_on(usable)
                self.begin(record, now)
                return
        if not record.persistent and record.grant is None:
            record.failures += 1
            record.failure = FailedAttempt(reason, status)
            record.move(_I.GIVEN_UP)
            self.outcomes.change_status(record, Status.REFUSED, cause, reason, status)
            return
        record.move(_I.ATTEMPT_FAILED)
        if subscribing and sources.bound is not None and record.status is Status.DEAF:
            # The address was bound for a trial: the failure is about it, not about the device.
            sources.tried(sources.bound)
            sources.move_on(self.usable(record))
            self.begin(record, now)
            return
        record.failures += 1
        record.failure = FailedAttempt(reason, status)
        if subscribing:
            sources.bound = None
            # The event URL may be another one since the device restarted.
            if status == 0 or status in _MOVED:
                record.must_describe = record.describable
        elif cause is Cause.UNREACHABLE and record.grant is not None:
            # Only the server of descriptions may be away: try the event URL that worked before.
            record.must_describe = False
        self.outcomes.change_status(record, record.wanting, cause, reason, status)
        delay = backoff(record.failures, self.limits, record.interval)
        self.begin(record, now, wait=delay * (1.0 - 0.25 * self.jitter()))

    def _build(self, record: SubscriptionRecord, local: Endpoint) -> Request:
        host = self.policy.callback_host or local.host
        port = self.policy.callback_port or local.port
        endpoint = Endpoint(host, port, local.scope if host == local.host else 0)
        authority, source = str(endpoint), local._replace(port=0)
        callback = f"http://{authority}{record.path}"
        record.advertised = Advertised(authority, callback, endpoint, source)
        wanted, statevar = record.duration_wanted, record.statevar
        return subscribe_message(
            record.event_url, callback, self.policy, duration=wanted, statevar=statevar
        )
