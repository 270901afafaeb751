"""The control-point side: subscriptions that are kept. No I/O, no clock, no randomness."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from contextlib import suppress
from functools import partial

from propchange.core.deadlines import Deadlines
from propchange.core.events import Cause, Status, StatusChange
from propchange.core.headers import parse_sid
from propchange.core.held import Convert, HeldSubscription
from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.messages import Endpoint, Request, Response
from propchange.core.outcomes import (
    Granted,
    RenewalAnswered,
    RenewalFailed,
    SeqUnreliable,
    SubscriberOutcome,
    Unreadable,
)
from propchange.core.propertyset import check_variable_name
from propchange.core.reception import Received, Reception
from propchange.core.rules import SubscriberPolicy
from propchange.core.sequence import SeqVerdict
from propchange.core.states import SUBSCRIBER, SubscriberInput, SubscriberState
from propchange.core.subscribing import (
    OutgoingRequest,
    RequestKind,
    accepted_variables,
    has_literal_host,
    http_url,
    renewal_message,
    subscribe_message,
    unsubscribe_message,
)
from propchange.core.timing import backoff, grant_times, granted_duration, renewal_retry
from propchange.errors import LocalProtocolError

__all__ = ["SubscriberProtocol"]

_S, _I = SubscriberState, SubscriberInput
_ACTIVE = _S.ACTIVE
_GRANTED = (_S.ACTIVE, _S.GRANTED, _S.DEAF)
_EVENT_VERDICTS = (
    SeqVerdict.EXPECTED,
    SeqVerdict.REPEATED,
    SeqVerdict.UNRELIABLE,
    SeqVerdict.MISSED,
)
_GAP_VERDICTS = (SeqVerdict.MISSED, SeqVerdict.LATE)


class _Timer(enum.Enum):
    ATTEMPT = enum.auto()
    REQUEST = enum.auto()
    INITIAL = enum.auto()
    RENEWAL = enum.auto()
    EXPIRY = enum.auto()


class SubscriberProtocol:
    """One listener, many subscriptions (UDA 2.0 §4.1.2 to §4.3.2).

    Every input takes ``now``, seconds of one monotonic clock. After each input the runtime
    drains :meth:`take_requests` and :meth:`take_outcomes` and reads :meth:`next_deadline`.

    ``new_token`` makes an unguessable path segment, never the same twice; ``jitter`` gives a
    number in [0, 1).
    """

    def __init__(
        self,
        *,
        new_token: Callable[[], str],
        jitter: Callable[[], float],
        policy: SubscriberPolicy | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._jitter = jitter
        self._policy = policy or SubscriberPolicy()
        self._limits = limits
        # A dict for its order.
        self._held: dict[HeldSubscription, None] = {}
        self._deadlines: Deadlines[tuple[HeldSubscription, _Timer]] = Deadlines()
        self._requests: deque[OutgoingRequest] = deque()
        self._outcomes: deque[SubscriberOutcome] = deque(maxlen=limits.outcomes)
        self._reception = Reception(self._policy, limits, new_token, self._outcomes.append)

    # --- what the application wants ---

    def subscribe(
        self,
        event_url: str,
        now: float,
        *,
        persistent: bool = True,
        describable: bool = False,
        describe_first: bool = False,
        device: Hashable = None,
        convert: Convert | None = None,
        duration: int | None = None,
        variables: Iterable[str] = (),
    ) -> HeldSubscription:
        """Begin a subscription to ``event_url`` (absolute).

        ``persistent``: keep trying when the first SUBSCRIBE fails; else the status is then
        REFUSED. ``describable``: the runtime can read the description again when the event URL
        seems to have moved; ``describe_first``: it must, before the first SUBSCRIBE. ``device``
        is the key for :meth:`device_gone` and :meth:`device_rebooted`. ``convert`` maps the
        declared variables to what makes a value of a text; None leaves texts. ``duration`` in
        seconds is asked for. ``variables`` are those that are wanted, all when there are none:
        STATEVAR, which needs UDA 2.0, and which a device may ignore (SUB-53).

        Raises ValueError for a URL that cannot be subscribed to, for a duration under one second
        and for a variable that is no name, LocalProtocolError beyond
        ``Limits.held_subscriptions``.
        """
        http_url(event_url)
        if duration is not None and duration < 1:
            raise ValueError(f"a duration is at least 1 second, not {duration}")
        statevar = tuple(dict.fromkeys(variables))
        for name in statevar:
            check_variable_name(name)
        if len(self._held) >= self._limits.held_subscriptions:
            raise LocalProtocolError(
                f"a control point holds {self._limits.held_subscriptions} subscriptions at most; "
                "raise Limits.held_subscriptions"
            )
        held = HeldSubscription(
            event_url,
            persistent=persistent,
            describable=describable,
            device=device,
            convert=convert,
            duration=duration or self._policy.duration,
            limits=self._limits,
            now=now,
            statevar=statevar,
        )
        held.must_describe = describe_first
        self._held[held] = None
        self._attempt(held, now)
        return held

    def unsubscribe(self, held: HeldSubscription, now: float) -> None:
        """Close ``held``: its SID is given back if it has one. Repeated calls do nothing.

        The status CLOSED follows once the device has answered, or
        ``Limits.unsubscribe_seconds`` later."""
        if held.state in (_S.CLOSING, _S.CLOSED):
            return
        if held.state in _GRANTED:
            self._move(held, _I.UNSUBSCRIBE_SENT)
            self._give_back(held, now)
            self._settle(held)
            self._clear_timers(held)
            held.expires = held.duration_granted = None
            # Path and SID stay: what is in flight is no stray, and a 412 would end the
            # subscription before the device reads its UNSUBSCRIBE.
            self._deadlines.set((held, _Timer.REQUEST), now + self._limits.unsubscribe_seconds)
        else:
            self._move(held, _I.DROPPED)
            self._close(held)

    def abandon(self, held: HeldSubscription) -> None:
        """Close ``held`` at once, whatever is outstanding: the runtime ends. CLOSED follows."""
        if held.state is _S.CLOSED:
            return
        if SUBSCRIBER.allows(held.state, _I.DROPPED):
            self._move(held, _I.DROPPED)
        else:
            if held.state is not _S.CLOSING:
                self._move(held, _I.UNSUBSCRIBE_SENT)
            self._move(held, _I.UNSUBSCRIBED)
        self._close(held)

    # --- requests ---

    def take_requests(self) -> list[OutgoingRequest]:
        """The requests to send now, each ending in :meth:`response_received`,
        :meth:`request_failed` or, for DESCRIBE, :meth:`described`."""
        requests = list(self._requests)
        self._requests.clear()
        return requests

    def response_received(self, request: OutgoingRequest, response: Response, now: float) -> None:
        """``response`` answers ``request``; set ``request.remote`` before."""
        held = request.subscription
        if request.kind is RequestKind.UNSUBSCRIBE:
            self._unsubscribed(request, now)
        elif held.outstanding is not request:
            self._give_back_late_grant(request, response, now)
        elif request.kind is RequestKind.SUBSCRIBE:
            self._settle(held)
            self._subscribe_answered(held, request, response, now)
        else:
            self._settle(held)
            self._renewal_answered(held, request, response, now)

    def request_failed(self, request: OutgoingRequest, reason: str, now: float) -> None:
        """``request`` has brought no answer, for ``reason``, a sentence."""
        held = request.subscription
        if request.kind is RequestKind.UNSUBSCRIBE:
            self._unsubscribed(request, now)
            return
        if held.outstanding is not request:
            return
        self._settle(held)
        if request.kind is RequestKind.RENEW:
            self._outcomes.append(RenewalFailed(held, reason))
            self._retry_renewal(held, now)
        else:
            self._attempt_failed(held, Cause.UNREACHABLE, reason, 0, now)

    def described(
        self, request: OutgoingRequest, event_url: str, convert: Convert | None, now: float
    ) -> None:
        """The description was read again: the service is at ``event_url`` and has these types.

        Raises ValueError as :meth:`subscribe` does; then call :meth:`request_failed`."""
        held = request.subscription
        http_url(event_url)
        if held.outstanding is not request:
            return
        self._settle(held)
        held.event_url = event_url
        held.convert = convert
        held.must_describe = False
        self._move(held, _I.DESCRIBED)
        self._attempt(held, now)

    # --- what the device says ---

    def receive_notify(self, request: Request, now: float) -> Response:
        """Judge a NOTIFY and give the answer, which never waits for the application.

        404 for nothing: an unknown path or SID is answered 412, so that strays of a former
        process stop (RSP-03, RSP-07).
        """
        response, held, received = self._reception.receive(request)
        if held is not None:
            self._receive(held, received, now)
        return response

    def device_gone(self, device: Hashable, now: float) -> None:
        """ssdp:byebye, or all advertisements have expired: the subscriptions to ``device`` count
        as cancelled (CP-07, CP-12). They are tried again, slowly, until the device is back."""
        for held in self._of_device(device):
            if held.state in _GRANTED:
                held.failures = 8  # From here backoff is at its longest.
                self._lapse(held, Cause.DEVICE_GONE, "the device has said goodbye", now)

    def device_rebooted(self, device: Hashable, now: float) -> None:
        """A BOOTID that was not announced, or a device that is back: subscribe afresh at once
        (CP-08, CP-09)."""
        for held in self._of_device(device):
            held.failures = 0
            held.must_describe = held.describable
            if held.state in _GRANTED:
                self._lapse(held, Cause.DEVICE_REBOOTED, "the device has restarted", now)
            elif held.state is _S.WAITING:
                self._attempt(held, now)

    def _of_device(self, device: Hashable) -> list[HeldSubscription]:
        return [held for held in self._held if held.device == device]

    # --- time ---

    def handle_deadline(self, now: float) -> None:
        """Do what is due at ``now``. Early and repeated calls do nothing."""
        while (due := self._deadlines.pop_due(now)) is not None:
            held, timer = due
            if timer is _Timer.ATTEMPT:
                self._attempt(held, now)
            elif timer is _Timer.RENEWAL:
                self._renew(held, now)
            elif timer is _Timer.INITIAL:
                self._initial_overdue(held)
            elif timer is _Timer.EXPIRY:
                self._lapse(held, Cause.EXPIRED, "no renewal was answered in time", now)
            elif held.outstanding is not None:
                self.request_failed(held.outstanding, "no answer in time", now)
            else:
                self._move(held, _I.UNSUBSCRIBED)
                self._close(held)

    def next_deadline(self) -> float | None:
        """When :meth:`handle_deadline` must be called at the latest; None: not at all."""
        return self._deadlines.next()

    # --- reading ---

    def take_outcomes(self) -> list[SubscriberOutcome]:
        """What has happened since the last call, in order."""
        outcomes = list(self._outcomes)
        self._outcomes.clear()
        return outcomes

    @property
    def subscriptions(self) -> Iterable[HeldSubscription]:
        """The subscriptions that are not closed, in the order in which they were wanted."""
        return self._held.keys()

    # --- attempts ---

    def _attempt(self, held: HeldSubscription, now: float) -> None:
        """Send a SUBSCRIBE, or read the description, as soon as the token bucket allows it."""
        ready_at = held.bucket.ready_at(now)
        if ready_at > now:
            self._deadlines.set((held, _Timer.ATTEMPT), ready_at)
            return
        self._deadlines.clear((held, _Timer.ATTEMPT))
        held.attempts += 1
        # A description costs the device more than a SUBSCRIBE does.
        held.bucket.spend(now)
        if held.must_describe:
            self._move(held, _I.DUE_DESCRIBING)
            self._send(held, RequestKind.DESCRIBE, now)
            return
        self._move(held, _I.DUE)
        self._reception.expect(held)
        self._send(held, RequestKind.SUBSCRIBE, now, builder=partial(self._build_subscribe, held))

    def _build_subscribe(self, held: HeldSubscription, local: Endpoint) -> Request:
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

    def _send(
        self,
        held: HeldSubscription,
        kind: RequestKind,
        now: float,
        *,
        source: Endpoint | None = None,
        builder: Callable[[Endpoint], Request] | None = None,
    ) -> None:
        request = OutgoingRequest(
            kind,
            held,
            held.event_url,
            sid=held.sid,
            source=source,
            sent_at=now,
            builder=builder,
        )
        held.outstanding = request
        self._requests.append(request)
        self._deadlines.set((held, _Timer.REQUEST), now + self._limits.request_seconds)

    def _settle(self, held: HeldSubscription) -> None:
        held.outstanding = None
        self._deadlines.clear((held, _Timer.REQUEST))

    def _subscribe_answered(
        self, held: HeldSubscription, request: OutgoingRequest, response: Response, now: float
    ) -> None:
        if response.status != 200:
            reason = f"the device answered SUBSCRIBE with {response.status}"
            if response.status == 400 and not has_literal_host(request.url):
                reason += "; many devices take no names in HOST: try its IP address"
            self._attempt_failed(held, Cause.REFUSED, reason, response.status, now)
            return
        try:
            sid = parse_sid(response.fields.get(b"sid", b""))
        except ValueError as error:
            reason = f"the device granted without a usable SID: {error}"
            self._attempt_failed(held, Cause.REFUSED, reason, response.status, now)
            return
        self._move(held, _I.GRANT)
        held.event_url = request.url
        early = self._reception.grant(held, sid)
        held.sequence.restart()
        held.failures = 0
        held.granted_once = True
        held.accepted = accepted_variables(held.statevar, response, self._policy, self._limits)
        held.device_host = None if request.remote is None else request.remote.host
        self._deadlines.set((held, _Timer.INITIAL), now + self._limits.initial_event_seconds)
        duration = self._take_grant(held, request, response, now)
        self._outcomes.append(Granted(held, sid, duration))
        for received in early:
            self._receive(held, received, now)

    def _take_grant(
        self, held: HeldSubscription, request: OutgoingRequest, response: Response, now: float
    ) -> float:
        """Note what was granted, and when that is to be renewed or lapses."""
        granted = granted_duration(response.fields.get(b"timeout"), held.duration_wanted)
        times = grant_times(granted, request.sent_at, self._jitter(), self._limits)
        held.duration_granted = granted
        held.expires = times.expires
        self._deadlines.set((held, _Timer.RENEWAL), times.renews)
        if times.lapses is None:
            self._deadlines.clear((held, _Timer.EXPIRY))
        else:
            self._deadlines.set((held, _Timer.EXPIRY), times.lapses)
        return granted

    def _attempt_failed(
        self, held: HeldSubscription, cause: Cause, reason: str, status: int, now: float
    ) -> None:
        self._reception.forget(held)
        held.failures += 1
        if not held.persistent and not held.granted_once:
            self._move(held, _I.GIVEN_UP)
            self._tell(held, Status.REFUSED, cause, reason, status)
            return
        # The event URL may be another one since the device restarted.
        if held.state is _S.SUBSCRIBING and (status == 0 or status in (404, 405, 410)):
            held.must_describe = held.describable
        self._move(held, _I.ATTEMPT_FAILED)
        self._tell(held, held.wanting, cause, reason, status)
        delay = backoff(held.failures, self._limits) * (1.0 - 0.25 * self._jitter())
        self._deadlines.set((held, _Timer.ATTEMPT), now + delay)

    # --- a granted subscription ---

    def _renew(self, held: HeldSubscription, now: float) -> None:
        ready_at = held.bucket.ready_at(now)
        if ready_at > now:
            self._deadlines.set((held, _Timer.RENEWAL), ready_at)
            return
        held.bucket.spend(now)
        message = renewal_message(
            held.event_url, held.sid, self._policy, duration=held.duration_wanted
        )
        self._send(held, RequestKind.RENEW, now, source=held.source, builder=lambda _: message)

    def _retry_renewal(self, held: HeldSubscription, now: float) -> None:
        held.failures += 1
        assert held.expires is not None
        delay = renewal_retry(held.failures, held.expires - now, self._limits)
        self._deadlines.set((held, _Timer.RENEWAL), now + delay)

    def _renewal_answered(
        self, held: HeldSubscription, request: OutgoingRequest, response: Response, now: float
    ) -> None:
        if response.status != 200:
            reason = f"the device answered the renewal with {response.status}"
            self._lapse(held, Cause.RENEWAL_REFUSED, reason, now, response.status)
            return
        self._move(held, _I.RENEWED)
        held.failures = 0
        held.renewals += 1
        sid = response.fields.get(b"sid")
        if sid is not None and sid != held.sid.encode("latin-1"):
            with suppress(ValueError):  # REN-12, unless it is none
                self._reception.adopt(held, parse_sid(sid))
        duration = self._take_grant(held, request, response, now)
        self._outcomes.append(RenewalAnswered(held, held.sid, duration))

    def _initial_overdue(self, held: HeldSubscription) -> None:
        self._move(held, _I.INITIAL_OVERDUE)
        seconds = self._limits.initial_event_seconds
        device = held.device_host or "the device"
        self._tell(
            held,
            Status.DEAF,
            Cause.NO_INITIAL_EVENT,
            f"granted, but no event from {device} in {seconds:g} s: it cannot reach "
            f"{held.advertised}, or it never sends",
        )

    def _receive(self, held: HeldSubscription, received: Received, now: float) -> None:
        _, seq, content, pairs = received
        state = held.state
        if state not in _GRANTED:
            return  # A gap among early messages has ended it meanwhile.
        sequence = held.sequence
        verdict = sequence.judge(seq, content)
        if not (sequence.reliable or held.unreliable_told):
            held.unreliable_told = True
            self._outcomes.append(SeqUnreliable(held))
        if verdict in _EVENT_VERDICTS:
            initial = state is not _ACTIVE
            if initial:
                self._move(held, _I.INITIAL_EVENT)
                self._deadlines.clear((held, _Timer.INITIAL))
                self._tell(held, Status.ACTIVE, Cause.INITIAL_EVENT, "events arrive")
            held.last_event_at = now
            full = initial and verdict is not SeqVerdict.MISSED
            self._outcomes.append(held.decode(seq, pairs, initial=full))
            if held.unreadable:
                self._outcomes.extend(Unreadable(held, reason) for reason in held.unreadable)
                held.unreadable = ()
        if verdict in _GAP_VERDICTS:
            held.gaps += 1
            self._repair(held, seq, now)

    def _repair(self, held: HeldSubscription, seq: int | None, now: float) -> None:
        """Unsubscribe and subscribe afresh: the initial event restores the state (CP-01)."""
        self._give_back(held, now)
        self._move(held, _I.GAP)
        self._start_afresh(held)
        self._tell(
            held, Status.RESUBSCRIBING, Cause.MISSED_EVENT, f"events before SEQ {seq} were missed"
        )
        self._attempt(held, now)

    def _lapse(
        self, held: HeldSubscription, cause: Cause, reason: str, now: float, status: int = 0
    ) -> None:
        self._move(held, _I.LAPSED)
        self._start_afresh(held)
        self._tell(held, held.wanting, cause, reason, status)
        if cause is Cause.DEVICE_GONE:
            self._deadlines.set((held, _Timer.ATTEMPT), now + self._limits.backoff_most_seconds)
        else:
            self._attempt(held, now)

    def _start_afresh(self, held: HeldSubscription) -> None:
        self._settle(held)
        self._forget_grant(held)
        self._clear_timers(held)

    # --- the end ---

    def _give_back(self, held: HeldSubscription, now: float) -> None:
        self._unsubscribe_sid(held, held.event_url, held.sid, held.source, now)

    def _give_back_late_grant(
        self, request: OutgoingRequest, response: Response, now: float
    ) -> None:
        """A grant nobody waits for any more would be events for nobody until it expires."""
        if request.kind is not RequestKind.SUBSCRIBE or response.status != 200:
            return
        try:
            sid = parse_sid(response.fields.get(b"sid", b""))
        except ValueError:
            return
        if sid != request.subscription.sid:
            self._unsubscribe_sid(request.subscription, request.url, sid, None, now)

    def _unsubscribe_sid(
        self, held: HeldSubscription, url: str, sid: str, source: Endpoint | None, now: float
    ) -> None:
        message = unsubscribe_message(url, sid, self._policy)
        self._requests.append(
            OutgoingRequest(
                RequestKind.UNSUBSCRIBE,
                held,
                url,
                sid=sid,
                source=source,
                sent_at=now,
                builder=lambda _: message,
            )
        )

    def _unsubscribed(self, request: OutgoingRequest, now: float) -> None:
        held = request.subscription
        # Not every UNSUBSCRIBE is the end: a repair sends one as well.
        if held.state is _S.CLOSING and request.sid == held.sid:
            self._move(held, _I.UNSUBSCRIBED)
            self._close(held)

    def _close(self, held: HeldSubscription) -> None:
        self._settle(held)
        self._forget_grant(held)
        self._clear_timers(held)
        del self._held[held]
        self._tell(held, Status.CLOSED, Cause.CLOSED, "closed")

    def _forget_grant(self, held: HeldSubscription) -> None:
        self._reception.forget(held)
        held.expires = None
        held.duration_granted = None

    def _clear_timers(self, held: HeldSubscription) -> None:
        for timer in _Timer:
            self._deadlines.clear((held, timer))

    # --- small things ---

    def _tell(
        self, held: HeldSubscription, status: Status, cause: Cause, reason: str, http: int = 0
    ) -> None:
        """One status change per status and cause: a device that is away is told once."""
        if (held.status, held.status_cause) == (status, cause):
            return
        held.status = status
        held.status_cause = cause
        self._outcomes.append(StatusChange(held, status, cause, reason, http))

    def _move(self, held: HeldSubscription, given: SubscriberInput) -> None:
        held.state = SUBSCRIBER.step(held.state, given)
