"""Checks what announcements say of a device, by a renewal.

Announcements are not authenticated: anybody on the link can send an ssdp:byebye, another BOOTID or
another LOCATION in the name of any device. So an announcement ends no subscription. It is a
*doubt*, and one subscription to the device is renewed. If the device grants the renewal, it is
there and knows its SIDs: nothing has happened, and no event is missed. If it refuses the renewal or
does not answer, the announcement is true, and the other subscriptions to the device are asked too.

A device that says goodbye may answer for a second more, so its check waits for
``Limits.byebye_check_seconds``. A token bucket per device bounds the checks, however many
announcements there are.

A renewal that a device refuses without any announcement shows the same: the device has restarted,
or has dropped its subscribers. So the other subscriptions to it are asked at once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from propchange.core.deadlines import Deadlines
from propchange.core.limits import Limits
from propchange.core.subscriber.events import Cause
from propchange.core.subscriber.outcomes import DeviceChecked, SubscriberOutcomes
from propchange.core.subscriber.record import SubscriptionRecord, TokenBucket
from propchange.core.subscriber.requests import Failure, OutgoingRequest, RequestQueue
from propchange.core.subscriber.states import GRANTED, SubscriberState

_S = SubscriberState

_PREFERRED = (_S.ACTIVE, _S.UNANSWERED, _S.GRANTED, _S.DEAF)
"""The state of the subscription that a check renews, the best one first."""

_WHOLE_HOST = (Failure.REFUSED, Failure.UNREACHABLE)
"""Failures that are about the host and port, not about one service."""

_BUSY_SECONDS = 1.0
"""Seconds after which a check is tried again that found no subscription to renew."""


class Doubt(NamedTuple):
    """What an announcement says, or, unless ``announced``, the lack of one. ``reason`` is a
    sentence for the status if it is true, ``delay`` the time after which the device can be asked.
    """

    cause: Cause
    reason: str
    announced_at: float
    delay: float
    announced: bool = True


@dataclass(slots=True, eq=False)
class _DeviceCheck:
    bucket: TokenBucket
    doubt: Doubt | None = None
    request: OutgoingRequest | None = None
    """The renewal that is under way."""
    due: float = inf


Lapse = Callable[[SubscriptionRecord, Doubt, float], None]


class DeviceChecks:
    """The checks of the devices of one subscriber.

    ``records`` gives the subscriptions to a device. ``renew`` sends a renewal of one of them.
    ``lapse`` ends the grant of one, because a doubt was right.
    """

    def __init__(
        self,
        limits: Limits,
        requests: RequestQueue,
        outcomes: SubscriberOutcomes,
        *,
        records: Callable[[Hashable], Iterable[SubscriptionRecord]],
        renew: Callable[[SubscriptionRecord, float], OutgoingRequest],
        lapse: Lapse,
    ) -> None:
        self._limits = limits
        self._requests = requests
        self._outcomes = outcomes
        self._records = records
        self._renew = renew
        self._lapse = lapse
        self._checks: dict[Hashable, _DeviceCheck] = {}
        self._asked: dict[OutgoingRequest, Doubt] = {}
        self.timers: Deadlines[Hashable] = Deadlines()

    # --- inputs ---

    def doubt(
        self,
        device: Hashable,
        cause: Cause,
        reason: str,
        now: float,
        *,
        delay: float = 0.0,
        announced: bool = True,
    ) -> None:
        """An announcement says something of ``device`` that ends its subscriptions. Check it,
        ``delay`` seconds from now or as soon as the bucket allows. Nothing, unless a subscription
        is granted."""
        if not self._granted(device):
            return
        check = self._checks.get(device)
        if check is None:
            limits = self._limits
            bucket = TokenBucket(limits.check_burst, limits.check_refill_seconds, now)
            check = self._checks[device] = _DeviceCheck(bucket)
        check.doubt = Doubt(cause, reason, now, delay, announced)
        if check.request is not None and self._is_overtaken(check.request, now):
            self._give_up(check.request)
            check.request = None
        self._arm(device, check, min(check.due, now + delay), now)

    def hurry(self, device: Hashable, now: float) -> None:
        """The device announces itself: a check that waits is due."""
        check = self._checks.get(device)
        if check is not None and check.doubt is not None:
            self._arm(device, check, now, now)

    def gone(self, device: Hashable) -> Doubt | None:
        """The doubt that waits for its check, if it says that the device has gone."""
        check = self._checks.get(device)
        doubt = None if check is None else check.doubt
        return doubt if doubt is not None and doubt.cause is Cause.DEVICE_GONE else None

    def ended(self, request: OutgoingRequest) -> Doubt | None:
        """A renewal has ended. Returns the doubt that it was sent for."""
        return self._asked.pop(request, None)

    def passed(self, request: OutgoingRequest, doubt: Doubt, now: float) -> None:
        """The device has granted the renewal that was sent for ``doubt``."""
        device = request.subscription.device
        check = self._checks.get(device)
        if check is None or check.request is not request:
            return
        check.request = None
        latest = check.doubt
        assert latest is not None  # it stays until its check has ended
        self._report(device, doubt, passed=True)
        if latest.announced_at + latest.delay > request.sent_at:
            self._arm(device, check, latest.announced_at + latest.delay, now)
        else:
            check.doubt = None

    def unclear(self, request: OutgoingRequest, now: float) -> None:
        """The renewal that was sent for a doubt had no answer, and the device may be there."""
        check = self._checks.get(request.subscription.device)
        if check is not None and check.request is request:
            check.request = None
            self._arm(request.subscription.device, check, now + _BUSY_SECONDS, now)

    def failed(
        self, request: OutgoingRequest, doubt: Doubt, failure: Failure | None, now: float
    ) -> None:
        """The device has refused the renewal that was sent for ``doubt``, or, with ``failure``, did
        not answer it. The grant of that subscription was ended already."""
        record = request.subscription
        device = record.device
        check = self._checks.get(device)
        if check is not None and check.request is request:
            check.request = check.doubt = None
            check.due = inf
            self.timers.clear(device)
            self._report(device, doubt, passed=False)
        for other in self._granted(device):
            if failure in _WHOLE_HOST and other.remote == record.remote:
                self._lapse(other, doubt, now)
            elif self._is_free(other, now) and other.confirmed_at <= doubt.announced_at:
                self._ask(other, doubt, now)

    def ask_others(self, record: SubscriptionRecord, now: float) -> None:
        """The device has refused the renewal of ``record``: renew its other subscriptions at once,
        unless it has granted them after it was asked for that."""
        if record.device is None:
            return
        recent = now - self._limits.announcement_seconds
        for other in self._granted(record.device):
            if (
                other.device is not None
                and other.confirmed_at < recent
                and self._is_free(other, now)
            ):
                self._renew(other, now)

    def forget(self, device: Hashable) -> None:
        """A subscription to ``device`` was closed. Forget the device with the last one."""
        if device in self._checks and not any(True for _ in self._records(device)):
            del self._checks[device]
            self.timers.clear(device)

    def handle_deadline(self, now: float) -> None:
        """Make the checks that are due."""
        while (device := self.timers.pop_due(now)) is not None:
            self._check(device, self._checks[device], now)

    # --- checks ---

    def _report(self, device: Hashable, doubt: Doubt, *, passed: bool) -> None:
        checked = DeviceChecked(device, doubt.cause, doubt.reason, passed, doubt.announced)
        self._outcomes.append(checked)

    def _granted(self, device: Hashable) -> list[SubscriptionRecord]:
        return [record for record in self._records(device) if record.state in GRANTED]

    def _arm(self, device: Hashable, check: _DeviceCheck, when: float, now: float) -> None:
        if check.request is not None:
            return
        check.due = max(when, check.bucket.ready_at(now))
        if check.due <= now:
            self.timers.clear(device)
            self._check(device, check, now)
        else:
            self.timers.set(device, check.due)

    def _check(self, device: Hashable, check: _DeviceCheck, now: float) -> None:
        check.due = inf
        granted, doubt = self._granted(device), check.doubt
        assert doubt is not None  # it stays until its check has ended
        from_then_on = doubt.announced_at + doubt.delay
        if not granted or any(record.confirmed_at > from_then_on for record in granted):
            check.doubt = None
            return
        free = [record for record in granted if self._is_free(record, now)]
        if not free:
            self._arm(device, check, now + _BUSY_SECONDS, now)
            return
        check.bucket.spend(now)
        record = min(free, key=lambda each: _PREFERRED.index(each.state))
        check.request = self._ask(record, doubt, now)

    def _is_free(self, record: SubscriptionRecord, now: float) -> bool:
        """Whether a renewal of ``record`` can be sent now."""
        request = self._requests.outstanding.get(record)
        is_busy = request is not None and not self._is_overtaken(request, now)
        return not is_busy and record.bucket.ready_at(now) <= now

    def _is_overtaken(self, request: OutgoingRequest, now: float) -> bool:
        """Whether ``request`` was sent so long before an announcement of now that its answer may
        never come."""
        return now - request.sent_at > self._limits.announcement_seconds

    def _give_up(self, request: OutgoingRequest) -> None:
        self._asked.pop(request, None)
        if self._requests.outstanding.get(request.subscription) is request:
            self._requests.settle(request.subscription)

    def _ask(self, record: SubscriptionRecord, doubt: Doubt, now: float) -> OutgoingRequest:
        self._requests.settle(record)
        request = self._renew(record, now)
        self._requests.expect_within(record, now, self._limits.check_seconds)
        self._asked[request] = doubt
        return request
