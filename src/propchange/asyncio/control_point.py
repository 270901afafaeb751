"""The control point of a program on asyncio."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Self, overload

from propchange.asyncio.multicast import MulticastEvents
from propchange.asyncio.no_application import NoApplication
from propchange.asyncio.remote import RemoteDevice, Sighting
from propchange.asyncio.runtime import AsyncioRuntime
from propchange.asyncio.subscription import Subscription
from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.short_signature import short_in_help
from propchange.core.subscriber.event_pace import check_minimum_interval
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.driver.chosen_addresses import check_exclude
from propchange.driver.control_point import SubscriberDriver
from propchange.driver.control_point_view import ControlPointView, check_listening
from propchange.driver.machine import Interfaces, Machine, product
from propchange.driver.multicast_receiving import wanted_of_all
from propchange.driver.polling import POLL_INTERVAL, PollFunction, poll_options
from propchange.driver.sightings import Sightings
from propchange.driver.sockets import ports_of


class ControlPoint(NoApplication, ControlPointView):
    """Subscribes to services and receives their events:
    ``async with ControlPoint() as control_point:``. Its methods:

    - :meth:`device`: the device at a URL, or with a UDN
    - :meth:`devices`, :meth:`search`: the devices on the network
    - :meth:`subscribe_url`: a subscription to an event URL
    - :meth:`multicast_events`, :meth:`stats`, :meth:`fetch`, :meth:`close`
    - :meth:`receive`, :meth:`receive_ssdp`: for events and announcements that
      the program receives itself

    The options:

    - ``interface``, ``exclude``: networks to use, and not to use
    - ``port``: the port for events, or several to choose from; 0 is any
    - ``callback_host``, ``callback_port``: the address for events, if it is
      another (NAT, containers)
    - ``callback_url``, ``listen=False``: the whole URL for events, on a proxy
      or a web server of the program
    - ``duration``: seconds to ask for; ``uda``: "1.0", "1.1" or "2.0"
    - ``hosts``: further names that HOST of an event may have
    - ``require_device_source``: refuse events from other addresses
    - ``discovery``: None when it is needed, True from the start, False never
    - ``off_link_locations``, ``other_hosts``: believe further URLs
    - ``search``: is called with each search target
    - ``tap``: is called with each message and each outcome
    - ``friendly_name``: its name for devices; ``limits``: caps

    docs/control-point-options.md says more of each. Raises ValueError for
    an argument that is out of range. Entering raises ConnectionFailed if it
    cannot listen on the port or the interface.
    """

    @short_in_help
    def __init__(
        self,
        *,
        interface: str | None = None,
        exclude: Collection[str] = (),
        port: int | Sequence[int] = 0,
        callback_host: str | None = None,
        callback_port: int | None = None,
        listen: bool = True,
        callback_url: str | None = None,
        duration: int = 1800,
        uda: str = "1.1",
        hosts: frozenset[str] = frozenset(),
        require_device_source: bool = False,
        friendly_name: str = "propchange",
        discovery: bool | None = None,
        off_link_locations: bool = False,
        other_hosts: bool = False,
        search: Callable[[str], object] | None = None,
        limits: Limits = DEFAULT_LIMITS,
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
            callback_url=callback_url,
        )
        check_listening(listen, policy, port)
        # The driver is made on entering: it uses the loop that runs then.
        self._make = partial(
            SubscriberDriver,
            policy=policy,
            limits=limits,
            machine=Machine(),
            exclude=check_exclude(interface, exclude),
            off_link_locations=off_link_locations,
            other_hosts=other_hosts,
            search=search,
            tap=tap,
        )
        self.limits = limits
        self._passed_url = callback_url
        self._interface = interface
        self._ports = ports_of(port) if listen else None
        self._discovers = discovery
        self._driver: SubscriberDriver | None = None
        self._end_of_loop: AsyncGenerator[None, None] | None = None

    # --- what a program calls ---

    @property
    def port(self) -> int:
        """The TCP port on which events arrive. Raises RuntimeError with
        ``listen=False``."""
        return self._opened().listening_port

    @overload
    async def device(self, description_url: str) -> RemoteDevice: ...

    @overload
    async def device(self, *, udn: str, timeout: float | None = None) -> RemoteDevice: ...  # noqa: ASYNC109 - the error names it and its reason

    async def device(
        self,
        description_url: str | None = None,
        *,
        udn: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the error names it and its reason
    ) -> RemoteDevice:
        """The device whose description is at ``description_url``, or, with
        discovery, the one with ``udn`` ("uuid:…"): it is searched for during
        ``timeout`` seconds, ``limits.find_seconds`` if None. With discovery it
        is followed when it moves, as long as the program keeps the object. An
        embedded device leads to its root device.

        Raises DescriptionError if the document is no description,
        ConnectionFailed or TimedOut if it cannot be read or found, ValueError
        for another URL than http:// and for no UDN."""
        return await self._begun().device(RemoteDevice, description_url, udn, timeout)

    def devices(self, type: str | None = None) -> Sightings[Sighting]:
        """Sightings of root devices, for ``async for``: first the present devices,
        then each that appears, changes or goes, until the control point is
        closed. With ``type``: of devices, also embedded ones, that have this
        device or service type or a later version of it:
        ``urn:schemas-upnp-org:device:MediaRenderer:1``, or ``MediaRenderer``
        for any version.

        Raises RuntimeError without discovery if :meth:`receive_ssdp` was not
        called yet."""
        return self._sightings(Sighting, type)

    def subscribe_url(
        self,
        event_url: str,
        *,
        wait: bool = True,
        duration: int | None = None,
        variables: Iterable[str] = (),
        poll: PollFunction | None = None,
        poll_interval: float = POLL_INTERVAL,
        minimum_interval: float | None = None,
    ) -> Subscription:
        """A subscription to an event URL. There is no description, so values are
        texts. Enter it with ``async with``. The arguments are those of
        ``RemoteService.subscribe``; ``poll`` is a function."""
        return Subscription(
            self._begun(),
            event_url,
            wait=wait,
            duration=duration,
            variables=variables,
            minimum_interval=check_minimum_interval(minimum_interval),
            **poll_options(poll, poll_interval, None),
        )

    def multicast_events(
        self, type: str | None = None, *, level: str | Collection[str] | None = None
    ) -> MulticastEvents:
        """The multicast events of all devices that have announced themselves, as a
        stream for ``async with``: see :class:`propchange.MulticastEvents`.
        ``type``: of services of this type, or of ``Door`` in any version.
        ``level``: of one level or several, ``"upnp:/emergency"``. Raises
        ValueError for a text that is no level."""
        driver = self._begun()
        return MulticastEvents(driver, partial(RemoteDevice, driver), wanted_of_all(type, level))

    async def fetch(self, url: str) -> tuple[bytes, str]:
        """Read the document at ``url``. Returns it, and its URL after redirects.

        Raises DescriptionError if the answer is not HTTP or has another status
        than 200, ConnectionFailed, TimedOut, and ValueError for a URL that is
        not http://."""
        return await self._begun().documents.document(url)

    # --- entering and leaving ---

    async def __aenter__(self) -> Self:
        if self._driver is not None:
            raise RuntimeError("a control point is entered once; make another")
        runtime = AsyncioRuntime()
        self._driver = self._make(runtime, interfaces=Interfaces(clock=runtime.now))
        try:
            await self._driver.open(self._interface, self._ports, discovery=self._discovers)
        except BaseException:
            await self._driver.close()
            raise
        self._end_of_loop = self._close_with_the_loop()
        await anext(self._end_of_loop)
        return self

    async def _close_with_the_loop(self) -> AsyncGenerator[None, None]:
        # asyncio.run() closes the running generators before the loop. So a program that does not
        # use ``async with``, and raises, leaves no socket and no subscription behind.
        try:
            yield
        finally:
            self._end_of_loop = None
            await self.close()

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Unsubscribe everything, for ``limits.unsubscribe_seconds`` at most, and
        end. Safe to call again. ``asyncio.run()`` does it too when it ends the
        loop."""
        if self._driver is None:
            return
        try:
            await self._driver.close()
        finally:
            if self._end_of_loop is not None:
                await self._end_of_loop.aclose()

    def _begun(self) -> SubscriberDriver:
        if self._driver is None:
            raise RuntimeError("the control point is not running: use async with ControlPoint()")
        return self._driver
