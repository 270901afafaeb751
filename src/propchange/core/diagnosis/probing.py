"""Probes of a diagnosis: connections to the device and to the own listener, as facts."""

from __future__ import annotations

import dataclasses
import errno
from collections.abc import Callable, Sequence

from propchange.core.diagnosis.facts import Facts, Probe, Reach
from propchange.core.local_addresses import LocalAddress
from propchange.core.wire.messages import Endpoint, Request, Response

__all__ = ["OwnProbes", "failed_probe", "with_probes", "with_surroundings"]

_REFUSED = (errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED)

_ABSENT = (errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ETIMEDOUT)
"""There is a route, but no host answers: on the same link, the answer to ARP is missing."""


def failed_probe(where: str, number: int | None, words: str) -> Probe:
    """The probe of ``where`` that failed with the errno ``number`` (None: without an errno) and the
    system's message ``words``."""
    if number in _REFUSED:
        return Probe(where, Reach.REFUSED, "" if number == errno.ECONNREFUSED else words)
    if number in _ABSENT:
        return Probe(where, Reach.SILENT, words)
    return Probe(where, Reach.UNREACHABLE, words)


class OwnProbes:
    """Requests to the own listener, each with a secret target."""

    def __init__(self, new_token: Callable[[], str]) -> None:
        self._new_token = new_token
        self._come: dict[str, bool] = {}
        self.targets = self._come.keys()
        """The targets of the pending requests."""

    def begin(self) -> str:
        """The target of a new request. Call :meth:`end` with it later."""
        target = f"/{self._new_token()}"
        self._come[target] = False
        return target

    def answer(self, request: Request) -> Response:
        """For the listener: the answer to a request for one of :attr:`targets`."""
        self._come[request.target] = True
        return Response(200, ((b"CONTENT-LENGTH", b"0"),), close=True)

    def has_come(self, target: str) -> bool:
        """Whether the listener has received the request. If not, another program answers there."""
        return self._come[target]

    def end(self, target: str) -> None:
        """Forget the request for ``target``."""
        del self._come[target]


def with_probes(
    before: Facts, after: Facts, device_probe: Probe | None, self_connect: Probe | None
) -> Facts:
    """``after`` with the results of two probes. ``before`` are the facts from before the probes."""
    if after.advertised != before.advertised:
        self_connect = None  # CALLBACK has changed during the probe.
    return dataclasses.replace(after, device_probe=device_probe, self_connect=self_connect)


def with_surroundings(
    facts: Facts,
    *,
    listening: Sequence[Endpoint],
    own: tuple[LocalAddress, ...],
    in_container: bool,
    source: Endpoint | None,
    source_towards: Callable[[Endpoint], str | None],
) -> Facts:
    """``facts`` with the facts of this machine: where it listens, its addresses, and whether it is
    a container. ``source`` is the address that all requests are sent from. None: the system chooses
    it, and ``source_towards`` returns its choice for a device."""
    chosen = None if source is None else source.host
    if source is None and facts.device is not None:
        chosen = source_towards(Endpoint(facts.device, 0))
    return dataclasses.replace(
        facts,
        listening=tuple(listening),
        own=own,
        in_container=in_container,
        source=chosen,
    )
