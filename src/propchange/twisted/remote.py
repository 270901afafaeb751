"""A device somewhere on the network, and its services, as its description tells them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from propchange.core.subscriber.events import Event, StatusChange
from propchange.core.subscriber.record import Convert
from propchange.core.values.state_variables import StateVariable
from propchange.errors import PropchangeError
from propchange.twisted.subscribed import Subscription
from propchange.upnp.description import DeviceDescription, ServiceDescription
from propchange.upnp.remote import DescribedDevice, DescribedService, conversions_by

if TYPE_CHECKING:
    from propchange.twisted.control_point import ControlPoint

__all__ = ["RemoteDevice", "RemoteService"]


class RemoteService(DescribedService):
    """A service of a :class:`RemoteDevice`."""

    def __init__(
        self, control_point: ControlPoint, device: RemoteDevice, description: ServiceDescription
    ) -> None:
        super().__init__(device, description)
        self._control_point = control_point
        self.device = device

    def variables(self) -> Deferred[Mapping[str, StateVariable[Any]]]:
        """The state variables that the service description declares. Fetched once.

        Fails with DescriptionError, ConnectionFailed or TimedOut."""
        if self._variables is not None:
            return succeed(self._variables)
        return Deferred.fromCoroutine(self._read_variables())

    async def _read_variables(self) -> Mapping[str, StateVariable[Any]]:
        point = self._control_point
        document, _ = await point.documents.read(self._scpd_url())
        return self._declared(document, point.limits)

    def conversions(self) -> Deferred[Convert | None]:
        """What makes typed values of texts; None, and a warning, where the service description
        cannot be had: then values are texts."""

        def failed(failure: Failure) -> Failure | None:
            if not isinstance(failure.value, (PropchangeError, ValueError)):
                return failure
            self._stay_texts(failure.value)
            return None

        return self.variables().addCallbacks(conversions_by, failed)

    def subscribe(
        self,
        on_event: Callable[[Event], object],
        *,
        on_status: Callable[[StatusChange], object] | None = None,
        persistent: bool = True,
        duration: int | None = None,
        variables: Iterable[str] = (),
    ) -> Subscription:
        """Subscribe to this service and keep it so, with values of the types that the service
        description declares; the rest is as for :meth:`ControlPoint.subscribe`.

        Raises DescriptionError when the service has no eventing, or no usable event URL."""
        return self._control_point.subscribe(
            self,
            on_event,
            on_status=on_status,
            persistent=persistent,
            duration=duration,
            variables=variables,
        )


class RemoteDevice(DescribedDevice[RemoteService]):
    """A root device with all that is embedded in it. Made by ``ControlPoint.device``.

    ``device["Thermometer"]`` is the first of its services that is called so: by type, by
    serviceId or by the short name in either; LookupError names those there are.
    """

    def __init__(self, control_point: ControlPoint, description: DeviceDescription) -> None:
        self._control_point = control_point
        super().__init__(description)

    def _service(self, description: ServiceDescription) -> RemoteService:
        return RemoteService(self._control_point, self, description)
