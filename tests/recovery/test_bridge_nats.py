"""Three collectors on one LAN that share devices through NATS, and what befalls them. The devices
count their subscribers, and what they have sent is compared with what arrived."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.fixtures import Start
from lab.networks import Host, Network
from lab.programs import Program
from tests.bridge.nats_servers import SERVERS, NatsServer, program_of

pytestmark = pytest.mark.slow

DEVICES = 9
NAMES = ("one", "two", "three")
TAKEOVER = 10.0
"""Seconds within which the state is right again after a collector has died."""


class Collectors:
    """The LAN of the devices, and another one to the NATS server."""

    def __init__(self, network: Network, start: Start, folder: Path, server: str) -> None:
        self.start = start
        lan, office = network.switch("lan"), network.switch("office")
        self.hosts: dict[str, Host] = {}
        for number, name in enumerate((*NAMES, "devices", "store"), 1):
            host = self.hosts[name] = network.host(name)
            if name != "store":
                network.plug(host, lan, "eth0", f"10.77.0.{number}/24")
            if name != "devices":
                network.plug(host, office, "eth1", f"10.78.0.{number}/24")
        store = self.hosts["store"]
        self.server = NatsServer(
            program_of(server), folder, address="10.78.0.5", prefix=store.prefix
        )
        self.server.start()
        self.reader = start(*store.prefix, sys.executable, "-m", "lab.nats_reader", self.server.url)
        options = f'{{"devices": {DEVICES}, "per_second": 20}}'
        command = (sys.executable, "-m", "lab.counting_devices", options)
        self.devices = start(*self.hosts["devices"].prefix, *command, XDG_STATE_HOME=str(folder))
        self.devices.read("ready")
        self.collectors = {name: self.collector(name) for name in NAMES}
        self.dead: set[str] = set()

    def collector(self, name: str) -> Program:
        number = NAMES.index(name) + 1
        command = (sys.executable, "-m", "propchange", "bridge", "--nats", self.server.url)
        options = ("--id", name, "--interface", f"10.77.0.{number}")
        return self.start(*self.hosts[name].prefix, *command, *options)

    def kill(self, name: str) -> None:
        """Kill a collector. Its subscriptions stay at the devices until they expire."""
        self.dead |= self.subscribers(f"10.77.0.{NAMES.index(name) + 1}:")
        self.collectors[name].kill()

    def subscribers(self, at: str) -> set[str]:
        report = self.devices.ask("report", "report")["report"]
        return {each for _, callbacks in report.values() for each in callbacks if at in each}

    def states(self) -> dict[str, Any]:
        states: dict[str, Any] = self.reader.ask("states", "states")["states"]
        return {each["udn"]: each for each in states.values() if each}

    def until(self, holds: Callable[[], bool], seconds: float, what: str) -> float:
        """Wait until ``holds``. Returns how long it took."""
        began = time.monotonic()
        while not holds():
            waited = time.monotonic() - began
            assert waited < seconds, f"{what}: not in {seconds:g} s; {self.states()}"
            time.sleep(0.1)  # until another process has done it
        return time.monotonic() - began

    def owned_by(self, *names: str) -> bool:
        """Whether these collectors own all devices, and events arrive."""
        states = self.states().values()
        active = [each for each in states if each["status"] == "active"]
        return len(active) == DEVICES and {each["collector"] for each in active} <= set(names)

    def counted(self) -> bool:
        """Whether each device has one subscriber, besides those that were killed."""
        report = self.devices.ask("report", "report")["report"]
        return all(
            len([each for each in callbacks if each not in self.dead]) == 1
            for _, callbacks in report.values()
        )

    def equal(self) -> bool:
        """Whether the states are those of the devices."""
        report = self.devices.ask("report", "report")["report"]
        states = self.states()
        return all(
            udn in states and states[udn]["values"] == {"Number": numbers[0]}
            for udn, (numbers, _) in report.items()
        )

    def check_stream(self) -> int:
        """No owner writes after another one, and none misses an event while it owns the device.
        Returns how many owners there were."""
        events = self.reader.ask("events", "events")["events"]
        assert len(events) == DEVICES
        owners = 0
        for subject, messages in events.items():
            term, session, sid, seq, number = 0, "", "", -1, -1
            for each in messages:
                said = f"{subject}: {each} after SEQ {seq} of {sid}"
                if each["kind"] == "owner":
                    assert each["term"] > term, said
                    term, session, number = each["term"], each["session"], -1
                    owners += 1
                    continue
                assert (each["term"], each["session"]) == (term, session), said
                # A device merges what a slow subscriber does not take in time. What it has
                # delivered is numbered.
                follows = each["sid"] == sid and each["seq"] == seq + 1 + each["merged"]
                assert follows or each["initial"], said
                assert each["values"]["Number"] >= number, said
                sid, seq, number = each["sid"], each["seq"], each["values"]["Number"]
        return owners


@pytest.mark.parametrize("server", list(SERVERS))
def test_one_owner_writes_and_the_state_is_right_whatever_befalls_the_others(
    network: Network, start: Start, tmp_path: Path, server: str
) -> None:
    here = Collectors(network, start, tmp_path, server)
    try:
        here.until(lambda: here.owned_by(*NAMES), 20, "all devices are owned")
        here.until(here.counted, 5, "each device has one subscriber")
        here.devices.ask("go", "counts")
        # One is killed, one is cut off from the store, and one is suspended: none of them is left.
        # The first is started again.
        here.kill("one")
        here.hosts["two"].unplug("eth1")
        here.collectors["three"].freeze()
        here.collectors["one"] = here.collector("one")
        taken = here.until(lambda: here.owned_by("one"), TAKEOVER + 5, "one owns them all")
        print(f"{server}: all devices of the others are owned again after {taken:.1f} s")
        # The others are back, and learn that they have lost their devices.
        here.hosts["two"].plug_in("eth1")
        here.collectors["three"].thaw()
        here.until(here.counted, 15, "each device has one subscriber again")
        # The server is killed under load.
        here.server.kill()
        time.sleep(1)  # the devices go on
        here.server.start()
        here.until(lambda: here.owned_by(*NAMES), 10, "the store is back")
        here.devices.ask("rest", "counts")
        here.until(here.equal, 10, "the states are those of the devices")
        here.until(here.counted, 5, "each device has one subscriber at the end")
        assert here.check_stream() >= DEVICES
    finally:
        for collector in here.collectors.values():
            collector.kill()  # it would wait for the store
        here.server.close()


def test_collectors_of_two_segments_own_what_they_reach_and_no_other_device(
    network: Network, start: Start, tmp_path: Path
) -> None:
    # The two LANs do not hear each other. One device has an interface on both.
    north, south, office = (network.switch(name) for name in ("north", "south", "office"))
    hosts = {name: network.host(name) for name in ("n", "s", "dn", "ds", "db", "store")}
    for number, (name, lan) in enumerate(
        {"n": north, "dn": north, "s": south, "ds": south}.items()
    ):
        at = 80 if lan is north else 81
        network.plug(hosts[name], lan, "eth0", f"10.{at}.0.{number + 1}/24")
    network.plug(hosts["db"], north, "eth0", "10.80.0.9/24")
    network.plug(hosts["db"], south, "eth1", "10.81.0.9/24")
    for number, name in enumerate(("store", "n", "s"), 1):
        network.plug(hosts[name], office, "eth1", f"10.82.0.{number}/24")
    prefix = hosts["store"].prefix
    server = NatsServer(program_of("current"), tmp_path, address="10.82.0.1", prefix=prefix)
    server.start()
    reader = start(*prefix, sys.executable, "-m", "lab.nats_reader", server.url)
    counters = {}
    for name in ("dn", "ds", "db"):
        command = (
            sys.executable,
            "-m",
            "lab.counting_devices",
            f'{{"devices": 1, "udn": "{name}"}}',
        )
        counters[name] = start(*hosts[name].prefix, *command, XDG_STATE_HOME=str(tmp_path / name))
        counters[name].read("ready")

    def collector(name: str, address: str) -> Program:
        command = (sys.executable, "-m", "propchange", "bridge", "--nats", server.url)
        return start(*hosts[name].prefix, *command, "--id", name, "--interface", address)

    addresses = {"n": "10.80.0.1", "s": "10.81.0.3"}
    collectors = {name: collector(name, address) for name, address in addresses.items()}

    def owners() -> dict[str, str]:
        """The collector of each device, or its status if it is not active."""
        states = reader.ask("states", "states")["states"]
        return {
            each["udn"]: each["collector"] if each["status"] == "active" else each["status"]
            for each in states.values()
            if each
        }

    def until(wanted: Callable[[dict[str, str]], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not wanted(owners()):
            assert time.monotonic() < deadline, owners()
            time.sleep(0.1)  # until another process has done it

    def subscribers(name: str) -> set[str]:
        """The collectors that are subscribed to a device."""
        (report,) = counters[name].ask("report", "report")["report"].values()
        at = {f"//{address}:": each for each, address in addresses.items()}
        return {each for part, each in at.items() for url in report[1] if part in url}

    try:
        until(lambda own: own.get("dn-0") == "n" and own.get("ds-0") == "s" and "db-0" in own, 20)
        until(lambda own: own.get("db-0") in addresses, 10)
        first = owners()["db-0"]
        assert subscribers("db") == {first}
        assert (subscribers("dn"), subscribers("ds")) == ({"n"}, {"s"})
        # The owner of the device on both dies. The other one takes that device, and not the one
        # that it does not reach.
        other, its, others = ("s", "dn-0", "ds-0") if first == "n" else ("n", "ds-0", "dn-0")
        collectors[first].kill()
        until(lambda own: own.get("db-0") == other, TAKEOVER + 5)
        until(lambda own: own.get(its) == "unowned", 20)
        assert owners()[others] == other
        assert other not in subscribers(its[:2])
        # It is back, and has its own device again. The other one keeps what it has.
        collectors[first] = collector(first, addresses[first])
        until(lambda own: own == {its: first, others: other, "db-0": other}, 20)
    finally:
        for each in collectors.values():
            each.kill()
        server.close()
