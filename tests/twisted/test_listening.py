"""A Twisted listener on one port for IPv4 and IPv6."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory
from twisted.internet.selectreactor import SelectReactor

from propchange.twisted import listening
from propchange.twisted.listening import listen


class Port:
    def __init__(self, number: int) -> None:
        self.number = number
        self.stopped = False

    def getHost(self) -> Any:
        return self

    @property
    def port(self) -> int:
        return self.number

    def stopListening(self) -> None:
        self.stopped = True


class Sockets(SelectReactor):
    """A reactor whose ports are told, not made, but for those of IPv6."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = list(numbers)
        self.taken: tuple[int, ...] = ()
        self.four: list[Port] = []

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        if port in self.taken:
            raise CannotListenError(interface, port, OSError("in use"))
        self.four.append(Port(port or self.numbers.pop(0)))
        return self.four[-1]

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: Any) -> Any:
        assert addressFamily == socket.AF_INET6
        return Port(0)


def free() -> int:
    with socket.socket(socket.AF_INET6) as one:
        one.bind(("::", 0))
        return int(one.getsockname()[1])


def test_it_listens_on_all_addresses_of_both_families_at_one_port() -> None:
    reactor = SelectReactor()
    ports = listen(reactor, 0, Factory(), "")
    try:
        assert [port.getHost().host for port in ports] == ["0.0.0.0", "::"]
        assert len({port.getHost().port for port in ports}) == 1
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, ports[0].getHost().port), 10).close()
    finally:
        for port in ports:
            port.stopListening()
        reactor.runUntilCurrent()  # which is when they close


def test_it_listens_on_the_address_that_was_named_alone() -> None:
    reactor = Sockets(5000)
    assert listen(reactor, 0, Factory(), "127.0.0.1") == reactor.four


def test_another_port_is_taken_when_the_first_is_not_free_for_ipv6() -> None:
    taken = socket.create_server(("::", 0), family=socket.AF_INET6)
    with taken:
        reactor = Sockets(taken.getsockname()[1], free())
        ports = listen(reactor, 0, Factory(), "")
        assert [port.stopped for port in reactor.four] == [True, False]
        assert ports[0] is reactor.four[1]
        assert len(ports) == 2


def test_a_port_that_was_asked_for_is_taken_for_ipv4_alone_if_need_be() -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6) as taken:
        reactor = Sockets()
        assert listen(reactor, taken.getsockname()[1], Factory(), "") == reactor.four
        assert not reactor.four[0].stopped


def test_a_machine_without_ipv6_listens_on_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: Any) -> Any:
        raise OSError(errno.EAFNOSUPPORT, "there is none")

    monkeypatch.setattr(listening, "_listen_on_six", none)
    reactor = Sockets(5000)
    assert listen(reactor, 0, Factory(), "") == reactor.four


def test_the_first_free_port_of_a_range_is_taken() -> None:
    reactor = Sockets()
    reactor.taken = (5000, 5001)
    (port,) = listen(reactor, range(5000, 5003), Factory(), "127.0.0.1")
    assert port.number == 5002
    with pytest.raises(CannotListenError):
        listen(reactor, range(5000, 5002), Factory(), "127.0.0.1")
    with pytest.raises(ValueError, match="65536"):
        listen(reactor, 65_536, Factory(), "127.0.0.1")
