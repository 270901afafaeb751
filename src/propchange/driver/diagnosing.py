"""Diagnoses why a subscription receives no events, by the facts of its protocol and by connecting.

Two connections are made at the same time: one to the device, and one to the address in CALLBACK.
The second carries a NOTIFY with a secret SID, as a device would send it. If it does not come to
this control point, another program listens there, or a web server does not pass it on. If it comes
with another path or HOST than it was sent with, the events of devices would be refused.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from propchange.core.diagnosis.facts import Facts, Probe, Reach, failed_probe
from propchange.core.diagnosis.rules import diagnose
from propchange.core.diagnosis.verdicts import Diagnosis
from propchange.core.local_addresses import LocalAddress, address_of
from propchange.core.record import Record
from propchange.core.subscriber.connection_history import ConnectionHistory
from propchange.core.subscriber.events import Status
from propchange.core.subscriber.judge import SubscriberPolicy, judge_notify
from propchange.core.wire.headers import EVENT_NT, PROPCHANGE_NTS
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.core.wire.propertyset import format_propertyset
from propchange.core.wire.refusals import EMPTY, Refusal
from propchange.core.wire.urls import scoped
from propchange.driver.exchange import words_of
from propchange.driver.machine import Machine, random_token
from propchange.driver.requests import Requests, locate
from propchange.driver.runtime import Signal
from propchange.errors import ConnectionFailed, DescriptionError, PropchangeError


@dataclass(slots=True, eq=False, repr=False)
class _Asked(Record):
    """A NOTIFY that was sent to ourselves: what it was sent with, and how it came."""

    path: str
    authority: str
    reach: Reach = Reach.SOMEBODY_ELSE
    detail: str = ""


class Diagnoses:
    """Makes the diagnoses of one control point with ``policy``, ``limits.diagnoses`` at a time.

    ``history`` is the history of the connections to the listener. It leaves out the connections
    that a diagnosis makes."""

    def __init__(
        self,
        requests: Requests,
        history: ConnectionHistory,
        machine: Machine,
        policy: SubscriberPolicy,
    ) -> None:
        self._policy = policy
        self._requests = requests
        self._runtime = requests.runtime
        self._limits = requests.limits
        self._history = history
        self._machine = machine
        self._running = 0
        self._turn = Signal(requests.runtime)
        self.asked: dict[bytes, _Asked] = {}
        """The pending requests to ourselves, by their secret SIDs."""

    def answer(self, request: Request) -> Response | None:
        """The answer to ``request`` if it is one of :attr:`asked`; None for any other."""
        asked = self.asked.get(request.fields.get(b"sid", b""))
        if asked is None:
            return None
        refusal = judge_notify(request, self._policy, asked.authority)
        if self._policy.callback.path_of(request.target) != asked.path:
            asked.reach, asked.detail = Reach.CHANGED, "not the path, which names the subscription"
        elif isinstance(refusal, Refusal):
            asked.reach = Reach.CHANGED
            asked.detail = f"its events are answered {refusal.status}: {refusal.reason}"
        else:
            asked.reach = Reach.ACCEPTED
        return Response(200, (EMPTY,), close=True)

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
        unknown or if a web server of the program listens. ``source`` is the address that all
        requests are sent from, None for the system's choice. ``giver`` is the host that gave the
        event URL; None: the program.

        Waits while ``limits.diagnoses`` others run. Connecting takes ``limits.diagnosis_seconds``
        at most."""
        if (closed := known()).status is Status.CLOSED:
            return diagnose(closed)
        while self._running >= self._limits.diagnoses:
            await self._turn.wait()
        self._running += 1
        try:
            listens = bool(listening) or self._policy.callback.is_whole
            facts = await self._connect(known, listens, source, giver)
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
        """Check whether a NOTIFY comes to this control point from ``advertised``, the endpoint in
        CALLBACK, whose host may be a name."""
        until = self._runtime.now() + self._limits.diagnosis_seconds
        callback, secret = self._policy.callback, random_token()
        asked = _Asked(callback.path(secret), callback.authority or str(advertised))
        probe = Probe(self._policy.callback_url or str(advertised), Reach.UNRESOLVED)
        sid = f"uuid:{secret}".encode()
        self.asked[sid] = asked
        try:
            names, seconds = self._requests.names, self._limits.diagnosis_seconds
            for endpoint in await names.addresses(advertised, seconds):
                probe = await self._ask_ourselves(probe.where, endpoint, sid, until)
                if asked.reach is not Reach.SOMEBODY_ELSE:
                    break
        except socket.gaierror as error:
            return Probe(probe.where, Reach.UNRESOLVED, words_of(error))
        finally:
            del self.asked[sid]
        return probe

    async def _ask_ourselves(
        self, where: str, endpoint: Endpoint, sid: bytes, until: float
    ) -> Probe:
        # From a port that is chosen here, so that the history can leave this connection out.
        port = self._machine.free_port(endpoint.host)
        host = endpoint.host if endpoint.scope else "::" if ":" in endpoint.host else "0.0.0.0"
        exchange, asked = self._requests.exchange(endpoint), self.asked[sid]
        self._history.ours.add(port)
        try:
            left = until - self._runtime.now()
            await exchange.connect(Endpoint(host, port, endpoint.scope), max(left, 0.001))
            left = min(self._limits.diagnosis_seconds / 2, until - self._runtime.now())
            with contextlib.suppress(PropchangeError):  # asked has the result
                response = await exchange.send(_notify(asked, sid), left)
                if asked.reach is Reach.SOMEBODY_ELSE:
                    asked.detail = f"status {response.status}"
        except ConnectionFailed as error:
            return self._failed(where, error)
        finally:
            exchange.end()
            self._history.ours.discard(port)
        return Probe(where, asked.reach, asked.detail)

    def _failed(self, where: str, error: ConnectionFailed) -> Probe:
        cause = error.__cause__
        if isinstance(cause, socket.gaierror):
            return Probe(where, Reach.UNRESOLVED, cause.strerror or "")
        if not isinstance(cause, OSError):
            return Probe(where, Reach.UNREACHABLE, str(error))
        if isinstance(cause, TimeoutError) and cause.errno is None:
            return Probe(where, Reach.SILENT, f"for {self._limits.diagnosis_seconds:g} s")
        return failed_probe(where, cause.errno, words_of(cause))


def _notify(asked: _Asked, sid: bytes) -> Request:
    """A NOTIFY as a device sends it."""
    body = format_propertyset([("Probe", "")])
    headers = (
        (b"HOST", asked.authority.encode("latin-1", "replace")),
        (b"CONTENT-TYPE", b'text/xml; charset="utf-8"'),
        (b"CONTENT-LENGTH", b"%d" % len(body)),
        (b"NT", EVENT_NT),
        (b"NTS", PROPCHANGE_NTS),
        (b"SID", sid),
        (b"SEQ", b"0"),
        (b"CONNECTION", b"close"),
    )
    return Request("NOTIFY", asked.path, headers, body)
