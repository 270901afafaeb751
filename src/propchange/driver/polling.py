"""Polls the values of subscriptions while no events come.

The protocol decides when (:mod:`propchange.core.subscriber.polling`). The values come from a
function of the program, or from the actions of the service that return its state variables.
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
from propchange.driver.reporting import Warnings, repr_of
from propchange.driver.runtime import Runtime, Task, Tasks
from propchange.errors import ActionError, DescriptionError, PropchangeError, TimedOut
from propchange.printable import listed
from propchange.upnp.actions import Action, ErrorCode
from propchange.upnp.scpd import ServiceContents
from propchange.upnp.tied_action import ARGUMENT_TYPE, CHANNEL, INSTANCE

Values: TypeAlias = Mapping[Any, object]

PollFunction: TypeAlias = Callable[[], Values | Awaitable[Values]]
"""A function of a program, or a coroutine function, that reads the values of a service: variable ->
value, or its text. The variable is its name on the wire, the variable of a class, or a key of
``Subscription.full_state``."""

POLL_INTERVAL = 30.0
"""Seconds between the polls of a subscription by default."""

_READING_NAME = re.compile(r"(?:[XA]_)?(?:Get|List)(?=[^a-z]|$)")
"""The names of actions that only read. Actions with other names may also change something."""

_INPUTS: dict[str, Any] = {INSTANCE: 0, CHANNEL: "Master"}
"""The in arguments that an action may have to be called for a poll, with the values they get."""

_NAMES_SHOWN = 16
"""Names of variables that a warning has."""

_PART = 0.9
"""The part of ``Limits.poll_seconds`` that the calls of one poll may take."""

_MISSING_ACTION = (ErrorCode.INVALID_ACTION, ErrorCode.NOT_IMPLEMENTED)


def poll_options(
    poll: PollFunction | bool | None,
    poll_interval: float,
    service: DescribedService[Any] | None,
) -> dict[str, Any]:
    """The options of :meth:`.SubscriberDriver.subscribe` for ``poll`` and ``poll_interval`` of a
    program, which subscribes to ``service``; None: to an event URL. Raises TypeError or ValueError
    for a ``poll`` or an interval that cannot be used."""
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


class RunningPolls:
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
            self._report_unknown(record, values)
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

    def _report_unknown(self, record: SubscriptionRecord, values: Values) -> None:
        """Log names of values that are no variables of the service description, perhaps misspelt.
        The values are events all the same: a description may be incomplete."""
        known = record.convert
        if known and not known.keys() >= values.keys():
            names = {each for each in map(_name_of, values) if each not in known}
            if names:
                unknown = listed(map(repr, sorted(names)), _NAMES_SHOWN)
                self._warnings.warn(
                    ("polled name", record.event_url),
                    f"{record.event_url}: poll has returned {unknown}, which the service "
                    f"description does not have; there are: {listed(known, _NAMES_SHOWN)}",
                )

    def _report(self, record: SubscriptionRecord, error: Exception) -> None:
        """Log the first of several failures in a row."""
        expected = isinstance(error, PropchangeError | TimeoutError)
        reason = str(error) if expected else repr_of(error)
        line = f"{record.event_url}: the values cannot be polled: {reason}"
        if record in self._failed:
            self._warnings.logger.debug("%s", line)
            return
        self._failed.add(record)
        if expected:
            kind = ("poll", record.event_url, type(error), getattr(error, "code", None))
            self._warnings.warn(kind, line)
        else:
            self._warnings.exception("poll", line)


def _name_of(key: object) -> str:
    """The name of the variable of a key of polled values."""
    name = key[0] if isinstance(key, tuple) else getattr(key, "name", key)
    return str(name)


class ActionPoll:
    """Reads the state variables of ``service`` by its actions. A :data:`PollFunction`.

    An action is called if its name says that it only reads, its out arguments are state variables
    of the service, and it has no in arguments but InstanceID and Channel, for which 0 and Master
    are sent. ``Limits.poll_actions`` are called at most, one after the other. If a slow device does
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
        chosen = reading_actions(contents, driver.limits.poll_actions)
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
            inputs = {each.name: _INPUTS[each.name] for each in action.inputs}
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
                if not isinstance(error, ActionError) or error.code in _MISSING_ACTION:
                    self._missing.add(action.name)
                continue
            # The same keys as those of the values of a LastChange.
            instance = inputs.get(INSTANCE)
            for argument in action.outputs:
                value = outputs.get(argument.name)
                if value is not None:
                    key = (argument.variable.name, instance, inputs.get(CHANNEL))
                    values.setdefault(key, value)
        else:
            self._first = ""
        if not values:
            raise refusal or DescriptionError(
                f"{service._called} has not answered one of the actions that return its state "
                "variables with a value"
            )
        return values


def reading_actions(contents: ServiceContents, most: int) -> list[Action]:
    """The first ``most`` actions that return state variables and, by their names, change nothing.
    An action is left out if the ones before it return all its variables."""
    read: set[str] = set()
    chosen: list[Action] = []
    for action in contents.actions.values():
        names = {each.variable.name for each in action.outputs}
        if (
            len(chosen) < most
            and _READING_NAME.match(action.name)
            and all(each.name in _INPUTS for each in action.inputs)
            and not any(name.startswith(ARGUMENT_TYPE) for name in names)
            # If two arguments have one variable, they are not its value: GetVolumeDBRange.
            and len(names) == len(action.outputs)
            and contents.variables.keys() >= names
            and not read >= names
        ):
            read |= names
            chosen.append(action)
    return chosen
