"""The numbers of a bridge for Prometheus."""

from __future__ import annotations

import asyncio
import re
import signal
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from propchange import Device, action, host
from propchange.bridge.metrics import nats_numbers
from propchange.upnp.standard import SwitchPower
from tests.bridge.collector_world import World
from tests.bridge.conftest import Mosquitto, RunningBridge
from tests.bridge.nats_servers import SERVERS, nats_server
from tests.cli.conftest import PATIENCE, Loop, Workbench


class Lamp(SwitchPower):
    @action
    def set_target(self, new_target_value: bool) -> None:
        self.status = self.target = new_target_value


def numbers(url: str) -> dict[str, float]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    return {
        name: float(value) for name, value in re.findall(r"^([^# ]\S*) (\S+)$", text, re.MULTILINE)
    }


def wait_for(url: str, name: str, condition: Callable[[float], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition(found := numbers(url)[name]):
        assert time.monotonic() < deadline, (name, found)
        time.sleep(0.1)


@pytest.mark.slow
def test_a_bridge_says_whether_its_broker_is_there_and_how_far_behind(
    mosquitto: Mosquitto, bridge: Callable[..., RunningBridge], workbench: Workbench
) -> None:
    running = bridge(workbench.url, "--mqtt", mosquitto.url, "--metrics-port", "0")
    assert running.process.stderr is not None
    found = re.search(r"http://\S+", running.process.stderr.readline())
    assert found
    url = found[0]
    wait_for(url, "propchange_bridge_broker_connected", lambda value: value == 1)
    wait_for(url, "propchange_bridge_acknowledged_total", lambda value: value >= 4)
    wait_for(url, 'propchange_subscriptions{status="active"}', lambda value: value == 2)
    wait_for(url, "propchange_bridge_broker_lag_seconds", lambda value: value == 0)
    mosquitto.stop(signal.SIGKILL)
    wait_for(url, "propchange_bridge_broker_connected", lambda value: value == 0)
    mosquitto.start()
    wait_for(url, "propchange_bridge_broker_connected", lambda value: value == 1)
    wait_for(url, "propchange_bridge_broker_connections_total", lambda value: value == 2)
    assert numbers(url)["propchange_bridge_refused_total"] == 0
    assert running.end()[0] == 0


@pytest.mark.slow
def test_commands_that_are_carried_out_and_that_are_refused_are_counted(
    mosquitto: Mosquitto, bridge: Callable[..., RunningBridge], loop: Loop
) -> None:
    hosted = host(Device("Lamp", services=[Lamp()]), interface="127.0.0.1", announce=False)
    loop.run(hosted.__aenter__())
    words = (hosted.description_url, "--mqtt", mosquitto.url, "--commands", "--metrics-port", "0")
    running = bridge(*words)
    assert running.process.stderr is not None
    found = re.search(r"http://\S+", running.process.stderr.readline())
    assert found
    wait_for(found[0], 'propchange_subscriptions{status="active"}', lambda value: value == 1)
    wait_for(found[0], "propchange_bridge_acknowledged_total", lambda value: value >= 3)
    service = f"propchange/{hosted.udn.removeprefix('uuid:')}/SwitchPower"

    async def publish() -> None:
        async with mosquitto.client() as client:
            await client.publish(f"{service}/call/GetTarget", b"", qos=1)
            await client.publish(f"{service}/Nothing/set", b"1", qos=1)

    asyncio.run(publish())
    wait_for(found[0], "propchange_bridge_commands_total", lambda value: value == 1)
    wait_for(found[0], "propchange_bridge_refused_commands_total", lambda value: value == 1)
    assert running.end()[0] == 0
    loop.run(hosted.close())


@pytest.mark.slow
def test_a_collector_serves_its_numbers(
    bridge: Callable[..., RunningBridge], workbench: Workbench, tmp_path: Path
) -> None:
    with nats_server(next(iter(SERVERS)), tmp_path) as server:
        running = bridge(workbench.url, "--nats", server.url, "--metrics-port", "0")
        assert running.process.stderr is not None
        found = re.search(r"http://\S+", running.process.stderr.readline())
        assert found
        wait_for(found[0], "propchange_bridge_lease_held", lambda value: value == 1)
        wait_for(found[0], "propchange_bridge_devices_owned", lambda value: value == 1)
        wait_for(found[0], "propchange_bridge_published_total", lambda value: value >= 2)
        assert running.end()[0] == 0


def test_collectors_count_the_devices_that_they_own_take_and_lose() -> None:
    world = World(["a", "b"], ["one", "two", "three", "four"])
    world.run(5)

    def stats(name: str) -> Any:
        return nats_numbers(world.nodes[name].collector).read(world.now)

    both = stats("a"), stats("b")
    assert sum(each.owned for each in both) == 4
    assert all(each.connected and each.lease for each in both)
    assert all(each.taken - each.lost >= each.owned for each in both)
    world.kill("b")
    world.run(10)
    left = stats("a")
    assert (left.owned, left.lost) == (4, both[0].lost)
    assert left.taken == both[0].taken + both[1].owned
    world.cut("a")
    assert not stats("a").connected
