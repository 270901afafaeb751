"""Idle connections to devices, which the next calls of actions use."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from propchange.core.limits import Limits
from propchange.core.wire.messages import Endpoint
from propchange.driver.exchange import Exchange


class Route(NamedTuple):
    """``named`` is the endpoint in a URL. ``giver`` is the host whose description has the URL;
    None: the program gave it. A connection is used again only for the same route, because the rules
    for where a URL may lead depend on the giver."""

    named: Endpoint
    giver: Endpoint | None


class KeptConnections:
    """The idle connections of one control point: ``Limits.kept_connections`` at most,
    ``Limits.kept_connections_per_device`` to one endpoint. Beyond that, the oldest are ended."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._idle: dict[Exchange, Route] = {}  # the oldest first

    def __len__(self) -> int:
        return len(self._idle)

    def keep(self, exchange: Exchange, route: Route, seconds: float) -> None:
        """Keep ``exchange`` for ``seconds`` if it is reusable; else end it."""
        if not exchange.reusable or seconds <= 0:
            exchange.end()
            return
        same = [each for each, other in self._idle.items() if other.named == route.named]
        if len(same) >= self._limits.kept_connections_per_device:
            same[0].end()
        elif len(self._idle) >= self._limits.kept_connections:
            next(iter(self._idle)).end()
        self._idle[exchange] = route
        exchange.keep(seconds, self._unkept)

    def _unkept(self, exchange: Exchange) -> None:
        self._idle.pop(exchange, None)

    def take(self, route: Route, allowed: Callable[[Exchange], bool]) -> Exchange | None:
        """The connection for ``route`` that was used last and is ``allowed``; None without one.
        Connections that cannot be used again are ended."""
        for exchange, other in reversed(tuple(self._idle.items())):
            if other == route:
                del self._idle[exchange]
                if exchange.reuse() and allowed(exchange):
                    return exchange
                exchange.end()
        return None

    def end_to(self, named: Endpoint) -> None:
        """End the idle connections to ``named``, before another connection to it is made. A device
        that serves one connection at a time would not answer on the other one."""
        for exchange, route in tuple(self._idle.items()):
            if route.named == named:
                exchange.end()
