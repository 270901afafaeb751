"""No input costs more than linear time: four times as long takes about four times as much work.

Each reader of a peer's bytes is given each shape of input in two lengths. Lines of Python are
counted, and processor time is compared within one run, since a quadratic search inside of a C
function runs no line. The caps that would refuse the longer input are lifted, but for the depth of
XML.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Literal

import pytest

from propchange.core.discovery.advertisement import judge_location
from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.multicast.message import read_multicast
from propchange.core.publisher.callback_guard import judge_callbacks
from propchange.core.subscriber.record import SubscriptionRecord
from propchange.core.subscriber.requests import http_url, redirect_url
from propchange.core.values.data_types import DATA_TYPES, data_type
from propchange.core.values.lastchange import AVT, LastChangeFold, parse_lastchange
from propchange.core.values.merging import CONTAINERS, parse_container_update_ids
from propchange.core.values.repeated_lastchange import RepeatedLastChange
from propchange.core.values.state_variables import StateVariable
from propchange.core.wire.headers import (
    parse_callback,
    parse_host,
    parse_seq,
    parse_sid,
    parse_statevar,
    parse_timeout,
)
from propchange.core.wire.mending import mend, read_tree
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.core.wire.propertyset import check_variable_name, parse_propertyset
from propchange.core.wire.urls import endpoint_of_url
from propchange.errors import PropchangeError
from propchange.http import RequestParser, ResponseParser
from propchange.http.datagrams import parse_datagram
from propchange.http.passed_head import judge_passed_head
from propchange.printable import printable
from propchange.upnp.actions import Action, Argument
from propchange.upnp.description import parse_description
from propchange.upnp.scpd import parse_scpd
from propchange.upnp.service_names import ServiceNames
from propchange.upnp.soap import parse_answer, parse_call, parse_soapaction
from propchange.upnp.ssdp import read_datagram, read_search
from tests.work import memory, seconds, steps

pytestmark = pytest.mark.slow  # each reader, each shape, twice

KEPT = ("xml_depth", "early_messages", "fold_keys", "pipelined_requests")
UNLIMITED = replace(
    DEFAULT_LIMITS,
    **{
        field.name: 2**40
        for field in fields(Limits)
        if field.type == "int" and field.name not in KEPT
    },
)
PEER, LOCAL = Endpoint("192.0.2.7", 40_000), Endpoint("192.0.2.1", 80)

Read = Callable[[bytes], object]
Shape = Callable[[int], str]


def repeated(piece: str) -> Shape:
    """``piece`` again and again. ``#`` in it becomes a number that is another one each time."""
    if "#" not in piece:
        return lambda size: piece * (size // len(piece))
    return lambda size: "".join(piece.replace("#", str(n)) for n in range(size // (len(piece) + 3)))


def around(before: str, shape: Shape, after: str) -> Shape:
    return lambda size: before + shape(size) + after


# --- XML ---

XML = {
    "text": repeated("x"),
    "white space": repeated(" \n"),
    "carriage returns": repeated("\r"),
    "beyond ascii": repeated("é\U0001f600"),
    "references": repeated("&amp;"),
    "numbers as references": repeated("&#65;"),
    "a number without an end": lambda size: "&#" + "1" * size,
    "numbers without an end": repeated("&#1"),
    "entities": repeated("&e;"),
    "an entity without an end": lambda size: "&" + "e" * size,
    "bare ampersands": repeated("&"),
    "bare less-thans": repeated("< "),
    "greater-thans": repeated(">"),
    "ends of cdata": repeated("]]>"),
    "brackets": repeated("]"),
    "cdata": repeated("<![CDATA[x]]>"),
    "cdata without an end": repeated("<![CDATA["),
    "comments": repeated("<!--x-->"),
    "comments without an end": repeated("<!--"),
    "hyphens in a comment": lambda size: f"<!--{'-' * size}-->",
    "instructions": repeated("<?x y?>"),
    "instructions without an end": repeated("<?x "),
    "declarations": repeated("<?xml version='1.0'?>"),
    "declarations without an end": repeated("<?xml"),
    "declarations of encodings": repeated("<?xml encoding='utf8"),
    "doctypes": repeated("<!DOCTYPE x>"),
    "elements": repeated("<a/>"),
    "elements of many names": repeated("<a#/>"),
    "elements with text": repeated("<a>x</a>"),
    "start tags": repeated("<a>"),
    "end tags": repeated("</a>"),
    "end tags without an end": repeated("</a"),
    "a tag without an end": lambda size: "<a" + " " * size,
    "tags without an end": repeated("<a "),
    "colons": repeated("<: o='1'/>"),
    "nested elements": repeated("<a>" * 40 + "</a>" * 40),
    "a long name": lambda size: f"<{'a' * size}/>",
    "long names": repeated(f"<{'a' * 500}#/>"),
    "a long value": lambda size: f"<a b='{'x' * size}'/>",
    "a value without an end": lambda size: f"<a b='{'x' * size}",
    "values without an end": repeated("<a b='"),
    "attributes": around("<a ", repeated('b#="x" '), "/>"),
    "attributes without quotes": around("<a ", repeated("b#=x "), "/>"),
    "attributes without a value": around("<a ", repeated("b# "), "/>"),
    "one attribute often": around("<a ", repeated('b="x" '), "/>"),
    "namespaces": around("<a ", repeated('xmlns:n#="u" '), "/>"),
    "namespaces that are used": lambda size: (
        around("<a ", repeated('xmlns:n#="u" '), ">")(size // 2)
        + around("", repeated("<n#:b/>"), "</a>")(size // 2)
    ),
    "a long namespace": lambda size: (
        f"<a xmlns='{'u' * (size // 2)}'>{repeated('<b/>')(size // 2)}</a>"
    ),
    "prefixes": repeated("<x#:a x#:b='1'/>"),
    "raw bytes": repeated("\udce9"),
    "halves of characters": repeated("\ud800"),
    "pairs of halves": repeated("\ud83d\ude00"),
    "nuls": repeated("\0"),
    "forbidden characters": repeated("\x01"),
}

PROPERTYSET = '<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0">{}</e:propertyset>'
LASTCHANGE = f'<Event xmlns="{AVT}">{{}}</Event>'
ROOT = '<root xmlns="urn:schemas-upnp-org:device-1-0">{}</root>'
SOAP = '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>{}</s:Body></s:Envelope>'
SCPD = '<scpd xmlns="urn:schemas-upnp-org:service-1-0">{}</scpd>'


def record() -> SubscriptionRecord:
    return SubscriptionRecord(
        "http://192.0.2.7/",
        persistent=True,
        describable=False,
        device=None,
        convert=None,
        duration_wanted=1800,
        limits=replace(UNLIMITED, fold_keys=DEFAULT_LIMITS.fold_keys),
        begun_at=0.0,
    )


def text_of(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def decode_lastchange(data: bytes) -> object:
    return record().decode(0, (("LastChange", text_of(data)),), initial=False)


def repeat_lastchange(data: bytes) -> object:
    """Learn the form of a LastChange, and read it by that form."""
    text = text_of(data)
    form = RepeatedLastChange.learn(text, UNLIMITED)
    return None if form is None else form.read(text)


def decode_variables(data: bytes) -> object:
    """Two events with the same variables: the second one is compared with the first."""
    texts = parse_propertyset(data, UNLIMITED)
    subscription = record()
    return subscription.decode(0, texts, initial=True), subscription.decode(1, texts, initial=False)


def described_action(data: bytes, direction: Literal["in", "out"]) -> Action:
    """An action with as many arguments as ``data`` has room for."""
    variable = StateVariable("string")
    names = (f"B{number}" for number in range(len(data) // 20))
    return Action("A", tuple(Argument(name, direction, variable) for name in names))


def called_action(data: bytes) -> object:
    return described_action(data, "in").read_inputs(parse_call(data, UNLIMITED).texts)


def answered_action(data: bytes) -> object:
    texts = parse_answer(data, 200, "A", UNLIMITED).texts
    return described_action(data, "out").read_outputs(texts)


def describe(data: bytes) -> object:
    description = parse_description(data, "http://192.0.2.7/d.xml", UNLIMITED)
    return ServiceNames(description.all_services())


READERS: dict[str, Read] = {
    "propertyset": lambda data: parse_propertyset(data, UNLIMITED),
    "lastchange": lambda data: parse_lastchange(text_of(data), UNLIMITED),
    "repeated lastchange": repeat_lastchange,
    "event": decode_lastchange,
    "fold": lambda data: LastChangeFold(AVT)(text_of(data), text_of(data)),
    "description": describe,
    "scpd": lambda data: parse_scpd(data, UNLIMITED),
    "soap call": lambda data: parse_call(data, UNLIMITED),
    "soap answer": lambda data: parse_answer(data, 200, "A", UNLIMITED),
    "event of variables": decode_variables,
    "call of an action": called_action,
    "answer of an action": answered_action,
    "tree": lambda data: read_tree(data, UNLIMITED),
    "mending": mend,
}

SERVICE = "<service><serviceType>a#</serviceType><SCPDURL>b</SCPDURL></service>"
ICON = "<icon><mimetype>image/png</mimetype><width>#</width><url>/#.png</url></icon>"
RANGE = (
    "<allowedValueRange><minimum>#</minimum><maximum>#</maximum><step>#</step></allowedValueRange>"
)
SERVICE_OF_ONE_NAME = "<service><serviceType>a</serviceType><SCPDURL>b#</SCPDURL></service>"
DEVICE = f"<device><UDN>a#</UDN><serviceList>{SERVICE_OF_ONE_NAME}</serviceList></device>"
STATE_VARIABLE = "<stateVariable><name>A#</name><dataType>string</dataType></stateVariable>"
ALLOWED = repeated("<allowedValue>x#</allowedValue>")
IN_ARGUMENT = (
    "<argument><name>A#</name><direction>in</direction>"
    "<relatedStateVariable>V#</relatedStateVariable></argument>"
)
ACTION = f"<action><name>A#</name><argumentList>{IN_ARGUMENT}</argumentList></action>"


def in_actions(shape: Shape) -> Shape:
    """The shape in the actionList of a service description."""
    before = "</serviceStateTable><actionList>"
    return around(before, shape, "</actionList><serviceStateTable>")


def in_arguments(shape: Shape) -> Shape:
    """The shape in the argumentList of an action."""
    before = "<action><name>A</name><argumentList>"
    return in_actions(around(before, shape, "</argumentList></action>"))


# Reader -> where a shape stands in its document.
PLACES = {
    "propertyset": ["{}", PROPERTYSET, PROPERTYSET.format("<e:property><A>{}</A></e:property>")],
    "lastchange": ["{}", LASTCHANGE.format('<InstanceID val="0">{}</InstanceID>')],
    "repeated lastchange": ["{}", LASTCHANGE.format('<InstanceID val="0">{}</InstanceID>')],
    "event": [LASTCHANGE],
    "description": [ROOT.format("<device>{}</device>")],
    "scpd": [SCPD.format("<serviceStateTable>{}</serviceStateTable>")],
    "soap call": ["{}", SOAP, SOAP.format("<u:A>{}</u:A>"), SOAP.format("<A><B>{}</B></A>")],
    "soap answer": [
        SOAP,
        SOAP.format("<u:AResponse>{}</u:AResponse>"),
        SOAP.format("<s:Fault><detail>{}</detail></s:Fault>"),
    ],
    "tree": ["{}", "<a>{}</a>", "<a/>{}"],
    "mending": ["{}", "<a>{}</a>", "{}<a/>", "<a/>{}"],
}

OF_ONE_READER: dict[str, dict[str, Shape]] = {
    "propertyset": {
        "properties": repeated("<e:property><A>1</A></e:property>"),
        "properties of many names": repeated("<e:property><A#>1</A#></e:property>"),
        "variables of one property": lambda size: (
            f"<e:property>{repeated('<A#>1</A#>')(size)}</e:property>"
        ),
        "values of xml": repeated("<e:property><A><b c='1'/></A></e:property>"),
        "beginnings of properties": repeated("<e:property><A>"),
        "a value in the plain form without an end": lambda size: (
            f"<e:property><A>{'x' * size}</B></e:property>"
        ),
    },
    "lastchange": {
        "instances": repeated('<InstanceID val="#"><A val="1"/></InstanceID>'),
        "instances without variables": repeated('<InstanceID val="#"/>'),
        "instances that are no numbers": repeated('<InstanceID val="x"/>'),
        "an instance of many digits": lambda size: f'<InstanceID val="{"1" * size}"/>',
        "escaped twice": repeated("&lt;a/&gt;"),
    },
    "event": {
        "instances": repeated('<InstanceID val="#"><A val="1"/></InstanceID>'),
        "instances that come and go": repeated(
            '<InstanceID val="1"/><InstanceID val="1"><A val="1"/></InstanceID>'
        ),
        "instances that go": lambda size: (
            repeated('<InstanceID val="#"><A val="1"/></InstanceID>')(size // 2)
            + repeated('<InstanceID val="#"/>')(size // 2)
        ),
        "channels": repeated('<InstanceID val="0"><V channel="#" val="1"/></InstanceID>'),
    },
    "fold": {
        "instances that go": lambda size: (
            repeated('<InstanceID val="#"><A val="1"/></InstanceID>')(size // 2)
            + repeated('<InstanceID val="#"/>')(size // 2)
        ),
    },
    "description": {
        "services": lambda size: f"<serviceList>{repeated(SERVICE)(size)}</serviceList>",
        "services of one name": lambda size: (
            f"<serviceList>{repeated(SERVICE_OF_ONE_NAME)(size)}</serviceList>"
        ),
        "lists of services": repeated(f"<serviceList>{SERVICE}</serviceList>"),
        "devices": lambda size: f"<deviceList>{repeated('<device/>')(size)}</deviceList>",
        "lists of devices": repeated("<deviceList><device/></deviceList>"),
        "nested devices": repeated("<deviceList><device>" * 20 + "</device></deviceList>" * 20),
        "icons": lambda size: f"<iconList>{repeated(ICON)(size)}</iconList>",
        "lists of icons": repeated(f"<iconList>{ICON}</iconList>"),
        "devices with services of one name": lambda size: (
            f"<deviceList>{repeated(DEVICE)(size)}</deviceList>"
        ),
        "one element often": repeated("<UDN>uuid:#</UDN>"),
        "a long url and services": lambda size: (
            f"<URLBase>http://192.0.2.7/{'x' * (size // 2)}</URLBase>"
            f"<serviceList>{repeated(SERVICE)(size // 2)}</serviceList>"
        ),
        "a url of many dots": lambda size: (
            f"<presentationURL>/{'../' * (size // 3)}</presentationURL>"
        ),
    },
    "scpd": {
        "variables": repeated(STATE_VARIABLE),
        "one variable often": repeated(STATE_VARIABLE.replace("#", "")),
        "variables without a name": repeated("<stateVariable/>"),
        "allowed values": lambda size: STATE_VARIABLE.replace(
            "</stateVariable>",
            f"<allowedValueList>{ALLOWED(size)}</allowedValueList></stateVariable>",
        ),
        "one allowed value often": lambda size: STATE_VARIABLE.replace(
            "</stateVariable>",
            f"<allowedValueList>{'<allowedValue>x</allowedValue>' * (size // 30)}"
            "</allowedValueList></stateVariable>",
        ),
        "allowed values of a number": lambda size: STATE_VARIABLE.replace("string", "ui4").replace(
            "</stateVariable>",
            f"<allowedValueList>{ALLOWED(size)}</allowedValueList></stateVariable>",
        ),
        "lists of allowed values": lambda size: STATE_VARIABLE.replace(
            "</stateVariable>",
            repeated("<allowedValueList><allowedValue>x</allowedValue></allowedValueList>")(size)
            + "</stateVariable>",
        ),
        "ranges": lambda size: STATE_VARIABLE.replace("string", "ui4").replace(
            "</stateVariable>", repeated(RANGE)(size) + "</stateVariable>"
        ),
        "a range of many digits": lambda size: STATE_VARIABLE.replace("string", "i8").replace(
            "</stateVariable>", RANGE.replace("#", "9" * (size // 3)) + "</stateVariable>"
        ),
        "a range of letters": lambda size: STATE_VARIABLE.replace("string", "i8").replace(
            "</stateVariable>", RANGE.replace("#", "1x" * (size // 6)) + "</stateVariable>"
        ),
        "a default of many digits": lambda size: STATE_VARIABLE.replace("string", "r8").replace(
            "</stateVariable>", f"<defaultValue>{'9' * size}x</defaultValue></stateVariable>"
        ),
        "actions": in_actions(repeated(ACTION)),
        "one action often": in_actions(repeated(ACTION.replace("#", ""))),
        "actions without a name": in_actions(repeated("<action/>")),
        "lists of actions": in_actions(repeated(f"{ACTION}</actionList><actionList>")),
        "arguments": in_arguments(repeated(IN_ARGUMENT)),
        "one argument often": in_arguments(repeated(IN_ARGUMENT.replace("#", ""))),
        "arguments without a direction": in_arguments(
            repeated("<argument><name>A#</name></argument>")
        ),
        "names of an argument": in_arguments(
            around("<argument>", repeated("<name>A#</name>"), "</argument>")
        ),
    },
}
ARGUMENTS: dict[str, Shape] = {
    "arguments": repeated("<B#>1</B#>"),
    "one argument often": repeated("<B>1</B>"),
    "arguments of xml": repeated("<B#><c d='1'/></B#>"),
    "arguments with text and xml": repeated("<B#>1<c/></B#>"),
}
OF_ONE_READER["soap call"] = {
    name: around('<A xmlns="urn:a">', shape, "</A>") for name, shape in ARGUMENTS.items()
}
OF_ONE_READER["soap answer"] = {
    **{name: around("<AResponse>", shape, "</AResponse>") for name, shape in ARGUMENTS.items()},
    "answers": repeated("<AResponse><B>1</B></AResponse>"),
    "faults": repeated("<Fault><errorCode>1</errorCode></Fault>"),
    "a code of many digits": lambda size: f"<Fault><errorCode>{'1' * size}</errorCode></Fault>",
    "details": around("<Fault>", repeated("<detail><errorCode/></detail>"), "</Fault>"),
    "nested details": around("<Fault>", repeated("<a>" * 40 + "x" + "</a>" * 40), "</Fault>"),
}
OF_ONE_READER["event of variables"] = OF_ONE_READER["propertyset"]
OF_ONE_READER["call of an action"] = OF_ONE_READER["soap call"]
OF_ONE_READER["answer of an action"] = OF_ONE_READER["soap answer"]
OUTSIDE = {
    "event of variables": PROPERTYSET,
    "call of an action": SOAP,
    "answer of an action": SOAP,
    "soap call": SOAP,
    "soap answer": SOAP,
    "propertyset": PROPERTYSET,
    "lastchange": LASTCHANGE,
    "event": LASTCHANGE,
    "fold": LASTCHANGE,
    "description": ROOT.format("<device>{}</device>"),
    "scpd": SCPD.format("<serviceStateTable>{}</serviceStateTable>"),
}

# --- HTTP and datagrams ---


def cut(feed: Callable[[bytes], object], data: bytes) -> None:
    for begin in range(0, len(data), 300):
        feed(data[begin : begin + 300])


def requests(data: bytes) -> object:
    return RequestParser(UNLIMITED, peer=PEER, local=LOCAL).feed(data)


def requests_in_pieces(data: bytes) -> None:
    cut(RequestParser(UNLIMITED, peer=PEER, local=LOCAL).feed, data)


def passed_head(data: bytes) -> object:
    """The lines of ``data`` as another server tells them."""
    first, *lines = data.split(b"\r\n")
    method, target, _ = (*first.decode("latin-1").split(" ", 2), "", "", "")[:3]
    pairs = [(name, value) for name, _, value in (line.partition(b":") for line in lines)]
    return judge_passed_head(Request(method, target, pairs, peer=PEER, local=LOCAL), UNLIMITED)


def responses(data: bytes) -> object:
    parser = ResponseParser(UNLIMITED)
    return parser.feed(data), parser.end()


def responses_in_pieces(data: bytes) -> None:
    parser = ResponseParser(UNLIMITED)
    cut(parser.feed, data)
    parser.end()


HTTP = {
    "headers": repeated("A#: 1\r\n"),
    "one header often": repeated("A: 1\r\n"),
    "a long header": lambda size: f"A: {'x' * size}\r\n",
    "a long name": lambda size: f"{'x' * size}: 1\r\n",
    "white space in a header": lambda size: f"A: {' ' * size}x\r\n",
    "white space before the colon": lambda size: f"A{' ' * size}: x\r\n",
    "folded lines": lambda size: "A: 1\r\n" + repeated(" x\r\n")(size),
    "bare line feeds": repeated("A: 1\n"),
    "bare carriage returns": repeated("A: 1\r"),
    "lines without a colon": repeated("x\r\n"),
    "colons": repeated(":"),
    "nuls": repeated("A: \0\r\n"),
    "content lengths": repeated("Content-Length: 0\r\n"),
    "a content length of many digits": lambda size: f"Content-Length: {'1' * size}\r\n",
    "lists of content lengths": lambda size: f"Content-Length: {repeated('0, ')(size)}0\r\n",
    "transfer codings": lambda size: f"Transfer-Encoding: {repeated('a, ')(size)}\r\n",
    "commas in a transfer coding": lambda size: f"Transfer-Encoding: {' ,' * (size // 2)}\r\n",
    "connection options": lambda size: f"Connection: {repeated('a, ')(size)}\r\n",
}
BODIES = {
    "a body": lambda size: f"Content-Length: {size}\r\n\r\n{'x' * size}",
    "chunks": lambda size: (
        "Transfer-Encoding: chunked\r\n\r\n" + repeated("40\r\n" + "x" * 64 + "\r\n")(size)
    ),
    "a chunk": lambda size: f"Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n{'x' * size}",
    "an extension of a chunk": lambda size: (
        f"Transfer-Encoding: chunked\r\n\r\n1;{'x' * size}\r\nx\r\n"
    ),
    "trailers": lambda size: "Transfer-Encoding: chunked\r\n\r\n0\r\n" + repeated("A: 1\r\n")(size),
    "a trailer": lambda size: f"Transfer-Encoding: chunked\r\n\r\n0\r\nA: {'x' * size}",
}
FIRST = {
    "requests": "NOTIFY /a HTTP/1.1\r\nHOST: 192.0.2.1\r\n",
    "requests in pieces": "NOTIFY /a HTTP/1.1\r\nHOST: 192.0.2.1\r\n",
    "passed requests": "NOTIFY /a HTTP/1.1\r\nHOST: 192.0.2.1\r\n",
    "responses": "HTTP/1.1 200 OK\r\n",
    "responses in pieces": "HTTP/1.1 200 OK\r\n",
    "datagrams": "NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.246:7900\r\n",
    "advertisements": "NOTIFY * HTTP/1.1\r\nNTS: ssdp:alive\r\n",
    "searches": "M-SEARCH * HTTP/1.1\r\nMX: 1\r\n",
}
MESSAGES: dict[str, Read] = {
    "requests": requests,
    "requests in pieces": requests_in_pieces,
    "passed requests": passed_head,
    "responses": responses,
    "responses in pieces": responses_in_pieces,
    "datagrams": lambda data: read_multicast(parse_datagram(data, UNLIMITED)),
    "advertisements": lambda data: read_datagram(data, UNLIMITED),
    "searches": lambda data: read_search(data, multicast=True, limits=UNLIMITED),
}
START_LINES = {
    "a long method": lambda size: "X" * size + " / HTTP/1.1\r\n\r\n",
    "a long target": lambda size: f"GET /{'x' * size} HTTP/1.1\r\n\r\n",
    "white space in the first line": lambda size: f"NOTIFY {' ' * size}* HTTP/1.1\r\n\r\n",
    "white space in a status line": lambda size: f"HTTP/1.1 {' ' * size}200\r\n\r\n",
    "a long reason": lambda size: f"HTTP/1.1 200 {'x ' * (size // 2)}\r\n\r\n",
    "empty lines": repeated("\r\n"),
    "requests in a row": repeated("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "responses in a row": repeated("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    "interim responses": repeated("HTTP/1.1 100 Continue\r\n\r\n"),
    "searches": repeated("M-SEARCH * HTTP/1.1\r\n"),
    "starts of notifies": repeated("NOTIFY * HTTP/1.1\r\n"),
}
SSDP_HEADERS = {
    "OPT": ["a {}b", '"http://schemas.upnp.org/upnp/1/0/";{}ns=01', '"x"; ns=01,'],
    "CACHE-CONTROL": ["max-age{}", "max-age = ", 'max-age="', "max-age=1"],
    "USN": ["uuid:a::{}", "uuid:a", "::"],
    "LOCATION": ["http://192.0.2.7/{}", "http://"],
    "BOOTID.UPNP.ORG": ["1", " 1"],
    "NT": ["uuid:", "urn:a:device:b:1"],
}

# --- values and URLs ---

HEADER_VALUES: dict[str, Read] = {
    "callback": lambda value: parse_callback(value, UNLIMITED),
    "callbacks that are judged": lambda value: judge_callbacks(
        (f"http://192.0.2.7:80/{value.decode('latin-1')}", value.decode("latin-1")),
        peer=PEER,
        local=LOCAL,
        on_link=(),
        policy="same-host",
        lenient=True,
        limits=UNLIMITED,
    ),
    "timeout": lambda value: parse_timeout(value, lenient=True),
    "statevar": lambda value: parse_statevar(value, UNLIMITED),
    "sid": lambda value: parse_sid(value, UNLIMITED),
    "seq": parse_seq,
    "host": parse_host,
    "soapaction": parse_soapaction,
    "url": lambda value: endpoint_of_url(value.decode("latin-1"), lambda name: 1),
    "event url": lambda value: http_url(value.decode("latin-1")),
    "redirect": lambda value: redirect_url(
        "http://192.0.2.7/a", Response(307, [(b"LOCATION", value)])
    ),
    "location": lambda value: judge_location(value.decode("latin-1"), source=PEER, on_link=()),
    "text for people": lambda value: printable(value.decode("latin-1")),
    "name": lambda value: check_variable_name(value.decode("latin-1")),
    "containers": lambda value: parse_container_update_ids(value.decode("latin-1")),
    "containers that are merged": lambda value: CONTAINERS(*[value.decode("latin-1")] * 2),
    "data type": lambda value: data_type(value.decode("latin-1")),
    **{
        f"type {name}": lambda value, each=each: each.parse(value.decode("latin-1"))
        for name, each in DATA_TYPES.items()
    },
}
VALUES = [
    *("x", "1", "9", "0", " ", "\t", ",", "<", ">", "<>", "<http://192.0.2.7/>", ", <a>", "/", "?"),
    *(".", "..", "../", ":", "::", "[", "]", "@", "%", "%25", "#", "-", "+", "=", ";", "\\", "\\,"),
    *("a,", "a,1,", "1.", "1 ", "e1", "T", "1:", "00:", "{", "Second-", "\xe9", "\x85", "\n", "\0"),
]
BEGINNINGS = {
    "url": ["http://", "http://192.0.2.7/", "http://[", "http://[fe80::1%", "http://[fe80::1]"],
    "callback": ["<http://", "<", ", "],
    "timeout": ["Second-", "1.", "0:"],
    "type": ["1.", "1e", "-", " ", "1970-01-01T", "{"],
    "": ["[", "uuid:", "a:"],
}


def shapes_of(value: str) -> Iterator[tuple[str, Shape]]:
    """Each piece again and again, behind what a value of this kind may begin with, and before
    something that does not fit."""
    kind = next(kind for kind in BEGINNINGS if kind in value or kind == "")
    for piece in VALUES:
        for beginning in ("", *BEGINNINGS[kind]):
            yield f"{beginning!r} {piece!r}", around(beginning, repeated(piece), "!")


# --- the comparison ---


def inside(outside: str, shape: Shape) -> Shape:
    return lambda size: outside.replace("{}", shape(size))


def excess(read: Read, shape: Shape, *, attempts: int = 3) -> str:
    """What grows faster than the input; "" if nothing does. Documented errors are no result."""

    def work(size: int) -> Callable[[], None]:
        text = shape(size)
        raw = "surrogateescape" if "\udce9" in text else "surrogatepass"
        data = text.encode("utf-8", raw)

        def run() -> None:
            with contextlib.suppress(PropchangeError, ValueError):
                read(data)

        return run

    few, many = steps(work(1_000)), steps(work(4_000))
    if many > 5 * few + 3_000:
        return f"{few} lines for 1,000 characters, {many} lines for 4,000"
    short, long = work(16_000), work(64_000)
    once = fourfold = 0.0
    for _ in range(attempts):
        if seconds(long, best_of=1) < 0.016:
            return ""
        fourfold = seconds(long)
        if fourfold < 8 * (once := seconds(short)):
            return ""
    return f"{once:.4f} s for 16,000 characters, {fourfold:.4f} s for 64,000"


def assert_linear(read: Read, shapes: dict[str, Shape]) -> None:
    found = {name: excess(read, shape) for name, shape in shapes.items()}
    assert {name: words for name, words in found.items() if words} == {}


@pytest.mark.parametrize(
    ("reader", "place"),
    [(reader, place) for reader, places in PLACES.items() for place in range(len(places))],
)
def test_no_shape_of_xml_costs_more_than_linear_time(reader: str, place: int) -> None:
    outside = PLACES[reader][place]
    assert_linear(READERS[reader], {name: inside(outside, shape) for name, shape in XML.items()})


@pytest.mark.parametrize("reader", OF_ONE_READER)
def test_no_list_in_a_document_costs_more_than_linear_time(reader: str) -> None:
    assert_linear(
        READERS[reader],
        {name: inside(OUTSIDE[reader], shape) for name, shape in OF_ONE_READER[reader].items()},
    )


@pytest.mark.parametrize("reader", MESSAGES)
def test_no_message_costs_more_than_linear_time(reader: str) -> None:
    first = FIRST[reader]
    shapes = {name: inside(first + "{}\r\n", shape) for name, shape in HTTP.items()}
    shapes |= {f"{name}, cut off": inside(first + "{}", shape) for name, shape in HTTP.items()}
    shapes |= {name: inside(first + "{}", shape) for name, shape in BODIES.items()}
    assert_linear(MESSAGES[reader], shapes | START_LINES)


@pytest.mark.parametrize("header", SSDP_HEADERS)
def test_no_header_of_an_advertisement_costs_more_than_linear_time(header: str) -> None:
    others = (
        "NOTIFY * HTTP/1.1\r\nNTS: ssdp:alive\r\nUSN: uuid:a\r\nLOCATION: http://a/\r\nOPT: x\r\n"
    )
    shapes = {}
    for begin in SSDP_HEADERS[header]:
        for piece in (" ", "\t", "x", "1", ",", ";", '"', "=", begin):
            text = begin if "{}" in begin else "{}"
            piece = piece.replace("{}", "")
            shapes[f"{begin} {piece!r}"] = inside(
                f"{others}{header}: {text}\r\n\r\n", repeated(piece.replace("#", ""))
            )
    assert_linear(MESSAGES["advertisements"], shapes)


@pytest.mark.parametrize("value", HEADER_VALUES)
def test_no_value_costs_more_than_linear_time(value: str) -> None:
    assert_linear(HEADER_VALUES[value], dict(shapes_of(value)))


@pytest.mark.parametrize("reader", [*READERS, *MESSAGES])
def test_no_input_takes_more_than_a_hundred_times_its_bytes_in_memory(reader: str) -> None:
    read = (READERS | MESSAGES)[reader]
    if reader in MESSAGES:
        shapes = {name: inside(FIRST[reader] + "{}\r\n", each) for name, each in HTTP.items()}
    else:
        outside = PLACES.get(reader, [OUTSIDE.get(reader, "{}")])[-1]
        shapes = {name: inside(outside, shape) for name, shape in XML.items()}
        lists = OF_ONE_READER.get(reader, {})
        shapes |= {name: inside(OUTSIDE[reader], shape) for name, shape in lists.items()}
    found = {}
    for name, shape in shapes.items():
        text = shape(8_000)
        data = text.encode("utf-8", "surrogateescape" if "\udce9" in text else "surrogatepass")
        times = memory(lambda data=data: read_any(read, data)) / len(data)
        if times > 100:
            found[name] = f"{times:.0f} times"
    assert found == {}


def read_any(read: Read, data: bytes) -> object:
    with contextlib.suppress(PropchangeError, ValueError):
        return read(data)
    return None


def test_a_quadratic_reader_is_found() -> None:
    def search(data: bytes) -> object:
        return re.sub(rb"<\?xml[^>]*>", b"", data)

    def loops(data: bytes) -> object:
        return [None for first in data for second in data]

    assert "s for 64,000" in excess(search, repeated("<?xml"), attempts=1)
    assert "lines for 4,000" in excess(loops, repeated("x"), attempts=1)
