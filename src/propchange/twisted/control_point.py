"""A control point, as a program on Twisted holds it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from functools import partial
from typing import Any, overload

from twisted.internet.defer import Deferred

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.short_signature import short_in_help
from propchange.core.subscriber.events import Convert, Event, StatusChange
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.wire.messages import Request, Response
from propchange.core.wire.refusals import Refusal
from propchange.driver.control_point import SubscriberDriver
from propchange.driver.control_point_view import ControlPointView, check_listening
from propchange.driver.machine import Interfaces, Machine, product
from propchange.driver.multicast_receiving import wanted_of_all
from propchange.driver.polling import POLL_INTERVAL, PollFunction, poll_options
from propchange.driver.sightings import Sightings
from propchange.driver.sockets import ports_of
from propchange.twisted.multicast import MulticastEvents, OnEvent, OnMissed
from propchange.twisted.remote import RemoteDevice, RemoteService, Sighting
from propchange.twisted.runtime import Reactor, TwistedRuntime, result_of
from propchange.twisted.subscription import Subscription
from propchange.upnp.remote_state import S


class ControlPoint(ControlPointView):
    """Subscribes to services and hears their events.

    Call :meth:`listen` first, then :meth:`subscribe`, and in the end :meth:`close`. ``reactor`` is
    the reactor to use, None for the installed one. By default each subscription has a delivery path
    that nobody can guess. ``shared_path`` is one path for all subscriptions: an
    :class:`~propchange.twisted.event.EventServer` made for this control point has to stand there.
    ``interfaces`` are the addresses of this machine. They are read every ``Limits.address_seconds``
    while there are subscriptions. ``machine`` is asked the rest for a diagnosis.

    With ``listen=False`` it begins when it is made, and :meth:`listen` is not called. ``interface``
    is for that case, and has the meaning that it has for :meth:`listen`. The other arguments are
    those of :class:`propchange.ControlPoint`, and have the same defaults.
    """

    @short_in_help
    def __init__(
        self,
        *,
        reactor: Reactor | None = None,
        limits: Limits = DEFAULT_LIMITS,
        uda: str = "1.1",
        duration: int = 1800,
        hosts: frozenset[str] = frozenset(),
        require_device_source: bool = False,
        friendly_name: str = "propchange",
        callback_host: str | None = None,
        callback_port: int | None = None,
        shared_path: str | None = None,
        listen: bool = True,
        callback_url: str | None = None,
        interface: str | None = None,
        interfaces: Interfaces | None = None,
        machine: Machine = Machine(),  # noqa: B008 - a frozen value
        discovery: bool | None = None,
        exclude: Collection[str] = (),
        off_link_locations: bool = False,
        other_hosts: bool = False,
        search: Callable[[str], object] | None = None,
        tap: Callable[[object], None] | None = None,
    ) -> None:
        policy = SubscriberPolicy(
            uda=uda,
            duration=duration,
            hosts=hosts,
            require_device_source=require_device_source,
            user_agent=product(uda),
            friendly_name=friendly_name,
            callback_host=callback_host,
            callback_port=callback_port,
            shared_path=shared_path,
            callback_url=callback_url,
        )
        check_listening(listen, policy, 0)
        if listen and interface is not None:
            raise ValueError("give interface= to listen(); here it is for listen=False")
        runtime = TwistedRuntime(reactor)
        self.limits = limits
        self._discovers = discovery
        self._driver = SubscriberDriver(
            runtime,
            policy,
            limits=limits,
            interfaces=interfaces or Interfaces(clock=runtime.now),
            machine=machine,
            exclude=exclude,
            off_link_locations=off_link_locations,
            other_hosts=other_hosts,
            search=search,
            tap=tap,
        )
        # What EventServer asks of a control point of Cohen3's.
        self.coherence = self
        self.hostname: str | None = policy.callback.host
        self._listens = listen
        if not listen:
            result_of(self._driver.open(interface, None, discovery=discovery))

    # --- what a program calls ---

    def listen(self, port: int | Sequence[int] = 0, interface: str | None = None) -> int:
        """Listen for events on ``port`` and ``interface``, as :class:`propchange.ControlPoint` does
        with these arguments. Returns the port.

        Raises ConnectionFailed when it cannot listen there, ValueError for a number that is not a
        port, RuntimeError when it listens already or was closed."""
        driver = self._driver
        driver.check_open()
        if not self._listens:
            raise RuntimeError("listen=False: this control point opens no port; see callback_url")
        if driver.listener.endpoints:
            raise RuntimeError("this control point listens already")
        result_of(driver.open(interface, ports_of(port), discovery=self._discovers))
        if interface is not None:
            self.hostname = self.hostname or driver.host
        return driver.listener.port

    @property
    def web_server_port(self) -> int | None:
        """For EventServer: the port that goes into CALLBACK; None before there is one."""
        return self._driver.port or None

    @property
    def now(self) -> float:
        """The time of this control point's clock in seconds."""
        return self._driver.now()

    def device(
        self,
        description_url: str | None = None,
        *,
        udn: str | None = None,
        timeout: float | None = None,
    ) -> Deferred[RemoteDevice]:
        """Read a device description, as :meth:`propchange.ControlPoint.device`, with a Deferred.
        Raises RuntimeError after :meth:`close`, ValueError for a URL and a UDN at once and for
        neither."""
        reading = self._driver.device(RemoteDevice, description_url, udn, timeout)
        return Deferred.fromCoroutine(reading)

    def fetch(self, url: str) -> Deferred[tuple[bytes, str]]:
        """Read a document, as :meth:`propchange.ControlPoint.fetch`, with a Deferred."""
        return Deferred.fromCoroutine(self._driver.documents.document(url))

    def _begun(self) -> SubscriberDriver:
        return self._driver

    @overload
    def subscribe(
        self,
        to: RemoteService[S],
        on_event: Callable[[Event], object],
        *,
        on_status: Callable[[StatusChange], object] | None = ...,
        wait: bool = ...,
        duration: int | None = ...,
        convert: Convert | None = ...,
        device: Hashable = ...,
        variables: Iterable[str] = ...,
        poll: PollFunction | bool | None = ...,
        poll_interval: float = ...,
        minimum_interval: float | None = ...,
    ) -> Subscription[S]: ...
    @overload
    def subscribe(
        self,
        to: str,
        on_event: Callable[[Event], object],
        *,
        on_status: Callable[[StatusChange], object] | None = ...,
        wait: bool = ...,
        duration: int | None = ...,
        convert: Convert | None = ...,
        device: Hashable = ...,
        variables: Iterable[str] = ...,
        poll: PollFunction | None = ...,
        poll_interval: float = ...,
        minimum_interval: float | None = ...,
    ) -> Subscription: ...
    def subscribe(
        self,
        to: str | RemoteService[Any],
        on_event: Callable[[Event], object],
        *,
        on_status: Callable[[StatusChange], object] | None = None,
        wait: bool = False,
        duration: int | None = None,
        convert: Convert | None = None,
        device: Hashable = None,
        variables: Iterable[str] = (),
        poll: PollFunction | bool | None = None,
        poll_interval: float = POLL_INTERVAL,
        minimum_interval: float | None = None,
    ) -> Subscription[Any]:
        """Subscribe to an event URL, or to a service of a :meth:`device`. The subscription is
        renewed, and made again after a gap, an expiry or a restart of the device. A service is
        found again by its description when the device moves. ``on_event`` is called with each
        event, ``on_status`` with each change of the status. Exceptions that they raise are logged.

        Without ``wait`` the subscription is tried until it is granted. With ``wait`` the first
        failure ends it, and its ``when_granted`` is a Deferred: it fires with the subscription once
        granted, or fails with SubscriptionRefused or ConnectionFailed.

        ``convert`` maps variables to functions that make values of texts, such as
        ``{name: variable.parse …}``; None: values are texts. The values of a service have the types
        that its description declares. ``device`` is the key for :meth:`device_gone`; for a service
        it is the UDN of its device. ``variables``, ``poll``, which may return a Deferred,
        ``poll_interval`` and ``minimum_interval`` are those of
        :meth:`propchange.RemoteService.subscribe`; for an event URL ``poll`` is a function.

        Raises RuntimeError before :meth:`listen` and after :meth:`close`, DescriptionError for a
        service without eventing, and as ``SubscriberProtocol.subscribe``.
        """
        self._driver.check_open()
        if not isinstance(to, str):
            return to.subscribe(
                on_event,
                on_status=on_status,
                wait=wait,
                duration=duration,
                variables=variables,
                poll=poll,
                poll_interval=poll_interval,
                minimum_interval=minimum_interval,
            )
        return Subscription(
            self._driver,
            to,
            on_event,
            on_status=on_status,
            wait=wait,
            duration=duration,
            variables=variables,
            convert=convert,
            device=device,
            minimum_interval=minimum_interval,
            **poll_options(poll, poll_interval, None),
        )

    def multicast_events(
        self,
        on_event: OnEvent,
        *,
        on_missed: OnMissed | None = None,
        type: str | None = None,
        level: str | Collection[str] | None = None,
    ) -> Deferred[MulticastEvents]:
        """Receive the multicast events of all devices on the network. ``on_event`` is called with
        each :class:`propchange.MulticastEvent`, ``on_missed`` with a
        :class:`propchange.MulticastMissed` for events that did not come. Exceptions that they raise
        are logged. ``type`` and ``level`` are those of
        :meth:`propchange.ControlPoint.multicast_events`. Fires with the stream once it listens.

        Raises ValueError for a text that is no level. Fails as entering
        :class:`propchange.MulticastEvents`."""
        driver = self._driver
        make, wanted = partial(RemoteDevice, driver), wanted_of_all(type, level)
        events = MulticastEvents(driver, make, wanted, on_event=on_event, on_missed=on_missed)
        return events._begin()

    def device_gone(self, device: Hashable) -> None:
        """The device has said goodbye."""
        self._driver.give(self._driver.protocol.device_gone, device)

    def device_rebooted(self, device: Hashable) -> None:
        """The device has restarted: subscribe afresh at once."""
        self._driver.give(self._driver.protocol.device_rebooted, device)

    def device_returned(self, device: Hashable) -> None:
        """The device is heard of again: what failed is tried at once."""
        self._driver.give(self._driver.protocol.device_returned, device)

    def devices(self, type: str | None = None) -> Sightings[Sighting]:
        """Sightings of root devices, for ``async for``: first the present devices, then each that
        appears, changes or goes, until the control point is closed. With ``type``: of devices, also
        embedded ones, that have this device or service type or a later version of it:
        ``urn:schemas-upnp-org:device:MediaRenderer:1``, or ``MediaRenderer`` for any version.
        Iterate in a coroutine under ``Deferred.fromCoroutine``.

        Raises RuntimeError without discovery if :meth:`receive_ssdp` was not called yet."""
        return self._sightings(Sighting, type)

    def close(self) -> Deferred[None]:
        """Unsubscribe everything, for ``limits.unsubscribe_seconds`` at most, and end. Fires when
        that is done. Safe to call again."""
        return Deferred.fromCoroutine(self._driver.close())

    def add_web_resource(self, name: str, resource: Any) -> None:
        """For :class:`~propchange.twisted.event.EventServer`: the program has a site for it."""

    def receive_notify(self, message: Request) -> Response:
        """Judge a NOTIFY, for EventServer. Its event is dispatched after the answer."""
        return self._driver.receive_notify(message)

    def _request_cut(self, message: Request, refusal: Refusal) -> None:
        """Note a NOTIFY that did not come whole, for EventServer."""
        self._driver.request_cut(message, refusal)
