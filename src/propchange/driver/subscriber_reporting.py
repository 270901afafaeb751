"""Outcomes of the subscriber as log lines, whose number a peer cannot choose."""

from __future__ import annotations

from collections.abc import Hashable

from propchange.core.multicast.reception import MulticastRefused, NotBelieved
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
from propchange.driver.reporting import Warnings

_BAD = (Status.DEAF, Status.REFUSED, Status.RESUBSCRIBING)


def report_subscriber(outcome: SubscriberOutcome, warnings: Warnings, service: str = "") -> None:
    """Log an outcome of a subscriber. Its type is the constant in the ``kind`` of the line.
    ``service`` is the name of the service of its subscription, behind the event URL in the line."""
    url = getattr(getattr(outcome, "subscription", None), "event_url", "")
    url = f"{url} ({service})" if service else url
    key: Hashable = (type(outcome), url)
    match outcome:
        case StatusChange(_, status, cause, reason):
            line = f"{url}: {status.value}: {reason}"
            if status not in _BAD:
                warnings.info((StatusChange, url), line)
                return
            key = (StatusChange, url, status, cause)
        case RenewalFailed(_, reason):
            line = f"renewing {url}: {reason}"
        case DeviceChecked(device, cause, reason, True, True):
            key = (DeviceChecked, device, cause)
            line = (
                f"an announcement for {device} was not true ({reason}): the device grants a "
                "renewal; it was forged, or another device has the same UDN"
            )
        case SeqUnreliable():
            line = f"{url}: its SEQ means nothing; missed events cannot be noticed"
        case Unreadable(_, reason):
            key, line = (Unreadable, url, reason), f"{url}: {reason}"
        case Mended(_, problem):
            key = (Mended, url, problem)
            line = f"{url}: its events are not well-formed; {problem}"
        case ForeignSource(record, source, refused):
            key, what = (ForeignSource, url, source), "refused" if refused else "taken"
            line = f"an event for {url} came from {source}, not from {record.device_host}: {what}"
        case NotifyRefused(peer, target, code, reason):
            who = peer.host if peer else "an unknown peer"
            key = (NotifyRefused, who, code)
            line = f"{who} was answered {code} at {target}: {reason}"
        case MulticastRefused(source, reason, detail) if reason is not NotBelieved.UNKNOWN_SERVICE:
            who = source.host if source else "further addresses"
            key = (MulticastRefused, who, reason)
            about = f" ({detail})" if detail else ""
            line = f"a multicast event from {who} is not believed: {reason.value}{about}"
        case _:
            warnings.logger.debug("%s", outcome)
            return
    warnings.warn(key, line)
