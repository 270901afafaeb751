"""An ASGI application of a control point or a device, called by a server in memory."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange import ControlPoint, Device, Service, StateVariable, action, host
from propchange.asgi import application
from propchange.core.limits import DEFAULT_LIMITS
from propchange.upnp.soap import build_call
from tests.asgi.servers import GONE, Calls, Exchanged, body, call, scope_of

URL = "http://127.0.0.1:8000/events/{token}"
EVENT = (
    b'<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0"><e:property><A>1</A></e:property>'
    b"</e:propertyset>"
)
TYPE = "urn:example-org:service:Thermometer:1"


def notify(
    path: str, sid: str = "uuid:1", length: int | None = len(EVENT), **changes: Any
) -> dict[str, Any]:
    headers = [
        ("HOST", "127.0.0.1:8000"),
        ("NT", "upnp:event"),
        ("NTS", "upnp:propchange"),
        ("SID", sid),
        ("SEQ", "0"),
    ]
    if length is not None:
        headers.append(("CONTENT-LENGTH", str(length)))
    return scope_of("NOTIFY", path, headers, **changes)


def later(path: str) -> dict[str, Any]:
    """The event behind the initial one."""
    scope = notify(path)
    scope["headers"] = [(n, b"1" if n == b"seq" else value) for n, value in scope["headers"]]
    return scope


class Thermometer(Service, type=TYPE):
    temperature = StateVariable("i4", initial=20)

    @action
    async def set_temperature(self, temperature: int) -> None:
        await asyncio.sleep(0)
        self.temperature = temperature


def hosted(**options: Any) -> tuple[Thermometer, Any]:
    thermometer = Thermometer()
    device = Device("Oven", services=[thermometer])
    url = "http://127.0.0.1:8000/upnp"
    return thermometer, host(device, listen=False, url=url, announce=False, **options)


def get(path: str = "/upnp/description.xml", **changes: Any) -> dict[str, Any]:
    return scope_of("GET", path, [("HOST", "127.0.0.1:8000")], **changes)


def subscribing(callback: str, path: str = "/upnp/Thermometer/event") -> dict[str, Any]:
    headers = [("HOST", "127.0.0.1:8000"), ("NT", "upnp:event"), ("CALLBACK", f"<{callback}>")]
    return scope_of("SUBSCRIBE", path, headers)


def path_of(device: Any) -> str:
    url = str(device.of("SUBSCRIBE")[-1].fields["callback"].strip("<>"))
    return url.removeprefix("http://127.0.0.1:8000")


# --- a control point ---


@pytest.mark.parametrize("mounted", ["", "/events", "/deep/er"])
async def test_an_event_reaches_the_program_through_a_mount(raw_device: Any, mounted: str) -> None:
    """Mounts take a part of the path away, or add one to root_path."""
    async with (
        raw_device() as device,
        ControlPoint(listen=False, callback_url=URL, discovery=False) as point,
        point.subscribe_url(device.event_url) as subscription,
    ):
        path = path_of(device)
        token = path.rpartition("/")[2]
        scope = notify(f"{mounted}/{token}", root_path=mounted)
        answer = await call(application(point), scope, body(EVENT))
        assert (answer.status, answer.body) == (200, b"")
        assert dict((await anext(subscription)).changes) == {"A": "1"}
        wrong = token[:-1] + ("A" if token[-1] != "A" else "B")
        assert (await call(application(point), notify(f"/events/{wrong}"))).status == 412


@given(pieces=st.lists(st.integers(0, len(EVENT)), max_size=6), has_length=st.booleans())
def test_a_body_in_any_pieces_gets_the_same_answer(pieces: list[int], has_length: bool) -> None:
    cuts = [0, *sorted(pieces), len(EVENT)]
    parts = [EVENT[begin:end] for begin, end in pairwise(cuts)]

    async def answered() -> list[Exchanged]:
        point = ControlPoint(listen=False, callback_url="http://127.0.0.1:8000/all")
        found = []
        async with point:
            for arriving in ([EVENT], parts):
                scope = notify("/all", length=len(EVENT) if has_length else None)
                if not has_length:
                    scope["headers"].append((b"transfer-encoding", b"chunked"))
                found.append(await call(application(point), scope, body(*arriving)))
        return found

    whole, cut = asyncio.run(answered())
    assert cut.sent == whole.sent
    assert cut.status == 412
    assert cut.left == 0


def hostile_cases() -> list[Any]:
    other = ("HOST", "evil.example")
    return [
        pytest.param(notify("/x", client=None, server=None), 412, id="no ends"),
        pytest.param(notify("/x", server=("/run/app.sock", None)), 412, id="a Unix socket"),
        pytest.param(notify("/x", client=("testclient", 5)), 412, id="a name for the peer"),
        pytest.param(notify("/x", raw_path=None) | {"path": "/é x"}, 412, id="no raw_path"),
        pytest.param(notify("/x", raw_path=b"/\xff"), 400, id="raw_path that is no ASCII"),
        pytest.param(notify("/" + "x" * 3_000), 414, id="a long target"),
        pytest.param(notify("/x", length=2_000_000), 413, id="a large body by its length"),
        pytest.param(notify("/x", length=10**30), 413, id="a huge number"),
        pytest.param(
            scope_of("NOTIFY", "/x", [("HOST", "127.0.0.1:8000")] * 70), 431, id="many lines"
        ),
        pytest.param(scope_of("NOTIFY", "/x", [("X", "y" * 20_000)]), 431, id="a large head"),
        pytest.param(scope_of("NOTIFY", "/x", [other]), 400, id="another HOST"),
        pytest.param(scope_of("NOTIFY", "/x", []), 400, id="no HOST"),
        pytest.param(scope_of("GET", "/x", [("HOST", "127.0.0.1:8000")]), 405, id="a GET"),
        pytest.param(
            scope_of(
                "NOTIFY", "/x", [("HOST", "127.0.0.1:8000"), ("ORIGIN", "http://evil.example")]
            ),
            403,
            id="a web page",
        ),
        pytest.param(
            scope_of(
                "NOTIFY",
                "/x",
                [("HOST", "127.0.0.1:8000"), ("TRANSFER-ENCODING", "gzip, chunked")],
            ),
            501,
            id="another transfer coding",
        ),
    ]


@pytest.mark.parametrize(("scope", "status"), hostile_cases())
async def test_a_wrong_request_gets_the_status_of_our_own_listener(
    scope: dict[str, Any], status: int
) -> None:
    url = "http://127.0.0.1:8000/{token}"
    async with ControlPoint(listen=False, callback_url=url, discovery=False) as point:
        answer = await call(application(point), scope)
        assert answer.status == status
        assert answer.headers[b"content-length"] == b"0"


async def test_the_authority_of_http_2_is_host() -> None:
    url = "http://127.0.0.1:8000/{token}"
    headers = [("NT", "upnp:event"), ("NTS", "upnp:propchange"), ("SID", "uuid:1"), ("SEQ", "0")]
    async with ControlPoint(listen=False, callback_url=url, discovery=False) as point:
        for authority, status in (("127.0.0.1:8000", 412), ("evil.example", 400)):
            pairs = [(":authority", authority), *headers]
            scope = scope_of("NOTIFY", "/x", pairs, http_version="2")
            answer = await call(application(point), scope, body(EVENT))
            assert answer.status == status
            assert b"connection" not in answer.headers


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_a_request_that_ends_its_connection_is_answered_so(version: str) -> None:
    async with ControlPoint(listen=False, callback_url=URL, discovery=False) as point:
        scope = notify("/x", http_version=version)
        answer = await call(application(point), scope, body(EVENT))
        assert (answer.headers.get(b"connection") == b"close") is (version == "1.0")


# --- bodies that do not come whole ---


async def test_a_body_without_end_is_answered_413_as_soon_as_it_is_too_large() -> None:
    limits = replace(DEFAULT_LIMITS, body_bytes=100, linger_seconds=0.01)
    async with ControlPoint(
        listen=False, callback_url=URL, discovery=False, limits=limits
    ) as point:
        scope = notify("/x", length=None)
        scope["headers"].append((b"transfer-encoding", b"chunked"))
        pieces = [b"x" * 40] * 50
        answer = await call(application(point), scope, body(*pieces, ends=False))
        assert answer.status == 413
        assert answer.headers[b"connection"] == b"close"
        # What it still reads is bounded too.
        assert answer.left > 40


async def test_the_head_alone_is_refused_without_reading_the_body_first() -> None:
    limits = replace(DEFAULT_LIMITS, linger_seconds=0.01)
    async with ControlPoint(
        listen=False, callback_url=URL, discovery=False, limits=limits
    ) as point:
        calls = Calls([])
        await application(point)(notify("/x", length=2_000_000), calls.receive, calls.send)
        assert calls.exchanged.status == 413
        # The answer is written before the rest is read, and its end after it.
        assert [each.get("more_body") for each in calls.exchanged.sent] == [None, True, False]


async def test_a_whole_body_that_is_too_large_is_answered_at_once() -> None:
    """Nothing is left to be read."""
    limits = replace(DEFAULT_LIMITS, body_bytes=100, linger_seconds=60)
    async with ControlPoint(
        listen=False, callback_url=URL, discovery=False, limits=limits
    ) as point:
        scope = notify("/x", length=None)
        scope["headers"].append((b"transfer-encoding", b"chunked"))
        assert (await call(application(point), scope, body(b"x" * 200))).status == 413


async def test_a_body_that_stops_is_answered_408_in_time() -> None:
    limits = replace(DEFAULT_LIMITS, read_seconds=0.02, linger_seconds=0.01)
    async with ControlPoint(
        listen=False, callback_url=URL, discovery=False, limits=limits
    ) as point:
        answer = await call(application(point), notify("/x"), body(EVENT[:5], ends=False))
        assert answer.status == 408


async def test_a_peer_that_goes_away_in_its_body_is_not_answered(
    raw_device: Any, until: Any
) -> None:
    """Nor judged; but the event that it has begun is a lost one, as on our own listener."""
    limits = replace(DEFAULT_LIMITS, doubt_seconds=0.05)
    async with (
        raw_device() as device,
        ControlPoint(listen=False, callback_url=URL, discovery=False, limits=limits) as point,
        point.subscribe_url(device.event_url) as subscription,
    ):
        path = path_of(device)
        app = application(point)
        assert (await call(app, notify(path), body(EVENT))).status == 200
        assert dict((await anext(subscription)).changes) == {"A": "1"}
        answer = await call(app, later(path), [*body(EVENT[:9], ends=False), GONE])
        assert answer.sent == []
        await until(lambda: len(device.of("SUBSCRIBE")) == 2)
        assert subscription.losses == 1


async def test_a_body_that_stalls_is_a_lost_event_before_its_time_is_over(
    raw_device: Any, until: Any
) -> None:
    limits = replace(DEFAULT_LIMITS, stall_seconds=0.05, doubt_seconds=0.05)
    async with (
        raw_device() as device,
        ControlPoint(listen=False, callback_url=URL, discovery=False, limits=limits) as point,
        point.subscribe_url(device.event_url),
    ):
        path = path_of(device)
        app = application(point)
        await call(app, notify(path), body(EVENT))
        calls = Calls(body(EVENT[:9], ends=False))
        waiting = asyncio.ensure_future(app(later(path), calls.receive, calls.send))
        await until(lambda: len(device.of("SUBSCRIBE")) == 2)
        assert not waiting.done()
        calls.give(GONE)
        await waiting


async def test_bodies_together_are_bounded_and_those_of_the_largest_host_are_given_up() -> None:
    limits = replace(DEFAULT_LIMITS, held_bytes=1_000, linger_seconds=0.01)
    async with ControlPoint(
        listen=False, callback_url=URL, discovery=False, limits=limits
    ) as point:
        app = application(point)

        def begin(client: str, size: int) -> tuple[Calls, Any]:
            calls = Calls(body(b"x" * size, ends=False))
            scope = notify("/x", length=900, client=(client, 5))
            return calls, asyncio.ensure_future(app(scope, calls.receive, calls.send))

        hostile = [begin("192.0.2.1", 400) for _ in range(2)]
        calm, done = begin("192.0.2.2", 100)
        await asyncio.sleep(0)
        more, ended = begin("192.0.2.1", 400)
        await asyncio.sleep(0.05)
        statuses = [
            calls.exchanged.status for calls, _ in (*hostile, (more, ended)) if calls.exchanged.sent
        ]
        assert statuses == [503]
        assert not done.done()
        calm.give(*body(b"x" * 400))
        await done
        assert calm.exchanged.status == 412
        for calls, task in (*hostile, (more, ended)):
            calls.give(GONE)
            await task


async def test_as_many_bodies_are_read_at_once_as_our_own_listener_has_connections() -> None:
    limits = replace(DEFAULT_LIMITS, connections=4, connections_per_address=3, linger_seconds=0.01)
    async with ControlPoint(
        listen=False, callback_url=URL, discovery=False, limits=limits
    ) as point:
        app = application(point)
        begun = []
        for _ in range(5):
            calls = Calls(body(b"x", ends=False))
            begun.append(
                (calls, asyncio.ensure_future(app(notify("/x"), calls.receive, calls.send)))
            )
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        # The oldest make room.
        answered = [calls.exchanged.status if calls.exchanged.sent else 0 for calls, _ in begun]
        assert answered == [503, 503, 0, 0, 0]
        for calls, task in begun:
            calls.give(GONE)
            await task


# --- a device ---


async def test_a_device_is_described_subscribed_to_and_called(raw_subscriber: Any) -> None:
    thermometer, device = hosted()
    app = application(device)
    async with device, raw_subscriber() as subscriber:
        described = await call(app, get())
        assert described.status == 200
        assert int(described.headers[b"content-length"]) == len(described.body)
        assert described.headers[b"server"].endswith(b"propchange/0.1")
        granted = await call(app, subscribing(subscriber.url))
        assert granted.status == 200
        assert await subscriber.event() == (0, {"Temperature": "20"})

        soap = build_call(TYPE, "SetTemperature", {"Temperature": "180"})
        headers = [
            ("HOST", "127.0.0.1:8000"),
            ("CONTENT-TYPE", 'text/xml; charset="utf-8"'),
            ("SOAPACTION", f'"{TYPE}#SetTemperature"'),
            ("CONTENT-LENGTH", str(len(soap))),
        ]
        scope = scope_of("POST", "/upnp/Thermometer/control", headers)
        called = await call(app, scope, body(soap[:30], soap[30:]))
        assert called.status == 200
        assert b"SetTemperatureResponse" in called.body
        assert await subscriber.event() == (1, {"Temperature": "180"})
        assert thermometer.temperature == 180


@pytest.mark.parametrize(
    ("path", "root_path"),
    [
        ("/upnp/description.xml", ""),
        ("/upnp/description.xml", "/upnp"),
        ("/description.xml", "/upnp"),  # a server that takes the mount from the path
        ("/description.xml", ""),
        ("/a/b/description.xml", "/a/b"),  # a proxy in front has another path
        ("/a%20b/upnp/description.xml", "/a b"),
    ],
)
async def test_a_device_is_found_below_any_mount(path: str, root_path: str) -> None:
    _, device = hosted()
    async with device:
        assert (await call(application(device), get(path, root_path=root_path))).status == 200
        wrong = get(f"{path}/x", root_path=root_path)
        assert (await call(application(device), wrong)).status == 404


async def test_head_is_answered_without_a_body() -> None:
    _, device = hosted()
    async with device:
        whole = await call(application(device), get())
        head = await call(application(device), get() | {"method": "HEAD"})
        assert (head.status, head.body) == (200, b"")
        assert head.headers[b"content-length"] == whole.headers[b"content-length"]


async def test_the_initial_event_waits_until_the_answer_was_written(raw_subscriber: Any) -> None:
    _, device = hosted()
    async with device, raw_subscriber() as subscriber:
        calls = Calls(body())
        written = asyncio.Event()

        async def send(message: Any) -> None:
            await calls.send(message)
            if message["type"] == "http.response.body":
                await written.wait()

        asked = asyncio.ensure_future(
            application(device)(subscribing(subscriber.url), calls.receive, send)
        )
        await asyncio.sleep(0.1)  # five times the delay of the initial event
        assert subscriber.arrived.empty()
        written.set()
        await asked
        assert (await subscriber.event())[0] == 0


async def test_who_expects_100_and_has_no_body_gets_the_answer_alone(raw_subscriber: Any) -> None:
    """A server sends 100 Continue when its application receives."""
    _, device = hosted()
    async with device, raw_subscriber() as subscriber:
        scope = subscribing(subscriber.url)
        scope["headers"].append((b"expect", b"100-continue"))
        answer = await call(application(device), scope, [])
        assert (answer.status, answer.left) == (200, 0)


@pytest.mark.parametrize("how", ["send raises", "it has gone", "cancelled"])
async def test_a_grant_that_does_not_arrive_is_forgotten(raw_subscriber: Any, how: str) -> None:
    _, device = hosted()
    async with device, raw_subscriber() as subscriber:
        calls = Calls([*body(), GONE] if how == "it has gone" else body())
        if how == "send raises":
            calls.send_raises = OSError("the peer has gone")

        async def send(message: Any) -> None:
            if how == "cancelled":
                await asyncio.sleep(60)
            await calls.send(message)

        asked = asyncio.ensure_future(
            application(device)(subscribing(subscriber.url), calls.receive, send)
        )
        await asyncio.sleep(0.01)
        if how == "cancelled":
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
        else:
            await asked
        assert calls.exchanged.sent == []
        assert not device.subscriptions


async def test_an_exception_is_one_line_and_500_without_its_text(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, device = hosted()
    async with device:
        monkeypatch.setattr(type(device), "receive", lambda *_: 1 / 0)
        with caplog.at_level(logging.WARNING, "propchange.http"):
            answer = await call(application(device), get())
    assert (answer.status, answer.body) == (500, b"")
    assert answer.headers[b"server"]
    assert [record.levelname for record in caplog.records] == ["ERROR"]


async def test_an_answer_that_no_peer_reads_is_given_up(raw_subscriber: Any) -> None:
    _, device = hosted(limits=replace(DEFAULT_LIMITS, answer_seconds=0.02))
    async with device, raw_subscriber() as subscriber:

        async def send(message: Any) -> None:
            await asyncio.sleep(60)

        calls = Calls(body())
        await application(device)(subscribing(subscriber.url), calls.receive, send)
        assert not device.subscriptions


# --- the application and its server ---


@pytest.mark.parametrize("of", [ControlPoint(listen=False, callback_url=URL), hosted()[1]])
async def test_before_it_is_entered_each_request_is_answered_503(
    of: Any, caplog: pytest.LogCaptureFixture
) -> None:
    app = application(of)
    answer = await call(app, get())
    assert (await call(app, get())).status == answer.status == 503
    [line] = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert line == f"requests are answered with 503 until the program enters {of!r}: async with"
    assert answer.headers == {b"content-length": b"0", b"connection": b"close"}


async def lived(app: Any) -> list[dict[str, Any]]:
    calls = Calls([{"type": "lifespan.startup"}])
    living = asyncio.ensure_future(app({"type": "lifespan"}, calls.receive, calls.send))
    while not calls.exchanged.sent and not living.done():
        await asyncio.sleep(0)
    if calls.exchanged.sent[0]["type"] == "lifespan.startup.complete":
        calls.exchanged.sent.append({"status": (await call(app, get())).status})
        calls.give({"type": "lifespan.shutdown"})
    await living
    return calls.exchanged.sent


async def test_the_root_application_enters_the_device_and_leaves_it() -> None:
    _, device = hosted()
    app = application(device)
    sent = await lived(app)
    assert [each.get("type", each.get("status")) for each in sent] == [
        "lifespan.startup.complete",
        200,
        "lifespan.shutdown.complete",
    ]
    assert (await call(app, get())).status == 503


@pytest.mark.parametrize("of", ["a device", "a control point"])
async def test_what_has_ended_does_not_begin_with_another_server(of: str) -> None:
    """It would answer each request with 503, for as long as the server runs."""
    ending: Any = hosted()[1]
    if of == "a control point":
        ending = ControlPoint(listen=False, callback_url=URL, discovery=False)
    app = application(ending)
    assert [each.get("type") for each in await lived(app)][-1] == "lifespan.shutdown.complete"
    [failed] = await lived(app)
    assert failed["type"] == "lifespan.startup.failed"
    assert "is entered once" in failed["message"]


async def test_what_the_program_has_entered_is_left_by_the_program() -> None:
    _, device = hosted()
    app = application(device)
    async with device:
        await lived(app)
        assert (await call(app, get())).status == 200


async def test_a_device_that_cannot_begin_ends_the_server_with_the_reason() -> None:
    thermometer, device = hosted()
    async with device:
        again = host(
            Device("Other", services=[thermometer]),
            listen=False,
            url="http://127.0.0.1:8000/other",
            announce=False,
        )
        [failed] = await lived(application(again))
    assert failed["type"] == "lifespan.startup.failed"
    assert "is hosted already" in failed["message"]


@pytest.mark.parametrize("other", [Device("Oven"), None, host])
def test_another_object_is_no_application(other: Any) -> None:
    with pytest.raises(TypeError, match=r"what propchange\.host\(\) returns, not "):
        application(other)


@pytest.mark.parametrize(
    ("of", "missing"),
    [(ControlPoint(), "callback_url="), (host(Device("Oven", services=[Thermometer()])), "url=")],
)
def test_what_has_no_url_on_the_web_server_is_no_application(of: Any, missing: str) -> None:
    with pytest.raises(ValueError, match="does not know where your web server is") as told:
        application(of)
    assert f"listen=False and {missing}" in str(told.value)


async def test_websockets_are_refused_and_other_kinds_are_errors() -> None:
    _, device = hosted()
    calls = Calls([{"type": "websocket.connect"}])
    await application(device)({"type": "websocket"}, calls.receive, calls.send)
    assert [each["type"] for each in calls.exchanged.sent] == ["websocket.close"]
    with pytest.raises(ValueError, match="serves http and lifespan, not 'smtp'"):
        await application(device)({"type": "smtp"}, calls.receive, calls.send)


PROGRAM = """
from propchange import ControlPoint, Device, Service, StateVariable, host

class Thermometer(Service, type="urn:example-org:service:Thermometer:1"):
    temperature = StateVariable("i4", initial=20)

point = ControlPoint(listen=False, callback_url="http://127.0.0.1:8000/events/{token}")
device = host(Device("House", services=[Thermometer()]), listen=False, url="http://127.0.0.1:8000/")
"""


@pytest.mark.parametrize("name", ["point", "device"])
def test_a_web_server_that_is_given_the_object_itself_ends_with_the_line_to_write(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "uvicorn", "--port", "0", f"program:{name}"]
    ended = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode != 0
    assert "write `app = propchange.asgi.application(" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("make", [ControlPoint, lambda: hosted()[1]])
async def test_a_request_to_the_object_itself_names_the_line_to_write(make: Any) -> None:
    with pytest.raises(TypeError, match=r"write `app = propchange\.asgi\.application\("):
        await call(make(), notify("/"))
