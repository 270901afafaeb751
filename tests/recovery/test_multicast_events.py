"""Multicast events between hosts with several interfaces, which come and go."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.networks import Host, Network
from lab.programs import Program

pytestmark = pytest.mark.slow

runtimes = pytest.mark.parametrize("runtime", ["asyncio", "uvloop", "twisted"])
IPV4, LINK, SITE, GLOBAL = "239.255.255.246", "FF02::130", "FF05::130", "FF0E::130"
BOTH = [f"eth{number} {group}" for number in (0, 1) for group in (IPV4, LINK, SITE, GLOBAL)]


@pytest.fixture
def device_on(start: Any, tmp_path: Path) -> Callable[..., Program]:
    """Starts a device that announces itself and sends its counter by multicast."""

    def device_on(host: Host, runtime: str, **options: Any) -> Program:
        words = (sys.executable, "-m", "lab.hosted_device", runtime, json.dumps(options))
        program: Program = start(*host.prefix, *words, XDG_STATE_HOME=str(tmp_path))
        program.read("ready")
        return program

    return device_on


@pytest.fixture
def point_on(start: Any) -> Callable[..., Program]:
    """Starts a control point that prints each multicast event."""

    def point_on(host: Host, runtime: str, **options: Any) -> Program:
        words = (sys.executable, "-m", "lab.multicast_point", runtime, json.dumps(options))
        program: Program = start(*host.prefix, *words)
        program.read("listening")
        return program

    return point_on


def count(device: Program, number: int) -> None:
    device.ask(str(number), "urls")


def count_until_heard(device: Program, point: Program, number: int) -> int:
    """Count once a second, until the control point is told a number, and return it: what is sent
    to an interface that the device does not know yet, or that is gone, does not arrive."""
    for each in range(number, number + 10):
        count(device, each)
        with contextlib.suppress(AssertionError):
            return int(point.read("changes", timeout=1.0)["changes"]["Count"])
    raise AssertionError("not heard")


def heard(point: Program) -> list[tuple[int, dict[str, int]]]:
    """The SEQs and changes of the events so far."""
    told = [line.told for line in point.lines]
    return [(each["seq"], each["changes"]) for each in told if "changes" in each]


def events(point: Program) -> list[tuple[int, dict[str, int]]]:
    """The SEQs and changes of the events so far. None is missing."""
    told = [line.told for line in point.lines]
    assert [each for each in told if "missed" in each] == []
    return heard(point)


def listens(point: Program, *places: str) -> None:
    """Wait until the control point listens at these interfaces and groups, and on loopback, and
    nowhere else."""
    point.ask_until("", "listening", sorted([*places, f"lo {IPV4}"]))


@pytest.fixture
def two_nets(network: Network) -> Any:
    """Two hosts that are both on two networks. ``plug(host)`` gives the host the second one."""
    home, office = network.switch("home"), network.switch("office")
    first, second = network.host("first"), network.host("second")
    for number, host in enumerate((first, second), 1):
        addresses = f"10.77.0.{number}/24", f"fd77::{number}/64"
        network.plug(host, home, "eth0", *addresses)

    def plug(host: Host) -> None:
        number = 1 if host is first else 2
        addresses = f"10.78.0.{number}/24", f"fd78::{number}/64"
        network.plug(host, office, "eth1", *addresses)

    return first, second, plug


@runtimes
@pytest.mark.clause("MC-16", "MC-18", "MC-19", "V6-08")
def test_each_event_arrives_once_over_two_interfaces_and_both_families(
    two_nets: Any, device_on: Any, point_on: Any, runtime: str
) -> None:
    first, second, plug = two_nets
    plug(first)
    plug(second)
    point = point_on(second, runtime)
    listens(point, *BOTH)
    device = device_on(first, runtime)
    for number in range(1, 6):
        count(device, number)
        point.read("changes")
    assert events(point) == [(number - 1, {"Count": number}) for number in range(1, 6)]


@runtimes
def test_events_go_on_when_an_interface_goes_and_arrive_on_one_that_comes(
    two_nets: Any, device_on: Any, point_on: Any, runtime: str
) -> None:
    first, second, plug = two_nets
    point, device = point_on(second, runtime), device_on(first, runtime)
    count(device, 1)
    point.read("changes")
    for host in (first, second):
        plug(host)
    listens(point, *BOTH)
    first.unplug("eth0")
    first_heard = count_until_heard(device, point, 2)
    for number in range(first_heard + 1, first_heard + 4):
        count(device, number)
        told = point.read("changes")
        assert told["changes"] == {"Count": number}
        assert not told["source"].startswith(("10.77.", "fd77:"))
    first.ip("link del eth1")
    first.plug_in("eth0")
    number = count_until_heard(device, point, number + 1)
    count(device, number + 1)
    assert point.read("changes")["changes"] == {"Count": number + 1}
    counts = [changes["Count"] for _, changes in heard(point)]
    assert counts == sorted(set(counts))


@runtimes
@pytest.mark.clause("MC-23", "MC-11")
def test_a_device_that_loses_power_and_comes_back_is_believed_with_its_new_boot_id(
    two_nets: Any, device_on: Any, point_on: Any, runtime: str
) -> None:
    first, second, _ = two_nets
    point, device = point_on(second, runtime), device_on(first, runtime)
    count(device, 1)
    point.read("changes")
    device.kill()
    device = device_on(first, runtime)
    count(device, 7)
    assert point.read("changes")["seq"] == 0
    assert events(point) == [(0, {"Count": 1}), (0, {"Count": 7})]


@pytest.mark.clause("V6-08")
def test_over_ipv6_alone_events_come_from_an_address_of_the_link(
    network: Network, device_on: Any, point_on: Any
) -> None:
    switch, first, second = network.switch(), network.host("first"), network.host("second")
    network.plug(first, switch, "eth0")
    network.plug(second, switch, "eth0")
    point = point_on(second, "asyncio")
    listens(point, f"eth0 {LINK}")
    device = device_on(first, "asyncio")
    count(device, 1)
    assert point.read("changes")["source"].startswith("fe80::")
    assert events(point) == [(0, {"Count": 1})]
