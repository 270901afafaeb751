"""One device, the programs that follow it, and the network between them."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from lab.fault_playing import FaultTime
from lab.networks import Host, Network
from lab.programs import Missing, Program

__all__ = ["DEVICE", "PROGRAMS", "US", "Bench", "Follower", "ScriptedRenderer"]

LAB = Path(__file__).parent.parent
PROGRAMS = {
    "dlna_dmr": LAB / "control_points" / "home_assistant_dlna_dmr.py",
    "samsungtv": LAB / "control_points" / "home_assistant_samsungtv.py",
    "upnp": LAB / "control_points" / "home_assistant_upnp.py",
    "raw_handler": LAB / "control_points" / "raw_handler.py",
    "music_assistant": LAB / "control_points" / "music_assistant_dlna.py",
}
WITH_DROPIN = LAB / "control_points" / "with_dropin.py"

DEVICE, US, US_MOVED = "10.77.0.2", "10.77.0.3", "10.77.0.13"

State = dict[str, Any]
"""What a program thinks, or what it should think."""


class Follower(NamedTuple):
    """A program, on the original or with propchange beneath it (``installed``)."""

    name: str
    installed: bool
    program: Program
    listens: str
    """Address and port of its callback URL at the beginning."""

    def right(self, state: State, told: dict[str, Any]) -> bool:
        """Whether a line of it tells this state, of a device that it thinks available."""
        return bool(told.get("available")) and state.items() <= told["state"].items()

    def right_since(self, states: Sequence[State], after: float, by: str) -> float | None:
        """When, later than ``after``, it first had one of ``states`` by an event or a poll."""
        for at, told in self.program.lines:
            known = "state" in told and at > after and told["by"] == by
            if known and any(self.right(state, told) for state in states):
                return at
        return None

    def is_right(self, state: State) -> bool:
        """Whether the last that it has told is this state."""
        told = [line.told for line in self.program.lines if "state" in line.told]
        return bool(told) and self.right(state, told[-1])

    def lost(self, since: float) -> bool:
        """Whether it got an event without variables since then."""
        return any("status" in told for at, told in self.program.lines if at > since)


class ScriptedRenderer:
    """The renderer of ``lab/scripted_renderer.py`` on the device host of a bench. It grants
    ``duration`` seconds."""

    name = "scripted"

    def __init__(self, bench: Bench, duration: int) -> None:
        self.duration = duration
        self.port = 8200
        self._bench = bench
        self._boots = itertools.count(1)
        self._volumes = itertools.count(1)
        self.state: State = {"Volume": 0.0, "Mute": False}

    @property
    def url(self) -> str:
        return f"http://{DEVICE}:{self.port}/desc.xml"

    def start(self) -> None:
        """Start it; the state is as it was when it last ran."""
        options = {"address": DEVICE, "port": self.port, "duration": self.duration}
        options["boot"] = next(self._boots)
        script = LAB / "scripted_renderer.py"
        command = (sys.executable, str(script), json.dumps(options))
        self.program = self._bench.start_program(self._bench.device_host, *command)
        self.program.read("ready")
        self.ask("volume", round(self.state["Volume"] * 1000))
        self.ask("mute", int(self.state["Mute"]))

    def kill(self) -> None:
        """As a power cut does."""
        self.program.kill()

    def stop(self) -> None:
        """It says goodbye."""
        self.ask("byebye")
        self.program.stop()

    def announce(self) -> None:
        """Say that it is there."""
        self.ask("alive")

    def close(self) -> None:
        """The bench ends its program."""

    def ask(self, command: str, argument: object = "") -> Any:
        """Give it a command."""
        return self.program.ask(f"{command} {argument}", command)[command]

    def rules(self, **rules: object) -> None:
        """Let it break these rules, and no other."""
        self.ask("rules", json.dumps(rules))

    def change(self) -> State:
        """Another volume: an event; gives the state."""
        volume = next(self._volumes)
        self.ask("volume", volume)
        self.state = self.state | {"Volume": volume / 1000}
        return self.state

    def change_mute(self, command: str = "mute") -> None:
        """Mute or unmute it: an event, which is lost with the command ``lose``."""
        self.state = self.state | {"Mute": not self.state["Mute"]}
        self.ask(command, int(self.state["Mute"]))

    def asked(self) -> dict[str, int]:
        """The SUBSCRIBE requests so far, by address and port of their callbacks."""
        return dict(self.ask("counts"))


class Bench(FaultTime):
    """A device host and a host of programs at one switch.

    Entered, all programs have the state of the device by events. Faults are played within
    :meth:`fault`.
    """

    def __init__(self, programs: Sequence[tuple[str, bool]], make: Callable[[Bench], Any]) -> None:
        """``programs``: each a name of PROGRAMS and whether propchange is installed. ``make``
        makes the device."""
        self._names = programs
        self._make = make
        self._exit = contextlib.ExitStack()
        self._numbers = itertools.count()
        self.followers: list[Follower] = []

    def __enter__(self) -> Self:
        if importlib.util.find_spec("async_upnp_client") is None:
            raise Missing("no async_upnp_client in this environment")
        with self._exit:
            self.folder = Path(self._exit.enter_context(tempfile.TemporaryDirectory()))
            self.network = self._exit.enter_context(Network())
            self.switch = self.network.switch()
            self.device_host = self.network.host("device")
            self.host = self.network.host("programs")
            self.network.plug(self.device_host, self.switch, "eth0", f"{DEVICE}/24")
            self.network.plug(self.host, self.switch, "eth0", f"{US}/24")
            self.device = self._make(self)
            self._exit.callback(self.device.close)
            self.device.start()
            started = []
            for name, installed in self._names:
                words = [sys.executable, *([str(WITH_DROPIN)] if installed else [])]
                words += [str(PROGRAMS[name]), self.device.url]
                started.append(self.start_program(self.host, *words))
            for (name, installed), program in zip(self._names, started, strict=True):
                ready = program.read("ready", timeout=60)["ready"]  # several start at once
                self.followers.append(Follower(name, installed, program, ready))
            self.device.announce()
            # A device may merge what changes while it sends the initial events.
            if not any(self._all_follow(self.device.change()) for _ in range(3)):
                heard = {each[:2]: each.program.lines[-5:] for each in self.followers}
                raise AssertionError(f"not all follow, though nothing is wrong: {heard}")
            self.wait(4)  # a device announces itself for a while, which is not to be mixed in
            self._exit = self._exit.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._exit.close()

    def start_program(self, host: Host, *command: str) -> Program:
        """Start a program on a host, until this is left."""
        stderr = self.folder / f"stderr-{next(self._numbers)}.txt"
        program = Program([*host.prefix, *command], stderr)
        self._exit.callback(program.stop)
        return program

    def _all_follow(self, state: State) -> bool:
        return self.wait_until(lambda: self.all_right(state), 10)

    def all_right(self, state: State) -> bool:
        """Whether all programs have this state."""
        return all(each.is_right(state) for each in self.followers)
