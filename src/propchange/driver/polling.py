"""Polls the values of subscriptions to which no events come.

The protocol says when (:mod:`propchange.core.subscriber.polling`). The values come from a function
of the program, or from the actions of the service that return its state variables.
"""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeAlias

from propchange.core.limits import Limits
from propchange.core.subscriber.current_values import StateKey
from propchange.core.subscriber.protocol import SubscriberProtocol
from propchange.core.subscriber.record import SubscriptionRecord
from propchange.driver.remote import DescribedService
from propchange.driver.reporting import Warnings
from propchange.driver.runtime import Runtime, Task, Tasks
from propchange.errors import ActionError, DescriptionError, PropchangeError, TimedOut
from propchange.upnp.actions import Action, ErrorCode
from propchange.upnp.scpd import ServiceContents

Values: TypeAlias = Mapping[Any, object]

PollFunction: TypeAlias = Callable[[], Values | Awaitable[Values]]
"""A function of a program, or a coroutine function, that reads the values of a service: variable ->
value, or its text. The variable is its name on the wire, the variable of a class, or a key of
``Subscription.full_state``."""

POLL_INTERVAL = 30.0
"""Seconds between the polls of a subscription by default."""

_TELLS = re.compile(r"(?:[XA]_)?(?:Get|List)(?=[^a-z]|$)")
"""The names of actions that only read. Others may return state variables and change something."""

_ASKED: dict[str, Any] = {"InstanceID": 0, "Channel": "Master"}
"""The in arguments of actions that are called to poll, with their values."""

_PART = 0.9
"""The part of the time for one poll that its calls may take."""

_NOT_THERE = (ErrorCode.INVALID_ACTION, ErrorCode.NOT_IMPLEMENTED)


def poll_options(
    poll: PollFunction | bool | None,
    poll_interval: float,
    service: DescribedService[Any] | None,
) -> dict[str, Any]:
    """The options of :meth:`.SubscriberDriver.subscribe` for ``poll`` and ``poll_interval`` of a
    program, which subscribes to ``service``. Raises TypeError or ValueError for what cannot be
    polled."""
    if isinstance(poll_interval, bool) or not isinstance(poll_interval, int | float):
        raise TypeError(f"poll_interval is a number of seconds, not {poll_interval!r}")
    if not 0 < poll_interval < math.inf:
        raise ValueError(f"poll_interval is a number of seconds above 0, not {poll_interval!r}")
    if poll is None or poll is False:
        return {}
    if poll is True:
        if service is None:
            raise ValueError(
                "poll=True needs the description of the service; give a function that returns a "
                "mapping of variables to values"
            )
        poll = ActionPoll(service)
    elif not callable(poll):
        raise TypeError(f"poll is a function that returns a mapping, or True, not {poll!r}")
    return {"poll": poll, "poll_interval": float(poll_interval)}


class Polls:
    """Runs the polls of a control point. ``tasks`` runs the coroutines, and ends them with the
    control point. ``changed`` is called when there are outcomes."""

    def __init__(
        self,
        runtime: Runtime,
        protocol: SubscriberProtocol,
        tasks: Tasks,
        *,
        limits: Limits,
        warnings: Warnings,
        changed: Callable[[], None],
    ) -> None:
        self._runtime = runtime
        self._polling = protocol.polling
        self._tasks = tasks
        self._limits = limits
        self._warnings = warnings
        self._changed = changed
        self._functions: dict[SubscriptionRecord, PollFunction] = {}
        self._running: dict[SubscriptionRecord, Task[None]] = {}
        self._failed: set[SubscriptionRecord] = set()

    def add(self, record: SubscriptionRecord, function: PollFunction) -> None:
        """Poll the values of ``record`` by ``function``."""
        self._functions[record] = function

    def begin(self, records: Iterable[SubscriptionRecord]) -> None:
        """Begin the polls that the protocol wants now."""
        for record in records:
            task = self._tasks.start(self._poll(record, self._functions[record]))
            if not task.done():
                self._running[record] = task

    def end(self, record: SubscriptionRecord) -> None:
        """End the polling of ``record``, which is closed. A poll that runs is cancelled."""
        self._functions.pop(record, None)
        self._failed.discard(record)
        running = self._running.pop(record, None)
        if running is not None:
            running.cancel()

    async def _poll(self, record: SubscriptionRecord, function: PollFunction) -> None:
        seconds = self._limits.poll_seconds
        late = False

        def stop() -> None:
            nonlocal late
            late = True
            if (running := self._running.get(record)) is not None:
                running.cancel()

        alarm = self._runtime.call_later(seconds, stop)
        try:
            values = function()
            if isinstance(values, Awaitable):
                values = await values
            if not isinstance(values, Mapping):
                raise TypeError(f"poll returns a mapping of variables to values, not {values!r}")
            self._polling.polled(record, values, self._runtime.now())
            self._failed.discard(record)
        except Exception as error:  # noqa: BLE001 - it is logged
            # What a runtime raises in a coroutine that is cancelled may be an Exception.
            if record in self._functions and not late:
                self._report(record, error)
        finally:
            alarm.cancel()
            self._running.pop(record, None)
            if late:
                self._report(record, TimeoutError(f"it has not ended within {seconds:g} s"))
            self._polling.failed(record, self._runtime.now())
            self._changed()

    def _report(self, record: SubscriptionRecord, error: Exception) -> None:
        """Log the first of several failures in a row."""
        line = f"{record.event_url}: the values cannot be polled: {error}"
        if record in self._failed:
            self._warnings.logger.debug("%s", line)
            return
        self._failed.add(record)
        if isinstance(error, PropchangeError | TimeoutError):
            self._warnings.warn(("poll", record.event_url, str(error)), line)
        else:
            self._warnings.exception("poll", line)


class ActionPoll:
    """Reads the state variables of ``service`` by its actions. A :data:`PollFunction`.

    An action is called if its name says that it only reads, its out arguments are state variables
    of the service, and its in arguments are none, or InstanceID and Channel; they are then 0 and
    Master. ``Limits.poll_actions`` are called at most, one after the other. If a slow device does
    not answer all of them in the time for one poll, the next poll begins with the others.
    """

    def __init__(self, service: DescribedService[Any]) -> None:
        self._service = service
        self._missing: set[str] = set()
        self._first = ""  # the name of the action to call first

    async def __call__(self) -> dict[StateKey, object]:
        """The values. Raises DescriptionError if no action returns state variables,
        ConnectionFailed if the device is away, and the error of the last call if no call gave a
        value."""
        service, driver = self._service, self._service._driver
        until = driver.now() + _PART * driver.limits.poll_seconds
        contents = await service._read_contents()
        chosen = actions_that_tell(contents, driver.limits.poll_actions)
        if not chosen:
            raise DescriptionError(
                f"{service._called} has no action that returns its state variables; "
                "give subscribe() a function as poll"
            )
        values: dict[StateKey, object] = {}
        refusal: Exception | None = None
        called = [action for action in chosen if action.name not in self._missing]
        begin = next((n for n, each in enumerate(called) if each.name == self._first), 0)
        for action in called[begin:] + called[:begin]:
            self._first = action.name
            left = until - driver.now()
            if left <= 0 and (values or refusal):
                break
            inputs = {each.name: _ASKED[each.name] for each in action.inputs}
            seconds = min(max(left, 0.001), driver.limits.request_seconds)
            try:
                outputs = await service._call(action.name, (), {**inputs, "timeout": seconds})
            except TimedOut as error:
                if values:
                    break
                refusal = error
                continue
            except (ActionError, ValueError) as error:
                # ValueError: the service has no InstanceID 0, or no channel Master.
                refusal = error
                if not isinstance(error, ActionError) or error.code in _NOT_THERE:
                    self._missing.add(action.name)
                continue
            # As a LastChange has them.
            instance = inputs.get("InstanceID")
            for argument in action.outputs:
                value = outputs.get(argument.name)
                if value is not None:
                    key = (argument.variable.name, instance, inputs.get("Channel"))
                    values.setdefault(key, value)
        else:
            self._first = ""
        if not values:
            raise refusal or DescriptionError(
                f"{service._called} has not answered one of the actions that return its state "
                "variables with a value"
            )
        return values


def actions_that_tell(contents: ServiceContents, most: int) -> list[Action]:
    """The actions that return state variables and change nothing, as far as their descriptions
    say; ``most`` of them. An action whose variables the former ones return is left out."""
    told: set[str] = set()
    chosen: list[Action] = []
    for action in contents.actions.values():
        names = {each.variable.name for each in action.outputs}
        if (
            len(chosen) < most
            and _TELLS.match(action.name)
            and all(each.name in _ASKED for each in action.inputs)
            and not any(name.startswith("A_ARG_TYPE_") for name in names)
            # Two arguments of one variable are not both its value: GetVolumeDBRange returns bounds.
            and len(names) == len(action.outputs)
            and contents.variables.keys() >= names
            and not told >= names
        ):
            told |= names
            chosen.append(action)
    return chosen
