"""propchange.twisted.Site: its caps apply before a resource renders."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.web.error import UnsupportedMethod
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from propchange.core.limits import DEFAULT_LIMITS
from propchange.twisted import Site

LIMITS = dataclasses.replace(
    DEFAULT_LIMITS,
    header_bytes=400,
    header_count=5,
    target_bytes=40,
    body_bytes=100,
    connections=3,
    connections_per_address=2,
)


class Echo(Resource):
    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.rendered: list[bytes] = []

    def render(self, request: Any) -> bytes:
        self.rendered.append(request.content.read())
        return b"ok"


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def site(echo: Echo, reactor: Any) -> Site:
    return Site(echo, limits=LIMITS, reactor=reactor)


@pytest.fixture
def wire(site: Site, connect: Any) -> Any:
    return connect(site)


def post(body: bytes, *lines: str) -> bytes:
    head = ["POST / HTTP/1.1", "Host: 127.0.0.1", *lines, "", ""]
    return "\r\n".join(head).encode() + body


def chunked(*chunks: bytes) -> bytes:
    parts = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b"")]
    return post(b"".join(parts), "Transfer-Encoding: chunked")


@pytest.mark.parametrize("step", [0, 1])
def test_what_is_within_the_caps_is_rendered(wire: Any, echo: Echo, step: int) -> None:
    for _ in range(2):
        (response,) = wire.send(post(b"a" * 100, "Content-Length: 100"), step=step)
        assert (response.status, response.body) == (200, b"ok")
        (response,) = wire.send(chunked(b"b" * 60, b"c" * 40), step=step)
        assert response.status == 200
    assert [len(body) for body in echo.rendered] == [100] * 4


@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize(
    ("data", "status"),
    [
        (post(b"", "Content-Length: 101"), 413),
        (post(b"a" * 300, "Content-Length: 300"), 413),
        (chunked(b"a" * 60, b"b" * 41), 413),
        (post(b"", *[f"X{number}: y" for number in range(6)]), 431),
        (post(b"", "X: " + "y" * 500), 431),
        (b"GET /" + b"a" * 200 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    ],
    ids=["length", "body", "chunks", "lines", "line", "target"],
)
def test_what_is_beyond_a_cap_is_refused_before_it_is_rendered(
    wire: Any, echo: Echo, data: bytes, status: int, step: int
) -> None:
    (response,) = wire.send(data, step=step)
    assert response.status == status
    assert response.close
    assert echo.rendered == []
    assert wire.send(post(b"", "Content-Length: 0")) == []


def test_a_refused_peer_is_read_for_a_while_and_not_for_long(wire: Any, reactor: Any) -> None:
    wire.send(post(b"", "Content-Length: 101"))
    assert not wire.transport.disconnecting
    reactor.advance(2)
    assert wire.transport.disconnecting


def test_a_refused_peer_that_goes_on_is_cut_off(wire: Any) -> None:
    wire.send(post(b"", "Content-Length: 101"))
    wire.channel.dataReceived(b"x" * 101)
    assert wire.transport.disconnecting


def test_a_request_that_comes_too_slowly_is_answered_408(wire: Any, reactor: Any) -> None:
    wire.channel.dataReceived(b"POST / HT")
    reactor.advance(31)
    (response,) = wire.send(b"T")
    assert response.status == 408


def test_a_request_that_stops_halfway_is_answered_408_in_time(wire: Any, reactor: Any) -> None:
    wire.send(post(b"", "Content-Length: 0"))
    reactor.advance(20)
    wire.channel.dataReceived(post(b"a", "Content-Length: 2"))
    reactor.pump([10, 10, 9])
    assert wire.read() == []
    reactor.advance(1)
    (response,) = wire.read()
    assert response.status == 408
    wire.close()
    assert reactor.getDelayedCalls() == []


def test_a_stray_line_end_after_a_body_is_no_request(wire: Any, reactor: Any) -> None:
    wire.send(post(b"a", "Content-Length: 1") + b"\r\n")
    wire.channel.dataReceived(b"")
    reactor.advance(40)
    (response,) = wire.send(post(b"a", "Content-Length: 1"))
    assert response.status == 200


def test_a_leading_line_end_does_not_lift_the_cap_on_the_target(wire: Any, echo: Echo) -> None:
    (response,) = wire.send(b"\r\nGET /" + b"a" * 200 + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert response.status == 414
    assert echo.rendered == []


def test_a_full_table_ends_the_connection_that_was_idle_for_longest(
    site: Site, connect: Any, reactor: Any
) -> None:
    wires = []
    for host in (1, 2, 3):
        wires.append(connect(site, peer=IPv4Address("TCP", f"127.0.0.{host}", 4000)))
        reactor.advance(1)
    wires[0].send(post(b"", "Content-Length: 0"))
    newest = connect(site, peer=IPv4Address("TCP", "127.0.0.4", 4000))
    assert not newest.transport.disconnecting
    assert [wire.transport.disconnecting for wire in wires] == [False, True, False]


def test_an_address_with_too_many_connections_loses_its_own_longest_idle_one(
    echo: Echo, connect: Any, reactor: Any
) -> None:
    limits = dataclasses.replace(LIMITS, connections=9)
    site = Site(echo, limits=limits, reactor=reactor)
    wires = []
    for host in (1, 2, 2):
        wires.append(connect(site, peer=IPv4Address("TCP", f"127.0.0.{host}", 4000)))
        reactor.advance(1)
    newest = connect(site, peer=IPv4Address("TCP", "127.0.0.2", 4000))
    assert not newest.transport.disconnecting
    assert [wire.transport.disconnecting for wire in wires] == [False, True, False]


def test_closing_ends_the_connections_and_leaves_nothing(
    site: Site, connect: Any, reactor: Any
) -> None:
    wires = [connect(site), connect(site)]
    wires[0].channel.dataReceived(b"POST ")
    closed = site.close()
    left: list[Any] = []
    closed.addCallback(lambda _: left.extend(reactor.getDelayedCalls()))
    assert not closed.called
    for wire in wires:
        assert wire.transport.disconnecting
        wire.close()
    assert closed.called
    assert left == []


def test_an_idle_connection_is_ended(wire: Any, reactor: Any) -> None:
    reactor.pump([40, 40])
    assert wire.transport.disconnecting


def test_connections_are_bounded_together_and_from_one_address(site: Site, connect: Any) -> None:
    peers = [IPv4Address("TCP", f"127.0.0.{host}", 4000) for host in (1, 2, 3)]
    first, second = connect(site, peer=peers[0]), connect(site, peer=peers[0])
    for busy in (first, second):
        busy.channel.dataReceived(b"POST ")
    third = connect(site, peer=peers[0])
    assert [wire.transport.disconnecting for wire in (first, second, third)] == [True, False, False]
    other = connect(site, peer=peers[1])
    other.channel.dataReceived(b"POST ")
    # The address that has most makes room, but not by the peer that has just connected.
    assert not connect(site, peer=peers[2]).transport.disconnecting
    assert second.transport.disconnecting
    assert not third.transport.disconnecting
    assert not other.transport.disconnecting


@pytest.mark.clause("SUB-75")
@pytest.mark.parametrize("method", ["SUBSCRIBE", "FOO", "PUT", "POST"])
def test_a_resource_without_the_method_is_a_405_that_tells_which_it_has(
    connect: Any, reactor: Any, method: str
) -> None:
    page = type("Page", (Resource,), {"isLeaf": True, "render_GET": lambda *_: b"page"})
    wire = connect(Site(page(), limits=LIMITS, reactor=reactor))
    (response,) = wire.send(post(b"", "Content-Length: 0").replace(b"POST", method.encode()))
    assert response.status == 405
    assert {name.strip() for name in response.fields[b"allow"].split(b",")} == {b"GET", b"HEAD"}
    (response,) = wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (response.status, response.body) == (200, b"page")


def test_a_resource_that_has_only_get_is_asked_for_that_at_a_head(
    connect: Any, reactor: Any
) -> None:
    class Only(Resource):
        isLeaf = True

        def render(self, request: Any) -> bytes:
            if request.method == b"GET":
                return b"page"
            raise UnsupportedMethod([b"GET"])

    wire = connect(Site(Only(), limits=LIMITS, reactor=reactor))
    wire.channel.dataReceived(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    head, _, body = wire.transport.value().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert b"content-length: 4" in head.lower()
    assert body == b""


class Later(Resource):
    """Answers when it is told to, without a length."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Any] = []

    def render(self, request: Any) -> int:
        self.requests.append(request)
        return NOT_DONE_YET

    def answer(self, number: int) -> None:
        self.requests[number].write(b"ok")
        self.requests[number].finish()


def test_an_http_1_0_peer_may_keep_its_connection_where_the_answer_has_a_length(
    wire: Any, site: Site, connect: Any, reactor: Any
) -> None:
    ask = b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"
    for _ in range(2):
        (response,) = wire.send(ask)
        assert (response.http_version, response.close, response.body) == ("1.0", False, b"ok")
    later = Later()
    wire = connect(Site(later, reactor=reactor))
    assert wire.send(ask) == []
    later.answer(0)
    assert b"keep-alive" not in wire.transport.value().lower()
    reactor.advance(LIMITS.linger_seconds)
    assert wire.transport.disconnecting


def test_requests_wait_for_the_answer_before_them_and_not_without_bound(
    connect: Any, reactor: Any
) -> None:
    later = Later()
    ask = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    wire = connect(Site(later, reactor=reactor))
    assert wire.send(ask * 3) == []
    assert len(later.requests) == 1
    for number in range(3):
        later.answer(number)
    assert len(wire.read()) == 3
    assert wire.send(ask) == []  # it reads on
    assert wire.send(ask * 40) == []
    assert wire.transport.producerState == "paused"
    for number in range(3, 44):
        assert len(later.requests) == number + 1
        later.answer(number)
    assert len(wire.read()) == 41
    assert wire.transport.producerState == "producing"


def test_what_asks_first_is_told_to_go_on_unless_it_asks_for_too_much(wire: Any) -> None:
    wire.channel.dataReceived(post(b"", "Content-Length: 2", "Expect: 100-continue"))
    assert wire.transport.value() == b"HTTP/1.1 100 Continue\r\n\r\n"
    (response,) = wire.send(b"hi")
    assert response.status == 200
    wire.channel.dataReceived(post(b"", "Content-Length: 200", "Expect: 100-continue"))
    assert wire.transport.value().startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    ("ask", "status"),
    [
        (b"banana\r\n\r\n", 400),
        (b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        (b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    ],
)
@pytest.mark.clause("SUB-44")
@pytest.mark.filterwarnings("ignore:twisted.web.resource._UnsafeNoResource")  # Twisted's own 404
def test_every_answer_names_the_server(
    connect: Any, echo: Echo, reactor: Any, ask: bytes, status: int
) -> None:
    root = Resource()
    root.putChild(b"echo", echo)
    (response,) = connect(Site(root, reactor=reactor)).send(ask)
    assert response.status == status
    assert b" UPnP/1.1 propchange/" in response.fields[b"server"]
    assert response.fields[b"date"].endswith(b" GMT")


@pytest.mark.clause("RSP-02")
def test_a_peer_that_ends_its_half_inside_a_request_is_answered_400(wire: Any, echo: Echo) -> None:
    wire.channel.dataReceived(post(b"ab", "Content-Length: 3"))
    wire.channel.readConnectionLost()
    (response,) = wire.read()
    assert (response.status, response.close) == (400, True)
    assert wire.transport.disconnecting
    assert echo.rendered == []


def test_what_is_asked_of_the_whole_server_is_for_the_root_to_judge(wire: Any, echo: Echo) -> None:
    (response,) = wire.send(b"NOTIFY * HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\n\r\na")
    assert response.status == 200
    assert echo.rendered == [b"a"]
    (response,) = wire.send(b"OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert (response.status, response.body) == (200, b"")


# --- answers that are streamed ---

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Pulled:
    """Writes one part each time it is asked to."""

    def __init__(self, request: Any, parts: list[bytes]) -> None:
        self.request = request
        self.parts = parts
        self.stopped = False
        request.registerProducer(self, False)

    def resumeProducing(self) -> None:
        self.request.write(self.parts.pop(0))
        if not self.parts:
            self.request.unregisterProducer()
            self.request.finish()

    def stopProducing(self) -> None:
        self.stopped = True


class Pushed:
    """Writes when the test says so, and keeps what it is told."""

    def __init__(self, request: Any) -> None:
        self.told: list[str] = []
        request.registerProducer(self, True)

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


@pytest.fixture
def later() -> Later:
    return Later()


def test_a_producer_that_is_pulled_is_asked_again_until_it_is_done(
    later: Later, connect: Any, reactor: Any
) -> None:
    wire = connect(Site(later, reactor=reactor))
    wire.send(GET)
    Pulled(later.requests[0], [b"one", b"two", b"three"])
    reactor.pump([0] * 3)
    (response,) = wire.read()
    assert response.body == b"onetwothree"
    wire.send(GET)
    later.answer(1)
    assert len(wire.read()) == 1


def test_a_producer_that_is_pulled_waits_while_the_peer_does_not_read(
    later: Later, connect: Any, reactor: Any
) -> None:
    wire = connect(Site(later, reactor=reactor))
    wire.send(GET)
    stream = wire.transport.producer
    producer = Pulled(later.requests[0], [b"one", b"two", b"three"])
    assert len(producer.parts) == 2
    stream.pauseProducing()
    reactor.pump([0] * 3)
    assert len(producer.parts) == 2
    stream.resumeProducing()
    assert len(producer.parts) == 1


def test_a_producer_that_pushes_is_paused_with_the_peer(
    later: Later, connect: Any, reactor: Any
) -> None:
    wire = connect(Site(later, reactor=reactor))
    wire.send(GET)
    stream = wire.transport.producer
    producer = Pushed(later.requests[0])
    with pytest.raises(RuntimeError):
        later.requests[0].channel.registerProducer(producer, True)
    stream.pauseProducing()
    stream.resumeProducing()
    assert producer.told == ["pause", "resume"]
    later.requests[0].unregisterProducer()
    stream.pauseProducing()
    late = Pushed(later.requests[0])
    assert late.told == ["pause"]
    assert producer.told == ["pause", "resume"]


def test_who_writes_an_answer_hears_that_the_connection_is_gone(
    later: Later, connect: Any, reactor: Any
) -> None:
    wire = connect(Site(later, reactor=reactor))
    wire.send(GET)
    ends: list[Any] = []
    later.requests[0].notifyFinish().addErrback(ends.append)
    producer = Pushed(later.requests[0])
    wire.close()
    assert producer.told == ["stop"]
    assert ends[0].check(ConnectionDone)


def test_a_peer_that_has_ended_its_half_gets_the_answer_that_is_being_made(
    later: Later, connect: Any, reactor: Any
) -> None:
    wire = connect(Site(later, reactor=reactor))
    wire.send(GET)
    wire.channel.readConnectionLost()
    assert not wire.transport.disconnecting
    later.answer(0)
    (response,) = wire.read()
    assert response.body == b"ok"
    assert wire.transport.disconnecting


def test_a_request_may_end_its_connection(later: Later, connect: Any, reactor: Any) -> None:
    wire = connect(Site(later, reactor=reactor))
    wire.send(GET)
    later.requests[0].loseConnection()
    assert wire.transport.disconnecting


def test_a_form_that_cannot_be_read_is_answered_400(
    later: Later, connect: Any, reactor: Any
) -> None:
    """By a request of ``twisted.web``, which asks its channel for that."""
    wire = connect(Site(later, reactor=reactor))
    wire.send(GET)
    later.requests[0].channel._respondToBadRequestAndDisconnect()
    (response,) = wire.read()
    assert (response.status, response.close) == (400, True)
    assert wire.send(GET) == []


def test_headers_of_older_versions_of_twisted_are_a_list(
    later: Later, connect: Any, reactor: Any
) -> None:
    wire = connect(Site(later, reactor=reactor))
    wire.send(GET)
    channel = later.requests[0].channel
    channel.writeHeaders(b"HTTP/1.1", b"200", b"OK", [(b"X", b"a"), (b"X", b"b")])
    assert wire.transport.value() == b"HTTP/1.1 200 OK\r\nX: a\r\nX: b\r\n\r\n"
