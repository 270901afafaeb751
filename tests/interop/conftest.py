"""Runs real peers in a network namespace: programs on GUPnP, libupnp and async-upnp-client, and
propchange, each a process.

All of them speak the same way: command lines in, JSON Lines out. A missing peer skips its
tests, and fails them with CI=true.
"""

from __future__ import annotations

import contextlib
import http.server
import importlib.util
import itertools
import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

import pytest

from lab import peers
from lab.fixtures import Start, missing, missing_fixture, start_fixture  # noqa: F401 - fixtures
from lab.networks import Host
from lab.peers import PEERS, WEB
from lab.programs import PATIENCE, Missing, Program
from tests.interop.wire import Wire, inside


@pytest.fixture(scope="session")
def peers_folder() -> Path:
    return PEERS


@pytest.fixture(scope="session")
def propchange_command() -> Path:
    """The propchange command of this environment."""
    return Path(sys.executable).with_name("propchange")


# --- the network -------------------------------------------------------------------------


class Network(NamedTuple):
    """A network namespace with one interface, ``v0``."""

    name: str
    address: str
    """Of v0."""

    @property
    def prefix(self) -> tuple[str, ...]:
        """What a command is prefixed with to run in it."""
        return ("ip", "netns", "exec", self.name)

    def port(self) -> int:
        """A port that was not used in this namespace."""
        return next(PORTS)


PORTS = itertools.count(49152)
"""libupnp takes none below; the namespace gives none of these away by itself."""


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    """The namespace of all peers, so that they do not reach the network of this machine."""
    if shutil.which("ip") is None:
        missing("no `ip` (iproute2) to make a network namespace with")
    network = Network(f"propchange-{os.getpid()}", "10.77.0.1")
    name = network.name
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        missing(f"no network namespace could be made: {made.stderr.strip()}")
    try:
        for command in (
            f"ip -n {name} link set lo up",
            f"ip -n {name} link add v0 type veth peer name v1",
            f"ip -n {name} addr add {network.address}/16 dev v0",
            # libupnp looks for a usable IPv6 address at once: no duplicate detection.
            f"{' '.join(network.prefix)} sysctl -qw net.ipv6.conf.v0.accept_dad=0",
            f"ip -n {name} link set v0 up multicast on",
            f"ip -n {name} link set v1 up",
            f"ip -n {name} route add 239.0.0.0/8 dev v0",
            # libupnp listens from port 49152 on.
            f"{' '.join(network.prefix)} sysctl -qw net.ipv4.ip_local_port_range=12000\t48000",
        ):
            subprocess.run(command.split(" "), check=True)
        yield network
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.fixture
def inside_network(network: Network) -> Callable[..., Any]:
    """``inside_network(call, …)`` makes the call in the namespace."""
    return lambda call, *args, **more: inside(network.name, lambda: call(*args, **more))


@pytest.fixture
def wire(network: Network) -> Iterator[Any]:
    """All HTTP messages that pass in the namespace during the test: ``wire.Wire``."""
    seen = Wire(network.name)
    yield seen
    seen.close()


# --- the C peers -------------------------------------------------------------------------


def build(target: str, *packages: str) -> Path:
    """Build the peers of one stack, once, and return their folder."""
    try:
        return peers.build(target, *packages)
    except Missing as error:
        missing(error)


class Stack(NamedTuple):
    """One implementation of UPnP, and the peers that run on it."""

    name: str
    network: tuple[str, ...]
    """What a command is prefixed with to run in the network of the peers."""
    address: str
    device: tuple[str, ...]
    """What starts its device; its web directory comes last."""
    control_point: tuple[str, ...]
    duration: int
    """Seconds: granted that, its control point renews within two seconds. 0: it renews when it
    is asked to."""


@pytest.fixture(scope="session")
def gupnp(network: Network) -> Stack:
    programs = build("gupnp", "gupnp-1.6", "gio-unix-2.0")
    return Stack(
        "gupnp",
        network.prefix,
        network.address,
        (str(programs / "pub_gupnp"), network.address),
        (str(programs / "sub_gupnp"), network.address),
        duration=4,  # it renews at random in the first half, and after one second at least
    )


@pytest.fixture(scope="session")
def libupnp(network: Network) -> Stack:
    programs = build("pupnp", "libupnp")
    return Stack(
        "libupnp",
        network.prefix,
        network.address,
        (str(programs / "pub_pupnp"), "v0"),
        (str(programs / "sub_pupnp"), "v0"),
        duration=11,  # it renews ten seconds before the end
    )


@pytest.fixture(scope="session")
def async_upnp_client(network: Network) -> Stack:
    if importlib.util.find_spec("async_upnp_client") is None:
        missing("no async-upnp-client in this environment")
    python = sys.executable
    return Stack(
        "async-upnp-client",
        network.prefix,
        network.address,
        (python, str(PEERS / "pub_async_upnp_client.py"), network.address),
        (python, str(PEERS / "sub_async_upnp_client.py"), network.address),
        duration=0,
    )


@pytest.fixture(params=["gupnp", "libupnp", "async_upnp_client"])
def stack(request: pytest.FixtureRequest) -> Stack:
    chosen: Stack = request.getfixturevalue(request.param)
    return chosen


class PeerDevice(NamedTuple):
    """A peer that publishes: the program, and where its description and events are."""

    program: Program
    description_url: str
    event_url: str

    def set(self, value: str) -> None:
        """Give its only variable, ``Value``, another value: one event."""
        assert self.program.ask(f"set {value}", "set") == {"set": value}


@pytest.fixture
def peer_device(start: Start, stack: Stack, network: Network) -> PeerDevice:
    program = start(*stack.network, *stack.device, str(network.port()), WEB)
    ready = program.read("ready")
    return PeerDevice(program, f"{ready['ready']}desc.xml", ready["event_url"])


@pytest.fixture
def peer_control_point(start: Start, stack: Stack, network: Network) -> Program:
    program = start(*stack.network, *stack.control_point, str(network.port()))
    program.read("ready")
    return program


# --- devices that others have made --------------------------------------------------------


class Daemon(NamedTuple):
    """A device of Debian's, running until the end of the session."""

    description_url: str

    def event_url(self, path: str) -> str:
        return urljoin(self.description_url, path)


@contextlib.contextmanager
def daemon(
    network: Network | Host, folder: Path, *command: str, package: str, **environment: str
) -> Iterator[None]:
    """A program that serves until it is ended, and all that it has started with it."""
    wrappers = ("dbus-run-session", "xvfb-run", "--", "-a")
    program = next(word for word in command if word not in wrappers)
    for needed in (program, command[0]):
        if shutil.which(needed) is None:
            missing(f"no {needed}: package {package}")
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            [*network.prefix, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=os.environ | {"HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)} | environment,
            start_new_session=True,
        )
    try:
        yield
    finally:
        # The group is this process's own: dbus-run-session and xvfb-run leave theirs behind.
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5.0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def search(network: Network, port: int) -> str:
    """The LOCATION of the root device that serves on ``port``, by an SSDP search."""
    message = (
        "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n"
        'MAN: "ssdp:discover"\r\nMX: 1\r\nST: upnp:rootdevice\r\n\r\n'
    )

    def opened() -> socket.socket:
        searching = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        address = socket.inet_aton(network.address)
        searching.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, address)
        searching.bind((network.address, 0))
        searching.settimeout(0.5)  # then it asks again
        return searching

    with inside(network.name, opened) as searching:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            searching.sendto(message.encode(), ("239.255.255.250", 1900))
            with contextlib.suppress(TimeoutError):
                while True:
                    answer = searching.recv(65536).decode("latin-1")
                    found = re.search(r"(?im)^location: *(\S+)", answer)
                    if found is not None and urlsplit(found[1]).port == port:
                        return found[1]
    pytest.fail(f"no root device on port {port} answers a search in {PATIENCE:g} s")


@pytest.fixture(scope="session")
def rygel(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A media renderer: Rygel on GStreamer."""
    folder = tmp_path_factory.mktemp("rygel")
    if not list(Path("/usr/lib").glob("*/rygel-*/plugins/librygel-playbin.so")):
        missing("no plugin Playbin: package rygel-playbin")
    port = network.port()
    others = ("Tracker", "Tracker3", "MediaExport", "LMS", "Mpris", "External")
    without = [word for other in others for word in ("-d", other)]
    command = ("dbus-run-session", "--", "rygel", "-n", "v0", "-p", str(port), *without)
    with daemon(network, folder, *command, package="rygel", GST_REGISTRY_FORK="no"):
        yield Daemon(search(network, port))


@pytest.fixture(scope="session")
def gmediarender(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A media renderer: GMediaRender on libupnp."""
    folder = tmp_path_factory.mktemp("gmediarender")
    port = network.port()
    where = ("-I", "v0", "-p", str(port), "-f", "GMediaRender", "--gstout-audiosink=fakesink")
    with daemon(network, folder, "gmediarender", *where, package="gmediarender"):
        yield Daemon(search(network, port))


@pytest.fixture(scope="session")
def gerbera(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A media server without any media: Gerbera on libupnp."""
    folder = tmp_path_factory.mktemp("gerbera")
    port = network.port()
    where = ("-e", "v0", "-p", str(port), "-m", str(folder), "-f", "gerbera")
    with daemon(network, folder, "gerbera", *where, package="gerbera"):
        yield Daemon(search(network, port))


@pytest.fixture(scope="session")
def network_light(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A dimmable light: the program gupnp-network-light of gupnp-tools."""
    folder = tmp_path_factory.mktemp("network-light")
    port = network.port()
    where = ("-i", "v0", "-p", str(port), "-4", "--no-v6")
    command = ("xvfb-run", "-a", "gupnp-network-light", *where)
    with daemon(network, folder, *command, package="gupnp-tools"):
        yield Daemon(search(network, port))


@pytest.fixture(scope="session")
def minidlna(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A media server without any media: MiniDLNA."""
    folder = tmp_path_factory.mktemp("minidlna")
    port = network.port()
    (folder / "media").mkdir()
    (folder / "minidlna.conf").write_text(
        f"media_dir={folder}/media\nport={port}\nnetwork_interface=v0\ndb_dir={folder}\n"
        f"log_dir={folder}\nfriendly_name=MiniDLNA\ninotify=no\n"
    )
    where = ("-f", f"{folder}/minidlna.conf", "-P", f"{folder}/minidlna.pid")
    with daemon(network, folder, "minidlnad", "-d", *where, package="minidlna"):
        yield Daemon(search(network, port))


class Gateway(NamedTuple):
    """A router, running until the end of the session."""

    description_url: str
    external_address: str


@pytest.fixture(scope="session")
def miniupnpd(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A router between v0 and an interface that leads nowhere: miniupnpd on nftables."""
    folder = tmp_path_factory.mktemp("miniupnpd")
    port = network.port()
    # It takes none of the addresses for documentation.
    external = "11.22.33.44"
    (folder / "miniupnpd.conf").write_text(
        f"ext_ifname=ext0\next_ip={external}\nlistening_ip=v0\nhttp_port={port}\n"
        "enable_upnp=yes\nenable_natpmp=no\nuuid=6a0c1d58-0b7e-4f0e-9d56-5d1b6f3c2b77\n"
        "allow 1024-65535 0.0.0.0/0 1024-65535\n"
    )
    chains = "chain miniupnpd {}; chain prerouting_miniupnpd {}; chain postrouting_miniupnpd {};"
    for command in (
        ["ip", "-n", network.name, "link", "add", "ext0", "type", "veth", "peer", "name", "ext1"],
        ["ip", "-n", network.name, "addr", "add", f"{external}/24", "dev", "ext0"],
        ["ip", "-n", network.name, "link", "set", "ext0", "up"],
        [*network.prefix, "nft", f"table inet filter {{ {chains} }}"],
    ):
        subprocess.run(command, check=True)
    where = ("-d", "-f", f"{folder}/miniupnpd.conf", "-P", f"{folder}/miniupnpd.pid")
    with daemon(network, folder, "miniupnpd", *where, package="miniupnpd-nftables"):
        yield Gateway(search(network, port), external)


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
def record(network: Network) -> Iterator[Callable[[], Recorder]]:
    """``record()`` opens a recorder in the namespace; it is closed when the test is over."""
    with contextlib.ExitStack() as open_recorders:

        def record() -> Recorder:
            recorder: Recorder = inside(network.name, lambda: Recorder(network.address))
            open_recorders.callback(recorder.close)
            return recorder

        yield record
