"""Lines of text assign to the variables of a device."""

from __future__ import annotations

import contextlib
import datetime
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.values.lastchange import parse_lastchange
from propchange.core.values.state_variables import StateVariable
from propchange.upnp.assignments import MOST_KEYS, Assignments, names_in_lines
from propchange.upnp.device import Device, place_device
from propchange.upnp.service import Service
from propchange.upnp.standard import RenderingControl
from tests.work import seconds, steps


class Player(Service, type="urn:a-b:service:Player:1"):
    track = StateVariable("ui2", maximum=99)
    title = StateVariable("string")
    price = StateVariable("fixed.14.4")
    ratio = StateVariable("r4")
    started = StateVariable("dateTime.tz")
    mode = StateVariable("string", allowed=["on", "off"])
    hours = StateVariable("ui4", evented=False)
    dotted = StateVariable("ui1", name="X.Y")


class Sink:
    """Keeps the events of a service."""

    def __init__(self) -> None:
        self.events: list[dict[str, str]] = []

    def check_caller(self) -> None: ...

    def publish(self, changes: dict[str, str]) -> None:
        self.events.append(changes)

    def when_turn_ends(self, callback: Callable[[], None]) -> Callable[[], object]:
        return lambda: None


class Hosted:
    """A device with a Player, a RenderingControl and two thermometers, and its events."""

    def __init__(self) -> None:
        self.player, self.radio = Player(), RenderingControl()
        thermometer = "urn:a-b:service:Thermometer:1"
        self.warm, self.cold = (
            Service(type=thermometer, variables=[StateVariable("r4", name="Temperature")])
            for _ in range(2)
        )
        inner = Device("Inner", services=[self.cold])
        device = Device("Outer", services=[self.player, self.radio, self.warm], devices=[inner])
        self.placed = place_device(device, "x")
        self.assignments = Assignments(self.placed)
        self.sinks = {each: Sink() for each in (self.player, self.radio, self.warm, self.cold)}
        for service, sink in self.sinks.items():
            service._attach_sink(sink)

    def apply(self, line: str) -> None:
        self.assignments.apply(line)

    def events_of(self, service: Service) -> list[dict[str, str]]:
        return self.sinks[service].events

    @property
    def event_count(self) -> int:
        return sum(len(sink.events) for sink in self.sinks.values())


@pytest.fixture
def hosted() -> Hosted:
    return Hosted()


LINES = [
    ("Player.Track=13", "Track", 13),
    ("  Player.Track = 13  ", "Track", 13),
    ("Track=13", "Track", 13),
    ("urn:a-b:serviceId:Player.Track=13", "Track", 13),
    ("Player.Track=\t13", "Track", 13),
    ('Track="13"', "Track", 13),
    ('{"Player": {"Track": 13}}', "Track", 13),
    ('{"Track": 13}', "Track", 13),
    ('{"Player.Track": 13}', "Track", 13),
    ('{"Track": "13"}', "Track", 13),
    ("Title=a=b", "Title", "a=b"),
    ("Title=two words", "Title", "two words"),
    ("Title=it's", "Title", "it's"),
    ('Title="  kept\\n"', "Title", "  kept\n"),
    ('Title="\\u00e9"', "Title", "é"),
    ('{"Title": "13"}', "Title", "13"),
    ("X.Y=5", "X.Y", 5),
    ("Player.X.Y=5", "X.Y", 5),
    ("Ratio=1.5", "Ratio", 1.5),
    ('{"Ratio": 1.5}', "Ratio", 1.5),
    ('{"Ratio": 2}', "Ratio", 2.0),
    ("Mode=off", "Mode", "off"),
]


@pytest.mark.parametrize(("line", "name", "value"), LINES)
def test_a_line_sets_a_variable_and_is_one_event(
    hosted: Hosted, line: str, name: str, value: object
) -> None:
    hosted.apply(line)

    assert hosted.player[name] == value
    assert hosted.events_of(hosted.player) == [{name: hosted.player.variables[name].format(value)}]


def test_a_value_of_json_keeps_its_digits(hosted: Hosted) -> None:
    hosted.apply('{"Price": 0.1234}')
    assert hosted.events_of(hosted.player) == [{"Price": "0.1234"}]


def test_a_time_is_a_text(hosted: Hosted) -> None:
    hosted.apply('{"Started": "2026-05-01T12:00:00+00:00"}')
    assert hosted.player.started == datetime.datetime(2026, 5, 1, 12, tzinfo=datetime.UTC)


@pytest.mark.parametrize("line", ["Title=", 'Title=""', '{"Title": ""}'])
def test_a_value_may_be_empty(hosted: Hosted, line: str) -> None:
    hosted.player.title = "x"
    hosted.apply(line)
    assert hosted.player.title == ""


@pytest.mark.parametrize("line", ["", "   ", "# Track=5", "{}", "Track=0", "Hours=3"])
def test_a_line_that_changes_no_evented_variable_is_no_event(hosted: Hosted, line: str) -> None:
    hosted.apply(line)
    assert hosted.event_count == 0


def test_several_variables_of_a_line_are_one_event_of_each_service(hosted: Hosted) -> None:
    hosted.apply('{"Player": {"Track": 3, "Title": "x"}, "Mute": true, "Volume": 7}')

    assert hosted.events_of(hosted.player) == [{"Track": "3", "Title": "x"}]
    assert len(hosted.events_of(hosted.radio)) == 1
    assert (hosted.radio.mute, hosted.radio.volume) == (True, 7)


@pytest.mark.parametrize(
    "line",
    [
        '{"Player": {"Title": "x", "Track": 100}}',
        '{"Volume": 7, "Player": {"Title": "x", "Track": "many"}}',
        '{"Title": "x", "Nothing": 1}',
        '{"Title": "x", "Volume[1]": 1, "Volume[0,LF]": 101}',
    ],
)
def test_a_line_with_one_mistake_changes_nothing(hosted: Hosted, line: str) -> None:
    before = [dict(service.values) for service in hosted.sinks]
    with pytest.raises(ValueError, match=r"is not allowed|does not fit|no service has"):
        hosted.apply(line)

    assert [dict(service.values) for service in hosted.sinks] == before
    assert hosted.radio.instances == (0,)
    assert hosted.event_count == 0


# --- instances ---


def entries_of(event: dict[str, str]) -> set[tuple[int, str, str | None, str]]:
    entries = parse_lastchange(event["LastChange"]).entries
    return {(each.instance, each.variable, each.channel, each.text) for each in entries}


def test_a_channel_and_an_instance_are_in_brackets(hosted: Hosted) -> None:
    hosted.apply("RenderingControl.Volume[0,LF]=12")
    hosted.apply("Volume[0]=13")
    hosted.apply("Brightness[1]=7")

    first, second, third = map(entries_of, hosted.events_of(hosted.radio))
    assert first == {(0, "Volume", "LF", "12")}
    assert second == {(0, "Volume", "Master", "13")}
    assert (1, "Brightness", None, "7") in third
    assert (1, "Volume", "Master", "0") in third  # the instance was added


def test_the_names_are_those_of_the_events_that_watch_prints(hosted: Hosted) -> None:
    hosted.apply('{"RenderingControl": {"Volume": 5, "Volume[0,LF]": 6, "Mute[1]": true}}')

    (event,) = map(entries_of, hosted.events_of(hosted.radio))
    wanted = {
        (0, "Volume", "Master", "5"),
        (0, "Volume", "LF", "6"),
        (1, "Mute", "Master", "1"),
    }
    assert wanted <= event


def test_lines_that_count_instances_or_channels_upwards_are_refused_at_a_cap(
    hosted: Hosted,
) -> None:
    for number in range(MOST_KEYS // 2):
        hosted.apply(f"Volume[{number}]=1")
        hosted.apply(f"Volume[0,C{number}]=1")
    for number in range(MOST_KEYS, 2 * MOST_KEYS):
        for line in (f"Volume[{number}]=1", f"Volume[0,C{number}]=1"):
            with pytest.raises(ValueError, match="no more are added"):
                hosted.apply(line)
    assert len(hosted.radio.instances) == MOST_KEYS // 2
    hosted.apply("Volume[0,C0]=2")  # what is there can be set


# --- mistakes ---

BAD = {
    "Track": "'Track' has no =; an assignment is such as Player.Track=0",
    "Track=100": "Track: 100 is not allowed, only values to 99",
    "Track=x": "Track: the text 'x' does not fit ui2",
    "Track=": "Track: the text '' does not fit ui2",
    "Mode=x": "Mode: 'x' is not allowed, only 'on' or 'off'",
    "Trakc=1": "no service has a variable 'Trakc'; was Track meant?",
    "Player.Trakc=1": "Player has no variable 'Trakc'; was Track meant?",
    "Player.Q=1": "Player has no variable 'Q'; there are: Track, Title,",
    "Playr.Track=1": "there is no service 'Playr'; was Player meant?",
    "Qqq.Track=1": "there is no service 'Qqq'; there are: Player, RenderingControl, urn:",
    "=1": "no service has a variable ''",
    ".=1": "there is no service ''",
    "Temperature=1": "several services have a variable Temperature: write urn:a-b:serviceId:Thermo",
    "Thermometer.Temperature=1": "several services are called Thermometer: write urn:a-b:serviceId",
    'Title="x': "Title: a value in quotes is a string of JSON, not",
    'Title="x" y': "Title: a value in quotes is a string of JSON, not",
    "Title=a\x00b": "Title: ",
    "Track[0]=1": "Track has no instances: write Player.Track alone",
    "Volume[x]=1": "'Volume[x]' names no variable",
    "Volume[]=1": "'Volume[]' names no variable",
    "Volume[0,]=1": "'Volume[0,]' names no variable",
    "Volume[9999999999]=1": "9999999999 does not fit ui4",
    "Brightness[0,LF]=1": "Brightness has no channels",
    "LastChange=x": "LastChange is made of the other variables",
    "LastChange[0]=x": "LastChange has no instances",
    "{": "it is not JSON: ",
    '{"Track"}': "it is not JSON: Expecting ':' delimiter at character 9",
    '{"Track": 1,}': "it is not JSON: ",
    '{"Track": 1} x': "it is not JSON: ",
    '{"Track": NaN}': "NaN is not JSON",
    '{"Track": 1, "Track": 2}': "'Track' is in the object twice",
    '{"Track": null}': "Track: None does not fit ui2",
    '{"Track": [1]}': "Track: [1] does not fit ui2",
    '{"Track": true}': "Track: True does not fit ui2",
    '{"Track": 1.5}': "Track: 1.5 does not fit ui2",
    '{"Track": "x"}': "Track: the text 'x' does not fit ui2",
    '{"Player": {"Track": {}}}': "Track: {} does not fit ui2",
    '{"Playr": {"Track": 1}}': "there is no service 'Playr'; was Player meant?",
    '{"Track": ' + "[" * 100_000: "the JSON is nested too deep",
    '{"Track": ' + "9" * 5_000 + "}": "Exceeds the limit",
}


@pytest.mark.parametrize(("line", "problem"), BAD.items(), ids=range(len(BAD)))
def test_a_wrong_line_says_what_is_wrong(hosted: Hosted, line: str, problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)) as refused:
        hosted.apply(line)
    assert str(refused.value).startswith(problem)
    assert len(str(refused.value)) < 400
    assert hosted.event_count == 0


@given(st.text(max_size=40) | st.text(alphabet='{}[]",.:=0 Track', max_size=40))
def test_any_line_is_an_assignment_or_a_mistake(line: str) -> None:
    with contextlib.suppress(ValueError):
        Hosted().apply(line)


@pytest.mark.parametrize(
    "piece", [".", "a.", "Player.", "[", "]", "0,", "{", '{"', "=", '"', "\\", " "]
)
@pytest.mark.parametrize(
    ("before", "after"),
    [("", ""), ("", "=1"), ("Track=", ""), ('{"', '": 1}'), ('{"Player": {"', '": 1}}'), ("{", "")],
)
def test_a_line_of_junk_costs_linear_time(
    hosted: Hosted, piece: str, before: str, after: str
) -> None:
    def apply(size: int) -> None:
        with contextlib.suppress(ValueError):
            hosted.apply(before + piece * size + after)

    apply(1_000)
    assert steps(lambda: apply(40_000)) < 6 * steps(lambda: apply(10_000)) + 1_000
    assert seconds(lambda: apply(200_000)) < 8 * seconds(lambda: apply(50_000)) + 0.02


# --- names ---


def test_two_services_of_one_name_have_their_serviceid_for_a_name(hosted: Hosted) -> None:
    assert list(names_in_lines(hosted.placed).values()) == [
        "Player",
        "RenderingControl",
        "urn:a-b:serviceId:Thermometer",
        "urn:a-b:serviceId:Thermometer2",
    ]
    hosted.apply("urn:a-b:serviceId:Thermometer.Temperature=1.5")
    hosted.apply('{"urn:a-b:serviceId:Thermometer2": {"Temperature": 2.5}}')
    assert (hosted.warm["Temperature"], hosted.cold["Temperature"]) == (1.5, 2.5)
    hosted.apply("Thermometer2.Temperature=3.5")
    assert (hosted.warm["Temperature"], hosted.cold["Temperature"]) == (1.5, 3.5)


def test_a_device_without_variables_has_no_example() -> None:
    placed = place_device(Device("Empty"), "x")
    assert Assignments(placed).example == ""
    with pytest.raises(ValueError, match=r"such as Service\.Variable=value"):
        Assignments(placed).apply("x")
