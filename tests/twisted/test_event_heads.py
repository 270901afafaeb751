"""Events over one connection of twisted.web, whose heads differ in SEQ and CONTENT-LENGTH only."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.testing import StringTransport
from twisted.web.resource import Resource
from twisted.web.server import Site

from propchange.cohen3 import EventServer, event_server
from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.twisted.messages import EventHead, read_body, read_request

USUAL = {
    "HOST": "127.0.0.1:80",
    "CONTENT-TYPE": 'text/xml; charset="utf-8"',
    "NT": "upnp:event",
    "NTS": "upnp:propchange",
    "SID": "uuid:one",
    "SEQ": "7",
}


def notify(
    volume: str = "30", line: str = "NOTIFY /events HTTP/1.1", extra: str = "", **changed: str
) -> bytes:
    """A NOTIFY with other header fields; "-" leaves one out."""
    body = (
        '<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0">'
        f"<e:property><Volume>{volume}</Volume></e:property></e:propertyset>"
    )
    fields = {**USUAL, "CONTENT-LENGTH": str(len(body)), **changed}
    lines = [line, *(f"{name}: {value}" for name, value in fields.items() if value != "-")]
    return ("\r\n".join(lines) + f"\r\n{extra}\r\n{body}").encode()


OTHERS = {
    "the same again": notify(),
    "another SEQ": notify(SEQ="8"),
    "a SEQ with leading zeros": notify(SEQ="0000000000009"),
    "another length": notify("100"),
    "SEQ is no number": notify(SEQ="x"),
    "SEQ has a sign": notify(SEQ="+8"),
    "SEQ is empty": notify(SEQ=""),
    "SEQ is too large": notify(SEQ="4294967296"),
    "SEQ is very long": notify(SEQ="1" * 5_000),
    "no SEQ": notify(SEQ="-"),
    "SEQ twice": notify(extra="SEQ: 8\r\n"),
    "another SID": notify(SID="uuid:two"),
    "no SID": notify(SID="-"),
    "SID twice": notify(extra="SID: uuid:two\r\n"),
    "a malformed SID": notify(SID="two"),
    "another NT": notify(NT="upnp:none"),
    "no NT": notify(NT="-"),
    "another NTS": notify(NTS="upnp:none"),
    "another HOST": notify(HOST="192.0.2.1:80"),
    "no HOST": notify(HOST="-"),
    "an ORIGIN": notify(extra="ORIGIN: http://evil.example\r\n"),
    "a field more": notify(extra="X-FIELD: 1\r\n"),
    "a field of another name": notify(extra="SEQUENCE: 8\r\n", SEQ="-"),
    "a query": notify(line="NOTIFY /events?a HTTP/1.1"),
    "another method": notify(line="SUBSCRIBE /events HTTP/1.1"),
    "a longer path": notify(line="NOTIFY /events/a HTTP/1.1"),
    "HTTP/1.0": notify(line="NOTIFY /events HTTP/1.0"),
    "the last request": notify(extra="CONNECTION: close\r\n"),
    "no propertyset": notify("<"),
}


class ControlPoint:
    hostname = "127.0.0.1"
    web_server_port = 80

    def __init__(self) -> None:
        self.coherence = self
        self.root: Any = Resource()  # type: ignore[no-untyped-call] # Twisted's
        self.events: list[tuple[str, dict[str, str]]] = []

    def add_web_resource(self, name: str, resource: Any) -> None:
        self.root.putChild(name.encode(), resource)

    def propagate(self, event: Any) -> None:
        self.events.append((event.get_sid(), dict(event)))


class Connection:
    """One connection to a site, in memory."""

    def __init__(self, root: Any) -> None:
        addresses = IPv4Address("TCP", "127.0.0.1", 80), IPv4Address("TCP", "127.0.0.1", 5)
        make: Any = StringTransport
        self.transport: Any = make(hostAddress=addresses[0], peerAddress=addresses[1])
        self._protocol: Any = Site(root).buildProtocol(addresses[1])  # type: ignore[no-untyped-call] # Twisted's
        self._protocol.makeConnection(self.transport)

    def send(self, request: bytes) -> str:
        """The first line of the answer."""
        self.transport.clear()
        self._protocol.dataReceived(request)
        answer: bytes = self.transport.value()
        return answer.partition(b"\r\n")[0].decode()


@pytest.fixture
def control_point() -> ControlPoint:
    control_point = ControlPoint()
    EventServer(control_point)
    return control_point


@pytest.mark.parametrize("before", [1, 2, 20])
@pytest.mark.parametrize("other", OTHERS)
def test_an_event_behind_others_is_judged_as_if_it_were_the_first(
    control_point: ControlPoint, other: str, before: int
) -> None:
    expected = Connection(control_point.root).send(OTHERS[other]), control_point.events
    control_point.events = []
    connection = Connection(control_point.root)
    for number in range(before):
        assert connection.send(notify(SEQ=str(number))).startswith("HTTP/1.1 200 ")
    assert len(control_point.events) == before
    control_point.events = []
    assert (connection.send(OTHERS[other]), control_point.events) == expected


class Recorder(Resource):
    """Notes how it reads its requests, and keeps the head of each."""

    isLeaf = True

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Twisted's
        self.limits = limits
        self.read: list[Any] = []
        self.known = 0

    def render(self, request: Any) -> bytes:
        body, _ = read_body(request, DEFAULT_LIMITS)
        message = read_request(request, body)
        self.known += message.head is not None
        line = message.method, message.target, message.http_version, message.keep_alive
        ends = message.peer, message.local
        self.read.append((line, ends, message.fields, message.repeated, sorted(message.headers)))
        EventHead.learn(request, message, None, self.limits)
        return b""


@pytest.mark.parametrize("other", OTHERS)
def test_an_event_is_read_alike_with_and_without_a_known_head(other: str) -> None:
    recorder = Recorder()
    Connection(recorder).send(OTHERS[other])
    connection = Connection(recorder)
    connection.send(notify(SEQ="6"))
    connection.send(OTHERS[other])
    assert recorder.read[2:] == recorder.read[:1]
    differs_in_numbers = OTHERS[other].split(b"SEQ")[0] == notify().split(b"SEQ")[0]
    differs_in_numbers &= other not in ("no SEQ", "SEQ twice", "a field more", "an ORIGIN")
    differs_in_numbers &= other not in ("SEQ is no number", "SEQ has a sign", "SEQ is empty")
    differs_in_numbers &= other not in ("SID twice", "the last request", "a field of another name")
    assert recorder.known == differs_in_numbers


@pytest.mark.parametrize("most", [1, DEFAULT_LIMITS.learned_heads])
def test_a_connection_with_heads_of_many_kinds_stops_learning_them(most: int) -> None:
    recorder = Recorder(replace(DEFAULT_LIMITS, learned_heads=most))
    connection = Connection(recorder)
    for number in range(40):
        connection.send(notify(SID=f"uuid:{number % 3}"))
        connection.send(notify(SID=f"uuid:{number % 3}"))
    assert recorder.known < 40
    kept = connection._protocol._channel._propchange_head
    assert kept.lessons == most


def test_a_known_head_keeps_no_body(control_point: ControlPoint) -> None:
    connection = Connection(control_point.root)
    connection.send(notify("3" * 100_000))
    kept = connection._protocol._channel._propchange_head
    assert all(len(value) < 100 for value in kept._request.fields.values())
    assert kept._request.body == b""


def test_a_head_is_judged_again_after_the_delivery_url_has_changed(
    control_point: ControlPoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = Connection(control_point.root)
    mapped = notify(HOST="192.0.2.9:80")
    monkeypatch.setattr(event_server, "hostname", "192.0.2.9")
    assert connection.send(mapped).startswith("HTTP/1.1 200 ")
    assert connection.send(mapped).startswith("HTTP/1.1 200 ")
    monkeypatch.setattr(event_server, "hostname", "127.0.0.1")
    assert connection.send(mapped).startswith("HTTP/1.1 400 ")
