"""Shares the devices with other collectors, and writes their events and states to NATS."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from propchange.bridge.claims import Dropped, Forgotten, Moving, Taken
from propchange.bridge.collector import Collector
from propchange.bridge.collector_limits import DEFAULT_COLLECTOR_LIMITS, CollectorLimits
from propchange.bridge.nats_settings import NatsSettings
from propchange.bridge.nats_store import NatsRefused, NatsStore, token
from propchange.bridge.output import BridgedService
from propchange.bridge.payloads import (
    REASON_CHARACTERS,
    exact_value,
    plain_values,
    service_members,
    time_text,
)
from propchange.bridge.service_state import GONE
from propchange.bridge.service_watching import ServiceWatching
from propchange.bridge.store import Answer, Operation, Outcome, Place
from propchange.bridge.unowned import UNOWNED
from propchange.core.subscriber.events import Event, Status
from propchange.driver.reporting import LineRate
from propchange.errors import PropchangeError
from propchange.upnp.plain_values import named_changes, plain_value

_UNREACHED_SECONDS = 10.0
"""Seconds without events from an owned device after which another collector may have it. Within
them, other addresses of this machine are tried."""

_END_SECONDS = 2.0
"""Seconds for what is still to be written when the collector ends."""

_OPENED_AT_ONCE, _OPENING_SECONDS = 8, 0.01
"""Services that are subscribed to at once, and the seconds until the next ones: 800 a second at
most. Bounds how long a takeover of thousands of services keeps the loop from renewing the lease."""

_ENDED = "the collector has ended, and no other one has taken over yet"

_UNREACHED = frozenset({Status.DEAF.value, Status.REFUSED.value})


class CollectorRefused(PropchangeError):
    """The store does not let this collector do its work. The message is for the operator."""


@dataclass(slots=True, eq=False, repr=False)
class _Device:
    """A root device that this collector sees. ``owned``: it is subscribed to."""

    udn: str
    services: dict[str, BridgedService] = field(default_factory=dict)
    owned: bool = False
    gone: bool = False
    giving_up: asyncio.TimerHandle | None = None


class NatsOutput:
    """The output of the bridge for NATS. Give :attr:`watching` before it runs; its ServiceWatching
    is made with ``subscribe=False``, since only the owner of a device subscribes to it."""

    def __init__(
        self,
        settings: NatsSettings,
        *,
        say: Callable[[str], object],
        limits: CollectorLimits = DEFAULT_COLLECTOR_LIMITS,
    ) -> None:
        self._settings = settings
        self._say = say
        # Devices that come and go cause these lines.
        self._rate = LineRate()
        session = f"{token(settings.name)}-{secrets.token_hex(4)}"
        self.collector = Collector(
            token(settings.name), session, segment=settings.segment, limits=limits
        )
        self._store = NatsStore(
            settings,
            limits,
            away=self._away,
            connected=self._connected,
            back=self._back,
            shown=self._shown,
            say=say,
        )
        self.watching: ServiceWatching | None = None
        self._devices: dict[str, _Device] = {}
        self._keys: dict[BridgedService, str] = {}
        # Services that are to be subscribed to, a few at a time.
        self._opening: deque[tuple[_Device, str, BridgedService]] = deque()
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        # What waits for an answer of the store.
        self._asking: set[asyncio.Task[Any]] = set()
        self._lapses = 0
        self._ending = False

    # --- what the watching calls ---

    def found(self, services: Sequence[BridgedService]) -> None:
        """Claim the device of ``services``, or subscribe to them if it is ours."""
        for service in services:
            udn = token(service.state.root_udn)
            device = self._devices.setdefault(udn, _Device(udn))
            key = f"{token(service.state.udn)}.{token(service.state.service)}"
            device.services[key] = service
            self._keys[service] = key
            device.gone = False
            self.collector.see(udn, self._now())
            if device.owned:
                self._opening.append((device, key, service))
        self._wake.set()

    def event(self, service: BridgedService, event: Event) -> None:
        """Write ``event``."""
        values = {
            name: exact_value(plain_value(change), change.text)
            for name, change in named_changes(event)
        }
        time = service.state.time
        self.collector.event(
            self._keys[service],
            values,
            event.sid,
            event.seq,
            time_text(time) if time is not None else None,
            initial=event.is_initial,
            polled=event.polled,
            merged=event.merged,
        )
        self._wake.set()

    def status(self, service: BridgedService) -> None:
        """Write the state, and act on a device that has gone, is back, or is not reached."""
        device = self._devices[token(service.state.root_udn)]
        self.collector.state_changed(self._keys[service])
        gone = service.state.status == GONE
        if gone and not device.gone:
            device.gone = True
            self.collector.leave(device.udn, service.state.reason, self._now())
        elif device.gone and not gone:
            device.gone = False
            self.collector.see(device.udn, self._now())
        self._watch_reach(device)
        self._wake.set()

    def forgotten(self, service: BridgedService) -> None:
        """The service is not watched any more."""
        device = self._devices.get(token(service.state.root_udn))
        key = self._keys.pop(service, None)
        if device is None or key is None:
            return
        device.services.pop(key, None)
        if not device.services:
            self._stop_giving_up(device)
            del self._devices[device.udn]
            self.collector.leave(device.udn, "it is not watched any more", self._now())
        self._wake.set()

    # --- devices that are not reached ---

    def _watch_reach(self, device: _Device) -> None:
        unreached = device.owned and any(
            each.state.status in _UNREACHED for each in device.services.values()
        )
        if not unreached:
            self._stop_giving_up(device)
        elif device.giving_up is None:
            loop = asyncio.get_running_loop()
            device.giving_up = loop.call_later(_UNREACHED_SECONDS, self._give_up, device)

    def _stop_giving_up(self, device: _Device) -> None:
        if device.giving_up is not None:
            device.giving_up.cancel()
            device.giving_up = None

    def _give_up(self, device: _Device) -> None:
        device.giving_up = None
        reasons = [
            each.state.reason
            for each in device.services.values()
            if each.state.status in _UNREACHED
        ]
        if device.owned and reasons:
            self.collector.give_up(device.udn, reasons[0], self._now())
            self._watch_reach(device)  # again, if no other collector is there
            self._wake.set()

    # --- what happens to devices ---

    def _act(self) -> None:
        for outcome in self.collector.outcomes():
            device = self._devices.get(outcome.udn)
            if isinstance(outcome, Taken) and device is not None and not device.owned:
                device.owned = True
                for key, service in device.services.items():
                    self._opening.append((device, key, service))
            elif isinstance(outcome, Dropped):
                self._dropped(outcome, device)
            elif isinstance(outcome, Moving) and device is not None:
                device.owned = False
                self._stop_giving_up(device)
                self._start(self._move(device))
            elif isinstance(outcome, Forgotten) and outcome.deleted:
                self._say_of_device(
                    "deleted", f"{outcome.udn}: its state is deleted, since it has gone"
                )

    def _open(self, device: _Device, key: str, service: BridgedService) -> None:
        """Subscribe to a service of a device that is ours."""
        assert self.watching is not None
        if self._ending or not device.owned or device.services.get(key) is not service:
            return
        state = service.state
        # What this collector knew is of its last time as owner.
        state.clear()
        state.time, state.seq, state.sid = None, None, ""
        if state.status != GONE:
            state.status, state.reason = Status.SUBSCRIBING.value, ""
        self.collector.open(device.udn, key, lambda: _snapshot(service, self._settings.name))
        if service.found.subscription is None:
            self.watching.watching.subscribe(service.found)

    async def _move(self, device: _Device) -> None:
        """Unsubscribe from the services of ``device``: then it is left to another collector."""
        assert self.watching is not None
        closing = [
            self.watching.watching.unsubscribe(each.found) for each in device.services.values()
        ]
        await asyncio.gather(*closing, return_exceptions=True)
        self.collector.unsubscribed(device.udn, self._now())
        self._wake.set()

    def _dropped(self, outcome: Dropped, device: _Device | None) -> None:
        if device is None:
            return
        assert self.watching is not None
        self._stop_giving_up(device)
        device.owned = False
        names = {each.state.device_name for each in device.services.values()}
        lost = "lost to the others" if outcome.lost else "given up"
        self._say_of_device("lost", f"{', '.join(names)} ({device.udn}): {lost}: {outcome.reason}")
        for service in device.services.values():
            self._start(self.watching.watching.unsubscribe(service.found))

    def _say_of_device(self, kind: str, line: str) -> None:
        more = self._rate.admit(kind)
        if more is not None:
            self._say(f"{line}{more}")

    # --- the store ---

    def _away(self) -> None:
        self.collector.store_away()
        # The server that is gone answers none of these: they are asked again when it is back.
        for task in self._asking:
            task.cancel()

    def _connected(self) -> None:
        self.collector.store_connected(self._now())
        self._wake.set()

    def _back(self) -> None:
        self.collector.store_back(self._now())
        self._wake.set()

    def _shown(self, place: Place, key: str, revision: int, value: bytes) -> None:
        if place is Place.LEASES:
            self.collector.lease_seen(key, revision, value, self._now())
        else:
            self.collector.claim_seen(key, revision, value, self._now())
        self._wake.set()

    async def run(self) -> None:
        """Write until cancelled. Raises CollectorRefused if NATS or another collector with this
        name does not let it."""
        try:
            await self._store.connect()
        except NatsRefused as error:
            raise CollectorRefused(str(error)) from error
        limits = self.collector.limits
        most = min(limits.message_bytes, self._store.message_bytes)
        self.collector.limits = replace(limits, message_bytes=most)
        try:
            while True:
                await self._turn()
        finally:
            await self._end()

    async def _turn(self) -> None:
        self._wake.clear()
        self._act()
        for operation in self.collector.operations(self._now()):
            asking = self._start(self._store.perform(operation))
            self._asking.add(asking)
            asking.add_done_callback(partial(self._answered, operation))
        self._check_lease()
        if self._opening:
            for _ in range(min(_OPENED_AT_ONCE, len(self._opening))):
                self._open(*self._opening.popleft())
            await asyncio.sleep(_OPENING_SECONDS)
            return
        wait = self.collector.deadline - self._now()
        if wait <= 0:
            await asyncio.sleep(0)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if wait == float("inf") else wait):
                await self._wake.wait()

    def _answered(self, operation: Operation, asking: asyncio.Task[Answer]) -> None:
        self._asking.discard(asking)
        lost = asking.cancelled()
        answer = Answer(Outcome.UNKNOWN) if lost else asking.result()
        self.collector.answered(operation, answer, self._now())
        self._wake.set()

    def _check_lease(self) -> None:
        lease = self.collector.lease
        if lease.lapses > self._lapses:
            self._lapses = lease.lapses
            self._say("the lease of this collector has run out, and is taken again")
        since = lease.occupied_since
        if since is not None and self._now() > since + 3 * self.collector.limits.lease_seconds:
            raise CollectorRefused(
                f"another collector has the name {self._settings.name!r}, and lives: give this one "
                "another --id"
            )

    async def _end(self) -> None:
        """Write what is left, and that nobody owns the devices. Then end the lease, so that others
        take over at once."""
        self._ending = True
        self.collector.stop_claiming()
        for device in self._devices.values():
            for key, service in device.services.items() if device.owned else ():
                service.state.status, service.state.reason = UNOWNED, _ENDED
                self.collector.state_changed(key)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                while not self.collector.rests:
                    await self._turn()
                self.collector.end(self._now())
                while not self.collector.lease.has_ended:
                    await self._turn()
        for task in self._tasks:
            task.cancel()
        await self._store.close()

    def _start(self, work: Any) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _snapshot(service: BridgedService, collector: str) -> dict[str, Any]:
    """The state of ``service`` for the bucket of states."""
    state = service.state
    values = dict(plain_values(state))
    return {
        "collector": collector,
        **service_members(state),
        "status": state.status,
        "reason": state.reason[:REASON_CHARACTERS],
        "values": values,
        "left_out": state.left_out + len(state.values) - len(values),
    }
