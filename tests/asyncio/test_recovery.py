"""Changes of addresses, clock jumps and failed connections, and the recovery after each."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest

from propchange.asyncio.control_point import ControlPoint
from propchange.core.limits import Limits
from propchange.core.subscriber.events import Cause, Status, StatusChange
from propchange.core.wire.messages import Endpoint
from propchange.driver.machine import Interfaces
from tests.wire import Until

"""For what passes alike on every loop."""


def having(point: ControlPoint, *hosts: str) -> None:
    """Have ``point`` see these addresses and no others."""
    ips = [SimpleNamespace(ip=host, network_prefix=8) for host in hosts]
    adapters = [SimpleNamespace(nice_name="eth0", index=7, ips=ips)]
    point._driver.addresses.interfaces = Interfaces(adapters=lambda: adapters)


def causes(subscription: Any) -> list[Cause]:
    queue = subscription._queue._queue
    return [item.cause for item in queue if isinstance(item, StatusChange)]


async def test_a_subscription_that_hears_nothing_is_made_again_from_another_address(
    raw_device: Any, until: Until
) -> None:
    limits = Limits(initial_event_seconds=0.2)
    async with raw_device() as device, ControlPoint(limits=limits) as point:
        having(point, "127.0.0.1", "127.0.0.2")
        async with point.subscribe_url(device.event_url) as subscription:
            record = subscription.record
            await until(lambda: subscription.status is Status.DEAF)
            assert subscription.status_cause is Cause.NO_INITIAL_EVENT
            assert "127.0.0.1:" in subscription.status_reason
            while subscription.status is Status.DEAF:
                await until(lambda: "//127.0.0.2:" in record.callback and record.granted_at)
                # Answered with 412 if that came too late: it is tried again from there.
                await device.notify(record.callback, record.sid, 0, A="1")
            assert subscription.status is Status.ACTIVE
            assert (await anext(subscription)).is_initial
            assert causes(subscription) == []
            assert device.of("UNSUBSCRIBE")[0].fields["sid"] == "uuid:1"


@pytest.mark.slow
@pytest.mark.one_loop
async def test_what_is_subscribed_from_one_interface_is_not_tried_from_another(
    raw_device: Any, until: Until
) -> None:
    limits = Limits(initial_event_seconds=0.05, subscribe_burst=100)
    point = ControlPoint(limits=limits, interface="127.0.0.1")
    async with raw_device() as device, point:
        having(point, "127.0.0.1", "127.0.0.2")
        async with point.subscribe_url(device.event_url):
            await until(lambda: device.sids == 4)
    assert all("//127.0.0.1:" in r.fields["callback"] for r in device.of("SUBSCRIBE"))


@pytest.mark.one_loop
async def test_an_address_that_this_machine_has_no_longer_is_noticed(
    raw_device: Any, until: Until
) -> None:
    limits = Limits(address_seconds=0.05)
    async with raw_device() as device, ControlPoint(limits=limits) as point:
        async with point.subscribe_url(device.event_url) as subscription:
            await device.notify(subscription.callback, "uuid:1", 0, A="1")
            record = subscription.record
            record.advertised = record.advertised._replace(source=Endpoint("192.0.2.5", 0))
            having(point, "127.0.0.1", "192.0.2.6")
            await until(lambda: subscription.sid == "uuid:2")
            assert subscription.status is Status.RESUBSCRIBING
            assert subscription.status_cause is Cause.ADDRESS_LOST
            assert subscription.status_reason.startswith("192.0.2.5, which events were sent to")
        await until(lambda: point._driver.addresses_due is None)


@pytest.mark.one_loop
async def test_addresses_that_cannot_be_read_are_told_and_looked_for_again(
    raw_device: Any, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    def fails() -> Any:
        raise OSError("no netlink here")

    limits = Limits(address_seconds=0.05)
    async with raw_device() as device, ControlPoint(limits=limits) as point:
        point._driver.addresses.interfaces = Interfaces(adapters=fails)
        async with point.subscribe_url(device.event_url):
            await until(lambda: "no netlink here" in caplog.text)
            having(point, "127.0.0.1")
            await until(lambda: point._driver.protocol._renewal.addresses)


@pytest.mark.slow
@pytest.mark.one_loop
async def test_a_process_that_stood_still_subscribes_afresh(raw_device: Any, until: Until) -> None:
    limits = Limits(address_seconds=0.05, jump_seconds=1.0, spread_seconds=0.1)
    async with (
        raw_device() as device,
        ControlPoint(limits=limits) as point,
        point.subscribe_url(device.event_url) as subscription,
    ):
        await device.notify(subscription.callback, "uuid:1", 0, A="1")
        await until(lambda: subscription.status is Status.ACTIVE)
        time.sleep(1.3)  # noqa: ASYNC251 - what blocks the loop looks the same from inside
        await until(lambda: subscription.sid == "uuid:2")
        assert subscription.status_cause is Cause.SUSPENDED
        assert "stood still for" in subscription.status_reason
        assert device.of("UNSUBSCRIBE")


@pytest.mark.slow
@pytest.mark.one_loop
async def test_a_renewal_that_nobody_answers_for_is_known_at_once_and_who_is_back_is_found(
    raw_device: Any, until: Until
) -> None:
    limits = Limits(backoff_first_seconds=0.1, subscribe_burst=100)
    async with ControlPoint(limits=limits) as point:
        async with raw_device() as device:
            device.answers["SUBSCRIBE"] = lambda r: device.grant(r, timeout="Second-4")
            subscription = point.subscribe_url(device.event_url)
            await subscription.__aenter__()
            await device.notify(subscription.callback, "uuid:1", 0, A="1")
            await until(lambda: subscription.status is Status.ACTIVE)
        await until(lambda: subscription.status is Status.RESUBSCRIBING)
        assert subscription.status_cause is Cause.UNREACHABLE
        assert "Connect call failed" not in subscription.status_reason
        async with raw_device(device.port) as again:
            await until(lambda: again.of("SUBSCRIBE"))
            request = again.of("SUBSCRIBE")[-1]
            if "callback" not in request.fields:  # the SID is good still, and not enough
                await until(lambda: "callback" in again.of("SUBSCRIBE")[-1].fields)
            await until(lambda: subscription.record.expires is not None)
            await again.notify(subscription.callback, subscription.sid, 0, A="2")
            await until(lambda: subscription.values == {"A": "2"})
            await subscription.close()


_FOLLOW = """
import asyncio, sys
from propchange import ControlPoint, Limits

async def main():
    limits = Limits(jump_seconds=2.0, address_seconds=0.2, spread_seconds=0.1)
    async with ControlPoint(limits=limits) as point:
        async with point.subscribe_url(sys.argv[1]) as subscription:
            async for item in subscription.updates():
                print(getattr(item, "cause", item), flush=True)

asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.one_loop
async def test_a_process_that_was_stopped_and_continued_subscribes_afresh(
    raw_device: Any, until: Until
) -> None:
    async with raw_device() as device:
        arguments = ("-c", _FOLLOW, device.event_url)
        follower = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, stdout=asyncio.subprocess.PIPE
        )
        assert follower.stdout is not None
        try:
            await until(lambda: device.of("SUBSCRIBE"))
            callback = device.of("SUBSCRIBE")[0].fields["callback"].strip("<>")
            await device.notify(callback, "uuid:1", 0, A="1")
            assert await follower.stdout.readline() == b"Cause.INITIAL_EVENT\n"
            assert await follower.stdout.readline() == b"<Event 0 initial {'A': '1'}>\n"
            follower.send_signal(signal.SIGSTOP)
            await asyncio.sleep(2.6)
            follower.send_signal(signal.SIGCONT)
            assert await follower.stdout.readline() == b"Cause.SUSPENDED\n"
            await until(lambda: device.sids == 2)
            callback = device.of("SUBSCRIBE")[1].fields["callback"].strip("<>")
            await device.notify(callback, "uuid:2", 0, A="2")
            assert await follower.stdout.readline() == b"Cause.INITIAL_EVENT\n"
            assert await follower.stdout.readline() == b"<Event 0 initial {'A': '2'}>\n"
        finally:
            follower.kill()
            await follower.communicate()


@pytest.mark.one_loop
async def test_another_device_at_the_old_description_url_is_not_subscribed_to(
    raw_device: Any, until: Until
) -> None:
    limits = Limits(backoff_first_seconds=0.01)
    async with raw_device() as device, ControlPoint(limits=limits) as point:
        remote = await point.device(device.description_url)
        right = device.documents["/description.xml"]
        device.documents["/description.xml"] = right.replace(b"uuid:raw", b"uuid:other")
        async with remote["Thermometer"].subscribe(wait=False) as subscription:
            await until(lambda: subscription.status_cause is Cause.DESCRIPTION)
            assert subscription.status_reason == (
                f"{device.description_url} is the description of another device now: "
                "uuid:other, not uuid:raw"
            )
            assert device.sids == 0
            device.documents["/description.xml"] = right
            await until(lambda: subscription.sid)
