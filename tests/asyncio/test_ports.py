"""The listener's port: a fixed one, or the first free one of a range."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pytest

from propchange import ConnectionFailed, ControlPoint, Device, host
from propchange.driver.sockets import cannot_listen


@pytest.fixture
def neighbours() -> Iterator[tuple[int, ...]]:
    """Four ports in a row, the first two of which are taken, each in another family."""
    with contextlib.ExitStack() as taken:
        for first in range(42_000, 43_000, 4):
            with contextlib.ExitStack() as tried:
                try:
                    for port in range(first, first + 4):
                        for host in ("0.0.0.0", "::"):
                            family = socket.AF_INET6 if ":" in host else socket.AF_INET
                            each = tried.enter_context(socket.socket(family))
                            if family == socket.AF_INET6:
                                each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                            each.bind((host, port))
                except OSError:
                    continue
            taken.enter_context(socket.create_server(("127.0.0.1", first)))
            six = taken.enter_context(socket.socket(socket.AF_INET6))
            six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            six.bind(("::1", first + 1))
            six.listen()
            yield tuple(range(first, first + 4))
            return
    raise AssertionError("no four ports in a row are free")


async def test_the_first_free_port_of_a_range_is_taken(neighbours: tuple[int, ...]) -> None:
    """One that is free in one family alone is not free: the port is the same in both."""

    ports = range(neighbours[0], neighbours[-1] + 1)
    async with ControlPoint(port=ports) as first, ControlPoint(port=ports) as second:
        assert (first.port, second.port) == neighbours[2:]
        with pytest.raises(ConnectionFailed, match=f"ports {ports[0]} to {ports[-1]} are all"):
            await ControlPoint(port=ports).__aenter__()
    async with ControlPoint(port=ports) as again:
        assert again.port == neighbours[2]


async def test_a_port_that_is_taken_is_told_in_words(neighbours: tuple[int, ...]) -> None:
    with pytest.raises(ConnectionFailed) as refused:
        await ControlPoint(port=neighbours[0]).__aenter__()

    assert str(refused.value) == (
        f"cannot listen on any address: port {neighbours[0]} is taken; name another, "
        "or 0 for any free one"
    )


@pytest.mark.parametrize(
    ("ports", "words"),
    [
        (65_536, "from 0 to 65535, not 65536"),
        (-1, "from 0 to 65535, not -1"),
        (range(65_530, 65_540), "not 65539"),
        (range(0), "at least one port"),
        (range(4), "cannot be one of several"),
    ],
)
def test_ports_that_make_no_sense_are_refused_at_once(
    ports: int | Sequence[int], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        ControlPoint(port=ports)


@pytest.mark.parametrize("port", ["8123", ("8123",), 81.5])
def test_a_port_that_is_no_number_is_refused_at_once(port: Any) -> None:
    for make in (partial(ControlPoint, port=port), partial(host, Device("x"), port=port)):
        with pytest.raises(TypeError, match="is an int, such as 8123, not"):
            make()


def test_a_port_of_a_device_that_cannot_be_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="a port is from 0 to 65535, not 70000"):
        host(Device("x"), port=70_000)


def test_what_the_system_does_not_allow_is_told_in_words() -> None:
    denied = cannot_listen("10.0.0.1", (80,), PermissionError(13, "Permission denied"))

    assert denied == (
        "cannot listen on 10.0.0.1: port 80: the system does not allow it; take one above 1023"
    )


async def test_an_address_that_this_machine_does_not_have_is_told_in_words() -> None:
    with pytest.raises(ConnectionFailed) as refused:
        await ControlPoint(interface="192.0.2.77").__aenter__()

    assert str(refused.value) == (
        "cannot listen on 192.0.2.77: no interface of this machine has this address"
    )


async def test_one_listener_takes_events_of_both_families() -> None:
    async with ControlPoint() as point:
        for host in ("127.0.0.1", "::1"):
            _, writer = await asyncio.open_connection(host, point.port)
            writer.close()
            await writer.wait_closed()
