"""Claims: which collector owns a device.

A claim names the owner of a device, the session of a collector, and its *term*. It has no duration:
it holds while the lease of its owner does (:mod:`.leases`). So the renewals grow with the
collectors, not with the devices.

A claim is written by the revision of the one before. The term grows with each owner. What an owner
writes elsewhere has its term, and a new owner writes there first, so that the writes of the former
one are refused (:mod:`.shared_state`).
"""

from __future__ import annotations

import enum
import hashlib
import heapq
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from propchange.bridge.collector_limits import CollectorLimits
from propchange.bridge.json_objects import json_object, number_of, text_of
from propchange.bridge.leases import Lease, Neighbours
from propchange.bridge.store import Answer, Ask, Operation, Outcome, Place
from propchange.core.record import Record
from propchange.core.transitions import TransitionTable


def weight(udn: str, collector: str) -> bytes:
    """The weight of ``collector`` for a device: the collector with the highest one should own it
    (rendezvous hashing). When a collector comes or goes, only its own devices move."""
    return hashlib.blake2b(f"{collector}\0{udn}".encode(), digest_size=8).digest()


class ClaimState(enum.IntEnum):
    """The state of the claim of one device, for one collector that sees the device."""

    UNSURE = 1
    """Not known: it is read next."""
    FREE = 2
    """No living collector has it: it is claimed when it is our turn."""
    OTHERS = 3
    """Another living collector has it."""
    OURS = 4
    """This collector has it."""


class ClaimInput(enum.IntEnum):
    """What happens to the claim of one device."""

    WRITTEN = 1
    RELEASED = 2
    REFUSED = 3
    UNANSWERED = 4
    SEEN_FREE = 5
    SEEN_OTHERS = 6
    SEEN_OURS = 7


CLAIM_TRANSITIONS = TransitionTable(
    {
        **{(state, ClaimInput.SEEN_FREE): ClaimState.FREE for state in ClaimState},
        **{(state, ClaimInput.SEEN_OTHERS): ClaimState.OTHERS for state in ClaimState},
        **{(state, ClaimInput.SEEN_OURS): ClaimState.OURS for state in ClaimState},
        # A read without an answer, in any state: the state may have changed meanwhile.
        **{(state, ClaimInput.UNANSWERED): ClaimState.UNSURE for state in ClaimState},
        **{(state, ClaimInput.REFUSED): ClaimState.UNSURE for state in ClaimState},
        **{(state, ClaimInput.WRITTEN): ClaimState.OURS for state in ClaimState},
        **{(state, ClaimInput.RELEASED): ClaimState.FREE for state in ClaimState},
    }
)


@dataclass(slots=True, eq=False, repr=False)
class ClaimValue(Record):
    """What a claim says. Without a session nobody owns the device, for ``reason``. ``tried`` names
    collectors that could not reach it. ``offered``: the session that may have it. When that one has
    ``accepted``, the owner releases it."""

    session: str = ""
    collector: str = ""
    term: int = 0
    reason: str = ""
    tried: tuple[str, ...] = ()
    offered: str = ""
    accepted: bool = False

    def to_bytes(self) -> bytes:
        """The value in the store."""
        return json.dumps(
            {
                "session": self.session,
                "collector": self.collector,
                "term": self.term,
                "reason": self.reason,
                "tried": list(self.tried),
                "offered": self.offered,
                "accepted": self.accepted,
            }
        ).encode()

    @classmethod
    def from_bytes(cls, value: bytes) -> ClaimValue:
        """What ``value`` says; a claim without a session if it says nothing."""
        read = json_object(value)
        tried = read.get("tried")
        return cls(
            text_of(read.get("session")),
            text_of(read.get("collector")),
            number_of(read.get("term")),
            text_of(read.get("reason")),
            tuple(map(text_of, tried[:64])) if isinstance(tried, list) else (),
            text_of(read.get("offered")),
            read.get("accepted") is True,
        )


@dataclass(slots=True, eq=False, repr=False)
class Claim(Record):
    """The claim of one device, as this collector knows it. ``revision`` is that of ``value``."""

    udn: str
    state: ClaimState = ClaimState.UNSURE
    value: ClaimValue = field(default_factory=ClaimValue)
    revision: int = 0
    due: float = 0.0
    writes: ClaimValue | None = None
    """The value that is being written."""
    asked: bool = False
    """An operation waits for its answer."""
    newest: int = 0
    """The revision that the watch showed while an operation waited."""
    taken: int = 0
    """The term that was reported as taken; 0: it was not, or is dropped."""
    waits_for_lease: bool = False
    free_since: float | None = None
    """Time since which no living collector has it. None: one has it, or that is not known."""
    cleans: bool = False
    """This collector has released it because the device has gone. It deletes it later."""
    releases: str = ""
    """Why it is to be released; empty: it is kept."""
    unreachable: bool = False
    """It is released because this collector cannot reach the device."""
    leaving: bool = False
    """The device has gone from our sight: the claim is not wanted any more."""
    least_term: int = 0
    """Above the term of ``value``: the claim is written again with this term."""
    given_up_until: float = 0.0
    offers: str = ""
    """The session to which it is to be offered."""
    offer_until: float = 0.0
    moving: bool = False
    """The offer was accepted. It is released when its services are not subscribed to any more and
    their events are written."""
    not_offered_until: float = 0.0


@dataclass(slots=True, eq=False, repr=False)
class Taken(Record):
    """This collector owns the device now, or owns it with a higher term."""

    udn: str
    term: int


@dataclass(slots=True, eq=False, repr=False)
class Dropped(Record):
    """This collector no longer owns the device. ``lost``: by the store, another collector owns it,
    or none does. Otherwise this collector has released it."""

    udn: str
    reason: str
    lost: bool


@dataclass(slots=True, eq=False, repr=False)
class Moving(Record):
    """This collector has too many devices, and leaves this one to another. Unsubscribe from its
    services, then call :meth:`.Collector.unsubscribed`: so no event is delivered to a collector
    that may not write it any more."""

    udn: str


@dataclass(slots=True, eq=False, repr=False)
class Forgotten(Record):
    """The claim of a device that has gone is not known any more. ``deleted``: no collector has
    claimed the device since, so its states are deleted too."""

    udn: str
    deleted: bool


class Claims:
    """The claims of the devices that this collector sees.

    ``report`` is called with Taken, Dropped, Moving and Forgotten. The claim of a device that is
    not seen is not known here.
    """

    def __init__(
        self,
        lease: Lease,
        neighbours: Neighbours,
        limits: CollectorLimits,
        report: Callable[[Taken | Dropped | Moving | Forgotten], object],
    ) -> None:
        self._lease = lease
        self._neighbours = neighbours
        self._limits = limits
        self._report = report
        self._claims: dict[str, Claim] = {}
        self._due: list[tuple[float, str]] = []
        self._offered_at = 0.0
        self.owned = 0

    def __getitem__(self, udn: str) -> Claim:
        return self._claims[udn]

    def __contains__(self, udn: str) -> bool:
        return udn in self._claims

    @property
    def deadline(self) -> float:
        """When :meth:`operations` is to be called again."""
        return self._due[0][0] if self._due else float("inf")

    # --- what this collector finds out ---

    def see(self, udn: str, now: float) -> None:
        """This collector can reach the device."""
        claim = self._claims.get(udn)
        if claim is None:
            claim = self._claims[udn] = Claim(udn)
        elif not claim.leaving:
            return
        # If it is ours still, it need not be released.
        claim.leaving, claim.releases, claim.cleans = False, "", False
        self._plan(claim, now)

    def leave(self, udn: str, reason: str, now: float) -> None:
        """The device has gone, for ``reason``. If it is ours, it is released: another collector may
        still see it."""
        claim = self._claims.get(udn)
        if claim is not None and not claim.leaving:
            claim.leaving, claim.releases, claim.moving = True, reason, False
            self._plan(claim, now)

    def give_up(self, udn: str, reason: str, now: float) -> bool:
        """This collector cannot reach the device. It is released if another collector of the
        segment has not tried yet. Returns whether it is."""
        claim = self._claims.get(udn)
        if claim is None or claim.state is not ClaimState.OURS or claim.releases:
            return False
        if not self._others(claim):
            return False
        claim.releases, claim.unreachable, claim.moving = reason, True, False
        claim.given_up_until = now + self._limits.give_up_seconds
        self._plan(claim, now)
        return True

    def hand_over(self, udn: str, now: float) -> None:
        """The services of a device that moves are not subscribed to any more, and their events are
        written."""
        claim = self._claims.get(udn)
        if claim is not None and claim.state is ClaimState.OURS and claim.moving:
            claim.releases = "another collector has fewer devices"
            self._plan(claim, now)

    def raise_term(self, udn: str, term: int, now: float) -> None:
        """Something was written with ``term``, which is not below ours. Write the claim with a
        higher one: the store refuses that if the device is not ours any more."""
        claim = self._claims.get(udn)
        if claim is not None and claim.taken:
            claim.least_term = max(claim.least_term, term + 1, claim.value.term + 1)
            self._plan(claim, now)

    # --- what the store says ---

    def watched(self, udn: str, revision: int, value: bytes, now: float) -> None:
        """A claim as the watch shows it. What is older than what is known changes nothing."""
        claim = self._claims.get(udn)
        if claim is None or revision <= claim.revision:
            return
        if claim.asked:
            claim.newest = max(claim.newest, revision)
        else:
            self._learn(claim, revision, value, now)

    def died(self, sessions: set[str], now: float) -> None:
        """The collectors of these sessions do not live any more."""
        if not sessions:
            return
        for claim in list(self._claims.values()):
            free = claim.state is ClaimState.FREE
            if free or (claim.state is ClaimState.OTHERS and claim.value.session in sessions):
                self._step(claim, ClaimInput.SEEN_FREE, now)

    def recheck(self, now: float) -> None:
        """Read the claims that are ours: our lease has run out, so others may have taken over."""
        for claim in self._claims.values():
            if claim.taken:
                self._plan(claim, now)

    def operations(self, now: float) -> Iterator[Operation]:
        """The operations that are due. Their answers go to :meth:`answered`."""
        while self._due and self._due[0][0] <= now:
            due, udn = heapq.heappop(self._due)
            claim = self._claims.get(udn)
            if claim is None or claim.asked or claim.due != due:
                continue
            operation = self._operation(claim, now)
            if operation is not None:
                claim.asked = True
                yield operation

    def _operation(self, claim: Claim, now: float) -> Operation | None:
        state, value = claim.state, claim.value
        if state is ClaimState.UNSURE:
            return Operation(Ask.GET, Place.CLAIMS, claim.udn)
        if claim.leaving and state is not ClaimState.OURS:
            if claim.cleans and state is ClaimState.FREE and value.reason:
                return Operation(Ask.DELETE, Place.CLAIMS, claim.udn, revision=claim.revision)
            self._remove(claim)
            return None
        session, own = self._lease.value.session, self._lease.collector
        if state is ClaimState.OURS:
            wanted = self._wanted(claim, now)
            if wanted is None:
                return Operation(Ask.GET, Place.CLAIMS, claim.udn)
        elif not self._lease.held(now) or now < self._lease.claims_from:
            # Without a lease no device is claimed.
            self._plan(claim, max(now + self._limits.retry_seconds, self._lease.claims_from))
            claim.waits_for_lease = True
            return None
        elif claim.waits_for_lease:
            # The other collectors are known now.
            claim.waits_for_lease = False
            self._plan(claim, now + self._turn(claim))
            return None
        elif state is ClaimState.FREE:
            term = max(value.term + 1, claim.least_term)
            tried = tuple(name for name in value.tried if name != own)
            wanted = ClaimValue(session, own, term, "", tried)
        elif value.offered == session and not value.accepted:
            wanted = replace(value, accepted=True)
        else:
            return Operation(Ask.GET, Place.CLAIMS, claim.udn)
        claim.writes = wanted
        return Operation(Ask.PUT, Place.CLAIMS, claim.udn, wanted.to_bytes(), claim.revision)

    def _wanted(self, claim: Claim, now: float) -> ClaimValue | None:
        """What our claim is to be; None: as it is."""
        value, own = claim.value, self._lease.collector
        if claim.releases:
            tried = value.tried
            if claim.unreachable:
                tried = (*value.tried, own)[-self._limits.tried_named :]
            offered = value.offered if claim.moving else ""
            return ClaimValue("", own, value.term, claim.releases, tried, offered)
        if claim.least_term > value.term:
            return replace(value, term=claim.least_term)
        if claim.offers:
            offers, claim.offers = claim.offers, ""
            return replace(value, offered=offers, accepted=False)
        if value.offered and not value.accepted and now >= claim.offer_until:
            claim.not_offered_until = now + self._limits.give_up_seconds
            return replace(value, offered="")
        return None

    def answered(self, operation: Operation, answer: Answer, now: float) -> None:
        """Receive the answer to ``operation``."""
        claim = self._claims[operation.key]
        claim.asked = False
        writes, claim.writes = claim.writes, None
        if answer.outcome is Outcome.CONFLICT:
            self._step(claim, ClaimInput.REFUSED, now)
        elif answer.outcome is not Outcome.DONE:
            self._step(claim, ClaimInput.UNANSWERED, now)
            self._plan(claim, now + self._limits.retry_seconds)
        elif operation.ask is Ask.GET:
            self._learn(claim, answer.revision, answer.value, now)
        elif operation.ask is Ask.DELETE:
            if claim.leaving:
                self._remove(claim)
            else:
                claim.value, claim.revision = ClaimValue(), answer.revision
                self._step(claim, ClaimInput.SEEN_FREE, now)
        else:
            assert writes is not None
            claim.value, claim.revision = writes, answer.revision
            if writes.session == self._lease.value.session:
                self._step(claim, ClaimInput.WRITTEN, now)
            elif writes.session:  # an offer was accepted
                self._step(claim, ClaimInput.SEEN_OTHERS, now)
            else:
                self._step(claim, ClaimInput.RELEASED, now, writes.reason)
        if claim.newest > claim.revision and claim.state is not ClaimState.UNSURE:
            self._step(claim, ClaimInput.REFUSED, now)
        claim.newest = 0

    def _remove(self, claim: Claim) -> None:
        """Forget a claim. What was written of its device goes too, if this collector has released
        it, and nobody has claimed it since."""
        del self._claims[claim.udn]
        deleted = claim.cleans and claim.state is ClaimState.FREE
        self._report(Forgotten(claim.udn, deleted))

    def _learn(self, claim: Claim, revision: int, value: bytes, now: float) -> None:
        claim.revision, claim.value = revision, ClaimValue.from_bytes(value)
        owner = claim.value.session
        if not owner:
            self._step(claim, ClaimInput.SEEN_FREE, now, claim.value.reason or "the claim has gone")
        elif owner == self._lease.value.session:
            self._step(claim, ClaimInput.SEEN_OURS, now)
        elif self._neighbours.lives(claim.value.collector, owner, now):
            said = f"the collector {claim.value.collector} has taken it over"
            self._step(claim, ClaimInput.SEEN_OTHERS, now, said)
        else:
            self._step(claim, ClaimInput.SEEN_FREE, now, "its owner does not live")

    # --- what follows ---

    def _step(self, claim: Claim, given: ClaimInput, now: float, reason: str = "") -> None:
        state = claim.state = CLAIM_TRANSITIONS.step(claim.state, given)
        if state is ClaimState.UNSURE:
            self._plan(claim, now)
            return
        if state is not ClaimState.FREE:
            claim.free_since = None
        if state is ClaimState.OURS:
            if not claim.taken and not claim.leaving:
                claim.releases, claim.unreachable = "", False
            self._take(claim)
            self._plan_ours(claim, now)
            if claim.value.accepted and not (claim.moving or claim.releases):
                claim.moving = True
                claim.not_offered_until = now + self._limits.give_up_seconds
                self._report(Moving(claim.udn))
            return
        if claim.taken:
            claim.taken = 0
            self.owned -= 1
            lost = given is not ClaimInput.RELEASED
            claim.cleans = claim.leaving and state is ClaimState.FREE
            self._report(Dropped(claim.udn, claim.releases or reason, lost))
        claim.releases, claim.unreachable, claim.offers, claim.moving = "", False, "", False
        if claim.leaving:
            later = self._limits.forget_seconds if claim.cleans else 0.0
            self._plan(claim, now + later)
        elif state is ClaimState.FREE:
            # The wait counts from when it became free. News that come meanwhile do not prolong it.
            if claim.free_since is None:
                claim.free_since = now
            turn = max(claim.free_since + self._turn(claim), now)
            self._plan(claim, max(turn, self._not_before(claim)))
        elif self._accepts(claim, now):
            self._plan(claim, now)
        else:
            self._plan(claim, now + self._limits.recheck_seconds)

    def _accepts(self, claim: Claim, now: float) -> bool:
        offered = claim.value.offered == self._lease.value.session
        return offered and not claim.value.accepted and now >= claim.given_up_until

    def _take(self, claim: Claim) -> None:
        term = claim.value.term
        if term >= claim.least_term:
            claim.least_term = 0
        if term == claim.taken:
            return
        self.owned += not claim.taken
        claim.taken = term
        self._report(Taken(claim.udn, term))

    def _plan_ours(self, claim: Claim, now: float) -> None:
        if claim.releases or claim.least_term > claim.value.term:
            self._plan(claim, now)
        elif claim.value.offered and not claim.value.accepted:
            self._plan(claim, max(claim.offer_until, now))
        else:
            self._plan(claim, now + self._limits.recheck_seconds)

    def _plan(self, claim: Claim, due: float) -> None:
        claim.due = due
        heapq.heappush(self._due, (due, claim.udn))

    def _not_before(self, claim: Claim) -> float:
        """When a free device may be claimed, if this collector could not reach it."""
        return claim.given_up_until if self._others(claim) else 0.0

    def _candidates(self, claim: Claim) -> Iterator[str]:
        """The collectors of our segment that may own the device, besides this one."""
        segment = self._lease.value.segment
        for name, each in self._neighbours.living.items():
            if each.value.segment == segment and name not in claim.value.tried:
                yield name

    def _others(self, claim: Claim) -> bool:
        return any(True for _ in self._candidates(claim))

    def _turn(self, claim: Claim) -> float:
        """Seconds that this collector leaves to those that should own the device before it."""
        offered = claim.value.offered
        if offered == self._lease.value.session:
            return 0.0
        own = weight(claim.udn, self._lease.collector)
        before = sum(weight(claim.udn, each) > own for each in self._candidates(claim))
        # It was released for another one: that one is the first.
        return (min(before, self._limits.ranks) + bool(offered)) * self._limits.rank_seconds

    # --- shares ---

    def offer(self, now: float) -> None:
        """Offer a device to a collector that has few, if this one has more than a fair share."""
        if now < self._offered_at + self._limits.offer_seconds:
            return
        self._offered_at = now
        segment = self._lease.value.segment
        settled = {
            name: each.value
            for name, each in self._neighbours.living.items()
            if each.value.segment == segment and now >= each.since + self._limits.settle_seconds
        }
        if not settled:
            return
        mean = (self.owned + sum(each.devices for each in settled.values())) / (len(settled) + 1)
        if self.owned <= mean * self._limits.fair_share + 1:
            return
        fewer = {name: each for name, each in settled.items() if each.devices < mean}
        for claim in self._claims.values():
            if claim.state is not ClaimState.OURS or claim.asked or claim.value.offered:
                continue
            names = [name for name in fewer if name not in claim.value.tried]
            if not names or claim.releases or now < claim.not_offered_until:
                continue
            best = max(names, key=lambda name: weight(claim.udn, name))
            if weight(claim.udn, best) > weight(claim.udn, self._lease.collector):
                claim.offers = fewer[best].session
                claim.offer_until = now + 5 * self._limits.offer_seconds
                self._plan(claim, now)
                return
