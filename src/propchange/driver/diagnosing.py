"""Finds out why a subscription hears nothing, by what its protocol knows and by connecting.

Two connections are made at the same time: one to the device, and one to the own listener at the
address that the device was told in CALLBACK. The second carries a request for a target that nobody
else knows, so that another program that listens there is told apart.
"""

from __future__ import annotations

import secrets
import socket
from collections import deque
from collections.abc import Callable, Sequence

from propchange.core.diagnosis.facts import (
    Facts,
    OwnProbes,
    Probe,
    Reach,
    failed_probe,
    with_probes,
    with_surroundings,
)
from propchange.core.diagnosis.verdicts import Diagnosis, diagnose
from propchange.core.local_addresses import LocalAddress
from propchange.core.subscriber.connection_history import ConnectionHistory
from propchange.core.subscriber.events import Status
from propchange.core.wire.messages import Endpoint, Request
from propchange.core.wire.urls import scoped
from propchange.driver.interfaces import scoped_host
from propchange.driver.machine import Machine
from propchange.driver.requests import Exchange, Requests, locate, words_of
from propchange.driver.runtime import Future
from propchange.driver.sockets import is_address
from propchange.errors import ConnectionFailed, PropchangeError

__all__ = ["Diagnoses"]


class Diagnoses:
    """Makes the diagnoses of one control point, ``limits.diagnoses`` at a time.

    ``callers`` is the history of the connections to the listener. Connections that are made here
    are left out of it."""

    def __init__(self, requests: Requests, callers: ConnectionHistory, machine: Machine) -> None:
        self._requests = requests
        self._runtime = requests.runtime
        self._limits = requests.limits
        self._callers = callers
        self._machine = machine
        self._own = OwnProbes(lambda: secrets.token_urlsafe(16))
        self._running = 0
        self._waiting: deque[Future[None]] = deque()
        self.targets = self._own.targets
        """The targets of the requests to the own listener that are under way."""
        self.answer = self._own.answer
        """For the listener: the answer to a request for one of :attr:`targets`."""

    async def diagnose(
        self,
        known: Callable[[], Facts],
        *,
        listening: Sequence[Endpoint],
        own: Callable[[], tuple[LocalAddress, ...]],
        source: Endpoint | None,
    ) -> Diagnosis:
        """The verdict on a subscription. ``known`` gives what its protocol knows, ``own`` the
        addresses of this machine. ``listening`` is where the listener listens, empty if that is
        not known. ``source`` is the address that everything is sent from, None for the system's
        choice.

        Connecting takes ``limits.diagnosis_seconds`` at most, once its turn has come."""
        if (closed := known()).status is Status.CLOSED:
            return diagnose(closed)
        await self._take_turn()
        try:
            facts = await self._connect(known, bool(listening), source)
        finally:
            self._end_turn()
        return diagnose(
            with_surroundings(
                facts,
                listening=listening,
                own=own(),
                in_container=self._machine.in_container(),
                source=source,
                source_towards=self._machine.source_towards,
            )
        )

    async def _take_turn(self) -> None:
        if self._running < self._limits.diagnoses:
            self._running += 1
            return
        turn: Future[None] = self._runtime.future()
        self._waiting.append(turn)
        try:
            await turn
        except BaseException:
            if turn in self._waiting:
                self._waiting.remove(turn)
            else:  # it was given the turn already
                self._end_turn()
            raise

    def _end_turn(self) -> None:
        if self._waiting:
            self._waiting.popleft().set_result(None)
        else:
            self._running -= 1

    async def _connect(
        self, known: Callable[[], Facts], listens: bool, source: Endpoint | None
    ) -> Facts:
        """What is known after connecting, with what connecting came to."""
        before = known()
        if before.advertised is None or not listens:
            device = await self.probe_device(before.event_url, source)
            return with_probes(before, known(), device, None)
        to_device = self._runtime.start(self.probe_device(before.event_url, source))
        try:
            to_us = await self.probe_listener(before.advertised)
            return with_probes(before, known(), await to_device, to_us)
        finally:
            to_device.cancel()

    async def probe_device(self, url: str, source: Endpoint | None) -> Probe:
        """Connect to the host and port of ``url``, from the address of ``source`` if given, and end
        the connection at once. Raises ValueError for a URL that is not http://."""
        endpoint = scoped(locate(url).endpoint, 0 if source is None else source.scope)
        of_the_other_family = (
            source is not None
            and is_address(endpoint.host)
            and (":" in source.host) is not (":" in endpoint.host)
        )
        if of_the_other_family:
            return Probe(str(endpoint), Reach.UNRESOLVED)
        exchange = self._requests.exchange(endpoint)
        try:
            await exchange.connect(source, self._limits.diagnosis_seconds)
        except ConnectionFailed as error:
            return self._failed(str(endpoint), error)
        finally:
            exchange.end()
        return Probe(str(endpoint), Reach.ACCEPTED)

    async def probe_listener(self, advertised: Endpoint) -> Probe:
        """See whether the own listener answers at ``advertised``, whose host may be a name."""
        where = str(advertised)
        until = self._runtime.now() + self._limits.diagnosis_seconds
        target = self._own.begin()
        try:
            found = [advertised]
            if not is_address(advertised.host):
                found = await self._runtime.resolve(scoped_host(advertised), advertised.port)
            probe = Probe(where, Reach.UNRESOLVED)
            for endpoint in found:
                probe = await self._ask_ourselves(where, endpoint, target, until)
                if probe.reach is Reach.ACCEPTED:
                    break
            return probe
        except socket.gaierror as error:
            return Probe(where, Reach.UNRESOLVED, words_of(error))
        finally:
            self._own.end(target)

    async def _ask_ourselves(
        self, where: str, endpoint: Endpoint, target: str, until: float
    ) -> Probe:
        port = self._machine.free_port(endpoint.host)
        source = Endpoint("::" if ":" in endpoint.host else "0.0.0.0", port)
        if endpoint.scope:
            source = endpoint._replace(port=port)
        headers = ((b"HOST", where.encode("latin-1", "replace")), (b"CONNECTION", b"close"))
        exchange = self._requests.exchange(endpoint)
        self._callers.ours.add(port)
        try:
            await exchange.connect(source, self._left(until))
            await self._exchange(exchange, Request("GET", target, headers), until)
        except ConnectionFailed as error:
            return self._failed(where, error)
        finally:
            exchange.end()
            self._callers.ours.discard(port)
        come = self._own.has_come(target)
        return Probe(where, Reach.ACCEPTED if come else Reach.SOMEBODY_ELSE)

    async def _exchange(self, exchange: Exchange, request: Request, until: float) -> None:
        """Send ``request`` and wait for an answer, whatever it says."""
        try:
            seconds = min(self._limits.diagnosis_seconds / 2, self._left(until))
            await exchange.send(request, seconds)
        except PropchangeError:
            return

    def _left(self, until: float) -> float:
        return max(until - self._runtime.now(), 0.001)

    def _failed(self, where: str, error: ConnectionFailed) -> Probe:
        cause = error.__cause__
        if isinstance(cause, socket.gaierror):
            return Probe(where, Reach.UNRESOLVED, cause.strerror or "")
        if not isinstance(cause, OSError):
            return Probe(where, Reach.UNREACHABLE, str(error))
        if isinstance(cause, TimeoutError) and cause.errno is None:
            return Probe(where, Reach.SILENT, f"for {self._limits.diagnosis_seconds:g} s")
        return failed_probe(where, cause.errno, words_of(cause))
