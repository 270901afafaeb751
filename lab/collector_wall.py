"""Collectors and NATS servers that are killed, suspended and cut off at random, beside devices that
record what they have delivered.

    python -m lab.collector_wall --seconds 600 --seed 1 [--servers 3] [--program debian|current]

As root on Linux. Each of three collectors and each NATS server is in a network namespace of its
own; one more has six devices. A round has one to three faults at the same time, and leaves at least
one collector alone. Then the faults end, the devices do not change, and the states in NATS have to
become those of the devices. At the end, what the devices delivered is compared with the stream. It
prints a line for each round, and a summary.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.nats_servers import SERVERS, NatsServer
from lab.networks import Host, Network
from lab.programs import Program

NAMES = ("one", "two", "three")
DEVICES = 6
REST_SECONDS = 30.0
"""Seconds to a rest, above which it is an error."""

EXCUSED_SECONDS = 2.0
"""Seconds before and after a fault of a collector in which an event may be lost with it."""


@dataclass
class Fault:
    what: str
    whom: str
    begins: float
    ends: float = float("inf")
    owned: dict[str, str] = field(default_factory=dict)
    """The devices that the collector owned, and its session."""


class Wall:
    """The networks and all programs."""

    def __init__(
        self, network: Network, folder: Path, program: str, servers: int, seed: int
    ) -> None:
        self.chance = random.Random(seed)
        self.folder = folder
        lan, office = network.switch("lan"), network.switch("office")
        self.hosts: dict[str, Host] = {}
        stores = [f"store{each}" for each in range(servers)]
        for number, name in enumerate((*NAMES, "devices", *stores), 1):
            host = self.hosts[name] = network.host(name)
            if name not in stores:
                network.plug(host, lan, "eth0", f"10.77.0.{number}/24")
            if name != "devices":
                network.plug(host, office, "eth1", f"10.78.0.{number}/24")
        self.servers: dict[str, NatsServer] = {}
        self.options: dict[str, tuple[str, ...]] = {}
        self.faults: list[Fault] = []
        self.records: list[Any] = []
        # The subscriptions of collectors that were killed: devices have them until they expire.
        self.dead: set[str] = set()
        self._begin_servers(stores, program)
        urls = [each.url for each in self.servers.values()]
        self.config = folder / "collector.toml"
        self.config.write_text(f"[nats]\nurl = {json.dumps(urls)}\nreplicas = {servers}\n")
        prefix = self.hosts[stores[-1]].prefix
        # In the namespace of a server, and it reads from whichever server answers.
        self.reader = self._program("reader", prefix, "lab.nats_reader", ",".join(urls))
        asked = {"address": "10.77.0.4", "devices": DEVICES, "per_second": 10}
        self.devices = self._program(
            "devices", self.hosts["devices"].prefix, "lab.recording_devices", json.dumps(asked)
        )
        self.urls = self.devices.read("ready")["ready"]
        self.collectors = {name: self.collector(name) for name in NAMES}

    def _begin_servers(self, stores: list[str], program: str) -> None:
        first = len(NAMES) + 2
        routes = ",".join(f"nats://10.78.0.{first + each}:6222" for each in range(len(stores)))
        for number, name in enumerate(stores):
            kind = program if program in SERVERS else list(SERVERS)[number % 2]
            address, folder = f"10.78.0.{first + number}", self.folder / name
            folder.mkdir()
            server = NatsServer(
                SERVERS[kind], folder, address=address, prefix=self.hosts[name].prefix
            )
            self.servers[name] = server
            self.options[name] = ()
            if len(stores) > 1:
                self.options[name] = (
                    "--server_name", name, "--cluster_name", "wall", "--routes", routes,
                    "--cluster", f"nats://{address}:6222",
                )  # fmt: skip
            server.start(*self.options[name])

    def _program(self, name: str, prefix: Any, *words: str) -> Program:
        stderr = self.folder / f"{name}-{time.time():.3f}.txt"
        environment = {"XDG_STATE_HOME": str(self.folder), "PYTHONUNBUFFERED": "1"}
        return Program([*prefix, sys.executable, "-m", *words], stderr, environment)

    def collector(self, name: str) -> Program:
        options = ("--config", str(self.config))
        own = f"10.77.0.{NAMES.index(name) + 1}"
        words = ("propchange", "bridge", *self.urls, *options, "--id", name, "--interface", own)
        return self._program(name, self.hosts[name].prefix, *words)

    def close(self) -> None:
        for each in (*self.collectors.values(), self.reader, self.devices):
            each.kill()
        for server in self.servers.values():
            server.kill()

    # --- what is there ---

    def states(self) -> dict[str, Any]:
        self.reader.tell("states")
        read = self.reader.read("states", timeout=60)["states"]
        return {each["udn"]: each for each in read.values() if each}

    def differences(self) -> list[str]:
        """What is not as it has to be when nothing happens."""
        report, states, found = self.devices.ask("report", "report")["report"], self.states(), []
        alive = {f"10.77.0.{NAMES.index(name) + 1}:" for name in self.collectors}
        for udn, (number, callbacks) in report.items():
            state = states.get(udn)
            if state is None or state["status"] != "active":
                found.append(f"{udn} is {state and (state['status'], state['reason'])}")
            elif state["values"] != {"Number": number}:
                found.append(f"{udn} has {state['values']}, and the device {number}")
            callbacks = [each for each in callbacks if each not in self.dead]
            if len(callbacks) != 1 or not any(each in callbacks[0] for each in alive):
                found.append(f"{udn} has the subscribers {callbacks}")
        return found

    def rest(self) -> float:
        began, last = time.monotonic(), list[str]()
        while time.monotonic() - began < REST_SECONDS:
            last = self.differences()
            if not last:
                return time.monotonic() - began
            time.sleep(0.2)  # until other processes have done it
        raise AssertionError("\n".join(["no rest:", *last]))

    # --- faults ---

    def begin_fault(self, what: str, whom: str) -> Fault:
        fault = Fault(what, whom, time.time())
        self.faults.append(fault)
        if what == "server":
            self.servers[whom].kill()
            return fault
        if what == "kill":
            at = f"10.77.0.{NAMES.index(whom) + 1}:"
            report = self.devices.ask("report", "report")["report"]
            held = {each for _, callbacks in report.values() for each in callbacks if at in each}
            self.dead |= held
            self.collectors[whom].kill()
            fault.begins = time.time()
        elif what == "suspend":
            self.collectors[whom].freeze()
        else:
            self.hosts[whom].unplug("eth1")
        return fault

    def end_fault(self, fault: Fault) -> None:
        if fault.what == "server":
            self.servers[fault.whom].start(*self.options[fault.whom])
        elif fault.what == "kill":
            self.collectors[fault.whom] = self.collector(fault.whom)
        elif fault.what == "suspend":
            self.collectors[fault.whom].thaw()
        else:
            self.hosts[fault.whom].plug_in("eth1")
        fault.ends = time.time()

    def round(self, with_server: bool) -> str:
        chance = self.chance
        victims = chance.sample(NAMES, chance.randint(0 if with_server else 1, 2))
        planned = [(chance.choice(("kill", "suspend", "cut")), name) for name in victims]
        if with_server:
            # Of three, one is killed and then another one: the first is back before.
            planned += [("server", chance.choice(list(self.servers)))]
        chance.shuffle(planned)
        until: list[tuple[float, Fault]] = []
        for what, whom in planned:
            time.sleep(chance.choice((0, 0, 0.3, 2)))  # faults at one time, or one after the other
            lasts = chance.uniform(0.3, 3) if what == "server" else chance.uniform(2, 15)
            until.append((time.time() + lasts, self.begin_fault(what, whom)))
        for due, fault in sorted(until, key=lambda each: each[0]):
            time.sleep(max(due - time.time(), 0))
            self.end_fault(fault)
        return ", ".join(
            f"{each.what} {each.whom} {each.ends - each.begins:.1f} s" for _, each in until
        )

    # --- the comparison ---

    def compare(self) -> dict[str, Any]:
        self.reader.tell("events")
        stream = self.reader.read("events", timeout=300)["events"]
        found: Counter[str] = Counter(lost=0, duplicates=0, two_owners=0, excused=0)
        there: dict[tuple[str, int], int] = Counter()
        writers: dict[str, list[tuple[float, str]]] = defaultdict(list)
        for subject, messages in stream.items():
            udn = subject.partition(".")[0]
            term, session = 0, ""
            for each in messages:
                if each["kind"] == "owner":
                    found["two_owners"] += each["term"] <= term
                    term, session = each["term"], each["session"]
                    found["terms"] += 1
                    continue
                found["two_owners"] += (each["term"], each["session"]) != (term, session)
                found["events"] += 1
                found["merged"] += each["merged"]
                for seq in range(each["seq"] - each["merged"], each["seq"] + 1):
                    there[each["sid"], seq] += 1
                at = time.mktime(time.strptime(each["time"][:19], "%Y-%m-%dT%H:%M:%S"))
                at += float(f"0.{each['time'][20:23]}") - time.timezone
                writers[udn].append((at, session))
        found["duplicates"] = sum(each - 1 for each in there.values())
        for udn, sid, seq, number, host, at in self.records:
            if there.get((sid, seq)):
                found["delivered"] += 1
                continue
            name = NAMES[int(host.rpartition(".")[2]) - 1]
            excused = any(
                each.whom == name
                and each.begins - EXCUSED_SECONDS <= at <= each.ends + EXCUSED_SECONDS
                for each in self.faults
            )
            found["excused" if excused else "lost"] += 1
            if not excused:
                said = [
                    f"{each.what} {each.whom} {each.begins - at:+.2f} to {each.ends - at:+.2f}"
                    for each in self.faults
                    if abs(each.begins - at) < 30
                ]
                print(f"lost: {udn} {sid} {seq} = {number}, taken by {name}; faults: {said}")
        return {**found, **self._takeovers(writers)}

    def _takeovers(self, writers: dict[str, list[tuple[float, str]]]) -> dict[str, Any]:
        """From a fault of an owner until another session has written an event."""
        taken: list[tuple[float, float, float, str]] = []
        faults = [each for each in self.faults if each.what != "server"]
        for fault in faults:
            for udn, written in writers.items():
                before = [session for at, session in written if at <= fault.begins]
                if not before or not before[-1].startswith(f"{fault.whom}-"):
                    continue
                others = [at for at, each in written if at > fault.begins and each != before[-1]]
                # A short one may be over before the lease has run out.
                if not others or (fault.what != "kill" and others[0] > fault.ends):
                    continue
                away = sum(
                    max(min(each.ends, others[0]) - max(each.begins, fault.begins), 0)
                    for each in self.faults
                    if each.what == "server" and len(self.servers) == 1
                )
                # The one that took over may have been killed too.
                last = max(each.begins for each in faults if each.begins <= others[0])
                took = others[0] - fault.begins
                what = f"{fault.what} {fault.whom} at {fault.begins:.1f}, {udn}"
                taken.append((took, took - away, others[0] - last, what))
        slowest = max(taken, default=(0.0, 0.0, 0.0, ""))
        return {
            "takeovers": len(taken),
            "slowest_takeover": round(slowest[0], 1),
            "of_it_without_the_server_away": round(slowest[1], 1),
            "of_it_since_the_last_fault": round(slowest[2], 1),
            "slowest_was": slowest[3],
            "slowest_since_the_last_fault": round(max((e[2] for e in taken), default=0.0), 1),
        }


def play(
    wall: Wall, seconds: float, server_kills: int, say: Callable[[str], object]
) -> dict[str, Any]:
    began, rests, kills = time.monotonic(), [wall.rest()], 0
    say(f"all is owned after {rests[0]:.1f} s")
    while time.monotonic() - began < seconds or kills < server_kills:
        wall.devices.ask("go", "counts")
        time.sleep(wall.chance.uniform(1, 3))  # load
        due = seconds * (kills + 0.5) / max(server_kills, 1)
        with_server = kills < server_kills and time.monotonic() - began >= due
        kills += with_server
        said = wall.round(with_server)
        time.sleep(wall.chance.uniform(0, 4))  # takeovers under load
        wall.devices.ask("rest", "counts")
        rests.append(wall.rest())
        wall.records += wall.devices.ask("records", "records")["records"]
        say(f"{time.monotonic() - began:5.0f} s: {said}: right after {rests[-1]:.1f} s")
    figures = {"rests": len(rests), "slowest_rest": round(max(rests), 1), "server_kills": kills}
    return figures | wall.compare()


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--servers", type=int, default=1)
    parser.add_argument("--server-kills", type=int, default=5)
    parser.add_argument("--program", default="current", choices=[*SERVERS, "mixed"])
    options = parser.parse_args()
    os.environ["TZ"] = "UTC"
    time.tzset()

    def say(line: str) -> None:
        print(line, flush=True)

    with tempfile.TemporaryDirectory() as folder, Network() as network:
        wall = Wall(network, Path(folder), options.program, options.servers, options.seed)
        try:
            figures = play(wall, options.seconds, options.server_kills, say)
        except BaseException:
            for each in sorted(Path(folder).glob("*.txt")):
                if text := each.read_text()[-1500:]:
                    say(f"--- {each.name}\n{text}")
            raise
        finally:
            wall.close()
    say(json.dumps(figures))
    sys.exit(any(figures[each] for each in ("lost", "duplicates", "two_owners")))


if __name__ == "__main__":
    main()
