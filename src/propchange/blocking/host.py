"""The hosted device of a program without asyncio."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, ParamSpec, Self, TypeVar

from propchange.asyncio.host import host as host_on_asyncio
from propchange.asyncio.runtime import AsyncioRuntime
from propchange.blocking.loop_thread import LoopThread, arguments_of, in_loop
from propchange.core.wire.messages import Request, Response
from propchange.core.wire.refusals import EMPTY
from propchange.driver.hosted_device import HostedDeviceView
from propchange.upnp.device import Device

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class _HostRuntime(AsyncioRuntime):
    from_thread = "hosted.run"


def _with_arguments_of(model: Callable[P, object]) -> Callable[[Callable[..., R]], Callable[P, R]]:
    return arguments_of(model)  # type: ignore[return-value]  # of all


@_with_arguments_of(host_on_asyncio)
def host(*args: Any, **options: Any) -> HostedDevice:
    """Host a device on the network, for the duration of ``with host(device) as hosted:``. The
    arguments and the exceptions are those of :func:`propchange.host`. Entering raises RuntimeError
    too, in a thread that runs an asyncio loop.

    Actions and ``tap`` run in the thread of the loop. Assign to services there too, by
    :meth:`HostedDevice.run`."""
    given = inspect.signature(host_on_asyncio).bind(*args, **options)
    given.apply_defaults()
    return HostedDevice(_HostRuntime, **given.arguments)


@in_loop
class HostedDevice(HostedDeviceView):
    """A hosted device. Made by :func:`host`. A context manager, which is entered once. Before that,
    its properties and methods raise RuntimeError. Any thread may use it."""

    _not_entered = "the device is not on the network: use with host(…)"

    def __init__(self, runtime: Callable[[], AsyncioRuntime], device: Device, **given: Any) -> None:
        super().__init__(runtime, device, **given)
        self._thread = LoopThread(
            self._in_context(), "the device has left the network: call host() again"
        )

    @contextlib.asynccontextmanager
    async def _in_context(self) -> AsyncIterator[None]:
        await self._open()
        try:
            yield
        finally:
            await self._close()

    def run(
        self, function: Callable[P, Awaitable[T] | T], /, *args: P.args, **keywords: P.kwargs
    ) -> T:
        """Call ``function`` in the thread of the loop, and return its result, or raise its
        exception. ``hosted.run(setattr, thermometer, "temperature", 20.5)`` assigns to a service.
        A function that assigns several times gives one event for each; ``with
        thermometer.batch():`` in it gives one for all. It must not wait for anything. The result of
        a coroutine function is that of its coroutine."""
        self._opened()
        result: T = self._thread.run(function, *args, **keywords)
        return result

    def receive(self, request: Request) -> Response:
        """Answer a request that a web server of the program has received, as
        :meth:`propchange.HostedDevice.receive`, and wait for the answer of an action. Write the
        response, and then call :meth:`response_sent` or :meth:`response_lost` with it."""
        if self._thread.ended:
            return Response(503, (EMPTY,), close=True)
        response: Response = self._thread.run(self._receive, request)
        return response

    def subscribed(self) -> None:
        """Wait until one of the present subscribers has had its initial event. Raises RuntimeError
        if the device is closed before, and if no service of it has an evented variable."""
        self._opened()
        self._thread.run(self._subscribed)

    def drain(self, timeout: float | None = None) -> bool:
        """Wait until all events are delivered or given up. Returns True then, and False if
        ``timeout`` seconds have passed or the device is closed before."""
        self._opened()
        drained: bool = self._thread.run(self._drain, timeout)
        return drained

    def open(self) -> Self:
        """Enter the context, for a program without ``with``, such as an interactive one."""
        self._thread.start()
        return self

    def close(self) -> None:
        """End the hosting. Undelivered events are dropped: call :meth:`drain` before. Repeated
        calls do nothing."""
        self._thread.stop()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        raise RuntimeError("use with host(…), or async with propchange.host(…)")
