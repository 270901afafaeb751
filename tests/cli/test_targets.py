"""The targets of ``propchange watch``: several devices, waiting for them, their names."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from functools import partialmethod
from types import SimpleNamespace
from typing import Any

import pytest

from propchange import ControlPoint, Device, Limits, host
from propchange.cli.lines import Source
from propchange.cli.names import Names
from propchange.cli.targets import Target, _is_at
from propchange.driver.remote import DescribedDevice, DescribedService
from propchange.driver.requests import locate
from propchange.upnp.description import DeviceDescription, ServiceDescription
from tests.asyncio.announcing import Announcer
from tests.cli.conftest import PATIENCE, Thermometer, Values


def objects(out: str, kind: str) -> list[dict[str, Any]]:
    return [told for told in map(json.loads, out.splitlines()) if told["kind"] == kind]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("http://192.0.2.7:80/d.xml", "url"),
        ("nonsense", "url"),
        ("http://192.0.2.7:80", "url"),
        ("192.0.2.7:", "url"),
        ("192.0.2.7:80/d.xml", "url"),
        ("uuid:1234", "udn"),
        ("UUID:0b51d1b4-0000-4000-8000-000000000001", "udn"),
        ("192.0.2.7:49152", "authority"),
        ("[fe80::1]:80", "authority"),
        ("[fe80::1%eth0]:80", "authority"),
        ("[fe80::1%25eth0]:80", "authority"),
        ("nas.example:80", "authority"),
    ],
)
def test_an_argument_is_a_url_a_udn_or_an_address(text: str, kind: str) -> None:
    target = Target(text)
    assert (target.is_udn, target.is_authority) == (kind == "udn", kind == "authority")
    assert target.is_searched is (kind != "url")


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("http://192.0.2.7:80/e?x=1", Source("192.0.2.7:80", "/e?x=1")),
        ("http://192.0.2.7", Source("192.0.2.7", "/")),
        ("uuid:1", Source("uuid:1", "", "uuid:1")),
        ("192.0.2.7:80", Source("192.0.2.7:80", "")),
    ],
)
def test_an_argument_has_a_name_before_there_is_a_description(text: str, source: Source) -> None:
    assert Target(text).source == source


class Described(DescribedDevice[DescribedService]):
    _service_type = DescribedService


def described(name: str, udn: str, *services: tuple[str, str, str]) -> Any:
    """A device, and its services: short name, serviceId and UDN."""
    parts = [
        ServiceDescription(f"urn:x:service:{short}:1", id_, "", "", "", of)
        for short, id_, of in services
    ]
    url = f"http://192.0.2.7/{udn}"
    return Described(None, DeviceDescription(url, udn, name, "", services=tuple(parts)))


def test_services_of_one_name_are_told_apart() -> None:
    device = described(
        "Strip",
        "uuid:r",
        ("Switch", "id:a", "uuid:1"),
        ("Switch", "id:a", "uuid:2"),
        ("Dimmer", "id:b", "uuid:1"),
        ("Dimmer", "id:c", "uuid:1"),
        ("Mode", "id:d", "uuid:2"),
        ("Clock", "id:e", "uuid:1"),
        ("Clock", "id:f", "uuid:1"),
        ("Clock", "id:e", "uuid:2"),
    )
    names = Names()
    assert [tuple(source) for source in names.of(device).values()] == [
        ("Strip", "uuid:1/Switch", "uuid:1", "id:a"),
        ("Strip", "uuid:2/Switch", "uuid:2", "id:a"),
        ("Strip", "id:b", "uuid:1", "id:b"),
        ("Strip", "id:c", "uuid:1", "id:c"),
        ("Strip", "Mode", "uuid:2", "id:d"),
        ("Strip", "uuid:1/id:e", "uuid:1", "id:e"),
        ("Strip", "id:f", "uuid:1", "id:f"),
        ("Strip", "uuid:2/Clock", "uuid:2", "id:e"),
    ]
    # Two devices of one name, too. The first has been printed under it already.
    assert names.of_device(described("Strip", "uuid:s")) == Source("Strip uuid:s", "", "uuid:s")
    assert names.of_device(device) == Source("Strip", "", "uuid:r")
    assert names.of_device(described("", "")) == Source("http://192.0.2.7/", "", "")


@pytest.fixture
def strip(loop: Any) -> Iterator[Any]:
    """A device with two embedded devices that have the same service."""
    sockets = [Device(f"Socket {number}", services=[Thermometer()]) for number in (1, 2)]
    device = Device("Workbench", devices=sockets, services=[Values()], udn=f"uuid:{uuid.uuid4()}")
    hosted = host(device, interface="127.0.0.1")
    loop.run(hosted.__aenter__())
    yield hosted
    loop.run(hosted.close())


@pytest.mark.slow
def test_the_same_service_of_two_embedded_devices_is_told_apart_in_every_line(
    strip: Any, propchange: Any
) -> None:
    ran = propchange("watch", strip.description_url, "--count", "3")

    assert (ran.status, ran.err) == (0, "")
    lines = [json.loads(line) for line in ran.out.splitlines()]
    assert {line["device"] for line in lines} == {"Workbench"}
    thermometers = [line for line in lines if line["service"] != "Values"]
    assert len({line["udn"] for line in thermometers}) == 2
    assert len({line["service_id"] for line in thermometers}) == 2
    # Each name can be given to --service.
    for line in {line["service"]: line for line in thermometers}.values():
        alone = propchange(
            "watch", strip.description_url, "--count", "1", "--service", line["service"]
        )
        (event,) = objects(alone.out, "event")
        assert (event["udn"], event["service_id"]) == (line["udn"], line["service_id"])


@pytest.mark.slow
def test_a_name_that_several_services_have_means_all_of_them(strip: Any, propchange: Any) -> None:
    ran = propchange("watch", strip.description_url, "--count", "2", "--service", "Thermometer")
    assert len({event["udn"] for event in objects(ran.out, "event")}) == 2


@pytest.mark.slow
def test_the_lines_of_one_device_are_of_one_kind(strip: Any, propchange: Any) -> None:
    ran = propchange("watch", strip.description_url, "--count", "3")
    lines = [json.loads(line) for line in ran.out.splitlines()]
    for udn in {line["udn"] for line in lines}:
        assert {line["kind"] for line in lines if line["udn"] == udn} >= {"event", "status"}


@pytest.mark.slow
def test_several_devices_are_watched_and_what_fails_costs_the_others_nothing(
    workbench: Any, strip: Any, propchange: Any
) -> None:
    event_url = workbench.url.replace("/description.xml", "/Thermometer/event")
    targets = (workbench.url, "http://127.0.0.1:1/d.xml", strip.description_url, event_url)
    ran = propchange("watch", *targets, "--count", "6")

    events = objects(ran.out, "event")
    assert (ran.status, ran.err, len(events)) == (0, "", 6)
    (failed,) = [each for each in objects(ran.out, "status") if each["status"] == "failed"]
    assert (failed["device"], failed["service"]) == ("127.0.0.1:1", "/d.xml")
    names = {event["device"] for event in events}
    assert len(names) == 3
    assert {"Workbench", event_url.split("/")[2]} < names
    assert len({event["udn"] for event in events}) == 5  # one of them null


@pytest.mark.slow
def test_if_nothing_can_be_watched_the_first_failure_is_the_error(propchange: Any) -> None:
    ran = propchange("watch", "http://127.0.0.1:1/a", "http://127.0.0.1:2/b")

    assert ran.status == 1
    assert ran.err.startswith("propchange: no connection to 127.0.0.1:1")
    assert ran.out == ""


def test_several_devices_are_diagnosed_one_object_each(
    workbench: Any, strip: Any, propchange: Any
) -> None:
    ran = propchange("watch", "--diagnose", workbench.url, strip.description_url)

    found = [json.loads(line) for line in ran.out.splitlines()]
    assert (ran.status, ran.err) == (0, "")
    assert [each["url"] for each in found] == [workbench.url, strip.description_url]
    assert [len(each["services"]) for each in found] == [2, 3]
    assert all(service["udn"] for each in found for service in each["services"])


# --- waiting ---


def read_until(process: subprocess.Popen[str], wanted: Callable[[dict[str, Any]], bool]) -> Any:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(json.loads(line))
        if wanted(lines[-1]):
            return lines
    raise AssertionError(f"it ended: {lines}")


@pytest.mark.slow
def test_with_wait_a_device_that_is_not_there_yet_is_waited_for(loop: Any, start: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    udn = f"uuid:{uuid.uuid4()}"
    url = f"http://127.0.0.1:{port}/description.xml"
    watch = start("watch", "--wait", url)
    (waiting,) = read_until(watch, lambda line: line.get("status") == "waiting")
    assert waiting["device"] == f"127.0.0.1:{port}"
    assert waiting["reason"].endswith("refused; it is tried again")

    device = Device("Late", services=[Thermometer()], udn=udn)
    hosted = host(device, interface="127.0.0.1", port=port)
    loop.run(hosted.__aenter__())
    lines = read_until(watch, lambda line: line["kind"] == "event")
    assert (lines[-1]["device"], lines[-1]["udn"]) == ("Late", udn)
    assert len([line for line in lines if line.get("status") == "waiting"]) == 0
    watch.send_signal(signal.SIGINT)
    watch.communicate(timeout=PATIENCE)
    loop.run(hosted.close())


@pytest.mark.slow
def test_with_wait_an_event_url_is_subscribed_to_until_that_is_granted(start: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        watch = start("watch", "--wait", f"http://127.0.0.1:{server.getsockname()[1]}/event")
        server.settimeout(PATIENCE)
        grant = b"200 OK\r\nSID: uuid:1\r\nTIMEOUT: Second-60"
        for answer in (b"405 No", b"503 Busy", b"404 Not Found", grant):
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 " + answer + b"\r\nContent-Length: 0\r\n\r\n")
        lines = read_until(watch, lambda line: line.get("status") == "granted")
        watch.kill()
    assert lines[0]["status"] == "waiting"
    assert "SUBSCRIBE was answered with 503" in lines[0]["reason"]


STARTING = "<html><p>Please wait</p></html>"
WHOLE = '<root xmlns="urn:schemas-upnp-org:device-1-0"><device><friendlyName>Late</friendlyName>'


@pytest.fixture
def starting(loop: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """A device that starts: it gives each GET the next of some answers and no subscription, then
    listens no more, and then is there. Returns the URL of its description."""
    from propchange.cli import targets

    monkeypatch.setattr(targets, "_FIRST_WAIT", 0.02)
    monkeypatch.setattr(targets, "_LONGEST_WAIT", 0.1)
    hosted: list[Any] = []
    threads: list[threading.Thread] = []

    def start(*answers: bytes) -> str:
        server = socket.create_server(("127.0.0.1", 0))
        port = server.getsockname()[1]

        def run() -> None:
            left = list(answers)
            with server:
                server.settimeout(PATIENCE)
                while left:
                    connection, _ = server.accept()
                    with connection:
                        asked = connection.recv(65_536)
                        connection.sendall(left.pop(0) if asked[:3] == b"GET" else NOT_FOUND)
            device = Device("Late", services=[Thermometer()])
            hosted.append(host(device, interface="127.0.0.1", port=port))
            loop.run(hosted[0].__aenter__())

        threads.append(threading.Thread(target=run))
        threads[0].start()
        return f"http://127.0.0.1:{port}/description.xml"

    yield start
    for thread in threads:
        thread.join(PATIENCE)
    for each in hosted:
        loop.run(each.close())


NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (NOT_FOUND, "was answered with 404"),
        (BUSY, "was answered with 503"),
        (b"HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n", "was answered with 405"),
        (b"", "before"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n" + WHOLE.encode(), "before"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + WHOLE.encode(), "XML"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + STARTING.encode(), "description"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "cut off"),
        (b"starting\r\n\r\n", "HTTP"),
    ],
)
@pytest.mark.parametrize("service", [(), ("--service", "Thermometer")])
def test_with_wait_whatever_a_device_that_starts_answers_it_is_described_in_the_end(
    starting: Any, propchange: Any, answer: bytes, reason: str, service: tuple[str, ...]
) -> None:
    url = starting(answer, answer, BUSY)
    ran = propchange("watch", "--wait", url, *service, "--count", "1")

    (event,) = objects(ran.out, "event")
    assert (ran.status, ran.err) == (0, "")
    assert (event["device"], event["service"]) == ("Late", "Thermometer")
    waiting = [each for each in objects(ran.out, "status") if each["status"] == "waiting"]
    assert reason in waiting[0]["reason"]
    assert all(each["reason"].endswith("it is tried again") for each in waiting)
    assert len({each["reason"] for each in waiting}) == len(waiting)
    assert ("503" in waiting[-1]["reason"]) or "refused" in waiting[-1]["reason"]


HERE = ("watch", "--interface", "127.0.0.1")


@pytest.fixture
def announced(loop: Any) -> Iterator[Any]:
    """A device that answers searches on loopback."""
    device = Device("Bench", services=[Thermometer()], udn=f"uuid:{uuid.uuid4()}")
    hosting = host(device, interface="127.0.0.1")
    hosted = loop.run(hosting.__aenter__())
    announcing = Announcer(device, hosted.description_url)
    loop.run(announcing.__aenter__())
    yield SimpleNamespace(udn=device.udn, url=hosted.description_url)
    loop.run(announcing.__aexit__())
    loop.run(hosting.__aexit__(None, None, None))


@pytest.mark.slow
def test_the_address_of_a_description_will_do(announced: Any, propchange: Any) -> None:
    authority = announced.url.split("/")[2]
    ran = propchange(*HERE, authority, "--count", "1")

    (event,) = objects(ran.out, "event")
    assert (ran.status, ran.err) == (0, "")
    assert (event["device"], event["udn"]) == ("Bench", announced.udn)


@pytest.mark.parametrize(
    ("text", "location", "is_there"),
    [
        ("http://192.0.2.7:80/", "http://192.0.2.7/d.xml", True),
        ("http://192.0.2.7:80/", "http://192.0.2.7:81/d.xml", False),
        ("http://[FE80:0::1]:80/", "http://[fe80::1%1]/d.xml", True),
        ("http://[fe80::1%1]:80/", "http://[fe80::1%2]/d.xml", False),
        ("http://[fe80::1%251]:80/", "http://[fe80::1%1]:80/d.xml", True),
        ("http://[fe80::1]:80/", "http://[fe80::1%gone0]/d.xml", False),
        ("http://Nas.example:80/", "http://nas.example/d.xml", True),
    ],
)
def test_an_address_is_compared_as_an_address(text: str, location: str, is_there: bool) -> None:
    assert _is_at(locate(text), location) is is_there


@pytest.mark.slow
def test_an_address_where_nothing_announces_itself_is_said(
    announced: Any, propchange: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    brief = partialmethod(ControlPoint.__init__, limits=Limits(find_seconds=0.3))
    monkeypatch.setattr(ControlPoint, "__init__", brief)
    ran = propchange(*HERE, "127.0.0.1:1")

    assert ran.status == 1
    assert "no device announces a description at 127.0.0.1:1" in ran.err


@pytest.mark.slow
def test_a_udn_is_waited_for_unless_it_is_not_wanted(announced: Any, propchange: Any) -> None:
    ran = propchange(*HERE, announced.udn, "--no-wait", "--count", "1")
    assert (ran.status, ran.err) == (0, "")
    ran = propchange(*HERE, announced.udn, "--count", "1")
    assert (ran.status, ran.err) == (0, "")
    assert re.search('"status": "(waiting|subscribing)"', ran.out) is None


@pytest.mark.slow
@pytest.mark.parametrize("target", ["uuid:0b51d1b4-0000-4000-8000-00000000000f", "127.0.0.1:1"])
def test_watch_reports_at_once_that_it_searches_for_a_device(start: Any, target: str) -> None:
    with start("watch", "--interface", "127.0.0.1", target) as process:
        told = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
    assert (told["status"], told["device"]) == ("waiting", target)
    assert told["reason"] == "searching for it from 127.0.0.1; it has not answered yet"
