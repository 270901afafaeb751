"""Calls, answers and faults: exact where they are written, lenient where they are read."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.wire.xml import FORBIDDEN
from propchange.errors import ActionError, RemoteProtocolError
from propchange.upnp import soap
from propchange.upnp.soap import (
    Answer,
    Call,
    build_answer,
    build_call,
    build_fault,
    format_soapaction,
    parse_answer,
    parse_call,
    parse_soapaction,
)

TYPE = "urn:schemas-upnp-org:service:SwitchPower:1"
HEAD = (
    '<?xml version="1.0"?>\n<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
    's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>'
)
TAIL = "</s:Body></s:Envelope>"


def in_envelope(inside: str) -> bytes:
    return f"{HEAD}{inside}{TAIL}".encode()


def call_with(arguments: str) -> bytes:
    return in_envelope(f'<u:SetTarget xmlns:u="{TYPE}">{arguments}</u:SetTarget>')


def answer_with(arguments: str) -> bytes:
    return in_envelope(f'<u:GetXResponse xmlns:u="{TYPE}">{arguments}</u:GetXResponse>')


def fault_with(detail: str, reason: str = "UPnPError") -> bytes:
    return in_envelope(
        f"<s:Fault><faultcode>s:Client</faultcode><faultstring>{reason}</faultstring>"
        f"<detail>{detail}</detail></s:Fault>"
    )


def error_of(body: bytes, status: int = 500) -> ActionError:
    with pytest.raises(ActionError) as caught:
        parse_answer(body, status, "GetX")
    return caught.value


# --- what is written ---


def test_a_call_has_the_form_of_the_architecture() -> None:
    assert build_call(TYPE, "SetTarget", {"newTargetValue": "1"}) == call_with(
        "<newTargetValue>1</newTargetValue>"
    )


def test_an_answer_is_named_after_its_action() -> None:
    assert build_answer(TYPE, "GetX", {"A": "1", "B": ""}) == answer_with("<A>1</A><B></B>")


def test_a_fault_has_the_form_of_the_architecture() -> None:
    assert build_fault(701, "Blocked & shut") == fault_with(
        '<UPnPError xmlns="urn:schemas-upnp-org:control-1-0"><errorCode>701</errorCode>'
        "<errorDescription>Blocked &amp; shut</errorDescription></UPnPError>"
    )


def test_there_is_a_fault_for_every_description() -> None:
    assert error_of(build_fault(701, "a\0\ud800<b>")).description == "a��<b>"


@pytest.mark.parametrize("name", ["", "a b", "u:SetTarget", "1", "a/", "a><b"])
def test_a_name_that_is_no_xml_name_is_not_written(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name"):
        build_call(TYPE, name, {})
    with pytest.raises(ValueError, match="cannot be the name"):
        build_call(TYPE, "SetTarget", {name: ""})


def test_a_character_that_xml_cannot_carry_is_not_written() -> None:
    with pytest.raises(ValueError, match=r"A holds '\\x00'"):
        build_answer(TYPE, "GetX", {"A": "\0"})
    with pytest.raises(ValueError, match="the service type holds"):
        build_answer("\0", "GetX", {})


TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"])).filter(
    lambda text: FORBIDDEN.search(text) is None
)


@given(texts=st.dictionaries(st.sampled_from(["A", "B", "C-1", "_d"]), TEXTS), type_=TEXTS)
def test_what_one_side_writes_the_other_side_reads(texts: dict[str, str], type_: str) -> None:
    call = parse_call(build_call(type_, "SetTarget", texts))
    assert call == Call("SetTarget", type_.strip(), texts, call.problems)
    assert list(call.texts) == list(texts)
    assert parse_answer(build_answer(TYPE, "GetX", texts), 200, "GetX") == Answer(texts, ())


@given(code=st.integers(-999_999_999, 999_999_999), description=st.text(min_size=1))
def test_each_fault_is_read_again(code: int, description: str) -> None:
    error = error_of(build_fault(code, description))
    assert error.code == code


# --- SOAPACTION ---


def test_soapaction_is_written_in_quotation_marks() -> None:
    assert format_soapaction(TYPE, "SetTarget") == f'"{TYPE}#SetTarget"'.encode()


@pytest.mark.parametrize("type_", ["urn:é", 'urn:"', "urn:\r\nX: 1"])
def test_a_soapaction_that_no_header_can_carry_is_not_written(type_: str) -> None:
    with pytest.raises(ValueError, match="cannot be a SOAPACTION"):
        format_soapaction(type_, "SetTarget")


@pytest.mark.parametrize("value", ['"{}"', "{}", "'{}'", '"{}', ' " {} " ', '""{}""'])
def test_soapaction_is_read_with_any_quotation_marks(value: str) -> None:
    written = value.format(f"{TYPE}#SetTarget").encode()
    assert parse_soapaction(written) == (TYPE, "SetTarget")


def test_the_action_stands_behind_the_last_number_sign_of_soapaction() -> None:
    assert parse_soapaction(b'"urn:x#y#SetTarget"') == ("urn:x#y", "SetTarget")


@pytest.mark.parametrize("value", [b"", b'""', b'"#"', b"urn:x", b"#A", b"urn:x#", b"urn:x#A\x01"])
def test_a_soapaction_without_a_type_or_an_action_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="SOAPACTION is no service type with an action"):
        parse_soapaction(value)


# --- calls ---


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "no element found"),
        (b"InstanceID=0", "cut off, or is no XML"),
        (b"<html/>", "no envelope of SOAP: 'html'"),
        (f"{HEAD}".encode(), "cut off"),
        (b"<!DOCTYPE a><a/>", "document type declaration"),
        (f'<u:SetTarget xmlns:u="{TYPE}"/>'.encode(), "no envelope of SOAP: 'SetTarget'"),
        (in_envelope(""), "0 elements, not one"),
        (in_envelope("<a/><b/>"), "2 elements, not one"),
        (call_with("").replace(b"s:Body>", b"s:Head>"), "0 elements Body, not one"),
        (call_with("").replace(b"<s:Body>", b"<s:Body/><s:Body>"), "2 elements Body, not one"),
        (call_with("<A>\x01</A>"), "a character that XML cannot carry"),
        (call_with("<A>é</A>").decode().encode("latin-1"), "not of the declared encoding"),
    ],
)
def test_anything_but_a_call_is_answered_400(body: bytes, reason: str) -> None:
    with pytest.raises(RemoteProtocolError, match=reason) as caught:
        parse_call(body)
    assert caught.value.status == 400


@pytest.mark.parametrize("value", ["1", "true", " 1 "])
def test_a_header_that_must_be_understood_is_refused(value: str) -> None:
    header = f"<s:Header><x:A s:mustUnderstand='{value}'/></s:Header><s:Body>"
    with pytest.raises(RemoteProtocolError, match="'A' of the call must be understood") as caught:
        parse_call(call_with("").replace(b"<s:Body>", header.encode()))
    assert caught.value.status == 400


def test_other_headers_are_ignored() -> None:
    header = b"<s:Header><A s:mustUnderstand='0' b='1'><B/></A></s:Header><s:Body>"
    found = parse_call(call_with("<C>1</C>").replace(b"<s:Body>", header))
    assert found.texts == {"C": "1"}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("<A>1</A><A>1</A>", "'A' occurs twice"),
        ("<A>1</A><u:A>2</u:A>", "'A' occurs twice"),
        ("<A>1<b/></A>", "'A' has text and elements"),
        ("<A><b/>1</A>", "'A' has text and elements"),
        ("<A/>" * 129, "129 arguments, and at most 128 are read"),
    ],
)
def test_arguments_that_had_to_be_guessed_are_answered_402(arguments: str, reason: str) -> None:
    with pytest.raises(ActionError, match=reason) as caught:
        parse_call(call_with(arguments))
    assert caught.value.code == 402


def test_the_cap_on_arguments_can_be_set() -> None:
    limits = replace(DEFAULT_LIMITS, action_arguments=1)
    assert parse_call(call_with("<A/>"), limits).texts == {"A": ""}
    with pytest.raises(ActionError):
        parse_call(call_with("<A/><B/>"), limits)
    with pytest.raises(RemoteProtocolError, match="GetX cannot be read: there are 2 arguments"):
        parse_answer(answer_with("<A/><B/>"), 200, "GetX", limits)


def test_white_space_of_an_argument_is_kept() -> None:
    found = parse_call(call_with("<A> a\n</A>  <B>\n</B>"))
    assert found.texts == {"A": " a\n", "B": "\n"}


def test_xml_in_several_arguments_is_their_text() -> None:
    body = call_with("<A><b/></A><B>1</B><C>\n<u:d e='1'>x</u:d></C>")
    found = parse_call(
        body.replace(b"<s:Body>", b"<s:Header><h><A><no/></A></h></s:Header><s:Body>")
    )
    assert found.texts == {
        "A": "<b/>",
        "B": "1",
        "C": f'\n<u:d xmlns:u="{TYPE}" e="1">x</u:d>',
    }


def test_xml_in_an_argument_of_a_mended_call_is_its_text() -> None:
    found = parse_call(call_with("<A><b>Kids & Guests</b></A>"))
    assert found.texts == {"A": "<b>Kids &amp; Guests</b>"}
    assert found.problems == (
        "an & that is not escaped: read as text",
        "an argument that is XML instead of text: read as its text",
    )


def test_xml_inside_of_a_value_keeps_its_own_namespaces() -> None:
    found = parse_call(call_with("<A><u:b xmlns:u='urn:u'><u:c u:d=''/></u:b></A>"))
    assert found.texts == {"A": '<u:b xmlns:u="urn:u"><u:c u:d=""/></u:b>'}


def test_a_prefix_that_is_not_declared_is_one_problem() -> None:
    body = b"<s:Envelope><s:Body><u:SetTarget><A>1</A></u:SetTarget></s:Body></s:Envelope>"
    assert parse_call(body) == Call(
        "SetTarget",
        "",
        {"A": "1"},
        ("a namespace that is not declared: elements are read by their local names",),
    )


def test_an_element_of_soap_without_a_namespace_is_a_problem() -> None:
    body = call_with("").replace(b"s:Body>", b"Body>")
    assert parse_call(body).problems == ("an element of SOAP in another namespace: read",)


def test_an_envelope_of_soap_1_2_is_read() -> None:
    body = call_with("").replace(
        b"http://schemas.xmlsoap.org/soap/envelope/", b"http://www.w3.org/2003/05/soap-envelope"
    )
    assert parse_call(body).problems == ("an envelope of SOAP 1.2: read as one of SOAP 1.1",)


def test_a_call_in_utf_16_is_read() -> None:
    assert parse_call(call_with("<A>é</A>").decode().encode("utf-16")).texts == {"A": "é"}


# --- answers ---


@pytest.mark.parametrize("body", [b"", b" \r\n", b"\0", in_envelope("")])
def test_an_empty_answer_has_no_arguments(body: bytes) -> None:
    found = parse_answer(body, 200, "GetX")
    assert found.texts == {}
    assert found.problems == (
        "an answer without an element in its Body: read as an answer without arguments",
    )


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"OK", "cut off, or is no XML"),
        (b"<html><body>Welcome</body></html>", "no envelope of SOAP: 'html'"),
        (b"<!DOCTYPE html><html/>", "document type declaration"),
        (answer_with("<A>1</A>")[:-22], "cut off"),
        (answer_with("<A/>" * 129), "129 arguments, and at most 128 are read"),
    ],
)
def test_anything_but_an_answer_raises(body: bytes, reason: str) -> None:
    with pytest.raises(RemoteProtocolError, match=f"the answer to GetX cannot be read: .*{reason}"):
        parse_answer(body, 200, "GetX")


@pytest.mark.parametrize("status", [302, 400, 404, 500, 503])
@pytest.mark.parametrize(
    "body", [b"", b"<html>no</html>", b"Busy", in_envelope(""), answer_with("")]
)
def test_a_status_that_is_not_2xx_without_a_fault_raises(status: int, body: bytes) -> None:
    expected = f"GetX was answered with the status {status}, without a fault"
    with pytest.raises(RemoteProtocolError, match=expected):
        parse_answer(body, status, "GetX")


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (answer_with("<A>1</A>").replace(b"GetXResponse", b"GetX"), "not named after"),
        (in_envelope("<B/><GetXResponse><A>1</A></GetXResponse><C/>"), "a second element"),
        (b"<GetXResponse xmlns='urn:x'><A>1</A></GetXResponse>", "without an envelope"),
        (
            answer_with("<A>1</A>")
            .replace(b"<s:Body>", b"<s:Header><A>2</A></s:Header>")
            .replace(b"</s:Body>", b""),
            "without an envelope or a Body",
        ),
        (answer_with("<A>1</A><A>2</A>"), "occurs twice"),
        (answer_with("<A>1<b>2</b></A>"), "text and elements"),
        (answer_with("<A>1</A>").replace(b"s:Body", b"s:body"), "in another case"),
    ],
)
def test_an_answer_is_read_with_a_problem(body: bytes, problem: str) -> None:
    found = parse_answer(body, 200, "GetX")
    assert found.texts == {"A": "1"}
    (sentence,) = found.problems
    assert problem in sentence


@pytest.mark.parametrize(
    "around",
    [
        in_envelope("<N/><GetXResponse>{}</GetXResponse>").decode(),
        "<GetXResponse>{}</GetXResponse>",
        f"{HEAD}<GetXResponse>{{}}</GetXResponse>{TAIL}".replace("s:Body", "s:Header", 1).replace(
            "</s:Body>", "</s:Header><s:Body><GetXResponse><A><d/></A></GetXResponse></s:Body>"
        ),
    ],
    ids=["second", "bare", "header"],
)
def test_xml_in_an_argument_is_its_text_wherever_the_answer_stands(around: str) -> None:
    found = parse_answer(around.format("<A><b/></A><A><c/></A>").encode(), 200, "GetX")
    assert found.texts == {"A": "<d/>" if "<d/>" in around else "<b/>"}


# --- faults ---


@pytest.mark.parametrize(
    ("detail", "code", "description"),
    [
        ("<UPnPError><errorCode>701</errorCode></UPnPError>", 701, ""),
        ("<UPnPError><errorCode>402</errorCode></UPnPError>", 402, "Invalid Args"),
        ("<e:UPnPError><e:ErrorCode>701</e:ErrorCode></e:UPnPError>", 701, ""),
        ("<errorDescription>No</errorDescription><errorCode>701</errorCode>", 701, "No"),
        ("<UPnPError><errorCode>\n 0701 </errorCode></UPnPError>", 701, ""),
        ("<UPnPError><errorCode>-5</errorCode></UPnPError>", -5, ""),
        ("<errorCode/><errorCode>701</errorCode><errorCode>702</errorCode>", 701, ""),
        ("<UPnPError><errorCode>E7</errorCode></UPnPError>", 501, "E7"),
        (f"<UPnPError><errorCode>{'9' * 5_000}</errorCode></UPnPError>", 501, "9" * 5_000),
        ("<errorCode>E7</errorCode><errorDescription>No</errorDescription>", 501, "E7: No"),
        ("<UPnPError><errorDescription>No</errorDescription></UPnPError>", 501, "No"),
        ("", 501, "Action Failed"),
    ],
)
@pytest.mark.parametrize("status", [200, 500, 404])
def test_a_fault_is_an_action_error(detail: str, code: int, description: str, status: int) -> None:
    error = error_of(fault_with(detail), status)
    assert (error.code, error.description) == (code, description)


def test_a_fault_without_a_code_is_described_by_its_faultstring() -> None:
    error = error_of(fault_with("", reason="Method not found"))
    assert (error.code, error.description) == (501, "Method not found")


@pytest.mark.parametrize(
    "body",
    [
        b"<Fault><errorCode>701</errorCode></Fault>",
        b"<UPnPError><errorCode>701</errorCode></UPnPError>",
        in_envelope("<UPnPError><errorCode>701</errorCode></UPnPError>"),
        in_envelope("<GetXResponse/><s:fault><errorCode>701</errorCode></s:fault>"),
    ],
)
def test_a_fault_is_found_wherever_it_stands(body: bytes) -> None:
    assert error_of(body).code == 701
    assert error_of(body, 200).code == 701


# --- the plain form ---

PLAIN_PIECES = st.sampled_from(
    (
        *(
            '<?xml version="1.0"?>',
            '<?xml version="1.0" encoding="utf-8"?>',
            "\n",
            "\r\n",
            " ",
            "\0",
        ),
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/">',
        *(HEAD, HEAD.removesuffix("<s:Body>"), "<s:Body>", "<s:Header/>", "<u:A>", "</u:A>"),
        f'<u:GetXResponse xmlns:u="{TYPE}">',
        f'<s:GetXResponse xmlns:s="{TYPE}">',
        f'<xml:GetXResponse xmlns:xml="{TYPE}">',
        '<u:Fault xmlns:u="">',
        *("<A>", "</A>", "<B>", "</B>", "<A>1</A>", "<B>2</B>", "<A/>", "<s:A>", "</s:A>"),
        *(
            "text",
            "]]>",
            "&amp;",
            "&#13;",
            "&lt;",
            "\r",
            "\t",
            "\xe4",
            "<![CDATA[x]]>",
            "<!-- x -->",
        ),
        *("</u:GetXResponse>", "</s:GetXResponse>", "</xml:GetXResponse>", "</u:Fault>"),
        *("</s:Body>", "</s:Envelope>", TAIL),
    )
)
OPEN = f'{HEAD}<u:GetXResponse xmlns:u="{TYPE}">'
CLOSE = f"</u:GetXResponse>{TAIL}"
NEARLY_PLAIN = st.one_of(
    st.lists(PLAIN_PIECES, max_size=8),
    st.lists(PLAIN_PIECES, max_size=4).map(lambda pieces: [OPEN, *pieces, CLOSE]),
    st.lists(PLAIN_PIECES, max_size=2).map(lambda pieces: [*pieces, OPEN, "<A>1</A>", CLOSE]),
    st.lists(PLAIN_PIECES, max_size=2).map(lambda pieces: [OPEN, "<A>1</A>", CLOSE, *pieces]),
).map("".join)


@given(NEARLY_PLAIN, st.sampled_from(("device", "control-point")))
def test_a_message_in_the_plain_form_is_read_as_the_parser_reads_it(text: str, role: str) -> None:
    body = text.encode()
    plain = soap._parse_plain(body, DEFAULT_LIMITS)
    if plain is None:
        return
    name, namespace, texts = plain
    if role == "device":
        assert soap._parse_call(body, DEFAULT_LIMITS) == Call(name, namespace, texts, ())
    elif name == "GetXResponse":
        assert soap._parse_answer(body, 200, "GetX", DEFAULT_LIMITS) == Answer(texts, ())


def is_plain(body: bytes, **limits: int) -> bool:
    return soap._parse_plain(body, replace(DEFAULT_LIMITS, **limits)) is not None


def test_what_is_written_is_in_the_plain_form() -> None:
    texts = {"A": "1", "B": "<&> \"'", "C": ""}
    assert is_plain(build_call(TYPE, "SetTarget", texts))
    assert is_plain(build_answer(TYPE, "SetTarget", texts))
    assert is_plain(build_call(TYPE, "GetStatus", {}))


@pytest.mark.parametrize(
    "message",
    [
        OPEN + "<A>1</A><A>2</A>" + CLOSE,
        OPEN + "<A>a\rb</A>" + CLOSE,
        OPEN + "<A>]]></A>" + CLOSE,
        OPEN + "<A>ä</A>" + CLOSE,
        OPEN + "<A>1</A>" + CLOSE.replace("u:", "v:"),
        OPEN + "<A>1</A>" + CLOSE.replace("s:E", "t:E"),
        OPEN.replace("u:", "xml:") + CLOSE.replace("u:", "xml:"),
        OPEN + CLOSE + "<more/>",
        "no envelope",
    ],
)
def test_any_other_message_is_left_to_the_parser(message: str) -> None:
    assert not is_plain(message.encode())


def test_a_message_beyond_a_cap_is_left_to_the_parser() -> None:
    body = answer_with("<A>1</A><B>2</B>")
    assert is_plain(body, xml_depth=4, xml_elements=8, action_arguments=2)
    assert not is_plain(body, xml_depth=3)
    assert not is_plain(body, xml_elements=7)
    assert not is_plain(body, action_arguments=1)
    assert not is_plain(body.replace(b"1", b"1" * 16_384))
