"""Keeps one subscription of a SoCo program, and translates the outcomes of the protocol for it.

The program's object is held weakly wherever SoCo would hold it weakly. When the program has dropped
it, the subscription ends: the player is sent UNSUBSCRIBE.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Callable
from math import inf
from typing import Any

import aiohttp
from soco.events_base import Event as SoCoEvent
from soco.events_base import parse_event_xml

from propchange.core.subscriber.event_queue import EventQueue
from propchange.core.subscriber.events import Cause, Event, Status, StatusChange
from propchange.core.subscriber.judge import granted_sid
from propchange.core.subscriber.outcomes import Granted
from propchange.core.subscriber.requests import OutgoingRequest, RequestKind
from propchange.core.wire.messages import Response
from propchange.driver.control_point import SubscriberDriver
from propchange.driver.driven_subscription import DrivenSubscription
from propchange.driver.reporting import repr_of
from propchange.driver.runtime import settle
from propchange.dropin.soco.event_body import READS_FILES, body_of, read
from propchange.dropin.soco.failures import as_aiohttp
from propchange.errors import RemoteProtocolError

_TOLD_AT = 0.85
"""The part of a grant after which SoCo renews, and calls auto_renew_fail if that fails."""

_LOOKS_AGAIN = 1.0
"""Seconds until another look, if a fresh subscription is just being made."""

LASTS = 86_400.0
"""Seconds that a subscription lasts if the program has named no duration: what a Sonos grants
then."""

_HOLDING: set[asyncio.Task[Any]] = set()


def hold(task: asyncio.Task[Any]) -> None:
    """Keep ``task`` until it ends: a loop keeps none."""
    _HOLDING.add(task)
    task.add_done_callback(_HOLDING.discard)


def _nothing(_: str) -> None:
    """Do nothing: :meth:`KeptSubscription.begin` was not called yet."""


class KeptSubscription(DrivenSubscription[Any]):
    """Keeps one subscription for ``program``, a :class:`.Subscription`. Call :meth:`begin`, and
    in the end :meth:`close`."""

    def __init__(self, program: Any, *, auto_renew: bool) -> None:
        super().__init__(None, None)
        self.loop = asyncio.get_running_loop()
        self.player_url: str = program.service.base_url
        self.url: str = self.player_url + program.service.event_subscription_url
        self.auto_renew = auto_renew
        self.first_grant: asyncio.Future[None] = self.loop.create_future()
        """Done at the first grant, or with the exception because of which there is none."""
        self.ended: asyncio.Future[None] = self.loop.create_future()
        self.failure: Exception | None = None
        """The exception of the last request to the player; None if it was answered with 200."""
        self.refused_to_end: Exception | None = None
        """The exception of the UNSUBSCRIBE; None if it has not failed."""
        self.told = False
        """Whether the program knows that the player is away."""
        self.ends_at = inf
        """The time of the loop at which the subscription ends unless the program renews it."""
        self._listener = program.event_listener
        self._listener.live += 1
        self._program = weakref.ref(program)
        self._kept: Any = None
        self._renewals: list[asyncio.Future[None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._queue: EventQueue | None = None
        self._tell_granted: Callable[[str], None] = _nothing
        self._tell_left: Callable[[str], None] = _nothing
        self._delivers = self._reads = self._closing = False
        # A program is told by its loop, whatever thread the last reference to its object ends in.
        weakref.finalize(program, self._dropped).atexit = False

    @property
    def program(self) -> Any:
        """The program's subscription; None once the program has dropped it."""
        return self._program()

    # --- what the program asks for ---

    def begin(
        self,
        driver: SubscriberDriver,
        *,
        wait: bool,
        duration: int | None,
        granted: Callable[[str], None],
        left: Callable[[str], None],
    ) -> None:
        """Send SUBSCRIBE. With ``wait`` the first failure is the end; else it is tried again.
        ``granted`` is called with the URL of the player after each grant, ``left`` at the end.

        Raises ValueError for a URL or a duration that cannot be used."""
        self._driver = driver
        self._tell_granted, self._tell_left = granted, left
        limits = driver.limits
        self._queue = EventQueue(limits.waiting_events, limits.waiting_event_characters)
        for other in kept_subscriptions_of(driver):
            # The program was told that the other is lost, and takes this one instead.
            if other.told and other.url == self.url:
                other.close()
        if self.auto_renew:
            self._kept = self.program
        self._record = driver.subscribe(self, self.url, wait=wait, duration=duration)
        self._queue.record = self._record

    def deliver(self) -> None:
        """Give the program its events from now on, and those that have come already."""
        self._delivers = True
        self._deliver_waiting()

    async def renew(self, duration: int | None) -> None:
        """Renew now. Raises the exception of aiohttp if the player does not grant it."""
        waiting: asyncio.Future[None] = self.loop.create_future()
        self._renewals.append(waiting)
        self._driver.renew(self.record, duration)
        await waiting

    def extend(self, seconds: float) -> None:
        """Let the subscription end in ``seconds``, unless it is renewed automatically."""
        if not self.auto_renew:
            self.ends_at = self.loop.time() + seconds
            self._arm(seconds, self._expire)

    def lose(self) -> None:
        """The program is told that the player is away. It may drop its object, or subscribe by
        another one; otherwise events come again once the player is back."""
        self.told = True
        self._kept = None
        if not self.auto_renew:
            self.ends_at = inf
            self._disarm()

    def close(self) -> None:
        """Give the subscription back. :attr:`ended` follows."""
        self._closing = True
        if self._record is not None:
            self._driver.unsubscribe(self._record)
        else:
            self._end()

    def abandon(self) -> None:
        """The loop was closed, and nothing can be awaited there any more."""
        self._end()

    def _dropped(self) -> None:
        if not self.ended.done() and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.close)

    # --- time ---

    def _arm(self, seconds: float, then: Callable[[], None]) -> None:
        self._disarm()
        if seconds < inf:
            self._timer = self.loop.call_later(seconds, then)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        program = self.program
        if program is not None:
            program._expired()
        self.close()

    def _overdue(self) -> None:
        """Call ``auto_renew_fail`` of the program, as SoCo would at this time of the last grant."""
        record = self.record
        if record.outage is None and not record.failures:
            self._arm(_LOOKS_AGAIN, self._overdue)
            return
        program = self.program
        if program is None or not callable(program.auto_renew_fail):
            return
        error = self.failure or TimeoutError(f"{self.url}: no renewal was answered")
        self.lose()
        program._lost()
        self.call(program.auto_renew_fail, error)

    # --- what the player answers ---

    def request_ended(self, request: OutgoingRequest, result: Response | Exception) -> None:
        """Note how a request for this subscription has ended."""
        method = "UNSUBSCRIBE" if request.kind is RequestKind.UNSUBSCRIBE else "SUBSCRIBE"
        answered = isinstance(result, Response)
        if isinstance(result, Response) and result.status == 200:
            if request.kind is RequestKind.RENEW and self.record.duration_granted is not None:
                self._confirmed()
            if request.kind is not RequestKind.SUBSCRIBE or granted_sid(result) is not None:
                return  # what a SUBSCRIBE has granted is an outcome
            result = RemoteProtocolError("the player granted without a usable SID")
        error = as_aiohttp(result, method, request.url)
        if request.kind is RequestKind.UNSUBSCRIBE:
            if self._closing and request.sid == self.record.sid:
                self.refused_to_end = error
            return
        self.failure = error
        if request.kind is RequestKind.RENEW and answered:
            return  # the player has forgotten the SID: SUBSCRIBE follows at once
        self._settle_renewals(error)
        if self.record.persistent and not self.first_grant.done():
            self.first_grant.set_exception(error)

    def _confirmed(self) -> None:
        record, program = self.record, self.program
        if program is None:
            self.close()
            return
        self.failure = None
        was_told, self.told = self.told, False
        duration = record.duration_granted
        assert duration is not None
        program._granted(record.sid, None if duration == inf else int(duration))
        if self.auto_renew:
            self._kept = program
            self._arm(_TOLD_AT * duration, self._overdue)
        elif was_told:
            self.extend(self.lasts(program.requested_timeout))
        self._settle_renewals(None)

    def lasts(self, requested: Any) -> float:
        """How long a subscription without auto_renew lasts: as long as it was granted."""
        duration = self.record.duration_granted or 0.0
        return max(duration, LASTS) if requested is None else duration

    def _settle_renewals(self, error: Exception | None) -> None:
        renewals, self._renewals = self._renewals, []
        for renewal in renewals:
            if renewal.done():
                continue
            if error is None:
                renewal.set_result(None)
            else:
                renewal.set_exception(error)

    # --- outcomes ---

    @property
    def _unread(self) -> int:
        return 0 if self._queue is None else len(self._queue)

    def _receive(self, outcome: Event | StatusChange | Granted, /) -> None:
        if isinstance(outcome, Granted):
            self._confirmed()
            settle(self.first_grant, None)
            self._tell_granted(self.player_url)
        elif isinstance(outcome, StatusChange):
            if outcome.status is Status.CLOSED:
                self._end()
            elif outcome.status is Status.REFUSED and not self.first_grant.done():
                said = f"{self.url}: {outcome.reason}"
                if outcome.cause is Cause.UNREACHABLE:  # else the request has ended before
                    failure = self.failure or TimeoutError(said)
                else:
                    failure = self.failure or aiohttp.ClientConnectionError(said)
                self.first_grant.set_exception(failure)
        else:
            assert self._queue is not None
            self._queue.put(outcome)
            self._deliver_waiting()

    def _end(self) -> None:
        if self.ended.done():
            return
        self._disarm()
        program, self._kept, self._queue = self.program, None, None
        self._listener.live -= 1
        ended = aiohttp.ClientConnectionError(f"{self.url}: the subscription was ended")
        if not self.first_grant.done():
            self.first_grant.set_exception(ended)
            self.first_grant.exception()  # perhaps nobody waits for it
        self._settle_renewals(ended)
        settle(self.ended, None)
        if program is not None:
            program._cancel_subscription()
        elif not self._listener.live:
            self._listener.stop()
        self._tell_left(self.player_url)

    # --- events ---

    def _deliver_waiting(self) -> None:
        while self._delivers and not self._reads and self._queue is not None:
            event = self._queue.get()
            program = self.program
            if not isinstance(event, Event) or program is None:
                return
            try:
                body = body_of(event, program.service.service_type, self._driver.limits)
            except ValueError as error:
                self._unreadable(error)
                continue
            if READS_FILES in body or program._asks_for_household():
                self._reads = True
                hold(self.loop.create_task(self._deliver_slowly(program, event, body)))
                return
            told = self._soco_event(program, event, body)
            if told is not None:
                self.call(program.send_event, told)

    async def _deliver_slowly(self, program: Any, event: Event, body: str) -> None:
        """Deliver an event for which SoCo sends requests and waits for the answers. Later events
        wait, and the loop does not."""
        try:
            told = await self.loop.run_in_executor(None, self._soco_event, program, event, body)
            if told is not None and not self.ended.done():
                self.call(program.send_event, told)
        finally:
            self._reads = False
            self._deliver_waiting()

    def _soco_event(self, program: Any, event: Event, body: str) -> Any:
        """The event as SoCo has it, after the service has taken it; None if SoCo cannot read
        it."""
        variables = self._variables(program, event, body)
        if variables is None:
            return None
        seq = "0" if event.seq is None else str(event.seq)
        told = SoCoEvent(event.sid, seq, program.service, time.time(), variables)
        self.call(program.service._update_cache_on_event, told)
        return told

    def _variables(self, program: Any, event: Event, body: str) -> dict[str, Any] | None:
        service_type = program.service.service_type
        try:
            return read(parse_event_xml, event, body, service_type, self._driver.limits)
        except Exception as error:  # noqa: BLE001 - what it raises depends on the body
            self._unreadable(error)
            return None

    def _unreadable(self, error: Exception) -> None:
        said = f"{self.url}: SoCo cannot read an event: {repr_of(error)}"
        self._driver.warnings.warn(("unreadable", self.url), said)

    def call(self, function: Callable[[Any], object], argument: Any) -> None:
        """Call a function of the program. An exception of it is logged."""
        try:
            function(argument)
        except Exception as error:  # noqa: BLE001 - the code of a program may raise anything
            kind = "program", type(error).__name__
            self._driver.warnings.raised(kind, f"{self.url}: the program raised {repr_of(error)}")


def kept_subscriptions_of(driver: SubscriberDriver) -> list[KeptSubscription]:
    """The subscriptions of ``driver``."""
    return [each for each in driver.subscriptions.values() if isinstance(each, KeptSubscription)]
