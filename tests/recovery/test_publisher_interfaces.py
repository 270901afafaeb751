"""Interfaces and addresses of the machine that hosts a device come and go while it runs."""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.networks import Host, Network
from lab.programs import Program
from propchange.core.limits import DEFAULT_LIMITS

pytestmark = pytest.mark.slow

SOON = 15.0
"""Seconds within which a device is at a new address, also on a busy machine. Otherwise it takes
about one."""

PROPCHANGE = str(Path(sys.executable).with_name("propchange"))

runtimes = pytest.mark.parametrize("runtime", ["asyncio", "uvloop", "twisted"])


class Point:
    """The control point on another host."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def _ask(self, *command: str | bool) -> dict[str, Any]:
        return self._program.ask(json.dumps(command), "status")

    def get(self, url: str) -> int:
        status: int = self._ask("get", url)["status"]
        return status

    def subscribe(self, url: str, own: str, *, from_there: bool = False) -> str:
        """The SID of a new subscription."""
        answer = self._ask("subscribe", event_url(url), own, from_there)
        assert answer["status"] == 200, answer
        sid: str = answer["sid"]
        return sid

    def status_of_subscribe(self, url: str, own: str) -> int:
        status: int = self._ask("subscribe", event_url(url), own, False)["status"]
        return status

    def renew(self, url: str, sid: str) -> int:
        status: int = self._ask("renew", event_url(url), sid)["status"]
        return status

    def event(self) -> dict[str, Any]:
        return self._program.read("seq")


def event_url(description_url: str) -> str:
    return description_url.replace("/description.xml", "/Counter/event")


def at(url: str, host: str) -> str:
    """``url`` with another host in it."""
    port = url.rpartition(":")[2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def eventually(condition: Callable[[], bool], seconds: float = SOON) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "not in time"
        time.sleep(0.05)


@pytest.fixture
def hosts(network: Network) -> tuple[Host, Host, Any]:
    """The host of the device and the one of the control point, on one switch, with another one
    that both can be plugged into."""
    home, office = network.switch("home"), network.switch("office")
    device, control = network.host("device"), network.host("control")
    network.plug(control, home, "eth0", "10.77.0.3/24", "fd00:77::3/64")
    network.plug(control, office, "eth1", "10.88.0.3/24", "fd00:88::3/64")
    network.plug(device, home, "eth0", "10.77.0.2/24", "fd00:77::2/64")

    def plug(*addresses: str) -> None:
        network.plug(device, office, "eth1", *addresses, mac="02:00:00:00:00:02")

    return device, control, plug


@pytest.fixture
def hosting(start: Any) -> Callable[..., tuple[Program, Any]]:
    def hosting(host: Host, runtime: str, **options: Any) -> tuple[Program, Any]:
        words = (sys.executable, "-m", "lab.hosted_device", runtime, json.dumps(options))
        program = start(*host.prefix, *words)
        return program, program.read("ready")["ready"]

    return hosting


@pytest.fixture
def point_on(start: Any) -> Callable[[Host], Point]:
    return lambda host: Point(start(*host.prefix, sys.executable, "-m", "lab.raw_point"))


def urls(device: Program) -> list[str]:
    """The URLs of the description now."""
    told: list[str] = device.ask("", "urls")["urls"]
    return told


@runtimes
def test_a_device_on_all_interfaces_is_at_each_address_of_both_families(
    hosts: Any, hosting: Any, point_on: Any, runtime: str
) -> None:
    """A link-local address is without zone in the URL. The host that asks adds its own."""
    device_host, control, plug = hosts
    plug("10.88.0.2/24")
    device, there = hosting(device_host, runtime)
    link_local = [device_host.link_local("eth0"), device_host.link_local("eth1")]
    expected = ["10.77.0.2", "10.88.0.2", "fd00:77::2", *link_local, "127.0.0.1", "::1"]
    assert sorted(there) == sorted(at(there[0], host) for host in expected)
    assert there[0] == at(there[0], "10.77.0.2")  # the way of its multicasts
    point = point_on(control)
    ways = {
        "10.77.0.2": "10.77.0.3",
        "10.88.0.2": "10.88.0.3",
        "fd00:77::2": "fd00:77::3",
        f"{link_local[0]}%eth0": f"{control.link_local('eth0')}%eth0",
        f"{link_local[1]}%eth1": f"{control.link_local('eth1')}%eth1",
    }
    sids = {}
    for host, own in ways.items():
        assert point.get(at(there[0], host)) == 200, host
        sids[host] = point.subscribe(at(there[0], host), own)
        told = point.event()
        assert (told["seq"], told["from"]) == (0, host.partition("%")[0])
    device.ask("7", "urls")
    heard = {told["sid"]: told["from"] for told in (point.event() for _ in ways)}
    assert heard == {sid: host.partition("%")[0] for host, sid in sids.items()}


@runtimes
@pytest.mark.parametrize("interface", [None, "eth1"])
def test_a_device_is_at_an_interface_that_is_added_while_it_runs(
    hosts: Any, hosting: Any, point_on: Any, runtime: str, interface: str | None
) -> None:
    """With a name, the device has begun with one address of that interface."""
    device_host, control, plug = hosts
    point = point_on(control)
    if interface is None:
        device, (first, *_) = hosting(device_host, runtime)
        added = [("10.88.0.2", "10.88.0.3")]
        plug("10.88.0.2/24")
    else:
        plug("10.88.0.9/24")
        device, (first, *_) = hosting(device_host, runtime, interface=interface)
        assert point.get(at(first, "10.77.0.2")) == 0
        assert point.get(at(first, "10.88.0.9")) == 200
        device_host.ip("addr add 10.88.0.2/24 dev eth1")
        device_host.ip("addr add fd00:88::2/64 dev eth1")
        link_local = f"{device_host.link_local('eth1')}%eth1"
        added = [
            ("10.88.0.2", "10.88.0.3"),
            ("fd00:88::2", "fd00:88::3"),
            (link_local, f"{control.link_local('eth1')}%eth1"),
        ]
    for number, (host, own) in enumerate(added, 1):
        eventually(lambda host=host: point.get(at(first, host)) == 200)  # type: ignore[misc] # a default
        point.subscribe(at(first, host), own)
        assert point.event()["seq"] == 0
        device.ask(str(number), "urls")
        for _ in range(number):
            assert point.event()["text"] == str(number)


@runtimes
def test_an_interface_that_goes_and_comes_again_is_used_again(
    hosts: Any, hosting: Any, point_on: Any, runtime: str
) -> None:
    device_host, control, plug = hosts
    plug("10.88.0.2/24")
    device, (first, *_) = hosting(device_host, runtime, interface="eth1")
    assert len(urls(device)) == 2  # and a link-local one
    point = point_on(control)
    for _ in range(2):
        device_host.ip("link del eth1")
        time.sleep(2 * DEFAULT_LIMITS.link_seconds)  # it has left the addresses
        plug("10.88.0.2/24")
        eventually(lambda: point.get(at(first, "10.88.0.2")) == 200)
        point.subscribe(at(first, "10.88.0.2"), "10.88.0.3")
        assert point.event()["seq"] == 0
        link_local = device_host.link_local("eth1")
        eventually(lambda: point.get(at(first, f"{link_local}%eth1")) == 200)  # noqa: B023 - called at once


@runtimes
def test_a_device_that_waits_for_its_first_address_is_there_soon_after_it(
    hosts: Any, start: Any, point_on: Any, runtime: str
) -> None:
    """Also if the system first looks whether another host has the address."""
    device_host, control, plug = hosts
    device_host.run("sysctl", "-qw", "net.ipv6.conf.default.accept_dad=1")
    device_host.run("sysctl", "-qw", "net.ipv6.conf.default.addr_gen_mode=1")  # no link-local one
    plug()
    options = json.dumps({"interface": "eth1", "port": 8123})
    words = (sys.executable, "-m", "lab.hosted_device", runtime, options)
    device = start(*device_host.prefix, *words)
    point = point_on(control)
    url = "http://[fd00:88::2]:8123/description.xml"
    time.sleep(1)
    assert device.lines == []
    device_host.ip("addr add fd00:88::2/64 dev eth1")
    assert device.read("ready")["ready"] == [url]
    assert point.get(url) == 200
    device_host.ip("addr add 10.88.0.2/24 dev eth1")
    eventually(lambda: point.get(at(url, "10.88.0.2")) == 200)


@runtimes
def test_nobody_on_an_excluded_interface_gets_an_answer(
    hosts: Any, hosting: Any, point_on: Any, runtime: str
) -> None:
    device_host, control, plug = hosts
    device, there = hosting(device_host, runtime, exclude=["eth1", "lo"])
    link_local = device_host.link_local("eth0")
    assert sorted(there) == sorted(
        at(there[0], host) for host in ("10.77.0.2", "fd00:77::2", link_local)
    )
    plug("10.88.0.2/24", "fd00:88::2/64")
    point = point_on(control)
    for host in ("10.88.0.2", "fd00:88::2", f"{device_host.link_local('eth1')}%eth1"):
        assert point.get(at(there[0], host)) == 0
    assert point.get(there[0]) == 200
    assert sorted(urls(device)) == sorted(there)


@runtimes
@pytest.mark.clause("CP-13")
def test_a_device_that_moves_gives_up_the_subscriptions_of_its_former_address(
    hosts: Any, hosting: Any, point_on: Any, runtime: str
) -> None:
    """The subscriber gets its events until it has subscribed anew, and misses none."""
    device_host, control, _ = hosts
    device, (first, *_) = hosting(device_host, runtime)
    point = point_on(control)
    sid = point.subscribe(first, "10.77.0.3")
    other = point.subscribe(at(first, "fd00:77::2"), "fd00:77::3")
    assert [point.event()["seq"] for _ in range(2)] == [0, 0]
    device_host.ip("addr del 10.77.0.2/24 dev eth0")
    device_host.ip("addr add 10.77.0.9/24 dev eth0")
    moved = at(first, "10.77.0.9")

    def told() -> dict[str, Any]:
        events = [point.event() for _ in range(2)]
        assert events[0]["text"] == events[1]["text"]
        return {each["sid"]: each["seq"] for each in events}

    device.ask("1", "urls")
    assert told() == {sid: 1, other: 1}
    assert point.renew(moved, sid) == 412
    assert point.renew(moved, other) == 200  # made at an address that is still there
    device.ask("2", "urls")
    assert told() == {sid: 2, other: 2}
    new = point.subscribe(moved, "10.77.0.3")
    assert point.event()["sid"] == new
    assert point.renew(moved, new) == 200


@runtimes
@pytest.mark.clause("V6-03", "V6-04", "SUB-71")
def test_a_delivery_url_may_be_in_any_prefix_of_the_interface_and_in_no_other(
    hosts: Any, hosting: Any, point_on: Any, runtime: str
) -> None:
    """Unique local, global and link-local addresses of one link, over IPv6 and over IPv4, with
    prefixes that have come while the device runs."""
    device_host, control, plug = hosts
    plug("10.88.0.2/24", "fd00:88::2/64")
    _, (first, *_) = hosting(device_host, runtime)
    for host, last in ((device_host, 2), (control, 3)):
        for prefix in ("fd00:79::", "2001:db8:79::"):
            host.ip(f"addr add {prefix}{last}/64 dev eth0")
        host.ip(f"addr add 10.79.0.{last}/24 dev eth0")
    point = point_on(control)
    links = {
        "eth0": (f"{device_host.link_local('eth0')}%eth0", f"{control.link_local('eth0')}%eth0"),
        "eth1": (f"{device_host.link_local('eth1')}%eth1", f"{control.link_local('eth1')}%eth1"),
    }
    six = [("fd00:77::2", "fd00:77::3"), ("fd00:79::2", "fd00:79::3"), links["eth0"],
           ("2001:db8:79::2", "2001:db8:79::3")]  # fmt: skip
    four = [("10.77.0.2", "10.77.0.3"), ("10.79.0.2", "10.79.0.3")]
    for (host, _), (_, own) in [*itertools.product(six, six), *itertools.product(four, four)]:
        for from_there in (False, True):
            sid = point.subscribe(at(first, host), own, from_there=from_there)
            told = point.event()
            assert (told["sid"], told["from"]) == (sid, host.partition("%")[0]), (host, own)
    for host, foreign in (
        ("fd00:77::2", "fd00:88::3"),
        (links["eth0"][0], "fd00:88::3"),
        (links["eth1"][0], "fd00:77::3"),
        ("10.77.0.2", "10.88.0.3"),
        ("10.77.0.2", "fd00:77::3"),
        ("fd00:77::2", "10.77.0.3"),
    ):
        assert point.status_of_subscribe(at(first, host), foreign) == 412, (host, foreign)


@pytest.mark.parametrize("runtime", ["asyncio", "twisted"])
@pytest.mark.clause("CP-13")
def test_a_control_point_follows_a_device_that_moves_and_misses_no_event(
    hosts: Any, hosting: Any, start: Any, runtime: str
) -> None:
    """The device announces its new address. Until the control point has subscribed anew, it gets
    the events of its former subscription."""
    device_host, control, _ = hosts
    device, (first, *_) = hosting(device_host, runtime)
    watch = start(*control.prefix, PROPCHANGE, "watch", "--json", first)

    def told(kind: str, **wanted: Any) -> list[dict[str, Any]]:
        lines = [line.told for line in watch.lines if line.told["kind"] == kind]
        return [each for each in lines if wanted.items() <= each.items()]

    eventually(lambda: bool(told("event")))
    device_host.ip("addr del 10.77.0.2/24 dev eth0")
    device_host.ip("addr add 10.77.0.9/24 dev eth0")
    number = 0

    def count_up_until_resubscribed() -> bool:
        nonlocal number
        number += 1
        device.ask(str(number), "urls")
        time.sleep(0.5)  # more than 16 changes behind, they would be merged
        return bool(told("status", status="resubscribed"))

    eventually(count_up_until_resubscribed, 30)
    device.ask(str(number + 1), "urls")
    eventually(lambda: told("event")[-1]["changes"]["Count"] == number + 1)
    counts = [event["changes"]["Count"] for event in told("event")]
    assert counts == sorted(counts)
    assert set(counts) == set(range(number + 2))
    assert len({event["sid"] for event in told("event")}) == 2


SEES = """
import asyncio, json
from propchange import ControlPoint

async def main():
    async with ControlPoint(discovery=True) as control_point:
        async for sighting in control_point.devices():
            print(json.dumps({"seen": sighting.locations}), flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    "chosen",
    [({}, {"eth0", "eth1"}), ({"exclude": ["eth1"]}, {"eth0"}), ({"interface": "eth1"}, {"eth1"})],
    ids=["all", "but one", "one"],
)
@pytest.mark.parametrize("runtime", ["asyncio", "twisted"])
def test_a_device_is_found_on_its_interfaces_with_the_addresses_of_each_and_on_no_other(
    hosts: Any, hosting: Any, start: Any, runtime: str, chosen: Any
) -> None:
    options, interfaces = chosen
    device_host, control, plug = hosts
    plug("10.88.0.2/24")
    of = {
        "eth0": {"10.77.0.2", f"{device_host.link_local('eth0')}%eth0"},
        "eth1": {"10.88.0.2", f"{device_host.link_local('eth1')}%eth1"},
    }
    sees = start(*control.prefix, sys.executable, "-c", SEES)
    _, (first, *_) = hosting(device_host, runtime, **options)

    def seen() -> set[str]:
        told = sees.lines
        locations = set(told[-1].told["seen"]) if told else set()
        # Those of unique local addresses are for the group of the site.
        return {location for location in locations if "fd00" not in location}

    expected = {at(first, host) for name in interfaces for host in of[name]}
    eventually(lambda: seen() == expected)
    time.sleep(1)  # the announcements are repeated
    assert seen() == expected
