"""The driver of a control point, on each runtime, with a device of sockets at the other end."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from propchange.core.diagnosis.verdicts import Verdict
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.subscriber.events import Cause, Event, Status, StatusChange
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.subscriber.outcomes import Granted
from propchange.core.wire.mending import problem
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.core.wire.xml import escape_text
from propchange.driver.control_point import SubscriberDriver
from propchange.driver.driven_subscription import DrivenSubscription
from propchange.driver.machine import Interfaces, Machine
from propchange.driver.remote import DescribedDevice, DescribedService
from propchange.driver.requests import refusal_of
from propchange.errors import ConnectionFailed, SubscriptionRefused

Until = Callable[[Callable[[], object]], Awaitable[None]]


class Held:
    """What a program holds of a subscription."""

    service: DescribedService | None = None

    def __init__(self) -> None:
        self.items: list[Event | StatusChange] = []
        self.grants = 0
        self.then: Callable[[], object] = lambda: None

    def _receive(self, outcome: Event | StatusChange | Granted, /) -> None:
        if isinstance(outcome, Granted):
            self.grants += 1
        else:
            self.items.append(outcome)
            self.then()

    @property
    def statuses(self) -> list[Status]:
        return [item.status for item in self.items if isinstance(item, StatusChange)]


@asynccontextmanager
async def opened(
    driven: Any,
    *,
    interface: str = "127.0.0.1",
    tap: Any = None,
    callback_port: int | None = None,
    **limits: Any,
) -> AsyncIterator[SubscriberDriver]:
    driver = SubscriberDriver(
        driven.runtime,
        SubscriberPolicy(callback_port=callback_port),
        limits=replace(DEFAULT_LIMITS, **limits),
        interfaces=Interfaces(),
        machine=Machine(),
        tap=tap,
    )
    await driven.run(driver.open(interface, (0,)))
    try:
        yield driver
    finally:
        await driven.run(driver.close())


def subscribe(driver: SubscriberDriver, url: str, *, wait: bool = False) -> tuple[Held, Any]:
    held = Held()
    record = driver.subscribe(held, url, wait=wait)
    return held, record


async def test_events_reach_what_the_program_holds_and_closing_gives_back(
    driven: Any, raw_device: Any, until: Until
) -> None:
    async with raw_device() as device:
        async with opened(driven) as driver:
            held, record = subscribe(driver, device.event_url)
            await until(lambda: held.grants)
            assert (await device.notify(record.callback, record.sid, 0, A="1")).status == 200
            await until(lambda: held.statuses == [Status.ACTIVE])
            await until(lambda: len(held.items) == 2)
            assert [item.subscription for item in held.items] == [held] * 2
            assert driver.port == driver.listener.port
        assert held.statuses[-1] is Status.CLOSED
        assert [request.fields["sid"] for request in device.of("UNSUBSCRIBE")] == ["uuid:1"]
        assert driver.subscriptions == {}
        assert len(driver.tasks) == 0
        with pytest.raises(RuntimeError, match="was closed"):
            subscribe(driver, device.event_url)


@pytest.mark.clause("V6-02")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_an_interface_by_its_name_is_used_with_all_its_addresses(
    driven: Any, raw_device: Any, until: Until, host: str
) -> None:
    """A delivery URL is of the family of its device."""
    name = next(each.interface for each in Interfaces().addresses() if each.host == host)
    device = raw_device()
    device.host = host
    async with device, opened(driven, interface=name) as driver:
        authority = str(Endpoint(host, device.port))
        held, record = subscribe(driver, f"http://{authority}/event")
        await until(lambda: held.grants)
        assert record.callback.startswith(f"http://{Endpoint(host, driver.port)}/")
        assert (await device.notify(record.callback, record.sid, 0, A="1")).status == 200


_BODY = b"""<?xml version="1.0" encoding="utf-8"?>
<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0"><e:property><LastChange>%b</LastChange>\
</e:property><e:property><FriendlyName>%b</FriendlyName></e:property></e:propertyset>%b"""
_TITLE = b"""&lt;Event xmlns="urn:schemas-upnp-org:metadata-1-0/AVT/"&gt;&lt;InstanceID val="0"&gt;\
&lt;Title val="%b"/&gt;&lt;/InstanceID&gt;&lt;/Event&gt;"""


@pytest.mark.parametrize(
    ("title", "name", "behind", "rows"),
    [
        (b"Caf\xe9", b"Kitchen", b"", ("xml-encoding",)),
        (b"http://h/d.asp?ex=1&id=2", b"Kitchen", b"", ("xml-ampersand",)),
        (b"x", b"Kids & Guests", b"", ("xml-ampersand",)),
        (b"x", b"Kitchen", b"\n\x9c\xe4\x60\x28", ("xml-behind",)),
        (b"a &lt; b \x01", b"K", b"", ("xml-character", "xml-less-than")),
    ],
)
async def test_an_event_that_is_not_well_formed_is_read_and_its_problem_is_told_once(
    driven: Any,
    raw_device: Any,
    until: Until,
    caplog: pytest.LogCaptureFixture,
    *,
    title: bytes,
    name: bytes,
    behind: bytes,
    rows: tuple[str, ...],
) -> None:
    body = _BODY % (_TITLE % title, name, behind)
    problems = tuple(map(problem, rows))
    async with raw_device() as device, opened(driven) as driver:
        held, record = subscribe(driver, device.event_url)
        await until(lambda: held.grants)
        for seq in range(3):
            answer = await device.notify(record.callback, record.sid, seq, body=body)
            assert answer.status == 200
        events = [item for item in held.items if isinstance(item, Event)]
        assert [event.problems for event in events] == [problems] * 3
        assert record.problems == problems
        meant = title.decode("latin-1").replace("&lt;", "<").replace("\x01", "\ufffd")
        assert events[0].changes == {"Title": meant, "FriendlyName": name.decode()}
        assert held.statuses == [Status.ACTIVE]
    logged = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
    assert logged == [
        f"{device.event_url}: its events are not well-formed; {each}" for each in problems
    ]


async def test_a_description_that_is_not_well_formed_is_read_with_its_problems(
    driven: Any, raw_device: Any
) -> None:
    async with raw_device() as device, opened(driven) as driver:
        device.documents["/description.xml"] = (
            device.documents["/description.xml"].replace(b">Raw<", b">R&N:\xe9<")
            + b"\n\x9c\xe4\x60\x28"
        )
        read = await driven.run(driver.documents.description(device.description_url))
    assert read.friendly_name == "R&N:\xe9"
    assert [service.name for service in read.services] == ["Thermometer"]
    assert read.problems == tuple(map(problem, ("xml-encoding", "xml-ampersand", "xml-behind")))


@pytest.mark.parametrize(
    ("port", "path", "ignored"),
    [
        ("dead", "/", True),  # another port, where nothing listens
        ("its own", "/old/firmware/", True),  # another path, where nothing is
        ("its own", "/", False),
    ],
)
async def test_a_url_base_that_leads_nowhere_is_ignored_and_said(
    driven: Any, raw_device: Any, *, port: str, path: str, ignored: bool
) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        dead = bound.getsockname()[1]
        async with raw_device() as device, opened(driven) as driver:
            base = f"http://127.0.0.1:{dead if port == 'dead' else device.port}{path}"
            document = device.documents["/description.xml"].replace(b">/", b">")
            document = document.replace(b"<device>", b"<URLBase>%b</URLBase><device>", 1)
            device.documents["/description.xml"] = document % base.encode()
            read = await driven.run(driver.documents.description(device.description_url))
            assert read["Thermometer"].event_url == device.event_url
            assert read.problems == (
                ("the URLBase was ignored: it leads nowhere",) if ignored else ()
            )


async def test_a_url_base_stays_where_nothing_shows_that_another_address_is_better(
    driven: Any, raw_device: Any
) -> None:
    async with raw_device() as device, opened(driven) as driver:
        del device.documents["/scpd.xml"]
        base = f"http://127.0.0.1:{device.port}/x/"
        document = device.documents["/description.xml"].replace(b">/", b">")
        document = document.replace(b"<device>", b"<URLBase>%b</URLBase><device>", 1)
        device.documents["/description.xml"] = document % base.encode()
        read = await driven.run(driver.documents.description(device.description_url))
        assert read["Thermometer"].event_url == f"{base}event"
        device.documents["/description.xml"] = document.replace(b"scpd.xml", b"") % base.encode()
        read = await driven.run(driver.documents.description(device.description_url))
        assert read.url_base == base


class Described(DescribedDevice[DescribedService]):
    _service_type = DescribedService


@pytest.mark.parametrize("evented", [True, False])
async def test_a_service_whose_description_events_nothing_is_not_deaf(
    driven: Any, raw_device: Any, until: Until, *, evented: bool
) -> None:
    async with raw_device() as device, opened(driven, initial_event_seconds=0.1) as driver:
        if not evented:
            scpd = device.documents["/scpd.xml"].replace(b'Events="yes"', b'Events="no"')
            device.documents["/scpd.xml"] = scpd
        described = await driven.run(driver.device(Described, device.description_url, None, 5.0))
        held = Held()
        held.service = described["Thermometer"]
        record = driver.subscribe(held, device.event_url, wait=False, describe_first=True)
        await until(lambda: held.statuses)
        assert held.statuses[0] is (Status.DEAF if evented else Status.ACTIVE)
        if not evented:
            assert record.status_cause is Cause.NOTHING_EVENTED
            diagnosis = await driven.run(driver.diagnose(record))
            assert diagnosis.verdict is Verdict.NOTHING_EVENTED
            assert diagnosis.well
            assert ("evented variables", "none in the service description") in (
                diagnosis.facts.lines()
            )


class Named(DrivenSubscription):
    """A subscription as a program has one."""

    @property
    def event_url(self) -> str:
        return "http://192.0.2.1/event" if self._record is None else self._record.event_url

    async def diagnose(self) -> None:
        raise NotImplementedError

    merged = 0

    def _receive(self, outcome: Event | StatusChange | Granted, /) -> None:
        pass


async def test_a_subscription_says_what_it_is(driven: Any, raw_device: Any, until: Until) -> None:
    async with raw_device() as device, opened(driven) as driver:
        held: Any = Named(driver, None)
        assert repr(held) == "<Named http://192.0.2.1/event: not subscribed yet>"
        held._record = record = driver.subscribe(held, device.event_url, wait=False)
        assert repr(held) == f"<Named {device.event_url}: subscribing>"
        await until(lambda: record.sid)
        await device.notify(record.callback, record.sid, 0, A="1")
        assert repr(held) == f"<Named {device.event_url}: active uuid:1>"
        described = await driven.run(driver.device(Described, device.description_url, None, 5.0))
        held = Named(driver, described["Thermometer"])
        called = "Thermometer of 'Raw' uuid:raw/urn:example-org:serviceId:Thermometer"
        assert repr(held) == f"<Named {called}: not subscribed yet>"


async def test_closing_waits_for_a_device_only_so_long(
    driven: Any, raw_device: Any, until: Until
) -> None:
    async with raw_device() as device:
        device.answers["UNSUBSCRIBE"] = None
        async with opened(driven, unsubscribe_seconds=0.1) as driver:
            held, _ = subscribe(driver, device.event_url)
            await until(lambda: held.grants)
            closers = [asyncio.ensure_future(driven.run(driver.close())) for _ in range(3)]
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="closed"):
                subscribe(driver, device.event_url)
            await asyncio.gather(*closers)
            assert held.statuses == [Status.CLOSED]


async def test_closing_while_a_device_owes_an_answer_is_no_failure(
    driven: Any, raw_device: Any, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    async with raw_device() as device:
        device.answers["SUBSCRIBE"] = None
        async with opened(driven, unsubscribe_seconds=0.1) as driver:
            held, _ = subscribe(driver, device.event_url)
            await until(lambda: device.of("SUBSCRIBE"))
    assert held.statuses == [Status.CLOSED]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_what_a_recipient_does_may_close_everything(
    driven: Any, raw_device: Any, until: Until
) -> None:
    """From inside the drain, with other outcomes still to be handed out."""
    async with raw_device() as device, opened(driven) as driver:
        first, record = subscribe(driver, device.event_url)
        second, other = subscribe(driver, device.event_url)
        await until(lambda: first.grants and second.grants)
        closing: list[Any] = []

        def close() -> None:
            if not closing:
                driver.unsubscribe(record)
                driver.unsubscribe(other)
                closing.append(asyncio.ensure_future(driven.run(driver.close())))

        first.then = close
        await asyncio.gather(
            device.notify(record.callback, record.sid, 0, A="1"),
            device.notify(other.callback, other.sid, 0, A="1"),
        )
        await until(lambda: closing)
        await closing[0]
        assert first.statuses[-1] is second.statuses[-1] is Status.CLOSED
        assert first.statuses.count(Status.CLOSED) == second.statuses.count(Status.CLOSED) == 1


async def test_a_tap_sees_what_passes_and_may_raise(
    driven: Any, raw_device: Any, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Any] = []

    def tap(passing: object) -> None:
        seen.append(passing)
        raise ValueError("on purpose")

    async with raw_device() as device, opened(driven, tap=tap) as driver:
        held, record = subscribe(driver, device.event_url)
        await until(lambda: held.grants)
        await device.notify(record.callback, record.sid, 0, A="1")
        await until(lambda: len(held.items) == 2)
    requests = [each.method for each in seen if isinstance(each, Request)]
    assert requests == ["SUBSCRIBE", "NOTIFY", "UNSUBSCRIBE"]
    assert [each.status for each in seen if isinstance(each, Response)] == [200] * 3
    assert [type(each) for each in seen if isinstance(each, Event)] == [Event]
    assert "on purpose" in caplog.text


async def test_without_a_port_there_is_nothing_that_events_could_come_to(driven: Any) -> None:
    limits = DEFAULT_LIMITS
    how: dict[str, Any] = {"limits": limits, "interfaces": Interfaces(), "machine": Machine()}
    driver = SubscriberDriver(driven.runtime, SubscriberPolicy(), **how)
    with pytest.raises(RuntimeError, match=r"call listen\(\) first"):
        subscribe(driver, "http://127.0.0.1/event")
    await driven.run(driver.close())
    behind_nat = SubscriberDriver(driven.runtime, SubscriberPolicy(callback_port=8123), **how)
    assert behind_nat.port == 8123
    await driven.run(behind_nat.close())


async def test_a_port_that_is_taken_is_told_in_words(driven: Any) -> None:
    async with opened(driven) as driver:
        taken = driver.listener.port
        other = SubscriberDriver(
            driven.runtime,
            SubscriberPolicy(),
            limits=DEFAULT_LIMITS,
            interfaces=Interfaces(),
            machine=Machine(),
        )
        with pytest.raises(ConnectionFailed, match=f"port {taken} is taken"):
            await driven.run(other.open("127.0.0.1", (taken,)))
        with pytest.raises(ConnectionFailed, match="no interface 'nowhere0'"):
            await driven.run(other.open("nowhere0", (0,)))
        await driven.run(other.close())


async def test_a_failure_that_nobody_foresaw_is_logged_and_ends_the_request(
    driven: Any, raw_device: Any, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    async with raw_device() as device, opened(driven, backoff_first_seconds=0.01) as driver:

        async def fails(*_: object, **__: object) -> None:
            driver._requests.follow = follow  # type: ignore[method-assign] # once
            raise ZeroDivisionError("on purpose")

        follow = driver._requests.follow
        driver._requests.follow = fails  # type: ignore[method-assign, assignment] # for the test
        held, _ = subscribe(driver, device.event_url)
        await until(lambda: held.grants)
    assert caplog.record_tuples[0][1] == logging.ERROR
    assert "on purpose" in caplog.text


def test_the_error_for_who_waits_says_why_there_is_no_grant() -> None:
    def change(status: Status, http: int = 0) -> StatusChange:
        return StatusChange(object(), status, None, "no", http)  # type: ignore[arg-type] # not read

    url = "http://192.0.2.1/event"
    assert refusal_of(change(Status.ACTIVE), url) is None
    closed = refusal_of(change(Status.CLOSED), url)
    assert isinstance(closed, ConnectionFailed)
    assert "closed before it was granted" in str(closed)
    assert isinstance(refusal_of(change(Status.REFUSED), url), ConnectionFailed)
    refused = refusal_of(change(Status.REFUSED, 503), url)
    assert isinstance(refused, SubscriptionRefused)
    assert refused.status == 503
    assert str(refused).startswith(f"{url}: no")


async def test_an_event_whose_lastchange_cannot_be_read_is_answered_200_and_arrives_as_text(
    driven: Any, raw_device: Any, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    text = "<StateEvent><: o='1'/></StateEvent>"
    async with raw_device() as device, opened(driven) as driver:
        held, record = subscribe(driver, device.event_url)
        await until(lambda: held.grants)
        answer = await device.notify(record.callback, record.sid, 0, LastChange=escape_text(text))
        assert answer.status == 200
        await until(lambda: [item for item in held.items if isinstance(item, Event)])
        assert [dict(item.changes) for item in held.items if isinstance(item, Event)] == [
            {"LastChange": text}
        ]
    assert [record for record in caplog.records if record.exc_info] == []


async def test_who_drives_it_learns_how_each_request_ended(
    driven: Any, raw_device: Any, until: Until
) -> None:
    ended: list[tuple[str, Any]] = []
    async with raw_device() as device, opened(driven) as driver:
        driver.request_ended = lambda request, result: ended.append((request.kind.name, result))
        held, record = subscribe(driver, device.event_url)
        await until(lambda: held.grants)
        driver.renew(record, 60)
        await until(lambda: len(ended) == 2)
        driver.unsubscribe(record)
        await until(lambda: len(ended) == 3)
        subscribe(driver, "http://127.0.0.1:9/event")
        await until(lambda: len(ended) == 4)
    assert [kind for kind, _ in ended] == ["SUBSCRIBE", "RENEW", "UNSUBSCRIBE", "SUBSCRIBE"]
    assert [result.status for _, result in ended[:3]] == [200, 200, 200]
    assert isinstance(ended[3][1], ConnectionFailed)
    assert device.of("SUBSCRIBE")[1].fields["timeout"] == "Second-60"
