"""The numbers that a hosted device gives its program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from propchange.core.record import StatsRecord

ENDS = ("unsubscribed", "expired", "unknown-sid", "answer-lost", "closed")
"""The keys of :attr:`HostStats.ended`."""

FAILURES = (
    "no-connection",
    "stale-connection",
    "broken-connection",
    "no-answer",
    "no-free-connection",
    "refused",
    "unknown-sid",
    "closed",
)
"""The keys of :attr:`HostStats.failed`."""


@dataclass(slots=True, eq=False, repr=False)
class HostStats(StatsRecord):
    """What a hosted device has counted since it was hosted, and what is true now.

    A counter never goes down, also when subscriptions end. A key that is missing in a mapping of
    counters stands for 0. ``deliveries`` is the sum of ``answered``, ``failed`` and ``in_flight``;
    ``grants`` is the sum of ``subscriptions`` and ``ended``.
    """

    subscriptions: int
    """Subscriptions now."""
    behind: int
    """Subscriptions now that have an event which no answer has settled: it waits or is in
    flight."""
    grants: int
    """Counter: SUBSCRIBE requests that were granted."""
    renewals: int
    """Counter: renewals that were granted."""
    ended: Mapping[str, int]
    """Counter: subscriptions that have ended. ``unsubscribed``: by UNSUBSCRIBE, or replaced by a
    newer one of the same subscriber; ``expired``: not renewed; ``unknown-sid``: the subscriber has
    answered 412; ``answer-lost``: the answer to SUBSCRIBE could not leave; ``closed``: the device
    has left the network."""
    refused: Mapping[int, int]
    """Counter: requests for event URLs that were refused, by the HTTP status of the answer."""
    messages: int
    """Counter: event messages of all services, each counted once for all its subscribers."""
    deliveries: int
    """Counter: attempts to deliver an event message to a delivery URL."""
    answered: int
    """Counter: deliveries that were answered with 2xx."""
    failed: Mapping[str, int]
    """Counter: deliveries that have failed. ``no-connection``, ``stale-connection``: the kept
    connection was closed, and the message is sent again; ``broken-connection``, ``no-answer``: none
    in time; ``no-free-connection``: this machine had none; ``refused``: another status than 2xx and
    412; ``unknown-sid``: 412; ``closed``: the device has left the network."""
    in_flight: int
    """Deliveries now that have no answer yet."""
    merged: int
    """Counter: event messages that were merged into later ones for a subscriber that was behind."""
    abandoned: int
    """Counter: event messages that no delivery URL of their subscriber has taken."""
