"""Runs the actions of hosted services.

A ``def`` method runs at once, and its answer is written in the same turn of the loop. An ``async
def`` method runs as a coroutine of the runtime, for ``Limits.action_seconds`` at most. If the
method raises, the control point gets a fault: the :exc:`.ActionError` that was raised, or 501 for
any other exception, which is logged and whose text is not sent. A method runs once for each
request. It runs to its end even if the control point has gone.

**Events.** The events of an action leave after its answer. Before each event,
:data:`running_action` returns the action from whose method, or from a coroutine that it has
started, the event comes. :meth:`ActionRun.hold` then holds the service until the answer has left
(:mod:`propchange.core.publisher.event_holds`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Protocol

from propchange.core.limits import Limits
from propchange.core.publisher.event_holds import EventHold
from propchange.core.wire.messages import Response, address_block
from propchange.driver.descriptors import fit
from propchange.driver.reporting import Warnings, logger_named, repr_of
from propchange.driver.runtime import Future, Runtime, Tasks, settle
from propchange.errors import ActionError
from propchange.upnp.actions import ErrorCode
from propchange.upnp.control import ActionCall, Control
from propchange.upnp.hosted_documents import Asked
from propchange.upnp.service import Service


class HeldPublication(Protocol):
    """A publication that can hold the events of a service."""

    def hold(self, path: str, held: EventHold | None) -> EventHold:
        """Begin a hold of the service at the event URL ``path`` and return it; or return ``held``,
        an earlier one, if it has not ended."""

    def hasten(self, held: EventHold) -> None:
        """Note that the answer is being written."""

    def release(self, held: EventHold) -> None:
        """Note that the answer has left or cannot leave."""


_running: ContextVar[ActionRun | None] = ContextVar("propchange_action", default=None)
running_action: Callable[[], ActionRun | None] = _running.get
"""Returns the action that the running code belongs to; None: it belongs to none."""


class ActionRun:
    """One run of an action. If events wait for its answer, it is the ``receipt`` of the response.

    ``block`` is the block of addresses of its control point."""

    __slots__ = ("_holds", "answered", "block", "is_cancelled")

    def __init__(self, block: str) -> None:
        self.block = block
        self.answered = False
        """Whether its response is made."""
        self.is_cancelled = False
        """Whether this side has cancelled its coroutine."""
        self._holds: dict[tuple[HeldPublication, str], EventHold] = {}

    def hold(self, publication: HeldPublication, path: str) -> None:
        """Let the next events of the service at the event URL ``path`` wait, unless the answer is
        made."""
        if not self.answered:
            place = (publication, path)
            self._holds[place] = publication.hold(path, self._holds.get(place))

    def answer(self, response: Response) -> Response:
        """Note that ``response`` is the answer. Returns it, with its receipt. Later assignments
        begin no hold."""
        self.answered = True
        if not self._holds:
            return response
        for (publication, _), held in self._holds.items():
            publication.hasten(held)
        return replace(response, receipt=self)  # a program may give one response several times

    def release(self) -> None:
        """The answer has left or cannot leave: send the events."""
        self.answered = True
        holds, self._holds = self._holds, {}
        for (publication, _), held in holds.items():
            publication.release(held)


class RunningActions:
    """Runs the actions of calls. Bounds those whose methods wait. In the end call :meth:`close`."""

    def __init__(self, runtime: Runtime, control: Control, limits: Limits) -> None:
        self._runtime = runtime
        self._control = control
        self._limits = limits
        # The connection of an action that runs is not ended to make room for others.
        self._most = min(limits.running_actions, max(fit(limits).connections // 2, 1))
        self._asked = 0  # calls that run in on_action
        self._tasks = Tasks(runtime)
        self._per_block: Counter[str] = Counter()
        # The actions whose methods have once returned an awaitable.
        self._waiting_methods: set[tuple[Service, str]] = set()
        self._unanswered: dict[Future[Response], Callable[[], None]] = {}
        self._closing = False
        self._warnings = Warnings(logger_named("propchange.publisher"), limits)

    def run(self, call: ActionCall) -> Response | Awaitable[Response]:
        """Run the action of ``call``. If the response has an :class:`ActionRun` as its ``receipt``,
        call :meth:`ActionRun.release` when it has left or cannot leave."""
        self._note_problems(call)
        peer = call.request.peer
        run = ActionRun("" if peer is None else address_block(peer.host))
        if self._closing:
            return self._refuse(call, "the device is leaving the network")
        if (call.service, call.action.name) in self._waiting_methods and not self._has_room(run):
            return self._refuse(call, "too many actions are running")
        before = _running.set(run)
        try:
            result = call.service._invoke_action(call.action.name, call.inputs)
            if isinstance(result, Awaitable):
                return self._begin(call, run, result)
            response = self._control.answer(call, result)
        except (KeyboardInterrupt, SystemExit):
            run.release()
            raise
        except BaseException as error:  # noqa: BLE001 - the code of an application may raise anything
            response = self._failed(call, error)
        finally:
            _running.reset(before)
        return run.answer(response)

    def ask_program(self, asked: Asked) -> Response | Awaitable[Response]:
        """Call the ``on_action`` of a service, which reads SOAP itself, and return its response,
        with a receipt as :meth:`run`. Its time is not bounded. The number of calls that wait
        for such a response is bounded."""
        if self._asked >= self._most:
            why = f"{ErrorCode.ACTION_FAILED.words}: too many actions are running"
            where = asked.request.target.partition("?")[0]
            line = f"a call at {where} was answered with 501: too many are running in on_action"
            self._warnings.warn(("an action was refused", where), line)
            return self._control.fault(asked.request, ActionError(ErrorCode.ACTION_FAILED, why))
        run = ActionRun("")
        before = _running.set(run)
        try:
            given: object = asked.on_action(asked.request)
        except BaseException:
            run.release()
            raise
        finally:
            _running.reset(before)
        if isinstance(given, Awaitable):
            self._asked += 1
            return self._awaited(run, given)
        return run.answer(_checked(given))

    async def _awaited(self, run: ActionRun, given: Awaitable[object]) -> Response:
        before = _running.set(run)
        try:
            return run.answer(_checked(await given))
        except BaseException:
            run.release()
            raise
        finally:
            self._asked -= 1
            # Twisted 21.7 resumes a coroutine in another context, in which nothing was set.
            with suppress(ValueError):
                _running.reset(before)

    async def close(self) -> None:
        """Cancel the actions that run, answer them with 501, and wait until they have ended, for
        ``Limits.linger_seconds`` at most."""
        self._closing = True
        for end in tuple(self._unanswered.values()):
            end()
        await self._tasks.ended(self._limits.linger_seconds)

    # --- actions whose methods wait ---

    def _has_room(self, run: ActionRun) -> bool:
        limits = self._limits
        return (
            len(self._tasks) < self._most
            and self._per_block[run.block] < limits.running_actions_per_address
        )

    def _begin(
        self, call: ActionCall, run: ActionRun, awaitable: Awaitable[Any]
    ) -> Awaitable[Response]:
        self._waiting_methods.add((call.service, call.action.name))
        self._per_block[run.block] += 1
        answer: Future[Response] = self._runtime.future()
        task = self._tasks.start(self._finish(call, run, awaitable, answer))

        def end(why: str = "the device is leaving the network") -> None:
            run.is_cancelled = True
            settle(answer, run.answer(self._refuse(call, why)))
            task.cancel()

        seconds = self._limits.action_seconds
        alarm = self._runtime.call_later(seconds, lambda: end(f"it took more than {seconds:g} s"))
        self._unanswered[answer] = end

        def ended(_: object) -> None:
            alarm.cancel()
            del self._unanswered[answer]
            if not answer.done():  # by an exception that ends the program
                settle(answer, run.answer(self._refuse(call, "it was interrupted")))

        if task.done():
            ended(task)
        else:
            task.add_done_callback(ended)
        return answer

    async def _finish(
        self,
        call: ActionCall,
        run: ActionRun,
        awaitable: Awaitable[Any],
        answer: Future[Response],
    ) -> None:
        try:
            response = self._control.answer(call, await awaitable)
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 - the code of an application may raise anything
            if run.is_cancelled:
                self._warnings.logger.debug("%s ended: %s", _named(call), repr_of(error))
                return
            response = self._failed(call, error)
        finally:
            self._leave(run.block)
        if answer.done():  # nobody waits for it
            run.release()
        else:
            settle(answer, run.answer(response))

    def _leave(self, block: str) -> None:
        self._per_block[block] -= 1
        if not self._per_block[block]:
            del self._per_block[block]

    # --- failures ---

    def _refuse(self, call: ActionCall, why: str) -> Response:
        self._warnings.warn(
            ("an action was refused", why, *_kind(call)),
            f"{_named(call)} was answered with 501 to {_caller(call)}: {why}",
        )
        error = ActionError(ErrorCode.ACTION_FAILED, f"{ErrorCode.ACTION_FAILED.words}: {why}")
        return self._control.fault(call.request, error)

    def _failed(self, call: ActionCall, error: BaseException) -> Response:
        """The response for ``error``, which the method has raised and which is being handled. An
        ActionError without a usable code or description is as any other exception."""
        if isinstance(error, ActionError):
            try:
                return self._control.fault(call.request, error)
            except Exception as unusable:  # noqa: BLE001 - a class of an application may lack anything
                return self._failed_otherwise(call, unusable)
        return self._failed_otherwise(call, error)

    def _failed_otherwise(self, call: ActionCall, error: BaseException) -> Response:
        self._warnings.raised(
            ("an action failed", *_kind(call), type(error)),
            f"{_named(call)} failed, and {_caller(call)} was answered with 501: {repr_of(error)}",
        )
        return self._control.fault(call.request, ActionError(ErrorCode.ACTION_FAILED))

    def _note_problems(self, call: ActionCall) -> None:
        for problem in call.problems:
            self._warnings.warn(
                ("a call deviates", _caller(call), problem),
                f"{_caller(call)} has called {call.action.name} with a deviation: {problem}",
            )


def _checked(given: object) -> Response:
    """``given``. Raises TypeError if it is not a response."""
    if not isinstance(given, Response):
        raise TypeError(f"on_action gives a Response, or an awaitable of one, not {given!r}")
    return given


def _kind(call: ActionCall) -> tuple[str, str]:
    return call.service.service_type, call.action.name


def _named(call: ActionCall) -> str:
    return f"the action {call.action.name} of {call.service!r}"


def _caller(call: ActionCall) -> str:
    peer = call.request.peer
    return "an unknown peer" if peer is None else peer.host
