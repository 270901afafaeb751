"""A hosted device sends multicast events over loopback."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.local_addresses import LocalAddress
from propchange.core.multicast.message import MulticastScope, read_multicast
from propchange.core.multicast.publication import MulticastPolicy
from propchange.core.publisher.judge import PublisherPolicy
from propchange.core.values.state_variables import StateVariable
from propchange.core.wire.propertyset import parse_propertyset
from propchange.driver.chosen_addresses import ChosenAddresses
from propchange.driver.host import DeviceHost
from propchange.driver.machine import Interfaces
from propchange.driver.multicast_sockets import joined_socket
from propchange.http.datagrams import parse_datagram
from propchange.upnp.device import Device, place_device
from propchange.upnp.service import Service
from tests.asyncio.conftest import raw_subscriber
from tests.driver.test_multicast_sending import LOOPBACK

__all__ = ["raw_subscriber"]


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
            if self.udn.encode() in data:  # other processes run these tests at the same time
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
def group() -> Any:
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
        assert b"\r\nHOST: 239.255.255.246:7900\r\n" in group.texts[0]
        assert b"\r\nBOOTID.UPNP.ORG: 4711\r\n" in group.texts[0]
        await driven.run(host.close())
    door.bell = 2
    assert await group.silent()


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
        for place, (address, sock) in sending._sockets.items():
            sock.close()
            sending._sockets[place] = (address, Refusing())
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
    assert [name for name, _, _ in host.publication._multicast.places] == ["lo"]
    await driven.run(host.close())
