"""A device somewhere on the network, and its services, as its description tells them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from propchange.asyncio.subscription import Subscription
from propchange.core.subscriber.record import Convert
from propchange.core.values.state_variables import StateVariable
from propchange.errors import PropchangeError
from propchange.upnp.description import DeviceDescription, ServiceDescription
from propchange.upnp.remote import DescribedDevice, DescribedService, conversions_by

if TYPE_CHECKING:
    from propchange.asyncio.control_point import ControlPoint

__all__ = ["RemoteDevice", "RemoteService"]


class RemoteService(DescribedService):
    """A service of a :class:`RemoteDevice`."""

    def __init__(
        self, control_point: ControlPoint, device: RemoteDevice, description: ServiceDescription
    ) -> None:
        super().__init__(device, description)
        self._control_point = control_point
        self.device = device

    async def variables(self) -> Mapping[str, StateVariable[Any]]:
        """The state variables that the service description declares. Fetched once.

        Raises DescriptionError, ConnectionFailed or TimedOut."""
        if self._variables is None:
            document, _ = await self._control_point.fetch(self._scpd_url())
            return self._declared(document, self._control_point.limits)
        return self._variables

    async def conversions(self) -> Convert | None:
        """What makes typed values of texts; None, and a warning, where the service description
        cannot be had: then values are texts."""
        try:
            return conversions_by(await self.variables())
        except (PropchangeError, ValueError) as error:
            self._stay_texts(error)
            return None

    def subscribe(
        self,
        *,
        wait: bool = True,
        duration: int | None = None,
        variables: Iterable[str] = (),
    ) -> Subscription:
        """A subscription to this service, to be entered with ``async with``. ``duration`` in
        seconds is what is asked for. ``variables`` are the evented ones that are wanted, all when
        there are none: only with ``uda="2.0"`` is the device asked for that (STATEVAR), and only if
        it accepts all of them are the others left out, see ``Subscription.accepted``.

        Raises DescriptionError when the service has no eventing, or no usable event URL."""
        self.check_eventing()
        return Subscription(
            self._control_point,
            self.event_url,
            service=self,
            wait=wait,
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
