"""``propchange.metrics``: what Prometheus reads of control points and hosted devices."""

from __future__ import annotations

import asyncio
import subprocess
import threading
import urllib.request
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.parser import text_string_to_metric_families

from propchange import ControlPoint, Device, Service, StateVariable, host
from propchange.blocking import ControlPoint as BlockingControlPoint
from propchange.blocking import host as blocking_host
from propchange.core.publisher.stats import HostStats
from propchange.core.subscriber.stats import ControlPointStats
from propchange.metrics import CONTROL_POINT, HOST, collector
from tests.test_deploy import tool
from tests.wire import Until

OWN: dict[str, Any] = {"interface": "127.0.0.1", "discovery": False}


class Thermometer(Service, type="urn:example-org:service:Thermometer:1"):
    temperature = StateVariable("i4", initial=0)


def hosted_thermometer() -> tuple[Thermometer, Any]:
    thermometer = Thermometer()
    device = Device("Bench", services=[thermometer])
    return thermometer, host(device, interface="127.0.0.1", announce=False)


def registry_of(*of: Any, **options: Any) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(collector(*of, **options))
    return registry


Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scraped(registry: CollectorRegistry) -> Samples:
    return samples(generate_latest(registry).decode())


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


async def test_a_scrape_says_what_stats_says() -> None:
    thermometer, hosted = hosted_thermometer()
    async with hosted, ControlPoint(**OWN) as control_point:
        registry = registry_of(control_point, hosted)
        device = await control_point.device(hosted.description_url)
        async with device["Thermometer"].subscribe() as subscription:
            await anext(subscription)
            thermometer.temperature = 1
            await anext(subscription)
            await hosted.drain()
            found = scraped(registry)
            assert value(found, "propchange_subscriptions", status="active") == 1
            assert value(found, "propchange_subscriptions", status="deaf") == 0
            assert value(found, "propchange_events_total") == 2
            assert value(found, "propchange_last_event_age_seconds", status="active") >= 0
            assert value(found, "propchange_host_subscriptions") == 1
            assert value(found, "propchange_host_answered_deliveries_total") == 2
            assert value(found, "propchange_host_failed_deliveries_total", cause="no-answer") == 0
            assert value(found, "propchange_not_answering") == 0
    after = scraped(registry)
    assert value(after, "propchange_events_total") == 2
    assert value(after, "propchange_subscriptions", status="active") == 0
    assert value(after, "propchange_host_subscriptions") == 0


def test_each_number_of_stats_is_a_metric() -> None:
    assert {each.field for each in CONTROL_POINT} == {*ControlPointStats.__dataclass_fields__}
    assert {each.field for each in HOST} == {*HostStats.__dataclass_fields__}


def test_an_object_that_is_not_entered_yet_has_zeros() -> None:
    registry = registry_of(ControlPoint(), hosted_thermometer()[1])
    found = scraped(registry)
    assert value(found, "propchange_events_total") == 0
    assert {name for (name, _), number in found.items() if number} == set()


@pytest.mark.slow
async def test_a_scrape_of_another_thread_reads_in_the_loop(until: Until) -> None:
    _, hosted = hosted_thermometer()
    async with hosted, ControlPoint(**OWN) as control_point:
        server, thread = start_http_server(0, "127.0.0.1", registry_of(control_point, hosted))
        url = f"http://127.0.0.1:{server.server_port}/metrics"

        def scrape() -> Samples:
            with urllib.request.urlopen(url) as answer:
                return samples(answer.read().decode())

        try:
            found = await asyncio.to_thread(scrape)
            assert value(found, "propchange_not_answering") == 0
            assert value(found, "propchange_host_subscriptions") == 0
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


@pytest.mark.slow
def test_a_loop_that_is_blocked_costs_a_scrape_its_time_and_its_own_numbers_alone() -> None:
    device = Device("Bench", services=[Thermometer()])
    release = threading.Event()
    with (
        blocking_host(device, interface="127.0.0.1", announce=False) as hosted,
        BlockingControlPoint(**OWN) as healthy,
    ):
        # The blocked one is asked first.
        registry = registry_of(hosted, healthy, timeout=0.3)
        assert value(scraped(registry), "propchange_not_answering") == 0
        blocking = threading.Thread(target=lambda: hosted.run(release.wait, 30))
        blocking.start()
        try:
            found = scraped(registry)
            while not value(found, "propchange_not_answering"):
                found = scraped(registry)
            assert value(found, "propchange_not_answering") == 1
            assert value(found, "propchange_events_total") == 0
            assert "propchange_host_subscriptions" not in {name for name, _ in found}
        finally:
            release.set()
            blocking.join()
        assert value(scraped(registry), "propchange_host_subscriptions") == 0


def test_objects_of_blocking_are_read_while_they_live_and_afterwards() -> None:
    device = Device("Bench", services=[Thermometer()])
    with (
        blocking_host(device, interface="127.0.0.1", announce=False) as hosted,
        BlockingControlPoint(**OWN) as control_point,
    ):
        registry = registry_of(control_point, hosted)
        remote = control_point.device(hosted.description_url)
        subscription = remote["Thermometer"].subscribe()
        subscription.get(timeout=5)
        assert value(scraped(registry), "propchange_events_total") == 1
        subscription.close()
    found = scraped(registry)
    assert value(found, "propchange_events_total") == 1
    assert value(found, "propchange_host_grants_total") == 1
    assert value(found, "propchange_not_answering") == 0


def test_several_objects_are_added_up_or_kept_apart_by_their_labels() -> None:
    point = {"interface": "127.0.0.1", "discovery": False}
    with BlockingControlPoint(**point) as one, BlockingControlPoint(**point) as other:
        names = {one: "one", other: "other"}
        apart = scraped(registry_of(one, other, labels=lambda each: {"segment": names[each]}))
        assert value(apart, "propchange_events_total", segment="one") == 0
        assert value(apart, "propchange_subscriptions", segment="other", status="active") == 0
        joined = scraped(registry_of(one, other))
        assert value(joined, "propchange_events_total") == 0


def test_what_has_no_numbers_and_labels_that_cannot_be_used_are_refused() -> None:
    with pytest.raises(TypeError, match="a control point or a hosted device has numbers, not 7"):
        collector(7)
    for bad in ("status", "a-b", "__name", ""):
        with pytest.raises(ValueError, match="cannot be a label"):
            collector(ControlPoint(), labels=lambda _, bad=bad: {bad: "x"})
    with pytest.raises(ValueError, match="the label port is a text, not 7"):
        collector(ControlPoint(), labels=lambda _: {"port": 7})  # type: ignore[dict-item]  # the point
    one, other = ControlPoint(), ControlPoint()
    with pytest.raises(ValueError, match="other names than the objects before"):
        collector(one, other, labels=lambda each: {"a" if each is one else "b": "x"})


def test_a_second_collector_in_a_registry_is_refused() -> None:
    registry = registry_of(ControlPoint())
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        registry.register(collector(ControlPoint()))


async def test_the_numbers_of_a_flood_of_peers_make_no_more_series() -> None:
    _, hosted = hosted_thermometer()
    async with hosted:
        registry = registry_of(hosted)
        before = len(scraped(registry))
        for number in range(50):
            reader, writer = await asyncio.open_connection("127.0.0.1", hosted.port)
            path = f"/{number}" if number % 2 else "/Thermometer/event"
            writer.write(
                f"SUBSCRIBE {path} HTTP/1.1\r\nHOST: 127.0.0.1:{hosted.port}\r\n"
                f"NT: {number}\r\nCALLBACK: <{number}>\r\nCONNECTION: close\r\n\r\n".encode()
            )
            await reader.read()
            writer.close()
        assert hosted.stats().refused
        assert len(scraped(registry)) <= before + 4


def test_the_format_is_what_promtool_accepts() -> None:
    promtool = tool("promtool", "prometheus")
    text = generate_latest(registry_of(ControlPoint(), hosted_thermometer()[1]))
    checked = subprocess.run(
        [promtool, "check", "metrics"], check=False, input=text, capture_output=True, timeout=60
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")
