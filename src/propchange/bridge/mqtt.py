"""Publishes the states of services to an MQTT broker, and keeps what the broker retains true."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import aiomqtt

from propchange.bridge.broker import (
    COMMANDS_INCOMING,
    IN_FLIGHT,
    TAKEN_OVER,
    Broker,
    Client,
    code_of,
    is_failure,
    reason_of,
)
from propchange.bridge.configuration import BridgeSettings, BrokerSettings
from propchange.bridge.home_assistant import read_owner
from propchange.bridge.output import BridgedService
from propchange.bridge.payloads import (
    PAYLOAD_BYTES,
    availability_payload,
    encode,
    plain_values,
    read_availability,
    read_instance,
    state_payload,
    variable_payload,
)
from propchange.bridge.retained import Publish, RetainedTopics, Wanted
from propchange.bridge.service_state import GONE
from propchange.bridge.topics import Topics, part
from propchange.core.record import Record
from propchange.core.subscriber.events import Event
from propchange.driver.reporting import LineRate
from propchange.errors import PropchangeError

_START_SECONDS = 6.0
"""Seconds after the start in which devices are found. What this bridge has left behind and has not
found by then is cleared; a device that answers later is published anew. The control point searches
with an MX of 2 s, and searches again after a lost datagram."""

_POSTS = 1_024
"""Messages of parts that wait: discovery messages for a Home Assistant that has started, and
answers to commands. Bounds the memory while a broker is slow or away."""

_ANSWER_BYTES = 16_777_216
"""Bytes of the answers to commands that wait. An answer of a media server has some 100 kB. Bounds
the same."""

_READ_SECONDS = 30.0
"""Seconds for reading what the broker retains."""

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 2.0
"""Seconds between two attempts to connect; doubled up to the longest, and shortened at random, so
that several bridges do not come at the same moment."""

_REFUSED_WAIT = 30.0
"""Seconds before a broker that has refused the bridge is asked again."""

_END_SECONDS = 2.0
"""Seconds for the last messages when the bridge ends."""

_READ_AGAIN_SECONDS = 2.0
"""Least seconds between two readings of what is retained, on one connection. It is read again when
the services of another bridge are taken over. Bounds what another client can cause by claiming
services again and again."""

_SILENT_SECONDS = 3.0
"""Seconds without a message after which a broker counts as one that does not let the bridge read
its own topics."""

_STARTING = "the bridge has started anew and has not found the device yet"
_ENDED = "the bridge has ended"
_WILL = "the bridge has lost its connection to the broker"


class BridgeFailed(PropchangeError):
    """The bridge cannot go on. The message is one line for the operator."""


@dataclass(slots=True, eq=False, repr=False)
class MqttCounters(Record):
    """Counters of the output, for metrics. ``lag`` is the age of the oldest message without an
    acknowledgement, in seconds; 0 without any."""

    connected: bool = False
    connections: int = 0
    published: int = 0
    acknowledged: int = 0
    refused: int = 0
    commands: int = 0
    refused_commands: int = 0
    oldest: float | None = None


class Part(Protocol):
    """Another part of the topics: discovery messages, commands. No method may raise or wait."""

    filters: Sequence[str]
    """Topics that it reads, with wildcards."""

    later_filters: Sequence[str]
    """Topics that it reads once all that is retained has come. Of two filters that a topic fits, a
    broker may send the message twice."""

    def found(self, services: Sequence[BridgedService], /) -> None:
        """These services are new."""

    def changed(self, service: BridgedService, /) -> None:
        """The state of ``service`` has changed."""

    def forgotten(self, service: BridgedService, /) -> None:
        """Nothing is to be retained of ``service``: its device has gone for good, or there is no
        room. :meth:`changed` follows if it is back."""

    def hear(self, topic: str, payload: bytes, *, retained: bool) -> None:
        """A message of one of the filters has come."""


class MqttOutput:
    """An :class:`.Output` that publishes to ``broker``. ``say`` is called with a line for the
    operator. Parts with topics of their own are added with :meth:`add`."""

    def __init__(
        self,
        broker: BrokerSettings,
        settings: BridgeSettings,
        *,
        say: Callable[[str], object],
    ) -> None:
        self._broker = Broker(broker)
        self._settings = settings
        self._say = say
        self._parts: list[Part] = []
        self._posts = deque[tuple[Publish, bool]]()
        self._answers = deque[Publish]()
        self._answer_bytes = 0
        self._answer_was_last = False
        self._rate = LineRate()
        self._id = settings.bridge_id
        self.topics = Topics(self._id, settings.base)
        self.counters = MqttCounters()
        self.retained = RetainedTopics(
            self._id,
            mark_of=_read_mark,
            lost_mark=availability_payload(self._id, _STARTING),
            other_found=self._say_other,
        )
        # The services by topic. Two devices may claim one topic; the first one in the list has it.
        self._holders: dict[str, list[BridgedService]] = {}
        self._forget_at: dict[BridgedService, float] = {}
        self._forgotten: set[BridgedService] = set()
        self._clear_at = math.inf
        self._said: set[str] = set()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._was_read = asyncio.Event()
        self._heard_at = 0.0
        bridge = self.topics.bridge_availability
        self.retained.want(bridge, bridge, self._bridge_wanted)
        self._ends = False
        self._instance = secrets.token_hex(8)
        self._other_instance = False
        self._waiting = deque[tuple[str, float]]()

    def add(self, part: Part) -> None:
        """Have ``part`` use the connection. Call it before :meth:`run`."""
        self._parts.append(part)

    # --- what the watching calls ---

    def found(self, services: Sequence[BridgedService]) -> None:
        """Publish ``services``."""
        for service in services:
            holders = self._holders.setdefault(self._key(service), [])
            # A root device has the topics of its UDN, even if another device claims to embed it.
            state = service.state
            own = [each for each in holders if each.state.udn == each.state.root_udn]
            holders.insert(len(own) if state.udn == state.root_udn else len(holders), service)
            self._change(service)
        for part_ in self._parts:
            part_.found(services)

    def event(self, service: BridgedService, event: Event) -> None:
        """Publish the values of ``service``."""
        self._change(service)

    def status(self, service: BridgedService) -> None:
        """Publish the availability of ``service``; clear its topics later if its device has
        gone."""
        if service.state.status == GONE:
            self._forget_at.setdefault(service, _now() + self._settings.forget_after)
        else:
            self._forget_at.pop(service, None)
            self._forgotten.discard(service)
        self._change(service)

    def forgotten(self, service: BridgedService) -> None:
        """Clear the topics of ``service``."""
        self._forget_at.pop(service, None)
        self._forgotten.discard(service)
        key = self._key(service)
        holders = self._holders.get(key, [])
        if service in holders:
            holders.remove(service)
        if holders:
            self._change(holders[0])
        else:
            self._holders.pop(key, None)
            self.retained.unwant(key)
        for part_ in self._parts:
            part_.forgotten(service)
        self._wake.set()

    def _change(self, service: BridgedService) -> None:
        key = self._key(service)
        holders = self._holders.get(key)
        if holders and holders[0] is service and service not in self._forgotten:
            self.retained.want(key, f"{key}/availability", lambda: self._wanted(service))
            for part_ in self._parts:
                part_.changed(service)
        self._wake.set()

    def post(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """For a part: publish a message once, before what is wanted from now on. It is dropped if
        too many wait."""
        if len(self._posts) < _POSTS:
            self._posts.append((Publish(topic, payload), retain))
            self._wake.set()

    def answer(self, topic: str, payload: bytes) -> None:
        """For a part: publish an answer to a command. It is dropped if too many wait. Answers and
        what is wanted take turns, so that a flood of commands does not keep states back."""
        room = self._answer_bytes + len(payload) <= _ANSWER_BYTES
        if len(self._answers) < _POSTS and room:
            self._answers.append(Publish(topic, payload))
            self._answer_bytes += len(payload)
            self._wake.set()

    def next_message(self) -> tuple[Publish, bool] | None:
        """The next message to publish, and whether it is to be retained; None if there is none."""
        if self._posts:
            return self._posts.popleft()
        if self._answers and not self._answer_was_last:
            return self._take_answer()
        self._answer_was_last = False
        wanted = self.retained.take()
        if wanted is not None:
            return wanted, True
        return self._take_answer() if self._answers else None

    def _take_answer(self) -> tuple[Publish, bool]:
        answer = self._answers.popleft()
        self._answer_bytes -= len(answer.payload)
        self._answer_was_last = True
        return answer, False

    def publishes(self, udn: str, service: str) -> bool:
        """For a part: whether this bridge publishes the service, and no other one does."""
        return self.retained.is_own(self.topics.service(udn, service))

    def wake(self) -> None:
        """For a part: something was wanted of :attr:`retained`."""
        self._wake.set()

    def _key(self, service: BridgedService) -> str:
        return self.topics.service(service.state.udn, service.state.service)

    # --- what should be retained ---

    def _bridge_wanted(self) -> Wanted:
        mark = self._bridge_mark(_ENDED if self._ends else None)
        return Wanted(mark, not self._ends, mark, None)

    def _bridge_mark(self, reason: str | None) -> bytes:
        return availability_payload(self._id, reason, instance=self._instance)

    def _wanted(self, service: BridgedService) -> Wanted:
        state = service.state
        key = self._key(service)
        online = state.is_online and not self._ends
        reason = _ENDED if self._ends else state.reason or state.status
        status = "" if self._ends else state.status
        mark = availability_payload(self._id, None if online else reason, status)
        first = availability_payload(self._id, "its values follow", state.status)
        values: dict[str, bytes] | None = None
        if state.has_values or online:
            values = {key: state_payload(state, self._id)}
            if self._settings.distinct:
                for name, value in plain_values(state):
                    payload = variable_payload(value)
                    if len(payload) <= PAYLOAD_BYTES:
                        values[f"{key}/{part(name)}"] = payload
        return Wanted(mark, online, first, values)

    def _say_other(self, bridge_id: str) -> None:
        more = self._rate.admit("another bridge")
        if more is None:
            return
        self._say(
            f"the bridge {bridge_id!r} publishes some of these devices to {self._broker.name} "
            f"already: they are left to it while it is online{more}"
        )

    # --- the connection ---

    async def run(self) -> None:
        """Publish until cancelled; then say that the bridge has ended. Raises BridgeFailed if the
        broker refuses the first connection, and if another bridge has this id."""
        self._clear_at = _now() + _START_SECONDS
        wait = _FIRST_WAIT
        while True:
            try:
                await self._connect()
            except aiomqtt.MqttError as error:
                self.counters.connected = False
                refusal, again = self._broker.refusal(error)
                if refusal and not self.counters.connections:
                    raise BridgeFailed(refusal) from error
                if code_of(error) == TAKEN_OVER:
                    raise self._taken_over() from error
                if again:
                    continue
                said = refusal or f"{self._broker.name} is away: {reason_of(error)}"
                self._say_once(f"{said}; it is tried again")
                if self._idle.is_set() or self._was_read.is_set():
                    wait = _FIRST_WAIT  # it was connected
                self._was_read.clear()
                longest = _REFUSED_WAIT if refusal else wait
                await asyncio.sleep(longest * random.uniform(0.5, 1))  # noqa: S311 - no secret
                wait = min(2 * wait, _LONGEST_WAIT)

    async def _connect(self) -> None:
        """Serve one connection, until it is lost: raises MqttError."""
        will = aiomqtt.Will(
            self.topics.bridge_availability, self._bridge_mark(_WILL), qos=1, retain=True
        )
        client = self._broker.client(
            self._id, will=will, answered=self._answered, flooded=self._flooded
        )
        self._was_read.clear()
        self._idle.clear()
        async with client:
            self.retained.begin()
            tasks = [
                asyncio.create_task(self._hear(client)),
                asyncio.create_task(self._publish(client)),
            ]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            except asyncio.CancelledError:
                await self._end()
                raise
            finally:
                self.counters.connected = False
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def _taken_over(self) -> BridgeFailed:
        return BridgeFailed(
            f"another bridge with the id {self._id!r} has connected to {self._broker.name}, which "
            "has one at a time: give one of them another --id"
        )

    def _flooded(self) -> None:
        """Commands were dropped, since too many wait."""
        more = self._rate.admit("commands")
        if more is not None:
            self._say(
                f"commands of {self._broker.name} are dropped without an answer: more than "
                f"{COMMANDS_INCOMING} came at once{more}"
            )

    def _say_once(self, line: str) -> None:
        if line not in self._said and len(self._said) < 64:
            self._said.add(line)
            self._say(line)

    async def _end(self) -> None:
        """Say that the bridge has ended, within a limit."""
        self._ends = True
        bridge = self.topics.bridge_availability
        self.retained.want(bridge, bridge, self._bridge_wanted)
        for holders in self._holders.values():
            self._change(holders[0])
        self._idle.clear()
        self._wake.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                await self._idle.wait()

    # --- what is retained ---

    async def _hear(self, client: Client) -> None:
        async for message in client.messages:
            self._heard_at = _now()
            client.taken(message.topic.value, message.payload)
            self._take_message(message.topic.value, message.payload, retained=message.retain)

    def _take_message(self, topic: str, payload: bytes, *, retained: bool) -> None:
        base = self.topics.base
        for part_ in self._parts:
            filters = (*part_.filters, *part_.later_filters)
            if any(aiomqtt.Topic(topic).matches(each) for each in filters):
                part_.hear(topic, payload, retained=retained)
        levels = topic.removeprefix(f"{base}/").split("/")
        if not topic.startswith(f"{base}/") or len(levels) not in {2, 3}:
            return
        if levels[0] == "bridge":
            self._hear_bridge(topic, levels, payload)
        else:
            key = f"{base}/{levels[0]}/{levels[1]}"
            self.retained.hear(key, f"{key}/availability", topic, payload)
        self._wake.set()

    def _hear_bridge(self, topic: str, levels: list[str], payload: bytes) -> None:
        if topic == self._read_topic:
            self._was_read.set()
        elif topic == self.topics.bridge_availability:
            # Some brokers give no reason when another client with this id ends the connection. Each
            # process has an instance of its own in its last will: another one has left another.
            if read_instance(payload) not in {None, self._instance}:
                self._other_instance = True
            self.retained.hear(topic, topic, topic, payload)
        elif levels[2:] == ["availability"]:
            said = read_availability(payload)
            if said is not None and part(said[0]) == levels[1]:
                self.retained.hear_bridge(*said)

    @property
    def _read_topic(self) -> str:
        return self.topics.bridge_availability.removesuffix("availability") + "read"

    async def _read(self, client: Client) -> None:
        """Ask for everything that is retained, and wait until it has come."""
        base = self.topics.base
        filters = [f"{base}/+/+/availability", *(f for each in self._parts for f in each.filters)]
        everything = f"{base}/#"
        # With QoS 1 Mosquitto drops retained messages beyond a thousand.
        answers = await client.subscribe([(each, 0) for each in (*filters, everything)])
        if any(is_failure(each) for each in answers):
            self._say_once(
                f"{self._broker.name} does not let the bridge read {everything}: what was left "
                "behind after a crash cannot be found; check the rules of the broker"
            )
        # The retained messages come before this one.
        await client.publish(self._read_topic, encode(self._id), qos=1)
        begun = self._heard_at = _now()
        while not self._was_read.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.25):
                    await self._was_read.wait()
            if _now() - self._heard_at > _SILENT_SECONDS or _now() - begun > _READ_SECONDS:
                self._say_once(
                    f"{self._broker.name} does not let the bridge read its own topic "
                    f"{self._read_topic}: check the rules of the broker for {everything}"
                )
                self._was_read.set()
        if self._other_instance and self.counters.connections:
            raise self._taken_over()
        self._other_instance = False
        await client.unsubscribe(everything)
        self.retained.read()
        if later := [f for each in self._parts for f in each.later_filters]:
            await client.subscribe_as_published(later)

    # --- publishing ---

    async def _publish(self, client: Client) -> None:
        await self._read(client)
        self.counters.connected = True
        self.counters.connections += 1
        if self._said or self.counters.connections == 1:
            self._said.clear()
            self._say(f"connected to {self._broker.name} as {self._id!r}")
        in_flight: set[asyncio.Task[None]] = set()
        self._waiting.clear()
        failures: list[BaseException] = []
        read_again_at = 0.0

        def ended(task: asyncio.Task[None]) -> None:
            in_flight.discard(task)
            if not task.cancelled() and task.exception() is not None:
                failures.append(task.exception())  # type: ignore[arg-type] # it is not None
            self._wake.set()

        try:
            while True:
                self._wake.clear()
                due = self._pass_time()
                while len(in_flight) < IN_FLIGHT and (due_now := self.next_message()) is not None:
                    message, retain = due_now
                    task = asyncio.create_task(self._send(client, message, retain=retain))
                    in_flight.add(task)
                    task.add_done_callback(ended)
                if failures:
                    raise failures[0]
                if not in_flight:
                    if self.retained.needs_reading and _now() >= read_again_at:
                        read_again_at = _now() + _READ_AGAIN_SECONDS
                        self._was_read.clear()
                        self.retained.begin()
                        await self._read(client)
                        continue
                    self._idle.set()
                if self.retained.needs_reading:
                    due = min(due, read_again_at)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(None if due == math.inf else max(0, due - _now())):
                        await self._wake.wait()
        finally:
            for task in in_flight:
                task.cancel()

    async def _send(self, client: Client, message: Publish, *, retain: bool) -> None:
        self._waiting.append((message.topic, _now()))
        self.counters.published += 1
        self.counters.oldest = self._waiting[0][1]
        await client.publish(message.topic, message.payload, qos=1, retain=retain)

    def _answered(self, failure: str) -> None:
        """The broker has acknowledged the oldest message, or refused it."""
        if not self.counters.connected or not self._waiting:
            return
        topic, _ = self._waiting.popleft()
        self.counters.acknowledged += 1
        self.counters.oldest = self._waiting[0][1] if self._waiting else None
        if failure:
            self.counters.refused += 1
            self._say_once(
                f"{self._broker.name} does not take {topic}: {failure}; check the rules of the "
                f"broker for {self.topics.base}/#"
            )

    def _pass_time(self) -> float:
        """Forget what is due. Returns the time at which this is to be called again."""
        now = _now()
        if now >= self._clear_at:
            self._clear_at = math.inf
            self.retained.begin_clearing()
        while self._forget_at:
            service, due = next(iter(self._forget_at.items()))
            if due > now:
                return min(due, self._clear_at)
            del self._forget_at[service]
            self._forgotten.add(service)
            key = self._key(service)
            if self._holders[key][0] is service:
                self.retained.unwant(key)
                for part_ in self._parts:
                    part_.forgotten(service)
        return self._clear_at


def _read_mark(payload: bytes) -> tuple[str, bool] | None:
    """The bridge that has written an availability, and whether it is online; or the bridge that has
    written a discovery message, which says nothing of that."""
    said = read_availability(payload)
    if said is None and (owner := read_owner(payload)) is not None:
        return owner, False
    return said


def _now() -> float:
    return asyncio.get_running_loop().time()
