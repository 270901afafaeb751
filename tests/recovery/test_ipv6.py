"""Control points on IPv6: link-local addresses on several links, both families at once, IPv6
alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lab import peers, raw_device

pytestmark = pytest.mark.slow

PROPCHANGE = str(Path(sys.executable).with_name("propchange"))

FOLLOWERS = Path(peers.__file__).with_name("control_points")


def follow(front, url, duration=4):
    """The command that follows the device at ``url``."""
    program = FOLLOWERS / f"follow_{front}.py"
    return [sys.executable, str(program), url, str(duration)]


@pytest.fixture
def device(start):
    """``device(host, value, *addresses)`` starts one that announces itself from ``addresses``."""

    def device(host, value, *addresses, form="relative", duration=300):
        options = {
            "interface": "eth0",
            "addresses": addresses,
            "port": 8080,
            "udn": f"uuid:{value}",
            "value": value,
            "form": form,
            "duration": duration,
        }
        program = start(*host.prefix, sys.executable, raw_device.__file__, json.dumps(options))
        program.read("ready")
        return program

    return device


def number(host, address, interface="eth0"):
    """Give ``host`` this address, and no other one of its kind."""
    kind = "link" if address.startswith("fe80") else "global"
    host.ip(f"-6 addr flush dev {interface} scope {kind}")
    host.ip(f"addr add {address} dev {interface} nodad")


@pytest.fixture
def two_links(network):
    """A control point on two links. On each of them there is a device. On both links, its own
    address and that of the device are the same."""
    control, *devices = map(network.host, ("control", "left", "right"))
    for interface, device in zip(("eth0", "eth1"), devices, strict=True):
        link = network.switch(f"link{interface}")
        network.plug(control, link, interface)
        network.plug(device, link, "eth0")
        number(control, "fe80::2/64", interface)
        number(device, "fe80::1/64")
    return control, *devices


def found(start, host):
    """The URLs that ``propchange discover`` prints, by the UDN."""
    program = start(*host.prefix, PROPCHANGE, "discover", "--json", "--seconds", "2")
    lines = [program.read("udn"), program.read("udn")]
    return {line["udn"]: line["description_url"] for line in lines}


def requests_of(program):
    return [each.told for each in program.lines if "asked" in each.told]


@pytest.mark.parametrize("form", ["relative", "absolute", "zone", "base"])
def test_devices_with_one_address_on_two_links_are_told_apart(two_links, device, start, form):
    control, left, right = two_links
    device(left, "left", "fe80::1", form=form)
    device(right, "right", "fe80::1", form=form)

    urls = found(start, control)
    assert urls == {
        "uuid:left": "http://[fe80::1%eth0]:8080/desc.xml",
        "uuid:right": "http://[fe80::1%eth1]:8080/desc.xml",
    }
    for udn, url in urls.items():
        watching = start(*control.prefix, PROPCHANGE, "watch", "--json", url)
        assert watching.read("changes")["changes"] == {"Value": udn[5:]}


@pytest.mark.parametrize("front", ["propchange", "device_twisted"])
@pytest.mark.parametrize("zone", ["%eth1", "%25eth1", "%3"])
def test_a_link_local_device_is_subscribed_to_from_its_link(two_links, device, start, front, zone):
    control, _, right = two_links
    program = device(right, "right", "fe80::1", form="absolute", duration=4)
    index = control.ip("-o link show eth1").split(":")[0]
    url = f"http://[fe80::1{zone.replace('3', index)}]:8080/desc.xml"
    following = start(*control.prefix, *follow(front, url))

    assert following.read("event")["event"] == {"Value": "right"}
    while (subscribe := program.read("asked"))["asked"] != "SUBSCRIBE /event":
        pass
    assert subscribe["host"] == "[fe80::1]:8080"
    assert subscribe["callback"].startswith("<http://[fe80::2]:")
    # By its announcements, the device is where it was: nothing is read again before the renewal.
    renewal = program.read("asked")
    assert (renewal["asked"], renewal["callback"]) == ("SUBSCRIBE /event", "")


def test_a_link_local_address_without_a_zone_is_refused_with_the_correct_url(two_links):
    control, *_ = two_links
    url = "http://[fe80::1]:8080/desc.xml"
    watching = subprocess.run(
        [*control.prefix, PROPCHANGE, "watch", url], capture_output=True, text=True, check=False
    )
    assert watching.returncode == 2
    assert "write the interface into the URL, as in http://[fe80::1%eth" in watching.stderr


def test_an_interface_that_comes_back_has_its_events_again(network, device, start):
    link, control, host = network.switch(), network.host("control"), network.host("device")
    network.plug(control, link, "eth0")
    network.plug(host, link, "eth0")
    number(control, "fe80::2/64")
    number(host, "fe80::1/64")
    device(host, "here", "fe80::1", duration=4)
    url = "http://[fe80::1%eth0]:8080/desc.xml"
    following = start(*control.prefix, *follow("propchange", url))
    following.read("event")

    control.ip("link del eth0")
    while following.read("status")["status"] != "resubscribing":
        pass
    network.plug(control, link, "eth0")
    number(control, "fe80::2/64")
    assert following.read("event", timeout=40)["event"] == {"Value": "here"}


def test_a_search_from_one_link_finds_nothing_of_another(two_links, device, start):
    control, left, _ = two_links
    device(left, "left", "fe80::1")
    for interface, status in (("eth0", 0), ("fe80::2%eth1", 1), ("eth1", 1), ("fe80::2%eth0", 0)):
        program = start(
            *control.prefix,
            *(PROPCHANGE, "discover", "--json", "--seconds", "1.5", "--interface", interface),
        )
        assert program.wait() == status
        assert len(program.lines) == 1 - status


@pytest.fixture
def both_families(network):
    """A control point and a device with IPv4, ULA and link-local addresses."""
    link, control, host = network.switch(), network.host("control"), network.host("device")
    for number_, each in enumerate((host, control), 1):
        network.plug(each, link, "eth0", f"10.77.0.{number_}/24")
        number(each, f"fd77::{number_}/64")
        number(each, f"fe80::{number_}/64")
    return control, host


@pytest.mark.parametrize(
    ("first", "others"),
    [
        ("10.77.0.1/24", ("fd77::1", "fe80::1")),
        ("fd77::1/64", ("10.77.0.1", "fe80::1")),
        ("fe80::1/64", ("10.77.0.1",)),
    ],
)
def test_when_one_family_fails_the_subscription_goes_on_over_another(
    both_families, device, start, first, others
):
    control, host = both_families
    address = first.partition("/")[0]
    program = device(host, "both", address, *others, duration=4)
    url = f"http://[{address}%eth0]" if "fe80" in address else f"http://[{address}]"
    url = url if ":" in address else f"http://{address}"
    following = start(*control.prefix, *follow("propchange", f"{url}:8080/desc.xml"))
    following.read("event")

    host.ip(f"addr del {first} dev eth0")
    assert following.read("event", timeout=40)["event"] == {"Value": "both"}
    subscribes = [each for each in requests_of(program) if each["callback"]]
    assert len({each["host"] for each in subscribes}) > 1
    for each in subscribes:  # each delivery URL is of the family and scope of the connection
        prefix = next(known for known in ("10.77.", "[fd77:", "[fe80:") if known in each["host"])
        assert each["callback"].startswith(f"<http://{prefix}")


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("10.77.0.1", "10.77.0.2"),
        ("[fd77::1]", "[fd77::2]"),
        ("[fe80::1%eth0]", "[fe80::2]"),
        ("[fe80::1]", "[fe80::2]"),
    ],
)
def test_one_interface_serves_both_families_and_scopes(both_families, device, start, host, own):
    control, device_host = both_families
    program = device(device_host, "both", "10.77.0.1")
    options = {"interface": "eth0", "discovery": False}
    url = f"http://{host}:8080/desc.xml"
    following = start(*control.prefix, *follow("propchange", url), json.dumps(options))
    assert following.read("event")["event"] == {"Value": "both"}
    (callback,) = [each["callback"] for each in requests_of(program) if each["callback"]]
    assert callback.startswith(f"<http://{own}:")


def test_a_device_on_both_families_is_one_device(both_families, device, start):
    control, host = both_families
    device(host, "both", "10.77.0.1", "fd77::1", "fe80::1")
    program = start(*control.prefix, PROPCHANGE, "discover", "--json", "--seconds", "3")
    program.read("udn")
    assert program.wait() == 0
    assert [each.told["udn"] for each in program.lines] == ["uuid:both"]


@pytest.mark.parametrize(
    ("blocked", "addresses", "reachable"),
    [
        ("ip6 saddr != ::1 tcp dport 8080 drop", ("fd77::1", "fe80::1", "10.77.0.1"), "10.77.0.1"),
        ("ip saddr 10.77.0.0/24 tcp dport 8080 drop", ("10.77.0.1", "fd77::1"), "[fd77::1]"),
    ],
)
def test_a_device_that_is_reachable_over_one_family_is_found_by_its_usable_url(
    both_families, device, start, *, blocked, addresses, reachable
):
    control, host = both_families
    host.firewall(blocked)
    device(host, "both", *addresses)
    program = start(*control.prefix, PROPCHANGE, "discover", "--json", "--seconds", "3")
    line = program.read("description_url")
    assert line["description_url"] == f"http://{reachable}:8080/desc.xml"
    assert len(line["locations"]) == len(addresses)
    watching = start(*control.prefix, PROPCHANGE, "watch", "--json", line["description_url"])
    assert watching.read("changes")["changes"] == {"Value": "both"}


def test_absolute_urls_of_one_family_are_used_from_a_location_of_that_family(
    both_families, device, start
):
    control, host = both_families
    device(host, "both", "fd77::1", "10.77.0.1", form="four")
    watching = start(*control.prefix, PROPCHANGE, "watch", "--json", "uuid:both")
    assert watching.read("changes")["changes"] == {"Value": "both"}


def test_a_machine_without_ipv4_finds_a_device_and_gets_its_events(network, device, start):
    link, control, host = network.switch(), network.host("control"), network.host("device")
    for number_, each in enumerate((host, control), 1):
        each.ip("addr del 127.0.0.1/8 dev lo")
        network.plug(each, link, "eth0")
        number(each, f"fd77::{number_}/64")
        number(each, f"fe80::{number_}/64")
    device(host, "six", "fd77::1", "fe80::1")
    watching = start(*control.prefix, PROPCHANGE, "watch", "--json", "uuid:six")
    assert watching.read("changes")["changes"] == {"Value": "six"}
