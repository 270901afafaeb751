"""What the tests of async_upnp_client import from their own conftest, which its source distribution
does not have: a requester with answers, a notify server, and documents of two devices.

Copied as ``conftest.py`` beside the tests. ``install()`` comes first, unless ORIGINAL is set.
"""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Mapping
from typing import Any

import pytest

from propchange.dropin import async_upnp_client

if not os.environ.get("ORIGINAL"):
    async_upnp_client.install(discovery=False)

from async_upnp_client.aiohttp import AiohttpNotifyServer
from async_upnp_client.client import UpnpRequester
from async_upnp_client.const import HttpRequest, HttpResponse


def _variable(name: str, data_type: str, *, evented: bool) -> str:
    return (
        f'<stateVariable sendEvents="{"yes" if evented else "no"}"><name>{name}</name>'
        f"<dataType>{data_type}</dataType></stateVariable>"
    )


def _scpd(*variables: str) -> str:
    return (
        '<?xml version="1.0"?><scpd xmlns="urn:schemas-upnp-org:service-1-0">'
        "<specVersion><major>1</major><minor>0</minor></specVersion>"
        f"<serviceStateTable>{''.join(variables)}</serviceStateTable></scpd>"
    )


def _service(name: str) -> str:
    return (
        f"<service><serviceType>urn:schemas-upnp-org:service:{name}:1</serviceType>"
        f"<serviceId>urn:upnp-org:serviceId:{name}</serviceId><SCPDURL>/{name}_1.xml</SCPDURL>"
        f"<controlURL>/upnp/control/{name}1</controlURL>"
        f"<eventSubURL>/upnp/event/{name}1</eventSubURL></service>"
    )


def _device(device_type: str, udn: str, *services: str) -> str:
    return (
        '<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0">'
        "<specVersion><major>1</major><minor>0</minor></specVersion><device>"
        f"<deviceType>urn:schemas-upnp-org:device:{device_type}:1</deviceType>"
        f"<friendlyName>{device_type}</friendlyName><manufacturer>Nobody</manufacturer>"
        f"<modelName>1</modelName><UDN>uuid:{udn}</UDN>"
        f"<serviceList>{''.join(map(_service, services))}</serviceList></device></root>"
    )


_GRANT = {"sid": "uuid:dummy", "timeout": "Second-300"}
_LAST_CHANGE = _variable("LastChange", "string", evented=True)
_DOCUMENTS = {
    "http://dlna_dmr:1234/device.xml": _device(
        "MediaRenderer", "00000000-0000-0000-0000-000000000001", "RenderingControl"
    ),
    "http://dlna_dmr:1234/RenderingControl_1.xml": _scpd(
        _LAST_CHANGE, _variable("Volume", "ui2", evented=False)
    ),
    "http://igd:1234/device.xml": _device(
        "InternetGatewayDevice", "00000000-0000-0000-0000-000000000002", "Layer3Forwarding"
    ),
    "http://igd:1234/Layer3Forwarding_1.xml": _scpd(
        _variable("DefaultConnectionService", "string", evented=True)
    ),
}

RESPONSE_MAP: Mapping[tuple[str, str], HttpResponse] = {
    **{("GET", url): HttpResponse(200, {}, document) for url, document in _DOCUMENTS.items()},
    **{
        (method, "http://dlna_dmr:1234/upnp/event/RenderingControl1"): HttpResponse(200, head, "")
        for method, head in (("SUBSCRIBE", _GRANT), ("UNSUBSCRIBE", {}))
    },
}


class UpnpTestRequester(UpnpRequester):
    """Answers by a table of (method, URL)."""

    def __init__(self, response_map: Mapping[tuple[str, str], HttpResponse]) -> None:
        self.response_map = dict(response_map)

    async def async_http_request(self, http_request: HttpRequest) -> HttpResponse:
        await asyncio.sleep(0.01)
        return self.response_map[http_request.method, http_request.url]


class UpnpTestNotifyServer(AiohttpNotifyServer):
    """A notify server that opens no socket."""

    async def async_start_server(self) -> None:
        pass

    async def async_stop_server(self) -> None:
        await self.event_handler.async_unsubscribe_all()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "asyncio: a coroutine")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    given = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    asyncio.run(_with_servers(pyfuncitem.obj, given))
    return True


async def _with_servers(test: Any, given: dict[str, Any]) -> None:
    servers: list[Any] = []
    if "aiohttp_server" in given:

        async def start(application: Any) -> Any:
            from aiohttp.test_utils import TestServer

            server = TestServer(application)
            await server.start_server()
            servers.append(server)
            return server

        given["aiohttp_server"] = start
    try:
        await test(**given)
    finally:
        for server in servers:
            await server.close()


@pytest.fixture
def aiohttp_server() -> None:
    """Made in the loop of the test."""
