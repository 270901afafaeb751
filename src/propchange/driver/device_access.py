"""How the objects of a service class at a control point read values and call actions.

:class:`ControlAccess` is for ``service.control``, which has no values. :class:`StateAccess` is for
``subscription.state``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

from propchange.core.subscriber.current_values import Values
from propchange.core.subscriber.record import SubscriptionRecord
from propchange.core.subscriber.view import SubscriptionView
from propchange.core.values.lastchange import is_master
from propchange.core.values.state_variables import StateVariable
from propchange.printable import listed, printable
from propchange.upnp.action_methods import ActionMethod
from propchange.upnp.class_fit import MOST_NAMED, getters, is_evented
from propchange.upnp.scpd import ServiceContents
from propchange.upnp.service import Service


class ControlAccess:
    """Calls actions, and has no values. ``service`` is the service of a control point, with the
    class ``service_class``; None: there is only an event URL, without a description."""

    def __init__(self, service: Any, service_class: type[Service]) -> None:
        self._service = service
        self._class = service_class

    @property
    def called(self) -> str:
        """The service and its device, for people."""
        return str(self._service._called)

    @property
    def service_type(self) -> str:
        """The type of the device's service, which may be a later version of the class's."""
        return "" if self._service is None else str(self._service.service_type)

    @property
    def service_id(self) -> str:
        """The serviceId."""
        return "" if self._service is None else str(self._service.service_id)

    def read(self, variable: StateVariable[Any]) -> Any:
        """Raises LookupError: there are no values."""
        return self.read_named(variable.name)

    def read_named(self, name: str) -> Any:
        """Raises LookupError: there are no values."""
        raise LookupError(
            f"{name} has no value here: control only calls actions. The state of a subscription "
            f"has values{self._or_call(name)}"
        )

    def read_instance(self, number: int, name: str, channel: str | None) -> Any:
        """Raises LookupError: there are no values."""
        return self.read_named(name)

    def values(self) -> Mapping[str, Any]:
        """Empty."""
        return {}

    def instances(self) -> tuple[int, ...]:
        """Empty."""
        return ()

    def call(
        self, method: ActionMethod[Any, Any], args: tuple[Any, ...], keywords: dict[str, Any]
    ) -> Awaitable[Any]:
        """Call the action at the device, as the ``call`` of the runtime's service."""
        called: Awaitable[Any] = self._service.call(method, *args, **keywords)
        return called

    @property
    def _contents(self) -> ServiceContents | None:
        contents: ServiceContents | None = None
        if self._service is not None:
            contents = self._service._plain._contents
        return contents

    def _or_call(self, name: str) -> str:
        """The part of an error that names the calls which return the variable."""
        contents = self._contents
        calls = getters(name, self._class, {} if contents is None else contents.actions)
        return f"; {listed(calls, MOST_NAMED)} asks the device" if calls else ""


class StateAccess(ControlAccess):
    """Reads the values of ``subscription``, and calls actions."""

    def __init__(
        self, service: Any, service_class: type[Service], subscription: SubscriptionView
    ) -> None:
        super().__init__(service, service_class)
        self._subscription = subscription

    @property
    def called(self) -> str:
        """The service and its device, or the event URL, for people."""
        return self._subscription.event_url if self._service is None else super().called

    @property
    def _record(self) -> SubscriptionRecord:
        return self._subscription.record

    def read(self, variable: StateVariable[Any]) -> Any:
        """The current value. Raises TypeError if it does not fit the class, LookupError if there is
        none, and RuntimeError before the subscription is entered."""
        record, name, channel = self._record, variable.name, variable.channel
        if not is_master(channel):
            # The attribute is another channel than that of ``values``.
            value = record.instances.get((name, 0, channel))
            found = value is not None
        else:
            value, found = record.values.get(name), name in record.values
        if found:
            return variable.typed(value)
        raise LookupError(printable(self._why_missing(name, variable)))

    def read_named(self, name: str) -> Any:
        """The current value by the name on the wire. Raises as :meth:`read`."""
        values = self._record.values
        if name in values:
            return values[name]
        raise LookupError(printable(self._why_missing(name, None)))

    def read_instance(self, number: int, name: str, channel: str | None) -> Any:
        """The value of an instance that came by LastChange. Raises as :meth:`read`."""
        variable = self._class._class_variables.get(name)
        if channel is None and variable is not None:
            channel = variable.channel
        state = self._record.full_state
        if (name, number, channel) not in state:
            where = f"channel {channel} of " if channel else ""
            raise LookupError(
                printable(
                    f"no event has brought {name} of {where}instance {number} of {self.called}"
                )
            )
        value = state[name, number, channel]
        return value if variable is None else variable.typed(value)

    def values(self) -> Mapping[str, Any]:
        """The current values, live."""
        return Values(self._record.values)

    def instances(self) -> tuple[int, ...]:
        """The InstanceIDs that events have named."""
        return tuple(sorted({key[1] for key in self._record.full_state if key[1] is not None}))

    def _why_missing(self, name: str, variable: StateVariable[Any] | None) -> str:
        record, contents = self._record, self._contents
        declared = variable
        if contents is not None:
            declared = contents.variables.get(name)
            if declared is None:
                there = listed(contents.variables, MOST_NAMED, without="nothing")
                return f"{self.called} has no state variable {name}; there are: {there}"
            if not is_evented(variable or declared, contents):
                return f"{self.called} does not event {name}{self._or_call(name)}"
        if record.accepted is not None and name not in record.accepted:
            there = listed(record.accepted, MOST_NAMED, without="nothing")
            return f"the subscription is for other variables: {there}{self._or_call(name)}"
        return (
            f"no event has brought {name} of {self.called} yet "
            f"({record.status.value}: {record.status_reason or 'no event so far'})"
            f"{self._or_call(name)}"
        )
