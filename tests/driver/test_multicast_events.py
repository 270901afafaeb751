"""A hosted device sends multicast events over loopback, and a control point receives them."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.local_addresses import LocalAddress
from propchange.core.multicast.message import (
    Datagram,
    MulticastMessage,
    MulticastScope,
    read_multicast,
)
from propchange.core.multicast.publication import MulticastPolicy
from propchange.core.multicast.reception import MulticastEvent, MulticastMissed, NotBelieved
from propchange.core.multicast.verification import MulticastFilter
from propchange.core.publisher.judge import PublisherPolicy
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.values.state_variables import StateVariable
from propchange.core.wire.propertyset import format_propertyset, parse_propertyset
from propchange.driver.chosen_addresses import ChosenAddresses
from propchange.driver.control_point import SubscriberDriver
from propchange.driver.host import DeviceHost
from propchange.driver.machine import Interfaces, Machine
from propchange.driver.multicast_receiving import (
    MulticastStream,
    wanted_of_device,
    wanted_of_service,
)
from propchange.driver.multicast_sockets import joined_socket, sending_socket
from propchange.driver.remote import DescribedDevice, DescribedService
from propchange.errors import ConnectionFailed, DescriptionError
from propchange.http.datagrams import encode_datagram, parse_datagram
from propchange.upnp.device import Device, place_device
from propchange.upnp.service import Service
from propchange.upnp.ssdp import Announcement, announced_targets
from tests.asyncio.conftest import raw_subscriber
from tests.driver.test_multicast_sending import LOOPBACK
from tests.multicast import own_port

__all__ = ["own_port", "raw_subscriber"]

pytestmark = pytest.mark.usefixtures("own_port")


class Door(Service, type="urn:example.org:service:Door:1"):
    bell = StateVariable("ui4", multicast=True, level="upnp:/info")
    jammed = StateVariable("boolean", multicast=True, level="upnp:/fault")
    note = StateVariable("string")


class Plain(Service, type="urn:example-org:service:Plain:1"):
    note = StateVariable("string")


class Group:
    """What the group is sent on loopback, of one device."""

    def __init__(self, udn: str) -> None:
        self.udn = udn
        self.texts: list[bytes] = []
        self._socket = joined_socket(MulticastScope.IPV4.group, LOOPBACK)

    async def event(self) -> tuple[str, str, int, str, dict[str, str]]:
        """USN, SVCID, SEQ, LVL and the variables of the next datagram."""
        loop = asyncio.get_running_loop()
        while True:
            data = await loop.sock_recv(self._socket, 65_536)
            if self.udn.encode() in data:
                break
        self.texts.append(data)
        message = read_multicast(parse_datagram(data, DEFAULT_LIMITS))
        changes = dict(parse_propertyset(message.body, DEFAULT_LIMITS))
        return message.usn, message.svcid, message.seq, message.level, changes

    async def silent(self) -> bool:
        try:
            async with asyncio.timeout(0.3):
                await self.event()
        except TimeoutError:
            return True
        return False

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def group(own_port: int) -> Any:
    group = Group(f"uuid:{uuid.uuid4()}")
    yield group
    group.close()


def hosting(
    runtime: Any,
    udn: str,
    *services: Service,
    uda: str = "1.1",
    interfaces: Interfaces | None = None,
    **options: Any,
) -> Any:
    return DeviceHost(
        runtime,
        place_device(Device("Porch", services=services), udn),
        policy=PublisherPolicy(uda=uda),
        limits=DEFAULT_LIMITS,
        chosen=ChosenAddresses(interfaces or Interfaces(), "127.0.0.1"),
        **options,
    )


@pytest.mark.slow
@pytest.mark.clause("SCPD-04", "MC-01", "MC-02")
async def test_a_change_leaves_by_multicast_and_by_unicast(
    driven: Any, group: Group, raw_subscriber: Any
) -> None:
    door = Door()
    host = hosting(driven.runtime, group.udn, door, boot_id=lambda: 4711)
    async with raw_subscriber() as subscriber:
        await driven.run(host.open(0))
        await subscriber.subscribe(host.port, "/Door/event")
        assert await subscriber.event() == (0, {"Bell": "0", "Jammed": "0", "Note": ""})
        door.bell = 1
        door.note = "not on the air"
        door.jammed = True
        usn = f"{group.udn}::urn:example-org:service:Door:1"
        name = "urn:example.org:serviceId:Door"
        assert await group.event() == (usn, name, 0, "upnp:/info", {"Bell": "1"})
        assert await group.event() == (usn, name, 1, "upnp:/fault", {"Jammed": "1"})
        assert await subscriber.event() == (1, {"Bell": "1"})
        assert await subscriber.event() == (2, {"Note": "not on the air"})
        assert await subscriber.event() == (3, {"Jammed": "1"})
        host_line = f"\r\nHOST: {MulticastScope.IPV4.group}\r\n"
        assert host_line.encode() in group.texts[0]
        assert b"\r\nBOOTID.UPNP.ORG: 4711\r\n" in group.texts[0]
        await driven.run(host.close())
    door.bell = 2
    assert await group.silent()


@pytest.mark.slow
@pytest.mark.clause("MC-15")
async def test_each_message_is_sent_again_as_often_as_the_policy_says(
    driven: Any, group: Group
) -> None:
    door = Door()
    policy = MulticastPolicy(retransmissions=2, interval=0.05)
    host = hosting(driven.runtime, group.udn, door, multicast=policy)
    await driven.run(host.open(0))
    door.bell = 1
    assert await driven.run(host.publication.drained())
    await driven.run(host.close())
    for _ in range(3):
        await group.event()
    assert len(set(group.texts)) == 1
    assert await group.silent()


@pytest.mark.slow
@pytest.mark.clause("MC-01")
async def test_a_device_of_uda_1_0_sends_none_and_opens_no_socket(
    driven: Any, group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    for services, uda in (([Door()], "1.0"), ([Plain()], "1.1")):
        host = hosting(driven.runtime, group.udn, *services, uda=uda)
        await driven.run(host.open(0))
        assert host.publication._multicast is None
        services[0]["Note" if uda == "1.1" else "Bell"] = "1" if uda == "1.1" else 1
        assert await driven.run(host.publication.drained())
        await driven.run(host.close())
    assert await group.silent()


async def test_an_assignment_does_not_notice_that_a_network_takes_no_datagram(
    driven: Any, group: Group, raw_subscriber: Any, caplog: pytest.LogCaptureFixture
) -> None:
    door = Door()
    host = hosting(driven.runtime, group.udn, door)
    async with raw_subscriber() as subscriber:
        await driven.run(host.open(0))
        await subscriber.subscribe(host.port, "/Door/event")
        await subscriber.event()
        sending = host.publication._multicast
        for place, (address, sock) in sending.places.sockets.items():
            sock.close()
            sending.places.sockets[place] = (address, Refusing())
        for bell in range(1, 4):
            door.bell = bell
            assert await subscriber.event() == (bell, {"Bell": str(bell)})
        await driven.run(host.close())
    lines = [line for line in caplog.messages if "multicast" in line]
    assert len(lines) == 1


class Refusing:
    """A socket of a network that is unreachable."""

    def sendto(self, data: bytes, to: Any) -> None:
        raise OSError(101, "Network is unreachable")

    def close(self) -> None:
        pass


async def test_a_value_too_large_for_a_datagram_goes_to_the_subscribers_and_is_told(
    driven: Any, group: Group, caplog: pytest.LogCaptureFixture
) -> None:
    class Loud(Service, type="urn:example-org:service:Loud:1"):
        text = StateVariable("string", multicast=True)

    loud = Loud()
    host = hosting(driven.runtime, group.udn, loud)
    await driven.run(host.open(0))
    loud.text = "x" * 1500
    loud.text = "short"
    assert (await group.event())[2:] == (0, "upnp:/general", {"Text": "short"})
    await driven.run(host.close())
    (line,) = caplog.messages
    assert "a value of Text goes to the subscribers alone" in line


async def test_a_device_on_one_address_sends_by_that_interface_alone(driven: Any) -> None:
    other = LocalAddress("10.0.0.5", 0, LOOPBACK.network, "eth7", 7)
    interfaces: Any = Interfaces()
    interfaces.refresh = lambda: (LOOPBACK, other)
    udn = f"uuid:{uuid.uuid4()}"
    host = hosting(driven.runtime, udn, Door(), interfaces=interfaces)
    await driven.run(host.open(0))
    assert [place.interface for place in host.publication._multicast.places.sockets] == ["lo"]
    await driven.run(host.close())


# --- a control point ---


class Stream(MulticastStream):
    """What a program gets."""

    def __init__(self, driver: Any, *, wanted: MulticastFilter, services: Any = None) -> None:
        super().__init__(driver, partial(RemoteDevice, driver), wanted, services)
        self.items: list[MulticastEvent | MulticastMissed] = []
        self.ended = 0

    def _receive(self, item: MulticastEvent | MulticastMissed, /) -> None:
        self.items.append(item)

    def _end(self) -> None:
        self.ended += 1

    @property
    def changes(self) -> list[dict[str, object]]:
        return [dict(item.changes) for item in self.items if isinstance(item, MulticastEvent)]


class RemoteService(DescribedService):
    pass


class RemoteDevice(DescribedDevice[RemoteService]):
    _service_type = RemoteService


class Porch:
    """A hosted door and a control point, both on loopback. :meth:`announce` gives the control point
    the announcements of the device."""

    def __init__(self, driven: Any, **options: Any) -> None:
        self.driven = driven
        self.udn = f"uuid:{uuid.uuid4()}"
        self.door = Door()
        self.boot_id = 4711
        self.options = options
        self.devices: list[RemoteDevice] = []

    async def __aenter__(self) -> Porch:
        run, options = self.driven.run, dict(self.options)
        runtime = self.driven.runtime
        self.host = hosting(
            runtime, self.udn, self.door, Plain(), boot_id=lambda: self.boot_id, **options
        )
        await run(self.host.open(0))
        self.driver = SubscriberDriver(
            runtime,
            SubscriberPolicy(),
            limits=replace(DEFAULT_LIMITS, multicast_hold_seconds=0.5),
            interfaces=Interfaces(),
            machine=Machine(),
        )
        await run(self.driver.open("127.0.0.1", (0,)))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.driven.run(self.driver.close())
        await self.driven.run(self.host.close())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.host.port}/description.xml"

    def announce(self, boot_id: int | None = None) -> None:
        announcement = Announcement(
            location=self.url, server="x/1 UPnP/1.1 y/1", boot_id=boot_id or self.boot_id
        )
        for target in announced_targets(self.host._placed):
            message = announcement.alive(target).encode()
            self.driver.discovery.receive(message, "127.0.0.1", "127.0.0.1")

    async def device(self) -> RemoteDevice:
        make = RemoteDevice
        device: RemoteDevice = await self.driven.run(self.driver.device(make, self.url, None, None))
        self.devices.append(device)  # the program has it
        return device

    async def listen(self, wanted: MulticastFilter, services: Any = None) -> Stream:
        stream = Stream(self.driver, wanted=wanted, services=services)
        await self.driven.run(self.driver.multicast.open(stream))
        return stream

    @property
    def all_of_it(self) -> MulticastFilter:
        """Of all devices, but none of another test that runs at the same time."""
        return MulticastFilter(devices=frozenset({self.udn}))


@pytest.fixture
def porch(driven: Any) -> Any:
    return partial(Porch, driven)


async def until(condition: Any) -> None:
    async with asyncio.timeout(15):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.clause("MC-12", "MC-18", "MC-23")
async def test_the_events_of_a_described_device_are_received_with_typed_values(porch: Any) -> None:
    async with porch() as home:
        home.announce()
        device = await home.device()
        stream = await home.listen(wanted_of_device(device, None), device.services)
        home.door.bell = 1
        home.door.jammed = True
        await until(lambda: len(stream.items) == 2)
        bell, jammed = stream.items
        assert (bell.level, bell.seq, bell.changes) == ("upnp:/info", 0, {"Bell": 1})
        assert (jammed.level, jammed.seq, jammed.changes) == ("upnp:/fault", 1, {"Jammed": True})
        assert bell.service is device["Door"]
        home.driver.multicast.close(stream)
        home.driver.multicast.close(stream)
        assert (stream.ended, home.driver.multicast.places.sockets) == (1, {})
        home.door.bell = 2
        await asyncio.sleep(0.1)
        assert len(stream.items) == 2


@pytest.mark.clause("MC-23")
async def test_a_device_is_described_when_its_first_event_arrives(porch: Any) -> None:
    async with porch() as home:
        home.announce()
        wanted = MulticastFilter(devices=frozenset({home.udn}), levels=frozenset({"upnp:/fault"}))
        stream = await home.listen(wanted)
        home.door.bell = 1  # another level
        home.door.jammed = True
        home.door.jammed = False
        await until(lambda: len(stream.items) == 2)
        assert stream.changes == [{"Jammed": True}, {"Jammed": False}]
        service = stream.items[0].service
        assert (service.name, service.device.udn) == ("Door", home.udn)
        later = await home.listen(home.all_of_it)
        home.door.bell = 2
        await until(lambda: later.items)
        assert later.changes == [{"Bell": 2}]
        assert len(stream.items) == 2


async def test_an_event_of_a_device_that_announces_itself_a_little_later_is_received(
    porch: Any,
) -> None:
    async with porch() as home:
        home.driver.discovery._activate()
        stream = await home.listen(home.all_of_it)
        home.door.bell = 1
        await asyncio.sleep(0.1)
        assert stream.items == []
        home.announce()
        await until(lambda: stream.items)
        assert stream.changes == [{"Bell": 1}]


@pytest.mark.clause("MC-23")
async def test_a_device_that_restarts_is_believed_after_its_announcement(porch: Any) -> None:
    async with porch() as home:
        home.announce()
        device = await home.device()
        stream = await home.listen(wanted_of_device(device, None), device.services)
        home.door.bell = 1
        await until(lambda: len(stream.items) == 1)
        home.boot_id += 1
        home.door.bell = 2
        await asyncio.sleep(0.1)
        assert len(stream.items) == 1
        home.announce()
        await until(lambda: len(stream.items) == 2)
        assert stream.changes == [{"Bell": 1}, {"Bell": 2}]


@pytest.mark.clause("MC-16", "MC-22")
async def test_a_repetition_is_dropped_and_a_gap_is_told(porch: Any) -> None:
    policy = MulticastPolicy(retransmissions=2, interval=0.02)
    async with porch(multicast=policy) as home:
        home.announce()
        device = await home.device()
        stream = await home.listen(wanted_of_device(device, "upnp:/info"), device.services)
        home.door.bell = 1
        await home.driven.run(home.host.publication.drained())
        await until(lambda: len(stream.items) == 1)
        home.host.publication.protocol._services["/Door/event"].multicast.seq += 3
        home.door.bell = 2
        await until(lambda: len(stream.items) == 3)
        await asyncio.sleep(0.1)
        _, missed, last = stream.items
        assert isinstance(missed, MulticastMissed)
        assert (missed.count, missed.seq, missed.service) == (3, 4, device["Door"])
        assert last.changes == {"Bell": 2}


async def test_a_subscription_and_a_stream_of_multicast_events_do_not_mix(
    porch: Any, raw_subscriber: Any
) -> None:
    async with porch() as home:
        home.announce()
        device = await home.device()
        stream = await home.listen(wanted_of_service(device["Door"], None), [device["Door"]])
        async with raw_subscriber() as subscriber:
            await subscriber.subscribe(home.host.port, "/Door/event")
            assert (await subscriber.event())[0] == 0
            home.door.bell = 1
            assert await subscriber.event() == (1, {"Bell": "1"})
            await until(lambda: stream.items)
        assert stream.changes == [{"Bell": 1}]


@pytest.mark.clause("MC-23")
async def test_a_service_without_multicast_variables_is_told_in_words(porch: Any) -> None:
    async with porch() as home:
        home.announce()
        device = await home.device()
        plain = device["Plain"]
        with pytest.raises(DescriptionError, match=r"Plain of 'Porch'.*: no variable is multicast"):
            await home.listen(wanted_of_service(plain, None), [plain])
        assert home.driver.multicast.places.sockets == {}


async def test_a_service_description_that_cannot_be_read_is_told(porch: Any) -> None:
    async with porch() as home:
        home.announce()
        device = await home.device()
        await home.driven.run(home.host.close())
        with pytest.raises(ConnectionFailed):
            await home.listen(wanted_of_device(device, None), device.services)


async def test_multicast_events_need_discovery(porch: Any) -> None:
    async with porch() as home:
        with pytest.raises(RuntimeError, match="this needs discovery"):
            await home.listen(home.all_of_it)


async def test_the_end_of_the_control_point_ends_the_streams(porch: Any) -> None:
    async with porch() as home:
        home.announce()
        stream = await home.listen(home.all_of_it)
        assert list(home.driver.multicast.places.sockets)
        await home.driven.run(home.driver.close())
        assert (stream.ended, home.driver.multicast.places.sockets) == (1, {})


async def test_a_stream_that_begins_while_the_control_point_ends_opens_no_socket(
    porch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with porch() as home:
        home.announce()
        device = await home.device()
        reading = home.driven.runtime.future()

        async def read_slowly(*_: object) -> Any:
            return await reading

        monkeypatch.setattr(device["Door"], "_read_variables", read_slowly)
        variables = {"Bell": Door.bell}
        stream = Stream(home.driver, wanted=home.all_of_it, services=[device["Door"]])
        opening = asyncio.ensure_future(home.driven.run(home.driver.multicast.open(stream)))
        await asyncio.sleep(0.05)
        await home.driven.run(home.driver.close())
        reading.set_result(variables)
        with pytest.raises(RuntimeError, match="the control point was closed"):
            await opening
        assert home.driver.multicast.places.sockets == {}


@pytest.mark.slow
@pytest.mark.clause("MC-23")
async def test_forged_events_change_nothing_and_are_told_once(
    porch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Each is wrong in one thing."""
    async with porch() as home:
        home.announce()
        device = await home.device()
        stream = await home.listen(wanted_of_device(device, None), device.services)
        usn, name = f"{home.udn}::urn:example-org:service:Door:1", "urn:example.org:serviceId:Door"
        right = MulticastMessage(usn, name, 5, "upnp:/info", 4711, properties(Bell="99"))
        forged = [
            replace(right, usn=f"uuid:{uuid.uuid4()}::urn:example-org:service:Door:1"),
            replace(right, svcid="urn:example.org:serviceId:Window"),
            replace(right, boot_id=1),
            replace(right, body=properties(Note="not multicast")),
            replace(right, body=b"<what/>"),
        ]
        group = MulticastScope.IPV4.group[:2]
        with sending_socket(LOOPBACK) as forger, sending_socket(STRANGER) as stranger:
            for message in forged * 3:
                forger.sendto(wire(message), group)
            forger.sendto(b"no HTTP", group)
            stranger.sendto(wire(right), group)
            await asyncio.sleep(0.8)
            assert stream.items == []
            home.door.bell = 1
            await until(lambda: stream.items)
        assert stream.changes == [{"Bell": 1}]
        told = [line for line in caplog.messages if "is not believed" in line]
        assert len(told) == len(set(told))
        assert {line.partition(": ")[2].partition(" (")[0] for line in told} == {
            reason.value
            for reason in NotBelieved
            if reason
            not in (NotBelieved.UNKNOWN_SERVICE, NotBelieved.OUT_OF_STEP, NotBelieved.TOO_MANY)
        }


STRANGER = LOOPBACK._replace(host="127.0.0.66")


def properties(**changes: str) -> bytes:
    return format_propertyset(changes.items())


def wire(message: MulticastMessage) -> bytes:
    return encode_datagram(Datagram(message, MulticastScope.IPV4))
