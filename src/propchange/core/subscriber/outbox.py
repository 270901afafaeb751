"""What a subscriber has for its runtime: requests, outcomes, and when to come back."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable

from propchange.core.deadlines import Deadlines
from propchange.core.limits import Limits
from propchange.core.subscriber.events import Cause, Status, StatusChange
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.subscriber.outcomes import SubscriberOutcome
from propchange.core.subscriber.record import SubscriptionRecord
from propchange.core.subscriber.requests import OutgoingRequest, RequestKind, unsubscribe_message
from propchange.core.subscriber.states import SUBSCRIBER, SubscriberInput
from propchange.core.wire.messages import Endpoint, Request

__all__ = ["Outbox", "Timer"]


class Timer(enum.Enum):
    """What a subscription waits for."""

    ATTEMPT = enum.auto()
    """The next SUBSCRIBE or DESCRIBE."""
    PARTING = enum.auto()
    """The answer to the UNSUBSCRIBE that goes before the SUBSCRIBE that is due."""
    REQUEST = enum.auto()
    """The answer to the request that is out."""
    INITIAL = enum.auto()
    """The initial event; once it is overdue, the end of the patience with that."""
    RENEWAL = enum.auto()
    EXPIRY = enum.auto()


_AWAY = frozenset({Cause.UNREACHABLE, Cause.EXPIRED, Cause.DEVICE_GONE})
_SAYS_NO = frozenset({Cause.REFUSED, Cause.DESCRIPTION})


def _is_news(before: Cause | None, cause: Cause) -> bool:
    """Whether ``cause`` says more than ``before`` did, the status being the same: one fault is
    told once. That the device is away, or that it says no, is more than that a fresh subscription
    is being made for whatever reason; the reverse is not."""
    for kind in (_AWAY, _SAYS_NO):
        if cause in kind:
            return before not in kind
    return before is None


class RequestQueue:
    """Requests to devices: ``at_once`` under way to one host and port, the others wait, in order.

    The host and port are those of the URL: a redirect does not change whose turn it is.
    """

    __slots__ = ("_at_once", "_ready", "_under_way", "_waiting")

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._waiting: dict[tuple[str, int], deque[OutgoingRequest]] = {}
        self._under_way: dict[tuple[str, int], set[OutgoingRequest]] = {}
        # The addresses whose next request may leave, in order; a dict for its order.
        self._ready: dict[tuple[str, int], None] = {}

    def put(self, request: OutgoingRequest) -> None:
        """Add ``request`` behind the others to its address."""
        self._waiting.setdefault(request.address, deque()).append(request)
        self._ready[request.address] = None

    def take(self) -> list[OutgoingRequest]:
        """The requests to send now. Those that are no longer wanted are forgotten."""
        taken: list[OutgoingRequest] = []
        for address in self._ready:
            waiting = self._waiting[address]
            under_way = self._under_way.setdefault(address, set())
            while waiting and len(under_way) < self._at_once:
                request = waiting.popleft()
                if request.wanted:
                    under_way.add(request)
                    taken.append(request)
            if not waiting:
                del self._waiting[address]
            if not under_way:
                del self._under_way[address]
        self._ready.clear()
        return taken

    def end(self, request: OutgoingRequest) -> None:
        """``request``, which was taken, has ended. Repeated calls do nothing."""
        under_way = self._under_way.get(request.address)
        if under_way is None or request not in under_way:
            return
        under_way.discard(request)
        if not under_way:
            del self._under_way[request.address]
        if request.address in self._waiting:
            self._ready[request.address] = None


class Outbox:
    """The queues of one subscriber, and the words that go into them."""

    __slots__ = ("_limits", "_logged", "_policy", "deadlines", "outcomes", "requests")

    def __init__(self, policy: SubscriberPolicy, limits: Limits) -> None:
        self._policy = policy
        self._limits = limits
        self.deadlines: Deadlines[tuple[SubscriptionRecord, Timer]] = Deadlines()
        self.requests = RequestQueue(limits.requests_per_device)
        self.outcomes: list[SubscriberOutcome] = []
        self._logged = 0

    def log(self, outcome: SubscriberOutcome) -> None:
        """Add an outcome that only a log needs, unless ``Limits.outcomes`` of them wait:
        a peer can bring about any number of these."""
        if self._logged < self._limits.outcomes:
            self._logged += 1
            self.outcomes.append(outcome)

    def take_outcomes(self) -> list[SubscriberOutcome]:
        """The outcomes since the last call, in order."""
        outcomes = self.outcomes[:]
        self.outcomes.clear()
        self._logged = 0
        return outcomes

    def move(self, record: SubscriptionRecord, given: SubscriberInput) -> None:
        """Step the state of ``record``."""
        record.state = SUBSCRIBER.step(record.state, given)

    def tell(
        self, record: SubscriptionRecord, status: Status, cause: Cause, reason: str, http: int = 0
    ) -> None:
        """Tell a status change, unless it is none."""
        if record.status is status and not _is_news(record.status_cause, cause):
            return
        record.status = status
        record.status_cause = cause
        record.status_reason = reason
        self.outcomes.append(StatusChange(record, status, cause, reason, http))

    def send(
        self,
        record: SubscriptionRecord,
        kind: RequestKind,
        now: float,
        *,
        source: Endpoint | None = None,
        builder: Callable[[Endpoint], Request] | None = None,
    ) -> None:
        """Have a request sent, whose answer is waited for. A SUBSCRIBE goes out once an UNSUBSCRIBE
        before it was answered, which is waited for no longer than at the end: a device may have
        no room for both subscriptions (CP-01)."""
        request = OutgoingRequest(
            kind,
            record,
            record.event_url,
            sid=record.sid,
            source=source,
            sent_at=now,
            builder=builder,
        )
        record.outstanding = request
        self.deadlines.set((record, Timer.REQUEST), now + self._limits.request_seconds)
        if kind is RequestKind.SUBSCRIBE and record.parting is not None:
            record.postponed = request
            self.deadlines.set((record, Timer.PARTING), now + self._limits.unsubscribe_seconds)
        else:
            self.requests.put(request)

    def settle(self, record: SubscriptionRecord) -> None:
        """No answer is waited for any more."""
        record.outstanding = None
        self.deadlines.clear((record, Timer.REQUEST))

    def unsubscribe(
        self, record: SubscriptionRecord, url: str, sid: str, source: Endpoint | None, now: float
    ) -> None:
        """Have an UNSUBSCRIBE sent for ``sid``, which need not be the current one of ``record``."""
        message = unsubscribe_message(url, sid, self._policy)
        record.parting = OutgoingRequest(
            RequestKind.UNSUBSCRIBE,
            record,
            url,
            sid=sid,
            source=source,
            sent_at=now,
            builder=lambda _: message,
        )
        self.requests.put(record.parting)

    def parted(self, record: SubscriptionRecord, now: float) -> None:
        """No UNSUBSCRIBE is waited for any more."""
        record.parting = None
        self.deadlines.clear((record, Timer.PARTING))
        postponed, record.postponed = record.postponed, None
        if postponed is not None and postponed.wanted:
            # It leaves only now: the wait must not have earned the next one.
            record.bucket.pause(now)
            self.requests.put(postponed)

    def clear_timers(self, record: SubscriptionRecord) -> None:
        """Wait for nothing any more."""
        for timer in Timer:
            self.deadlines.clear((record, timer))
