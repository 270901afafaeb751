"""When a device is offered to Home Assistant, and how it is read for that."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from propchange.bridge import discovery_messages
from propchange.bridge.discovery_messages import DiscoveryMessages
from propchange.bridge.retained import Wanted
from propchange.bridge.topics import Topics
from propchange.errors import DescriptionError
from propchange.upnp.scpd import ServiceContents
from tests.bridge import described_services as described

TOPIC = "homeassistant/device/propchange_u/config"


class Output:
    """What the messages are given to: ``wanted`` has what should be retained, by topic."""

    def __init__(self) -> None:
        self.topics = Topics("home")
        self.wanted: dict[str, bytes] = {}
        self.posted: list[Any] = []
        self.retained = SimpleNamespace(
            want=self._want,
            unwant=lambda topic: self.wanted.pop(topic, None),
            hear=lambda *heard: None,
        )

    def _want(self, topic: str, mark: str, wanted: Any) -> None:
        made = wanted()
        assert isinstance(made, Wanted)
        self.wanted[topic] = made.mark

    def wake(self) -> None: ...

    def post(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self.posted.append(json.loads(payload)["components"])

    @property
    def offered(self) -> list[str]:
        """The entities that should be retained."""
        return sorted(json.loads(self.wanted.get(TOPIC, b'{"components": {}}'))["components"])


class Remote:
    """A service at the device. It cannot be read while ``contents`` is None."""

    control_url = "http://192.0.2.7/c"

    def __init__(self, name: str, contents: ServiceContents | None) -> None:
        self.full_name = name
        self.contents = contents
        self.reads = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def variables(self) -> Mapping[str, Any]:
        self.reads += 1
        await self.gate.wait()
        if self.contents is None:
            raise DescriptionError("it is answered with 500")
        return self.contents.variables

    async def actions(self) -> Mapping[str, Any]:
        assert self.contents is not None
        return self.contents.actions


class Bridged:
    def __init__(self, remote: Remote, device: Any) -> None:
        self.found = SimpleNamespace(service=remote, device=SimpleNamespace(description=device))
        self.state = SimpleNamespace(udn="u", root_udn="u", service=remote.full_name, sid="")


DEVICE = described.device(udn="uuid:u")
WEMO, LINK = described.WEMO, described.GATEWAY_LINK
BOTH = ["Link_EnabledForInternet", "Link_PhysicalLinkStatus"]
ALL = [*BOTH, "WeMo_BinaryState", "WeMo_CountdownEndTime"]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery_messages, "_READ_AGAIN", (0.0, 0.0, 0.0))


async def turns(number: int = 30) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


def begin(remotes: Iterable[Remote]) -> tuple[Output, DiscoveryMessages, list[Any]]:
    output = Output()
    messages = DiscoveryMessages(output)  # type: ignore[arg-type] # the part of it that is used
    services: list[Any] = [Bridged(each, DEVICE) for each in remotes]
    return output, messages, services


async def offer_both() -> tuple[bytes, Output]:
    output, messages, services = begin([Remote("WeMo", WEMO), Remote("Link", LINK)])
    messages.found(services)
    await turns()
    return output.wanted[TOPIC], output


def test_a_device_is_offered_when_all_of_its_service_descriptions_were_read() -> None:
    async def run() -> None:
        slow = Remote("Link", LINK)
        slow.gate.clear()
        output, messages, services = begin([Remote("WeMo", WEMO), slow])
        messages.found(services)
        await turns()
        assert output.offered == []
        slow.gate.set()
        await turns()
        assert output.offered == ALL
        messages.forgotten(services[0])
        assert output.offered == BOTH
        messages.forgotten(services[1])
        assert output.wanted == {}

    asyncio.run(run())


def test_a_start_keeps_what_is_retained_until_the_device_was_read_and_removes_nothing() -> None:
    async def run() -> None:
        former, _ = await offer_both()
        slow = Remote("Link", LINK)
        slow.gate.clear()
        output, messages, services = begin([Remote("WeMo", WEMO), slow])
        messages.hear(TOPIC, former, retained=True)
        messages.found(services)
        await turns()
        assert output.wanted == {TOPIC: former}
        slow.gate.set()
        await turns()
        assert output.wanted == {TOPIC: former}
        assert output.posted == []

    asyncio.run(run())


def test_a_service_description_that_cannot_be_read_takes_back_no_entity() -> None:
    async def run() -> None:
        former, _ = await offer_both()
        output, messages, services = begin([Remote("WeMo", WEMO), Remote("Link", None)])
        messages.hear(TOPIC, former, retained=True)
        messages.found(services)
        await turns()
        assert output.wanted == {TOPIC: former}
        # Of a new device, the others are offered without it.
        output, messages, services = begin([Remote("WeMo", WEMO), Remote("Link", None)])
        messages.found(services)
        await turns()
        assert output.offered == ["WeMo_BinaryState", "WeMo_CountdownEndTime"]

    asyncio.run(run())


def test_a_device_that_is_described_again_is_read_again_only_if_it_may_be_another() -> None:
    async def run() -> None:
        output, messages, services = begin([Remote("WeMo", WEMO), Remote("Link", LINK)])
        messages.found(services)
        await turns()

        async def describe(device: Any, sid: str = "") -> int:
            anew = [Remote("WeMo", WEMO), Remote("Link", LINK)]
            for service, remote in zip(services, anew, strict=True):
                service.found.service, service.state.sid = remote, sid
                service.found.device = SimpleNamespace(description=device)
                messages.changed(service)
            await turns()
            assert output.offered == ALL
            return sum(each.reads for each in anew)

        assert await describe(replace(DEVICE)) == 0
        assert await describe(replace(DEVICE, friendly_name="Hall")) == 2
        assert json.loads(output.wanted[TOPIC])["device"]["name"] == "Hall"
        assert await describe(replace(DEVICE, friendly_name="Hall"), "uuid:new") == 2
        assert output.posted == []

    asyncio.run(run())


def test_an_entity_of_a_device_that_was_read_before_the_broker_answered_is_removed() -> None:
    async def run() -> None:
        former, _ = await offer_both()
        output, messages, services = begin([Remote("WeMo", WEMO)])
        messages.found(services)
        await turns()
        messages.hear(TOPIC, former, retained=True)
        assert output.posted == [
            {
                "Link_EnabledForInternet": {"platform": "binary_sensor"},
                "Link_PhysicalLinkStatus": {"platform": "sensor"},
            }
        ]
        # A message of another program, or of nobody, is not of interest.
        messages.hear(TOPIC, b"{}", retained=True)
        messages.hear("homeassistant/device/other/config", former, retained=True)
        assert len(output.posted) == 1

    asyncio.run(run())
