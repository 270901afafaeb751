"""The lines of what control points do with a hosted device."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from propchange import Request, Response
from propchange.cli.jsonlines import JSONLines
from propchange.cli.lines import Source
from propchange.cli.output import Writer
from propchange.cli.publisher_printer import _SIDS_KEPT, PublisherPrinter
from propchange.core import (
    AttemptFailed,
    Disowned,
    Endpoint,
    Expired,
    InitialEventDelivered,
    Merged,
    MessageAbandoned,
    Refused,
    Renewed,
    Subscribed,
    Unsubscribed,
)
from propchange.upnp.simulated_services import SimulatedRendering
from propchange.upnp.soap import build_answer, build_call, build_fault

CONTROL = "/RenderingControl/control"
RENDERING = "urn:schemas-upnp-org:service:RenderingControl:1"
PEER = Endpoint("192.0.2.7", 40_000)
LAMP = Source("Lamp", "Switch", "uuid:d")
SUBSCRIBED = Subscribed("uuid:s", "/Switch/event", ("http://192.0.2.7:5/",), PEER, 300)


class Kept(Writer):
    """Keeps the lines. ``full``: its reader stalls."""

    def __init__(self) -> None:
        super().__init__(io.StringIO())
        self.lines: list[dict[str, Any]] = []
        self.full = False

    @property
    def is_full(self) -> bool:
        return self.full

    def put(self, text: str) -> None:
        self.lines.append(json.loads(text))


@pytest.fixture
def writer() -> Kept:
    return Kept()


@pytest.fixture
def printer(writer: Kept) -> PublisherPrinter:
    printer = PublisherPrinter(writer, JSONLines())
    printer.sources["/Switch/event"] = LAMP
    printer.controls[CONTROL] = LAMP, SimulatedRendering()
    return printer


def called(name: str, **arguments: str) -> Request:
    """A call of the action ``name``."""
    body = build_call(RENDERING, name, arguments)
    return Request("POST", f"{CONTROL}?a", (), body, peer=PEER)


OUTCOMES = [
    (Renewed("uuid:s", 300), "renewed", "SID uuid:s"),
    (InitialEventDelivered("uuid:s", "/Switch/event"), "delivered", "the initial event, SID"),
    (Unsubscribed("uuid:s"), "unsubscribed", "SID uuid:s"),
    (Expired("uuid:s"), "expired", "it was not renewed, SID uuid:s"),
    (Disowned("uuid:s"), "disowned", "an event was answered 412, SID uuid:s"),
    (MessageAbandoned("uuid:s", 3, "no answer"), "undelivered", "the event with SEQ 3: no answer"),
    (Merged("uuid:s", 4, 9), "merged", "9 events into SEQ 4: the subscriber is behind"),
]


@pytest.mark.parametrize(("outcome", "status", "reason"), OUTCOMES)
def test_an_outcome_of_a_subscription_names_its_service(
    printer: PublisherPrinter, writer: Kept, outcome: object, status: str, reason: str
) -> None:
    printer.tap(SUBSCRIBED)
    printer.tap(outcome)

    subscribed, line = writer.lines
    assert (subscribed["status"], subscribed["grant"]["duration"]) == ("subscribed", 300)
    assert (line["status"], line["device"], line["service"]) == (status, "Lamp", "Switch")
    assert reason in line["reason"]


@pytest.mark.parametrize("ending", [Unsubscribed, Expired, Disowned])
def test_a_subscription_that_has_ended_is_forgotten(printer: PublisherPrinter, ending: Any) -> None:
    printer.tap(SUBSCRIBED)
    printer.tap(ending("uuid:s"))
    assert printer._sids == {}


def test_a_refusal_has_the_address_the_status_and_the_clause(
    printer: PublisherPrinter, writer: Kept
) -> None:
    printer.tap(Refused("/Switch/event", PEER, 412, "there is no CALLBACK", "UDA 2.0 §4.1.2"))
    printer.tap(Refused("/nothing", None, 404, "nothing is there"))

    known, unknown = writer.lines
    assert known["service"] == "Switch"
    assert known["reason"] == "192.0.2.7 was answered 412: there is no CALLBACK (UDA 2.0 §4.1.2)"
    assert unknown["service"] is None
    assert unknown["reason"] == "an unknown peer was answered 404: nothing is there"


def test_what_is_not_for_people_has_no_line(printer: PublisherPrinter, writer: Kept) -> None:
    printer.tap(AttemptFailed("uuid:s", 1, "http://192.0.2.7:5/", "no answer"))
    printer.tap(object())
    assert writer.lines == []


def test_peers_cannot_fill_a_disk(printer: PublisherPrinter, writer: Kept) -> None:
    for number in range(20_000):
        printer.tap(Refused(f"/{number}", PEER, 404, f"nothing is at {number}"))
    assert len(writer.lines) <= 1_100


def test_a_flood_of_refusals_hides_no_subscription(printer: PublisherPrinter, writer: Kept) -> None:
    for _ in range(20_000):
        printer.tap(Refused("/", PEER, 404, "nothing is there"))
    printer.tap(SUBSCRIBED)
    assert writer.lines[-1]["status"] == "subscribed"


def test_lines_are_left_out_while_the_reader_stalls(
    printer: PublisherPrinter, writer: Kept
) -> None:
    writer.full = True
    printer.tap(SUBSCRIBED)
    writer.full = False
    printer.tap(Renewed("uuid:s", 300))
    assert [line["status"] for line in writer.lines] == ["renewed"]


def test_the_sids_of_lost_outcomes_do_not_stay_for_ever(printer: PublisherPrinter) -> None:
    for number in range(_SIDS_KEPT + 10):
        printer.tap(Subscribed(f"uuid:{number}", "/Switch/event", (), PEER, 300))
    assert len(printer._sids) == _SIDS_KEPT


# --- calls ---


def test_a_call_has_its_typed_arguments_and_its_answer(
    printer: PublisherPrinter, writer: Kept
) -> None:
    printer.tap(called("GetVolume", InstanceID="0", Channel="Master"))
    printer.tap(Response(200, (), build_answer(RENDERING, "GetVolume", {"CurrentVolume": "13"})))

    (line,) = writer.lines
    assert (line["kind"], line["action"], line["peer"]) == ("called", "GetVolume", "192.0.2.7")
    assert (line["device"], line["service"]) == ("Lamp", "Switch")
    assert line["arguments"] == {"InstanceID": 0, "Channel": "Master"}
    assert line["results"] == {"CurrentVolume": 13}
    assert (line["code"], line["description"], line["left_out"]) == (None, None, None)


def test_a_fault_has_its_code_and_description(printer: PublisherPrinter, writer: Kept) -> None:
    for name, texts in (("SelectPreset", {"InstanceID": "7x"}), ("Nonsense", {"A": "1"})):
        printer.tap(called(name, **texts))
        printer.tap(Response(500, (), build_fault(702, "Invalid InstanceID")))

    preset, nonsense = writer.lines
    assert (preset["code"], preset["description"]) == (702, "Invalid InstanceID")
    assert (preset["arguments"], preset["results"]) == ({"InstanceID": "7x"}, None)
    assert nonsense["arguments"] == {"A": "1"}


@pytest.mark.parametrize(
    ("body", "response"),
    [
        (b"<html/>", Response(500, (), build_fault(402, "Invalid Args"))),
        (build_call(RENDERING, "GetMute", {}), Response(415)),
    ],
)
def test_a_request_to_a_control_url_that_is_no_call_is_refused(
    printer: PublisherPrinter, writer: Kept, body: bytes, response: Response
) -> None:
    printer.tap(Request("POST", CONTROL, (), body, peer=PEER))
    printer.tap(response)

    (line,) = writer.lines
    assert line["status"] == "refused"
    told = f"192.0.2.7 was answered {response.status}: POST to the controlURL: "
    assert line["reason"].startswith(told)


def test_the_answer_to_another_request_is_not_taken_for_that_of_a_call(
    printer: PublisherPrinter, writer: Kept
) -> None:
    printer.tap(Response(200))
    printer.tap(Request("GET", "/description.xml", (), b"", peer=PEER))
    printer.tap(Response(200))
    assert writer.lines == []


def test_a_flood_of_calls_is_not_printed_whole(printer: PublisherPrinter, writer: Kept) -> None:
    answer = Response(200, (), build_answer(RENDERING, "SetMute", {}))
    for _ in range(3_000):
        printer.tap(called("SetMute"))
        printer.tap(answer)
    assert len(writer.lines) <= 1_100
    writer.full, before = True, len(writer.lines)
    printer.tap(called("SetMute"))
    printer.tap(answer)
    assert len(writer.lines) == before
