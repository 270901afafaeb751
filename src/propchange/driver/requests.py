"""One request to a device: SUBSCRIBE, UNSUBSCRIBE, or GET for a document.

Each request has its own connection, directly to the device. The proxies of the environment are not
used: through a proxy, a CALLBACK of this network would reach another network.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import NamedTuple

from propchange.core.limits import Limits
from propchange.core.local_addresses import LocalAddress, address_of
from propchange.core.subscriber.requests import (
    REDIRECTS,
    SHORTAGES,
    Failure,
    authority_and_target,
    failure_of_errno,
    redirect_url,
)
from propchange.core.url_hosts import is_here, judge_url_host
from propchange.core.wire.messages import Endpoint, HeaderPairs, Request, Response
from propchange.core.wire.urls import endpoint_of_url, scoped, with_zone
from propchange.driver.descriptors import DESCRIPTORS
from propchange.driver.host_names import HostNames
from propchange.driver.runtime import Armed, Future, Runtime, Signal, Transport, settle
from propchange.driver.sockets import zone_of
from propchange.errors import (
    ConnectionFailed,
    DescriptionError,
    PropchangeError,
    RemoteProtocolError,
    TimedOut,
)
from propchange.http import ResponseParser, encode_request

DOCUMENT_REDIRECTS = frozenset({301, 302, 303, 307, 308})
"""The statuses with which devices redirect a GET."""


ELSEWHERE = Endpoint("", 0)
"""An unknown host: the sender of an announcement that the program has received elsewhere."""


def _rounded(seconds: float) -> str:
    return f"{seconds:.1f}".removesuffix(".0") if seconds >= 1 else f"{seconds:.2g}"


def locate(url: str) -> Endpoint:
    """The endpoint that ``url`` names. Raises ValueError if it is not an http URL."""
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


class Answer(NamedTuple):
    """A response, the URL that gave it after redirects, and the two ends of the connection.
    ``refused`` is the reason for which a redirect was not followed, else empty."""

    response: Response
    url: str
    local: Endpoint
    peer: Endpoint
    refused: str = ""


class Exchange:
    """A connection that carries one request to a device (a :class:`.Connection`).

    Call :meth:`connect`, then :meth:`send`, and in the end :meth:`end`. ``local`` and ``peer`` are
    the ends of the connection once it is open. ``endpoint`` has an IP literal; ``named`` is the
    endpoint in the URL, for the texts of errors.
    """

    def __init__(self, requests: Requests, endpoint: Endpoint, named: Endpoint) -> None:
        self._requests = requests
        self._endpoint = endpoint
        self._named = str(named) if named == endpoint else f"{named} ({endpoint.host})"
        self._parser = ResponseParser(requests.limits)
        self._connected: Future[Exception | None] = requests.runtime.future()
        self._outcome: Future[Response | PropchangeError] = requests.runtime.future()
        self._early: bytes | None = b""  # received before the request was sent; None after that
        self._transport: Transport | None = None
        self._attempt: Armed | None = None
        self._alarm: Armed | None = None
        self._taken = False  # the device has accepted the request, perhaps before it has read it
        self.local = self.peer = endpoint

    async def connect(
        self, source: Endpoint | None, seconds: float, within: float | None = None
    ) -> None:
        """Connect within ``seconds``, from the address of ``source`` if given. The text of the
        error names the time ``within`` for all addresses of a name; None: ``seconds``. Raises
        ConnectionFailed, whose cause is the OSError."""
        failed: Callable[[OSError], None] = partial(settle, self._connected)
        try:
            self._attempt = self._requests.runtime.connect(
                self, self._endpoint, source=source, seconds=seconds, failed=failed
            )
            error = await self._connected
        except (OSError, ValueError) as unusable:  # not a valid host
            error = unusable
        if isinstance(error, PropchangeError):
            raise error
        if error is not None:
            cause = error if isinstance(error, OSError) else OSError(str(error))
            if cause.errno in SHORTAGES:
                DESCRIPTORS.short(cause, 1)  # so that the next attempt has a descriptor
            whole = seconds if within is None else within
            reason = words_of(cause) or f"no answer within {_rounded(whole)} s"
            raise ConnectionFailed(f"no connection to {self._named}: {reason}") from cause

    async def send(self, request: Request, seconds: float, within: float | None = None) -> Response:
        """Send ``request`` and wait for the response, for ``seconds`` at most. The text of TimedOut
        names the time ``within`` of the whole request; None: ``seconds``. Raises ConnectionFailed
        if the connection breaks, TimedOut, and RemoteProtocolError if the answer is not HTTP."""
        encoded = encode_request(request)
        self._parser.expect(request.method)
        if not self._outcome.done():
            assert self._transport is not None
            alarm = partial(self._time_out, seconds if within is None else within)
            self._alarm = self._requests.runtime.call_later(max(seconds, 0.001), alarm)
            self._transport.write(encoded)
            early, self._early = self._early, None
            if early:
                self.data_received(early)
        outcome = await self._outcome
        if isinstance(outcome, Response):
            return outcome
        raise outcome

    def end(self) -> None:
        """End the connection, or the attempt to make it, now. What is unwritten of a request that
        the device has accepted already has ``Limits.linger_seconds`` to leave."""
        if self._alarm is not None:
            self._alarm.cancel()
        transport = self._transport
        if transport is not None:
            # Twisted aborts with a reset. Only a device that does not read needs that.
            if not transport.unwritten():
                transport.close()
            elif self._taken and not transport.is_closing():
                seconds = self._requests.limits.linger_seconds
                self._alarm = self._requests.runtime.call_later(seconds, self.end)
                transport.close()
            else:
                transport.abort()
        elif self._attempt is not None:
            self._attempt.cancel()
            self._requests.gone(self)

    def give_up(self) -> None:
        """End the exchange. The coroutine that waits for it gets a ConnectionFailed."""
        self.end()
        settle(self._connected, self._lost("was given up"))

    def _time_out(self, seconds: float) -> None:
        within = f"within {_rounded(seconds)} s"
        settle(self._outcome, TimedOut(f"{self._named} did not answer {within}"))

    def _lost(self, how: str) -> ConnectionFailed:
        error = ConnectionFailed(f"the connection to {self._named} {how}")
        settle(self._outcome, error)
        return error

    # --- for the runtime ---

    def connection_made(self, transport: Transport) -> None:
        """The connection can be used."""
        self._transport = transport
        self.local, self.peer = transport.local, transport.peer
        if self._connected.done():  # cancelled, or given up
            transport.abort()
        else:
            self._connected.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Bytes of the answer were received."""
        if self._early is not None:
            self._early += data
        elif responses := self._parser.feed(data):
            self._taken = 200 <= responses[0].status < 300
            settle(self._outcome, responses[0])
        elif self._parser.error is not None:
            settle(self._outcome, self._parser.error)

    def eof_received(self) -> bool:
        """The device has ended its stream. An answer without a length is complete now."""
        if (response := self._parser.end()) is not None:
            settle(self._outcome, response)
        self._lost("ended before the answer was whole")
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """The connection has ended."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._lost(f"broke before the answer was whole: {error}" if error else "was closed")
        self._requests.gone(self)

    def pause_writing(self) -> None:
        """Nothing to do: a request is one write."""

    resume_writing = eof_sent = pause_writing


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
        self._open: dict[Exchange, None] = {}
        self._empty = Signal(runtime)

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

        Raises ConnectionFailed as :meth:`Exchange.connect`, and DescriptionError if the URL may not
        lead to any of the addresses. Nothing is sent to such an address."""
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
        giver: Endpoint | None = None,
    ) -> Answer:
        """Connect to the host of ``url``, from the address of ``source`` if given, send
        ``build(url, local)``, where ``local`` is this end of the connection, and return the answer.

        ``giver`` is the host that gave the URL, in a description; None: the program. The URL of a
        device must lead where :meth:`judge` allows, and so must each redirect. Redirects with a
        status in ``redirects`` are followed, ``limits.redirects`` at most. A further redirect, or
        one that is not allowed, is returned as the answer. All of it takes ``seconds`` at most,
        ``limits.request_seconds`` if None.

        Raises ValueError for a URL that is not http and for a link-local one without a zone,
        DescriptionError for one that is not allowed, ConnectionFailed without a connection or if it
        breaks, TimedOut, RemoteProtocolError if the answer is not HTTP, and the exceptions of
        ``build``.
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
                exchange = await self.open(
                    endpoint,
                    source=source and source._replace(port=0),
                    seconds=min(self.limits.connect_seconds, until - now()),
                    giver=answer.peer if answer else giver,
                )
            except DescriptionError as error:
                if answer is None:
                    raise
                return answer._replace(refused=f"the redirect is not followed: {error}")
            try:
                response = await exchange.send(
                    build(url, exchange.local), until - now(), within=seconds
                )
            finally:
                exchange.end()
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

    async def fetch(
        self,
        url: str,
        *,
        headers: HeaderPairs = (),
        source: Endpoint | None = None,
        redirects: Collection[int] = DOCUMENT_REDIRECTS,
        giver: Endpoint | None = None,
    ) -> Answer:
        """GET a description or another document, as :meth:`follow` does, with the redirects that
        devices use for GET. ``headers`` are sent beside HOST and CONNECTION."""

        def build(url: str, local: Endpoint) -> Request:
            authority, target = authority_and_target(url.strip())
            host = (b"HOST", authority.encode("ascii"))
            return Request("GET", target, (host, *headers, (b"CONNECTION", b"close")))

        return await self.follow(url, build, source=source, redirects=redirects, giver=giver)

    def gone(self, exchange: Exchange) -> None:
        """For an exchange: its connection has ended."""
        self._open.pop(exchange, None)
        if not self._open:
            self._empty.set()

    async def close(self) -> None:
        """End all exchanges, which then fail, and wait until no connection is left."""
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


def words_of(error: OSError) -> str:
    """The system's text for the error, without additions by a runtime or errno."""
    if isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    return os.strerror(error.errno) if error.errno else str(error)
