"""Devices on the network, by their announcements and by their descriptions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import Any, ParamSpec, TypeVar, overload

from propchange.asyncio.multicast import MulticastEvents
from propchange.asyncio.subscription import Subscription
from propchange.core.subscriber.event_pace import check_minimum_interval
from propchange.core.subscriber.events import Convert
from propchange.core.values.state_variables import StateVariable
from propchange.driver.multicast_receiving import wanted_of_device, wanted_of_service
from propchange.driver.polling import POLL_INTERVAL, PollFunction, poll_options
from propchange.driver.remote import DescribedDevice, DescribedService
from propchange.driver.sightings import SeenDevice
from propchange.upnp.action_methods import ActionMethod
from propchange.upnp.actions import Action
from propchange.upnp.description import DeviceDescription
from propchange.upnp.remote_state import S, S_co

P = ParamSpec("P")
R = TypeVar("R")


class RemoteService(DescribedService[S_co]):
    """A service of a :class:`RemoteDevice`. ``device[Thermometer]`` is a
    ``RemoteService[Thermometer]``: its subscriptions, and what they receive, have the types of the
    class. ``device["Thermometer"]`` is a ``RemoteService[Service]``: the class is not known."""

    def typed(self, service_class: type[S]) -> RemoteService[S]:
        """This service, read by a class: for a service that ``device[Thermometer]`` does not find,
        because the device has several of this type. Raises TypeError and LookupError as
        ``device[Thermometer]``."""
        service: RemoteService[S] = self._typed(service_class)
        return service

    async def variables(self) -> Mapping[str, StateVariable[Any]]:
        """The state variables that the service description declares, by name. It is read once.

        Raises DescriptionError, ConnectionFailed or TimedOut."""
        return await self._read_variables()

    async def actions(self) -> Mapping[str, Action]:
        """The actions that the service description declares, by name, each with its arguments. It
        is read once, for :meth:`variables` too.

        Raises DescriptionError, ConnectionFailed or TimedOut."""
        return await self._read_actions()

    @overload
    async def call(
        self,
        action: str,
        /,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - the error names it and its reason
        **arguments: object,
    ) -> dict[str, Any]: ...

    @overload
    async def call(
        self, action: ActionMethod[P, R], /, *args: P.args, **arguments: P.kwargs
    ) -> R: ...

    async def call(
        self, action: str | ActionMethod[Any, Any], /, *args: Any, **arguments: Any
    ) -> Any:
        """Call an action of the device (UDA 2.0 §3). ``await service.call("SetVolume",
        InstanceID=0, Channel="Master", DesiredVolume=30)`` has the names of the wire, and returns
        the out arguments by name, each with the type of its state variable. ``timeout`` is the time
        for the whole call in seconds; None: ``limits.request_seconds``, 30 s. ``await
        service.call(SwitchPower.set_target, True)`` has the parameters of a method of a class, and
        returns what the method returns.

        The action runs once. Without an answer it may have run; the error says so.

        Before anything is sent: raises LookupError for an action that the service description does
        not have, TypeError for a missing or unknown argument and for a value of another kind,
        ValueError for a value that is not allowed, DescriptionError without a usable description or
        controlURL. Then: ActionError if the device answers with an error, with its code;
        ConnectionFailed, TimedOut, RemoteProtocolError for an answer that cannot be read, with its
        HTTP ``status`` if that is not 2xx.

        Answers are read leniently, with a warning in the log. An out argument whose text is not of
        its data type is None, and a missing one is left out; called by a method, both raise
        RemoteProtocolError."""
        return await self._call(action, args, arguments)

    async def conversions(self) -> Convert | None:
        """Variable -> function from text to typed value, for each declared variable. None if the
        service description cannot be read; a warning is then logged, and values are texts."""
        return await self._read_conversions()

    def subscribe(
        self,
        *,
        wait: bool = True,
        duration: int | None = None,
        variables: Iterable[str] = (),
        poll: PollFunction | bool | None = None,
        poll_interval: float = POLL_INTERVAL,
        minimum_interval: float | None = None,
    ) -> Subscription[S_co]:
        """A subscription to this service. Enter it with ``async with``. With ``wait`` entering
        returns once the subscription is granted; without, it returns at once. ``duration`` in
        seconds is what the device is asked for. ``variables`` names the wanted evented variables;
        empty: all. With ``uda="2.0"`` the device is asked to send only these (STATEVAR). It does so
        only if it accepts all of them: see ``Subscription.accepted``.

        ``poll`` reads the values while no events come: SUBSCRIBE is refused or has no answer, or
        the subscription is DEAF. It is a function or coroutine function without arguments that
        returns a mapping of variables to values or their texts; True calls the Get actions of the
        service. It is called every ``poll_interval`` seconds. What has changed is an event of the
        same stream, with ``Event.polled``. SUBSCRIBE is sent again meanwhile, and the first real
        event ends the polling. With ``poll`` a refusal raises nothing: entering returns, also with
        ``wait``. An exception of the function is logged, and the polls go on.

        ``minimum_interval`` is for a program that wants fewer events: two of them are at least so
        many seconds apart. The first comes at once. Those within the interval merge into one, which
        comes at its end; ``Event.merged`` counts them. The final value always comes. A status
        change does not wait, and what came before it is yielded before it. ``Subscription.values``
        does not wait either. A variable with a ``merge`` in the class of ``device[Class]`` merges
        by it.

        Without ``poll``, raises DescriptionError if the service has no eventing, or no usable event
        URL. Raises ValueError for a negative or endless interval."""
        return Subscription(
            self._driver,
            self._url_to_subscribe(polled=bool(poll)),
            self,
            wait=wait,
            duration=duration,
            variables=variables,
            minimum_interval=check_minimum_interval(minimum_interval),
            **poll_options(poll, poll_interval, self),
        )

    def multicast_events(self, *, level: str | Collection[str] | None = None) -> MulticastEvents:
        """The multicast events of this service, as a stream to enter with ``async with``. ``level``
        is one level or several; None: all. They come without a subscription. A subscription brings
        the same changes by unicast; neither stream has the events of the other.

        Raises ValueError for a text that is no level."""
        make = partial(RemoteDevice, self._driver)
        return MulticastEvents(self._driver, make, wanted_of_service(self, level), (self,))


class RemoteDevice(DescribedDevice[RemoteService]):
    """A root device with its embedded devices. Made by ``ControlPoint.device``.

    ``device[Thermometer]`` is the service of a class: a subclass of :class:`propchange.Service`, as
    the device's author writes it, or one of :mod:`propchange.upnp.standard`. The service has the
    type of the class, in its version or a later one. Raises LookupError if there is none, if there
    is an earlier version only, and if there are several: :meth:`RemoteService.typed` then takes one
    of them. Raises TypeError for a class without a type.

    ``device["Thermometer"]`` is the service with this name: its type, its serviceId, the short name
    in either, its event URL, or the UDN of its device, a slash and one of the first three. Raises
    LookupError for an unknown name, with the names of all services, and for a name that several
    services have, with names that tell them apart. :meth:`services_named` gives all of these.
    """

    _service_type = RemoteService

    @overload
    def __getitem__(self, wanted: type[S], /) -> RemoteService[S]: ...
    @overload
    def __getitem__(self, wanted: str, /) -> RemoteService: ...
    def __getitem__(self, wanted: type[S] | str, /) -> RemoteService[Any]:
        """The service of a class, or with a name."""
        service: RemoteService[Any] = super().__getitem__(wanted)
        return service

    def multicast_events(self, *, level: str | Collection[str] | None = None) -> MulticastEvents:
        """The multicast events of all services of this device and its embedded devices, as
        :meth:`RemoteService.multicast_events`."""
        make = partial(RemoteDevice, self._driver)
        return MulticastEvents(self._driver, make, wanted_of_device(self, level), self.services)


class Sighting(SeenDevice):
    """A device as it announces itself, at one moment.

    ``types`` are the device and service types that it has announced so far. ``description_url`` is
    the URL of its description; ``locations`` are all such URLs, also those on other interfaces and
    of the other IP version. If it has gone, they are the last known ones. ``is_root``: it is a root
    device, not an embedded one.
    """

    __slots__ = ()

    async def device(self, *, search: bool = True) -> RemoteDevice:
        """The device, for subscribing to its services. It is followed from now on. The same as
        ``ControlPoint.device(udn=…)``, with the same exceptions. ``search=False``: read each of its
        ``locations`` once, do not search for the device, and raise as :meth:`description`."""
        driver = self._driver
        device: RemoteDevice
        if search:
            device = await driver.device(RemoteDevice, None, self.udn, None)
        else:
            device = await driver.seen_device(RemoteDevice, self)
        return device

    async def description(self) -> DeviceDescription:
        """Its description, read now; for an embedded device, its part of the description. Raises
        DescriptionError, ConnectionFailed or TimedOut if it cannot be read."""
        description: DeviceDescription = await self._driver.discovery.describe(self)
        return description

    async def friendly_name(self) -> str:
        """Its name for people, from its description. Raises as :meth:`description`."""
        return (await self.description()).friendly_name
