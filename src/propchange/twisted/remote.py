"""A device somewhere on the network, as it announces itself and as its description tells it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any, ParamSpec, TypeVar, overload

from twisted.internet.defer import Deferred

from propchange.core.subscriber.events import Convert, Event, StatusChange
from propchange.core.values.state_variables import StateVariable
from propchange.driver.multicast_receiving import wanted_of_device, wanted_of_service
from propchange.driver.polling import POLL_INTERVAL, PollFunction, poll_options
from propchange.driver.remote import DescribedDevice, DescribedService
from propchange.driver.sightings import SeenDevice
from propchange.twisted.multicast import MulticastEvents, OnEvent, OnMissed
from propchange.twisted.subscription import Subscription
from propchange.upnp.action_methods import ActionMethod
from propchange.upnp.actions import Action
from propchange.upnp.description import DeviceDescription
from propchange.upnp.remote_state import S, S_co

P = ParamSpec("P")
R = TypeVar("R")


class RemoteService(DescribedService[S_co]):
    """A service of a :class:`RemoteDevice`: as :class:`propchange.RemoteService`, with Deferreds
    and functions that are called."""

    def typed(self, service_class: type[S]) -> RemoteService[S]:
        """This service, read by a class: as :meth:`propchange.RemoteService.typed`."""
        service: RemoteService[S] = self._typed(service_class)
        return service

    def variables(self) -> Deferred[Mapping[str, StateVariable[Any]]]:
        """The state variables that the service description declares, by name. It is read once.

        Fails with DescriptionError, ConnectionFailed or TimedOut."""
        return Deferred.fromCoroutine(self._read_variables())

    def actions(self) -> Deferred[Mapping[str, Action]]:
        """The actions that the service description declares, by name, each with its arguments. It
        is read once, for :meth:`variables` too.

        Fails with DescriptionError, ConnectionFailed or TimedOut."""
        return Deferred.fromCoroutine(self._read_actions())

    @overload
    def call(
        self, action: str, /, *, timeout: float | None = None, **arguments: object
    ) -> Deferred[dict[str, Any]]: ...

    @overload
    def call(
        self, action: ActionMethod[P, R], /, *args: P.args, **arguments: P.kwargs
    ) -> Deferred[R]: ...

    def call(
        self, action: str | ActionMethod[Any, Any], /, *args: Any, **arguments: Any
    ) -> Deferred[Any]:
        """Call an action of the device, as :meth:`propchange.RemoteService.call`. The Deferred
        fails with the exceptions that are named there."""
        return Deferred.fromCoroutine(self._call(action, args, arguments))

    def conversions(self) -> Deferred[Convert | None]:
        """Variable -> function from text to typed value, for each declared variable. None if the
        service description cannot be read; a warning is then logged, and values are texts."""
        return Deferred.fromCoroutine(self._read_conversions())

    def subscribe(
        self,
        on_event: Callable[[Event], object],
        *,
        on_status: Callable[[StatusChange], object] | None = None,
        wait: bool = False,
        duration: int | None = None,
        variables: Iterable[str] = (),
        poll: PollFunction | bool | None = None,
        poll_interval: float = POLL_INTERVAL,
        minimum_interval: float | None = None,
    ) -> Subscription[S_co]:
        """Subscribe to this service. Values have the types of the service description. The
        arguments are those of :meth:`ControlPoint.subscribe`. ``poll`` may also be True.

        Without ``poll``, raises DescriptionError if the service has no eventing, or no usable event
        URL."""
        return Subscription(
            self._driver,
            self._url_to_subscribe(polled=bool(poll)),
            on_event,
            on_status=on_status,
            wait=wait,
            duration=duration,
            variables=variables,
            service=self,
            minimum_interval=minimum_interval,
            **poll_options(poll, poll_interval, self),
        )

    def multicast_events(
        self,
        on_event: OnEvent,
        *,
        on_missed: OnMissed | None = None,
        level: str | Collection[str] | None = None,
    ) -> Deferred[MulticastEvents]:
        """Receive the multicast events of this service, as
        :meth:`ControlPoint.multicast_events`."""
        make, wanted = partial(RemoteDevice, self._driver), wanted_of_service(self, level)
        return MulticastEvents(
            self._driver, make, wanted, (self,), on_event=on_event, on_missed=on_missed
        )._begin()


class RemoteDevice(DescribedDevice[RemoteService]):
    """As :class:`propchange.RemoteDevice`: ``device[Thermometer]`` is the service of a class, and
    ``device["Thermometer"]`` the service with a name. Made by ``ControlPoint.device``."""

    _service_type = RemoteService

    @overload
    def __getitem__(self, wanted: type[S], /) -> RemoteService[S]: ...
    @overload
    def __getitem__(self, wanted: str, /) -> RemoteService: ...
    def __getitem__(self, wanted: type[S] | str, /) -> RemoteService[Any]:
        """The service of a class, or with a name."""
        service: RemoteService[Any] = super().__getitem__(wanted)
        return service

    def multicast_events(
        self,
        on_event: OnEvent,
        *,
        on_missed: OnMissed | None = None,
        level: str | Collection[str] | None = None,
    ) -> Deferred[MulticastEvents]:
        """Receive the multicast events of all services of this device and its embedded devices, as
        :meth:`ControlPoint.multicast_events`."""
        make, wanted = partial(RemoteDevice, self._driver), wanted_of_device(self, level)
        return MulticastEvents(
            self._driver, make, wanted, self.services, on_event=on_event, on_missed=on_missed
        )._begin()


class Sighting(SeenDevice):
    """As :class:`propchange.Sighting`, with Deferreds."""

    __slots__ = ()

    def device(self, *, search: bool = True) -> Deferred[RemoteDevice]:
        """The device, as ``ControlPoint.device(udn=…)`` gives it, and with its errors.
        ``search=False``: read each of its ``locations`` once, and fail as :meth:`description`."""
        driver = self._driver
        if search:
            return Deferred.fromCoroutine(driver.device(RemoteDevice, None, self.udn, None))
        return Deferred.fromCoroutine(driver.seen_device(RemoteDevice, self))

    def description(self) -> Deferred[DeviceDescription]:
        """As :meth:`propchange.Sighting.description`, with a Deferred."""
        return Deferred.fromCoroutine(self._driver.discovery.describe(self))

    def friendly_name(self) -> Deferred[str]:
        """Its name for people, which stands in its description. Fails as :meth:`description`."""
        return self.description().addCallback(lambda description: description.friendly_name)
