"""AiohttpNotifyServer of async_upnp_client, on the listener of propchange."""

from __future__ import annotations

import asyncio
import socket
import weakref
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from async_upnp_client.client import UpnpRequester
from async_upnp_client.const import AddressTupleVXType
from async_upnp_client.exceptions import UpnpServerOSError

from propchange.asyncio.runtime import AsyncioRuntime
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.local_addresses import address_of
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.core.wire.refusals import Refusal
from propchange.driver.listener import Listener
from propchange.driver.machine import has_address
from propchange.driver.reporting import logger_named
from propchange.dropin.async_upnp_client.event_handler import ListeningServer, UpnpEventHandler
from propchange.dropin.async_upnp_client.service_subscription import ServiceDriver

_LOGGER = logger_named("propchange.subscriber")


class AiohttpNotifyServer(ListeningServer):
    """Receives the events of devices at one URL, for its :attr:`event_handler`.

    ``source`` is the address to listen on, and the port, 0 for any. ``callback_url`` is the URL in
    CALLBACK instead of that of the listener, for a proxy or NAT in front; its path may be any. The
    name is that of async_upnp_client; the server is that of propchange, with its caps and guards.
    """

    def __init__(
        self,
        requester: UpnpRequester,
        source: AddressTupleVXType,
        callback_url: str | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._source: tuple[Any, ...] = source
        self._callback_url = callback_url
        self._loop = loop or asyncio.get_event_loop()
        self._listener: Listener | None = None
        self._handlers: weakref.WeakSet[UpnpEventHandler] = weakref.WeakSet()
        self.event_handler = UpnpEventHandler(self, requester)

    def _join(self, handler: UpnpEventHandler) -> None:
        self._handlers.add(handler)

    def _driver_made(self, handler: UpnpEventHandler, driver: ServiceDriver) -> None:
        if handler is self.event_handler and self._listener is not None:
            self._listener.history = driver.history

    @property
    def _place(self) -> Callable[[Endpoint], Awaitable[Endpoint]] | None:
        return None if self._callback_url else self._listen_towards

    async def _listen_towards(self, local: Endpoint) -> Endpoint:
        """The address to put into CALLBACK for a device that the system reaches from ``local``: the
        one of ``source``. If this machine has that address no more, the server listens on ``local``
        too."""
        listener, listening = self._listener, self.listen_ip
        if listening.is_unspecified:
            return local
        source = Endpoint.of(str(self._source[0]).partition("%")[0], 0, _scope(self._source))
        is_there = listening.is_loopback or local.host == source.host or has_address(source)
        if listener is None or is_there:
            return source
        if local.scoped_host not in listener.hosts:
            try:
                await listener.open(local.scoped_host, (self.listen_port,))
            except OSError as error:
                _LOGGER.warning("no server for events at %s: %s", local, error)
                return source
            _LOGGER.warning(
                "%s is no longer an address of this machine: events are received at %s",
                source.host,
                local.host,
            )
        return local

    async def async_start_server(self) -> None:
        """Begin to listen. Raises UpnpServerOSError if the port is taken, or the address is not one
        of this machine."""
        if self._listener is not None:
            await self._listener.close()
        listener = Listener(
            AsyncioRuntime(),
            self._receive,
            limits=DEFAULT_LIMITS,
            cut=self._cut,
            wasted=self._wasted,
            known=self._device_addresses,
        )
        try:
            await listener.open(await self._resolved(), (self._source[1],))
        except OSError as error:
            _LOGGER.error(
                "no server for events at %s:%d: %s", self._source[0], self._source[1], error
            )
            await listener.close()
            failure = UpnpServerOSError(errno=error.errno, strerror=error.strerror)
            failure.errno, failure.strerror = error.errno, error.strerror
            raise failure from error
        self._listener = listener
        end = listener.endpoints[0]
        self._source = (end.host, end.port, 0, end.scope) if ":" in end.host else end[:2]

    async def _resolved(self) -> str:
        """The address of ``source``, which may be a name."""
        host = _scoped(self._source)
        if address_of(host.partition("%")[0]) is not None:
            return host
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        return str(found[0][4][0])

    async def async_stop_server(self) -> None:
        """End all subscriptions, and stop listening."""
        for handler in tuple(self._handlers):
            await handler.async_unsubscribe_all()
        listener, self._listener = self._listener, None
        if listener is not None:
            await listener.close()

    # --- requests ---

    def _handler_for(self, request: Request) -> UpnpEventHandler:
        if len(self._handlers) == 1:
            return self.event_handler
        for handler in self._handlers:
            if handler._expects(request):
                return handler
        subscribing = (each for each in self._handlers if each._subscribes)
        return next(subscribing, self.event_handler)

    def _receive(self, request: Request) -> Response:
        return self._handler_for(request)._receive(request)

    def _cut(self, request: Request, refusal: Refusal) -> bool:
        return self._handler_for(request)._cut(request, refusal)

    def _wasted(self, peer: Endpoint, reason: str, unreadable: bool) -> None:
        for handler in self._handlers:
            if handler._driver is not None:
                handler._driver._connection_wasted(peer, reason, unreadable)

    def _device_addresses(self) -> frozenset[str]:
        drivers = (handler._driver for handler in self._handlers)
        return frozenset[str]().union(
            *(each._device_addresses() for each in drivers if each is not None)
        )

    # --- reading ---

    @property
    def listen_ip(self) -> IPv4Address | IPv6Address:
        """The address that it listens on."""
        return ip_address(self._source[0])

    @property
    def listen_host(self) -> str:
        """The address that it listens on, as a text."""
        return str(self.listen_ip)

    @property
    def listen_port(self) -> int:
        """The port that it listens on."""
        port: int = self._source[1]
        return port

    @property
    def callback_url(self) -> str:
        """The URL in CALLBACK: the one that was given, or that of the listener."""
        if self._callback_url:
            return self._callback_url
        host = f"[{self.listen_host}]" if self.listen_ip.version == 6 else self.listen_host
        return f"http://{host}:{self.listen_port}/notify"


def _scoped(source: tuple[Any, ...]) -> str:
    """The address of ``source``, with the zone of its scope id."""
    host, scope = str(source[0]), _scope(source)
    return f"{host}%{scope}" if scope and "%" not in host else host


def _scope(source: tuple[Any, ...]) -> int:
    scope: int = source[3] if len(source) > 3 else 0
    return scope
