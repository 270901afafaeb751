"""Diagnoses why a subscription receives no events, by the facts of its protocol and by connecting.

Two connections are made at the same time: one to the device, and one to the own listener at the
address in CALLBACK. The second carries a request for a secret target, which shows whether another
program listens there.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace

from propchange.core.diagnosis.facts import Facts, Probe, Reach, failed_probe
from propchange.core.diagnosis.verdicts import Diagnosis, diagnose
from propchange.core.local_addresses import LocalAddress, address_of
from propchange.core.subscriber.connection_history import ConnectionHistory
from propchange.core.subscriber.events import Status
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.core.wire.urls import scoped
from propchange.driver.exchange import words_of
from propchange.driver.machine import Machine
from propchange.driver.requests import Requests, locate
from propchange.driver.runtime import Signal
from propchange.errors import ConnectionFailed, DescriptionError, PropchangeError


class Diagnoses:
    """Makes the diagnoses of one control point, ``limits.diagnoses`` at a time.

    ``history`` is the history of the connections to the listener. It leaves out the connections
    that a diagnosis makes."""

    def __init__(self, requests: Requests, history: ConnectionHistory, machine: Machine) -> None:
        self._requests = requests
        self._runtime = requests.runtime
        self._limits = requests.limits
        self._history = history
        self._machine = machine
        self._running = 0
        self._turn = Signal(requests.runtime)
        self._asked: dict[str, bool] = {}
        self.targets = self._asked.keys()
        """The secret targets of the pending requests to the own listener."""

    def answer(self, request: Request) -> Response:
        """For the listener: the answer to a request for one of :attr:`targets`."""
        self._asked[request.target] = True
        return Response(200, ((b"CONTENT-LENGTH", b"0"),), close=True)

    async def diagnose(
        self,
        known: Callable[[], Facts],
        *,
        listening: Sequence[Endpoint],
        own: Callable[[], tuple[LocalAddress, ...]],
        source: Endpoint | None,
        giver: Endpoint | None = None,
    ) -> Diagnosis:
        """The verdict on a subscription. ``known`` gives the facts that its protocol knows, ``own``
        the addresses of this machine. ``listening`` are the endpoints of the listener, empty if
        unknown. ``source`` is the address that all requests are sent from, None for the system's
        choice. ``giver`` is the host that gave the event URL; None: the program.

        Waits while ``limits.diagnoses`` others run. Connecting takes ``limits.diagnosis_seconds``
        at most."""
        if (closed := known()).status is Status.CLOSED:
            return diagnose(closed)
        while self._running >= self._limits.diagnoses:
            await self._turn.wait()
        self._running += 1
        try:
            facts = await self._connect(known, bool(listening), source, giver)
        finally:
            self._running -= 1
            self._turn.set()
        chosen = None if source is None else source.host
        if source is None and facts.device is not None:
            chosen = self._machine.source_towards(Endpoint(facts.device, 0))
        facts = replace(facts, in_container=self._machine.in_container(), source=chosen)
        return diagnose(replace(facts, listening=tuple(listening), own=own()))

    async def _connect(
        self,
        known: Callable[[], Facts],
        listens: bool,
        source: Endpoint | None,
        giver: Endpoint | None,
    ) -> Facts:
        before, to_us = known(), None
        to_device = self._runtime.start(self.probe_device(before.event_url, source, giver))
        try:
            if before.advertised is not None and listens:
                to_us = await self.probe_listener(before.advertised)
            device = await to_device
        finally:
            to_device.cancel()
        after = known()
        if after.advertised != before.advertised:
            to_us = None  # CALLBACK has changed during the probe
        return replace(after, device_probe=device, self_connect=to_us)

    async def probe_device(
        self, url: str, source: Endpoint | None, giver: Endpoint | None = None
    ) -> Probe:
        """Connect to the host and port of ``url``, from the address of ``source`` if given, and end
        the connection at once. Raises ValueError for a URL that is not http://."""
        endpoint = scoped(locate(url), 0 if source is None else source.scope)
        where = str(endpoint)
        address = address_of(endpoint.host)
        if source and address and (":" in source.host) is not (address.version == 6):
            return Probe(where, Reach.UNRESOLVED)
        seconds = self._limits.diagnosis_seconds
        try:
            exchange = await self._requests.open(
                endpoint, source=source, seconds=seconds, giver=giver
            )
        except ConnectionFailed as error:
            return self._failed(where, error)
        except DescriptionError as error:
            return Probe(where, Reach.UNREACHABLE, str(error))
        exchange.end()
        return Probe(where, Reach.ACCEPTED)

    async def probe_listener(self, advertised: Endpoint) -> Probe:
        """Check whether our own listener answers at ``advertised``, whose host may be a name."""
        until = self._runtime.now() + self._limits.diagnosis_seconds
        probe = Probe(str(advertised), Reach.UNRESOLVED)
        target = f"/{secrets.token_urlsafe(16)}"
        self._asked[target] = False
        try:
            names, seconds = self._requests.names, self._limits.diagnosis_seconds
            for endpoint in await names.addresses(advertised, seconds):
                probe = await self._ask_ourselves(probe.where, endpoint, target, until)
                if probe.reach is Reach.ACCEPTED:
                    break
        except socket.gaierror as error:
            return Probe(probe.where, Reach.UNRESOLVED, words_of(error))
        finally:
            del self._asked[target]
        return probe

    async def _ask_ourselves(
        self, where: str, endpoint: Endpoint, target: str, until: float
    ) -> Probe:
        # From a port that is chosen here, so that the history can leave this connection out.
        port = self._machine.free_port(endpoint.host)
        host = endpoint.host if endpoint.scope else "::" if ":" in endpoint.host else "0.0.0.0"
        headers = ((b"HOST", where.encode("latin-1", "replace")), (b"CONNECTION", b"close"))
        exchange = self._requests.exchange(endpoint)
        self._history.ours.add(port)
        try:
            left = until - self._runtime.now()
            await exchange.connect(Endpoint(host, port, endpoint.scope), max(left, 0.001))
            left = min(self._limits.diagnosis_seconds / 2, until - self._runtime.now())
            with contextlib.suppress(PropchangeError):  # self._asked has the result
                await exchange.send(Request("GET", target, headers), left)
        except ConnectionFailed as error:
            return self._failed(where, error)
        finally:
            exchange.end()
            self._history.ours.discard(port)
        return Probe(where, Reach.ACCEPTED if self._asked[target] else Reach.SOMEBODY_ELSE)

    def _failed(self, where: str, error: ConnectionFailed) -> Probe:
        cause = error.__cause__
        if isinstance(cause, socket.gaierror):
            return Probe(where, Reach.UNRESOLVED, cause.strerror or "")
        if not isinstance(cause, OSError):
            return Probe(where, Reach.UNREACHABLE, str(error))
        if isinstance(cause, TimeoutError) and cause.errno is None:
            return Probe(where, Reach.SILENT, f"for {self._limits.diagnosis_seconds:g} s")
        return failed_probe(where, cause.errno, words_of(cause))
