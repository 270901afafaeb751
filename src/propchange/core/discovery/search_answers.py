"""The answers of a root device to searches (UDA 2.0 §1.3.2, §1.3.3).

Anybody can send a search with the address of a victim as its source. So only sources on the link
are answered, and the bytes of the answers are bounded: for one search, for one source, and in all.

The headers TCPPORT.UPNP.ORG, CPFN.UPNP.ORG and CPUUID.UPNP.ORG of UDA 2.0 are ignored. Answering
over TCP is optional, and would let a forged search open connections to a victim.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address
from typing import NamedTuple

from propchange.core.discovery.advertisement import ROOT_DEVICE, type_fits, udn_key
from propchange.core.limits import Limits
from propchange.core.local_addresses import LocalAddress
from propchange.core.wire.messages import Endpoint

EVERYTHING = "ssdp:all"
"""The ST of a search for all targets (UDA 2.0 §1.3.2)."""

MX_MOST = 5
"""A longer MX counts as this one (UDA 2.0 §1.3.2)."""

MX_PART = 0.8
"""The part of MX in which the answers leave, so that they arrive before the control point stops
listening."""

GAP_SECONDS = 0.01
"""Longest time in seconds between two answers to one search."""

UNICAST_SECONDS = 0.5
"""Longest time in seconds over which the answers to a unicast search are spread. They must come
within a second (UDA 2.0 §1.3.3)."""

LOWEST_PORT = 1_024
"""The lowest source port that is answered. No control point searches from a port of a system
service, so such a search was forged to reach that service."""


class Target(NamedTuple):
    """The target of one advertisement of a set: its NT or ST, and its USN."""

    target: str
    usn: str


class Search(NamedTuple):
    """An M-SEARCH for ``target``. ``mx`` is the value of MX, None if it has no usable one.
    ``multicast``: it was sent to the group."""

    target: str
    mx: int | None
    multicast: bool


class Answer(NamedTuple):
    """A search response with ``target``, from ``address`` to the endpoint ``to``."""

    target: Target
    address: LocalAddress
    to: Endpoint


def matching_targets(targets: Sequence[Target], wanted: str) -> list[Target]:
    """Those of ``targets`` that a search for ``wanted`` finds, as the answers name them: with the
    ST of the search, and with its version of a type in USN, because a later version is compatible
    with an earlier one. The case of a UDN does not matter."""
    if wanted == EVERYTHING:
        return list(targets)
    udn = udn_key(wanted)
    answers: dict[Target, None] = {}
    for target, usn in targets:
        same = udn_key(target) == udn if udn.startswith("uuid:") else target == wanted
        if same:
            answers[Target(wanted, usn)] = None
        elif wanted.startswith("urn:") and target != ROOT_DEVICE and type_fits(target, wanted):
            answers[Target(wanted, f"{usn.partition('::')[0]}::{wanted}")] = None
    return list(answers)


def answering_address(own: Sequence[LocalAddress], source: Endpoint) -> LocalAddress | None:
    """The address of ``own`` that is in the network of ``source``, to answer from. None: ``source``
    is not on the link, or is no single host."""
    try:
        address = ip_address(source.host)
    except ValueError:
        return None
    for each in own:
        network = each.network
        if address not in network or source.scope != each.scope:
            continue
        if address.version == 6 or network.prefixlen > 30:
            return each
        if address not in (network.network_address, network.broadcast_address):
            return each
    return None


class SearchAnswers:
    """The answers that are due to be sent. ``answer_bytes`` is the length of one of them."""

    def __init__(
        self,
        targets: Sequence[Target],
        answer_bytes: int,
        limits: Limits,
        random: Callable[[], float],
    ) -> None:
        self._targets = tuple(targets)
        self._answer_bytes = answer_bytes
        self._limits = limits
        self._random = random
        self._waiting: list[tuple[float, int, Answer]] = []
        self._serial = 0
        self._all = _Budget(limits.search_answer_bytes, limits.search_answer_rate)
        self._sources: dict[str, _Budget] = {}
        self._answered: dict[tuple[LocalAddress, Endpoint, str], float] = {}

    def receive(
        self, search: Search, source: Endpoint, own: Sequence[LocalAddress], size: int, now: float
    ) -> bool:
        """Plan the answers to ``search``, which came with ``size`` bytes from ``source``. ``own``
        are the addresses that could answer it. Returns False if answers are left out because too
        much would be sent."""
        if search.multicast and search.mx is None:
            return True
        address = answering_address(own, source)
        if address is None or source.port < LOWEST_PORT:
            return True
        if self._is_spent(source, now):
            return False
        answers = matching_targets(self._targets, search.target)
        mx = min(search.mx or 0, MX_MOST) if search.multicast else 1
        if not answers or self._is_repeated((address, source, search.target), mx, now):
            return True
        affordable = self._affordable(source, size, now)
        whole = len(answers) <= affordable
        answers = answers[:affordable]
        if not answers:
            return whole
        self._spend(source, len(answers))
        window = mx * MX_PART if search.multicast else UNICAST_SECONDS
        # One random delay for all answers, so that they come together.
        gap = min(GAP_SECONDS, window / len(answers) / 2)
        first = self._random() * (window - gap * len(answers)) if search.multicast else 0.0
        for number, target in enumerate(answers):
            self._serial += 1
            answer = Answer(target, address, source)
            heapq.heappush(self._waiting, (now + first + number * gap, self._serial, answer))
        return whole

    def take_due(self, now: float) -> Iterator[Answer]:
        """The answers whose time has come."""
        while self._waiting and self._waiting[0][0] <= now:
            yield heapq.heappop(self._waiting)[2]

    def next_deadline(self) -> float | None:
        """When the next answer is due; None without one."""
        return self._waiting[0][0] if self._waiting else None

    def clear(self) -> None:
        """Forget the answers."""
        self._waiting.clear()

    # --- bounds ---

    def _is_spent(self, source: Endpoint, now: float) -> bool:
        """Whether the budget of ``source``, or that of all sources, is too small for one answer."""
        budget = self._sources.get(source.host)
        if budget is None:
            if len(self._sources) >= self._limits.search_sources:
                del self._sources[next(iter(self._sources))]
            limits = self._limits
            budget = _Budget(
                limits.search_answer_bytes_per_source, limits.search_answer_rate_per_source
            )
            self._sources[source.host] = budget
        return min(budget.left(now), self._all.left(now)) < self._answer_bytes

    def _affordable(self, source: Endpoint, size: int, now: float) -> int:
        """The number of answers to a search of ``size`` bytes that the budgets allow."""
        left = min(
            self._sources[source.host].left(now),
            self._all.left(now),
            float(size * self._limits.search_answer_ratio),
        )
        room = self._limits.waiting_search_answers - len(self._waiting)
        return max(min(int(left // self._answer_bytes), room), 0)

    def _spend(self, source: Endpoint, answers: int) -> None:
        for budget in (self._sources[source.host], self._all):
            budget.spend(answers * self._answer_bytes)

    def _is_repeated(
        self, key: tuple[LocalAddress, Endpoint, str], seconds: float, now: float
    ) -> bool:
        """Whether a source has sent this search in the last ``seconds``: control points send each
        search two or three times."""
        if self._answered.get(key, now) > now:
            return True
        self._answered.pop(key, None)
        if len(self._answered) >= self._limits.search_sources:
            del self._answered[next(iter(self._answered))]
        self._answered[key] = now + seconds
        return False


class _Budget:
    """Bytes that may be sent: ``burst`` at once, then ``rate`` a second."""

    __slots__ = ("_burst", "_left", "_rate", "_stamp")

    def __init__(self, burst: int, rate: int) -> None:
        self._burst = float(burst)
        self._rate = rate
        self._left = self._burst
        self._stamp: float | None = None

    def left(self, now: float) -> float:
        if self._stamp is not None:
            self._left = min(self._burst, self._left + (now - self._stamp) * self._rate)
        self._stamp = now
        return self._left

    def spend(self, number: int) -> None:
        self._left -= number
