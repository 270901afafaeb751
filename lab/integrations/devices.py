"""Devices as Debian ships them, on a host of a lab network: Rygel, GMediaRender, miniupnpd."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from lab.integrations.bench import US, Bench, State
from lab.programs import Missing

__all__ = ["DEVICES", "GMediaRender", "MiniUPnPd", "Rygel"]

REMOTE_CONTROL = Path(__file__).parent.parent / "remote_control.py"
PORT = 49152


class _Daemon:
    """A program of Debian's, on the device host of a bench."""

    name = ""
    package = ""
    command: tuple[str, ...] = ()

    def __init__(self, bench: Bench) -> None:
        self.host = bench.device_host
        self.folder = Path(tempfile.mkdtemp(prefix="propchange-"))
        self.state: State = {}
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None
        remote_control = (sys.executable, str(REMOTE_CONTROL), US)
        self.remote_control = bench.start_program(bench.host, *remote_control)
        self._count = 0
        for word in self.command:
            if word != "--" and shutil.which(word) is None:
                raise Missing(f"no {word}: package {self.package}")
            if word not in ("dbus-run-session", "--"):
                break

    def start(self) -> None:
        """Start it, as it was when it last ran."""
        with (self.folder / "output.txt").open("ab") as output:
            self._process = subprocess.Popen(
                [*self.host.prefix, *self.command, *self.options()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=os.environ
                | {
                    "HOME": str(self.folder),
                    "XDG_RUNTIME_DIR": str(self.folder),
                    "GST_REGISTRY_FORK": "no",
                },
                start_new_session=True,
            )
        found = self.remote_control.ask(f"find {PORT}", "find")["find"]
        assert found, f"{self.command} answers no search: {self.folder}/output.txt"
        self.url = found

    def options(self) -> tuple[str, ...]:
        raise NotImplementedError

    def kill(self) -> None:
        """As a power cut does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Gently: it says goodbye, if it does."""
        self._end(signal.SIGTERM)

    def announce(self) -> None:
        """It answers the searches of the programs."""

    def close(self) -> None:
        self._end(signal.SIGKILL)
        shutil.rmtree(self.folder)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        # The group is this process's own: dbus-run-session leaves it behind.
        os.killpg(process.pid, how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5.0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def asked(self) -> dict[str, int]:
        """It does not count."""
        return {}

    def change(self) -> State:
        """Another state: an event."""
        raise NotImplementedError

    def change_mute(self) -> None:
        """Another state while a fault lasts."""
        self.change()


class _Renderer(_Daemon):
    def change(self) -> State:
        self._count += 1
        self._set("Volume", self._count)
        self.state = self.state | {"Volume": self._count / 100}
        return self.state

    def change_mute(self) -> None:
        self.state = self.state | {"Mute": not self.state.get("Mute", False)}
        self._set("Mute", int(self.state["Mute"]))

    def _set(self, variable: str, value: int) -> None:
        asked: dict[str, Any] = {"url": self.url, "service": "RenderingControl"}
        asked["action"] = f"Set{variable}"
        asked["arguments"] = {"InstanceID": 0, "Channel": "Master", f"Desired{variable}": value}
        status = self.remote_control.ask(f"call {json.dumps(asked)}", "call")["call"]
        assert status == 200, f"Set{variable} was answered with {status}"


class Rygel(_Renderer):
    """Rygel, a media renderer on GUPnP"""

    name = "Rygel"
    package = "rygel"
    command = ("dbus-run-session", "--", "rygel")

    def options(self) -> tuple[str, ...]:
        others = ("Tracker", "Tracker3", "MediaExport", "LMS", "Mpris", "External")
        without = [word for other in others for word in ("-d", other)]
        return ("-n", "eth0", "-p", str(PORT), *without)


class GMediaRender(_Renderer):
    """GMediaRender, a media renderer on libupnp"""

    name = "GMediaRender"
    package = "gmediarender"
    command = ("gmediarender",)

    def change_mute(self) -> None:
        self.change()  # it unmutes itself with the next volume

    def options(self) -> tuple[str, ...]:
        return ("-I", "eth0", "-p", str(PORT), "-f", "GMediaRender", "--gstout-audiosink=fakesink")


class MiniUPnPd(_Daemon):
    """miniupnpd, a router; its external address changes"""

    name = "miniupnpd"
    package = "miniupnpd-nftables"
    command = ("miniupnpd",)

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench)
        (self.folder / "miniupnpd.conf").write_text(
            f"ext_ifname=ext0\nlistening_ip=eth0\nhttp_port={PORT}\nenable_upnp=yes\n"
            "enable_natpmp=no\nuuid=6a0c1d58-0b7e-4f0e-9d56-5d1b6f3c2b77\n"
            "allow 1024-65535 0.0.0.0/0 1024-65535\n"
        )
        self.host.ip("link add ext0 type veth peer name ext1")
        self.host.run("sysctl", "-qw", "net.ipv4.conf.ext0.promote_secondaries=1")
        self.host.ip("link set ext0 up")
        self.host.ip("link set ext1 up")
        chains = ("miniupnpd", "prerouting_miniupnpd", "postrouting_miniupnpd")
        self.host.run(
            "nft", "table inet filter { " + "".join(f"chain {c} {{}};" for c in chains) + "}"
        )
        self.change()

    def options(self) -> tuple[str, ...]:
        where = self.folder / "miniupnpd"
        return ("-d", "-f", f"{where}.conf", "-P", f"{where}.pid")

    def change(self) -> State:
        before, self._count = self._count, self._count + 1
        self.host.ip(f"addr add 11.22.33.{self._count}/24 dev ext0")
        if before:
            self.host.ip(f"addr del 11.22.33.{before}/24 dev ext0")
        self.state = {"External": f"11.22.33.{self._count}"}
        return self.state


DEVICES = {each.name: each for each in (Rygel, GMediaRender, MiniUPnPd)}
"""All of them."""
