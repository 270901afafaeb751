"""The bridge beside a Mosquitto and real devices: what Home Assistant is offered, and commands."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.fixtures import missing
from lab.mosquitto import Mosquitto, Watcher, retained
from lab.programs import Missing
from propchange import ActionError, Device, Service, StateVariable, action, host
from propchange.upnp.standard import SwitchPower

pytestmark = pytest.mark.slow  # each starts a broker

UDN = "11111111-2222-3333-4444-555555555555"
CONFIG = f"homeassistant/device/propchange_{UDN}/config"
SERVICE = f"propchange/{UDN}"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    made = Mosquitto(tmp_path)
    try:
        made.start()
    except Missing as error:
        missing(error)
    try:
        yield made
    finally:
        made.stop()


class Lamp(SwitchPower):
    @action
    def set_target(self, new_target_value: bool) -> None:
        self.target = self.status = new_target_value


class Gauge(Service, type="urn:propchange-test:service:Gauge:1"):
    level = StateVariable("ui1", minimum=0, maximum=100)
    word = StateVariable("string")

    @action
    def set_level(self, new_level: int) -> None:
        if new_level == 13:
            raise ActionError(800, "not on a Friday")
        self.level = new_level

    @action(arguments={"value": "Level"}, returns={"Twice": "Level"})
    def double(self, value: int) -> int:
        return min(2 * value, 100)


def lamp(name: str = "Desk lamp", *services: Service) -> Device:
    return Device(name, services=[Lamp(), *services], udn=f"uuid:{UDN}")


@contextlib.asynccontextmanager
async def bridge(broker: Mosquitto, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command, with ``words`` behind its options."""
    with (broker.folder / "bridge.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "propchange", "bridge", "--mqtt", broker.url, "--id", "test"),
            *("--interface", "127.0.0.1", *words),
            stderr=log,
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def is_online(seen: Watcher, topic: str) -> bool:
    available = seen.json(topic)
    return available is not None and available["state"] == "online"


def platforms(payload: dict[str, Any]) -> dict[str, str]:
    return {key: each["platform"] for key, each in payload["components"].items()}


def test_a_device_is_offered_set_and_taken_back(broker: Mosquitto) -> None:
    async def run() -> None:
        async with (
            Watcher.of(broker, "propchange/#", "homeassistant/#") as seen,
            host(lamp("Desk lamp", Gauge()), interface="127.0.0.1", announce=False) as hosted,
        ):
            words = (hosted.description_url, "--home-assistant", "--commands")
            async with bridge(broker, *words):
                payload = await seen.until(lambda: seen.json(CONFIG))
                assert platforms(payload) == {
                    "Gauge_Level": "number",
                    "Gauge_Word": "sensor",
                    "SwitchPower_Status": "switch",
                }
                switch = payload["components"]["SwitchPower_Status"]
                for topic in (each["topic"] for each in switch["availability"]):
                    await seen.until(lambda of=topic: is_online(seen, of))
                kept = await retained(broker, switch["state_topic"])
                assert json.loads(kept[switch["state_topic"]])["values"] == {"Status": False}
                # As Home Assistant does it.
                await seen.client.publish(switch["command_topic"], switch["payload_on"], qos=1)
                await seen.until(lambda: seen.json(switch["state_topic"])["values"]["Status"])
                answer = await seen.until(lambda: seen.json(f"{switch['command_topic']}/answer"))
                assert answer == {"action": "SetTarget", "outputs": {}}
            # The end says so; nothing is lost.
            bridge_topic = switch["availability"][0]["topic"]
            assert json.loads((await retained(broker))[bridge_topic])["state"] == "offline"
            assert CONFIG in await retained(broker)

    asyncio.run(run())


def test_a_command_is_answered_whatever_it_is(broker: Mosquitto) -> None:
    async def run() -> None:
        async with (
            Watcher.of(broker, "propchange/#") as seen,
            host(lamp("Desk lamp", Gauge()), interface="127.0.0.1", announce=False) as hosted,
        ):

            async def answer(topic: str, payload: str) -> Any:
                topic = f"{SERVICE}/{topic}"
                seen.last.pop(f"{topic}/answer", None)
                await seen.client.publish(topic, payload, qos=1)
                return await seen.until(lambda: seen.json(f"{topic}/answer"))

            await seen.client.publish(f"{SERVICE}/Gauge/Level/set", "77", qos=1, retain=True)
            async with bridge(broker, hosted.description_url, "--commands"):
                await seen.until(lambda: is_online(seen, f"{SERVICE}/Gauge/availability"))
                await seen.until(lambda: seen.json(f"{SERVICE}/Gauge")["values"]["Level"] == 0)
                assert await answer("Gauge/call/Double", '{"Value": 21}') == {
                    "action": "Double",
                    "outputs": {"Twice": 42},
                }
                refused = await answer("Gauge/call/Double", "{}")
                assert "lacks the in argument Value" in refused["error"]
                friday = await answer("Gauge/Level/set", "13")
                assert friday["code"] == 800, friday
                assert "not on a Friday" in friday["error"]
                assert "no action" in (await answer("Gauge/call/Nothing", ""))["error"]
                assert "no variable" in (await answer("Gauge/Nothing/set", "1"))["error"]
                await seen.client.publish(f"{SERVICE}/Gauge/Level/set", "78", qos=1, retain=True)
                answered = f"{SERVICE}/Gauge/Level/set/answer"
                await seen.until(lambda: "it is retained" in seen.json(answered).get("error", ""))
                for position in range(60):
                    await seen.client.publish(f"{SERVICE}/Gauge/Level/set", str(position), qos=1)
                await seen.until(lambda: seen.json(f"{SERVICE}/Gauge")["values"]["Level"] == 59)
                # The retained ones were never carried out.
                values = [
                    json.loads(payload)["values"].get("Level")
                    for topic, payload in seen.messages
                    if topic == f"{SERVICE}/Gauge" and payload
                ]
                assert not {77, 78} & set(values)

    asyncio.run(run())


def test_without_commands_nothing_can_be_set(broker: Mosquitto) -> None:
    async def run() -> None:
        async with (
            Watcher.of(broker, "propchange/#", "homeassistant/#") as seen,
            host(lamp(), interface="127.0.0.1", announce=False) as hosted,
            bridge(broker, hosted.description_url, "--home-assistant"),
        ):
            payload = await seen.until(lambda: seen.json(CONFIG))
            assert platforms(payload) == {"SwitchPower_Status": "binary_sensor"}
            topic = f"{SERVICE}/SwitchPower/Status/set"
            await seen.client.publish(topic, "1", qos=1)
            await asyncio.sleep(0.5)
            assert f"{topic}/answer" not in seen.last
            await seen.until(lambda: is_online(seen, f"{SERVICE}/SwitchPower/availability"))
            assert seen.json(f"{SERVICE}/SwitchPower")["values"] == {"Status": False}

    asyncio.run(run())


def test_what_an_earlier_start_offered_is_kept_and_what_is_gone_of_it_is_removed(
    broker: Mosquitto,
) -> None:
    async def run() -> None:
        async with (
            Watcher.of(broker, "homeassistant/#") as seen,
            host(lamp(), interface="127.0.0.1", announce=False) as hosted,
        ):
            words = (hosted.description_url, "--home-assistant")
            async with bridge(broker, *words):
                offered = await seen.until(lambda: seen.json(CONFIG))
            component = offered["components"]["SwitchPower_Status"]
            # As an earlier version has offered it, or a device with another description.
            offered["components"]["SwitchPower_Old"] = {**component, "unique_id": "old"}
            await seen.client.publish(CONFIG, json.dumps(offered), qos=1, retain=True)
            other = "homeassistant/device/propchange_other/config"
            foreign = json.dumps(offered).replace("bridge/test/", "bridge/another/")
            await seen.client.publish(other, foreign, qos=1, retain=True)
            await seen.until(lambda: other in seen.last)
            begun = len(seen.messages)
            async with bridge(broker, *words):
                await seen.until(lambda: len(seen.messages) >= begun + 2)
                await seen.client.publish("homeassistant/status", "online", qos=1)
                await seen.until(lambda: len(seen.messages) >= begun + 4)
            since = [
                json.loads(payload)["components"]
                for topic, payload in seen.messages[begun:]
                if topic == CONFIG
            ]
            # The entity is removed by its platform. No message takes back the one that is there.
            assert since[0] == {"SwitchPower_Old": {"platform": "binary_sensor"}}
            assert since[1:] == [{"SwitchPower_Status": component}] * 2
            kept = await retained(broker, "homeassistant/#")
            assert json.loads(kept[CONFIG])["components"] == {"SwitchPower_Status": component}
            assert kept[other].decode() == foreign

    asyncio.run(run())
