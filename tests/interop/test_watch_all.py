"""`propchange watch --all` on hosts of two LANs, with devices of `propchange host`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.fixtures import Start
from lab.networks import Host
from lab.programs import Program
from lab.two_lans import TwoLans
from tests.interop.lans import lans_fixture  # noqa: F401 - a fixture
from tests.interop.seeing import Seer

pytestmark = pytest.mark.xdist_group("two LANs")


def begun(device: Program) -> tuple[dict[str, Any], float]:
    """The first line of a device, and when it came."""
    told = device.read("description_url")
    return told, next(line.at for line in device.lines if "description_url" in line.told)


def wait(watch: Program, since: float, **members: object) -> float:
    """When the first line with these members came."""
    wanted = members.items()
    return (
        Seer(watch)
        .wait(lambda told: wanted <= told.items(), f"a line with {members}", since=since)
        .at
    )


def test_a_device_is_watched_on_each_lan_as_it_comes_and_goes(
    lans: TwoLans, start: Start, propchange_command: Path
) -> None:
    hosts = lans.near, lans.far
    watches = [start(*host.prefix, propchange_command, "watch", "--all") for host in hosts]
    command = (*lans.here.prefix, propchange_command, "host", "examples/renderer.toml")
    device = start(*command)
    told, at = begun(device)
    udn = told["udn"]
    for watch in watches:
        assert wait(watch, at - 1, kind="appeared", udn=udn) - at < 3
        wait(watch, at - 1, kind="event", udn=udn, service="RenderingControl", initial=True)

    device.stop()
    for watch in watches:
        wait(watch, at, kind="gone", udn=udn)

    # The same device at another port: the subscriptions go on.
    again = start(*command, "--udn", udn)
    _, at = begun(again)
    for watch in watches:
        wait(watch, at - 1, kind="appeared", udn=udn)
        wait(watch, at - 1, status="resubscribed", udn=udn, service="RenderingControl")
        wait(watch, at - 1, kind="event", udn=udn, service="RenderingControl", initial=True)


def test_a_host_with_two_interfaces_watches_the_devices_of_both_or_of_one(
    lans: TwoLans, start: Start, propchange_command: Path
) -> None:
    def host(host: Host) -> tuple[dict[str, Any], float]:
        return begun(start(*host.prefix, propchange_command, "host", "examples/renderer.toml"))

    words = (*lans.here.prefix, propchange_command, "watch", "--all")
    both, home = start(*words), start(*words, "--exclude", "eth1")
    near, far = host(lans.near), host(lans.far)
    for told, at in (near, far):
        wait(both, at - 1, kind="event", udn=told["udn"], service="RenderingControl")
    wait(home, near[1] - 1, kind="event", udn=near[0]["udn"], service="RenderingControl")
    assert far[0]["udn"] not in {line.told.get("udn") for line in home.lines}
