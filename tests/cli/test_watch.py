"""``propchange watch``, run in the test's own process against a device in another thread."""

from __future__ import annotations

import json
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import pytest

from propchange import Device, host
from tests.asyncio.announcing import Announcer
from tests.cli.conftest import PATIENCE, Thermometer
from tests.cli.test_command import read_events


def objects(out: str, key: str) -> list[dict[str, Any]]:
    return [told for told in map(json.loads, out.splitlines()) if key in told]


@pytest.mark.slow
def test_all_evented_services_are_watched_when_none_is_named(
    workbench: Any, propchange: Any
) -> None:
    ran = propchange("watch", workbench.url, "--count", "2")

    events = objects(ran.out, "changes")
    assert (ran.status, ran.err) == (0, "")
    assert {event["service"] for event in events} == {"Thermometer", "Values"}
    assert {event["device"] for event in events} == {"Workbench"}


@pytest.mark.slow
def test_events_are_json_lines_off_a_terminal(workbench: Any, propchange: Any) -> None:
    ran = propchange("watch", workbench.url, "--service", "Thermometer", "--count", "1")

    (event,) = objects(ran.out, "changes")
    assert list(event) == [
        "time",
        "kind",
        "device",
        "service",
        "udn",
        "service_id",
        "sid",
        "seq",
        "initial",
        "merged",
        "left_out",
        "changes",
    ]
    assert datetime.fromisoformat(event["time"]).tzinfo is not None
    assert event["sid"].startswith("uuid:")
    assert (event["seq"], event["initial"], event["merged"]) == (0, True, 0)
    assert event["changes"] == {"Temperature": 20.0, "Alarm": False}


def test_the_status_lines_say_that_it_was_granted_and_until_when(
    workbench: Any, propchange: Any
) -> None:
    ran = propchange("watch", workbench.url, "--service", "Thermometer", "--count", "1", "--json")

    granted, active = objects(ran.out, "status")
    assert list(granted) == [
        *("time", "kind", "device", "service", "udn", "service_id", "status", "reason", "grant")
    ]
    assert (granted["status"], active["status"]) == ("granted", "active")
    assert active["cause"] == "initial-event"
    until = datetime.fromisoformat(granted["grant"]["until"])
    assert granted["reason"].startswith(f"until {granted['grant']['until']}, 1800 s, SID uuid:")
    assert (granted["grant"]["duration"], granted["grant"]["sid"][:5]) == (1800.0, "uuid:")
    granted_for = until - datetime.fromisoformat(granted["time"])
    assert 1790 < granted_for.total_seconds() <= 1801


@pytest.mark.slow
def test_values_that_json_has_no_type_for_are_their_text(workbench: Any, propchange: Any) -> None:
    ran = propchange("watch", workbench.url, "--service", "Values", "--count", "1")

    (event,) = objects(ran.out, "changes")
    changes = event["changes"]
    assert changes["Data"] == "00FF"
    assert changes["Key"] == "00000000-0000-0000-0000-000000000000"
    assert all(isinstance(value, str) for value in changes.values())
    assert "[bold]" in changes["Note"]
    assert len(ran.out.splitlines()) == len(ran.out.split("\n")) - 1


@pytest.mark.slow
def test_raw_gives_texts_for_typed_values(workbench: Any, propchange: Any) -> None:
    ran = propchange("watch", workbench.url, "--service", "Thermometer", "--count", "1", "--raw")

    (event,) = objects(ran.out, "changes")
    assert event["changes"] == {"Temperature": "20.0", "Alarm": "0"}


@pytest.mark.slow
def test_a_service_goes_by_its_type_and_id_as_well_and_twice_is_once(
    workbench: Any, propchange: Any
) -> None:
    ran = propchange(
        "watch",
        workbench.url,
        "--service=urn:example-org:service:Thermometer:1",
        "--service=urn:example-org:serviceId:Thermometer",
        "--count=1",
    )

    assert len(objects(ran.out, "status")) == 2
    assert ran.status == 0


@pytest.mark.slow
def test_watch_unsubscribes_after_the_wanted_number_of_events(
    workbench: Any, propchange: Any
) -> None:
    propchange("watch", workbench.url, "--service", "Thermometer", "--count", "1")

    subscribe = workbench.requests.wait_for("SUBSCRIBE")
    unsubscribe = workbench.requests.wait_for("UNSUBSCRIBE")
    assert unsubscribe.target == subscribe.target


@pytest.mark.slow
def test_the_device_of_a_url_is_followed_when_it_restarts_on_another_port(
    loop: Any, propchange: Any
) -> None:
    udn = f"uuid:{uuid.uuid4()}"

    def workbench() -> Device:
        return Device("Workbench", services=[Thermometer()], udn=udn)

    first = host(workbench(), interface="127.0.0.1")
    loop.run(first.__aenter__())

    async def restart() -> None:
        await first.subscribed()
        await first.close()
        async with (
            host(workbench(), interface="127.0.0.1") as second,
            Announcer(workbench(), second.description_url, boot_id=2) as announcer,
        ):
            announcer.alive()
            await second.subscribed()
            await second.drain(PATIENCE)

    restarting = loop.start(restart())
    ran = propchange("watch", first.description_url, "--count", "2")
    assert ran.status == 0
    assert [each["initial"] for each in objects(ran.out, "changes")] == [True, True]
    restarting.result(PATIENCE)


@pytest.mark.slow
def test_the_duration_is_asked_for_in_timeout(workbench: Any, propchange: Any) -> None:
    arguments = ["--service", "Thermometer", "--count", "1", "--duration", "300"]
    ran = propchange("watch", workbench.url, *arguments)

    assert workbench.requests.wait_for("SUBSCRIBE").fields[b"timeout"] == b"Second-300"
    assert ", 300 s, SID" in objects(ran.out, "status")[0]["reason"]


@pytest.mark.slow
def test_the_callback_can_be_said(workbench: Any, propchange: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    arguments = ["--callback-host", "127.0.0.1", "--callback-port", port]
    ran = propchange("watch", workbench.url, "--service", "Thermometer", "--count", "1", *arguments)

    callback = workbench.requests.wait_for("SUBSCRIBE").fields[b"callback"]
    assert ran.status == 0
    assert callback.startswith(f"<http://127.0.0.1:{port}/".encode())


@pytest.mark.slow
def test_the_whole_callback_url_can_be_said(workbench: Any, propchange: Any) -> None:
    """For a proxy in front, that passes the events on to the port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    url = f"http://127.0.0.1:{port}/from/the/proxy/{{token}}"
    words = ["--service", "Thermometer", "--count", "1", "--port", port, "--callback-url", url]
    ran = propchange("watch", workbench.url, *words)

    callback = workbench.requests.wait_for("SUBSCRIBE").fields[b"callback"]
    assert (ran.status, ran.err) == (0, "")
    assert callback.startswith(f"<http://127.0.0.1:{port}/from/the/proxy/".encode())
    assert b"{token}" not in callback


@pytest.mark.slow
def test_events_within_the_minimum_interval_are_one(workbench: Any, start: Any) -> None:
    words = ["--service", "Thermometer", "--minimum-interval", "2", "--count", "2"]
    watch = start("watch", workbench.url, *words)
    read_events(watch, 1)
    for temperature in (21.0, 22.0, 23.0):
        workbench.set(workbench.thermometer, "Temperature", temperature)
        assert workbench.run(workbench.hosted.drain(10))

    (merged,) = read_events(watch, 1)
    assert (watch.wait(15), watch.stderr.read()) == (0, "")
    assert (merged["merged"], merged["changes"]) == (2, {"Temperature": 23.0})


@pytest.mark.slow
def test_the_port_can_be_said_or_a_range_of_them(workbench: Any, propchange: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        first = taken.getsockname()[1]
        ran = propchange("watch", workbench.url, "--count", "1", "--port", f"{first}-{first + 50}")

    callback = workbench.requests.wait_for("SUBSCRIBE").fields[b"callback"]
    assert ran.status == 0
    port = urlsplit(callback.decode().strip("<>")).port
    assert port is not None
    assert first < port <= first + 50


@pytest.mark.slow
def test_an_event_url_will_do(workbench: Any, propchange: Any) -> None:
    url = workbench.url.replace("/description.xml", "/Thermometer/event")
    ran = propchange("watch", url, "--count", "1")

    (event,) = objects(ran.out, "changes")
    assert event["device"] == url.split("/")[2]
    assert event["service"] == "/Thermometer/event"
    assert event["changes"] == {"Temperature": "20.0", "Alarm": "0"}


# --- bad input: one line, and a status ---


def only_line(err: str) -> str:
    assert err.endswith("\n")
    (line,) = err.splitlines()
    assert line.startswith("propchange: ")
    return line


@pytest.mark.slow
def test_a_service_that_is_not_there_lists_those_that_are(workbench: Any, propchange: Any) -> None:
    ran = propchange("watch", workbench.url, "--service", "Barometer")

    assert ran.status == 1
    assert only_line(ran.err).endswith(
        "Workbench has no service 'Barometer'; there are: Thermometer, Values, Silent"
    )
    assert ran.out == ""


def test_a_service_without_events_lists_those_with(workbench: Any, propchange: Any) -> None:
    ran = propchange("watch", workbench.url, "--service", "Silent")

    assert ran.status == 1
    assert "Silent of Workbench sends no events" in only_line(ran.err)
    assert ran.err.endswith("Thermometer, Values\n")


@pytest.mark.parametrize("url", ["nonsense", "https://127.0.0.1/x", "http://", "http://h:0/", ""])
def test_what_is_no_http_url_is_a_wrong_command_line(propchange: Any, url: str) -> None:
    ran = propchange("watch", url)

    assert ran.status == 2
    line = only_line(ran.err)
    assert "://" in url or "give the http URL of a description" in line


@pytest.mark.slow
def test_nobody_at_that_port_is_said(propchange: Any) -> None:
    ran = propchange("watch", "http://127.0.0.1:1/description.xml")

    assert ran.status == 1
    assert "127.0.0.1:1" in only_line(ran.err)
    assert "event URL" not in ran.err


@pytest.mark.slow
def test_a_host_that_does_not_exist_is_said(propchange: Any) -> None:
    """A label of 64 characters needs no name server to be none."""
    ran = propchange("watch", f"http://{'x' * 64}.example/description.xml")

    assert ran.status == 1
    only_line(ran.err)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("host", "authority"),
    [("192.0.2.7", "192.0.2.7:"), ("my-host.example", "my-host.example:"), ("[::2]", "[::2]:")],
)
def test_a_callback_that_is_refused_is_said_with_its_status(
    workbench: Any, propchange: Any, host: str, authority: str
) -> None:
    ran = propchange("watch", workbench.url, "--callback-host", host)

    assert ran.status == 1
    assert "SUBSCRIBE with 412" in only_line(ran.err)
    assert f"it will not send events to {authority}" in ran.err


def test_neither_a_description_nor_an_event_url_is_said(workbench: Any, propchange: Any) -> None:
    ran = propchange("watch", workbench.url.replace("/description.xml", "/nothing"))

    assert ran.status == 1
    assert "neither the URL of a device description" in only_line(ran.err)
    assert "SUBSCRIBE was answered with 404" in ran.err


def test_a_service_of_what_is_no_description_is_said(workbench: Any, propchange: Any) -> None:
    url = workbench.url.replace("/description.xml", "/Thermometer/event")
    ran = propchange("watch", url, "--service", "Thermometer")

    assert ran.status == 1
    assert "--service needs the URL of a device description" in only_line(ran.err)


def test_a_port_that_is_taken_is_said(workbench: Any, propchange: Any) -> None:
    with socket.create_server(("", 0)) as taken:
        port = str(taken.getsockname()[1])
        ran = propchange("watch", workbench.url, "--callback-port", port)

    assert ran.status == 1
    assert f"port {port}" in only_line(ran.err)


@pytest.fixture
def answering() -> Iterator[Callable[[bytes], str]]:
    """A server that gives every request the same answer, and its URL."""
    servers: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def serve(server: socket.socket, answer: bytes) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.recv(65_536)
                connection.sendall(answer)

    def start(answer: bytes) -> str:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)
        thread = threading.Thread(target=serve, args=(server, answer))
        thread.start()
        threads.append(thread)
        return f"http://127.0.0.1:{server.getsockname()[1]}/x"

    yield start
    for server in servers:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
    for thread in threads:
        thread.join()


def answer(body: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


@pytest.mark.parametrize("names", [[], ["--service", "X"]])
def test_an_event_url_that_cannot_be_used_is_told(
    answering: Any, propchange: Any, names: list[str]
) -> None:
    url = answering(
        answer(
            '<root xmlns="urn:schemas-upnp-org:device-1-0"><device><friendlyName>Odd</friendlyName>'
            "<serviceList><service><serviceType>urn:x-org:service:X:1</serviceType>"
            "<eventSubURL>ftp://192.0.2.7/event</eventSubURL></service></serviceList>"
            "</device></root>"
        )
    )
    ran = propchange("watch", url, *names)

    assert ran.status == 1
    assert "'ftp://192.0.2.7/event' is no http URL" in only_line(ran.err)


@pytest.mark.slow
@pytest.mark.parametrize(
    "sent",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"",
        answer("<html><p>Hello</html>"),
        answer("<root/>"),
        answer('<!DOCTYPE root [<!ENTITY x "x">]><root>&x;</root>'),
        b"HTTP/1.1 200 \x1b[31mred\r\nContent-Length: 1\r\n\r\n\xff",
    ],
)
def test_whatever_answers_there_is_one_line_and_no_traceback(
    answering: Any, propchange: Any, sent: bytes
) -> None:
    ran = propchange("watch", answering(sent))

    assert ran.status == 1
    assert only_line(ran.err)[:-1].isprintable()


@pytest.mark.slow
def test_a_description_that_cannot_be_read_is_a_problem_before_its_url_is_taken_as_an_event_url(
    answering: Any, workbench: Any, propchange: Any
) -> None:
    cut = propchange("watch", answering(answer("<!DOCTYPE root><root/>")))
    assert "a document type declaration is not accepted; so it is taken as an event URL" in cut.out

    absent = propchange("watch", workbench.url.replace("/description.xml", "/nothing"))
    assert "taken as an event URL" not in absent.out


@pytest.mark.slow
def test_a_device_whose_name_is_hostile_is_escaped_in_the_message(
    answering: Any, propchange: Any
) -> None:
    url = answering(
        answer(
            '<root xmlns="urn:schemas-upnp-org:device-1-0"><device>'
            "<deviceType>urn:x-org:device:X:1</deviceType>"
            "<friendlyName>a&#x9b;31m&#x202e;b</friendlyName>"
            "<UDN>uuid:1</UDN></device></root>"
        )
    )
    ran = propchange("watch", url)

    assert ran.status == 1
    assert r"no service of a\x9b31m\u202eb sends events" in only_line(ran.err)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["http://127.0.0.1/", "--count", "0"],
        ["http://127.0.0.1/", "--count", "x"],
        ["http://127.0.0.1/", "--duration", "0"],
        ["http://127.0.0.1/", "--callback-port", "65536"],
        ["http://127.0.0.1/", "--port", "65536"],
        ["http://127.0.0.1/", "--port", "49200-49152"],
        ["http://127.0.0.1/", "--port", "49152-"],
        ["http://127.0.0.1/", "--port", "http"],
        ["http://127.0.0.1/", "--callback-host", "0.0.0.0"],
        ["http://127.0.0.1/", "--callback-host", "host:80"],
        ["http://127.0.0.1/", "--callback-host", "fe80::1%eth0"],
        ["http://127.0.0.1/", "--no-such-option"],
    ],
)
def test_a_wrong_command_line_is_status_2(propchange: Any, arguments: list[str]) -> None:
    ran = propchange("watch", *arguments)

    assert ran.status == 2
    assert "Traceback" not in ran.err
    assert ran.out == ""
