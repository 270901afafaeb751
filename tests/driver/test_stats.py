"""The numbers that programs read of their control points and hosted devices, on each front."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from propchange import (
    ControlPoint,
    ControlPointStats,
    Device,
    HostStats,
    Limits,
    Service,
    StateVariable,
    Status,
    host,
)
from propchange.blocking import ControlPoint as BlockingControlPoint
from propchange.blocking import host as blocking_host
from tests.driver.test_polling_programs import subscribed
from tests.hostile.fronts import point
from tests.wire import Until

__all__ = ["point"]


class Thermometer(Service, type="urn:example-org:service:Thermometer:1"):
    temperature = StateVariable("i4", initial=0)


async def test_both_ends_count_the_same_events_and_answer_after_their_end(
    driven: Any, point: Any, until: Until
) -> None:
    thermometer = Thermometer()
    device = Device("Bench", services=[thermometer])
    hosted = driven.host(device, interface="127.0.0.1", announce=False)
    async with hosted:
        async with point(discovery=False) as (control_point, _):
            url = hosted.description_url.replace("description.xml", "Thermometer/event")
            async with subscribed(control_point, url) as heard:
                await until(lambda: heard.events)
                for number in range(1, 6):
                    thermometer.temperature = number
                    await until(
                        lambda n=number: heard.subscription.values == {"Temperature": str(n)}
                    )
                stats = control_point.stats()
                assert isinstance(stats, ControlPointStats)
                assert stats.subscriptions[Status.ACTIVE] == 1
                assert sum(stats.subscriptions.values()) == 1
                assert (stats.events, stats.merged, stats.gaps, stats.grants) == (6, 0, 0, 1)
                assert stats.last_event_age[Status.ACTIVE] >= 0
                await until(lambda: hosted.stats().answered == 6)
                sent = hosted.stats()
                assert (sent.subscriptions, sent.deliveries, sent.in_flight) == (1, 6, 0)
        after = control_point.stats()
        assert sum(after.subscriptions.values()) == 0
        assert (after.events, after.grants) == (6, 1)
    ended = hosted.stats()
    assert isinstance(ended, HostStats)
    assert (ended.subscriptions, ended.deliveries, ended.answered) == (0, 6, 6)
    assert ended.ended == {"unsubscribed": 1}


async def test_events_that_wait_and_that_were_merged_are_all_that_the_program_has_not_had(
    until: Until,
) -> None:
    thermometer = Thermometer()
    hosted = host(Device("Bench", services=[thermometer]), interface="127.0.0.1", announce=False)
    options: Any = {"interface": "127.0.0.1", "discovery": False}
    async with hosted, ControlPoint(limits=Limits(waiting_events=4), **options) as control_point:
        device = await control_point.device(hosted.description_url)
        async with device["Thermometer"].subscribe() as subscription:
            await until(lambda: subscription.values)
            for number in range(1, 21):
                thermometer.temperature = number
                await until(lambda n=number: subscription.values == {"Temperature": n})
            stats = control_point.stats()
            assert stats.events == 21
            # The queue has the status change ACTIVE too.
            assert stats.events == stats.merged + stats.waiting - 1
            assert stats.merged == subscription.merged > 0
        assert control_point.stats().merged == stats.merged
        assert control_point.stats().waiting == 0


def test_any_thread_may_read_the_numbers_of_blocking_objects_also_after_they_are_closed() -> None:
    thermometer = Thermometer()
    read: list[Any] = []
    with (
        blocking_host(
            Device("Bench", services=[thermometer]), interface="127.0.0.1", announce=False
        ) as hosted,
        BlockingControlPoint(interface="127.0.0.1", discovery=False) as control_point,
    ):
        service = control_point.device(hosted.description_url)["Thermometer"]
        subscription = service.subscribe()
        assert subscription.get(timeout=5).is_initial
        reading = threading.Thread(target=lambda: read.append(control_point.stats()))
        reading.start()
        reading.join()
        assert read[0].events == 1
        assert hosted.stats().subscriptions == 1
        subscription.close()
    assert control_point.stats().events == 1
    assert hosted.stats().grants == 1


def test_before_it_is_entered_there_is_nothing_to_read() -> None:
    with pytest.raises(RuntimeError, match="not running"):
        ControlPoint().stats()


def subscribe_by_hand(port: int, callback: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(
            f"SUBSCRIBE /Thermometer/event HTTP/1.1\r\nHOST: 127.0.0.1:{port}\r\n"
            f"CALLBACK: <http://127.0.0.1:{callback}/>\r\nNT: upnp:event\r\n\r\n".encode()
        )
        assert b"200 OK" in connection.recv(4096)


async def test_a_device_that_leaves_with_events_in_flight_counts_them_as_failed(
    driven: Any, until: Until
) -> None:
    hosted = driven.host(
        Device("Bench", services=[Thermometer()]), interface="127.0.0.1", announce=False
    )
    # The system accepts connections to it, and nobody answers.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with hosted:
            callback = silent.getsockname()[1]
            await asyncio.to_thread(subscribe_by_hand, hosted.port, callback)
            await until(lambda: hosted.stats().in_flight)
            assert hosted.stats().behind == 1
    stats = hosted.stats()
    assert (stats.deliveries, stats.in_flight, stats.failed) == (1, 0, {"closed": 1})
    assert (stats.grants, stats.ended) == (1, {"closed": 1})
