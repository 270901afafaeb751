"""Outcomes as log lines. A warning that repeats is logged once and then counted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
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
    DeviceChecked,
    ForeignSource,
    Mended,
    NotifyRefused,
    RenewalFailed,
    SeqUnreliable,
    SubscriberOutcome,
    Unreadable,
)

_KEYS = 256
"""Different warnings remembered; beyond it the oldest may be logged again as new."""


def guarded(tap: Callable[[object], None], logger: logging.Logger) -> Callable[[object], None]:
    """A function that calls ``tap``, the function of an application. An exception of ``tap`` is
    logged, the first one with its traceback, and has no other effect."""
    failures = 0

    def call(passing: object) -> None:
        nonlocal failures
        try:
            tap(passing)
        except Exception as error:
            failures += 1
            if failures == 1:
                logger.exception("the tap raised; it is called again all the same")
            else:
                logger.debug("the tap raised: %r (%d times so far)", error, failures)

    return call


class Warnings:
    """Warnings on one logger. The first of a kind is logged as a warning. The tenth, hundredth and
    so on say how many there have been. The others are logged on the debug level."""

    def __init__(self, logger: logging.Logger) -> None:
        self.logger = logger
        self._counts: dict[Hashable, int] = {}

    def warn(self, kind: Hashable, message: str) -> None:
        """Log ``message``. Messages with equal ``kind`` are counted together."""
        count = self._counts.get(kind, 0) + 1
        if count == 1 and len(self._counts) >= _KEYS:
            del self._counts[next(iter(self._counts))]
        self._counts[kind] = count
        if count == 1:
            self.logger.warning("%s", message)
        elif str(count).strip("0") == "1":
            self.logger.warning("%s (%d times so far)", message, count)
        else:
            self.logger.debug("%s", message)


_BAD = (Status.DEAF, Status.REFUSED, Status.RESUBSCRIBING)


def report(outcome: SubscriberOutcome | PublisherOutcome, warnings: Warnings) -> None:
    """Log an outcome of a protocol.

    No key of a warning has a value that a peer can choose freely: the peer could flood the log."""
    url = getattr(getattr(outcome, "subscription", None), "event_url", "")
    key: Hashable = (type(outcome), url)
    match outcome:
        case StatusChange(_, status, cause, reason):
            line = f"{url}: {status.value}: {reason}"
            if status not in _BAD:
                warnings.logger.info("%s", line)
                return
            key = (url, status, cause)
        case RenewalFailed(_, reason):
            line = f"renewing {url}: {reason}"
        case DeviceChecked(device, cause, reason, True):
            key = (DeviceChecked, device, cause)
            line = (
                f"an announcement for {device} was not true ({reason}): the device grants a "
                "renewal; it was forged, or another device has the same UDN"
            )
        case SeqUnreliable():
            line = f"{url}: its SEQ means nothing; missed events cannot be noticed"
        case Unreadable(_, reason):
            key, line = (url, reason), f"{url}: {reason}"
        case Mended(_, problem):
            key, line = (url, problem), f"{url}: its events are not well-formed; {problem}"
        case ForeignSource(record, source, refused):
            key, what = (ForeignSource, url, source), "refused" if refused else "taken"
            line = f"an event for {url} came from {source}, not from {record.device_host}: {what}"
        case NotifyRefused(peer, target, code, reason):
            who = peer.host if peer else "an unknown peer"
            key, line = (who, code), f"{who} was answered {code} at {target}: {reason}"
        case Refused(service, peer, code, reason):
            who = peer.host if peer else "an unknown peer"
            key, line = (who, code), f"{who} was refused at {service} with {code}: {reason}"
        case MessageAbandoned(sid, seq, reason):
            line = f"SEQ {seq} did not reach {sid}: {reason}"
        case AttemptFailed(_, seq, to, reason):
            key = (AttemptFailed, urlsplit(to).hostname)
            line = f"SEQ {seq} not taken by {to}: {reason}"
        case Merged(sid, _, updates):
            line = f"{sid} is behind: {updates} events were merged for it"
        case _:
            warnings.logger.debug("%s", outcome)
            return
    warnings.warn(key, line)
