"""When a subscriber renews, retries and gives a grant up, in seconds; and its timers."""

from __future__ import annotations

import enum
from math import inf
from typing import NamedTuple

from propchange.core.deadlines import Deadlines
from propchange.core.limits import Limits
from propchange.core.subscriber.record import SubscriptionRecord
from propchange.core.wire.headers import is_infinite, parse_timeout

_UNSTATED = 1800.0
"""The duration of a grant that states none: UDA's recommendation."""

_SHORTEST_RENEWAL = 1.0
"""A grant is renewed once a second at most, so that no device is flooded."""

_SHORTEST_LAPSE = 2.0
"""A grant is kept this long after its answer at least. Shorter grants, and those whose answer took
long, are renewed late; the answer shows whether that was too late."""


class TimerKind(enum.Enum):
    """What a timer of a subscription is for."""

    ATTEMPT = enum.auto()
    """The next SUBSCRIBE or DESCRIBE."""
    PARTING = enum.auto()
    """The answer to the UNSUBSCRIBE that goes before the SUBSCRIBE that is due."""
    REQUEST = enum.auto()
    """The answer to the request that is out."""
    INITIAL = enum.auto()
    """The initial event; once it is overdue, the end of the patience with that."""
    DOUBT = enum.auto()
    """The end of ``Limits.doubt_seconds``: an event that was not taken is lost."""
    REPAIR = enum.auto()
    """The fresh subscription that restores the state after a loss."""
    RENEWAL = enum.auto()
    EXPIRY = enum.auto()
    EVENT = enum.auto()
    """The end of ``minimum_interval``, while an event is held."""


class Timers(Deadlines[tuple[SubscriptionRecord, TimerKind]]):
    """The timers of all subscriptions."""

    __slots__ = ()

    def clear_all(self, record: SubscriptionRecord) -> None:
        """Clear every timer of ``record``, except that of an event that is held."""
        for timer in TimerKind:
            if timer is not TimerKind.EVENT:
                self.clear((record, timer))


class GrantTimes(NamedTuple):
    """What follows from a grant. ``expires`` is ``inf`` for an infinite one; ``lapses`` is when
    to subscribe afresh unless renewed, None for never; ``renews`` when to renew."""

    expires: float
    lapses: float | None
    renews: float


def granted_duration(timeout: bytes | None, wanted: float) -> float:
    """The duration that a TIMEOUT from a device states, ``inf`` for an infinite one. For a missing
    or unreadable one: the ``wanted`` duration, UDA's recommendation at most (CP-05)."""
    if timeout is not None and is_infinite(timeout):
        return inf
    stated = parse_timeout(timeout, lenient=True)
    return min(wanted, _UNSTATED) if stated is None else stated


def kept_duration(granted: float, limits: Limits) -> float:
    """Seconds after which a grant of ``granted`` seconds ends here unless renewed. An infinite
    grant is renewed too: nothing else shows that the device has forgotten it."""
    return _UNSTATED if granted == inf else min(granted, limits.duration_most_seconds)


_RENEWED_AT = 0.5
"""The part of its duration after which a grant is renewed: the other half is for more attempts
(CP-04)."""

_EARLIER = 0.1
"""By this part of its duration a grant is renewed earlier at most, at random, so that many
subscriptions do not renew together."""


def grant_times(
    granted: float, sent_at: float, answered_at: float, jitter: float, limits: Limits
) -> GrantTimes:
    """The times of a grant, counted from when the request was sent, so that this side expires first
    (CP-14). ``jitter`` is in [0, 1)."""
    kept = kept_duration(granted, limits)
    renews = sent_at + max(kept * (_RENEWED_AT - _EARLIER * jitter), _SHORTEST_RENEWAL)
    if granted == inf:
        return GrantTimes(inf, None, renews)
    lapses = max(sent_at + kept, answered_at + _SHORTEST_LAPSE)
    return GrantTimes(sent_at + kept, lapses, renews)


_DOUBLINGS = 16
"""A wait is doubled at most this often: no limit allows a wait that is longer than that."""

FAILURES_AT_LONGEST = _DOUBLINGS + 1
"""From this many failures in a row on, :func:`backoff` gives the longest wait."""


def backoff(failures: int, limits: Limits, longest: float = inf) -> float:
    """Seconds to wait after that many failures in a row, without jitter: ``longest`` or
    ``Limits.backoff_most_seconds`` at most, ``Limits.backoff_first_seconds`` at least."""
    doubled = limits.backoff_first_seconds * 2.0 ** min(failures - 1, _DOUBLINGS)
    most = max(min(longest, limits.backoff_most_seconds), limits.backoff_first_seconds)
    return min(doubled, most)


def patience(rounds: int, interval: float, limits: Limits) -> float:
    """Seconds for which a grant without an initial event is kept when all addresses were tried that
    many times: 5, 10, 20, 40, 60, so that a slow device is heard. Not beyond the next renewal,
    ``interval`` seconds after the grant: the device may have given the message up by then."""
    first = limits.initial_event_seconds
    doubled = first * 2.0 ** min(rounds, _DOUBLINGS)
    return max(first, min(doubled, limits.backoff_most_seconds, interval))


def renewal_retry(failures: int, left: float, longest: float, limits: Limits) -> float:
    """Seconds until a renewal without an answer is tried again, when ``left`` seconds of the grant
    are left: so few that several attempts fit, ``longest`` at most."""
    return max(_SHORTEST_RENEWAL, min(backoff(failures, limits, longest), left / 2))
