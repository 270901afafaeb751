"""What the subscriber keeps per subscription (UDA 2.0 §4.1.2)."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING

from propchange.core.events import Cause, Change, Event, Status
from propchange.core.limits import Limits
from propchange.core.messages import Endpoint
from propchange.core.sequence import Sequence
from propchange.core.states import SubscriberState
from propchange.core.subscribing import OutgoingRequest

if TYPE_CHECKING:
    from propchange.core.reception import Received

__all__ = ["HeldSubscription", "TokenBucket"]

Convert = Mapping[str, Callable[[str], object]]


class TokenBucket:
    """How often something may happen: ``burst`` times at once, then once per ``refill`` seconds."""

    __slots__ = ("_burst", "_refill", "_stamp", "_tokens")

    def __init__(self, burst: int, refill: float, now: float) -> None:
        self._burst = float(burst)
        self._refill = refill
        self._tokens = self._burst
        self._stamp = now

    def ready_at(self, now: float) -> float:
        """The earliest time at which :meth:`spend` may be called; ``now`` when at once."""
        self._fill(now)
        if self._tokens >= 1.0:
            return now
        return now + (1.0 - self._tokens) * self._refill

    def spend(self, now: float) -> None:
        """Take one token."""
        self._fill(now)
        self._tokens -= 1.0

    def _fill(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + (now - self._stamp) / self._refill)
        self._stamp = now


class HeldSubscription:
    """One subscription at the subscriber, over all the SIDs it has had. Read it; only the
    protocol writes it.

    ``values`` is the current state, variable -> typed value. ``expires`` is in seconds of the
    runtime's clock, None while nothing is granted; infinite grants have ``inf``.
    """

    __slots__ = (
        "advertised",
        "attempts",
        "bucket",
        "callback",
        "convert",
        "describable",
        "device",
        "device_host",
        "duration_granted",
        "duration_wanted",
        "early",
        "event_url",
        "expires",
        "failures",
        "foreign_sources",
        "gaps",
        "granted_once",
        "last_event_at",
        "must_describe",
        "outstanding",
        "path",
        "persistent",
        "renewals",
        "sequence",
        "sid",
        "source",
        "state",
        "status",
        "status_cause",
        "unreliable_told",
        "values",
    )

    def __init__(
        self,
        event_url: str,
        *,
        persistent: bool,
        describable: bool,
        device: Hashable,
        convert: Convert | None,
        duration: int,
        limits: Limits,
        now: float,
    ) -> None:
        self.event_url = event_url
        self.persistent = persistent
        self.describable = describable
        self.device = device
        self.convert = convert
        self.duration_wanted = duration
        self.duration_granted: float | None = None
        self.state = SubscriberState.WAITING
        self.status = Status.SUBSCRIBING
        self.status_cause: Cause | None = None
        self.sid = ""
        self.path = ""
        self.callback = ""
        self.advertised: str | None = None
        self.source: Endpoint | None = None
        self.device_host: str | None = None
        self.expires: float | None = None
        self.bucket = TokenBucket(limits.subscribe_burst, limits.subscribe_refill_seconds, now)
        self.sequence = Sequence()
        self.unreliable_told = False
        self.foreign_sources: set[str] = set()
        self.early: list[Received] = []
        self.outstanding: OutgoingRequest | None = None
        self.failures = 0
        self.attempts = 0
        self.must_describe = False
        self.granted_once = False
        self.renewals = 0
        self.gaps = 0
        self.last_event_at: float | None = None
        self.values: dict[str, object] = {}

    def decode(
        self, seq: int | None, pairs: tuple[tuple[str, str], ...], *, initial: bool
    ) -> Event:
        """The event that these texts are, with the declared types; ``values`` follows.

        A text that does not fit its type, or a variable that is not declared, is in ``details``
        with the value None and changes nothing else (XML-06).
        """
        values = self.values
        convert = self.convert
        changes: dict[str, object] = {}
        details: list[Change] = []
        for name, text in pairs:
            value: object = text
            if convert is not None:
                try:
                    value = convert[name](text)
                except (KeyError, ValueError):
                    details.append(Change(name, None, values.get(name), None, None, text))
                    continue
            details.append(Change(name, value, values.get(name), None, None, text))
            changes[name] = value
        values.update(changes)
        return Event(self, self.sid, seq, changes, tuple(details), is_initial=initial)

    def __repr__(self) -> str:
        return f"<HeldSubscription {self.event_url} {self.state.name} {self.sid}>"
