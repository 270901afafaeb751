from __future__ import annotations

import datetime
import json
import unicodedata
import uuid
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.cli.lines import escape, escape_json
from propchange.core.subscriber.events import Change, Event
from propchange.upnp.plain_values import named_changes, plain_value


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


# --- escaping ---

ANY_TEXT = st.text(st.characters(categories=None, exclude_categories=()))
"""Lone surrogates included."""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b31m", "\\x9b31m"),  # the C1 form of ESC [
        ("a\r\nb\tc", "a\\r\\nb\\tc"),
        ("\x08\x7f", "\\x08\\x7f"),
        ("\x85", "\\x85"),
        ("\u2028\u2029", "\\u2028\\u2029"),
        ("\u202eevil", "\\u202eevil"),
        ("\ufeff", "\\ufeff"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_a_terminal_could_act_on_is_escaped(text: str, shown: str) -> None:
    assert escape(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "plain [bold]text[/bold] \\ :smile: {x}",
        "温度 21 °C",
        "thin\u2009and\u00a0no-break\u3000spaces",
        "👩\u200d🔧 \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    ],
)
def test_text_in_any_script_stays_as_it_is(text: str) -> None:
    assert escape(text) == text


@given(ANY_TEXT)
def test_nothing_escaped_is_a_control_character_or_a_line_end(text: str) -> None:
    shown = escape(text)
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cs", "Zl", "Zp", "Cn", "Co"}
    assert len(shown.splitlines()) <= 1
    assert escape(shown) == shown


@given(ANY_TEXT)
def test_escaped_json_means_the_same_and_is_one_harmless_line(text: str) -> None:
    line = escape_json(json.dumps([text], ensure_ascii=False))
    # Not equal texts: two surrogates that stand beside each other are one character to JSON.
    units = text.encode("utf-16-be", "surrogatepass")
    assert json.loads(line)[0].encode("utf-16-be", "surrogatepass") == units
    assert escape(line) == line
