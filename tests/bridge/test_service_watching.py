"""What an output is called with when devices are described again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from propchange.asyncio.device_watching import FoundService
from propchange.bridge.output import BridgedService
from propchange.bridge.service_watching import ServiceWatching
from propchange.upnp.description import ServiceDescription
from propchange.upnp.redescription import keyed_services
from tests.bridge import described_services as described


class Output:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def found(self, services: list[BridgedService]) -> None:
        self.calls += [f"found {each.state.service}" for each in services]

    def status(self, service: BridgedService) -> None:
        self.calls.append(f"status of {service.state.service}, {service.state.device_name}")


def device(name: str) -> Any:
    service = ServiceDescription("urn:test:service:Link:1", "urn:test:serviceId:Link", "", "", "")
    description = described.device(udn="uuid:u", friendly_name=name, services=(service,))
    return SimpleNamespace(description=description, udn="uuid:u")


def test_an_output_hears_of_each_service_whose_device_was_described_again() -> None:
    output: Any = Output()  # the part of it that is used
    control_point: Any = None  # it is not used
    watching = ServiceWatching(control_point, output, say=print)
    described_ = device("Hall")
    [(key, service)] = keyed_services(described_.description)
    remote: Any = SimpleNamespace(description=service)
    found = FoundService(described_, remote, key)
    watching.found([found])
    watching.found([])
    assert output.calls == ["found Link"]
    # The name is the same; the service description may not be.
    for name in ("Hall", "Attic"):
        found.device = device(name)
        watching.found([])
        watching.found([])
    assert output.calls[1:] == ["status of Link, Hall", "status of Link, Attic"]
