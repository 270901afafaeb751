"""Outcomes as log lines: what repeats is told once and then counted."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from propchange.core.publisher.outcomes import (
    AttemptFailed,
    Merged,
    MessageAbandoned,
    PublisherOutcome,
    Refused,
)
from propchange.core.subscriber.events import Status, StatusChange
from propchange.core.subscriber.outcomes import (
    ForeignSource,
    NotifyRefused,
    RenewalFailed,
    SeqUnreliable,
    SubscriberOutcome,
    Unreadable,
)
from propchange.core.subscriber.record import SubscriptionRecord

if TYPE_CHECKING:
    import logging

__all__ = ["GuardedTap", "Warnings", "report", "report_publisher"]

_KEYS = 256
"""Different warnings remembered; beyond it the oldest may be told again."""


class GuardedTap:
    """What an application has given as ``tap``: whatever it raises is logged, the first time with
    its traceback, and changes nothing else."""

    def __init__(self, tap: Callable[[object], None], logger: logging.Logger) -> None:
        self._tap = tap
        self._logger = logger
        self._failures = 0

    def __call__(self, passing: object) -> None:
        """Show ``passing`` to the application."""
        try:
            self._tap(passing)
        except Exception as error:
            self._failures += 1
            if self._failures == 1:
                self._logger.exception("the tap raised; it is called again all the same")
            else:
                self._logger.debug("the tap raised: %r (%d times so far)", error, self._failures)


class Warnings:
    """Warnings on one logger. The first of a kind is logged as a warning, the tenth, hundredth
    and so on say how many there have been; the others are left to the debug level."""

    def __init__(self, logger: logging.Logger) -> None:
        self.logger = logger
        """Where all of it goes."""
        self._counts: dict[Hashable, int] = {}

    def warn(self, kind: Hashable, message: str) -> None:
        """Log ``message``, one of the same ``kind`` as others with an equal key."""
        count = self._counts.get(kind, 0) + 1
        if count == 1 and len(self._counts) >= _KEYS:
            del self._counts[next(iter(self._counts))]
        self._counts[kind] = count
        if count == 1:
            self.logger.warning("%s", message)
        elif _is_power_of_ten(count):
            self.logger.warning("%s (%d times so far)", message, count)
        else:
            self.logger.debug("%s", message)


def _is_power_of_ten(count: int) -> bool:
    while count % 10 == 0:
        count //= 10
    return count == 1


_BAD = (Status.DEAF, Status.REFUSED, Status.RESUBSCRIBING)


def report(outcome: SubscriberOutcome, warnings: Warnings) -> None:
    """Log an outcome of a subscriber."""
    match outcome:
        case StatusChange(record, status, cause, reason):
            assert isinstance(record, SubscriptionRecord)
            line = f"{record.event_url}: {status.value}: {reason}"
            if status in _BAD:
                warnings.warn((record.event_url, status, cause), line)
            else:
                warnings.logger.info("%s", line)
        case RenewalFailed(record, reason):
            warnings.warn(
                (RenewalFailed, record.event_url), f"renewing {record.event_url}: {reason}"
            )
        case SeqUnreliable(record):
            warnings.warn(
                (SeqUnreliable, record.event_url),
                f"{record.event_url}: its SEQ means nothing; missed events cannot be noticed",
            )
        case Unreadable(record, reason):
            warnings.warn((record.event_url, reason), f"{record.event_url}: {reason}")
        case ForeignSource(record, source, refused):
            what = "refused" if refused else "taken"
            warnings.warn(
                (ForeignSource, record.event_url, source),
                f"an event for {record.event_url} came from {source}, "
                f"not from {record.device_host}: {what}",
            )
        case NotifyRefused(peer, target, status, reason):
            who = peer.host if peer else "somebody"
            warnings.warn((who, status), f"{who} was answered {status} at {target}: {reason}")
        case _:
            warnings.logger.debug("%s", outcome)


def report_publisher(outcome: PublisherOutcome, warnings: Warnings) -> None:
    """Log an outcome of a publisher. What a peer can vary at will is in no key, or it could flood
    the log."""
    match outcome:
        case Refused(service, peer, status, reason):
            who = peer.host if peer else "somebody"
            warnings.warn((who, status), f"{who} was refused at {service} with {status}: {reason}")
        case MessageAbandoned(sid, seq, reason):
            warnings.warn(MessageAbandoned, f"SEQ {seq} did not reach {sid}: {reason}")
        case AttemptFailed(_, seq, url, reason):
            host = urlsplit(url).hostname
            warnings.warn((AttemptFailed, host), f"SEQ {seq} not taken by {url}: {reason}")
        case Merged(sid, _, updates):
            warnings.warn(Merged, f"{sid} is behind: {updates} events were merged for it")
        case _:
            warnings.logger.debug("%s", outcome)
