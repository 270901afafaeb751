"""A token bucket: bounds how often something happens."""

from __future__ import annotations


class TokenBucket:
    """A limit: something may happen ``burst`` times at once, then every ``refill`` seconds."""

    __slots__ = ("_burst", "_refill", "_stamp", "_tokens")

    def __init__(self, burst: int, refill: float, now: float) -> None:
        self._burst = float(burst)
        self._refill = refill
        self._tokens = self._burst
        self._stamp = now

    def ready_at(self, now: float) -> float:
        """The earliest time at which :meth:`spend` may be called, ``now`` or later."""
        self._fill(now)
        if self._tokens >= 1.0:
            return now
        return now + (1.0 - self._tokens) * self._refill

    def spend(self, now: float) -> None:
        """Take one token."""
        self._fill(now)
        self._tokens -= 1.0

    def count_from(self, now: float) -> None:
        """Refill from now on, as if the last :meth:`spend` were now."""
        self._fill(now)
        self._tokens = min(self._tokens, self._burst - 1.0)

    def _fill(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + (now - self._stamp) / self._refill)
        self._stamp = now
