"""The profiles of async_upnp_client, which call the event handler as its programs do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from async_upnp_client.client import UpnpService, UpnpStateVariable
from async_upnp_client.client_factory import UpnpFactory
from async_upnp_client.const import HttpResponse
from async_upnp_client.exceptions import UpnpResponseError
from async_upnp_client.profiles import profile
from async_upnp_client.profiles.dlna import DmrDevice

from propchange.dropin.async_upnp_client import UpnpEventHandler
from tests.dropin.library_device import (
    DESCRIPTION_URL,
    LibraryDevice,
    WebServer,
    notify,
    propertyset,
    refused,
)
from tests.wire import Until

STATE = (
    '&lt;Event xmlns="urn:x"&gt;&lt;InstanceID val="0"&gt;&lt;{0}{2} val="{1}"/&gt;'
    "&lt;/InstanceID&gt;&lt;/Event&gt;"
)


class Renderer:
    """A program with a DmrDevice, as a media player of Home Assistant is one."""

    def __init__(self, device: LibraryDevice, handler: UpnpEventHandler, dmr: DmrDevice) -> None:
        self.device = device
        self.handler = handler
        self.dmr = dmr
        self.checks: list[str] = []
        dmr.on_event = self.on_event

    def on_event(self, service: UpnpService, variables: Sequence[UpnpStateVariable[Any]]) -> None:
        if not variables:
            self.checks.append(service.service_id.rpartition(":")[2])

    async def send(self, service: str, seq: int, variable: str, value: object, **at: str) -> int:
        channel = ' channel="Master"' if variable == "Volume" else ""
        text = STATE.format(variable, value, channel)
        owner: Any = self.dmr.profile_device.service(f"urn:schemas-upnp-org:service:{service}:1")
        subscription = next(each for each in self.handler._driven.values() if each.owner() is owner)
        return await self.handler.handle_notify(
            notify(subscription.sid, seq, propertyset(LastChange=text))
        )


@contextlib.asynccontextmanager
async def renderer() -> AsyncIterator[Renderer]:
    device = LibraryDevice()
    handler = UpnpEventHandler(WebServer(), device)
    dmr = DmrDevice(await UpnpFactory(device).async_create_device(DESCRIPTION_URL), handler)
    try:
        yield Renderer(device, handler, dmr)
    finally:
        await dmr.async_unsubscribe_services()
        await handler.async_unsubscribe_all()


async def test_a_renderer_shows_the_state_of_its_events() -> None:
    async with renderer() as program:
        await program.dmr.async_subscribe_services(auto_resubscribe=True)
        assert program.dmr.is_subscribed
        assert len(program.device.sent("SUBSCRIBE")) == 3
        await program.send("AVTransport", 0, "TransportState", "PLAYING")
        await program.send("RenderingControl", 0, "Volume", 40)
        assert program.dmr.transport_state is not None
        assert program.dmr.transport_state.value == "PLAYING"
        volume = program.dmr._state_variable("RC", "Volume")
        assert volume is not None
        assert volume.value == 40
        await program.dmr.async_unsubscribe_services()
        assert len(program.device.sent("UNSUBSCRIBE")) == 3


@pytest.mark.slow
async def test_the_profile_renews_by_the_sids_that_it_knows(
    monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    monkeypatch.setattr(profile, "RESUBSCRIBE_TOLERANCE_SECS", 300 - 0.2)
    async with renderer() as program:
        program.device.timeout = "Second-300"
        program.device.usual = {"RENEW": HttpResponse(412, {}, "")}  # forgotten each time
        await program.dmr.async_subscribe_services(auto_resubscribe=True)
        await until(lambda: len(program.device.sent("SUBSCRIBE")) >= 9)
        assert await program.send("AVTransport", 0, "TransportState", "PLAYING") == 200
        assert program.dmr.is_subscribed


@pytest.mark.slow
async def test_short_grants_are_not_renewed_in_a_loop() -> None:
    """The profile of the library renews a grant of 30 seconds hundreds of times a second."""
    async with renderer() as program:
        program.device.timeout = "Second-30"
        await program.dmr.async_subscribe_services(auto_resubscribe=True)
        await asyncio.sleep(0.5)
        assert len(program.device.sent("RENEW")) <= 6
        assert program.dmr.is_subscribed


@pytest.mark.slow
async def test_after_a_renewal_that_fails_the_events_come_back_to_the_same_program(
    monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    monkeypatch.setattr(profile, "RESUBSCRIBE_TOLERANCE_SECS", 300 - 0.1)
    async with renderer() as program:
        program.device.timeout = "Second-300"
        await program.dmr.async_subscribe_services(auto_resubscribe=True)
        for service in ("AVTransport", "RenderingControl"):
            await program.send(service, 0, "Volume", 1)
        away = refused()
        program.device.usual = {"SUBSCRIBE": away, "RENEW": away}
        await until(lambda: len(set(program.checks)) == 3)
        assert not program.dmr.is_subscribed
        assert not program.dmr.profile_device.available

        program.device.usual = {"RENEW": HttpResponse(412, {}, "")}
        await until(lambda: len(program.device.sent("SUBSCRIBE")) >= 6)
        known = program.handler._driven.values()
        await until(lambda: all(each.granted for each in known))
        assert await program.send("AVTransport", 0, "TransportState", "STOPPED") == 200
        assert program.dmr.transport_state is not None
        assert program.dmr.transport_state.value == "STOPPED"
        assert program.dmr.profile_device.available

        # A program that subscribes again has each event once.
        program.dmr.profile_device.available = False
        await program.dmr.async_subscribe_services(auto_resubscribe=True)
        await until(lambda: len(program.handler._driven) == 3)
        assert program.dmr.is_subscribed
        await program.send("AVTransport", 0, "TransportState", "PLAYING")
        assert program.dmr.profile_device.available


async def test_a_device_that_refuses_is_polled_as_before() -> None:
    async with renderer() as program:
        program.device.usual = {"SUBSCRIBE": HttpResponse(501, {}, "")}
        with pytest.raises(UpnpResponseError):
            await program.dmr.async_subscribe_services(auto_resubscribe=True)
        assert not program.dmr.is_subscribed
        assert program.handler._driven == {}
