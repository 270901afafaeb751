"""When a device is offered to Home Assistant, and how it is read for that."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.bridge import discovery_messages
from propchange.bridge.discovery_messages import DiscoveryMessages
from propchange.bridge.retained import Wanted
from propchange.bridge.topics import Topics
from propchange.errors import DescriptionError
from propchange.upnp.description import DeviceDescription, ServiceDescription
from propchange.upnp.scpd import ServiceContents
from tests.bridge import described_services as described

TOPIC = "homeassistant/device/propchange_u/config"


class Output:
    """What the messages are given to: ``wanted`` has what should be retained, by topic."""

    def __init__(self) -> None:
        self.topics = Topics("home")
        self.wanted: dict[str, bytes] = {}
        self.posted: list[Any] = []
        self.sent: list[bytes] = []
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
        self.sent.append(payload)
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
        self.state = SimpleNamespace(
            udn="u",
            root_udn="u",
            service=remote.full_name,
            service_id=f"urn:test:serviceId:{remote.full_name}",
            sid="",
            status="active",
        )


def described_with(*names: str) -> DeviceDescription:
    """The description of a device with the services ``names``."""
    services = (
        ServiceDescription(f"urn:test:service:{name}:1", f"urn:test:serviceId:{name}", "", "", "")
        for name in names
    )
    return described.device(udn="uuid:u", services=tuple(services))


DEVICE = described_with("WeMo", "Link")
WEMO, LINK = described.WEMO, described.GATEWAY_LINK
BOTH = ["Link_EnabledForInternet", "Link_PhysicalLinkStatus"]
ALL = [*BOTH, "WeMo_BinaryState", "WeMo_CountdownEndTime"]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery_messages, "_READ_AGAIN", (0.0, 0.0, 0.0))


async def turns(number: int = 30) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


def begin(
    remotes: Iterable[Remote], *, forget_after: float = 0.0
) -> tuple[Output, DiscoveryMessages, list[Any]]:
    output: Any = Output()  # the part of it that is used
    messages = DiscoveryMessages(output, forget_after=forget_after)
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
        assert output.offered == ALL  # the device is there, or goes as a whole
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


def test_a_device_that_is_described_again_while_it_is_about_to_be_read_is_offered_whole() -> None:
    async def run() -> None:
        output, messages, services = begin([Remote("WeMo", WEMO), Remote("Link", LINK)])
        messages.changed(services[0])
        await turns()
        messages.changed(services[1])
        # Nothing else is heard of the service after this.
        services[1].found.service = Remote("Link", LINK)
        await turns()
        assert output.offered == ALL

    asyncio.run(run())


def test_a_service_description_is_read_again_as_soon_as_its_device_has_a_new_subscription(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(discovery_messages, "_READ_AGAIN", (0.0, 3600.0, 3600.0))

    async def run() -> None:
        link = Remote("Link", None)
        output, messages, services = begin([Remote("WeMo", WEMO), link])
        messages.found(services)
        await turns()
        messages.changed(services[1])  # the same subscription
        await turns()
        assert (output.offered, link.reads) == ([], 1)
        services[1].state.sid = "uuid:second"
        messages.changed(services[1])
        await turns()
        assert (output.offered, link.reads) == ([], 2)
        # The next subscription comes while the description is being read.
        services[1].state.sid = "uuid:third"
        link.gate.clear()
        messages.changed(services[1])
        await turns()
        services[1].state.sid = "uuid:fourth"
        messages.changed(services[1])
        link.gate.set()
        await turns(1)
        link.contents = LINK
        await turns()
        assert output.offered == ALL

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


def test_messages_that_remove_entities_are_known_whatever_comes_between_them() -> None:
    async def run() -> None:
        former, _ = await offer_both()
        output, messages, services = begin([Remote("WeMo", WEMO)])
        heard: list[bytes] = []
        output.retained.hear = lambda *all_: heard.append(all_[-1])
        messages.found(services)
        await turns()
        messages.hear(TOPIC, former, retained=True)
        messages._remove(TOPIC, former, b'{"components": {}}')
        assert len(output.sent) == 2
        messages.hear(TOPIC, b"of another client", retained=False)
        for payload in output.sent:
            messages.hear(TOPIC, payload, retained=False)
        assert heard == [former, b"of another client"]

    asyncio.run(run())


# --- devices that go, and come back ---

LONG = 3600.0


async def offer_and_take_away(
    forget_after: float,
) -> tuple[Output, DiscoveryMessages, list[Any]]:
    output, messages, services = begin(
        [Remote("WeMo", WEMO), Remote("Link", LINK)], forget_after=forget_after
    )
    messages.found(services)
    await turns()
    for service in services:
        service.state.status = "gone"
        messages.forgotten(service)
    return output, messages, services


def test_a_device_that_has_gone_is_offered_for_a_while_with_all_of_its_entities() -> None:
    async def run() -> None:
        output, messages, services = await offer_and_take_away(0.02)
        assert output.offered == ALL
        for service in services:
            messages.forgotten(service)  # it is not watched any more
        assert output.offered == ALL
        while output.wanted:
            await asyncio.sleep(0.01)
        assert output.posted == []

    asyncio.run(run())


def test_a_device_that_is_back_is_offered_as_before_and_not_taken_back_later() -> None:
    async def run() -> None:
        output, messages, services = await offer_and_take_away(0.02)
        for service in services:
            service.state.status = "active"
            messages.changed(service)
        await asyncio.sleep(0.05)
        assert output.offered == ALL
        # The same when the services of that time are not watched any more.
        for service in services:
            service.state.status = "gone"
            messages.forgotten(service)
        messages.found(
            [Bridged(Remote("WeMo", WEMO), DEVICE), Bridged(Remote("Link", LINK), DEVICE)]
        )
        await asyncio.sleep(0.05)
        assert output.offered == ALL
        assert output.posted == []

    asyncio.run(run())


def test_a_service_that_is_back_before_the_others_takes_no_entity_away() -> None:
    async def run() -> None:
        output, messages, services = await offer_and_take_away(0.0)
        assert output.wanted == {}
        for service in services:
            service.state.status = "active"
            messages.changed(service)
        await turns()
        assert output.offered == ALL
        for service in reversed(services):
            service.state.status = "gone"
        messages.forgotten(services[1])
        services[0].state.status = "active"
        messages.changed(services[0])
        assert output.offered == ALL
        services[1].state.status = "active"
        messages.changed(services[1])
        await turns()
        assert output.offered == ALL
        assert output.posted == []

    asyncio.run(run())


def test_a_service_that_has_gone_is_taken_back_when_its_device_is_back_without_it() -> None:
    async def run() -> None:
        output, messages, services = begin([Remote("WeMo", WEMO), Remote("Link", LINK)])
        messages.found(services)
        await turns()
        services[0].state.status = "gone"
        messages.forgotten(services[0])
        services[1].found.device.description = described_with("Link")
        messages.changed(services[1])
        await turns()
        assert output.offered == BOTH

    asyncio.run(run())


def test_a_device_that_is_back_without_a_service_is_offered_without_it() -> None:
    async def run() -> None:
        output, messages, _ = await offer_and_take_away(LONG)
        messages.found([Bridged(Remote("WeMo", WEMO), described_with("WeMo"))])
        await turns()
        assert output.offered == ["WeMo_BinaryState", "WeMo_CountdownEndTime"]

    asyncio.run(run())


def test_a_service_that_a_present_device_has_no_more_is_offered_no_more_at_once() -> None:
    async def run() -> None:
        output, messages, services = begin(
            [Remote("WeMo", WEMO), Remote("Link", LINK)], forget_after=LONG
        )
        messages.found(services)
        await turns()
        services[1].found.device.description = described_with("Link")
        services[0].state.status = "gone"
        messages.forgotten(services[0])
        assert output.offered == BOTH

    asyncio.run(run())


def test_what_a_former_run_has_offered_stays_for_a_while_if_its_device_is_not_found() -> None:
    async def run() -> None:
        former, _ = await offer_both()
        output, messages, _ = begin([], forget_after=0.02)
        messages.hear(TOPIC, former, retained=True)
        assert output.wanted == {TOPIC: former}
        while output.wanted:
            await asyncio.sleep(0.01)
        # A later connection does not begin it anew, and another bridge is not of interest.
        messages.hear(TOPIC, former, retained=True)
        assert output.wanted == {}
        output, messages, _ = begin([], forget_after=LONG)
        messages.hear(TOPIC, former.replace(b"bridge/home/", b"bridge/other/"), retained=True)
        assert output.wanted == {}

    asyncio.run(run())


def test_what_a_former_run_has_offered_is_not_taken_back_if_its_device_is_found() -> None:
    async def run() -> None:
        former, _ = await offer_both()
        output, messages, services = begin(
            [Remote("WeMo", WEMO), Remote("Link", LINK)], forget_after=0.02
        )
        messages.hear(TOPIC, former, retained=True)
        messages.found(services)
        await asyncio.sleep(0.05)
        assert output.wanted == {TOPIC: former}

    asyncio.run(run())


def test_devices_that_come_and_go_without_end_are_not_kept_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(discovery_messages, "_LEAVING", 1)

    async def run() -> None:
        output, _, _ = await offer_and_take_away(LONG)
        assert output.offered == BOTH  # the one that went first is offered no more

    asyncio.run(run())


# --- any order ---

ENTITIES = {"WeMo": set(ALL) - set(BOTH), "Link": set(BOTH)}
STEPS = st.one_of(
    st.tuples(st.sampled_from(["gone", "back", "renewed", "fails", "works"]), st.integers(0, 1)),
    st.tuples(st.just("described"), st.sampled_from(["WeMo Link", "WeMo", "Link"])),
    st.tuples(st.just("turns"), st.integers(1, 30)),
)


@given(st.lists(STEPS, max_size=25), st.sampled_from(["", "WeMo Link", "WeMo", "Link"]))
def test_at_a_rest_the_services_that_are_there_are_offered_and_no_others(
    steps: list[tuple[str, Any]], at_last: str
) -> None:
    contents = {"WeMo": WEMO, "Link": LINK}

    async def run() -> None:
        output, messages, services = begin([Remote(each, contents[each]) for each in contents])
        sids = itertools.count()

        def take(step: str, argument: Any) -> None:
            if step == "described":
                device = described_with(*argument.split())
                for each in services:
                    name = each.state.service
                    each.found.service = Remote(name, each.found.service.contents)
                    each.found.device = SimpleNamespace(description=device)
                for each in services:
                    if each.state.service not in argument:
                        each.state.status = "gone"
                        messages.forgotten(each)
                    elif each.state.status != "gone":
                        messages.changed(each)
                return
            service = services[argument]
            described_ = {each.service_id for each in service.found.device.description.services}
            if step == "gone":
                service.state.status = "gone"
                messages.forgotten(service)
            elif step in ("fails", "works"):
                right = contents[service.state.service]
                service.found.service.contents = right if step == "works" else None
            elif service.state.service_id in described_ and (
                step == "back" or service.state.status != "gone"
            ):
                service.state.status, service.state.sid = "active", f"uuid:{next(sids)}"
                messages.changed(service)

        messages.found(services)
        for step, argument in steps:
            if step == "turns":
                await turns(argument)
            else:
                take(step, argument)
        for number, each in enumerate(services):
            take("works", number)
            if at_last == "":
                take("gone", number)
            each.state.sid = ""
        if at_last:
            take("described", at_last)
            for number in range(len(services)):
                take("back", number)
        await turns()
        names = at_last.split()
        assert set(output.offered) == {each for name in names for each in ENTITIES[name]}
        assert bool(output.wanted) is bool(names)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(discovery_messages, "_READ_AGAIN", (0.0, 3600.0, 3600.0))
        asyncio.run(run())
