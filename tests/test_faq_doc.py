"""docs/faq.md: what the command prints on the page is what it prints in such a network."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import lab
from lab.fixtures import missing
from lab.networks import Host, Network
from lab.programs import Missing
from propchange.core.limits import DEFAULT_LIMITS

PAGE = (Path(__file__).parent.parent / "docs" / "faq.md").read_text("utf-8")
SHOWN = dict(re.findall(r"<!-- diagnosis: (\w+) -->\n```text\n(.*?)\n```", PAGE, re.DOTALL))
TYPED = {
    name: command.split()
    for command, name in re.findall(r"\n    (propchange .*)\n\n<!-- diagnosis: (\w+)", PAGE)
}

DEVICE = "10.77.0.2"


def one_switch(network: Network) -> tuple[Host, Host]:
    """A device and a control point in one network."""
    switch = network.switch()
    device, control = network.host("device"), network.host("control")
    network.plug(device, switch, "eth0", f"{DEVICE}/24")
    network.plug(control, switch, "eth0", "10.77.0.3/24")
    return device, control


def behind_nat(network: Network, interface: str, address: str) -> tuple[Host, Host, Host]:
    """A device, a control point whose address is translated on its way to it, and the router."""
    home, away = network.switch("home"), network.switch("away")
    device, control, router = map(network.host, ("device", "control", "router"))
    network.plug(device, home, "eth0", f"{DEVICE}/24")
    network.plug(router, home, "eth0", "10.77.0.1/24")
    network.plug(router, away, "eth1")
    router.ip(f"route add {address.partition('/')[0]} dev eth1")
    router.run("sysctl", "-qw", "net.ipv4.conf.eth1.proxy_arp=1")
    network.plug(control, away, interface, address)
    control.ip(f"route add default dev {interface}")
    router.translate('oifname "eth0" masquerade')
    return device, control, router


def container(network: Network) -> tuple[Host, Host]:
    return behind_nat(network, "eth0", "172.17.0.2/16")[:2]


def published(network: Network) -> tuple[Host, Host]:
    device, control, router = behind_nat(network, "eth0", "172.17.0.2/16")
    rule = 'iifname "eth0" tcp dport 49152 dnat to 172.17.0.2'
    hook = "type nat hook prerouting priority dstnat;"
    lines = ("table ip publish {", f"chain to {{ {hook}", rule, "}", "}")
    router.run("nft", "-f", "-", stdin="\n".join(lines))
    return device, control


def vpn(network: Network) -> tuple[Host, Host]:
    return behind_nat(network, "wg0", "10.8.0.2/32")[:2]


def nat(network: Network) -> tuple[Host, Host]:
    return behind_nat(network, "eth0", "192.168.5.2/24")[:2]


def firewall(network: Network, *opened: str) -> tuple[Host, Host]:
    device, control = one_switch(network)
    control.firewall(*opened, f"ip saddr {DEVICE} tcp sport != 8000 drop")
    return device, control


def opened(network: Network) -> tuple[Host, Host]:
    return firewall(network, "tcp dport 49152 accept")


def interfaces(network: Network) -> tuple[Host, Host]:
    device, control = one_switch(network)
    network.plug(control, network.switch("other"), "eth1", "10.99.0.3/24")
    return device, control


NETWORKS: dict[str, Callable[..., tuple[Host, Host]]] = {
    "container": container,
    "published": published,
    "firewall": firewall,
    "opened": opened,
    "vpn": vpn,
    "nat": nat,
    "interfaces": interfaces,
    "refused": one_switch,
}


@pytest.fixture(scope="module")
def told() -> Iterator[dict[str, Any]]:
    """What the command of each question has found out, all of them at the same time."""
    granting = str(Path(lab.__file__).parent / "granting.py")
    command = str(Path(sys.executable).with_name("propchange"))
    pipe = subprocess.PIPE
    with contextlib.ExitStack() as running:

        def start(*words: str) -> subprocess.Popen[str]:
            program = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
            running.enter_context(program)
            running.callback(program.kill)
            return program

        commands = {}
        try:
            for name, make in NETWORKS.items():
                device, control = make(running.enter_context(Network()))
                program = start(*device.prefix, sys.executable, granting, DEVICE, "sends")
                assert program.stdout is not None
                assert program.stdout.readline()
                _, *words = TYPED[name]
                commands[name] = start(*control.prefix, command, *words, "--json")
        except Missing as error:
            missing(error)
        outputs = {name: each.communicate(timeout=50)[0] for name, each in commands.items()}
        yield {name: json.loads(text)["services"][0] for name, text in outputs.items()}


def plain(text: str) -> str:
    """The text without the ports and times of one run."""
    text = re.sub(r"(\d+\.\d+\.\d+\.\d+):\d{4,5}", r"\1:PORT", text)
    return re.sub(r"[\d.]+ s ago", "N s ago", text)


def test_each_diagnosis_of_the_page_has_its_network() -> None:
    assert set(SHOWN) == set(TYPED) == set(NETWORKS)


@pytest.mark.slow
@pytest.mark.parametrize("name", SHOWN)
def test_the_command_says_what_the_page_shows(name: str, told: dict[str, Any]) -> None:
    found = told[name]
    words = [found["sentence"], found["advice"]]
    assert plain("; ".join(word for word in words if word)) == plain(SHOWN[name])


def test_its_figures_are_those_of_the_code() -> None:
    assert f"Up to {DEFAULT_LIMITS.waiting_events} events wait" in PAGE
