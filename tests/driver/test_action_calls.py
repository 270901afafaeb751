"""Calls of actions on each runtime, with a device of sockets at the other end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.subscriber.outcomes import Granted
from propchange.core.values.state_variables import StateVariable
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.driver.control_point import SubscriberDriver
from propchange.driver.machine import Interfaces, Machine
from propchange.driver.remote import DescribedDevice, DescribedService
from propchange.errors import (
    ActionError,
    ConnectionFailed,
    DescriptionError,
    LocalProtocolError,
    PropchangeError,
    RemoteProtocolError,
    TimedOut,
)
from propchange.upnp.actions import Action, Argument
from propchange.upnp.scpd import ServiceContents
from propchange.upnp.soap import build_answer, build_fault, parse_call
from propchange.upnp.standard import SwitchPower

Until = Callable[[Callable[[], object]], Awaitable[None]]

TYPE = "urn:example-org:service:Thermometer:1"
TARGET = StateVariable("ui1", maximum=100, name="Target")
MODE = StateVariable("string", allowed=["eco", "high"], name="Mode")
ACTIONS = {
    each.name: each
    for each in (
        Action(
            "SetTarget",
            (
                Argument("NewTarget", "in", TARGET),
                Argument("NewMode", "in", MODE),
                Argument("OldTarget", "out", TARGET),
            ),
        ),
        Action("GetTarget", (Argument("Target", "out", TARGET), Argument("Mode", "out", MODE))),
        Action("Reset"),
    )
}


class Held:
    """A subscription of the program."""

    service = None

    def __init__(self) -> None:
        self.grants = 0

    def _receive(self, outcome: Any, /) -> None:
        self.grants += isinstance(outcome, Granted)


class Device(DescribedDevice[DescribedService]):
    _service_type = DescribedService


class Lamp:
    """The service of a raw device as a control point sees it."""

    def __init__(self, driven: Any, driver: SubscriberDriver, device: Device) -> None:
        self.driven, self.driver, self.device = driven, driver, device
        self.service = device.services[0]

    def begin(self, action: Any, *args: Any, **arguments: Any) -> asyncio.Future[Any]:
        called = self.service._call(action, args, arguments)
        return asyncio.ensure_future(self.driven.run(called))

    async def call(self, action: Any, *args: Any, **arguments: Any) -> Any:
        return await self.begin(action, *args, **arguments)

    @property
    def kept(self) -> int:
        return len(self.driver._requests.kept)


@contextlib.asynccontextmanager
async def lamp_of(
    driven: Any,
    raw: Any,
    *,
    url: str = "",
    uda: str = "1.1",
    tap: Any = None,
    exclude: Any = (),
    interface: str | None = "127.0.0.1",
    **limits: Any,
) -> AsyncIterator[Lamp]:
    driver = SubscriberDriver(
        driven.runtime,
        SubscriberPolicy(uda=uda, user_agent="x/1 UPnP/2.0 y/1", friendly_name="Knob"),
        limits=replace(DEFAULT_LIMITS, **limits),
        interfaces=Interfaces(),
        machine=Machine(),
        exclude=exclude,
        tap=tap,
    )
    await driven.run(driver.open(interface, (0,)))
    try:
        url = url or raw.description_url
        device = await driven.run(driver.device(Device, url, None, None))
        device.services[0]._contents = ServiceContents({}, ACTIONS, ())
        raw.requests.clear()
        yield Lamp(driven, driver, device)
    finally:
        await driven.run(driver.close())
        assert not driver._requests._open
        devices = driver.protocol._requests.slots._devices.values()
        assert not any(each.calls or each.calls_under_way for each in devices)


def answering(raw: Any, *answers: Any) -> None:
    """Give the calls these answers in turn, the last one for ever."""
    left = list(answers)
    raw.answers["POST"] = raw.answers["M-POST"] = lambda request: (
        left.pop(0) if len(left) > 1 else left[0]
    )


def answer(action: str = "Reset", more: str = "", status: int = 200, **texts: str) -> bytes:
    body = build_answer(TYPE, action, texts)
    head = f"HTTP/1.1 {status} X\r\n{more}CONTENT-LENGTH: {len(body)}\r\n\r\n"
    return head.encode() + body


def reply(status: int, more: str = "", body: bytes = b"") -> bytes:
    head = f"HTTP/1.1 {status} X\r\n{more}CONTENT-LENGTH: {len(body)}\r\n\r\n"
    return head.encode() + body


# --- one call ---


async def test_a_call_sends_the_texts_of_the_values_and_returns_typed_values(
    driven: Any, raw_device: Any
) -> None:
    async with raw_device() as raw, lamp_of(driven, raw) as lamp:
        answering(raw, answer("SetTarget", OldTarget="7"))
        assert await lamp.call("SetTarget", NewMode="eco", NewTarget=9) == {"OldTarget": 7}
        (request,) = raw.requests
        assert request.first == "POST /control HTTP/1.1"
        assert request.fields["host"] == f"127.0.0.1:{raw.port}"
        assert request.fields["content-type"] == 'text/xml; charset="utf-8"'
        assert request.fields["soapaction"] == f'"{TYPE}#SetTarget"'
        called = parse_call(request.body)
        assert called.service_type == TYPE
        assert list(called.texts.items()) == [("NewTarget", "9"), ("NewMode", "eco")]


@pytest.mark.parametrize(
    ("uda", "names"),
    [("1.0", set()), ("1.1", {"user-agent"}), ("2.0", {"user-agent", "cpfn.upnp.org"})],
)
async def test_a_call_has_the_headers_of_its_architecture(
    driven: Any, raw_device: Any, uda: str, names: set[str]
) -> None:
    async with raw_device() as raw, lamp_of(driven, raw, uda=uda) as lamp:
        answering(raw, answer())
        assert await lamp.call("Reset") == {}
        common = {"host", "content-type", "content-length", "soapaction"}
        assert set(raw.requests[0].fields) == common | names


@pytest.mark.parametrize("status", [500, 200, 400])
async def test_a_fault_is_an_error_with_its_code_whatever_the_status(
    driven: Any, raw_device: Any, status: int
) -> None:
    async with raw_device() as raw, lamp_of(driven, raw) as lamp:
        answering(raw, reply(status, body=build_fault(701, "Door open")), answer())
        with pytest.raises(ActionError, match="701: Door open") as raised:
            await lamp.call("Reset")
        assert raised.value.code == 701
        (note,) = raised.value.__notes__
        assert note.startswith("the answer to Reset of Thermometer of 'Raw' ")
        await lamp.call("Reset")
        assert raw.connections == 2  # the description and the calls


@pytest.mark.parametrize(
    ("action", "arguments", "refusal"),
    [
        ("Open", {}, (LookupError, "no action 'Open'; there are: SetTarget, GetTarget, Reset")),
        ("SetTarget", {"NewTarget": 1}, (TypeError, "NewMode")),
        ("Reset", {"Now": True}, (TypeError, "has no in argument 'Now'")),
        ("SetTarget", {"NewTarget": 101, "NewMode": "eco"}, (ValueError, "from 0 to 100|to 100")),
        ("SetTarget", {"NewTarget": "1", "NewMode": "eco"}, (TypeError, "NewTarget")),
        ("SetTarget", {"NewTarget": 1, "NewMode": "low"}, (ValueError, "'eco' or 'high'")),
        ("Reset", {"timeout": 0}, (ValueError, "timeout")),
        ("Reset", {"timeout": float("nan")}, (ValueError, "timeout")),
        ("Reset", {"timeout": "1"}, (TypeError, "timeout")),
        (7, {}, (TypeError, "an action is its name")),
        (
            SwitchPower().get_status,
            {},
            (TypeError, "of a class, such as Oven.set_temp.*, not <fun"),
        ),
    ],
)
async def test_a_call_that_is_wrong_is_refused_before_anything_is_sent(
    driven: Any, raw_device: Any, action: Any, arguments: Any, refusal: Any
) -> None:
    error, words = refusal
    async with raw_device() as raw, lamp_of(driven, raw) as lamp:
        with pytest.raises(error, match=words):
            await lamp.call(action, **arguments)
        with pytest.raises(TypeError, match="by their names"):
            await lamp.call("Reset", 1)
        assert raw.requests == []


async def test_a_value_that_the_device_has_written_wrongly_is_none_and_is_logged_once(
    driven: Any, raw_device: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with raw_device() as raw, lamp_of(driven, raw) as lamp:
        answering(raw, answer("GetTarget", Target="much", Mode="low"))
        for _ in range(2):
            assert await lamp.call("GetTarget") == {"Target": None, "Mode": "low"}
        answering(raw, answer("GetTarget", Mode="low"))
        assert await lamp.call("GetTarget") == {"Mode": "low"}
    lines = [line for line in caplog.messages if "the answer to GetTarget of Thermometer" in line]
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("bytes_", "expected"),
    [
        (reply(404), (RemoteProtocolError, 404, "status 404")),
        (reply(503, body=b"busy"), (RemoteProtocolError, 503, "status 503")),
        (reply(200, body=b"<html/>"), (RemoteProtocolError, 0, "cannot be read")),
        (b"SSH-2.0-x\r\n\r\n", (RemoteProtocolError, 0, "status line")),
        (reply(301, "LOCATION: /x\r\n"), (RemoteProtocolError, 301, "status 301")),
        (reply(307, "LOCATION: http://192.0.2.1/\r\n"), (RemoteProtocolError, 307, "192.0.2.1")),
        (b"", (ConnectionFailed, None, r"\(it may have run\)")),
    ],
    ids=["404", "503", "no-soap", "no-http", "301", "307-elsewhere", "cut"],
)
async def test_an_answer_that_is_none_is_an_error_that_names_the_action(
    driven: Any, raw_device: Any, bytes_: bytes, expected: Any
) -> None:
    error, status, words = expected
    async with raw_device() as raw, lamp_of(driven, raw) as lamp:
        answering(raw, bytes_)
        with pytest.raises(error, match=words) as raised:
            await lamp.call("Reset")
        assert str(raised.value).startswith("Reset of Thermometer of 'Raw' uuid:raw/urn:")
        assert getattr(raised.value, "status", None) == status
        assert len(raw.requests) == 1


async def test_a_redirect_is_followed(driven: Any, raw_device: Any) -> None:
    async with raw_device() as raw, lamp_of(driven, raw) as lamp:
        answering(raw, reply(307, "LOCATION: /moved\r\n"), answer())
        await lamp.call("Reset")
        assert [each.target for each in raw.requests] == ["/control", "/moved"]
        assert raw.requests[0].body == raw.requests[1].body


async def test_nobody_there_means_that_the_action_has_not_run(driven: Any, raw_device: Any) -> None:
    async with raw_device() as raw, lamp_of(driven, raw) as lamp:
        await raw.__aexit__()
        with pytest.raises(ConnectionFailed, match=r"\(it was not sent\)"):
            await lamp.call("Reset")


async def test_a_service_without_a_usable_control_url_says_so(driven: Any, raw_device: Any) -> None:
    async with raw_device() as raw:
        written = raw.documents["/description.xml"]
        raw.documents["/description.xml"] = written.replace(b">/control<", b"><")
        async with lamp_of(driven, raw) as lamp:
            with pytest.raises(DescriptionError, match="it has no controlURL"):
                await lamp.call("Reset")
        elsewhere = written.replace(b">/control<", b">http://192.0.2.1/control<")
        raw.documents["/description.xml"] = elsewhere
        async with lamp_of(driven, raw) as lamp:
            with pytest.raises(DescriptionError, match=r"the controlURL .* 192\.0\.2\.1"):
                await lamp.call("Reset")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (">/control<", ">https://127.0.0.1/control<", "its controlURL cannot be used"),
        (">/control<", ">http://127.0.0.1:99999/control<", "cannot be called|cannot be used"),
        (">/control<", ">http://[fe80::1%nowhere]/control<", "cannot be used|was dropped"),
        (f">{TYPE}<", f">{TYPE}\u00e9<", "cannot be called: .* cannot be a SOAPACTION"),
    ],
    ids=["https", "port", "zone", "type"],
)
async def test_a_description_with_which_nothing_can_be_sent_is_its_own_error(
    driven: Any, raw_device: Any, old: str, new: str, words: str
) -> None:
    async with raw_device() as raw:
        written = raw.documents["/description.xml"].decode()
        raw.documents["/description.xml"] = written.replace(old, new).encode()
        async with lamp_of(driven, raw) as lamp:
            with pytest.raises(DescriptionError, match=words) as raised:
                await lamp.call("Reset")
            assert str(raised.value).startswith("Reset of Thermometer")
            assert raw.requests == []


async def test_a_tap_sees_the_call_and_its_answer(driven: Any, raw_device: Any) -> None:
    seen: list[Any] = []
    async with raw_device() as raw, lamp_of(driven, raw, tap=seen.append) as lamp:
        answering(raw, answer())
        await lamp.call("Reset")
    request, response = (each for each in seen if isinstance(each, Request | Response))
    assert (request.method, response.status) == ("POST", 200)


# --- time ---


async def test_the_timeout_counts_from_the_call_to_the_answer(driven: Any, raw_device: Any) -> None:
    async with raw_device() as raw, lamp_of(driven, raw) as lamp:
        answering(raw, None)
        with pytest.raises(TimedOut, match=r"within 0\.05 s") as raised:
            await lamp.call("Reset", timeout=0.05)
        assert "(it may have run)" in str(raised.value)
        assert len(raw.requests) == 1


@pytest.mark.parametrize("seconds", [10**400, 1e300, 1e9, 31])
async def test_a_very_long_timeout_is_no_error(driven: Any, raw_device: Any, seconds: Any) -> None:
    async with raw_device() as raw, lamp_of(driven, raw) as lamp:
        answering(raw, answer())
        assert await lamp.call("Reset", timeout=seconds) == {}


async def test_a_header_that_the_program_has_made_impossible_is_its_own_error(
    driven: Any, raw_device: Any
) -> None:
    async with raw_device() as raw, lamp_of(driven, raw) as lamp:
        lamp.driver.calls._headers = ((b"USER-AGENT", b"two\nlines"),)
        with pytest.raises(LocalProtocolError, match="line ends") as raised:
            await lamp.call("Reset")
        assert raised.value.__cause__ is None
        assert raw.requests == []


async def test_the_timeout_counts_while_other_calls_are_under_way(
    driven: Any, raw_device: Any, until: Until
) -> None:
    async with raw_device() as raw, lamp_of(driven, raw, requests_per_device=1) as lamp:
        answering(raw, None)
        first = lamp.begin("Reset", timeout=5)
        await until(lambda: len(raw.requests) == 1)
        with pytest.raises(TimedOut, match=r"\(it was not sent\)"):
            await lamp.call("Reset", timeout=0.05)
        assert len(raw.requests) == 1
        first.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await first


async def test_calls_that_the_program_cancels_free_their_slot(
    driven: Any, raw_device: Any, until: Until
) -> None:
    async with raw_device() as raw, lamp_of(driven, raw, requests_per_device=1) as lamp:
        answering(raw, None, answer())
        calls = [lamp.begin("Reset") for _ in range(4)]
        await until(lambda: len(raw.requests) == 1)
        calls[1].cancel()
        calls[0].cancel()
        assert await asyncio.gather(*calls[2:]) == [{}, {}]
        assert len(raw.requests) == 3
        for call in calls[:2]:
            with pytest.raises(asyncio.CancelledError):
                await call


async def test_closing_ends_the_calls(driven: Any, raw_device: Any, until: Until) -> None:
    async with raw_device() as raw:
        async with lamp_of(driven, raw, requests_per_device=1) as lamp:
            answering(raw, None)
            calls = [lamp.begin("Reset") for _ in range(3)]
            await until(lambda: len(raw.requests) == 1)
        errors = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(each) for each in errors] == 3 * [ConnectionFailed]
        assert "(it may have run)" in str(errors[0])
        assert "(it was not sent)" in str(errors[1])
        with pytest.raises(RuntimeError, match="closed"):
            await lamp.call("Reset")
        assert len(raw.requests) == 1


async def test_closing_ends_a_call_that_is_led_elsewhere_meanwhile(
    driven: Any, raw_device: Any, until: Until
) -> None:
    async with raw_device() as raw:
        async with lamp_of(driven, raw) as lamp:
            answering(raw, reply(307, "LOCATION: /moved\r\n"))
            calls = [lamp.begin("Reset") for _ in range(3)]
            await until(lambda: raw.of("POST"))
        for error in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(error, ConnectionFailed | RemoteProtocolError)
        with pytest.raises(ConnectionFailed, match="the control point was closed"):
            await driven.run(lamp.driver._requests.fetch(raw.description_url))


# --- kept connections ---


@pytest.fixture
def peers(raw_device: Any, wire: Any) -> tuple[Any, Any]:
    return raw_device, wire


async def test_calls_in_a_row_use_one_connection(driven: Any, raw_device: Any) -> None:
    async with raw_device() as raw, lamp_of(driven, raw) as lamp:
        before = raw.connections
        answering(raw, answer())
        for _ in range(5):
            await lamp.call("Reset")
        assert raw.connections == before + 1
        assert lamp.kept == 1


@pytest.mark.parametrize(
    "bytes_",
    [
        answer(more="CONNECTION: close\r\n"),
        answer().replace(b"HTTP/1.1", b"HTTP/1.0"),
        answer(more="CONNECTION: keep-alive\r\n").replace(b"HTTP/1.1", b"HTTP/1.0"),
        answer() + b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH: 0\r\n\r\n",
    ],
    ids=["close", "1.0", "1.0-keep-alive", "second-answer"],
)
async def test_a_device_that_does_not_keep_connections_is_asked_anew(
    driven: Any, raw_device: Any, bytes_: bytes
) -> None:
    async with raw_device() as raw, lamp_of(driven, raw) as lamp:
        before = raw.connections
        answering(raw, bytes_)
        for _ in range(3):
            await lamp.call("Reset")
        assert lamp.kept == 0
        assert raw.connections == before + 3


@pytest.mark.parametrize(
    ("what", "noticed"),
    [(what, noticed) for what in ("end", "reset", "bytes", "answer") for noticed in (True, False)],
)
async def test_a_connection_is_not_used_again_after_a_byte_or_an_end(
    driven: Any, peers: Any, until: Until, what: str, noticed: bool
) -> None:
    """Also if the loop was blocked and has not seen it yet."""
    raw_device, wire = peers
    async with raw_device() as raw, lamp_of(driven, raw) as lamp:
        door = wire.listen()
        description = lamp.service.description
        lamp.service._description = replace(
            description, control_url=f"http://127.0.0.1:{door.port}/control"
        )
        first = lamp.begin("Reset")
        peer = await door.accept()
        await peer.until(b"</s:Envelope>")
        await peer.send(answer())
        await first
        assert lamp.kept == 1
        if what == "end":
            peer.end()
        elif what == "reset":
            peer.reset()
        else:
            peer.sock.send(b"x" if what == "bytes" else answer())
        if noticed:
            await until(lambda: lamp.kept == 0)
        second = lamp.begin("Reset")
        other = await door.accept()
        await other.until(b"</s:Envelope>")
        await other.send(answer())
        assert await second == {}


async def test_a_request_that_may_have_run_is_not_sent_again(
    driven: Any, wire: Any, raw_device: Any
) -> None:
    async with raw_device() as raw, lamp_of(driven, raw) as lamp:
        served: list[bytes] = []
        door = wire.listen()
        lamp.service._description = replace(
            lamp.service.description, control_url=f"http://127.0.0.1:{door.port}/control"
        )

        async def serve() -> None:
            while True:
                peer = await door.accept()
                served.append(await peer.until(b"</s:Envelope>"))
                await peer.send(answer())
                if len(served) < 2:
                    served.append(await peer.until(b"</s:Envelope>"))
                    peer.close()

        serving = asyncio.ensure_future(serve())
        await lamp.call("Reset")
        with pytest.raises(ConnectionFailed, match=r"\(it may have run\)"):
            await lamp.call("Reset")
        assert len(served) == 2
        for _ in range(2):  # such a device is asked on a new connection each time
            await lamp.call("Reset")
            assert lamp.kept == 0
        assert len(served) == 4
        serving.cancel()


async def test_an_idle_connection_ends_soon(driven: Any, raw_device: Any, until: Until) -> None:
    async with raw_device() as raw, lamp_of(driven, raw, kept_seconds=0.01) as lamp:
        answering(raw, answer())
        await lamp.call("Reset")
        await until(lambda: lamp.kept == 0)
        await until(lambda: raw.open == 0)


async def test_an_idle_connection_ends_before_another_request_is_sent(
    driven: Any, raw_device: Any, until: Until
) -> None:
    """A device that serves one connection at a time would not answer the other request."""
    async with raw_device() as raw, lamp_of(driven, raw) as lamp:
        answering(raw, answer())
        await lamp.call("Reset")
        assert lamp.kept == 1
        await lamp.driven.run(lamp.driver.documents.document(raw.description_url))
        assert lamp.kept == 0


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not confirm at once")
async def test_an_answer_in_two_parts_comes_as_soon_on_a_kept_connection_as_on_a_new_one(
    driven: Any, wire: Any, raw_device: Any
) -> None:
    """With Nagle's algorithm, a device sends the second part when the first one is confirmed."""

    async def median_of(lamp: Lamp, more: str) -> float:
        door = wire.listen()
        description = lamp.service.description
        url = f"http://127.0.0.1:{door.port}/control"
        lamp.service._description = replace(description, control_url=url)

        async def serve() -> None:
            peer = await door.accept()
            while True:
                await peer.until(b"</s:Envelope>")
                head, _, body = answer(more=more).partition(b"\r\n\r\n")
                await peer.send(head + b"\r\n\r\n")
                await peer.send(body)
                if more:
                    peer.close()
                    peer = await door.accept()

        serving = asyncio.ensure_future(serve())
        took = []
        for _ in range(15):
            begin = time.perf_counter()
            await lamp.call("Reset")
            took.append(time.perf_counter() - begin)
        serving.cancel()
        return statistics.median(took)

    async with raw_device() as raw, lamp_of(driven, raw) as lamp:
        new = await median_of(lamp, "CONNECTION: close\r\n")
        assert await median_of(lamp, "") < 10 * new


async def test_few_connections_are_kept(driven: Any, raw_device: Any, until: Until) -> None:
    limits = {"kept_connections": 3, "kept_seconds_while_others_wait": 5.0}
    async with contextlib.AsyncExitStack() as stack:
        raws = [await stack.enter_async_context(raw_device()) for _ in range(4)]
        lamp = await stack.enter_async_context(lamp_of(driven, raws[0], **limits))
        for raw in raws:
            answering(raw, answer())
        await asyncio.gather(*(lamp.call("Reset") for _ in range(3)))
        assert lamp.kept == 3
        for raw in raws:
            lamp.service._description = replace(
                lamp.service.description, control_url=f"http://127.0.0.1:{raw.port}/control"
            )
            await lamp.call("Reset")
        assert lamp.kept == 3
        await until(lambda: raws[0].open == 0)


async def test_calls_that_wait_for_others_need_no_new_connections(
    driven: Any, raw_device: Any
) -> None:
    async with raw_device() as raw, lamp_of(driven, raw) as lamp:
        answering(raw, answer())
        await lamp.call("Reset")
        before = raw.connections
        await asyncio.gather(*(lamp.call("Reset") for _ in range(60)))
        assert raw.connections <= before + DEFAULT_LIMITS.requests_per_device


async def test_a_kept_connection_is_judged_again(
    driven: Any, raw_device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with raw_device() as raw, lamp_of(driven, raw) as lamp:
        answering(raw, answer())
        await lamp.call("Reset")
        with monkeypatch.context() as patch:
            patch.setattr(lamp.driver._requests, "_excluded", lambda local: True)
            with pytest.raises(ConnectionFailed, match="not to be used"):
                await lamp.call("Reset")
        await lamp.call("Reset")
        with monkeypatch.context() as patch:

            def refuse(led_to: Endpoint, giver: Endpoint) -> None:
                raise ValueError("not there")

            patch.setattr(lamp.driver._requests, "judge", refuse)
            with pytest.raises(DescriptionError, match="not there"):
                await lamp.call("Reset")
        assert len(raw.requests) == 2


# --- slots ---


async def test_calls_and_subscribes_share_the_slots_of_a_device(
    driven: Any, raw_device: Any, until: Until
) -> None:
    async with raw_device() as raw, lamp_of(driven, raw) as lamp:
        go = asyncio.Event()
        most, open_at_once = DEFAULT_LIMITS.requests_per_device, []

        async def later(request: Any) -> bytes:
            open_at_once.append(raw.open)
            await go.wait()
            return answer()

        raw.answers["POST"] = later
        calls = [lamp.begin("Reset") for _ in range(10)]
        await until(lambda: len(raw.requests) == most - 1)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(raw.requests) == most - 1
        go.set()
        assert await asyncio.gather(*calls) == 10 * [{}]
        assert max(open_at_once) < most


async def test_calls_that_hang_do_not_hold_back_requests_of_eventing(
    driven: Any, raw_device: Any, until: Until
) -> None:
    async with raw_device() as raw, lamp_of(driven, raw) as lamp:
        answering(raw, None)
        calls = [lamp.begin("Reset", timeout=20) for _ in range(20)]
        await until(lambda: len(raw.requests) == DEFAULT_LIMITS.requests_per_device - 1)
        held = Held()
        record = lamp.driver.subscribe(held, raw.event_url, wait=False)
        await until(lambda: held.grants == 1)
        lamp.driver.unsubscribe(record)
        await until(lambda: raw.of("UNSUBSCRIBE"))
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


@pytest.mark.slow
async def test_subscribes_that_hang_do_not_hold_back_calls(
    driven: Any, raw_device: Any, until: Until
) -> None:
    async with raw_device() as raw, lamp_of(driven, raw) as lamp:
        answering(raw, answer())
        raw.answers["SUBSCRIBE"] = None
        for _ in range(20):
            lamp.driver.subscribe(Held(), raw.event_url, wait=False)
        await until(lambda: len(raw.requests) == DEFAULT_LIMITS.requests_per_device - 1)
        for _ in range(3):
            assert await lamp.call("Reset", timeout=20) == {}


# --- where a device is called ---


@pytest.mark.parametrize(
    ("base", "control", "target"),
    [
        ("", "/control", "/control"),
        ("", "control?a=b%20c", "/control?a=b%20c"),
        ("", "{root}/x/control", "/x/control"),
        ("{root}/deep/", "control", "/deep/control"),
        ("{root}", "control", "/control"),
    ],
)
async def test_a_control_url_may_be_relative_or_absolute(
    driven: Any, raw_device: Any, base: str, control: str, target: str
) -> None:
    async with raw_device() as raw:
        root = f"http://127.0.0.1:{raw.port}"
        written = raw.documents["/description.xml"].decode()
        if base:
            url_base = f"<URLBase>{base.format(root=root)}</URLBase><device>"
            written = written.replace("<device>", url_base, 1)
            raw.documents["/deep/scpd.xml"] = raw.documents["/scpd.xml"]
            written = written.replace(">/scpd.xml<", ">scpd.xml<")
        written = written.replace(">/control<", f">{control.format(root=root)}<")
        raw.documents["/description.xml"] = written.encode()
        answering(raw, answer())
        async with lamp_of(driven, raw) as lamp:
            await lamp.call("Reset")
            assert raw.of("POST")[0].target == target


async def test_a_device_with_a_name_is_called_by_its_name(driven: Any, raw_device: Any) -> None:
    async with raw_device() as raw:
        answering(raw, answer())
        url = f"http://localhost:{raw.port}/description.xml"
        async with lamp_of(driven, raw, url=url) as lamp:
            before = raw.connections
            for _ in range(2):
                await lamp.call("Reset")
            assert raw.requests[0].fields["host"] == f"localhost:{raw.port}"
            assert raw.connections == before + 1


async def test_a_device_that_has_moved_is_called_at_its_new_url(
    driven: Any, raw_device: Any, until: Until
) -> None:
    async with raw_device() as raw, raw_device() as moved, lamp_of(driven, raw) as lamp:
        answering(raw, answer())
        answering(moved, answer())
        await lamp.call("Reset")
        documents = lamp.driver.documents
        description = await driven.run(documents.description(moved.description_url))
        lamp.device._relocate(description)
        await lamp.call("Reset")
        assert len(raw.of("POST")) == len(moved.of("POST")) == 1


async def test_a_device_with_an_ipv6_address_is_called_there(driven: Any, raw_device: Any) -> None:
    raw = raw_device()
    raw.host = "::1"
    async with raw:
        answering(raw, answer())
        url = f"http://[::1]:{raw.port}/description.xml"
        async with lamp_of(driven, raw, url=url, interface=None) as lamp:
            for _ in range(2):
                await lamp.call("Reset")
            assert raw.requests[0].fields["host"] == f"[::1]:{raw.port}"
            assert lamp.kept == 1


async def test_a_link_local_device_is_called_on_its_link(driven: Any, raw_device: Any) -> None:
    """Its controlURL has no zone, and HOST has none either."""
    addresses = Interfaces().addresses()
    link_local = next((each for each in addresses if ":" in each.host and each.scope), None)
    if link_local is None:
        pytest.skip("no interface of this machine has a link-local IPv6 address")
    raw = raw_device()
    raw.host = f"{link_local.host}%{link_local.interface}"
    async with raw:
        answering(raw, answer())
        url = f"http://[{raw.host}]:{raw.port}/description.xml"
        control = f">http://[{link_local.host}]:{raw.port}/control<".encode()
        written = raw.documents["/description.xml"]
        raw.documents["/description.xml"] = written.replace(b">/control<", control)
        async with lamp_of(driven, raw, url=url, interface=None) as lamp:
            for _ in range(2):
                await lamp.call("Reset")
            assert raw.requests[0].fields["host"] == f"[{link_local.host}]:{raw.port}"
            assert lamp.kept == 1


# --- M-POST ---


async def test_m_post_follows_405_alone_and_is_remembered(driven: Any, raw_device: Any) -> None:
    async with raw_device() as raw, lamp_of(driven, raw) as lamp:
        raw.answers |= {"POST": reply(405), "M-POST": answer()}
        for _ in range(2):
            await lamp.call("Reset")
        assert [each.method for each in raw.requests] == ["POST", "M-POST", "M-POST"]
        fields = raw.requests[1].fields
        assert fields["man"] == '"http://schemas.xmlsoap.org/soap/envelope/"; ns=01'
        assert fields["01-soapaction"] == f'"{TYPE}#Reset"'
        assert "soapaction" not in fields
        assert raw.requests[1].body == raw.requests[0].body


@pytest.mark.parametrize("status", [501, 510, 405])
async def test_a_device_that_takes_m_post_no_more_is_sent_post(
    driven: Any, raw_device: Any, status: int
) -> None:
    async with raw_device() as raw, lamp_of(driven, raw) as lamp:
        raw.answers |= {"POST": reply(405), "M-POST": answer()}
        await lamp.call("Reset")
        raw.answers |= {"POST": answer(), "M-POST": reply(status)}
        for _ in range(2):
            await lamp.call("Reset")
        methods = [each.method for each in raw.requests]
        assert methods == ["POST", "M-POST", "M-POST", "POST", "POST"]


async def test_a_device_that_takes_neither_method_is_asked_once_by_each(
    driven: Any, raw_device: Any
) -> None:
    async with raw_device() as raw, lamp_of(driven, raw) as lamp:
        raw.answers |= {"POST": reply(405), "M-POST": reply(501)}
        for _ in range(2):
            with pytest.raises(PropchangeError, match="status 501"):
                await lamp.call("Reset")
        assert [each.method for each in raw.requests] == 2 * ["POST", "M-POST"]


@pytest.mark.parametrize("status", [501, 510, 404, 500])
async def test_post_is_not_followed_by_m_post_after_another_status(
    driven: Any, raw_device: Any, status: int
) -> None:
    async with raw_device() as raw, lamp_of(driven, raw) as lamp:
        raw.answers |= {"POST": reply(status), "M-POST": answer()}
        with pytest.raises(PropchangeError, match=f"status {status}"):
            await lamp.call("Reset")
        assert len(raw.requests) == 1


# --- the service description ---


async def test_calls_at_the_same_time_read_the_service_description_once(
    driven: Any, raw_device: Any
) -> None:
    async with raw_device() as raw, lamp_of(driven, raw) as lamp:
        lamp.service._contents = None
        calls = [lamp.begin("Open") for _ in range(4)]
        errors = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(each) for each in errors] == 4 * [LookupError]
        assert [each.target for each in raw.requests] == ["/scpd.xml"]


async def test_a_service_description_that_cannot_be_read_fails_all_calls_that_wait_for_it(
    driven: Any, raw_device: Any
) -> None:
    async with raw_device() as raw, lamp_of(driven, raw) as lamp:
        lamp.service._contents = None
        del raw.documents["/scpd.xml"]
        calls = [lamp.begin("Reset") for _ in range(4)]
        errors = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(each) for each in errors] == 4 * [DescriptionError]
        assert all("404" in str(each) and "Reset of Thermometer" in str(each) for each in errors)
        assert len(raw.requests) == 1


async def test_a_call_that_is_cancelled_while_it_reads_leaves_the_reading_to_another(
    driven: Any, raw_device: Any, until: Until
) -> None:
    async with raw_device() as raw, lamp_of(driven, raw) as lamp:
        lamp.service._contents = None
        raw.answers["GET"] = None
        first, second, third = (lamp.begin("Open", timeout=n) for n in (5, 5, 0.05))
        await until(lambda: len(raw.requests) == 1)
        with pytest.raises(TimedOut, match=r"within 0\.05 s"):
            await third
        raw.answers["GET"] = raw.document
        first.cancel()
        with pytest.raises(LookupError):
            await second
        with pytest.raises(asyncio.CancelledError):
            await first


async def test_a_call_with_little_time_does_not_fail_the_others_that_wait_for_its_reading(
    driven: Any, raw_device: Any, until: Until
) -> None:
    async with raw_device() as raw, lamp_of(driven, raw) as lamp:
        lamp.service._contents = None
        raw.answers["GET"] = None
        hurried = lamp.begin("Open", timeout=0.1)
        await until(lambda: len(raw.requests) == 1)
        patient = lamp.begin("Open", timeout=20)
        conversions = asyncio.ensure_future(driven.run(lamp.service._read_conversions()))
        await asyncio.sleep(0.01)
        raw.answers["GET"] = raw.document
        with pytest.raises(TimedOut, match="was not sent"):
            await hurried
        with pytest.raises(LookupError):
            await patient
        assert await conversions
        assert [each.target for each in raw.requests] == 2 * ["/scpd.xml"]
