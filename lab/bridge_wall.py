"""A wall of devices that restart at random beside the bridge: what the broker retains is compared
with what the devices have, at each rest.

    python -m lab.bridge_wall --seconds 600 --seed 1

As root on Linux. Everything runs in a network namespace of its own: four processes with five
devices each, a Mosquitto, and ``propchange bridge --home-assistant --distinct``. Devices change
their values and names, say goodbye and come back, some with another UDN at the same URL. A process
is killed, and so are the bridge and the broker, one of them or several at once, also as the last
thing. Then nothing happens until the broker retains what the devices have, and nothing else; that
takes 10 seconds at most, else it is an error, with the last things that happened. It prints a line
for each rest, and figures.

A device that is killed is back a second later. One that dies without a goodbye and stays away is
noticed at the next renewal alone, so there is none here.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.mosquitto import Mosquitto, retained
from lab.programs import Missing, Program, free_port
from propchange import Device, Service, StateVariable, action, host
from propchange.upnp.standard import SwitchPower

__all__ = ["Wall", "in_namespace", "main"]

GROUPS, OF_GROUP = 4, 5
KILLS: list[tuple[str, ...]] = [
    (),
    ("kill_group",),
    ("kill_bridge",),
    ("kill_broker",),
    ("kill_bridge", "kill_broker"),
    ("kill_broker", "kill_bridge", "kill_group"),
    ("kill_group", "kill_bridge"),
]
"""What is killed at once."""
BRIDGE_ID = "wall"
REST_SECONDS = 10.0
"""Seconds to a rest. A bridge that was killed clears what it has left behind 6 s after its start,
and a device that has gone is forgotten 3 s after its goodbye. A busy machine needs more."""

ANNOUNCE_SECONDS = 1.5
"""Seconds in which a device that was killed announces itself again. If it went within them, nobody
could know."""

TRACE = 60
"""Things that happened last, for an error."""


def udn_of(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


# --- the process of five devices ---


class Lamp(SwitchPower):
    @action
    def set_target(self, new_target_value: bool) -> None:
        self.target = self.status = new_target_value


class Gauge(Service, type="urn:propchange-test:service:Gauge:1"):
    level = StateVariable("ui1", minimum=0, maximum=100)
    word = StateVariable("string")


class _Devices:
    """Devices that obey lines of JSON."""

    def __init__(self, address: str, first: int) -> None:
        self.address = address
        self.ports = {number: free_port() for number in range(first, first + OF_GROUP)}
        self.services = {number: (Lamp(), Gauge()) for number in self.ports}
        self.names = {number: f"Device {number}" for number in self.ports}
        self.udns = {number: udn_of(number) for number in self.ports}
        self.running: dict[int, Any] = {}

    async def obey(self, line: dict[str, Any]) -> None:
        number, what = line["device"], line["do"]
        if what in ("down", "name", "identity") and number in self.running:
            await self.running.pop(number).close()
        if what == "identity":
            self.udns[number] = line["udn"]
        if what == "name":
            self.names[number] = line["name"]
        if what in ("up", "name", "identity") and number not in self.running:
            # One object can be hosted once.
            switch, gauge = self.services[number] = Lamp(), Gauge()
            switch.status, gauge.level, gauge.word = line["values"]
            device = Device(self.names[number], services=[switch, gauge], udn=self.udns[number])
            hosted = host(device, interface=self.address, port=self.ports[number])
            self.running[number] = await hosted.__aenter__()
        if what == "set":
            switch, gauge = self.services[number]
            switch.status, gauge.level, gauge.word = line["values"]


async def _serve(address: str, first: int) -> None:
    devices = _Devices(address, first)
    loop = asyncio.get_running_loop()
    print(json.dumps({"ready": first}), flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        told = json.loads(line)
        await devices.obey(told)
        print(json.dumps({"done": told["number"]}), flush=True)


# --- the wall ---


class Group:
    """A process with five devices."""

    def __init__(self, number: int, folder: Path) -> None:
        self.number = number
        self.address = f"10.77.0.{11 + number}"
        self._folder = folder
        self._program: Program | None = None
        self._asked = 0

    def start(self) -> None:
        command = [
            sys.executable,
            "-m",
            "lab.bridge_wall",
            "--serve",
            f"10.77.0.{11 + self.number}",
        ]
        command += ["--first", str(self.number * OF_GROUP)]
        self._program = Program(command, self._folder / f"group-{self.number}.txt")
        self._program.read("ready")

    def ask(self, **line: Any) -> None:
        assert self._program is not None
        self._asked += 1
        self._program.ask(json.dumps({**line, "number": self._asked}), "done")

    def kill(self) -> None:
        assert self._program is not None
        self._program.kill()


class Wall:
    """The devices, the broker and the bridge. ``values`` and ``names`` are the truth: what each
    device has that is up."""

    def __init__(self, folder: Path, seed: int, limit: float = REST_SECONDS) -> None:
        self.limit = limit
        self.random = random.Random(seed)
        self.folder = folder
        self.broker = Mosquitto(folder, address="10.77.0.1")
        self.groups = [Group(number, folder) for number in range(GROUPS)]
        self.values: dict[int, tuple[bool, int, str]] = {}
        self.names = {number: f"Device {number}" for number in range(GROUPS * OF_GROUP)}
        self.udns = {number: udn_of(number) for number in self.names}
        self.happened: Counter[str] = Counter()
        self.rests: list[float] = []
        self._bridge: subprocess.Popen[bytes] | None = None
        self._trace = deque[str](maxlen=TRACE)
        self._stays_until = dict.fromkeys(self.names, 0.0)

    def start(self) -> None:
        self.broker.start()
        for group in self.groups:
            group.start()
        for number in self.names:
            self.up(number)
        self.start_bridge()

    def stop(self) -> None:
        if self._bridge is not None:
            self._bridge.kill()
            self._bridge.wait()
        for group in self.groups:
            with contextlib.suppress(AssertionError):
                group.kill()
        self.broker.stop()

    def start_bridge(self) -> None:
        words = ("--mqtt", self.broker.url, "--id", BRIDGE_ID, "--interface", "10.77.0.1")
        with (self.folder / "bridge.log").open("ab") as log:
            self._bridge = subprocess.Popen(
                [
                    *(sys.executable, "-m", "propchange", "bridge", *words),
                    *("--home-assistant", "--distinct"),
                ],
                stderr=log,
            )

    # --- what happens ---

    def _new_values(self) -> tuple[bool, int, str]:
        word = "".join(self.random.choices("abcÄ/+#\"{}'\u2603 ", k=self.random.randrange(12)))
        return self.random.random() < 0.5, self.random.randrange(101), word.strip()

    def _note(self, line: str) -> None:
        self._trace.append(f"{time.monotonic():.1f} {line}")

    def _ask(self, number: int, do: str, **more: Any) -> None:
        self._note(f"device {number}: {do} {more}")
        self.groups[number // OF_GROUP].ask(do=do, device=number, **more)

    def up(self, number: int) -> None:
        self.values[number] = self._new_values()
        self._ask(number, "up", values=self.values[number])

    def down(self, number: int) -> None:
        del self.values[number]
        self._ask(number, "down")

    def change(self, number: int) -> None:
        self.values[number] = self._new_values()
        self._ask(number, "set", values=self.values[number])

    def rename(self, number: int) -> None:
        self.names[number] = f"Device {number} {self.random.choice('abcdef')}"
        self.values[number] = self._new_values()
        self._ask(number, "name", name=self.names[number], values=self.values[number])

    def identity(self, number: int) -> None:
        """Another device is at the URL."""
        self.udns[number] = udn_of(self.random.randrange(10**6) * 100 + number)
        self.values[number] = self._new_values()
        self._ask(number, "identity", udn=self.udns[number], values=self.values[number])

    def kill_group(self) -> None:
        group = self.random.choice(self.groups)
        group.kill()
        group.start()
        for number in range(group.number * OF_GROUP, (group.number + 1) * OF_GROUP):
            self.names[number] = f"Device {number}"
            self.values[number] = self._new_values()
            self._ask(number, "identity", udn=self.udns[number], values=self.values[number])
            self._stays_until[number] = time.monotonic() + ANNOUNCE_SECONDS

    def kill_bridge(self) -> None:
        assert self._bridge is not None
        self._bridge.kill()
        self._bridge.wait()
        self.start_bridge()

    def kill_broker(self) -> None:
        self.broker.stop(signal.SIGKILL)
        if self.random.random() < 0.5:
            with contextlib.suppress(FileNotFoundError):
                (self.folder / "mosquitto.db").unlink()
        self.broker.start()

    def happen(self) -> None:
        """One thing at random."""
        number = self.random.randrange(len(self.names))
        stays = time.monotonic() < self._stays_until[number]
        choices: list[tuple[Callable[..., object], float]] = [
            (self.change if number in self.values else self.up, 10),
            (self.rename if number in self.values else self.up, 1),
            (self.down if number in self.values else self.up, 0 if stays else 3),
            (self.identity if number in self.values else self.up, 0 if stays else 1),
        ]
        chosen = self.random.choices(*zip(*choices, strict=True))[0]
        chosen(number)
        self.happened[chosen.__name__] += 1

    def kill(self, *of: str) -> None:
        for name in of:
            self._note(name)
            getattr(self, name)()
            self.happened[name] += 1

    # --- what should be retained ---

    def differences(self, kept: dict[str, bytes]) -> list[str]:
        """How ``kept`` differs from what the devices have, a line each."""
        wrong: list[str] = []
        wanted = {f"propchange/bridge/{BRIDGE_ID}/availability"}

        def read(topic: str) -> Any:
            wanted.add(topic)
            if topic not in kept:
                wrong.append(f"{topic} is missing")
                return {}
            return json.loads(kept[topic])

        for number, (status, level, word) in self.values.items():
            udn = self.udns[number]
            services = {"SwitchPower": {"Status": status}, "Gauge": {"Level": level, "Word": word}}
            for service, values in services.items():
                at = f"propchange/{udn}/{service}"
                found = read(at)
                if found and found.get("values") != values:
                    wrong.append(f"{at} has {found.get('values')}, the device {values}")
                if found and found.get("device") != self.names[number]:
                    wrong.append(f"{at} is of {found.get('device')}, not {self.names[number]}")
                for name, value in values.items():
                    if f"{at}/{name}" in kept and read(f"{at}/{name}") != value:
                        wrong.append(f"{at}/{name} has {kept[f'{at}/{name}']!r}")
                    wanted.add(f"{at}/{name}")
                if (said := read(f"{at}/availability")) and said["state"] != "online":
                    wrong.append(f"{at} is {said}")
            config = read(f"homeassistant/device/propchange_{udn}/config")
            if config:
                expected = {"SwitchPower_Status", "Gauge_Level", "Gauge_Word"}
                if config["components"].keys() != expected:
                    wrong.append(f"{udn} is offered with {list(config['components'])}")
                if config["device"]["name"] != self.names[number]:
                    wrong.append(f"{udn} is offered as {config['device']['name']}")
        wrong += [f"{topic} is left: {kept[topic][:80]!r}" for topic in kept.keys() - wanted]
        return wrong

    async def rest(self) -> float:
        """Wait until what is retained is right. Returns the seconds; raises AssertionError."""
        began = time.monotonic()
        wrong = ["the broker does not answer"]
        while time.monotonic() - began < self.limit:
            kept = await retained(self.broker, "propchange/#", "homeassistant/#")
            wrong = self.differences(kept)
            if not wrong:
                self.rests.append(time.monotonic() - began)
                return self.rests[-1]
            await asyncio.sleep(0.25)
        self._note("the rest has ended")
        log = (self.folder / "bridge.log").read_text()[-2000:]
        lines = [f"after {self.limit} s:", *wrong[:20], *self._trace, log]
        raise AssertionError("\n".join(lines))


def play(
    seconds: float, seed: int, say: Callable[[str], object], limit: float = REST_SECONDS
) -> Wall:
    """Play until ``seconds`` are over, and rest about every ten of them."""
    with tempfile.TemporaryDirectory() as folder:
        wall = Wall(Path(folder), seed, limit)
        try:
            wall.start()
            took = asyncio.run(wall.rest())
            say(f"all {len(wall.values)} devices are retained after {took:.1f} s")
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                until = min(time.monotonic() + wall.random.uniform(3, 10), end)
                kills = wall.random.choice(KILLS)
                while time.monotonic() < until:
                    wall.happen()
                    time.sleep(wall.random.uniform(0, 0.3))
                    if kills and wall.random.random() < 0.1:
                        wall.kill(*kills)
                        kills = ()
                if wall.random.random() < 0.5:
                    wall.kill(*kills)  # the last thing before the rest
                took = asyncio.run(wall.rest())
                say(
                    f"rest {len(wall.rests) - 1}: {len(wall.values)} devices are up, right after "
                    f"{took:.1f} s; so far {dict(wall.happened)}"
                )
        finally:
            wall.stop()
    return wall


def in_namespace(arguments: list[str]) -> list[str]:
    """The command that runs this module in a network namespace of its own."""
    addresses = "".join(
        f"ip addr add 10.77.0.{number}/24 dev wall; " for number in (1, *range(11, 11 + GROUPS))
    )
    setup = (
        "ip link set lo up; ip link add wall type veth peer name other; ip link set other up; "
        f"{addresses}ip link set wall up; ip route add 224.0.0.0/4 dev wall; "
    )
    command = f'{setup}exec "$0" -m lab.bridge_wall --inside "$@"'
    return ["unshare", "--net", "sh", "-ec", command, sys.executable, *arguments]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=float, default=REST_SECONDS, help="seconds to a rest")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_serve(options.serve, options.first))
    elif not options.inside:
        if os.geteuid():
            raise Missing("a network namespace needs root")
        sys.exit(subprocess.run(in_namespace(sys.argv[1:]), check=False).returncode)
    else:
        say = functools.partial(print, flush=True)
        wall = play(options.seconds, options.seed, say, options.limit)
        rests = sorted(wall.rests)
        print(
            f"{len(rests)} rests, all right: median {statistics.median(rests):.1f} s, slowest "
            f"{rests[-1]:.1f} s; {dict(wall.happened)}"
        )


if __name__ == "__main__":
    main()
