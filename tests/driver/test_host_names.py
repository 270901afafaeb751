"""Names of hosts: looked up beside the loop, remembered, and judged by their addresses."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.subscriber.requests import Failure
from propchange.core.wire.messages import Endpoint
from propchange.driver.remote import Documents
from propchange.driver.requests import failure_of
from propchange.errors import ConnectionFailed, DescriptionError
from tests.driver.test_requests import OK, answering, fetch, redirect

NAME = "device.lan"
LIMITS = {"lookup_seconds": 0.05, "connect_seconds": 0.2}


class Resolver:
    """A resolver. ``addresses`` is its answer for each name; None: it is silent until the test
    ends. An exception is raised."""

    def __init__(self) -> None:
        self.addresses: Any = ["127.0.0.1"]
        self.asked: list[str] = []
        self.over = threading.Event()

    def __call__(self, host: str, port: Any, *args: Any, **options: Any) -> list[Any]:
        self.asked.append(host)
        answer = self.addresses
        if answer is None:
            self.over.wait(20)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        if isinstance(answer, Exception):
            raise answer
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, 0)) for each in answer]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    resolver, real = Resolver(), socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **options: Any) -> Any:
        mine = isinstance(host, str) and host.endswith(".lan")
        return resolver(host, *args, **options) if mine else real(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield resolver
    resolver.over.set()


async def test_a_device_with_a_name_is_reached_while_the_resolver_is_silent(
    driven: Any, wire: Any, resolver: Resolver
) -> None:
    requests = driven.requests(**LIMITS)
    async with answering(wire, OK, OK, OK) as (port, _):
        url = f"http://{NAME}:{port}/"
        assert (await driven.run(requests.fetch(url))).response.status == 200
        for broken in (None, socket.gaierror(socket.EAI_NONAME, "Name or service not known")):
            resolver.addresses = broken
            assert (await driven.run(requests.fetch(url))).response.status == 200
            resolver.over.set()
            await asyncio.sleep(0.05)
    assert len(resolver.asked) == 3


async def test_of_several_addresses_the_one_that_worked_is_remembered_first(
    driven: Any, wire: Any, resolver: Resolver
) -> None:
    requests = driven.requests(**LIMITS)
    resolver.addresses = ["127.0.0.9", "127.0.0.1"]
    async with answering(wire, OK, OK) as (port, _):
        url = f"http://{NAME}:{port}/"
        await driven.run(requests.fetch(url))
        resolver.addresses = None
        answer = await driven.run(requests.fetch(url))
        assert answer.peer.host == "127.0.0.1"
        again = await driven.run(requests.names.addresses(Endpoint(NAME, 80), 1.0))
        assert [each.host for each in again] == ["127.0.0.1", "127.0.0.9"]


async def test_the_reason_names_the_resolver(driven: Any, resolver: Resolver) -> None:
    resolver.addresses = None
    requests = driven.requests(**LIMITS)
    with pytest.raises(
        ConnectionFailed, match=r"the resolver did not answer within 0\.2 s"
    ) as found:
        await driven.run(requests.fetch(f"http://{NAME}/"))
    assert f"the name {NAME} cannot be resolved" in str(found.value)
    assert failure_of(found.value) is Failure.SILENCE
    resolver.addresses = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    with pytest.raises(ConnectionFailed, match="Name or service not known"):
        await driven.run(requests.fetch("http://another.lan/"))
    resolver.addresses = UnicodeError("label too long")
    with pytest.raises(ConnectionFailed, match="label too long"):
        await driven.run(requests.fetch("http://third.lan/"))


async def test_a_silent_resolver_takes_a_bounded_number_of_threads(
    driven: Any, resolver: Resolver
) -> None:
    resolver.addresses = None
    requests = driven.requests(lookups=3, **LIMITS)
    before = threading.active_count()

    async def ask(number: int) -> str:
        with pytest.raises(ConnectionFailed) as failed:
            await requests.fetch(f"http://n{number % 8}.lan/")
        return str(failed.value)

    tasks = [requests.runtime.start(ask(number)) for number in range(24)]
    await asyncio.sleep(0.05)
    assert threading.active_count() - before <= 3
    errors = [await driven.run(_result(task)) for task in tasks]
    assert len(resolver.asked) == 3
    assert sum("too many names" in error for error in errors) == 15


async def _result(task: Any) -> Any:
    return await task


async def test_few_names_are_remembered(driven: Any, resolver: Resolver) -> None:
    requests = driven.requests(known_names=2, **LIMITS)
    for number in range(3):
        await driven.run(requests.names.addresses(Endpoint(f"n{number}.lan", 80), 1.0))
    resolver.addresses = socket.gaierror(socket.EAI_AGAIN, "try again")
    await driven.run(requests.names.addresses(Endpoint("n2.lan", 80), 1.0))
    with pytest.raises(socket.gaierror):
        await driven.run(requests.names.addresses(Endpoint("n0.lan", 80), 1.0))


async def test_closing_does_not_wait_for_a_silent_resolver(driven: Any, resolver: Resolver) -> None:
    resolver.addresses = None
    requests = driven.requests()
    task = requests.runtime.start(fetching(requests))
    await asyncio.sleep(0.02)
    await driven.run(requests.close())
    assert "closed" in await driven.run(_result(task))


async def fetching(requests: Any) -> str:
    with pytest.raises(ConnectionFailed) as failed:
        await requests.fetch(f"http://{NAME}/")
    return str(failed.value)


# --- what a URL of a description may lead to ---

DEVICE = Endpoint("192.0.2.1", 80)


@pytest.mark.parametrize("to", ["127.0.0.1", "0.0.0.0", "127.9.9.9"])
async def test_a_name_in_a_description_is_judged_by_the_address_that_it_has_now(
    driven: Any, wire: Any, resolver: Resolver, to: str
) -> None:
    door = wire.listen()
    resolver.addresses = [to]
    with pytest.raises(DescriptionError, match=f"{NAME}:{door.port} is not asked: it leads to"):
        await fetch(driven, f"http://{NAME}:{door.port}/", giver=DEVICE)
    door.sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        door.sock.accept()


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "localhost", "[::ffff:7f00:1]"])
async def test_no_way_to_write_an_address_leads_to_loopback(
    driven: Any, wire: Any, host: str
) -> None:
    door = wire.listen()
    with pytest.raises((DescriptionError, ConnectionFailed)):
        await fetch(driven, f"http://{host}:{door.port}/", giver=DEVICE)
    door.sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        door.sock.accept()


async def test_a_relayed_announcement_leads_anywhere_but_to_this_machine(
    driven: Any, wire: Any, resolver: Resolver
) -> None:
    door = wire.listen()
    documents = Documents(driven.requests(**LIMITS), SubscriberPolicy())
    url = f"http://{NAME}:{door.port}/d.xml"
    with pytest.raises(DescriptionError, match="this machine itself"):
        await driven.run(documents.relayed_description(url))
    door.sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        door.sock.accept()
    resolver.addresses = ["192.0.2.99"]
    with pytest.raises(ConnectionFailed, match="no connection to"):
        await driven.run(documents.relayed_description(url))


async def test_a_device_on_this_machine_may_name_any_of_its_addresses(
    driven: Any, wire: Any, resolver: Resolver
) -> None:
    async with answering(wire, redirect(b"http://localhost:PORT/b"), OK) as (port, _):
        giver = Endpoint("127.0.0.1", 1)
        answer = await fetch(driven, f"http://{NAME}:{port}/", giver=giver)
        assert answer.response.status == 200
