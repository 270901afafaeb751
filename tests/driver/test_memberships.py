"""The memberships of groups that the system has dropped, by what it says of them."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from propchange.core.local_addresses import LocalAddress
from propchange.core.wire.messages import Endpoint
from propchange.driver import memberships
from propchange.driver.memberships import (
    LostMemberships,
    Membership,
    joined_groups,
    membership,
)
from propchange.driver.multicast_sockets import joined_socket

LOOPBACK = LocalAddress("127.0.0.1", 0, ip_network("127.0.0.0/8"), "lo", 1)
LOOPBACK_V6 = LocalAddress("::1", 0, ip_network("::1/128"), "lo", 1)

SSDP = Membership(2, socket.inet_aton("239.255.255.250"))
EVENTS = Membership(2, socket.inet_aton("239.255.255.246"))

IGMP = """Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter
1\tlo        :     1      V3
\t\t\t\t010000E0     1 0:00000000\t\t0
2\teth0      :     2      V3
\t\t\t\t{group}     1 0:00000000\t\t0
\t\t\t\t010000E0     1 0:00000000\t\t0
"""
IGMP6 = """3    eth1            ff02000000000000000000000000000c     1 0000000C 0
3    eth1            ff020000000000000000000000000001     1 0000000C 0
"""


class System:
    """What the system says of the memberships."""

    def __init__(self) -> None:
        self.joined: frozenset[Membership] | None = frozenset()
        self.short = False

    def says(self, *joined: Membership) -> None:
        self.joined = frozenset(joined)

    def read(self) -> frozenset[Membership] | None:
        if self.short:
            raise OSError(errno.EMFILE, "no descriptor is left")
        return self.joined


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> System:
    system = System()
    monkeypatch.setattr(memberships, "joined_groups", system.read)
    return system


@pytest.fixture
def lost() -> LostMemberships:
    return LostMemberships()


def _named(*members: Membership) -> dict[Membership, Membership]:
    """The memberships, each as its own key."""
    return {member: member for member in members}


def test_one_that_the_system_has_shown_and_shows_no_more_is_lost(
    lost: LostMemberships, system: System
) -> None:
    system.says(SSDP, EVENTS)
    assert lost.among(_named(SSDP, EVENTS), 0) == {}
    system.says(EVENTS)
    assert lost.among(_named(SSDP, EVENTS), 1) == {SSDP: True}
    system.says(SSDP, EVENTS)
    assert lost.among(_named(SSDP, EVENTS), 2) == {}
    system.says(EVENTS)
    assert lost.among(_named(SSDP, EVENTS), 3) == {SSDP: True}
    assert lost.among(_named(EVENTS), 3) == {}


def test_one_that_is_lost_before_the_first_look_is_lost(
    lost: LostMemberships, system: System
) -> None:
    assert lost.among(_named(SSDP), 0) == {SSDP: False}


def test_one_that_the_system_never_shows_is_opened_anew_once_and_then_seldom(
    lost: LostMemberships, system: System
) -> None:
    looks = [bool(lost.among(_named(SSDP), look / 2)) for look in range(300)]
    assert [look / 2 for look, opened in enumerate(looks) if opened] == [0, 60, 120]


def test_where_the_system_shows_none_each_is_opened_anew_seldom(
    lost: LostMemberships, system: System
) -> None:
    system.joined = None
    looks = [lost.among(_named(SSDP), look / 2) for look in range(300)]
    assert [look / 2 for look, opened in enumerate(looks) if opened] == [60, 120]
    assert looks[120] == {SSDP: False}


def test_nothing_is_lost_while_the_system_has_no_descriptor_left(
    lost: LostMemberships, system: System
) -> None:
    system.says(SSDP)
    assert lost.among(_named(SSDP), 0) == {}
    system.short = True
    assert [lost.among(_named(SSDP), second) for second in range(1, 200)] == [{}] * 199


def test_nothing_is_read_and_remembered_of_sockets_that_are_no_more(
    lost: LostMemberships, system: System
) -> None:
    assert lost.among(_named(SSDP), 0) == {SSDP: False}
    system.short = True
    assert lost.among({}, 1) == {}
    system.short = False
    assert lost.among(_named(SSDP), 2) == {SSDP: False}


# --- what the system says ---


@pytest.fixture
def tables(tmp_path: Path) -> Callable[..., Any]:
    def tables(four: str | None, six: str | None) -> Any:
        paths = {}
        for name, text in (("four", four), ("six", six)):
            paths[name] = tmp_path / name
            paths[name].unlink(missing_ok=True)
            if text is not None:
                paths[name].write_text(text, "ascii")
        return joined_groups(**paths)

    return tables


def test_the_tables_of_linux_are_read(tables: Callable[..., Any]) -> None:
    packed = socket.inet_aton("239.255.255.250")
    igmp = IGMP.format(group=f"{int.from_bytes(packed, sys.byteorder):08X}")
    all_systems = socket.inet_aton("224.0.0.1")
    four = {Membership(1, all_systems), Membership(2, all_systems), SSDP}
    six = {
        Membership(3, socket.inet_pton(socket.AF_INET6, group)) for group in ("ff02::c", "ff02::1")
    }
    assert tables(igmp, IGMP6) == four | six
    assert tables(igmp, None) == four  # a kernel without IPv6


@pytest.mark.parametrize(
    ("four", "six"),
    [
        (None, IGMP6),
        ("head\nx\teth0\n", ""),
        ("head\n\t\t\tfrom another world\n", ""),
        ("head\n\n", ""),
        ("head\n\t123456789AB\n", ""),
        ("head\n", "3 eth1 no-group\n"),
        ("head\n", "3 eth1\n"),
    ],
)
def test_a_table_that_is_not_there_or_is_another_one_says_nothing(
    tables: Callable[..., Any], four: str | None, six: str
) -> None:
    assert tables(four, six) is None


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
@pytest.mark.parametrize(
    ("group", "address"),
    [("239.255.255.250", LOOPBACK), ("ff02::c", LOOPBACK_V6), ("ff05::c", LOOPBACK_V6)],
)
def test_linux_shows_a_group_while_it_is_joined(group: str, address: LocalAddress) -> None:
    if not os.access("/proc/thread-self/net/igmp", os.R_OK):
        pytest.skip("a container that hides /proc/net")
    # Other programs join SSDP's group on loopback too.
    unused = group.replace("239.255", "239.77").replace("::c", "::77:1")
    before = joined_groups()
    assert before is not None
    with joined_socket(Endpoint(unused, 0), address):
        joined = joined_groups()
        assert joined is not None
        assert membership(Endpoint(unused, 0), address) in joined - before
