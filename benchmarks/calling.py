"""Calls of actions: control points that call, and devices that serve.

One action, SetLevel, with two arguments in and one out. The peer of a control point is a device of
prebuilt answers, or a device of a library. The peer of a device sends prebuilt calls over
connections that stay open, the next one as soon as one is answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, ClassVar, NamedTuple, cast
from urllib.parse import urlsplit
from xml.etree import ElementTree

import aiohttp
from async_upnp_client.aiohttp import AiohttpRequester, AiohttpSessionRequester
from async_upnp_client.client import UpnpRequester
from async_upnp_client.client_factory import UpnpFactory
from async_upnp_client.const import DeviceInfo, ServiceInfo
from async_upnp_client.server import (
    UpnpServer,
    UpnpServerDevice,
    UpnpServerService,
    callable_action,
    create_state_var,
)

from benchmarks import wire
from benchmarks.processes import Commands, cpu_seconds
from lab.programs import free_port
from propchange import ControlPoint, Device, Service, StateVariable, action, host

__all__ = [
    "CONNECTIONS",
    "Round",
    "async_upnp_client_control_point",
    "async_upnp_client_device",
    "async_upnp_client_session",
    "bare_device",
    "callers",
    "propchange_control_point",
    "propchange_device",
]

SERVICE_TYPE = "urn:example-org:service:Mixer:1"
CONNECTIONS = 4
"""Of the peer of a device: what one control point opens."""

_CALL = (
    '<?xml version="1.0"?>\n<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
    's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>'
    f'<u:SetLevel xmlns:u="{SERVICE_TYPE}"><Channel>Master</Channel><Level>30</Level>'
    "</u:SetLevel></s:Body></s:Envelope>"
).encode()
_ANSWER = wire.response(
    (
        '<?xml version="1.0"?>\n<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
        's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>'
        f'<u:SetLevelResponse xmlns:u="{SERVICE_TYPE}"><Former>30</Former>'
        "</u:SetLevelResponse></s:Body></s:Envelope>"
    ).encode(),
    b'CONTENT-TYPE: text/xml; charset="utf-8"',
)
_SCPD = b"""<?xml version="1.0"?>
<scpd xmlns="urn:schemas-upnp-org:service-1-0">
<specVersion><major>1</major><minor>1</minor></specVersion>
<actionList><action><name>SetLevel</name><argumentList>
<argument><name>Channel</name><direction>in</direction>\
<relatedStateVariable>Channel</relatedStateVariable></argument>
<argument><name>Level</name><direction>in</direction>\
<relatedStateVariable>Level</relatedStateVariable></argument>
<argument><name>Former</name><direction>out</direction>\
<relatedStateVariable>Level</relatedStateVariable></argument>
</argumentList></action></actionList>
<serviceStateTable>
<stateVariable sendEvents="no"><name>Channel</name><dataType>string</dataType></stateVariable>
<stateVariable sendEvents="no"><name>Level</name><dataType>ui2</dataType>
<allowedValueRange><minimum>0</minimum><maximum>100</maximum></allowedValueRange></stateVariable>
</serviceStateTable>
</scpd>"""
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


class Round(NamedTuple):
    """What one round has done, and what it took."""

    operations: int
    seconds: float
    cpu_seconds: float


async def _cpu() -> float:
    return cpu_seconds()


class _Messages(asyncio.Protocol):
    """One end of a connection: whole messages, by CONTENT-LENGTH."""

    def __init__(self, on_message: Callable[[bytes], bytes | None]) -> None:
        self._on_message = on_message
        self._data = b""
        self.write: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.write = cast(asyncio.Transport, transport).write

    def data_received(self, data: bytes) -> None:
        self._data = data = self._data + data
        head, end, body = data.partition(b"\r\n\r\n")
        if not end:
            return
        length = _LENGTH.search(head)
        if length is None or len(body) >= int(length[1]):
            self._data = b""
            answer = self._on_message(data)
            if answer is not None:
                self.write(answer)


# --- devices ---


@contextlib.asynccontextmanager
async def bare_device() -> AsyncIterator[Commands]:
    """Prebuilt answers, nothing is read but the method and the path."""
    description = wire.DESCRIPTION.replace(wire.SERVICE_TYPE.encode(), SERVICE_TYPE.encode())
    documents = {
        b"/description.xml": wire.response(description, b"CONTENT-TYPE: text/xml"),
        b"/scpd.xml": wire.response(_SCPD, b"CONTENT-TYPE: text/xml"),
    }

    def answer(message: bytes) -> bytes:
        method, target, _ = message.split(b" ", 2)
        return _ANSWER if method == b"POST" else documents[target]

    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Messages(answer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    async def url() -> str:
        return f"http://127.0.0.1:{port}/description.xml"

    yield {"url": url, "cpu": _cpu}
    server.close()


class Mixer(Service, type=SERVICE_TYPE):
    channel = StateVariable("string", evented=False)
    level = StateVariable("ui2", maximum=100, evented=False)

    @action(returns={"Former": level})
    def set_level(self, channel: str, level: int) -> int:
        self.level, former = level, self.level
        return former


@contextlib.asynccontextmanager
async def propchange_device() -> AsyncIterator[Commands]:
    """propchange as a program uses it, everything at its default."""
    async with host(Device("Mixer", services=[Mixer()]), interface="127.0.0.1") as hosted:

        async def url() -> str:
            return hosted.description_url

        yield {"url": url, "cpu": _cpu}


class _TheirMixer(UpnpServerService):
    SERVICE_DEFINITION = ServiceInfo(
        service_id="urn:example-org:serviceId:Mixer",
        service_type=SERVICE_TYPE,
        control_url="/control",
        event_sub_url="/event",
        scpd_url="/scpd.xml",
        xml=ElementTree.Element("service"),
    )
    STATE_VARIABLE_DEFINITIONS: ClassVar[Any] = {
        "Channel": create_state_var("string"),
        "Level": create_state_var("ui2", allowed_range={"min": "0", "max": "100"}, default="0"),
    }

    @callable_action(
        name="SetLevel",
        in_args={"Channel": "Channel", "Level": "Level"},
        out_args={"Former": "Level"},
    )
    async def set_level(self, Channel: str, Level: int) -> dict[str, Any]:
        variable = self.state_variable("Level")
        former = variable.value
        variable.value = Level
        return {"Former": former}


# The library compares the annotations with the types, so they must not be texts.
_TheirMixer.set_level.__annotations__.update(Channel=str, Level=int)


class _TheirDevice(UpnpServerDevice):
    DEVICE_DEFINITION = DeviceInfo(
        device_type="urn:schemas-upnp-org:device:Basic:1",
        friendly_name="Mixer",
        manufacturer="nobody",
        manufacturer_url=None,
        model_description=None,
        model_name="none",
        model_number=None,
        model_url=None,
        serial_number=None,
        udn="uuid:2fac1234-31f8-11b4-a222-08002b34c004",
        upc=None,
        presentation_url=None,
        url="/description.xml",
        icons=[],
        xml=ElementTree.Element("device"),
    )
    EMBEDDED_DEVICES: ClassVar[Any] = []
    SERVICES: ClassVar[Any] = [_TheirMixer]


class _Unannounced(UpnpServer):
    async def _async_start_ssdp(self) -> None:
        """Announce nothing: this machine may be in a real network."""


@contextlib.asynccontextmanager
async def async_upnp_client_device() -> AsyncIterator[Commands]:
    """A device on the server of async-upnp-client."""
    port = free_port()
    server = _Unannounced(_TheirDevice, source=("127.0.0.1", 0), http_port=port)
    await server.async_start()

    async def url() -> str:
        return f"http://127.0.0.1:{port}/description.xml"

    yield {"url": url, "cpu": _cpu}
    await server.async_stop()


# --- control points ---


async def _run(call: Callable[[int], Awaitable[Any]], seconds: float, at_once: int) -> Round:
    """Call as often as it goes, ``at_once`` at a time."""
    calls = 0
    cpu = cpu_seconds()
    begin = time.perf_counter()
    until = begin + seconds

    async def caller() -> None:
        nonlocal calls
        while time.perf_counter() < until:
            calls += 1
            await call(calls % 100)

    await asyncio.gather(*(caller() for _ in range(at_once)))
    return Round(calls, time.perf_counter() - begin, cpu_seconds() - cpu)


@contextlib.asynccontextmanager
async def propchange_control_point() -> AsyncIterator[Commands]:
    """propchange as a program uses it, everything at its default."""
    services = {}
    async with ControlPoint() as control_point:

        async def open_device(url: str) -> None:
            device = await control_point.device(url)
            services[url] = device[SERVICE_TYPE]

        async def run(url: str, seconds: float, at_once: int) -> Round:
            call = services[url].call
            return await _run(
                lambda level: call("SetLevel", Channel="Master", Level=level), seconds, at_once
            )

        yield {"open": open_device, "run": run}


@contextlib.asynccontextmanager
async def async_upnp_client_control_point() -> AsyncIterator[Commands]:
    """async-upnp-client as its documentation shows it: a connection for each call."""
    yield _async_upnp_client_commands(AiohttpRequester())


@contextlib.asynccontextmanager
async def async_upnp_client_session() -> AsyncIterator[Commands]:
    """async-upnp-client with a session, which keeps its connections."""
    async with aiohttp.ClientSession() as session:
        yield _async_upnp_client_commands(AiohttpSessionRequester(session))


def _async_upnp_client_commands(requester: UpnpRequester) -> Commands:
    actions = {}
    factory = UpnpFactory(requester)

    async def open_device(url: str) -> None:
        device = await factory.async_create_device(url)
        actions[url] = device.service(SERVICE_TYPE).action("SetLevel")

    async def run(url: str, seconds: float, at_once: int) -> Round:
        call = actions[url].async_call
        return await _run(lambda level: call(Channel="Master", Level=level), seconds, at_once)

    return {"open": open_device, "run": run}


class _Callers:
    """The connections to one device, with the same call on each."""

    def __init__(self, call: bytes) -> None:
        self._call = call
        self._connections: list[_Messages] = []
        self._until = 0.0
        self._open = 0
        self._done: asyncio.Future[None]
        self.good = 0
        self.bad = 0

    async def connect(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(CONNECTIONS):
            _, connection = await loop.create_connection(
                lambda: _Messages(self._answered), "127.0.0.1", port
            )
            self._connections.append(connection)

    async def run(self, seconds: float) -> None:
        self.good = self.bad = 0
        self._done = asyncio.get_running_loop().create_future()
        self._until = time.perf_counter() + seconds
        self._open = len(self._connections)
        for connection in self._connections:
            connection.write(self._call)
        await self._done

    def _answered(self, message: bytes) -> bytes | None:
        if message.startswith(b"HTTP/1.1 200 "):
            self.good += 1
        else:
            self.bad += 1
        if time.perf_counter() < self._until:
            return self._call
        self._open -= 1
        if not self._open:
            self._done.set_result(None)
        return None


@contextlib.asynccontextmanager
async def callers() -> AsyncIterator[Commands]:
    """Prebuilt calls. ``run`` gives the calls that were answered 200, the others, the seconds, and
    seconds of CPU of this process."""
    groups: dict[str, _Callers] = {}

    async def open_device(url: str) -> None:
        parts = urlsplit(url)
        assert parts.port is not None
        path = await _control_path(parts.port, parts.path)
        head = (
            f"POST {path} HTTP/1.1\r\nHOST: {parts.netloc}\r\n"
            'CONTENT-TYPE: text/xml; charset="utf-8"\r\n'
            f'SOAPACTION: "{SERVICE_TYPE}#SetLevel"\r\nCONTENT-LENGTH: {len(_CALL)}\r\n\r\n'
        )
        groups[url] = _Callers(head.encode() + _CALL)
        await groups[url].connect(parts.port)

    async def run(url: str, seconds: float) -> tuple[int, int, float, float]:
        group = groups[url]
        cpu = cpu_seconds()
        begin = time.perf_counter()
        await group.run(seconds)
        return group.good, group.bad, time.perf_counter() - begin, cpu_seconds() - cpu

    yield {"open": open_device, "run": run}


async def _control_path(port: int, description_path: str) -> str:
    """The controlURL in the description."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"GET {description_path} HTTP/1.1\r\nHOST: 127.0.0.1:{port}\r\n"
        "CONNECTION: close\r\n\r\n".encode()
    )
    description = await reader.read()
    writer.close()
    found = re.search(rb"<controlURL>([^<]*)</controlURL>", description)
    assert found is not None
    return "/" + found[1].decode().lstrip("/")
