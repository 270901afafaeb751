from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pytest

from propchange.core.values.state_variables import StateVariable
from propchange.core.wire.messages import Request, Response
from propchange.errors import DescriptionError
from propchange.upnp.service import Service
from tests.upnp.sinks import Sink

TYPE = "urn:example-org:service:Thermometer:1"


class Thermometer(Service, type=TYPE):
    temperature = StateVariable("r4", initial=20.0, maximum=100.0)
    alarm = StateVariable("boolean", initial=False)
    calibration = StateVariable("i4", evented=False)


class RecordingSink(Sink):
    def when_turn_ends(self, callback: Callable[[], None]) -> Callable[[], None]:
        raise AssertionError("no batch is opened here")


def hosted() -> tuple[Thermometer, RecordingSink]:
    thermometer, sink = Thermometer(), RecordingSink()
    thermometer._attach_sink(sink)
    return thermometer, sink


# --- declaring ---


def test_a_misspelt_variable_is_an_error_and_another_attribute_is_none() -> None:
    class Lamp(Thermometer):
        shade = 1

        def __init__(self) -> None:
            super().__init__()
            self.sensor = "i2c"
            self.alarms = 0

    lamp = Lamp()
    with pytest.raises(
        AttributeError,
        match=r"^Lamp has no state variable 'temprature'; was 'temperature' meant\?$",
    ):
        lamp.temprature = 3.0  # type: ignore[attr-defined]  # it is not there
    with pytest.raises(AttributeError, match="no state variable 'Alarm'; was 'alarm' meant"):
        lamp.Alarm = True  # type: ignore[attr-defined]  # it is not there
    assert not hasattr(lamp, "temprature")
    lamp.shade, lamp.sensor, lamp._temperatur = 2, "1-wire", 3  # type: ignore[attr-defined]  # new
    lamp.room = "kitchen"  # type: ignore[attr-defined]  # an attribute of the program
    lamp.temperature = 21.5
    assert (lamp.temperature, lamp.shade, lamp.sensor) == (21.5, 2, "1-wire")
    assert lamp.values["Temperature"] == 21.5


def test_a_service_has_the_variables_of_its_class_in_order() -> None:
    thermometer = Thermometer()
    assert list(thermometer.variables) == ["Temperature", "Alarm", "Calibration"]
    assert thermometer.evented == ("Temperature", "Alarm")
    assert thermometer.values == {"Temperature": 20.0, "Alarm": False, "Calibration": 0}
    assert thermometer.service_type == TYPE
    assert repr(thermometer) == f"<Thermometer {TYPE}>"


@pytest.mark.clause("SUB-01")
def test_a_service_without_evented_variables_has_no_eventing() -> None:
    service = Service(type=TYPE, variables=[StateVariable("i4", name="A", evented=False)])
    assert service.evented == ()
    assert service._initial_texts() == {}


@pytest.mark.clause("LC-02")
def test_a_variable_evented_through_last_change_has_no_event_of_its_own() -> None:
    service = Service(type=TYPE, variables=[StateVariable("i4", name="A", evented="LastChange")])
    assert service.evented == ("LastChange",)


def test_two_instances_do_not_share_values() -> None:
    first, second = Thermometer(), Thermometer()
    first.temperature = 25.0
    assert second.temperature == 20.0


def test_a_subclass_inherits_type_id_and_variables_and_can_override_them() -> None:
    class Plain(Thermometer):
        humidity = StateVariable("ui1")
        temperature = StateVariable("r8", initial=1.0)

    class Second(Plain, type="urn:example-org:service:Thermometer:2", id="urn:x:serviceId:Y"):
        alarm = None  # type: ignore[assignment]  # a subclass may do without a variable

    class Third(Second):
        pass

    assert list(Plain().variables) == ["Temperature", "Alarm", "Calibration", "Humidity"]
    assert Plain().service_type == TYPE
    assert Plain().temperature == 1.0
    assert list(Third().variables) == ["Temperature", "Calibration", "Humidity"]
    assert Third().service_type == "urn:example-org:service:Thermometer:2"
    assert Third().service_id == "urn:x:serviceId:Y"


def test_the_attributes_of_a_users_subclass_do_not_clash_with_those_of_service() -> None:
    class Busy(Thermometer):
        def __init__(self) -> None:
            super().__init__()
            self._values = self._type = self._sink = self._batch = self._id = "mine"

    busy = Busy()
    busy.temperature = 3.0
    assert busy.temperature == 3.0


def test_a_service_is_made_at_run_time_of_a_type_and_variables() -> None:
    service = Service(type=TYPE, variables=[StateVariable("string", name="Label", initial="a")])
    service["Label"] = "b"
    assert service["Label"] == "b"
    assert "Label" in service
    assert "label" not in service
    assert list(service) == ["Label"]


def test_variables_at_run_time_are_added_to_those_of_the_class() -> None:
    thermometer = Thermometer(variables=[StateVariable("string", name="Label")])
    assert list(thermometer) == ["Temperature", "Alarm", "Calibration", "Label"]


def test_a_variable_at_run_time_needs_a_name() -> None:
    with pytest.raises(ValueError, match="needs a name="):
        Service(type=TYPE, variables=[StateVariable("string")])


def test_two_variables_at_run_time_cannot_have_the_same_name() -> None:
    with pytest.raises(ValueError, match=r"two variables of .* are called Temperature"):
        Thermometer(variables=[StateVariable("string", name="Temperature")])


def test_two_attributes_cannot_have_the_same_wire_name() -> None:
    with pytest.raises(TypeError, match="two variables of Twice are called Level"):

        class Twice(Service, type=TYPE):
            level = StateVariable("i4")
            niveau = StateVariable("i4", name="Level")


@pytest.mark.clause("XML-09")
def test_a_name_that_cannot_be_an_xml_element_is_refused() -> None:
    with pytest.raises(ValueError, match="XML element"):
        Service(type=TYPE, variables=[StateVariable("i4", name="two words")])
    with pytest.raises(ValueError, match="XML element"):

        class Odd(Service, type=TYPE):
            a = StateVariable("i4", name="1st")


def test_an_attribute_cannot_take_a_name_of_service_itself() -> None:
    with pytest.raises(TypeError, match="'values' is a name of Service itself"):

        class Shadow(Service, type=TYPE):
            values = StateVariable("i4")  # type: ignore[assignment]  # the mistake under test


def test_a_service_needs_a_type() -> None:
    class Untyped(Service):
        pass

    with pytest.raises(TypeError, match="a service needs a type"):
        Untyped()
    assert Untyped(type=TYPE).service_type == TYPE


@pytest.mark.parametrize(
    "wrong",
    ["", "Thermometer", "urn:example-org:device:Thermometer:1", TYPE + "\n", TYPE[:-1] + "x"],
)
def test_what_is_no_service_type_is_refused_at_the_declaration(wrong: str) -> None:
    with pytest.raises(ValueError, match="is not the type of a service"):

        class Wrong(Service, type=wrong):
            pass

    with pytest.raises(ValueError, match="is not the type of a service"):
        Service(type=wrong)


def test_a_service_id_that_is_given_is_kept() -> None:
    service = Thermometer(id="urn:upnp-org:serviceId:urn:schemas-upnp-org:service:T")
    assert service.service_id == "urn:upnp-org:serviceId:urn:schemas-upnp-org:service:T"
    assert service._has_own_id
    with pytest.raises(ValueError, match="is not a serviceId"):
        Thermometer(id="two words")


def test_on_action_is_a_callable_or_a_method() -> None:
    request = Request("POST", "/", [])

    class Acting(Thermometer):
        def on_action(self, request: Request) -> Response:
            return Response(200)

    def answer(request: Request) -> Response:
        return Response(201)

    assert Thermometer().on_action is None
    given = Thermometer(on_action=answer).on_action
    assert given is answer
    acted = Acting().on_action(request)
    assert acted.status == 200


def test_a_service_is_made_of_a_service_description_and_keeps_it() -> None:
    document = (
        b"<scpd><serviceStateTable><stateVariable sendEvents='yes'><name>Volume</name>"
        b"<dataType>ui2</dataType><defaultValue>7</defaultValue></stateVariable>"
        b"</serviceStateTable></scpd>"
    )
    service = Service.from_scpd(document, type=TYPE)
    assert service["Volume"] == 7
    assert service.scpd() == document
    with pytest.raises(ValueError, match="Volume"):
        service["Volume"] = 70_000
    with pytest.raises(DescriptionError):
        Service.from_scpd(b"<html/>", type=TYPE)


# --- values ---


def test_an_unknown_variable_is_a_key_error_that_lists_the_known_ones() -> None:
    thermometer = Thermometer()
    with pytest.raises(KeyError, match="'Humidity'; there are: Temperature, Alarm, Calibration"):
        thermometer["Humidity"]
    with pytest.raises(KeyError, match="'Humidity'"):
        thermometer["Humidity"] = 3
    with pytest.raises(KeyError, match="there are: none"):
        Service(type=TYPE)["Humidity"]


def test_before_it_is_hosted_an_assignment_only_sets_the_value() -> None:
    thermometer = Thermometer()
    assert not thermometer.hosted
    thermometer.temperature = 21.5
    assert thermometer.temperature == thermometer["Temperature"] == 21.5


def test_a_hosted_assignment_is_one_event() -> None:
    thermometer, sink = hosted()
    assert thermometer.hosted
    thermometer.temperature = 21.5
    thermometer["Alarm"] = True
    assert sink.published == [{"Temperature": "21.5"}, {"Alarm": "1"}]


@pytest.mark.clause("EVT-07")
def test_an_equal_value_sends_nothing() -> None:
    thermometer, sink = hosted()
    thermometer.temperature = 20
    thermometer.alarm = False
    assert sink.published == []


@pytest.mark.clause("EVT-06")
def test_a_change_is_told_whatever_made_it() -> None:
    thermometer, sink = hosted()

    def set_temperature(action: Request) -> Response:
        thermometer["Temperature"] = float(action.body)
        return Response(200)

    thermometer.on_action = set_temperature
    thermometer.temperature = 21.0
    thermometer["Temperature"] = 22.0
    thermometer.on_action(Request("POST", "/Thermometer/control", (), b"23"))
    assert sink.published == [{"Temperature": text} for text in ("21.0", "22.0", "23.0")]


def test_the_same_moment_in_another_time_zone_is_another_value() -> None:
    clock = StateVariable("dateTime.tz", name="Clock")
    service, sink = Service(type=TYPE, variables=[clock]), RecordingSink()
    service["Clock"] = datetime.datetime(2024, 1, 1, 12, tzinfo=datetime.UTC)
    service._attach_sink(sink)
    moved = datetime.datetime(2024, 1, 1, 13, tzinfo=datetime.timezone(datetime.timedelta(hours=1)))
    service["Clock"] = moved
    service["Clock"] = moved
    assert sink.published == [{"Clock": "2024-01-01T13:00:00+01:00"}]


@pytest.mark.clause("SCPD-01")
def test_a_variable_that_is_not_evented_is_set_and_not_sent() -> None:
    thermometer, sink = hosted()
    thermometer.calibration = 3
    assert thermometer.calibration == 3
    assert sink.published == []


@pytest.mark.parametrize("wrong", ["warm", None, 100.5, float("nan")])
def test_a_bad_value_raises_and_nothing_is_sent(wrong: Any) -> None:
    thermometer, sink = hosted()
    with pytest.raises((TypeError, ValueError), match="Temperature"):
        thermometer.temperature = wrong
    assert thermometer.temperature == 20.0
    assert sink.published == []


def test_an_assignment_from_another_thread_changes_nothing() -> None:
    thermometer, sink = hosted()
    sink.refuse_caller = RuntimeError("use loop.call_soon_threadsafe")
    with pytest.raises(RuntimeError, match="call_soon_threadsafe"):
        thermometer.temperature = 30.0
    with pytest.raises(RuntimeError, match="call_soon_threadsafe"), thermometer.batch():
        raise AssertionError("the batch must not be entered")
    assert thermometer.temperature == 20.0
    assert sink.published == []


def test_when_publishing_fails_the_value_is_as_before() -> None:
    thermometer, sink = hosted()
    sink.refuse = RuntimeError("closed")
    with pytest.raises(RuntimeError, match="closed"):
        thermometer.temperature = 30.0
    assert thermometer.temperature == 20.0
    sink.refuse = None
    thermometer.temperature = 30.0
    assert sink.published == [{"Temperature": "30.0"}]


def test_while_it_is_published_a_value_is_already_the_current_one() -> None:
    thermometer, sink = hosted()
    seen: list[dict[str, str]] = []
    sink.during = lambda: seen.append(thermometer._initial_texts())
    thermometer.temperature = 30.0
    assert seen == [{"Temperature": "30.0", "Alarm": "0"}]


@pytest.mark.clause("SUB-01")
def test_the_initial_texts_are_those_of_all_evented_variables() -> None:
    thermometer = Thermometer()
    thermometer.alarm = True
    assert thermometer._initial_texts() == {"Temperature": "20.0", "Alarm": "1"}


def test_a_service_is_hosted_once() -> None:
    thermometer, _ = hosted()
    with pytest.raises(RuntimeError, match="is hosted already"):
        thermometer._attach_sink(RecordingSink())


def test_after_detach_an_assignment_only_sets_the_value() -> None:
    thermometer, sink = hosted()
    thermometer._detach_sink()
    thermometer._detach_sink()
    thermometer.temperature = 30.0
    assert sink.published == []
    again = RecordingSink()
    thermometer._attach_sink(again)
    thermometer.temperature = 31.0
    assert again.published == [{"Temperature": "31.0"}]
