"""Bad subscribers of EventSubscriptionServer, beside good ones, over sockets."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.web.resource import Resource

from propchange import cohen3
from propchange.twisted import Site

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
BODY = (
    '<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0">'
    "<e:property><Number>%d</Number></e:property></e:propertyset>"
)


NOTIFY = re.compile(
    rb"NOTIFY .*?SEQ: (\d+)\r\n.*?<Number>(\d+)</Number>.*?</e:propertyset>", re.DOTALL
)


class Counter:
    """A service as Cohen3 has them: it keeps its subscribers and writes its propertysets."""

    id = "Counter"
    backend = None

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self.subscribers: dict[str, Any] = {}
        self.number = 0

    def get_subscribers(self) -> dict[str, Any]:
        return self.subscribers

    def new_subscriber(self, subscriber: dict[str, Any]) -> None:
        self.notify(subscriber)
        self.subscribers[subscriber["sid"]] = subscriber

    def change(self) -> None:
        self.number += 1
        for subscriber in tuple(self.subscribers.values()):
            self.notify(subscriber)

    def notify(self, subscriber: dict[str, Any]) -> None:
        deferred, _ = cohen3.send_notification(subscriber, BODY % self.number, reactor=self.reactor)
        deferred.addErrback(lambda _: None)


class Peer(Protocol):
    """One connection to a subscriber. A subclass answers each NOTIFY."""

    transport: Any

    def __init__(self, subscriber: Subscriber) -> None:
        self.subscriber = subscriber
        self.received = b""

    def connectionMade(self) -> None:
        self.subscriber.peers.append(self)

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        while match := NOTIFY.match(self.received):
            self.received = self.received[match.end() :]
            self.notified(int(match[1]), int(match[2]))

    def notified(self, seq: int, number: int) -> None:
        raise NotImplementedError


class Subscriber(ServerFactory):
    """Listens with connections of a kind. ``received`` has the (SEQ, number) of each NOTIFY that
    a good one has got."""

    noisy = False

    def __init__(self, kind: Callable[[Subscriber], Peer]) -> None:
        self.kind = kind
        self.received: list[tuple[int, int]] = []
        self.peers: list[Peer] = []

    def buildProtocol(self, addr: object) -> Peer:
        return self.kind(self)


class Good(Peer):
    """Answers 200."""

    def notified(self, seq: int, number: int) -> None:
        self.subscriber.received.append((seq, number))
        self.transport.write(OK)


class Bench:
    """A reactor on the loop of the test, with an EventSubscriptionServer at /events."""

    def __init__(self) -> None:
        self.reactor: Any = AsyncioSelectorReactor(asyncio.get_running_loop())
        self.reactor.startRunning(installSignalHandlers=False)
        self.service = Counter(self.reactor)
        self.server = cohen3.EventSubscriptionServer(self.service, reactor=self.reactor)
        root = Resource()
        root.putChild(b"events", self.server)
        self.site = Site(root, reactor=self.reactor)
        port = self.reactor.listenTCP(0, self.site, interface="127.0.0.1")
        self.number = port.getHost().port
        self.ports = [port]
        self.subscribers: list[Subscriber] = []
        self.stack = contextlib.ExitStack()

    async def subscribe(self, *urls: str, host: str = "127.0.0.1") -> None:
        """One SUBSCRIBE for each of ``urls``, from the address ``host``."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.number, local_addr=(host, 0)
        )
        for url in urls:
            writer.write(
                f"SUBSCRIBE /events HTTP/1.1\r\nHOST: 127.0.0.1:{self.number}\r\n"
                f"CALLBACK: <{url}>\r\nNT: upnp:event\r\n\r\n".encode()
            )
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 "), head
        writer.close()
        await writer.wait_closed()

    async def add(
        self, count: int, kind: Callable[[Subscriber], Peer], host: str = "127.0.0.1"
    ) -> list[Subscriber]:
        """Subscribers at ``host`` that are subscribed."""
        added = [Subscriber(kind) for _ in range(count)]
        ports = [self.reactor.listenTCP(0, each, interface=host) for each in added]
        self.ports += ports
        self.subscribers += added
        urls = [f"http://{host}:{port.getHost().port}/" for port in ports]
        await self.subscribe(*urls, host=host)
        return added

    def refusing_url(self) -> str:
        """A port that is taken, and that nobody listens on."""
        bound = self.stack.enter_context(socket.socket())
        bound.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{bound.getsockname()[1]}/"

    async def change(self, times: int, goods: list[Subscriber]) -> None:
        """Change the number so often, each time when the subscribers ``goods`` have got the
        number before. Does not end if one of them does not get it."""
        for _ in range(times):
            self.service.change()
            for good in goods:
                while not good.received or good.received[-1][1] != self.service.number:
                    await asyncio.sleep(0.001)

    async def __aenter__(self) -> Bench:
        return self

    async def __aexit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        await self.server.disconnect().asFuture(loop)
        for port in self.ports:
            await port.stopListening().asFuture(loop)
        for peer in [peer for subscriber in self.subscribers for peer in subscriber.peers]:
            peer.transport.abortConnection()
        await self.site.close().asFuture(loop)
        self.stack.close()
        self.reactor.getThreadPool().stop()
        self.reactor.waker.connectionLost(None)


EACH_ONCE = [(number, number) for number in range(31)]
"""The SEQs and numbers of the initial event and 30 changes."""


class Silent(Peer):
    """Takes everything and says nothing."""

    def notified(self, seq: int, number: int) -> None:
        pass


async def test_400_silent_subscribers_keep_no_event_from_the_good_ones() -> None:
    async with Bench() as bench:
        goods = await bench.add(8, Good)
        await bench.add(400, Silent)
        newcomers = await bench.add(4, Good, "127.0.0.2")
        await bench.change(30, [*goods, *newcomers])
    assert all(good.received == EACH_ONCE for good in [*goods, *newcomers])


class Dripping(Peer):
    """Answers one byte each 50 ms."""

    def notified(self, seq: int, number: int) -> None:
        for place, byte in enumerate(OK):
            self.transport.reactor.callLater(0.05 * place, self.transport.write, bytes([byte]))


class Garbage(Peer):
    def notified(self, seq: int, number: int) -> None:
        self.transport.write(bytes(range(256)) * 16)


class Endless(Peer):
    """Answers with a head that never ends."""

    def notified(self, seq: int, number: int) -> None:
        self.transport.write(b"HTTP/1.1 200 OK\r\n")
        self.more()

    def more(self) -> None:
        self.transport.write(b"X-More: and more\r\n" * 100)
        if self.transport.connected:
            self.transport.reactor.callLater(0.01, self.more)


class Resetting(Peer):
    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.abortConnection()


class Chatty(Peer):
    """Answers twice, and more than was asked."""

    def notified(self, seq: int, number: int) -> None:
        self.transport.write(OK + OK + b"HTTP/1.1 200")


class Busy(Peer):
    def notified(self, seq: int, number: int) -> None:
        self.transport.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize("kind", [Dripping, Garbage, Endless, Resetting, Chatty, Busy, "refusing"])
async def test_subscribers_that_answer_badly_keep_no_event_from_the_good_ones(kind: Any) -> None:
    async with Bench() as bench:
        goods = await bench.add(2, Good)
        if kind == "refusing":
            await bench.subscribe(*(bench.refusing_url() for _ in range(50)))
        else:
            await bench.add(50, kind)
        goods += await bench.add(2, Good)
        await bench.change(30, goods)
    assert all(good.received == EACH_ONCE for good in goods)
