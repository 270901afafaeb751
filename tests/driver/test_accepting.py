"""Accepting connections, with a listening socket whose errors the test chooses."""

from __future__ import annotations

import errno
import os
from typing import Any

import pytest

from propchange.driver.accepting import Accepting
from propchange.driver.descriptors import DESCRIPTORS


class Peer:
    closed = False

    def setblocking(self, blocking: bool) -> None:
        assert not blocking

    def close(self) -> None:
        self.closed = True


class Sock:
    """A listening socket: ``waiting`` are the results of accept(), then nobody waits."""

    def __init__(self) -> None:
        self.waiting: list[Any] = []
        self.calls = 0

    def accept(self) -> Any:
        self.calls += 1
        result = self.waiting.pop(0) if self.waiting else BlockingIOError()
        if isinstance(result, OSError):
            raise result
        return result, ("192.0.2.7", 5)


SHORT = OSError(errno.EMFILE, "Too many open files")


class Door:
    def __init__(self, memory: Any) -> None:
        self.memory = memory
        self.sock: Any = Sock()
        self.adopted: list[Any] = []
        self.watched = False
        self.crowded = False
        self.accepting = Accepting(
            self.sock,
            lambda peer, host: self.adopted.append(peer),
            lambda _, wanted: self._watch(wanted),
            memory.call_later,
            crowded=lambda host, unmade: self.crowded,
        )
        self.accepting.open()

    def _watch(self, wanted: bool) -> None:
        self.watched = wanted

    def turn(self, *waiting: Any) -> None:
        self.sock.waiting = list(waiting)
        if self.watched:
            self.accepting.ready()


@pytest.fixture
def door(memory: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(DESCRIPTORS, "short", lambda error, count=0: 0)
    door = Door(memory)
    yield door
    door.accepting.close()
    door.accepting.close()
    assert not door.watched
    assert memory.armed == 0


def test_all_peers_that_wait_are_accepted_but_not_endlessly(door: Door) -> None:
    door.turn(*(Peer() for _ in range(5)))
    assert len(door.adopted) == 5
    door.turn(*(Peer() for _ in range(1000)))
    assert len(door.adopted) < 100


def test_peers_wait_while_there_is_no_room(door: Door, memory: Any) -> None:
    first, second = Peer(), Peer()
    door.turn(first, second)
    door.crowded = True
    third, fourth = Peer(), Peer()
    door.turn(third, fourth)
    memory.advance(1)
    assert door.adopted == [first, second]
    assert not door.watched
    door.crowded = False
    memory.advance(1)
    assert door.adopted == [first, second, third]
    door.turn(*door.sock.waiting)
    assert door.adopted == [first, second, third, fourth]


def test_a_peer_that_waits_for_room_ends_with_the_listener(door: Door) -> None:
    door.crowded = True
    peer = Peer()
    door.turn(peer)
    door.accepting.close()
    assert peer.closed
    assert door.adopted == []


def test_a_peer_that_has_given_up_stops_nobody(door: Door) -> None:
    door.turn(ConnectionAbortedError(), Peer())
    assert len(door.adopted) == 1


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_a_shortage_is_met_with_the_reserve_and_then_with_patience(
    door: Door, memory: Any, number: int
) -> None:
    short = OSError(number, "no more")
    for _ in range(2):  # each turn frees a descriptor of the reserve
        door.turn(short)
        door.turn(Peer(), short)
    assert len(door.adopted) == 2
    calls = door.sock.calls
    door.turn(short)
    assert not door.watched  # it does not spin
    door.turn(Peer())
    assert (len(door.adopted), door.sock.calls) == (2, calls + 1)
    memory.advance(1)
    door.turn(Peer())
    assert len(door.adopted) == 3


def test_descriptors_that_are_given_back_soon_let_the_peer_in(
    door: Door, memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DESCRIPTORS, "short", lambda error, count=0: count)
    for _ in range(3):
        door.turn(SHORT)
    assert not door.watched
    memory.advance(0.05)
    door.turn(Peer())
    assert len(door.adopted) == 1


def test_an_error_of_the_network_is_met_with_patience(door: Door, memory: Any) -> None:
    door.turn(OSError(errno.ENETDOWN, "down"))
    assert not door.watched
    memory.advance(1)
    door.turn(Peer())
    assert len(door.adopted) == 1


def test_the_reserve_is_filled_again_when_it_can_be(
    door: Door, memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = len(door.accepting._reserve)
    door.turn(SHORT)
    assert len(door.accepting._reserve) == full - 1

    def fail(*_: object) -> int:
        raise SHORT

    opened = os.open
    monkeypatch.setattr(os, "open", fail)
    memory.advance(5)
    assert len(door.accepting._reserve) == full - 1
    monkeypatch.setattr(os, "open", opened)
    memory.advance(1)
    assert len(door.accepting._reserve) == full
