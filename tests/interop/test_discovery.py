"""propchange finds and follows devices on other stacks, by their own announcements."""

from __future__ import annotations

import subprocess
import sys

import pytest

UDN = "uuid:6a0c1d58-0b7e-4f0e-9d56-5d1b6f3c2a10"
WEB = "web"


@pytest.fixture
def follower(start, network, peers_folder):
    """A control point with discovery that takes commands."""
    program = peers_folder / "sub_propchange.py"
    program = start(*network.prefix, sys.executable, program, network.address, "1800", "discovery")
    program.read("ready")
    return program


@pytest.fixture(params=["gupnp", "libupnp"])
def stack(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def bench(start, network, stack, peers_folder):
    """``bench(port)`` starts the device of a stack."""

    def bench(port):
        device = start(*stack.network, *stack.device, str(port), peers_folder / WEB)
        device.read("ready")
        return device

    return bench


def next_status(program):
    return program.read("status")["status"]


def next_initial(program):
    told = program.read("notify")
    while not told["initial"]:
        told = program.read("notify")
    return told


def test_discover_finds_a_device_on_another_stack(bench, stack, start, network, propchange_command):
    bench(network.port())
    found = start(*network.prefix, propchange_command, "discover", "--seconds", "3")
    while (told := found.read("udn"))["udn"] != UDN:
        pass
    assert told["kind"] == "appeared"
    assert told["friendly_name"] == "Bench device"
    assert told["evented"] == ["Bench"]
    assert found.wait() == 0


def test_discover_finds_a_media_renderer_as_debian_ships_it(
    rygel, start, network, propchange_command
):
    command = ("discover", "--seconds", "3", "--type", "MediaRenderer")
    found = start(*network.prefix, propchange_command, *command)
    told = found.read("udn")
    while told["description_url"] != rygel.description_url:
        told = found.read("udn")
    assert {"AVTransport", "RenderingControl", "ConnectionManager"} <= set(told["evented"])


@pytest.mark.clause("CP-07")
@pytest.mark.parametrize("where", ["same port", "another port"])
def test_a_device_that_leaves_and_returns_is_subscribed_to_afresh_once(
    bench, follower, network, where
):
    port = network.port()
    device = bench(port)
    follower.ask(f"subscribe {UDN} Bench", "subscribed")
    next_initial(follower)
    assert next_status(follower) == "active"
    device.stop()
    assert next_status(follower) == "resubscribing"
    again = bench(port if where == "same port" else network.port())
    next_initial(follower)
    assert next_status(follower) == "active"
    again.ask("set back", "set")
    assert follower.read("notify")["changes"] == {"Value": "back"}
    # Nothing but that one event has come since: there was one fresh subscription.
    again.ask("set once more", "set")
    told = follower.read("notify")
    assert (told["notify"], told["changes"]) == (2, {"Value": "once more"})


@pytest.mark.clause("CP-08")
def test_a_device_that_crashes_and_restarts_is_subscribed_to_afresh(bench, follower, network):
    """No byebye: its announcements alone tell, by another BOOTID, port, or signature."""
    device = bench(network.port())
    follower.ask(f"subscribe {UDN} Bench", "subscribed")
    next_initial(follower)
    device.kill()
    bench(network.port())
    next_initial(follower)


@pytest.mark.clause("V6-07")
def test_a_device_on_link_local_ipv6_alone_is_found_and_watched(
    gupnp, start, network, propchange_command, peers_folder
):
    shown = ("ip", "-n", network.name, "-6", "-o", "addr", "show", "dev", "v0", "scope", "link")
    told = subprocess.run(shown, capture_output=True, text=True, check=True).stdout
    address = told.split("inet6 ")[1].split("/")[0]
    program = gupnp.device[0]
    device = start(*network.prefix, program, address, str(network.port()), peers_folder / WEB)
    device.read("ready")
    watching = start(*network.prefix, propchange_command, "watch", UDN, "--count", "1")
    assert watching.read("changes")["initial"]
    assert watching.wait() == 0
