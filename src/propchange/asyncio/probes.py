"""Connections that are made to see who answers: to a device, and to the own listener."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from propchange.asyncio.requests import locate
from propchange.core.diagnosis.facts import Probe, Reach
from propchange.core.diagnosis.probing import OwnProbes, failed_probe
from propchange.core.limits import Limits
from propchange.core.subscriber.connection_history import ConnectionHistory
from propchange.core.wire.messages import Endpoint

__all__ = ["SelfProbes", "probe_device"]


async def probe_device(url: str, source: Endpoint | None, limits: Limits) -> Probe:
    """Connect to the host and port of ``url``, from the address of ``source`` if given, and end
    the connection at once. Takes ``limits.diagnosis_seconds`` at most.

    Raises ValueError for what is no http URL."""
    location = locate(url)
    where = location.endpoint
    scope = location.scope or (0 if source is None else source.scope)

    async def attempt() -> Probe:
        failed = Probe(str(where), Reach.UNRESOLVED)
        for family, address in await _resolve(where.host, where.port, scope):
            if source is not None and (family == socket.AF_INET6) is not (":" in source.host):
                continue
            with _socket(family) as sock:
                if source is not None:
                    _bind(sock, source)
                try:
                    await asyncio.get_running_loop().sock_connect(sock, address)
                except OSError as error:
                    failed = _failed(str(where), error)
                else:
                    return Probe(str(where), Reach.ACCEPTED)
        return failed

    return await _bounded(str(where), limits, attempt())


class SelfProbes:
    """Connections to the listener at the address that devices are told, as a device would make
    them. ``callers`` does not count them."""

    def __init__(self, callers: ConnectionHistory, limits: Limits) -> None:
        self._callers = callers
        self._limits = limits
        self._own = OwnProbes(lambda: secrets.token_urlsafe(16))
        self.turns = asyncio.Semaphore(limits.diagnoses)
        """To be held while a diagnosis is made."""
        self.targets = self._own.targets
        """The targets of the probes that are under way."""
        self.answer = self._own.answer
        """For the listener: the answer to a request for one of :attr:`targets`."""

    async def probe(self, advertised: Endpoint) -> Probe:
        """See whether the listener answers at ``advertised``, whose host may be a name. Takes
        ``limits.diagnosis_seconds`` at most."""
        where = str(advertised)
        target = self._own.begin()
        try:
            return await _bounded(where, self._limits, self._attempt(advertised, target))
        finally:
            self._own.end(target)

    async def _attempt(self, advertised: Endpoint, target: str) -> Probe:
        loop = asyncio.get_running_loop()
        where = str(advertised)
        failed = Probe(where, Reach.UNRESOLVED)
        found = await _resolve(advertised.host, advertised.port, advertised.scope)
        for family, address in found:
            with _socket(family) as sock:
                any_port = Endpoint("::" if family == socket.AF_INET6 else "0.0.0.0", 0)
                # uvloop loses the scope id of what it connects to, and the system knows it again
                # for a socket that is bound to it.
                _bind(sock, advertised if advertised.scope else any_port)
                port = sock.getsockname()[1]
                self._callers.ours.add(port)
                try:
                    await loop.sock_connect(sock, address)
                except OSError as error:
                    failed = _failed(where, error)
                else:
                    head = f"GET {target} HTTP/1.1\r\nHOST: {where}\r\nCONNECTION: close\r\n\r\n"
                    with suppress(OSError):  # a TimeoutError is one
                        async with asyncio.timeout(self._limits.diagnosis_seconds / 2):
                            await loop.sock_sendall(sock, head.encode("latin-1"))
                            await loop.sock_recv(sock, 1)
                    if self._own.has_come(target):
                        return Probe(where, Reach.ACCEPTED)
                    failed = Probe(where, Reach.SOMEBODY_ELSE)
                finally:
                    self._callers.ours.discard(port)
        return failed


async def _bounded(where: str, limits: Limits, attempt: Any) -> Probe:
    try:
        async with asyncio.timeout(limits.diagnosis_seconds):
            probe: Probe = await attempt
            return probe
    except TimeoutError:
        return Probe(where, Reach.SILENT, f"for {limits.diagnosis_seconds:g} s")
    except (OSError, UnicodeError) as error:
        return _failed(where, error)


async def _resolve(host: str, port: int, scope: int) -> list[tuple[int, Any]]:
    """The (family, socket address) pairs of ``host``. Raises socket.gaierror."""
    loop = asyncio.get_running_loop()
    scoped = f"{host}%{scope}" if scope and ":" in host else host
    found = await loop.getaddrinfo(scoped, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


@contextmanager
def _socket(family: int) -> Iterator[socket.socket]:
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        yield sock


def _bind(sock: socket.socket, source: Endpoint) -> None:
    if sock.family == socket.AF_INET6:
        sock.bind((source.host, 0, 0, source.scope))
    else:
        sock.bind((source.host, 0))


def _failed(where: str, error: OSError | UnicodeError) -> Probe:
    """What ``error`` says about who is at ``where``."""
    if isinstance(error, socket.gaierror | UnicodeError):
        return Probe(where, Reach.UNRESOLVED, getattr(error, "strerror", "") or str(error))
    assert isinstance(error, OSError)
    words = os.strerror(error.errno) if error.errno else str(error)
    return failed_probe(where, error.errno, words)
