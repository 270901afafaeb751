"""A device behind a web server or a proxy of its machine, and control points on other hosts."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.networks import Host, Network
from lab.programs import Program
from tests.recovery.test_publisher_interfaces import Point

pytestmark = pytest.mark.slow

PROPCHANGE = str(Path(sys.executable).with_name("propchange"))

runtimes = pytest.mark.parametrize("runtime", ["asyncio", "twisted"])


@pytest.fixture
def hosts(network: Network) -> tuple[Host, Host]:
    """The host of the device and the one of the control point, on two switches."""
    device, control = network.host("device"), network.host("control")
    for number, interface in ((77, "eth0"), (88, "eth1")):
        switch = network.switch(interface)
        for last, host in ((2, device), (3, control)):
            addresses = f"10.{number}.0.{last}/24", f"fd00:{number}::{last}/64"
            network.plug(host, switch, interface, *addresses)
    return device, control


@pytest.fixture
def hosting(start: Any) -> Callable[..., Program]:
    def hosting(host: Host, runtime: str, url: str, *, web: Any, **options: Any) -> Program:
        settings = json.dumps({"listen": False, "url": url, **options})
        words = (sys.executable, "-m", "lab.passed_device", runtime, settings, json.dumps(web))
        program: Program = start(*host.prefix, *words)
        assert program.read("ready")["ready"][0] == f"{url}/description.xml"
        return program

    return hosting


def heard(control: Host, interface: str) -> set[str]:
    """The locations that are announced on ``interface``."""
    told = control.run(sys.executable, "-m", "lab.ssdp_listener", interface, "2")
    return {json.loads(line)["location"] for line in told.splitlines()}


@pytest.mark.parametrize(
    ("runtime", "url", "on"),
    [
        ("asyncio", "http://10.77.0.2:8000/upnp", ["eth0"]),
        ("twisted", "http://10.77.0.2:8000/upnp", ["eth0"]),
        ("asyncio", "http://[fd00:88::2]:8000/upnp", ["eth1"]),
        ("asyncio", "http://device.local:8000/upnp", ["eth0", "eth1"]),
        ("twisted", "http://10.99.0.9:8000/upnp", ["eth0", "eth1"]),
    ],
)
def test_a_device_is_announced_where_the_address_of_its_url_is_or_else_everywhere(
    hosts: Any, hosting: Any, runtime: str, url: str, on: list[str]
) -> None:
    device_host, control = hosts
    hosting(device_host, runtime, url, web={"host": "", "port": 8000})
    for interface in ("eth0", "eth1"):
        wanted = {f"{url}/description.xml"} if interface in on else set()
        assert heard(control, interface) == wanted, interface


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://localhost:8000/upnp"])
def test_a_device_of_loopback_is_not_announced(hosts: Any, hosting: Any, url: str) -> None:
    device_host, control = hosts
    hosting(device_host, "asyncio", url, web={"host": "", "port": 8000})
    assert heard(control, "eth0") == set()


def test_a_device_is_not_announced_on_an_interface_that_is_left_out(
    hosts: Any, hosting: Any
) -> None:
    device_host, control = hosts
    url = "http://device.local:8000"
    hosting(device_host, "asyncio", url, web={"host": "", "port": 8000}, exclude=["eth1"])
    assert heard(control, "eth0") == {f"{url}/description.xml"}
    assert heard(control, "eth1") == set()


@runtimes
def test_a_url_of_a_link_local_address_has_no_zone_on_the_network(
    hosts: Any, hosting: Any, start: Any, runtime: str
) -> None:
    """The control point that hears it adds the zone of its own interface."""
    device_host, control = hosts
    host = device_host.link_local("eth0")
    settings = {"listen": False, "url": f"http://[{host}%eth0]:8000/upnp"}
    words = (sys.executable, "-m", "lab.passed_device", runtime)
    web = {"host": "", "port": 8000}
    device = start(*device_host.prefix, *words, json.dumps(settings), json.dumps(web))
    assert device.read("ready")["ready"] == [f"http://[{host}]:8000/upnp/description.xml"]
    watch = start(*control.prefix, PROPCHANGE, "watch", "--json", "uuid:counter")
    assert watch.read("changes")["changes"] == {"Count": 0}
    device.tell("7")
    assert watch.read("changes")["changes"] == {"Count": 7}


@runtimes
@pytest.mark.parametrize("prefix", ["", "/upnp"])
def test_a_subscriber_behind_a_proxy_of_the_device_gets_its_events(
    hosts: Any, hosting: Any, start: Any, runtime: str, prefix: str
) -> None:
    """The proxy reaches the device at 127.0.0.1. Nothing that leaves from there arrives."""
    device_host, control = hosts
    web = {"host": "127.0.0.1", "port": 9000, "proxy": ["10.77.0.2", 8000, prefix]}
    url = f"http://10.77.0.2:8000{prefix}"
    device = hosting(device_host, runtime, url, web=web)
    point = Point(start(*control.prefix, sys.executable, "-m", "lab.raw_point"))
    description = f"{url}/description.xml"
    assert point.get(description) == 200
    sid = point.subscribe(description, "10.77.0.3")
    told = point.event()
    assert (told["seq"], told["sid"], told["from"]) == (0, sid, "10.77.0.2")
    assert point.renew(description, sid) == 200
    device.tell("7")
    told = point.event()
    assert (told["seq"], told["text"], told["from"]) == (1, "7", "10.77.0.2")
    assert point.status_of_subscribe(description, "10.88.0.3") == 412  # of another network
