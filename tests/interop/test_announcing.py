"""A device of propchange on two LANs is found by GSSDP and by propchange on each of them, over IPv4
and IPv6, and is gone after its goodbye. On asyncio and on Twisted."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
import uuid
from ipaddress import ip_network
from pathlib import Path

import pytest

from lab.fixtures import Start, missing
from lab.networks import Host
from lab.peers import PEERS
from lab.programs import Program
from lab.two_lans import TwoLans
from propchange.core.local_addresses import LocalAddress
from propchange.core.wire.messages import Endpoint
from propchange.driver.multicast_sockets import joined_socket
from tests.interop.lans import RUNTIMES, lans_fixture, see, start_here_fixture  # noqa: F401 - fixtures
from tests.interop.seeing import Seer
from tests.interop.wire import inside

pytestmark = pytest.mark.xdist_group("two LANs")

HOME, OFFICE = "http://10.77.0.1:", "http://10.78.0.1:"


def gssdp(start: Start, host: Host) -> Seer:
    if shutil.which("gssdp-discover") is None:
        missing("gssdp-discover (gupnp-tools)")
    return Seer(start(*host.prefix, sys.executable, PEERS / "see_gssdp.py", "eth0"))


@pytest.fixture(scope="module")
def seers(lans: TwoLans, start_here: Start) -> dict[str, dict[str, Seer]]:
    """Control points on ``near``, at home, and on ``far``, at the office."""
    seers = {
        name: {
            "asyncio": see(start_here, host, "asyncio"),
            "twisted": see(start_here, host, "twisted"),
            "gssdp": gssdp(start_here, host),
        }
        for name, host in (("near", lans.near), ("far", lans.far))
    }
    for each in (seer for group in seers.values() for seer in group.values()):
        each.program.read("ready")
    return seers


class Announced:
    """The device on ``here``."""

    def __init__(self, start: Start, host: Host, runtime: str, folder: Path) -> None:
        self.udn = f"uuid:{uuid.uuid4()}"
        self._start, self._host, self._runtime, self._folder = start, host, runtime, folder
        self.program = self.begin()

    def begin(self) -> Program:
        command = (PEERS / "pub_announced.py", self._runtime, self.udn, self._folder, "8123")
        self.since = time.monotonic()
        self.program = self._start(*self._host.prefix, sys.executable, *command)
        self.program.read("ready")
        return self.program

    def end(self, number: signal.Signals) -> float:
        """Send it a signal, and return when."""
        at = time.monotonic()
        # ``ip netns exec`` replaces itself by the program.
        os.kill(self.program._process.pid, number)
        return at


@pytest.fixture(params=RUNTIMES)
def device(
    request: pytest.FixtureRequest,
    lans: TwoLans,
    seers: dict[str, dict[str, Seer]],
    start: Start,
    tmp_path: Path,
) -> Announced:
    return Announced(start, lans.here, request.param, tmp_path)


def test_each_control_point_finds_the_device_at_the_address_of_its_own_lan(
    device: Announced, seers: dict[str, dict[str, Seer]], lans: TwoLans
) -> None:
    here = lans.here
    for lan, locations in (
        ("near", (HOME, f"http://[{here.link_local('eth0')}%")),
        ("far", (OFFICE, f"http://[{here.link_local('eth1')}%")),
    ):
        for runtime in RUNTIMES:
            for location in locations:
                seers[lan][runtime].found(location, device.udn, since=device.since)
        seers[lan]["gssdp"].found(locations[0], device.udn, since=device.since)


def test_the_site_is_told_the_address_that_the_site_reaches(
    lans: TwoLans, start: Start, tmp_path: Path
) -> None:
    """Each message to FF05::C, with its LOCATION and its source."""
    network = ip_network("fd77::/64")
    at_home = LocalAddress("fd77::2", 0, network, "eth0", lans.near.index("eth0"))
    group = Endpoint("ff05::c", 1900)
    with inside(lans.near.namespace, lambda: joined_socket(group, at_home)) as joined:
        joined.settimeout(10)
        device = Announced(start, lans.here, "asyncio", tmp_path)
        while device.udn.encode() not in (received := joined.recvfrom(2_000))[0]:
            pass
        data, source = received
        assert b"HOST: [FF05::C]:1900\r\n" in data
        assert b"LOCATION: http://[fd77::1]:8123/description.xml\r\n" in data
        assert source[0] == "fd77::1"


def test_a_device_that_ends_is_gone_for_all(
    device: Announced, seers: dict[str, dict[str, Seer]]
) -> None:
    for lan, location in (("near", HOME), ("far", OFFICE)):
        for seer in seers[lan].values():
            seer.found(location, device.udn, since=device.since)
    ended = device.end(signal.SIGTERM)
    for each in seers.values():
        for seer in each.values():
            seer.gone(device.udn, since=ended)


def test_a_control_point_that_starts_later_finds_it_by_a_search(
    device: Announced, lans: TwoLans, start: Start
) -> None:
    time.sleep(2)  # its announcements are over
    for host, location in ((lans.near, HOME), (lans.far, OFFICE)):
        for seer in (see(start, host, "asyncio"), gssdp(start, host)):
            seer.found(location, device.udn)


def test_an_interface_that_comes_is_announced_and_subscriptions_on_the_other_one_stay(
    device: Announced, seers: dict[str, dict[str, Seer]], lans: TwoLans
) -> None:
    near, far = seers["near"], seers["far"]
    for runtime in RUNTIMES:
        near[runtime].found(HOME, device.udn, since=device.since)
        near[runtime].program.ask(f"subscribe {device.udn} Bench", "subscribing")
        near[runtime].event(device.udn, Value="as it began", since=device.since)
    far["gssdp"].found(OFFICE, device.udn, since=device.since)
    lans.unplug_from_office()
    time.sleep(2)
    plugged = time.monotonic()
    lans.plug_into_office()
    for runtime in RUNTIMES:
        far[runtime].wait(
            lambda told: (
                told.get("sighting") == "changed"
                and told["udn"] == device.udn
                and any(location.startswith(OFFICE) for location in told["locations"])
            ),
            "the device at the office again",
            since=plugged,
        )
    time.sleep(1)
    for runtime in RUNTIMES:
        told = [line.told for line in near[runtime].program.lines if line.at > device.since]
        own = [each for each in told if each.get("udn") == device.udn]
        assert [each["seq"] for each in own if "event" in each] == [0]
        assert [each["status"] for each in own if "status" in each] == ["active"]
        near[runtime].program.ask("leave", "left")


def test_a_device_that_was_killed_and_starts_again_has_its_subscribers_back(
    device: Announced, seers: dict[str, dict[str, Seer]]
) -> None:
    near = seers["near"]
    for runtime in RUNTIMES:
        near[runtime].found(HOME, device.udn, since=device.since)
        near[runtime].program.ask(f"subscribe {device.udn} Bench", "subscribing")
        near[runtime].event(device.udn, Value="as it began", since=device.since)
    device.end(signal.SIGKILL)
    device.begin()
    for runtime in RUNTIMES:
        near[runtime].event(device.udn, Value="as it began", since=device.since)
        near[runtime].program.ask("leave", "left")
