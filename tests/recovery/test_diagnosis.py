"""Networks in which events cannot come: the diagnosis names the true cause."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import lab

pytestmark = pytest.mark.slow

_LAB = Path(lab.__file__).parent
_GRANTING = _LAB / "granting.py"
_PROGRAM = _LAB / "control_points" / "diagnose_propchange.py"


@pytest.fixture
def device(start):
    """``device(host, address)`` starts one that grants and, unless it is told ``never``, sends the
    initial event; gives its event URL."""

    def device(host, address, sends="sends"):
        start(*host.prefix, sys.executable, _GRANTING, address, sends).read("ready")
        return f"http://{address}:8000/event"

    return device


@pytest.fixture
def diagnose(start):
    """``diagnose(host, event_url, **options)`` gives the reason of the first status, and the
    diagnosis after it."""

    def diagnose(host, event_url, **options):
        bounds = {
            "initial_event_seconds": 1.0,
            "diagnosis_seconds": 1.0,
            "connect_seconds": 1.0,
            "unsubscribe_seconds": 0.2,
        }
        program = start(
            *host.prefix, sys.executable, str(_PROGRAM), event_url, json.dumps(bounds | options)
        )
        return program.read("why")["why"], program.read("verdict")

    return diagnose


@pytest.fixture
def lan(network):
    """A device and a control point at one switch."""
    switch = network.switch()
    device_host, control = network.host("device"), network.host("control")
    network.plug(device_host, switch, "eth0", "10.77.0.2/24")
    network.plug(control, switch, "eth0", "10.77.0.3/24")
    return network, switch, device_host, control


def behind_a_router(network, interface, address):
    """A device at home, and a control point elsewhere, whose address is translated on the way."""
    home, away = network.switch("home"), network.switch("away")
    device_host, control, router = map(network.host, ("device", "control", "router"))
    network.plug(device_host, home, "eth0", "10.77.0.2/24")
    network.plug(router, home, "eth0", "10.77.0.1/24")
    network.plug(router, away, "eth1")
    router.ip(f"route add {address.partition('/')[0]} dev eth1")
    router.run("sysctl", "-qw", "net.ipv4.conf.eth1.proxy_arp=1")
    network.plug(control, away, interface, address)
    control.ip(f"route add default dev {interface}")
    router.translate('oifname "eth0" masquerade')
    return device_host, control


def test_where_events_arrive_nothing_is_wrong(lan, device, diagnose):
    _, _, device_host, control = lan
    why, told = diagnose(control, device(device_host, "10.77.0.2"))
    assert why == "events arrive"
    assert told["verdict"] == "events-arrive"
    assert told["facts"]["connections from 10.77.0.2"].startswith("1, the last ")


def test_a_container_is_named(network, device, diagnose):
    device_host, control = behind_a_router(network, "eth0", "172.17.0.2/16")
    why, told = diagnose(control, device(device_host, "10.77.0.2"))
    for sentence in (why, told["sentence"]):
        assert sentence.startswith("granted, but no connection from 10.77.0.2 in ")
        assert "it cannot reach 172.17.0.2:" in sentence
        assert "which looks like an address of a container; pass --callback-host" in sentence
    assert told["verdict"] == "container"


def test_a_vpn_is_named(network, device, diagnose):
    device_host, control = behind_a_router(network, "wg0", "10.8.0.2/32")
    why, told = diagnose(control, device(device_host, "10.77.0.2"))
    assert "the address of wg0, which looks like a VPN" in why
    assert told["verdict"] == "vpn"


def test_a_translation_of_addresses_is_named(network, device, diagnose):
    device_host, control = behind_a_router(network, "eth0", "192.168.5.2/24")
    why, told = diagnose(control, device(device_host, "10.77.0.2"))
    assert "in none of the networks of this machine (192.168.5.0/24" in why
    assert "(NAT)" in why
    assert told["verdict"] == "router-between"


def test_another_interface_is_named(lan, device, diagnose):
    network, _, device_host, control = lan
    network.plug(control, network.switch("other"), "eth1", "10.99.0.3/24")
    event_url = device(device_host, "10.77.0.2")
    why, told = diagnose(control, event_url, callback_host="10.99.0.3")
    assert "as callback_host says" in why
    assert told["verdict"] == "other-interface"
    assert "it is in the network of eth0 (10.77.0.0/24)" in told["sentence"]
    assert "10.77.0.3 of eth0 is in the device's network" in told["sentence"]


def test_a_firewall_that_drops_is_named(lan, device, diagnose):
    _, _, device_host, control = lan
    control.firewall("ip saddr 10.77.0.2 tcp sport != 8000 drop")
    why, told = diagnose(control, device(device_host, "10.77.0.2"))
    assert "a firewall drops what it sends to 10.77.0.3:" in why
    assert told["verdict"] == "unheard"
    assert "although the listener answers at 10.77.0.3:" in told["sentence"]
    assert told["facts"]["connections from 10.77.0.2"] == "none"


def test_a_firewall_that_resets_connections_is_named(lan, device, diagnose):
    _, _, device_host, control = lan
    control.firewall(
        "ip saddr 10.77.0.2 tcp sport != 8000 tcp flags & psh == psh reject with tcp reset"
    )
    device_host.run("sysctl", "-qw", "net.ipv4.tcp_retries2=3")
    why, told = diagnose(control, device(device_host, "10.77.0.2"))
    assert told["verdict"] == "cut-short", (why, told)


def test_a_firewall_of_this_machine_against_itself_is_named(lan, device, diagnose):
    _, _, device_host, control = lan
    control.firewall("tcp sport != 8000 tcp flags & (syn | ack) == syn drop")
    _, told = diagnose(control, device(device_host, "10.77.0.2"))
    assert told["verdict"] == "local-firewall"


def test_a_device_that_never_sends_is_named_with_what_looks_the_same(lan, device, diagnose):
    _, _, device_host, control = lan
    why, told = diagnose(control, device(device_host, "10.77.0.2", "never"))
    assert "or it never sends" in why
    assert told["verdict"] == "unheard"


def test_a_device_on_loopback_that_is_not_in_this_machine_is_named(lan, device, diagnose):
    control = lan[3]
    _, told = diagnose(control, device(control, "127.0.0.1", "never"))
    assert told["verdict"] == "loopback"


@pytest.mark.parametrize(
    ("url", "verdict"),
    [
        ("http://10.77.0.2:9/event", "connection-refused"),
        ("http://10.77.0.9:9/event", "device-silent"),
        ("http://10.78.0.9:9/event", "no-route"),
    ],
)
def test_a_device_that_is_away_is_told_apart(lan, diagnose, url, verdict):
    _, _, _, control = lan
    _, told = diagnose(control, url)
    assert told["verdict"] == verdict
