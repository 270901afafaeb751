"""The subscription to a service of async_upnp_client, and the driver that has it.

The program's objects are held weakly. A service that the program has dropped ends its subscription.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import Mapping
from datetime import timedelta
from math import inf
from typing import Any, Protocol

from async_upnp_client.client import UpnpDevice, UpnpService
from async_upnp_client.exceptions import (
    UpnpConnectionError,
    UpnpConnectionTimeoutError,
    UpnpError,
)

from propchange.core.discovery.advertisement import udn_key
from propchange.core.local_addresses import LocalAddress
from propchange.core.subscriber.events import Cause, Event, Status, StatusChange
from propchange.core.subscriber.judge import granted_sid
from propchange.core.subscriber.outcomes import Granted
from propchange.core.subscriber.protocol import SubscriberProtocol
from propchange.core.subscriber.requests import OutgoingRequest, RequestKind
from propchange.core.subscriber.states import GRANTED
from propchange.core.token_bucket import TokenBucket
from propchange.core.wire.messages import Response
from propchange.driver.control_point import SubscriberDriver
from propchange.driver.control_point_addresses import ControlPointAddresses
from propchange.driver.driven_subscription import DrivenSubscription
from propchange.driver.machine import Interfaces
from propchange.driver.remote import DescribedDevice, DescribedService
from propchange.dropin.async_upnp_client import shared_discovery
from propchange.dropin.async_upnp_client.requester import error_of
from propchange.errors import DescriptionError, LocalProtocolError
from propchange.upnp.description import DeviceDescription, ServiceDescription
from propchange.upnp.redescription import same_service
from propchange.upnp.service import Service

_MOVED = (404, 405, 410)
"""Answers to SUBSCRIBE after which the description is read again."""


_SHORT_GRANT = 120.0
"""Grants of fewer seconds are renewed by the profiles of the library without a pause."""

_UNPACED = 2
"""Renewals of a short grant that a program may ask for at once."""

_PACE = 0.25
"""The part of a short grant that passes between further renewals."""


class RequesterAddresses(ControlPointAddresses):
    """The addresses of this machine, for a program whose requester chooses the one to send from.
    Those of the subscriptions of ``protocol`` are used. The others cannot be tried."""

    def __init__(self, interfaces: Interfaces, protocol: SubscriberProtocol) -> None:
        super().__init__(interfaces, ())
        self._protocol = protocol

    def read(self) -> tuple[tuple[LocalAddress, ...], tuple[LocalAddress, ...]]:
        """Read the addresses. Returns those that are used, and the others."""
        addresses, _ = super().read()
        sources = {each.source.host for each in self._protocol.subscriptions if each.source}
        used = tuple(each for each in addresses if each.host in sources)
        return used, tuple(each for each in addresses if each.host not in sources)


class ServiceDriver(SubscriberDriver):
    """A driver whose subscriptions are those of services of async_upnp_client."""

    subscriptions: dict[Any, Any]

    def __init__(self, *args: Any, interfaces: Interfaces, **options: Any) -> None:
        super().__init__(*args, interfaces=interfaces, search=self._search, **options)
        self.addresses = RequesterAddresses(interfaces, self.protocol)
        self._loop = asyncio.get_running_loop()

    async def begin(self, *, discovery: bool) -> None:
        """Begin to hear the announcements of devices, if ``discovery``."""
        await self.open(None, None, discovery=False)
        if discovery:
            shared_discovery.join(self._loop, self)

    async def close(self) -> None:
        """Unsubscribe everything, and end."""
        try:
            await super().close()
        finally:
            shared_discovery.leave(self._loop, self)

    def abandon_with_loop(self) -> bool:
        """Leave the shared discovery if the loop of this driver is closed. Returns whether it is:
        then the driver is of no more use."""
        ended = self._loop.is_closed()
        if ended:
            shared_discovery.forget(self._loop)
        return ended

    def _search(self, target: str) -> None:
        shared_discovery.search(self._loop, self, target)

    async def _describe_again(self, request: OutgoingRequest) -> None:
        # The program may have given its device another URL (UpnpDevice.reinit). The description is
        # read only if the device does not know the event URL: the program's requester may reach
        # the device by ways that this driver has not.
        subscription = self.subscriptions.get(request.subscription)
        if subscription is None:
            raise DescriptionError("the subscription was closed")
        service = subscription.service
        device, failure = service.device, request.subscription.failure
        device.refresh()
        if failure is not None and failure.status in _MOVED:
            description = await self.documents.description(device.url)
            same_service(description, service.description)  # raises for another device
            device._relocate(description)
        subscription.subscribed_url = service.event_url
        self.protocol.described(
            request, service.event_url, None, self.now(), owes_event=service._owes_event
        )


class FollowedService(DescribedService[Service]):
    """A service of a :class:`FollowedDevice`."""

    owner: weakref.ref[UpnpService] | None = None
    """The service of the program."""

    @property
    def _owes_event(self) -> bool:
        owner = None if self.owner is None else self.owner()
        variables = () if owner is None else owner.state_variables.values()
        return not variables or any(each.send_events for each in variables)


class FollowedDevice(DescribedDevice[FollowedService]):
    """A root device of the program, for the discovery of the driver.

    If the device has moved, :attr:`owner` gets its new URL, from which the program makes the URLs
    of its actions and of its events.
    """

    _service_type = FollowedService

    def __init__(self, driver: ServiceDriver, owner: UpnpDevice) -> None:
        self.owner = weakref.ref(owner)
        super().__init__(driver, description_of(owner))

    def service_of(self, service: UpnpService) -> FollowedService:
        """The service of this device that is ``service`` of the program."""
        found = self._find(service)
        if found is None:  # the description that was read last does not have it
            super()._relocate(description_of(service.device.root_device))
            found = self._find(service)
        if found is None:
            raise LookupError(f"{service} is not a service of {self}")
        found.owner = weakref.ref(service)
        return found

    def _find(self, service: UpnpService) -> FollowedService | None:
        wanted = udn_key(service.device.udn.strip()), service.service_id.strip()
        for each in self.services:
            known = each.description
            if (udn_key(known.udn), known.service_id) == wanted:
                return each
        return None

    def refresh(self) -> None:
        """Take the URL that the program has given its device meanwhile."""
        owner = self.owner()
        if owner is not None and owner.device_url != self.url:
            super()._relocate(description_of(owner))

    def _relocate(self, description: DeviceDescription) -> None:
        super()._relocate(description)
        owner = self.owner()
        for device in () if owner is None else owner.all_devices:
            if device.device_url != description.url:
                device.device_info = device.device_info._replace(url=description.url)


def description_of(device: UpnpDevice) -> DeviceDescription:
    """The description of a device of the program, with its embedded devices."""
    return DeviceDescription(
        device.device_url,
        device.udn.strip(),
        device.name,
        device.device_type,
        tuple(
            ServiceDescription(
                service.service_type.strip(),
                service.service_id.strip(),
                service.scpd_url,
                service.control_url,
                service.event_sub_url,
                device.udn.strip(),
            )
            for service in device.services.values()
        ),
        tuple(map(description_of, device.embedded_devices.values())),
    )


class ServiceSubscriptions(Protocol):
    """The subscriptions of an event handler, by the SIDs that its program knows."""

    def _granted(self, subscription: ServiceSubscription) -> None:
        """``subscription`` was granted for the first time: give it its ``alias``."""

    def _forget(self, subscription: ServiceSubscription) -> None:
        """``subscription`` has ended."""


class ServiceSubscription(DrivenSubscription[Service]):
    """The subscription to ``owner``, a service of the program, for ``handler``, which is held
    weakly too."""

    def __init__(
        self,
        driver: ServiceDriver,
        service: FollowedService,
        owner: UpnpService,
        *,
        handler: ServiceSubscriptions,
    ) -> None:
        super().__init__(driver, service)
        self.owner = weakref.ref(owner, self._owner_dropped)
        self.alias = ""
        """The SID that the program knows: that of the first grant."""
        self.subscribed_url = owner.event_sub_url
        """The event URL that was subscribed to last."""
        self._handler = weakref.ref(handler)
        self._waiting: set[asyncio.Future[None]] = set()
        self._parting: asyncio.Future[None] | None = None
        self._unanswered: Exception | None = None
        self._duration = 0.0
        self._renewals: TokenBucket | None = None
        self._works = False

    # --- what the handler asks for ---

    async def subscribe(self, seconds: int) -> None:
        """Subscribe for ``seconds``, and return once it is granted. Raises the exception of the
        requester, or that for the answer; then the subscription is closed."""
        owner = self.owner()
        assert owner is not None  # the caller has it
        waiting = self._wait()
        try:
            self._record = self._driver.subscribe(
                self, owner.event_sub_url, wait=True, duration=max(seconds, 1)
            )
        except (ValueError, LocalProtocolError) as error:  # an https URL, or too many
            raise UpnpError(message=str(error)) from error
        try:
            await waiting
        except BaseException:
            self._driver.unsubscribe(self._record)
            raise

    async def renew(self, seconds: int) -> None:
        """Ask the device to renew, or to subscribe afresh, and return once it has. Raises as
        :meth:`subscribe`; then the subscription goes on all the same."""
        await self._pace()
        waiting = self._wait()
        self._driver.renew(self.record, max(seconds, 1))
        await waiting

    async def _pace(self) -> None:
        """Wait before a renewal, if the grants are short and the program renews without a pause.

        The profiles of the library renew a minute before the end of a grant. If a grant is shorter,
        they renew in a loop, hundreds of times a second."""
        now = self._driver.now()
        if self._duration >= _SHORT_GRANT or not self._duration:
            self._renewals = None
            return
        if self._renewals is None:
            self._renewals = TokenBucket(_UNPACED, self._duration * _PACE, now)
        wait = self._renewals.ready_at(now) - now
        if wait > 0:
            await asyncio.sleep(wait)
        self._renewals.spend(self._driver.now())

    async def unsubscribe(self) -> None:
        """End the subscription. Raises the exception of the requester, or that for the answer."""
        if self._parting is None:
            self._parting = asyncio.get_running_loop().create_future()
            # Nobody may wait for it any more when it ends.
            self._parting.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            if self.record.state in GRANTED:
                self._unanswered = UpnpConnectionTimeoutError("no answer to UNSUBSCRIBE in time")
            self._driver.unsubscribe(self.record)
        await asyncio.shield(self._parting)

    def end(self) -> None:
        """End the subscription, and wait for nothing."""
        if self._record is not None:
            self._driver.unsubscribe(self._record)

    def is_to(self, service: DescribedService[Any] | None) -> bool:
        """Whether this is a subscription to ``service``, perhaps by another object of it."""
        one, other = self.service, service
        if one is None or other is None:
            return False
        mine, wanted = one.description, other.description
        return (mine.udn, mine.service_id) == (wanted.udn, wanted.service_id)

    def abandon(self) -> None:
        """End the subscription without UNSUBSCRIBE: another one has its SID now."""
        self._driver.protocol.abandon(self.record)

    def duration(self, wanted: timedelta) -> timedelta:
        """The granted duration; ``wanted`` for an infinite one."""
        return wanted if self._duration == inf else timedelta(seconds=self._duration)

    def _wait(self) -> asyncio.Future[None]:
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        waiting.add_done_callback(self._waiting.discard)
        return waiting

    def _settle(self, error: Exception | None = None) -> None:
        for waiting in tuple(self._waiting):
            _end(waiting, error)

    # --- what the driver reports ---

    def request_ended(self, request: OutgoingRequest, result: Response | Exception) -> None:
        """Note how a request of this subscription has ended."""
        kind = request.kind
        answered = isinstance(result, Response) and result.status == 200
        if kind is RequestKind.UNSUBSCRIBE:
            if self._parting is not None and request.sid == self.record.sid:
                _end(self._parting, None if answered else error_of(result))
        elif kind is RequestKind.RENEW and isinstance(result, Response):
            if answered:  # else a fresh SUBSCRIBE follows
                self._mark_available()
                self._note_duration()
                self._settle()
        elif not isinstance(result, Response) or granted_sid(result) is None:
            self._settle(error_of(result))

    def _receive(self, outcome: Event | StatusChange | Granted, /) -> None:
        if isinstance(outcome, Event):
            self._mark_available()
            self._deliver(dict(outcome.received))
        elif isinstance(outcome, Granted):
            handler = self._handler()
            if handler is not None and not self.alias:
                handler._granted(self)
            self._note_duration()
            self._settle()
            # The address that events go to now counts as used from the next look on.
            self._driver.addresses_due = self._driver.now()
        else:
            self._note_status(outcome)

    def _note_duration(self) -> None:
        self._duration = self.granted or self._duration

    def _note_status(self, change: StatusChange) -> None:
        status = change.status
        if status is Status.CLOSED:
            self._settle(UpnpConnectionError("the subscription was closed"))
            if self._parting is not None:
                _end(self._parting, self._unanswered)
            handler = self._handler()
            if handler is not None:
                handler._forget(self)
        elif status is Status.REFUSED:
            # Else the request has ended before, with an exception of its own.
            no_answer = change.cause is Cause.UNREACHABLE
            failure = UpnpConnectionTimeoutError if no_answer else UpnpConnectionError
            self._settle(failure(change.reason))
        elif status is Status.ACTIVE:
            self._works = True
        elif self._works:
            self._works = False
            self._deliver(None)

    def _mark_available(self) -> None:
        """Undo what the profile does when a renewal fails: the device is heard of again."""
        owner = self.owner()
        device = None if owner is None else owner.device
        while device is not None:
            device.available = True
            device = device.parent_device

    def _deliver(self, changes: Mapping[str, str] | None) -> None:
        """Give an event to the program; None: a loss."""
        owner = self.owner()
        if owner is None:
            return
        try:
            if changes is not None:
                owner.notify_changed_state_variables(changes)
            elif owner.on_event is not None:
                owner.on_event(owner, [])
        except Exception:  # noqa: BLE001 - the program's callback may raise anything
            name = "" if self.service is None else self.service.full_name
            self._driver.warnings.raised(("on_event", name), f"the on_event of {name} raised")

    def _owner_dropped(self, _: object) -> None:
        # The garbage collector runs in any thread, and perhaps after the loop has ended.
        with contextlib.suppress(RuntimeError):
            self._driver.runtime.call_from_thread(self.end)


def _end(future: asyncio.Future[None], error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
