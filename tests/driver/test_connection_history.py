"""The connections to the listener that are remembered for a diagnosis."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.subscriber.connection_history import ConnectionHistory
from propchange.core.wire.messages import Request, Response
from propchange.driver.listener import Listener


async def listening(driven: Any, callers: ConnectionHistory) -> Listener:
    limits = replace(DEFAULT_LIMITS, connections_per_address=2)
    never = driven.runtime.future()
    listener = Listener(
        driven.runtime,
        lambda request: never if request.target == "/never" else Response(200),
        limits=limits,
        history=callers,
    )
    await driven.run(listener.open())
    return listener


async def test_peers_and_connections_without_a_request_are_remembered(
    driven: Any, wire: Any
) -> None:
    callers = ConnectionHistory(Limits())
    listener = await listening(driven, callers)
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
    await driven.run(listener.close())
    assert (caller.connections, caller.empty, caller.turned_away) == (3, 1, 0)
    assert (caller.refused_status, caller.refused_target) == (400, "")


async def test_a_connection_that_found_no_room_is_remembered(driven: Any, wire: Any) -> None:
    callers = ConnectionHistory(Limits())
    listener = await listening(driven, callers)
    for _ in range(2):
        await (await wire.dial(listener.port)).send(b"GET /never HTTP/1.1\r\nHOST: x\r\n\r\n")
    while len(listener.tasks) < 2:
        await asyncio.sleep(0.001)
    assert await (await wire.dial(listener.port)).until(b" 503 ")
    caller = callers.of("127.0.0.1")
    assert caller is not None
    assert (caller.connections, caller.turned_away) == (2, 1)
    await driven.run(listener.close())


@pytest.mark.slow
async def test_a_connection_that_makes_room_before_its_request_counts_as_turned_away(
    driven: Any, wire: Any
) -> None:
    callers = ConnectionHistory(Limits())
    listener = await listening(driven, callers)
    first = await wire.dial(listener.port)
    for _ in range(2):
        await (await wire.dial(listener.port)).send(b"GET")
    await first.over()
    caller = callers.of("127.0.0.1")
    assert caller is not None
    while caller.connections < 3:  # the last one waits a moment for the room
        await asyncio.sleep(0.001)
    assert (caller.turned_away, caller.empty) == (1, 0)
    await driven.run(listener.close())


@pytest.mark.parametrize(
    "behind",
    [
        b"</e:propertyset>",
        b"ertyset>\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        b"y /n HTTP/1.1\r\nX: y\n",
        b"NOTIFY /n HTTP/1.1\r\nCONTENT-LENGTH: 40\r\n\r\n<",
        b"\r\n\r\n\r\n\r\n",
    ],
)
async def test_what_follows_a_refused_request_on_its_connection_is_no_other_fault(
    driven: Any, wire: Any, behind: bytes
) -> None:
    history = ConnectionHistory(Limits())
    reported: list[object] = []

    def respond(request: Request) -> Response:
        assert request.peer is not None
        history.refused(request.peer, "/n", 400, "unclosed token", 1.0)
        return Response(400)

    listener = Listener(
        driven.runtime,
        respond,
        limits=replace(DEFAULT_LIMITS, read_seconds=0.1, stall_seconds=0.05),
        history=history,
        cut=lambda *cut: reported.append(cut),
        wasted=lambda *wasted: reported.append(wasted),
    )
    await driven.run(listener.open())
    peer = await wire.dial(listener.port)
    await peer.send(b"NOTIFY /n HTTP/1.1\r\nHOST: x\r\nCONTENT-LENGTH: 3\r\n\r\n<e:" + behind)
    assert (await peer.rest()).startswith(b"HTTP/1.1 400 ")
    await driven.run(listener.close())
    caller = history.of("127.0.0.1")
    assert caller is not None
    assert (caller.refused_reason, caller.refused_target, caller.refusals) == (
        "unclosed token",
        "/n",
        1,
    )
    # Whether a whole first line is that of another event, its path and SID say.
    assert len(reported) == (b"/n" in behind)
