"""The hosted device of a program on asyncio."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Collection

from propchange.asyncio.no_application import NoApplication
from propchange.asyncio.runtime import AsyncioRuntime
from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.multicast.publication import MulticastPolicy
from propchange.core.publisher.judge import INITIAL_EVENT_DELAY
from propchange.core.short_signature import short_in_help
from propchange.core.wire.messages import Request, Response
from propchange.driver.hosted_device import HostedDeviceView
from propchange.driver.publication import Tap
from propchange.upnp.device import Device


@short_in_help
def host(
    device: Device,
    *,
    interface: str | None = None,
    exclude: Collection[str] = (),
    port: int = 0,
    udn: str | None = None,
    uda: str = "1.1",
    callbacks: str = "on-link",
    lenient_callbacks: bool = False,
    default_duration: int = 1800,
    minimum_duration: int = 60,
    maximum_duration: int = 86_400,
    dlna: bool = False,
    initial_event_delay: float = INITIAL_EVENT_DELAY,
    hosts: frozenset[str] = frozenset(),
    multicast: MulticastPolicy | None = None,
    announce: bool = True,
    max_age: int = 1800,
    secure_location: str | None = None,
    state_directory: str | os.PathLike[str] | None = None,
    listen: bool = True,
    url: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
    tap: Tap | None = None,
) -> HostedDevice:
    """Host ``device`` while the context is open:
    ``async with host(device, port=8123) as hosted:``. The options:

    - ``interface``, ``exclude``: networks to use, and not to use
    - ``port``: the TCP port; 0 is any free one
    - ``url``, ``listen=False``: its URL on a web server of the program
    - ``hosts``: further names that HOST of a request may have
    - ``udn``: the unique name, instead of a derived one
    - ``uda``: the version of UPnP: "1.0", "1.1" or "2.0"
    - ``callbacks``: who may subscribe: "on-link", "same-host", "any"
    - ``lenient_callbacks``: ignore refused URLs beside others
    - ``default_duration``, ``minimum_duration``, ``maximum_duration``:
      seconds that are granted; ``dlna`` always grants 300
    - ``initial_event_delay``: seconds before the initial event
    - ``announce``, ``max_age``: announce it by SSDP; seconds of validity
    - ``secure_location``: the https URL of the description
    - ``state_directory``: where the number of restarts is kept
    - ``multicast``: how multicast events are sent
    - ``limits``: caps, see :class:`propchange.Limits`
    - ``tap``: is called with each message and each outcome

    ``help(HostedDevice)`` and the reference say more about each.

    Raises TypeError if ``device`` is not a Device, and ValueError for
    values that contradict each other. Entering raises ConnectionFailed if
    the port is taken or the interface does not exist. It waits while the
    interface has no address.
    """
    return HostedDevice(
        AsyncioRuntime,
        device,
        interface=interface,
        exclude=exclude,
        port=port,
        udn=udn,
        uda=uda,
        callbacks=callbacks,
        lenient_callbacks=lenient_callbacks,
        default_duration=default_duration,
        minimum_duration=minimum_duration,
        maximum_duration=maximum_duration,
        dlna=dlna,
        initial_event_delay=initial_event_delay,
        hosts=hosts,
        multicast=multicast,
        announce=announce,
        max_age=max_age,
        secure_location=secure_location,
        state_directory=state_directory,
        listen=listen,
        url=url,
        limits=limits,
        tap=tap,
    )


class HostedDevice(NoApplication, HostedDeviceView):
    """A hosted device. Made by :func:`host`. An asynchronous context manager, which is entered
    once. Before that, its properties and methods raise RuntimeError.

    The options of :func:`host` in full:

    - ``interface``: the name of a network interface, to listen on all its addresses, also on those
      that it gets later; or one IP address of this machine. None: all addresses. ``exclude``: names
      of interfaces that are not used. Connections to their addresses are closed without an answer.
    - ``port``: the TCP port, the same on all addresses; 0 is any free one.
    - ``udn``: replaces the device's own UDN. Without either, the UDN is derived from the machine,
      the port, and the device's type and name.
    - ``uda``: "1.0", "1.1" or "2.0".
    - ``callbacks``: the delivery URLs that may be called: "on-link", "same-host" or "any"
      (CallStranger; UDA 2.0 §4.1.1). ``lenient_callbacks`` ignores refused URLs if a CALLBACK has
      others, instead of refusing the SUBSCRIBE.
    - ``default_duration``, ``minimum_duration``, ``maximum_duration``: seconds, at least 1. The
      default is raised or lowered to the other two. ``dlna`` always grants 300 s.
    - ``initial_event_delay``: seconds between the answer to SUBSCRIBE and the initial event.
      Control points of GUPnP need some milliseconds to learn their SID.
    - ``hosts``: names that HOST may have, besides this machine's addresses.
    - ``multicast``: the groups, the retransmissions and the TTL of the events of variables with
      ``multicast=True``. None: no retransmissions, and the groups of the link and of the site. They
      leave by every interface, or by ``interface``.
    - ``announce``: announce the device by SSDP on the networks of ``interface``, and answer
      searches for it; never on the loopback interface. ``max_age``: seconds for which an
      announcement is valid, at least 5; UDA recommends 1800. ``secure_location``: the https URL of
      the description, if there is one (UDA 2.0 only). ``state_directory``: the folder where the
      number of restarts (BOOTID) is kept. None: a folder of propchange where the platform keeps the
      state of programs.
    - ``listen=False``: open no port. A web server of the program gives the requests that begin with
      ``url`` to :meth:`HostedDevice.receive`. ``interface`` and ``exclude`` then say where the
      device is announced; a request that was sent to an excluded interface is answered with 403.
    - ``url``: the http URL below which control points find the device, such as
      ``"http://192.168.1.5:8000/upnp"``: that of the web server, or of a proxy in front of this
      port. Its description is at ``url``/description.xml, which is also what is announced: from
      the address in ``url`` if this machine has it, else from all addresses of its family; from
      all addresses if ``url`` has a name. Unless ``url`` is of loopback, a peer on loopback is a
      proxy that hides the subscriber: a SUBSCRIBE by it is refused.
    - ``tap`` is called with each Request and Response, and with each outcome.
    """

    def receive(self, request: Request) -> Response | Awaitable[Response]:
        """Answer a request that a web server of the program has received: at once, or for an
        action that takes time by an awaitable. For ``listen=False`` and ``url``. Write the
        response, and then call :meth:`response_sent` or :meth:`response_lost` with it.

        ``request`` has what came: the method, the path and query, the header fields and the whole
        body. ``peer`` is the address of the subscriber. A proxy must pass it on, and the web server
        take it from there: delivery URLs are judged by it. ``local`` is the address of this machine
        that it was sent to. Both are None if the web server does not know them; without ``peer`` a
        SUBSCRIBE is refused, except with ``callbacks="any"``. The web server may have taken the
        prefix of a mount, a part of the path of ``url``, from the path.

        No request raises anything. Before the device is entered, and after :meth:`close`, the
        answer is 503. Raises RuntimeError in another thread than that of the loop: call it by
        ``loop.call_soon_threadsafe`` there."""
        return self._receive(request)

    async def subscribed(self) -> None:
        """Wait until one of the present subscribers has had its initial event. Raises RuntimeError
        if the device is closed before, and if no service of it has an evented variable."""
        await self._subscribed()

    async def drain(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - drain() returns False after it, and raises nothing
        """Wait until all events are delivered or given up. Returns True then, and False if
        ``timeout`` seconds have passed or the device is closed before."""
        return await self._drain(timeout)

    async def close(self) -> None:
        """End the hosting. Undelivered events are dropped: call :meth:`drain` before. Repeated
        calls do nothing."""
        await self._close()
