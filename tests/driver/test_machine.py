"""This machine: its clock, its addresses, the kinds of its interfaces."""

from __future__ import annotations

import socket
import time
from ipaddress import ip_network
from pathlib import Path

import pytest

from propchange.core.local_addresses import InterfaceKind, OnLink
from propchange.core.wire.messages import Endpoint
from propchange.driver import machine
from propchange.driver.machine import (
    Interfaces,
    free_port,
    in_container,
    kind_of,
    source_towards,
)


def interface(
    sysfs: Path, name: str, index: int, *, link: int | None = None, kind: int = 1
) -> Path:
    of_it = sysfs / name
    of_it.mkdir()
    (of_it / "ifindex").write_text(f"{index}\n")
    (of_it / "iflink").write_text(f"{index if link is None else link}\n")
    (of_it / "type").write_text(f"{kind}\n")
    return of_it


def test_an_interface_is_what_the_system_says(tmp_path: Path) -> None:
    interface(tmp_path, "eth0", 2)
    interface(tmp_path, "inside", 3, link=9)
    (interface(tmp_path, "vlan7", 4, link=2) / "lower_eth0").mkdir()
    (interface(tmp_path, "docker0", 5) / "bridge").mkdir()
    interface(tmp_path, "office", 6, kind=65_534)
    interface(tmp_path, "lo", 1, kind=772)

    kinds = {
        name: kind_of(name, index, sysfs=tmp_path)
        for name, index in (
            ("eth0", 2),
            ("inside", 3),
            ("vlan7", 4),
            ("docker0", 5),
            ("office", 6),
            ("lo", 1),
        )
    }
    assert kinds == {
        "eth0": InterfaceKind.ORDINARY,
        "inside": InterfaceKind.VIRTUAL,
        "vlan7": InterfaceKind.ORDINARY,
        "docker0": InterfaceKind.BRIDGE,
        "office": InterfaceKind.TUNNEL,
        "lo": InterfaceKind.LOOPBACK,
    }


def test_another_namespace_s_interface_of_the_same_name_says_nothing(tmp_path: Path) -> None:
    interface(tmp_path, "eth0", 2, link=9)

    (interface(tmp_path, "wg1", 4) / "iflink").write_text("odd")
    assert kind_of("eth0", 3, sysfs=tmp_path) is InterfaceKind.ORDINARY
    assert kind_of("wg1", 4, sysfs=tmp_path) is InterfaceKind.TUNNEL
    assert kind_of("wg0", 3, sysfs=tmp_path) is InterfaceKind.TUNNEL


def test_a_container_leaves_its_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / ".dockerenv"
    monkeypatch.setattr(machine, "_CONTAINER_MARKS", (str(mark),))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    assert not in_container()
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert in_container()
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    mark.touch()
    assert in_container()


def test_the_address_that_the_system_would_send_from_is_found() -> None:
    assert source_towards(Endpoint("127.0.0.1", 80)) == "127.0.0.1"
    assert source_towards(Endpoint("::1", 0)) == "::1"
    assert source_towards(Endpoint("fe80::1", 80, 99_999)) is None


def test_the_port_that_is_connected_from_is_free() -> None:
    for host, family in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)):
        with socket.socket(family) as sock:
            sock.bind((host, free_port(host)))


def test_this_machine_has_addresses() -> None:
    interfaces = Interfaces()
    hosts = {address.host for address in interfaces.addresses()}
    assert "127.0.0.1" in hosts
    assert interfaces.default_address() in hosts
    assert OnLink(ip_network("127.0.0.0/8"), 0) in interfaces.on_link_for(Endpoint("127.0.0.1", 1))


def test_the_clock_never_goes_back() -> None:
    readings = [machine.monotonic() for _ in range(100)]
    assert readings == sorted(readings)


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="only Linux has CLOCK_BOOTTIME")
def test_the_clock_counts_the_time_that_the_machine_slept() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before <= machine.monotonic() <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_without_such_a_clock_the_monotonic_one_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(time, "CLOCK_BOOTTIME", raising=False)
    monkeypatch.delattr(time, "CLOCK_MONOTONIC", raising=False)
    assert machine._choose_clock() is time.monotonic
