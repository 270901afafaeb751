"""Requests that a web server of the program passes on to a hosted device, on each runtime."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from propchange.asyncio.host import host as asyncio_host
from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.local_addresses import InterfaceKind
from propchange.core.publisher.judge import PublisherPolicy
from propchange.core.publisher.outcomes import AnswerUnreported, Refused, Subscribed
from propchange.core.values.state_variables import StateVariable
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.driver.chosen_addresses import ChosenAddresses
from propchange.driver.host import DeviceHost
from propchange.driver.machine import Interfaces
from propchange.driver.passed_requests import as_on_own_listener
from propchange.twisted.host import host as twisted_host
from propchange.upnp.action_methods import action
from propchange.upnp.device import Device, place_device
from propchange.upnp.hosted_url import HostedURL
from propchange.upnp.service import Service
from propchange.upnp.soap import build_call
from tests.asyncio.conftest import raw_subscriber
from tests.driver.announced_device import adapter
from tests.driver.conftest import MemoryRuntime

__all__ = ["raw_subscriber"]

TYPE = "urn:example-org:service:Thermometer:1"
URL = "http://127.0.0.1:8000/a/upnp"
EVENT, CONTROL = "/Thermometer/event", "/Thermometer/control"
LOCAL = Endpoint("127.0.0.1", 8000)
PEER = Endpoint("127.0.0.1", 40_000)
Until = Callable[[Callable[[], object]], Awaitable[None]]


class Thermometer(Service, type=TYPE):
    temperature = StateVariable("i4", initial=20)
    done = 0
    waits: Any = None

    @action
    def set_temperature(self, temperature: int) -> None:
        self.temperature = temperature

    @action
    async def set_slowly(self, temperature: int) -> None:
        self.temperature = temperature
        await self.waits
        self.done += 1


@pytest.fixture
def thermometer() -> Thermometer:
    return Thermometer()


def hosted_on(driven: Any, *services: Service, **options: Any) -> Any:
    options = {"listen": False, "url": URL, **options}
    return driven.host(Device("Oven", services=services), **options)


def passed(
    method: str,
    path: str,
    *headers: tuple[bytes, bytes],
    body: bytes = b"",
    host: bytes = b"127.0.0.1:8000",
    peer: Endpoint | None = PEER,
    local: Endpoint | None = LOCAL,
    http_version: str = "1.1",
) -> Request:
    pairs = ((b"host", host), *headers)
    return Request(method, path, pairs, body, peer=peer, local=local, http_version=http_version)


def get(path: str, **options: Any) -> Request:
    return passed("GET", path, **options)


def subscribing(callback: str, path: str = f"/a/upnp{EVENT}", **options: Any) -> Request:
    headers = ((b"callback", f"<{callback}>".encode()), (b"nt", b"upnp:event"))
    return passed("SUBSCRIBE", path, *headers, **options)


def calling(name: str, path: str = f"/a/upnp{CONTROL}", **arguments: str) -> Request:
    headers = (
        (b"content-type", b'text/xml; charset="utf-8"'),
        (b"soapaction", f'"{TYPE}#{name}"'.encode()),
    )
    return passed("POST", path, *headers, body=build_call(TYPE, name, arguments))


# --- settings ---


def test_a_device_without_a_port_needs_the_url_of_its_web_server(host: Any) -> None:
    with pytest.raises(ValueError, match="with listen=False, give the URL below which your web"):
        host(Device("Oven"), listen=False)
    with pytest.raises(ValueError, match="there is no port 8000 to listen on"):
        host(Device("Oven"), listen=False, url=URL, port=8000)
    with pytest.raises(ValueError, match="cannot be the url of a device"):
        host(Device("Oven"), listen=False, url="/upnp")


def test_paths_that_cannot_be_told_apart_behind_a_mount_are_told_at_once(host: Any) -> None:
    service = Service(type=TYPE, event_path="upnp/Thermometer/scpd.xml")
    with pytest.raises(ValueError, match="choose other paths for the service, or another url"):
        host(Device("Oven", services=[service]), listen=False, url=URL)


def test_two_devices_of_one_web_server_have_different_udns(host: Any) -> None:
    urls = [f"http://127.0.0.1:{port}/{path}" for port in (8000, 8001) for path in "ab"]
    udns = [host(Device("Oven"), listen=False, url=url).udn for url in urls]
    assert len(set(udns)) == 4
    assert udns == [host(Device("Oven"), listen=False, url=url).udn for url in urls]


@pytest.fixture(params=[asyncio_host, twisted_host], ids=["asyncio", "twisted"])
def host(request: pytest.FixtureRequest) -> Any:
    return request.param


async def test_it_has_no_port_and_the_description_is_at_the_given_url(
    driven: Any, thermometer: Thermometer
) -> None:
    async with hosted_on(driven, thermometer) as hosted:
        assert hosted.description_url == f"{URL}/description.xml"
        assert hosted.description_urls == (f"{URL}/description.xml",)
        with pytest.raises(RuntimeError, match="this device opens no port"):
            _ = hosted.port
        assert f"{URL}/description.xml" in repr(hosted)


# --- paths ---


async def test_documents_lead_back_below_the_url_whatever_the_web_server_takes_from_the_path(
    driven: Any, thermometer: Thermometer
) -> None:
    async with hosted_on(driven, thermometer) as hosted:
        documents = {
            hosted.receive(get(f"{rest}/description.xml")).body for rest in ("/a/upnp", "/upnp", "")
        }
        (document,) = documents
        assert b"<SCPDURL>/a/upnp/Thermometer/scpd.xml</SCPDURL>" in document
        assert f"<controlURL>/a/upnp{CONTROL}</controlURL>".encode() in document
        assert f"<eventSubURL>/a/upnp{EVENT}</eventSubURL>".encode() in document
        for rest in ("/a/upnp", "/upnp", ""):
            assert hosted.receive(get(f"{rest}/Thermometer/scpd.xml?x=1")).status == 200
            assert hosted.receive(calling("SetTemperature", rest + CONTROL)).status == 500
            assert hosted.receive(get(rest + CONTROL)).status == 405
            assert hosted.receive(get(rest + EVENT)).status == 405


@pytest.mark.parametrize(
    "path",
    ["/", "/a", "/a/upnp", "/a/description.xml", "/upnp/a/description.xml", "/x/description.xml",
     "/a/upnp/upnp/description.xml", "/a/a/upnp/description.xml", "*", "/description.xm",
     "/upnp/Thermometer", "/Thermometer/description.xml"],
)  # fmt: skip
async def test_nothing_else_is_answered_but_404(
    driven: Any, thermometer: Thermometer, path: str
) -> None:
    async with hosted_on(driven, thermometer) as hosted:
        for method in ("GET", "HEAD", "POST", "SUBSCRIBE", "UNSUBSCRIBE", "NOTIFY", "X"):
            assert hosted.receive(passed(method, path)).status == 404


async def test_the_paths_that_services_choose_are_below_the_url_too(driven: Any) -> None:
    service = Service(
        type=TYPE,
        variables=[StateVariable("i4", name="A", initial=0)],
        event_path="MediaServer/Queue/Event",
        scpd_path="/xml/Queue1.xml",
    )
    silent = Service(type=TYPE.replace("Thermometer", "Silent"), event_path="quiet")
    async with hosted_on(driven, service, silent) as hosted:
        document = hosted.receive(get("/a/upnp/description.xml")).body
        assert b"<eventSubURL>/a/upnp/MediaServer/Queue/Event</eventSubURL>" in document
        for rest in ("/a/upnp", "/upnp", ""):
            assert hosted.receive(get(f"{rest}/xml/Queue1.xml")).status == 200
            asked = subscribing("http://127.0.0.1:9/", f"{rest}/MediaServer/Queue/Event")
            response = hosted.receive(asked)
            assert response.status == 200
            hosted.response_lost(response)
            assert hosted.receive(subscribing("http://127.0.0.1:9/", f"{rest}/quiet")).status == 404


async def test_a_service_with_on_action_gets_the_request_at_its_own_url(driven: Any) -> None:
    targets = []

    def on_action(request: Request) -> Response:
        targets.append(request.target)
        return Response(200, (), b"x")

    service = Service(type=TYPE, on_action=on_action)
    async with hosted_on(driven, service) as hosted:
        for rest in ("/a/upnp", "/upnp", ""):
            assert hosted.receive(passed("POST", f"{rest}{CONTROL}?b")).status == 200
    assert targets == 3 * [f"/a/upnp{CONTROL}?b"]


async def test_a_target_in_absolute_form_is_that_of_its_host(
    driven: Any, thermometer: Thermometer
) -> None:
    async with hosted_on(driven, thermometer) as hosted:
        assert hosted.receive(get(f"{URL}/description.xml")).status == 200
        for other in ("http://127.0.0.1:8001/description.xml", "https://127.0.0.1:8000/", "x"):
            assert hosted.receive(get(other)).status == 400
        assert hosted.receive(passed("CONNECT", "127.0.0.1:8000")).status == 405


# --- guards ---


@pytest.mark.parametrize(
    ("host", "local", "status"),
    [
        (b"nas.local:8000", LOCAL, 200),
        (b"NAS.local:8000", None, 200),
        (b"127.0.0.1:8000", LOCAL, 200),
        (b"127.0.0.1:8000", None, 400),
        (b"127.0.0.1:8000", Endpoint("testserver", 8000), 400),
        (b"nas.local", LOCAL, 400),
        (b"nas.local:80", None, 400),
        (b"evil.example:8000", LOCAL, 400),
        (b"evil.example", None, 400),
        (b"", LOCAL, 400),
    ],
)
async def test_host_names_the_url_or_the_address_of_the_connection(
    driven: Any, thermometer: Thermometer, host: bytes, local: Endpoint | None, status: int
) -> None:
    async with hosted_on(driven, thermometer, url="http://nas.local:8000/upnp", announce=False) as (
        hosted
    ):
        asked = {"host": host, "local": local}
        assert hosted.receive(get("/upnp/description.xml", **asked)).status == status
        granted = hosted.receive(subscribing("http://127.0.0.1:9/", f"/upnp{EVENT}", **asked))
        assert granted.status == (412 if status == 200 else status)  # a peer on loopback
        called = calling("SetTemperature", f"/upnp{CONTROL}", Temperature="3")
        called = Request(
            "POST", called.target, ((b"host", host), *called.headers[1:]), called.body,
            peer=PEER, local=local,
        )  # fmt: skip
        assert hosted.receive(called).status == status


async def test_a_web_page_of_another_site_calls_no_action(
    driven: Any, thermometer: Thermometer
) -> None:
    async with hosted_on(driven, thermometer) as hosted:
        asked = calling("SetTemperature", Temperature="3")
        for origin, status in ((b"http://evil.example", 403), (b"http://127.0.0.1:8000", 200)):
            headers = (*asked.headers, (b"origin", origin))
            page = Request("POST", asked.target, headers, asked.body, peer=PEER, local=LOCAL)
            assert hosted.receive(page).status == status


SMALL = Limits(target_bytes=64, header_count=8, header_bytes=512, body_bytes=1_000)


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (get("/a/upnp/description.xml?" + 99 * "x"), 414),
        (passed("GET", "/a/upnp/description.xml", *(8 * ((b"x", b"y"),))), 431),
        (passed("GET", "/a/upnp/description.xml", (b"x", 500 * b"y")), 431),
        (get("/a/upnp/description.xml", body=1_001 * b"x"), 413),
        (passed("POST", f"/a/upnp{CONTROL}", body=1_001 * b"x"), 413),
        (subscribing("http://127.0.0.1:9/", body=1_001 * b"x"), 413),
        (passed("GET", "/a/upnp/description.xml", *(5 * ((b"x", b"y"),)), body=1_000 * b"x"), 200),
    ],
)
async def test_the_caps_hold_although_the_web_server_allows_more(
    driven: Any, thermometer: Thermometer, asked: Request, status: int
) -> None:
    async with hosted_on(driven, thermometer, limits=SMALL) as hosted:
        response = hosted.receive(asked)
        assert response.status == status
        fields = response.fields
        assert fields[b"date"].endswith(b"GMT")
        assert b"UPnP/1.1" in fields[b"server"]
        assert response.close is (status != 200)


async def test_requests_to_an_excluded_interface_are_refused(
    driven: Any, thermometer: Thermometer
) -> None:
    async with hosted_on(driven, thermometer, exclude=["lo"]) as hosted:
        assert hosted.receive(get("/a/upnp/description.xml")).status == 403
        assert hosted.receive(get("/a/upnp/description.xml", local=None)).status == 200


async def test_a_request_of_http_2_is_answered_as_one_of_http_1_1(
    driven: Any, thermometer: Thermometer
) -> None:
    async with hosted_on(driven, thermometer) as hosted:
        for version, answered in (("1.0", "1.0"), ("1.1", "1.1"), ("2", "1.1"), ("3", "1.1")):
            for path in ("/a/upnp/description.xml", f"/a/upnp{CONTROL}", "/x", f"/a/upnp{EVENT}"):
                response = hosted.receive(get(path, http_version=version))
                assert response.http_version == answered


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"method": "GET"}, "receive() takes a propchange.Request, not dict"),
        (b"GET / HTTP/1.1\r\n\r\n", "receive() takes a propchange.Request, not bytes"),
        (Request("GET", "/", [("Host", "a")]), "are pairs of bytes such as (b"),  # type: ignore[list-item] # that is the test
        (Request("GET", "/", {"Host": "a"}), "of a mapping of str they are [(n.encode"),  # type: ignore[arg-type] # that is the test
        (Request("GET", "/", [(b"Host", b"a")], "x"), "the body of a Request is bytes, not str"),  # type: ignore[arg-type] # that is the test
        (Request(b"GET", "/", []), "method and target of a Request are str"),  # type: ignore[arg-type] # that is the test
    ],
)
async def test_what_is_no_request_of_bytes_is_a_type_error_that_says_what_it_should_be(
    driven: Any, thermometer: Thermometer, wrong: Any, says: str
) -> None:
    async with hosted_on(driven, thermometer) as hosted:
        with pytest.raises(TypeError) as told:
            hosted.receive(wrong)
    assert says in str(told.value)


# --- threads, beginning and end ---


async def test_the_thread_of_the_loop_passes_requests_on(
    driven: Any, thermometer: Thermometer
) -> None:
    raised: list[str] = []
    async with hosted_on(driven, thermometer) as hosted:
        response = hosted.receive(get("/a/upnp/description.xml"))

        def elsewhere() -> None:
            for call in (
                lambda: hosted.receive(get("/a/upnp/description.xml")),
                lambda: hosted.response_sent(response),
                lambda: hosted.response_lost(response),
            ):
                with pytest.raises(RuntimeError) as told:
                    call()
                raised.append(str(told.value))

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    use = "reactor.callFromThread" if driven.kind == "twisted" else "loop.call_soon_threadsafe"
    assert f"{use}(hosted.receive, request)" in raised[0]
    assert f"{use}(hosted.response_sent, response)" in raised[1]
    assert f"{use}(hosted.response_lost, response)" in raised[2]


async def test_before_and_after_its_time_the_answer_is_503(
    driven: Any, thermometer: Thermometer
) -> None:
    hosted = hosted_on(driven, thermometer)
    early = hosted.receive(get("/a/upnp/description.xml"))
    assert early.status == 503
    hosted.response_sent(early)
    async with hosted:
        granted = hosted.receive(subscribing("http://127.0.0.1:9/"))
        assert granted.status == 200
    for asked in (get("/a/upnp/description.xml"), get("/x"), subscribing("http://127.0.0.1:9/")):
        assert hosted.receive(asked).status == 503
    hosted.response_sent(granted)
    hosted.response_lost(granted)


# --- answers that take time, answers that a program makes ---


async def test_an_action_that_waits_is_answered_by_an_awaitable(
    driven: Any, thermometer: Thermometer
) -> None:
    thermometer.waits = driven.runtime.future()
    async with hosted_on(driven, thermometer) as hosted:
        answer = hosted.receive(calling("SetSlowly", Temperature="3"))
        assert not isinstance(answer, Response)
        thermometer.waits.set_result(None)
        response = await answer
        assert response.status == 200
        hosted.response_sent(response)


@pytest.mark.slow
async def test_an_action_runs_to_its_end_although_the_web_server_waits_no_longer(
    driven: Any, thermometer: Thermometer, until: Until
) -> None:
    thermometer.waits = driven.runtime.future()
    async with hosted_on(driven, thermometer) as hosted:
        answer = hosted.receive(calling("SetSlowly", Temperature="3"))
        answer.cancel()
        thermometer.waits.set_result(None)
        await until(lambda: thermometer.done == 1)
        # The events of the action wait for no answer any more.
        assert await hosted.drain(5)


async def test_an_answer_that_is_not_made_at_the_end_is_a_501_of_the_action(
    driven: Any, thermometer: Thermometer
) -> None:
    thermometer.waits = driven.runtime.future()
    async with hosted_on(driven, thermometer) as hosted:
        answer = hosted.receive(calling("SetSlowly", Temperature="3"))
        await asyncio.sleep(0)
    response = await answer
    assert (response.status, b"501" in response.body) == (500, True)


async def test_an_on_action_that_does_not_answer_by_the_end_is_answered_503(driven: Any) -> None:
    waits = driven.runtime.future()
    service = Service(type=TYPE, on_action=lambda request: waits)
    async with hosted_on(driven, service) as hosted:
        answer = hosted.receive(passed("POST", f"/a/upnp{CONTROL}"))
    assert (await answer).status == 503


@pytest.mark.parametrize(
    "given",
    [
        Response(200, ((b"X", b"a\r\nY: b"),)),
        Response(200, ((b"CONTENT-LENGTH", b"3"),)),
        Response(200, ((b"TRANSFER-ENCODING", b"chunked"),)),
        Response(200, (), 2_097_153 * b"x"),
        None,
        "text",
        ZeroDivisionError(),
    ],
    ids=repr,
)
@pytest.mark.parametrize("awaited", [False, True])
async def test_what_a_program_answers_wrongly_is_a_500_that_is_logged(
    driven: Any, caplog: pytest.LogCaptureFixture, given: Any, *, awaited: bool
) -> None:
    def answer(request: Request) -> Any:
        if isinstance(given, Exception):
            raise given
        return given

    async def answer_later(request: Request) -> Any:
        return answer(request)

    service = Service(type=TYPE, on_action=answer_later if awaited else answer)
    async with hosted_on(driven, service) as hosted:
        response = hosted.receive(passed("POST", f"/a/upnp{CONTROL}"))
        if not isinstance(response, Response):
            response = await response
        assert (response.status, response.body) == (500, b"")
        assert "no answer was made to <Request POST" in caplog.text


# --- what became of an answer ---


async def test_the_initial_event_waits_until_the_answer_has_left(
    driven: Any, thermometer: Thermometer, raw_subscriber: Any, until: Until
) -> None:
    async with hosted_on(driven, thermometer) as hosted, raw_subscriber() as subscriber:
        granted = hosted.receive(subscribing(subscriber.url))
        thermometer.temperature = 3
        await asyncio.sleep(0.1)
        assert not subscriber.requests
        hosted.response_sent(granted)
        hosted.response_sent(granted)  # once is enough
        await until(lambda: subscriber.requests)
        assert b"3" in subscriber.requests[0].body
        await hosted.subscribed()
        assert len(subscriber.requests) == 1


async def test_an_answer_that_is_lost_takes_its_subscription_along(
    driven: Any, thermometer: Thermometer, raw_subscriber: Any
) -> None:
    async with hosted_on(driven, thermometer) as hosted, raw_subscriber() as subscriber:
        granted = hosted.receive(subscribing(subscriber.url))
        assert len(hosted.subscriptions) == 1
        hosted.response_lost(granted)
        assert hosted.subscriptions == ()
        hosted.response_sent(granted)
        await asyncio.sleep(0.1)
        assert not subscriber.requests


@pytest.mark.slow
async def test_a_web_server_that_never_tells_keeps_no_subscription_and_holds_no_event(
    driven: Any, thermometer: Thermometer, raw_subscriber: Any, until: Until,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    limits = Limits(unreported_answer_seconds=0.5, unread_answer_seconds=0.2)
    async with (
        hosted_on(driven, thermometer, limits=limits) as hosted,
        raw_subscriber() as subscriber,
    ):
        hosted.response_sent(hosted.receive(subscribing(subscriber.url)))
        await hosted.subscribed()
        granted = hosted.receive(subscribing(subscriber.url))
        called = hosted.receive(calling("SetTemperature", Temperature="7"))
        assert (granted.status, called.status) == (200, 200)
        assert called.receipt is not None
        await until(lambda: len(subscriber.requests) == 2)  # although nobody told
        assert b"7" in subscriber.requests[1].body
        await until(lambda: len(hosted.subscriptions) == 1)
        assert "call response_sent() or response_lost()" in caplog.text
        assert {each.fields["sid"] for each in subscriber.requests} == {hosted.subscriptions[0].sid}


async def test_the_events_of_an_action_follow_its_answer(
    driven: Any, thermometer: Thermometer, raw_subscriber: Any, until: Until
) -> None:
    async with hosted_on(driven, thermometer) as hosted, raw_subscriber() as subscriber:
        hosted.response_sent(hosted.receive(subscribing(subscriber.url)))
        await hosted.subscribed()
        called = hosted.receive(calling("SetTemperature", Temperature="7"))
        await asyncio.sleep(0.1)
        assert len(subscriber.requests) == 1
        hosted.response_sent(called)
        await until(lambda: len(subscriber.requests) == 2)


async def test_the_tap_sees_the_requests_and_responses_that_were_passed(
    driven: Any, thermometer: Thermometer, until: Until
) -> None:
    taps: list[Any] = []
    thermometer.waits = driven.runtime.future()
    async with hosted_on(driven, thermometer, tap=taps.append) as hosted:
        asked = get("/upnp/description.xml")
        response = hosted.receive(asked)
        assert taps == [asked, response]
        granted = hosted.receive(subscribing("http://127.0.0.1:9/"))
        hosted.response_lost(granted)
        called = calling("SetSlowly", Temperature="3")
        answer = hosted.receive(called)
        thermometer.waits.set_result(None)
        responses = [await answer]
        assert [each for each in taps if isinstance(each, Response)][2:] == responses
        assert [each for each in taps if isinstance(each, Request)][2] is called
        await until(lambda: any(isinstance(each, Subscribed) for each in taps))


# --- subscribers behind a proxy ---

LAN = Endpoint("10.0.0.7", 50_000)
HERE = Endpoint("10.0.0.1", 8000)


class Proxied:
    """A device in memory on a machine with the address 10.0.0.1, whose requests a proxy passes."""

    def __init__(
        self,
        memory: MemoryRuntime,
        url: str = "http://10.0.0.1:8000",
        *,
        exclude: Sequence[str] = (),
        **policy: Any,
    ) -> None:
        self.memory = memory
        self.service = Thermometer()
        self.taps: list[object] = []
        interfaces = Interfaces(
            clock=memory.now,
            adapters=lambda: [
                adapter("lo", "127.0.0.1", index=1),
                adapter("eth0", HERE.host, index=2),
            ],
            kind_of=lambda name, _: (
                InterfaceKind.LOOPBACK if name == "lo" else InterfaceKind.ORDINARY
            ),
        )  # fmt: skip
        at = HostedURL.of(url)
        self.device = DeviceHost(
            memory,  # type: ignore[arg-type] # it has what is used here
            place_device(Device("Oven", services=[self.service]), "uuid:1"),
            policy=PublisherPolicy(hosts=frozenset({at.authority}), own_prefix=at.prefix, **policy),
            limits=DEFAULT_LIMITS,
            chosen=ChosenAddresses(interfaces, exclude=exclude),
            url=at,
            listens=False,
            tap=self.taps.append,
        )

    async def open(self) -> Proxied:
        await self.device.open(0)
        return self

    def ask(self, request: Request) -> Response:
        response = self.device.passed.receive(request)
        assert isinstance(response, Response)
        if response.receipt is not None:
            self.device.passed.response_sent(response)
        self.memory.advance()
        return response

    def subscribe(self, callback: str = "http://10.0.0.7:9000/", **options: Any) -> Response:
        options = {"host": b"10.0.0.1:8000", "peer": LAN, **options}
        return self.ask(subscribing(callback, EVENT, **options))


@pytest.mark.parametrize(
    "local",
    [None, Endpoint("127.0.0.1", 9000), Endpoint("::1", 9000), Endpoint("::ffff:127.0.0.1", 9000),
     Endpoint("unix", 0)],
)  # fmt: skip
async def test_events_to_a_subscriber_behind_a_proxy_leave_from_no_loopback_address(
    memory: MemoryRuntime, local: Endpoint | None
) -> None:
    proxied = await Proxied(memory).open()
    granted = proxied.subscribe(local=local)
    assert granted.status == 200
    (attempt,) = memory.connects
    assert (attempt.endpoint, attempt.source) == (Endpoint("10.0.0.7", 9000), None)
    sid = granted.fields[b"sid"]
    for other in (local, HERE, None, Endpoint("127.0.0.1", 1)):
        renewal = passed(
            "SUBSCRIBE", EVENT, (b"sid", sid), host=b"10.0.0.1:8000", peer=LAN, local=other
        )
        assert proxied.ask(renewal).status == 200
    await proxied.device.close()


async def test_a_subscriber_that_reaches_the_web_server_itself_gets_events_from_that_address(
    memory: MemoryRuntime,
) -> None:
    proxied = await Proxied(memory).open()
    for peer, local in (
        (LAN, HERE),
        (Endpoint("::ffff:10.0.0.7", 1), Endpoint("::ffff:10.0.0.1", 8000)),
    ):
        assert proxied.subscribe(peer=peer, local=local).status == 200
        assert memory.connects[-1].source == HERE._replace(port=0)
        memory.connects[-1].succeed().lose()
        memory.advance()
    await proxied.device.close()


@pytest.mark.parametrize("callback", ["http://10.0.0.7/", "http://127.0.0.1:22/"])
@pytest.mark.parametrize("local", [None, HERE, Endpoint("127.0.0.1", 9000)])
async def test_a_proxy_that_hides_the_subscriber_is_told_from_a_subscriber_of_this_machine(
    memory: MemoryRuntime, callback: str, local: Endpoint | None
) -> None:
    """Every host could otherwise have events sent to the services of this machine."""
    proxied = await Proxied(memory).open()
    for proxy in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
        assert proxied.subscribe(callback, peer=Endpoint(proxy, 1), local=local).status == 412
    why = [each.reason for each in proxied.taps if isinstance(each, Refused)]
    assert "".join(why).count("a proxy of this machine does not pass it on") == 3
    own = {"peer": Endpoint(HERE.host, 1), "local": local}
    assert proxied.subscribe("http://10.0.0.1:9999/", **own).status == 200
    await proxied.device.close()


@pytest.mark.parametrize(
    ("callback", "peer", "why"),
    [
        ("http://203.0.113.5/", LAN, "which is not on the network of 10.0.0.1"),
        ("http://10.0.0.7/", Endpoint("203.0.113.5", 1), "has no network with 203.0.113.5"),
        ("http://10.0.0.7/", None, "the address of the subscriber is not known"),
        ("http://10.0.0.7/", Endpoint("proxy.local", 1), "the address of the subscriber is not"),
        ("http://127.0.0.1/", LAN, "the device itself"),
        ("http://10.0.0.1/", LAN, "an address of the device's own machine"),
    ],
)
@pytest.mark.parametrize("local", [None, Endpoint("127.0.0.1", 9000)])
async def test_no_proxy_lets_a_subscriber_name_addresses_of_others(
    memory: MemoryRuntime, callback: str, peer: Endpoint | None, why: str, local: Endpoint | None
) -> None:
    proxied = await Proxied(memory).open()
    assert proxied.subscribe(callback, peer=peer, local=local).status == 412
    (refused,) = (each for each in proxied.taps if isinstance(each, Refused))
    assert why in refused.reason
    assert not memory.connects
    await proxied.device.close()


async def test_any_callback_may_be_allowed_without_the_address_of_the_subscriber(
    memory: MemoryRuntime,
) -> None:
    proxied = await Proxied(memory, callbacks="any").open()
    assert proxied.subscribe("http://203.0.113.5/", peer=None, local=None).status == 200
    assert proxied.subscribe("http://127.0.0.1/", peer=None, local=None).status == 412
    await proxied.device.close()


async def test_a_control_point_of_the_same_web_server_hears_the_device(
    memory: MemoryRuntime,
) -> None:
    """Both are mounted in one program."""
    proxied = await Proxied(memory, "http://10.0.0.1:8000/upnp").open()
    own = {"peer": Endpoint("10.0.0.1", 40_000), "local": HERE}
    assert proxied.subscribe("http://10.0.0.1:8000/events/x", **own).status == 200
    assert proxied.subscribe("http://10.0.0.1:8000/upnp/x", **own).status == 412
    await proxied.device.close()


async def test_a_subscription_whose_answer_nobody_tells_of_ends_and_is_logged(
    memory: MemoryRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    proxied = await Proxied(memory).open()
    response = proxied.device.passed.receive(
        subscribing("http://10.0.0.7:9000/", EVENT, host=b"10.0.0.1:8000", peer=LAN, local=HERE)
    )
    assert isinstance(response, Response)
    memory.advance(DEFAULT_LIMITS.unreported_answer_seconds + 31)
    assert not list(proxied.device.publication.protocol.subscriptions)
    assert [each for each in proxied.taps if isinstance(each, AnswerUnreported)]
    assert "call response_sent() or response_lost()" in caplog.text
    await proxied.device.close()


# --- where it is announced ---


@pytest.mark.parametrize(
    ("url", "exclude", "warned"),
    [
        ("http://10.0.0.1:8000", ["eth0"], True),
        ("http://10.0.0.1:8000", ["lo"], False),
        ("http://10.0.0.2:8000", ["eth0"], False),
        ("http://nas.local:8000", ["eth0"], False),
    ],
)
async def test_a_url_on_an_interface_that_is_left_out_is_warned_of(
    memory: MemoryRuntime, caplog: pytest.LogCaptureFixture, url: str, exclude: list[str], *,
    warned: bool,
) -> None:  # fmt: skip
    proxied = await Proxied(memory, url, exclude=exclude).open()
    what = "the device is not announced: 10.0.0.1 in url is an address of eth0"
    assert (what in caplog.text) is warned
    await proxied.device.close()


# --- ends as web servers write them ---


@pytest.mark.parametrize(
    ("given", "usual"),
    [
        (Endpoint("10.0.0.1", 5), Endpoint("10.0.0.1", 5)),
        (Endpoint("::ffff:10.0.0.1", 5), Endpoint("10.0.0.1", 5)),
        (Endpoint("2001:DB8:0::1", 5), Endpoint("2001:db8::1", 5)),
        (Endpoint("fe80::1%3", 5), Endpoint("fe80::1", 5, 3)),
        (Endpoint("fe80::1%lo", 5), Endpoint("fe80::1", 5, 1)),
        (Endpoint("fe80::1%nothing", 5), Endpoint("fe80::1", 5)),
        (Endpoint("fe80::1", 5, 2), Endpoint("fe80::1", 5, 2)),
        (Endpoint("testclient", 50_000), None),
        (Endpoint("/run/app.sock", 0), None),
        (Endpoint("", 0), None),
        (None, None),
    ],
)
def test_the_ends_of_a_connection_are_taken_as_web_servers_write_them(
    given: Endpoint | None, usual: Endpoint | None
) -> None:
    made = Request("GET", "/", ((b"A", b"b"),), b"x", peer=given, local=given, keep_alive=False)
    read = as_on_own_listener(made)
    assert (read.peer, read.local) == (usual, usual)
    assert (read.method, read.target, read.body) == ("GET", "/", b"x")
    assert (read.keep_alive, read.fields) == (False, {b"a": b"b"})
