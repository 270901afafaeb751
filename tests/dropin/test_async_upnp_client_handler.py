"""UpnpEventHandler of the drop-in for async_upnp_client, without a listener: the program passes
each NOTIFY to handle_notify, and its requester is the device."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any
from xml.etree import ElementTree

import aiohttp
import pytest
from async_upnp_client.client import UpnpService, UpnpStateVariable
from async_upnp_client.const import HttpRequest, HttpResponse
from async_upnp_client.exceptions import (
    UpnpConnectionError,
    UpnpConnectionTimeoutError,
    UpnpError,
    UpnpResponseError,
    UpnpSIDError,
)

from propchange.dropin.async_upnp_client import UpnpEventHandler
from tests.dropin.library_device import (
    LibraryDevice,
    WebServer,
    notify,
    propertyset,
    refused,
    service_of,
)
from tests.wire import Until

VOLUME = (
    '<Event xmlns="urn:x"><InstanceID val="0"><Volume channel="{}" val="{}"/></InstanceID></Event>'
)


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class Program:
    """A service with an ``on_event`` that keeps what it is called with."""

    def __init__(self, device: LibraryDevice, handler: UpnpEventHandler) -> None:
        self.device = device
        self.handler = handler
        self.calls: list[dict[str, object]] = []
        self.service: Any = None
        self.seq = 0

    async def begin(self, name: str = "RenderingControl") -> UpnpService:
        self.service = await service_of(self.device, name)
        self.service.on_event = self.on_event
        return self.service  # type: ignore[no-any-return] - Any above

    def on_event(self, service: UpnpService, variables: Sequence[UpnpStateVariable[Any]]) -> None:
        assert service is self.service
        self.calls.append({each.name: each.value for each in variables})

    async def subscribe(self, **options: Any) -> str:
        if self.service is None:
            await self.begin()
        sid, _ = await self.handler.async_subscribe(self.service, **options)
        return sid

    async def event(self, sid: str, seq: int | None, **values: str) -> int:
        return await self.handler.handle_notify(notify(sid, seq, propertyset(**values)))


@contextlib.asynccontextmanager
async def running(device: LibraryDevice | None = None) -> AsyncIterator[Program]:
    device = device or LibraryDevice()
    handler = UpnpEventHandler(WebServer(), device)
    try:
        yield Program(device, handler)
    finally:
        await handler.async_unsubscribe_all()


# --- subscribing ---


async def test_subscribing_returns_the_sid_and_the_granted_duration() -> None:
    async with running() as program:
        program.device.timeout = "Second-300"
        service = await program.begin()
        sid, granted = await program.handler.async_subscribe(service, timedelta(seconds=900))
        assert (sid, granted) == ("uuid:1", timedelta(seconds=300))
        assert program.handler.service_for_sid(sid) is service
        assert program.handler.sid_for_service(service) == sid
        (request,) = program.device.requests
        assert (request.method, request.url) == ("SUBSCRIBE", service.event_sub_url)
        assert request.headers == {
            "HOST": "10.0.0.7:1400",
            "CALLBACK": f"<{WebServer.url}>",
            "NT": "upnp:event",
            "TIMEOUT": "Second-900",
        }


@pytest.mark.parametrize("stated", ["Second-infinite", "infinite"])
async def test_an_infinite_grant_is_the_wanted_duration_for_the_program(stated: str) -> None:
    async with running() as program:
        program.device.timeout = stated
        service = await program.begin()
        _, granted = await program.handler.async_subscribe(service, timedelta(seconds=540))
        assert granted == timedelta(seconds=540)


async def test_an_event_before_the_answer_is_given_to_the_program_before_subscribe_returns() -> (
    None
):
    async with running() as program:

        async def answer_late(request: HttpRequest) -> HttpResponse:
            status = await program.event("uuid:early", 0, LastChange="now")
            assert status == 200
            assert program.calls == []
            return HttpResponse(200, {"SID": "uuid:early", "TIMEOUT": "Second-300"}, "")

        program.device.answers["SUBSCRIBE"] = [answer_late]
        await program.subscribe()
        assert program.calls == [{"LastChange": "now"}]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (HttpResponse(503, {"Retry-After": "3"}, ""), UpnpResponseError),
        (HttpResponse(200, {"timeout": "Second-300"}, ""), UpnpSIDError),
        (refused(), UpnpConnectionError),
        (UpnpConnectionTimeoutError("late"), UpnpConnectionTimeoutError),
        (KeyError("a mistake of the requester"), KeyError),
    ],
    ids=["another status", "no SID", "no connection", "no answer in time", "any other"],
)
async def test_what_fails_is_raised_as_the_library_raises_it(
    answer: Any, kind: type[Exception]
) -> None:
    async with running() as program:
        program.device.answers["SUBSCRIBE"] = [answer]
        service = await program.begin()
        with pytest.raises(kind) as raised:
            await program.handler.async_subscribe(service)
        if isinstance(answer, Exception):
            assert raised.value is answer
        if isinstance(raised.value, UpnpResponseError):
            assert raised.value.status == 503
            assert dict(raised.value.headers) == {"Retry-After": "3"}
        # Who catches aiohttp's exceptions catches these too.
        if isinstance(raised.value, UpnpConnectionError):
            assert isinstance(raised.value, aiohttp.ClientConnectionError)
        assert program.handler.sid_for_service(service) is None
        assert len(program.device.requests) == 1  # the program decides whether it tries again


@pytest.mark.slow
async def test_a_requester_that_never_answers_is_given_up() -> None:
    async with running() as program:
        program.device.answers["UNSUBSCRIBE"] = [lambda _: asyncio.sleep(3600)]
        sid = await program.subscribe()
        with pytest.raises(UpnpConnectionTimeoutError, match="no answer to UNSUBSCRIBE"):
            await program.handler.async_unsubscribe(sid)


async def test_a_subscribe_that_is_cancelled_leaves_no_subscription(until: Until) -> None:
    async with running() as program:
        answered = asyncio.Event()

        async def answer_late(request: HttpRequest) -> HttpResponse:
            await answered.wait()
            return program.device.grant(request)

        program.device.answers["SUBSCRIBE"] = [answer_late]
        service = await program.begin()
        task = asyncio.create_task(program.handler.async_subscribe(service))
        await until(lambda: program.device.requests)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        answered.set()
        await until(lambda: program.device.sent("UNSUBSCRIBE"))
        assert program.handler.sid_for_service(service) is None


# --- events ---


async def test_a_last_change_is_given_to_the_program_as_it_came() -> None:
    async with running() as program:
        sid = await program.subscribe()
        texts = [VOLUME.format("Master", 20), VOLUME.format("LF", 5), "no XML"]
        for seq, text in enumerate(texts):
            await program.event(sid, seq, LastChange=escaped(text))
        assert program.calls == [{"LastChange": text} for text in texts]


async def test_each_event_is_one_call_also_if_the_program_knows_no_variable_of_it() -> None:
    async with running() as program:
        sid = await program.subscribe()
        for seq in range(3):
            assert await program.event(sid, seq, Unknown="1") == 200
        await program.event(sid, 3, Volume="7", Mute="1", Unknown="x")
        assert program.calls == [{}, {}, {}, {"Volume": 7, "Mute": True}]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"NT": ""}, 400),
        ({"NTS": ""}, 400),
        ({"NT": "upnp:other"}, 412),
        ({"NTS": "upnp:other"}, 412),
        ({"SID": ""}, 412),
        ({"SID": "uuid:unknown"}, 412),
        ({"HOST": "attacker.example"}, 400),
        ({"HOST": "10.0.0.2:8123"}, 200),
        ({}, 200),
    ],
)
async def test_a_notify_is_answered_with_the_status_of_uda(
    changes: dict[str, str], status: int
) -> None:
    async with running() as program:
        sid = await program.subscribe()
        request = notify(sid, 0, propertyset(LastChange="x"), **changes)
        answered = await program.handler.handle_notify(request)
        assert answered == status
        assert len(program.calls) == (status == 200)


async def test_xml_that_is_no_event_is_refused() -> None:
    async with running() as program:
        sid = await program.subscribe()
        assert await program.handler.handle_notify(notify(sid, 0, "<a/>")) == 400


@pytest.mark.parametrize("missing", ["NT", "NTS"])
async def test_a_request_without_nt_or_nts_is_refused_whatever_its_body_is(missing: str) -> None:
    async with running() as program:
        sid = await program.subscribe()
        assert await program.handler.handle_notify(notify(sid, 0, "", **{missing: ""})) == 400


@pytest.mark.parametrize("body", ["", "no XML", "<a>"])
async def test_a_body_that_is_no_xml_raises_the_parse_error_of_elementtree(body: str) -> None:
    async with running() as program:
        sid = await program.subscribe()
        with pytest.raises(ElementTree.ParseError):
            await program.handler.handle_notify(notify(sid, 0, body))
        assert program.calls == []


async def test_a_former_process_is_told_to_stop() -> None:
    """A handler that never subscribed answers 412 and not 200: the device then ends the
    subscription."""
    async with running() as program:
        assert await program.event("uuid:former", 7, LastChange="x") == 412


async def test_events_of_a_device_that_sends_no_seq_are_taken() -> None:
    async with running() as program:
        sid = await program.subscribe()
        for text in ("a", "b"):
            assert await program.event(sid, None, LastChange=text) == 200
        assert program.calls == [{"LastChange": "a"}, {"LastChange": "b"}]


async def test_an_event_that_comes_twice_is_given_once() -> None:
    async with running() as program:
        sid = await program.subscribe()
        for _ in range(2):
            assert await program.event(sid, 0, LastChange="a") == 200
        assert program.calls == [{"LastChange": "a"}]


async def test_an_on_event_that_raises_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as program:
        sid = await program.subscribe()

        def raise_always(*_: object) -> None:
            raise ZeroDivisionError

        program.service.on_event = raise_always
        for seq in range(3):
            assert await program.event(sid, seq, LastChange=str(seq)) == 200
        assert len([each for each in caplog.records if each.exc_info]) == 1
        program.service.on_event = program.on_event
        await program.event(sid, 3, LastChange="3")
        assert program.calls == [{"LastChange": "3"}]


async def test_the_programs_on_pre_notify_changes_a_body() -> None:
    async with running() as program:

        def mend(request: HttpRequest) -> HttpRequest:
            body = (request.body or "").replace("<broken>", "")
            return HttpRequest(request.method, request.url, request.headers, body)

        program.handler.on_pre_notify = mend
        sid = await program.subscribe()
        await program.handler.handle_notify(
            notify(sid, 0, propertyset(LastChange="a") + "<broken>")
        )
        assert program.calls == [{"LastChange": "a"}]


# --- renewal and recovery ---


async def test_renewing_asks_the_device_with_the_wanted_duration() -> None:
    async with running() as program:
        sid = await program.subscribe()
        program.device.timeout = "Second-77"
        for asked in (sid, program.service):
            renewed = await program.handler.async_resubscribe(asked, timedelta(days=2))
            assert renewed == (sid, timedelta(seconds=77))
        assert [
            (each.headers["SID"], each.headers["TIMEOUT"]) for each in program.device.sent("RENEW")
        ] == [(sid, "Second-172800")] * 2


async def test_the_sid_of_the_program_stays_while_the_device_grants_others() -> None:
    async with running() as program:
        sid = await program.subscribe()
        await program.event(sid, 0, LastChange="a")
        for number in (2, 3):
            program.device.answers["RENEW"] = [HttpResponse(412, {}, "")]
            assert (await program.handler.async_resubscribe(sid))[0] == sid
            assert program.handler.service_for_sid(sid) is program.service
            assert program.handler.service_for_sid(f"uuid:{number}") is program.service
            assert program.handler.sid_for_service(program.service) == sid
            assert await program.event(f"uuid:{number}", 0, LastChange=f"{number}") == 200
        assert {"LastChange": "3"} in program.calls
        assert await program.handler.async_unsubscribe(sid) == sid
        assert program.device.requests[-1].headers["SID"] == "uuid:3"


@pytest.mark.parametrize("unknown", ["uuid:unknown", "service"])
async def test_an_unknown_subscription_is_a_key_error(unknown: str) -> None:
    async with running() as program:
        service: Any = await program.begin() if unknown == "service" else unknown
        with pytest.raises(KeyError):
            await program.handler.async_resubscribe(service)
        with pytest.raises(KeyError):
            await program.handler.async_unsubscribe(service)


async def test_a_device_that_is_away_is_told_as_the_library_does_and_its_events_come_back(
    until: Until,
) -> None:
    async with running() as program:
        sid = await program.subscribe()
        await program.event(sid, 0, LastChange="before")
        away = refused()
        program.device.usual = {"RENEW": away, "SUBSCRIBE": away}
        with pytest.raises(UpnpConnectionError) as raised:
            await program.handler.async_resubscribe(sid)
        assert raised.value is away
        # As the profiles of the library do then:
        program.service.device.available = False
        assert program.handler.service_for_sid(sid) is None
        assert program.handler.sid_for_service(program.service) is None
        with pytest.raises(KeyError):
            await program.handler.async_resubscribe(sid)
        assert program.calls == [{"LastChange": "before"}, {}]

        program.device.usual = {"RENEW": HttpResponse(412, {}, "")}
        await until(lambda: len(program.device.sent("SUBSCRIBE")) > 1)
        new = "uuid:2"
        await until(lambda: not program.device.usual or program.handler._driven[sid].sid == new)
        assert await program.event(new, 0, LastChange="after") == 200
        assert program.calls[-1] == {"LastChange": "after"}
        assert program.service.device.available


async def test_a_program_that_subscribes_again_has_one_subscription(until: Until) -> None:
    """A program that was told that a subscription is lost makes another one. What went on beneath
    ends then: no event comes twice."""
    async with running() as program:
        first = await program.subscribe()
        await program.event(first, 0, LastChange="a")
        program.device.answers["RENEW"] = [refused()]
        with pytest.raises(UpnpConnectionError):
            await program.handler.async_resubscribe(first)
        second = await program.subscribe()
        assert second != first
        await until(lambda: program.device.sent("UNSUBSCRIBE"))
        assert program.device.sent("UNSUBSCRIBE")[0].headers["SID"] == first
        assert len(program.handler._driven) == 1


async def test_a_failed_attempt_of_the_program_leaves_what_goes_on_beneath(until: Until) -> None:
    async with running() as program:
        sid = await program.subscribe()
        await program.event(sid, 0, LastChange="a")
        program.device.usual = {"RENEW": refused(), "SUBSCRIBE": refused()}
        with pytest.raises(UpnpConnectionError):
            await program.handler.async_resubscribe(sid)
        for _ in range(2):  # it polls, and the device is still away
            with pytest.raises(UpnpConnectionError):
                await program.subscribe()
        program.device.usual = {"RENEW": HttpResponse(412, {}, "")}
        await until(lambda: program.handler._driven[sid].sid not in ("", sid))
        assert await program.event(program.handler._driven[sid].sid, 0, LastChange="b") == 200
        assert program.calls[-1] == {"LastChange": "b"}


async def test_a_second_subscription_to_a_service_takes_the_place_of_the_first(
    until: Until,
) -> None:
    """As after a profile has dropped a SID without a word: no event comes twice."""
    async with running() as program:
        first = await program.subscribe()
        second = await program.subscribe()
        assert first != second
        await until(lambda: program.device.sent("UNSUBSCRIBE"))
        assert program.device.sent("UNSUBSCRIBE")[0].headers["SID"] == first
        for sid in (first, second):
            assert program.handler.service_for_sid(sid) is program.service
            assert (await program.handler.async_resubscribe(sid))[0] == sid
        assert {each.headers["SID"] for each in program.device.sent("RENEW")} == {second}
        await program.handler.async_unsubscribe(second)
        assert program.handler.service_for_sid(first) is None


async def test_giving_up_the_former_sid_of_a_service_leaves_the_new_subscription_alone(
    until: Until,
) -> None:
    """A program may subscribe anew before it unsubscribes."""
    async with running() as program:
        former = await program.subscribe()
        sid = await program.subscribe()
        await until(lambda: len(program.device.sent("UNSUBSCRIBE")) == 1)
        assert await program.handler.async_unsubscribe(former) == former
        assert program.handler.service_for_sid(former) is None
        assert program.handler.sid_for_service(program.service) == sid
        assert await program.event(sid, 0, LastChange="a") == 200
        assert program.calls == [{"LastChange": "a"}]
        await program.handler.async_unsubscribe(program.service)
        assert [each.headers["SID"] for each in program.device.sent("UNSUBSCRIBE")] == [former, sid]


async def test_an_infinite_grant_is_the_duration_that_was_asked_for() -> None:
    async with running() as program:
        program.device.timeout = "Second-infinite"
        await program.begin()
        granted = await program.handler.async_subscribe(program.service, timedelta.max)
        assert granted == ("uuid:1", timedelta.max)
        assert await program.handler.async_resubscribe("uuid:1", timedelta.max) == granted


async def test_a_device_that_the_program_has_moved_is_subscribed_to_at_its_new_url(
    until: Until,
) -> None:
    async with running() as program:
        sid = await program.subscribe()
        device = program.service.device.root_device
        device.device_info = device.device_info._replace(url="http://10.0.0.8:1400/device.xml")
        assert (await program.handler.async_resubscribe(sid))[0] == sid
        assert not program.device.sent("RENEW")
        assert program.device.sent("SUBSCRIBE")[-1].url.startswith("http://10.0.0.8:1400/")
        await program.handler.async_resubscribe(sid)
        assert len(program.device.sent("RENEW")) == 1
        assert program.handler.service_for_sid(sid) is program.service


async def test_new_objects_of_a_device_take_the_place_of_those_that_were_told_lost(
    until: Until,
) -> None:
    """The garbage collector may keep the old objects for hours."""
    async with running() as program:
        first = await program.subscribe()
        program.device.answers["RENEW"] = [refused()]
        with pytest.raises(UpnpConnectionError):
            await program.handler.async_resubscribe(first)
        again = Program(program.device, program.handler)
        await again.subscribe()
        await until(lambda: program.device.sent("UNSUBSCRIBE"))
        await until(lambda: len(program.handler._driven) == 1)


async def test_a_device_whose_renewal_was_late_is_available_again_with_its_next_event() -> None:
    async with running() as program:
        sid = await program.subscribe()
        await program.event(sid, 0, LastChange="a")
        program.device.answers["RENEW"] = [UpnpConnectionTimeoutError("late")]
        with pytest.raises(UpnpConnectionTimeoutError):
            await program.handler.async_resubscribe(sid)
        program.service.device.available = False
        await program.event(sid, 1, LastChange="b")
        assert program.service.device.available
        assert program.calls == [{"LastChange": "a"}, {"LastChange": "b"}]


async def test_an_event_url_that_cannot_be_subscribed_to_is_an_error_of_the_library() -> None:
    async with running() as program:
        service = await program.begin()
        info = service.device.device_info
        service.device.device_info = info._replace(url="https://10.0.0.7/device.xml")
        with pytest.raises(UpnpError, match="is not an http:// URL"):
            await program.handler.async_subscribe(service)


async def test_a_loss_is_told_once_by_an_event_without_variables() -> None:
    async with running() as program:
        sid = await program.subscribe()
        await program.event(sid, 0, LastChange="a")
        program.device.usual = {"SUBSCRIBE": refused()}
        await program.event(sid, 5, LastChange="f")  # four were missed
        assert program.calls == [{"LastChange": "a"}, {"LastChange": "f"}, {}]


async def test_two_services_with_one_sid_have_names_of_their_own() -> None:
    """Some devices count their SIDs from one again when they restart."""
    async with running() as program:
        sid = await program.subscribe()
        program.device.answers["RENEW"] = [HttpResponse(412, {}, "")]
        await program.handler.async_resubscribe(sid)  # uuid:2 beneath
        other = Program(program.device, program.handler)
        await other.begin("AVTransport")
        program.device.answers["SUBSCRIBE"] = [
            HttpResponse(200, {"sid": sid, "timeout": "Second-300"}, "")
        ]
        second = await other.subscribe()
        assert second != sid
        assert program.handler.service_for_sid(sid) is program.service
        assert program.handler.service_for_sid(second) is other.service
        await other.event(sid, 0, LastChange="b")
        assert other.calls == [{"LastChange": "b"}]
        assert program.calls == []
        await program.handler.async_unsubscribe(second)
        assert program.device.requests[-1].headers["SID"] == sid


async def test_all_are_renewed_at_once() -> None:
    async with running() as program:
        others = [Program(program.device, program.handler) for _ in range(3)]
        sids = [await other.subscribe() for other in others]
        await program.handler.async_resubscribe_all()
        assert sorted(each.headers["SID"] for each in program.device.sent("RENEW")) == sids


# --- the end ---


async def test_unsubscribing_forgets_first_and_raises_what_the_device_answers() -> None:
    async with running() as program:
        sid = await program.subscribe()
        program.device.answers["UNSUBSCRIBE"] = [HttpResponse(500, {}, "")]
        with pytest.raises(UpnpResponseError):
            await program.handler.async_unsubscribe(sid)
        assert program.handler.service_for_sid(sid) is None
        assert await program.event(sid, 0, LastChange="a") == 412


async def test_unsubscribing_all_never_raises() -> None:
    async with running() as program:
        for name in ("AVTransport", "RenderingControl", "ConnectionManager"):
            program.service = None
            await program.handler.async_subscribe(await program.begin(name))
        program.device.answers["UNSUBSCRIBE"] = [HttpResponse(500, {}, ""), refused(), ValueError()]
        kept = program.service
        await program.handler.async_unsubscribe_all()
        assert program.handler.sid_for_service(kept) is None
        assert program.handler._driven == {}
        program.service = None
        assert await program.subscribe()  # it can be used again


@pytest.mark.slow
async def test_a_service_that_the_program_has_dropped_is_unsubscribed(until: Until) -> None:
    async with running() as program:
        service = await service_of(program.device)
        sid, _ = await program.handler.async_subscribe(service)
        dropped = weakref.ref(service)
        del service
        gc.collect()
        assert dropped() is None
        assert program.handler.service_for_sid(sid) is None
        await until(lambda: program.device.sent("UNSUBSCRIBE"))
        await until(lambda: not program.handler._driven)


@pytest.mark.slow
async def test_a_handler_that_the_program_has_dropped_leaves_nothing(until: Until) -> None:
    device = LibraryDevice()
    handler = UpnpEventHandler(WebServer(), device)
    service = await service_of(device)
    await handler.async_subscribe(service)
    dropped = weakref.ref(handler)
    driver = handler._driver
    assert driver is not None
    del handler
    gc.collect()
    assert dropped() is None
    await until(lambda: driver.closed)
    assert device.sent("UNSUBSCRIBE")


def test_a_program_that_ends_without_a_word_is_unsubscribed() -> None:
    device, kept = LibraryDevice(), []

    async def main() -> None:
        handler = UpnpEventHandler(WebServer(), device)
        service = await service_of(device)
        kept.extend([handler, service])
        await handler.async_subscribe(service)

    asyncio.run(main())
    assert device.sent("UNSUBSCRIBE")


async def test_a_handler_can_be_used_in_the_next_loop() -> None:
    device = LibraryDevice()
    handler = UpnpEventHandler(WebServer(), device)
    service = await service_of(device)

    def run_once() -> str:
        async def main() -> str:
            sid, _ = await handler.async_subscribe(service)
            return sid

        return asyncio.run(main())

    sids = [await asyncio.to_thread(run_once) for _ in range(2)]
    assert sids == ["uuid:1", "uuid:2"]
    assert len(device.sent("UNSUBSCRIBE")) == 2


async def test_stopping_stops_the_notify_server() -> None:
    server = WebServer()
    handler = UpnpEventHandler(server, LibraryDevice())
    assert handler.callback_url == WebServer.url
    await handler.async_stop()
    assert server.stopped


async def test_a_server_that_has_not_started_is_said_before_anything_is_sent() -> None:
    device = LibraryDevice()
    server = WebServer()
    server.url = "http://10.0.0.2:0/notify"
    handler = UpnpEventHandler(server, device)
    with pytest.raises(RuntimeError, match="start the notify server first"):
        await handler.async_subscribe(await service_of(device))
    assert device.requests == []
    server.url = "http://10.0.0.2:8123/notify"
    await handler.async_subscribe(await service_of(device))
    assert device.requests[0].headers["CALLBACK"] == "<http://10.0.0.2:8123/notify>"
    await handler.async_unsubscribe_all()


@pytest.mark.parametrize("url", ["https://events.example/x", "http://1.2.3.4:8091/a/{b}?c=d"])
async def test_the_callback_url_of_the_program_is_sent_as_it_is(url: str) -> None:
    device = LibraryDevice()
    server = WebServer()
    server.url = url
    handler = UpnpEventHandler(server, device)
    service = await service_of(device)
    sid, _ = await handler.async_subscribe(service)
    assert device.requests[0].headers["CALLBACK"] == f"<{url}>"
    assert await handler.handle_notify(notify(sid, 0, propertyset(LastChange="a"))) == 200
    await handler.async_unsubscribe_all()


def test_a_handler_goes_on_after_a_loop_that_was_closed_without_its_end() -> None:
    """As by run_until_complete() and close(): nothing of that loop can be awaited any more."""
    device = LibraryDevice()
    program = Program(device, UpnpEventHandler(WebServer(), device))
    loop = asyncio.new_event_loop()
    first = loop.run_until_complete(program.subscribe())
    loop.close()

    async def goes_on() -> None:
        async with asyncio.timeout(10):
            with pytest.raises(KeyError):
                await program.handler.async_unsubscribe(first)
            sid = await program.subscribe()
            assert await program.event(sid, 0, LastChange="a") == 200
            await program.handler.async_unsubscribe_all()
            assert [each.headers["SID"] for each in device.sent("UNSUBSCRIBE")] == [sid]

    asyncio.run(goes_on())
    assert program.calls == [{"LastChange": "a"}]


def test_all_is_ended_at_once_after_a_loop_that_was_closed_without_its_end() -> None:
    device = LibraryDevice()
    program = Program(device, UpnpEventHandler(WebServer(), device))
    loop = asyncio.new_event_loop()
    loop.run_until_complete(program.subscribe())
    loop.close()

    async def ends() -> None:
        async with asyncio.timeout(10):
            await program.handler.async_unsubscribe_all()

    asyncio.run(ends())
    assert program.handler.sid_for_service(program.service) is None
