"""A program on async_upnp_client with the drop-in, and a device over loopback that restarts, moves
and says goodbye. The program passes SSDP on by receive_ssdp, an addition of the drop-in."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from async_upnp_client.aiohttp import AiohttpRequester
from async_upnp_client.client_factory import UpnpFactory
from async_upnp_client.exceptions import UpnpConnectionError

from propchange import Device, Service, StateVariable, host
from propchange.driver.discovery import Discovery
from propchange.driver.links import Links
from propchange.driver.machine import free_port
from propchange.dropin.async_upnp_client import AiohttpNotifyServer
from propchange.dropin.async_upnp_client.event_handler import SETTINGS
from tests.wire import Until

TYPE = "urn:example-org:service:Thermometer:1"


class Thermometer(Service, type=TYPE):
    temperature = StateVariable("r4", initial=20.0)


class Program:
    """A service of async_upnp_client, whose events are kept."""

    def __init__(self, server: AiohttpNotifyServer, service: Any) -> None:
        self.server = server
        self.handler = server.event_handler
        self.service = service
        self.values: list[float | None] = []  # None: a loss
        service.on_event = self.on_event

    def on_event(self, _: object, variables: Any) -> None:
        self.values += [each.value for each in variables] or [None]

    def hear(self, udn: str, nts: str, url: str, bootid: int) -> None:
        """The program's own SSDP has heard an advertisement."""
        self.handler.receive_ssdp(
            {
                "NT": "upnp:rootdevice",
                "NTS": nts,
                "USN": f"{udn}::upnp:rootdevice",
                "LOCATION": url,
                "CACHE-CONTROL": "max-age=1800",
                "BOOTID.UPNP.ORG": str(bootid),
                "HOST": "239.255.255.250:1900",
            },
            "127.0.0.1",
            "127.0.0.1",
        )


class House:
    """A device that can be switched on and off."""

    def __init__(self) -> None:
        self.udn = f"uuid:{uuid.uuid4()}"
        self.hosts = contextlib.AsyncExitStack()
        self.url = ""

    async def switch_on(self, port: int, temperature: float) -> Thermometer:
        thermometer = Thermometer()
        thermometer.temperature = temperature
        device = Device("Workbench", services=[thermometer], udn=self.udn)
        hosted = await self.hosts.enter_async_context(
            host(device, interface="127.0.0.1", port=port, announce=False)
        )
        self.url = hosted.description_url
        return thermometer

    async def switch_off(self) -> None:
        await self.hosts.aclose()


@contextlib.asynccontextmanager
async def watching(house: House) -> AsyncIterator[Program]:
    requester = AiohttpRequester()
    device = await UpnpFactory(requester).async_create_device(house.url)
    server = AiohttpNotifyServer(requester, ("127.0.0.1", 0))
    await server.async_start_server()
    try:
        yield Program(server, device.service(TYPE))
    finally:
        await server.async_stop_server()


@pytest.mark.parametrize("moves", [False, True], ids=["at the same port", "at another port"])
async def test_after_a_restart_of_the_device_its_events_come_to_the_unchanged_program(
    moves: bool, until: Until
) -> None:
    house = House()
    port = free_port("127.0.0.1")
    await house.switch_on(port, 20.0)
    async with watching(house) as program:
        sid, _ = await program.handler.async_subscribe(program.service)
        await until(lambda: program.values == [20.0])
        program.hear(house.udn, "ssdp:alive", house.url, 1)
        await house.switch_off()
        program.service.device.available = False
        thermometer = await house.switch_on(free_port("127.0.0.1") if moves else port, 5.0)
        program.hear(house.udn, "ssdp:alive", house.url, 2)
        await until(lambda: 5.0 in program.values)
        thermometer.temperature = 6.0
        await until(lambda: program.values[-1] == 6.0)
        assert program.values == [20.0, None, 5.0, 6.0]
        assert program.service.device.available
        # Its actions and renewals go to the device where it is now.
        assert program.service.device.device_url == house.url
        assert program.service.event_sub_url.startswith(house.url.rpartition("/")[0])
        assert program.handler.service_for_sid(sid) is program.service
        assert (await program.handler.async_resubscribe(sid))[0] == sid
        await house.switch_off()


@pytest.mark.slow
async def test_after_a_goodbye_the_program_is_told_and_the_return_brings_the_state(
    until: Until,
) -> None:
    house = House()
    port = free_port("127.0.0.1")
    await house.switch_on(port, 20.0)
    async with watching(house) as program:
        await program.handler.async_subscribe(program.service)
        await until(lambda: program.values == [20.0])
        program.hear(house.udn, "ssdp:alive", house.url, 1)
        program.hear(house.udn, "ssdp:byebye", house.url, 1)
        await house.switch_off()
        await until(lambda: program.values == [20.0, None])
        await house.switch_on(port, 7.0)
        program.hear(house.udn, "ssdp:alive", house.url, 2)
        await until(lambda: program.values[-1] == 7.0)
        await house.switch_off()


@pytest.mark.slow
async def test_a_device_that_the_program_moves_itself_is_asked_at_its_new_url(
    until: Until,
) -> None:
    """As the DeviceUpdater of the library does, which has no other way to say it."""
    house = House()
    await house.switch_on(0, 20.0)
    async with watching(house) as program:
        sid, _ = await program.handler.async_subscribe(program.service)
        await until(lambda: program.values == [20.0])
        await house.switch_off()
        with pytest.raises(UpnpConnectionError):
            await program.handler.async_resubscribe(sid)
        await house.switch_on(0, 8.0)
        factory = UpnpFactory(program.handler._requester)
        program.service.device.reinit(await factory.async_create_device(house.url))
        await until(lambda: program.values[-1] == 8.0)
        await house.switch_off()


@pytest.mark.slow
async def test_the_handlers_of_a_program_share_the_sockets_of_discovery(
    monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    started: list[Discovery] = []

    def start(self: Discovery, host: str | None, *, quiet: bool = False) -> None:
        started.append(self)
        self._activate()

    searched: list[str] = []
    monkeypatch.setattr(SETTINGS, "discovery", True)
    monkeypatch.setattr(Discovery, "start", start)
    monkeypatch.setattr(Links, "search", lambda _, target: searched.append(target))
    house = House()
    port = free_port("127.0.0.1")
    await house.switch_on(port, 20.0)
    async with contextlib.AsyncExitStack() as stack:
        programs = [await stack.enter_async_context(watching(house)) for _ in range(3)]
        for program in programs:
            await program.handler.async_subscribe(program.service)
        await until(lambda: all(each.values == [20.0] for each in programs))
        discoveries = [each.handler._driver.discovery for each in programs]  # type: ignore[union-attr] - it has one
        assert started == discoveries[:1]
        # The socket of the first one hears for all of them.
        programs[0].hear(house.udn, "ssdp:alive", house.url, 1)
        await house.switch_off()
        await house.switch_on(port, 5.0)
        programs[0].hear(house.udn, "ssdp:alive", house.url, 2)
        await until(lambda: all(5.0 in each.values for each in programs))
        # When it ends, the next one opens sockets.
        await programs[0].server.async_stop_server()
        assert started == discoveries[:2]
        searched.clear()
        discoveries[2]._search_for("upnp:rootdevice")
        assert searched.count("upnp:rootdevice") == 2
        programs[1].hear(house.udn, "ssdp:byebye", house.url, 2)
        await house.switch_off()
        await until(lambda: all(each.values[-1] is None for each in programs[1:]))
    assert len(started) <= 3
