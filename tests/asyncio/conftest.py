"""Runs each `async def` test on both event loops; plays devices and subscribers with sockets."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest
import uvloop

_LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


def marks_of(loop: str) -> tuple[pytest.MarkDecorator, ...]:
    """The marks of a test on ``loop``: `make check` runs a test on uvloop only if it runs on no
    other loop."""
    return (pytest.mark.slow,) if loop == "uvloop" else ()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """An `async def` test runs on the standard library's loop and, unless it is marked `one_loop`,
    on uvloop."""
    if inspect.iscoroutinefunction(metafunc.function):
        one = metafunc.definition.get_closest_marker("one_loop") is not None
        names = list(_LOOPS)[: 1 if one else None]
        metafunc.fixturenames.append("loop_factory")
        metafunc.parametrize(
            "loop_factory",
            [pytest.param(_LOOPS[name], id=name, marks=marks_of(name)) for name in names],
        )


class Message(NamedTuple):
    """A request or a response; the names of ``fields`` are in lower case."""

    first: str
    fields: dict[str, str]
    body: bytes

    @property
    def method(self) -> str:
        return self.first.split()[0]

    @property
    def target(self) -> str:
        return self.first.split()[1]

    @property
    def status(self) -> int:
        return int(self.first.split()[1])


async def read_message(reader: asyncio.StreamReader, *, with_body: bool = True) -> Message:
    """The next message. Raises IncompleteReadError at the end of the stream."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    fields = {name.lower(): value.strip() for name, _, value in pairs}
    length = int(fields.get("content-length", "0")) if with_body else 0
    return Message(first, fields, await reader.readexactly(length))


async def ask(
    port: int,
    text: str,
    *,
    host: str = "127.0.0.1",
    body: bytes = b"",
    source: str | None = None,
) -> Message:
    """Send a request on a new connection, and return the answer. ``text`` is its head, a line per
    field; ``{host}`` in it becomes the authority, and CONTENT-LENGTH is added."""
    reader, writer = await asyncio.open_connection(
        host, port, local_addr=None if source is None else (source, 0)
    )
    try:
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        lines = text.strip().replace("{host}", authority).splitlines()
        if body:
            lines.append(f"CONTENT-LENGTH: {len(body)}")
        head = "\r\n".join(line.strip() for line in lines)
        writer.write(head.encode("latin-1") + b"\r\n\r\n" + body)
        return await read_message(reader, with_body=not text.lstrip().startswith("HEAD"))
    finally:
        writer.close()
        await writer.wait_closed()


class Doorkeeper:
    """A server whose answers the test defines. ``requests`` are the requests so far, ``peers``
    their source addresses, ``arrived`` the requests as a queue, ``connections`` the number of
    connections."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.host = host
        self.port = port
        self.requests: list[Message] = []
        self.peers: list[str] = []
        self.arrived: asyncio.Queue[Message] = asyncio.Queue()
        self.connections = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server

    @property
    def open(self) -> int:
        """Connections that are open now."""
        return len(self._writers)

    async def answer(self, request: Message) -> bytes | None:
        """The bytes of the answer. None: no answer. Empty: the connection ends."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        # What is just being accepted must be a connection before the server may be closed.
        for listening in self._server.sockets:
            asyncio.get_running_loop().remove_reader(listening.fileno())
        for _ in range(4):
            await asyncio.sleep(0)
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        while self._writers:
            await asyncio.sleep(0.001)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            while True:
                request = await read_message(reader)
                self.requests.append(request)
                # None when it has gone before it was accepted.
                self.peers.append((writer.get_extra_info("peername") or ("",))[0])
                self.arrived.put_nowait(request)
                answer = await self.answer(request)
                if answer == b"":
                    break
                writer.write(answer or b"")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self._writers.discard(writer)


class RawSubscriber(Doorkeeper):
    """Takes NOTIFY requests, and answers all with ``status``: None for never. ``close``: each
    connection ends after its answer."""

    def __init__(
        self, host: str = "127.0.0.1", *, status: int | None = 200, close: bool = False
    ) -> None:
        super().__init__(host)
        self.status = status
        self.close = close

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/events"

    async def answer(self, request: Message) -> bytes | None:
        if self.status is None:
            return None
        end = "CONNECTION: close\r\n" if self.close else ""
        return f"HTTP/1.1 {self.status} X\r\nCONTENT-LENGTH: 0\r\n{end}\r\n".encode()

    async def subscribe(
        self, port: int, path: str, *, callback: str | None = None, more: str = ""
    ) -> Message:
        """The answer to a SUBSCRIBE for ``path`` of the host at ``port``."""
        callback = f"<{self.url}>" if callback is None else callback
        text = f"SUBSCRIBE {path} HTTP/1.1\nHOST: {{host}}\nCALLBACK: {callback}\nNT: upnp:event"
        return await ask(port, f"{text}\n{more}", host=self.host)

    async def event(self) -> tuple[int, dict[str, str]]:
        """SEQ and changes of the next NOTIFY."""
        request = await self.arrived.get()
        root = ElementTree.fromstring(request.body)
        changes = {child.tag: child.text or "" for child in root.iterfind("./*/*")}
        return int(request.fields["seq"]), changes


class RawDevice(Doorkeeper):
    """A device with one service. ``answers`` maps a method to the answer: bytes, a callable
    that returns them, or None for no answer."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(port=port)
        self.sids = 0
        self.documents: dict[str, bytes] = {
            "/description.xml": DESCRIPTION,
            "/scpd.xml": SCPD,
        }
        self.answers: dict[str, Any] = {
            "SUBSCRIBE": self.grant,
            "UNSUBSCRIBE": self.reply(200),
            "GET": self.document,
        }

    @property
    def description_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/description.xml"

    @property
    def event_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/event"

    def of(self, method: str) -> list[Message]:
        return [request for request in self.requests if request.method == method]

    @staticmethod
    def reply(status: int, more: str = "", body: bytes = b"") -> bytes:
        head = f"HTTP/1.1 {status} X\r\n{more}CONTENT-LENGTH: {len(body)}\r\n\r\n"
        return head.encode() + body

    def grant(self, request: Message, *, timeout: str = "Second-1800") -> bytes:
        if "sid" in request.fields:
            sid = request.fields["sid"]
        else:
            self.sids += 1
            sid = f"uuid:{self.sids}"
        return self.reply(200, f"SID: {sid}\r\nTIMEOUT: {timeout}\r\n")

    def document(self, request: Message) -> bytes:
        document = self.documents.get(request.target)
        return self.reply(404) if document is None else self.reply(200, body=document)

    async def answer(self, request: Message) -> bytes | None:
        answer = self.answers[request.method]
        if callable(answer):
            answer = answer(request)
        if asyncio.iscoroutine(answer):
            answer = await answer
        assert answer is None or isinstance(answer, bytes)
        return answer

    @staticmethod
    async def notify(
        callback: str,
        sid: str,
        seq: int,
        *,
        source: str | None = None,
        body: bytes = b"",
        **changes: str,
    ) -> Message:
        """The answer to an event message with ``changes``, or with ``body``."""
        inside = "".join(
            f"<e:property><{name}>{text}</{name}></e:property>" for name, text in changes.items()
        )
        namespace = "urn:schemas-upnp-org:event-1-0"
        written = f'<e:propertyset xmlns:e="{namespace}">{inside}</e:propertyset>'
        body = body or written.encode()
        url = urlsplit(callback)
        assert url.hostname
        assert url.port
        text = (
            f"NOTIFY {url.path} HTTP/1.1\nHOST: {{host}}\nNT: upnp:event\nNTS: upnp:propchange\n"
            f"SID: {sid}\nSEQ: {seq}"
        )
        return await ask(url.port, text, host=url.hostname, body=body, source=source)


DESCRIPTION = b"""<root xmlns="urn:schemas-upnp-org:device-1-0"><device>
<deviceType>urn:schemas-upnp-org:device:Basic:1</deviceType><friendlyName>Raw</friendlyName>
<UDN>uuid:raw</UDN><serviceList><service>
<serviceType>urn:example-org:service:Thermometer:1</serviceType>
<serviceId>urn:example-org:serviceId:Thermometer</serviceId>
<SCPDURL>/scpd.xml</SCPDURL><controlURL>/control</controlURL><eventSubURL>/event</eventSubURL>
</service></serviceList></device></root>"""

SCPD = b"""<scpd xmlns="urn:schemas-upnp-org:service-1-0"><serviceStateTable>
<stateVariable sendEvents="yes"><name>Temperature</name><dataType>r4</dataType></stateVariable>
<stateVariable sendEvents="yes"><name>Alarm</name><dataType>boolean</dataType></stateVariable>
</serviceStateTable></scpd>"""


@pytest.fixture(name="ask")
def give_ask() -> Callable[..., Coroutine[Any, Any, Message]]:
    return ask


@pytest.fixture
def raw_subscriber() -> type[RawSubscriber]:
    return RawSubscriber


@pytest.fixture
def raw_device() -> type[RawDevice]:
    return RawDevice
