"""A world in memory for collectors: a store with faults, devices that count their subscribers, and
a clock that the test sets."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

from propchange.bridge.claims import Dropped, Moving, Taken
from propchange.bridge.collector import Collector
from propchange.bridge.collector_limits import DEFAULT_COLLECTOR_LIMITS, CollectorLimits
from propchange.bridge.shared_state import DUPLICATE
from propchange.bridge.store import Answer, Ask, Operation, Outcome, Place
from propchange.bridge.unowned import UNOWNED

WATCHED = (Place.LEASES, Place.CLAIMS)


@dataclass
class Written:
    revision: int
    value: bytes
    term: int
    message_id: str
    at: float


@dataclass
class Message:
    """A message of the stream, as it was accepted."""

    key: str
    term: int
    body: dict[str, Any]


class FakeStore:
    """Keeps the rules of :mod:`propchange.bridge.store`."""

    def __init__(self, lease_seconds: float) -> None:
        self.now = 0.0
        self.lease_seconds = lease_seconds
        self.written: dict[tuple[Place, str], Written] = {}
        self.messages: list[Message] = []
        self.states: list[Message] = []
        self.performed = 0
        self.sequence_first = True
        """As NATS 2.11 does: a message that is there already is refused by its sequence. 2.9 looks
        for its id first."""
        self._revision = 0
        self._ids: dict[str, int] = {}
        self.watchers: list[deque[tuple[Place, str, int, bytes]]] = []

    def at(self, place: Place, key: str) -> Written | None:
        there = self.written.get((place, key))
        if there and place is Place.LEASES and self.now >= there.at + self.lease_seconds:
            del self.written[place, key]
            return None
        return there

    def perform(self, operation: Operation) -> Answer:
        self.performed += 1
        place, key = operation.place, operation.key
        there = self.at(place, key)
        if operation.ask is Ask.GET:
            if there is None:
                return Answer(Outcome.DONE)
            said = Answer(Outcome.DONE, there.revision, there.value, there.term)
            said.message_id = there.message_id
            return said
        if operation.ask is Ask.LIST:
            of_state = [(k, self.at(p, k)) for p, k in self.written if p is place]
            values = [(k, json.loads(there.value or b"{}")) for k, there in of_state if there]
            return Answer(Outcome.DONE, listed=tuple((k, v.get("session", "")) for k, v in values))
        conflict = operation.revision != (there.revision if there else 0)
        if conflict and self.sequence_first:
            return Answer(Outcome.CONFLICT)
        if operation.message_id in self._ids:
            return Answer(Outcome.DONE, self._ids[operation.message_id], message_id=DUPLICATE)
        if conflict:
            return Answer(Outcome.CONFLICT)
        self._revision += 1
        value = b"" if operation.ask is Ask.DELETE else operation.value
        made = Written(self._revision, value, operation.term, operation.message_id, self.now)
        self.written[place, key] = made
        if place is Place.EVENTS:
            self.messages.append(Message(key, operation.term, json.loads(value)))
            self._ids[operation.message_id] = self._revision
        elif place is Place.STATE and value:
            self.states.append(Message(key, operation.term, json.loads(value)))
        for queue in self.watchers:
            if place in WATCHED:
                queue.append((place, key, self._revision, value))
        return Answer(Outcome.DONE, self._revision)

    def forget(self, place: Place) -> None:
        """All of this place is lost, as when an operator deletes a bucket."""
        for each in [key for key in self.written if key[0] is place]:
            del self.written[each]


class FakeDevice:
    """A device with one service. It counts, and sends each number to its subscribers."""

    def __init__(self, udn: str) -> None:
        self.udn = udn
        self.value = 0
        self.subscribers: dict[str, Subscriber] = {}
        self.sids = 0


@dataclass
class Subscriber:
    """A subscription of a collector to a device."""

    sid: str
    node: Node
    seq: int = 0
    received: int = -1


@dataclass
class Node:
    """A collector in its process."""

    collector: Collector
    watch: deque[tuple[Place, str, int, bytes]] = field(default_factory=deque)
    pending: list[Operation] = field(default_factory=list)
    answers: list[tuple[Operation, Answer]] = field(default_factory=list)
    arrived: deque[tuple[str, Subscriber, int, bool]] = field(default_factory=deque)
    paused: bool = False
    cut: bool = False
    half: bool = False
    """It is cut, and connected again without a watch."""
    dead: bool = False
    lost: set[str] = field(default_factory=set)
    taken: int = 0
    drops: list[Dropped] = field(default_factory=list)


class World:
    """Collectors, devices, and the store between them. Each fault is a method; :meth:`settle` ends
    all faults and lets the clock run until nothing happens any more."""

    def __init__(
        self,
        names: list[str],
        udns: list[str],
        *,
        limits: CollectorLimits = DEFAULT_COLLECTOR_LIMITS,
        reach: dict[str, set[str]] | None = None,
    ) -> None:
        self.now = 0.0
        self.limits = limits
        self.store = FakeStore(limits.lease_seconds)
        self.devices = {udn: FakeDevice(udn) for udn in udns}
        self.reach = reach or {}
        self.nodes: dict[str, Node] = {}
        self.former: list[Node] = []
        self.late: list[Operation] = []
        self.starts = 0
        self.unsubscribes = True
        self.moving: list[tuple[Node, str]] = []
        """Devices that are unsubscribed from before they are released."""
        for name in names:
            self.start(name)

    # --- processes ---

    def start(self, name: str) -> None:
        self.starts += 1
        node = Node(Collector(name, f"{name}-{self.starts}", limits=self.limits))
        self.nodes[name] = node
        self.store.watchers.append(node.watch)
        self._resync(node)
        for udn in self.devices:
            if udn in self.reach.get(name, self.devices):
                node.collector.see(udn, self.now)

    def kill(self, name: str) -> None:
        """End the process. What it has sent may still arrive."""
        node = self.nodes.pop(name)
        node.dead = True
        self.former.append(node)
        self.store.watchers = [each for each in self.store.watchers if each is not node.watch]
        self.late += node.pending
        node.pending = []

    def _resync(self, node: Node) -> None:
        node.watch.clear()
        for (place, key), there in list(self.store.written.items()):
            if place in WATCHED and self.store.at(place, key) is not None:
                self._show(node, place, key, there.revision, there.value)
        node.collector.store_back(self.now)

    def _show(self, node: Node, place: Place, key: str, revision: int, value: bytes) -> None:
        if place is Place.LEASES:
            node.collector.lease_seen(key, revision, value, self.now)
        else:
            node.collector.claim_seen(key, revision, value, self.now)

    # --- the network ---

    def cut(self, name: str) -> None:
        """The collector loses the store, and does not the devices."""
        node = self.nodes[name]
        node.cut, node.half = True, False
        node.collector.store_away()
        self._fail(node)

    def mend(self, name: str) -> None:
        node = self.nodes[name]
        if node.cut:
            node.cut = node.half = False
            self._fail(node)
            self._resync(node)

    def connect(self, name: str) -> None:
        """The collector has a connection to the store again, and its watch is not there yet."""
        node = self.nodes[name]
        node.half = True
        node.collector.store_connected(self.now)

    def _fail(self, node: Node) -> None:
        """The requests under way fail. Some of them may arrive later."""
        for operation in node.pending:
            node.answers.append((operation, Answer(Outcome.UNKNOWN)))
            self.late.append(operation)
        node.pending = []

    def show(self, name: str) -> None:
        node = self.nodes[name]
        if node.watch and not node.paused and not node.cut:
            self._show(node, *node.watch.popleft())

    def ask(self, name: str) -> None:
        node = self.nodes[name]
        if not node.paused:
            node.pending += node.collector.operations(self.now)

    def perform(self, name: str, number: int, fault: str = "") -> None:
        """Perform a request of the collector. ``fault``: ``lost`` (not done), ``unanswered`` (done,
        and the answer is lost), ``late`` (not done yet, and no answer)."""
        node = self.nodes[name]
        if not node.pending or (node.cut and not node.half):
            return
        operation = node.pending.pop(number % len(node.pending))
        answer = Answer(Outcome.UNKNOWN)
        if fault == "late":
            self.late.append(operation)
        elif fault != "lost":
            done = self.store.perform(operation)
            answer = answer if fault == "unanswered" else done
        node.answers.append((operation, answer))

    def arrive_late(self, number: int) -> None:
        """A request without an answer reaches the store after all."""
        if self.late:
            self.store.perform(self.late.pop(number % len(self.late)))

    def answer(self, name: str) -> None:
        node = self.nodes[name]
        if node.paused:
            return
        answers, node.answers = node.answers, []
        for operation, answer in answers:
            node.collector.answered(operation, answer, self.now)
        self._act(node)

    def _act(self, node: Node) -> None:
        if self.unsubscribes:
            self._move()
        for outcome in node.collector.outcomes():
            device = self.devices[outcome.udn]
            if isinstance(outcome, Taken):
                if node.collector.name not in device.subscribers or (
                    device.subscribers[node.collector.name].node is not node
                ):
                    self._subscribe(node, device)
            elif isinstance(outcome, Moving):
                self.moving.append((node, outcome.udn))
            elif isinstance(outcome, Dropped):
                node.drops.append(outcome)
                device.subscribers.pop(node.collector.name, None)

    def _move(self) -> None:
        """The devices that move answer UNSUBSCRIBE. What they sent before is received first."""
        moving, self.moving = self.moving, []
        for node, udn in moving:
            if not node.dead:
                self.receive(node.collector.name)
                subscriber = self.devices[udn].subscribers.get(node.collector.name)
                if subscriber is not None and subscriber.node is node:
                    del self.devices[udn].subscribers[node.collector.name]
                node.collector.unsubscribed(udn, self.now)

    def _subscribe(self, node: Node, device: FakeDevice) -> None:
        device.sids += 1
        # The same SID again and again, as some devices do.
        subscriber = Subscriber(f"sid-{device.sids % 2}", node)
        device.subscribers[node.collector.name] = subscriber
        node.collector.open(
            device.udn,
            device.udn,
            lambda: {
                "values": {"n": subscriber.received},
                "time": None if subscriber.received == -1 else 1,
                "collector": node.collector.name,
                "status": "active",
            },
        )
        node.arrived.append((device.udn, subscriber, device.value, True))

    def change(self, udn: str) -> None:
        """The device counts on, and sends it to its subscribers."""
        device = self.devices[udn]
        device.value += 1
        for subscriber in device.subscribers.values():
            if not subscriber.node.dead:
                subscriber.node.arrived.append((udn, subscriber, device.value, False))

    def receive(self, name: str) -> None:
        node = self.nodes[name]
        if node.paused:
            return
        while node.arrived:
            udn, subscriber, value, initial = node.arrived.popleft()
            if self.devices[udn].subscribers.get(name) is not subscriber:
                continue
            subscriber.received = value
            output = node.collector.outputs.get(udn)
            if output is not None and not output.ended:
                node.taken += 1
            node.collector.event(
                udn, {"n": value}, subscriber.sid, subscriber.seq, str(self.now), initial=initial
            )
            subscriber.seq += 1

    # --- the clock ---

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.store.now = self.now

    def turn(self) -> int:
        """Everything that is due happens. Returns how much that was."""
        done = 0
        for name, node in self.nodes.items():
            if node.paused:
                continue
            while node.watch and not node.cut:
                self.show(name)
                done += 1
            self._act(node)
            self.receive(name)
            self.ask(name)
            while node.pending and (node.half or not node.cut):
                self.perform(name, 0)
                done += 1
            self.answer(name)
        return done

    def run(self, seconds: float) -> None:
        """Let the clock run without faults, except those that last."""
        until = self.now + seconds
        while self.now < until:
            while self.turn():
                pass
            self.pass_time(0.1)

    def settle(self, seconds: float = 25.0) -> None:
        """All faults end, and the clock runs."""
        for name, node in self.nodes.items():
            node.paused = False
            self.mend(name)
        self.late.clear()
        self.run(seconds)

    # --- what must hold ---

    def owners(self) -> dict[str, set[str]]:
        """The living collectors that are subscribed to each device."""
        return {
            udn: {
                name
                for name, each in device.subscribers.items()
                if self.nodes.get(name) is each.node
            }
            for udn, device in self.devices.items()
        }

    def check(self) -> None:
        """What holds at any time: one owner writes, and each event is written once."""
        for messages in (self.store.messages, self.store.states):
            last: dict[str, tuple[int, str]] = defaultdict(lambda: (0, ""))
            for each in messages:
                writer = each.term, each.body["session"]
                if writer != last[each.key]:
                    assert each.term > last[each.key][0], "a former owner has written"
                    if messages is self.store.messages:
                        assert each.body["kind"] == "owner", "an owner has written before its term"
                    last[each.key] = writer
        seen: dict[str, list[int]] = defaultdict(list)
        for each in self.store.messages:
            if each.body["kind"] == "event":
                number = each.body["values"]["n"]
                by_owner = f"{each.body['session']} {each.key}"
                initial = each.body["initial"]
                before = seen[by_owner][-1:] or [-1]
                assert number > before[0] or initial, "an event is there twice, or out of order"
                seen[by_owner].append(number)
        for node in [*self.nodes.values(), *self.former]:
            totals = node.collector.totals
            written = totals.published + totals.merged + totals.discarded + totals.events
            assert written == node.taken, "an event was lost and not counted"

    def check_settled(self) -> None:
        """What holds when all faults are over."""
        self.check()
        for udn, owners in self.owners().items():
            reached = [n for n in self.nodes if udn in self.reach.get(n, self.devices)]
            assert len(owners) == min(len(reached), 1), f"{udn} has the owners {owners}"
            there = self.store.at(Place.STATE, udn)
            if not owners:
                status = json.loads(there.value)["status"] if there and there.value else UNOWNED
                assert status == UNOWNED or not self.nodes, "nobody owns it, and it is active"
                continue
            assert there is not None
            state = json.loads(there.value)
            assert state["status"] == "active", "a living owner's state is marked as unowned"
            assert state["values"]["n"] == self.devices[udn].value, "the state is not the device's"
            assert {state["collector"]} == owners
            of_stream = [each for each in self.store.messages if each.key == udn]
            assert of_stream[-1].body["values"]["n"] == self.devices[udn].value
