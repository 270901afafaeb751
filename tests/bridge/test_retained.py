"""What a broker retains becomes what should be retained, whatever is lost in between.

A model of a broker is changed by a bridge whose connection is lost at any message, which is killed
and starts anew, beside another bridge and somebody who writes what he likes.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from propchange.bridge import retained
from propchange.bridge.payloads import availability_payload, read_availability
from propchange.bridge.retained import RetainedTopics, Wanted

SERVICES = ["p/1/Lamp", "p/1/Fan", "p/2/Lamp"]
services = st.sampled_from(SERVICES)
VARIABLES = st.dictionaries(st.sampled_from(["On", "Level"]), st.integers(0, 2), max_size=2)


class Bridge:
    """A bridge: what it wants, and its connection to the broker."""

    def __init__(self, bridge_id: str, broker: Broker) -> None:
        self.id, self.broker = bridge_id, broker
        self.states: dict[str, tuple[bool, dict[str, int] | None]] = {}
        self.told: list[str] = []
        # Marks that the broker has sent to this bridge, which reads them later.
        self.inbox: list[tuple[str, bytes]] = []
        self.start()

    def start(self) -> None:
        self.connected = False
        self.retained = RetainedTopics(
            self.id,
            mark_of=read_availability,
            lost_mark=availability_payload(self.id, "not found"),
            other_found=self.told.append,
        )
        for key in self.states:
            self.want(key)

    def want(self, key: str) -> None:
        self.retained.want(key, f"{key}/availability", lambda: self.wanted(key))

    def wanted(self, key: str) -> Wanted | None:
        online, values = self.states[key]
        mark = availability_payload(self.id, None if online else "deaf")
        topics = None
        if values is not None:
            topics = {key: json.dumps([self.id, values]).encode()}
            topics |= {f"{key}/{name}": str(value).encode() for name, value in values.items()}
        return Wanted(mark, online, availability_payload(self.id, "values follow"), topics)

    def connect(self) -> None:
        self.connected = True
        self.inbox.clear()
        self.read()

    def read(self) -> None:
        self.retained.begin()
        self.read_inbox()
        self.hear_bridges()
        for topic, payload in self.broker.retained.items():
            self.hear(topic, payload)
        self.retained.read()

    def hear_bridges(self) -> None:
        for each in self.broker.bridges:
            self.retained.hear_bridge(each.id, each.connected)

    def hear(self, topic: str, payload: bytes) -> None:
        key = "/".join(topic.split("/")[:3])
        self.retained.hear(key, f"{key}/availability", topic, payload)

    def publish(self, number: int) -> None:
        while number and self.connected:
            number -= 1
            message = self.retained.take()
            if message is None and self.retained.needs_reading:
                self.read()
                message = self.retained.take()
            if message is None:
                return
            self.check(*message)
            self.broker.publish(*message)

    def check(self, topic: str, payload: bytes) -> None:
        """The order of the messages of a group, if nobody has meddled with it."""
        key = "/".join(topic.split("/")[:3])
        if self.inbox or key in self.broker.meddled:
            return
        group = self.broker.group(key)
        mark = group.pop(f"{key}/availability", None)
        if topic != f"{key}/availability":
            assert mark is not None, "a value that nobody would find after a crash"
            if key not in self.states:
                assert read_availability(mark) == (self.id, False), "cleared while it is online"
        elif not payload:
            assert group == {}, "the mark goes last"
        elif read_availability(payload) == (self.id, True):
            wanted = self.wanted(key)
            assert wanted is not None
            assert group == wanted.values, "online before its values"

    def read_inbox(self) -> None:
        while self.inbox:
            self.hear(*self.inbox.pop(0))


class Broker:
    def __init__(self) -> None:
        self.retained: dict[str, bytes] = {}
        self.bridges: list[Bridge] = []
        self.meddled: set[str] = set()

    def group(self, key: str) -> dict[str, bytes]:
        return {t: p for t, p in self.retained.items() if t == key or t.startswith(f"{key}/")}

    def publish(self, topic: str, payload: bytes) -> None:
        if payload:
            self.retained[topic] = payload
        else:
            self.retained.pop(topic, None)
        if topic.endswith("/availability"):
            for each in self.bridges:
                if each.connected:
                    each.inbox.append((topic, payload))

    def connections_change(self) -> None:
        for each in self.bridges:
            if each.connected:
                each.hear_bridges()


class Bridges(RuleBasedStateMachine):
    """Two bridges that see the same devices, and a broker."""

    @initialize()
    def begin(self) -> None:
        self.broker = Broker()
        self.one, self.other = Bridge("one", self.broker), Bridge("other", self.broker)
        self.broker.bridges = [self.one, self.other]

    bridges = st.sampled_from(["one", "other"])

    @rule(which=bridges, key=services, online=st.booleans(), values=st.none() | VARIABLES)
    def change(self, which: str, key: str, online: bool, values: dict[str, int] | None) -> None:
        bridge: Bridge = getattr(self, which)
        if values is None and online:
            values = {}
        before = bridge.states.get(key, (False, None))[1]
        bridge.states[key] = (online, before if values is None else values)
        bridge.want(key)

    @rule(which=bridges, key=services)
    def go(self, which: str, key: str) -> None:
        bridge: Bridge = getattr(self, which)
        if bridge.states.pop(key, None):
            bridge.retained.unwant(key)

    @rule(which=bridges, number=st.integers(0, 9))
    def publish(self, which: str, number: int) -> None:
        getattr(self, which).publish(number)

    @rule(which=bridges)
    def hear(self, which: str) -> None:
        getattr(self, which).read_inbox()

    @rule(which=bridges, lost=st.integers(0, 9), anew=st.booleans())
    def lose_the_connection(self, which: str, lost: int, anew: bool) -> None:
        """The messages that were handed out last never reach the broker."""
        bridge: Bridge = getattr(self, which)
        if bridge.connected:
            for _ in range(lost):
                bridge.retained.take()
        bridge.connected = False
        if anew:
            bridge.start()
        self.broker.connections_change()

    @rule(which=bridges)
    def connect(self, which: str) -> None:
        bridge: Bridge = getattr(self, which)
        if not bridge.connected:
            bridge.connect()
            self.broker.connections_change()

    @rule()
    def lose_what_is_retained(self) -> None:
        """The broker is killed and starts without its store."""
        for each in (self.one, self.other):
            each.connected = False
        self.broker.retained.clear()

    @rule(key=services, payload=st.sampled_from([b"", b"[]", b"nonsense", b'{"state":"online"}']))
    def meddle(self, key: str, payload: bytes) -> None:
        self.broker.meddled.add(key)
        self.broker.publish(f"{key}/availability", payload)

    @rule(first=bridges, alone=st.booleans())
    def rest(self, first: str, alone: bool) -> None:
        """Both are connected and publish all they have; or one alone does."""
        order = [getattr(self, first)]
        rest = self.other if order[0] is self.one else self.one
        if alone:
            rest.connected = False
        else:
            order.append(rest)
        for each in order:
            each.retained.begin_clearing()
            if not each.connected:
                each.connect()
            self.broker.connections_change()
        for _ in range(6):
            for each in order:
                each.read_inbox()
                each.publish(1_000)
        assert not any(each.inbox or each.retained.take() for each in order)
        self.check(order)
        self.broker.meddled.clear()

    def check(self, connected: list[Bridge]) -> None:
        for key in SERVICES:
            group = self.broker.group(key)
            mark = read_availability(group.get(f"{key}/availability", b""))
            wanting = [each for each in connected if key in each.states]
            if not wanting:
                # What a bridge that is away has left is not touched.
                assert mark is None or mark[0] not in {each.id for each in connected}, group
                continue
            owners = [each for each in wanting if mark and each.id == mark[0]]
            assert owners, (key, group)
            wanted = owners[0].wanted(key)
            assert wanted is not None
            assert group[f"{key}/availability"] == wanted.mark
            if wanted.values is not None:
                del group[f"{key}/availability"]
                assert group == wanted.values


TestBridges = Bridges.TestCase
TestBridges.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


def test_a_mark_that_comes_back_late_causes_no_message() -> None:
    broker = Broker()
    bridge = Bridge("one", broker)
    broker.bridges = [bridge]
    bridge.connect()
    for online in (True, False, True):
        bridge.states[SERVICES[0]] = (online, {"On": 1})
        bridge.want(SERVICES[0])
        bridge.publish(1_000)
    assert len(bridge.inbox) == 4
    bridge.read_inbox()
    assert bridge.retained.take() is None


def test_what_a_killed_bridge_has_left_is_offline_at_once_and_cleared_later() -> None:
    broker = Broker()
    bridge = Bridge("one", broker)
    broker.bridges = [bridge]
    bridge.states[SERVICES[0]] = (True, {"On": 1})
    bridge.start()
    bridge.connect()
    bridge.publish(1_000)
    bridge.states.clear()
    bridge.start()
    bridge.connect()
    bridge.publish(1_000)
    assert read_availability(broker.retained[f"{SERVICES[0]}/availability"]) == ("one", False)
    assert len(broker.retained) == 3
    bridge.retained.begin_clearing()
    bridge.publish(1_000)
    assert broker.retained == {}


def test_the_memory_for_what_others_retain_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retained, "KNOWN_TOPICS", 10)
    bridge = Bridge("one", Broker())
    bridge.retained.begin()
    for number in range(100):
        bridge.hear(f"p/{number}/x", b"1")
        bridge.hear(f"p/{number}/{'x' * 10_000}", b"1")
    assert len(bridge.retained._groups) == 10
