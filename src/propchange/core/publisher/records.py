"""What the publisher keeps for each service, endpoint and subscription (UDA 2.0 §4.1.2)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass
from decimal import Decimal
from functools import partial
from itertools import chain
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from propchange.core.limits import Limits
from propchange.core.multicast.publication import MulticastService
from propchange.core.publisher.backlog import (
    Accumulate,
    Backlog,
    GuardedMerge,
    GuardedRule,
    MergeRule,
    Replace,
)
from propchange.core.publisher.delivery_share import DeliveryShare
from propchange.core.publisher.moderation import Moderation
from propchange.core.publisher.outcomes import MergeFailed
from propchange.core.publisher.states import PUBLISHER, PublisherInput, PublisherState
from propchange.core.record import Record
from propchange.core.values.merging import Fold
from propchange.core.wire.messages import (
    DeliveryAddress,
    Endpoint,
    EventMessage,
    canonical_host,
)
from propchange.core.wire.propertyset import check_variable_name
from propchange.core.wire.xml import check_carried

if TYPE_CHECKING:
    from propchange.core.values.state_variables import StateVariable


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class EventedVariable(Record):
    """An evented state variable, declared to the publisher.

    ``text`` is its value on the wire until the first update. ``minimum_interval`` (seconds) and
    ``minimum_delta`` moderate it (UDA 2.0 §4.3.1). ``merge`` says how changes that wait are
    merged: None replaces the older by the newer, a function makes one text of two, and a
    :class:`.Fold` is a function that merges by key. With a ``level`` the variable is evented by
    multicast too, with that LVL (UDA 2.0 §4.3.3); None: by unicast alone.
    """

    text: str
    minimum_interval: float | None = None
    minimum_delta: Decimal | float | None = None
    merge: Callable[[str, str], str] | None = None
    level: str | None = None

    def rule(self, limits: Limits, guard: GuardedMerge | None = None) -> MergeRule:
        """A merge rule for this variable, with ``text`` as the first value. ``guard`` guards
        ``merge``, if given."""
        if self.merge is None:
            return Replace(self.text)
        if isinstance(self.merge, Fold):
            rule = self.merge.rule(self.text, limits)
            return rule if guard is None else GuardedRule(rule, guard, self.text)
        return Accumulate(self.text, guard or self.merge, keep=2 * limits.waiting_messages)

    def moderation(self) -> Moderation | None:
        """The moderation of this variable, new; None when it is not moderated."""
        if self.minimum_interval is None and self.minimum_delta is None:
            return None
        return Moderation(self.minimum_interval, self.minimum_delta)


def evented_variable(
    variable: StateVariable[Any], text: str, *, multicast: bool = False
) -> EventedVariable:
    """``variable`` of a service, whose value is ``text`` on the wire, declared to the publisher.
    ``multicast``: its events may be sent by multicast too."""
    return EventedVariable(
        text,
        minimum_interval=variable.minimum_interval,
        minimum_delta=variable.minimum_delta,
        merge=variable.merge,
        level=variable.level if multicast and variable.multicast else None,
    )


class PublishedService:
    """One event URL, with its evented variables, its backlog and its subscriptions.

    ``report`` gets an outcome when a merge rule of the application fails. Raises ValueError without
    a variable, for a name that cannot be the name of an XML element, and for a text that XML cannot
    carry.
    """

    def __init__(
        self,
        path: str,
        variables: Mapping[str, EventedVariable],
        limits: Limits,
        report: Callable[[MergeFailed], None] = lambda _: None,
    ) -> None:
        if not variables:
            raise ValueError(
                f"the service at {path} has no evented variable, so nobody can subscribe to it: "
                "declare a variable that is evented, or give it no event URL (UDA 2.0 §4.1.1)"
            )
        self.folds: dict[str, Fold] = {}
        for name, variable in variables.items():
            check_variable_name(name)
            check_carried(variable.text, name)
            if isinstance(variable.merge, Fold):
                variable.merge.read(variable.text)
                self.folds[name] = variable.merge
        self.path = path
        self.texts = {name: variable.text for name, variable in variables.items()}
        self.merges = {name: v.merge for name, v in variables.items() if v.merge is not None}
        self.guarded_merges = {
            name: GuardedMerge(name, merge, partial(self._merge_failed, report, name))
            for name, merge in self.merges.items()
        }
        """The functions in ``merges``, guarded: for merging outside of a call of the application,
        where an exception has no caller."""
        self.moderations = {
            name: moderation
            for name, variable in variables.items()
            if (moderation := variable.moderation()) is not None
        }
        self.backlog = Backlog(
            {
                name: variable.rule(limits, self.guarded_merges.get(name))
                for name, variable in variables.items()
            },
            waiting=limits.waiting_messages,
        )
        self.multicast: MulticastService | None = None
        """The multicast events of this service; None when no variable has a level."""
        self.subscriptions: dict[str, Subscription] = {}
        self.quiet: dict[Subscription, None] = {}
        """Subscriptions that were sent everything when they were put here."""
        self.queued = False
        """Whether the service waits in the queue, for the subscriptions in ``quiet``."""

    def _merge_failed(self, report: Callable[[MergeFailed], None], name: str, reason: str) -> None:
        report(MergeFailed(self.path, name, reason))

    def initial_event(self, wanted: frozenset[str] | None) -> EventMessage:
        """The initial event for one subscription. Moderation takes note of the values in it."""
        message = self.backlog.initial(wanted)
        if self.moderations:
            for name, text in message.changes:
                if name in self.moderations:
                    self.moderations[name].shown(text)
        return message


class WaitingSubscriptions:
    """The subscriptions that wait for an attempt at one endpoint, in order. Those of the endpoint's
    own host come before those of other hosts, which may have named a victim."""

    __slots__ = ("_others", "_own")

    def __init__(self) -> None:
        # None saves memory: at most endpoints no subscription ever waits.
        self._own: OrderedDict[Subscription, None] | None = None
        self._others: OrderedDict[Subscription, None] | None = None

    def add(self, subscription: Subscription, *, own: bool) -> None:
        """Add ``subscription`` at the end. ``own``: it is a subscription of the endpoint's host."""
        if own:
            if self._own is None:
                self._own = OrderedDict()
            self._own[subscription] = None
        else:
            if self._others is None:
                self._others = OrderedDict()
            self._others[subscription] = None

    def __iter__(self) -> Iterator[Subscription]:
        return chain(self._own or (), self._others or ())

    def discard(self, subscription: Subscription) -> bool:
        """Remove ``subscription``. False if it does not wait here."""
        for each in (self._own, self._others):
            if each is not None and subscription in each:
                del each[subscription]
                return True
        return False

    def pop(self) -> Subscription:
        """Remove and return the first subscription. At least one must wait."""
        first = self._own or self._others
        assert first is not None
        return first.popitem(last=False)[0]

    def take_all(self) -> list[Subscription]:
        """Remove and return all, in their order."""
        everything = [*self]
        self._own = self._others = None
        return everything

    def __len__(self) -> int:
        return len(self._own or ()) + len(self._others or ())


NOBODY = WaitingSubscriptions()
"""The ``waiting`` of each endpoint that no subscription waits for. It stays empty. It is one object
for all of them, because the garbage collector visits each object."""


class EndpointLoad:
    """The attempts in flight to one (address, port), and the subscriptions that wait for one.

    ``users`` counts the delivery URLs that lead there. ``most`` attempts may be in flight at once.
    ``taken`` is the time of the last event that the endpoint took, -inf before the first.
    ``failures`` counts the failed attempts since. ``share`` is the share of the connections that an
    unproven or failing endpoint is in (:mod:`.delivery_queue`), None for other endpoints.
    ``origin`` is the address of the subscriber, as :func:`.origin_of` gives it. No attempt begins
    while the endpoint is ``paused``, until the time ``paused_until``. Its failures are remembered
    until ``remembered_until``, even if no subscription names it any more.
    """

    __slots__ = (
        "endpoint",
        "failures",
        "in_flight",
        "most",
        "origin",
        "paused",
        "paused_until",
        "remembered_until",
        "share",
        "taken",
        "users",
        "waiting",
    )

    def __init__(self, endpoint: Endpoint, origin: tuple[Hashable, ...]) -> None:
        self.endpoint = endpoint
        self.origin = origin
        self.share: DeliveryShare[EndpointLoad] | None = None
        self.most = 0
        self.in_flight = 0
        self.users = 0
        self.taken = -inf
        self.failures = 0
        self.paused = False
        self.paused_until = -inf
        self.remembered_until = -inf
        self.waiting = NOBODY

    def wait(self, subscription: Subscription, *, own: bool) -> None:
        """Let ``subscription`` wait for an attempt. ``own``: it is one of the endpoint's host."""
        if self.waiting is NOBODY:
            self.waiting = WaitingSubscriptions()
        self.waiting.add(subscription, own=own)

    def is_on(self, peer: Endpoint) -> bool:
        """Whether the endpoint is on the host ``peer``."""
        # The host of an endpoint is in the canonical form. That of a peer nearly always is.
        host = self.endpoint.host
        return host == peer.host or host == canonical_host(peer.host)

    @property
    def proven(self) -> bool:
        """Whether the endpoint has ever taken an event."""
        return self.taken > -inf


class Route(NamedTuple):
    """One delivery URL of one subscription."""

    address: DeliveryAddress
    load: EndpointLoad


@dataclass(slots=True, eq=False, repr=False)
class Subscription:
    """One subscription at the publisher. Only the publisher writes its attributes.

    ``peer`` is the address that the SUBSCRIBE came from, with port 0. ``duration`` was granted, in
    seconds; ``expires`` is a time of the clock of the publisher. ``wanted`` are the variables of an
    accepted STATEVAR, None for all. ``seq`` is the SEQ of the next message. ``heard``: the initial
    event was answered with 2xx. ``cursor`` and ``merge_at`` belong to :class:`.Backlog`.
    ``message`` is the message in flight, until ``message_deadline``. ``route`` is the index of the
    delivery URL that is tried. ``fresh`` asks for a connection that has carried no request before.
    ``refusals`` counts the answers other than 2xx since the last 2xx, from endpoints that take the
    events of other subscriptions. ``took_event``: an endpoint has taken an event of this
    subscription.
    """

    sid: str
    service: PublishedService
    routes: tuple[Route, ...]
    _: KW_ONLY
    peer: Endpoint
    wanted: frozenset[str] | None
    duration: int = 0
    expires: float = 0.0
    state: PublisherState = PublisherState.ANSWERING
    seq: int = 0
    heard: bool = False
    cursor: int = 0
    merge_at: int | None = None
    message: EventMessage | None = None
    message_deadline: float = 0.0
    route: int = 0
    fresh: bool = False
    refusals: int = 0
    took_event: bool = False

    @property
    def callbacks(self) -> tuple[str, ...]:
        """The delivery URLs in the order of CALLBACK."""
        return tuple(route.address.url.url for route in self.routes)

    @property
    def waits_for_report(self) -> bool:
        """Whether it is not known yet if the answer to the SUBSCRIBE has left."""
        return PUBLISHER.allows(self.state, PublisherInput.ANSWER_LOST)

    def next_url(self, first: int) -> int | None:
        """The index of the first delivery URL from ``first`` on whose endpoint is not paused. None
        if there is none."""
        routes = self.routes
        return next((i for i in range(first, len(routes)) if not routes[i].load.paused), None)

    def __repr__(self) -> str:
        return f"<Subscription {self.sid} {self.state.name} SEQ {self.seq}>"
