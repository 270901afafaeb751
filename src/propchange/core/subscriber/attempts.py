"""On the way to a grant: a SUBSCRIBE, or the description read again, as often as may be."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from propchange.core.diagnosis.words import refusal_in_words
from propchange.core.limits import Limits
from propchange.core.local_addresses import LocalAddress
from propchange.core.subscriber.callback_address import usable_sources
from propchange.core.subscriber.events import Cause, Status
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.subscriber.notify_routing import Reception
from propchange.core.subscriber.outbox import Outbox, Timer
from propchange.core.subscriber.record import HeldSubscription
from propchange.core.subscriber.requests import (
    OutgoingRequest,
    RequestKind,
    has_literal_host,
    subscribe_message,
)
from propchange.core.subscriber.states import SubscriberInput, SubscriberState
from propchange.core.subscriber.timing import backoff
from propchange.core.wire.headers import parse_sid
from propchange.core.wire.messages import Endpoint, Request, Response

__all__ = ["Attempts"]

_S, _I = SubscriberState, SubscriberInput

_MOVED = (404, 405, 410)
"""Answers to SUBSCRIBE that say that the event URL is none (any more)."""

_GUARDED = (403, 412)
"""Answers to SUBSCRIBE that may mean the delivery URL: devices that guard against CallStranger
take none on another network than their own (CSX-04)."""


class Attempts:
    """The subscriptions that are not granted. ``jitter`` gives a number in [0, 1)."""

    def __init__(
        self,
        outbox: Outbox,
        reception: Reception,
        *,
        policy: SubscriberPolicy,
        limits: Limits,
        jitter: Callable[[], float],
    ) -> None:
        self._outbox = outbox
        self._reception = reception
        self._policy = policy
        self._limits = limits
        self._jitter = jitter
        self.addresses: tuple[LocalAddress, ...] = ()
        """Those of this machine that events may come to, as far as the runtime has told."""

    def begin(self, held: HeldSubscription, now: float) -> None:
        """Send a SUBSCRIBE, or read the description, as soon as the token bucket allows it."""
        outbox = self._outbox
        ready_at = held.bucket.ready_at(now)
        if ready_at > now:
            outbox.deadlines.set((held, Timer.ATTEMPT), ready_at)
            return
        outbox.deadlines.clear((held, Timer.ATTEMPT))
        held.attempts += 1
        # A description costs the device more than a SUBSCRIBE does.
        held.bucket.spend(now)
        if held.must_describe:
            outbox.move(held, _I.DUE_DESCRIBING)
            outbox.send(held, RequestKind.DESCRIBE, now)
            return
        outbox.move(held, _I.DUE)
        self._reception.expect(held)
        outbox.send(
            held,
            RequestKind.SUBSCRIBE,
            now,
            source=held.sources.bound,
            builder=partial(self._build, held),
        )

    def begin_later(self, held: HeldSubscription, when: float) -> None:
        """As :meth:`begin`, not before ``when``."""
        self._outbox.deadlines.set((held, Timer.ATTEMPT), when)

    def begin_again(self, held: HeldSubscription, now: float) -> None:
        """The attempt that is out has been overtaken: do not wait for its answer."""
        self._outbox.settle(held)
        self._reception.forget(held)
        self._outbox.move(held, _I.ATTEMPT_FAILED)
        self.begin(held, now)

    def usable(self, held: HeldSubscription) -> tuple[Endpoint, ...]:
        """The addresses that events for ``held`` could come to. None where CALLBACK has a given
        one: then it does not matter where SUBSCRIBE comes from."""
        if self._policy.callback_host is not None or held.remote is None:
            return ()
        return usable_sources(held.remote, self.addresses)

    def answered(
        self, held: HeldSubscription, request: OutgoingRequest, response: Response, now: float
    ) -> str | None:
        """The SID that ``response`` to SUBSCRIBE grants; None when it grants none, which is a
        failure."""
        held.remote = request.remote
        if response.status != 200:
            reason = f"the device answered SUBSCRIBE with {response.status}"
            means = refusal_in_words(
                response.status, held.advertised, named=not has_literal_host(request.url)
            )
            self.failed(held, Cause.REFUSED, f"{reason}: {means}", now, response.status)
            return None
        try:
            return parse_sid(response.fields.get(b"sid", b""))
        except ValueError as error:
            reason = f"the device granted without a usable SID: {error}"
            self.failed(held, Cause.REFUSED, reason, now, response.status)
            return None

    def described(self, held: HeldSubscription, now: float) -> None:
        """The description was read: its event URL is that of ``held`` now."""
        held.must_describe = False
        self._outbox.move(held, _I.DESCRIBED)
        self.begin(held, now)

    def failed(
        self, held: HeldSubscription, cause: Cause, reason: str, now: float, status: int = 0
    ) -> None:
        """The attempt that was out has failed; ``status`` is what the device answered, 0 for
        nothing."""
        outbox, sources = self._outbox, held.sources
        subscribing = held.state is _S.SUBSCRIBING
        self._reception.forget(held)
        if status in _GUARDED and self._has_another(held):
            outbox.move(held, _I.ATTEMPT_FAILED)
            sources.move_on(self.usable(held))
            self.begin(held, now)
            return
        if not held.persistent and not held.granted_once:
            held.failures += 1
            held.failure, held.failure_status = reason, status
            outbox.move(held, _I.GIVEN_UP)
            outbox.tell(held, Status.REFUSED, cause, reason, status)
            return
        outbox.move(held, _I.ATTEMPT_FAILED)
        if subscribing and sources.bound is not None and held.status is Status.DEAF:
            # That says something of this address, not of the device.
            sources.tried(sources.bound)
            sources.move_on(self.usable(held))
            self.begin(held, now)
            return
        held.failures += 1
        held.failure, held.failure_status = reason, status
        if subscribing:
            sources.bound = None
            # The event URL may be another one since the device restarted.
            if status == 0 or status in _MOVED:
                held.must_describe = held.describable
        elif cause is Cause.UNREACHABLE and held.granted_once:
            # Whatever serves descriptions may be away alone: then the event URL is the old one.
            held.must_describe = False
        outbox.tell(held, held.wanting, cause, reason, status)
        delay = backoff(held.failures, self._limits, held.interval)
        self.begin_later(held, now + delay * (1.0 - 0.25 * self._jitter()))

    def _has_another(self, held: HeldSubscription) -> bool:
        """Whether there is an address that the device has not refused yet."""
        if held.source is None:  # No connection was made.
            return False
        held.sources.tried(held.source)
        return held.sources.has_untried(self.usable(held))

    def _build(self, held: HeldSubscription, local: Endpoint) -> Request:
        host = self._policy.callback_host or local.host
        port = self._policy.callback_port or local.port
        held.advertised = str(Endpoint(host, port))
        held.callback = f"http://{held.advertised}{held.path}"
        held.source = Endpoint(local.host, 0, local.scope)
        return subscribe_message(
            held.event_url,
            held.callback,
            self._policy,
            duration=held.duration_wanted,
            statevar=held.statevar,
        )
