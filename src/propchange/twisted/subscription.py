"""A subscription on Twisted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed

from propchange.core.diagnosis.verdicts import Diagnosis
from propchange.core.subscriber.events import Event, Status, StatusChange
from propchange.core.subscriber.record import SubscriptionRecord, SubscriptionView
from propchange.driver.control_point import SubscriberDriver, refusal_of
from propchange.driver.remote import DescribedService

__all__ = ["Subscription"]


class Subscription(SubscriptionView):
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
        wait: bool,
        service: DescribedService | None = None,
        **asked: Any,  # the other arguments of SubscriberDriver.subscribe
    ) -> None:
        self._driver = driver
        self.on_event = on_event
        self.on_status = on_status
        self.service = service
        """The service. None for a subscription to an event URL without a description."""
        self.when_granted: Deferred[Subscription] | None = Deferred() if wait else None
        """With ``wait``: fires with the subscription once it is granted, or fails with
        SubscriptionRefused or ConnectionFailed. Without ``wait``: None."""
        self.closed: Deferred[None] = Deferred()
        self._begun = driver.subscribe(self, event_url, wait=wait, describe_first=True, **asked)

    @property
    def record(self) -> SubscriptionRecord:
        """The record that the outcomes of this subscription name. Read it only."""
        return self._begun

    def _now(self) -> float:
        return self._driver.now()

    @property
    def merged(self) -> int:
        """How many events were merged into others: 0, because ``on_event`` is called for each."""
        return 0

    def diagnose(self) -> Deferred[Diagnosis]:
        """Find out whether events arrive, and if not, why: a verdict, what to do, and the facts.
        Connects to the device, and to the own listener at the address that the device was told.
        Changes nothing. Takes ``Limits.diagnosis_seconds`` at most; ``Limits.diagnoses`` run at
        the same time, others wait."""
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

    # --- for the driver ---

    def put(self, item: Event | StatusChange, /) -> None:
        """For the driver: an event, or a status change."""
        if isinstance(item, Event):
            self._call(self.on_event, item)
            return
        if self.on_status is not None:
            self._call(self.on_status, item)
        error = refusal_of(item, self.event_url)
        if error is not None and self.when_granted is not None and not self.when_granted.called:
            self.when_granted.errback(error)
        if item.status is Status.CLOSED:
            self.closed.callback(None)

    def grant(self) -> None:
        """For the driver: SUBSCRIBE was answered with 200."""
        if self.when_granted is not None and not self.when_granted.called:
            self.when_granted.callback(self)

    def _call(self, listener: Callable[[Any], object], item: object) -> None:
        try:
            listener(item)
        except Exception:
            logger = logging.getLogger("propchange.subscriber")
            logger.exception("the application failed at %r", item)
