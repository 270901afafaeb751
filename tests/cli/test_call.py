"""``propchange call``: actions of hosted devices over real sockets, and its command line."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import socket
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from propchange import ActionError, Device, Service, StateVariable, action, host
from propchange.cli.call import call, read_arguments, service_named
from propchange.cli.exit_status import CommandFailed
from propchange.upnp.actions import Action, Argument
from propchange.upnp.soap import build_answer, build_fault
from tests.asyncio.announcing import Announcer
from tests.cli.conftest import HOSTILE, PATIENCE, Ran, Requests, Silent
from tests.cli.test_targets import described

ESCAPED = r"\x85[bold]\u202eesc\u2028ä\ttab\nnl"

Propchange = Callable[..., Ran]


class Oven(Service, type="urn:example-org:service:Oven:1"):
    temperature = StateVariable("ui2", minimum=30, maximum=300, initial=30, step=5)
    door = StateVariable("string", allowed=["open", "closed"])
    light = StateVariable("boolean")
    note = StateVariable("string", initial=HOSTILE)
    ready_at = StateVariable("dateTime.tz", initial=datetime(2026, 5, 1, 12, tzinfo=UTC))

    @action(returns=temperature)
    async def set_temperature(self, temperature: int) -> int:
        self.temperature = temperature
        return temperature

    @action
    def move_door(self, door: str) -> None:
        raise ActionError(701, f"The door is blocked{HOSTILE}")

    @action(returns={"Note": note, "Light": light, "ReadyAt": ready_at})
    def exchange(self, note: str, light: bool) -> dict[str, object]:
        before = {"Note": self.note, "Light": self.light, "ReadyAt": self.ready_at}
        self.note, self.light = note, light
        return before

    @action
    async def sleep(self) -> None:
        await asyncio.sleep(PATIENCE)


@pytest.fixture
def kitchen(loop: Any) -> Iterator[Any]:
    """A device with an oven, and a service without actions."""
    oven, requests = Oven(), Requests()
    device = Device("Kitchen", services=[oven, Silent()], udn=f"uuid:{uuid.uuid4()}")
    hosting = host(device, interface="127.0.0.1", tap=requests.add)
    hosted = loop.run(hosting.__aenter__())
    yield SimpleNamespace(
        url=hosted.description_url, udn=device.udn, oven=oven, requests=requests, device=device
    )
    loop.run(hosted.close())


def objects(ran: Ran) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ran.out.splitlines()]


def test_an_action_is_called_and_its_out_arguments_are_printed(
    kitchen: Any, propchange: Propchange
) -> None:
    ran = propchange("call", kitchen.url, "Oven", "SetTemperature", "Temperature=180")

    (answer,) = objects(ran)
    assert (ran.status, ran.err) == (0, "")
    assert answer.pop("time")
    assert answer == {
        "kind": "answer",
        "device": "Kitchen",
        "service": "Oven",
        "udn": kitchen.udn,
        "service_id": "urn:example-org:serviceId:Oven",
        "action": "SetTemperature",
        "arguments": {"Temperature": 180},
    }
    assert kitchen.oven.temperature == 180
    assert len(kitchen.requests.of("POST")) == 1


@pytest.mark.parametrize(
    "name", ["urn:example-org:service:Oven:1", "urn:example-org:serviceId:Oven"]
)
def test_a_service_has_the_names_that_it_has_for_watch(
    kitchen: Any, propchange: Propchange, name: str
) -> None:
    words = ("SetTemperature", "Temperature=35")
    assert propchange("call", kitchen.url, name, *words).status == 0
    assert propchange("call", kitchen.url, f"{kitchen.udn}/Oven", *words).status == 0


def test_values_are_texts_of_the_declared_types(kitchen: Any, propchange: Propchange) -> None:
    for word, light in (("yes", True), ("0", False), ("true", True), ("no", False), ("1", True)):
        ran = propchange("call", kitchen.url, "Oven", "Exchange", f"Light={word}", "Note=")
        assert (ran.status, ran.err) == (0, "")
        assert kitchen.oven.light is light
        assert kitchen.oven.note == ""
    text = "a=b\n<&>]]> ä\N{COOKING}"
    propchange("call", kitchen.url, "Oven", "Exchange", f"Note={text}", "Light=no")
    assert kitchen.oven.note == text
    (answer,) = objects(propchange("call", kitchen.url, "Oven", "Exchange", "Note=-", "Light=no"))
    assert answer["arguments"] == {
        "Note": text,
        "Light": False,
        "ReadyAt": "2026-05-01T12:00:00+00:00",
    }


def test_what_a_device_answers_does_not_reach_the_terminal(
    kitchen: Any, propchange: Propchange
) -> None:
    ran = propchange("call", kitchen.url, "Oven", "Exchange", "Note=", "Light=no")
    assert objects(ran)[0]["arguments"]["Note"] == HOSTILE
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u2028]", ran.out)

    ran = propchange("call", kitchen.url, "Oven", "MoveDoor", "Door=open")
    assert (
        ran.err == "propchange: 701: The door is blocked\\x85[bold]\\u202eesc\\u2028ä\\ttab\\nnl; "
        "propchange call URL SERVICE lists the actions and the values that they take\n"
    )


def test_a_fault_has_an_exit_status_of_its_own(kitchen: Any, propchange: Propchange) -> None:
    ran = propchange("call", kitchen.url, "Oven", "MoveDoor", "Door=open")

    (fault,) = objects(ran)
    assert ran.status == 3
    assert ran.err.startswith("propchange: 701: The door is blocked")
    assert (fault["kind"], fault["action"], fault["code"]) == ("fault", "MoveDoor", 701)
    assert fault["description"].startswith("The door is blocked")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["Ovn"], "Kitchen has no service 'Ovn'; there are: Oven, Silent; was Oven meant?"),
        (["x"], "Kitchen has no service 'x'; there are: Oven, Silent"),
        (
            ["Oven", "settemperature"],
            "; was SetTemperature meant?",
        ),
        (
            ["Oven", "SetTemperature", "temprature=5"],
            "SetTemperature has no argument 'temprature'; there are: Temperature; was Temperature",
        ),
        (["Oven", "Sleep", "A=5"], "Sleep has no argument 'A'; there are none"),
        (
            ["Oven", "SetTemperature", "180"],
            "'180' is no argument: write NAME=VALUE; there are: Temperature",
        ),
        (
            ["Oven", "SetTemperature", "Temperature=180", "Temperature=185"],
            "Temperature is given twice",
        ),
        (["Oven", "SetTemperature"], "SetTemperature also needs Temperature (ui2)"),
        (
            ["Oven", "Exchange"],
            "Exchange also needs Note (string), Light (boolean)",
        ),
        (
            ["Oven", "SetTemperature", "Temperature=hot\x1b"],
            "Temperature: the text 'hot\\x1b' does not fit ui2, which takes an int from 0 to 65535",
        ),
        (
            ["Oven", "SetTemperature", "Temperature=301"],
            "301 is not allowed, only values from 30 to 300 in steps of 5",
        ),
        (["Oven", "SetTemperature", "Temperature=32"], "32 is not allowed, only values from 30"),
        (["Oven", "MoveDoor", "Door=ajar"], "'ajar' is not allowed, only 'open' or 'closed'"),
    ],
)
def test_what_the_device_does_not_have_is_said_in_one_line_and_nothing_is_sent(
    kitchen: Any, propchange: Propchange, words: list[str], said: str
) -> None:
    ran = propchange("call", kitchen.url, *words)
    assert (ran.status, ran.out) == (2, "")
    assert said in ran.err
    assert ran.err.count("\n") == 1
    assert kitchen.requests.of("POST") == []


@pytest.mark.parametrize("path", ["/", "/Oven/event", "/Oven/scpd.xml"])
def test_another_url_of_a_device_is_answered_with_what_to_give(
    kitchen: Any, propchange: Propchange, path: str
) -> None:
    ran = propchange("call", kitchen.url.replace("/description.xml", path), "Oven")
    assert (ran.status, ran.out) == (1, "")
    assert "; give the URL of a device description, as propchange discover prints it" in ran.err


def test_without_an_action_the_actions_are_listed(kitchen: Any, propchange: Propchange) -> None:
    ran = propchange("call", kitchen.url, "Oven")

    actions = {each["action"]: each for each in objects(ran)}
    assert (ran.status, ran.err) == (0, "")
    assert list(actions) == ["SetTemperature", "MoveDoor", "Exchange", "Sleep"]
    assert [
        (each["name"], each["direction"], each["type"], each["minimum"], each["maximum"])
        for each in actions["SetTemperature"]["arguments"]
    ] == [("Temperature", "in", "ui2", 30, 300), ("Temperature", "out", "ui2", 30, 300)]
    assert actions["MoveDoor"]["arguments"][0]["allowed"] == ["open", "closed"]
    assert actions["Sleep"]["arguments"] == []


def test_without_a_service_those_with_actions_are_listed(
    kitchen: Any, propchange: Propchange
) -> None:
    ran = propchange("call", kitchen.url)

    (service,) = objects(ran)
    assert (ran.status, ran.err) == (0, "")
    assert (service["kind"], service["service"]) == ("service", "Oven")
    assert service["actions"] == ["SetTemperature", "MoveDoor", "Exchange", "Sleep"]


def test_that_there_is_nothing_to_call_is_said(loop: Any, propchange: Propchange) -> None:
    hosted = host(Device("Box", services=[Silent()]), interface="127.0.0.1")
    loop.run(hosted.__aenter__())
    try:
        ran = propchange("call", hosted.description_url)
        assert (ran.status, ran.out) == (1, "")
        assert ran.err == (
            "propchange: no service of Box has actions; "
            "propchange watch prints the events of its services\n"
        )
        ran = propchange("call", hosted.description_url, "Silent")
        assert (ran.status, ran.out) == (1, "")
        assert ran.err == (
            "propchange: Silent has no actions; "
            "propchange call with the URL alone lists the services that have actions\n"
        )
        ran = propchange("call", hosted.description_url, "Silent", "Speak")
        assert (ran.status, ran.out) == (2, "")
        assert "Silent has no action 'Speak'; there are none" in ran.err
    finally:
        loop.run(hosted.close())


@pytest.mark.slow
def test_a_device_is_found_by_its_udn_and_by_its_address(
    kitchen: Any, loop: Any, propchange: Propchange
) -> None:
    announcing = Announcer(kitchen.device, kitchen.url)
    loop.run(announcing.__aenter__())
    try:
        words = ("Oven", "SetTemperature", "Temperature=180", "--interface", "127.0.0.1")
        address = kitchen.url.split("/")[2]
        for target in (kitchen.udn, address):
            ran = propchange("call", target, *words)
            assert (ran.status, ran.err) == (0, "")
            assert objects(ran)[0]["udn"] == kitchen.udn
    finally:
        loop.run(announcing.__aexit__())


def test_two_services_of_one_name_are_told_apart(loop: Any, propchange: Propchange) -> None:
    left, right = Oven(), Oven()
    device = Device(
        "Kitchen",
        devices=[Device("Left", services=[left]), Device("Right", services=[right])],
    )
    hosted = host(device, interface="127.0.0.1")
    loop.run(hosted.__aenter__())
    try:
        ran = propchange("call", hosted.description_url, "Oven", "Sleep")
        assert ran.status == 2
        said, names = ran.err.strip().split("; write: ")
        assert said == "propchange: several services are called Oven"
        for name, temperature in zip(names.split(", "), (100, 200), strict=True):
            words = ("SetTemperature", f"Temperature={temperature}")
            assert propchange("call", hosted.description_url, name, *words).status == 0
        assert (left.temperature, right.temperature) == (100, 200)
    finally:
        loop.run(hosted.close())


def test_no_answer_in_time_is_said(kitchen: Any, propchange: Propchange) -> None:
    ran = propchange("call", kitchen.url, "Oven", "Sleep", "--timeout", "0.2")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.count("\n") == 1
    assert "0.2 s" in ran.err


def test_no_device_is_said(propchange: Propchange) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    ran = propchange("call", f"http://127.0.0.1:{port}/description.xml")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.count("\n") == 1
    ran = propchange("call", "nonsense")
    assert (ran.status, ran.out) == (2, "")
    assert "'nonsense' is no target" in ran.err


@pytest.mark.parametrize("command", ["call", "watch", "bridge"])
@pytest.mark.parametrize(
    "target", ["nonsense", "http://[::1/x", "http://[zz]/x", "h:99999", "uuid:"]
)
def test_what_is_no_target_is_said_in_one_line_with_status_2(
    propchange: Propchange, command: str, target: str
) -> None:
    words = ("--mqtt", "mqtt://127.0.0.1:9") if command == "bridge" else ()
    ran = propchange(command, *words, target)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.count("\n") == 1
    assert target in ran.err


def test_an_option_without_its_argument_names_a_help_that_there_is(propchange: Propchange) -> None:
    ran = propchange("--completion")
    assert ran.status == 2
    assert ran.err.endswith("See propchange --help.\n")


def test_a_terminal_gets_a_line_for_each_out_argument(kitchen: Any, start: Any) -> None:
    own, other = pty.openpty()
    words = ("call", kitchen.url, "Oven", "Exchange", "Note=a", "Light=yes")
    process = start(*words, stdout=other, env=os.environ | {"TERM": "dumb"})
    os.close(other)
    assert process.wait(PATIENCE) == 0
    assert os.read(own, 65_536).decode().splitlines() == [
        f"Note={ESCAPED}",
        "Light=false",
        "ReadyAt=2026-05-01T12:00:00+00:00",
    ]
    os.close(own)


@pytest.mark.slow
def test_a_long_answer_is_printed_whole_for_a_slow_reader(
    kitchen: Any, loop: Any, start: Any
) -> None:
    async def assign() -> None:
        kitchen.oven.note = "x" * 300_000

    loop.run(assign())
    process = start("call", kitchen.url, "Oven", "Exchange", "Note=", "Light=no")
    with pytest.raises(Exception, match="timed out"):
        process.wait(2)
    out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert len(json.loads(out)["arguments"]["Note"]) == 300_000


@pytest.mark.parametrize("reader", ["closed", "gone"])
def test_the_action_is_called_even_if_nobody_reads_the_answer(
    kitchen: Any, start: Any, reader: str
) -> None:
    words = ["call", kitchen.url, "Oven", "SetTemperature", "Temperature=180"]
    if reader == "closed":
        process = start(*words, stdout=None, preexec_fn=lambda: os.close(1))
    else:
        process = start(*words)
        process.stdout.close()
    assert process.wait(PATIENCE) == 0
    assert process.stderr.read() == ""
    assert kitchen.oven.temperature == 180


def test_ctrl_c_does_not_wait_for_the_answer(kitchen: Any, start: Any) -> None:
    process = start("call", kitchen.url, "Oven", "Sleep")
    kitchen.requests.wait_for("POST")
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE / 2) == 130
    assert process.stderr.read() == ""


def test_bytes_of_the_command_line_that_are_no_text_are_refused(kitchen: Any, start: Any) -> None:
    process = start("call", kitchen.url, "Oven", "Exchange", b"Note=\xff", "Light=no")
    assert process.wait(PATIENCE) == 2
    said = process.stderr.read()
    assert "Note" in said
    assert said.count("\n") == 1
    assert kitchen.requests.of("POST") == []


# --- devices that do it wrongly ---

LAMP = "urn:example-org:service:Lamp:1"
SCPD = """<scpd xmlns="urn:schemas-upnp-org:service-1-0"><actionList><action><name>Dim</name>
<argumentList><argument><name>To</name><direction>in</direction>
<relatedStateVariable>Level</relatedStateVariable></argument><argument><name>At</name>
<direction>out</direction><relatedStateVariable>Level</relatedStateVariable></argument><argument>
<name>Lost</name><direction>in</direction><relatedStateVariable>Nowhere</relatedStateVariable>
</argument></argumentList></action></actionList><serviceStateTable>
<stateVariable sendEvents="no"><name>Level</name><dataType>ui2</dataType></stateVariable>
</serviceStateTable></scpd>"""


def service_element(name: str) -> str:
    return (
        f"<service><serviceType>urn:example-org:service:{name}:1</serviceType>"
        f"<serviceId>urn:example-org:serviceId:{name}</serviceId><SCPDURL>/{name}</SCPDURL>"
        "<controlURL>/control</controlURL><eventSubURL></eventSubURL></service>"
    )


DESCRIPTION = (
    '<root xmlns="urn:schemas-upnp-org:device-1-0"><specVersion><major>1</major><minor>0</minor>'
    "</specVersion><device><deviceType>urn:x:device:Y:1</deviceType><friendlyName>Desk"
    "</friendlyName><manufacturer>m</manufacturer><modelName>m</modelName><UDN>uuid:1</UDN>"
    f"<serviceList>{service_element('Broken')}{service_element('Lamp')}</serviceList></device>"
    "</root>"
)


def answer_of(body: bytes, status: int = 200) -> bytes:
    return b"HTTP/1.1 %d X\r\nCONTENT-LENGTH: %d\r\n\r\n" % (status, len(body)) + body


@pytest.fixture
def desk(loop: Any) -> Iterator[Any]:
    """A device that answers POST with ``desk.answer``; empty: it closes the connection."""
    desk = SimpleNamespace(answer=b"", posts=0, is_silent=False)
    documents = {"/": DESCRIPTION, "/Lamp": SCPD}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, path, _ = head.split(" ", 2)
        if method == "POST":
            await reader.readexactly(int(re.findall(r"(?i)content-length: *(\d+)", head)[0]))
            desk.posts += 1
            writer.write(desk.answer)
        else:
            document = documents.get(path, "")
            if desk.is_silent and path != "/":
                await reader.read()  # until the other side gives up
            writer.write(answer_of(document.encode(), 200 if document else 404))
        writer.close()

    server = loop.run(asyncio.start_server(serve, "127.0.0.1", 0))
    desk.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    yield desk
    loop.run(asyncio.wait_for(close(server), PATIENCE))


async def close(server: asyncio.Server) -> None:
    server.close()
    await server.wait_closed()


DIM = ("Lamp", "Dim", "To=5", "Lost=x")


def test_a_service_that_cannot_be_read_is_listed_with_the_reason(
    desk: Any, propchange: Propchange
) -> None:
    ran = propchange("call", desk.url)
    broken, lamp = objects(ran)
    assert ran.status == 0
    assert (broken["service"], broken["actions"]) == ("Broken", None)
    assert "was answered with 404" in broken["problem"]
    assert (lamp["service"], lamp["actions"], lamp["problem"]) == ("Lamp", ["Dim"], None)


def test_what_is_wrong_in_a_service_description_is_listed(
    desk: Any, propchange: Propchange
) -> None:
    ran = propchange("call", desk.url, "Lamp")
    *problems, dim = objects(ran)
    assert ran.status == 0
    assert {each["kind"] for each in problems} == {"problem"}
    assert any("Nowhere" in each["problem"] for each in problems)
    assert [each["name"] for each in dim["arguments"]] == ["To", "At", "Lost"]


@pytest.mark.parametrize(
    ("texts", "arguments", "said"),
    [
        ({"At": "bright\x85"}, {"At": None}, "the text 'bright\\x85' does not fit ui2"),
        ({}, {}, "the out argument At is missing"),
        ({"At": "5", "More": "x"}, {"At": 5, "More": "x"}, "has no out argument 'More'"),
    ],
)
def test_what_is_wrong_in_an_answer_is_said(
    desk: Any,
    propchange: Propchange,
    texts: dict[str, str],
    arguments: dict[str, object],
    said: str,
) -> None:
    desk.answer = answer_of(build_answer(LAMP, "Dim", texts))
    ran = propchange("call", desk.url, *DIM)
    assert objects(ran)[0]["arguments"] == arguments
    assert said in ran.err
    assert (ran.status, ran.err.count("\n")) == (0, 1)


def test_a_call_without_an_answer_is_not_sent_again(desk: Any, propchange: Propchange) -> None:
    ran = propchange("call", desk.url, *DIM)
    assert (ran.status, ran.out, desk.posts) == (1, "", 1)
    assert ran.err.count("\n") == 1


def test_the_time_for_an_answer_is_also_that_for_the_service_description(
    desk: Any, propchange: Propchange
) -> None:
    desk.is_silent = True
    ran = propchange("call", desk.url, *DIM, "--timeout", "0.2")
    assert (ran.status, ran.out, desk.posts) == (1, "", 0)
    assert ran.err.count("\n") == 1
    assert "the service description of Lamp was not read within 0.2 s" in ran.err


def test_a_description_of_a_fault_is_cut_on_the_terminal(desk: Any, propchange: Propchange) -> None:
    desk.answer = answer_of(build_fault(701, "x" * 200_000), 500)
    ran = propchange("call", desk.url, *DIM)
    assert ran.status == 3
    assert ran.err.startswith("propchange: 701: xxx")
    assert len(ran.err) < 5_000
    assert len(objects(ran)[0]["description"]) == 200_000


# --- the command line ---


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Missing argument 'URL'"),
        (["http://127.0.0.1/", "--timeout", "0"], "--timeout"),
        (["http://127.0.0.1/", "--timeout", "nan"], "--timeout"),
    ],
)
def test_a_command_line_without_a_meaning_is_refused(words: list[str], said: str) -> None:
    ran = CliRunner().invoke(call, words)
    assert ran.exit_code == 2
    assert said in ran.output


def test_a_service_of_several_devices_at_one_address_is_named_by_its_device() -> None:
    tv = described("TV", "uuid:1", ("Power", "id:p", "uuid:1"), ("Tuner", "id:t", "uuid:1"))
    box = described("Box", "uuid:2", ("Power", "id:p", "uuid:2"))
    assert service_named([tv, box], "Tuner").device is tv
    with pytest.raises(CommandFailed) as raised:
        service_named([tv, box], "Power")
    said, names = str(raised.value).split("; write: ")
    assert said == "several services are called Power"
    for name, device in zip(names.split(", "), (tv, box), strict=True):
        assert service_named([tv, box], name).device is device
    with pytest.raises(CommandFailed, match="TV and Box have no service 'Powr'; there are: Power"):
        service_named([tv, box], "Powr")


def test_arguments_are_read_by_their_types_in_the_order_of_the_words() -> None:
    kinds = {"A": "i4", "B": "boolean", "C": "string", "D": "bin.hex", "E": "r8"}
    bake = Action("Bake", tuple(Argument(n, "in", StateVariable.of(k)) for n, k in kinds.items()))
    words = ["B=YES", "A=-5", "C=x=y", "D=00ff", "E=1e3"]
    assert read_arguments(bake, words) == {
        "B": True,
        "A": -5,
        "C": "x=y",
        "D": b"\x00\xff",
        "E": 1000.0,
    }


def test_an_error_names_a_bounded_number_of_arguments() -> None:
    many = tuple(Argument(f"A{n}", "in", StateVariable("ui1")) for n in range(5_000))
    with pytest.raises(CommandFailed) as raised:
        read_arguments(Action("Bake", many), [])
    assert len(str(raised.value)) < 2_000
    with pytest.raises(CommandFailed) as raised:
        read_arguments(Action("Bake", many), ["x=1"])
    assert len(str(raised.value)) < 2_000
