"""The multicast events that a publisher sends beside its unicast ones (UDA 2.0 §4.3.1, §4.3.3).

A change of a multicast variable that passes moderation is sent by UDP too. The architecture leaves
some points open. These are the decisions:

- SEQ counts per service, for all levels together (AMB-8). It counts messages that are sent.
- The variables of one change that have the same level are one event. Each level is an event of its
  own, since a message has one LVL.
- An event that does not fit one datagram on every scope is split, in the order of the change. A
  variable that does not fit alone is sent by unicast only, with the outcome
  :class:`MulticastTooLarge`.
- If the runtime does not call :meth:`MulticastPublication.take` for a while, or the service is held
  (:mod:`propchange.core.publisher.event_holds`), at most ``Limits.waiting_messages`` events per
  level wait. Further changes are merged into the last one. A waiting event has no SEQ yet.
- A retransmission is the same message, with the same SEQ and BOOTID. Moderation does not count it
  (MC-24). A message with a former boot id is not sent again: receivers would refuse it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from propchange.core.limits import Limits
from propchange.core.multicast.message import (
    Datagram,
    MulticastMessage,
    MulticastScope,
    ServiceIdentity,
)
from propchange.core.record import Record
from propchange.core.values.state_variables import check_level
from propchange.core.wire.headers import next_seq
from propchange.core.wire.propertyset import format_propertyset

_LARGEST_BOOT_ID = 2**31 - 1

_HOPS = {
    MulticastScope.IPV4: 2,
    MulticastScope.LINK_LOCAL: 2,
    MulticastScope.SITE_LOCAL: 10,
    MulticastScope.GLOBAL: 254,
}
"""The TTL or hop limit of each scope, unless a policy sets another (MC-17, V6-11)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class MulticastPolicy(Record):
    """The groups that multicast events are sent to, the retransmissions, and the TTL.

    ``scopes``: the groups, at least one. The IPv6 scopes must be those of the device's
    advertisements. Every message is sent ``retransmissions`` (0 to 10) more times, ``interval``
    seconds apart. ``hops`` (1 to 255) is the TTL over IPv4 and the hop limit over IPv6; None:
    2 over IPv4 and on the link, 10 in the site, 254 in the whole network (UDA 2.0 §4.2, §A.2; UDA
    1.1 §A.2). Raises ValueError for other values, TypeError for a scope that is no MulticastScope.
    """

    scopes: tuple[MulticastScope, ...] = (
        MulticastScope.IPV4,
        MulticastScope.LINK_LOCAL,
        MulticastScope.SITE_LOCAL,
    )
    retransmissions: int = 0
    interval: float = 0.2
    hops: int | None = None

    def __post_init__(self) -> None:
        for scope in self.scopes:
            if not isinstance(scope, MulticastScope):
                known = ", ".join(str(each) for each in MulticastScope)
                raise TypeError(f"a scope is one of {known}, not {scope!r}")
        if not self.scopes or len(set(self.scopes)) < len(self.scopes):
            raise ValueError("multicast events go to at least one scope, and once to each")
        if not 0 <= self.retransmissions <= 10:
            raise ValueError(f"a message is sent again 0 to 10 times, not {self.retransmissions}")
        if not 0 < self.interval < math.inf:
            raise ValueError(f"an interval is a number of seconds above 0, not {self.interval}")
        if self.hops is not None and not 1 <= self.hops <= 255:
            raise ValueError(f"a TTL is from 1 to 255, not {self.hops}")

    @classmethod
    def of(cls, policy: MulticastPolicy | None) -> MulticastPolicy:
        """``policy``, or the default one. Raises TypeError for anything else."""
        if policy is None:
            return cls()
        if not isinstance(policy, MulticastPolicy):
            raise TypeError(f"multicast is a MulticastPolicy(…), not {policy!r}")
        return policy

    def check(self, uda: str) -> None:
        """Raises ValueError for a scope that version ``uda`` of the architecture does not have."""
        if uda == "2.0" and MulticastScope.GLOBAL in self.scopes:
            raise ValueError("UDA 2.0 has no multicast of global scope (§A.2)")

    def hops_of(self, scope: MulticastScope) -> int:
        """The TTL or hop limit of a datagram of ``scope``."""
        return _HOPS[scope] if self.hops is None else self.hops


@dataclass(slots=True, eq=False, repr=False)
class MulticastTooLarge(Record):
    """The new value of ``variable`` was sent by unicast only: its datagram would have
    ``payload_bytes`` bytes, more than the allowed ``most_bytes`` (MC-14)."""

    service: str
    variable: str
    payload_bytes: int
    most_bytes: int


@dataclass(slots=True, eq=False, repr=False)
class MulticastMerged(Record):
    """``updates`` changes were merged into the event ``seq``, because the runtime was behind."""

    service: str
    level: str
    seq: int
    updates: int


@dataclass(slots=True, eq=False, repr=False)
class _Waiting(Record):
    """One event that has no SEQ yet."""

    service: MulticastService
    level: str
    texts: dict[str, str]
    version: int
    updates: int = 1


@dataclass(slots=True, eq=False, repr=False)
class MulticastService:
    """One service with multicast variables. ``levels`` maps variables to levels. ``seq`` is the SEQ
    of its next event. Events of changes after the version ``held_after`` wait; None: no event
    waits. Made by :meth:`MulticastPublication.service`."""

    path: str
    identity: ServiceIdentity
    levels: dict[str, str]
    merges: Mapping[str, Callable[[str, str], str]]
    seq: int = 0
    held_after: int | None = None
    usn: str = field(init=False)
    waiting: dict[str, deque[_Waiting]] = field(init=False)

    def __post_init__(self) -> None:
        self.usn = self.identity.usn
        self.waiting = {level: deque() for level in self.levels.values()}


class _Again(NamedTuple):
    """A message that is sent again at ``due``, and ``times`` times in all."""

    message: MulticastMessage
    times: int
    due: float


class MulticastPublication:
    """The multicast events of one publisher. ``boot_id`` returns the current BOOTID.UPNP.ORG; it
    may be None without multicast variables. ``report`` is called with each outcome."""

    def __init__(
        self,
        policy: MulticastPolicy,
        limits: Limits,
        boot_id: Callable[[], int] | None,
        report: Callable[[MulticastMerged | MulticastTooLarge], None],
    ) -> None:
        self._policy = policy
        self._limits = limits
        self._boot_id = boot_id
        self._report = report
        self._waiting: deque[_Waiting] = deque()
        # In the order of their deadlines, since the interval is always the same.
        self._again: deque[_Again] = deque(maxlen=limits.waiting_retransmissions)
        self._due: deque[MulticastMessage] = deque(maxlen=limits.waiting_retransmissions)

    def service(
        self,
        path: str,
        identity: ServiceIdentity | None,
        levels: Mapping[str, str],
        merges: Mapping[str, Callable[[str, str], str]],
    ) -> MulticastService:
        """A service whose variables in ``levels`` (variable -> level, at least one) are multicast.

        Raises ValueError without an identity or a boot id, and for a text that is no level."""
        if identity is None or self._boot_id is None:
            needs = "the identity of the service and a boot_id (UDA 2.0 §4.3.3)"
            raise ValueError(f"{path}: multicast events need {needs}")
        for level in levels.values():
            check_level(level)
        return MulticastService(path, identity, dict(levels), merges)

    def changed(
        self, service: MulticastService, changes: Mapping[str, str], version: int = 0
    ) -> None:
        """Queue the multicast variables among ``changes``, which were just evented. ``version`` is
        the number of the change in the :class:`.Backlog` of the service."""
        by_level: dict[str, dict[str, str]] = {}
        for name, text in changes.items():
            level = service.levels.get(name)
            if level is not None:
                by_level.setdefault(level, {})[name] = text
        for level, texts in by_level.items():
            waiting = service.waiting[level]
            if len(waiting) < self._limits.waiting_messages:
                event = _Waiting(service, level, texts, version)
                waiting.append(event)
                self._waiting.append(event)
                continue
            last = waiting[-1]
            last.updates += 1
            for name, text in texts.items():
                merge = service.merges.get(name)
                older = last.texts.get(name)
                last.texts[name] = text if merge is None or older is None else merge(older, text)

    def take(self, now: float) -> list[Datagram]:
        """The datagrams to send now, in order. Those of one message follow each other."""
        messages = [*self._due]
        self._due.clear()
        waiting, self._waiting = self._waiting, deque()
        for event in waiting:
            held_after = event.service.held_after
            if held_after is not None and event.version > held_after:
                self._waiting.append(event)
                continue
            event.service.waiting[event.level].popleft()
            for message in self._messages(event):
                messages.append(message)
                self._repeat(message, self._policy.retransmissions, now)
        return [Datagram(message, scope) for message in messages for scope in self._policy.scopes]

    def _messages(self, event: _Waiting) -> Iterator[MulticastMessage]:
        """The messages of one event, each with the next SEQ of its service."""
        service = event.service
        fitting: MulticastMessage | None = None
        texts: dict[str, str] = {}
        for name, text in event.texts.items():
            texts[name] = text
            message = self._message(event, texts)
            if self._excess(message) is None:
                fitting = message
                continue
            if fitting is not None:
                yield self._numbered(event, fitting)
            texts = {name: text}
            fitting = self._message(event, texts)
            excess = self._excess(fitting)
            if excess is not None:
                self._report(MulticastTooLarge(service.path, name, *excess))
                texts = {}
                fitting = None
        if fitting is not None:
            yield self._numbered(event, fitting)

    def _numbered(self, event: _Waiting, message: MulticastMessage) -> MulticastMessage:
        event.service.seq = next_seq(message.seq)
        if event.updates > 1:
            service = event.service
            self._report(MulticastMerged(service.path, event.level, message.seq, event.updates))
        return message

    def _message(self, event: _Waiting, texts: Mapping[str, str]) -> MulticastMessage:
        service = event.service
        return MulticastMessage(
            service.usn,
            service.identity.service_id,
            service.seq,
            event.level,
            self._current_boot_id(),
            format_propertyset(texts.items()),
        )

    def _excess(self, message: MulticastMessage) -> tuple[int, int] | None:
        """The bytes of a message that does not fit and the allowed bytes; None if it fits."""
        for scope in self._policy.scopes:
            payload, most = message.payload_bytes(scope), scope.most_bytes(self._limits)
            if payload > most:
                return payload, most
        return None

    def _current_boot_id(self) -> int:
        assert self._boot_id is not None
        boot_id = self._boot_id()
        if not 0 <= boot_id <= _LARGEST_BOOT_ID:
            raise ValueError(f"BOOTID.UPNP.ORG is from 0 to {_LARGEST_BOOT_ID}, not {boot_id}")
        return boot_id

    def _repeat(self, message: MulticastMessage, times: int, now: float) -> None:
        if times:
            self._again.append(_Again(message, times, now + self._policy.interval))

    def handle_deadline(self, now: float) -> None:
        """Queue the retransmissions that are due, for the next :meth:`take`."""
        while self._again and self._again[0].due <= now:
            again = self._again.popleft()
            if again.message.boot_id == self._current_boot_id():
                self._due.append(again.message)
                self._repeat(again.message, again.times - 1, now)

    @property
    def idle(self) -> bool:
        """Whether no message waits to be sent, for the first time or again."""
        return not (self._waiting or self._due or self._again)

    def next_deadline(self) -> float | None:
        """When to call :meth:`handle_deadline`. None: no retransmission is due."""
        return self._again[0].due if self._again else None
