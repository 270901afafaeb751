"""A subscription as a program holds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from propchange.core.diagnosis.verdicts import Diagnosis
from propchange.core.events import Cause, Event, Status, StatusChange
from propchange.core.held import HeldSubscription
from propchange.errors import ConnectionFailed, SubscriptionRefused

if TYPE_CHECKING:
    from propchange.twisted.control_point import ControlPoint
    from propchange.twisted.remote import RemoteService

__all__ = ["Subscription"]


class Subscription:
    """One subscription, kept alive until it is closed. Made by :meth:`ControlPoint.subscribe`."""

    def __init__(
        self,
        control_point: ControlPoint,
        held: HeldSubscription,
        on_event: Callable[[Event], object],
        on_status: Callable[[StatusChange], object] | None,
        service: RemoteService | None,
    ) -> None:
        self._control_point = control_point
        self.held = held
        """What the protocol keeps of it, to be read only."""
        self.on_event = on_event
        self.on_status = on_status
        self.service = service
        """The service, None for a subscription to a bare URL."""
        self.when_granted: Deferred[Subscription] | None = None
        """Fires with the subscription, or fails, of one that does not persist; else None."""
        self.closed: Deferred[None] = Deferred()

    @property
    def values(self) -> Mapping[str, Any]:
        """The current state, live: variable -> value, as far as events have told it."""
        return MappingProxyType(self.held.values)

    @property
    def status(self) -> Status:
        """How it is now."""
        return self.held.status

    @property
    def status_cause(self) -> Cause | None:
        """Why the status is what it is, for programs; None before its first change."""
        return self.held.status_cause

    @property
    def status_reason(self) -> str:
        """Why the status is what it is, in words; empty before its first change."""
        return self.held.status_reason

    @property
    def sid(self) -> str:
        """The SID; empty before the first grant."""
        return self.held.sid

    @property
    def event_url(self) -> str:
        """Where it subscribes."""
        return self.held.event_url

    @property
    def callback(self) -> str:
        """The delivery URL that was advertised in CALLBACK; empty before the first SUBSCRIBE."""
        return self.held.callback

    @property
    def accepted(self) -> tuple[str, ...] | None:
        """The variables that the device events alone, as it was asked with ``variables=``
        (ACCEPTED-STATEVAR); None when it events all."""
        return self.held.accepted

    @property
    def state(self) -> Mapping[tuple[str, int | None, str | None], Any]:
        """The current state with all instances and channels that LastChange has told, as of now:
        (variable, instance, channel) -> value. Instance and channel are None for what is evented by
        itself."""
        return self.held.full_state

    @property
    def granted(self) -> float | None:
        """The granted duration in seconds, ``inf`` for an infinite one, None while none is."""
        return self.held.duration_granted

    @property
    def expires_in(self) -> float | None:
        """Seconds until it expires unless renewed, None while nothing is granted."""
        expires = self.held.expires
        return None if expires is None else max(0.0, expires - self._control_point.now)

    @property
    def last_event_at(self) -> float | None:
        """When the last event came, in seconds of :attr:`ControlPoint.now`; None before the
        first."""
        return self.held.last_event_at

    @property
    def renewals(self) -> int:
        """How often it was renewed."""
        return self.held.renewals

    @property
    def gaps(self) -> int:
        """How often events were missed and the state was restored by a fresh subscription."""
        return self.held.gaps

    @property
    def merged(self) -> int:
        """How many events were merged into others: none, since ``on_event`` is called for each."""
        return 0

    def diagnose(self) -> Deferred[Diagnosis]:
        """Why no events come, or that they do: a verdict, what to do, and the facts, among them
        whether the device accepts connections and whether the listener answers at the address
        that the device was told. Fires after ``Limits.diagnosis_seconds`` at most once its turn has
        come, and changes nothing."""
        return self._control_point.diagnose(self.held)

    def close(self) -> Deferred[None]:
        """Unsubscribe. Fires when the device has answered, or after
        ``Limits.unsubscribe_seconds``. Repeated calls do nothing more."""
        return self._control_point.end(self)

    # --- what the control point tells ---

    def grant(self) -> None:
        """For the control point: SUBSCRIBE was answered with 200."""
        if self.when_granted is not None and not self.when_granted.called:
            self.when_granted.callback(self)

    def follow(self, change: StatusChange) -> None:
        """For the control point: the status has changed, and the application knows."""
        reason = f"{self.event_url}: {change.reason}"
        if change.status is Status.CLOSED:
            self._fail(ConnectionFailed(f"{self.event_url}: closed before it was granted"))
            self.closed.callback(None)
        elif change.status is Status.REFUSED and change.http_status:
            self._fail(SubscriptionRefused(reason, status=change.http_status))
        elif change.status is Status.REFUSED:
            self._fail(ConnectionFailed(reason))

    def _fail(self, error: Exception) -> None:
        if self.when_granted is not None and not self.when_granted.called:
            self.when_granted.errback(error)
