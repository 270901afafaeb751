"""What a program reads of a subscription: its values, its status, its grant."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from propchange.core.subscriber.current_values import StateKey, Values
from propchange.core.subscriber.events import Cause, Status
from propchange.core.subscriber.record import SubscriptionRecord


class SubscriptionView(ABC):
    """The live state of a subscription, as a program reads it."""

    @property
    @abstractmethod
    def record(self) -> SubscriptionRecord:
        """The record that the outcomes of this subscription name. Read it only."""

    @abstractmethod
    def _now(self) -> float:
        """Seconds of the runtime's clock."""

    @property
    def values(self) -> Values:
        """The current state, live: variable -> typed value, as far as events have set it. The
        variable is the name on the wire, or the variable of a class. Of a
        LastChange: instance 0, the channel Master or none; :attr:`full_state` has all."""
        return Values(self.record.values)

    @property
    def full_state(self) -> Mapping[StateKey, Any]:
        """The current state with all instances and channels of LastChange, a copy: (variable,
        instance, channel) -> typed value. Both are None for a variable outside LastChange."""
        return self.record.full_state

    @property
    def accepted(self) -> tuple[str, ...] | None:
        """The variables that the device events, by ACCEPTED-STATEVAR (UDA 2.0 §4.1.2); None when
        it events all."""
        return self.record.accepted

    @property
    def status(self) -> Status:
        """The current status. Each change is also a :class:`StatusChange`."""
        return self.record.status

    @property
    def status_cause(self) -> Cause | None:
        """The cause of the last status change, for programs; None before the first."""
        return self.record.status_cause

    @property
    def status_reason(self) -> str:
        """The reason of the last status change, in words; empty before the first."""
        return self.record.status_reason

    @property
    def problems(self) -> tuple[str, ...]:
        """A sentence for each kind of deviation that was mended in the events of this subscription.
        ``Event.problems`` has those of one event."""
        return self.record.problems

    @property
    def polled(self) -> bool:
        """Whether the values are polled at the moment, because no events come: see ``poll`` of
        ``subscribe``."""
        return self.record.polled

    @property
    def sid(self) -> str:
        """The SID; empty before the first grant."""
        return self.record.sid

    @property
    def event_url(self) -> str:
        """The event URL."""
        return self.record.event_url

    @property
    def callback(self) -> str:
        """The delivery URL that was advertised in CALLBACK; empty before the first SUBSCRIBE."""
        return self.record.callback

    @property
    def granted(self) -> float | None:
        """The granted duration in seconds; ``inf``: infinite; None while nothing is granted."""
        return self.record.duration_granted

    @property
    def expires_in(self) -> float | None:
        """Seconds until the subscription expires unless it is renewed; ``inf``: never; None while
        nothing is granted."""
        expires = self.record.expires
        return None if expires is None else max(0.0, expires - self._now())

    @property
    def last_event_at(self) -> float | None:
        """When the last event came, in seconds of the runtime's clock; None before the first."""
        return self.record.last_event_at

    @property
    def last_event_in(self) -> float | None:
        """Seconds since the last event, None before the first."""
        last = self.record.last_event_at
        return None if last is None else self._now() - last

    @property
    def renewals(self) -> int:
        """The number of renewals."""
        return self.record.renewals

    @property
    def losses(self) -> int:
        """The number of event messages that are known to be lost. A fresh subscription repairs each
        loss; until then the status is not ACTIVE."""
        return self.record.losses

    @property
    def gaps(self) -> int:
        """How often a fresh subscription has restored the state after missed events."""
        return self.record.gaps
