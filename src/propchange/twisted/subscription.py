"""A subscription on Twisted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed

from propchange.core.diagnosis.verdicts import Diagnosis
from propchange.core.subscriber.events import Event, Status, StatusChange
from propchange.core.subscriber.outcomes import Granted
from propchange.driver.control_point import SubscriberDriver
from propchange.driver.driven_subscription import DrivenSubscription
from propchange.driver.remote import DescribedService
from propchange.driver.reporting import logger_named
from propchange.driver.requests import refusal_of
from propchange.upnp.remote_state import S_co

_logger = logger_named("propchange.subscriber")


class Subscription(DrivenSubscription[S_co]):
    """One subscription. It is renewed and made again until it is closed.

    Made by ``ControlPoint.subscribe`` and ``RemoteService.subscribe``. ``on_event`` and
    ``on_status`` may be replaced at any time. ``closed`` fires once it is closed."""

    def __init__(
        self,
        driver: SubscriberDriver,
        event_url: str,
        on_event: Callable[[Event], object],
        *,
        on_status: Callable[[StatusChange], object] | None,
        service: DescribedService[S_co] | None = None,
        wait: bool,
        **options: Any,
    ) -> None:
        super().__init__(driver, service)
        self.on_event = on_event
        self.on_status = on_status
        self.when_granted: Deferred[Subscription[S_co]] | None = Deferred() if wait else None
        """With ``wait``: fires with the subscription once it is granted or its values are polled,
        or fails with SubscriptionRefused or ConnectionFailed. Without ``wait``: None."""
        self.closed: Deferred[None] = Deferred()
        self._record = driver.subscribe(self, event_url, wait=wait, describe_first=True, **options)

    @property
    def merged(self) -> int:
        """How many events were merged into others because of ``minimum_interval``."""
        return self.record.merged

    def diagnose(self) -> Deferred[Diagnosis]:
        """Find out whether events arrive, and if not, why; as
        :meth:`propchange.Subscription.diagnose`."""
        return Deferred.fromCoroutine(self._driver.diagnose(self.record))

    def close(self) -> Deferred[None]:
        """Unsubscribe. Fires when the device has answered, or after
        ``Limits.unsubscribe_seconds``. May be called again."""
        if self.closed.called:
            return succeed(None)
        done: Deferred[None] = Deferred()
        self.closed.addCallback(done.callback)
        self._driver.unsubscribe(self.record)
        return done

    def _receive(self, outcome: Event | StatusChange | Granted, /) -> None:
        if isinstance(outcome, Event):
            self._call(self.on_event, outcome)
            return
        error = None
        if isinstance(outcome, StatusChange):
            if self.on_status is not None:
                self._call(self.on_status, outcome)
            error = refusal_of(outcome, self.event_url)
        if self.when_granted is not None and not self.when_granted.called:
            if error is not None:
                self.when_granted.errback(error)
                self.close()  # otherwise the control point keeps it
            elif isinstance(outcome, Granted) or self.polled:
                self.when_granted.callback(self)
        if isinstance(outcome, StatusChange) and outcome.status is Status.CLOSED:
            self.closed.callback(None)

    def _call(self, listener: Callable[[Any], object], item: object) -> None:
        try:
            listener(item)
        except Exception:
            _logger.exception("the application failed at %r", item)
