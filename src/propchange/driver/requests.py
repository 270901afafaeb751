"""One request to a device: SUBSCRIBE, UNSUBSCRIBE, GET for a document, or the call of an action.

Each request has its own connection, directly to the device; calls in a row share one. The proxies
of the environment are not used: through a proxy, a CALLBACK of this network would reach another
network.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

from propchange.core.limits import Limits
from propchange.core.local_addresses import LocalAddress, address_of
from propchange.core.subscriber.events import Status, StatusChange
from propchange.core.subscriber.requests import (
    REDIRECTS,
    Failure,
    authority_and_target,
    failure_of_errno,
    redirect_url,
)
from propchange.core.url_hosts import is_here, judge_url_host
from propchange.core.wire.messages import Endpoint, HeaderPairs, Request, Response
from propchange.core.wire.urls import endpoint_of_url, scoped, with_zone
from propchange.driver.exchange import Exchange, words_of
from propchange.driver.host_names import HostNames
from propchange.driver.kept_connections import KeptConnections, Route
from propchange.driver.runtime import Runtime, Signal
from propchange.driver.sockets import zone_of
from propchange.errors import (
    ConnectionFailed,
    DescriptionError,
    PropchangeError,
    RemoteProtocolError,
    SubscriptionRefused,
)

DOCUMENT_REDIRECTS = frozenset({301, 302, 303, 307, 308})
"""The statuses with which devices redirect a GET."""


class ControlPointClosed(RuntimeError):
    """The control point is closed, or is being closed: it takes no more work."""


ELSEWHERE = Endpoint("", 0)
"""An unknown host: the sender of an announcement that the program has received elsewhere."""


def locate(url: str) -> Endpoint:
    """The endpoint that ``url`` names. Raises ValueError if it is not an http URL."""
    if "%" in url:  # perhaps a zone, whose interface may get another index
        return endpoint_of_url(url, socket.if_nametoindex)
    return _locate_without_zone(url)


@lru_cache(maxsize=256)  # calls go to few URLs
def _locate_without_zone(url: str) -> Endpoint:
    return endpoint_of_url(url, socket.if_nametoindex)


def on_link_of(url: str, scope: int) -> str:
    """``url``; if its host is a link-local IPv6 literal, with the zone of the interface ``scope``.
    A URL from the network has no zone, or one of another machine."""
    return with_zone(url, zone_of(scope)) if scope else url


def _check_zone(url: str, endpoint: Endpoint) -> None:
    """Raise ValueError for a link-local ``endpoint`` without a scope id."""
    address = address_of(endpoint.host)
    if endpoint.scope or address is None or not (address.version == 6 and address.is_link_local):
        return
    example = f"http://[{address}%{_some_interface()}]:{endpoint.port}/"
    raise ValueError(
        f"{url!r} has the link-local address {address}, which may be on any link of this machine: "
        f"write the interface into the URL, as in {example}"
    )


def _some_interface() -> str:
    try:
        names = [name for index, name in socket.if_nameindex() if index]
    except OSError:
        names = []
    return next((name for name in names if name != "lo"), "eth0")


class KeptConnectionBroke(ConnectionFailed):
    """A connection that was kept from an earlier request has ended without an answer."""


class Answer(NamedTuple):
    """A response, the URL that gave it after redirects, and the two ends of the connection.
    ``refused`` is the reason for which a redirect was not followed, else empty."""

    response: Response
    url: str
    local: Endpoint
    peer: Endpoint
    refused: str = ""


class Sender(Protocol):
    """Sends SUBSCRIBE, renewals and UNSUBSCRIBE for a control point."""

    async def follow(
        self,
        url: str,
        build: Callable[[str, Endpoint], Request],
        *,
        source: Endpoint | None,
        seconds: float,
        giver: Endpoint | None,
    ) -> Answer:
        """Send a request and return its answer, as :meth:`.Requests.follow` does."""

    async def close(self) -> None:
        """End all requests, which then fail."""


class Requests:
    """Sends requests to devices, and has the list of their connections. In the end call
    :meth:`close`.

    ``own`` gives the addresses of this machine. ``other_hosts``: a URL that a device gave may lead
    to another host on its link (:func:`.judge_url_host`). ``excluded`` returns whether an address
    of this machine is not used: nothing is sent from it. ``source_of`` returns the address to
    connect from to an endpoint, if the caller gives none; None: any. ``way_to`` returns the address
    that the system would choose then; None: it is not known before the connection is open.
    """

    def __init__(
        self,
        runtime: Runtime,
        limits: Limits,
        *,
        own: Callable[[], Sequence[LocalAddress]] = tuple,
        other_hosts: bool = False,
        excluded: Callable[[Endpoint], bool] = lambda _: False,
        source_of: Callable[[Endpoint], Endpoint | None] = lambda _: None,
        way_to: Callable[[Endpoint], Endpoint | None] = lambda _: None,
    ) -> None:
        self.runtime = runtime
        self.limits = limits
        self.names = HostNames(runtime, limits)
        self._own = own
        self._other_hosts = other_hosts
        self._excluded = excluded
        self._source_of = source_of
        self._way_to = way_to
        self.kept = KeptConnections(limits)
        self._open: dict[Exchange, None] = {}
        self._empty = Signal(runtime)
        self._closed = False

    def judge(self, led_to: Endpoint, giver: Endpoint) -> None:
        """Judge the address ``led_to`` of a URL that the host ``giver`` gave. Raises ValueError
        with the reason, as :func:`.judge_url_host`. A URL from :data:`ELSEWHERE` may lead to every
        host except this machine."""
        if giver is not ELSEWHERE:
            judge_url_host(led_to, giver, self._own(), other_hosts=self._other_hosts)
        elif is_here(led_to, self._own()):
            raise ValueError(f"it leads to {led_to.host}, this machine itself")

    def exchange(self, endpoint: Endpoint, named: Endpoint | None = None) -> Exchange:
        """An exchange with ``endpoint``, an IP literal. The caller connects and ends it."""
        exchange = Exchange(self, endpoint, named or endpoint)
        self._open[exchange] = None
        return exchange

    async def open(
        self,
        named: Endpoint,
        *,
        source: Endpoint | None,
        seconds: float,
        giver: Endpoint | None = None,
    ) -> Exchange:
        """Connect to the first address of ``named`` that accepts, from the address of ``source`` if
        given, within ``seconds``. Each address has an equal part of the time that is left, because
        those of one IP version may all be silent. The caller ends the exchange. ``giver`` is the
        host that gave the URL; None: the program.

        Raises ConnectionFailed as :meth:`.Exchange.connect` and after :meth:`close`, and
        DescriptionError if the URL may not lead to any of the addresses. Nothing is sent to such an
        address."""
        if self._closed:
            raise ConnectionFailed(f"no connection to {named}: the control point was closed")
        self.kept.end_to(named)
        until = self.runtime.now() + seconds
        failure: PropchangeError | None = None
        addresses = await self._addresses(named, source, seconds)
        for tried, endpoint in enumerate(addresses):
            begin = source or self._source_of(endpoint)
            try:
                if giver is not None:
                    self.judge(endpoint, giver)
                self._check_way(named, begin or self._way_to(endpoint))
            except ConnectionFailed as error:
                failure = error
                continue
            except ValueError as error:
                failure = failure or DescriptionError(f"{named} is not asked: {error}")
                continue
            exchange = self.exchange(endpoint, named)
            try:
                left = max((until - self.runtime.now()) / (len(addresses) - tried), 0.001)
                await exchange.connect(begin, left, within=seconds)
                self._check_way(named, exchange.local)
            except BaseException as error:
                exchange.end()
                if not isinstance(error, ConnectionFailed):
                    raise
                failure = error
            else:
                self.names.worked(named, endpoint)
                return exchange
        assert failure is not None
        raise failure

    def _check_way(self, named: Endpoint, local: Endpoint | None) -> None:
        """Raise ConnectionFailed if the way to ``named`` begins at ``local``, an excluded address
        of this machine; None: not known yet."""
        if local is not None and self._excluded(local):
            raise ConnectionFailed(
                f"no connection to {named}: the way there begins at {local.host}, "
                "an address that is not to be used (interface=, exclude=)"
            )

    async def _addresses(
        self, named: Endpoint, source: Endpoint | None, seconds: float
    ) -> Sequence[Endpoint]:
        """The addresses of ``named``, of the family of ``source``; at least one."""
        try:
            found = await self.names.addresses(named, seconds)
            if named not in found and source is not None:
                six = ":" in source.host
                found = [each for each in found if (":" in each.host) is six]
            if not found:
                raise socket.gaierror(socket.EAI_NONAME, "no address of the source's family")
        except OSError as error:
            reason = f"the name {named.host} cannot be resolved: {words_of(error)}"
            raise ConnectionFailed(f"no connection to {named}: {reason}") from error
        return found

    async def follow(
        self,
        url: str,
        build: Callable[[str, Endpoint], Request],
        *,
        source: Endpoint | None = None,
        redirects: Collection[int] = REDIRECTS,
        seconds: float | None = None,
        within: float | None = None,
        giver: Endpoint | None = None,
        kept_for: Callable[[], float] | None = None,
    ) -> Answer:
        """Connect to the host of ``url``, from the address of ``source`` if given, send
        ``build(url, local)``, where ``local`` is this end of the connection, and return the answer.

        ``giver`` is the host that gave the URL, in a description; None: the program. The URL of a
        device must lead where :meth:`judge` allows, and so must each redirect. Redirects with a
        status in ``redirects`` are followed, ``limits.redirects`` at most. A further redirect, or
        one that is not allowed, is returned as the answer. All of it takes ``seconds`` at most,
        ``limits.request_seconds`` if None. The text of TimedOut names the time ``within``, if the
        time began before. ``kept_for``: use an idle connection if there is one, and keep the
        connection afterwards for the seconds that this function returns. None: the request has a
        connection of its own.

        Raises ValueError for a URL that is not http and for a link-local one without a zone,
        DescriptionError for one that is not allowed, ConnectionFailed without a connection or if it
        breaks (KeptConnectionBroke for one that was kept), TimedOut, RemoteProtocolError if the
        answer is not HTTP, and the exceptions of ``build``.
        """
        named = locate(url)
        now = self.runtime.now
        seconds = self.limits.request_seconds if seconds is None else seconds
        until = now() + seconds
        answer: Answer | None = None
        for _ in range(self.limits.redirects + 1):
            endpoint = named
            if answer is None:
                # Without a zone, a link-local host is on the link of the source.
                begins = source or self._source_of(endpoint)
                endpoint = endpoint if begins is None else scoped(endpoint, begins.scope)
                _check_zone(url, endpoint)
            try:
                route = Route(endpoint, answer.peer if answer else giver)
                exchange = self._kept_exchange(route, source) if kept_for is not None else None
                was_kept = exchange is not None
                if exchange is None:
                    exchange = await self.open(
                        endpoint,
                        source=source and source._replace(port=0),
                        seconds=min(self.limits.connect_seconds, until - now()),
                        giver=route.giver,
                    )
            except DescriptionError as error:
                if answer is None:
                    raise
                return answer._replace(refused=f"the redirect is not followed: {error}")
            try:
                response = await exchange.send(
                    build(url, exchange.local), until - now(), within=within or seconds
                )
            except BaseException as error:
                exchange.end()
                if was_kept and isinstance(error, ConnectionFailed):
                    raise KeptConnectionBroke(*error.args) from error
                raise
            self.kept.keep(exchange, route, 0.0 if kept_for is None else kept_for())
            answer = Answer(response, url, exchange.local, exchange.peer)
            led_to = redirect_url(url, response, redirects)
            if led_to is None:
                return answer
            led_to = on_link_of(led_to, answer.peer.scope)
            try:
                named = locate(led_to)
            except ValueError:  # a zone that this machine does not have
                return answer
            url = led_to
        assert answer is not None
        return answer

    def _kept_exchange(self, route: Route, source: Endpoint | None) -> Exchange | None:
        """An idle connection for ``route``. It is judged as a new connection is, because the
        addresses of this machine may have changed."""
        begin = source or self._source_of(route.named)

        def allowed(exchange: Exchange) -> bool:
            try:
                if route.giver is not None:
                    self.judge(exchange.peer, route.giver)
                self._check_way(route.named, exchange.local)
            except (ConnectionFailed, ValueError):
                return False
            return begin is None or begin.host == exchange.local.host

        return self.kept.take(route, allowed)

    async def fetch(
        self,
        url: str,
        *,
        headers: HeaderPairs = (),
        source: Endpoint | None = None,
        redirects: Collection[int] = DOCUMENT_REDIRECTS,
        seconds: float | None = None,
        giver: Endpoint | None = None,
    ) -> Answer:
        """GET a description or another document, as :meth:`follow` does, with the redirects that
        devices use for GET. ``headers`` are sent beside HOST and CONNECTION."""

        def build(url: str, local: Endpoint) -> Request:
            authority, target = authority_and_target(url.strip())
            host = (b"HOST", authority.encode("ascii"))
            return Request("GET", target, (host, *headers, (b"CONNECTION", b"close")))

        return await self.follow(
            url, build, source=source, redirects=redirects, seconds=seconds, giver=giver
        )

    def gone(self, exchange: Exchange) -> None:
        """For an exchange: its connection has ended."""
        self._open.pop(exchange, None)
        if not self._open:
            self._empty.set()

    async def close(self) -> None:
        """End all exchanges, which then fail, and wait until no connection is left."""
        self._closed = True
        self.names.close()
        for exchange in tuple(self._open):
            exchange.give_up()
        if self._open:
            await self._empty.wait()


def failure_of(error: BaseException, source: Endpoint | None = None) -> Failure:
    """The Failure of a request that ended with ``error``. ``source`` is the address that the
    request was sent from, if one was given."""
    if isinstance(error, (DescriptionError, ValueError, LookupError)):
        return Failure.DESCRIPTION
    if not isinstance(error, ConnectionFailed):
        return Failure.BROKEN if isinstance(error, RemoteProtocolError) else Failure.SILENCE
    cause = error.__cause__
    if not isinstance(cause, OSError):
        return Failure.BROKEN
    if isinstance(cause, TimeoutError) and cause.errno is None:
        return Failure.UNREACHABLE  # A host that is present answers a SYN or refuses it.
    return failure_of_errno(cause.errno, bound=source is not None)


def refusal_of(change: StatusChange, event_url: str) -> PropchangeError | None:
    """The error for a program that waits for the grant, if ``change`` means that no grant follows;
    else None."""
    if change.status is Status.CLOSED:
        return ConnectionFailed(f"{event_url}: the subscription was closed before it was granted")
    if change.status is not Status.REFUSED:
        return None
    reason = f"{event_url}: {change.reason}"
    if change.http_status:
        return SubscriptionRefused(reason, status=change.http_status)
    return ConnectionFailed(reason)
