from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.values.data_types import DATA_TYPES
from propchange.core.values.state_variables import StateVariable
from propchange.core.wire.mending import problem
from propchange.core.wire.messages import Response
from propchange.core.wire.xml import parse_tree
from propchange.errors import DescriptionError
from propchange.upnp import standard
from propchange.upnp.action_methods import action
from propchange.upnp.actions import Action, Argument
from propchange.upnp.markup import child_text
from propchange.upnp.scpd import ServiceContents, build_scpd, parse_scpd
from propchange.upnp.service import Service

TYPE = "urn:example-org:service:Thermometer:1"
STANDARD = [getattr(standard, name) for name in standard.__all__]


class Thermometer(Service, type=TYPE):
    temperature = StateVariable(
        "r4", initial=20.0, minimum=-40.0, maximum=85.0, step=0.5, multicast=True
    )
    mode = StateVariable("string", initial="auto", allowed=["auto", "<off>"], evented=False)
    volume = StateVariable("ui2", evented="LastChange", minimum=3)
    label = StateVariable("string")


def built(service: Service, uda: str = "1.1") -> str:
    return service.scpd(uda).decode()


def table(variables: str) -> ServiceContents:
    return parse_scpd(
        f"<scpd xmlns='urn:schemas-upnp-org:service-1-0'><serviceStateTable>{variables}"
        "</serviceStateTable></scpd>".encode()
    )


def variable(content: str, attributes: str = "") -> StateVariable[Any]:
    return table(f"<stateVariable {attributes}><name>A</name>{content}</stateVariable>").variables[
        "A"
    ]


# --- writing ---


def test_a_service_description_declares_each_variable() -> None:
    document = built(Thermometer())
    assert document.startswith('<?xml version="1.0" encoding="utf-8"?>\n<scpd xmlns="urn:schemas-')
    assert "<specVersion><major>1</major><minor>1</minor></specVersion>" in document
    assert (
        '<stateVariable sendEvents="yes" multicast="yes"><name>Temperature</name>'
        "<dataType>r4</dataType><defaultValue>20.0</defaultValue><allowedValueRange>"
        "<minimum>-40.0</minimum><maximum>85.0</maximum><step>0.5</step></allowedValueRange>"
        "</stateVariable>"
    ) in document
    assert (
        '<stateVariable sendEvents="no"><name>Mode</name><dataType>string</dataType>'
        "<defaultValue>auto</defaultValue><allowedValueList><allowedValue>auto</allowedValue>"
        "<allowedValue>&lt;off&gt;</allowedValue></allowedValueList></stateVariable>"
    ) in document


@pytest.mark.clause("LC-01")
def test_a_variable_evented_through_last_change_is_declared_as_not_evented() -> None:
    assert '<stateVariable sendEvents="no"><name>Volume</name>' in built(Thermometer())


def test_an_empty_default_is_left_out() -> None:
    document = built(Thermometer())
    assert "<name>Label</name><dataType>string</dataType></stateVariable>" in document


@pytest.mark.parametrize("name", ["date", "dateTime", "dateTime.tz", "time", "time.tz"])
def test_a_date_or_a_time_has_no_default_value(name: str) -> None:
    # async-upnp-client refuses a device that has one.
    service = Service(type=TYPE, variables=[StateVariable.of(name, name="Moment")])
    assert f"<dataType>{name}</dataType></stateVariable>" in built(service)


@pytest.mark.parametrize("name", standard.__all__)
def test_a_description_of_a_standard_has_what_control_points_on_platinum_ask_for(name: str) -> None:
    # Kodi, for example. It ignores a device with a service that lacks one of these.
    root = parse_tree(getattr(standard, name)().scpd(), DEFAULT_LIMITS)
    (table,) = root.all("serviceStateTable")
    variables = {child_text(each, "name") for each in table.children}
    assert variables
    assert all(child_text(each, "dataType") for each in table.children)
    (actions,) = root.all("actionList")
    assert actions.children
    for each in actions.children:
        assert child_text(each, "name")
        for arguments in each.all("argumentList"):
            assert arguments.children
            for argument in arguments.children:
                assert child_text(argument, "name")
                assert child_text(argument, "direction") in ("in", "out")
                assert child_text(argument, "relatedStateVariable") in variables
            assert len([each for each in arguments.children if each.find("retval")]) <= 1


def test_a_range_without_a_step_has_none() -> None:
    percent = StateVariable("ui1", name="Percent", minimum=0, maximum=100)
    document = built(Service(type=TYPE, variables=[percent]))
    assert "<maximum>100</maximum></allowedValueRange>" in document


@pytest.mark.parametrize(
    ("data_type", "given", "written"),
    [
        ("ui1", {"maximum": 100}, (0, 100, None)),
        ("ui2", {"minimum": 30}, (30, 65_535, None)),
        ("i1", {"maximum": 100}, (-128, 100, None)),
        ("i1", {"maximum": 100, "step": 5}, (-125, 100, 5)),
        ("ui1", {"minimum": 1, "step": 5}, (1, 255, 5)),
        ("r4", {"maximum": 100.0}, (None, None, None)),
        ("int", {"maximum": 100}, (None, None, None)),
        ("ui1", {"step": 5}, (None, None, None)),
    ],
)
def test_a_range_with_one_end_has_the_other_end_of_its_integer_type(
    data_type: str, given: dict[str, Any], written: tuple[int | None, ...]
) -> None:
    level = StateVariable.of(data_type, name="Level", **given)
    read = parse_scpd(Service(type=TYPE, variables=[level]).scpd()).variables["Level"]
    assert (read.minimum, read.maximum, read.step) == written
    for value in range(100):
        try:
            level.check(value)
        except ValueError:
            continue
        read.check(value)


@pytest.mark.clause("SCPD-04", "SCPD-05")
def test_a_multicast_variable_is_declared_with_yes_twice_and_others_without() -> None:
    document = built(Thermometer())
    assert document.count('sendEvents="yes" multicast="yes"') == document.count("multicast") == 1


@pytest.mark.clause("MOD-01")
def test_moderation_is_not_declared_in_the_service_description() -> None:
    plain = StateVariable("i4", name="Level")
    moderated = StateVariable("i4", name="Level", minimum_interval=2.0, minimum_delta=5)
    services = [Service(type=TYPE, variables=[variable]) for variable in (plain, moderated)]
    assert services[0].scpd() == services[1].scpd()


@pytest.mark.clause("SCPD-03")
def test_a_1_0_service_description_knows_no_multicast() -> None:
    assert "multicast" not in built(Thermometer(), "1.0")
    assert "<minor>0</minor>" in built(Thermometer(), "1.0")
    assert 'multicast="yes"' in built(Thermometer(), "2.0")


def test_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(ValueError, match="UPnP Device Architecture"):
        Thermometer().scpd("1.2")


def test_a_service_made_of_a_document_is_described_by_that_document() -> None:
    document = Thermometer().scpd("2.0")
    assert Service.from_scpd(document, type=TYPE).scpd("1.0") == document


def test_what_is_written_is_read_again() -> None:
    read = parse_scpd(Thermometer().scpd())
    assert list(read.variables) == ["Temperature", "Mode", "Volume", "Label", "LastChange"]
    evented = [name for name, each in read.variables.items() if each.evented]
    assert evented == ["Temperature", "Label", "LastChange"]
    assert read.problems == ()
    temperature = read.variables["Temperature"]
    assert (temperature.minimum, temperature.maximum, temperature.step) == (-40.0, 85.0, 0.5)
    assert temperature.initial == 20.0
    assert temperature.multicast
    assert read.variables["Mode"].allowed == ("auto", "<off>")


@given(st.sampled_from(sorted(DATA_TYPES)))
def test_every_data_type_is_written_and_read_again(name: str) -> None:
    service = Service(type=TYPE, variables=[StateVariable(name, name="A")])
    read = parse_scpd(service.scpd()).variables["A"]
    assert read.data_type is DATA_TYPES[name]
    assert read.initial == service["A"]


# --- reading ---


@pytest.mark.clause("SCPD-01")
def test_without_send_events_a_variable_is_evented() -> None:
    read = variable("<dataType>i4</dataType>")
    assert read.evented is True
    assert read.multicast is False


@pytest.mark.clause("SCPD-05", "AMB-11")
@pytest.mark.parametrize(
    ("text", "evented"),
    [
        ("yes", True),
        ("YES", True),
        ("1", True),
        ("True", True),
        ("no", False),
        (" No ", False),
        ("0", False),
        ("FALSE", False),
        ("", True),
        ("maybe", True),
    ],
)
def test_flags_are_read_in_words_or_digits(text: str, evented: bool) -> None:
    assert variable("", f"sendEvents='{text}'").evented is evented


@pytest.mark.clause("SCPD-06")
@pytest.mark.parametrize(
    ("attribute", "element", "evented"),
    [("", "no", False), ("", "yes", True), ("", "?", True), ("sendEvents='yes'", "no", True)],
)
def test_the_old_child_element_counts_when_the_attribute_is_absent(
    attribute: str, element: str, evented: bool
) -> None:
    content = f"<sendEventsAttribute>{element}</sendEventsAttribute>"
    assert variable(content, attribute).evented is evented


@pytest.mark.clause("SCPD-04")
def test_what_is_not_evented_is_not_multicast_either() -> None:
    assert variable("", "multicast='1'").multicast is True
    assert variable("", "multicast='no'").multicast is False
    read = table("<stateVariable sendEvents='no' multicast='yes'><name>A</name></stateVariable>")
    assert (read.variables["A"].evented, read.variables["A"].multicast) == (False, False)
    assert "A: multicast was dropped, for it is not evented (UDA 2.0 §2.5)" in read.problems


@pytest.mark.clause("SCPD-03", "SCPD-04")
def test_a_table_knows_its_multicast_variables() -> None:
    variables = parse_scpd(Thermometer().scpd()).variables
    assert [name for name, each in variables.items() if each.multicast] == ["Temperature"]
    assert variables["Temperature"].evented


@pytest.mark.clause("SCPD-05", "SCPD-03", "AMB-11")
@pytest.mark.parametrize(
    ("attribute", "multicast"),
    [
        ("", False),
        ("multicast=''", False),
        ("multicast='maybe'", False),
        ("multicast='No'", False),
        ("multicast='0'", False),
        ("multicast='FALSE'", False),
        ("multicast=' yes '", True),
        ("multicast='1'", True),
        ("multicast='True'", True),
    ],
)
def test_multicast_is_read_in_words_or_digits_and_is_no_by_default(
    attribute: str, multicast: bool
) -> None:
    assert variable("", attribute).multicast is multicast


@pytest.mark.parametrize(
    ("written", "data_type"),
    [("ui4", "ui4"), (" UI4\n", "ui4"), ("datetime.TZ", "dateTime.tz"), ("Boolean", "boolean")],
)
def test_the_case_of_a_data_type_does_not_matter(written: str, data_type: str) -> None:
    assert variable(f"<dataType>{written}</dataType>").data_type.name == data_type


@pytest.mark.parametrize("content", ["", "<dataType/>", "<dataType>xs:octet</dataType>"])
def test_an_unknown_data_type_is_read_as_string(content: str) -> None:
    read = table(f"<stateVariable><name>A</name>{content}</stateVariable>")
    assert read.variables["A"].data_type.name == "string"
    assert len(read.problems) == 1
    assert "is no data type" in read.problems[0]


INT = "<dataType>i4</dataType>"


@pytest.mark.parametrize(
    ("content", "bounds", "initial"),
    [
        ("<minimum>1</minimum><maximum>9</maximum><step>2</step>", (1, 9, 2), 1),
        ("<minimum>1</minimum><maximum>9</maximum><step>0</step>", (1, 9, None), 1),
        ("<minimum>1</minimum><maximum>9</maximum><step>-1</step>", (1, 9, None), 1),
        ("<minimum>low</minimum><maximum>9</maximum><step/>", (None, 9, None), 0),
        ("<minimum>9</minimum><maximum>1</maximum>", (None, None, None), 0),
        ("", (None, None, None), 0),
    ],
)
def test_of_a_range_what_makes_sense_is_kept(
    content: str, bounds: tuple[int | None, ...], initial: int
) -> None:
    read = variable(f"{INT}<allowedValueRange>{content}</allowedValueRange>")
    assert (read.minimum, read.maximum, read.step) == bounds
    assert read.initial == initial


def test_a_range_of_a_type_without_numbers_is_dropped() -> None:
    span = "<allowedValueRange><minimum>1</minimum></allowedValueRange>"
    read = table(f"<stateVariable><name>A</name><dataType>string</dataType>{span}</stateVariable>")
    assert read.variables["A"].minimum is None
    assert read.problems == ("A: a range of string was dropped",)


@pytest.mark.parametrize(
    ("content", "allowed"),
    [
        ("<dataType>string</dataType>", ("on", "off")),
        (INT, None),
    ],
)
def test_a_list_of_allowed_values_is_for_strings(
    content: str, allowed: tuple[str, ...] | None
) -> None:
    listed = (
        "<allowedValueList><allowedValue>on</allowedValue><allowedValue> off\n</allowedValue>"
        "</allowedValueList>"
    )
    assert variable(content + listed).allowed == allowed


def test_an_empty_list_of_allowed_values_is_dropped() -> None:
    read = table(
        "<stateVariable><name>A</name><dataType>string</dataType><allowedValueList/>"
        "</stateVariable>"
    )
    assert read.variables["A"].allowed is None
    assert read.problems == ("A: a list of 0 allowed values was dropped",)


@pytest.mark.parametrize(("default", "initial"), [("<defaultValue>7</defaultValue>", 7), ("", 5)])
def test_the_default_value_is_the_initial_one(default: str, initial: int) -> None:
    span = "<allowedValueRange><minimum>5</minimum><maximum>9</maximum></allowedValueRange>"
    assert variable(INT + default + span).initial == initial


def test_a_default_value_out_of_the_range_is_dropped_and_the_range_kept() -> None:
    span = "<allowedValueRange><minimum>5</minimum><maximum>9</maximum></allowedValueRange>"
    read = variable(f"{INT}<defaultValue>1</defaultValue>{span}")
    assert (read.minimum, read.initial) == (5, 5)


def test_a_range_without_sense_is_dropped_and_the_default_value_kept() -> None:
    span = "<allowedValueRange><minimum>9</minimum><maximum>5</maximum></allowedValueRange>"
    read = variable(f"{INT}<defaultValue>1</defaultValue>{span}")
    assert (read.minimum, read.initial) == (None, 1)


def test_a_default_value_that_does_not_fit_the_type_is_dropped() -> None:
    read = table(
        f"<stateVariable><name>A</name>{INT}<defaultValue>NOT_IMPLEMENTED</defaultValue>"
        "</stateVariable>"
    )
    assert read.variables["A"].initial == 0
    assert "NOT_IMPLEMENTED" in read.problems[0]


def test_a_range_and_a_default_value_that_no_variable_can_have_are_both_dropped() -> None:
    span = "<allowedValueRange><minimum>9</minimum><maximum>5</maximum></allowedValueRange>"
    read = table(
        f"<stateVariable><name>A</name><dataType>i4</dataType>{span}</stateVariable>"
        "<stateVariable><name>B</name><dataType>i4</dataType></stateVariable>"
    )
    assert read.variables["A"].maximum is None
    assert read.variables["B"].initial == 0
    assert any("the minimum 9 is above the maximum 5" in problem for problem in read.problems)


@pytest.mark.clause("XML-09")
def test_variables_without_a_usable_name_and_second_ones_are_dropped() -> None:
    read = table(
        "<stateVariable><dataType>i4</dataType></stateVariable>"
        "<stateVariable><name>two words</name><dataType>i4</dataType></stateVariable>"
        "<stateVariable><name>A</name><dataType>i4</dataType></stateVariable>"
        "<stateVariable><name>A</name><dataType>string</dataType></stateVariable>"
        "<other><name>B</name></other>"
    )
    assert list(read.variables) == ["A"]
    assert read.variables["A"].data_type.name == "i4"
    assert len(read.problems) == 2
    assert read.problems[0].endswith("likewise 'two words'")
    assert read.problems[1] == "the second state variable A was dropped"


def test_problems_of_one_kind_are_one_sentence_with_the_names_of_the_variables() -> None:
    span = "<allowedValueRange><minimum>1</minimum></allowedValueRange>"
    names = [f"V{number}" for number in range(30)]
    read = table(
        "".join(
            f"<stateVariable><name>{name}</name><dataType>{kind}</dataType>{span}</stateVariable>"
            for name, kind in zip(names, ["string", "odd", "boolean"] * 10, strict=True)
        )
        + "<stateVariable><name>V3</name></stateVariable>" * 2
    )
    assert list(read.variables) == names
    assert read.problems == (
        (
            "V0: a range of string was dropped; likewise 'V1', 'V2', 'V3', 'V4', 'V5', 'V6', 'V7', "
            "'V8' and 21 more"
        ),
        (
            "V1: 'odd' is no data type; its values are read as string; likewise 'V4', 'V7', 'V10', "
            "'V13', 'V16', 'V19', 'V22', 'V25' and 1 more"
        ),
        "the second state variable V3 was dropped",
    )


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"", "the service description cannot be read"),
        (b"<scpd>", "the service description cannot be read"),
        (b"<!DOCTYPE scpd []><scpd/>", "document type declaration"),
        (b"<html><body>404</body></html>", "its outermost element is 'html', not 'scpd'"),
        (b"<scpd/>", "has no serviceStateTable"),
    ],
)
def test_what_is_no_service_description_is_refused_in_words(document: bytes, words: str) -> None:
    with pytest.raises(DescriptionError, match=words):
        parse_scpd(document)


def test_the_limits_hold() -> None:
    with pytest.raises(DescriptionError, match="too many elements"):
        parse_scpd(Thermometer().scpd(), Limits(xml_elements=5))


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*DATA_TYPES, "junk"]),
            st.lists(st.sampled_from(["0", "1", "-1", "9", "x", "", "1e400"]), min_size=5),
        ),
        max_size=3,
    )
)
def test_no_service_description_that_is_xml_makes_trouble(
    declared: list[tuple[str, list[str]]],
) -> None:
    parts = []
    for number, (data_type, texts) in enumerate(declared):
        default, minimum, maximum, step, allowed = texts[:5]
        parts.append(
            f"<stateVariable><name>V{number}</name><dataType>{data_type}</dataType>"
            f"<defaultValue>{default}</defaultValue><allowedValueRange>"
            f"<minimum>{minimum}</minimum><maximum>{maximum}</maximum><step>{step}</step>"
            "</allowedValueRange><allowedValueList>"
            f"<allowedValue>{allowed}</allowedValue></allowedValueList></stateVariable>"
        )
    read = table("".join(parts))
    service = Service(type=TYPE, variables=read.variables.values())
    assert len(service._initial_texts()) == len(declared)
    parse_tree(service.scpd(), DEFAULT_LIMITS)


# --- documents that are not well-formed ---


def test_a_service_description_that_is_not_well_formed_is_read_with_its_problems() -> None:
    document = (
        b"\r\n<scpd xmlns='urn:schemas-upnp-org:service-1-0'><serviceStateTable>"
        b"<stateVariable sendEvents=yes><name>A</name><datatype>ui1</dataType>"
        b"<defaultValue>3</defaultValue></stateVariable>"
        b"<stateVariable><name>B</name><dataType>string</dataType>"
        b"<defaultValue>R&D caf\xe9 &nbsp;<3</defaultValue></stateVariable>"
        b"</serviceStateTable></scpd>\n\x9c\xe4\x60\x28"
    )
    read = parse_scpd(document)
    assert read.variables["B"].initial == "R&D caf\xe9 \xa0<3"
    assert read.variables["A"].evented is True
    mended = ("attribute", "end-tag", "encoding", "ampersand", "html-entity", "less-than", "behind")
    assert read.problems[:7] == tuple(problem(f"xml-{name}") for name in mended)


def test_a_service_description_with_two_readings_or_cut_off_is_refused() -> None:
    whole = built(Thermometer())
    for document in (whole[:-10], whole[:200] + "&", whole + "<scpd/>", "<!DOCTYPE a>" + whole):
        with pytest.raises(DescriptionError, match="the service description cannot be read"):
            parse_scpd(document.encode())


# --- actions ---


class Oven(Service, type=TYPE):
    temperature = StateVariable("ui2", maximum=300)
    door = StateVariable("string", allowed=["open", "closed"])

    @action(name="X_Stop")
    def stop(self) -> None: ...

    @action(
        arguments={"wanted": door},
        returns={"NowDoor": door, "NowTemperature": temperature},
        retval=True,
    )
    def move_door(self, wanted: str) -> dict[str, object]:
        return {"NowDoor": wanted, "NowTemperature": 0}


def test_a_service_description_lists_its_actions_before_its_variables() -> None:
    document = built(Oven())
    assert (
        "<actionList><action><name>X_Stop</name></action><action><name>MoveDoor</name>"
        "<argumentList>"
        "<argument><name>Wanted</name><direction>in</direction>"
        "<relatedStateVariable>Door</relatedStateVariable></argument>"
        "<argument><name>NowDoor</name><direction>out</direction><retval/>"
        "<relatedStateVariable>Door</relatedStateVariable></argument>"
        "<argument><name>NowTemperature</name><direction>out</direction>"
        "<relatedStateVariable>Temperature</relatedStateVariable></argument>"
        "</argumentList></action></actionList><serviceStateTable>"
    ) in document


def test_in_arguments_are_listed_before_out_arguments() -> None:
    door = StateVariable("string", name="Door")
    mixed = Action("A", (Argument("O", "out", door), Argument("I", "in", door)))
    read = parse_scpd(build_scpd([door], [mixed])).actions["A"]
    assert [each.name for each in read.arguments] == ["I", "O"]


def test_actions_are_written_and_read_again() -> None:
    oven = Oven()
    read = parse_scpd(oven.scpd())
    assert read.problems == ()
    assert list(read.actions) == ["X_Stop", "MoveDoor"]
    for name, each in oven.actions.items():
        assert argument_rows(read.actions[name]) == argument_rows(each)
    for argument in read.actions["MoveDoor"].arguments:
        assert argument.variable is read.variables[argument.variable.name]


@pytest.mark.parametrize("standard", STANDARD)
def test_the_actions_of_a_standard_are_written_and_read_again(standard: type[Service]) -> None:
    service = standard(on_action=lambda request: Response(500))
    read = parse_scpd(service.scpd())
    assert read.problems == ()
    assert {name: argument_rows(each) for name, each in read.actions.items()} == {
        name: argument_rows(each) for name, each in service.actions.items()
    }


def argument_rows(action: Action) -> list[tuple[str, str, str, bool]]:
    return [(a.name, a.direction, a.variable.name, a.retval) for a in action.arguments]


def actions(content: str, limits: Limits = DEFAULT_LIMITS) -> ServiceContents:
    return parse_scpd(
        f"<scpd xmlns='urn:schemas-upnp-org:service-1-0'>{content}<serviceStateTable>"
        "<stateVariable><name>Target</name><dataType>boolean</dataType></stateVariable>"
        "</serviceStateTable></scpd>".encode(),
        limits,
    )


def one_action(*arguments: str) -> ServiceContents:
    return actions(
        "<actionList><action><name>Do</name><argumentList>"
        + "".join(f"<argument>{each}</argument>" for each in arguments)
        + "</argumentList></action></actionList>"
    )


@pytest.mark.parametrize("content", ["", "<actionList/>", "<actionList></actionList>"])
def test_a_service_without_actions_is_read(content: str) -> None:
    assert actions(content).actions == {}
    assert actions(content).problems == ()


TARGET = "<relatedStateVariable>Target</relatedStateVariable>"


@pytest.mark.parametrize(
    ("argument", "row", "problem"),
    [
        (
            f"<name>A</name>{TARGET}",
            ("A", "in", "Target", False),
            "Do: there is no direction of A, which was read as in",
        ),
        (
            f"<name>A</name><retval/>{TARGET}",
            ("A", "out", "Target", True),
            "Do: there is no direction of A, which was read as out",
        ),
        (
            f"<name>A</name><direction>both</direction>{TARGET}",
            ("A", "in", "Target", False),
            "Do: 'both' is no direction of A, which was read as in",
        ),
        (f"<name>A</name><direction> OUT </direction>{TARGET}", ("A", "out", "Target", False), ""),
        (
            f"<name>A</name><direction>in</direction><retval/>{TARGET}",
            ("A", "in", "Target", False),
            "",
        ),
        (
            "<name>A</name><direction>in</direction>",
            ("A", "in", "A", False),
            "Do: A lacks a related state variable, and is read as string",
        ),
        (
            "<name>A</name><direction>in</direction><relatedStateVariable>B</relatedStateVariable>",
            ("A", "in", "A", False),
            "Do: A lacks its state variable 'B', and is read as string",
        ),
        (
            f"<name>A</name><direction>in</direction>{TARGET.replace('Target', 'TARGET')}",
            ("A", "in", "Target", False),
            "",
        ),
    ],
)
def test_an_argument_is_read_leniently(
    argument: str, row: tuple[str, str, str, bool], problem: str
) -> None:
    read = one_action(argument)
    assert argument_rows(read.actions["Do"]) == [row]
    assert read.problems == ((problem,) if problem else ())
    related = read.actions["Do"].arguments[0].variable
    assert related.data_type.name == ("boolean" if row[2] == "Target" else "string")


def test_arguments_without_a_name_and_second_ones_are_dropped() -> None:
    into, out = (f"<direction>{each}</direction>{TARGET}" for each in ("in", "out"))
    read = one_action(
        f"<name>A</name>{into}", f"<name>A</name>{into}", f"<name>A</name>{out}", into, "<name/>"
    )
    assert [row[:2] for row in argument_rows(read.actions["Do"])] == [("A", "in"), ("A", "out")]
    assert read.problems == (
        "Do: the second argument A was dropped",
        "Do: an argument was dropped: '' cannot be the name of an XML element",
    )


def test_actions_without_a_name_and_second_ones_are_dropped() -> None:
    read = actions(
        "<actionList><action/><action><name>a b</name></action><action><name>Do</name></action>"
        "<action><name>Do</name></action></actionList><actionList><action><name>Stop</name>"
        "</action></actionList>"
    )
    assert list(read.actions) == ["Do", "Stop"]
    assert read.problems == (
        "an action was dropped: '' cannot be the name of an XML element; likewise 'a b'",
        "the second action Do was dropped",
    )


def test_a_description_may_not_have_actions_without_end() -> None:
    three = "".join(f"<action><name>A{number}</name></action>" for number in range(3))
    read = actions(
        f"<actionList>{three}</actionList>", replace(DEFAULT_LIMITS, actions_per_service=2)
    )
    assert list(read.actions) == ["A0", "A1"]
    assert read.problems == ("A2 and all actions behind it were dropped: there are more than 2",)


def test_an_action_may_not_have_arguments_without_end() -> None:
    many = [
        f"<name>A{number}</name><direction>in</direction>{TARGET}"
        for number in range(DEFAULT_LIMITS.action_arguments + 2)
    ]
    read = one_action(*many)
    assert len(read.actions["Do"].arguments) == DEFAULT_LIMITS.action_arguments
    assert read.problems == ("Do: arguments beyond 128 were dropped",)


def test_the_problems_of_many_actions_are_one_sentence() -> None:
    each = f"<argumentList><argument><name>A</name>{TARGET}</argument></argumentList>"
    read = actions(
        "<actionList>"
        + "".join(f"<action><name>Do{number}</name>{each}</action>" for number in range(3))
        + "</actionList>"
    )
    assert read.problems == (
        "Do0: there is no direction of A, which was read as in; likewise 'Do1', 'Do2'",
    )
