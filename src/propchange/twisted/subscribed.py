"""A subscription as a program holds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from propchange.core.diagnosis.verdicts import Diagnosis
from propchange.core.subscriber.events import Event, Status, StatusChange
from propchange.core.subscriber.record import SubscriptionRecord
from propchange.core.subscriber.view import SubscriptionView
from propchange.errors import ConnectionFailed, SubscriptionRefused

if TYPE_CHECKING:
    from propchange.twisted.control_point import ControlPoint
    from propchange.twisted.remote import RemoteService

__all__ = ["Subscription"]


class Subscription(SubscriptionView):
    """One subscription, kept alive until it is closed. Made by :meth:`ControlPoint.subscribe`."""

    def __init__(
        self,
        control_point: ControlPoint,
        record: SubscriptionRecord,
        on_event: Callable[[Event], object],
        on_status: Callable[[StatusChange], object] | None,
        service: RemoteService | None,
    ) -> None:
        self._control_point = control_point
        self._subscribed = record
        self.on_event = on_event
        self.on_status = on_status
        self.service = service
        """The service, None for a subscription to a bare URL."""
        self.when_granted: Deferred[Subscription] | None = None
        """Fires with the subscription, or fails, of one that does not persist; else None."""
        self.closed: Deferred[None] = Deferred()

    @property
    def _record(self) -> SubscriptionRecord:
        """What the protocol keeps of it, to be read only."""
        return self._subscribed

    def _now(self) -> float:
        return self._control_point.now

    @property
    def merged(self) -> int:
        """How many events were merged into others: none, since ``on_event`` is called for each."""
        return 0

    def diagnose(self) -> Deferred[Diagnosis]:
        """Why no events come, or that they do: a verdict, what to do, and the facts, among them
        whether the device accepts connections and whether the listener answers at the address
        that the device was told. Fires after ``Limits.diagnosis_seconds`` at most once its turn has
        come, and changes nothing."""
        return self._control_point.diagnose(self._record)

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
