"""``subscription.diagnose()``, over sockets."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from propchange import ControlPoint, Limits, Subscription
from propchange.core.diagnosis.facts import Reach
from propchange.core.diagnosis.verdicts import Diagnosis, Verdict
from propchange.core.subscriber.events import Status, StatusChange

QUICK = Limits(initial_event_seconds=0.1, diagnosis_seconds=0.5)


async def until(subscription: Subscription, status: Status) -> StatusChange:
    async for update in subscription.updates():
        if isinstance(update, StatusChange) and update.status is status:
            return update
    raise AssertionError(f"it was never {status}")


def facts(diagnosis: Diagnosis) -> dict[str, str]:
    return dict(diagnosis.facts.lines())


async def test_a_subscription_that_is_well_says_so_and_how_long_it_has_been_quiet(
    raw_device: Any,
) -> None:
    async with raw_device() as device, ControlPoint() as point:
        async with point.subscribe_url(device.event_url) as subscription:
            assert (await subscription.diagnose()).verdict is Verdict.PENDING
            await device.notify(subscription.callback, subscription.sid, 0, A="1")
            diagnosis = await subscription.diagnose()
            assert diagnosis.verdict is Verdict.EVENTS_ARRIVE
            assert diagnosis.well
            told = facts(diagnosis)
            here = f"127.0.0.1:{point.port}"
            assert told["connecting to ourselves"] == f"{here} accepts connections"
            assert told["connecting to the device"] == (
                f"127.0.0.1:{device.port} accepts connections"
            )
            assert told["CALLBACK"].startswith(f"{here} (IPv4, the address of lo ")
            assert told["connections from 127.0.0.1"].startswith("1, the last ")
            assert told["source address"] == "127.0.0.1"
            assert (await anext(subscription)).seq == 0
        assert (await subscription.diagnose()).verdict is Verdict.CLOSED
        assert [m.method for m in device.requests].count("SUBSCRIBE") == 1


async def test_a_device_that_grants_and_never_connects_is_told_with_the_facts(
    raw_device: Any,
) -> None:
    async with (
        raw_device() as device,
        ControlPoint(limits=QUICK) as point,
        point.subscribe_url(device.event_url) as subscription,
    ):
        change = await until(subscription, Status.DEAF)
        assert change.reason.startswith("granted, but no connection from 127.0.0.1 in ")
        diagnosis = await subscription.diagnose()
        assert diagnosis.verdict is Verdict.LOOPBACK
        assert "or it never sends" in diagnosis.sentence
        assert diagnosis.facts.heard is False
        assert facts(diagnosis)["last event"] == "none"


async def test_asking_again_and_again_is_no_connection_from_the_device(raw_device: Any) -> None:
    async with (
        raw_device() as device,
        ControlPoint(limits=QUICK) as point,
        point.subscribe_url(device.event_url) as subscription,
    ):
        await until(subscription, Status.DEAF)
        found = await asyncio.gather(*(subscription.diagnose() for _ in range(10)))
        assert {each.facts.connections for each in found} == {0}
        assert {each.verdict for each in found} == {Verdict.LOOPBACK}


async def test_what_is_refused_is_told_with_its_reason(raw_device: Any, ask: Any) -> None:
    async with (
        raw_device() as device,
        ControlPoint(limits=QUICK) as point,
        point.subscribe_url(device.event_url) as subscription,
    ):
        answer = await ask(
            point.port,
            f"NOTIFY /{subscription.callback.rpartition('/')[2]} HTTP/1.1\n"
            "HOST: elsewhere:80\nNT: upnp:event\nNTS: upnp:propchange\n"
            f"SID: {subscription.sid}\nSEQ: 0",
            body=b"<x/>",
        )
        assert answer.status == 400
        await until(subscription, Status.DEAF)
        diagnosis = await subscription.diagnose()
        assert diagnosis.verdict is Verdict.NOTIFY_REFUSED
        assert "answered 400: " in diagnosis.sentence


async def test_connections_that_end_without_a_request_are_told(raw_device: Any, wire: Any) -> None:
    async with (
        raw_device() as device,
        ControlPoint(limits=QUICK) as point,
        point.subscribe_url(device.event_url) as subscription,
    ):
        connection = await wire.dial(point.port)
        while point._driver.history.of("127.0.0.1") is None:
            await asyncio.sleep(0.001)
        connection.reset()
        change = await until(subscription, Status.DEAF)
        assert "but no whole request comes over its connections" in change.reason
        assert (await subscription.diagnose()).verdict is Verdict.CUT_SHORT


@pytest.mark.slow
@pytest.mark.parametrize("other_program", [False, True])
async def test_an_override_that_leads_elsewhere_is_told(
    raw_device: Any, other_program: bool
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        if not other_program:
            other.close()
        async with (
            raw_device() as device,
            ControlPoint(limits=QUICK, callback_port=port) as point,
            point.subscribe_url(device.event_url) as subscription,
        ):
            await until(subscription, Status.DEAF)
            diagnosis = await subscription.diagnose()
            assert diagnosis.verdict is Verdict.CALLBACK_OVERRIDE
            assert diagnosis.facts.self_connect is not None
            assert diagnosis.facts.self_connect.reach is (
                Reach.SOMEBODY_ELSE if other_program else Reach.REFUSED
            )
            assert facts(diagnosis)["CALLBACK"] == (f"127.0.0.1:{port} (callback_port={port})")


async def test_a_device_that_refuses_is_told_with_what_its_status_means(raw_device: Any) -> None:
    async with raw_device() as device, ControlPoint() as point:
        device.answers["SUBSCRIBE"] = device.reply(503)
        async with point.subscribe_url(device.event_url, wait=False) as subscription:
            await anext(subscription.updates())
            diagnosis = await subscription.diagnose()
            assert diagnosis.verdict is Verdict.SUBSCRIBE_REFUSED
            assert "503: it has no room for another subscription" in diagnosis.sentence


async def test_a_device_that_has_gone_is_told_before_the_subscription_notices(
    raw_device: Any,
) -> None:
    async with ControlPoint(limits=QUICK) as point:
        async with raw_device() as device:
            subscription = await point.subscribe_url(device.event_url).__aenter__()
            await device.notify(subscription.callback, subscription.sid, 0, A="1")
        assert subscription.status is Status.ACTIVE
        diagnosis = await subscription.diagnose()
        assert diagnosis.verdict is Verdict.CONNECTION_REFUSED
        assert "; the last event came " in diagnosis.sentence


async def test_before_it_is_entered_there_is_nothing_to_diagnose() -> None:
    async with ControlPoint() as point:
        with pytest.raises(RuntimeError, match="not subscribed yet"):
            await point.subscribe_url("http://127.0.0.1:1/").diagnose()


async def test_the_first_cause_stays_the_reason_when_a_length_is_too_small(raw_device: Any) -> None:
    body = (
        b'<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0"><e:property><A>1</A></e:property>'
        b"</e:propertyset>\r\n"
    )
    async with (
        raw_device() as device,
        ControlPoint(limits=QUICK) as point,
        point.subscribe_url(device.event_url) as subscription,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", point.port)
        path = subscription.callback.partition("//")[2].partition("/")[2]
        writer.write(
            f"NOTIFY /{path} HTTP/1.1\r\nHOST: 127.0.0.1:{point.port}\r\nNT: upnp:event\r\n"
            f"NTS: upnp:propchange\r\nSID: {subscription.sid}\r\nSEQ: 0\r\n"
            f"CONTENT-LENGTH: {len(body) - 40}\r\n\r\n".encode()
            + body
        )
        assert (await reader.readline()).startswith(b"HTTP/1.1 400 ")
        change = await until(subscription, Status.DEAF)
        diagnosis = await subscription.diagnose()
        writer.close()
    for words in (change.reason, diagnosis.sentence):
        assert "unclosed token" in words
        assert "CR LF" not in words
