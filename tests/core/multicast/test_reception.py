"""Which multicast events a receiver accepts, and the outcome of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.multicast.message import MulticastMessage, MulticastScope, ServiceIdentity
from propchange.core.multicast.reception import (
    ExpectedService,
    MulticastEvent,
    MulticastMissed,
    MulticastOutcome,
    MulticastReception,
    MulticastRefused,
    NotBelieved,
)
from propchange.core.subscriber.events import Change
from propchange.core.values.data_types import data_type
from propchange.core.wire.headers import LARGEST_SEQ, next_seq
from propchange.core.wire.mending import problem
from propchange.core.wire.messages import Endpoint, Request
from propchange.core.wire.propertyset import format_propertyset
from propchange.errors import LocalProtocolError

IDENTITY = ServiceIdentity(
    "uuid:4D696E69-0000-4000-8000-000000000001",
    "urn:example.org:service:Thermometer:1",
    "urn:example-org:serviceId:Thermometer",
)
DEVICE = "10.0.0.1"
CONVERT = {"Temperature": data_type("r4").parse, "Alarm": data_type("boolean").parse}


class ControlPoint:
    """A reception that expects Temperature and Alarm of one service, and what it has told."""

    def __init__(
        self,
        *,
        limits: Limits = DEFAULT_LIMITS,
        convert: Mapping[str, Callable[[str], object]] | None = CONVERT,
    ) -> None:
        self.outcomes: list[MulticastOutcome] = []
        self.reception = MulticastReception(limits, self.outcomes.append)
        self.service = self.expect(IDENTITY, convert=convert)

    def expect(
        self,
        identity: ServiceIdentity,
        *,
        convert: Mapping[str, Callable[[str], object]] | None = None,
        sources: tuple[str, ...] = (DEVICE,),
        boot_id: int = 5,
    ) -> ExpectedService:
        return self.reception.expect(
            identity,
            variables=("Temperature", "Alarm"),
            sources=sources,
            boot_id=boot_id,
            convert=convert,
        )

    def receive(
        self,
        seq: int,
        *,
        source: str | None = DEVICE,
        usn: str = IDENTITY.usn,
        svcid: str = IDENTITY.service_id,
        level: str = "upnp:/info",
        boot_id: int = 5,
        body: bytes | None = None,
        **changes: str,
    ) -> list[MulticastOutcome]:
        """What the datagram brings; without changes it is Temperature, the SEQ."""
        changes = changes or {"Temperature": str(seq)}
        body = format_propertyset(changes.items()) if body is None else body
        message = MulticastMessage(usn, svcid, seq, level, boot_id, body)
        request = message.request(MulticastScope.IPV4)
        request.peer = None if source is None else Endpoint(source, 50_000)
        return self.receive_request(request)

    def receive_request(self, request: Request) -> list[MulticastOutcome]:
        before = len(self.outcomes)
        self.reception.receive(request)
        return self.outcomes[before:]

    def told(self) -> list[tuple[int, dict[str, object]]]:
        return [(o.seq, dict(o.changes)) for o in self.outcomes if isinstance(o, MulticastEvent)]

    def refused(self, *args: object, **options: object) -> NotBelieved:
        """The reason of the one outcome that the datagram brings."""
        (outcome,) = self.receive(*args, **options)  # type: ignore[arg-type] # any of receive
        assert isinstance(outcome, MulticastRefused)
        return outcome.reason


# --- what an event says ---


@pytest.mark.clause("MC-12")
def test_an_event_has_the_values_of_the_declared_types_and_all_that_the_message_says() -> None:
    control_point = ControlPoint()
    (event,) = control_point.receive(3, Temperature="20.5", Alarm="1", level="example.org:/x")
    assert event == MulticastEvent(
        control_point.service,
        "uuid:4D696E69-0000-4000-8000-000000000001::urn:example-org:service:Thermometer:1",
        "urn:example-org:serviceId:Thermometer",
        "example.org:/x",
        3,
        Endpoint(DEVICE, 50_000),
        {"Temperature": 20.5, "Alarm": True},
        (
            Change("Temperature", 20.5, None, None, None, "20.5"),
            Change("Alarm", True, None, None, None, "1"),
        ),
    )


def test_an_event_that_is_not_well_formed_says_what_was_mended() -> None:
    control_point = ControlPoint()
    body = format_propertyset([("Temperature", "1")]).replace(b">1<", b"> 1 <") + b"\x9c\xe4"
    (event,) = control_point.receive(3, body=body)
    assert isinstance(event, MulticastEvent)
    assert event.problems == (problem("xml-behind"),)
    (event,) = control_point.receive(4)
    assert isinstance(event, MulticastEvent)
    assert event.problems == ()


def test_without_types_values_are_text() -> None:
    control_point = ControlPoint(convert=None)
    control_point.receive(0, Temperature="20.5")
    assert control_point.told() == [(0, {"Temperature": "20.5"})]


def test_what_does_not_fit_its_type_arrives_as_text_and_the_rest_as_it_is() -> None:
    control_point = ControlPoint()
    (event,) = control_point.receive(0, Temperature="warm", Alarm="yes")
    assert isinstance(event, MulticastEvent)
    assert event.changes == {"Alarm": True}
    assert event.details[0] == Change("Temperature", None, None, None, None, "warm")
    untyped = ControlPoint(convert={"Alarm": data_type("boolean").parse})
    (event,) = untyped.receive(0, Temperature="1")
    assert isinstance(event, MulticastEvent)
    assert event.details == (Change("Temperature", None, None, None, None, "1"),)


def test_values_hold_what_was_told_and_an_event_says_what_was_there_before() -> None:
    control_point = ControlPoint()
    control_point.receive(0, Temperature="20", Alarm="0")
    (event,) = control_point.receive(1, Temperature="21")
    assert isinstance(event, MulticastEvent)
    assert event.details == (Change("Temperature", 21.0, 20.0, None, None, "21"),)
    assert control_point.service.values == {"Temperature": 21.0, "Alarm": False}


@pytest.mark.clause("MC-12", "MC-23")
def test_variables_that_are_not_multicast_are_dropped() -> None:
    control_point = ControlPoint()
    (event,) = control_point.receive(0, Temperature="1", Password="x")
    assert isinstance(event, MulticastEvent)
    assert event.changes == {"Temperature": 1.0}
    assert [change.variable for change in event.details] == ["Temperature"]


# --- repeated, late and missing ---


@pytest.mark.clause("MC-16", "MC-15")
def test_the_same_seq_again_is_told_once() -> None:
    control_point = ControlPoint()
    control_point.receive(0)
    control_point.receive(1)
    assert control_point.receive(1) == []
    assert control_point.receive(0) == []
    assert control_point.told() == [(0, {"Temperature": 0.0}), (1, {"Temperature": 1.0})]
    assert control_point.service.repeats == 2


@pytest.mark.clause("MC-16")
def test_the_same_seq_again_is_a_repetition_whatever_it_says() -> None:
    control_point = ControlPoint()
    control_point.receive(0, Temperature="1")
    control_point.receive(1, Temperature="2")
    assert control_point.receive(0, Alarm="1") == []
    assert control_point.receive(1, Alarm="1", Temperature="3") == []
    assert control_point.service.values == {"Temperature": 2.0}


@pytest.mark.clause("MC-19", "MC-16")
def test_what_comes_over_two_interfaces_from_two_addresses_is_told_once() -> None:
    control_point = ControlPoint()
    control_point.reception.record(IDENTITY.udn, sources=[DEVICE, "fe80::1"])
    control_point.receive(0)
    assert control_point.receive(0, source="fe80::1") == []
    control_point.receive(1, source="fe80::1")
    assert control_point.receive(1) == []
    assert [seq for seq, _ in control_point.told()] == [0, 1]


@pytest.mark.clause("AMB-9", "AMB-8", "MC-16")
def test_two_services_of_one_type_are_told_apart_by_svcid() -> None:
    control_point = ControlPoint()
    second = control_point.expect(replace(IDENTITY, service_id="urn:x:2"))
    control_point.receive(0)
    (event,) = control_point.receive(0, svcid="urn:x:2")
    assert isinstance(event, MulticastEvent)
    assert event.service is second


@pytest.mark.clause("AMB-9", "MC-16")
def test_with_another_boot_id_the_numbers_begin_anew() -> None:
    control_point = ControlPoint()
    for seq in range(100):
        control_point.receive(seq)
    control_point.reception.record(IDENTITY.udn, boot_id=6)
    assert control_point.service.boot_id == 6
    (event,) = control_point.receive(0, boot_id=6, Temperature="7")
    assert isinstance(event, MulticastEvent)
    # The same boot id once more changes nothing.
    control_point.reception.record(IDENTITY.udn, boot_id=6)
    assert control_point.receive(0, boot_id=6) == []


@pytest.mark.clause("MC-22")
def test_missing_events_are_told_before_the_event_that_shows_it() -> None:
    control_point = ControlPoint()
    control_point.receive(0)
    missed, event = control_point.receive(4)
    assert missed == MulticastMissed(control_point.service, 4, 3)
    assert isinstance(event, MulticastEvent)


@pytest.mark.clause("MC-22")
def test_the_first_event_that_is_heard_shows_no_gap() -> None:
    control_point = ControlPoint()
    assert [type(o) for o in control_point.receive(17)] == [MulticastEvent]


@pytest.mark.clause("MC-15", "MC-22")
def test_a_late_event_tells_only_what_no_later_event_has_told() -> None:
    control_point = ControlPoint()
    control_point.receive(0, Temperature="0")
    control_point.receive(3, Temperature="3")
    control_point.receive(1, Temperature="1", Alarm="1")
    assert control_point.receive(2, Temperature="2") == []
    assert control_point.told()[2:] == [(1, {"Alarm": True})]
    assert control_point.service.values == {"Temperature": 3.0, "Alarm": True}
    assert control_point.service.repeats == 1


@pytest.mark.clause("MC-09")
def test_the_number_after_the_largest_is_1() -> None:
    control_point = ControlPoint()
    control_point.receive(LARGEST_SEQ - 1)
    control_point.receive(1)  # overtakes
    control_point.receive(LARGEST_SEQ)
    control_point.receive(2)
    assert control_point.receive(LARGEST_SEQ) == []
    assert control_point.receive(1) == []
    assert [type(o) for o in control_point.outcomes] == [
        MulticastEvent,
        MulticastMissed,
        MulticastEvent,
        MulticastEvent,
    ]
    assert control_point.service.repeats == 3


def test_what_is_too_far_behind_is_refused() -> None:
    control_point = ControlPoint()
    control_point.receive(100)
    assert control_point.refused(36) is NotBelieved.OUT_OF_STEP
    assert control_point.receive(37, Alarm="1")[0].seq == 37  # type: ignore[union-attr] # an event
    assert control_point.receive(36) == []
    assert control_point.reception.refusals == {(DEVICE, NotBelieved.OUT_OF_STEP): 2}


def test_a_device_that_began_anew_with_the_boot_id_it_had_is_heard_after_one_event() -> None:
    control_point = ControlPoint()
    control_point.receive(1000, Temperature="1000")
    assert control_point.refused(0) is NotBelieved.OUT_OF_STEP
    control_point.receive(1, Temperature="1")
    control_point.receive(2, Temperature="2")
    assert control_point.told()[1:] == [(1, {"Temperature": 1.0}), (2, {"Temperature": 2.0})]


def test_one_forged_seq_far_ahead_does_not_silence_a_device() -> None:
    control_point = ControlPoint()
    for seq in range(3):
        control_point.receive(seq)
    control_point.receive(2**31)
    for seq in range(3, 8):
        control_point.receive(seq)
    assert [seq for seq, _ in control_point.told()] == [0, 1, 2, 2**31, 4, 5, 6, 7]


def test_two_strays_that_do_not_follow_each_other_are_no_new_beginning() -> None:
    control_point = ControlPoint()
    control_point.receive(1000)
    control_point.receive(5)
    control_point.receive(7)
    control_point.receive(1001)
    control_point.receive(8)
    assert [seq for seq, _ in control_point.told()] == [1000, 1001]


@given(
    st.integers(0, LARGEST_SEQ),
    st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=60),
)
def test_whatever_the_wire_drops_repeats_and_reorders_the_state_is_never_older_than_heard(
    first: int, arrivals: list[tuple[int, bool]]
) -> None:
    """``arrivals`` are (number of the event, whether it comes twice)."""
    seqs = [first]
    for _ in range(40):
        seqs.append(next_seq(seqs[-1]))
    control_point = ControlPoint(convert=None)
    heard: set[int] = set()
    for number, twice in [(0, False), *arrivals]:
        for _ in range(1 + twice):
            name = ("Temperature", "Alarm")[number % 2]
            control_point.receive(seqs[number], **{name: str(number)})
        heard.add(number)
    told = [seqs.index(seq) for seq, _ in control_point.told()]
    assert len(told) == len(set(told))
    for parity, name in enumerate(("Temperature", "Alarm")):
        numbers = [number for number in heard if number % 2 == parity]
        if numbers:
            assert control_point.service.values[name] == str(max(numbers))
    missed = sum(o.count for o in control_point.outcomes if isinstance(o, MulticastMissed))
    assert missed >= max(heard) + 1 - len(heard)


# --- what is not believed ---


@pytest.mark.clause("MC-23")
@pytest.mark.parametrize(
    ("forged", "reason"),
    [
        ({"usn": "uuid:other::urn:example-org:service:Thermometer:1"}, "UNKNOWN_SERVICE"),
        ({"usn": IDENTITY.usn.replace("Thermometer:1", "Thermometer:2")}, "UNKNOWN_SERVICE"),
        ({"svcid": "urn:example-org:serviceId:Other"}, "UNKNOWN_SERVICE"),
        ({"source": "10.0.0.2"}, "UNKNOWN_SOURCE"),
        ({"source": None}, "UNKNOWN_SOURCE"),
        ({"source": "not an address"}, "UNKNOWN_SOURCE"),
        ({"boot_id": 4}, "OTHER_BOOT_ID"),
        ({"boot_id": 6}, "OTHER_BOOT_ID"),
        ({"Password": "x"}, "UNKNOWN_VARIABLES"),
        ({"body": b"<e:propertyset/>"}, "UNKNOWN_VARIABLES"),
        ({"body": b"<e:property/>"}, "UNREADABLE"),
        ({"body": b""}, "UNREADABLE"),
    ],
)
def test_a_forged_event_is_refused_and_spends_no_seq(
    forged: dict[str, object], reason: str
) -> None:
    control_point = ControlPoint()
    assert control_point.refused(0, **forged) is NotBelieved[reason]
    assert control_point.told() == []
    assert [type(o) for o in control_point.receive(0)] == [MulticastEvent]


@pytest.mark.clause("MC-23")
def test_a_refusal_says_from_where_and_what() -> None:
    control_point = ControlPoint()
    (outcome,) = control_point.receive(0, boot_id=4)
    assert outcome == MulticastRefused(
        Endpoint(DEVICE, 50_000), NotBelieved.OTHER_BOOT_ID, f"{IDENTITY.usn}: 4, not 5"
    )
    (outcome,) = control_point.receive(0, Password="x", Token="y")
    assert isinstance(outcome, MulticastRefused)
    assert outcome.detail == f"{IDENTITY.usn}: Password, Token"


def test_a_refusal_is_told_once_per_address_and_reason_and_counted() -> None:
    control_point = ControlPoint()
    for _ in range(5):
        control_point.receive(0, source="10.0.0.66")
    control_point.receive(0, source="10.0.0.67")
    control_point.receive(0, source="10.0.0.66", svcid="x")
    assert [(o.source.host, o.reason) for o in control_point.outcomes] == [  # type: ignore[union-attr] # all refused
        ("10.0.0.66", NotBelieved.UNKNOWN_SOURCE),
        ("10.0.0.67", NotBelieved.UNKNOWN_SOURCE),
        ("10.0.0.66", NotBelieved.UNKNOWN_SERVICE),
    ]
    assert control_point.reception.refusals == {
        ("10.0.0.66", NotBelieved.UNKNOWN_SOURCE): 5,
        ("10.0.0.67", NotBelieved.UNKNOWN_SOURCE): 1,
        ("10.0.0.66", NotBelieved.UNKNOWN_SERVICE): 1,
    }


def test_what_a_stranger_sent_is_told_cut() -> None:
    control_point = ControlPoint()
    control_point.receive(0, svcid="x", usn="u" * 200)
    control_point.receive(0, source="10.0.0.9", svcid="x", usn="u" * 201)
    details = [o.detail for o in control_point.outcomes]  # type: ignore[union-attr] # all refused
    assert details == ["u" * 200, "u" * 199 + "…"]


def test_any_number_of_forged_addresses_fills_neither_the_table_nor_the_log() -> None:
    control_point = ControlPoint(limits=replace(DEFAULT_LIMITS, multicast_refusals=3))
    for host in range(50):
        control_point.receive(0, source=f"10.0.1.{host}")
        control_point.receive(0, source=f"10.0.1.{host}", svcid="x")
    assert len(control_point.outcomes) == 5
    last = control_point.outcomes[-1]
    assert isinstance(last, MulticastRefused)
    assert last.source is None
    assert control_point.reception.refusals["", NotBelieved.UNKNOWN_SOURCE] == 48
    assert control_point.reception.refusals["", NotBelieved.UNKNOWN_SERVICE] == 49


def test_a_datagram_that_is_no_multicast_event_is_refused() -> None:
    control_point = ControlPoint()
    alive = Request("NOTIFY", "*", [(b"NTS", b"ssdp:alive")], peer=Endpoint(DEVICE, 1900))
    (outcome,) = control_point.receive_request(alive)
    assert outcome == MulticastRefused(
        Endpoint(DEVICE, 1900),
        NotBelieved.UNREADABLE,
        "NT is not upnp:event (UDA 2.0 §4.3.3)",
    )
    control_point.reception.unreadable(Endpoint(DEVICE, 1900), "junk")
    assert len(control_point.outcomes) == 1
    assert control_point.reception.refusals == {(DEVICE, NotBelieved.UNREADABLE): 2}


@pytest.mark.parametrize("source", ["::ffff:10.0.0.1", "10.0.0.1"])
def test_an_ipv4_address_is_known_on_a_socket_for_both_families(source: str) -> None:
    control_point = ControlPoint()
    assert [type(o) for o in control_point.receive(0, source=source)] == [MulticastEvent]


def test_addresses_are_compared_as_addresses_without_a_zone() -> None:
    control_point = ControlPoint()
    control_point.reception.record(IDENTITY.udn, sources=["FE80:0:0::1"])
    assert control_point.service.sources == {"fe80::1"}
    assert [type(o) for o in control_point.receive(0, source="fe80::1%eth0")] == [MulticastEvent]


def test_a_uuid_is_the_same_in_either_case_and_a_domain_with_dots_or_hyphens() -> None:
    control_point = ControlPoint()
    control_point.receive(0, usn=IDENTITY.usn.lower().replace("thermometer", "Thermometer"))
    control_point.receive(1, usn=f"{IDENTITY.udn}::{IDENTITY.service_type}")
    assert [seq for seq, _ in control_point.told()] == [0, 1]


# --- who is expected ---


def test_what_was_forgotten_is_refused_and_may_be_expected_again() -> None:
    control_point = ControlPoint()
    control_point.reception.forget(control_point.service)
    assert control_point.refused(0) is NotBelieved.UNKNOWN_SERVICE
    again = control_point.expect(IDENTITY)
    control_point.reception.forget(control_point.service)
    (event,) = control_point.receive(0)
    assert isinstance(event, MulticastEvent)
    assert event.service is again


def test_what_is_recorded_of_one_device_changes_no_other() -> None:
    control_point = ControlPoint()
    other = control_point.expect(replace(IDENTITY, udn="uuid:other"))
    control_point.reception.record(IDENTITY.udn.lower(), boot_id=9, sources=["10.0.0.9"])
    assert (other.boot_id, other.sources) == (5, {DEVICE})
    assert (control_point.service.boot_id, control_point.service.sources) == (9, {"10.0.0.9"})


def test_an_event_shows_its_level_its_number_and_its_changes() -> None:
    (event,) = ControlPoint().receive(0, Alarm="1")
    assert repr(event) == (
        "<MulticastEvent upnp:/info 0 {'Alarm': True} of "
        f"<ExpectedService {IDENTITY.usn} urn:example-org:serviceId:Thermometer>>"
    )


def test_a_service_is_expected_once() -> None:
    control_point = ControlPoint()
    with pytest.raises(ValueError, match="Thermometer:1 are expected already"):
        control_point.expect(replace(IDENTITY, udn=IDENTITY.udn.lower()))
    assert repr(control_point.service) == (
        f"<ExpectedService {IDENTITY.usn} urn:example-org:serviceId:Thermometer>"
    )


def test_only_so_many_services_are_expected() -> None:
    control_point = ControlPoint(limits=replace(DEFAULT_LIMITS, multicast_services=1))
    with pytest.raises(LocalProtocolError, match=r"raise Limits.multicast_services"):
        control_point.expect(replace(IDENTITY, service_id="x"))


def test_without_variables_or_addresses_nothing_can_be_believed() -> None:
    control_point = ControlPoint()
    other = replace(IDENTITY, service_id="x")
    with pytest.raises(ValueError, match=r"no variable of .* is multicast"):
        control_point.reception.expect(other, variables=(), sources=[DEVICE], boot_id=1)
    with pytest.raises(ValueError, match="give the sources its events come from"):
        control_point.expect(other, sources=())
    with pytest.raises(ValueError, match=r"'thermometer\.local' is no IP address"):
        control_point.expect(other, sources=("thermometer.local",))
    with pytest.raises(ValueError, match="'x' is no IP address"):
        control_point.reception.record(IDENTITY.udn, sources=["x"])


# --- the addresses of a device ---


def test_another_address_of_a_device_is_one_of_all_its_services() -> None:
    control_point = ControlPoint()
    second = replace(IDENTITY, service_id="urn:second")
    other = replace(IDENTITY, udn="uuid:other")
    control_point.expect(second)
    control_point.expect(other)
    control_point.reception.add_source(IDENTITY.udn.upper(), "fe80::7%3")
    sources = [each.sources for each in control_point.reception.expected]
    assert sources == [{DEVICE, "fe80::7%3"}, {DEVICE, "fe80::7%3"}, {DEVICE}]
    with pytest.raises(ValueError, match="'x' is no IP address"):
        control_point.reception.add_source(IDENTITY.udn, "x")


def test_an_address_with_a_zone_is_one_on_that_link_alone() -> None:
    control_point = ControlPoint()
    control_point.reception.record(IDENTITY.udn, sources=["fe80::7%3"])
    service = control_point.service
    on_links = [service.has_source(Endpoint("fe80::7", 5, scope)) for scope in (0, 3, 4)]
    assert on_links == [False, True, False]
