"""The runtimes that an exchange is played against over sockets, each in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from subscriber_drivers import continue_from, shown, told_of
from subscriber_exchange import Exchange, Told, status
from twisted.internet.selectreactor import SelectReactor
from twisted.internet.threads import blockingCallFromThread
from twisted.web.resource import Resource

from propchange import ConnectionFailed, ControlPoint, SubscriptionRefused
from propchange import cohen3 as event
from propchange.cohen3 import event_server
from propchange.core.limits import DEFAULT_LIMITS
from propchange.twisted import ControlPoint as TwistedControlPoint
from propchange.twisted import Site

__all__ = ["AsyncioFronts", "EventFronts", "TwistedFronts"]

SECONDS = 30.0


class AsyncioFronts:
    """``propchange.ControlPoint``."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.errors: list[Mapping[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.errors.append(context))
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def __call__(self, exchange: Exchange, event_url: str) -> _AsyncioFront:
        return _AsyncioFront(self.loop, exchange, event_url)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(SECONDS)
        self.loop.close()
        assert not self.errors


class _AsyncioFront:
    def __init__(self, loop: asyncio.AbstractEventLoop, exchange: Exchange, event_url: str) -> None:
        self.told: list[Told | status] = []
        self._loop = loop
        self._entered = threading.Event()
        self._subscription: Any = None
        self._done = asyncio.run_coroutine_threadsafe(self._run(exchange, event_url), loop)
        assert self._entered.wait(SECONDS)

    async def _run(self, exchange: Exchange, event_url: str) -> None:
        async with ControlPoint(
            uda=exchange.uda,
            limits=replace(DEFAULT_LIMITS, **exchange.limits),
            **exchange.control_point,
        ) as point:
            subscription = point.subscribe_url(
                event_url, wait=not exchange.persistent, **exchange.subscription
            )
            self._subscription = subscription
            self._loop.call_soon(self._entered.set)
            try:
                async with subscription:
                    async for item in subscription.updates():
                        told = told_of(item)
                        if told is not None:
                            self.told.append(told)
            except SubscriptionRefused as error:
                self.told.append(status("refused", "refused", error.status))
            except ConnectionFailed:
                self.told.append(status("refused", "unreachable"))

    def reduced(self, told: tuple[Told | status, ...]) -> tuple[Told | status, ...]:
        return told

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._subscription.close(), self._loop)
        # When this one is done, that one has begun.
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), self._loop).result(SECONDS)

    def shown(self) -> Mapping[str, Any]:
        return shown(self._subscription._record)

    def continue_from(self, seq: int) -> None:
        continue_from(self._subscription._record, seq)

    def end(self) -> None:
        self.close()
        self._done.result(SECONDS)


class _Reactor:
    """A reactor that is not the process's, in a thread."""

    def __init__(self) -> None:
        self.reactor: Any = SelectReactor()
        self._thread = threading.Thread(target=self.reactor.run, args=(False,), daemon=True)
        self._thread.start()

    def call(self, function: Any, *args: Any) -> Any:
        return blockingCallFromThread(self.reactor, function, *args)

    def close(self) -> None:
        self.reactor.callFromThread(self.reactor.stop)
        self._thread.join(SECONDS)


class TwistedFronts:
    """``propchange.twisted.ControlPoint``."""

    def __init__(self) -> None:
        self._reactor = _Reactor()

    def __call__(self, exchange: Exchange, event_url: str) -> _TwistedFront:
        return _TwistedFront(self._reactor, exchange, event_url)

    def close(self) -> None:
        self._reactor.close()


class _TwistedFront:
    def __init__(self, reactor: _Reactor, exchange: Exchange, event_url: str) -> None:
        self.told: list[Told | status] = []
        self._reactor = reactor
        reactor.call(self._begin, exchange, event_url)

    def _begin(self, exchange: Exchange, event_url: str) -> None:
        self._point = TwistedControlPoint(
            reactor=self._reactor.reactor,
            uda=exchange.uda,
            limits=replace(DEFAULT_LIMITS, **exchange.limits),
            **exchange.control_point,
        )
        self._point.listen()
        self._subscription = self._point.subscribe(
            event_url,
            self._tell,
            on_status=self._tell,
            persistent=exchange.persistent,
            **exchange.subscription,
        )
        if self._subscription.when_granted is not None:
            self._subscription.when_granted.addErrback(lambda _: None)  # told as a status too

    def _tell(self, outcome: object) -> None:
        told = told_of(outcome)
        if told is not None:
            self.told.append(told)

    def reduced(self, told: tuple[Told | status, ...]) -> tuple[Told | status, ...]:
        return told

    def close(self) -> None:
        self._reactor.call(lambda: [self._subscription.close()])

    def shown(self) -> Mapping[str, Any]:
        return shown(self._subscription._record)

    def continue_from(self, seq: int) -> None:
        continue_from(self._subscription._record, seq)

    def end(self) -> None:
        self._reactor.call(self._point.close)


class EventFronts:
    """``propchange.cohen3``: an EventServer in a ``site``, and subscribe() for a service
    such as Cohen3 has them. One at a time: the module has globals."""

    def __init__(self, site: Any) -> None:
        self._site = site
        self._reactor = _Reactor()
        self._globals = event.hostname, event.web_server_port, event_server.current

    def __call__(self, exchange: Exchange, event_url: str) -> _EventFront:
        return _EventFront(self._reactor, self._site, exchange, event_url)

    def close(self) -> None:
        event.hostname, event.web_server_port, event_server.current = self._globals
        self._reactor.close()


class _Service:
    """What stands for Cohen3's Service."""

    def __init__(self, event_url: str, timeout: int) -> None:
        self.event_url = event_url
        self.timeout = timeout
        self.sid: str | None = None
        self.event_connection: Any = None

    def get_base_url(self) -> bytes:
        return self.event_url.encode()

    def get_event_sub_url(self) -> str:
        return urlsplit(self.event_url).path

    def get_sid(self) -> str | None:
        return self.sid

    def set_sid(self, sid: str | None) -> None:
        self.sid = sid

    def set_timeout(self, timeout: int) -> None:
        self.timeout = timeout

    def process_event(self, told: object) -> None:
        """Cohen3's services take the answer that is none here."""


class _EventFront:
    def __init__(self, reactor: _Reactor, site: Any, exchange: Exchange, event_url: str) -> None:
        self.told: list[Told | status] = []
        self._reactor = reactor
        self._site = site
        self._service = _Service(event_url, exchange.subscription.get("duration", 0))
        reactor.call(self._begin, exchange)

    def _begin(self, exchange: Exchange) -> None:
        root = Resource()
        limits = replace(DEFAULT_LIMITS, **exchange.limits)
        site = self._site(root, reactor=self._reactor.reactor)
        if self._site is Site:
            site = Site(root, reactor=self._reactor.reactor, limits=limits)
        self._port = self._reactor.reactor.listenTCP(0, site, interface=exchange.host)
        coherence = SimpleNamespace(
            hostname=exchange.host,
            web_server_port=self._port.getHost().port,
            add_web_resource=lambda name, resource: root.putChild(name.encode(), resource),
        )
        control_point = SimpleNamespace(coherence=coherence, propagate=self._propagate)
        event.EventServer(control_point, limits=limits)
        event.subscribe(self._service, reactor=self._reactor.reactor)

    def _propagate(self, one: event.Event) -> None:
        self.told.append(Told(None, dict(one)))

    def reduced(self, told: tuple[Told | status, ...]) -> tuple[Told | status, ...]:
        return tuple(Told(None, each.changes) for each in told if isinstance(each, Told))

    def close(self) -> None:
        self._reactor.call(
            lambda: [event.unsubscribe(self._service, reactor=self._reactor.reactor)]
        )

    def shown(self) -> Mapping[str, Any]:
        return {"sid": self._service.sid}

    def continue_from(self, seq: int) -> None:
        """SEQ is not judged here."""

    def end(self) -> None:
        def stop() -> Any:
            if self._service.event_connection is not None:
                self._service.event_connection.teardown()
            return self._port.stopListening()

        self._reactor.call(stop)
