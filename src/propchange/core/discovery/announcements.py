"""What a root device sends over SSDP, and when (UDA 2.0 §1.2, §1.3.3).

* A device that joins the network sends ssdp:alive for each of its targets on each of its addresses,
  and repeats the set twice. After that, it sends the set once before half of its max-age has
  passed, at a random time.
* If its addresses change, BOOTID rises. ssdp:update says so on the addresses that stay, and
  ssdp:alive with the new BOOTID follows on all. UDA 1.0 has no BOOTID and no ssdp:update.
* A device that leaves sends ssdp:byebye for each target on each address, twice.
* A search is answered as :mod:`.search_answers` says. If answers are left out because too much
  would be sent, a set of ssdp:alive follows soon, which all control points hear.

A *set* is one message for each target, the root device first, spread over time. Each message leaves
by all addresses at once (UDA 2.0 §A.2.3).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from propchange.core.discovery.advertisement import AdvertisementKind
from propchange.core.discovery.search_answers import Search, SearchAnswers, Target
from propchange.core.limits import Limits
from propchange.core.local_addresses import LocalAddress
from propchange.core.token_bucket import TokenBucket
from propchange.core.wire.messages import Endpoint

FIRST_DELAY = 0.1
"""Longest delay in seconds before a set for a new address. The delay is random: many devices start
together after a power failure (UDA 2.0 §1.2.2)."""

SETS = 3
"""How often a device sends the set when it joins the network: a datagram may be lost. UDA allows
no more than three (UDA 2.0 §1.2.2)."""

GAP_SECONDS = 0.01
"""Longest time in seconds between two messages of a set. It is long enough that a set is no burst,
and short enough that a control point that listens for a quarter of a second gets most of a set."""

SET_SECONDS = 0.5
"""Longest time in seconds over which a set of ssdp:alive is spread that tells something new."""

REPEAT_SECONDS = (0.2, 0.4)
"""Shortest and longest time in seconds between two sets (UDA 2.0 §1.2.2: "a few hundred
milliseconds")."""

UPDATE_SECONDS = 0.2
"""Longest time in seconds over which a set of ssdp:update is spread. It is sent twice, the second
time after half of these seconds. Then the new BOOTID is used."""

BYEBYE_SECONDS = 0.1
"""Longest time in seconds over which a set of ssdp:byebye is spread, and the time until it is
repeated. A program that ends waits for both sets."""

REFRESH_PARTS = (0.25, 0.5)
"""The parts of max-age between which a set is repeated. If one set is lost, the next one still
comes in time (UDA 2.0 §1.2.2)."""

REFRESH_SECONDS = 5.0
"""Longest time in seconds over which a set is spread that only refreshes the announcements. It is
at most an eighth of max-age."""

_LATE_SECONDS = 0.05
"""Seconds of its schedule for which a set catches up after a delay of the loop. Messages of a
longer delay would be a burst."""

_ALIVE, _BYEBYE = AdvertisementKind.ALIVE, AdvertisementKind.BYEBYE
_UPDATE = AdvertisementKind.UPDATE


class OutgoingMessage(NamedTuple):
    """A message to send from ``address``: to the group there, or a search response to ``to``."""

    kind: AdvertisementKind
    target: Target
    address: LocalAddress
    boot_id: int
    next_boot_id: int | None = None
    """In an ssdp:update, the BOOTID that will be used after it."""
    to: Endpoint | None = None


class _Set(NamedTuple):
    """One message for each target, spread over at most ``seconds``, after a delay. ``addresses``
    None: all that the device has when the set begins. ``next_boot_id``: the BOOTID that an
    ssdp:update announces, and that ssdp:alive brings."""

    kind: AdvertisementKind
    delay: float
    seconds: float
    addresses: frozenset[LocalAddress] | None = None
    next_boot_id: int | None = None


class Announcements:
    """The schedule of one root device.

    Call :meth:`begin`, then :meth:`change_addresses`, :meth:`announce_again` and
    :meth:`receive_search` as they happen, and :meth:`end`. After each of them, and after
    :meth:`handle_deadline`, call :meth:`take_messages` and ask for :meth:`next_deadline`.

    ``targets`` are what the device announces, the root device first. ``rise`` returns the next
    BOOTID; ``random`` returns a number from 0 to below 1. ``answer_bytes`` is the length of a
    search response.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        *,
        uda: str,
        max_age: int,
        answer_bytes: int,
        limits: Limits,
        random: Callable[[], float],
        rise: Callable[[], int],
    ) -> None:
        self._targets = tuple(targets)
        self._has_updates = uda != "1.0"
        self._max_age = max_age
        self._limits = limits
        self._random = random
        self._rise = rise
        self.boot_id = 0
        """BOOTID in announcements and search responses at present."""
        self._alive_boot_id = 0  # the BOOTID of the next set of ssdp:alive
        # NEXTBOOTID of the ssdp:update that was sent, until that BOOTID is used.
        self._update_boot_id: int | None = None
        self.ended = True
        """Whether nothing is left to be sent, after :meth:`end` or before :meth:`begin`."""
        self._ending = False
        self._addresses: tuple[LocalAddress, ...] = ()
        self._announced: frozenset[LocalAddress] = frozenset()
        self._changes: TokenBucket | None = None
        self._change_at: float | None = None
        self._again_at: float | None = None
        self._sets: deque[_Set] = deque()
        self._sent = 0
        self._when = 0.0
        self._instead_at = 0.0  # the next time for a set instead of answers
        self._messages: list[OutgoingMessage] = []
        self._answers = SearchAnswers(self._targets, answer_bytes, limits, random)

    # --- inputs ---

    def begin(
        self, boot_id: int, addresses: Sequence[LocalAddress], now: float, *, byebye_first: bool
    ) -> None:
        """The device joins the network. ``byebye_first``: send ssdp:byebye first, because the
        device has left without one. So control points learn that their subscriptions are void."""
        self._alive_boot_id = boot_id
        self.ended = False
        self._addresses = tuple(addresses)
        self._changes = TokenBucket(
            self._limits.address_changes, self._limits.address_change_seconds, now
        )
        self._announce(now, byebye_first=byebye_first)

    def change_addresses(self, addresses: Sequence[LocalAddress], now: float) -> None:
        """The device has these addresses now. It says goodbye on those that have gone, if it can
        still send from there, and if no other address on the same link is left."""
        before, after = set(self._addresses), set(addresses)
        if self.ended or self._ending or before == after:
            return
        self._addresses = tuple(addresses)
        links = {_link_of(address) for address in addresses}
        gone = before - after
        for address in self._announced & gone:
            if _link_of(address) not in links:
                for target in self._targets:
                    self._add(_BYEBYE, target, address)
        was_announced = bool(self._announced)
        self._announced -= gone
        if self._change_at is not None:
            return
        if not was_announced:
            self._announce(now)
        else:
            assert self._changes is not None
            self._change_at = self._changes.ready_at(now)
            self.handle_deadline(now)

    def announce_again(self, now: float) -> None:
        """Announce the device again with the same BOOTID: a link has its carrier back. Meanwhile
        control points may have come to that link, or may have forgotten the device."""
        if self.ended or self._ending or not self._announced or self._change_at is not None:
            return
        if all(each.kind is _ALIVE and each.next_boot_id is None for each in self._sets):
            assert self._changes is not None
            self._again_at = self._changes.ready_at(now)
            self.handle_deadline(now)

    def receive_search(
        self, search: Search, source: Endpoint, own: Sequence[LocalAddress], size: int, now: float
    ) -> None:
        """A search of ``size`` bytes came from ``source``. ``own`` are the addresses of the device
        on its link, or the one that the search was sent to."""
        if self.ended or self._ending:
            return
        own = [address for address in own if address in self._addresses]
        if not self._answers.receive(search, source, own, size, now):
            self._announce_instead(now)

    def end(self, now: float) -> None:
        """The device leaves the network: send ssdp:byebye. :attr:`ended` is True when all is
        sent."""
        if self.ended or self._ending:
            return
        self._ending = True
        self._change_at = self._again_at = None
        self._answers.clear()
        # On all addresses: a new one that waits to be announced may have answered searches.
        delays = (0.0, BYEBYE_SECONDS) if self._announced else ()
        self._begin_sets([_Set(_BYEBYE, delay, BYEBYE_SECONDS) for delay in delays], now)
        self.handle_deadline(now)

    def hasten_end(self) -> None:
        """Send ssdp:byebye for each target at once, without the schedule, unless all is sent."""
        if self.ended:
            return
        self._sets.clear()
        if self._announced:
            for target in self._targets:
                self._add_to_all(_BYEBYE, target, frozenset(self._addresses))
        self.ended = True

    def handle_deadline(self, now: float) -> None:
        """The time of :meth:`next_deadline` has come."""
        if self._change_at is not None and self._change_at <= now:
            self._change_at = self._again_at = None
            self._change(now)
        if self._again_at is not None and self._again_at <= now:
            self._again_at = None
            assert self._changes is not None
            self._changes.spend(now)
            self._begin_sets(self._alive_sets(), now)
        while self._sets and self._when <= now:
            self._send_next(now)
        if not self._sets and self._ending:
            self.ended = True
        for answer in self._answers.take_due(now):
            if answer.address in self._addresses:
                self._add(AdvertisementKind.RESPONSE, answer.target, answer.address, to=answer.to)

    # --- outputs ---

    def take_messages(self) -> list[OutgoingMessage]:
        """The messages to send now, in this order."""
        messages, self._messages = self._messages, []
        return messages

    def next_deadline(self) -> float | None:
        """When :meth:`handle_deadline` must be called; None: not before another input."""
        if self.ended:
            return None
        times = (
            self._when if self._sets else None,
            self._change_at,
            self._again_at,
            self._answers.next_deadline(),
        )
        return min((time for time in times if time is not None), default=None)

    @property
    def heard_boot_id(self) -> int:
        """The BOOTID that control points have heard of last, by ssdp:alive or ssdp:update."""
        return self._update_boot_id or self.boot_id

    # --- sets ---

    def _announce(self, now: float, *, byebye_first: bool = False) -> None:
        """Announce the device on all addresses, without ssdp:update: no control point knows it at
        present."""
        self._use(self._alive_boot_id)
        if not self._addresses:
            self._sets.clear()
            return
        sets = self._alive_sets()
        if byebye_first:
            first = sets.pop(0)
            sets.insert(0, first._replace(delay=BYEBYE_SECONDS))
            sets.insert(0, _Set(_BYEBYE, first.delay, BYEBYE_SECONDS))
        self._begin_sets(sets, now)

    def _announce_instead(self, now: float) -> None:
        """Send the next refreshing set now, instead of the answers that were left out. Other sets
        are under way already."""
        at = max(now, self._instead_at)
        if len(self._sets) == 1 and self._sent == 0 and self._when > at:
            self._when = at
            self._instead_at = at + self._limits.announced_instead_seconds

    def _change(self, now: float) -> None:
        """The addresses have changed: raise BOOTID, send ssdp:update, then ssdp:alive."""
        assert self._changes is not None
        self._changes.spend(now)
        self._use(self._update_boot_id)
        next_boot_id = self._alive_boot_id = self._rise()
        kept = self._announced & set(self._addresses)
        sets = []
        # NEXTBOOTID must be higher (UDA 2.0 §1.2.4). After the highest number there is no higher
        # one.
        if kept and next_boot_id < self.boot_id:
            sets = [_Set(_BYEBYE, 0.0, BYEBYE_SECONDS, kept)]
        elif kept and self._has_updates:
            sets = [
                _Set(_UPDATE, delay, UPDATE_SECONDS, kept, next_boot_id)
                for delay in (0.0, UPDATE_SECONDS / 2)
            ]
        if not self._addresses:
            self._sets.clear()
            return
        first, *others = self._alive_sets()
        self._begin_sets([*sets, first._replace(next_boot_id=next_boot_id), *others], now)

    def _alive_sets(self) -> list[_Set]:
        shortest, longest = REPEAT_SECONDS
        delays = [self._random() * FIRST_DELAY]
        delays += [shortest + self._random() * (longest - shortest) for _ in range(SETS - 1)]
        return [_Set(_ALIVE, delay, SET_SECONDS) for delay in delays]

    def _begin_sets(self, sets: Sequence[_Set], now: float) -> None:
        self._sets = deque(sets)
        self._sent = 0
        if sets:
            self._when = now + sets[0].delay

    def _use(self, boot_id: int | None) -> None:
        """Use ``boot_id`` from now on; None: keep the present one."""
        if boot_id is not None:
            self.boot_id = boot_id
        self._update_boot_id = None

    def _send_next(self, now: float) -> None:
        """Send the message of the next target of the present set."""
        each = self._sets[0]
        if each.kind is _ALIVE and self._sent == 0:
            self._use(each.next_boot_id)
            self._announced = frozenset(self._addresses)
        next_boot_id = each.next_boot_id if each.kind is _UPDATE else None
        self._update_boot_id = next_boot_id or self._update_boot_id
        addresses = self._announced
        if each.kind is not _ALIVE:
            every = frozenset(self._addresses)  # for a goodbye
            addresses = every if each.addresses is None else addresses & each.addresses
        self._add_to_all(each.kind, self._targets[self._sent], addresses, next_boot_id)
        self._sent += 1
        gap = min(GAP_SECONDS, each.seconds / len(self._targets))
        self._when = max(self._when + gap, now - _LATE_SECONDS)
        if self._sent < len(self._targets):
            return
        self._sets.popleft()
        self._sent = 0
        if self._sets:
            self._when = now + self._sets[0].delay
        elif not self._ending:
            shortest, longest = REFRESH_PARTS
            delay = self._max_age * (shortest + self._random() * (longest - shortest))
            seconds = min(REFRESH_SECONDS, self._max_age / 8)
            self._begin_sets([_Set(_ALIVE, delay, seconds)], now)

    def _add_to_all(
        self,
        kind: AdvertisementKind,
        target: Target,
        addresses: frozenset[LocalAddress],
        next_boot_id: int | None = None,
    ) -> None:
        for address in self._addresses:
            if address in addresses:
                self._add(kind, target, address, next_boot_id)

    def _add(
        self,
        kind: AdvertisementKind,
        target: Target,
        address: LocalAddress,
        next_boot_id: int | None = None,
        to: Endpoint | None = None,
    ) -> None:
        self._messages.append(
            OutgoingMessage(kind, target, address, self.boot_id, next_boot_id, to)
        )


def _link_of(address: LocalAddress) -> tuple[int | str, int]:
    """The interface and the IP version of ``address``."""
    return (address.link, address.network.version)
