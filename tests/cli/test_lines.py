from __future__ import annotations

import datetime
import uuid
from decimal import Decimal

import pytest

from propchange.cli.lines import named_changes, plain_value
from propchange.core.subscriber.events import Change, Event


def change(value: object, text: str = "as received") -> Change:
    return Change("V", value, None, None, None, text)


@pytest.mark.parametrize("value", ["text", "", 3, -1, 2**64, 2.5, True, False])
def test_values_that_json_knows_stay_what_they_are(value: object) -> None:
    assert plain_value(change(value)) is value


@pytest.mark.parametrize(
    "value",
    [
        b"\x00",
        Decimal("1.5"),
        uuid.UUID(int=0),
        datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
        datetime.date(2026, 1, 1),
        datetime.time(12, tzinfo=datetime.UTC),
        float("inf"),
        float("nan"),
        None,
    ],
)
def test_any_other_value_is_the_text_as_received(value: object) -> None:
    assert plain_value(change(value)) == "as received"


def test_changes_of_other_instances_and_channels_have_names_of_their_own() -> None:
    details = tuple(
        Change("Volume", 1, None, instance, channel, "1")
        for instance, channel in [(0, None), (0, "Master"), (0, "LF"), (1, None), (1, "Master")]
    )
    event = Event(None, "uuid:1", 1, {}, details, is_initial=False)

    names = [name for name, _ in named_changes(event)]

    assert names == ["Volume", "Volume", "Volume[0,LF]", "Volume[1]", "Volume[1,Master]"]


def test_a_last_change_is_told_by_what_stands_in_it_or_raw_by_its_text() -> None:
    details = (
        Change("LastChange", "<Event/>", None, None, None, "<Event/>"),
        Change("Volume", 7, None, 0, "Master", "7"),
    )
    event = Event(None, "uuid:1", 1, {}, details, is_initial=False)

    assert [name for name, _ in named_changes(event)] == ["Volume"]
    assert [name for name, _ in named_changes(event, raw=True)] == ["LastChange"]


def test_a_last_change_that_was_not_understood_is_shown_as_it_is() -> None:
    details = (Change("LastChange", "<", None, None, None, "<"),)
    event = Event(None, "uuid:1", 1, {}, details, is_initial=False)

    assert [name for name, _ in named_changes(event)] == ["LastChange"]
