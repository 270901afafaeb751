"""Devices of other libraries, for the rows in which events are published."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks import network
from benchmarks.contestants import EventURL
from benchmarks.processes import TARGET_CPU
from benchmarks.programs import Program
from lab import cohen3_environment, peers
from lab.programs import Missing, free_port

__all__ = ["PUBLISHERS", "PeerPublisher", "pkg_config_version"]

_HERE = Path(__file__).parent
_LIFTED = 1_000_000


class PeerPublisher(ABC):
    """A device in a process of its own: a :class:`benchmarks.contestants.Publisher`. It does not
    wait until its events are delivered."""

    paced = False

    def __init__(self, name: str) -> None:
        self.name = name
        self._program: Program | None = None

    def start(self) -> None:
        """RuntimeError says why it cannot run on this machine."""
        try:
            command = self._command()
        except Missing as error:
            raise RuntimeError(f"{self.name}: {error}") from error
        self._program = Program(command, TARGET_CPU)

    @abstractmethod
    def _command(self) -> list[str]:
        """What starts the process. Raises Missing."""

    @property
    def program(self) -> Program:
        assert self._program is not None, "start() comes first"
        return self._program

    def cpu(self) -> float:
        return self.program.cpu_seconds

    def stop(self) -> None:
        if self._program is not None:
            self._program.__exit__(None, None, None)
            self._program = None

    def event_url(self) -> EventURL:
        parts = urlsplit(self.program.first["event_url"])
        assert parts.hostname is not None
        assert parts.port is not None
        return EventURL(parts.hostname, parts.port, parts.path)

    def publish(self, events: int, at_once: int) -> str:
        return str(self.program.ask("burst", events, 0)["last"])

    def publish_at(self, per_second: float, seconds: float) -> str:
        count = max(round(per_second * seconds), 1)
        return str(self.program.ask("burst", count, round(1e6 / per_second))["last"])

    def resident_bytes(self) -> int:
        return self.program.resident_bytes


class _Command(PeerPublisher):
    def __init__(self, name: str, command: Callable[[], list[str]]) -> None:
        super().__init__(name)
        self._make = command

    def _command(self) -> list[str]:
        return self._make()


def pkg_config_version(package: str) -> str:
    """The version of a C library; empty if it is not there."""
    done = subprocess.run(
        ["pkg-config", "--modversion", package], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def async_upnp_client() -> PeerPublisher:
    def command() -> list[str]:
        if importlib.util.find_spec("async_upnp_client") is None:
            raise Missing("it is not in this environment")
        module = "benchmarks.peers.publish_async_upnp_client"
        return [sys.executable, "-m", module, "127.0.0.1", str(free_port())]

    return _Command("async-upnp-client", command)


def cohen3() -> PeerPublisher:
    def command() -> list[str]:
        program = str(_HERE / "publish_cohen3.py")
        return [str(cohen3_environment.python()), "-W", "ignore", program, str(free_port())]

    return _Command("Cohen3", command)


def gupnp() -> PeerPublisher:
    def command() -> list[str]:
        programs = peers.build("gupnp", "gupnp-1.6", "gio-unix-2.0")
        return [str(programs / "pub_gupnp"), "127.0.0.1", str(free_port()), str(peers.WEB)]

    return _Command(f"GUPnP {pkg_config_version('gupnp-1.6')}".strip(), command)


def libupnp(*, lifted: bool = False) -> PeerPublisher:
    """``lifted``: without its limit of ten waiting events of a subscription. It runs in the
    namespace of :mod:`benchmarks.network` only."""

    def command() -> list[str]:
        programs = peers.build("pupnp", "libupnp")
        if network.reason() is not None:
            raise Missing(f"it refuses the loopback interface, and {network.reason()}")
        words = [
            str(programs / "pub_pupnp"),
            network.INTERFACE,
            str(network.libupnp_port()),
            str(peers.WEB),
        ]
        return [*words, str(_LIFTED)] if lifted else words

    name = f"libupnp {pkg_config_version('libupnp')}".strip()
    return _Command(f"{name}, its queue lifted" if lifted else name, command)


PUBLISHERS: dict[str, Callable[[], PeerPublisher]] = {
    "async-upnp-client": async_upnp_client,
    "libupnp": libupnp,
    "libupnp lifted": lambda: libupnp(lifted=True),
    "GUPnP": gupnp,
    "Cohen3": cohen3,
}
