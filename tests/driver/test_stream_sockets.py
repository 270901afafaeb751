"""Connections on sockets that the driver reads and writes itself, and on the loop's transports: to
a connection both are the same."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import socket
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from propchange.asyncio.runtime import AsyncioRuntime
from propchange.core.wire.messages import Endpoint
from propchange.driver import stream_sockets
from propchange.driver.runtime import Transport
from propchange.driver.sockets import endpoint_of
from tests.wire import Until

Make = Callable[[], AsyncioRuntime]

MUCH = bytes(range(256)) * 40_000  # more than the buffers of two sockets hold


class Recorded:
    """A connection that keeps what it is called with. ``raising`` is an error in its callback of
    received bytes."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.received = b""
        self.transport: Any = None
        self.error: object = None
        self.raising: Exception | None = None
        self.keeps_open = False
        self.when_received: Callable[[], object] = lambda: None

    def connection_made(self, transport: Transport) -> None:
        self.transport = transport
        self.calls.append("made")

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.when_received()
        if self.raising is not None:
            raise self.raising

    def eof_received(self) -> bool:
        self.calls.append("eof")
        return self.keeps_open

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")

    def eof_sent(self) -> None:
        self.calls.append("eof sent")

    def connection_lost(self, error: Exception | None) -> None:
        self.error = error
        self.calls.append("lost")


class Peers:
    """A listening socket whose peers the test accepts."""

    def __init__(self) -> None:
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.sock.setblocking(False)
        self.endpoint = endpoint_of(self.sock.getsockname())
        self.accepted: list[socket.socket] = []

    def accept(self) -> socket.socket:
        peer, _ = self.sock.accept()
        self.accepted.append(peer)
        peer.setblocking(False)
        return peer

    def close(self) -> None:
        for each in (self.sock, *self.accepted):
            each.close()


@pytest.fixture
def peers() -> Any:
    with contextlib.closing(Peers()) as peers:
        yield peers


@pytest.fixture(params=["own sockets", "transports of the loop"])
def make(request: pytest.FixtureRequest) -> Callable[[], AsyncioRuntime]:
    def made() -> AsyncioRuntime:
        runtime = AsyncioRuntime()
        assert runtime._sockets is not None
        if request.param != "own sockets":
            runtime._sockets = None
        return runtime

    return made


def no_failure(error: OSError) -> None:
    pytest.fail(str(error))


async def connect(
    runtime: AsyncioRuntime, peers: Peers, until: Until
) -> tuple[Recorded, socket.socket]:
    connection = Recorded()
    runtime.connect(connection, peers.endpoint, source=None, seconds=5, failed=no_failure)
    await until(lambda: connection.transport is not None)
    return connection, peers.accept()


def read_all(peer: socket.socket) -> bytes:
    """What has come, up to the end of the stream if that has come too."""
    read = b""
    with contextlib.suppress(BlockingIOError):
        while data := peer.recv(1_000_000):
            read += data
    return read


def descriptors() -> set[str]:
    gc.collect()
    return set(os.listdir("/proc/self/fd"))


async def test_bytes_go_both_ways(make: Make, peers: Peers, until: Until) -> None:
    runtime = make()
    connection, peer = await connect(runtime, peers, until)
    transport = connection.transport
    assert transport.peer == peers.endpoint
    assert transport.local == endpoint_of(peer.getpeername())
    transport.write(b"a question")
    await until(lambda: transport.unwritten() == 0)
    assert peer.recv(100) == b"a question"
    peer.send(b"an answer")
    await until(lambda: connection.received == b"an answer")
    transport.close()
    assert transport.is_closing()
    transport.write(b"too late")
    await until(lambda: connection.calls == ["made", "lost"])
    assert connection.error is None
    assert read_all(peer) == b""


async def test_a_peer_that_does_not_read_is_told_and_gets_everything_later(
    make: Make, peers: Peers, until: Until
) -> None:
    runtime = make()
    connection, peer = await connect(runtime, peers, until)
    transport = connection.transport
    transport.write(MUCH)
    transport.write(b"more")
    await until(lambda: connection.calls == ["made", "pause"])
    assert transport.unwritten() > 65_536
    read = b""

    def reads() -> bool:
        nonlocal read
        read += read_all(peer)
        return len(read) == len(MUCH) + 4

    await until(reads)
    assert read == MUCH + b"more"
    await until(lambda: connection.calls == ["made", "pause", "resume"])
    assert transport.unwritten() == 0
    transport.close()
    await until(lambda: "lost" in connection.calls)


async def test_exact_writing_tells_when_everything_is_written(
    make: Make, peers: Peers, until: Until
) -> None:
    runtime = make()
    connection, peer = await connect(runtime, peers, until)
    transport = connection.transport
    transport.write(MUCH)
    transport.exact_writing()
    assert connection.calls[-1] == "pause"
    while "resume" not in connection.calls:
        assert transport.unwritten() > 0
        read_all(peer)
        await asyncio.sleep(0)
    assert transport.unwritten() == 0
    transport.close()
    await until(lambda: "lost" in connection.calls)


async def test_closing_waits_for_what_is_written_and_aborting_does_not(
    make: Make, peers: Peers, until: Until
) -> None:
    runtime = make()
    for aborted in (False, True):
        connection, peer = await connect(runtime, peers, until)
        connection.transport.write(MUCH)
        connection.transport.close()
        if aborted:
            connection.transport.abort()
            await until(lambda connection=connection: "lost" in connection.calls)  # type: ignore[misc] # inferred wrongly
        read = b""
        while "lost" not in connection.calls:
            read += read_all(peer)
            await asyncio.sleep(0)
        read += read_all(peer)
        assert (len(read) < len(MUCH)) == aborted


async def test_an_abort_is_a_reset(make: Make, peers: Peers, until: Until) -> None:
    runtime = make()
    connection, peer = await connect(runtime, peers, until)
    connection.transport.abort()
    connection.transport.abort()
    await until(lambda: connection.calls == ["made", "lost"])
    with pytest.raises(ConnectionResetError):
        peer.recv(1)


async def test_a_half_closed_connection_still_writes(
    make: Make, peers: Peers, until: Until
) -> None:
    runtime = make()
    connection, peer = await connect(runtime, peers, until)
    connection.keeps_open = True
    peer.shutdown(socket.SHUT_WR)
    await until(lambda: connection.calls == ["made", "eof"])
    transport = connection.transport
    if runtime._sockets is not None:  # asyncio's transport would read the end once more
        transport.pause_reading()
        transport.resume_reading()
    await asyncio.sleep(0.02)
    assert connection.calls == ["made", "eof"]
    transport.write(b"still here")
    await until(lambda: transport.unwritten() == 0)
    assert peer.recv(100) == b"still here"
    transport.write_eof()
    await until(lambda: connection.calls == ["made", "eof", "eof sent"])
    assert peer.recv(100) == b""
    transport.close()
    await until(lambda: connection.calls[-1] == "lost")


async def test_the_end_of_a_stream_ends_the_connection_if_it_is_not_kept(
    make: Make, peers: Peers, until: Until
) -> None:
    runtime = make()
    connection, peer = await connect(runtime, peers, until)
    peer.close()
    await until(lambda: connection.calls == ["made", "eof", "lost"])
    assert connection.error is None


async def test_a_reset_is_an_error(make: Make, peers: Peers, until: Until) -> None:
    runtime = make()
    connection, peer = await connect(runtime, peers, until)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    peer.close()
    await until(lambda: connection.calls == ["made", "lost"])
    assert isinstance(connection.error, ConnectionResetError)


async def test_what_is_written_to_a_connection_that_has_gone_is_dropped(
    make: Make, peers: Peers, until: Until
) -> None:
    runtime = make()
    connection, peer = await connect(runtime, peers, until)
    connection.transport.pause_reading()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    peer.close()
    for _ in range(3):
        connection.transport.write(b"to nobody")
    await until(lambda: connection.calls == ["made", "lost"])
    assert isinstance(connection.error, ConnectionError)


async def test_a_connection_that_does_not_read_gets_nothing_until_it_reads_again(
    make: Make, peers: Peers, until: Until
) -> None:
    runtime = make()
    connection, peer = await connect(runtime, peers, until)
    connection.transport.pause_reading()
    peer.send(b"wait")
    await asyncio.sleep(0.02)
    assert connection.received == b""
    assert connection.transport.unread() == 4
    assert connection.transport.readable()
    connection.transport.resume_reading()
    await until(lambda: connection.received == b"wait")
    connection.transport.close()
    await until(lambda: connection.calls == ["made", "lost"])


@pytest.mark.parametrize("bound", [None, Endpoint("192.0.2.1", 0)])
async def test_an_attempt_that_fails_says_why(
    make: Make, peers: Peers, until: Until, bound: Endpoint | None
) -> None:
    runtime = make()
    peers.sock.close()
    errors: list[OSError] = []
    runtime.connect(Recorded(), peers.endpoint, source=bound, seconds=5, failed=errors.append)
    assert not errors
    await until(lambda: bool(errors))
    assert errors[0].errno == (errno.EADDRNOTAVAIL if bound else errno.ECONNREFUSED)


async def silent_host() -> Any:
    """A listening socket that answers no SYN, because its queue is full."""
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    held = []
    for _ in range(4):
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(full.getsockname())
        held.append(one)
    await asyncio.sleep(0.05)
    return full, held


@pytest.mark.slow
async def test_an_attempt_without_an_answer_ends_at_its_time_or_when_it_is_cancelled(
    make: Make, until: Until
) -> None:
    runtime = make()
    full, held = await silent_host()
    endpoint = endpoint_of(full.getsockname())
    ended: list[str] = []

    def failed(name: str) -> Callable[[OSError], None]:
        return lambda error: ended.append(f"{name} {type(error).__name__} {error.errno}")

    for name, seconds in (("late", 0.3), ("soon", 0.1), ("cancelled", 0.05)):
        attempt = runtime.connect(
            Recorded(), endpoint, source=None, seconds=seconds, failed=failed(name)
        )
    attempt.cancel()
    attempt.cancel()
    await until(lambda: len(ended) == 2)
    assert ended == ["soon TimeoutError None", "late TimeoutError None"]
    for each in (full, *held):
        each.close()


async def test_an_error_of_one_connection_ends_that_connection_alone(
    peers: Peers, until: Until
) -> None:
    runtime = AsyncioRuntime()
    reported: list[dict[str, Any]] = []
    runtime.loop.set_exception_handler(lambda _, context: reported.append(context))
    pairs = [await connect(runtime, peers, until) for _ in range(3)]
    pairs[0][0].raising = RuntimeError("a mistake")
    for _, peer in pairs:
        peer.send(b"all at once")
    await until(lambda: all(connection.received for connection, _ in pairs))
    await until(lambda: pairs[0][0].calls == ["made", "lost"])
    assert [connection.calls for connection, _ in pairs[1:]] == [["made"], ["made"]]
    assert "a mistake" in str(reported[0]["exception"])
    for connection, _ in pairs[1:]:
        connection.transport.close()
    await until(lambda: all("lost" in connection.calls for connection, _ in pairs))


async def test_a_connection_that_another_one_has_ended_in_the_same_turn_gets_nothing_more(
    peers: Peers, until: Until
) -> None:
    """Its descriptor must not be another connection's before the turn is over."""
    runtime = AsyncioRuntime()
    pairs = [await connect(runtime, peers, until) for _ in range(2)]
    made: list[Recorded] = []

    def end_all() -> None:
        for connection, _ in pairs:
            connection.transport.abort()
        made.append(Recorded())
        runtime.connect(made[0], peers.endpoint, source=None, seconds=5, failed=no_failure)

    for connection, peer in pairs:
        connection.when_received = end_all
        peer.send(b"x")
    await until(lambda: bool(made) and bool(made[0].calls))
    assert len(made) == 1
    assert sorted(connection.received for connection, _ in pairs) == [b"", b"x"]
    assert made[0].calls == ["made"]
    made[0].transport.close()
    await until(lambda: made[0].calls == ["made", "lost"])


@pytest.mark.slow
async def test_nothing_is_left_with_the_loop_once_the_last_connection_has_ended(
    peers: Peers, until: Until
) -> None:
    runtime = AsyncioRuntime()
    before = descriptors()
    connections = [(await connect(runtime, peers, until))[0] for _ in range(3)]
    for connection in connections:
        connection.transport.close()
    await until(lambda: all("lost" in connection.calls for connection in connections))
    for peer in peers.accepted:
        peer.close()
    sockets = runtime._sockets
    assert sockets is not None
    await until(lambda: descriptors() == before)
    assert sockets._timer.when is None
    attempt = runtime.connect(Recorded(), peers.endpoint, source=None, seconds=5, failed=no_failure)
    attempt.cancel()
    await until(lambda: descriptors() == before)


async def test_connections_do_not_run_in_the_context_of_who_opened_the_first_one(
    peers: Peers, until: Until
) -> None:
    """An assignment in a callback would count as one of an action that has ended."""
    import contextvars

    variable = contextvars.ContextVar("variable", default="of the program")
    runtime = AsyncioRuntime()
    found: list[str] = []

    async def in_an_action() -> tuple[Recorded, socket.socket]:
        variable.set("of an action")
        return await connect(runtime, peers, until)

    connection, peer = await asyncio.create_task(in_an_action())
    connection.when_received = lambda: found.append(variable.get())
    peer.send(b"x")
    await until(lambda: bool(found))
    assert found == ["of the program"]
    connection.transport.close()
    await until(lambda: "lost" in connection.calls)


@pytest.mark.slow
async def test_a_socket_that_cannot_be_watched_is_closed_and_its_attempt_fails(
    peers: Peers, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no more watches")

    runtime = AsyncioRuntime()
    before = descriptors()
    monkeypatch.setattr(stream_sockets.StreamSockets, "change", full)
    errors: list[OSError] = []
    runtime.connect(Recorded(), peers.endpoint, source=None, seconds=5, failed=errors.append)
    await until(lambda: bool(errors))
    assert errors[0].errno == errno.ENOSPC
    assert descriptors() == before


@pytest.mark.parametrize("length", [1, 65_535, 65_536, 200_000])
async def test_the_end_of_a_stream_is_known_with_its_last_bytes_only(
    peers: Peers, until: Until, length: int
) -> None:
    runtime = AsyncioRuntime()
    connection, peer = await connect(runtime, peers, until)
    connection.transport.pause_reading()
    known: list[tuple[int, bool]] = []

    def note() -> None:
        known.append((len(connection.received), connection.transport.peer_ended()))

    connection.when_received = note
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1_000_000)
    sent = 0
    while sent < length:
        sent += peer.send(bytes(length - sent))
        await asyncio.sleep(0)
        if connection.transport.unread() > 100_000:
            connection.transport.resume_reading()
    peer.shutdown(socket.SHUT_WR)
    await until(lambda: connection.transport.unread() + len(connection.received) == length)
    connection.transport.resume_reading()
    await until(lambda: connection.calls == ["made", "eof", "lost"])
    assert len(connection.received) == length
    assert not any(ended for received, ended in known if received < length)


async def test_the_last_bytes_and_the_end_of_a_stream_come_in_one_turn(
    peers: Peers, until: Until
) -> None:
    runtime = AsyncioRuntime()
    connection, peer = await connect(runtime, peers, until)
    turns: list[str] = []
    connection.when_received = lambda: runtime.call_soon(lambda: turns.extend(connection.calls))
    peer.send(b"the last")
    peer.shutdown(socket.SHUT_WR)
    while not turns:
        await asyncio.sleep(0)
    assert turns[:2] == ["made", "eof"]
    await until(lambda: "lost" in connection.calls)


@pytest.mark.slow
async def test_a_listener_stays_with_the_loop_between_two_connections_and_then_leaves_nothing(
    until: Until,
) -> None:
    runtime = AsyncioRuntime()
    before = descriptors()
    accepted: list[Recorded] = []

    def accept() -> Recorded:
        accepted.append(Recorded())
        return accepted[-1]

    listening = await runtime.listen(accept, host="127.0.0.1", ports=(0,))
    address = (listening.endpoints[0].host, listening.endpoints[0].port)
    open_while_listening = descriptors()
    for number in range(3):
        with socket.create_connection(address) as peer:
            peer.sendall(b"x")
            await until(lambda number=number: len(accepted) > number)  # type: ignore[misc] # inferred wrongly
            connection = accepted[number]
            await until(lambda connection=connection: connection.received == b"x")  # type: ignore[misc] # inferred wrongly
            assert connection.transport.peer == endpoint_of(peer.getsockname())
            assert connection.transport.local == endpoint_of(peer.getpeername())
        await until(lambda connection=connection: connection.calls == ["made", "eof", "lost"])  # type: ignore[misc] # inferred wrongly
        assert descriptors() == open_while_listening
    await listening.close()
    await until(lambda: descriptors() == before)


async def test_a_peer_whose_socket_cannot_be_watched_is_closed(
    until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no more watches")

    runtime = AsyncioRuntime()
    connection = Recorded()
    listening = await runtime.listen(lambda: connection, host="127.0.0.1", ports=(0,))
    address = (listening.endpoints[0].host, listening.endpoints[0].port)
    monkeypatch.setattr(stream_sockets.StreamSockets, "change", full)
    with socket.create_connection(address) as peer:
        peer.setblocking(False)

        def ended() -> bool:
            try:
                return peer.recv(1) == b""
            except BlockingIOError:
                return False

        await until(ended)
    assert connection.calls == []
    await listening.close()


async def test_more_sockets_than_one_turn_serves_are_served_in_the_next_ones(
    peers: Peers, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_sockets, "_AT_ONCE", 2)
    runtime = AsyncioRuntime()
    connections = [Recorded() for _ in range(7)]
    for each in connections:
        runtime.connect(each, peers.endpoint, source=None, seconds=5, failed=no_failure)
    await until(lambda: all(each.calls for each in connections))
    for _ in connections:
        peers.accept().send(b"x")
    received = [0]
    while received[-1] < len(connections):
        await asyncio.sleep(0)
        received.append(sum(bool(each.received) for each in connections))
    assert max(after - before for before, after in pairwise(received)) <= 2
    for each in connections:
        each.transport.abort()
    await until(lambda: all("lost" in each.calls for each in connections))


def test_a_connection_waits_for_nothing_that_the_system_has_refused_to_watch() -> None:
    class Refusing:
        def change(self, descriptor: int, before: int, events: int) -> None:
            raise OSError(errno.ENOSPC, "no watches are left")

    ours, theirs = socket.socketpair()
    with ours, theirs:
        sockets: Any = Refusing()
        stream = stream_sockets.SocketStream(
            sockets, ours, Recorded(), Endpoint("127.0.0.1", 80), None
        )
        with pytest.raises(OSError, match="no watches"):
            stream.want(1)
        assert stream.events == 0
