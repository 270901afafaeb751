"""Times and caps of a collector that shares devices with others."""

from __future__ import annotations

from dataclasses import dataclass

from propchange.core.record import Record


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CollectorLimits(Record):
    """Times and caps of one collector. All collectors of a store need the same ``lease_seconds``,
    since the bucket of the leases has it."""

    lease_seconds: float = 5.0
    """Seconds after its last renewal when the store forgets a lease, and another collector takes
    over: the half of the 10 s in which the state has to be right again."""

    renewals: int = 4
    """Renewals in the duration of a lease: two can be lost without a takeover."""

    start_seconds: float = 1.0
    """Seconds after its first lease before a collector claims a device. Collectors that start
    together know each other by then, and share."""

    retry_seconds: float = 0.5
    """Seconds before an operation without an answer is tried again. Bounds the requests to a store
    that is starting."""

    excuse_seconds: float = 1.5
    """Seconds that a collector has at least to renew its lease when the store answers again. Each
    of them connects within a second. One that was not silent before has more: the rest of its
    lease."""

    rank_seconds: float = 0.25
    """Seconds that each rank waits longer than the one before it to claim a device, so that the
    collector that should own it is first. A claim in the store takes a few milliseconds."""

    ranks: int = 4
    """Ranks that wait; all later ones wait as long as this one. Bounds the time in which a device
    has no owner, if those before cannot reach it or do not see it."""

    give_up_seconds: float = 300.0
    """Seconds for which a collector does not claim a device again that it could not reach, if
    others live. Bounds how often an unreachable device goes around."""

    recheck_seconds: float = 120.0
    """Seconds between two reads of the claim of a device that has an owner. A change that the watch
    has missed is found then. Bounds the reads of one collector: 83 a second
    for 10,000 devices that it sees."""

    forget_seconds: float = 5.0
    """Seconds after a device has gone when its claim and its state are deleted, unless it is back,
    or another collector sees it."""

    unowned_seconds: float = 5.0
    """Seconds after the death of a collector when one of the others looks for states that nobody
    has taken over. A takeover is over by then, so few are left to be read."""

    unowned_operations: int = 16
    """Operations at the same time for states that nobody has taken over. Bounds what these take
    from a takeover that still goes on."""

    again_operations: int = 16
    """States that are written again at the same time, after the store was away. Bounds how long
    events that are new wait behind them: with 200 collectors, 3,200 writes."""

    settle_seconds: float = 20.0
    """Seconds for which a collector has lived before devices are offered to it. One that restarts
    again and again gets none."""

    offer_seconds: float = 1.0
    """Seconds between two offers, and five times that an offer waits. Bounds how fast devices move
    to a new collector: each move is a new subscription."""

    fair_share: float = 1.25
    """The part of the mean number of devices above which a collector offers devices to others.
    Rendezvous hashing alone stays below it from some hundred devices on, so nothing moves without
    need."""

    waiting_events: int = 256
    """Events of one service that wait for the store: a minute of a service that sends 4 a second.
    Above that, the two newest are merged to their last values, and counted in ``merged``."""

    waiting_in_all: int = 65_536
    """Events of all services that wait. Above that, each service keeps one, its last values. Bounds
    the memory while the store is away."""

    waiting_characters: int = 33_554_432
    """Characters of all values that wait. Above that, as above ``waiting_in_all``. Bounds the
    memory for services with large values."""

    message_bytes: int = 900_000
    """Bytes of one message; a NATS server takes 1 MiB by default. Above that, its values are left
    out, and it has ``too_large``. A message that is never taken would hold up all later ones."""

    state_seconds: float = 0.2
    """Seconds between two writes of the state of one service. The events are all in the stream;
    the state has the last ones."""

    operations: int = 1_024
    """Operations that wait for an answer of the store at the same time. Bounds the memory, and what
    a takeover of thousands of devices sends at once."""

    least_operations: int = 16
    """Operations that may always wait for an answer. With 200 collectors these are 3,200, which a
    store does within a third of a second."""

    slow_seconds: float = 0.5
    """Seconds in which the store should answer. If it needs longer, a collector asks half as much
    at the same time. Bounds how late renewals of leases are in a store that has too much to do:
    collectors that live would lose their devices, which makes it still more."""

    tried_named: int = 16
    """Collectors that are named in a claim because they could not reach the device."""


DEFAULT_COLLECTOR_LIMITS = CollectorLimits()
