"""What connecting to see who answers comes to, as facts of a diagnosis."""

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
"""There is a way, and nobody at its end: on the own link the answer to ARP is missing."""


def failed_probe(where: str, number: int | None, words: str) -> Probe:
    """What an error of the system says about who is at ``where``: its errno, None where there is
    none, and its words."""
    if number in _REFUSED:
        return Probe(where, Reach.REFUSED, "" if number == errno.ECONNREFUSED else words)
    if number in _ABSENT:
        return Probe(where, Reach.SILENT, words)
    return Probe(where, Reach.UNREACHABLE, words)


class OwnProbes:
    """Requests to the own listener, for targets that nobody else knows."""

    def __init__(self, new_token: Callable[[], str]) -> None:
        self._new_token = new_token
        self._come: dict[str, bool] = {}
        self.targets = self._come.keys()
        """The targets of the requests that are under way."""

    def begin(self) -> str:
        """The target for one; :meth:`end` must follow."""
        target = f"/{self._new_token()}"
        self._come[target] = False
        return target

    def answer(self, request: Request) -> Response:
        """For the listener: the answer to a request for one of :attr:`targets`."""
        self._come[request.target] = True
        return Response(200, ((b"CONTENT-LENGTH", b"0"),), close=True)

    def has_come(self, target: str) -> bool:
        """Whether the listener has had it: else it is somebody else who answers there."""
        return self._come[target]

    def end(self, target: str) -> None:
        """It is over."""
        del self._come[target]


def with_probes(
    before: Facts, after: Facts, device_probe: Probe | None, self_connect: Probe | None
) -> Facts:
    """``after`` with what connecting came to, which began when ``before`` was known."""
    if after.advertised != before.advertised:
        self_connect = None  # Meanwhile another address has been tried.
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
    """``facts`` with what can be seen of this machine: where it listens, its addresses, and
    whether it is a container. ``source`` is the address that everything is sent from, None for the
    system's choice, which ``source_towards`` a device gives."""
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
