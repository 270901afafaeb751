"""Subscribes to the services of devices, and keeps their states for the outputs of the bridge."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from propchange.asyncio.control_point import ControlPoint
from propchange.asyncio.device_watching import DeviceWatching, FoundService
from propchange.asyncio.remote import RemoteDevice, Sighting
from propchange.asyncio.subscription import Subscription
from propchange.bridge.output import BridgedService, Output
from propchange.bridge.service_state import GONE, ServiceState
from propchange.bridge.topics import service_parts, udn_part
from propchange.core.discovery.advertisement import udn_key
from propchange.core.subscriber.events import Cause, Event, Status, StatusChange
from propchange.driver.reporting import LineRate
from propchange.driver.sightings import SightingKind
from propchange.errors import PropchangeError, SubscriptionRefused
from propchange.upnp.description import DeviceDescription
from propchange.upnp.redescription import keyed_services

_NOT_DESCRIBED = "the device has no such service any more"
_GONE = "the device has said goodbye, or its announcements have expired"

Finder = Callable[[], Awaitable[Iterable[RemoteDevice]]]


class ServiceWatching:
    """Watches the services of devices and calls ``output``.

    ``finders`` are those of :class:`.DeviceWatching`. ``say`` is called with a line for the
    operator. With ``subscribe=False`` the output calls ``watching.subscribe`` and
    ``watching.unsubscribe``. Run :meth:`run`.
    """

    def __init__(
        self,
        control_point: ControlPoint,
        output: Output,
        *,
        finders: Sequence[Finder] = (),
        say: Callable[[str], object],
        subscribe: bool = True,
    ) -> None:
        self._output = output
        self._say = say
        # Anybody on the network can cause these lines, with other names in each.
        self._rate = LineRate()
        self._group: asyncio.TaskGroup | None = None
        # The keys of the UDNs of root devices that have gone.
        self._gone: set[str] = set()
        # The services that their devices do not describe any more, and by which description each
        # service was looked at last.
        self._undescribed: set[FoundService] = set()
        self._described_by: dict[FoundService, DeviceDescription] = {}
        self.services: dict[FoundService, BridgedService] = {}
        """The services that are watched now."""
        # The same, by the key of the UDN of the root device.
        self._of_root: dict[str, dict[FoundService, BridgedService]] = {}
        self.watching = DeviceWatching(
            control_point, self, finders=finders, not_found=say, subscribe=subscribe
        )

    async def run(self) -> None:
        """Watch, and run the output, until cancelled. Raises what the output raises."""
        failed: Exception | None = None
        try:
            async with asyncio.TaskGroup() as self._group:
                self._group.create_task(self._output.run())
                self._group.create_task(self.watching.watch())
        except* PropchangeError as errors:
            failed = errors.exceptions[0]
        # Python before 3.11.4 makes a group of what is raised inside of ``except*``.
        if failed is not None:
            raise failed

    # --- what the watching calls ---

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run ``work`` beside the others."""
        assert self._group is not None
        return self._group.create_task(work)

    def device(
        self, sighting: Sighting, description: DeviceDescription | None, problem: str | None
    ) -> None:
        """Take over that a device has gone or is back."""
        if problem is not None:
            self._say_of_device("a problem", f"{sighting.udn}: {problem}")
        udn = udn_key(sighting.udn)
        gone = sighting.kind is SightingKind.GONE
        services = self._of_root.get(udn, {})
        if gone and services:
            # Of others nothing is kept: anybody can say goodbye for devices without end.
            self._gone.add(udn)
        else:
            self._gone.discard(udn)
        for found, service in services.items():
            status, reason = _status_of(found)
            if gone and status != Status.ACTIVE.value:
                self._set(service, GONE, reason if status == Status.RESUBSCRIBING.value else _GONE)
            elif not gone and service.state.status == GONE and found not in self._undescribed:
                self._set(service, status, reason or "the device is back")

    def left_out(self, device: RemoteDevice, problem: str) -> None:
        """Say that services of ``device`` are not watched."""
        self._say_of_device("left out", f"{device.friendly_name} ({device.udn}): {problem}")

    def _say_of_device(self, kind: str, line: str) -> None:
        more = self._rate.admit(kind)
        if more is not None:
            self._say(f"{line}{more}")

    def found(self, services: Sequence[FoundService]) -> None:
        """Make the states of ``services``, and take over how devices are described now."""
        for known in self.services.values():
            self._describe(known)
        if not services:
            return
        root = services[0].device
        parts = {
            described: name
            for device in root.description.all_devices()
            for described, name in service_parts(device.services).items()
        }
        made = []
        for found in services:
            described = found.service.description
            device = root.description.find_device(described.udn) or root.description
            state = ServiceState(
                udn=udn_part(described.udn or root.udn),
                root_udn=udn_part(root.udn),
                device_name=device.friendly_name,
                device_model=device.model_name,
                service=parts[described],
                service_id=described.service_id,
                service_type=described.service_type,
            )
            self.services[found] = bridged = BridgedService(found, state)
            self._described_by[found] = root.description
            self._of_root.setdefault(udn_key(root.udn), {})[found] = bridged
            made.append(bridged)
        self._output.found(made)

    def _describe(self, service: BridgedService) -> None:
        found, state = service.found, service.state
        root = found.device.description
        if self._described_by[found] is root:
            return
        self._described_by[found] = root
        device = root.find_device(found.service.description.udn) or root
        state.device_name, state.device_model = device.friendly_name, device.model_name
        self._output.status(service)
        status, reason = _status_of(found)
        # A service may have another type than before.
        if found.key[:2] not in {key[:2] for key, _ in keyed_services(root)}:
            self._undescribed.add(found)
            if status != Status.ACTIVE.value:
                self._set(service, GONE, _NOT_DESCRIBED)
        elif found in self._undescribed:
            self._undescribed.discard(found)
            if state.status == GONE and udn_key(found.device.udn) not in self._gone:
                self._set(service, status, reason)

    def subscribe(self, service: FoundService, subscription: Subscription) -> None:
        """Read ``subscription``."""
        self.start(self._read(service, subscription))

    def failed(self, service: FoundService, error: Exception) -> None:
        """Take over why there is no subscription."""
        bridged = self.services.get(service)
        if bridged is None:
            return
        if bridged.state.status != GONE:
            refused = isinstance(error, SubscriptionRefused)
            status = Status.REFUSED if refused else Status.SUBSCRIBING
            self._set(bridged, status.value, str(error))

    def forgotten(self, service: FoundService) -> None:
        """Forget ``service``."""
        bridged, udn = self.services.pop(service, None), udn_key(service.device.udn)
        self._gone.discard(udn)
        self._undescribed.discard(service)
        self._described_by.pop(service, None)
        of_root = self._of_root.get(udn, {})
        of_root.pop(service, None)
        if not of_root:
            self._of_root.pop(udn, None)
        if bridged is not None:
            self._output.forgotten(bridged)

    # --- subscriptions ---

    async def _read(self, found: FoundService, subscription: Subscription | None) -> None:
        while subscription is not None:
            try:
                await subscription.__aenter__()
            except (PropchangeError, ValueError) as error:
                subscription = await self.watching.subscribe_again(found, error)
                continue
            async for update in subscription.updates():
                service = self.services.get(found)
                if service is None or found.subscription is not subscription:
                    break
                if isinstance(update, Event):
                    service.state.receive(update, datetime.now(UTC))
                    self._output.event(service, update)
                elif update.status is not Status.CLOSED:
                    self._change(service, update)
            return

    def _change(self, service: BridgedService, change: StatusChange) -> None:
        found, before = service.found, service.state.status
        udn = udn_key(found.device.udn)
        if change.status is Status.ACTIVE:
            self._gone.discard(udn)
            self._undescribed.discard(found)
            if before not in (Status.SUBSCRIBING.value, Status.ACTIVE.value):
                self.watching.read_again(found)
        elif change.cause is Cause.DESCRIPTION:
            # It may have the other services still.
            self.watching.read_again(found)
        elif change.cause is Cause.DEVICE_GONE:
            # A device that appears and goes at once may have no sighting.
            self._gone.add(udn)
        away = udn in self._gone or found in self._undescribed
        self._set(service, GONE if away else change.status.value, change.reason)

    def _set(self, service: BridgedService, status: str, reason: str) -> None:
        state = service.state
        if (state.status, state.reason) != (status, reason):
            state.status, state.reason = status, reason
            self._output.status(service)


def _status_of(found: FoundService) -> tuple[str, str]:
    """The status of the present subscription, and the reason."""
    if found.subscription is not None:
        with contextlib.suppress(RuntimeError):  # not entered yet
            return found.subscription.status.value, found.subscription.status_reason
    return Status.SUBSCRIBING.value, ""
