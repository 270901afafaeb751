"""AiohttpNotifyServer of the drop-in for async_upnp_client, over loopback, and the register."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from async_upnp_client.const import HttpRequest
from async_upnp_client.exceptions import UpnpServerOSError

from propchange.driver.machine import kind_of
from propchange.dropin.async_upnp_client import (
    AiohttpNotifyServer,
    UpnpEventHandler,
    UpnpEventHandlerRegister,
    notify_server,
)
from propchange.dropin.async_upnp_client.event_handler import SETTINGS
from tests.dropin.library_device import LibraryDevice, propertyset, service_of
from tests.wire import Until


@contextlib.asynccontextmanager
async def serving(
    *source: Any, callback_url: str | None = None, device: LibraryDevice | None = None
) -> AsyncIterator[AiohttpNotifyServer]:
    server = AiohttpNotifyServer(
        requester=device or LibraryDevice(),
        source=source or ("127.0.0.1", 0),  # type: ignore[arg-type] - of two or four
        callback_url=callback_url,
        loop=asyncio.get_running_loop(),
    )
    await server.async_start_server()
    try:
        yield server
    finally:
        await server.async_stop_server()


async def send(
    server: AiohttpNotifyServer,
    sid: str = "uuid:1",
    *,
    method: str = "NOTIFY",
    path: str = "/notify",
    host: str | None = None,
    seq: int = 0,
    body: str | None = None,
    headers: str = "",
) -> int:
    reader, writer = await asyncio.open_connection(server.listen_host, server.listen_port)
    authority = host or server.callback_url.split("/")[2]
    text = propertyset(LastChange=f"text {seq}") if body is None else body
    writer.write(
        (
            f"{method} {path} HTTP/1.1\r\nHOST: {authority}\r\nNT: upnp:event\r\n"
            f"NTS: upnp:propchange\r\nSID: {sid}\r\nSEQ: {seq}\r\n{headers}"
            f"CONTENT-LENGTH: {len(text.encode())}\r\n\r\n{text}"
        ).encode()
    )
    status = int((await reader.readline()).split()[1])
    writer.close()
    await writer.wait_closed()
    return status


async def subscribe(
    handler: UpnpEventHandler, device: LibraryDevice, events: list[Any]
) -> tuple[str, Any]:
    service = await service_of(device)
    service.on_event = lambda _, variables: events.append([each.value for each in variables])
    sid, _ = await handler.async_subscribe(service)
    return sid, service


async def test_an_event_comes_to_the_one_url_of_the_server(until: Until) -> None:
    device, events = LibraryDevice(), []
    async with serving(device=device) as server:
        assert server.listen_host == str(server.listen_ip) == "127.0.0.1"
        assert server.callback_url == f"http://127.0.0.1:{server.listen_port}/notify"
        first, one = await subscribe(server.event_handler, device, events)
        second, other = await subscribe(server.event_handler, device, events)
        callbacks = {each.headers["CALLBACK"] for each in device.sent("SUBSCRIBE")}
        assert callbacks == {f"<{server.callback_url}>"}
        assert await send(server, first) == 200
        assert await send(server, second) == 200
        await until(lambda: events == [["text 0"], ["text 0"]])
        assert one is not other


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"method": "GET"}, 405),
        ({"method": "POST"}, 405),
        ({"sid": "uuid:other"}, 412),
        ({"body": "no XML"}, 400),
        ({"host": "rebinding.example"}, 400),
        ({"headers": "ORIGIN: http://page.example\r\n"}, 403),
        ({}, 200),
    ],
)
async def test_a_request_is_judged_as_by_our_own_listener(
    changes: dict[str, Any], status: int
) -> None:
    device, events = LibraryDevice(), []
    async with serving(device=device) as server:
        sid, _service = await subscribe(server.event_handler, device, events)
        assert await send(server, **{"sid": sid, **changes}) == status


@pytest.mark.parametrize(
    ("address", "host"),
    [("127.0.0.1", "127.0.0.1"), ("127.0.0.1", "127.0.0.1:80"), ("::1", "[::1]")],
)
async def test_host_may_be_the_address_without_its_port(address: str, host: str) -> None:
    """Some devices leave out the port. The library does not read HOST."""
    device, events = LibraryDevice(), []
    async with serving(address, 0, device=device) as server:
        sid, _service = await subscribe(server.event_handler, device, events)
        assert await send(server, sid, host=host) == 200
        assert await send(server, sid, seq=1, host="page.example") == 400


async def test_a_message_above_the_cap_is_refused_before_it_is_read() -> None:
    async with serving() as server:
        reader, writer = await asyncio.open_connection(server.listen_host, server.listen_port)
        writer.write(
            b"NOTIFY /notify HTTP/1.1\r\nHOST: 127.0.0.1\r\nCONTENT-LENGTH: 9999999999\r\n\r\n"
        )
        assert int((await reader.readline()).split()[1]) == 413
        writer.close()


@pytest.mark.parametrize("path", ["/", "/notify", "/upnp/events?x=1"])
@pytest.mark.parametrize("host", ["proxy.example:8091", None])
async def test_behind_a_proxy_any_path_and_the_host_of_either_side_is_right(
    path: str, host: str | None, until: Until
) -> None:
    device, events = LibraryDevice(), []
    async with serving(callback_url="http://proxy.example:8091/", device=device) as server:
        assert server.callback_url == "http://proxy.example:8091/"
        sid, _service = await subscribe(server.event_handler, device, events)
        assert device.requests[0].headers["CALLBACK"] == "<http://proxy.example:8091/>"
        host = host or f"127.0.0.1:{server.listen_port}"
        assert await send(server, sid, path=path, host=host) == 200
        await until(lambda: events)


async def test_no_file_of_sys_is_read_in_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    kind_of.cache_clear()
    read: list[str] = []
    text_of = Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda path, *more: read.append(str(path)) or text_of(path, *more)
    )
    device = LibraryDevice()
    service = await service_of(device)
    async with serving(device=device) as server:
        await server.event_handler.async_subscribe(service)
        server.event_handler._opened().addresses.read()
    assert not [each for each in read if each.startswith("/sys")]


async def test_further_hosts_are_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SETTINGS, "hosts", frozenset({"homeassistant.local"}))
    device, events = LibraryDevice(), []
    async with serving(device=device) as server:
        sid, _service = await subscribe(server.event_handler, device, events)
        assert await send(server, sid, host="homeassistant.local:8123") == 200


async def test_a_server_on_all_addresses_advertises_the_one_towards_the_device() -> None:
    device, events = LibraryDevice(), []
    async with serving("0.0.0.0", 0, device=device) as server:
        service = await service_of(device)
        service.device.device_info = service.device.device_info._replace(
            url="http://127.0.0.1:1400/device.xml"
        )
        await server.event_handler.async_subscribe(service)
        callback = device.requests[0].headers["CALLBACK"]
        assert callback == f"<http://127.0.0.1:{server.listen_port}/notify>"
        assert await send(server, path="/notify", host=f"127.0.0.1:{server.listen_port}") == 200
        assert events == []


@pytest.mark.parametrize("override", [None, "http://1.2.3.4:8091/"])
async def test_an_event_can_be_passed_to_the_handler_of_a_server_that_does_not_listen(
    override: str | None,
) -> None:
    """As the tests of programs do, with headers and a URL of their own."""
    device, events = LibraryDevice(), []
    server = AiohttpNotifyServer(device, ("192.168.1.2", 8090), override)
    sid, _service = await subscribe(server.event_handler, device, events)
    callback = override or "http://192.168.1.2:8090/notify"
    assert device.requests[0].headers["CALLBACK"] == f"<{callback}>"
    fields = {"NT": "upnp:event", "NTS": "upnp:propchange", "SID": sid}
    url = "http://dlna_dmr:1234/upnp/event/RenderingControl1"
    request = HttpRequest("NOTIFY", url, fields, propertyset(LastChange="a"))
    assert await server.event_handler.handle_notify(request) == 200
    assert events == [["a"]]
    await server.async_stop_server()


def free_on_both(port: int) -> bool:
    try:
        for host in ("127.0.0.1", "127.0.0.2"):
            socket.create_server((host, port)).close()
    except OSError:
        return False
    return True


async def test_a_server_whose_address_is_gone_is_reached_at_another(
    monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    device, events = LibraryDevice(), []
    # Below the ports that the system gives to others.
    port = next(filter(free_on_both, range(20_000 + os.getpid() % 10_000, 32_000)))
    async with serving("127.0.0.2", port, device=device) as server:
        monkeypatch.setattr(type(server.listen_ip), "is_loopback", property(lambda _: False))
        monkeypatch.setattr(notify_server, "has_address", lambda _: False)
        service = await service_of(device)
        info = service.device.device_info
        service.device.device_info = info._replace(url="http://127.0.0.1:1400/device.xml")
        service.on_event = lambda _, variables: events.append(variables)
        sid, _ = await server.event_handler.async_subscribe(service)
        callback = device.requests[0].headers["CALLBACK"]
        assert callback == f"<http://127.0.0.1:{server.listen_port}/notify>"
        server._source = ("127.0.0.1", server.listen_port)
        assert await send(server, sid) == 200
        await until(lambda: events)


async def test_a_taken_port_is_the_error_of_the_library() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = AiohttpNotifyServer(LibraryDevice(), ("127.0.0.1", taken.getsockname()[1]))
        with pytest.raises(UpnpServerOSError) as raised:
            await server.async_start_server()
    assert raised.value.errno == errno.EADDRINUSE
    assert raised.value.strerror
    await server.async_stop_server()


async def test_an_ipv6_address_has_brackets_in_the_url() -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    async with serving("::1", 0, 0, 0) as server:
        assert server.callback_url == f"http://[::1]:{server.listen_port}/notify"
        assert server._source == ("::1", server.listen_port, 0, 0)


async def test_stopping_unsubscribes_and_a_server_can_start_again(until: Until) -> None:
    device, events = LibraryDevice(), []
    server = AiohttpNotifyServer(device, ("127.0.0.1", 0))
    for number in (1, 2):
        await server.async_start_server()
        sid, _service = await subscribe(server.event_handler, device, events)
        assert device.sent("SUBSCRIBE")[-1].headers["CALLBACK"] == f"<{server.callback_url}>"
        assert await send(server, sid) == 200
        await until(lambda: len(events) == number)  # noqa: B023 - it is awaited in this round
        await server.async_stop_server()
        assert len(device.sent("UNSUBSCRIBE")) == number
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", server.listen_port)


async def test_a_second_handler_of_a_server_has_its_events_too(until: Until) -> None:
    device, events = LibraryDevice(), []
    async with serving(device=device) as server:
        sid, _service = await subscribe(server.event_handler, device, [])
        second = UpnpEventHandler(server, device)

        async def send_first(request: Any) -> Any:
            assert await send(server, "uuid:early") == 200
            answer = device.grant(request)
            return type(answer)(200, {**answer.headers, "sid": "uuid:early"}, "")

        device.answers["SUBSCRIBE"] = [send_first]
        early, _other = await subscribe(second, device, events)
        assert early == "uuid:early"
        assert events == [["text 0"]]
        assert await send(server, early, seq=1) == 200
        await until(lambda: len(events) == 2)
        assert await send(server, sid) == 200


# --- the register ---


@pytest.fixture
def local_ip(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The address of this machine that leads to each device."""
    found = ["127.0.0.1"]
    monkeypatch.setattr("async_upnp_client.event_handler.get_local_ip", lambda _: found[0])
    return found


async def test_devices_at_one_address_share_a_handler_also_if_added_at_once(
    local_ip: list[str],
) -> None:
    requester = LibraryDevice()
    register = UpnpEventHandlerRegister(requester, AiohttpNotifyServer)
    devices = [(await service_of(requester)).device for _ in range(3)]
    handlers = await asyncio.gather(*map(register.async_add_device, devices[:2]))
    assert handlers[0] is handlers[1]
    assert register.has_event_handler_for_device(devices[1])
    assert not register.has_event_handler_for_device(devices[2])  # it was not added yet
    local_ip[0] = "127.0.0.2"
    assert not register.has_event_handler_for_device(devices[1])
    other = await register.async_add_device(devices[2])
    assert other is not handlers[0]
    assert other.callback_url.startswith("http://127.0.0.2:")
    assert await register.async_remove_device(devices[2]) is other
    local_ip[0] = "127.0.0.1"
    assert await register.async_remove_device(devices[0]) is None
    assert await register.async_remove_device(devices[1]) is handlers[0]
    assert not register.has_event_handler_for_device(devices[0])


async def test_the_address_to_listen_on_may_be_a_name() -> None:
    async with serving("localhost", 0) as server:
        assert server.listen_ip.is_loopback
        assert server.callback_url.startswith(("http://127.0.0.1:", "http://[::1]:"))
        assert await send(server) == 412


async def test_a_name_without_an_address_is_an_error_of_the_server() -> None:
    server = AiohttpNotifyServer(LibraryDevice(), ("no-such-host.invalid", 0))
    with pytest.raises(UpnpServerOSError):
        await server.async_start_server()


async def test_an_event_whose_seq_is_no_number_is_taken(until: Until) -> None:
    """The library reads no SEQ: a device that sends any other text there works with it."""
    device, events = LibraryDevice(), []
    async with serving(device=device) as server:
        sid, _service = await subscribe(server.event_handler, device, events)
        assert await send(server, sid, seq=-1) == 200
        await until(lambda: events)


async def test_a_handler_of_the_register_gets_the_events_of_its_server(
    local_ip: list[str], until: Until
) -> None:
    requester, events = LibraryDevice(), []
    register = UpnpEventHandlerRegister(requester, AiohttpNotifyServer)
    device = (await service_of(requester)).device
    handler = await register.async_add_device(device)
    sid, _service = await subscribe(handler, requester, events)
    server: Any = handler._notify_server
    assert await send(server, sid) == 200
    await until(lambda: events)
    await register.async_remove_device(device)
