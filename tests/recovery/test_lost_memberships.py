"""Sockets whose multicast group the system has left, while the interface has the same name, number
and addresses as before: the device and the control point hear the group again."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.fixtures import Start
from lab.networks import Host, Network
from lab.programs import PATIENCE, Program
from tests.conformance.ssdp_network import GROUPS, PORT, Ear
from tests.interop.lans import RUNTIMES, see

pytestmark = pytest.mark.slow

ADDRESSES = "10.77.0.1/24", "fd77::1/64"

runtimes = pytest.mark.parametrize("runtime", RUNTIMES)


class Link:
    """Two hosts at one switch."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.switch = network.switch()
        self.here, self.near = network.host("here"), network.host("near")
        self.plug()
        network.plug(self.near, self.switch, "eth0", "10.77.0.2/24", "fd77::2/64")

    def plug(self) -> None:
        """Give ``here`` the same interface each time."""
        self.here.ip(
            "link add index 77 name eth0 address 02:00:00:00:77:01 type veth peer name here "
            f"netns {self.switch.namespace}"
        )
        self.switch.ip("link set here master bridge up")
        self.here.ip("link set eth0 up")
        self.number()
        self.here.ip("route add 239.0.0.0/8 dev eth0")

    def number(self, *addresses: str) -> None:
        """Give the interface of ``here`` its addresses, which it may have."""
        for address in addresses or ADDRESSES:
            with contextlib.suppress(RuntimeError):
                self.here.ip(f"addr add {address} dev eth0")

    # --- what happens to the interface, faster than the addresses are read ---

    def made_anew(self) -> None:
        self.here.ip("link del eth0")
        self.plug()

    def with_a_small_mtu(self) -> None:
        self.here.ip("link set eth0 mtu 1000")
        self.here.ip("link set eth0 mtu 1500")
        self.number()

    def down_and_up(self) -> None:
        self.here.ip("link set eth0 down")
        self.here.ip("link set eth0 up")
        self.number()

    def numbered_anew(self) -> None:
        self.here.ip("addr flush dev eth0 scope global")
        self.number()

    def numbered_otherwise(self) -> None:
        self.here.ip("addr flush dev eth0 scope global")
        self.number("10.77.0.9/24", "fd77::9/64")

    def without_ipv6(self) -> None:
        for off in (1, 0):
            self.here.run("sysctl", "-qw", f"net.ipv6.conf.eth0.disable_ipv6={off}")
        self.number()


plays = pytest.mark.parametrize(
    "play",
    [
        Link.made_anew,
        Link.with_a_small_mtu,
        Link.down_and_up,
        Link.numbered_anew,
        Link.numbered_otherwise,
        Link.without_ipv6,
    ],
)


@pytest.fixture
def link(network: Network) -> Link:
    return Link(network)


@pytest.fixture
def ears(link: Link) -> Iterator[dict[str, Ear]]:
    """Plain sockets at ``near``, for each kind of address."""
    ears = {family: Ear(link.near, family) for family in GROUPS}
    yield ears
    for ear in ears.values():
        ear.close()


StartDevice = Callable[[Host, str], Program]


@pytest.fixture
def start_device(start: Start, tmp_path: Path) -> StartDevice:
    """Starts a device that announces itself and sends its counter by multicast."""

    def start_device(host: Host, runtime: str) -> Program:
        words = (sys.executable, "-m", "lab.hosted_device", runtime)
        device = start(*host.prefix, *words, XDG_STATE_HOME=str(tmp_path))
        device.read("ready")
        return device

    return start_device


def at_once(play: Callable[[Link], None], link: Link, program: Program) -> None:
    """What ``program`` sees of the play is its end."""
    program.freeze()
    play(link)
    program.thaw()


def ask_until(ear: Ear, host: str) -> None:
    """Search until the device at ``host`` has answered."""
    search = (
        f'M-SEARCH * HTTP/1.1\r\nHOST: {host}:{PORT}\r\nMAN: "ssdp:discover"\r\nMX: 1\r\n'
        "ST: upnp:rootdevice\r\n\r\n"
    ).encode()
    for _ in range(10):
        ear.send(search)
        if ear.wait(lambda heard: [each for each in heard if not each.to_group], PATIENCE / 10):
            return
    raise AssertionError(f"no search to {host} is answered")


@runtimes
@plays
def test_a_device_answers_searches_on_a_link_whose_groups_the_system_has_left(
    link: Link, start_device: StartDevice, ears: dict[str, Ear], play: Any, runtime: str
) -> None:
    device = start_device(link.here, runtime)
    for family, ear in ears.items():
        ask_until(ear, GROUPS[family])
    at_once(play, link, device)
    for family, ear in ears.items():
        ear.heard.clear()
        ask_until(ear, GROUPS[family])


@runtimes
@plays
def test_a_control_point_hears_announcements_on_a_link_whose_groups_the_system_has_left(
    link: Link, start: Start, ears: dict[str, Ear], play: Any, runtime: str
) -> None:
    seer = see(start, link.here, runtime)
    seer.started()

    def announce(ear: Ear, udn: str) -> None:
        host = f"[{ear.address.own}]" if ear.is_ipv6 else ear.address.own
        ear.send(
            (
                f"NOTIFY * HTTP/1.1\r\nNT: upnp:rootdevice\r\nNTS: ssdp:alive\r\n"
                f"USN: {udn}::upnp:rootdevice\r\nLOCATION: http://{host}:1/\r\n\r\n"
            ).encode()
        )

    def hear(udn: str) -> None:
        for family in ("IPv4", "IPv6"):
            end = time.monotonic() + PATIENCE
            name = f"{udn}-{family}"
            while True:
                announce(ears[family], name)
                with contextlib.suppress(AssertionError):
                    seer.wait(lambda told, name=name: told.get("udn") == name, name, timeout=1)
                    break
                assert time.monotonic() < end, f"{name} is not heard"

    hear("uuid:before")
    at_once(play, link, seer.program)
    hear("uuid:after")


@runtimes
def test_multicast_events_are_received_on_a_link_whose_groups_the_system_has_left(
    link: Link, start: Start, start_device: StartDevice, runtime: str
) -> None:
    words = (sys.executable, "-m", "lab.multicast_point", runtime, "{}")
    point = start(*link.here.prefix, *words)
    device = start_device(link.near, runtime)
    point.read("listening")
    numbers = iter(range(1, 100))

    def hear() -> None:
        for _ in range(10):
            device.ask(str(next(numbers)), "urls")
            with contextlib.suppress(AssertionError):
                point.read("changes", timeout=1.0)
                return
        raise AssertionError("no event is heard")

    hear()
    groups = joined(link.here)
    at_once(Link.made_anew, link, point)
    hear()
    end = time.monotonic() + PATIENCE
    while joined(link.here) != groups and time.monotonic() < end:
        time.sleep(0.05)  # between two looks at another process
    assert joined(link.here) == groups


def joined(host: Host) -> set[str]:
    """The groups of the multicast events that are joined on eth0."""
    four, six = (host.run("cat", f"/proc/net/{table}") for table in ("igmp", "igmp6"))
    groups = {line.split()[0] for line in four.partition("eth0")[2].splitlines()[1:]}
    groups |= {line.split()[2] for line in six.splitlines() if line.split()[1] == "eth0"}
    return {each for each in groups if each == "F6FFFFEF" or each.endswith("130")}
