"""How many collectors carry so many subscriptions:
``python -m lab.collector_simulation [SUBSCRIPTIONS:COLLECTORS:OF_SEGMENT…]``.

Runs the rules of collectors over a store in memory, with a clock of its own. The store does
``OPERATIONS`` a second. Each segment has ``OF_SEGMENT`` collectors that see its devices. One
collector dies, then a tenth of them, then the store is away for five seconds. It prints how long it
takes until everything is owned and written again, and what the store has to do.

The cost is that of the operations, and of what the collectors of one segment see of each other: it
grows with the subscriptions, not with their square. What the store sends to all other collectors is
counted, and not carried out.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, field, replace

from propchange.bridge.claims import Dropped, Taken
from propchange.bridge.collector import Collector
from propchange.bridge.collector_limits import DEFAULT_COLLECTOR_LIMITS
from propchange.bridge.store import Answer, Ask, Operation, Outcome, Place

OPERATIONS = 10_000
"""Operations a second of the simulated store: half of what a NATS server does on two cores."""

SERVICES = 5
"""Services of one device."""

STEP = 0.1
"""Seconds of one turn."""

ANSWER_SECONDS = 2.0
"""Seconds for which a collector waits for an answer. The store does the operation later."""

_WATCHED = (Place.LEASES, Place.CLAIMS)


class SimulatedStore:
    """A store that counts what it does. It keeps the values of leases and claims only."""

    def __init__(self, lease_seconds: float) -> None:
        self.lease_seconds = lease_seconds
        self.done: Counter[tuple[Ask, Place]] = Counter()
        self.entries: dict[tuple[Place, str], tuple[int, bytes, float, int]] = {}
        self.changes: list[tuple[Place, str, int, bytes]] = []
        self.unwritten: dict[str, str] = {}
        """Services whose present owner has written no event yet, and the session of the owner."""
        self._revision = 0

    def perform(self, operation: Operation, now: float) -> Answer:
        place, key, value = operation.place, operation.key, operation.value
        self.done[operation.ask, place] += 1
        revision, there, at, term = self.entries.get((place, key), (0, b"", now, 0))
        if place is Place.LEASES and now > at + self.lease_seconds:
            revision, there = 0, b""
        if operation.ask is Ask.LIST:
            return Answer(Outcome.DONE)
        if operation.ask is Ask.GET:
            return Answer(Outcome.DONE, revision, there, term)
        if revision != operation.revision:
            return Answer(Outcome.CONFLICT)
        self._revision += 1
        if place in _WATCHED:
            self.changes.append((place, key, self._revision, value))
        elif place is Place.EVENTS:
            writer = operation.message_id.partition(".")[0]
            if self.unwritten.get(key) == writer and b'"kind": "event"' in value:
                del self.unwritten[key]
            value = b""
        else:
            value = value[-60:]  # the term, for the next owner
            value = b"{" + value[value.index(b'"term"') :]
        self.entries[place, key] = self._revision, value, now, operation.term
        return Answer(Outcome.DONE, self._revision)


@dataclass
class Segment:
    """Devices, and the collectors that see them."""

    udns: list[str]
    nodes: dict[str, Collector] = field(default_factory=dict)


class Simulation:
    """Segments of collectors on one store."""

    def __init__(self, subscriptions: int, collectors: int, of_segment: int) -> None:
        self.now, self.per_second = 0.0, 1e9  # all is owned at once at the start
        self.subscriptions = subscriptions
        self.chance = random.Random(1)
        limits = replace(DEFAULT_COLLECTOR_LIMITS, settle_seconds=1e9)
        self.store = SimulatedStore(limits.lease_seconds)
        self.nodes: dict[str, Collector] = {}
        self.away: dict[str, float] = {}
        """Collectors without the store, and when they have it again."""
        self.owner: dict[str, str] = {}
        self.segment_of: dict[str, Segment] = {}
        self.peak = 0
        self.sent = 0
        """Messages that the store has sent to collectors because they watch leases and claims."""
        self._budget = 0.0
        self._asked: deque[tuple[str, Operation, float]] = deque()
        """Operations that the store has not done yet, in their order."""
        self._waits: dict[str, dict[int, tuple[Operation, float]]] = {}
        """Operations that each collector waits for."""
        count = collectors // of_segment
        devices = subscriptions // SERVICES
        for number in range(count):
            first, last = devices * number // count, devices * (number + 1) // count
            segment = Segment([f"{each:012x}" for each in range(first, last)])
            for each in range(of_segment):
                name = f"c{number}-{each}"
                node = Collector(name, f"{name}-0", segment=str(number), limits=limits)
                segment.nodes[name] = self.nodes[name] = node
                node.store_back(0.0)
                for udn in segment.udns:
                    node.see(udn, 0.0)
            self.segment_of |= dict.fromkeys((*segment.udns, *segment.nodes), segment)

    def turn(self) -> None:
        """A tenth of a second: the store does what it can, one operation after the other."""
        self.now += STEP
        before = sum(self.store.done.values())
        self._budget = min(self._budget, 0) + self.per_second * STEP
        for name, due in list(self.away.items()):
            if self.now >= due:
                del self.away[name]
                self._connect(name)
        asking = {name for name in self.nodes if name not in self.away}
        while asking:
            for name in sorted(asking):
                self._ask(name)
            asking = self._perform()
        self._time_out()
        done = sum(self.store.done.values()) - before
        self.peak = max(self.peak, int(done / STEP))
        self._show()

    def _ask(self, name: str) -> None:
        node = self.nodes[name]
        for operation in node.operations(self.now):
            self._asked.append((name, operation, self.now))
            node_waits = self._waits.setdefault(name, {})
            node_waits[id(operation)] = operation, self.now
        for outcome in node.outcomes():
            udn = outcome.udn
            if isinstance(outcome, Taken) and self.owner.get(udn) != name:
                self.owner[udn] = name
                for service in range(SERVICES):
                    key = f"{udn}.{service}"
                    self.store.unwritten[key] = node.session
                    node.open(udn, key, dict)
                    node.event(key, {"n": 1}, "sid", 0, None, initial=True)
            elif isinstance(outcome, Dropped) and self.owner.get(udn) == name:
                del self.owner[udn]

    def _perform(self) -> set[str]:
        """Do what the budget allows. Returns the collectors that have answers."""
        answered = set()
        while self._asked and self._budget > 0:
            name, operation, _ = self._asked.popleft()
            self._budget -= 1
            answer = self.store.perform(operation, self.now)
            node = self.nodes.get(name)
            waits = self._waits.get(name, {})
            if node is not None and waits.pop(id(operation), None) is not None:
                node.answered(operation, answer, self.now)
                answered.add(name)
        return answered

    def _time_out(self) -> None:
        """The store has not answered in time, and does it later."""
        for name, waits in self._waits.items():
            while waits:
                operation, sent_at = next(iter(waits.values()))
                if self.now < sent_at + ANSWER_SECONDS and name not in self.away:
                    break
                del waits[id(operation)]
                if name in self.nodes:
                    self.nodes[name].answered(operation, Answer(Outcome.UNKNOWN), self.now)

    def _show(self) -> None:
        """The watches show what was written."""
        changes, self.store.changes = self.store.changes, []
        connected = len(self.nodes) - len(self.away)
        self.sent += len(changes) * connected
        for place, key, revision, value in changes:
            for name, node in self.segment_of[key].nodes.items():
                if name not in self.away:
                    self._give(node, place, key, revision, value)

    def _give(self, node: Collector, place: Place, key: str, revision: int, value: bytes) -> None:
        if place is Place.LEASES:
            node.lease_seen(key, revision, value, self.now)
        else:
            node.claim_seen(key, revision, value, self.now)

    def _connect(self, name: str) -> None:
        """The collector is connected again. Its watch shows all leases and claims."""
        self.sent += len(self.nodes) + len(self.owner)
        for key in (*self.segment_of[name].nodes, *self.segment_of[name].udns):
            place = Place.LEASES if key.startswith("c") else Place.CLAIMS
            there = self.store.entries.get((place, key))
            gone = there and place is Place.LEASES
            gone = gone and there and self.now > there[2] + self.store.lease_seconds
            if there is not None and not gone:
                self._give(self.nodes[name], place, key, there[0], there[1])
        self.nodes[name].store_back(self.now)

    # --- what happens ---

    def until_owned(self) -> float:
        """Let the clock run until everything is owned and written. Returns the seconds."""
        began, devices = self.now, self.subscriptions // SERVICES
        self.store.done.clear()
        self.sent = self.peak = 0
        while len(self.owner) < devices or self.store.unwritten or self.away:
            self.turn()
            if self.now > began + 300:
                print(f"    not in 300 s: {devices - len(self.owner)} devices without an owner")
                break
        return self.now - began

    def rest(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.turn()

    def kill(self, number: int) -> int:
        """Kill ``number`` collectors. Returns how many subscriptions they had."""
        dead = self.chance.sample(sorted(self.nodes), number)
        for name in dead:
            del self.nodes[name], self.segment_of[name].nodes[name]
        lost = [udn for udn, owner in self.owner.items() if owner in dead]
        for udn in lost:
            del self.owner[udn]
            for service in range(SERVICES):  # what it had not written is lost with it
                self.store.unwritten.pop(f"{udn}.{service}", None)
        return len(lost) * SERVICES

    def store_dies(self, seconds: float) -> int:
        """The store is away, and devices go on: each tenth subscription has an event. Returns how
        many subscriptions these are."""
        self._asked.clear()
        for name, node in self.nodes.items():
            node.store_away()
            self.away[name] = self.now + seconds + self.chance.uniform(0.1, 0.8)
        changed = 0
        for number, (udn, name) in enumerate(self.owner.items()):
            if number % 2 == 0:
                key = f"{udn}.{number % SERVICES}"
                self.nodes[name].event(key, {"n": 2}, "sid", 1, None)
                self.store.unwritten[key] = self.nodes[name].session
                changed += 1
        return changed

    def until_written_again(self) -> float:
        """Until each state was written again after the store was away."""
        began = self.now
        while self.store.done[Ask.PUT, Place.STATE] < self.subscriptions:
            self.turn()
            if self.now > began + 300:
                break
        return self.now - began


def simulate(subscriptions: int, collectors: int, of_segment: int) -> None:
    """Simulate all this once, and print it."""
    began = time.process_time()
    world = Simulation(subscriptions, collectors, of_segment)

    def say(what: str, seconds: float) -> None:
        done = sum(world.store.done.values())
        print(
            f"  {what}: {seconds:4.1f} s; {done:,} operations, {world.peak:,} a second at most, "
            f"and {world.sent / max(seconds, STEP):,.0f} messages a second to collectors",
            flush=True,
        )

    say(
        f"{subscriptions:,} subscriptions on {collectors} collectors, all start",
        world.until_owned(),
    )
    shares = Counter(world.owner.values())
    print(
        f"  a collector has {min(shares.values()) * SERVICES:,} to "
        f"{max(shares.values()) * SERVICES:,} subscriptions",
        flush=True,
    )
    world.rest(5)
    world.store.done.clear()
    world.sent = world.peak = 0
    world.rest(20)
    print(
        f"  at rest: {world.store.done[Ask.PUT, Place.LEASES] / 20:,.0f} renewals a second, "
        f"{sum(world.store.done.values()) / 20:,.0f} operations a second, "
        f"{world.sent / 20:,.0f} messages a second to collectors",
        flush=True,
    )
    world.per_second = OPERATIONS
    lost = world.kill(1)
    say(f"one dies with {lost:,}, all is owned and written again after", world.until_owned())
    world.rest(20)
    dead = max(collectors // 10, 1)
    lost = world.kill(dead)
    say(f"{dead} die with {lost:,}, again after", world.until_owned())
    world.rest(20)
    owner = dict(world.owner)
    changed = world.store_dies(5.0)
    seconds = world.until_owned()
    moved = sum(world.owner.get(udn) != each for udn, each in owner.items())
    say(f"the store is away for 5 s, {changed:,} events wait; written after", seconds)
    print(
        f"  {moved} devices have moved; all states are written again "
        f"{world.until_written_again():.1f} s later",
        flush=True,
    )
    print(f"  ({time.process_time() - began:.0f} s of a core)", flush=True)


def main() -> None:
    """See the module."""
    for each in sys.argv[1:] or ("10000:3:3", "100000:20:5", "1000000:200:5", "1000000:400:5"):
        simulate(*map(int, each.split(":")))


if __name__ == "__main__":
    main()
