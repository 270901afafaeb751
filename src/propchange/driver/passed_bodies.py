"""Bounds the bodies of requests that a web server of the program receives and passes on.

The caps and the shares are those of our own listener: how many requests are unfinished, how many
bytes they hold, and which one is given up when there are too many.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

from propchange.core.limits import Limits
from propchange.core.wire.messages import HeaderPairs, Request, Response
from propchange.core.wire.refusals import EMPTY, Refusal
from propchange.driver.connection_shares import ConnectionShares, HasPeer
from propchange.driver.reporting import Warnings, logger_named


class PassedBody(Protocol):
    """A request whose body is being received, or whose answer is being made."""

    held_bytes: int
    """Bytes in memory, as :meth:`PassedBodies.hold` has set it."""

    @property
    def transport(self) -> HasPeer:
        """An object with the address of the peer."""

    def shed(self) -> None:
        """Receive no more, and answer with 503."""


class PassedBodies:
    """The requests to one control point or hosted device whose bodies are being received.

    ``known`` returns the addresses with subscriptions. ``cut`` is called with a request that did
    not come whole, or that is refused before it is judged, and the reason. ``headers`` returns the
    header pairs of an answer that is made here.
    """

    def __init__(
        self,
        limits: Limits,
        now: Callable[[], float],
        *,
        known: Callable[[], Collection[str]] = frozenset,
        cut: Callable[[Request, Refusal], object] | None = None,
        headers: Callable[[], HeaderPairs] = tuple,
    ) -> None:
        self.limits = limits
        self.warnings = Warnings(logger_named("propchange.http"), limits)
        self._cut = cut
        self._headers = headers
        self._shares = ConnectionShares(limits, known, now)
        self._arriving: dict[PassedBody, None] = {}  # in the order of their beginning
        self._held_bytes = 0

    def admit(self, body: PassedBody) -> bool:
        """Add ``body`` if there is room, and return whether there is. The body of another request
        may be given up for it."""
        host = body.transport.peer.host
        if self._shares.full or self._shares.full_for(host):
            ending = self._shares.making_room(host, (self._arriving,))
            if ending is None:
                return False
            self.forget(ending)
            ending.shed()
        self._arriving[body] = None
        self._shares.add(host)
        return True

    def hold(self, body: PassedBody, held_bytes: int) -> None:
        """Note that ``body`` holds ``held_bytes``. If all bodies together hold too many bytes, some
        that are being received are given up, perhaps this one."""
        self._held_bytes += held_bytes - body.held_bytes
        body.held_bytes = held_bytes
        while self._held_bytes > self.limits.held_bytes:
            ending = self._shares.shedding(self._arriving)
            if ending is None:
                return
            self.forget(ending)
            ending.shed()

    def complete(self, body: PassedBody) -> None:
        """``body`` is whole. It is held until :meth:`forget` is called, when the answer is made."""
        if self._arriving.pop(body, body) is None:
            self._shares.remove(body.transport.peer.host)

    def forget(self, body: PassedBody) -> None:
        """``body`` is needed no more, or was given up."""
        self.complete(body)
        self._held_bytes -= body.held_bytes
        body.held_bytes = 0

    def cut(self, request: Request, refusal: Refusal) -> None:
        """Report a request that did not come whole, or cannot be read. The status of ``refusal`` is
        that of the answer, 0 if there is none."""
        if self._cut is not None:
            self._cut(request, refusal)

    def refuse(self, status: int, http_version: str = "1.1") -> Response:
        """The answer to a request that is not passed on. It ends the connection."""
        headers = (*self._headers(), EMPTY)
        return Response(status, headers, http_version=http_version, close=True)
