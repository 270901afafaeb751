"""The common base of the subscriptions of both runtimes."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Generic

from propchange.core.subscriber.events import Event, StatusChange
from propchange.core.subscriber.outcomes import Granted
from propchange.core.subscriber.record import SubscriptionRecord
from propchange.core.subscriber.view import SubscriptionView
from propchange.driver.device_access import StateAccess
from propchange.driver.remote import DescribedService
from propchange.upnp.remote_state import S_co, remote_instance
from propchange.upnp.service import Service


class DrivenSubscription(SubscriptionView, Generic[S_co]):
    """A subscription on either runtime. ``driver`` is that of its control point."""

    def __init__(self, driver: Any, service: DescribedService[S_co] | None) -> None:
        self._driver = driver
        self._record: SubscriptionRecord | None = None
        self.service = service
        """The service. None for a subscription to an event URL without a description."""
        self._state: Any = None

    @property
    def state(self) -> S_co:
        """The current state, live, as an object of the class of the service:
        ``subscription.state.temperature``. Its ``@action`` methods call the device. Of a LastChange
        the attributes are instance 0 and the channel Master or none.

        Reading raises LookupError before an event has brought the variable, and for a variable that
        the device does not have or does not event; TypeError if the device declares another data
        type, whose values the class does not have. Attributes cannot be assigned: the state is the
        device's. Nothing else of the class is there: methods and properties, and what ``__init__``
        sets, are for the device's side, and raise AttributeError. Without a class,
        ``state["Temperature"]`` is the value by the name on the wire."""
        if self._state is None:
            service = self.service
            service_class = Service if service is None else service._class
            access = StateAccess(service, service_class, self)
            self._state = remote_instance(service_class, access)
        state: S_co = self._state
        return state

    @property
    def record(self) -> SubscriptionRecord:
        """The record of the protocol, which the outcomes for a ``tap`` name. Do not change it.
        Raises RuntimeError before it subscribes."""
        if self._record is None:
            raise RuntimeError("not subscribed yet: use async with … as subscription")
        return self._record

    @property
    def _unread(self) -> int:
        """The events and status changes that wait for the program."""
        return 0

    def _now(self) -> float:
        now: float = self._driver.now()
        return now

    def __repr__(self) -> str:
        service, record = self.service, self._record
        called = self.event_url
        if service is not None:
            called = service._called
        state = "not subscribed yet"
        if record is not None:
            state = " ".join(filter(None, (record.status.value, record.sid)))
        return f"<{type(self).__name__} {called}: {state}>"

    @abstractmethod
    def _receive(self, outcome: Event | StatusChange | Granted, /) -> None:
        """Take an outcome. The last one is CLOSED. Does not raise."""
