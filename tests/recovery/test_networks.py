"""Networks in which events cannot come, or only one way: they flow all the same, or what is wrong
is named."""

from __future__ import annotations

import pytest

from lab import peers
from lab.programs import Missing

pytestmark = pytest.mark.slow

SOON = 1.0
"""Seconds after which a subscription without an initial event is deaf, here."""


@pytest.fixture
def device(start, missing):
    """``device(host, address)`` starts one on GUPnP and gives it and its description's URL."""

    def device(host, address, interface="eth0", stack="libupnp"):
        try:
            command = peers.device(stack, address, interface, 49152)
        except Missing as error:
            missing(error)
        program = start(*host.prefix, *command)
        return program, f"{program.read('ready')['ready']}desc.xml"

    return device


@pytest.fixture
def two_networks(network):
    """A device in one network, a control point in another, a router that translates between them:
    the device does not know the way back."""
    home, office = network.switch("home"), network.switch("office")
    device_host, control, router = map(network.host, ("device", "control", "router"))
    network.plug(device_host, home, "eth0", "10.77.0.2/24")
    network.plug(router, home, "eth0", "10.77.0.1/24")
    network.plug(router, office, "eth1", "172.17.0.1/16")
    network.plug(control, office, "eth0", "172.17.0.2/16")
    control.ip("route add default via 172.17.0.1")
    router.translate('oifname "eth0" masquerade')

    def second_interface():
        """The control point's host joins the device's network too."""
        network.plug(control, home, "eth1", "10.77.0.3/24")

    return device_host, control, router, second_interface


def statuses(follower):
    return [told.status for told in follower.told()]


def test_behind_a_translation_of_addresses_it_is_deaf_and_says_so(two_networks, device, follow):
    device_host, control, *_ = two_networks
    _, url = device(device_host, "10.77.0.2")
    follower = follow(control, url, initial_event_seconds=SOON)
    told = follower.program.read("status")
    assert (told["status"], told["cause"]) == ("deaf", "no-initial-event")
    assert "no connection from 10.77.0.2 in 1 s: it cannot reach 172.17.0.2:" in told["why"]
    assert "looks like an address of a container" in told["why"]


def test_a_device_that_takes_no_delivery_url_of_another_network_is_told_as_that(
    two_networks, device, follow
):
    device_host, control, *_ = two_networks
    _, url = device(device_host, "10.77.0.2", stack="gupnp")
    told = follow(control, url).program.read("status")
    assert (told["status"], told["cause"]) == ("subscribing", "refused")
    assert "answered SUBSCRIBE with 412" in told["why"]
    assert "172.17.0.2:" in told["why"]


def test_behind_a_translation_of_addresses_a_forwarded_port_lets_events_through(
    two_networks, device, follow
):
    device_host, control, router, _ = two_networks
    router.run(
        "nft",
        "add chain ip nat in { type nat hook prerouting priority dstnat; }; "
        "add rule ip nat in tcp dport 5000 dnat to 172.17.0.2:5000",
    )
    program, url = device(device_host, "10.77.0.2")
    follower = follow(control, url, port=5000, callback_host="10.77.0.1")
    assert follower.program.read("event")["event"]["Value"] == "0"
    program.ask("set 1", "set")
    assert follower.program.read("event")["event"] == {"Value": "1"}
    assert set(statuses(follower)) == {"active"}


@pytest.mark.parametrize(
    ("stack", "told"),
    [
        ("libupnp", ["deaf", "active"]),
        ("gupnp", ["active"]),  # it refuses the first delivery URL instead
    ],
)
def test_of_two_interfaces_the_one_with_a_way_back_is_found(
    stack, told, two_networks, device, follow
):
    """The system reaches the device by the router, from an address that the device has no route
    to; the other interface is in the device's own network."""
    device_host, control, _, second_interface = two_networks
    second_interface()
    control.ip("route add 10.77.0.2/32 via 172.17.0.1")
    # What is sent from an address leaves by its interface, as on any host with two of them.
    control.ip("rule add from 10.77.0.3 lookup 100")
    control.ip("route add 10.77.0.0/24 dev eth1 table 100")
    program, url = device(device_host, "10.77.0.2", stack=stack)
    follower = follow(control, url, initial_event_seconds=SOON)
    assert follower.program.read("event")["event"]["Value"] == "0"
    program.ask("set 1", "set")
    assert follower.program.read("event")["event"] == {"Value": "1"}
    assert statuses(follower) == told


def test_link_local_ipv6_alone_is_enough(network, device, follow):
    switch = network.switch()
    device_host, control = network.host("device"), network.host("control")
    network.plug(device_host, switch, "eth0")
    network.plug(control, switch, "eth0")
    address = device_host.link_local()
    assert address.startswith("fe80:")
    program, url = device(device_host, address, stack="gupnp")  # libupnp has no such thing
    follower = follow(control, url.replace("]", "%eth0]"))
    assert follower.program.read("event")["event"]["Value"] == "0"
    program.ask("set 1", "set")
    assert follower.program.read("event")["event"] == {"Value": "1"}
    assert statuses(follower) == ["active"]
