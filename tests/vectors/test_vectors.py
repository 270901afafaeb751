"""Each accepted or survived deviation, as bytes of a peer, through HTTP and the core.

A folder is one exchange: what the peer sends, one message a file, in order, and what becomes of
it in ``expected.toml``. ``origin`` there says whether the bytes were recorded, and from whom, or
written by hand. Deviations that code asks about are rows of ``propchange.core.tolerance``; the
``expected.toml`` of every other one says itself what the deviation is, whether it is accepted, and
what happens.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable
from dataclasses import fields
from ipaddress import ip_network
from math import inf
from pathlib import Path
from typing import Any

import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.local_addresses import OnLink
from propchange.core.publisher.judge import PublisherPolicy
from propchange.core.publisher.outcomes import (
    AttemptTimedOut,
    MessageAbandoned,
    Renewed,
    Subscribed,
)
from propchange.core.publisher.protocol import PublisherProtocol
from propchange.core.publisher.records import EventedVariable
from propchange.core.subscriber.events import Event
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.subscriber.protocol import SubscriberProtocol
from propchange.core.tolerance import TOLERANCES, Tolerance
from propchange.core.values.data_types import data_type
from propchange.core.wire.messages import Delivery, DeliveryFailure, Endpoint
from propchange.errors import ActionError, RemoteProtocolError
from propchange.http import RequestParser, ResponseParser, encode_delivery, encode_response
from propchange.upnp.soap import Call, parse_answer, parse_call, parse_soapaction

VECTORS = Path(__file__).parent
EXPECTED = {
    folder.name: tomllib.loads((folder / "expected.toml").read_text("utf-8"))
    for folder in sorted(VECTORS.iterdir())
    if (folder / "expected.toml").exists()
}


def _row(expected: dict[str, Any]) -> Tolerance:
    asked = TOLERANCES.get((expected["role"], expected["row"]))
    if asked is not None:
        assert "deviation" not in expected  # each row stands in one place
        return asked
    words = ("row", "role", "deviation", "accepted", "result_in_words", "source")
    return Tolerance(*(expected[word] for word in words))


ROWS = {(each["role"], each["row"]): _row(each) for each in EXPECTED.values()}

DEFAULT_DURATION = 1799  # of the policy below: no peer asks for that

SECTION_12 = {
    # As publisher, from control points:
    "lower-case second-300": ("publisher", "timeout-case"),
    "Second-1800.0": ("publisher", "timeout-decimal"),
    "Second-0:30:00": ("publisher", "timeout-clock"),
    "missing NT": ("publisher", "nt-missing"),
    "NT: upnp:propchange": ("publisher", "nt-propchange"),
    "single URL without brackets": ("publisher", "callback-bare"),
    "trailing NUL": ("publisher", "trailing-nul"),
    "HTTP/1.0 replies to NOTIFY": ("publisher", "answer-http-1.0"),
    "200 for unknown SIDs": ("publisher", "answer-200-unknown-sid"),
    "no reply at all": ("publisher", "answer-none"),
    "renewals after expiry": ("publisher", "renewal-late"),
    "renewals carrying CALLBACK": ("publisher", "renewal-with-callback"),
    # As subscriber, from devices:
    "initial event before the SUBSCRIBE response": ("subscriber", "initial-event-early"),
    "SID without uuid:": ("subscriber", "sid-without-uuid"),
    "TIMEOUT without Second-": ("subscriber", "timeout-bare"),
    "TIMEOUT missing": ("subscriber", "timeout-missing"),
    "new SID on renewal": ("subscriber", "sid-changed"),
    "404 instead of 412": ("subscriber", "renewal-404"),
    "SEQ always 0": ("subscriber", "seq-always-0"),
    "SEQ missing": ("subscriber", "seq-missing"),
    "SEQ not incremented after failures": ("subscriber", "seq-not-spent"),
    "text/xml without charset": ("subscriber", "content-type"),
    "variables not in the SCPD": ("subscriber", "variable-unknown"),
    "several variables in one property": ("subscriber", "property-several"),
    "unescaped LastChange": ("subscriber", "last-change-nested"),
    "300 s leases": ("subscriber", "duration-short"),
    "events from another source address": ("subscriber", "foreign-source"),
}
"""The list of section 12 of the clauses, and the row that each is."""

REFUSALS = ("400", "402", "412")
"""What a deviation is refused with: 402 is the code of a fault, the others are statuses."""

_TOLD = ("SeqUnreliable", "ForeignSource", "Unreadable", "Mended")
"""The outcomes that a vector may expect, besides events."""

Cut = Callable[[bytes], Iterable[bytes]]

CUTS: dict[str, Cut] = {
    "whole": lambda data: [data],
    "byte by byte": lambda data: [data[at : at + 1] for at in range(len(data))],
}


def endpoint(authority: str) -> Endpoint:
    host, _, port = authority.rpartition(":")
    return Endpoint(host, int(port))


def header(message: bytes, name: bytes) -> str:
    """The first ``name`` in a message as it stands."""
    for line in message.split(b"\r\n\r\n")[0].split(b"\r\n")[1:]:
        field, _, value = line.partition(b":")
        if field.strip().lower() == name:
            return value.strip().decode("latin-1")
    raise AssertionError(f"no {name!r} in {message!r}")


def parse_response(data: bytes, method: str, cut: Cut) -> Any:
    parser = ResponseParser(DEFAULT_LIMITS)
    parser.expect(method)
    responses = [response for piece in cut(data) for response in parser.feed(piece)]
    last = parser.end()
    (response,) = [*responses, last] if last is not None else responses
    return response


class Publisher:
    """We publish; the peer is a control point."""

    def __init__(self, expected: dict[str, Any], cut: Cut) -> None:
        self.cut = cut
        self.path = expected["path"]
        self.protocol = PublisherProtocol(
            new_sid=lambda: expected["sid"],
            on_link=lambda _: (OnLink(ip_network("10.77.0.0/16"), 0),),
            policy=PublisherPolicy(default_duration=DEFAULT_DURATION),
        )
        self.protocol.add_service(self.path, {"Temperature": EventedVariable("20")})
        self.local = Endpoint("10.77.0.1", 8000)
        self.now = 0.0
        self.outcomes: list[object] = []
        self.deliveries: list[Delivery] = []
        self.delivered = 0

    def step(self, data: bytes | None, step: dict[str, Any]) -> int | None:
        """Take what the peer sends; the status of our answer to it, None for an answer of its
        own."""
        if "update" in step:
            self.protocol.update(self.path, {"Temperature": step["update"]}, self.now)
            self.drain()
        if data is None:
            assert self.deliveries
            self.pass_time(step["after"])
            return None
        self.pass_time(step.get("after", 0.0))
        if data.startswith(b"HTTP/"):
            delivery = self.deliveries.pop(0)
            assert encode_delivery(delivery).startswith(b"NOTIFY ")
            response = parse_response(data, "NOTIFY", self.cut)
            self.protocol.delivery_ended(delivery, response.status, self.now)
            self.delivered += 1
            self.drain()
            return None
        host = header(data, b"host")
        if host.partition(":")[0] == self.local.host:
            self.local = endpoint(host)
        peer = Endpoint(step.get("peer", "10.77.0.2"), 40000)
        if b"<http://10.77.0.1:" in data:
            peer = Endpoint("10.77.0.1", 40000)
        parser = RequestParser(DEFAULT_LIMITS, peer=peer, local=self.local)
        requests = [request for piece in self.cut(data) for request in parser.feed(piece)]
        if parser.error is not None:
            assert not requests
            return parser.error.status
        (request,) = requests
        response = self.protocol.receive_request(request, self.now)
        assert encode_response(response)
        if response.receipt is not None:
            self.protocol.response_sent(response, self.now)
        self.drain()
        return response.status

    def pass_time(self, seconds: float) -> None:
        # The runtime calls at each deadline; so does this.
        end = self.now + seconds
        while (due := self.protocol.next_deadline()) is not None and due <= end:
            self.now = max(due, self.now)
            self.protocol.handle_deadline(self.now)
            self.drain()
        self.now = end

    def drain(self) -> None:
        self.deliveries += self.protocol.take_deliveries(16)
        for outcome in self.protocol.take_outcomes():
            self.outcomes.append(outcome)
            if isinstance(outcome, AttemptTimedOut):
                self.deliveries.remove(outcome.delivery)
                self.protocol.delivery_ended(outcome.delivery, DeliveryFailure.TIMED_OUT, self.now)
                self.drain()

    def result(self) -> dict[str, Any]:
        granted = [o.duration for o in self.outcomes if isinstance(o, Subscribed | Renewed)]
        subscriptions = list(self.protocol.subscriptions)
        return {
            "subscriptions": len(subscriptions),
            "granted": granted[-1] if granted else None,
            "callbacks": [url for each in subscriptions for url in each.callbacks],
            "delivered": self.delivered,
            "abandoned": sum(isinstance(o, MessageAbandoned) for o in self.outcomes),
        }


class Subscriber:
    """We subscribe; the peer is a device."""

    def __init__(self, expected: dict[str, Any], cut: Cut) -> None:
        self.cut = cut
        self.local = endpoint(expected["callback"])
        self.now = 0.0
        paths = iter([expected["path"][1:]])
        self.protocol = SubscriberProtocol(
            # A fresh subscription goes on under the recorded path.
            new_token=lambda: next(paths, expected["path"][1:]),
            jitter=lambda: 0.5,
            policy=SubscriberPolicy(uda=expected.get("uda", "1.1")),
        )
        self.record = self.protocol.subscribe(
            expected["event_url"],
            self.now,
            convert={name: data_type(type_).parse for name, type_ in expected["declared"].items()},
            variables=expected.get("variables", ()),
        )
        self.device = expected["event_url"].split("/")[2]
        self.outcomes: list[object] = []
        self.requests: list[Any] = []
        self.drain()

    def step(self, data: bytes | None, step: dict[str, Any]) -> int | None:
        """Take what the peer sends; the status of our answer to it, None for an answer of its
        own."""
        assert data is not None
        self.pass_time(step.get("after", 0.0))
        status = None
        if data.startswith(b"HTTP/"):
            request = self.requests.pop(0)
            message = request.build(self.local)
            request.remote = endpoint(self.device)
            response = parse_response(data, message.method, self.cut)
            self.protocol.response_received(request, response, self.now)
        else:
            peer = Endpoint(step.get("peer", endpoint(self.device).host), 40000)
            # So that CALLBACK has been built, as it is when it is sent.
            for request in self.requests:
                request.build(self.local)
            parser = RequestParser(DEFAULT_LIMITS, peer=peer, local=self.local)
            requests = [request for piece in self.cut(data) for request in parser.feed(piece)]
            if parser.error is not None:
                assert not requests
                return parser.error.status
            (notify,) = requests
            answer = self.protocol.receive_notify(notify, self.now)
            assert encode_response(answer)
            status = answer.status
        self.drain()
        return status

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.protocol.handle_deadline(self.now)
        self.drain()

    def drain(self) -> None:
        self.requests += self.protocol.take_requests()
        self.outcomes += self.protocol.take_outcomes()

    def result(self) -> dict[str, Any]:
        record = self.record
        events = [outcome for outcome in self.outcomes if isinstance(outcome, Event)]
        granted = record.duration_granted
        return {
            "granted": "infinite" if granted == inf else granted,
            "sid": record.sid,
            "renewals": record.renewals,
            "values": record.values,
            "seqs": [-1 if event.seq is None else event.seq for event in events],
            "texts": {
                change.variable: change.text
                for event in events
                for change in event.details
                if change.value is None
            },
            "told": [
                type(outcome).__name__
                for outcome in self.outcomes
                if type(outcome).__name__ in _TOLD
            ],
            "accepted_statevar": list(record.accepted or ()),
            "problems": list(record.problems),
        }


class Device:
    """We have a service with actions; the peer is a control point."""

    def __init__(self, expected: dict[str, Any], cut: Cut) -> None:
        self.cut = cut
        self.call: Call | None = None
        self.soapaction: tuple[str, str] | None = None

    def step(self, data: bytes | None, step: dict[str, Any]) -> int | None:
        """Take what the peer sends; the status or the error code of our answer to it."""
        assert data is not None
        peer, local = Endpoint("10.77.0.2", 40000), Endpoint("10.77.0.1", 8000)
        parser = RequestParser(DEFAULT_LIMITS, peer=peer, local=local)
        (request,) = [request for piece in self.cut(data) for request in parser.feed(piece)]
        self.soapaction = parse_soapaction(header(data, b"soapaction").encode("latin-1"))
        try:
            self.call = parse_call(request.body)
        except RemoteProtocolError as error:
            return error.status
        except ActionError as error:
            return error.code
        return 200

    def result(self) -> dict[str, Any]:
        found = {} if self.call is None else self.call._asdict()
        soapaction = list(self.soapaction or ())
        problems = list(found.get("problems", ()))
        return {**found, "problems": problems, "soapaction": soapaction}


class ControlPoint:
    """We call an action; the peer is a device."""

    def __init__(self, expected: dict[str, Any], cut: Cut) -> None:
        self.cut = cut
        self.action = expected["action"]
        self.found: dict[str, Any] = {}

    def step(self, data: bytes | None, step: dict[str, Any]) -> int | None:
        """Take the answer of the peer. It is not answered."""
        assert data is not None
        response = parse_response(data, "POST", self.cut)
        try:
            texts, problems = parse_answer(response.body, response.status, self.action)
        except ActionError as error:
            self.found = {"error": ["ActionError", error.code, error.description]}
        else:
            self.found = {"texts": texts, "problems": list(problems)}
        return None

    def result(self) -> dict[str, Any]:
        return self.found


ROLES: dict[str, Callable[[dict[str, Any], Cut], Any]] = {
    "publisher": Publisher,
    "subscriber": Subscriber,
    "device": Device,
    "control-point": ControlPoint,
}


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", EXPECTED)
def test_a_peers_bytes_are_survived_or_accepted_as_the_table_says(name: str, cut: str) -> None:
    expected = EXPECTED[name]
    row = ROWS[expected["role"], expected["row"]]
    exchange = ROLES[expected["role"]](expected, CUTS[cut])
    answers = []
    for step in expected["step"]:
        data = None if "silence" in step else (VECTORS / name / step["file"]).read_bytes()
        status = exchange.step(data, step)
        assert status == step.get("answer"), step
        answers.append(status)

    result = exchange.result()
    assert {key: result[key] for key in expected["result"]} == expected["result"]
    # And this is what the table says.
    if row.result in REFUSALS:
        assert not row.accepted
        assert int(row.result) in answers
    elif row.result == "as if TIMEOUT were absent":
        assert not row.accepted
        assert result["granted"] == DEFAULT_DURATION
    else:
        assert row.accepted
        stray = {412} if row.name == "sid-changed" else set()  # the old SID is unknown then
        assert set(answers) - stray <= {200, None}


def test_every_row_of_the_table_has_a_vector_and_every_vector_a_row() -> None:
    assert set(TOLERANCES) <= set(ROWS)
    assert {f"{each['role']}-{each['row']}" for each in EXPECTED.values()} == set(EXPECTED)


def test_every_deviation_of_section_12_is_a_row_of_the_table() -> None:
    assert set(SECTION_12.values()) <= set(ROWS)
    rows = {key for key, row in ROWS.items() if "§12" in row.source}
    # A control point asks for a short duration, too: what is §12 for one role may be for both.
    assert {name for _, name in rows} == {name for _, name in SECTION_12.values()}


@pytest.mark.parametrize("name", EXPECTED)
def test_every_file_of_a_vector_is_played_and_has_an_origin(name: str) -> None:
    expected = EXPECTED[name]
    played = {step["file"] for step in expected["step"] if "file" in step}
    there = {path.name for path in (VECTORS / name).iterdir()} - {"expected.toml"}
    assert played == there
    assert expected["origin"].startswith(("recorded: ", "written by hand"))


@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: f"{row.role}-{row.name}")
def test_a_row_says_what_happens_and_where_it_comes_from(row: Tolerance) -> None:
    assert row.role in ROLES
    assert row.deviation
    assert row.result
    assert row.source
    # What is refused has a status, or is treated like something that is not there.
    assert row.accepted or row.result in (*REFUSALS, "as if TIMEOUT were absent")


@pytest.mark.parametrize("name", [name for name in EXPECTED if "switch" in EXPECTED[name]])
def test_a_switch_is_a_field_of_the_policy_of_that_role(name: str) -> None:
    expected = EXPECTED[name]
    policy = PublisherPolicy if expected["role"] == "publisher" else SubscriberPolicy
    assert expected["switch"] in {field.name for field in fields(policy)}
