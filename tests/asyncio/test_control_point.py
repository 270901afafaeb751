"""ControlPoint against a device of plain sockets."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from propchange.asyncio.control_point import ControlPoint
from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.subscriber.events import Event, Status, StatusChange
from propchange.core.subscriber.outcomes import Granted, NotifyRefused
from propchange.core.wire.messages import Request, Response
from propchange.driver.machine import Interfaces
from propchange.errors import ConnectionFailed, DescriptionError, TimedOut
from tests.wire import Until

"""For what takes a second, which passes alike on every loop."""


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


# --- what it sends ---


@pytest.mark.clause("SUB-10")
@pytest.mark.clause("SUB-11")
@pytest.mark.clause("SUB-14")
@pytest.mark.clause("SUB-18")
@pytest.mark.clause("SUB-19")
@pytest.mark.clause("UNS-01")
@pytest.mark.clause("UNS-02")
async def test_callback_has_the_local_address_of_the_connection_that_carries_the_subscribe(
    raw_device: Any,
) -> None:
    async with raw_device() as device, ControlPoint() as point:
        async with point.subscribe_url(device.event_url) as subscription:
            (subscribe,) = device.requests
            assert subscribe.first == "SUBSCRIBE /event HTTP/1.1"
            assert subscribe.fields["host"] == f"127.0.0.1:{device.port}"
            assert subscribe.fields["callback"] == f"<{subscription.callback}>"
            assert subscription.callback.startswith(f"http://127.0.0.1:{point.port}/")
            assert subscribe.fields["nt"] == "upnp:event"
            assert subscribe.fields["timeout"] == "Second-1800"
            assert " UPnP/1.1 propchange/" in subscribe.fields["user-agent"]
            assert not {"sid", "statevar"} & subscribe.fields.keys()
            # Nobody can guess where events are taken.
            assert len(urlsplit(subscription.callback).path) > 20
        unsubscribe = device.requests[1]
        assert unsubscribe.first == "UNSUBSCRIBE /event HTTP/1.1"
        assert unsubscribe.fields["sid"] == "uuid:1"
        assert unsubscribe.fields["host"] == f"127.0.0.1:{device.port}"
        assert not {"callback", "nt", "timeout"} & unsubscribe.fields.keys()


@pytest.mark.clause("SUB-12")
@pytest.mark.clause("SUB-13")
@pytest.mark.clause("SUB-20")
async def test_the_version_of_the_architecture_and_the_duration_are_settings(
    raw_device: Any,
) -> None:
    async with (
        raw_device() as device,
        ControlPoint(uda="2.0", friendly_name="Kitchen", duration=600) as point,
        point.subscribe_url(device.event_url),
        point.subscribe_url(device.event_url, duration=60),
    ):
        first, second = device.requests
        assert first.fields["cpfn.upnp.org"] == "Kitchen"
        assert " UPnP/2.0 " in first.fields["user-agent"]
        assert first.fields["timeout"] == "Second-600"
        assert second.fields["timeout"] == "Second-60"


async def test_the_address_in_callback_can_be_overridden(raw_device: Any, ask: Any) -> None:
    """A container or NAT in between: HOST then is what was advertised."""

    async with (
        raw_device() as device,
        ControlPoint(callback_host="192.0.2.77", callback_port=4000) as point,
        point.subscribe_url(device.event_url) as subscription,
    ):
        assert subscription.callback.startswith("http://192.0.2.77:4000/")
        assert device.requests[0].fields["callback"] == f"<{subscription.callback}>"
        path = urlsplit(subscription.callback).path
        notify = (
            f"NOTIFY {path} HTTP/1.1\nHOST: 192.0.2.77:4000\nNT: upnp:event\n"
            "NTS: upnp:propchange\nSID: uuid:1\nSEQ: 0"
        )
        body = b'<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0"/>'
        assert (await ask(point.port, notify, body=body)).status == 200


@pytest.mark.clause("SUB-06")
@pytest.mark.clause("SUB-17")
async def test_what_is_listened_on_is_subscribed_from(raw_device: Any) -> None:
    """Or the device would be told of an address where nobody listens."""
    known = Interfaces().addresses()
    name = next(address.interface for address in known if address.host == "127.0.0.1")

    for interface, host in (("127.0.0.2", "127.0.0.2"), (name, "127.0.0.1")):
        async with (
            raw_device() as device,
            ControlPoint(interface=interface) as point,
            point.subscribe_url(device.event_url) as subscription,
        ):
            assert urlsplit(subscription.callback).netloc == f"{host}:{point.port}"
            answer = await device.notify(subscription.callback, subscription.sid, 0, A="1")
            assert answer.status == 200


@pytest.mark.clause("SUB-06")
async def test_the_description_is_read_from_where_its_event_url_is_subscribed_to(
    raw_device: Any,
) -> None:
    async with raw_device() as device, ControlPoint(interface="127.0.0.2") as point:
        described = await point.device(device.description_url)
        (service,) = described.services
        async with service.subscribe() as subscription:
            assert urlsplit(subscription.callback).hostname == "127.0.0.2"
        methods = [request.method for request in device.requests]
        assert methods[0] == "GET"
        assert methods[-2:] == ["SUBSCRIBE", "UNSUBSCRIBE"]
        assert set(device.peers) == {"127.0.0.2"}


@pytest.mark.clause("SUB-77")
async def test_a_307_is_followed_and_remembered(raw_device: Any) -> None:
    async with raw_device() as moved, raw_device() as device, ControlPoint() as point:
        where = f"LOCATION: http://127.0.0.1:{device.port}/elsewhere\r\n"
        moved.answers["SUBSCRIBE"] = moved.reply(307, where)
        async with point.subscribe_url(moved.event_url) as subscription:
            (subscribe,) = device.requests
            assert subscribe.first == "SUBSCRIBE /elsewhere HTTP/1.1"
            assert subscribe.fields["host"] == f"127.0.0.1:{device.port}"
            assert subscribe.fields["callback"] == f"<{subscription.callback}>"
            assert subscribe.fields["nt"] == "upnp:event"
            assert subscription.event_url == f"http://127.0.0.1:{device.port}/elsewhere"
        assert [r.method for r in device.requests] == ["SUBSCRIBE", "UNSUBSCRIBE"]
        assert len(moved.requests) == 1


async def test_requests_to_one_device_wait_for_each_other(raw_device: Any, until: Until) -> None:
    async with raw_device() as device, ControlPoint() as point:
        most = point.limits.requests_per_device - 1  # one is left for calls of actions
        go = asyncio.Event()

        async def grant_later(request: Any) -> bytes:
            await go.wait()
            return bytes(device.grant(request))

        device.answers["SUBSCRIBE"] = grant_later
        async with asyncio.TaskGroup() as group:
            for _ in range(3 * most):
                subscription = point.subscribe_url(device.event_url)
                group.create_task(subscription.__aenter__())
            await until(lambda: len(device.requests) == most)
            for _ in range(20):
                await asyncio.sleep(0)
            assert device.connections == most
            go.set()
        assert len(device.requests) == 3 * most


@pytest.mark.slow
async def test_a_request_whose_time_is_up_before_its_turn_is_not_sent(
    raw_device: Any, until: Until
) -> None:
    limits = Limits(
        requests_per_device=1,
        request_seconds=0.1,
        backoff_first_seconds=0.01,
        subscribe_burst=100,
        unsubscribe_seconds=0.1,
    )
    async with raw_device() as device, ControlPoint(limits=limits) as point:
        device.answers["SUBSCRIBE"] = None
        for _ in range(3):
            await point.subscribe_url(device.event_url, wait=False).__aenter__()
        await until(lambda: len(device.requests) == 5)
        callbacks = [request.fields["callback"] for request in device.requests]
        assert len(set(callbacks)) == len(callbacks)
        assert all(urlsplit(callback.strip("<>")).path for callback in callbacks)


# --- what it takes ---


@pytest.mark.clause("RSP-02")
@pytest.mark.clause("RSP-03")
@pytest.mark.clause("RSP-04")
@pytest.mark.clause("RSP-07")
async def test_what_is_no_event_of_ours_is_answered_as_documented(
    raw_device: Any, ask: Any, caplog: pytest.LogCaptureFixture
) -> None:
    body = b'<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0"/>'

    async with (
        raw_device() as device,
        ControlPoint() as point,
        point.subscribe_url(device.event_url) as subscription,
    ):
        path = urlsplit(subscription.callback).path
        right = {
            "HOST": "{host}",
            "NT": "upnp:event",
            "NTS": "upnp:propchange",
            "SID": subscription.sid,
            "SEQ": "0",
        }

        async def status(method: str = "NOTIFY", to: str = path, **wrong: Any) -> int:
            text = wrong.pop("body", body)
            fields = {**right, **wrong}
            lines = [f"{k}: {v}" for k, v in fields.items() if v is not None]
            head = "\n".join((f"{method} {to} HTTP/1.1", *lines))
            return int((await ask(point.port, head, body=text)).status)

        assert await status(to="/events") == 412
        assert await status(to="/") == 412
        assert await status(SID="uuid:other") == 412
        assert await status(SID=None) == 412
        assert await status(HOST="evil.example") == 400
        assert await status(HOST=f"127.0.0.1:{point.port + 1}") == 400
        assert await status(HOST=None) == 400
        assert await status(NT=None) == 400
        assert await status(NTS=None) == 400
        assert await status(NT="upnp:other") == 412
        assert await status(NTS="upnp:other") == 412
        assert await status(SEQ="one") == 400
        assert await status(body=b"<e:propertyset") == 400
        assert await status(body=b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>") == 400
        for method in ("GET", "POST", "SUBSCRIBE"):
            assert await status(method) == 405
        assert subscription.status is Status.SUBSCRIBING
        assert await status() == 200
        assert (await anext(subscription)).seq == 0
    assert any("127.0.0.1 was answered 412 at /events" in line for line in warned(caplog))


@pytest.mark.clause("SUB-59")
async def test_an_event_before_the_answer_to_subscribe_is_not_lost(raw_device: Any) -> None:
    async with raw_device() as device, ControlPoint() as point:
        statuses = []

        async def notify_first(request: Any) -> bytes:
            callback = request.fields["callback"].strip("<>")
            for seq in range(2):
                answer = await device.notify(callback, "uuid:1", seq, A=str(seq))
                statuses.append(answer.status)
            return bytes(device.grant(request))

        device.answers["SUBSCRIBE"] = notify_first
        async with point.subscribe_url(device.event_url) as subscription:
            assert statuses == [200, 200]
            events = [await anext(subscription) for _ in range(2)]
            assert [(e.seq, e.is_initial, e.changes) for e in events] == [
                (0, True, {"A": "0"}),
                (1, False, {"A": "1"}),
            ]
            assert subscription.status is Status.ACTIVE


async def test_an_early_event_under_another_sid_than_the_granted_one_counts_for_nothing(
    raw_device: Any,
) -> None:
    async with raw_device() as device, ControlPoint() as point:

        async def notify_first(request: Any) -> bytes:
            callback = request.fields["callback"].strip("<>")
            await device.notify(callback, "uuid:other", 0, A="wrong")
            return bytes(device.grant(request))

        device.answers["SUBSCRIBE"] = notify_first
        async with point.subscribe_url(device.event_url) as subscription:
            await device.notify(subscription.callback, subscription.sid, 0, A="right")
            assert (await anext(subscription)).changes == {"A": "right"}


async def test_events_from_another_address_are_taken_and_told_unless_the_device_is_required(
    raw_device: Any, caplog: pytest.LogCaptureFixture
) -> None:
    for required, status in ((False, 200), (True, 412)):
        async with (
            raw_device() as device,
            ControlPoint(require_device_source=required) as point,
            point.subscribe_url(device.event_url) as subscription,
        ):
            for seq in range(2):
                answer = await device.notify(
                    subscription.callback, subscription.sid, seq, source="127.0.0.2", A="1"
                )
                assert answer.status == status
    told = [line for line in warned(caplog) if "came from 127.0.0.2, not from 127.0.0.1" in line]
    assert [line.rpartition(": ")[2] for line in told] == ["taken", "refused"]


async def test_many_strays_in_one_turn_of_the_loop_push_no_event_out(
    raw_device: Any, wire: Any
) -> None:
    """The protocol keeps a number of outcomes for its runtime; a flood may not shift ours."""

    async with (
        raw_device() as device,
        ControlPoint(limits=Limits(outcomes=64)) as point,
        point.subscribe_url(device.event_url) as subscription,
    ):
        body = '<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0"/>'
        event = (
            f"NOTIFY {urlsplit(subscription.callback).path} HTTP/1.1\r\n"
            f"HOST: 127.0.0.1:{point.port}\r\nNT: upnp:event\r\nNTS: upnp:propchange\r\n"
            f"SID: {subscription.sid}\r\nSEQ: 0\r\nCONTENT-LENGTH: {len(body)}\r\n\r\n{body}"
        )
        stray = f"NOTIFY / HTTP/1.1\r\nHOST: 127.0.0.1:{point.port}\r\n\r\n"
        peer = await wire.dial(point.port)
        await peer.send((event + 500 * stray).encode())
        assert (await anext(subscription)).seq == 0
        assert subscription.status is Status.ACTIVE


# --- entering and leaving ---


async def test_leaving_gives_every_subscription_back(raw_device: Any) -> None:
    async with raw_device() as device:
        async with ControlPoint() as point:
            subscriptions = [point.subscribe_url(device.event_url) for _ in range(10)]
            for subscription in subscriptions:
                await subscription.__aenter__()
        given_back = {request.fields["sid"] for request in device.of("UNSUBSCRIBE")}
        assert given_back == {f"uuid:{n}" for n in range(1, 11)}
        for subscription in subscriptions:
            assert subscription.status is Status.CLOSED
            assert [item async for item in subscription] == []


async def test_a_silent_device_does_not_hold_up_the_end(raw_device: Any) -> None:
    """Not even with a SUBSCRIBE under way: both would take 30 s by themselves."""

    limits = Limits(unsubscribe_seconds=0.1)
    async with raw_device() as device:
        async with ControlPoint(limits=limits) as point:
            subscription = point.subscribe_url(device.event_url)
            await subscription.__aenter__()
            device.answers.update(SUBSCRIBE=None, UNSUBSCRIBE=None)
            waiting = point.subscribe_url(device.event_url, wait=False)
            await waiting.__aenter__()
            while len(device.of("SUBSCRIBE")) < 2:
                await asyncio.sleep(0.001)
        assert subscription.status is Status.CLOSED
        assert waiting.status is Status.CLOSED
        assert len(device.of("UNSUBSCRIBE")) == 1


async def test_an_unanswered_unsubscribe_is_waited_for_once(raw_device: Any) -> None:
    """Not again by the control point, after its subscription has given up."""

    assert DEFAULT_LIMITS.unsubscribe_seconds == 2.0
    async with raw_device() as device:
        device.answers["UNSUBSCRIBE"] = None
        async with ControlPoint(limits=Limits(unsubscribe_seconds=0.2)) as point:
            async with point.subscribe_url(device.event_url):
                pass
            assert len(device.of("UNSUBSCRIBE")) == 1
            while point._driver.tasks:  # it has given up, or is just about to
                await asyncio.sleep(0.001)


async def test_a_subscribe_that_is_granted_during_the_end_is_given_back(raw_device: Any) -> None:
    """Or the device would send events to nobody until it expires."""

    async with raw_device() as device, ControlPoint() as point:
        closing = asyncio.Event()

        async def grant_later(request: Any) -> bytes:
            await closing.wait()
            return bytes(device.grant(request))

        device.answers["SUBSCRIBE"] = grant_later
        subscription = point.subscribe_url(device.event_url, wait=False)
        await subscription.__aenter__()
        await device.arrived.get()
        ending = asyncio.create_task(point.close())
        await asyncio.sleep(0)
        closing.set()
        await ending
        assert [r.fields["sid"] for r in device.of("UNSUBSCRIBE")] == ["uuid:1"]


async def test_a_cancelled_end_lets_go_of_everything(raw_device: Any, ask: Any) -> None:
    async with raw_device() as device:
        device.answers["UNSUBSCRIBE"] = None
        point = await ControlPoint().__aenter__()
        subscription = await point.subscribe_url(device.event_url).__aenter__()
        ending = asyncio.create_task(point.close())
        while not device.of("UNSUBSCRIBE"):
            await asyncio.sleep(0.001)
        ending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ending
        assert subscription.status is Status.CLOSED
        assert not point._driver.tasks
        with pytest.raises(ConnectionRefusedError):
            await ask(point._driver.listener.port, "GET / HTTP/1.1\nHOST: {host}")  # type: ignore[union-attr] # it was open


async def test_a_control_point_can_be_closed_twice_and_by_several_tasks_at_once(
    raw_device: Any,
) -> None:
    async with raw_device() as device, ControlPoint() as point:
        await point.subscribe_url(device.event_url).__aenter__()
        first, second = (asyncio.create_task(point.close()) for _ in range(2))
        await second
        assert first.done()
        await point.close()
        assert len(device.of("UNSUBSCRIBE")) == 1


async def test_whoever_connects_just_as_it_ends_breaks_nothing() -> None:
    """Accepted, and not yet a connection: asyncio's own server trips over that."""

    for turns in range(6):
        async with ControlPoint() as point:
            with socket.create_connection(("127.0.0.1", point.port)):
                for _ in range(turns):
                    await asyncio.sleep(0)
                await point.close()
    gc.collect()


async def test_a_control_point_that_is_not_running_raises(raw_device: Any) -> None:
    async with raw_device() as device:
        point = ControlPoint()
        await point.close()
        for stage in range(2):
            with pytest.raises(RuntimeError, match=r"async with ControlPoint|was closed"):
                await point.device(device.description_url)
            with pytest.raises(RuntimeError, match=r"async with ControlPoint|was closed"):
                point.port  # noqa: B018 - reading it raises
            with pytest.raises(RuntimeError, match=r"async with ControlPoint|was closed"):
                await point.subscribe_url(device.event_url).__aenter__()
            if not stage:
                async with point:
                    with pytest.raises(RuntimeError, match="entered once"):
                        await point.__aenter__()
        with pytest.raises(RuntimeError, match="entered once"):
            await point.__aenter__()
        assert device.requests == []


async def test_what_cannot_be_listened_on_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConnectionFailed, match=f"127.0.0.1: port {port} is taken"):
            await ControlPoint(interface="127.0.0.1", port=port).__aenter__()
    with pytest.raises(ConnectionFailed, match=r"203\.0\.113\.1: no interface of this"):
        await ControlPoint(interface="203.0.113.1").__aenter__()


@pytest.mark.parametrize(
    "options", [{"uda": "3.0"}, {"duration": 0}, {"port": 65_536}, {"hosts": frozenset({"a b"})}]
)
def test_options_that_make_no_sense_are_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        ControlPoint(**options)


async def test_two_control_points_hear_the_same_device(raw_device: Any) -> None:
    async with (
        raw_device() as device,
        ControlPoint() as one,
        ControlPoint() as other,
        one.subscribe_url(device.event_url) as first,
        other.subscribe_url(device.event_url) as second,
    ):
        assert one.port != other.port
        await device.notify(first.callback, first.sid, 0, A="1")
        await device.notify(second.callback, second.sid, 0, A="2")
        assert (await anext(first)).changes == {"A": "1"}
        assert (await anext(second)).changes == {"A": "2"}
        # The SID of one at the path of the other is nobody's.
        crossed = await device.notify(first.callback, second.sid, 1, A="3")
        assert crossed.status == 412


# --- descriptions ---


async def test_a_description_that_cannot_be_had_or_used_is_told(raw_device: Any) -> None:
    limits = Limits(request_seconds=0.1)
    async with raw_device() as device, ControlPoint(limits=limits) as point:
        base = f"http://127.0.0.1:{device.port}"
        with pytest.raises(DescriptionError, match="answered with 404"):
            await point.device(f"{base}/nothing.xml")
        device.documents["/page.xml"] = b"<html/>"
        with pytest.raises(DescriptionError, match=r"page\.xml"):
            await point.device(f"{base}/page.xml")
        for url in (f"https://127.0.0.1:{device.port}/", "nonsense", "http://127.0.0.1:0/"):
            with pytest.raises(ValueError, match=r"."):
                await point.device(url)
        device.answers["GET"] = b"nonsense\r\n\r\n"
        with pytest.raises(DescriptionError, match="not answered in HTTP"):
            await point.device(f"{base}/description.xml")
        device.answers["GET"] = b""
        with pytest.raises(ConnectionFailed):
            await point.device(f"{base}/description.xml")
        device.answers["GET"] = None
        with pytest.raises(TimedOut):
            await point.device(f"{base}/description.xml")
        await device.__aexit__()
        with pytest.raises(ConnectionFailed):
            await point.device(f"{base}/description.xml")


# --- kept alive ---


@pytest.mark.slow
@pytest.mark.one_loop
async def test_a_service_that_has_moved_is_found_again(
    raw_device: Any, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    """The device was restarted and has another event URL, and no service description any more."""

    limits = Limits(backoff_first_seconds=0.01, subscribe_burst=100)
    async with raw_device() as device, ControlPoint(limits=limits) as point:
        remote = await point.device(device.description_url)
        device.answers["SUBSCRIBE"] = lambda r: device.grant(r, timeout="Second-1")
        async with remote["Thermometer"].subscribe() as subscription:
            await device.notify(subscription.callback, "uuid:1", 0, Temperature="20")
            assert (await anext(subscription)).changes == {"Temperature": 20.0}

            description = device.documents["/description.xml"]
            device.documents["/description.xml"] = description.replace(b"/event<", b"/moved<")
            del device.documents["/scpd.xml"]

            def answer(request: Any) -> bytes:
                if request.target == "/event":
                    return bytes(device.reply(404 if "nt" in request.fields else 412))
                return bytes(device.grant(request))

            device.answers["SUBSCRIBE"] = answer
            await until(lambda: subscription.sid == "uuid:2")
            assert subscription.event_url.endswith("/moved")
            await device.notify(subscription.callback, "uuid:2", 0, Temperature="21")
            event = await anext(subscription)
            assert event.is_initial
            # Typed, as it was: types that were known once are better than none.
            assert subscription.values == {"Temperature": 21.0}
    assert any("stay texts" in line for line in warned(caplog))


@pytest.mark.parametrize("broken", ["service", "events"])
async def test_a_service_that_is_gone_is_looked_for_again_and_again(
    raw_device: Any, until: Until, broken: str
) -> None:
    limits = Limits(backoff_first_seconds=0.01)
    async with raw_device() as device, ControlPoint(limits=limits) as point:
        right = device.documents["/description.xml"]
        remote = await point.device(device.description_url)
        old, new = {
            "service": (b"Thermometer", b"Hygrometer"),
            "events": (b">/event<", b"><"),
        }[broken]
        device.documents["/description.xml"] = right.replace(old, new)
        async with remote["Thermometer"].subscribe(wait=False) as subscription:
            updates = subscription.updates()
            change = await anext(updates)
            assert isinstance(change, StatusChange)
            assert ("Hygrometer" if broken == "service" else "no events") in change.reason
            device.documents["/description.xml"] = right
            await until(lambda: subscription.sid)
            await updates.aclose()


async def test_a_status_that_repeats_is_told_once_and_then_counted(
    raw_device: Any, caplog: pytest.LogCaptureFixture
) -> None:
    limits = Limits(subscribe_burst=100)
    async with (
        raw_device() as device,
        ControlPoint(limits=limits) as point,
        point.subscribe_url(device.event_url) as subscription,
    ):
        for number in range(1, 11):
            while subscription.sid != f"uuid:{number}" or not subscription.granted:
                await asyncio.sleep(0.001)
            await device.notify(subscription.callback, subscription.sid, 0, A="1")
            await device.notify(subscription.callback, subscription.sid, 1, A="2")
            await device.notify(subscription.callback, subscription.sid, 5, A="3")
        assert subscription.gaps == 10
    told = [line for line in warned(caplog) if "resubscribing" in line]
    assert len(told) == 2
    assert told[1].endswith("(10 times so far)")


async def test_a_seq_that_means_nothing_is_told_once(
    raw_device: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        raw_device() as device,
        ControlPoint() as point,
        point.subscribe_url(device.event_url) as subscription,
    ):
        for number in range(6):
            await device.notify(subscription.callback, subscription.sid, 0, A=str(number))
        while (await anext(subscription)).changes != {"A": "5"}:
            pass
        assert subscription.gaps == 0
    assert len([line for line in warned(caplog) if "SEQ means nothing" in line]) == 1


async def test_a_tap_sees_everything_that_passes(raw_device: Any) -> None:
    seen: list[object] = []

    async with (
        raw_device() as device,
        ControlPoint(tap=seen.append) as point,
        point.subscribe_url(device.event_url) as subscription,
    ):
        assert [type(item) for item in seen] == [Request, Response, Granted]
        seen.clear()
        await device.notify(subscription.callback, subscription.sid, 0, A="1")
        await device.notify(f"{subscription.callback}-stray", "uuid:other", 1, A="2")
        while len(seen) < 7:
            await asyncio.sleep(0.001)
        kinds = [type(item) for item in seen]
        assert kinds == [
            *(Request, Response, StatusChange, Event),
            *(Request, Response, NotifyRefused),
        ]


@pytest.mark.clause("SUB-13")
@pytest.mark.parametrize("uda", ["1.1", "2.0"])
async def test_a_description_is_asked_for_by_name_where_the_architecture_wants_it(
    raw_device: Any, uda: str
) -> None:
    async with raw_device() as device, ControlPoint(uda=uda, friendly_name="Hall") as point:
        await point.device(device.description_url)
        (request,) = device.of("GET")
        assert request.fields.get("cpfn.upnp.org") == ("Hall" if uda == "2.0" else None)
