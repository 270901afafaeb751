"""Which addresses of this machine a hosted device uses, on each runtime. The interfaces are made
up; their addresses are those of loopback."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import ifaddr
import pytest

from propchange.core.limits import Limits
from propchange.core.local_addresses import InterfaceKind
from propchange.core.values.state_variables import StateVariable
from propchange.core.wire.messages import Endpoint
from propchange.driver import hosted_device
from propchange.driver.chosen_addresses import ChosenAddresses
from propchange.driver.machine import LOOK_AGAIN_SECONDS, Interfaces
from propchange.errors import ConnectionFailed
from propchange.upnp.device import Device
from propchange.upnp.service import Service
from tests.asyncio.conftest import ask, raw_subscriber
from tests.driver.test_machine import adapter
from tests.wire import Until

__all__ = ["raw_subscriber"]

GET = "GET /description.xml HTTP/1.1\nHOST: {host}"
SOON = Limits(link_seconds=0.01)
HOSTS = [f"127.0.0.{number}" for number in range(1, 10)]


class Lamp(Service, type="urn:example-org:service:Lamp:1"):
    lit = StateVariable("boolean")


class Here:
    """The interfaces of the machine, as a test sets them: addresses by name."""

    def __init__(self) -> None:
        self.now = 0.0
        self.set(lo=("127.0.0.1",), eth0=("127.0.0.2",), docker0=("127.0.0.3",))

    def set(self, **addresses: tuple[str, ...]) -> None:
        self._addresses = addresses

    def read(self) -> list[ifaddr.Adapter]:
        names = {name.replace("_", ":"): hosts for name, hosts in self._addresses.items()}
        indexes = {name: number for number, name in enumerate(names, 1)}
        return [
            adapter(name, indexes.get(name.partition(":")[0]), *((host, 32) for host in hosts))
            for name, hosts in names.items()
        ]

    def interfaces(self, **options: Any) -> Interfaces:
        return Interfaces(
            adapters=self.read,
            source_towards=lambda _: None,
            kind_of=lambda name, index: InterfaceKind.ORDINARY,
            **options,
        )


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    here = Here()
    monkeypatch.setattr(hosted_device, "Interfaces", here.interfaces)
    return here


@pytest.fixture
def hosting(driven: Any, here: Here) -> Callable[..., Any]:
    return partial(driven.host, Device("Ceiling", services=[Lamp()]), announce=False, limits=SOON)


def chosen(here: Here, *settings: Any, **named: Any) -> ChosenAddresses:
    interfaces = here.interfaces(clock=lambda: here.now)
    return ChosenAddresses(interfaces, *settings, **named)


def hosts_of(chosen: ChosenAddresses) -> set[str]:
    return {address.host for address in chosen.read()}


async def answers(hosted: Any, hosts: Iterable[str] = HOSTS) -> set[str]:
    """Those of ``hosts`` at which the description can be read."""
    there = set()
    for host in hosts:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            there.add(host if (await ask(hosted.port, GET, host=host)).status == 200 else "")
    return there


def urls(hosted: Any, *hosts: str) -> tuple[str, ...]:
    return tuple(f"http://{host}:{hosted.port}/description.xml" for host in hosts)


# --- all interfaces, or all but some ---


async def test_a_device_is_at_each_address_and_gives_a_url_for_each(
    hosting: Any, here: Here
) -> None:
    async with hosting() as hosted:
        expected = urls(hosted, "127.0.0.1", "127.0.0.2", "127.0.0.3")
        assert hosted.description_urls == expected
        assert hosted.description_url == expected[0]
        assert await answers(hosted) == set(HOSTS)


async def test_every_url_in_the_documents_is_relative_whatever_address_was_asked(
    hosting: Any, here: Here
) -> None:
    """So each of them leads to the address that was asked. No HOST gets into a document."""
    async with hosting() as hosted:
        documents = set()
        for host in HOSTS[:3]:
            for path in ("/description.xml", "/Lamp/scpd.xml"):
                got = await ask(hosted.port, f"GET {path} HTTP/1.1\nHOST: {{host}}", host=host)
                documents.add(got.body)
        assert len(documents) == 2
        assert not any(b"127.0.0." in document or b"URLBase" in document for document in documents)
        for target in ("/description.xml", "http://evil.example/description.xml"):
            for forged in ("evil.example", f"evil.example:{hosted.port}", "127.0.0.1:1"):
                refused = await ask(hosted.port, f"GET {target} HTTP/1.1\nHOST: {forged}")
                assert (refused.status, refused.body) == (400, b"")
                assert "evil" not in str(refused.fields)


async def test_a_connection_to_an_excluded_interface_is_closed_without_an_answer(
    hosting: Any, here: Here
) -> None:
    here.set(
        lo=("127.0.0.1",), eth0=("127.0.0.2",), docker0=("127.0.0.3",), docker0_1=("127.0.0.4",)
    )
    async with hosting(exclude=["docker0"]) as hosted:
        for host in ("127.0.0.3", "127.0.0.4"):
            reader, writer = await asyncio.open_connection(host, hosted.port)
            writer.write(f"GET /description.xml HTTP/1.1\r\nHOST: {host}\r\n\r\n".encode())
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
        assert await answers(hosted) >= {"127.0.0.1", "127.0.0.2"}
        assert hosted.description_urls == urls(hosted, "127.0.0.1", "127.0.0.2")


async def test_a_new_address_of_an_excluded_interface_is_excluded_too(
    hosting: Any, here: Here, caplog: pytest.LogCaptureFixture
) -> None:
    here.set(lo=("127.0.0.1",), eth0=("127.0.0.2",))
    async with hosting(exclude=["docker0"]) as hosted:
        assert "no such interface now; there are: eth0" in caplog.text
        await ask(hosted.port, GET)
        here.set(lo=("127.0.0.1",), eth0=("127.0.0.2",), docker0=("192.0.2.3", "127.0.0.3"))
        await asyncio.sleep(LOOK_AGAIN_SECONDS)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await ask(hosted.port, GET, host="127.0.0.3")


def test_an_alias_belongs_to_its_interface_and_has_a_name_of_its_own(here: Here) -> None:
    here.set(eth0=("10.0.0.1",), eth0_1=("10.0.0.2",), eth01=("10.0.0.3",))
    assert hosts_of(chosen(here, "eth0")) == {"10.0.0.1", "10.0.0.2"}
    assert hosts_of(chosen(here, "eth0:1")) == {"10.0.0.2"}
    assert hosts_of(chosen(here, "eth0", ["eth0:1"])) == {"10.0.0.1"}
    assert hosts_of(chosen(here, None, ["eth0"])) == {"10.0.0.3"}
    assert hosts_of(chosen(here, None, ["eth0:1"])) == {"10.0.0.1", "10.0.0.3"}


def test_an_address_is_chosen_in_any_form_with_or_without_its_zone(here: Here) -> None:
    here.set(eth0=("fe80::1", "10.0.0.1"), wlan0=("fe80::1",))
    assert [a.interface for a in chosen(here, "FE80:0::1").read()] == ["eth0", "wlan0"]
    assert [a.interface for a in chosen(here, "fe80::1%wlan0").read()] == ["wlan0"]
    assert [a.interface for a in chosen(here, "fe80::1%1").read()] == ["eth0"]
    assert hosts_of(chosen(here, "10.0.0.1")) == {"10.0.0.1"}
    assert hosts_of(chosen(here, "10.0.0.9")) == set()


def test_an_address_that_cannot_be_found_counts_as_excluded(here: Here) -> None:
    """It may be a new one of an excluded interface."""
    assert chosen(here, None, ["docker0"]).excludes(Endpoint("10.9.9.9", 80))
    assert not chosen(here, None, ["docker0"]).excludes(Endpoint("127.0.0.2", 80))
    assert not chosen(here).excludes(Endpoint("10.9.9.9", 80))


@pytest.mark.parametrize(
    ("settings", "error", "text"),
    [
        ({"exclude": "docker0"}, TypeError, "exclude is a list of names"),
        ({"interface": "eth0", "exclude": ["eth0"]}, ValueError, "both name eth0"),
        ({"interface": "eth0:1", "exclude": ["eth0"]}, ValueError, "both name eth0:1"),
    ],
)
def test_settings_that_contradict_each_other_are_refused_at_once(
    here: Here, settings: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        chosen(here, **settings)


@pytest.mark.parametrize("name", ["eth9", "eth0.100", "eth0:9", "localhost"])
async def test_an_interface_that_does_not_exist_is_told_with_those_that_do(
    hosting: Any, here: Here, name: str
) -> None:
    with pytest.raises(ConnectionFailed, match=rf"there is no interface '{name}'.*docker0, eth0"):
        await hosting(interface=name).__aenter__()


# --- one interface ---


async def test_an_interface_means_all_its_addresses_with_one_port(
    hosting: Any, here: Here, raw_subscriber: Any
) -> None:
    here.set(lo=("127.0.0.1",), eth0=("127.0.0.2", "127.0.0.3"), eth0_1=("127.0.0.4", "::1"))
    async with hosting(interface="eth0") as hosted:
        assert await answers(hosted) == {"127.0.0.2", "127.0.0.3", "127.0.0.4"}
        assert (await ask(hosted.port, GET, host="::1")).status == 200
        assert hosted.description_urls == urls(
            hosted, "127.0.0.2", "127.0.0.3", "127.0.0.4", "[::1]"
        )
        async with raw_subscriber("::1") as subscriber:
            assert (await subscriber.subscribe(hosted.port, "/Lamp/event")).status == 200
            assert await subscriber.event() == (0, {"Lit": "0"})


async def test_an_address_that_comes_or_goes_gets_or_loses_its_listener(
    hosting: Any, here: Here, until: Until
) -> None:
    here.set(eth0=("127.0.0.2",))
    async with hosting(interface="eth0") as hosted:
        port = hosted.port
        assert await answers(hosted) == {"127.0.0.2"}
        here.set(eth0=("127.0.0.2", "127.0.0.3", "::1"))
        await until(lambda: len(hosted.description_urls) == 3)
        assert await answers(hosted) == {"127.0.0.2", "127.0.0.3"}
        here.set(eth0=("127.0.0.3",))
        await until(lambda: hosted.description_urls == urls(hosted, "127.0.0.3"))
        assert await answers(hosted) == {"127.0.0.3"}
        here.set(lo=("127.0.0.1",))
        while await answers(hosted):
            await asyncio.sleep(0.01)
        assert hosted.description_urls == urls(hosted, "127.0.0.3")  # where it was
        here.set(eth0=("127.0.0.4",))
        await until(lambda: hosted.description_urls == urls(hosted, "127.0.0.4"))
        assert hosted.port == port
        assert await answers(hosted) == {"127.0.0.4"}


async def test_a_device_waits_for_the_first_address_of_its_interface_and_says_so(
    hosting: Any,
    here: Here,
    caplog: pytest.LogCaptureFixture,
    until: Until,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here.set(lo=("127.0.0.1",))
    monkeypatch.setattr(socket, "if_nameindex", lambda: [(2, "eth0")])
    hosted = hosting(interface="eth0")
    entering = asyncio.ensure_future(hosted.__aenter__())
    await until(lambda: "the device waits for an address of eth0" in caplog.text)
    await asyncio.sleep(0.05)
    assert not entering.done()
    assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == 1
    here.set(lo=("127.0.0.1",), eth0=("127.0.0.2",))
    await entering
    assert await answers(hosted) == {"127.0.0.2"}
    await hosted.close()


async def test_a_device_that_waits_for_an_address_can_be_cancelled(
    driven: Any, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    lamp = Lamp()
    here.set(lo=("127.0.0.1",))
    monkeypatch.setattr(socket, "if_nameindex", lambda: [(2, "eth0")])
    device = Device("Ceiling", services=[lamp])
    hosted = driven.host(device, interface="eth0", limits=SOON)
    entering = asyncio.ensure_future(hosted.__aenter__())
    while not lamp.hosted:
        await asyncio.sleep(0)
    await asyncio.sleep(0.02)
    entering.cancel()
    await asyncio.wait([entering])
    assert not lamp.hosted
    async with driven.host(device, interface="127.0.0.1") as hosted:
        assert await answers(hosted) == {"127.0.0.1"}


async def test_a_port_that_another_program_has_on_one_address_is_told(
    hosting: Any, here: Here, caplog: pytest.LogCaptureFixture, until: Until
) -> None:
    with socket.create_server(("127.0.0.3", 0)) as taken:
        port = taken.getsockname()[1]
        here.set(eth0=("127.0.0.2", "127.0.0.3"))
        with pytest.raises(ConnectionFailed, match=f"eth0: port {port} is taken"):
            await hosting(interface="eth0", port=port).__aenter__()
        # At the start any other port will do. Later the port stays, and the others go on.
        here.set(eth0=("127.0.0.2",))
        async with hosting(interface="eth0", port=port) as hosted:
            here.set(eth0=("127.0.0.2", "127.0.0.3", "127.0.0.4"))
            await until(lambda: f"127.0.0.3: port {port} is taken" in caplog.text)
            await until(lambda: len(hosted.description_urls) == 2)
            others = {"127.0.0.2", "127.0.0.4"}
            assert await answers(hosted, others) == others
            taken.close()
            await until(lambda: len(hosted.description_urls) == 3)
            assert await answers(hosted) == {"127.0.0.2", "127.0.0.3", "127.0.0.4"}


async def test_any_free_port_is_free_on_each_address(
    hosting: Any, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The port that the system gives for the first address is taken on the second one."""
    here.set(eth0=("127.0.0.2", "127.0.0.3"))
    taken: list[socket.socket] = []
    create = socket.create_server

    def create_server(address: Any, **options: Any) -> socket.socket:
        made = create(address, **options)
        if len(taken) < 3 and address[:2] == ("127.0.0.2", 0):
            taken.append(create(("127.0.0.3", made.getsockname()[1])))
        return made

    monkeypatch.setattr(socket, "create_server", create_server)
    async with hosting(interface="eth0") as hosted:
        assert await answers(hosted) == {"127.0.0.2", "127.0.0.3"}
        assert len(taken) == 3
        assert hosted.port not in [each.getsockname()[1] for each in taken]
    for each in taken:
        each.close()


async def test_an_interface_with_many_addresses_takes_a_bounded_number_of_sockets(
    hosting: Any, here: Here, caplog: pytest.LogCaptureFixture
) -> None:
    here.set(eth0=tuple(HOSTS))
    async with hosting(interface="eth0", limits=Limits(listening_addresses=4)) as hosted:
        assert await answers(hosted) == set(HOSTS[:4])
    assert "eth0 has 9 addresses: the device listens on 4 of them" in caplog.text


async def test_addresses_that_cannot_be_read_for_a_while_change_nothing(
    hosting: Any, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.set(eth0=("127.0.0.2",))

    def fail() -> Any:
        raise OSError(24, "Too many open files")

    async with hosting(interface="eth0") as hosted:
        here.read = fail  # type: ignore[method-assign] # what the interfaces call
        await asyncio.sleep(0.1)
        assert await answers(hosted) == {"127.0.0.2"}


async def test_an_address_that_is_not_usable_yet_is_tried_again_and_delays_no_other(
    hosting: Any, here: Here, until: Until
) -> None:
    """Such as one of IPv6 while the system looks whether another machine has it."""
    here.set(eth0=("192.0.2.77", "fe80::77", "127.0.0.2"))
    async with hosting(interface="eth0") as hosted:
        assert hosted.description_urls == urls(hosted, "127.0.0.2")
        here.set(eth0=("192.0.2.77", "127.0.0.3"))
        await until(lambda: hosted.description_urls == urls(hosted, "127.0.0.3"))


@pytest.mark.slow
async def test_an_interface_that_flaps_takes_no_more_sockets_and_lines_than_one_that_stays(
    hosting: Any, here: Here, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "propchange.http")
    here.set(eth0=("127.0.0.2",))
    limits = Limits(link_seconds=0.01, log_lines=5)
    async with hosting(interface="eth0", limits=limits) as hosted:
        for _ in range(40):
            for addresses in (("127.0.0.2", "127.0.0.3"), ("127.0.0.2",)):
                here.set(eth0=addresses)
                await asyncio.sleep(0.015)
        while await answers(hosted) != {"127.0.0.2"}:
            await asyncio.sleep(0.05)
    changes = [r for r in caplog.records if "127.0.0.3" in r.getMessage()]
    assert 0 < len(changes) <= 2 * limits.log_lines
