"""``repr()`` of each public record is one line of at most 200 characters. It is read in logs, in
errors and in interactive sessions."""

from __future__ import annotations

from dataclasses import is_dataclass
from typing import Any

import pytest

import propchange
from propchange import (
    Action,
    Argument,
    Cause,
    Changes,
    Diagnosis,
    Event,
    Facts,
    MulticastEvent,
    Request,
    Response,
    StateVariable,
    Status,
    StatusChange,
    Verdict,
)
from propchange.core.record import StatsRecord
from propchange.core.wire.messages import Endpoint

LONG = "long\n" * 1_000
"""A text that a device chooses."""

FACTS = Facts(event_url=LONG, status=Status.DEAF, reason=LONG, failure=LONG, sid=LONG)
CHANGES = Changes({f"V{number}": LONG for number in range(50)})
WITH_THEIR_OWN = [
    FACTS,
    Diagnosis(Verdict.CONTAINER, LONG, LONG, FACTS),
    Event(LONG, LONG, 1, CHANGES, (), is_initial=True),
    MulticastEvent(LONG, LONG, LONG, LONG, 1, Endpoint("10.0.0.1", 1), CHANGES, ()),
    StatusChange(LONG, Status.DEAF, Cause.NO_INITIAL_EVENT, LONG),
    Request("NOTIFY", LONG, ((b"HOST", LONG.encode()),), LONG.encode()),
    Response(200, ((b"SERVER", LONG.encode()),), LONG.encode()),
    Action(LONG, tuple(Argument(f"{LONG}{n}", "in", StateVariable("string")) for n in range(9))),
]


def public_records() -> list[type]:
    """The classes with fields that ``propchange`` exports, but those of numbers, which are shown
    whole."""
    public = [getattr(propchange, name) for name in propchange.__all__]
    classes = [each for each in public if isinstance(each, type)]
    return sorted(
        (
            each
            for each in classes
            if (is_dataclass(each) or issubclass(each, tuple)) and not issubclass(each, StatsRecord)
        ),
        key=lambda each: each.__name__,
    )


def filled(record: type) -> Any:
    """An instance of ``record`` in which each field is a long text."""
    if issubclass(record, tuple):
        return tuple.__new__(record, [LONG] * len(record._fields))  # type: ignore[attr-defined]  # a named tuple
    made = object.__new__(record)
    for name in record.__dataclass_fields__:  # type: ignore[attr-defined]  # a dataclass
        object.__setattr__(made, name, LONG)
    return made


def is_short(shown: str) -> bool:
    return len(shown) <= 200 and shown.isprintable()


@pytest.mark.parametrize("value", WITH_THEIR_OWN, ids=lambda value: type(value).__name__)
def test_a_record_of_long_texts_is_shown_in_one_short_line(value: object) -> None:
    assert is_short(repr(value)), repr(value)


@pytest.mark.parametrize("record", public_records(), ids=lambda record: record.__name__)
def test_every_public_record_is_shown_in_one_short_line(record: type) -> None:
    if record in map(type, WITH_THEIR_OWN):
        return
    assert is_short(repr(filled(record))), repr(filled(record))


def test_a_diagnosis_is_shown_by_its_verdict_and_its_sentence() -> None:
    shown = repr(Diagnosis(Verdict.CONTAINER, "no event comes", "use --network host", FACTS))
    assert shown == "<Diagnosis container: no event comes; use --network host>"
