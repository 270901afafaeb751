"""The subscriber's stage over loopback: a device of plain sockets, a control point in a thread."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Protocol
from urllib.parse import urlsplit

from exchange import OK, Message, Receive, Send, Status, Told, filled, split_answers
from runtime_threads import SECONDS, LoopThread, ReactorThread
from subscriber_messages import SubscriberRow
from subscriber_player import Request, continue_from, shown, told_of
from twisted.web.resource import Resource

from propchange import ConnectionFailed, ControlPoint, SubscriptionRefused
from propchange import cohen3 as event
from propchange.cohen3 import event_server
from propchange.cohen3.subscription import subscription_of
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.wire.messages import Endpoint
from propchange.twisted import ControlPoint as TwistedControlPoint
from propchange.twisted import Site
from tests.cohen3.conftest import ClientService

PATIENCE = 10.0
"""Seconds that a test waits for what is to come at once: more than a busy machine takes."""

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Front(Protocol):
    """A subscription of one of our runtimes, in another thread."""

    told: list[Told | Status]

    def reduced(self, told: tuple[Told | Status, ...]) -> tuple[Told | Status, ...]:
        """What of ``told`` this front can tell."""

    def close(self) -> None:
        """The application has had enough; returns once that has begun."""

    def shown(self) -> Mapping[str, Any]:
        """As :func:`shown`, or part of it."""

    def continue_from(self, seq: int) -> None:
        """As :func:`continue_from`."""

    def end(self) -> None:
        """End, and leave nothing."""


Begin = Callable[[SubscriberRow, str], Front]


class SocketStage:
    """See Stage. ``begin`` makes a front of the row and its event URL."""

    def __init__(self, row: SubscriberRow, begin: Begin) -> None:
        family = socket.AF_INET6 if ":" in row.host else socket.AF_INET
        self._host = row.host
        self._listening = socket.socket(family, socket.SOCK_STREAM)
        self._listening.bind((row.host, 0))
        self._listening.listen(16)
        self.names = {"device": str(Endpoint(row.host, self._listening.getsockname()[1]))}
        self._current: socket.socket | None = None
        self._connections: dict[str, socket.socket] = {}
        self._sockets = [self._listening]
        try:
            self._front = begin(row, filled(row.event_url, self.names).decode())
        except BaseException:
            self._listening.close()
            raise

    @property
    def told(self) -> list[Told | Status]:
        return self._front.told

    # --- requests of the subscriber ---

    def next_request(self, step: Receive) -> Request:
        self._listening.settimeout(step.within + PATIENCE)
        try:
            self._current, _ = self._listening.accept()
        except TimeoutError:
            raise AssertionError(f"{step.line} did not come") from None
        self._sockets.append(self._current)
        self._current.settimeout(PATIENCE)
        data = _receive(self._current, 1)
        return Request(Message.of(data), self._current.getpeername()[0])

    def is_quiet(self, seconds: float) -> bool:
        if seconds:
            time.sleep(0.1)
        self._listening.setblocking(False)
        try:
            self._sockets.append(self._listening.accept()[0])
        except BlockingIOError:
            return True
        return False

    def reply(self, data: bytes, *, ends: bool) -> None:
        assert self._current is not None
        if not data:
            self._current.close()
            return
        with suppress(ConnectionError):  # our side may have read enough
            self._current.sendall(data)
            if ends:
                self._current.shutdown(socket.SHUT_WR)

    # --- messages of the device ---

    def send(self, step: Send, data: bytes, body: bytes) -> tuple[list[Message], bool]:
        connection = self._connections.get(step.connection)
        if connection is None or not step.connection:
            connection = self._dial(step.source)
            self._connections[step.connection] = connection
        connection.sendall(data)
        if step.waits:
            assert _receive(connection, 1) == _CONTINUE
            connection.sendall(body)
        if step.ends:
            connection.shutdown(socket.SHUT_WR)
        answers = split_answers(_receive(connection, len(step.answers)))
        if step.answers[-1].ends:
            return answers, connection.recv(1) == b""
        connection.setblocking(False)
        with suppress(BlockingIOError):
            raise AssertionError(f"behind the answers: {connection.recv(4096)!r}")
        connection.settimeout(PATIENCE)
        return answers, False

    def _dial(self, source: str) -> socket.socket:
        host, _, port = self.names["here"].rpartition(":")
        connection = socket.create_connection(
            (host.strip("[]"), int(port)), PATIENCE, (source or self._host, 0)
        )
        self._sockets.append(connection)
        return connection

    # --- the application ---

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def unsubscribe(self) -> None:
        self._front.close()

    def set_last_seq(self, seq: int) -> None:
        self._front.continue_from(seq)

    def reduced(self, told: tuple[Told | Status, ...]) -> tuple[Told | Status, ...]:
        return self._front.reduced(told)

    def wait_for_told(self, count: int) -> None:
        _eventually(lambda: len(self.told) >= count)

    def shown(self, expected: Mapping[str, Any]) -> Mapping[str, Any]:
        def known() -> dict[str, Any]:
            found = self._front.shown()
            return {key: found[key] for key in expected if key in found}

        _eventually(lambda: all(expected[key] == value for key, value in known().items()))
        return known()

    # --- the end ---

    def shut(self) -> None:
        """End, and answer what the front still asks: what it would send to a port that is closed
        could reach the device of another row."""
        for each in self._sockets[1:]:
            each.close()
        leaving = threading.Thread(target=self._answer_all, daemon=True)
        leaving.start()
        self._front.end()
        self._listening.shutdown(socket.SHUT_RDWR)
        leaving.join(PATIENCE)
        self._listening.close()

    def _answer_all(self) -> None:
        self._listening.settimeout(None)
        with suppress(OSError):  # it was shut down
            while True:
                connection, _ = self._listening.accept()
                with connection, suppress(OSError):
                    connection.settimeout(PATIENCE)
                    connection.recv(65_536)
                    connection.sendall(OK.encode())


def _receive(connection: socket.socket, messages: int) -> bytes:
    data = b""
    while data.count(b"\r\n\r\n") < messages:
        piece = connection.recv(65_536)
        assert piece, f"the connection ended after {data!r}"
        data += piece
    return data


def _eventually(true: Callable[[], object]) -> None:
    """Wait until it is; who comes in vain looks at what there is and says so."""
    until = time.monotonic() + PATIENCE
    while not true() and time.monotonic() < until:
        time.sleep(0.005)


# --- the fronts ---


class AsyncioFronts:
    """``propchange.ControlPoint``."""

    def __init__(self) -> None:
        self.thread = LoopThread()
        self.close = self.thread.close

    def __call__(self, row: SubscriberRow, event_url: str) -> AsyncioFront:
        return AsyncioFront(self.thread, row, event_url)


class AsyncioFront:
    def __init__(self, thread: LoopThread, row: SubscriberRow, event_url: str) -> None:
        self.told: list[Told | Status] = []
        self._thread = thread
        self._entered = threading.Event()
        self._subscription: Any = None
        self._done = asyncio.run_coroutine_threadsafe(self._run(row, event_url), thread.loop)
        assert self._entered.wait(SECONDS)

    def point(self, row: SubscriberRow) -> AbstractAsyncContextManager[ControlPoint]:
        """The control point, to be entered."""
        return ControlPoint(
            uda=row.uda,
            limits=replace(DEFAULT_LIMITS, **row.limits),
            **row.policy,
        )

    async def _run(self, row: SubscriberRow, event_url: str) -> None:
        async with self.point(row) as point:
            subscription = point.subscribe_url(
                event_url, wait=not row.persistent, **row.subscription
            )
            self._subscription = subscription
            self._thread.loop.call_soon(self._entered.set)
            try:
                async with subscription:
                    async for item in subscription.updates():
                        told = told_of(item)
                        if told is not None:
                            self.told.append(told)
            except SubscriptionRefused as error:
                self.told.append(Status("refused", "refused", error.status))
            except ConnectionFailed:
                self.told.append(Status("refused", "unreachable"))

    def reduced(self, told: tuple[Told | Status, ...]) -> tuple[Told | Status, ...]:
        return told

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._subscription.close(), self._thread.loop)
        # When this one is done, that one has begun.
        self._thread.run(asyncio.sleep(0))

    def shown(self) -> Mapping[str, Any]:
        return shown(self._subscription.record)

    def continue_from(self, seq: int) -> None:
        continue_from(self._subscription.record, seq)

    def end(self) -> None:
        self.close()
        self._done.result(SECONDS)


class TwistedFronts:
    """``propchange.twisted.ControlPoint``."""

    def __init__(self) -> None:
        self._thread = ReactorThread()
        self.close = self._thread.close

    def __call__(self, row: SubscriberRow, event_url: str) -> _TwistedFront:
        return _TwistedFront(self._thread, row, event_url)


class _TwistedFront:
    def __init__(self, thread: ReactorThread, row: SubscriberRow, event_url: str) -> None:
        self.told: list[Told | Status] = []
        self._thread = thread
        thread.run(self._begin, row, event_url)

    def _begin(self, row: SubscriberRow, event_url: str) -> None:
        self._point = TwistedControlPoint(
            reactor=self._thread.reactor,
            uda=row.uda,
            limits=replace(DEFAULT_LIMITS, **row.limits),
            **row.policy,
        )
        self._point.listen()
        self._subscription = self._point.subscribe(
            event_url,
            self._tell,
            on_status=self._tell,
            wait=not row.persistent,
            **row.subscription,
        )
        if self._subscription.when_granted is not None:
            self._subscription.when_granted.addErrback(lambda _: None)  # told as a status too

    def _tell(self, outcome: object) -> None:
        told = told_of(outcome)
        if told is not None:
            self.told.append(told)

    def reduced(self, told: tuple[Told | Status, ...]) -> tuple[Told | Status, ...]:
        return told

    def close(self) -> None:
        self._thread.run(lambda: [self._subscription.close()])

    def shown(self) -> Mapping[str, Any]:
        return shown(self._subscription.record)

    def continue_from(self, seq: int) -> None:
        continue_from(self._subscription.record, seq)

    def end(self) -> None:
        self._thread.run(self._point.close)


class EventFronts:
    """``propchange.cohen3``: an EventServer in a ``site``, and subscribe() for a service
    such as Cohen3 has them. One at a time: the module has globals."""

    def __init__(self, site: Any) -> None:
        self._site = site
        self._thread = ReactorThread()
        self._globals = event.hostname, event.web_server_port, event_server.current

    def __call__(self, row: SubscriberRow, event_url: str) -> _EventFront:
        return _EventFront(self._thread, self._site, row, event_url)

    def close(self) -> None:
        event.hostname, event.web_server_port, event_server.current = self._globals
        self._thread.close()


class _Service(ClientService):
    """What stands for Cohen3's Service. The eventSubURL of most devices is a path."""

    def get_event_sub_url(self) -> str:
        return urlsplit(self.event_url).path


_ONE_AT_A_TIME = threading.Lock()
"""Held from the beginning of a front of the event module to its end, whatever site it has."""


class _EventFront:
    def __init__(
        self, thread: ReactorThread, site: Any, row: SubscriberRow, event_url: str
    ) -> None:
        _ONE_AT_A_TIME.acquire()
        self.told: list[Told | Status] = []
        self._thread = thread
        self._site = site
        self._service = _Service(event_url, row.subscription.get("duration", 0))
        try:
            thread.run(self._begin, row)
        except BaseException:
            _ONE_AT_A_TIME.release()
            raise

    def _begin(self, row: SubscriberRow) -> None:
        root = Resource()
        limits = replace(DEFAULT_LIMITS, **row.limits)
        site = self._site(root, reactor=self._thread.reactor)
        if self._site is Site:
            site = Site(root, reactor=self._thread.reactor, limits=limits)
        self._port = self._thread.reactor.listenTCP(0, site, interface=row.host)
        coherence = SimpleNamespace(
            hostname=row.host,
            web_server_port=self._port.getHost().port,
            add_web_resource=lambda name, resource: root.putChild(name.encode(), resource),
        )
        control_point = SimpleNamespace(coherence=coherence, propagate=self._propagate)
        event.EventServer(control_point, limits=limits)
        event.subscribe(self._service, reactor=self._thread.reactor)

    def _propagate(self, one: event.Event) -> None:
        self.told.append(Told(None, dict(one)))

    def reduced(self, told: tuple[Told | Status, ...]) -> tuple[Told | Status, ...]:
        return tuple(Told(None, each.changes) for each in told if isinstance(each, Told))

    def close(self) -> None:
        self._thread.run(lambda: [event.unsubscribe(self._service, reactor=self._thread.reactor)])

    def shown(self) -> Mapping[str, Any]:
        return {"sid": self._service.sid}

    def continue_from(self, seq: int) -> None:
        continue_from(subscription_of(self._service), seq)

    def end(self) -> None:
        def stop() -> Any:
            if self._service.event_connection is not None:
                self._service.event_connection.teardown()
            # Else it would subscribe afresh when the initial event is overdue: to a port that the
            # device of another row may have, and for the server of another row.
            subscription_of(self._service).ended()
            return self._port.stopListening()

        try:
            self._thread.run(stop)
        finally:
            _ONE_AT_A_TIME.release()
