"""The subscription of a program without asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from threading import Thread
from typing import Any, Generic

from propchange.asyncio.subscription import Subscription as AsyncSubscription
from propchange.blocking.items import Items, Iterated, seconds_of
from propchange.blocking.loop_thread import Closed, LoopThread, in_loop
from propchange.core.diagnosis.verdicts import Diagnosis
from propchange.core.subscriber.current_values import Values
from propchange.core.subscriber.events import Event, StatusChange
from propchange.core.subscriber.record import SubscriptionRecord
from propchange.core.subscriber.view import SubscriptionView
from propchange.driver.device_access import StateAccess
from propchange.driver.remote import DescribedService
from propchange.upnp.action_methods import ActionMethod
from propchange.upnp.remote_state import S_co, remote_instance
from propchange.upnp.service import Service


async def entered(make: Callable[[], AsyncSubscription[S_co]]) -> AsyncSubscription[S_co]:
    """Make a subscription, and subscribe."""
    subscription = make()
    await subscription.__aenter__()
    return subscription


def with_poll(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a subscription, with a ``poll`` that runs in a thread of its own."""
    poll = options.get("poll")
    if callable(poll) and not inspect.iscoroutinefunction(poll):
        return {**options, "poll": _ThreadedPoll(poll)}
    return options


class _ThreadedPoll:
    """Calls ``function`` in a thread, so that it may wait, and call the device."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._running: Future[Any] | None = None

    async def __call__(self) -> Any:
        """What the function returns. Raises TimeoutError if it has not ended since an earlier
        call: there is one thread at most."""
        if self._running is not None and not self._running.done():
            raise TimeoutError("the poll before has not ended yet")
        self._running = Future()
        self._running.set_running_or_notify_cancel()
        # A daemon: a function that does not end must not keep the program from ending.
        thread = Thread(target=self._run, args=(self._running,), name="propchange", daemon=True)
        thread.start()
        return await asyncio.wrap_future(self._running)

    def _run(self, future: Future[Any]) -> None:
        try:
            future.set_result(self._function())
        except BaseException as error:  # noqa: BLE001 - it is raised in the loop, which SystemExit would end
            future.set_exception(
                error if isinstance(error, Exception) else RuntimeError(repr(error))
            )


@in_loop
class _State(StateAccess):
    """Reads the values of a subscription in the loop."""

    def __init__(
        self, thread: LoopThread, service: Any, subscription: AsyncSubscription[Any]
    ) -> None:
        self._thread = thread
        service_class = Service if service is None else service._class
        super().__init__(service, service_class, subscription)

    def values(self) -> Mapping[str, Any]:
        """The current values, a copy."""
        values: Mapping[str, Any] = self._thread.run(lambda: dict(self._record.values))
        return values

    def call(
        self, method: ActionMethod[Any, Any], args: tuple[Any, ...], keywords: dict[str, Any]
    ) -> Any:
        """Call the action at the device, and return its result."""
        return self._service.call(method, *args, **keywords)


@in_loop
class Subscription(Iterated[Event], SubscriptionView, Generic[S_co]):
    """One subscription. It is renewed and made again until it is closed.

    Made by ``RemoteService.subscribe`` and ``ControlPoint.subscribe_url``, which subscribe. ``for``
    over it yields the events in order, and ends when it or the control point is closed. :meth:`get`
    takes one event, as from a queue.Queue. :meth:`updates` yields the status changes too. Several
    threads may take events: each event goes to one of them. Events that are not taken wait, and are
    merged, as those of :class:`propchange.Subscription`.

    ``with service.subscribe() as subscription`` unsubscribes at the end, which takes two seconds at
    most.
    """

    def __init__(
        self,
        thread: LoopThread,
        subscription: AsyncSubscription[S_co],
        service: DescribedService[S_co] | None = None,
    ) -> None:
        self._thread = thread
        self._subscription = subscription
        self._items = Items(thread, subscription)
        self.service = service
        """The service. None for a subscription to an event URL without a description."""
        access = _State(thread, service, subscription)
        self._state = remote_instance(access._class, access)

    @property
    def record(self) -> SubscriptionRecord:
        """The record of the protocol. It changes in the thread of the loop: read the properties of
        the subscription instead."""
        return self._subscription.record

    def _now(self) -> float:
        return self._subscription._now()

    @property
    def values(self) -> Values:
        """The current state, a copy: variable -> typed value, as far as events have set it. See
        :attr:`propchange.Subscription.values`."""
        return Values(self._thread.run(lambda: dict(self.record.values)))

    @property
    def state(self) -> S_co:
        """The current state, live, as an object of the class of the service:
        ``subscription.state.temperature``. See :attr:`propchange.Subscription.state`."""
        state: Any = self._state
        made: S_co = state
        return made

    @property
    def merged(self) -> int:
        """How many events were merged into others, because the application was slow or because of
        ``minimum_interval``."""
        return self._subscription.merged

    def diagnose(self) -> Diagnosis:
        """Find out whether events arrive, and if not, why: a verdict, what to do, and the facts.
        See :meth:`propchange.Subscription.diagnose`. Takes ``Limits.diagnosis_seconds`` at most."""
        diagnosis: Diagnosis = self._thread.run(self._subscription.diagnose)
        return diagnosis

    def get(self, block: bool = True, timeout: float | None = None) -> Event:
        """Remove and return the next event. The arguments are those of ``queue.Queue.get``: waits
        ``timeout`` seconds, without an end if None, not at all without ``block``.

        Raises queue.Empty if there was none, and :class:`Closed` if it is closed and all its events
        were taken."""
        event: Event = self._items.get(Event, seconds_of(block, timeout))
        event.subscription = self
        return event

    def updates(self) -> Iterator[Event | StatusChange]:
        """Yield the events and the status changes, in their order. Ends when it is closed."""
        with contextlib.suppress(Closed):
            while True:
                item: Event | StatusChange = self._items.get(Event | StatusChange)
                if isinstance(item, StatusChange):
                    item = item._replace(subscription=self)
                else:
                    item.subscription = self
                yield item

    def close(self) -> None:
        """Unsubscribe, and end the iterations. Does nothing if it is closed."""
        with contextlib.suppress(Closed):
            self._thread.run(self._subscription.close)

    def __repr__(self) -> str:
        return str(self._thread.run(repr, self._subscription))
