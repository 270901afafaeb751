"""A device that announces itself over sockets. It says what it says on each runtime."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import ifaddr
import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.local_addresses import InterfaceKind, LocalAddress
from propchange.core.wire.messages import Endpoint
from propchange.driver import announced_addresses, carriers
from propchange.driver.announcing import AnnouncementPolicy
from propchange.driver.boot_id import BootId
from propchange.upnp.device import Device
from propchange.upnp.ssdp import IPV4_GROUP, group_of
from tests.driver.announced_device import (
    ALIVE,
    BYEBYE,
    LOOPBACK,
    RESPONSE,
    UPDATE,
    Clock,
    adapter,
    announced,
)


@pytest.mark.slow
@pytest.mark.clause("NLS-01", "NLS-02")
async def test_each_target_is_announced_with_the_address_of_the_link(
    driven: Any, tmp_path: Path
) -> None:
    async with announced(driven, tmp_path) as device:
        device.announcing.start()
        said = await device.neighbour.many(12, ALIVE)
        assert [each.target for each in said[:4]] == [
            "upnp:rootdevice",
            device.udn,
            "urn:schemas-upnp-org:device:Basic:1",
            "urn:example-org:service:Clock:2",
        ]
        assert [each.target for each in said] == [each.target for each in said[:4]] * 3
        assert {each.location for each in said} == {"http://127.0.0.1:8123/description.xml"}
        assert {(each.max_age, each.config_id) for each in said} == {(1800.0, 77)}
        assert {each.nls for each in said} == {str(said[0].boot_id)}
    assert device.announcing.addresses == ()


@pytest.mark.clause("SEC-01")
@pytest.mark.parametrize("uda", ["1.1", "2.0"])
async def test_a_secure_location_is_announced_if_the_program_has_one(
    driven: Any, tmp_path: Path, uda: str
) -> None:
    secure = "https://127.0.0.1:8443/description.xml"
    async with announced(driven, tmp_path, uda=uda, secure_location=secure) as device:
        device.announcing.start()
        said, _ = await device.neighbour.next(ALIVE)
        assert said.secure_location == (secure if uda == "2.0" else None)


@pytest.mark.slow
async def test_a_search_is_answered_to_its_sender_from_the_address_of_the_link(
    driven: Any, tmp_path: Path
) -> None:
    async with announced(driven, tmp_path) as device:
        device.announcing.start()
        device.neighbour.search("urn:example-org:service:Clock:1")
        said, source = await device.neighbour.next(RESPONSE)
        assert said.target == "urn:example-org:service:Clock:1"
        assert said.location == "http://127.0.0.1:8123/description.xml"
        assert source.host == "127.0.0.1"
        device.neighbour.own.sendto(b"junk", (IPV4_GROUP.host, IPV4_GROUP.port))
        device.neighbour.search(device.udn.upper())
        said, _ = await device.neighbour.next(RESPONSE)
        assert said.target == device.udn.upper()


@pytest.mark.slow
async def test_a_unicast_search_is_answered_at_port_1900_or_at_the_port_that_is_announced(
    driven: Any, tmp_path: Path
) -> None:
    """Two devices of one machine: the second one cannot have port 1900."""
    async with (
        announced(driven, tmp_path) as first,
        announced(driven, tmp_path) as second,
    ):
        first.announcing.start()
        second.announcing.start()
        for device in (first, second):
            said, source = await device.neighbour.next(ALIVE)
            port = said.search_port or 1900
            assert port == 1900 or 49_152 <= port <= 65_535
            assert source == Endpoint("127.0.0.1", port)
            device.neighbour.search("ssdp:all", ("127.0.0.1", port))
            answers = await device.neighbour.many(4, RESPONSE)
            assert {each.search_port for each in answers} == {said.search_port}
        assert said.search_port is not None


@pytest.mark.slow
@pytest.mark.clause("CP-13", "NLS-02")
async def test_a_new_address_raises_bootid_and_is_announced(driven: Any, tmp_path: Path) -> None:
    async with announced(driven, tmp_path) as device:
        device.announcing.start()
        first = (await device.neighbour.many(12, ALIVE))[0]
        device.adapters.append(adapter("eth1", "127.0.7.1"))
        device.announcing.look()
        update, _ = await device.neighbour.next(UPDATE, ALIVE)
        assert (update.kind, update.boot_id) == (UPDATE, first.boot_id)
        assert update.nls != first.nls
        said = await device.neighbour.many(8, ALIVE)
        assert {each.boot_id for each in said} == {update.next_boot_id}
        assert {each.location for each in said} == {
            "http://127.0.0.1:8123/description.xml",
            "http://127.0.7.1:8123/description.xml",
        }
        device.adapters.pop()
        device.announcing.look()
        gone, source = await device.neighbour.next(BYEBYE)
        assert (source.host, gone.boot_id) == ("127.0.7.1", update.next_boot_id)
        assert [each.host for each in device.announcing.addresses] == ["127.0.0.1"]


async def test_a_look_after_the_end_opens_no_socket(driven: Any, tmp_path: Path) -> None:
    async with announced(driven, tmp_path) as device:
        device.announcing.start()
        await driven.run(device.announcing.close())
        device.announcing.look()
        assert device.announcing.addresses == ()


@pytest.mark.slow
async def test_the_addresses_are_read_again_every_second(driven: Any, tmp_path: Path) -> None:
    async with announced(driven, tmp_path) as device:
        device.adapters[:] = [None]
        device.announcing.start()
        assert device.announcing.addresses == ()
        device.adapters[:] = [adapter("eth0", "127.0.0.1")]
        await device.neighbour.next(ALIVE)


@pytest.mark.slow
async def test_a_device_is_announced_again_when_a_carrier_is_back(
    driven: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running: set[str] = set()
    monkeypatch.setattr(carriers, "has_carrier", running.intersection)
    async with announced(driven, tmp_path) as device:
        device.announcing.start()
        first = (await device.neighbour.many(12, ALIVE))[0]
        device.announcing.look()
        running |= {each.interface for each in device.announcing.addresses}
        device.announcing.look()
        again = await device.neighbour.many(12, ALIVE)
        assert {each.boot_id for each in again} == {first.boot_id}


@pytest.mark.slow
async def test_a_carrier_that_comes_before_the_second_look_at_the_addresses_is_noticed(
    driven: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running: set[str] = set()
    monkeypatch.setattr(carriers, "has_carrier", running.intersection)
    async with announced(driven, tmp_path) as device:
        device.announcing.start()
        await device.neighbour.many(1, ALIVE)
        running |= {each.interface for each in device.announcing.addresses}
        device.announcing.look()
        async with asyncio.timeout(20):
            await device.neighbour.many(12, ALIVE)  # 3 sets of 4 targets, after the first message


@pytest.mark.slow
async def test_a_device_is_announced_where_another_program_has_the_port_for_itself(
    driven: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a port for unicast searches; those to the group are answered once the port is free."""

    def refuse(*_: object) -> socket.socket:
        raise OSError(errno.EADDRINUSE, "the port is taken")

    join = announced_addresses.joined_socket
    async with announced(driven, tmp_path) as device:
        monkeypatch.setattr(announced_addresses, "joined_socket", refuse)
        device.announcing.start()
        await device.neighbour.many(12, ALIVE)
        for _ in range(20):
            device.announcing.look()
        assert caplog.text.count("are not answered: ") == 1
        monkeypatch.setattr(announced_addresses, "joined_socket", join)
        device.announcing.look()
        device.neighbour.search("upnp:rootdevice")
        await device.neighbour.next(RESPONSE)


async def test_a_device_that_leaves_says_goodbye_twice(driven: Any, tmp_path: Path) -> None:
    async with announced(driven, tmp_path) as device:
        device.announcing.start()
        await device.neighbour.many(4, ALIVE)
        closing = driven.runtime.start(device.announcing.close())
        said = await device.neighbour.many(8, BYEBYE)
        assert len({each.target for each in said}) == 4
        while not closing.done():
            await asyncio.sleep(0.01)


async def test_a_device_that_is_cancelled_says_goodbye_at_once(driven: Any, tmp_path: Path) -> None:
    async with announced(driven, tmp_path) as device:
        device.announcing.start()
        await device.neighbour.many(4, ALIVE)
        closing = driven.runtime.start(device.announcing.close())
        closing.add_done_callback(lambda failure: None)
        await asyncio.sleep(0)
        closing.cancel()
        said = await device.neighbour.many(4, BYEBYE)
        assert len({each.target for each in said}) >= 3


async def test_a_crash_is_followed_by_a_goodbye(driven: Any, tmp_path: Path) -> None:
    async with announced(driven, tmp_path) as device:
        crashed = BootId(device.udn, tmp_path)
        crashed.begin()
        assert crashed._lock is not None
        os.close(crashed._lock)
        device.announcing.start()
        said, _ = await device.neighbour.next(ALIVE, BYEBYE)
        assert said.kind is BYEBYE
        assert said.boot_id is not None
        assert said.boot_id > crashed.current


@pytest.mark.clause("V6-10")
def test_a_group_is_sent_to_from_an_address_of_its_scope() -> None:
    def group(host: str, scope: int = 0) -> str:
        network = ip_network(f"{host}/64", strict=False) if ":" in host else LOOPBACK.network
        return str(group_of(LocalAddress(host, scope, network, "eth0", 2)))

    assert group("192.168.1.5") == "239.255.255.250:1900"
    assert group("fe80::5", 2) == "[FF02::C]:1900"
    assert group("fd00::5") == group("2001:db8::5") == "[FF05::C]:1900"


async def test_loopback_is_no_network(driven: Any, tmp_path: Path) -> None:
    async with announced(driven, tmp_path) as device:
        device.kind = InterfaceKind.LOOPBACK
        device.announcing.start()
        assert device.announcing.addresses == ()


@pytest.mark.parametrize(
    "options", [{"interface": "127.0.0.1"}, {"interface": "lo"}, {"announce": False}]
)
async def test_a_device_on_loopback_alone_or_without_announce_opens_no_socket_and_writes_no_file(
    driven: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: Any
) -> None:
    opened: list[object] = []
    monkeypatch.setattr(announced_addresses, "joined_socket", opened.append)
    monkeypatch.setattr(announced_addresses, "sending_socket", opened.append)
    folder = tmp_path / "state"
    device = Device("Wall", services=[Clock()])
    async with driven.host(device, state_directory=folder, **options):
        await asyncio.sleep(0.01)
    assert (opened, folder.exists()) == ([], False)


@pytest.mark.parametrize("options", [{"max_age": 1}, {"secure_location": "ftp://x/"}])
async def test_a_hosted_device_refuses_what_cannot_be_announced(driven: Any, options: Any) -> None:
    with pytest.raises(ValueError, match=r"max_age|secure_location"):
        driven.host(Device("Wall"), **options)


async def test_an_address_that_cannot_be_used_is_said_once_and_tried_again(
    driven: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: Any
) -> None:
    async with announced(driven, tmp_path) as device:
        device.adapters.append(adapter("gone0", "192.0.2.77", index=9))
        device.announcing.start()
        for _ in range(10):
            assert [each.host for each in device.announcing.addresses] == ["127.0.0.1"]
            device.announcing.look()
        assert caplog.text.count("not announced on 192.0.2.77 (gone0)") == 1
        monkeypatch.setattr(announced_addresses, "joined_socket", lambda *_: bound())
        monkeypatch.setattr(announced_addresses, "sending_socket", lambda *_, **__: bound())
        device.announcing.look()
        assert [each.host for each in device.announcing.addresses] == ["127.0.0.1", "192.0.2.77"]


def bound() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind(("127.0.0.1", 0))
    return sock


async def test_of_many_addresses_as_many_are_used_as_the_cap_allows_and_they_stay(
    driven: Any, tmp_path: Path
) -> None:
    async with announced(driven, tmp_path) as device:
        device.adapters[:] = [adapter(f"eth{n}", f"127.1.{n}.1") for n in range(100)]
        device.announcing.start()
        used = device.announcing.addresses
        assert len(used) == DEFAULT_LIMITS.announced_addresses
        device.adapters.insert(0, adapter("eth500", "127.2.0.1"))
        device.announcing.look()
        assert device.announcing.addresses == used


async def test_two_addresses_of_one_network_are_announced_once(driven: Any, tmp_path: Path) -> None:
    async with announced(driven, tmp_path) as device:
        device.adapters[:] = [adapter("eth0", "127.0.0.1", "127.0.0.9", "127.0.7.1")]
        device.announcing.start()
        assert [each.host for each in device.announcing.addresses] == ["127.0.0.1", "127.0.7.1"]


async def test_an_alias_of_an_interface_in_the_same_network_is_not_announced_too(
    driven: Any, tmp_path: Path
) -> None:
    async with announced(driven, tmp_path) as device:
        device.adapters[:] = [
            adapter("eth0", "127.0.0.1", index=1),
            adapter("eth0:1", "127.0.0.9", index=1),
        ]
        device.announcing.start()
        assert [each.host for each in device.announcing.addresses] == ["127.0.0.1"]


async def test_of_two_addresses_of_one_network_the_one_that_lasts_is_announced(
    driven: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announced_addresses, "joined_socket", lambda *_: bound())
    monkeypatch.setattr(announced_addresses, "sending_socket", lambda *_, **__: bound())
    monkeypatch.setattr(announced_addresses, "temporary_addresses", lambda: {"fd77::77"})
    async with announced(driven, tmp_path) as device:
        device.adapters[:] = [
            ifaddr.Adapter(
                "eth0",
                "eth0",
                [ifaddr.IP((host, 0, 0), 64, "eth0") for host in ("fd77::77", "fd77::1")],
                1,
            )
        ]
        device.announcing.start()
        assert [each.host for each in device.announcing.addresses] == ["fd77::1"]


async def test_a_socket_that_no_loop_can_read_is_closed(
    driven: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recwarn: pytest.WarningsRecorder,
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("this loop reads no sockets")

    async with announced(driven, tmp_path) as device:
        monkeypatch.setattr(driven.runtime, "datagrams", refuse)
        device.announcing.start()
        assert device.announcing.addresses == ()
    assert not recwarn.list


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"max_age": 4}, "max_age is at least 5 s, not 4"),
        ({"secure_location": "http://127.0.0.1/"}, "secure_location is an https URL"),
    ],
)
def test_what_cannot_be_announced_is_refused(values: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        AnnouncementPolicy(**values)


async def test_a_device_without_a_network_is_closed_without_a_goodbye(
    driven: Any, tmp_path: Path
) -> None:
    async with announced(driven, tmp_path) as device:
        device.adapters.clear()
        device.announcing.start()
        assert device.announcing.addresses == ()
        await driven.run(device.announcing.close())
        await driven.run(device.announcing.close())
        assert device.announcing.boot_id > 0


async def test_an_interface_for_containers_takes_no_place_of_a_network(
    driven: Any, tmp_path: Path
) -> None:
    async with announced(driven, tmp_path) as device:
        device.kind = InterfaceKind.VIRTUAL
        device.adapters[:] = [adapter(f"veth{n}", f"127.1.{n}.1") for n in range(70)]
        device.announcing.start()
        assert len(device.announcing.addresses) == DEFAULT_LIMITS.announced_addresses
        device.kinds = {"eth0": InterfaceKind.ORDINARY}
        device.adapters.append(adapter("eth0", "127.0.0.1"))
        device.announcing.look()
        assert len(device.announcing.addresses) == DEFAULT_LIMITS.announced_addresses
        assert "127.0.0.1" in [each.host for each in device.announcing.addresses]
