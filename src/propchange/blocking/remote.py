"""Devices on the network, by their announcements and by their descriptions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any, NamedTuple, ParamSpec, TypeVar, overload

from propchange.asyncio.remote import RemoteService as AsyncRemoteService
from propchange.blocking.loop_thread import LoopThread, arguments_of, in_loop
from propchange.blocking.multicast import MulticastEvents
from propchange.blocking.subscription import Subscription, entered, with_poll
from propchange.core.subscriber.events import Convert
from propchange.core.values.state_variables import StateVariable
from propchange.driver.control_point import SubscriberDriver
from propchange.driver.multicast_receiving import wanted_of_device, wanted_of_service
from propchange.driver.remote import DescribedDevice, DescribedService
from propchange.driver.sightings import SeenDevice
from propchange.upnp.action_methods import ActionMethod
from propchange.upnp.actions import Action
from propchange.upnp.description import DeviceDescription
from propchange.upnp.remote_state import S, S_co

P = ParamSpec("P")
R = TypeVar("R")


@in_loop
class RemoteService(DescribedService[S_co]):
    """A service of a :class:`RemoteDevice`. ``device[Thermometer]`` is a
    ``RemoteService[Thermometer]``: its subscriptions, and what they receive, have the types of the
    class. ``device["Thermometer"]`` is a ``RemoteService[Service]``: the class is not known."""

    @property
    def _thread(self) -> LoopThread:
        device: Any = self.device
        thread: LoopThread = device._thread
        return thread

    def typed(self, service_class: type[S]) -> RemoteService[S]:
        """This service, read by a class: for a service that ``device[Thermometer]`` does not find,
        because the device has several of this type. Raises TypeError and LookupError as
        ``device[Thermometer]``."""
        service: RemoteService[S] = self._thread.run(self._typed, service_class)
        return service

    def variables(self) -> Mapping[str, StateVariable[Any]]:
        """The state variables that the service description declares, by name. It is read once.

        Raises DescriptionError, ConnectionFailed or TimedOut."""
        variables: Mapping[str, StateVariable[Any]] = self._thread.run(self._read_variables)
        return variables

    def actions(self) -> Mapping[str, Action]:
        """The actions that the service description declares, by name, each with its arguments. It
        is read once, for :meth:`variables` too.

        Raises DescriptionError, ConnectionFailed or TimedOut."""
        actions: Mapping[str, Action] = self._thread.run(self._read_actions)
        return actions

    @overload
    def call(
        self, action: str, /, *, timeout: float | None = None, **arguments: object
    ) -> dict[str, Any]: ...

    @overload
    def call(self, action: ActionMethod[P, R], /, *args: P.args, **arguments: P.kwargs) -> R: ...

    def call(self, action: str | ActionMethod[Any, Any], /, *args: Any, **arguments: Any) -> Any:
        """Call an action of the device: ``service.call("SetVolume", InstanceID=0,
        Channel="Master", DesiredVolume=30)``, or ``service.call(SwitchPower.set_target, True)``
        with a method of a class. Arguments, ``timeout``, result and exceptions are those of
        :meth:`propchange.RemoteService.call`.

        The action runs once. Without an answer it may have run; the error says so."""
        return self._thread.run(self._call, action, args, arguments)

    def conversions(self) -> Convert | None:
        """Variable -> function from text to typed value, for each declared variable. None if the
        service description cannot be read; a warning is then logged, and values are texts."""
        conversions: Convert | None = self._thread.run(self._read_conversions)
        return conversions

    @arguments_of(AsyncRemoteService.subscribe)
    def subscribe(self, **options: Any) -> Subscription[S_co]:
        """Subscribe to this service, and return the subscription. The arguments are those of
        :meth:`propchange.RemoteService.subscribe`. With ``wait`` it returns once the subscription
        is granted; without, at once. It lasts until it or the control point is closed.

        ``poll`` is called in a thread of its own, so it may wait, and call the device.

        With ``wait`` and without ``poll``, raises SubscriptionRefused or ConnectionFailed if the
        subscription is not granted. Without ``poll``, raises DescriptionError if the service has no
        eventing, or no usable event URL."""
        of_asyncio: Any = AsyncRemoteService.subscribe
        make = partial(of_asyncio, self, **with_poll(options))
        return Subscription(self._thread, self._thread.run(entered, make), self)

    def multicast_events(self, *, level: str | Collection[str] | None = None) -> MulticastEvents:
        """The multicast events of this service, from now on. They come without a subscription.
        ``level`` is one level or several; None: all.

        Raises ValueError for a text that is no level, and as :class:`MulticastEvents`."""
        make = partial(RemoteDevice, self._thread, self._driver)
        wanted = wanted_of_service(self, level)
        return MulticastEvents(self._thread, self._driver, make, wanted, (self,))


@in_loop
class RemoteDevice(DescribedDevice[RemoteService]):
    """A root device with its embedded devices. Made by ``ControlPoint.device``. ``device[…]`` is
    that of :class:`propchange.RemoteDevice`, with the same exceptions: by the name of a service, or
    by a class."""

    _service_type = RemoteService

    def __init__(
        self, thread: LoopThread, driver: SubscriberDriver, description: DeviceDescription
    ) -> None:
        self._thread = thread
        super().__init__(driver, description)

    @overload
    def __getitem__(self, wanted: type[S], /) -> RemoteService[S]: ...
    @overload
    def __getitem__(self, wanted: str, /) -> RemoteService: ...
    def __getitem__(self, wanted: type[S] | str, /) -> RemoteService[Any]:
        """The service of a class, or with a name."""
        service: RemoteService[Any] = self._thread.run(super().__getitem__, wanted)
        return service

    def multicast_events(self, *, level: str | Collection[str] | None = None) -> MulticastEvents:
        """The multicast events of all services of this device and its embedded devices, as
        :meth:`RemoteService.multicast_events`."""
        make = partial(RemoteDevice, self._thread, self._driver)
        wanted = wanted_of_device(self, level)
        return MulticastEvents(self._thread, self._driver, make, wanted, self.services)


class InLoop(NamedTuple):
    """The driver of a control point, and the thread that it is used in."""

    thread: LoopThread
    driver: SubscriberDriver


class Sighting(SeenDevice):
    """A device as it announces itself, at one moment, as :class:`propchange.Sighting`."""

    __slots__ = ()

    _driver: InLoop

    def device(self, *, search: bool = True) -> RemoteDevice:
        """The device, for subscribing to its services. It is followed from now on. The same as
        ``ControlPoint.device(udn=…)``, with the same exceptions. ``search=False``: read each of its
        ``locations`` once, do not search for the device, and raise as :meth:`description`."""
        thread, driver = self._driver
        make = partial(RemoteDevice, thread)
        device: RemoteDevice
        if search:
            device = thread.run(driver.device, make, None, self.udn, None)
        else:
            device = thread.run(driver.seen_device, make, self)
        return device

    def description(self) -> DeviceDescription:
        """Its description, read now; for an embedded device, its part of the description. Raises
        DescriptionError, ConnectionFailed or TimedOut if it cannot be read."""
        thread, driver = self._driver
        description: DeviceDescription = thread.run(driver.discovery.describe, self)
        return description

    def friendly_name(self) -> str:
        """Its name for people, from its description. Raises as :meth:`description`."""
        return self.description().friendly_name
