"""The control point of a program without asyncio."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Coroutine, Iterator
from functools import partial
from threading import Lock
from time import monotonic
from typing import Any, Self, overload

import propchange.asyncio.control_point as on_asyncio
from propchange.asyncio.subscription import Subscription as AsyncSubscription
from propchange.blocking.loop_thread import Closed, LoopThread, arguments_of, in_loop
from propchange.blocking.multicast import MulticastEvents
from propchange.blocking.remote import InLoop, RemoteDevice, Sighting
from propchange.blocking.subscription import Subscription, entered, with_poll
from propchange.core.wire.messages import Request, Response
from propchange.driver.control_point import SubscriberDriver
from propchange.driver.control_point_view import ControlPointView
from propchange.driver.multicast_receiving import wanted_of_all
from propchange.driver.sightings import Sightings


@in_loop
class ControlPoint(ControlPointView):
    """Subscribes to services and receives their events: ``with ControlPoint() as control_point``.
    The arguments are those of :class:`propchange.ControlPoint`. ``tap`` and ``search`` are called
    in the thread of the loop.

    Any thread may use it. Leaving the context unsubscribes, which takes two seconds at most. A
    program that ends without it does so too. After a fork it belongs to the first process.

    Raises ValueError for an argument that is out of range. Entering raises ConnectionFailed if the
    control point cannot listen on the port or the interface, and RuntimeError in a thread that runs
    an asyncio loop.
    """

    @arguments_of(on_asyncio.ControlPoint.__init__)
    def __init__(self, **options: Any) -> None:
        self._point = on_asyncio.ControlPoint(**options)
        self._thread = LoopThread(self._point, "the control point was closed: make another")
        self.limits = self._point.limits
        self._after_end = Lock()

    @property
    def port(self) -> int:
        """The TCP port on which events arrive. Raises RuntimeError with ``listen=False``."""
        port: int = self._thread.run(lambda: self._opened().listening_port)
        return port

    @overload
    def device(self, description_url: str) -> RemoteDevice: ...

    @overload
    def device(self, *, udn: str, timeout: float | None = None) -> RemoteDevice: ...

    def device(
        self,
        description_url: str | None = None,
        *,
        udn: str | None = None,
        timeout: float | None = None,
    ) -> RemoteDevice:
        """Read a device description, as :meth:`propchange.ControlPoint.device`: the one at
        ``description_url``, or, with discovery, that of the device with ``udn`` ("uuid:…"). The
        device is searched for during ``timeout`` seconds, ``limits.find_seconds`` if None.

        Raises DescriptionError if the document is not a description, ConnectionFailed or TimedOut
        if it cannot be read, TimedOut if no device with the UDN is found, ValueError for a URL
        that is not http:// and for a text that is not a UDN."""

        def begin() -> Coroutine[Any, Any, RemoteDevice]:
            make = partial(RemoteDevice, self._thread)
            return self._begun().device(make, description_url, udn, timeout)

        device: RemoteDevice = self._thread.run(begin)
        return device

    def devices(
        self, type: str | None = None, *, timeout: float | None = None
    ) -> Iterator[Sighting]:
        """Sightings of root devices: first the present devices, then each that appears, changes or
        goes. It ends after ``timeout`` seconds; None: when the control point is closed. ``type`` is
        that of :meth:`propchange.ControlPoint.devices`.

        Raises RuntimeError without discovery if :meth:`receive_ssdp` was not called yet."""
        until = None if timeout is None else monotonic() + timeout

        def begin() -> Sightings[Sighting]:
            driver = self._opened()
            make = partial(Sighting._of, InLoop(self._thread, driver))
            return driver.discovery.sightings(make, type)

        return self._seen(self._thread.run(begin), until)

    def _seen(self, sightings: Sightings[Sighting], until: float | None) -> Iterator[Sighting]:
        async def see() -> Sighting | None:
            left = None if until is None else until - monotonic()
            with contextlib.suppress(StopAsyncIteration, TimeoutError):
                async with asyncio.timeout(left):
                    return await anext(sightings)
            return None

        with contextlib.suppress(Closed):
            while (sighting := self._thread.run(see)) is not None:
                yield sighting

    @arguments_of(on_asyncio.ControlPoint.subscribe_url)
    def subscribe_url(self, *args: Any, **options: Any) -> Subscription:
        """A subscription to an event URL. There is no description, so values are texts. It begins
        at once, as that of :meth:`RemoteService.subscribe`."""

        def make() -> AsyncSubscription:
            self._begun()
            return self._point.subscribe_url(*args, **with_poll(options))

        return Subscription(self._thread, self._thread.run(entered, make))

    def multicast_events(
        self, type: str | None = None, *, level: str | Collection[str] | None = None
    ) -> MulticastEvents:
        """The multicast events of all devices on the network, from now on. The arguments are those
        of :meth:`propchange.ControlPoint.multicast_events`."""
        driver = self._begun()
        make = partial(RemoteDevice, self._thread, driver)
        return MulticastEvents(self._thread, driver, make, wanted_of_all(type, level))

    def fetch(self, url: str) -> tuple[bytes, str]:
        """Read the document at ``url``. Returns it, and its URL after redirects.

        Raises DescriptionError if the answer is not HTTP or has another status than 200,
        ConnectionFailed, TimedOut, and ValueError for a URL that is not http://."""
        document: tuple[bytes, str] = self._thread.run(
            lambda: self._begun().documents.document(url)
        )
        return document

    def receive(self, request: Request) -> Response:
        """Judge a request that a web server of the program has received, and return the answer, as
        :meth:`propchange.ControlPoint.receive`, in any thread."""
        if self._thread.ended:
            # No subscription is left. As on asyncio, 412 ends it at a device that sends to it.
            with self._after_end:
                return self._begun().receive_notify(request)
        response: Response = self._thread.run(super().receive, request)
        return response

    def open(self) -> Self:
        """Enter the context, for a program without ``with``, such as an interactive one."""
        self._thread.start()
        return self

    def close(self) -> None:
        """Unsubscribe everything, for ``limits.unsubscribe_seconds`` at most, and end the thread.
        Iterations in other threads end. Safe to call again."""
        self._thread.stop()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _begun(self) -> SubscriberDriver:
        try:
            return self._point._begun()
        except RuntimeError:
            raise RuntimeError(
                "the control point is not running: use with ControlPoint()"
            ) from None
