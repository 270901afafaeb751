"""One port for both families of addresses."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from twisted.internet.base import ReactorBase
from twisted.internet.defer import maybeDeferred
from twisted.internet.error import CannotListenError

from propchange.driver.interfaces import ports_of

__all__ = ["listen"]

_BACKLOG = 50
"""Connections that wait to be accepted: what ``listenTCP`` takes by itself."""

_SAME_PORT_ATTEMPTS = 8
"""A port that the system has chosen for IPv4 may be taken for IPv6."""


def listen(reactor: Any, port: int | Sequence[int], factory: Any, interface: str) -> list[Any]:
    """The ports that listen on ``port`` (0: any), or the first free one of several, of
    ``interface``, an address; "" is all addresses of IPv4 and, where the machine and the reactor
    have it, of IPv6 under the same number.

    Raises CannotListenError of Twisted, ValueError for what is no port."""
    *others, last = ports_of(port)
    for other in others:
        with suppress(CannotListenError):
            return _listen(reactor, other, factory, interface)
    return _listen(reactor, last, factory, interface)


def _listen(reactor: Any, port: int, factory: Any, interface: str) -> list[Any]:
    attempts = 1 if port else _SAME_PORT_ATTEMPTS
    while True:
        attempts -= 1
        four = reactor.listenTCP(port, factory, interface=interface)
        if interface or not _adopts_sockets(reactor):
            return [four]
        try:
            return [four, _listen_on_six(reactor, four.getHost().port, factory)]
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not attempts:
                return [four]  # a machine without IPv6, or without this port of it
        maybeDeferred(four.stopListening)


def _adopts_sockets(reactor: Any) -> bool:
    # One that a test moves has no sockets.
    return isinstance(reactor, ReactorBase) and hasattr(reactor, "adoptStreamPort")


def _listen_on_six(reactor: Any, port: int, factory: Any) -> Any:
    # By itself Twisted would make one that listens for IPv4 too, which has its own.
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as six:
        six.setblocking(False)
        six.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        six.bind(("::", port))
        six.listen(_BACKLOG)
        return reactor.adoptStreamPort(six.fileno(), socket.AF_INET6, factory)
