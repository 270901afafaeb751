"""Requests to devices, and the redirects that they are answered with."""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, maybeDeferred

from propchange.core.limits import Limits
from propchange.core.subscriber.requests import REDIRECTS, leads_inside, redirect_url
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.core.wire.urls import Location, scoped
from propchange.errors import ConnectionFailed
from propchange.twisted.exchanges import Exchange, connect
from propchange.twisted.reactors import Reactor

__all__ = ["Answer", "Requests", "locate"]

Build = Callable[[str, Endpoint], Request]


def locate(url: str) -> Location:
    """``url`` taken apart. Raises ValueError for anything but an http URL."""
    return Location.of(url, socket.if_nametoindex)


class Answer(NamedTuple):
    """A response, the URL that gave it after redirects, and the address that did."""

    response: Response
    url: str
    peer: Endpoint


@dataclass(slots=True)
class _Asking:
    """One request, wherever redirects lead it."""

    build: Build
    source: Endpoint | None
    redirects: Collection[int]
    followed: int = 0


class Requests:
    """Makes connections to devices, one for each request, and knows which there are.

    In the end call :meth:`end`."""

    def __init__(self, reactor: Reactor, limits: Limits) -> None:
        self._reactor = reactor
        self._limits = limits
        self._under_way: dict[Exchange, Deferred[Any]] = {}
        self._open: set[Exchange] = set()

    def over(
        self,
        endpoint: Endpoint,
        use: Callable[[Exchange], Any],
        *,
        source: Endpoint | None = None,
        source_port: int = 0,
        limits: Limits | None = None,
    ) -> Deferred[Any]:
        """Connect to ``endpoint``, from the address of ``source`` when given, and end the
        connection when ``use``, which may give a Deferred, is done with it. Fires with what it
        gives; fails with that, and as :func:`~propchange.twisted.exchanges.connect`."""
        limits = limits or self._limits
        exchange = Exchange(reactor=self._reactor, limits=limits)
        connected = connect(
            self._reactor,
            endpoint,
            exchange,
            source=source,
            source_port=source_port,
            limits=limits,
        )
        if not connected.called:
            self._under_way[exchange] = connected

        def made(_: Exchange) -> Any:
            self._open.add(exchange)
            exchange.gone.addCallback(lambda _: self._open.discard(exchange))
            return use(exchange)

        def ended(result: Any) -> Any:
            self._under_way.pop(exchange, None)
            exchange.end()
            return result

        done: Deferred[Any] = connected.addCallback(made)
        return done.addBoth(ended)

    def follow(
        self,
        url: str,
        build: Build,
        *,
        source: Endpoint | None = None,
        redirects: Collection[int] = REDIRECTS,
    ) -> Deferred[Answer]:
        """Send what ``build`` makes of ``url``, or of where a redirect has led, and of the local
        end. Answers with a status in ``redirects`` are followed ``limits.redirects`` times; one
        more, or one that cannot be followed, or that
        :func:`~propchange.core.subscriber.requests.leads_inside`, is given as it came.

        Fails with ValueError for a URL that is not http, ConnectionFailed, TimedOut,
        RemoteProtocolError, and with what ``build`` raises."""
        return maybeDeferred(self._ask, url, _Asking(build, source, redirects), None)

    def _ask(self, url: str, asking: _Asking, led: Answer | None) -> Deferred[Answer]:
        endpoint = locate(url).endpoint
        for known in (asking.source, None if led is None else led.peer):
            if known is not None:
                endpoint = scoped(endpoint, known.scope)
        peers: list[Endpoint] = []

        def ask(exchange: Exchange) -> Deferred[Response] | None:
            if exchange.local is None or exchange.peer is None:
                raise ConnectionFailed("the connection has no address that events could come to")
            peers.append(exchange.peer)
            if led is not None and leads_inside(led.peer, exchange.peer):
                return None
            return exchange.request(asking.build(url, exchange.local))

        def answered(response: Response | None) -> Any:
            if response is None:
                return led
            answer = Answer(response, url, peers[0])
            led_to = redirect_url(url, response, asking.redirects)
            if led_to is None or asking.followed >= self._limits.redirects:
                return answer
            asking.followed += 1
            try:
                locate(led_to)
            except ValueError:  # a zone that this machine does not have
                return answer
            return self._ask(led_to, asking, answer)

        return self.over(endpoint, ask, source=asking.source).addCallback(answered)

    def end(self) -> list[Deferred[None]]:
        """End what is under way, which then fails. Gives what fires when the connections that there
        are have gone."""
        for exchange, connected in tuple(self._under_way.items()):
            if exchange.transport is None:
                connected.cancel()
            exchange.end()
        return [exchange.gone for exchange in self._open]
