"""What the bridge calls with the services that it watches: MQTT, or NATS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from propchange.asyncio.device_watching import FoundService
from propchange.bridge.service_state import ServiceState
from propchange.core.subscriber.events import Event


@dataclass(slots=True, eq=False, repr=False)
class BridgedService:
    """A service that the bridge watches. ``found.device`` is its root device, with which commands
    call actions, and ``found.service.description`` its description."""

    found: FoundService
    state: ServiceState


class Output(Protocol):
    """Sends the states of services. No method may raise or wait."""

    def found(self, services: Sequence[BridgedService], /) -> None:
        """A device was described. These of its services are new."""

    def event(self, service: BridgedService, event: Event, /) -> None:
        """An event of ``service`` has come; its state has the values."""

    def status(self, service: BridgedService, /) -> None:
        """The status or the reason in the state of ``service`` has changed, or its device was
        described again. The status ``gone``: its device has gone."""

    def forgotten(self, service: BridgedService, /) -> None:
        """``service`` is not watched any more."""

    async def run(self) -> None:
        """Send until cancelled. Raises an exception that is for the user."""
