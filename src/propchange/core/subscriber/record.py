"""The record of one subscription at the subscriber (UDA 2.0 §4.1.2)."""

from __future__ import annotations

from collections.abc import Hashable
from math import inf
from typing import NamedTuple

from propchange.core.limits import Limits
from propchange.core.subscriber.callback_address import Sources
from propchange.core.subscriber.events import Cause, Change, Convert, Event, Status, read_changes
from propchange.core.subscriber.seq import Sequence
from propchange.core.subscriber.states import SUBSCRIBER, SubscriberInput, SubscriberState
from propchange.core.values.lastchange import MASTER, LastChangeEntry, parse_lastchange
from propchange.core.wire.messages import Endpoint, Response
from propchange.errors import RemoteProtocolError

__all__ = ["Convert", "Deafness", "StateKey", "SubscriptionRecord", "TokenBucket"]

StateKey = tuple[str, int | None, str | None]
"""(variable, instance, channel). Instance and channel are None outside LastChange."""


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

    def pause(self, now: float) -> None:
        """Do not refill for the time since the last call."""
        self._stamp = now

    def _fill(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + (now - self._stamp) / self._refill)
        self._stamp = now


class Deafness(NamedTuple):
    """The first of several grants in a row without an event: when its SUBSCRIBE was sent and
    granted, and the address in CALLBACK. The rest is about the device until then: whether it had
    connected, and how many of its connections were empty and turned away."""

    asked_at: float
    granted_at: float
    advertised: Endpoint
    heard: bool
    empty: int
    turned_away: int


class Grant(NamedTuple):
    """What the device granted: by its answer to SUBSCRIBE, and by that to the last renewal.

    ``asked_at`` is when the SUBSCRIBE was sent, ``granted_at`` when it was answered. ``duration``
    and ``expires``, a time, are ``inf`` for an infinite grant. ``interval`` is the time between
    renewals, in seconds: a shorter outage may go unseen. ``accepted`` as in
    :class:`SubscriptionRecord`.
    """

    asked_at: float
    granted_at: float
    duration: float
    expires: float
    interval: float
    accepted: tuple[str, ...] | None


class Outage(NamedTuple):
    """Renewals in a row that no answer came to: when the first and the last of them failed.
    ``unreachable``: at least one did not reach the device, or got nothing from it."""

    since: float
    failed_at: float
    unreachable: bool


class FailedAttempt(NamedTuple):
    """How the last attempt to subscribe failed: in words, and the HTTP status, 0 for none."""

    reason: str
    status: int


class Advertised(NamedTuple):
    """Where the last SUBSCRIBE asked for events: CALLBACK, its authority, and the address of this
    machine that the SUBSCRIBE left from, None once this machine has lost that address."""

    authority: str
    callback: str
    source: Endpoint | None


_HAS_GRANT = (
    SubscriberState.GRANTED,
    SubscriberState.ACTIVE,
    SubscriberState.DEAF,
    SubscriberState.UNANSWERED,
)


class SubscriptionRecord:
    """One subscription, over all the SIDs that it has had. Read it; only the protocol writes it.

    ``values`` is the current state: variable -> typed value. ``instances`` is the part of it that
    came by LastChange. ``status``, ``status_cause`` and ``status_reason`` are those of the last
    status change.
    """

    __slots__ = (
        "advertised",
        "announced_at",
        "answer",
        "attempts",
        "begun_at",
        "bucket",
        "convert",
        "deafness",
        "describable",
        "device",
        "device_host",
        "duration_wanted",
        "event_url",
        "failure",
        "failures",
        "foreign_sources",
        "gaps",
        "grant",
        "head",
        "instances",
        "last_event_at",
        "late_sids",
        "limits",
        "must_describe",
        "outage",
        "path",
        "persistent",
        "remote",
        "renewals",
        "sequence",
        "sid",
        "slow",
        "sources",
        "state",
        "statevar",
        "status",
        "status_cause",
        "status_reason",
        "unreadable",
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
        statevar: tuple[str, ...] = (),
        must_describe: bool = False,
    ) -> None:
        self.event_url = event_url
        self.limits = limits
        self.statevar = statevar
        self.persistent = persistent
        self.describable = describable
        self.device = device
        self.convert = convert
        self.duration_wanted = duration
        self.state = SubscriberState.WAITING
        self.status = Status.SUBSCRIBING
        self.status_cause: Cause | None = None
        self.status_reason = ""
        self.sid = ""
        self.path = ""
        self.advertised: Advertised | None = None
        # Which address the next SUBSCRIBE leaves from.
        self.sources = Sources()
        # An initial event came after its SID had been given back: the device is slow.
        self.slow = False
        self.late_sids: list[str] = []
        self.remote: Endpoint | None = None
        self.device_host: str | None = None
        self.begun_at = now
        # The last one; it is good while the state says so.
        self.grant: Grant | None = None
        self.outage: Outage | None = None
        # None once granted.
        self.failure: FailedAttempt | None = None
        self.bucket = TokenBucket(limits.subscribe_burst, limits.subscribe_refill_seconds, now)
        self.sequence = Sequence()
        self.unreliable_told = False
        self.foreign_sources: set[str] = set()
        # The head of the last message that was accepted, and its answer.
        self.head: object | None = None
        self.answer: Response
        self.failures = 0
        self.deafness: Deafness | None = None
        self.announced_at: float | None = None
        self.attempts = 0
        self.must_describe = must_describe
        self.renewals = 0
        self.gaps = 0
        self.last_event_at: float | None = None
        self.values: dict[str, object] = {}
        self.instances: dict[StateKey, object] = {}
        self.unreadable: tuple[str, ...] = ()
        """What could not be read of the last event, in sentences."""

    def move(self, given: SubscriberInput) -> None:
        """Step the state."""
        self.state = SUBSCRIBER.step(self.state, given)

    @property
    def asked_at(self) -> float:
        """When the SUBSCRIBE of the last grant was sent; before that, when this was wanted."""
        return self.begun_at if self.grant is None else self.grant.asked_at

    @property
    def granted_at(self) -> float | None:
        """When the SUBSCRIBE was answered; None while nothing is granted."""
        return self.grant.granted_at if self.grant and self.has_sid else None

    @property
    def duration_granted(self) -> float | None:
        """The granted duration in seconds; None while nothing is granted."""
        return self.grant.duration if self.grant and self.is_granted else None

    @property
    def expires(self) -> float | None:
        """When the grant ends, in seconds of the runtime's clock, ``inf`` for an infinite one;
        None while nothing is granted."""
        return self.grant.expires if self.grant and self.is_granted else None

    @property
    def interval(self) -> float:
        """Seconds between renewals, as last granted; ``inf`` before the first grant."""
        return inf if self.grant is None else self.grant.interval

    @property
    def accepted(self) -> tuple[str, ...] | None:
        """The variables that the device has accepted to event alone; None when it events all."""
        return None if self.grant is None else self.grant.accepted

    @property
    def is_granted(self) -> bool:
        """Whether the device has granted the SID, and it is still wanted."""
        return self.state in _HAS_GRANT

    @property
    def has_sid(self) -> bool:
        """As :attr:`is_granted`, or the SID is being given back at the end."""
        return self.state in _HAS_GRANT or self.state is SubscriberState.CLOSING

    @property
    def callback(self) -> str:
        """The delivery URL in CALLBACK; empty before the first SUBSCRIBE."""
        return "" if self.advertised is None else self.advertised.callback

    @property
    def source(self) -> Endpoint | None:
        """The address of this machine that the SUBSCRIBE left from."""
        return None if self.advertised is None else self.advertised.source

    @property
    def advertised_endpoint(self) -> Endpoint | None:
        """``advertised`` as an endpoint, whose host may be a name; None before the first
        SUBSCRIBE."""
        if self.advertised is None:
            return None
        host, _, port = self.advertised.authority.rpartition(":")
        host = host.strip("[]")
        source = self.source
        scope = source.scope if source is not None and source.host == host else 0
        return Endpoint(host, int(port), scope)

    @property
    def wanting(self) -> Status:
        """The status while a SUBSCRIBE is wanted: SUBSCRIBING before the first grant."""
        return Status.RESUBSCRIBING if self.grant is not None else Status.SUBSCRIBING

    def decode(
        self, seq: int | None, pairs: tuple[tuple[str, str], ...], *, initial: bool
    ) -> Event:
        """The event of a propertyset, with typed values. Updates ``values``.

        A text that does not fit its type, or a variable that is not declared, is in ``details``
        with the value None and changes nothing else (XML-06). A LastChange, declared or not,
        stands in ``details`` as it came and then with all that it tells; ``changes`` has of that
        what it tells of instance 0, in the channel Master or in none.
        """
        values = self.values
        convert = self.convert
        # GMediaRender's ConnectionManager sends a LastChange that it does not declare.
        changes, details = read_changes(pairs, convert, values, undeclared=("LastChange",))
        if "LastChange" in changes:
            self._expand(changes, details, initial=initial)
        elif self.unreadable:
            self.unreadable = ()
        if convert is not None or len(values) + len(changes) <= self.limits.fold_keys:
            values.update(changes)
        else:
            # No description limits the number of names: update the known ones alone.
            values.update((name, value) for name, value in changes.items() if name in values)
        event = Event(self, self.sid, seq, changes, tuple(details))
        if initial:
            event.is_initial = True  # as a keyword it makes receiving any NOTIFY 5 % slower
        return event

    def _expand(self, changes: dict[str, object], details: list[Change], *, initial: bool) -> None:
        """Add the changes in a LastChange to ``changes`` and ``details``. Remove the raw text from
        ``changes`` if it was read."""
        text = changes["LastChange"]
        if not isinstance(text, str) or not text.strip():
            self.unreadable = ()
            return  # a vendor's own variable of this name, or empty
        try:
            found = parse_lastchange(text, self.limits)
        except RemoteProtocolError as error:
            self.unreadable = (f"a LastChange cannot be read: {error.args[0]}",)
            return
        self.unreadable = tuple(f"left out of a LastChange: {it}" for it in found.problems)
        if found.is_log:
            details.extend(
                Change(
                    entry.variable, dict(entry.attributes), None, None, entry.channel, entry.text
                )
                for entry in found.entries
            )
            return
        del changes["LastChange"]
        self.values.pop("LastChange", None)
        if initial:
            # An initial event names all valid instances (LC-07); 0 is always valid.
            valid = {0, *(entry.instance for entry in found.entries)}
            self.instances = {k: v for k, v in self.instances.items() if k[1] in valid}
        for entry in found.entries:
            if entry.variable:
                self._tell(entry, changes, details)
            elif entry.instance and not initial:
                # An instance that is named without variables has gone.
                gone = entry.instance
                self.instances = {k: v for k, v in self.instances.items() if k[1] != gone}

    def _tell(
        self, entry: LastChangeEntry, changes: dict[str, object], details: list[Change]
    ) -> None:
        instance, name, channel, text, _ = entry
        key = (name, instance, channel)
        previous = self.instances.get(key)
        value: object = text
        if self.convert is not None:
            try:
                value = self.convert[name](text)
            except (KeyError, ValueError):
                details.append(Change(name, None, previous, instance, channel, text))
                return
        details.append(Change(name, value, previous, instance, channel, text))
        if key in self.instances or len(self.instances) < self.limits.fold_keys:
            self.instances[key] = value
        if instance == 0 and (channel is None or channel.lower() == MASTER.lower()):
            changes[name] = value

    @property
    def full_state(self) -> dict[StateKey, object]:
        """The current state of all instances and channels, a copy."""
        told = {name for name, instance, _ in self.instances if instance == 0}
        state: dict[StateKey, object] = {
            (name, None, None): value for name, value in self.values.items() if name not in told
        }
        return {**state, **self.instances}

    def __repr__(self) -> str:
        return f"<SubscriptionRecord {self.event_url} {self.state.name} {self.sid}>"
