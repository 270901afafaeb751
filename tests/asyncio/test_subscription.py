"""The API of a Subscription, against a device of plain sockets."""

from __future__ import annotations

import asyncio
from math import inf
from typing import Any

import pytest

from propchange.asyncio.control_point import ControlPoint
from propchange.asyncio.subscription import Subscription
from propchange.core.limits import Limits
from propchange.core.subscriber.events import Cause, Event, Status, StatusChange
from propchange.errors import ConnectionFailed, SubscriptionRefused
from tests.wire import Until

pytestmark = pytest.mark.slow


"""For what takes a second, which passes alike on every loop."""


async def send(device: Any, subscription: Subscription, seq: int, **changes: str) -> None:
    answer = await device.notify(subscription.callback, subscription.sid, seq, **changes)
    assert answer.status == 200


# --- being granted ---


async def test_a_subscription_shows_its_state(raw_device: Any) -> None:
    async with raw_device() as device, ControlPoint() as point:
        subscription = point.subscribe_url(device.event_url)
        assert subscription.event_url == device.event_url
        async with subscription:
            assert subscription.status is Status.SUBSCRIBING
            assert subscription.service is None
            assert subscription.sid == "uuid:1"
            assert subscription.granted == 1800
            assert 0 < subscription.expires_in <= 1800
            assert (subscription.renewals, subscription.gaps, subscription.merged) == (0, 0, 0)
            assert subscription.values == {}
            assert (subscription.last_event_at, subscription.last_event_in) == (None, None)
            await send(device, subscription, 0, A="1", B="")
            event = await anext(subscription)
            assert subscription.status is Status.ACTIVE
            assert subscription.values == {"A": "1", "B": ""}
            assert subscription.last_event_at > 0
            assert subscription.last_event_in >= 0
            assert (event.sid, event.seq, event.is_initial, event.merged) == (
                *("uuid:1", 0, True, 0),
            )
            values = subscription.values
            await send(device, subscription, 1, A="2")
            assert values["A"] == "2", "the values are live"
            with pytest.raises(TypeError):
                values["A"] = "3"
        assert subscription.status is Status.CLOSED
        assert (subscription.granted, subscription.expires_in) == (None, None)
        assert subscription.values == {"A": "2", "B": ""}


@pytest.mark.clause("CP-05")
async def test_an_infinite_grant_never_expires(raw_device: Any) -> None:
    async with raw_device() as device, ControlPoint() as point:
        device.answers["SUBSCRIBE"] = lambda r: device.grant(r, timeout="Second-infinite")
        async with point.subscribe_url(device.event_url) as subscription:
            assert (subscription.granted, subscription.expires_in) == (inf, inf)


@pytest.mark.parametrize("status", [400, 404, 412, 500, 503])
async def test_a_refusal_is_raised_with_its_status(raw_device: Any, status: int) -> None:
    async with raw_device() as device, ControlPoint() as point:
        device.answers["SUBSCRIBE"] = device.reply(status)
        subscription = point.subscribe_url(device.event_url)
        with pytest.raises(SubscriptionRefused, match=f"answered SUBSCRIBE with {status}") as e:
            await subscription.__aenter__()
        assert e.value.status == status
        assert subscription.status is Status.CLOSED
        assert [request.method for request in device.requests] == ["SUBSCRIBE"]
        # Nothing is left of it: the device may be asked again.
        device.answers["SUBSCRIBE"] = device.grant
        async with point.subscribe_url(device.event_url) as subscription:
            assert subscription.sid == "uuid:1"


async def test_a_grant_without_a_sid_is_a_refusal(raw_device: Any) -> None:
    async with raw_device() as device, ControlPoint() as point:
        device.answers["SUBSCRIBE"] = device.reply(200)
        with pytest.raises(SubscriptionRefused, match="SID") as caught:
            await point.subscribe_url(device.event_url).__aenter__()
        assert caught.value.status == 200


async def test_a_device_that_cannot_be_asked_is_connection_failed(raw_device: Any) -> None:
    limits = Limits(request_seconds=0.1)
    async with raw_device() as device, ControlPoint(limits=limits) as point:
        for answer, reason in (
            (None, "no answer in time|did not answer"),
            (b"nonsense\r\n\r\n", "."),
            (b"", "ended|closed"),
        ):
            device.answers["SUBSCRIBE"] = answer
            with pytest.raises(ConnectionFailed, match=reason):
                await point.subscribe_url(device.event_url).__aenter__()
        await device.__aexit__()
        with pytest.raises(ConnectionFailed, match=device.event_url):
            await point.subscribe_url(device.event_url).__aenter__()


async def test_what_cannot_be_subscribed_to_is_a_value_error() -> None:
    async with ControlPoint() as point:
        for url in ("https://127.0.0.1/event", "/event", "http:///event", "http://h/a b"):
            with pytest.raises(ValueError, match=r"."):
                await point.subscribe_url(url).__aenter__()
        with pytest.raises(ValueError, match="at least 1 second"):
            await point.subscribe_url("http://127.0.0.1:9/", duration=0).__aenter__()


async def test_without_wait_it_keeps_trying_until_it_is_granted(
    raw_device: Any, until: Until
) -> None:
    limits = Limits(backoff_first_seconds=0.01, subscribe_burst=100)
    async with raw_device() as device, ControlPoint(limits=limits) as point:
        device.answers["SUBSCRIBE"] = device.reply(503)
        async with point.subscribe_url(device.event_url, wait=False) as subscription:
            assert subscription.status is Status.SUBSCRIBING
            assert (subscription.sid, subscription.granted) == ("", None)
            updates = subscription.updates()
            await until(lambda: len(device.requests) == 3)
            await device.__aexit__()
            told = [await anext(updates) for _ in range(2)]
            async with raw_device(port=device.port) as again:
                await until(lambda: subscription.sid)
                await send(again, subscription, 0, A="1")
                told += [await anext(updates) for _ in range(2)]
            await updates.aclose()
        # Told once, however often it was tried.
        assert [
            update.cause if isinstance(update, StatusChange) else update.seq for update in told
        ] == [Cause.REFUSED, Cause.UNREACHABLE, Cause.INITIAL_EVENT, 0]


async def test_a_cancelled_wait_for_the_grant_gives_it_back(raw_device: Any, until: Until) -> None:
    async with raw_device() as device, ControlPoint() as point:
        go = asyncio.Event()

        async def grant_later(request: Any) -> bytes:
            await go.wait()
            return bytes(device.grant(request))

        device.answers["SUBSCRIBE"] = grant_later
        subscription = point.subscribe_url(device.event_url)
        entering = asyncio.create_task(subscription.__aenter__())
        await device.arrived.get()
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        assert subscription.status is Status.CLOSED
        go.set()
        await until(lambda: device.of("UNSUBSCRIBE"))
        assert device.of("UNSUBSCRIBE")[0].fields["sid"] == "uuid:1"


async def test_a_control_point_that_ends_tells_who_waits_for_a_grant(raw_device: Any) -> None:
    limits = Limits(unsubscribe_seconds=0.1)
    async with raw_device() as device, ControlPoint(limits=limits) as point:
        device.answers["SUBSCRIBE"] = None
        entering = asyncio.create_task(point.subscribe_url(device.event_url).__aenter__())
        await device.arrived.get()
        await point.close()
        with pytest.raises(ConnectionFailed, match="closed before it was granted"):
            await entering


async def test_before_it_is_entered_there_is_nothing_to_tell(raw_device: Any) -> None:
    async with raw_device() as device, ControlPoint() as point:
        subscription = point.subscribe_url(device.event_url)
        for name in ("values", "status", "sid", "callback", "granted", "expires_in", "record"):
            with pytest.raises(RuntimeError, match="async with"):
                getattr(subscription, name)
        with pytest.raises(RuntimeError, match="async with"):
            await anext(subscription)
        await subscription.close()
        async with subscription:
            with pytest.raises(RuntimeError, match="entered once"):
                await subscription.__aenter__()
        await subscription.close()
        with pytest.raises(RuntimeError, match="entered once"):
            await subscription.__aenter__()
        assert len(device.of("UNSUBSCRIBE")) == 1


# --- iterating ---


async def test_iteration_gives_the_events_and_ends_when_it_is_closed(raw_device: Any) -> None:
    async with raw_device() as device, ControlPoint() as point:
        async with point.subscribe_url(device.event_url) as subscription:
            for seq in range(3):
                await send(device, subscription, seq, A=str(seq))
            assert (await anext(subscription)).seq == 0

            async def close_soon() -> None:
                await asyncio.sleep(0.01)
                await subscription.close()

            closing = asyncio.create_task(close_soon())
            # What had come before the end is told first.
            assert [event.seq async for event in subscription] == [1, 2]
            await closing
        assert [event async for event in subscription] == []
        assert [update async for update in subscription.updates()] == []


async def test_updates_gives_events_and_status_changes_in_their_order(
    raw_device: Any, until: Until
) -> None:
    async with raw_device() as device, ControlPoint() as point:
        async with point.subscribe_url(device.event_url) as subscription:
            await send(device, subscription, 0, A="0")
            await send(device, subscription, 3, A="3")
            await until(lambda: subscription.sid == "uuid:2")
            await send(device, subscription, 0, A="4")
        told = [
            (update.status, update.cause)
            if isinstance(update, StatusChange)
            else (update.seq, update.is_initial)
            async for update in subscription.updates()
        ]
    assert told == [
        (Status.ACTIVE, Cause.INITIAL_EVENT),
        (0, True),
        (3, False),
        (Status.RESUBSCRIBING, Cause.MISSED_EVENT),
        (Status.ACTIVE, Cause.INITIAL_EVENT),
        (0, True),
        (Status.CLOSED, Cause.CLOSED),
    ]


async def test_only_one_task_at_a_time_may_iterate(raw_device: Any) -> None:
    async with (
        raw_device() as device,
        ControlPoint() as point,
        point.subscribe_url(device.event_url) as subscription,
    ):
        first = asyncio.create_task(anext(subscription))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="another task iterates"):
            await anext(subscription)
        await send(device, subscription, 0, A="1")
        assert (await first).seq == 0


async def test_a_cancelled_consumer_loses_nothing(raw_device: Any) -> None:
    async with (
        raw_device() as device,
        ControlPoint() as point,
        point.subscribe_url(device.event_url) as subscription,
    ):
        consumer = asyncio.create_task(anext(subscription))
        await asyncio.sleep(0)
        consumer.cancel()
        await asyncio.gather(consumer, return_exceptions=True)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await anext(subscription)
        await send(device, subscription, 0, A="1")
        assert (await anext(subscription)).seq == 0


@pytest.mark.clause("RSP-01")
@pytest.mark.clause("RSP-06")
async def test_a_consumer_that_stands_still_delays_no_answer_and_ends_with_the_true_state(
    raw_device: Any,
) -> None:
    async with (
        raw_device() as device,
        ControlPoint(limits=Limits(waiting_events=4)) as point,
        point.subscribe_url(device.event_url) as subscription,
    ):
        for seq in range(20):
            await send(device, subscription, seq, A=str(seq))
        await send(device, subscription, 20, B="last")
        await subscription.close()
        events = [event async for event in subscription]
        assert len(events) < 6
        assert subscription.merged == sum(event.merged for event in events) > 0
        assert events[-1].changes == {"A": "19", "B": "last"}
        assert events[0].is_initial


async def test_a_consumer_that_stands_still_is_told_how_many_new_variables_found_no_room(
    raw_device: Any,
) -> None:
    limits = Limits(waiting_events=4, waiting_event_characters=2_000)
    async with (
        raw_device() as device,
        ControlPoint(limits=limits) as point,
        point.subscribe_url(device.event_url) as subscription,
    ):
        for seq in range(40):
            await send(device, subscription, seq, **{f"V{seq}": "1"})
        await subscription.close()
        events = [event async for event in subscription]
        told = {name for event in events for name in event.changes}
        assert len(told) < 20
        assert len(told) + sum(event.left_out for event in events) == 40
        assert len(subscription.values) == 40


async def test_a_consumer_that_raises_delays_no_answer(raw_device: Any) -> None:
    async with raw_device() as device, ControlPoint() as point:

        async def consume() -> None:
            async with point.subscribe_url(device.event_url) as subscription:
                entered.set_result(subscription)
                async for event in subscription:
                    raise ZeroDivisionError(event.seq)

        entered: asyncio.Future[Subscription] = asyncio.get_running_loop().create_future()
        consumer = asyncio.create_task(consume())
        subscription = await entered
        await send(device, subscription, 0, A="1")
        with pytest.raises(ZeroDivisionError):
            await consumer
        assert device.of("UNSUBSCRIBE")
        async with point.subscribe_url(device.event_url) as subscription:
            await send(device, subscription, 0, A="1")
            assert (await anext(subscription)).seq == 0


# --- being kept ---


@pytest.mark.clause("CP-01")
async def test_a_missed_event_leads_to_a_fresh_subscription_and_the_full_state(
    raw_device: Any, until: Until
) -> None:
    async with (
        raw_device() as device,
        ControlPoint() as point,
        point.subscribe_url(device.event_url) as subscription,
    ):
        first_callback = subscription.callback
        await send(device, subscription, 0, A="0", B="0")
        await send(device, subscription, 1, A="1")
        await send(device, subscription, 3, A="3")
        await until(lambda: subscription.sid == "uuid:2")
        assert [request.method for request in device.requests[1:]].count("SUBSCRIBE") == 1
        assert [request.fields["sid"] for request in device.of("UNSUBSCRIBE")] == ["uuid:1"]
        assert subscription.gaps == 1
        stray = await device.notify(first_callback, "uuid:1", 4, A="4")
        assert stray.status == 412
        await send(device, subscription, 0, A="5", B="5")
        events = [await anext(subscription) for _ in range(4)]
        assert [(e.sid, e.seq, e.is_initial) for e in events] == [
            ("uuid:1", 0, True),
            ("uuid:1", 1, False),
            ("uuid:1", 3, False),
            ("uuid:2", 0, True),
        ]
        assert subscription.values == {"A": "5", "B": "5"}


@pytest.mark.one_loop
@pytest.mark.clause("REN-01")
@pytest.mark.clause("REN-02")
async def test_a_renewal_carries_the_sid_alone(raw_device: Any, until: Until) -> None:
    async with raw_device() as device, ControlPoint() as point:
        device.answers["SUBSCRIBE"] = lambda r: device.grant(r, timeout="Second-2")
        async with point.subscribe_url(device.event_url) as subscription:
            await send(device, subscription, 0, A="0")
            await until(lambda: subscription.renewals == 1)
            _, renewal = device.requests
            assert renewal.method == "SUBSCRIBE"
            assert renewal.fields["sid"] == "uuid:1"
            assert renewal.fields["timeout"] == "Second-1800"
            assert not {"callback", "nt"} & renewal.fields.keys()
            await send(device, subscription, 1, A="1")
            assert subscription.status is Status.ACTIVE


@pytest.mark.one_loop
@pytest.mark.clause("REN-12")
async def test_a_renewal_that_fails_is_told_and_tried_again(
    raw_device: Any, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    async with raw_device() as device, ControlPoint() as point:
        device.answers["SUBSCRIBE"] = lambda r: device.grant(r, timeout="Second-3")
        async with point.subscribe_url(device.event_url) as subscription:
            await send(device, subscription, 0, A="0")
            device.answers["SUBSCRIBE"] = b""
            await until(lambda: len(device.requests) == 2)
            device.answers["SUBSCRIBE"] = device.grant
            await until(lambda: subscription.renewals == 1)
            assert subscription.status is Status.ACTIVE
            assert subscription.sid == "uuid:1"
    assert any("renewing http://" in record.getMessage() for record in caplog.records)


@pytest.mark.one_loop
@pytest.mark.clause("REN-12")
@pytest.mark.clause("CP-16")
async def test_a_renewal_that_is_refused_leads_to_a_fresh_subscription(
    raw_device: Any, until: Until
) -> None:
    async with raw_device() as device, ControlPoint() as point:

        def answer(request: Any) -> bytes:
            if "sid" in request.fields:
                return bytes(device.reply(412))
            return bytes(device.grant(request, timeout="Second-2"))

        device.answers["SUBSCRIBE"] = answer
        async with point.subscribe_url(device.event_url) as subscription:
            await send(device, subscription, 0, A="0")
            await until(lambda: subscription.sid == "uuid:2")
            # The device has disowned the SID: there is nothing to give back.
            assert device.of("UNSUBSCRIBE") == []
            await send(device, subscription, 0, A="1")
            assert subscription.values == {"A": "1"}


async def test_a_grant_without_an_initial_event_is_deaf_and_says_what_may_be_wrong(
    raw_device: Any,
) -> None:
    async with (
        raw_device() as device,
        ControlPoint(limits=Limits(initial_event_seconds=0.5)) as point,
        point.subscribe_url(device.event_url) as subscription,
    ):
        updates = subscription.updates()
        change = await anext(updates)
        assert isinstance(change, StatusChange)
        assert (change.status, change.cause) == (Status.DEAF, Cause.NO_INITIAL_EVENT)
        assert "no connection from 127.0.0.1 in 0.5 s" in change.reason
        assert f"127.0.0.1:{point.port}" in change.reason
        await send(device, subscription, 0, A="0")
        assert subscription.status is Status.ACTIVE
        change = await anext(updates)
        assert isinstance(change, StatusChange)
        assert change.status is Status.ACTIVE
        assert isinstance(await anext(updates), Event)
        await updates.aclose()
