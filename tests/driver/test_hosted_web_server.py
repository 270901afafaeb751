"""A device whose requests come by a web server of the program."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from lab.web_server import WebServer
from propchange.core.values.state_variables import StateVariable
from propchange.upnp.action_methods import action
from propchange.upnp.device import Device
from propchange.upnp.service import Service
from propchange.upnp.soap import build_call
from tests.asyncio.conftest import ask, raw_subscriber

__all__ = ["raw_subscriber"]

TYPE = "urn:example-org:service:Thermometer:1"


class Thermometer(Service, type=TYPE):
    temperature = StateVariable("i4", initial=20)

    @action
    async def set_temperature(self, temperature: int) -> None:
        self.temperature = temperature


@pytest.fixture
def thermometer() -> Thermometer:
    return Thermometer()


def on(
    server: WebServer, driven: Any, *services: Service, prefix: str = "/upnp", **options: Any
) -> Any:
    """A device with ``services`` on the web server, to be entered by ``async with``."""
    url = f"http://127.0.0.1:{server.port}{prefix}"
    hosted = driven.host(Device("Oven", services=services), listen=False, url=url, **options)
    server.hosted = hosted
    return hosted


async def test_a_device_on_another_web_server_is_described_subscribed_to_and_called(
    driven: Any, thermometer: Thermometer, raw_subscriber: Any
) -> None:
    async with WebServer() as server, on(server, driven, thermometer) as hosted:
        assert hosted.description_url == f"http://127.0.0.1:{server.port}/upnp/description.xml"
        port = server.port
        described = await ask(port, "GET /upnp/description.xml HTTP/1.1\nHOST: {host}")
        assert described.status == 200
        elements = ElementTree.fromstring(described.body).iter()
        paths = {each.tag.rpartition("}")[2]: each.text for each in elements}
        scpd = await ask(port, f"GET {paths['SCPDURL']} HTTP/1.1\nHOST: {{host}}")
        assert scpd.status == 200

        async with raw_subscriber() as subscriber:
            granted = await subscriber.subscribe(port, paths["eventSubURL"])
            assert granted.status == 200
            initial = await subscriber.arrived.get()
            assert (initial.fields["sid"], initial.fields["seq"]) == (granted.fields["sid"], "0")

            answered = await ask(
                port,
                f"""POST {paths["controlURL"]} HTTP/1.1
                HOST: {{host}}
                CONTENT-TYPE: text/xml; charset="utf-8"
                SOAPACTION: "{TYPE}#SetTemperature\"""",
                body=build_call(TYPE, "SetTemperature", {"Temperature": "180"}),
            )
            assert answered.status == 200
            event = await subscriber.arrived.get()
            assert event.fields["seq"] == "1"
            assert b"180" in event.body


async def test_a_device_with_a_port_of_its_own_may_have_a_proxy_in_front(
    driven: Any, thermometer: Thermometer, raw_subscriber: Any
) -> None:
    """Its description is announced at the proxy, and can be read at its own port too. The proxy may
    take the prefix away."""
    url = "http://127.0.0.1:80/a/upnp"
    device = Device("Oven", services=[thermometer])
    async with (
        driven.host(device, url=url, interface="127.0.0.1") as hosted,
        raw_subscriber() as subscriber,
    ):
        port = hosted.port
        assert hosted.description_url == "http://127.0.0.1/a/upnp/description.xml"
        assert hosted.description_urls[1:] == (f"http://127.0.0.1:{port}/a/upnp/description.xml",)
        for prefix in ("/a/upnp", "/upnp", ""):
            for host in ("{host}", "127.0.0.1"):
                get = f"GET {prefix}/description.xml HTTP/1.1\nHOST: {host}"
                described = await ask(port, get)
                assert described.status == 200
                assert b"<eventSubURL>/a/upnp/Thermometer/event</eventSubURL>" in described.body
            granted = await subscriber.subscribe(port, f"{prefix}/Thermometer/event")
            assert granted.status == 200
            assert (await subscriber.arrived.get()).fields["sid"] == granted.fields["sid"]
        assert (await ask(port, "GET /a/description.xml HTTP/1.1\nHOST: {host}")).status == 404


async def test_the_subscribers_of_a_proxy_are_not_known_to_our_own_listener(
    driven: Any, thermometer: Thermometer, raw_subscriber: Any
) -> None:
    """It reads no X-FORWARDED-FOR. So the callback of a SUBSCRIBE by the proxy cannot be judged."""
    device = Device("Oven", services=[thermometer])
    options = {"url": "http://nas.local/upnp", "interface": "127.0.0.1"}
    async with driven.host(device, **options) as hosted, raw_subscriber() as subscriber:
        refused = await subscriber.subscribe(hosted.port, "/upnp/Thermometer/event")
        assert refused.status == 412
