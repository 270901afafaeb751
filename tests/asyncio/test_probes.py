"""Connecting to see who answers: a device, or the own listener at the address that is told."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import os
import socket
from collections.abc import Callable
from typing import Any

import pytest

from propchange import Limits
from propchange.asyncio.probes import SelfProbes, probe_device
from propchange.asyncio.runtime import AsyncioRuntime
from propchange.core.diagnosis.facts import Probe, Reach
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.subscriber.connection_history import ConnectionHistory
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.driver.listener import Listener

QUICK = Limits(diagnosis_seconds=0.4)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def full_server() -> socket.socket:
    """Like a host behind a firewall that drops: one that takes no connection more."""
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(0)
    return server


async def fill(server: socket.socket) -> list[socket.socket]:
    waiting = []
    for _ in range(4):
        sock = socket.socket()
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            sock.connect(server.getsockname())
        waiting.append(sock)
    return waiting


async def test_a_device_that_accepts_is_told(wire: Any) -> None:
    door = wire.listen()
    url = f"http://127.0.0.1:{door.port}/event"
    assert await probe_device(url, None, Limits()) == Probe(
        f"127.0.0.1:{door.port}", Reach.ACCEPTED
    )
    assert (await (await door.accept()).some()) == b""
    bound = await probe_device(url, Endpoint("127.0.0.1", 0), Limits())
    assert bound.reach is Reach.ACCEPTED


async def test_a_device_that_refuses_is_told() -> None:
    port = closed_port()
    assert await probe_device(f"http://127.0.0.1:{port}/", None, Limits()) == Probe(
        f"127.0.0.1:{port}", Reach.REFUSED
    )


async def test_a_device_that_is_silent_is_told_in_bounded_time() -> None:
    with full_server() as server:
        waiting = await fill(server)
        port = server.getsockname()[1]
        assert await probe_device(f"http://127.0.0.1:{port}/", None, QUICK) == Probe(
            f"127.0.0.1:{port}", Reach.SILENT, "for 0.4 s"
        )
        for sock in waiting:
            sock.close()


async def test_a_name_that_nobody_knows_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown, raising=False)
    assert await probe_device("http://nas.invalid/", None, Limits()) == Probe(
        "nas.invalid:80", Reach.UNRESOLVED, "Name or service not known"
    )


@pytest.mark.parametrize(
    ("number", "reach", "words"),
    [
        (errno.ENETUNREACH, Reach.UNREACHABLE, os.strerror(errno.ENETUNREACH)),
        (errno.EPERM, Reach.UNREACHABLE, os.strerror(errno.EPERM)),
        (errno.EHOSTUNREACH, Reach.SILENT, os.strerror(errno.EHOSTUNREACH)),
        (errno.ECONNRESET, Reach.REFUSED, os.strerror(errno.ECONNRESET)),
        (errno.ECONNREFUSED, Reach.REFUSED, ""),
    ],
)
async def test_what_the_system_says_is_told_apart(
    monkeypatch: pytest.MonkeyPatch, number: int, reach: Reach, words: str
) -> None:
    async def fail(*_: Any) -> None:
        raise OSError(number, "x")

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", fail)
    probe = await probe_device("http://127.0.0.1:1/", None, Limits())
    assert (probe.reach, probe.detail) == (reach, words)


async def test_a_source_of_the_other_family_reaches_nobody() -> None:
    probe = await probe_device("http://127.0.0.1:1/", Endpoint("::1", 0), Limits())
    assert probe.reach is Reach.UNRESOLVED


# --- the own listener ---


async def listening(probes: SelfProbes, callers: ConnectionHistory) -> Listener:
    def respond(request: Request) -> Response:
        assert request.target in probes.targets
        return probes.answer(request)

    return await listening_with(respond, callers)


async def listening_with(
    respond: Callable[[Request], Response],
    callers: ConnectionHistory,
    limits: Limits = DEFAULT_LIMITS,
) -> Listener:
    listener = Listener(AsyncioRuntime(), respond, limits=limits, history=callers)
    await listener.open()
    return listener


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
async def test_the_own_listener_is_known_and_the_probe_is_nobody_s_connection(host: str) -> None:
    callers = ConnectionHistory(Limits())
    probes = SelfProbes(callers, Limits())
    listener = await listening(probes, callers)
    where = Endpoint(host, listener.port)
    assert await probes.probe(where) == Probe(str(where), Reach.ACCEPTED)
    assert len(callers) == 0
    assert not callers.ours
    await listener.close()


async def test_another_program_at_the_address_is_told(raw_device: Any) -> None:
    probes = SelfProbes(ConnectionHistory(Limits()), QUICK)
    async with raw_device() as device:
        where = Endpoint("127.0.0.1", device.port)
        for answer in (device.reply(404), b"", None):
            device.answers["GET"] = answer
            assert await probes.probe(where) == Probe(str(where), Reach.SOMEBODY_ELSE)


async def test_an_address_where_nobody_listens_is_told() -> None:
    callers = ConnectionHistory(Limits())
    where = Endpoint("127.0.0.1", closed_port())
    assert (await SelfProbes(callers, Limits()).probe(where)).reach is Reach.REFUSED
    assert not callers.ours


async def test_an_own_address_that_is_silent_is_told_in_bounded_time() -> None:
    with full_server() as server:
        waiting = await fill(server)
        where = Endpoint("127.0.0.1", server.getsockname()[1])
        probe = await SelfProbes(ConnectionHistory(Limits()), QUICK).probe(where)
        assert probe == Probe(str(where), Reach.SILENT, "for 0.4 s")
        for sock in waiting:
            sock.close()


async def test_who_connects_and_what_comes_to_nothing_is_remembered(wire: Any) -> None:
    callers = ConnectionHistory(Limits())
    limits = dataclasses.replace(Limits(), connections_per_address=2)
    listener = await listening_with(lambda _: Response(200), callers, limits)
    empty = await wire.dial(listener.port)
    asked = await wire.dial(listener.port)
    await asked.send(b"GET / HTTP/1.1\r\nHOST: x\r\n\r\n")
    await asked.until(b"\r\n\r\n")
    empty.close()
    caller = None
    while caller is None or not caller.empty:
        await asyncio.sleep(0.001)
        caller = callers.of("127.0.0.1")
    asked.close()
    bad = await wire.dial(listener.port)
    await bad.send(b"what is this\r\n\r\n")
    assert b" 400 " in await bad.rest()
    bad.close()
    await listener.close()
    assert (caller.connections, caller.empty, caller.turned_away) == (3, 1, 0)
    assert (caller.refused_status, caller.refused_target) == (400, "")


async def test_who_finds_no_room_is_remembered(wire: Any) -> None:
    callers = ConnectionHistory(Limits())
    limits = dataclasses.replace(Limits(), connections_per_address=2)
    listener = await listening_with(lambda _: Response(200), callers, limits)
    for _ in range(2):
        await (await wire.dial(listener.port)).send(b"GET")
    while len(listener.reading) < 2:
        await asyncio.sleep(0.001)
    assert await (await wire.dial(listener.port)).some() == b""
    caller = callers.of("127.0.0.1")
    assert caller is not None
    assert (caller.connections, caller.turned_away) == (2, 1)
    await listener.close()
