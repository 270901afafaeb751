"""One device, the control points that follow it, and the network between them."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from lab import peers
from lab.fault_playing import FaultTime
from lab.networks import Network
from lab.programs import Program

__all__ = ["Bench", "Follower", "State", "Told"]

DEVICE, DEVICE_MOVED = "10.77.0.2", "10.77.0.12"
SUBSCRIBER, SUBSCRIBER_MOVED = "10.77.0.3", "10.77.0.13"


class Told(NamedTuple):
    """What a control point has told its application: ``after`` seconds from when the fault
    began."""

    after: float
    status: str
    cause: str
    why: str


State = dict[str, str]
"""Variable -> value: the device's, or what a control point thinks that it is."""


class Follower:
    """A control point that follows the device."""

    def __init__(self, name: str, program: Program) -> None:
        self.name = name
        self.program = program

    def events(self) -> list[tuple[float, State]]:
        """(time, changes) of each event so far."""
        return [(at, told["event"]) for at, told in self.program.lines if "event" in told]

    @property
    def state(self) -> State:
        """What it thinks that the state is."""
        state: State = {}
        for _, changes in self.events():
            state |= changes
        return state

    def knows_since(self, states: Sequence[State], after: float) -> float | None:
        """When, later than ``after``, an event first left it with one of ``states``."""
        state: State = {}
        for at, changes in self.events():
            state |= changes
            if at > after and state in states:
                return at
        return None

    def told(self, since: float = 0.0) -> list[Told]:
        """What it has told its application since then."""
        return [
            Told(at - since, told["status"], told["cause"], told["why"])
            for at, told in self.program.lines
            if "status" in told and at >= since
        ]


class Bench(FaultTime):
    """A device host and a control-point host at one switch.

    Entered, all control points have the state of the device, which has two variables. Faults are
    played within :meth:`fault`, and :meth:`change` the variable Mark meanwhile; what is changed
    to see whether events are back is Value.
    """

    def __init__(
        self,
        stack: str,
        control_points: Sequence[str],
        duration: int,
        *,
        options: Mapping[str, object] | None = None,
    ) -> None:
        """``options`` are for propchange on asyncio: see its program."""
        self.stack = stack
        self.duration = duration
        self._names = control_points
        self._options = options or {}
        self._exit = contextlib.ExitStack()
        self._values = itertools.count(1)
        self._programs = itertools.count()
        self.state: State = {"Value": "0", "Mark": "0"}
        self.port = 49152
        self.address = DEVICE
        self.followers: dict[str, Follower] = {}

    def __enter__(self) -> Self:
        with self._exit:
            folder = tempfile.TemporaryDirectory()
            self._folder = Path(self._exit.enter_context(folder))
            self.network = self._exit.enter_context(Network())
            self.switch = self.network.switch()
            self.device_host = self.network.host("device")
            self.host = self.network.host("control")
            self.network.plug(self.device_host, self.switch, "eth0", f"{DEVICE}/24")
            self.network.plug(self.host, self.switch, "eth0", f"{SUBSCRIBER}/24")
            self.start_device()
            for name in self._names:
                command = peers.control_point(name, self.description_url, self.duration)
                if name == "propchange":
                    command.append(json.dumps(self._options))
                self.followers[name] = Follower(name, self._start(self.host.prefix, command))
            for follower in self.followers.values():
                follower.program.read("ready", timeout=60)  # several start at once
            self.change()
            if not self.all_know(self.state, 10):
                heard = {each.name: each.program.lines for each in self.followers.values()}
                raise AssertionError(f"not all follow, though nothing is wrong yet: {heard}")
            # A device announces itself for a while, which a fault is not to be mixed with; and no
            # control point is always about to renew when a fault begins.
            self.wait(2 + random.uniform(0, self.duration / 2))
            self._exit = self._exit.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._exit.close()

    @property
    def description_url(self) -> str:
        return f"http://{self.address}:{self.port}/desc.xml"

    def _start(self, prefix: Sequence[str], command: list[str]) -> Program:
        stderr = self._folder / f"stderr-{next(self._programs)}.txt"
        program = Program([*prefix, *command], stderr)
        self._exit.callback(program.stop)
        return program

    # --- the device ---

    def start_device(self, **changed: Any) -> None:
        """Start it, at another ``port`` or ``address`` if one is given; its state is as it was
        when it last ran."""
        self.port = changed.get("port", self.port)
        self.address = changed.get("address", self.address)
        command = peers.device(self.stack, self.address, "eth0", self.port)
        self.device = self._start(self.device_host.prefix, command)
        self.device.read("ready")
        for variable in self.state:
            self._set(variable)

    def start_another(self, web: Path) -> Program:
        """Start another device, described in ``web``, where this one was; give the program."""
        *command, _ = peers.device(self.stack, self.address, "eth0", self.port)
        another = self._start(self.device_host.prefix, [*command, str(web)])
        another.read("ready")
        return another

    def change(self, variable: str = "Mark") -> State:
        """Change a variable of the device; gives the state."""
        self.state = self.state | {variable: str(next(self._values))}
        self._set(variable)
        return self.state

    def _set(self, variable: str) -> None:
        command = {"Value": "set", "Mark": "mark"}[variable]
        value = self.state[variable]
        assert self.device.ask(f"{command} {value}", command) == {command: value}

    def all_know(self, state: State, seconds: float) -> bool:
        """Whether all control points have this state, in ``seconds`` at most."""
        followers = self.followers.values()
        return self.wait_until(lambda: all(each.state == state for each in followers), seconds)
