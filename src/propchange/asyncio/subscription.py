"""A subscription as a program holds it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Self

from propchange.core.diagnosis.verdicts import Diagnosis
from propchange.core.subscriber.events import Event, EventQueue, Status, StatusChange
from propchange.core.subscriber.record import SubscriptionRecord, SubscriptionView
from propchange.driver.control_point import SubscriberDriver, refusal_of
from propchange.driver.remote import DescribedService

__all__ = ["Subscription"]


class Subscription(SubscriptionView):
    """One subscription. It is renewed and made again until it is closed.

    Made by ``RemoteService.subscribe`` and ``ControlPoint.subscribe_url``. Enter it once, with
    ``async with``: that subscribes. With ``wait`` entering returns once the subscription is
    granted, and raises SubscriptionRefused or ConnectionFailed if it is not. Without ``wait`` it
    returns at once, and the subscription is tried until it is granted.

    ``async for`` over it yields the events in order, and ends when the subscription is closed.
    :meth:`updates` yields the status changes too. One task at a time may iterate. Leaving the
    context unsubscribes, which takes two seconds at most. The properties need an entered one, else
    they raise RuntimeError.
    """

    def __init__(
        self,
        driver: SubscriberDriver,
        event_url: str,
        *,
        service: DescribedService | None = None,
        wait: bool,
        duration: int | None,
        variables: Iterable[str] = (),
    ) -> None:
        self._driver = driver
        self._event_url = event_url
        self._wait = wait
        self._duration = duration
        self._variables = variables
        self.service = service
        """The service. None for a subscription to an event URL without a description."""
        self._begun: SubscriptionRecord | None = None
        self._queue = EventQueue(driver.limits.waiting_events)
        self._waiter: asyncio.Future[None] | None = None
        self._granted: asyncio.Future[None] | None = None
        self._closed: asyncio.Future[None] | None = None

    # --- reading ---

    @property
    def record(self) -> SubscriptionRecord:
        """The record that the outcomes of this subscription name. Read it only."""
        if self._begun is None:
            raise RuntimeError("not subscribed yet: use async with … as subscription")
        return self._begun

    def _now(self) -> float:
        return self._driver.now()

    @property
    def event_url(self) -> str:
        """The event URL. It may be read before entering too."""
        return self._event_url if self._begun is None else self._begun.event_url

    @property
    def merged(self) -> int:
        """How many events were merged into others because the application was slow."""
        return self._queue.merged

    async def diagnose(self) -> Diagnosis:
        """Find out whether events arrive, and if not, why: a verdict, what to do, and the facts.
        Connects to the device, and to the own listener at the address that the device was told.
        Changes nothing. Takes ``Limits.diagnosis_seconds`` at most; ``Limits.diagnoses`` run at
        the same time, others wait.

        Raises RuntimeError before the subscription is entered."""
        return await self._driver.diagnose(self.record)

    # --- entering and leaving ---

    async def __aenter__(self) -> Self:
        if self._granted is not None:
            raise RuntimeError("a subscription is entered once; call subscribe() again")
        loop = asyncio.get_running_loop()
        self._granted = loop.create_future()
        self._closed = loop.create_future()
        convert = None
        if self.service is not None and self._wait:
            self._driver.check_open()
            convert = await self.service.read_conversions()
        self._begun = self._driver.subscribe(
            self,
            self._event_url,
            wait=self._wait,
            describe_first=not self._wait,
            convert=convert,
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
        """Unsubscribe and end the iterations. Does nothing if it is closed or was not entered."""
        if self._begun is None or self._closed is None:
            return
        self._driver.unsubscribe(self._begun)
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
        """Yield the events and the status changes, in their order. Ends when it is closed."""
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
        """A future that is done when something is in the empty queue. Raises StopAsyncIteration
        when nothing will come any more."""
        self.record  # noqa: B018 - raises before it is entered
        if self._closed is None or self._closed.done():
            raise StopAsyncIteration
        if self._waiter is not None and not self._waiter.done():
            raise RuntimeError("another task iterates this subscription already")
        self._waiter = asyncio.get_running_loop().create_future()
        return self._waiter

    # --- for the driver ---

    def put(self, item: Event | StatusChange, /) -> None:
        """For the driver: an event, or a status change."""
        self._queue.put(item)
        if isinstance(item, StatusChange):
            self._follow(item)
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def grant(self) -> None:
        """For the driver: SUBSCRIBE was answered with 200."""
        if self._granted is not None and not self._granted.done():
            self._granted.set_result(None)

    def _follow(self, change: StatusChange) -> None:
        if change.status is Status.CLOSED and self._closed is not None and not self._closed.done():
            self._closed.set_result(None)
        error = refusal_of(change, self.event_url)
        granted = self._granted
        if error is None or granted is None or granted.done():
            return
        if self._wait:
            granted.set_exception(error)
        else:
            granted.cancel()
