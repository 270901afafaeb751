"""What a program reads of a subscription, in both runtimes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from propchange.core.subscriber.events import Cause, Status
from propchange.core.subscriber.record import StateKey, SubscriptionRecord

__all__ = ["SubscriptionView"]


class SubscriptionView(ABC):
    """The live state of a subscription. A runtime gives the record and the time."""

    @property
    @abstractmethod
    def record(self) -> SubscriptionRecord:
        """The record that the outcomes of this subscription name. Read it only."""

    @abstractmethod
    def _now(self) -> float:
        """Seconds of the runtime's clock."""

    @property
    def values(self) -> Mapping[str, Any]:
        """The current state, live: variable -> typed value, as far as events have told it. Of
        what LastChange tells, instance 0 and the channel Master or none; :attr:`state` has all."""
        return MappingProxyType(self.record.values)

    @property
    def state(self) -> Mapping[StateKey, Any]:
        """The current state with all instances and channels that LastChange has told, as of now:
        (variable, instance, channel) -> typed value. Instance and channel are None for what is
        evented by itself."""
        return self.record.full_state

    @property
    def accepted(self) -> tuple[str, ...] | None:
        """The variables that the device events alone, as it was asked with ``variables=`` (UDA 2.0
        §4.1.2, ACCEPTED-STATEVAR); None when it events all."""
        return self.record.accepted

    @property
    def status(self) -> Status:
        """The current status. Each change is also a :class:`StatusChange`."""
        return self.record.status

    @property
    def status_cause(self) -> Cause | None:
        """Why the status is what it is, for programs; None before its first change."""
        return self.record.status_cause

    @property
    def status_reason(self) -> str:
        """Why the status is what it is, in words; empty before its first change."""
        return self.record.status_reason

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
        """The granted duration in seconds, ``inf`` for an infinite one, None while none is."""
        return self.record.duration_granted

    @property
    def expires_in(self) -> float | None:
        """Seconds until it expires unless renewed, ``inf`` for never, None while nothing is
        granted."""
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
        """How often it was renewed."""
        return self.record.renewals

    @property
    def gaps(self) -> int:
        """How often events were missed and the state was restored by a fresh subscription."""
        return self.record.gaps
