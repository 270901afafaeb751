"""A device and a control point on one reactor with real sockets, on loopback."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.selectreactor import SelectReactor
from twisted.web.resource import Resource

from propchange import StateVariable, Status
from propchange.core.diagnosis.verdicts import Verdict
from propchange.core.subscriber.events import Cause
from propchange.driver.machine import Interfaces
from propchange.errors import ConnectionFailed
from propchange.twisted import ControlPoint, Service, Site
from tests.twisted.devices import DESCRIPTION, SCPD


class Thermometer(Service, type="urn:example-org:service:Thermometer:1"):
    temperature = StateVariable("r4", initial=20.0)


class Document(Resource):
    isLeaf = True

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def render_GET(self, request: Any) -> bytes:
        request.setHeader(b"Content-Type", b"text/xml")
        return self.text.encode()


class Bench:
    """A reactor that the test turns, and what stands on it."""

    def __init__(self) -> None:
        self.reactor = SelectReactor()
        self.point = ControlPoint(reactor=self.reactor)  # type: ignore[arg-type] # Twisted's types
        self.point.listen(interface="127.0.0.1")
        self.thermometer: Thermometer
        self.url = ""
        self._site: Any = None
        self._port: Any = None

    def host(self, temperature: float) -> None:
        """Start the device, on any port."""
        self.thermometer = Thermometer(reactor=self.reactor)  # type: ignore[arg-type] # as above
        self.thermometer.temperature = temperature
        root = Resource()
        root.putChild(b"description.xml", Document(DESCRIPTION))
        root.putChild(b"scpd.xml", Document(SCPD))
        root.putChild(b"event", self.thermometer.resource)
        self._site = Site(root, reactor=self.reactor)  # type: ignore[arg-type] # as above
        self._port = self.reactor.listenTCP(0, self._site, interface="127.0.0.1")
        self.url = f"http://127.0.0.1:{self._port.getHost().port}/description.xml"

    def crash(self) -> None:
        """End the device, which says nothing to anybody."""
        self.wait(self._port.stopListening())
        self.wait(self._site.close())
        self.wait(self.thermometer.close())

    def announce(self, boot_id: int) -> None:
        headers = {
            "NT": "upnp:rootdevice",
            "NTS": "ssdp:alive",
            "USN": "uuid:workbench::upnp:rootdevice",
            "LOCATION": self.url,
            "BOOTID.UPNP.ORG": str(boot_id),
        }
        self.point.receive_ssdp(headers, "127.0.0.1", "127.0.0.1")

    def until(self, condition: Callable[[], object]) -> None:
        give_up = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < give_up, "it has not come about"
            self.reactor.runUntilCurrent()
            self.reactor.doIteration(0.01)

    def wait(self, deferred: Deferred[Any] | None) -> Any:
        if deferred is None:
            return None
        results: list[Any] = []
        deferred.addBoth(results.append)
        self.until(lambda: results)
        return results[0]


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.wait(bench.point.close())
    bench.crash()
    bench.reactor.removeAll()


@pytest.mark.slow
def test_a_device_that_restarts_on_another_port_is_heard_again(bench: Bench) -> None:
    bench.host(20.0)
    device = bench.wait(bench.point.device(bench.url))
    events: list[Any] = []
    changes: list[Any] = []
    subscription = device["Thermometer"].subscribe(events.append, on_status=changes.append)
    bench.until(lambda: events)
    assert events[0].changes == {"Temperature": 20.0}
    bench.thermometer.temperature = 20.5
    bench.until(lambda: subscription.values["Temperature"] == 20.5)
    bench.announce(1)
    former = bench.url
    bench.crash()
    bench.host(31.0)
    assert bench.url != former
    bench.announce(2)
    bench.until(lambda: len(events) == 3)
    assert events[2].is_initial
    assert subscription.values == {"Temperature": 31.0}
    assert device.url == bench.url
    assert [(change.status, change.cause) for change in changes] == [
        (Status.ACTIVE, Cause.INITIAL_EVENT),
        (Status.RESUBSCRIBING, Cause.DEVICE_MOVED),
        (Status.ACTIVE, Cause.INITIAL_EVENT),
    ]


def test_a_diagnosis_connects_to_both_ends(bench: Bench) -> None:
    bench.host(20.0)
    device = bench.wait(bench.point.device(bench.url))
    events: list[Any] = []
    subscription = device["Thermometer"].subscribe(events.append)
    bench.until(lambda: events)
    diagnosis = bench.wait(subscription.diagnose())
    assert diagnosis.verdict is Verdict.EVENTS_ARRIVE
    told = dict(diagnosis.facts.lines())
    assert told["connecting to the device"].endswith("accepts connections")
    assert told["connecting to ourselves"].endswith("accepts connections")
    assert told["connections from 127.0.0.1"].startswith("1, ")
    assert told["source address"] == "127.0.0.1"


def test_the_first_free_port_of_a_range_is_taken() -> None:
    reactor: Any = SelectReactor()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        point = ControlPoint(reactor=reactor)
        with pytest.raises(ConnectionFailed, match=f"port {port} is taken"):
            point.listen(port, "127.0.0.1")
        assert point.listen(range(port, port + 50), "127.0.0.1") > port
        with pytest.raises(ValueError, match="65536"):
            ControlPoint(reactor=reactor).listen(65_536)
    point.close()
    reactor.runUntilCurrent()  # which is when ports close


def test_a_control_point_listens_on_all_addresses_of_both_families_at_one_port() -> None:
    reactor: Any = SelectReactor()
    point = ControlPoint(reactor=reactor)
    port = point.listen()
    for host in ("127.0.0.1", "::1"):
        socket.create_connection((host, port), 10).close()
    point.close()
    reactor.runUntilCurrent()


def test_it_listens_on_the_interface_that_was_named_alone() -> None:
    loopback = next(a for a in Interfaces().addresses() if a.host == "127.0.0.1")
    reactor: Any = SelectReactor()
    point = ControlPoint(reactor=reactor)
    point.listen(interface=loopback.interface)
    assert point.hostname == "127.0.0.1"
    point.close()
    reactor.runUntilCurrent()
