"""The publisher's stages over loopback: plain sockets of the test, the publisher in a thread."""

from __future__ import annotations

import os
import select
import socket
import time
from functools import partial
from typing import Any

from exchange import Message
from publisher_messages import PublisherRow, Variable
from publisher_player import Arrived
from runtime_threads import LoopThread, ReactorThread
from twisted.web.resource import Resource

from propchange import Device, Service, StateVariable, host
from propchange.cohen3 import EventSubscriptionServer, send_notification
from propchange.core.limits import Limits
from propchange.core.publisher.judge import PublisherPolicy
from propchange.core.wire.messages import Endpoint
from propchange.core.wire.propertyset import format_propertyset
from propchange.driver.machine import product
from propchange.twisted import Service as TwistedService
from propchange.twisted import Site

PATIENCE = 5.0
"""Seconds until a test gives up. What is right comes long before."""
HERE = "127.{}.{}.1".format(*divmod(os.getpid() % 50_000, 250))
"""An address of this process alone: ports of loopback go from one to another quickly, and with them
what is still on its way there."""
SILENCE = 0.01
"""Seconds that nothing has to come."""


def state_variable(each: Variable) -> StateVariable[Any]:
    first: Any = each.text if each.type == "string" else int(each.text)
    return StateVariable(
        each.type,
        name=each.name,
        initial=first,
        minimum_interval=each.interval,
        minimum_delta=each.delta,
    )


def _authority(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return str(Endpoint(host, port))


HUMIDITY = (Variable("Humidity", "50"),)


class SocketStage:
    """See Stage. Subclasses put the publisher on the network, and take it off."""

    has_date = True

    def __init__(self, row: PublisherRow) -> None:
        self.row = row
        self._family = socket.AF_INET6 if row.ipv6 else socket.AF_INET
        peer = "::1" if row.ipv6 else HERE
        self._peer = peer
        self.address = row.address or peer
        self._asking: socket.socket | None = None
        self._received = b""
        self._over = False
        self._early: list[Arrived] = []
        self._callbacks: dict[str, socket.socket] = {}
        self._carriers: dict[socket.socket, tuple[str, bytearray]] = {}
        self.names = {"address": self.address, "peer": "[::1]" if row.ipv6 else peer}
        for name in ("cb1", "cb2"):
            listening = socket.create_server((peer, 0), family=self._family)
            self._callbacks[name] = listening
            self.names[name] = _authority(listening)
            self.names[f"{name}_port"] = self.names[name].rpartition(":")[2]
        # Bound and not listening: nobody else gets the port.
        self._dead = socket.socket(self._family)
        self._dead.bind((peer, 0))
        self.names["dead"] = _authority(self._dead)
        self.port = self.open()
        self.names["host"] = str(Endpoint(self.address, self.port))
        self.names["port"] = str(self.port)

    def open(self) -> int:
        raise NotImplementedError

    def take_down(self) -> None:
        raise NotImplementedError

    def shut(self) -> None:
        """Close everything: first the publisher, lest it sends to whoever has the port then."""
        self.take_down()
        for sock in (self._dead, *self._callbacks.values(), *self._carriers):
            sock.close()
        self.close()

    def value(self, name: str, text: str) -> str | int:
        """What an application assigns."""
        numbers = [each.name for each in self.row.variables if each.type != "string"]
        return int(text) if name in numbers else text

    # --- asking ---

    def send(self, data: bytes, *, fresh: bool, pieces: bool, ends: bool) -> None:
        if self._asking is None or fresh or self._over:
            self.close()
            self._asking = socket.create_connection(
                (self.address, self.port), PATIENCE, source_address=(self._peer, 0)
            )
            self._asking.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._received = b""
            self._over = False
        asking = self._asking
        step = 1 if pieces else len(data)
        for start in range(0, len(data), step):
            try:
                asking.sendall(data[start : start + step])
            except OSError:
                break  # it was answered and closed in the middle
        if ends:
            asking.shutdown(socket.SHUT_WR)

    def _receive(self) -> None:
        assert self._asking is not None
        data = self._asking.recv(65_536)
        assert data, f"the stream ended after {self._received!r}"
        self._received += data

    def read_answer(self) -> Message:
        while b"\r\n\r\n" not in self._received:
            self._receive()
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        message = Message.of(head + b"\r\n\r\n")
        size = int(message.headers.get("CONTENT-LENGTH", 0))
        while len(self._received) < size:
            self._receive()
        message.body, self._received = self._received[:size], self._received[size:]
        return message

    def ended(self) -> bool:
        self._over = True
        assert self._asking is not None
        if self._received:
            return False
        try:
            return self._asking.recv(1) == b""
        except (TimeoutError, ConnectionResetError):
            return False

    def close(self) -> None:
        if self._asking is not None:
            self._asking.close()
            self._asking = None

    # --- callbacks ---

    def _state_of_asking(self) -> tuple[bool, bool]:
        """Whether something to read is there, or has been read, and whether the end is."""
        if self._asking is None:
            return True, True
        poll = select.poll()
        poll.register(self._asking, select.POLLIN | select.POLLRDHUP)
        events = dict(poll.poll(0)).get(self._asking.fileno(), 0)
        return bool(events & select.POLLIN), bool(events & select.POLLRDHUP)

    def next_notify(self, callback: str) -> Arrived:
        until = time.monotonic() + PATIENCE
        state = None
        while True:
            for early in self._early:
                if early.callback == callback:
                    self._early.remove(early)
                    return early
            ready = self._wait(until - time.monotonic())
            assert ready, "no NOTIFY has come"
            state = state or self._state_of_asking()
            for sock in ready:
                arrived = self._take(sock)
                if arrived is not None:
                    arrived.answered, arrived.ended = state
                    self._early.append(arrived)

    def _wait(self, seconds: float) -> list[socket.socket]:
        waiting = [*self._callbacks.values(), *self._carriers]
        return select.select(waiting, [], [], max(seconds, 0))[0]

    def _take(self, sock: socket.socket) -> Arrived | None:
        for name, listening in self._callbacks.items():
            if sock is listening:
                self._carriers[listening.accept()[0]] = (name, bytearray())
                return None
        name, buffer = self._carriers[sock]
        try:
            data = sock.recv(65_536)
        except ConnectionResetError:
            data = b""
        if not data:
            del self._carriers[sock]
            sock.close()
            return None
        buffer += data
        if b"\r\n\r\n" not in buffer:
            return None
        message = Message.of(bytes(buffer))
        if len(message.body) < int(message.headers["CONTENT-LENGTH"]):
            return None
        buffer.clear()
        return Arrived(message, name, sock.getpeername()[0], False, False, sock)

    def is_quiet(self) -> bool:
        until = time.monotonic() + SILENCE
        if self._early:
            return False
        while ready := self._wait(until - time.monotonic()):
            for sock in ready:
                if self._take(sock) is not None:
                    return False
        return True

    def reply(self, arrived: Arrived, data: bytes) -> None:
        sock = arrived.carrier
        if data:
            sock.sendall(data)
        else:
            del self._carriers[sock]
            sock.close()

    def advance(self, seconds: float) -> None:
        time.sleep(seconds)

    def change(self, path: str, values: dict[str, str]) -> None:
        raise NotImplementedError

    def set_next_seq(self, sid: str, seq: int) -> None:
        raise NotImplementedError


class AsyncioStage(SocketStage):
    """A device that ``propchange.host`` has put on the network."""

    def __init__(self, row: PublisherRow, thread: LoopThread) -> None:
        self._thread = thread
        super().__init__(row)

    def open(self) -> int:
        row = self.row
        services = {
            "Thermometer": [state_variable(each) for each in row.variables],
            "Hygrometer": [state_variable(each) for each in HUMIDITY],
        }
        self._services = {
            f"/{name}/event": Service(type=f"urn:example-org:service:{name}:1", variables=variables)
            for name, variables in services.items()
        }
        self.names |= dict(zip(("path", "other"), self._services, strict=True))
        settings = {"initial_event_delay": 0.0, **row.policy}
        device = Device("Workbench", services=list(self._services.values()))
        self._hosted: Any = self.hosted(
            partial(host, device, uda=row.uda, limits=Limits(**row.limits), **settings)
        )
        return self._thread.run(self.enter())

    def hosted(self, host: Any) -> Any:
        """The device, to be entered. ``host`` has the arguments of the row."""
        return host(interface=self.address)

    async def enter(self) -> int:
        """Put the device on the network, and return its port."""
        await self._hosted.__aenter__()
        return int(self._hosted.port)

    async def leave(self) -> None:
        """Take it off the network."""
        await self._hosted.close()

    def take_down(self) -> None:
        self._thread.run(self.leave())

    def change(self, path: str, values: dict[str, str]) -> None:
        async def assign() -> None:
            service = self._services[path]
            with service.batch():
                for name, text in values.items():
                    service[name] = self.value(name, text)

        self._thread.run(assign())

    def set_next_seq(self, sid: str, seq: int) -> None:
        async def poke() -> None:
            await self._hosted.drain()
            for subscription in self._hosted.subscriptions:
                if subscription.sid == sid:
                    subscription.seq = seq

        self._thread.run(poke())


class TwistedStage(SocketStage):
    """What Twisted's two stages have in common: two resources on one Site."""

    def __init__(self, row: PublisherRow, thread: ReactorThread) -> None:
        self._thread = thread
        self._limits = Limits(**row.limits)
        self._policy = PublisherPolicy(uda=row.uda, server=product(row.uda), **row.policy)
        super().__init__(row)

    def resources(self) -> dict[str, Resource]:
        raise NotImplementedError

    def open(self) -> int:
        def listen() -> int:
            root = Resource()
            for path, resource in self.resources().items():
                root.putChild(path[1:].encode(), resource)
            reactor = self._thread.reactor
            server = self._policy.server
            self._site = Site(root, limits=self._limits, reactor=reactor, server=server)
            self._port = reactor.listenTCP(0, self._site, interface=self.address)
            return int(self._port.getHost().port)

        self.names |= {"path": "/evt", "other": "/other"}
        return int(self._thread.run(listen))

    def take_down(self) -> None:
        self._thread.run(self._port.stopListening)
        self._thread.run(self._site.close)


class ServiceStage(TwistedStage):
    """``propchange.twisted.Service``."""

    def resources(self) -> dict[str, Resource]:
        self._services = {
            path: TwistedService(
                type=f"urn:example-org:service:{path[1:]}:1",
                variables=[state_variable(each) for each in variables],
                reactor=self._thread.reactor,
                policy=self._policy,
                limits=self._limits,
            )
            for path, variables in (("/evt", self.row.variables), ("/other", HUMIDITY))
        }
        return {path: service.resource for path, service in self._services.items()}

    def take_down(self) -> None:
        super().take_down()
        for service in self._services.values():
            self._thread.run(service.close)

    def change(self, path: str, values: dict[str, str]) -> None:
        def assign() -> None:
            service = self._services[path]
            with service.batch():
                for name, text in values.items():
                    service[name] = self.value(name, text)

        self._thread.run(assign)

    def set_next_seq(self, sid: str, seq: int) -> None:
        self._thread.run(self._services["/evt"].drained)
        for subscription in self._services["/evt"].subscriptions:
            if subscription.sid == sid:
                subscription.seq = seq


class DictService:
    """A service as Cohen3's are: its dict of subscribers is the truth, its events its own."""

    backend = None

    def __init__(self, name: str, values: dict[str, str], reactor: Any) -> None:
        self.id = name
        self.values = values
        self._subscribers: dict[str, Any] = {}
        self._reactor = reactor

    def get_subscribers(self) -> dict[str, Any]:
        return self._subscribers

    def new_subscriber(self, subscriber: Any) -> None:
        self._subscribers[subscriber["sid"]] = subscriber
        self._tell(subscriber, self.values)

    def change(self, values: dict[str, str]) -> None:
        changed = {name: text for name, text in values.items() if self.values[name] != text}
        self.values = self.values | changed
        for subscriber in tuple(self._subscribers.values()) if changed else ():
            self._tell(subscriber, changed)

    def _tell(self, subscriber: Any, values: dict[str, str]) -> None:
        sent, _ = send_notification(
            subscriber, format_propertyset(values.items()), reactor=self._reactor
        )
        sent.addErrback(lambda _: None)


class DictStage(TwistedStage):
    """EventSubscriptionServer for a service with a dict."""

    def resources(self) -> dict[str, Resource]:
        reactor = self._thread.reactor
        self._services = {
            path: DictService(path, {each.name: each.text for each in variables}, reactor)
            for path, variables in (("/evt", self.row.variables), ("/other", HUMIDITY))
        }
        self._servers = {
            path: EventSubscriptionServer(
                service, policy=self._policy, limits=self._limits, reactor=reactor
            )
            for path, service in self._services.items()
        }
        return dict(self._servers)

    def take_down(self) -> None:
        super().take_down()
        for server in self._servers.values():
            self._thread.run(server.disconnect)

    def change(self, path: str, values: dict[str, str]) -> None:
        self._thread.run(lambda: self._services[path].change(values))

    def set_next_seq(self, sid: str, seq: int) -> None:
        self._services["/evt"].get_subscribers()[sid]["seq"] = seq
