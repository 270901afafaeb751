"""Outcomes of the publisher as log lines, whose number a peer cannot choose."""

from __future__ import annotations

from collections.abc import Hashable
from urllib.parse import urlsplit

from propchange.core.multicast.publication import MulticastTooLarge
from propchange.core.publisher.outcomes import (
    AnswerUnreported,
    AttemptFailed,
    Merged,
    MergeFailed,
    MessageAbandoned,
    PublisherOutcome,
    Refused,
)
from propchange.driver.reporting import Warnings


def report_publisher(outcome: PublisherOutcome, warnings: Warnings) -> None:
    """Log an outcome of a publisher. Its type is the constant in the ``kind`` of the line."""
    key: Hashable = (type(outcome),)
    match outcome:
        case Refused(service, peer, code, reason, clause):
            who = peer.host if peer else "an unknown peer"
            # A delivery URL of another network is logged, although a renewal with an old SID
            # had the same status before.
            key = (Refused, who, code, clause)
            line = f"{who} was refused at {service} with {code}: {reason}"
        case AnswerUnreported(sid, seconds):
            key = AnswerUnreported
            line = (
                f"the subscription {sid} has ended, because for {seconds:g} s it was not reported "
                "whether the answer to its SUBSCRIBE has left: call response_sent() or "
                "response_lost() with each response of receive()"
            )
        case MessageAbandoned(sid, seq, reason):
            line = f"SEQ {seq} did not reach {sid}: {reason}"
        case AttemptFailed(_, seq, to, reason):
            key = (AttemptFailed, urlsplit(to).hostname)
            line = f"SEQ {seq} not taken by {to}: {reason}"
        case MergeFailed(service, variable, reason):
            key = (MergeFailed, service, variable)
            failed = f"the merge rule of {variable} failed: {reason}"
            line = f"{service}: {failed}; the newest text is sent, and changes may be missing"
        case MulticastTooLarge(service, variable, size, most):
            key = (MulticastTooLarge, service, variable)
            line = (
                f"{service}: a value of {variable} goes to the subscribers alone: as a multicast "
                f"event it has {size} bytes, and {most} fit"
            )
        case Merged(sid, _, updates):
            line = f"{sid} is behind: {updates} events were merged for it"
        case _:
            warnings.logger.debug("%s", outcome)
            return
    warnings.warn(key, line)
