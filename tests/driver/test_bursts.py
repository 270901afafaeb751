"""Many peers that connect to a listener at the same time, as the programs of one busy host do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.wire.messages import Request, Response
from propchange.driver.listener import Listener

GET = b"GET / HTTP/1.1\r\nHOST: a\r\nCONNECTION: close\r\n\r\n"


@contextlib.asynccontextmanager
async def listening(
    driven: Any, respond: Any = lambda request: Response(200), **limits: Any
) -> AsyncIterator[Listener]:
    listener = Listener(driven.runtime, respond, limits=replace(DEFAULT_LIMITS, **limits))
    await driven.run(listener.open("127.0.0.1"))
    try:
        yield listener
    finally:
        await driven.run(listener.close())


@contextlib.contextmanager
def peers_of(port: int, count: int, data: bytes = GET) -> Any:
    """Peers of one host that have connected and sent ``data`` while the listener's loop stood."""
    with contextlib.ExitStack() as stack:
        peers = []
        for _ in range(count):
            peer = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            peer.sendall(data)
            peer.setblocking(False)
            peers.append(peer)
        yield peers


async def answer_to(peer: socket.socket) -> bytes:
    answer = b""
    with contextlib.suppress(ConnectionError):
        while data := await asyncio.get_running_loop().sock_recv(peer, 65_536):
            answer += data
    return answer


async def answers_to(peers: Sequence[socket.socket]) -> list[bytes]:
    """The answers in order. Each peer ends its connection when it has read its answer."""

    async def one(peer: socket.socket) -> bytes:
        with peer:
            return await answer_to(peer)

    return await asyncio.gather(*map(one, peers))


def count_of(answers: Sequence[bytes], status: int) -> int:
    return sum(answer.startswith(b"HTTP/1.1 %d " % status) for answer in answers)


async def test_as_many_peers_as_there_is_room_for_may_come_at_once(driven: Any) -> None:
    async with listening(driven, connections=100, connections_per_address=100) as listener:
        with peers_of(listener.port, 100) as peers:
            assert count_of(await answers_to(peers), 200) == 100


async def test_more_peers_of_one_host_than_it_may_have_are_answered_in_turn(driven: Any) -> None:
    async with listening(driven, connections=100, connections_per_address=20) as listener:
        with peers_of(listener.port, 200) as peers:
            assert count_of(await answers_to(peers), 200) == 200


@pytest.mark.slow
@pytest.mark.parametrize("first", [b"", GET.replace(b"close", b"keep-alive")], ids=["new", "idle"])
async def test_a_request_that_came_while_the_loop_stood_is_answered_before_others_get_its_room(
    driven: Any, first: bytes
) -> None:
    async with listening(
        driven, connections_per_address=1, connections_kept_per_address=0
    ) as listener:
        with peers_of(listener.port, 1, first) as (early,):
            while not (listener.idle if first else listener.arriving):
                await asyncio.sleep(0.001)
            early.sendall(GET)
            with peers_of(listener.port, 1) as (late,):
                time.sleep(0.3)  # noqa: ASYNC251 - the program blocks the loop
                answers = await answers_to([early, late])
        assert answers[0].count(b"HTTP/1.1 200 ") == 1 + bool(first)
        assert count_of(answers, 200) == 2


async def test_a_peer_without_room_reads_503_and_gives_its_place_to_the_next(driven: Any) -> None:
    made: list[Any] = []

    def respond(request: Request) -> Any:
        made.append(driven.runtime.future())
        return made[-1]

    async with listening(
        driven, respond, connections_per_address=2, turned_away_connections=2
    ) as listener:
        with peers_of(listener.port, 2) as busy:
            while len(made) < 2:
                await asyncio.sleep(0.001)
            for _ in range(3):
                with peers_of(listener.port, 2) as peers:
                    assert count_of(await answers_to(peers), 503) == 2
            with peers_of(listener.port, 3, b"") as peers:
                # These say nothing and stay. The listener keeps two of them.
                assert count_of(await asyncio.gather(*map(answer_to, peers)), 503) == 3
                while len(listener.turned_away) > 2:
                    await asyncio.sleep(0.001)
            assert len(made) == listener.connection_count == 2
            for answer in made:
                answer.set_result(Response(200))
            assert count_of(await answers_to(busy), 200) == 2
