"""Finding out why a subscription hears nothing, by what its protocol knows and by connecting."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults, succeed
from twisted.internet.error import DNSLookupError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.python.failure import Failure

from propchange.core.diagnosis.facts import Facts, Probe, Reach
from propchange.core.diagnosis.probing import (
    OwnProbes,
    failed_probe,
    with_probes,
    with_surroundings,
)
from propchange.core.diagnosis.verdicts import Diagnosis, diagnose
from propchange.core.limits import Limits
from propchange.core.local_addresses import LocalAddress
from propchange.core.subscriber.connection_history import ConnectionHistory
from propchange.core.subscriber.events import Status
from propchange.core.wire.messages import Endpoint, Request
from propchange.core.wire.urls import scoped
from propchange.twisted.addresses import in_container, source_towards
from propchange.twisted.exchanges import Exchange
from propchange.twisted.requests import Requests, locate

__all__ = ["Probes", "Surroundings"]


def free_port(host: str) -> int:
    """A port of this machine that nobody has now, for the family of ``host``."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", 0))
        return int(sock.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Surroundings:
    """How this machine is looked at: whether the program is in a container, the address that the
    system would send from to a device, and a port that is free to connect from."""

    in_container: Callable[[], bool] = in_container
    source_towards: Callable[[Endpoint], str | None] = source_towards
    free_port: Callable[[str], int] = free_port


class Probes:
    """Looks at the ways to a device and from it, for one control point."""

    def __init__(
        self,
        requests: Requests,
        limits: Limits,
        new_token: Callable[[], str],
        surroundings: Surroundings,
    ) -> None:
        self._requests = requests
        self._limits = replace(
            limits,
            connect_seconds=limits.diagnosis_seconds,
            request_seconds=limits.diagnosis_seconds / 2,
        )
        self._turns = DeferredSemaphore(limits.diagnoses)
        self._surroundings = surroundings
        self.callers = ConnectionHistory(limits)
        """Who has come to the listener; what is sent to itself is not counted."""
        self.own = OwnProbes(new_token)
        """The requests to the listener that are under way."""

    def look(
        self,
        known: Callable[[], Facts],
        *,
        listening: Sequence[Endpoint],
        own: Callable[[], tuple[LocalAddress, ...]],
        source: Endpoint | None,
    ) -> Deferred[Diagnosis]:
        """The verdict on a subscription: ``known`` gives what its protocol knows, ``own`` the
        addresses of this machine; ``listening`` is where its listener listens, nowhere if that is
        not known, ``source`` the address that everything is sent from, None for the system's
        choice."""
        if (closed := known()).status is Status.CLOSED:
            return succeed(diagnose(closed))

        def concluded(facts: Facts) -> Diagnosis:
            return diagnose(
                with_surroundings(
                    facts,
                    listening=listening,
                    own=own(),
                    in_container=self._surroundings.in_container(),
                    source=source,
                    source_towards=self._surroundings.source_towards,
                )
            )

        turn: Deferred[Facts] = self._turns.run(self._connected, known, bool(listening), source)
        return turn.addCallback(concluded)

    def _connected(
        self, known: Callable[[], Facts], listens: bool, source: Endpoint | None
    ) -> Deferred[Facts]:
        before = known()
        advertised = before.advertised if listens else None
        probes: Deferred[list[Any]] = gatherResults(
            [
                self._device(before.event_url, source),
                succeed(None) if advertised is None else self._ourselves(advertised),
            ]
        )
        return probes.addCallback(lambda found: with_probes(before, known(), *found))

    def _device(self, url: str, source: Endpoint | None) -> Deferred[Probe]:
        """Connect to the host and port of ``url``, and end the connection at once."""
        endpoint = scoped(locate(url).endpoint, 0 if source is None else source.scope)
        where = str(endpoint)
        return self._requests.over(
            endpoint, lambda _: Probe(where, Reach.ACCEPTED), source=source, limits=self._limits
        ).addErrback(self._failed, where)

    def _ourselves(self, advertised: Endpoint) -> Deferred[Probe]:
        """See whether the listener answers at ``advertised``, as a device would."""
        where = str(advertised)
        target = self.own.begin()
        six = ":" in advertised.host
        port = self._surroundings.free_port(advertised.host)
        self.callers.ours.add(port)

        def ask(exchange: Exchange) -> Any:
            headers = ((b"HOST", where.encode("latin-1", "replace")), (b"CONNECTION", b"close"))
            asked = exchange.request(Request("GET", target, headers))
            return asked.addBoth(lambda _: Reach.ACCEPTED)

        def answered(_: object) -> Probe:
            come = self.own.has_come(target)
            return Probe(where, Reach.ACCEPTED if come else Reach.SOMEBODY_ELSE)

        def over(result: Any) -> Any:
            self.own.end(target)
            self.callers.ours.discard(port)
            return result

        return (
            self._requests.over(
                advertised,
                ask,
                source=advertised if advertised.scope else Endpoint("::" if six else "0.0.0.0", 0),
                source_port=port,
                limits=self._limits,
            )
            .addCallbacks(answered, self._failed, errbackArgs=(where,))
            .addBoth(over)
        )

    def _failed(self, failure: Failure, where: str) -> Probe:
        cause = getattr(failure.value, "__cause__", None)
        if isinstance(cause, DNSLookupError):
            return Probe(where, Reach.UNRESOLVED)
        if isinstance(cause, ConnectTimeout) and not getattr(cause, "osError", None):
            return Probe(where, Reach.SILENT, f"for {self._limits.diagnosis_seconds:g} s")
        number = getattr(cause, "osError", None)
        words = os.strerror(number) if isinstance(number, int) else failure.getErrorMessage()
        return failed_probe(where, number, words)
