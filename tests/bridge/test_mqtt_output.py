"""What is waiting for the broker: bounded, the last values, and no topic with two writers."""

from __future__ import annotations

import asyncio
import json
import socket
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import aiomqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from propchange.bridge.broker import COMMANDS_INCOMING, Client, reason_of
from propchange.bridge.configuration import BridgeSettings, BrokerSettings
from propchange.bridge.mqtt import MqttOutput
from propchange.bridge.output import BridgedService
from propchange.bridge.retained import Publish
from propchange.bridge.service_state import GONE, ServiceState
from propchange.core.subscriber.events import Change, Changes, Event, Status

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def new_output() -> MqttOutput:
    broker = BrokerSettings("127.0.0.1", 1883, tls=False)
    return MqttOutput(broker, BridgeSettings("attic", distinct=True), say=print)


def new_service(udn: str = "1", root_udn: str = "1", name: str = "Lamp") -> BridgedService:
    state = ServiceState(udn, root_udn, "Desk", "", name, f"urn:x:serviceId:{name}", "urn:x:1")
    found: Any = SimpleNamespace()
    return BridgedService(found, state)


def receive(output: MqttOutput, service: BridgedService, value: int) -> None:
    details = (Change("Level", value, None, None, None, str(value)),)
    event = Event(None, "uuid:9", 3, Changes(), details)
    service.state.receive(event, NOON)
    service.state.status = Status.ACTIVE.value
    output.event(service, event)


def messages_of(output: MqttOutput) -> list[Publish]:
    found = []
    while (message := output.retained.take()) is not None:
        found.append(message)
    return found


async def test_while_the_broker_is_away_the_last_values_alone_wait() -> None:
    output, services = new_output(), [new_service(name=f"S{n}") for n in range(3)]
    output.found(services)
    for number in range(1_000):
        for service in services:
            receive(output, service, number)
    output.retained.begin()
    output.retained.read()
    messages = messages_of(output)
    # Of each service: its mark, its state, its variable, and that it is online.
    assert len(messages) == 1 + 4 * len(services)
    levels = [each.payload for each in messages if each.topic.endswith("/Level")]
    assert levels == [b"999"] * 3


async def test_values_come_before_online_and_offline_before_values() -> None:
    output, service = new_output(), new_service()
    output.found([service])
    receive(output, service, 1)
    output.retained.begin()
    output.retained.read()
    at = "propchange/1/Lamp"
    topics = [each.topic for each in messages_of(output) if each.topic.startswith(at)]
    assert topics == [f"{at}/availability", at, f"{at}/Level", f"{at}/availability"]
    receive(output, service, 2)
    service.state.status, service.state.reason = Status.DEAF.value, "no event arrives"
    output.status(service)
    first, *others = messages_of(output)
    said = {"state": "offline", "reason": "no event arrives", "status": "deaf", "bridge": "attic"}
    assert (first.topic, json.loads(first.payload)) == (f"{at}/availability", said)
    assert [each.topic for each in others] == [at, f"{at}/Level"]


async def test_a_device_keeps_its_topics_if_another_one_claims_to_embed_it() -> None:
    output = new_output()
    forged, real = new_service(root_udn="evil"), new_service()
    output.found([forged])
    receive(output, forged, 66)
    output.found([real])
    receive(output, real, 1)
    receive(output, forged, 66)
    output.retained.begin()
    output.retained.read()
    levels = [each.payload for each in messages_of(output) if each.topic.endswith("/Level")]
    assert levels == [b"1"]
    # The real one is not watched any more: the topics are those of the other one.
    output.forgotten(real)
    assert b"66" in [each.payload for each in messages_of(output)]
    output.forgotten(forged)
    assert [each.payload for each in messages_of(output)][-1] != b"66"


async def test_a_device_that_is_back_before_it_is_forgotten_keeps_its_topics() -> None:
    output, service = new_output(), new_service()
    output.found([service])
    receive(output, service, 1)
    output.retained.begin()
    output.retained.read()
    messages_of(output)
    for status in (GONE, Status.ACTIVE.value):
        service.state.status, service.state.reason = status, "goodbye"
        output.status(service)
        messages = messages_of(output)
        assert [each.topic for each in messages] == ["propchange/1/Lamp/availability"]
        assert messages[0].payload
    assert output._forget_at == {}


async def test_a_connection_lost_before_its_socket_is_registered_prints_no_traceback() -> None:
    loop, failures = asyncio.get_running_loop(), list[Any]()
    loop.set_exception_handler(lambda _, context: failures.append(context))
    client = Client("127.0.0.1")
    ours, theirs = socket.socketpair()
    client._on_socket_register_write(client, None, ours)
    ours.close()
    theirs.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert failures == []


def test_a_broker_that_is_killed_is_said_in_words() -> None:
    lost = aiomqtt.MqttCodeError(ReasonCode(PacketTypes.DISCONNECT, "Unspecified error"))
    assert reason_of(lost) == "the connection is lost"
    reading = aiomqtt.MqttError("Disconnected during message iteration")
    reading.__cause__ = lost
    assert reason_of(reading) == "the connection is lost"


async def test_a_socket_that_the_loop_does_not_take_is_a_lost_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def add_writer(*_: object) -> None:
        raise RuntimeError("the handler is closed")  # as uvloop after a reset connection

    loop, failures = asyncio.get_running_loop(), list[Any]()
    loop.set_exception_handler(lambda _, context: failures.append(context))
    client = Client("127.0.0.1")
    ours, theirs = socket.socketpair()
    monkeypatch.setattr(loop, "add_writer", add_writer)
    client._on_socket_register_write(client, None, ours)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    ours.close()
    theirs.close()
    assert failures == []
    assert isinstance(client._disconnected.exception(), ConnectionError)


async def test_of_a_flood_of_commands_a_bounded_number_waits() -> None:
    client, dropped = Client("127.0.0.1"), list[int]()
    client.waiting_bytes = client.waiting_commands = 0
    client.flooded = lambda: dropped.append(1)

    def come(topic: str) -> None:
        client._on_message(
            None,
            None,
            SimpleNamespace(topic=topic, payload=b"1", properties=None, qos=0, retain=False, mid=1),
        )

    for number in range(20_000):
        come(f"propchange/1/Lamp/V{number}/set")
    come("propchange/1/Lamp/availability")
    assert client._queue.qsize() == COMMANDS_INCOMING + 1
    assert len(dropped) == 20_000 - COMMANDS_INCOMING
    # Those that were read make room.
    client.taken("propchange/1/Lamp/V1/set", b"1")
    come("propchange/1/Lamp/V1/set")
    assert client._queue.qsize() == COMMANDS_INCOMING + 2
