"""A device on a host with many interfaces, in a process with few file descriptors."""

from __future__ import annotations

import contextlib
import socket
import sys
from pathlib import Path

import pytest

from lab.fixtures import Start
from lab.networks import Network
from tests.interop.lans import RUNTIMES
from tests.interop.wire import inside

pytestmark = pytest.mark.slow

INTERFACES = 24
DESCRIPTORS = 128


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_sockets_of_interfaces_leave_descriptors_for_connections(
    network: Network, start: Start, tmp_path: Path, runtime: str
) -> None:
    switch, here, near = network.switch(), network.host("here"), network.host("near")
    network.plug(here, switch, "eth0", "10.77.0.1/24", "fd77::1/64")
    network.plug(near, switch, "eth0", "10.77.0.2/24", "fd77::2/64")
    for number in range(1, INTERFACES):
        network.plug(here, switch, f"eth{number}", f"10.78.{number}.1/24", f"fd78:{number}::1/64")
    words = (sys.executable, "-m", "lab.hosted_device", runtime)
    limited = ("prlimit", f"--nofile={DESCRIPTORS}", *words)
    device = start(*here.prefix, *limited, XDG_STATE_HOME=str(tmp_path))
    port = int(device.read("ready")["ready"][0].split("/")[2].rpartition(":")[2])
    device.ask("1", "urls")  # the sockets of multicast events are open
    with contextlib.ExitStack() as connections:
        for _ in range(DESCRIPTORS // 4):
            client = connections.enter_context(
                inside(near.namespace, lambda: socket.create_connection(("10.77.0.1", port), 5))
            )
            client.sendall(
                f"GET /description.xml HTTP/1.1\r\nHOST: 10.77.0.1:{port}\r\n\r\n".encode()
            )
            assert client.recv(15) == b"HTTP/1.1 200 OK"
