"""propchange and GUPnP, one against the other. What the peer says or sends is the proof."""

from __future__ import annotations

import asyncio
import http.client
import re
import urllib.request
from typing import Any
from urllib.parse import urljoin, urlsplit

from propchange import Device, Service, StateVariable, host


def request(method: str, url: str, **headers: str) -> dict[str, str]:
    """Send a request with the standard library; the headers of its 200, names in upper case."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    try:
        connection.request(method, parts.path, headers=headers)
        response = connection.getresponse()
        response.read()
        assert response.status == 200
        return {name.upper(): value for name, value in response.getheaders()}
    finally:
        connection.close()


def test_the_harness_sees_gupnps_initial_event_and_the_next(gupnp_device, record):
    recorder = record("127.0.0.1")
    granted = request(
        "SUBSCRIBE",
        gupnp_device.event_url,
        CALLBACK=f"<{recorder.url}>",
        NT="upnp:event",
        TIMEOUT="Second-300",
    )
    initial = recorder.next()
    gupnp_device.set("21.5")
    change = recorder.next()
    request("UNSUBSCRIBE", gupnp_device.event_url, SID=granted["SID"])

    assert initial.headers["SID"] == change.headers["SID"] == granted["SID"]
    assert (initial.headers["SEQ"], change.headers["SEQ"]) == ("0", "1")
    assert b"<Value>0</Value>" in initial.body
    assert b"<Value>21.5</Value>" in change.body


def test_watch_shows_gupnps_initial_event_and_its_changes(gupnp_device, start, propchange):
    watch = start(propchange, "watch", gupnp_device.description_url, "--json", "--count", "3")
    initial = watch.read("changes")
    gupnp_device.set("21.5")
    first = watch.read("changes")
    gupnp_device.set('<"&ä')
    second = watch.read("changes")

    assert [event["changes"] for event in (initial, first, second)] == [
        {"Value": "0"},
        {"Value": "21.5"},
        {"Value": '<"&ä'},
    ]
    assert [event["seq"] for event in (initial, first, second)] == [0, 1, 2]
    assert [event["initial"] for event in (initial, first, second)] == [True, False, False]
    assert watch.wait() == 0


class Thermometer(Service, type="urn:propchange-test:service:Thermometer:1"):
    temperature = StateVariable("r4", initial=20.0)
    alarm = StateVariable("boolean", initial=False)
    room = StateVariable("string", initial="")


def event_url_of(description_url: str) -> str:
    """Where the events of the only service are, read without propchange."""
    with urllib.request.urlopen(description_url, timeout=10) as response:
        found = re.search(rb"<eventSubURL>(.*?)</eventSubURL>", response.read())
    assert found is not None
    return urljoin(description_url, found[1].decode())


async def subscribe(control_point: Any, description_url: str, count: int = 1) -> None:
    event_url = await asyncio.to_thread(event_url_of, description_url)
    parts = urlsplit(event_url)
    await asyncio.to_thread(
        control_point.ask,
        f"subscribe http://{parts.netloc}/ {parts.path} {count}",
        "subscribing",
    )


def test_gupnps_control_point_reads_every_event_of_a_hosted_device(gupnp_control_point):
    async def publish() -> list[dict[str, str]]:
        thermometer = Thermometer()
        device = Device("Workbench", services=[thermometer])
        async with host(device, interface="127.0.0.1") as hosted:
            await subscribe(gupnp_control_point, hosted.description_url)
            seen = [await asyncio.to_thread(gupnp_control_point.read, "notify")]
            thermometer.temperature = 20.5
            with thermometer.batch():
                thermometer.temperature = 31.0
                thermometer.alarm = True
            thermometer.room = '<"&ä'
            await hosted.drain(timeout=10)
            while len(seen) < 4:
                seen += [await asyncio.to_thread(gupnp_control_point.read, "notify")]
            return [event["changes"] for event in seen]

    initial, first, both, last = asyncio.run(publish())
    assert float(initial.pop("Temperature")) == 20.0
    assert initial == {"Alarm": "0", "Room": ""}
    assert first == {"Temperature": "20.5"}
    assert float(both.pop("Temperature")) == 31.0
    assert both == {"Alarm": "1"}
    assert last == {"Room": '<"&ä'}


def test_gupnp_counts_as_many_events_as_were_published_to_its_subscriptions(gupnp_control_point):
    subscriptions, changes = 20, 50

    async def publish() -> None:
        thermometer = Thermometer()
        device = Device("Workbench", services=[thermometer])
        async with host(device, interface="127.0.0.1") as hosted:
            await subscribe(gupnp_control_point, hosted.description_url, subscriptions)
            for _ in range(subscriptions):  # the initial events
                await asyncio.to_thread(gupnp_control_point.read, "notify")
            for change in range(changes):
                thermometer.temperature = 100.0 + change
                await hosted.drain(timeout=10)
            counted = await asyncio.to_thread(gupnp_control_point.ask, "count", "notifies")
            assert counted["notifies"] == subscriptions * (1 + changes)
            assert counted["lost"] == 0

    asyncio.run(publish())


def test_an_unsubscribe_of_gupnps_ends_the_subscription(gupnp_control_point):
    async def publish() -> None:
        thermometer = Thermometer()
        device = Device("Workbench", services=[thermometer])
        async with host(device, interface="127.0.0.1") as hosted:
            await subscribe(gupnp_control_point, hosted.description_url)
            await asyncio.to_thread(gupnp_control_point.read, "notify")
            await asyncio.to_thread(gupnp_control_point.ask, "unsubscribe", "unsubscribed")
            async with asyncio.timeout(10):
                while hosted.subscriptions:  # noqa: ASYNC110 - nothing tells of an UNSUBSCRIBE
                    await asyncio.sleep(0.01)
            thermometer.temperature = 30.0
            await hosted.drain(timeout=10)
            counted = await asyncio.to_thread(gupnp_control_point.ask, "count", "notifies")
            assert counted["notifies"] == 1

    asyncio.run(publish())
