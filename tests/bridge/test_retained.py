"""What a broker retains becomes what should be retained, whatever is lost in between.

A model of a broker is changed by a bridge whose connection is lost at any message, which is killed
and starts anew, beside another bridge and somebody who writes what he likes.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

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
        self.start()

    def start(self) -> None:
        self.connected = False
        self.retained = RetainedTopics(
            self.id,
            mark_of=read_availability,
            lost_mark=availability_payload(self.id, "not found"),
            said_by_other=self.told.append,
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
        self.retained.begin()
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
        while number and self.connected and (message := self.retained.take()):
            number -= 1
            self.broker.publish(*message)


class Broker:
    def __init__(self) -> None:
        self.retained: dict[str, bytes] = {}
        self.bridges: list[Bridge] = []

    def publish(self, topic: str, payload: bytes) -> None:
        if payload:
            self.retained[topic] = payload
        else:
            self.retained.pop(topic, None)
        if topic.endswith("/availability"):
            for each in self.bridges:
                if each.connected:
                    each.hear(topic, payload)

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
        for _ in range(4):
            for each in order:
                each.publish(1_000)
        self.check(order)

    def check(self, connected: list[Bridge]) -> None:
        retained: dict[str, Any] = dict(self.broker.retained)
        for key in SERVICES:
            group = {
                t: retained.pop(t) for t in list(retained) if t == key or t[:-1].startswith(key)
            }
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
