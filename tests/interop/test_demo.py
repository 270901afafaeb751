"""`propchange demo` on an address that other machines can reach."""

from __future__ import annotations

import re
import urllib.request
from urllib.parse import urlsplit

import pytest


@pytest.mark.parametrize("stack", ["libupnp", "gupnp"], indirect=True)
def test_a_control_point_of_another_stack_joins_in(
    start, network, propchange_command, peer_control_point, inside_network
):
    demo = start(*network.prefix, propchange_command, "demo", "--lan")
    url = urlsplit(demo.read("status")["reason"])
    assert url.hostname == network.address

    with inside_network(urllib.request.urlopen, url.geturl(), timeout=10) as answer:
        found = re.search("<eventSubURL>(.*?)</eventSubURL>", answer.read().decode())
    assert found is not None
    peer_control_point.ask(f"subscribe http://{url.netloc}/ {found[1]}", "subscribing")
    assert peer_control_point.read("notify")["changes"].keys() == {"Temperature", "Alarm"}
    assert peer_control_point.read("notify")["changes"]
