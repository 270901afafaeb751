"""The control-point side: keeps subscriptions. No I/O, no clock, no randomness."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

from propchange.core.diagnosis.facts import Facts, known_facts
from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.local_addresses import LocalAddress
from propchange.core.multicast.reception import (
    MulticastEvent,
    MulticastOutcome,
    MulticastReception,
    MulticastRefused,
)
from propchange.core.subscriber.callback_address import Sources, is_own
from propchange.core.subscriber.checks import DeviceChecks
from propchange.core.subscriber.connection_history import ConnectionHistory
from propchange.core.subscriber.counts import SubscriberCounts
from propchange.core.subscriber.device_slots import CallTurn
from propchange.core.subscriber.event_pace import check_minimum_interval
from propchange.core.subscriber.event_reception import EventReception
from propchange.core.subscriber.events import Cause, Convert, Status
from propchange.core.subscriber.judge import SubscriberPolicy, granted_sid
from propchange.core.subscriber.losses import EventLosses
from propchange.core.subscriber.notify_routing import NotifyRouting, Received
from propchange.core.subscriber.outcomes import SubscriberOutcome, SubscriberOutcomes
from propchange.core.subscriber.record import STANDARD_MERGES, SubscriptionRecord
from propchange.core.subscriber.renewal import SubscriptionRenewal
from propchange.core.subscriber.requests import (
    Failure,
    OutgoingRequest,
    RequestKind,
    http_url,
)
from propchange.core.subscriber.states import GRANTED, SubscriberInput, SubscriberState
from propchange.core.subscriber.timing import TimerKind
from propchange.core.values.merging import Merge
from propchange.core.wire.messages import Request, Response
from propchange.core.wire.propertyset import check_variable_name
from propchange.core.wire.refusals import Refusal
from propchange.errors import LocalProtocolError

_S, _I = SubscriberState, SubscriberInput

_CAUSES = {Failure.DESCRIPTION: Cause.DESCRIPTION, Failure.SHORTAGE: Cause.SHORTAGE}

_UNANSWERED = "the device did not answer UNSUBSCRIBE"


class SubscriberProtocol:
    """One listener, many subscriptions (UDA 2.0 §4.1.2 to §4.3.2).

    Every input takes ``now``, seconds of one monotonic clock. After each input the runtime calls
    :meth:`take_outcomes` and, if :attr:`changed`, :meth:`take_requests`, ``polling.take`` and
    :meth:`next_deadline`.
    It ends each request by :meth:`response_received`, :meth:`request_failed` or :meth:`described`,
    however late: only then does the next request to that device leave.

    ``new_token`` makes an unguessable path segment, never the same twice. ``jitter`` gives a
    number in [0, 1). ``history`` is filled by the listener; with it a diagnosis knows whether a
    device has connected.
    """

    def __init__(
        self,
        *,
        new_token: Callable[[], str],
        jitter: Callable[[], float],
        policy: SubscriberPolicy | None = None,
        limits: Limits = DEFAULT_LIMITS,
        history: ConnectionHistory | None = None,
    ) -> None:
        self._own: tuple[LocalAddress, ...] = ()
        self._policy = policy = policy or SubscriberPolicy()
        self._limits = limits
        # A dict for its order.
        self._records: dict[SubscriptionRecord, None] = {}
        self.counts = SubscriberCounts(self._records.keys())
        self._outcomes = outcomes = SubscriberOutcomes(limits, self.counts)
        self.polling = outcomes.polling
        """The polling of values while no events come."""
        self._history = history
        self._routing = NotifyRouting(policy, limits, new_token, outcomes.log, history)
        self.multicast = MulticastReception(limits, self._multicast_outcome)
        """The services whose multicast events are expected."""
        self._jitter = jitter
        self._renewal = renewal = SubscriptionRenewal(
            policy, limits, jitter, self._routing, outcomes, facts=self.facts
        )
        self._losses = losses = EventLosses(limits, renewal, outcomes)
        self._reception = EventReception(renewal, losses, outcomes, self._of_device)
        self._receive = self._reception.receive  # bound once: each event passes here
        self._paths = self._routing.paths
        self._timers = renewal.timers
        self._requests = renewal.requests
        self._checks = DeviceChecks(limits, renewal, outcomes, records=self._of_device)

    @property
    def changed(self) -> bool:
        """Whether there may be requests to take, or another deadline than :meth:`next_deadline`
        gave last. After an ordinary NOTIFY there are neither."""
        timers = self._timers.changed or self._checks.timers.changed or self.polling.timers.changed
        return timers or bool(self._requests.slots.ready)

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
        owes_event: bool = True,
        poll_interval: float | None = None,
        minimum_interval: float | None = None,
        merges: Mapping[str, Merge] = STANDARD_MERGES,
    ) -> SubscriptionRecord:
        """Begin a subscription to ``event_url`` (absolute).

        ``persistent``: keep trying when the first SUBSCRIBE fails; else the status is then
        REFUSED. ``describable``: the runtime can read the description again when the event URL
        seems to have moved; ``describe_first``: it must, before the first SUBSCRIBE. ``device``
        is the key for :meth:`device_gone` and the other ``device_`` methods. ``convert`` maps
        variables to functions from text to value; with None, values are texts. ``duration`` is the
        wanted one, in seconds. ``variables`` are the wanted ones, all if empty: STATEVAR, which
        needs UDA 2.0, and which a device may ignore (SUB-53). ``owes_event``: False if the service
        description declares no evented variable. A missing initial event is then no fault.
        ``poll_interval``: seconds between polls of the values while no events come; None: no
        polls. ``minimum_interval``: seconds between two events at least; None or 0: each event is
        given at once. ``merges`` maps variables to the functions that merge their texts.

        Raises ValueError for a URL that cannot be subscribed to, for a duration under one second,
        for a variable that is no name and for a ``minimum_interval`` that is negative or not
        finite, LocalProtocolError beyond ``Limits.own_subscriptions``.
        """
        http_url(event_url)
        if duration is not None and duration < 1:
            raise ValueError(f"a duration is at least 1 second, not {duration}")
        statevar = tuple(dict.fromkeys(variables))
        for name in statevar:
            check_variable_name(name)
        if len(self._records) >= self._limits.own_subscriptions:
            most = f"{self._limits.own_subscriptions} subscriptions at most"
            raise LocalProtocolError(
                f"a control point holds {most}; raise Limits.own_subscriptions"
            )
        record = SubscriptionRecord(
            event_url,
            persistent=persistent,
            describable=describable,
            device=device,
            convert=convert,
            duration_wanted=duration or self._policy.duration,
            limits=self._limits,
            begun_at=now,
            statevar=statevar,
            must_describe=describe_first,
            owes_event=owes_event,
            minimum_interval=check_minimum_interval(minimum_interval),
            merges=merges,
        )
        self._records[record] = None
        if poll_interval is not None:
            self.polling.add(record, poll_interval, now)
        self._renewal.subscribe(record, now)
        return record

    def renew(self, record: SubscriptionRecord, now: float, *, duration: int | None = None) -> None:
        """Renew ``record`` now, because the application wants to know whether its device is there.
        Without a grant, SUBSCRIBE is sent now. ``duration`` is the wanted one from now on, in
        seconds. Does nothing while a request is on its way, and for a closed subscription.

        Raises ValueError for a duration under one second."""
        if duration is not None:
            if duration < 1:
                raise ValueError(f"a duration is at least 1 second, not {duration}")
            record.duration_wanted = duration
        if record.state in GRANTED:
            self._renewal.renew(record, now)
        elif record.state is _S.WAITING:
            record.failures = 0
            self._renewal.subscribe(record, now)

    def identify(self, record: SubscriptionRecord, device: Hashable) -> None:
        """Set the device of a ``record`` that was made without one. From now on the announcements
        of ``device`` are about ``record``."""
        record.device = device

    def unsubscribe(self, record: SubscriptionRecord, now: float) -> None:
        """Close ``record``, and give its SID back if it has one. Repeated calls do nothing.

        The status CLOSED follows once the device has answered, or
        ``Limits.unsubscribe_seconds`` later."""
        if record.state in (_S.CLOSING, _S.CLOSED):
            return
        self.polling.forget(record)
        if record.state in GRANTED:
            record.move(_I.UNSUBSCRIBE_SENT)
            self._renewal.give_back(record, now)
            self._requests.settle(record)
            self._timers.clear_all(record)
            # Path and SID stay: what is in flight is no stray, and a 412 would end the
            # subscription before the device reads its UNSUBSCRIBE.
            self._timers.set((record, TimerKind.REQUEST), now + self._limits.unsubscribe_seconds)
        else:
            self._close(record, _I.DROPPED)

    def abandon(self, record: SubscriptionRecord) -> None:
        """Close ``record`` at once, without an UNSUBSCRIBE: the runtime ends. CLOSED follows."""
        if record.state is _S.CLOSED:
            return
        if record.state in GRANTED:
            record.move(_I.UNSUBSCRIBE_SENT)
        closing = record.state is _S.CLOSING
        self._close(record, *((_I.UNSUBSCRIBED, _UNANSWERED) if closing else (_I.DROPPED,)))

    # --- requests ---

    def take_requests(self) -> list[OutgoingRequest]:
        """The requests to send now: no more than ``Limits.requests_per_device`` at once to one
        host and port, calls of actions included. Each ends by :meth:`response_received`,
        :meth:`request_failed` or, for DESCRIBE, :meth:`described`; then call this again."""
        return self._requests.take()

    def begin_call(self, turn: CallTurn) -> bool:
        """Returns True if the call of an action may be sent at once. Else its turn comes later, by
        :meth:`take_turns`. In both cases :meth:`end_call` ends it."""
        return self._requests.slots.begin_call(turn)

    def take_turns(self) -> list[CallTurn]:
        """The calls to send now, whose turns have come. Call :meth:`take_requests` before."""
        return self._requests.take_turns()

    def others_of(self, turn: CallTurn) -> int:
        """The number of other requests to the device of a call that is under way."""
        return self._requests.slots.others_of(turn)

    def end_call(self, turn: CallTurn) -> None:
        """The call was answered, has failed, or was given up before its turn. Another request to
        the device may leave then: see :attr:`changed`."""
        self._requests.slots.end_call(turn)

    def response_received(self, request: OutgoingRequest, response: Response, now: float) -> None:
        """``response`` answers ``request``; set ``request.remote`` before."""
        self._requests.end(request, now)
        record = request.subscription
        if request.kind is RequestKind.UNSUBSCRIBE:
            words = f"the device answered UNSUBSCRIBE with {response.status}"
            self._unsubscribed(request, now, "unsubscribed" if response.status == 200 else words)
            return
        if self._requests.outstanding.get(record) is not request:
            self._checks.outdated(request, now)
            # A grant that came too late is given back: its events would be refused.
            sid = granted_sid(response) if request.kind is RequestKind.SUBSCRIBE else None
            if sid is not None and sid != record.sid:
                self._requests.unsubscribe(record, request.url, sid, request.local, now)
            return
        self._requests.settle(record)
        if request.kind is RequestKind.RENEW:
            self._checks.renewal_answered(request, response, now)
            return
        for received in self._renewal.subscribe_answered(request, response, now):
            self._receive(record, received, now)

    def request_failed(
        self,
        request: OutgoingRequest,
        reason: str,
        now: float,
        failure: Failure = Failure.SILENCE,
    ) -> None:
        """``request`` had no answer. ``reason`` is a sentence."""
        self._requests.end(request, now)
        self._failed(request, reason, now, failure)

    def _failed(self, request: OutgoingRequest, reason: str, now: float, failure: Failure) -> None:
        record = request.subscription
        if request.kind is RequestKind.UNSUBSCRIBE:
            self._unsubscribed(request, now, f"{_UNANSWERED}: {reason}")
            return
        if self._requests.outstanding.get(record) is not request:
            self._checks.outdated(request, now)
            return
        self._requests.settle(record)
        if request.kind is RequestKind.RENEW:
            self._checks.renewal_failed(request, failure, reason, now)
        else:
            cause = _CAUSES.get(failure, Cause.UNREACHABLE)
            self._renewal.attempt_failed(record, cause, reason, now)

    def described(
        self,
        request: OutgoingRequest,
        event_url: str,
        convert: Convert | None,
        now: float,
        *,
        owes_event: bool = True,
    ) -> None:
        """The description was read: the service has ``event_url`` and the types of ``convert``.
        ``owes_event`` is as in :meth:`subscribe`. Call :meth:`request_failed` instead if the
        description is that of another device (UDN).

        Raises ValueError as :meth:`subscribe` does; then call :meth:`request_failed`."""
        record = request.subscription
        http_url(event_url)
        self._requests.end(request, now)
        if self._requests.outstanding.get(record) is not request:
            return
        self._requests.settle(record)
        record.event_url, record.convert, record.must_describe = event_url, convert, False
        record.owes_event = owes_event
        record.move(_I.DESCRIBED)
        self._renewal.subscribe(record, now)

    # --- what the device says ---

    def receive_notify(self, request: Request, now: float) -> Response:
        """Judge a NOTIFY and return the answer. It does not wait for the application.

        An unknown path is answered 412 as an unknown SID is, never 404, so that the publisher ends
        the subscription of a former process (RSP-03, RSP-07).
        """
        # A shorter way for the usual event. Its head differs from one that was accepted in the
        # numbers alone. Its body differs in the text of the variable alone.
        head, record = request.head, self._paths.get(request.target)
        if head is not None and record is not None and record.head is head:
            seq, form, body = request.seq, record.form, request.body
            if seq >= 0 and form is not None and (text := form.read(body)) is not None:
                pairs = ((form.variable, text),)
                received = tuple.__new__(Received, (record.sid, seq, hash(body), pairs, ()))
                self._receive(record, received, now)
                return record.answer
        response, record, received = self._routing.receive(request, now)
        if record is not None:
            self._receive(record, received, now)
        else:
            self._take_refused(now)
        return response

    def refuse(self, request: Request, refusal: Refusal, now: float) -> Response:
        """The answer to a whole request that the runtime refuses, for example for its size. If it
        is an event of a subscription, and the device does not send it again, the event is lost."""
        response = self._routing.refuse(request, refusal, now)
        self._take_refused(now)
        return response

    def _take_refused(self, now: float) -> None:
        refused, self._routing.refused_event = self._routing.refused_event, None
        if refused is not None:
            self._reception.refused(refused, now)

    def request_cut(self, request: Request, refusal: Refusal, now: float) -> bool:
        """Note that a request to the listener did not come whole, or cannot be parsed. ``request``
        has the target and the header fields that have come. If it is an event of a subscription,
        and the device does not send it again, the event is lost. Returns whether it was an
        event."""
        event = self._routing.cut(request, refusal)
        if event is not None:
            self._reception.refused(event, now)
        return event is not None

    def connection_wasted(
        self, host: str, reason: str, now: float, *, unreadable: bool = False
    ) -> None:
        """Note that a connection from ``host`` to the listener has brought no request. ``reason``
        says why, as a part of a sentence. ``Limits.wasted_connections`` such connections in a row
        count as a lost event. So does a single ``unreadable`` connection, which began with bytes
        that no request begins with."""
        records = self._routing.of_host(host)
        self._losses.wasted(records, reason, now, unreadable=unreadable)

    def receive_datagram(self, request: Request) -> None:
        """Take a multicast event, as the ``http`` room parses it (UDA 2.0 §4.3.3). For a datagram
        that cannot be parsed call ``multicast.unreadable`` instead."""
        self.multicast.receive(request)

    def _multicast_outcome(self, outcome: MulticastOutcome) -> None:
        if isinstance(outcome, MulticastRefused):
            self._outcomes.log(outcome)
        else:
            self.counts.multicast_events += isinstance(outcome, MulticastEvent)
            self._outcomes.append(outcome)

    def device_gone(self, device: Hashable, now: float) -> None:
        """An ssdp:byebye says that the device has left. If it does not grant a renewal
        ``Limits.byebye_check_seconds`` later, its subscriptions count as cancelled (CP-07). They
        are tried again, slowly, until the device is back."""
        reason, delay = "the device has said goodbye", self._limits.byebye_check_seconds
        self._checks.claim(device, Cause.DEVICE_GONE, reason, now, delay=delay)

    def device_expired(self, device: Hashable, now: float) -> None:
        """All advertisements of the device have expired (CP-12). If it does not grant a renewal
        now, its subscriptions count as cancelled, as after :meth:`device_gone`."""
        reason = "the advertisements of the device have expired"
        self._checks.claim(device, Cause.DEVICE_GONE, reason, now, announced=False)

    def device_rebooted(self, device: Hashable, now: float) -> None:
        """An advertisement has a BOOTID that was not announced. If the device does not grant a
        renewal now, its subscriptions count as cancelled and are made afresh at once (CP-08,
        CP-09). Subscriptions that are not granted are tried at once in any case."""
        self._checks.claim(device, Cause.DEVICE_REBOOTED, "the device has restarted", now)
        for record in self._of_device(device):
            self._renewal.begin_anew(record, Cause.DEVICE_REBOOTED, now)

    def device_returned(self, device: Hashable, now: float) -> None:
        """The device is heard of again after it had gone or did not answer. Try at once its
        subscriptions that are not granted, its renewals that failed, and a check that waits."""
        self._checks.hurry(device, now)
        for record in self._of_device(device):
            self._renewal.begin_anew(record, Cause.DEVICE_REBOOTED, now)
            if record.state in GRANTED and record.failures:
                self._renewal.renew(record, now)

    def device_moved(self, device: Hashable, now: float) -> None:
        """The description is at another URL (CP-13). If the device does not grant a renewal at the
        old event URL, its subscriptions count as cancelled: the description is read, and they are
        made afresh at once. Subscriptions that are not granted are tried at once in any case, at
        the old event URL if they are not ``describable``."""
        reason = "the device has moved to another address"
        self._checks.claim(device, Cause.DEVICE_MOVED, reason, now)
        for record in self._of_device(device):
            self._renewal.begin_anew(record, Cause.DEVICE_MOVED, now)

    def is_granted(self, device: Hashable) -> bool:
        """Whether a subscription to ``device`` is granted."""
        return any(record.state in GRANTED for record in self._of_device(device))

    def _of_device(self, device: Hashable) -> list[SubscriptionRecord]:
        return [record for record in self._records if record.device == device]

    # --- what the runtime sees of this machine ---

    def addresses_changed(
        self,
        addresses: Sequence[LocalAddress],
        now: float,
        *,
        others: Sequence[LocalAddress] = (),
    ) -> None:
        """Set the addresses of this machine that events may come to, and its ``others``. Call this
        before the first subscription and whenever they may have changed.

        A subscription whose events go to an address that is no longer there is made afresh. With a
        new address, devices that are away or cannot reach this machine are tried at once."""
        before, known = self._renewal.addresses, tuple(addresses)
        first = not self._own
        self._own = (*known, *others)
        # No address at all means that they could not be read: loopback is always there.
        if known == before or not self._own:
            return
        self._renewal.addresses = known
        more = not (first or set(known) <= set(before))
        for record in tuple(self._records):
            bound = record.sources.bound
            if bound is not None and not is_own(bound, known):
                record.sources = Sources()
            if record.state in GRANTED:
                if record.source is not None and not is_own(record.source, known):
                    self._renewal.address_lost(record, now)
                elif more and record.failures:
                    self._renewal.renew(record, now)
                elif more and record.state is _S.DEAF:
                    self._renewal.replace_deaf(record, now)
            elif more and record.state is _S.WAITING:
                record.failures = 0
                self._renewal.subscribe(record, now)

    def clock_jumped(self, seconds: float, now: float) -> None:
        """This machine or process stood still for about ``seconds`` until ``now``. Devices may have
        given events up, so every subscription is made afresh; many are spread over
        ``Limits.spread_seconds``. Call this before :meth:`handle_deadline`."""
        reason = f"this machine or process stood still for {seconds:.0f} s"
        few = len(self._records) <= self._limits.requests_per_device
        spread = 0.0 if few else self._limits.spread_seconds
        for record in tuple(self._records):
            if record.state not in GRANTED:
                continue
            wait = spread * self._jitter()
            assert record.expires is not None
            end = self._renewal.replace if record.expires > now else self._renewal.lapse
            end(record, Cause.SUSPENDED, reason, now, wait=wait)

    # --- time ---

    def handle_deadline(self, now: float) -> None:
        """Do what is due at ``now``. Early and repeated calls do nothing."""
        self._checks.handle_deadline(now)
        self.polling.handle_deadline(now)
        while (due := self._timers.pop_due(now)) is not None:
            record, timer = due
            if timer is TimerKind.PARTING:
                self._requests.parted(record, now)
            elif timer is TimerKind.EVENT:
                self._outcomes.pace.leave(record, now)
            elif timer is TimerKind.ATTEMPT:
                self._renewal.subscribe(record, now)
            elif timer is TimerKind.RENEWAL:
                self._renewal.renew(record, now)
            elif timer is TimerKind.DOUBT:
                self._losses.confirm(record, now)
            elif timer is TimerKind.REPAIR:
                self._renewal.repair(record, now)
            elif timer is TimerKind.INITIAL:
                self._renewal.overdue(record, now)
            elif timer is TimerKind.EXPIRY:
                reason = "no renewal was answered in time"
                if record.outage is not None and record.outage.reason:
                    reason += f": {record.outage.reason}"
                self._renewal.lapse(record, Cause.EXPIRED, reason, now)
            elif (request := self._requests.outstanding.get(record)) is not None:
                # The runtime still works on the request, and ends it later.
                self._failed(request, "no answer in time", now, Failure.SILENCE)
            else:
                self._close(record, _I.UNSUBSCRIBED, _UNANSWERED)

    def next_deadline(self) -> float | None:
        """The latest time to call :meth:`handle_deadline`; None: there is no deadline."""
        polls = self.polling.timers
        self._timers.changed = self._checks.timers.changed = False
        polls.changed = bool(self.polling.due)
        deadlines = (self._timers.next(), self._checks.timers.next(), polls.next())
        return min((when for when in deadlines if when is not None), default=None)

    # --- reading ---

    def take_outcomes(self) -> list[SubscriberOutcome]:
        """The outcomes since the last call, in order. No event and no status change is ever
        dropped. Of NotifyRefused, ForeignSource, MulticastRefused, Unreadable and Mended, which are
        for a log, ``Limits.outcomes`` are kept."""
        # As OutcomeQueue.take, without a call: each event passes here.
        outcomes = self._outcomes[:]
        self._outcomes.clear()
        self._outcomes.logged = 0
        return outcomes

    def facts(self, record: SubscriptionRecord, now: float) -> Facts:
        """The facts about ``record`` that need no connection, for :func:`.diagnose`."""
        request = self._requests.outstanding.get(record)
        return known_facts(
            record,
            now,
            asked_at=None if request is None else request.sent_at,
            policy=self._policy,
            limits=self._limits,
            addresses=self._own,
            history=self._history,
            others=self._records,
        )

    @property
    def subscriptions(self) -> Iterable[SubscriptionRecord]:
        """The subscriptions that are not closed, in the order in which they were wanted."""
        return self._records.keys()

    # --- the end ---

    def _unsubscribed(self, request: OutgoingRequest, now: float, reason: str) -> None:
        self._requests.unsubscribed(request, now)
        record = request.subscription
        # An UNSUBSCRIBE of an earlier SID does not end the subscription.
        if record.state is _S.CLOSING and request.sid == record.sid:
            self._close(record, _I.UNSUBSCRIBED, reason)

    def _close(
        self, record: SubscriptionRecord, given: SubscriberInput, reason: str = "closed"
    ) -> None:
        record.move(given)
        self.polling.forget(record)
        self._requests.forget(record)
        self._routing.forget(record)
        self._routing.stop_waiting(record)
        self._timers.clear_all(record)
        del self._records[record]
        self._checks.forget(record.device)
        self._outcomes.change_status(record, Status.CLOSED, Cause.CLOSED, reason)
        self._outcomes.pace.forget(record)
        self.counts.close(record)
