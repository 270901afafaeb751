"""The record of one subscription at the subscriber (UDA 2.0 §4.1.2)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from math import inf
from types import MappingProxyType
from typing import NamedTuple

from propchange.core.limits import Limits
from propchange.core.subscriber.callback_address import Sources
from propchange.core.subscriber.current_values import (
    LARGE,
    InstanceValues,
    LargeValues,
    StateKey,
    no_room,
)
from propchange.core.subscriber.events import (
    Cause,
    Change,
    Convert,
    Event,
    Sequence,
    Status,
    read_changes,
)
from propchange.core.subscriber.states import GRANTED, SUBSCRIBER, SubscriberInput, SubscriberState
from propchange.core.token_bucket import TokenBucket
from propchange.core.values.lastchange import (
    CDS_EVENT,
    MASTER,
    LastChange,
    LastChangeEntry,
    LastChangeFold,
    is_master,
    parse_lastchange,
)
from propchange.core.values.merging import CONTAINERS, Merge
from propchange.core.values.repeated_lastchange import RepeatedLastChange
from propchange.core.wire.messages import Endpoint, Response
from propchange.core.wire.propertyset import RepeatedBody
from propchange.errors import RemoteProtocolError
from propchange.printable import printable


class Deafness(NamedTuple):
    """The first of several grants in a row without an event: when its SUBSCRIBE was sent and
    granted, the address in CALLBACK, and whether the device had connected, with how many empty and
    rejected connections. ``new_sid`` is the SID of a renewal's answer that owed the event, if one
    did."""

    asked_at: float
    granted_at: float
    advertised: Endpoint
    heard: bool
    empty: int
    turned_away: int
    new_sid: str | None


class Grant(NamedTuple):
    """A grant, by the answers to SUBSCRIBE and to the last renewal.

    ``asked_at`` is when the SUBSCRIBE was sent, ``granted_at`` when it was answered. ``duration``
    and ``expires``, a time, are ``inf`` for an infinite grant. ``interval`` is the time between
    renewals, in seconds: a shorter outage may go unseen.
    """

    asked_at: float
    granted_at: float
    duration: float
    expires: float
    interval: float
    accepted: tuple[str, ...] | None


class Outage(NamedTuple):
    """Renewals in a row without an answer: when the first and the last of them failed, and why the
    last one did. ``unreachable``: at least one did not reach the device, or got nothing from it."""

    since: float
    failed_at: float
    unreachable: bool
    reason: str = ""


class Loss(NamedTuple):
    """Events of one grant that are known to be lost. ``cause``, ``reason`` and the time ``at`` are
    those of the first event. ``seq`` is the highest SEQ, None if not known."""

    cause: Cause
    reason: str
    at: float
    seq: int | None = None
    certain: bool = True
    """False for a doubt that a later event can end."""


class Repair(NamedTuple):
    """A fresh subscription that restores the state after a loss: its time, and its number in a
    row."""

    at: float
    in_a_row: int


class WastedConnections(NamedTuple):
    """Connections of the device without a request since the last event: their number, their
    ``weight`` as connections without any bytes, and the end of the last one."""

    connections: int
    weight: int
    at: float


class FailedAttempt(NamedTuple):
    """How the last attempt to subscribe failed: in words, and the HTTP status, 0 for none."""

    reason: str
    status: int


class Advertised(NamedTuple):
    """The delivery URL of the last SUBSCRIBE: its authority, CALLBACK, the endpoint, whose host may
    be a name, and the address of this machine that the SUBSCRIBE left from, None once this
    machine has lost that address."""

    authority: str
    callback: str
    endpoint: Endpoint
    source: Endpoint | None


# As ``in``, without the method of Changes: 70 of 125 ns.
_has = dict.__contains__

STANDARD_MERGES: Mapping[str, Merge] = MappingProxyType(
    {"ContainerUpdateIDs": CONTAINERS, "LastChange": LastChangeFold(CDS_EVENT)}
)
"""The merge rules of the variables of ContentDirectory whose texts are lists of changes. The values
in the LastChange of another service merge one by one."""

_UNREADABLE = 8
"""Sentences about one event that cannot be read in full. An attacker can cause any number."""


@dataclass(slots=True, eq=False, repr=False)
class SubscriptionRecord:
    """One subscription, over all the SIDs that it has had. Read it; only the protocol writes it.

    ``values`` is the current state: variable -> typed value. ``status``, ``status_cause`` and
    ``status_reason`` are those of the last status change.
    """

    event_url: str
    """The URL to which SUBSCRIBE is sent."""
    _: KW_ONLY
    persistent: bool
    """Whether SUBSCRIBE is sent again when the first one fails."""
    describable: bool
    """Whether the runtime can read the description again."""
    device: Hashable
    """The key of its device, as given to :meth:`.SubscriberProtocol.subscribe`."""
    convert: Convert | None
    """Variable -> the function from text to value; None: values are texts."""
    duration_wanted: int
    """The duration in TIMEOUT of a SUBSCRIBE, in seconds."""
    limits: Limits
    """The caps of its control point."""
    begun_at: float
    """Time at which the program has asked for it."""
    statevar: tuple[str, ...] = ()
    """The variables in STATEVAR; empty: all."""
    must_describe: bool = False
    """Whether the description is read before the next SUBSCRIBE."""
    owes_event: bool = True
    """Whether the device owes an initial event: False if its service description declares no
    evented variable."""
    minimum_interval: float | None = None
    """Seconds between two events for the program; None: no rule."""
    merges: Mapping[str, Merge] = field(default_factory=lambda: STANDARD_MERGES)
    """Variable -> how its texts are merged; of the others the newer text replaces the older."""

    state: SubscriberState = SubscriberState.WAITING
    """The state of the protocol. ``status`` is made of it for the program."""
    status: Status = Status.SUBSCRIBING
    """The present status."""
    status_cause: Cause | None = None
    """The cause of the last change of the status; None before one."""
    status_reason: str = ""
    """The reason of that change in words."""
    sid: str = ""
    """The SID of the last grant; empty before the first."""
    path: str = ""
    """The path of the delivery URL; empty when no event is expected."""
    former_path: str = ""
    """The path of the former grant."""
    advertised: Advertised | None = None
    """The delivery URL of the last SUBSCRIBE; None before the first."""
    sources: Sources = field(default_factory=Sources)
    """The address that the next SUBSCRIBE leaves from."""
    slow: bool = False
    """Whether an initial event came after its SID had been given back."""
    late_sids: list[str] = field(default_factory=list)
    """SIDs that were given back because no initial event had come. A late event for one sets
    ``slow``."""
    remote: Endpoint | None = None
    """The device's end of the connection on which the last SUBSCRIBE was answered."""
    device_host: str | None = None
    """The address of the device, from which its events should come; None without a grant."""
    grant: Grant | None = None
    """The last grant. It is valid while the state says so."""
    outage: Outage | None = None
    """The renewals without an answer since the last one that was answered."""
    failure: FailedAttempt | None = None
    """None after a grant."""
    failures: int = 0
    """Requests in a row that have failed. The wait before the next one grows with it."""
    bucket: TokenBucket = field(init=False)
    """The rate of its SUBSCRIBE requests."""
    sequence: Sequence = field(default_factory=Sequence)
    """The SEQ of the last event, and the expected one."""
    unreliable_reported: bool = False
    """Whether an outcome has said that SEQ is wrong at this device."""
    foreign_sources: set[str] = field(default_factory=set)
    """Addresses other than the device's from which an event came and was reported."""
    head: object | None = None
    """The head of the last message that was accepted."""
    answer: Response = field(init=False)
    """The answer to that message. A message with the same head gets it too."""
    form: RepeatedBody | None = None
    """What is around the text in the bodies of its messages."""
    forms: int = 0
    """The number of bodies from which a form was learned."""
    last_change_form: RepeatedLastChange | None = None
    """What is around the values in its LastChanges."""
    last_change_forms: int = 0
    """The number of LastChanges from which a form was learned."""
    deafness: Deafness | None = None
    """The first grant in a row without an event; None once an event has come."""
    confirmed_at: float = -inf
    """Time at which the last SUBSCRIBE or renewal was sent that the device has granted."""
    renewals: int = 0
    """The number of renewals that were granted."""
    former_sids: tuple[str, ...] = ()
    """The SIDs that this grant had before a renewal was answered with another one."""
    awaits_new_sid: bool = False
    """Whether no event has come for the SID that replaced the last of ``former_sids``."""
    gaps: int = 0
    """The number of gaps in SEQ."""
    losses: int = 0
    """Event messages that are known to be lost."""
    loss: Loss | None = None
    """The known losses of this grant; None if ``values`` are right as far as this side knows."""
    doubt: Loss | None = None
    """An event that was not taken, and that the device may send again."""
    repair: Repair | None = None
    """The last fresh subscription after a loss."""
    wasted: WastedConnections | None = None
    """The connections without a request since the last event."""
    wasted_most: int = field(init=False)
    """The number of wasted connections that count as a lost event."""
    doubted: dict[str, object] | None = None
    """The values before a repair for wasted connections. If the initial event has the same values,
    these connections were no events."""
    last_event_at: float | None = None
    """Time of the last event; None before the first."""
    events: int = 0
    """The number of event messages that were taken."""
    merged: int = 0
    """The number of events that were merged into others, because of ``minimum_interval`` or because
    the program reads them slowly."""
    values: dict[str, object] = field(default_factory=dict)
    """The current state: variable -> value."""
    instances: InstanceValues = field(init=False)
    """The part of the state that came by LastChange."""
    large: LargeValues = field(init=False)
    """The sizes of the long texts in the state."""
    unreadable: tuple[str, ...] = ()
    """The unreadable parts of the last event, a sentence each."""
    problems: tuple[str, ...] = ()
    """A sentence for each kind of deviation that was mended in the events."""
    polled: bool = False
    """Whether its values are polled, because no events come."""
    stale: str = ""
    """The reason for which the last LastChange could not be read at all, so that its variables may
    be out of date. Empty if it was read."""

    def __post_init__(self) -> None:
        burst, refill = self.limits.subscribe_burst, self.limits.subscribe_refill_seconds
        self.bucket = TokenBucket(burst, refill, self.begun_at)
        self.wasted_most = self.limits.wasted_connections
        self.large = LargeValues(self.limits.state_characters)
        self.instances = InstanceValues(self.limits.fold_keys, self.large)

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
        has_sid = self.state in GRANTED or self.state is SubscriberState.CLOSING
        return self.grant.granted_at if self.grant and has_sid else None

    @property
    def duration_granted(self) -> float | None:
        """The granted duration in seconds; None while nothing is granted."""
        return self.grant.duration if self.grant and self.state in GRANTED else None

    @property
    def expires(self) -> float | None:
        """When the grant ends, in seconds of the runtime's clock, ``inf`` for an infinite one;
        None while nothing is granted."""
        return self.grant.expires if self.grant and self.state in GRANTED else None

    @property
    def interval(self) -> float:
        """Seconds between renewals, as last granted; ``inf`` before the first grant."""
        return inf if self.grant is None else self.grant.interval

    @property
    def accepted(self) -> tuple[str, ...] | None:
        """The variables that the device has accepted to event alone; None when it events all."""
        return None if self.grant is None else self.grant.accepted

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
        """The endpoint in CALLBACK, whose host may be a name; None before the first SUBSCRIBE."""
        return None if self.advertised is None else self.advertised.endpoint

    @property
    def wanting(self) -> Status:
        """The status while a SUBSCRIBE is wanted: SUBSCRIBING before the first grant."""
        return Status.RESUBSCRIBING if self.grant is not None else Status.SUBSCRIBING

    def decode(
        self,
        seq: int | None,
        pairs: tuple[tuple[str, str], ...],
        *,
        initial: bool,
        problems: tuple[str, ...] = (),
    ) -> Event:
        """The event of a propertyset, with typed values. Updates ``values``. ``problems`` are the
        problems of the propertyset.

        A text that does not fit its type, or a variable that is not declared, is in ``details``
        with the value None and changes nothing else (XML-06). A LastChange, declared or not, is in
        ``details`` as received, and then each value in it. ``changes`` has the values of its
        instance 0, in the channel Master or in none.
        """
        values = self.values
        convert = self.convert
        # GMediaRender's ConnectionManager sends a LastChange that it does not declare.
        changes, details = read_changes(pairs, convert, values, undeclared=("LastChange",))
        if _has(changes, "LastChange"):
            problems = (*problems, *self._expand(changes, details, initial=initial))
        elif self.unreadable:
            self.unreadable, self.stale = (), ""
        ordinary = not self.large.sizes and (
            convert is not None or len(values) + len(changes) <= self.limits.fold_keys
        )
        for _, text in pairs:
            if len(text) > LARGE:
                ordinary = False
        if ordinary:
            values.update(changes)
        elif left_out := self._keep(changes, details):
            problems = (*problems, no_room(left_out))
        event = Event(self, self.sid, seq, changes, tuple(details))
        event.received = pairs
        if initial:
            event.is_initial = True  # as a keyword it makes receiving any NOTIFY 5 % slower
        if problems:
            event.problems = tuple(dict.fromkeys(problems))
        return event

    def _keep(self, changes: Mapping[str, object], details: list[Change]) -> list[str]:
        """Update ``values`` if they may have too many characters, or too many names without a
        description. Returns the variables without room. They lose their value, which would be out
        of date."""
        values, left_out = self.values, []
        sizes = {
            variable: len(text)
            for variable, _, _, instance, channel, text in details
            if not instance and is_master(channel)
        }
        for name, value in changes.items():
            room = self.convert is not None or name in values
            if not room and len(values) >= self.limits.fold_keys:
                left_out.append(name)
            elif self.large.fits(name, sizes.get(name, 0)):
                values[name] = value
            else:
                left_out.append(name)
                values.pop(name, None)
        return left_out

    def place_of(self, name: str) -> tuple[int | None, str | None]:
        """The instance and the channel of the value of ``name``. Both are None if no LastChange has
        brought the variable."""
        channels = self.instances.channels(name, 0)
        if not channels:
            return None, None
        return 0, next(filter(is_master, channels), "Master")

    def take_polled(self, changes: Mapping[str, object], details: list[Change]) -> list[str]:
        """Update ``values`` by polled values. Returns the variables without room."""
        left_out: list[str] = []
        for variable, value, _, instance, channel, text in details:
            if instance is not None and value is not None:
                key = (variable, instance, channel)
                if not self.instances.put(key, value, len(text)):
                    left_out.append(variable)
        return [*left_out, *self._keep(changes, details)]

    def _expand(
        self, changes: dict[str, object], details: list[Change], *, initial: bool
    ) -> tuple[str, ...]:
        """Replace the LastChange in ``changes`` by the values in it, and add them to ``details``.
        Several LastChanges in one message are applied in order. Returns the problems."""
        found: list[LastChange] = []
        unreadable: list[str] = []
        if self.stale:
            self.stale = ""
        for text in [change.value for change in details if change.variable == "LastChange"]:
            if not isinstance(text, str) or not text.strip():
                continue  # a vendor's own variable of this name, or empty
            try:
                found.append(parse_lastchange(text, self.limits))
            except RemoteProtocolError as error:
                reason = f"a LastChange cannot be read: {error.args[0]}"
                unreadable.append(reason)
                if text.lstrip().startswith(("<", "&lt;")):  # else it is no XML: a vendor's own
                    self.stale = self.stale or reason
            else:
                unreadable += [f"left out of a LastChange: {it}" for it in found[-1].problems]
        if unreadable or self.unreadable:
            self.unreadable = tuple(map(printable, unreadable[:_UNREADABLE]))
        state = [each for each in found if not each.is_log]
        if state:
            del changes["LastChange"]
            self.values.pop("LastChange", None)
            self.large.forget("LastChange")
        if state and initial:
            # An initial event names all valid instances (LC-07); 0 is always valid.
            named = {entry.instance for each in state for entry in each.entries}
            self.instances.keep({0, *named})
        left_out: list[str] = []
        problems: tuple[str, ...] = ()
        for each in found:
            if each.mended:
                problems += each.mended
            if each.is_log:
                for _, name, channel, logged, attributes in each.entries:
                    details.append(Change(name, dict(attributes), None, None, channel, logged))
                continue
            for entry in each.entries:
                if entry.variable:
                    if not self._change(entry, changes, details):
                        left_out.append(entry.variable)
                elif (gone := entry.instance) and not initial:
                    # An instance that is named without variables has gone.
                    self.instances.remove(gone)
        return (*problems, no_room(left_out)) if left_out else problems

    def _change(
        self, entry: LastChangeEntry, changes: dict[str, object], details: list[Change]
    ) -> bool:
        """Take one value. False if there is no room for it in the state."""
        instance, name, channel, text, _ = entry
        key = (name, instance, channel)
        previous = self.instances.get(key)
        value: object = text
        if self.convert is not None:
            try:
                value = self.convert[name](text)
            except Exception:  # noqa: BLE001 - a program's function may raise anything
                details.append(Change(name, None, previous, instance, channel, text))
                return True
        # As Change(…), see read_changes().
        change = (name, value, previous, instance, channel, text)
        details.append(tuple.__new__(Change, change))
        if instance == 0 and (channel == MASTER or is_master(channel)):
            changes[name] = value
        return self.instances.put(key, value, len(text))

    @property
    def full_state(self) -> dict[StateKey, object]:
        """The current state of all instances and channels, a copy."""
        instances = self.instances.flat()
        expanded = {name for name, instance, _ in instances if instance == 0}
        state: dict[StateKey, object] = {
            (name, None, None): value for name, value in self.values.items() if name not in expanded
        }
        return {**state, **instances}

    def __repr__(self) -> str:
        return f"<SubscriptionRecord {self.event_url} {self.state.name} {self.sid}>"
