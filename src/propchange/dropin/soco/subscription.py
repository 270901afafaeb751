"""``soco.events_asyncio.Subscription``, kept by propchange."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import Any

from soco.events_asyncio import SubscriptionsMapAio
from soco.events_base import SubscriptionBase
from soco.exceptions import SoCoException

from propchange.driver.reporting import logger_named
from propchange.dropin.soco.event_listener import LIMITS, EventListener, Listening
from propchange.dropin.soco.kept_subscription import KeptSubscription, hold
from propchange.dropin.soco.waiting_events import WaitingEvents

_LOGGER = logger_named("propchange.soco")

event_listener = EventListener()
subscriptions_map = SubscriptionsMapAio()

_TOPOLOGY = "ZoneGroupTopology"

_TURNS = 3
"""Turns of the loop between the grant and the first event: the program sets its callback in
them, even if it waits for several subscriptions together."""


def _seconds(requested: Any) -> int | None:
    """The duration to ask for. SoCo sends 0 and less too; the player grants what it likes then."""
    return None if requested is None else max(int(requested), 1)


class Subscription(SubscriptionBase):  # type: ignore[misc]  # SoCo has no types
    """A subscription to the events of ``service``, a service of SoCo. See
    :mod:`propchange.dropin.soco` for what differs from SoCo's own.

    :attr:`callback` is called with each event. Without one, events wait in :attr:`events`.
    :attr:`auto_renew_fail` is called with an exception when the player is away. :attr:`sid` changes
    when propchange subscribes afresh."""

    def __init__(self, service: Any, callback: Callable[[Any], object] | None = None) -> None:
        super().__init__(service, WaitingEvents(LIMITS))
        self._has_been_unsubscribed: bool = False
        self.callback = callback
        self.subscriptions_map = subscriptions_map
        self.event_listener = event_listener
        self._kept: KeptSubscription | None = None
        self._listening: Listening | None = None
        self._has_expired = False
        self._zone_group_state: Any = None

    # --- subscribing ---

    def subscribe(
        self, requested_timeout: int | None = None, auto_renew: bool = False, strict: bool = True
    ) -> asyncio.Future[Subscription]:
        """Subscribe. The result is this object, once the player has granted.

        With ``auto_renew`` it lasts until :meth:`unsubscribe`; otherwise for
        ``requested_timeout`` seconds, a day if None, unless the program calls :meth:`renew`. With
        ``strict`` a failure raises, and this object is of no more use. Otherwise the failure is
        logged and it is tried again: :attr:`is_subscribed` is True once the player has granted."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Subscription] = loop.create_future()
        self.subscriptions_map.subscribing()
        hold(loop.create_task(self._subscribe(future, requested_timeout, auto_renew, strict)))
        return future

    async def _subscribe(
        self,
        future: asyncio.Future[Subscription],
        requested_timeout: int | None,
        auto_renew: bool,
        strict: bool,
    ) -> None:
        error: Exception | None = None
        try:
            kept = self._begin_keeping(requested_timeout, auto_renew)
        except SoCoException as misuse:
            self.subscriptions_map.finished_subscribing()
            if not future.done():
                future.set_exception(misuse)
            return
        try:
            listening = await self.event_listener.listening(self.service.soco)
            duration = _seconds(requested_timeout)
            self._listening = listening
            kept.begin(
                listening.driver,
                wait=strict,
                duration=duration,
                granted=listening.granted,
                left=listening.ended,
            )
            # The first time it asks the player for its household, and waits for the answer.
            asked = kept.loop.run_in_executor(None, self._find_zone_group_state)
            await kept.first_grant
            await asked
            self._watch_zone_group_state()
            kept.extend(kept.lasts(requested_timeout))
        except Exception as failure:  # noqa: BLE001 - the program gets it
            error = failure
        finally:
            self.subscriptions_map.finished_subscribing()
        if future.cancelled() or (error is not None and (strict or self._listening is None)):
            kept.close()
            self._cancel_subscription(error)
        if error is not None and not strict:
            kept.lose()
            _LOGGER.warning("%s: SUBSCRIBE has failed: %s", kept.url, error)
        if not future.done():
            if error is not None and strict:
                future.set_exception(error)
            else:
                future.set_result(self)
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        kept.deliver()

    def _begin_keeping(self, requested_timeout: int | None, auto_renew: bool) -> KeptSubscription:
        if self._has_been_unsubscribed:
            raise SoCoException("Cannot resubscribe Subscription instance once unsubscribed")
        if self._kept is not None:
            raise SoCoException(
                "Cannot subscribe Subscription instance more than once. Use renew instead"
            )
        self.requested_timeout = requested_timeout
        self._kept = KeptSubscription(self, auto_renew=auto_renew)
        return self._kept

    # --- renewing and ending ---

    async def renew(
        self,
        requested_timeout: int | None = None,
        is_autorenew: bool = False,
        strict: bool = True,
    ) -> Subscription:
        """Renew now. A player that has forgotten the subscription is subscribed to afresh. If it
        does not answer, :attr:`auto_renew_fail` is called, and with ``strict`` the exception is
        raised; it is tried again until the program unsubscribes."""
        try:
            await self._renew(requested_timeout)
        except Exception as error:
            kept = self._kept
            if kept is not None and not self._has_been_unsubscribed:
                if not isinstance(error, SoCoException):
                    kept.lose()
                    self._lost()
                if callable(self.auto_renew_fail):
                    kept.call(self.auto_renew_fail, error)
                else:
                    _LOGGER.warning("%s: the renewal has failed: %s", kept.url, error)
            if strict:
                raise
        return self

    async def _renew(self, requested_timeout: int | None) -> None:
        kept = self._kept
        if self._has_been_unsubscribed:
            raise SoCoException("Cannot renew subscription once unsubscribed")
        if kept is None or kept._record is None:
            raise SoCoException("Cannot renew subscription before subscribing")
        if self._has_expired:
            raise SoCoException("Cannot renew subscription after expiry")
        wanted = self.requested_timeout if requested_timeout is None else requested_timeout
        await kept.renew(_seconds(requested_timeout))
        kept.extend(kept.lasts(wanted))

    async def unsubscribe(self, strict: bool = True) -> None:
        """Give the subscription back. Afterwards this object is of no more use. With ``strict`` a
        player that refuses or does not answer raises, unless the program was told that it is
        away."""
        kept = self._kept
        if self._has_been_unsubscribed or kept is None or kept._record is None:
            return
        if kept.loop.is_closed():
            kept.abandon()
            return
        was_told = kept.told
        kept.close()
        await asyncio.shield(kept.ended)
        self._cancel_subscription()
        assert self._listening is not None
        await self.event_listener.leave(self._listening)
        error = kept.refused_to_end
        if error is not None and not was_told:
            if strict:
                raise error
            _LOGGER.warning("%s: UNSUBSCRIBE has failed: %s", kept.url, error)

    def _cancel_subscription(self, msg: object = None) -> None:
        if not self._has_been_unsubscribed:
            self._has_been_unsubscribed = not self._has_expired
            self.is_subscribed = self._has_expired
            self._timestamp = None
            self._unwatch_zone_group_state()
            self.subscriptions_map.unregister(self)
        if not self.event_listener.live:
            self.event_listener.stop()

    # --- called by the kept subscription ---

    def _granted(self, sid: str, timeout: int | None) -> None:
        self.subscriptions_map.unregister(self)
        self.sid, self.timeout = sid, timeout
        self.subscriptions_map.register(self)
        self.is_subscribed = True
        self._watch_zone_group_state()

    def _lost(self) -> None:
        self.is_subscribed = False
        self._unwatch_zone_group_state()

    def _expired(self) -> None:
        self._has_expired = True

    # --- SoCo does not poll the topology while a subscription brings it ---

    def _find_zone_group_state(self) -> None:
        try:
            self._zone_group_state = self.service.soco.zone_group_state
        except Exception as error:  # noqa: BLE001 - SoCo and requests raise many
            _LOGGER.warning("%s does not name its household: %s", self.service.base_url, error)

    def _asks_for_household(self) -> bool:
        """Whether SoCo has to ask the player for its household to take an event."""
        return self._zone_group_state is None and self.service.service_type == _TOPOLOGY

    def _watch_zone_group_state(self) -> None:
        if self._zone_group_state is not None and self.is_subscribed:
            self._zone_group_state.add_subscription(self)

    def _unwatch_zone_group_state(self) -> None:
        if self._zone_group_state is not None:
            self._zone_group_state.remove_subscription(self)

    @property
    def time_left(self) -> float:
        """The seconds until the subscription ends: until the granted end, if it is renewed
        automatically. 0 if nothing is granted."""
        kept = self._kept
        if kept is None or kept._record is None or not self.is_subscribed:
            return 0
        if self._has_expired or kept.ended.done():
            return 0
        if kept.ends_at < inf:
            return max(kept.ends_at - kept.loop.time(), 0)
        expires = kept.record.expires
        return 0 if expires is None else max(expires - kept._now(), 0)

    def __exit__(self, *exc_info: object) -> None:
        hold(asyncio.get_running_loop().create_task(self.unsubscribe(strict=False)))
