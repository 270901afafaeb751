"""A thread with an asyncio loop, and the calls that other threads make in it."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import inspect
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from functools import partial
from math import inf
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from types import FunctionType
from typing import Any, Concatenate, ParamSpec, TypeVar
from weakref import WeakSet

from propchange.driver.requests import ControlPointClosed
from propchange.errors import ConnectionFailed, PropchangeError

C = TypeVar("C", bound=type)
P = ParamSpec("P")
R = TypeVar("R")

_EXIT_SECONDS = 5.0
"""Seconds that the end of the program waits for what was not closed: UNSUBSCRIBE and ssdp:byebye
take two. A function of the program that blocks the loop must not keep the program from ending."""

_SLICE = 0.2 if sys.platform == "win32" else 1.0
"""Seconds of one wait. On Windows Ctrl-C does not end a wait. Elsewhere it does, except if it comes
in the instant in which the wait begins."""

_LOOPS: WeakSet[object] = WeakSet()
"""The loops of all threads."""


class Closed(PropchangeError, RuntimeError):
    """The subscription, the control point or the hosted device was closed, by this thread or by
    another one: there is nothing to wait for any more."""


class Call:
    """A call that one thread asks for and the thread of the loop makes. ``unread`` is called in the
    loop with a result that nobody waits for any more."""

    def __init__(
        self, function: Callable[[], Any] = lambda: None, unread: Callable[[Any], object] = id
    ) -> None:
        self._function = function
        self._unread = unread
        # A signal cannot leave a SimpleQueue locked: its methods are not in Python.
        self._ends: SimpleQueue[None] = SimpleQueue()
        self._task: asyncio.Task[None] | None = None
        self._abandoned = False
        self._result: Any = None
        self._error: BaseException | None = None

    def begin(self) -> None:
        """In the loop: make the call."""
        self._task = asyncio.ensure_future(self._make())

    async def _make(self) -> None:
        try:
            result = self._function()
            self._result = await result if isinstance(result, Awaitable) else result
            if self._abandoned:
                self._unread(self._result)
        except asyncio.CancelledError:
            self._error = Closed("it was closed while this thread waited for it")
            raise
        except BaseException as error:  # noqa: BLE001 - it is raised in the thread that waits
            self._error = error
        finally:
            self._ends.put(None)

    def abandon(self) -> None:
        """In the loop: nobody waits for the result."""
        self._abandoned = True
        if self._task is None:
            return
        if not self._task.done():
            self._task.cancel()
        elif self._error is None:
            self._unread(self._result)

    def end(self, error: BaseException | None) -> None:
        """End it without a result, because the loop has ended."""
        self._error = error
        self._ends.put(None)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for its end in the thread that asked for it. Returns False after ``seconds``."""
        until = inf if seconds is None else monotonic() + seconds
        left = min(_SLICE, until - monotonic())
        while True:
            with contextlib.suppress(Empty):
                self._ends.get(timeout=left)
                return True
            left = min(_SLICE, until - monotonic())
            if left <= 0:
                return False

    def result(self) -> Any:
        """The result, after its end. Raises the exception of the call."""
        if self._error is None:
            return self._result
        try:
            raise self._error
        finally:
            self._error = None  # its traceback has this frame, and so this call


class LoopThread:
    """A thread with a loop, in which ``context`` is entered, and left in the end. ``closed`` is the
    message of the error for calls after that."""

    def __init__(self, context: AbstractAsyncContextManager[Any], closed: str) -> None:
        self._context = context
        self._closed = closed
        self._calls: set[Call] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._process = 0
        self._running = self._stopping = self._left = False
        self._failure: BaseException | None = None
        self.ended = False

    def start(self) -> None:
        """Start the thread, and wait until the context is entered. Raises what entering raises."""
        self._refuse_loops()
        if self._process:
            raise RuntimeError("it is entered once; make another")
        self._process = os.getpid()
        entered = Call()
        # A daemon: a function of the program that blocks the loop must not keep it from ending.
        thread = Thread(target=self._run, args=(entered,), name="propchange", daemon=True)
        atexit.register(self._stop_at_exit)
        try:
            thread.start()
            entered.wait()
            entered.result()
        except BaseException:
            self._ask_to_stop()
            raise

    def _run(self, entered: Call) -> None:
        try:
            with asyncio.Runner() as runner:
                self._loop = runner.get_loop()
                _LOOPS.add(self._loop)
                runner.run(self._stay(entered))
        except BaseException as error:  # noqa: BLE001 - it is raised in a thread that waits
            self._failure = error
        began, self._running, self.ended = self._running, False, True
        if not began:
            entered.end(self._failure)
            self._failure = None
        for call in tuple(self._calls):
            call.end(Closed(self._closed))

    async def _stay(self, entered: Call) -> None:
        self._stop = asyncio.Event()
        if self._stopping:
            return
        try:
            async with self._context:
                self._running = True
                entered.end(None)
                await self._stop.wait()
        finally:
            self._left = True

    def _begin(self, call: Call) -> None:
        """In the loop: make a call. The loop ends the tasks that exist when the context is left.
        It would not end one that begins later."""
        if self._left:
            call.end(Closed(self._closed))
        else:
            call.begin()

    def run(self, function: Callable[..., Any], /, *args: Any, **keywords: Any) -> Any:
        """Call ``function`` in the loop, and return its result; that of its coroutine if it is a
        coroutine function. Before the start, after the end and in the thread of the loop it is
        called here. Then a coroutine raises RuntimeError, which is Closed after the end.

        Raises RuntimeError in a thread that runs another loop, and in a forked process."""
        return self.take(partial(function, *args, **keywords), id)

    def take(self, function: Callable[[], Any], unread: Callable[[Any], object]) -> Any:
        """As :meth:`run`. ``unread`` is called in the loop with the result if a signal has ended
        the wait for it, such as Ctrl-C."""
        if self._process not in (0, os.getpid()):
            raise RuntimeError(
                "it belongs to the process that this one was forked from; make another here"
            )
        here = _running_loop()
        if not self._running or (here is not None and here is self._loop):
            return self._run_here(function)
        self._refuse_loops()
        call = Call(function, unread)
        self._calls.add(call)
        try:
            self._call_soon(partial(self._begin, call))
            if self.ended:  # perhaps before the call was added
                raise Closed(self._closed)
            call.wait()
        except BaseException:  # a signal has ended the wait
            self._call_soon(call.abandon)
            raise
        finally:
            self._calls.discard(call)
        return self._closed_or(call.result)

    def _closed_or(self, result: Callable[[], Any]) -> Any:
        """What ``result`` returns. What it raises because another thread has ended this object
        becomes Closed: a program has one exception to expect."""
        try:
            return result()
        except (ControlPointClosed, ConnectionFailed) as error:
            if not self._stopping:
                raise
            raise Closed(self._closed) from error

    def _run_here(self, function: Callable[[], Any]) -> Any:
        result = self._closed_or(function)
        if not isinstance(result, Awaitable):
            return result
        if isinstance(result, Coroutine):
            result.close()
        self._refuse_loops()
        raise Closed(self._closed) if self.ended else RuntimeError("it is not entered yet")

    def stop(self, seconds: float | None = None) -> None:
        """Leave the context, and end the thread. Waits for that, for ``seconds`` at most."""
        if self._process != os.getpid() or self.ended:
            return
        _refuse_own_loops()
        call = Call()
        self._calls.add(call)
        self._ask_to_stop()
        if not self.ended:
            call.wait(seconds)
        self._calls.discard(call)
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _stop_at_exit(self) -> None:
        self.stop(_EXIT_SECONDS)

    def _ask_to_stop(self) -> None:
        # If that is interrupted by a second Ctrl-C, the program ends without waiting again.
        atexit.unregister(self._stop_at_exit)
        self._stopping = True
        if self._stop is not None:
            self._call_soon(self._stop.set)

    def _call_soon(self, function: Callable[[], object]) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(function)

    def _refuse_loops(self) -> None:
        """Raise RuntimeError in a thread that must not wait, because it runs a loop."""
        if _running_loop() not in (None, *_LOOPS):
            raise RuntimeError(
                "propchange.blocking would block the asyncio loop of this thread: use "
                "propchange.ControlPoint and propchange.host there, or asyncio.to_thread"
            )
        _refuse_own_loops()


def _refuse_own_loops() -> None:
    if _running_loop() in _LOOPS:
        raise RuntimeError(
            "this function runs in the thread of a loop of propchange.blocking (an action, a tap, "
            "hosted.run) and must not wait: let another thread do that"
        )


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _through_loop(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(self: Any, *args: Any, **keywords: Any) -> Any:
        return self._thread.run(function, self, *args, **keywords)

    return run


def in_loop(cls: C) -> C:
    """Let the public methods and properties that ``cls`` inherits from other rooms run in the
    loop."""
    room = __name__.rpartition(".")[0]
    for name in dir(cls):
        owner = next(each for each in cls.__mro__ if name in vars(each))
        special = name in ("__contains__", "__repr__")
        if owner in (cls, object) or owner.__module__.startswith(room):
            continue
        if name.startswith("_") and not special:
            continue
        member = vars(owner)[name]
        if isinstance(member, property) and member.fget is not None:
            setattr(cls, name, property(_through_loop(member.fget), doc=member.__doc__))
        elif isinstance(member, FunctionType):
            setattr(cls, name, _through_loop(member))
    return cls


def arguments_of(
    model: Callable[Concatenate[Any, P], object],
) -> Callable[[Callable[..., R]], Callable[Concatenate[Any, P], R]]:
    """Give a method the arguments of the method ``model``."""

    def give(method: Callable[..., R]) -> Callable[Concatenate[Any, P], R]:
        method.__signature__ = inspect.signature(model)  # type: ignore[attr-defined]  # of inspect
        return method

    return give
