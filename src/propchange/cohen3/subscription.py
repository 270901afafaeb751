"""The subscription of a service of Cohen3's control point: its grant, its losses, its repair.

A service of Cohen3 keeps its own SID and renews it. It does not check SEQ, does not notice that no
event comes, and keeps a SID whose time is over. :class:`ServiceSubscription` does all that, by the
rules of the core.

A loss is repaired by a fresh subscription, whose initial event has the whole state (CP-01). A loss
is a gap in SEQ, an event that was refused or unreadable, an outage of the renewals, or a missing
initial event. A repair that does not help is repeated after growing pauses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, ref

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.subscriber.events import Sequence, SeqVerdict
from propchange.core.subscriber.timing import backoff, grant_times, patience, renewal_retry
from propchange.core.token_bucket import TokenBucket
from propchange.driver.reporting import logger_named

_logger = logger_named("event_protocol")


class ServiceGrant(NamedTuple):
    """A grant: its SID, the event URL, the delivery URL, the address of the device ("" if not
    known), and the time at which it lapses unless renewed, None for never. ``interval`` is the time
    between renewals in seconds."""

    sid: str
    url: str
    callback: str
    device: str
    lapses: float | None
    interval: float


class ServiceSubscription:
    """The subscription of one service of a control point.

    ``asked`` is the duration to ask for, in seconds. ``timeout`` is the last argument of the
    service's ``set_timeout``, which the service keeps as its ``timeout``. If the program writes
    another value there, that is asked for from then on. ``failures`` counts the SUBSCRIBE requests
    in a row that were not granted.
    """

    def __init__(self, service: Any) -> None:
        self._service = ref(service)
        self.asked = 0
        self.timeout: int | None = None
        self.failures = 0
        self.grant: ServiceGrant | None = None
        self.former: str | None = None
        """The former SID, after a renewal was answered with another SID (REN-12). Its events are
        taken until one with the new SID comes."""
        self.sequence = Sequence()
        self._heard = False  # the initial event of this SID has come
        self._heard_at: float | None = None
        self._unanswered_since: float | None = None  # renewals
        self._repairs = 0  # in a row, without an event in order after the initial one
        self._repairing = False
        # A device may send events in order between the losses.
        self._bucket: TokenBucket | None = None
        self._rounds = 0  # grants in a row without an initial event
        self._alarm: Any = None
        self._doubt: Any = None  # whether a refused event comes again
        self._runtime: Any = None
        self._limits = DEFAULT_LIMITS
        self._afresh: Callable[[float], object] = lambda pause: None

    @property
    def service(self) -> Any:
        """The service; None if it was garbage-collected."""
        return self._service()

    # --- grants ---

    def granted(
        self,
        sid: str,
        *,
        renewed: str | None,
        url: str,
        callback: str,
        device: str,
        duration: float,
        sent_at: float,
        runtime: Any,
        limits: Limits,
        afresh: Callable[[float], object],
        watched: bool,
    ) -> None:
        """Note that ``sid`` was granted for ``duration`` seconds, by a renewal of ``renewed`` if
        that is not None. ``afresh(pause)`` makes a fresh subscription. ``watched``: all events of
        the subscription come to this object."""
        now = runtime.now()
        self._runtime, self._limits, self._afresh = runtime, limits, afresh
        times = grant_times(duration, sent_at, now, 0.0, limits)
        self.grant = ServiceGrant(sid, url, callback, device, times.lapses, times.renews - sent_at)
        outage, self._unanswered_since = self._unanswered_since, None
        self.failures = 0
        self._repairing = False
        if sid == renewed:
            silent = outage is not None and (self._heard_at or 0.0) < outage
            if watched and silent:
                self.repair("renewals had no answer for a while, so events may be missing")
            return
        # Another SID in the answer to a renewal is a new grant, which owes an initial event.
        self.former = renewed
        self._heard = False
        if renewed is None:
            self.sequence.restart()
        if watched:
            self._watch(limits.initial_event_seconds, self._overdue)

    def ended(self) -> None:
        """Note that the grant has ended."""
        self.grant = self.former = self._heard_at = None
        self._watch(None)
        self._end_doubt()

    def repair_given_up(self) -> None:
        """Note that the program has ended the attempt to subscribe afresh."""
        self._repairing = False

    def renewal_failed(self, now: float, limits: Limits) -> float | None:
        """Note that a renewal had no answer. Returns the seconds until the next attempt, or None if
        the SID must be given up: its time is over, or the device is away."""
        self.failures += 1
        grant = self.grant
        if self._unanswered_since is None:
            self._unanswered_since = now
        silent = self._heard_at is None or self._heard_at < self._unanswered_since
        if silent and self.failures >= limits.renewal_failures:
            return None
        if grant is None or grant.lapses is None:
            return backoff(self.failures, limits)
        left = grant.lapses - now
        return renewal_retry(self.failures, left, grant.interval, limits) if left > 0 else None

    def is_quiet(self, now: float) -> bool:
        """Whether no event has come for ``Limits.quiet_seconds``. A fresh subscription instead of a
        renewal then shows whether events still arrive."""
        return self._heard_at is not None and now - self._heard_at >= self._limits.quiet_seconds

    # --- events ---

    def take(self, sid: str, seq: int | None, content: int) -> bool:
        """Take an event with ``seq`` and the hash ``content`` of its body. Returns whether to
        propagate it."""
        grant = self.grant
        assert grant is not None
        if sid == grant.sid and not self._heard:
            if self.former is not None:
                self.former = None
                self.sequence.restart()
            self._heard = True
            self._watch(None)
            if self._rounds:
                _logger.info("%s: events arrive", grant.url)
            self._rounds = 0
        self._heard_at = self._runtime.now()
        verdict = self.sequence.judge(seq, content)
        if verdict is SeqVerdict.EXPECTED:
            self._end_doubt()  # the lost event has come again, or there would be a gap
        if verdict is SeqVerdict.EXPECTED and seq:
            self._repairs = 0
        if verdict in (SeqVerdict.MISSED, SeqVerdict.LATE):
            self.repair(f"events before SEQ {seq} are missing")
        elif verdict is SeqVerdict.UNRELIABLE:
            _logger.warning(
                "%s: its SEQ means nothing; missing events cannot be noticed", grant.url
            )
        return verdict not in (SeqVerdict.DUPLICATE, SeqVerdict.LATE)

    def lost(self, reason: str) -> None:
        """Note that an event was refused or cut off. If the device does not send it again within
        ``Limits.doubt_seconds``, a repair follows."""
        if self._doubt is None and not self._repairing and self.grant is not None:
            seconds = self._limits.doubt_seconds
            self._doubt = self._runtime.call_later(seconds, lambda: self.repair(reason))

    def _end_doubt(self) -> None:
        doubt, self._doubt = self._doubt, None
        if doubt is not None:
            doubt.cancel()

    def repair(self, reason: str) -> None:
        """Subscribe afresh, because the state of the service may be out of date: at once, or after
        a pause if the last repair did not help."""
        self._end_doubt()
        if self._repairing or self.grant is None:
            return
        self._repairing = True
        now, limits = self._runtime.now(), self._limits
        if self._bucket is None:
            self._bucket = TokenBucket(limits.subscribe_burst, limits.subscribe_refill_seconds, now)
        pause = backoff(self._repairs, limits) if self._repairs else 0.0
        pause = max(pause, self._bucket.ready_at(now) - now)
        self._bucket.spend(now)
        self._repairs += 1
        when = f" in {pause:.0f} s" if pause else ""
        _logger.warning("%s: %s: subscribing afresh%s", self.grant.url, reason, when)
        self._afresh(pause)

    # --- the initial event ---

    def _watch(self, seconds: float | None, call: Callable[[], object] | None = None) -> None:
        """Call ``call`` in ``seconds``; None: never. Any earlier call of this kind is cancelled."""
        alarm, self._alarm = self._alarm, None
        if alarm is not None:
            alarm.cancel()
        if seconds is not None:
            self._alarm = self._runtime.call_later(seconds, call)

    def _overdue(self) -> None:
        """Note that the initial event is overdue. The device gets more time in each round."""
        self._alarm = None
        grant, limits = self.grant, self._limits
        if grant is None or self.service is None or _events_nothing(self.service):
            return
        _logger.warning(
            "%s has granted %s and sends no initial event: probably it cannot reach %s, because of "
            "a firewall or a wrong address; subscribing afresh",
            grant.url,
            grant.sid,
            grant.callback,
        )
        more = patience(self._rounds, grant.interval, limits) - limits.initial_event_seconds
        self._rounds += 1
        if more > 0:
            self._watch(more, self._replace_deaf)
        else:
            self._replace_deaf()

    def _replace_deaf(self) -> None:
        self._alarm = None
        self._repairing = True
        self._afresh(0.0)


def _events_nothing(service: Any) -> bool:
    """Whether the description of ``service``, one of Cohen3's, says that no variable is evented.
    Such a service owes no initial event."""
    variables_of = getattr(service, "get_state_variables", None)
    variables = variables_of(0) if callable(variables_of) else None
    if not isinstance(variables, dict) or not variables:
        return False
    evented = [getattr(each, "send_events", True) for each in variables.values()]
    return not any(each in (True, "yes", "1") for each in evented)


_subscriptions: WeakKeyDictionary[Any, ServiceSubscription] = WeakKeyDictionary()


def subscription_of(service: Any) -> ServiceSubscription:
    """The subscription of ``service``, always the same object."""
    subscription = _subscriptions.get(service)
    if subscription is None:
        subscription = _subscriptions[service] = ServiceSubscription(service)
    return subscription
