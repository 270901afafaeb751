"""When a subscriber renews, retries and gives a grant up, in seconds; and its timers."""

from __future__ import annotations

import enum
from math import inf
from typing import NamedTuple

from propchange.core.deadlines import Deadlines
from propchange.core.limits import Limits
from propchange.core.subscriber.record import SubscriptionRecord
from propchange.core.wire.headers import is_infinite, parse_timeout

__all__ = [
    "FAILURES_AT_LONGEST",
    "GrantTimes",
    "Timer",
    "Timers",
    "backoff",
    "grant_times",
    "granted_duration",
    "kept_duration",
    "patience",
    "renewal_retry",
]

_UNSTATED = 1800.0
"""The duration of a grant that states none: UDA's recommendation."""

_SHORTEST_RENEWAL = 1.0
"""A grant is renewed once a second at most, so that no device is flooded."""

_SHORTEST_LAPSE = 2.0
"""How long after its answer a grant is kept at least. Those under two seconds are renewed when they
end, and so is one whose answer was long under way; the answer tells whether that was late."""


class Timer(enum.Enum):
    """What a timer of a subscription is for."""

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


class Timers(Deadlines[tuple[SubscriptionRecord, Timer]]):
    """The timers of all subscriptions. Setting, clearing and taking one sets ``changed``."""

    __slots__ = ("changed",)

    def __init__(self) -> None:
        super().__init__()
        self.changed = True

    def set(self, key: tuple[SubscriptionRecord, Timer], when: float) -> None:
        """As :meth:`.Deadlines.set`."""
        self.changed = True
        super().set(key, when)

    def clear(self, key: tuple[SubscriptionRecord, Timer]) -> None:
        """As :meth:`.Deadlines.clear`."""
        self.changed = True
        super().clear(key)

    def pop_due(self, now: float) -> tuple[SubscriptionRecord, Timer] | None:
        """As :meth:`.Deadlines.pop_due`."""
        self.changed = True
        return super().pop_due(now)

    def clear_all(self, record: SubscriptionRecord) -> None:
        """Clear every timer of ``record``."""
        for timer in Timer:
            self.clear((record, timer))


class GrantTimes(NamedTuple):
    """What follows from a grant. ``expires`` is ``inf`` for an infinite one; ``lapses`` is when
    to subscribe afresh unless renewed, None for never; ``renews`` when to renew."""

    expires: float
    lapses: float | None
    renews: float


def granted_duration(timeout: bytes | None, wanted: float) -> float:
    """What a TIMEOUT from a device means: the duration it states, in whatever form, ``inf`` for
    an infinite one; and for a missing or unreadable one what was asked for, UDA's recommendation
    at most (CP-05)."""
    if timeout is not None and is_infinite(timeout):
        return inf
    stated = parse_timeout(timeout, lenient=True)
    return min(wanted, _UNSTATED) if stated is None else stated


def kept_duration(granted: float, limits: Limits) -> float:
    """After how many seconds a grant of ``granted`` seconds ends here unless it is renewed. An
    infinite grant is renewed, too: nothing else shows that the device has forgotten it."""
    return _UNSTATED if granted == inf else min(granted, limits.duration_most_seconds)


def grant_times(
    granted: float, sent_at: float, answered_at: float, jitter: float, limits: Limits
) -> GrantTimes:
    """The times of a grant, counted from when the request was sent, so that this side always
    expires first (CP-14); but an answer that took longer than what it grants may be renewed all the
    same. Renewal is at half, and up to a tenth of the duration earlier by ``jitter`` in [0, 1), so
    that there is time to retry (CP-04)."""
    kept = kept_duration(granted, limits)
    renews = sent_at + max(kept * (0.5 - 0.1 * jitter), _SHORTEST_RENEWAL)
    if granted == inf:
        return GrantTimes(inf, None, renews)
    lapses = max(sent_at + kept, answered_at + _SHORTEST_LAPSE)
    return GrantTimes(sent_at + kept, lapses, renews)


_DOUBLINGS = 16
"""A wait is doubled at most this often: no limit allows a wait that is longer than that."""

FAILURES_AT_LONGEST = _DOUBLINGS + 1
"""From this many failures in a row on, :func:`backoff` gives the longest wait."""


def backoff(failures: int, limits: Limits, longest: float = inf) -> float:
    """How long to wait after that many failures in a row, jitter apart: ``longest`` or
    ``Limits.backoff_most_seconds`` at most, but not under ``Limits.backoff_first_seconds``."""
    doubled = limits.backoff_first_seconds * 2.0 ** min(failures - 1, _DOUBLINGS)
    most = max(min(longest, limits.backoff_most_seconds), limits.backoff_first_seconds)
    return min(doubled, most)


def patience(rounds: int, interval: float, limits: Limits) -> float:
    """How long a grant without an initial event is kept when all addresses have been tried that
    many times: 5, 10, 20, 40, 60 seconds, so that a device which takes its time is heard; and not
    beyond the time of the next renewal, ``interval`` seconds after the grant, since it could not
    be told from a device that has given the message up."""
    first = limits.initial_event_seconds
    doubled = first * 2.0 ** min(rounds, _DOUBLINGS)
    return max(first, min(doubled, limits.backoff_most_seconds, interval))


def renewal_retry(failures: int, left: float, longest: float, limits: Limits) -> float:
    """How long to wait before a renewal that got no answer is tried again, when ``left`` seconds
    of the grant are left: often enough that several attempts fit, ``longest`` at most."""
    return max(_SHORTEST_RENEWAL, min(backoff(failures, limits, longest), left / 2))
