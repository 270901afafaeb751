"""Floods of searches against a device that announces itself, over sockets, on each runtime."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.wire.messages import Endpoint
from propchange.driver import announced_addresses
from propchange.driver.multicast_sockets import sending_socket
from propchange.upnp import ssdp
from propchange.upnp.service import Service
from propchange.upnp.ssdp import IPV4_GROUP
from tests.driver.announced_device import ALIVE, LOOPBACK, RESPONSE, Announced, announced
from tests.driver.conftest import driven, pytest_generate_tests

__all__ = ["driven", "pytest_generate_tests"]

FLOOD = 4_000
ATTACKER = LOOPBACK._replace(host="127.0.0.66")
"""Another address than that of the honest control points."""


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    """The group with a port of its own: no other program of this machine is flooded."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("", 0))
        group = IPV4_GROUP._replace(port=probe.getsockname()[1])
    for module in (ssdp, announced_addresses):
        monkeypatch.setattr(module, "IPV4_GROUP", group)
    return group


def services(number: int) -> list[Service]:
    return [
        Service(type=f"urn:example-org:service:Service{each}:1", variables=[])
        for each in range(number)
    ]


def search(target: str, mx: object = 1, man: str = '"ssdp:discover"') -> bytes:
    text = f"M-SEARCH * HTTP/1.1\r\nHOST: x\r\nMAN: {man}\r\nMX: {mx}\r\nST: {target}\r\n\r\n"
    return text.encode("utf-8", "surrogateescape")


FLOODS = {
    "searches for everything": lambda n: search("ssdp:all", 1 + n % 5),
    "searches for nothing": lambda n: search(f"urn:x:service:{n}:1"),
    "long targets": lambda n: search("x" * (n % 3_000)),
    "MX of a billion": lambda n: search("ssdp:all", 10**9 + n),
    "MX of a thousand digits": lambda n: search("ssdp:all", "9" * 1_000),
    "datagrams of 64 kB": lambda n: search("ssdp:all") + b"x" * 60_000,
    "lines without end": lambda n: b"M-SEARCH * HTTP/1.1\r\n" + b"a:b\r\n" * 1_500,
    "junk": lambda n: bytes([n % 256]) * (n % 1_400),
    "advertisements": lambda n: f"NOTIFY * HTTP/1.1\r\nUSN: uuid:{n}\r\n\r\n".encode(),
}


async def flood(kind: str, group: Endpoint) -> None:
    """Send a flood of one kind from eight sockets of one address."""
    attackers = [sending_socket(ATTACKER) for _ in range(8)]
    for number in range(FLOOD):
        data = FLOODS[kind](number)
        try:
            attackers[number % 8].sendto(data, (group.host, group.port))
        except OSError:
            await asyncio.sleep(0.01)
        if number % 50 == 0:
            await asyncio.sleep(0)
    for attacker in attackers:
        attacker.close()


def sent_by(device: Announced, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, Any]]:
    """The length and the destination of each datagram that the device sends from now on."""
    sent: list[tuple[int, Any]] = []
    addresses = device.announcing._addresses
    send = addresses.send

    def counted(address: Any, data: bytes, to: Any) -> None:
        sent.append((len(data), to))
        send(address, data, to)

    monkeypatch.setattr(addresses, "send", counted)
    return sent


@pytest.mark.parametrize("kind", FLOODS)
async def test_a_flood_is_answered_with_a_bounded_number_of_bytes_and_a_later_search_is_answered(
    driven: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: Endpoint, kind: str
) -> None:
    limits = replace(
        DEFAULT_LIMITS, search_answer_bytes_per_source=40_000, search_answer_rate_per_source=80_000
    )
    async with announced(
        driven, tmp_path, services=services(50), limits=limits, group=group
    ) as device:
        device.announcing.start()
        await device.neighbour.many(53, ALIVE)
        sent = sent_by(device, monkeypatch)
        begun = driven.runtime.now()
        await flood(kind, group)
        seconds = driven.runtime.now() - begun
        answers = sum(length for length, to in sent if to.host == ATTACKER.host)
        most = limits.search_answer_bytes_per_source
        assert answers <= most + limits.search_answer_rate_per_source * seconds
        schedule = device.announcing._announcements._answers
        assert len(schedule._sources) <= 3
        assert len(schedule._answered) <= DEFAULT_LIMITS.search_sources
        # The last datagrams of the flood fill the buffer of the socket: search more than once.
        found = asyncio.create_task(device.neighbour.many(1, RESPONSE))
        while not found.done():
            device.neighbour.search("upnp:rootdevice")
            await asyncio.sleep(0.1)
        assert found.result()[0].target == "upnp:rootdevice"


async def test_the_answers_to_one_search_have_a_bounded_number_of_bytes_for_each_of_its_own(
    driven: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: Endpoint
) -> None:
    """A search for everything on a device with 50 services: 53 answers."""
    async with announced(driven, tmp_path, services=services(50), group=group) as device:
        device.announcing.start()
        await device.neighbour.many(53, ALIVE)
        sent = sent_by(device, monkeypatch)
        device.neighbour.search("ssdp:all")
        await device.neighbour.many(53, RESPONSE)
        port = device.neighbour.own.getsockname()[1]
        answers = [length for length, to in sent if to.port == port]
        ratio = sum(answers) / len(search("ssdp:all"))
        assert len(answers) == 53
        assert ratio < DEFAULT_LIMITS.search_answer_ratio, f"{ratio:.0f} bytes for each byte"
