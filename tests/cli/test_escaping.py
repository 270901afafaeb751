from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.cli.escaping import escape, escape_json

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
