"""Records are equal by their fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from propchange.core.diagnosis.facts import Facts
from propchange.core.diagnosis.verdicts import Diagnosis, Verdict
from propchange.core.record import Record, StatsRecord
from propchange.core.subscriber.events import Cause, Change, Status, StatusChange
from propchange.core.wire.messages import Request


@dataclass(slots=True, eq=False, repr=False)
class Point(Record):
    x: int
    y: int
    name: str = field(default="", compare=False)
    secret: str = field(default="", repr=False)


@dataclass(slots=True, eq=False, repr=False)
class Place(Record):
    x: int
    y: int
    name: str = field(default="", compare=False)
    secret: str = field(default="", repr=False)


def test_records_of_one_class_are_equal_if_the_fields_that_count_are() -> None:
    assert Point(1, 2, "here") == Point(1, 2, "there")
    assert Point(1, 2) != Point(2, 1)
    assert Point(1, 2, secret="a") != Point(1, 2, secret="b")
    assert {Point(1, 2, "here"), Point(1, 2, "there")} == {Point(1, 2)}


def test_a_record_equals_nothing_of_another_class() -> None:
    assert Point(1, 2) != Place(1, 2)
    assert Point(1, 2) != (1, 2, "", "")


def test_a_record_shows_its_fields_in_order() -> None:
    assert repr(Point(1, 2, "here", "word")) == "Point(x=1, y=2, name='here')"


def test_a_record_leaves_out_defaults_and_cuts_long_values() -> None:
    assert repr(Point(1, 2)) == "Point(x=1, y=2)"
    long = repr(Point(1, 2, "n" * 10_000))
    assert long == f"Point(x=1, y=2, name='{'n' * 77}…')"
    assert len(repr(Point([long], [long], long))) == 200  # type: ignore[arg-type]  # long values


@dataclass(slots=True, eq=False, repr=False)
class Numbers(StatsRecord):
    events: int
    gaps: int
    ages: Mapping[Status, float]
    failed: Mapping[str, int]


def test_numbers_are_shown_whole_without_what_is_zero() -> None:
    ages = {Status.ACTIVE: 1.234, Status.DEAF: 0.0}
    failed = {f"cause-{number}": number for number in range(100)}
    shown = repr(Numbers(7, 0, ages, failed))
    assert shown.startswith("Numbers(events=7, ages={'active': 1.2}, failed={'cause-1': 1, ")
    assert shown.endswith("'cause-99': 99})")


def test_a_record_is_a_dataclass_and_can_be_matched_by_position() -> None:
    point = replace(Point(1, 2, "here"), y=3)
    assert point == Point(1, 3)
    match point:
        case Point(x, y, name):
            assert (x, y, name) == (1, 3, "here")


def test_what_a_program_prints_most_is_shown_by_what_it_says() -> None:
    facts = Facts(event_url="http://10.0.0.1/e", status=Status.DEAF)
    diagnosis = Diagnosis(Verdict.CONTAINER, "no event comes", "use --network host", facts)
    assert repr(diagnosis) == "<Diagnosis container: no event comes; use --network host>"
    change = StatusChange(None, Status.DEAF, Cause.NO_INITIAL_EVENT, "no\nevent")
    assert repr(change) == "<StatusChange deaf (no-initial-event): no\\nevent>"
    long = Change("A", "x" * 1_000, None, None, None, "x" * 1_000)
    assert repr(long).startswith("Change(variable='A', value='xxx")
    assert len(repr(long)) <= 200
    assert repr(Request("NOTIFY", "/a", (), b"")) == "<Request NOTIFY /a from None>"
