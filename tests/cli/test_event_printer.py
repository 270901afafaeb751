"""What is told of subscriptions, against devices that misbehave on request."""

from __future__ import annotations

import asyncio
import dataclasses
import io
from collections.abc import Awaitable, Callable, Mapping
from math import inf
from types import SimpleNamespace
from typing import Any

import pytest

from propchange.asyncio.control_point import ControlPoint
from propchange.asyncio.remote import RemoteService
from propchange.cli.event_printer import EventPrinter, Wanted
from propchange.cli.exit_status import CommandFailed
from propchange.cli.lines import (
    DiagnosisLine,
    EventLine,
    GrantedFor,
    ProblemLine,
    Source,
    StatusLine,
)
from propchange.cli.output import Writer
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.subscriber.events import Event
from propchange.core.subscriber.outcomes import (
    ForeignSource,
    Granted,
    NotifyRefused,
    RenewalFailed,
    SeqUnreliable,
)
from propchange.core.subscriber.record import SubscriptionRecord
from propchange.core.wire.mending import problem
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.errors import ConnectionFailed, DescriptionError, SubscriptionRefused

pytestmark = pytest.mark.slow

PATIENCE = 15.0


SOURCE = Source("device", "")


async def found(wanted: Wanted) -> Wanted:
    return wanted


class Form:
    """Keeps the lines as they are."""

    def __init__(self) -> None:
        self.lines: list[EventLine | StatusLine | DiagnosisLine | ProblemLine] = []
        self._grown = asyncio.Event()

    def begin(self, sources: object) -> str:
        return ""

    def event(self, line: EventLine) -> str:
        return self._keep(line)

    def problem(self, line: ProblemLine) -> str:
        return self._keep(line)

    def status(self, line: StatusLine) -> str:
        return self._keep(line)

    def diagnosis(self, line: DiagnosisLine) -> str:
        return self._keep(line)

    def _keep(self, line: EventLine | StatusLine | DiagnosisLine | ProblemLine) -> str:
        self.lines.append(line)
        self._grown.set()
        return "."

    @property
    def told(self) -> list[str]:
        names = {EventLine: "event", DiagnosisLine: "diagnosis", ProblemLine: "problem"}
        return [getattr(line, "status", "") or names[type(line)] for line in self.lines]

    def line(self, status: str) -> StatusLine:
        return next(x for x in self.lines if isinstance(x, StatusLine) and x.status == status)

    async def wait_for(self, *told: str) -> None:
        """Until the last of ``told`` has been told, whatever came before."""
        while self.told[-len(told) :] != list(told):
            self._grown.clear()
            await self._grown.wait()


class ScriptedDevice:
    """Answers requests with what ``script`` says, by method, and can send a NOTIFY."""

    def __init__(self) -> None:
        self.script: dict[str, list[str]] = {}
        self.callback = ""
        self.url = ""
        self._server: asyncio.Server

    async def __aenter__(self) -> ScriptedDevice:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/event"
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except asyncio.IncompleteReadError:  # a diagnosis only connects
            writer.close()
            return
        for line in head.split("\r\n"):
            if line.upper().startswith("CALLBACK:"):
                self.callback = line.partition("<")[2].rpartition(">")[0]
        answers = self.script.get(head.split()[0], ["200 OK"])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        end = "CONTENT-LENGTH: 0\r\nCONNECTION: close\r\n\r\n"
        writer.write(f"HTTP/1.1 {answer}\r\n{end}".encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def notify(self, sid: str, seq: int, value: str) -> None:
        authority, _, path = self.callback.removeprefix("http://").partition("/")
        host, _, port = authority.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        body = (
            '<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0">'
            f"<e:property><V>{value}</V></e:property></e:propertyset>"
        )
        writer.write(
            f"NOTIFY /{path} HTTP/1.1\r\nHOST: {authority}\r\nCONTENT-TYPE: text/xml\r\n"
            f"NT: upnp:event\r\nNTS: upnp:propchange\r\nSID: {sid}\r\nSEQ: {seq}\r\n"
            f"CONTENT-LENGTH: {len(body)}\r\nCONNECTION: close\r\n\r\n{body}".encode()
        )
        await reader.read()
        writer.close()
        await writer.wait_closed()


def grant(sid: str, timeout: str = "Second-1800") -> str:
    return f"200 OK\r\nSID: {sid}\r\nTIMEOUT: {timeout}"


Scenario = Callable[[ScriptedDevice, Form, asyncio.Task[None]], Awaitable[None]]


async def lines_of(
    scenario: Scenario,
    script: dict[str, list[str]],
    *,
    urls: Callable[[ScriptedDevice], list[str]] = lambda device: [device.url],
    limits: Mapping[str, Any] | None = None,
    stream: Any = None,
    **options: Any,
) -> list[EventLine | StatusLine | DiagnosisLine | ProblemLine]:
    """Follow event URLs of a scripted device while ``scenario`` goes on; the lines told."""
    form = Form()
    async with ScriptedDevice() as device, Writer(stream or io.StringIO()) as writer:
        device.script = script
        printer = EventPrinter(writer, form, **options)
        async with ControlPoint(
            interface="127.0.0.1",
            tap=printer.tap,
            limits=dataclasses.replace(DEFAULT_LIMITS, **(limits or {})),
        ) as control_point:
            wanted = [
                (Source("device", url.rpartition("/")[2]), control_point.subscribe_url(url))
                for url in urls(device)
            ]
            following = asyncio.create_task(printer.run([(SOURCE, found(wanted))]))
            try:
                await scenario(device, form, following)
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
    return form.lines


async def until_it_ends(device: ScriptedDevice, form: Form, following: asyncio.Task[None]) -> None:
    await following


async def test_a_granted_subscription_and_its_events_are_told() -> None:
    async def scenario(device: ScriptedDevice, form: Form, following: asyncio.Task[None]) -> None:
        await form.wait_for("granted")
        await device.notify("uuid:1", 0, "a")
        await form.wait_for("granted", "active", "event")

    granted, _, event = await lines_of(scenario, {"SUBSCRIBE": [grant("uuid:1", "Second-60")]})

    assert isinstance(granted, StatusLine)
    assert isinstance(event, EventLine)
    assert granted.grant is not None
    assert granted.grant.until is not None
    assert 59 < (granted.grant.until - granted.time).total_seconds() < 61
    assert (granted.grant.sid, granted.grant.duration) == ("uuid:1", 60)
    assert granted.reason == "60 s, SID uuid:1"
    assert event.source == granted.source == Source("device", "event")
    assert dict(event.event.changes) == {"V": "a"}
    assert event.message is None


async def test_a_grant_without_an_end_has_none() -> None:
    async def scenario(device: ScriptedDevice, form: Form, following: asyncio.Task[None]) -> None:
        await form.wait_for("granted")

    (granted,) = await lines_of(scenario, {"SUBSCRIBE": [grant("uuid:1", "infinite")]})

    assert isinstance(granted, StatusLine)
    assert granted.grant == GrantedFor("uuid:1")
    assert granted.reason == "without an end, SID uuid:1"


async def test_a_device_that_cannot_reach_us_is_told_as_deaf_and_then_as_active() -> None:
    async def scenario(device: ScriptedDevice, form: Form, following: asyncio.Task[None]) -> None:
        await form.wait_for("deaf", "diagnosis")
        assert "127.0.0.1" in form.line("deaf").reason
        told = form.lines[-1]
        assert isinstance(told, DiagnosisLine)
        assert told.diagnosis.facts.device_probe is not None
        assert told.source == form.line("deaf").source
        await device.notify("uuid:1", 0, "late")
        await form.wait_for("diagnosis", "active", "event")

    await lines_of(
        scenario, {"SUBSCRIBE": [grant("uuid:1")]}, limits={"initial_event_seconds": 0.05}
    )


async def test_a_subscription_that_is_lost_and_made_again_is_told() -> None:
    """A gap in SEQ ends it; so does the one after that, and a device that is away is told once."""

    async def scenario(device: ScriptedDevice, form: Form, following: asyncio.Task[None]) -> None:
        await form.wait_for("granted")
        await device.notify("uuid:1", 0, "a")
        await form.wait_for("active", "event")
        device.script["SUBSCRIBE"] = ["503 Busy", grant("uuid:2")]
        await device.notify("uuid:1", 5, "b")
        await form.wait_for("event", "lost", "resubscribing", "resubscribed")
        await device.notify("uuid:2", 0, "c")
        await form.wait_for("active", "event")

    await lines_of(
        scenario, {"SUBSCRIBE": [grant("uuid:1")]}, limits={"backoff_first_seconds": 0.01}
    )


async def test_a_service_without_its_description_is_told_as_untyped(
    workbench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(service: RemoteService) -> None:
        return None

    monkeypatch.setattr(RemoteService, "_read_conversions", nothing)

    form = Form()
    writer = Writer(io.StringIO())
    async with writer, ControlPoint(interface="127.0.0.1") as control_point:
        printer = EventPrinter(writer, form, count=1)
        service = (await control_point.device(workbench.url))["Thermometer"]
        await printer.run([(SOURCE, found([(Source("d", "s"), service.subscribe())]))])
    untyped, _, event = form.lines

    assert isinstance(untyped, StatusLine)
    assert untyped.status == "untyped"
    assert isinstance(event, EventLine)
    assert event.event.changes["Temperature"] == "20.0"


async def test_a_renewal_is_told() -> None:
    async def scenario(device: ScriptedDevice, form: Form, following: asyncio.Task[None]) -> None:
        await form.wait_for("granted", "renewed")
        assert form.line("renewed").reason == "2 s"
        assert form.line("renewed").grant is not None

    await lines_of(scenario, {"SUBSCRIBE": [grant("uuid:1", "Second-2")]})


async def test_the_only_refusal_is_raised() -> None:
    with pytest.raises(SubscriptionRefused) as refused:
        await lines_of(until_it_ends, {"SUBSCRIBE": ["500 No"]})

    assert refused.value.status == 500


async def test_a_refused_callback_is_named() -> None:
    with pytest.raises(SubscriptionRefused, match=r"412: it will not send events to 127\.0\.0\.1:"):
        await lines_of(until_it_ends, {"SUBSCRIBE": ["412 Precondition Failed"]})


async def test_a_service_that_refuses_does_not_keep_the_others_from_being_watched() -> None:
    async def scenario(device: ScriptedDevice, form: Form, following: asyncio.Task[None]) -> None:
        await form.wait_for("granted", "failed", "refused")
        assert form.line("refused").source == Source("device", "one")
        assert "503" in form.line("refused").reason
        await device.notify("uuid:1", 0, "a")
        await form.wait_for("active", "event")

    await lines_of(
        scenario,
        {"SUBSCRIBE": ["503 Busy", grant("uuid:1")]},
        urls=lambda device: [
            device.url.replace("event", "one"),
            device.url.replace("event", "two"),
            "https://127.0.0.1/three",
        ],
        limits={"requests_per_device": 1},
    )


async def test_an_event_url_that_is_none_is_a_fault_of_the_description() -> None:
    with pytest.raises(DescriptionError, match="https://"):
        await lines_of(until_it_ends, {}, urls=lambda _: ["https://127.0.0.1/x"])


async def test_nobody_there_is_raised() -> None:
    with pytest.raises(ConnectionFailed):
        await lines_of(until_it_ends, {}, urls=lambda _: ["http://127.0.0.1:1/x"])


async def test_the_printer_ends_after_as_many_events_as_were_wanted() -> None:
    async def scenario(device: ScriptedDevice, form: Form, following: asyncio.Task[None]) -> None:
        await form.wait_for("granted")
        await asyncio.gather(*(device.notify("uuid:1", seq, "x") for seq in range(1)))
        for seq in (1, 2, 3):
            await device.notify("uuid:1", seq, f"{seq}")
        await following

    lines = await lines_of(scenario, {"SUBSCRIBE": [grant("uuid:1")]}, count=2)

    assert [line.event.seq for line in lines if isinstance(line, EventLine)] == [0, 1]


async def test_an_output_that_cannot_be_written_ends_it() -> None:
    async def scenario(device: ScriptedDevice, form: Form, following: asyncio.Task[None]) -> None:
        await following

    with (
        open("/dev/full", "w") as full,  # noqa: ASYNC230 - a device
        pytest.raises(CommandFailed, match="cannot write the output: No space left on device"),
    ):
        await lines_of(scenario, {"SUBSCRIBE": [grant("uuid:1")]}, stream=full)


async def test_each_event_has_its_notify_when_they_are_kept() -> None:
    async def scenario(device: ScriptedDevice, form: Form, following: asyncio.Task[None]) -> None:
        await form.wait_for("granted")
        await device.notify("uuid:wrong", 0, "stray")
        for seq in (0, 1):
            await device.notify("uuid:1", seq, f"v{seq}")
        await form.wait_for("event", "event")

    lines = await lines_of(scenario, {"SUBSCRIBE": [grant("uuid:1")]}, messages=True)

    events = [line for line in lines if isinstance(line, EventLine)]
    for line in events:
        assert line.message is not None
        assert line.event.changes["V"].encode() in line.message.body  # type: ignore[attr-defined] # text here
        assert line.message.fields[b"seq"] == str(line.event.seq).encode()


class Told:
    """A printer that has nothing to follow: only its tap is used."""

    def __init__(self, **options: Any) -> None:
        self.form = Form()
        self.printer = EventPrinter(Writer(None), self.form, **options)


def record() -> SubscriptionRecord:
    subscription = SubscriptionRecord(
        "http://192.0.2.1/e",
        persistent=True,
        describable=False,
        device=None,
        convert=None,
        duration_wanted=1800,
        limits=DEFAULT_LIMITS,
        begun_at=0.0,
    )
    subscription.device_host = "192.0.2.1"
    return subscription


@pytest.mark.parametrize(
    ("outcome", "status", "reason"),
    [
        (RenewalFailed(record(), "no answer"), "renewal-failed", "no answer"),
        (
            SeqUnreliable(record()),
            "seq-unreliable",
            "the device does not count SEQ: a missed event cannot be noticed",
        ),
        (
            ForeignSource(record(), "192.0.2.9", False),
            "foreign-source",
            "events from 192.0.2.9 instead of 192.0.2.1 are accepted",
        ),
        (
            ForeignSource(record(), "192.0.2.9", True),
            "foreign-source",
            "events from 192.0.2.9 instead of 192.0.2.1 are refused",
        ),
        (
            NotifyRefused(Endpoint("192.0.2.9", 4), "/x", 400, "no XML"),
            "notify-refused",
            "192.0.2.9 was answered 400: no XML",
        ),
        (
            NotifyRefused(None, "/x", 412, "y"),
            "notify-refused",
            "an unknown peer was answered 412: y",
        ),
    ],
)
def test_what_no_subscription_tells_is_told_from_the_tap(
    outcome: object, status: str, reason: str
) -> None:
    told = Told()
    told.printer.tap(outcome)

    (line,) = told.form.lines
    assert isinstance(line, StatusLine)
    assert (line.status, line.reason) == (status, reason)


async def test_a_refused_notify_names_the_service_whose_path_it_had() -> None:
    async def scenario(device: ScriptedDevice, form: Form, following: asyncio.Task[None]) -> None:
        await form.wait_for("granted")
        await device.notify("uuid:1", 0, "<a>")
        await form.wait_for("notify-refused")
        await device.notify("uuid:1", 0, "a")
        await form.wait_for("event")
        device.callback = f"{device.callback}/other"
        await device.notify("uuid:1", 1, "a")
        await form.wait_for("notify-refused")

    lines = await lines_of(scenario, {"SUBSCRIBE": [grant("uuid:1")]})
    refusals = [
        (line.source, line.reason)
        for line in lines
        if isinstance(line, StatusLine) and line.status == "notify-refused"
    ]
    (known, malformed), (unknown, _) = refusals
    assert known == Source("device", "event")
    assert "was answered 400: malformed XML" in malformed
    assert unknown is None


async def test_a_problem_is_told_once_for_each_device() -> None:
    async def scenario(device: ScriptedDevice, form: Form, following: asyncio.Task[None]) -> None:
        await form.wait_for("granted", "granted")
        for seq in range(3):
            await device.notify("uuid:2", seq, "a & b")
            await form.wait_for("event")
        await device.notify("uuid:2", 3, "a &nbsp; b")
        await form.wait_for("problem", "event")

    lines = await lines_of(
        scenario,
        {"SUBSCRIBE": [grant("uuid:1"), grant("uuid:2")]},
        urls=lambda device: [device.url.replace("event", "one"), device.url],
        limits={"requests_per_device": 1},
    )
    problems = [line.problem for line in lines if isinstance(line, ProblemLine)]
    assert problems == [problem("xml-ampersand"), problem("xml-html-entity")]


def test_a_refusal_before_the_grant_names_the_service_too() -> None:
    told = Told()

    class Asking:
        record = SimpleNamespace(path="/path")

    subscription: Any = Asking()
    told.printer._asking = {subscription: Source("d", "s")}
    for path in ("/path", "/other"):
        told.printer.tap(NotifyRefused(None, path, 412, "x"))

    assert [line.source for line in told.form.lines] == [Source("d", "s"), None]


def test_a_refusal_is_told_once_and_only_so_many_are() -> None:
    told = Told()
    for number in (1, 1, *range(2, 300)):
        told.printer.tap(NotifyRefused(None, "/x", 412, f"{number}"))

    assert len(told.form.lines) == 64


def test_the_kept_messages_are_bounded() -> None:
    told = Told(messages=True)
    subscription = record()
    for seq in range(100):
        headers = [(b"SID", b"uuid:1"), (b"SEQ", str(seq).encode())]
        told.printer.tap(Request("NOTIFY", "/x", headers, b"x" * 100_000))
        told.printer.tap(Response(200))
    told.printer.tap(Granted(subscription, "uuid:1", inf))

    def message_of(seq: int) -> Request | None:
        event = Event(subscription, "uuid:1", seq, {}, (), is_initial=False)
        told.printer._event(Source("d", "s"), event)
        line = told.form.lines[-1]
        assert isinstance(line, EventLine)
        return line.message

    assert message_of(0) is None
    assert message_of(99) is not None
