"""What receives events: propchange, two that keep no rule, and other libraries."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from benchmarks import network
from benchmarks.peers.publishers import pkg_config_version
from benchmarks.processes import TARGET_CPU
from benchmarks.programs import Program, compiler
from lab import cohen3_environment
from lab.peers import PEERS
from lab.programs import Missing, free_port

__all__ = ["Body", "Receiver", "others", "ours", "twisted_receivers"]

Body = Literal["plain", "last-change"]
"""Of the events: one variable, or one LastChange with two."""

_PROGRAMS = Path(__file__).parent / "peers"
_FLAGS = ("-O2", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", f"-I{PEERS}")
_NAMES = {
    "plain": ("Thermometer", "Temperature"),
    "last-change": ("RenderingControl", "Volume"),
}


class Receiver:
    """A program of ``benchmarks/peers`` that receives, at its default settings: a
    :class:`benchmarks.contestants.Contestant`. ``address`` is that of the machine for it."""

    def __init__(
        self,
        name: str,
        command: Callable[[], list[str]],
        *,
        address: str = "127.0.0.1",
    ) -> None:
        self.name = name
        self.address = address
        self._command = command
        self._program: Program | None = None

    def start(self) -> None:
        """RuntimeError says why it cannot run on this machine."""
        try:
            command = self._command()
        except Missing as error:
            raise RuntimeError(str(error)) from error
        self._program = Program(command, TARGET_CPU)

    @property
    def _process(self) -> Program:
        assert self._program is not None, "start() comes first"
        return self._program

    @property
    def port(self) -> int | None:
        """Where it takes events without a subscription; None: it subscribes."""
        return self._process.first.get("port")

    def subscribe(self, base_url: str, count: int) -> None:
        """Begin to subscribe ``count`` times, at the device that has its description at
        ``base_url``."""
        self._process.tell("subscribe", base_url, count)

    def subscribed(self) -> int:
        """How many subscriptions were asked for, or granted. Waits for that."""
        return int(self._process.result()["subscribed"])

    def count(self) -> dict[str, Any]:
        """Events so far, and those that were not the next one."""
        return self._process.ask("count")

    def cpu(self) -> float:
        return self._process.cpu_seconds

    def stop(self) -> None:
        if self._program is not None:
            self._program.__exit__(None, None, None)
            self._program = None


def _python(module: str, *words: str) -> list[str]:
    return [sys.executable, "-m", f"benchmarks.peers.{module}", *words]


def _compiled(name: str, *packages: str) -> str:
    """The path of a receiving program in C. Raises Missing."""
    cc = compiler()
    if cc is None:
        raise Missing("no C compiler")
    try:
        flags = subprocess.run(
            ["pkg-config", "--cflags", "--libs", *packages],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        raise Missing(f"no development files of {' and '.join(packages)}") from error
    sources = [_PROGRAMS / f"{name}.c", _PROGRAMS / "received.h"]
    target = _PROGRAMS / "bin" / name
    if not target.exists() or target.stat().st_mtime < max(s.stat().st_mtime for s in sources):
        target.parent.mkdir(exist_ok=True)
        version = f'-DVERSION="{pkg_config_version(packages[0])}"'
        command = [cc, *_FLAGS, version, "-o", str(target), str(sources[0]), *flags]
        subprocess.run(command, check=True)
    return str(target)


def ours(body: Body, *, on_uvloop: bool = True) -> list[Receiver]:
    """propchange, the bare protocol on the same loop, and C over epoll."""
    loop = "uvloop" if on_uvloop else "asyncio"

    def propchange() -> list[str]:
        return _python("receive_propchange", loop, *_NAMES[body])

    receivers = [
        Receiver("propchange", propchange),
        Receiver(f"bare {loop}", lambda: _python("receive_bare", loop, body)),
    ]
    if body == "plain":
        command = ("receive_bare", "expat")
        receivers.append(Receiver("C on epoll", lambda: [_compiled(*command), "127.0.0.1"]))
    return receivers


def others(body: Body) -> list[Receiver]:
    """Other libraries. Those in C have no LastChange, which is a matter of their applications."""
    service, variable = _NAMES[body]

    def python(module: str, package: str, *words: str) -> Callable[[], list[str]]:
        def command() -> list[str]:
            if importlib.util.find_spec(package) is None:
                raise Missing(f"no {package} in this environment")
            return _python(module, *words)

        return command

    def gupnp() -> list[str]:
        program = _compiled("receive_gupnp", "gupnp-1.6", "gio-unix-2.0")
        return [program, "127.0.0.1", str(free_port())]

    def libupnp() -> list[str]:
        program = _compiled("receive_pupnp", "libupnp")
        if (reason := network.reason()) is not None:
            raise Missing(f"it refuses the loopback interface, and {reason}")
        return [program, network.INTERFACE, str(network.libupnp_port())]

    receivers = [
        Receiver(
            "async-upnp-client",
            python("receive_async_upnp_client", "async_upnp_client", service, variable),
        ),
        Receiver("SoCo", python("receive_soco", "soco", variable)),
    ]
    if body == "plain":
        receivers += [
            Receiver(f"GUPnP {pkg_config_version('gupnp-1.6')}".strip(), gupnp),
            Receiver(
                f"libupnp {pkg_config_version('libupnp')}".strip(),
                libupnp,
                address=network.ADDRESS,
            ),
        ]
    return receivers


def twisted_receivers(*, with_cohen3: bool = True) -> list[Receiver]:
    """On Twisted: propchange, a bare resource, and Cohen3 in its environment."""

    def here(which: str) -> Callable[[], list[str]]:
        return lambda: _python("receive_twisted", which)

    def cohen3() -> list[str]:
        program = str(_PROGRAMS / "receive_twisted.py")
        return [str(cohen3_environment.python()), "-W", "ignore", program, "cohen3"]

    found = [
        Receiver("propchange.cohen3.EventServer", here("EventServer")),
        Receiver("bare twisted.web", here("bare")),
        Receiver("propchange.twisted.ControlPoint", here("ControlPoint")),
    ]
    return [*found, Receiver("Cohen3", cohen3)] if with_cohen3 else found
