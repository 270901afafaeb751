"""Checks by a renewal whether an announcement about a device is true.

Announcements are not authenticated: anybody on the link can send an ssdp:byebye, another BOOTID or
another LOCATION in the name of any device. So an announcement ends no subscription. It is a
*claim*, and one subscription to the device is renewed. If the device grants the renewal, it is
there and knows its SIDs, so the announcement was forged. If the device refuses the renewal or does
not answer, the announcement is true, and its other subscriptions are renewed too. The subscription
that is renewed is one that the device has granted before the announcement, the oldest one: a later
grant may be by the device that has restarted, and says nothing about the earlier ones.

A device may still answer for a second after its byebye. So this check waits for
``Limits.byebye_check_seconds``. A token bucket per device bounds the checks that any number of
announcements can cause.

A device can also refuse a renewal without an announcement: it has restarted, or has dropped its
subscribers. Then its other subscriptions are renewed at once.
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
from propchange.core.subscriber.record import SubscriptionRecord
from propchange.core.subscriber.renewal import SubscriptionRenewal
from propchange.core.subscriber.requests import Failure, OutgoingRequest
from propchange.core.subscriber.states import GRANTED, SubscriberState
from propchange.core.subscriber.timing import FAILURES_AT_LONGEST, backoff
from propchange.core.token_bucket import TokenBucket
from propchange.core.wire.messages import Response

_S = SubscriberState

_PREFERRED = (_S.ACTIVE, _S.UNANSWERED, _S.GRANTED, _S.DEAF)
"""States of a subscription that a check may renew, the best first."""

_NOT_FROM_DEVICE = (Failure.BROKEN, Failure.NO_SOURCE, Failure.SHORTAGE)
"""Failures of a renewal after which an announcement is neither true nor false."""

_WHOLE_HOST = (Failure.REFUSED, Failure.UNREACHABLE)
"""Failures that are about the host and port, not about one service."""

_BUSY_SECONDS = 1.0
"""Seconds until the next try of a check that found no subscription to renew."""


class Claim(NamedTuple):
    """A reason to check a device: an announcement, or expired advertisements unless ``announced``.

    ``reason`` is the reason of the status change if the claim is true. ``delay`` is the time in
    seconds after which the device may be asked.
    """

    cause: Cause
    reason: str
    announced_at: float
    delay: float
    announced: bool = True


@dataclass(slots=True, eq=False, repr=False)
class _DeviceCheck:
    bucket: TokenBucket
    claim: Claim | None = None
    request: OutgoingRequest | None = None
    """The renewal that is under way."""
    due: float = inf


class DeviceChecks:
    """The checks of the devices of one subscriber.

    ``records`` gives the subscriptions to a device. The answers to all renewals come here, because
    a refused renewal may be about more than one subscription.
    """

    def __init__(
        self,
        limits: Limits,
        renewal: SubscriptionRenewal,
        outcomes: SubscriberOutcomes,
        *,
        records: Callable[[Hashable], Iterable[SubscriptionRecord]],
    ) -> None:
        self._limits = limits
        self._renewal = renewal
        self._requests = renewal.requests
        self._outcomes = outcomes
        self._records = records
        self._checks: dict[Hashable, _DeviceCheck] = {}
        self._asked: dict[OutgoingRequest, Claim] = {}
        self.timers: Deadlines[Hashable] = Deadlines()

    # --- inputs ---

    def claim(
        self,
        device: Hashable,
        cause: Cause,
        reason: str,
        now: float,
        *,
        delay: float = 0.0,
        announced: bool = True,
    ) -> None:
        """Check ``device``, about which something was announced that ends its subscriptions.

        The check follows ``delay`` seconds from now, or as soon as the bucket allows. Without a
        granted subscription nothing is checked.
        """
        if not self._granted(device):
            return
        check = self._checks.get(device)
        if check is None:
            limits = self._limits
            bucket = TokenBucket(limits.check_burst, limits.check_refill_seconds, now)
            check = self._checks[device] = _DeviceCheck(bucket)
        check.claim = Claim(cause, reason, now, delay, announced)
        if check.request is not None and self._is_overtaken(check.request, now):
            self._give_up(check.request)
            check.request = None
        self._arm(device, check, min(check.due, now + delay), now)

    def hurry(self, device: Hashable, now: float) -> None:
        """Make a waiting check of ``device`` now, because it announces itself."""
        check = self._checks.get(device)
        if check is not None and check.claim is not None:
            self._arm(device, check, now, now)

    def renewal_answered(self, request: OutgoingRequest, response: Response, now: float) -> None:
        """Take the answer to a renewal, which may have been sent for a claim."""
        record, claim = request.subscription, self._asked.pop(request, None)
        self._outcomes.counts.failed_renewals += response.status != 200
        if response.status == 200:
            self._renewal.renewal_answered(request, response, now)
            if claim is not None:
                self._passed(request, claim, now)
        elif claim is not None:
            self._lapse(record, claim, now, answered=True)
            self._failed(request, claim, None, now)
        else:
            self._renewal.renewal_answered(request, response, now)
            self._ask_others(record, now)

    def renewal_failed(
        self, request: OutgoingRequest, failure: Failure, reason: str, now: float
    ) -> None:
        """Note that a renewal, which may have been sent for a claim, had no answer."""
        record, claim = request.subscription, self._asked.pop(request, None)
        if claim is None or failure in _NOT_FROM_DEVICE:
            gone = self._gone(record.device)
            said = None if gone is None else gone.reason
            self._renewal.renewal_failed(record, failure, reason, now, gone=said)
            self._unclear(request, now)
            return
        self._outcomes.renewal_failed(record, reason)
        self._lapse(record, claim, now)
        self._failed(request, claim, failure, now)

    def outdated(self, request: OutgoingRequest, now: float) -> None:
        """Note the end of a request that its subscription no longer waits for."""
        if self._asked.pop(request, None) is not None:
            self._unclear(request, now)

    def forget(self, device: Hashable) -> None:
        """Forget ``device`` if no subscription to it is left."""
        if device in self._checks and not any(True for _ in self._records(device)):
            del self._checks[device]
            self.timers.clear(device)

    def handle_deadline(self, now: float) -> None:
        """Make the checks that are due."""
        while (device := self.timers.pop_due(now)) is not None:
            self._check(device, self._checks[device], now)

    # --- checks ---

    def _gone(self, device: Hashable) -> Claim | None:
        """The claim that waits for its check, if it says that the device has gone."""
        check = self._checks.get(device)
        claim = None if check is None else check.claim
        return claim if claim is not None and claim.cause is Cause.DEVICE_GONE else None

    def _passed(self, request: OutgoingRequest, claim: Claim, now: float) -> None:
        """Note that the device has granted the renewal for ``claim``."""
        device = request.subscription.device
        check = self._checks.get(device)
        if check is None or check.request is not request:
            return
        check.request = None
        latest = check.claim
        assert latest is not None  # it stays until its check has ended
        self._report(device, claim, passed=True)
        if latest.announced_at + latest.delay > request.sent_at:
            self._arm(device, check, latest.announced_at + latest.delay, now)
        else:
            check.claim = None

    def _unclear(self, request: OutgoingRequest, now: float) -> None:
        """Note that the renewal for a claim had no answer, and that the device may be there."""
        check = self._checks.get(request.subscription.device)
        if check is not None and check.request is request:
            check.request = None
            self._arm(request.subscription.device, check, now + _BUSY_SECONDS, now)

    def _failed(
        self, request: OutgoingRequest, claim: Claim, failure: Failure | None, now: float
    ) -> None:
        """Note that the device has refused the renewal for ``claim``, or, with ``failure``, did not
        answer. The caller has ended the grant of this subscription."""
        record = request.subscription
        device = record.device
        check = self._checks.get(device)
        if check is not None and check.request is request:
            check.request = check.claim = None
            check.due = inf
            self.timers.clear(device)
            self._report(device, claim, passed=False)
        for other in self._granted(device):
            if failure in _WHOLE_HOST and other.remote == record.remote:
                self._lapse(other, claim, now)
            elif other.confirmed_at <= claim.announced_at:
                if self._is_free(other, now):
                    self._ask(other, claim, now)
                elif other not in self._requests.outstanding:
                    self._renewal.renew_soon(other, now)

    def _ask_others(self, record: SubscriptionRecord, now: float) -> None:
        """Renew the other subscriptions to the device that has refused the renewal of ``record``,
        except those that were granted or renewed a short time ago."""
        if record.device is None:
            return
        recent = now - self._limits.announcement_seconds
        for other in self._granted(record.device):
            if other.device is not None and other.confirmed_at < recent:
                if self._is_free(other, now):
                    self._renewal.ask(other, now)
                elif other not in self._requests.outstanding:
                    self._renewal.renew_soon(other, now)

    def _lapse(
        self, record: SubscriptionRecord, claim: Claim, now: float, *, answered: bool = False
    ) -> None:
        """End the grant of ``record``, because ``claim`` is true. A device that has left and does
        not answer is tried again slowly, until it is back; any other device at once."""
        if claim.cause is Cause.DEVICE_GONE and not answered:
            record.failures = FAILURES_AT_LONGEST
            wait = backoff(record.failures, self._limits, record.interval)
            self._renewal.lapse(record, claim.cause, claim.reason, now, wait=wait)
        else:
            record.failures = 0
            record.sources.worked()
            self._renewal.lapse(record, claim.cause, claim.reason, now)

    def _report(self, device: Hashable, claim: Claim, *, passed: bool) -> None:
        checked = DeviceChecked(device, claim.cause, claim.reason, passed, claim.announced)
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
        granted, claim = self._granted(device), check.claim
        assert claim is not None  # it stays until its check has ended
        from_then_on = claim.announced_at + claim.delay
        earlier = [
            (_PREFERRED.index(record.state), record.grant.asked_at, number)
            for number, record in enumerate(granted)
            if record.grant is not None and record.grant.asked_at <= claim.announced_at
        ]
        record = granted[min(earlier)[-1]] if earlier else None
        if record is None or record.confirmed_at > from_then_on:
            check.claim = None
            return
        if not self._is_free(record, now):
            self._arm(device, check, now + _BUSY_SECONDS, now)
            return
        check.bucket.spend(now)
        check.request = self._ask(record, claim, now)

    def _is_free(self, record: SubscriptionRecord, now: float) -> bool:
        """Whether a renewal of ``record`` can be sent now."""
        request = self._requests.outstanding.get(record)
        is_busy = request is not None and not self._is_overtaken(request, now)
        return not is_busy and record.bucket.ready_at(now) <= now

    def _is_overtaken(self, request: OutgoingRequest, now: float) -> bool:
        """Whether ``request`` was sent long ago, so that it does not check an announcement that
        comes now."""
        return now - request.sent_at > self._limits.announcement_seconds

    def _give_up(self, request: OutgoingRequest) -> None:
        self._asked.pop(request, None)
        if self._requests.outstanding.get(request.subscription) is request:
            self._requests.settle(request.subscription)

    def _ask(self, record: SubscriptionRecord, claim: Claim, now: float) -> OutgoingRequest:
        self._requests.settle(record)
        request = self._renewal.ask(record, now)
        self._requests.expect_within(record, now, self._limits.check_seconds)
        self._asked[request] = claim
        return request
