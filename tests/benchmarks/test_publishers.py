"""The devices of other libraries deliver to the sink, so that they can be measured."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from benchmarks import network
from benchmarks.on_twisted import ServicePublisher
from benchmarks.peers.publishers import PUBLISHERS, PeerPublisher
from benchmarks.processes import process_cpu_seconds
from benchmarks.programs import Program, compiled, compiler
from benchmarks.sink import Sink
from lab.fixtures import missing

pytestmark = [
    pytest.mark.skipif(compiler() is None, reason="the load is written in C"),
    pytest.mark.xdist_group("publishers"),
    pytest.mark.timeout(600),  # the first one may build the environment of Cohen3
]


def in_network(call: Callable[[], Any]) -> Any:
    """The result of ``call`` in the network of the benchmarks, which only a thread enters."""

    def run() -> Any:
        network.enter()
        return call()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(run).result()


@pytest.fixture
def own_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_reason", network.reason())


def deliver(publisher: PeerPublisher) -> None:
    try:
        publisher.start()
    except RuntimeError as error:
        missing(error)
    host, port, path = publisher.event_url()
    try:
        with Program([compiled("sink"), network.subscribers_of(host), "2", "2", "2"]) as sink:
            assert sink.ask("subscribe", host, port, path, 1, "close")["granted"] == 2
            assert sink.ask("wait", 2, 10_000)["initial"] == 2
            # async-upnp-client sends no change before it has read the answer to the initial event.
            time.sleep(0.3)
            sink.ask("begin", "ordered")
            for count in (2, 4):
                last = publisher.publish(1, 1)
                told = sink.ask("wait", count, 10_000)
            assert (told["received"], told["disorder"]) == (4, 0)
            assert sink.ask("last", last) == {"without": 0}
            last = publisher.publish_at(20, 0.2)
            assert sink.ask("wait", 4 + 2 * 4, 10_000)["latencies"] == 4 + 2 * 4
            assert sink.ask("last", last) == {"without": 0}
        assert publisher.cpu() > 0
        assert publisher.resident_bytes() > 500_000
    finally:
        publisher.stop()


def test_async_upnp_client_delivers() -> None:
    deliver(PUBLISHERS["async-upnp-client"]())


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(PUBLISHERS.keys() - {"async-upnp-client"}))
def test_each_other_library_delivers(name: str, own_network: None) -> None:
    publisher = PUBLISHERS[name]()
    if name.startswith("libupnp"):
        in_network(lambda: deliver(publisher))
    else:
        deliver(publisher)  # where a package index can be reached, for the environment of Cohen3


def test_subscribers_of_a_service_on_twisted_have_its_last_value_after_any_number_of_events() -> (
    None
):
    publisher = ServicePublisher()
    try:
        publisher.start()
        with Sink(2, 2, 2) as sink:
            sink.subscribe(publisher.event_url())
            for _ in range(8):
                sink.ask("begin", "ordered")
                sink.settle(2, publisher.publish(1, 1))
    finally:
        publisher.stop()


def test_a_library_that_is_not_there_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.peers.publishers.network.reason", lambda: "nobody is root")
    publisher = PUBLISHERS["libupnp"]()
    with pytest.raises(RuntimeError, match=r"^libupnp.*: .*(nobody is root|no )"):
        publisher.start()
    publisher.stop()


def test_the_processor_time_of_a_process_has_all_its_threads() -> None:
    burnt = []

    def burn() -> None:
        while time.thread_time() < 0.05:
            sum(range(1000))
        burnt.append(time.thread_time())

    before, own = process_cpu_seconds(os.getpid()), time.thread_time()
    thread = threading.Thread(target=burn)
    thread.start()
    thread.join()
    assert process_cpu_seconds(os.getpid()) - before >= burnt[0]
    assert time.thread_time() - own < burnt[0]
