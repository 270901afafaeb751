"""A subscription as a program holds it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Self

from propchange.asyncio.clock import monotonic
from propchange.core.diagnosis.verdicts import Diagnosis
from propchange.core.subscriber.event_queue import EventQueue
from propchange.core.subscriber.events import Event, Status, StatusChange
from propchange.core.subscriber.view import SubscriptionView
from propchange.errors import ConnectionFailed, SubscriptionRefused

if TYPE_CHECKING:
    from propchange.asyncio.control_point import ControlPoint
    from propchange.asyncio.remote import RemoteService
    from propchange.core.subscriber.record import SubscriptionRecord

__all__ = ["Subscription"]


class Subscription(SubscriptionView):
    """One subscription, kept alive until it is closed.

    Entering it (``async with``) subscribes. With ``wait`` it returns once granted, and raises
    SubscriptionRefused or ConnectionFailed when it cannot be; without, it returns at once and
    keeps trying. Iterating gives the events in order and ends when the subscription is closed;
    :meth:`updates` gives the status changes among them. One task at a time may iterate.
    Leaving unsubscribes, for two seconds at most.

    Made by ``RemoteService.subscribe`` and ``ControlPoint.subscribe_url``; entered once.
    """

    def __init__(
        self,
        control_point: ControlPoint,
        event_url: str,
        *,
        service: RemoteService | None = None,
        wait: bool,
        duration: int | None,
        variables: Iterable[str] = (),
    ) -> None:
        self._variables = (variables,) if isinstance(variables, str) else tuple(variables)
        self._control_point = control_point
        self._event_url = event_url
        self._wait = wait
        self._duration = duration
        self.service = service
        """The service, None for a subscription to a bare URL."""
        self._begun: SubscriptionRecord | None = None
        self._queue = EventQueue(control_point.limits.waiting_events)
        self._waiter: asyncio.Future[None] | None = None
        self._granted: asyncio.Future[None] | None = None
        self._closed: asyncio.Future[None] | None = None

    # --- reading ---

    @property
    def _record(self) -> SubscriptionRecord:
        """What the protocol keeps of it, to be read only. RuntimeError before it is entered."""
        if self._begun is None:
            raise RuntimeError("not subscribed yet: use async with … as subscription")
        return self._begun

    def _now(self) -> float:
        return monotonic()

    @property
    def event_url(self) -> str:
        """Where it subscribes, or will when it is entered."""
        return self._event_url if self._begun is None else self._begun.event_url

    @property
    def merged(self) -> int:
        """How many events were merged into others, since the application was behind."""
        return self._queue.merged

    async def diagnose(self) -> Diagnosis:
        """Why no events come, or that they do: a verdict, what to do, and the facts, among them
        whether the device accepts connections and whether the listener answers at the address
        that the device was told. Takes ``Limits.diagnosis_seconds`` at most and changes nothing;
        ``Limits.diagnoses`` are made at a time.

        RuntimeError before it is entered."""
        return await self._control_point.diagnose(self._record)

    # --- entering and leaving ---

    async def __aenter__(self) -> Self:
        if self._granted is not None:
            raise RuntimeError("a subscription is entered once; call subscribe() again")
        loop = asyncio.get_running_loop()
        self._granted = loop.create_future()
        self._closed = loop.create_future()
        convert = None
        if self.service is not None and self._wait:
            convert = await self.service.conversions()
        self._begun = self._control_point.begin(
            self,
            self._event_url,
            convert=convert,
            wait=self._wait,
            duration=self._duration,
            variables=self._variables,
        )
        if self._wait:
            try:
                await self._granted
            except BaseException:
                await self.close()
                raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Unsubscribe and end. Safe to call again, and before it was entered."""
        if self._begun is None or self._closed is None:
            return
        self._control_point.end(self._begun)
        await asyncio.shield(self._closed)

    # --- iterating ---

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        while True:
            item = self._queue.get()
            if isinstance(item, Event):
                return item
            if item is None:
                await self._arrival()

    async def updates(self) -> AsyncIterator[Event | StatusChange]:
        """Events and status changes, in the order in which they happened."""
        while True:
            item = self._queue.get()
            if item is not None:
                yield item
                continue
            try:
                await self._arrival()
            except StopAsyncIteration:
                return

    def _arrival(self) -> asyncio.Future[None]:
        """Done when there is something in the empty inbox, and raises StopAsyncIteration when
        there will be nothing any more."""
        self._record  # noqa: B018 - raises before it is entered
        if self._closed is None or self._closed.done():
            raise StopAsyncIteration
        if self._waiter is not None and not self._waiter.done():
            raise RuntimeError("another task iterates this subscription already")
        self._waiter = asyncio.get_running_loop().create_future()
        return self._waiter

    # --- what the control point tells ---

    def put(self, item: Event | StatusChange) -> None:
        """For the control point: an event, or a status change."""
        self._queue.put(item)
        if isinstance(item, StatusChange):
            self._follow(item)
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def grant(self) -> None:
        """For the control point: SUBSCRIBE was answered with 200."""
        if self._granted is not None and not self._granted.done():
            self._granted.set_result(None)

    def _follow(self, change: StatusChange) -> None:
        if change.status is Status.CLOSED:
            if self._closed is not None and not self._closed.done():
                self._closed.set_result(None)
            self._fail(ConnectionFailed("the subscription was closed before it was granted"))
        elif change.status is Status.REFUSED:
            url = self.event_url
            if change.http_status:
                self._fail(
                    SubscriptionRefused(f"{url}: {change.reason}", status=change.http_status)
                )
            else:
                self._fail(ConnectionFailed(f"{url}: {change.reason}"))

    def _fail(self, error: Exception) -> None:
        granted = self._granted
        if granted is None or granted.done():
            return
        if self._wait:
            granted.set_exception(error)
        else:
            granted.cancel()
