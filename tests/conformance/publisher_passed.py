"""The publisher's stages behind a web server of the test, which passes each request to
``hosted.receive()``.

The web server reads requests with wide caps, writes the answers, and tells the device which of them
have left.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from publisher_messages import PublisherRow
from publisher_over_sockets import HUMIDITY, AsyncioStage, SocketStage, state_variable
from runtime_threads import ReactorThread
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementer

from propchange import Device, Service
from propchange.core.limits import Limits
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.driver.sockets import endpoint_of
from propchange.http import RequestParser, encode_response
from propchange.twisted import host as twisted_host

WIDE = Limits(
    header_bytes=1_000_000, header_count=10_000, target_bytes=500_000, body_bytes=100_000_000
)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Passing:
    """One connection of the web server. ``send(data, ends, left)`` writes, ends the stream behind
    it if ``ends``, and calls ``left`` when that has left."""

    def __init__(
        self,
        hosted: Any,
        peer: Endpoint,
        local: Endpoint,
        send: Callable[[bytes, bool, Callable[[], None]], None],
    ) -> None:
        self._hosted = hosted
        self._send = send
        self._parser = RequestParser(WIDE, peer=peer, local=local)
        self._over = False

    def received(self, data: bytes) -> None:
        parser = self._parser
        for request in () if self._over else parser.feed(data):
            self._answer(request, self._hosted.receive(request))
            if self._over:
                return
        if parser.expect_continue:
            parser.expect_continue = False
            self._send(CONTINUE, False, lambda: None)
        assert parser.error is None or self._over, f"that is no HTTP: {parser.error}"

    def _answer(self, request: Request, response: Response) -> None:
        self._over = response.close or not request.keep_alive
        left = partial(self._hosted.response_sent, response)
        self._send(encode_response(response), self._over, left)


class _AsyncioPassing(asyncio.Protocol):
    transport: Any

    def __init__(self, hosted: Any) -> None:
        self._hosted = hosted

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        peer, local = map(transport.get_extra_info, ("peername", "sockname"))
        self._passing = Passing(self._hosted, endpoint_of(peer), endpoint_of(local), self._send)

    def data_received(self, data: bytes) -> None:
        self._passing.received(data)

    def eof_received(self) -> bool:
        return False  # the answer is written

    def _send(self, data: bytes, ends: bool, left: Callable[[], None]) -> None:
        self.transport.write(data)
        if ends:
            self.transport.write_eof()
        assert not self.transport.get_write_buffer_size()
        left()


class PassedStage(AsyncioStage):
    """``propchange.host`` with ``listen=False``."""

    def hosted(self, host: Any) -> Any:
        self._listening = socket.create_server((self.address, 0), family=self._family)
        authority = Endpoint(self.address, self._listening.getsockname()[1])
        return host(listen=False, url=f"http://{authority}")

    async def enter(self) -> int:
        await self._hosted.__aenter__()
        port = int(self._listening.getsockname()[1])
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _AsyncioPassing(self._hosted), sock=self._listening
        )
        return port

    async def leave(self) -> None:
        self._server.close()
        await self._hosted.close()


@implementer(IHalfCloseableProtocol)
class _TwistedPassing(Protocol):
    def connectionMade(self) -> None:
        peer, local = self.transport.getPeer(), self.transport.getHost()
        ends = (Endpoint(each.host, each.port) for each in (peer, local))
        self._passing = Passing(self.factory.hosted, *ends, self._send)

    def dataReceived(self, data: bytes) -> None:
        self._passing.received(data)

    def readConnectionLost(self) -> None:
        self.transport.loseConnection()  # behind the answer, which is written

    def writeConnectionLost(self) -> None:
        pass

    def _send(self, data: bytes, ends: bool, left: Callable[[], None]) -> None:
        self.transport.write(data)
        if ends:
            self.transport.loseWriteConnection()
        # The reactor writes at its next turn.
        self.factory.reactor.callLater(0.005, left)


class PassedTwistedStage(SocketStage):
    """``propchange.twisted.host`` with ``listen=False``."""

    def __init__(self, row: PublisherRow, thread: ReactorThread) -> None:
        self._thread = thread
        super().__init__(row)

    def open(self) -> int:
        row = self.row
        variables = {"Thermometer": row.variables, "Hygrometer": HUMIDITY}
        self._services = {
            f"/{name}/event": Service(
                type=f"urn:example-org:service:{name}:1",
                variables=[state_variable(each) for each in declared],
            )
            for name, declared in variables.items()
        }
        self.names |= dict(zip(("path", "other"), self._services, strict=True))
        settings = {"initial_event_delay": 0.0, **row.policy}
        factory = Factory.forProtocol(_TwistedPassing)
        reactor = factory.reactor = self._thread.reactor

        def listen() -> int:
            self._port = reactor.listenTCP(0, factory, interface=self.address)
            return int(self._port.getHost().port)

        port = int(self._thread.run(listen))
        self._hosted = factory.hosted = twisted_host(
            Device("Workbench", services=list(self._services.values())),
            reactor=reactor,
            uda=row.uda,
            limits=Limits(**row.limits),
            listen=False,
            url=f"http://{Endpoint(self.address, port)}",
            **settings,
        )
        self._thread.run(self._hosted.open)
        return port

    def take_down(self) -> None:
        self._thread.run(self._port.stopListening)
        self._thread.run(self._hosted.close)

    def change(self, path: str, values: dict[str, str]) -> None:
        def assign() -> None:
            service = self._services[path]
            with service.batch():
                for name, text in values.items():
                    service[name] = self.value(name, text)

        self._thread.run(assign)

    def set_next_seq(self, sid: str, seq: int) -> None:
        self._thread.run(self._hosted.drain)
        for subscription in self._hosted.subscriptions:
            if subscription.sid == sid:
                subscription.seq = seq
