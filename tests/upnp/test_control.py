"""Requests to a controlURL, judged without sockets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.publisher.judge import PublisherPolicy
from propchange.core.values.state_variables import StateVariable
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.errors import ActionError
from propchange.upnp.action_methods import action
from propchange.upnp.control import ActionCall, Control
from propchange.upnp.service import Service
from propchange.upnp.soap import SOAP_NAMESPACE, build_call, parse_answer

HERE = Endpoint("10.0.0.1", 8123)
THERE = Endpoint("10.0.0.2", 40_000)
DIMMER = "urn:example-org:service:Dimmer:2"
OLDER = "urn:example-org:service:Dimmer:1"


class Dimmer(Service, type=DIMMER):
    level = StateVariable("ui1", maximum=100, step=10)
    scene = StateVariable("string", allowed=["day", "night"], initial="day")

    @action(returns={"Before": level})
    def set_level(self, level: int) -> int:
        raise NotImplementedError

    @action
    def set_scene(self, scene: str) -> None:
        raise NotImplementedError


CONTROL = Control(PublisherPolicy(server="os/1 UPnP/1.1 p/1"), lambda: b"today")


def post(
    *,
    arguments: dict[str, str] | None = None,
    called: str = "SetLevel",
    service_type: str = DIMMER,
    method: str = "POST",
    body: bytes | None = None,
    without: tuple[str, ...] = (),
    more: tuple[tuple[str, str], ...] = (),
    **fields: str,
) -> Request:
    """A call of SetLevel. ``fields`` replace header fields; ``_`` stands for ``-``."""
    if body is None:
        given = {"Level": "30"} if arguments is None else arguments
        body = build_call(service_type, called, given)
    headers = {
        "host": str(HERE),
        "content-type": 'text/xml; charset="utf-8"',
        "soapaction": f'"{service_type}#{called}"',
    }
    headers |= {name.replace("_", "-"): value for name, value in fields.items()}
    pairs = [(name, value) for name, value in headers.items() if name not in without]
    encoded = [(name.encode(), value.encode()) for name, value in (*pairs, *more)]
    return Request(method, "/Dimmer/control", encoded, body, peer=THERE, local=HERE)


def judge(request: Request, control: Control = CONTROL) -> ActionCall | Response:
    return control.judge(request, Dimmer())


def code_of(response: Any) -> tuple[int, str]:
    with pytest.raises(ActionError) as caught:
        parse_answer(response.body, response.status, "SetLevel")
    return caught.value.code, caught.value.description


def test_a_call_is_read_with_its_arguments_typed() -> None:
    call = judge(post())
    assert isinstance(call, ActionCall)
    assert (call.action.name, call.inputs, call.problems) == ("SetLevel", {"Level": 30}, ())


def test_the_answer_has_the_fields_that_uda_wants() -> None:
    call = judge(post())
    assert isinstance(call, ActionCall)
    response = CONTROL.answer(call, 20)
    assert response.status == 200
    assert response.headers == (
        (b"CONTENT-TYPE", b'text/xml; charset="utf-8"'),
        (b"DATE", b"today"),
        (b"EXT", b""),
        (b"SERVER", b"os/1 UPnP/1.1 p/1"),
    )
    assert parse_answer(response.body, 200, "SetLevel").texts == {"Before": "20"}
    assert f'SetLevelResponse xmlns:u="{DIMMER}"'.encode() in response.body


@pytest.mark.parametrize("result", [None, "much", 300, {"Afterwards": 1}, {}])
def test_a_result_that_does_not_fit_is_an_error_of_the_device(result: object) -> None:
    call = judge(post())
    assert isinstance(call, ActionCall)
    with pytest.raises((TypeError, ValueError), match="SetLevel"):
        CONTROL.answer(call, result)


def test_a_result_that_is_too_long_to_be_sent_is_an_error_of_the_device() -> None:
    limits = replace(DEFAULT_LIMITS, write_buffer_bytes=100_000, header_bytes=1_000)
    control = Control(PublisherPolicy(), lambda: b"today", limits)
    call = judge(post())
    assert isinstance(call, ActionCall)
    described = replace(call.action.outputs[0], variable=StateVariable("string", name="Text"))
    call = call._replace(action=replace(call.action, arguments=(described,)))
    assert len(control.answer(call, "x" * 98_000).body) > 98_000
    with pytest.raises(ValueError, match=r"SetLevel has 100\d+ bytes, and at most 99000"):
        control.answer(call, "x" * 100_000)


SOAP = f'"{SOAP_NAMESPACE}"; ns=01'

REFUSED = [
    ("HOST is missing", post(without=("host",)), 400),
    ("HOST is a name that a web page controls", post(host="evil.example:8123"), 400),
    ("HOST has another port", post(host="10.0.0.1:80"), 400),
    ("HOST occurs twice", post(more=(("host", str(HERE)),)), 400),
    ("a web page has sent it", post(origin="http://evil.example"), 403),
    ("a file in a browser has sent it", post(origin="null"), 403),
    ("GET", post(method="GET"), 405),
    ("HEAD", post(method="HEAD"), 405),
    ("PUT", post(method="PUT"), 405),
    ("SUBSCRIBE", post(method="SUBSCRIBE"), 405),
    ("a form", post(content_type="application/x-www-form-urlencoded"), 415),
    ("a plain text, as a web page may send it", post(content_type="text/plain"), 415),
    ("no content type", post(without=("content-type",)), 415),
    ("a content type that only begins like one", post(content_type="text/xmlx"), 415),
    ("two content types", post(more=(("content-type", "text/xml"),)), 400),
    ("two values of SOAPACTION", post(more=(("soapaction", f"{DIMMER}#SetScene"),)), 400),
    ("no XML", post(body=b"<level>"), 400),
    ("no body", post(body=b""), 400),
    ("no envelope", post(body=b"<level/>"), 400),
    (
        "a DTD",
        post(body=b"<!DOCTYPE s [<!ENTITY e 'e'>]>" + build_call(DIMMER, "SetLevel", {})),
        400,
    ),
    ("M-POST without MAN", post(method="M-POST"), 510),
    ("M-POST with another extension", post(method="M-POST", man='"http://x/"; ns=01'), 510),
]


@pytest.mark.parametrize(
    ("request_", "status"), [row[1:] for row in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_what_is_no_call_is_refused_without_a_body(request_: Request, status: int) -> None:
    response = judge(request_)
    assert isinstance(response, Response)
    assert (response.status, response.body) == (status, b"")
    assert response.fields[b"date"] == b"today"
    assert response.fields.get(b"allow") == (b"POST, M-POST" if status == 405 else None)


FAULTS = [
    ("SOAPACTION is missing", post(without=("soapaction",)), 401),
    ("SOAPACTION is empty", post(soapaction='""'), 401),
    ("SOAPACTION names no action", post(soapaction=f'"{DIMMER}"'), 401),
    ("SOAPACTION names another action", post(soapaction=f'"{DIMMER}#SetScene"'), 401),
    (
        "SOAPACTION names another service",
        post(soapaction='"urn:x-org:service:Dimmer:2#SetLevel"'),
        401,
    ),
    (
        "the body names another service",
        post(soapaction=f'"{DIMMER}#SetLevel"', service_type="urn:x"),
        401,
    ),
    ("a newer version of the service", post(service_type="urn:example-org:service:Dimmer:3"), 401),
    ("a version that is no number", post(service_type="urn:example-org:service:Dimmer:x"), 401),
    ("version 0", post(service_type="urn:example-org:service:Dimmer:0"), 401),
    ("an unknown action", post(called="Explode"), 401),
    ("an action in another case", post(called="setlevel"), 401),
    (
        "QueryStateVariable",
        post(
            service_type="urn:schemas-upnp-org:control-1-0",
            called="QueryStateVariable",
            arguments={"varName": "Level"},
        ),
        401,
    ),
    ("a missing argument", post(arguments={}), 402),
    ("an argument too many", post(arguments={"Level": "30", "Speed": "1"}), 402),
    ("an argument in another case", post(arguments={"level": "30"}), 402),
    ("a text that is no number", post(arguments={"Level": "much"}), 402),
    ("a number beyond the range and the data type", post(arguments={"Level": "256"}), 601),
    (
        "a repeated argument",
        post(
            body=build_call(DIMMER, "SetLevel", {"Level": "30"}).replace(
                b"<Level>30</Level>", b"<Level>30</Level><Level>40</Level>"
            )
        ),
        402,
    ),
    ("beyond the range", post(arguments={"Level": "110"}), 601),
    ("not among the allowed values", post(called="SetScene", arguments={"Scene": "party"}), 601),
    ("not a whole step", post(arguments={"Level": "33"}), 600),
]


@pytest.mark.parametrize(
    ("request_", "code"), [row[1:] for row in FAULTS], ids=[r[0] for r in FAULTS]
)
def test_a_call_that_cannot_be_run_is_answered_with_the_error_of_uda(
    request_: Request, code: int
) -> None:
    response = judge(request_)
    assert isinstance(response, Response)
    assert response.status == 500
    assert response.fields[b"ext"] == b""
    assert response.fields[b"server"] == b"os/1 UPnP/1.1 p/1"
    assert response.fields[b"content-type"] == b'text/xml; charset="utf-8"'
    assert code_of(response)[0] == code


def test_more_arguments_than_allowed_are_402() -> None:
    control = Control(PublisherPolicy(), lambda: b"", replace(DEFAULT_LIMITS, action_arguments=4))
    arguments = {f"A{number}": "" for number in range(5)}
    assert code_of(judge(post(arguments=arguments), control))[0] == 402


ACCEPTED = [
    ("an older version", post(service_type=OLDER)),
    ("an older version in the header", post(soapaction=f'"{OLDER}#SetLevel"')),
    ("application/xml", post(content_type="application/xml")),
    ("application/soap+xml", post(content_type="Application/SOAP+XML;charset=utf-8")),
    ("SOAPACTION without quotation marks", post(soapaction=f"{DIMMER}#SetLevel")),
    ("a page of the device itself", post(origin=f"http://{HERE}")),
    (
        "M-POST",
        post(
            method="M-POST",
            man=SOAP,
            without=("soapaction",),
            more=(("01-soapaction", f'"{DIMMER}#SetLevel"'),),
        ),
    ),
    ("white space about a number", post(arguments={"Level": " 30\n"})),
]


@pytest.mark.parametrize("request_", [row[1] for row in ACCEPTED], ids=[r[0] for r in ACCEPTED])
def test_a_call_that_has_one_meaning_is_accepted(request_: Request) -> None:
    call = judge(request_)
    assert isinstance(call, ActionCall), call.body
    assert call.inputs == {"Level": 30}


def test_a_control_point_of_an_older_version_has_an_answer_of_its_version() -> None:
    call = judge(post(service_type=OLDER))
    assert isinstance(call, ActionCall)
    assert f'SetLevelResponse xmlns:u="{OLDER}"'.encode() in CONTROL.answer(call, 20).body


def test_an_m_post_whose_soapaction_has_another_prefix_is_401() -> None:
    request = post(
        method="M-POST",
        man=SOAP,
        without=("soapaction",),
        more=(("02-soapaction", f'"{DIMMER}#SetLevel"'),),
    )
    assert code_of(judge(request))[0] == 401


def test_the_end_of_the_connection_is_kept_in_every_answer() -> None:
    request = post(arguments={})
    request.keep_alive, request.http_version = False, "1.0"
    fault = judge(request)
    assert isinstance(fault, Response)
    assert (fault.close, fault.http_version) == (True, "1.0")
