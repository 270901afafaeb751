"""UpnpEventHandler and UpnpEventHandlerRegister of async_upnp_client, on SubscriberProtocol."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import sys
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from ipaddress import ip_address
from itertools import count
from typing import Any
from urllib.parse import urlsplit

from async_upnp_client.client import UpnpDevice, UpnpRequester, UpnpService
from async_upnp_client.const import HttpRequest
from async_upnp_client.event_handler import UpnpNotifyServer, default_on_pre_notify

from propchange.asyncio.runtime import AsyncioRuntime
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.local_addresses import address_of, interface_kind
from propchange.core.record import Record
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.subscriber.states import SubscriberState
from propchange.core.wire.headers import parse_sid
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.core.wire.refusals import Refusal
from propchange.driver.machine import Interfaces, Machine
from propchange.driver.passed_requests import with_changes
from propchange.driver.reporting import logger_named
from propchange.dropin.async_upnp_client.requester import RequesterRequests
from propchange.dropin.async_upnp_client.service_subscription import (
    FollowedDevice,
    ServiceDriver,
    ServiceSubscription,
)

_DEFUSED: Any = importlib.import_module("defusedxml.ElementTree")  # it has no types
"""The parser of the library."""

TIMEOUT = timedelta(seconds=1800)

_LOGGER = logger_named("propchange.subscriber")


@dataclass(slots=True, eq=False, repr=False)
class Settings(Record):
    """What ``install`` sets for all handlers."""

    discovery: bool = True
    """Whether the announcements of devices (SSDP) are listened to."""
    hosts: frozenset[str] = frozenset()
    """Further names that HOST of a NOTIFY may have."""


SETTINGS = Settings()


class ListeningServer(UpnpNotifyServer):
    """A notify server that receives the events itself, for its event handlers."""

    def _join(self, handler: UpnpEventHandler) -> None:
        """Give ``handler`` its events: a program may make several handlers for one server."""
        raise NotImplementedError

    def _driver_made(self, handler: UpnpEventHandler, driver: ServiceDriver) -> None:
        """``handler`` has made ``driver``, which wants to know the connections of devices."""
        raise NotImplementedError

    @property
    def _place(self) -> Callable[[Endpoint], Awaitable[Endpoint]] | None:
        """Returns the address to put into CALLBACK, if the system would send from a given one. None
        if the program has given the URL in CALLBACK."""
        raise NotImplementedError


class UpnpEventHandler:
    """Subscribes to services, and gives their events to ``service.on_event``.

    The arguments and the methods are those of async_upnp_client's. What differs is in the table of
    :mod:`propchange.dropin.async_upnp_client`.
    """

    def __init__(
        self,
        notify_server: UpnpNotifyServer,
        requester: UpnpRequester,
        on_pre_notify: Callable[[HttpRequest], HttpRequest] = default_on_pre_notify,
    ) -> None:
        self._notify_server = notify_server
        self._requester = requester
        self.on_pre_notify = on_pre_notify
        self._driver: ServiceDriver | None = None
        self._driven: dict[str, ServiceSubscription] = {}
        # What the program knows. A subscription that the program was told is lost is missing.
        self._subscriptions: weakref.WeakValueDictionary[str, UpnpService] = (
            weakref.WeakValueDictionary()
        )
        self._devices: weakref.WeakKeyDictionary[UpnpDevice, FollowedDevice] = (
            weakref.WeakKeyDictionary()
        )
        self._end_of_loop: AsyncGenerator[None, None] | None = None
        self._callback = ""
        if isinstance(notify_server, ListeningServer):
            notify_server._join(self)

    @property
    def callback_url(self) -> str:
        """The URL that devices send events to: that of the notify server."""
        return self._notify_server.callback_url

    # --- reading ---

    def sid_for_service(self, service: UpnpService) -> str | None:
        """The SID of the subscription to ``service``, as it was first granted; None without one."""
        for sid, subscribed in self._subscriptions.items():
            if subscribed == service:
                return sid
        return None

    def service_for_sid(self, sid: str) -> UpnpService | None:
        """The service with this SID: the one that was first granted, or the present one."""
        service = self._subscriptions.get(sid)
        if service is None:
            for alias, subscription in self._driven.items():
                if subscription.sid == sid:
                    return self._subscriptions.get(alias)
        return service

    def _found(self, service_or_sid: UpnpService | str) -> ServiceSubscription:
        self._leave_ended_loop()
        if isinstance(service_or_sid, str):
            service = self.service_for_sid(service_or_sid)
            if service is None:
                raise KeyError(f"Unknown SID {service_or_sid}")
            if service_or_sid in self._subscriptions:
                return self._driven[service_or_sid]
        else:
            service = service_or_sid
        sid = self.sid_for_service(service)
        if sid is None:
            raise KeyError(f"Unknown UpnpService {service}")
        return self._driven[sid]

    def _lost(self, service_or_sid: UpnpService | str) -> list[ServiceSubscription]:
        """The subscriptions of a service that the program was told are lost. They go on."""
        return [
            each
            for sid, each in self._driven.items()
            if sid not in self._subscriptions and service_or_sid in (sid, each.owner())
        ]

    # --- events ---

    async def handle_notify(self, http_request: HttpRequest) -> HTTPStatus:
        """Take a NOTIFY that a web server of the program has received, and return the status of the
        answer. The program has its event when this returns.

        Raises xml.etree.ElementTree.ParseError for a body that is no XML."""
        http_request = self.on_pre_notify(http_request)
        request = self._request_of(http_request)
        status = HTTPStatus(self._opened().receive(request).status)
        if status == HTTPStatus.BAD_REQUEST and {b"nt", b"nts"} <= request.fields.keys():
            # Raises what the library raises, if it is the body.
            _DEFUSED.fromstring(http_request.body or "")
        await asyncio.sleep(0)  # the events are dispatched at the next turn of the loop
        return status

    def _request_of(self, http_request: HttpRequest) -> Request:
        parts = urlsplit(self.callback_url)
        headers = [
            (str(name).encode("latin-1", "replace"), str(value).encode("latin-1", "replace"))
            for name, value in http_request.headers.items()
        ]
        if not any(name.lower() == b"host" for name, _ in headers):
            # The web server of the program has judged it.
            headers.append((b"HOST", parts.netloc.encode("latin-1")))
        body = (http_request.body or "").encode("utf-8", "surrogateescape")
        # The web server has chosen this handler by the path, and the SID chooses the subscription.
        local = Endpoint(parts.hostname or "", parts.port or 80)
        return Request(http_request.method, parts.path or "/", headers, body, local=local)

    def _receive(self, request: Request) -> Response:
        """Take a request of the listener."""
        if self.on_pre_notify is not default_on_pre_notify:
            request = self._changed(request)
        return self._opened().receive(request)

    def _changed(self, request: Request) -> Request:
        """``request`` after the program's ``on_pre_notify``."""
        fields = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers
        }
        body = request.body.decode("utf-8", "surrogateescape")
        try:
            changed = self.on_pre_notify(
                HttpRequest(request.method, self.callback_url, fields, body)
            )
            headers = tuple(
                (name.encode("latin-1"), value.encode("latin-1"))
                for name, value in changed.headers.items()
            )
            body = changed.body or ""
        except Exception:  # noqa: BLE001 - the function of the program may raise anything
            self._opened().warnings.raised("on_pre_notify", "on_pre_notify raised")
            return request
        return with_changes(request, headers=headers, body=body.encode("utf-8", "surrogateescape"))

    def _expects(self, request: Request) -> bool:
        """Whether ``request`` may be an event for this handler."""
        if self._driver is None:
            return False
        try:
            sid = parse_sid(request.fields.get(b"sid", b""))
        except ValueError:
            return False
        records = self._driver.protocol.subscriptions
        return any(sid == each.sid or sid in each.former_sids for each in records)

    @property
    def _subscribes(self) -> bool:
        """Whether a SUBSCRIBE is unanswered."""
        records = () if self._driver is None else self._driver.protocol.subscriptions
        return any(each.state is SubscriberState.SUBSCRIBING for each in records)

    def _cut(self, request: Request, refusal: Refusal) -> bool:
        return self._opened().request_cut(request, refusal)

    def receive_ssdp(
        self, message: Mapping[str, str] | str | bytes, source: str, local: str = ""
    ) -> None:
        """For a program that receives SSDP itself: an advertisement, or an answer to a search, as
        :meth:`propchange.ControlPoint.receive_ssdp`. async_upnp_client has no such method."""
        self._opened().discovery.receive(message, source, local)

    # --- subscribing ---

    async def async_subscribe(
        self,
        service: UpnpService,
        timeout: timedelta = TIMEOUT,  # noqa: ASYNC109 - the name of the library
    ) -> tuple[str, timedelta]:
        """Subscribe to ``service``, and return the SID and the granted duration. The subscription
        is renewed and made afresh until it is unsubscribed; the SID for the program stays the same.

        Raises UpnpResponseError, UpnpSIDError, UpnpConnectionError, or what the requester raises.
        """
        subscription = await self._subscribed(service, timeout)
        return subscription.alias, subscription.duration(timeout)

    async def _subscribed(self, service: UpnpService, duration: timedelta) -> ServiceSubscription:
        driver = await self._begun()
        device = self._device_of(driver, service)
        subscription = ServiceSubscription(
            driver,
            device.service_of(service),
            service,
            handler=self,
        )
        await subscription.subscribe(int(duration.total_seconds()))
        return subscription

    async def async_resubscribe(
        self,
        service_or_sid: UpnpService | str,
        timeout: timedelta = TIMEOUT,  # noqa: ASYNC109 - the name of the library
    ) -> tuple[str, timedelta]:
        """Renew now, and return the SID and the granted duration. If the device has forgotten the
        subscription, it is made afresh; the SID for the program stays the same.

        Raises KeyError for an unknown service or SID, and as :meth:`async_subscribe`. After that
        the SID is unknown here too, but events come again when the device is back, as long as the
        program keeps the service."""
        subscription = self._found(service_or_sid)
        sid = subscription.alias
        if isinstance(service_or_sid, str) and service_or_sid in self._subscriptions:
            sid = service_or_sid
        service = subscription.owner()
        try:
            if service is not None and service.event_sub_url != subscription.subscribed_url:
                # The program has given its device another URL (UpnpDevice.reinit).
                subscription = await self._subscribed(service, timeout)
            else:
                await subscription.renew(int(timeout.total_seconds()))
        except Exception:
            for alias in self._aliases(subscription):
                self._subscriptions.pop(alias, None)
            raise
        return sid, subscription.duration(timeout)

    async def async_resubscribe_all(self) -> None:
        """Renew all subscriptions now."""
        await asyncio.gather(*map(self.async_resubscribe, tuple(self._subscriptions)))

    async def async_unsubscribe(self, service_or_sid: UpnpService | str) -> str:
        """End a subscription, and return its SID. Raises KeyError for an unknown service or SID;
        UpnpResponseError, or what the requester raises, if the device does not answer 200. It is
        ended here in any case.

        A program that has subscribed to the service again, and then gives up its former SID, keeps
        the subscription: both SIDs lead to it, and the newest one ends it."""
        try:
            subscription = self._found(service_or_sid)
        except KeyError:
            for each in self._lost(service_or_sid):
                each.end()
            raise
        aliases = self._aliases(subscription)
        if service_or_sid in aliases and service_or_sid != subscription.alias:
            former = str(service_or_sid)
            del self._driven[former], self._subscriptions[former]
            return former
        for alias in aliases:
            self._subscriptions.pop(alias, None)
        await subscription.unsubscribe()
        return subscription.alias

    async def async_unsubscribe_all(self) -> None:
        """End all subscriptions, also those that the program was told are lost. Does not raise."""
        self._leave_ended_loop()
        driver, self._driver = self._driver, None
        ending = tuple(self._driven.values())
        self._subscriptions.clear()
        await asyncio.gather(*(each.unsubscribe() for each in ending), return_exceptions=True)
        if driver is not None:
            await self._close(driver)

    async def async_stop(self) -> None:
        """Stop the notify server, which ends all subscriptions."""
        await self._notify_server.async_stop_server()

    # --- the driver ---

    def _opened(self) -> ServiceDriver:
        """The driver, made in the loop that runs. It opens nothing before it subscribes."""
        self._leave_ended_loop()
        if self._driver is None or self._driver.closed:
            runtime = AsyncioRuntime()
            self._callback = self.callback_url
            server = self._notify_server
            place = server._place if isinstance(server, ListeningServer) else None
            policy, callback = policy_for(self._callback, placed=place is not None)
            self._driver = driver = ServiceDriver(
                runtime,
                policy,
                limits=DEFAULT_LIMITS,
                # Home Assistant warns of files of /sys that are read in the loop.
                interfaces=Interfaces(
                    clock=runtime.now, kind_of=lambda name, _: interface_kind(name)
                ),
                machine=Machine(),
                requests=RequesterRequests(self._requester, callback, place),
            )
            driver.request_ended = partial(_tell, driver)
            self._devices.clear()
            self._end_of_loop = None  # that of an earlier loop has ended with it
            if isinstance(server, ListeningServer):
                server._driver_made(self, driver)
        return self._driver

    def _leave_ended_loop(self) -> None:
        """Forget the driver if its loop was closed before it: nothing can be awaited there."""
        driver = self._driver
        if driver is not None and driver.abandon_with_loop():
            self._driver = self._end_of_loop = None
            self._driven.clear()
            self._subscriptions.clear()

    async def _begun(self) -> ServiceDriver:
        """The driver, after it has begun to listen to announcements."""
        if self._driver is not None and self._callback != self.callback_url and not self._driven:
            # The notify server has another port now, or it is another one.
            await self.async_unsubscribe_all()
        if urlsplit(self.callback_url).port == 0:
            raise RuntimeError(
                f"{self.callback_url} is no URL to send events to: start the notify server first"
            )
        driver, new = self._opened(), self._end_of_loop is None
        if new:
            # asyncio.run() closes the running generators before the loop. So a program that stops
            # nothing leaves no socket behind, as with the handler of async_upnp_client.
            # The garbage collector closes it too, when the program drops this handler.
            self._end_of_loop = _close_with_the_loop(driver)
            await anext(self._end_of_loop)
            await driver.begin(discovery=SETTINGS.discovery)
        return driver

    async def _close(self, driver: ServiceDriver) -> None:
        end, self._end_of_loop = self._end_of_loop, None
        await driver.close()
        if end is not None:
            await end.aclose()

    def _device_of(self, driver: ServiceDriver, service: UpnpService) -> FollowedDevice:
        root = service.device.root_device
        device = self._devices.get(root)
        if device is None:
            device = self._devices[root] = FollowedDevice(driver, root)
            driver.discovery.follow(device)
        else:
            device.refresh()
        return device

    def _granted(self, subscription: ServiceSubscription) -> None:
        """Give ``subscription`` the SID that the program knows it by. It takes the place of other
        subscriptions to the same service, which would give each event twice."""
        sid, owner = subscription.sid, subscription.owner()
        for alias, other in tuple(self._driven.items()):
            if other.owner() is owner:
                if other.sid == sid:
                    other.abandon()  # the device has one subscription for both
                else:
                    other.end()
                if alias in self._subscriptions:
                    self._driven[alias] = subscription
            elif alias not in self._subscriptions and other.is_to(subscription.service):
                # A program that was told that the device is away has made new objects for it.
                other.end()
        if self._driven.get(sid, subscription) is not subscription:
            # The device has granted a SID that it had granted before, as some do after a restart.
            names = (f"{sid}-{number}" for number in count(2))
            sid = next(name for name in names if name not in self._driven)
        subscription.alias = sid
        self._driven[sid] = subscription
        if owner is not None:
            self._subscriptions[sid] = owner

    def _forget(self, subscription: ServiceSubscription) -> None:
        for alias in self._aliases(subscription):
            del self._driven[alias]
            self._subscriptions.pop(alias, None)

    def _aliases(self, subscription: ServiceSubscription) -> list[str]:
        return [alias for alias, each in self._driven.items() if each is subscription]


def policy_for(callback_url: str, *, placed: bool) -> tuple[SubscriberPolicy, str | None]:
    """The policy for ``callback_url``, and the URL to put into CALLBACK; None: that of the policy.

    If the notify server is ``placed`` by its own addresses, or is on all addresses, CALLBACK has
    the address that the SUBSCRIBE leaves from. A URL that this library cannot use itself, such as
    https, is put into CALLBACK as it is."""
    parts = urlsplit(callback_url)
    host, port = parts.hostname or "localhost", parts.port
    hosts = SETTINGS.hosts
    address = host.partition("%")[0]
    if address_of(address) is not None:
        # Some devices leave out the port. DNS rebinding has a name here, and no address.
        hosts |= {f"[{address}]" if ":" in address else address}
    # The library reads no SEQ.
    make = partial(SubscriberPolicy, uda="1.0", hosts=hosts, any_seq=True)
    with contextlib.suppress(ValueError):
        if placed or ip_address(host).is_unspecified:
            return make(callback_port=port or None, shared_path=parts.path or "/"), None
    with contextlib.suppress(ValueError):
        if "{" not in callback_url:
            return make(callback_url=callback_url), None
    authority = f"[{host}]" if ":" in host else host
    if port:
        authority += f":{port}"
    return make(callback_url=f"http://{authority}/notify"), callback_url


def _tell(driver: ServiceDriver, request: Any, result: Response | Exception) -> None:
    subscription = driver.subscriptions.get(request.subscription)
    if subscription is not None:
        subscription.request_ended(request, result)


async def _close_with_the_loop(driver: ServiceDriver) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await driver.close()


class UpnpEventHandlerRegister:
    """Event handlers for devices, one for each address of this machine that leads to them."""

    def __init__(self, requester: UpnpRequester, notify_server_type: type[Any]) -> None:
        self.requester = requester
        self.notify_server_type = notify_server_type
        self._event_handlers: dict[Any, tuple[UpnpEventHandler, set[UpnpDevice]]] = {}
        self._making: dict[Any, asyncio.Lock] = {}

    def has_event_handler_for_device(self, device: UpnpDevice) -> bool:
        """Whether ``device`` was added, and not removed."""
        _, devices = self._event_handlers.get(_address_towards(device), (None, ()))
        return device in devices

    async def async_add_device(self, device: UpnpDevice) -> UpnpEventHandler:
        """Add ``device``, and return the handler for it, a new one if necessary."""
        address = _address_towards(device)
        # Of two devices that are added at once, the second waits for the handler of the first.
        async with self._making.setdefault(address, asyncio.Lock()):
            if address not in self._event_handlers:
                handler = await self._create_event_handler_for_device(device)
                self._event_handlers[address] = (handler, set())
            handler, devices = self._event_handlers[address]
            devices.add(device)
            return handler

    async def _create_event_handler_for_device(self, device: UpnpDevice) -> UpnpEventHandler:
        notify_server = self.notify_server_type(
            requester=self.requester, source=(str(_address_towards(device)), 0)
        )
        await notify_server.async_start_server()
        # A server has its own handler, which gets the events.
        handler: UpnpEventHandler | None = getattr(notify_server, "event_handler", None)
        return handler or UpnpEventHandler(notify_server, self.requester)

    async def async_remove_device(self, device: UpnpDevice) -> UpnpEventHandler | None:
        """Remove ``device``. Stops and returns the handler if no device needs it any more."""
        address = _address_towards(device)
        assert address in self._event_handlers
        handler, devices = self._event_handlers[address]
        assert device in devices
        devices.remove(device)
        if devices:
            return None
        await handler.async_stop()
        del self._event_handlers[address]
        return handler


def _address_towards(device: UpnpDevice) -> Any:
    # In the module where a program looks for it, and replaces it in its tests.
    original = sys.modules["async_upnp_client.event_handler"]
    return ip_address(original.get_local_ip(device.device_url))
