"""Runs real peers: C programs on GUPnP and libupnp, and the propchange command, as processes.

All of them speak the same way: command lines in, JSON Lines out. A missing peer skips its
tests, and fails them with CI=true.
"""

from __future__ import annotations

import contextlib
import http.server
import itertools
import json
import os
import queue
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Protocol

import pytest

PEERS = Path(__file__).parent / "peers"
WEB = PEERS / "web"
PATIENCE = 15.0
"""Seconds to wait for a line or a NOTIFY before the test fails. Peers answer in milliseconds."""


def missing(what: str) -> NoReturn:
    """Skip, or fail where everything must be there."""
    reason = f"{what} (`make peers`, as root on Debian, installs and builds the peers)"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)  # a peer that is not there; never with CI=true


class Program:
    """A running process that writes one JSON object a line.

    Its lines are read as they come; those that nobody asked for yet are kept, in order.
    """

    def __init__(self, command: list[str], stderr: Path, environment: dict[str, str]) -> None:
        self._stderr = stderr
        with stderr.open("wb") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=os.environ | environment,
                text=True,
            )
        self._name = " ".join(command)
        self._incoming: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._kept: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read_lines, daemon=True)
        self._reader.start()

    def _read_lines(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._incoming.put(line)
        self._incoming.put(None)

    def read(self, key: str, *, timeout: float = PATIENCE) -> dict[str, Any]:
        """The next line that has ``key``; fails the test when none comes."""
        for number, kept in enumerate(self._kept):
            if key in kept:
                return self._kept.pop(number)
        deadline = time.monotonic() + timeout
        while True:
            try:
                line = self._incoming.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                self._give_up(f"no line with {key!r} in {timeout:g} s")
            if line is None:
                self._incoming.put(None)
                self._give_up(f"ended (status {self._process.wait()}) before a line with {key!r}")
            told = json.loads(line)
            if "error" in told:
                self._give_up(f"{told}")
            if key in told:
                return told
            self._kept.append(told)

    def ask(self, command: str, key: str) -> dict[str, Any]:
        """Send a command line; the answer is the next line that has ``key``."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        return self.read(key)

    def ask_until(self, command: str, key: str, wanted: object) -> dict[str, Any]:
        """Ask again and again until ``key`` of the answer is ``wanted``, and give that answer:
        for what another process does in its own time."""
        deadline = time.monotonic() + PATIENCE
        while (told := self.ask(command, key))[key] != wanted:
            if time.monotonic() > deadline:
                self._give_up(f"{told} to {command!r}, and not {wanted!r}")
            time.sleep(0.01)  # between two questions to another process
        return told

    def wait(self, *, timeout: float = PATIENCE) -> int:
        """The exit status of a program that ends by itself."""
        return self._process.wait(timeout)

    def stop(self) -> None:
        """End this very process, gently first."""
        process = self._process
        with contextlib.suppress(BrokenPipeError):
            if process.stdin is not None:
                process.stdin.close()  # the C peers end with their stdin
        try:
            process.wait(1.0)
        except subprocess.TimeoutExpired:
            process.terminate()
            try:
                process.wait(5.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._reader.join()
        if process.stdout is not None:
            process.stdout.close()

    def _give_up(self, what: str) -> NoReturn:
        stderr = self._stderr.read_text(errors="replace")
        pytest.fail(f"{self._name}: {what}\nunread: {self._kept}\nstderr: {stderr}")


class Start(Protocol):
    def __call__(self, *command: str | Path, **environment: str) -> Program: ...


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts programs and ends them, last one first, when the test is over."""
    with contextlib.ExitStack() as running:
        count = 0

        def start(*command: str | Path, **environment: str) -> Program:
            nonlocal count
            count += 1
            words = [str(word) for word in command]
            program = Program(words, tmp_path / f"stderr-{count}.txt", environment)
            running.callback(program.stop)
            return program

        yield start


@pytest.fixture(scope="session")
def peers_folder() -> Path:
    return PEERS


@pytest.fixture(scope="session")
def propchange_command() -> Path:
    """The propchange command of this environment."""
    return Path(sys.executable).with_name("propchange")


LIBUPNP_PORTS = itertools.count(49152)
"""In its namespace nobody else takes one of these."""


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on now. GUPnP's own choice often fails."""
    with socket.create_server((host, 0)) as server:
        port: int = server.getsockname()[1]
        return port


# --- the C peers -------------------------------------------------------------------------


def build(target: str, *packages: str) -> Path:
    """Build the peers of one stack, once, and give the folder they are in."""
    for tool in ("make", "pkg-config", "cc"):
        if shutil.which(tool) is None:
            missing(f"no {tool} to build the C peers with")
    if subprocess.run(["pkg-config", "--exists", *packages], check=False).returncode:
        missing(f"no development files of {' and '.join(packages)}")
    made = subprocess.run(
        ["make", "-C", str(PEERS), target], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.fail(f"the {target} peers do not build:\n{made.stdout}{made.stderr}")
    return PEERS / "bin"


class Stack(NamedTuple):
    """One C implementation: where its peers run, and how they are started."""

    name: str
    network: tuple[str, ...]
    """What a command is prefixed with to run in the network of these peers."""
    address: str
    interface: str
    """What its peers take as their first argument."""
    device: Path
    control_point: Path

    def port(self) -> int:
        """A port for one peer, that no other has had."""
        # GUPnP's own choice is often taken, and libupnp takes none below 49152.
        return free_port() if self.name == "gupnp" else next(LIBUPNP_PORTS)


@pytest.fixture(scope="session")
def gupnp() -> Stack:
    """GUPnP, on the loopback interface."""
    programs = build("gupnp", "gupnp-1.6", "gio-unix-2.0")
    address = "127.0.0.1"
    return Stack("gupnp", (), address, address, programs / "pub_gupnp", programs / "sub_gupnp")


@pytest.fixture(scope="session")
def libupnp() -> Iterator[Stack]:
    """libupnp, which refuses the loopback interface, in a network namespace with a veth."""
    programs = build("pupnp", "libupnp")
    with network_namespace("10.77.0.1") as network:
        yield Stack(
            "libupnp",
            network,
            "10.77.0.1",
            "v0",
            programs / "pub_pupnp",
            programs / "sub_pupnp",
        )


@pytest.fixture(params=["gupnp", "libupnp"])
def stack(request: pytest.FixtureRequest) -> Stack:
    chosen: Stack = request.getfixturevalue(request.param)
    return chosen


@contextlib.contextmanager
def network_namespace(address: str) -> Iterator[tuple[str, ...]]:
    """A namespace of its own with the interface ``v0``; gives the prefix of commands in it."""
    if shutil.which("ip") is None:
        missing("no `ip` (iproute2) to make a network namespace with")
    name = f"propchange-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        missing(f"no network namespace could be made: {made.stderr.strip()}")
    inside = ("ip", "netns", "exec", name)
    try:
        for command in (
            f"ip -n {name} link set lo up",
            f"ip -n {name} link add v0 type veth peer name v1",
            f"ip -n {name} addr add {address}/16 dev v0",
            # libupnp looks for a usable IPv6 address at once: no duplicate detection.
            f"{' '.join(inside)} sysctl -qw net.ipv6.conf.v0.accept_dad=0",
            f"ip -n {name} link set v0 up multicast on",
            f"ip -n {name} link set v1 up",
            f"ip -n {name} route add 239.0.0.0/8 dev v0",
            # libupnp listens from port 49152 on.
            f"{' '.join(inside)} sysctl -qw net.ipv4.ip_local_port_range=12000\t48000",
        ):
            subprocess.run(command.split(" "), check=True)
        yield inside
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


class PeerDevice(NamedTuple):
    """A peer that publishes: the program, and where its description and events are."""

    program: Program
    description_url: str
    event_url: str

    def set(self, value: str) -> None:
        """Give its only variable, ``Value``, another value: one event."""
        assert self.program.ask(f"set {value}", "set") == {"set": value}


@pytest.fixture
def peer_device(start: Start, stack: Stack) -> PeerDevice:
    program = start(*stack.network, stack.device, stack.interface, str(stack.port()), WEB)
    ready = program.read("ready")
    return PeerDevice(program, f"{ready['ready']}desc.xml", ready["event_url"])


@pytest.fixture
def peer_control_point(start: Start, stack: Stack) -> Program:
    program = start(*stack.network, stack.control_point, stack.interface, str(stack.port()))
    program.read("ready")
    return program


# --- a subscriber of the standard library's, to prove the harness ------------------------


class Notify(NamedTuple):
    """A NOTIFY as it stood on the wire; header names in upper case."""

    target: str
    headers: dict[str, str]
    body: bytes


class Recorder:
    """An HTTP server of the standard library that answers 200 to each NOTIFY and keeps it."""

    def __init__(self, host: str) -> None:
        received: queue.SimpleQueue[Notify] = queue.SimpleQueue()

        class Answer(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_NOTIFY(self) -> None:
                headers = {name.upper(): value for name, value in self.headers.items()}
                body = self.rfile.read(int(headers.get("CONTENT-LENGTH", "0")))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()
                received.put(Notify(self.path, headers, body))

            def log_message(self, *arguments: object) -> None:
                """Say nothing."""

        self._received = received
        self._server = http.server.ThreadingHTTPServer((host, 0), Answer)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://{host}:{self._server.server_port}/"

    def next(self) -> Notify:
        try:
            return self._received.get(timeout=PATIENCE)
        except queue.Empty:
            pytest.fail(f"no NOTIFY in {PATIENCE:g} s")

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def record() -> Iterator[Callable[[str], Recorder]]:
    """``record(host)`` opens a recorder there; it is closed when the test is over."""
    with contextlib.ExitStack() as open_recorders:

        def record(host: str) -> Recorder:
            recorder = Recorder(host)
            open_recorders.callback(recorder.close)
            return recorder

        yield record
