"""The page that `make states` writes shows every state, input and step of the tables."""

from __future__ import annotations

import enum
import re
from types import ModuleType

import pytest
import states_doc

from propchange.core.publisher.states import PUBLISHER
from propchange.core.subscriber.states import SUBSCRIBER
from propchange.core.transitions import TransitionTable


class Lamp(enum.IntEnum):
    """A lamp."""

    OFF = 0
    """Dark; it saves power (UDA 2.0 §4.1.2). Nobody sees."""
    ON = 1
    BROKEN = 2
    """For ever."""


class Given(enum.IntEnum):
    """What happens to a lamp."""

    PRESSED = 0
    """A finger, as a rule."""
    TAPPED_TWICE = 1
    DUSTED = 2
    DROPPED = 3


LAMP = TransitionTable(
    {
        (Lamp.OFF, Given.PRESSED): Lamp.ON,
        (Lamp.OFF, Given.TAPPED_TWICE): Lamp.ON,
        (Lamp.ON, Given.PRESSED): Lamp.OFF,
        (Lamp.OFF, Given.DUSTED): Lamp.OFF,
        (Lamp.OFF, Given.DROPPED): Lamp.BROKEN,
        (Lamp.ON, Given.DROPPED): Lamp.BROKEN,
    },
)


def lamps() -> str:
    module = ModuleType("lamps", "Lamps.\n\n**Lamp** (ours). Has a ``switch``.\n\nThe end.")
    module.LAMP = LAMP  # type: ignore[attr-defined] # a module made here
    return states_doc.page(module)


TABLES = [table for module in states_doc.MODULES for table in states_doc.tables(module).values()]


def test_the_page_has_every_state_and_every_input_of_every_table() -> None:
    page = states_doc.page()
    assert {PUBLISHER, SUBSCRIBER} < set(TABLES)
    assert page.count("| state | what it means |") == len(TABLES)
    for table in TABLES:
        for state in states_doc.Summary(table).states:
            assert f"\n| `{state.name}` | " in page
        for given in states_doc.Summary(table).inputs:
            assert f"\n| {states_doc.words(given)} | " in page


def test_nothing_on_the_page_needs_a_program_that_draws() -> None:
    assert "```" not in states_doc.page()


def test_inputs_that_lead_the_same_way_share_a_step() -> None:
    rows = re.findall(r"^\| `(\S+)` \| .* \| (.*) \|$", lamps(), re.MULTILINE)
    assert rows == [
        ("OFF", "*pressed, tapped twice* → `ON`"),
        ("ON", "*pressed* → `OFF`"),
        ("BROKEN", "the end"),
    ]


def test_what_is_not_a_step_is_a_sentence() -> None:
    assert "- *dropped* leads to `BROKEN` from every other state." in lamps()
    assert "- *dusted* changes nothing in `OFF`." in lamps()


def test_states_and_inputs_are_told_in_the_words_of_their_docstrings() -> None:
    page = lamps()
    assert "| `OFF` | Dark; it saves power (UDA 2.0 §4.1.2). Nobody sees. | " in page
    assert "| pressed | A finger, as a rule. |" in page
    assert "## Lamp\n\n**Lamp** (ours). Has a `switch`.\n\nThe end.\n\n| state |" in page


@pytest.mark.parametrize("table", TABLES)
def test_every_step_of_a_table_is_on_the_page_once(table: states_doc.Table) -> None:
    summary = states_doc.Summary(table)
    found = [
        *((state, given, end) for (state, end), given in summary.leaving.items()),
        *((state, [given], state) for given, kept in summary.stays.items() for state in kept),
        *(
            (state, [given], end)
            for given, end in summary.everywhere.items()
            for state in summary.states
            if state not in summary.last
        ),
    ]
    steps = [((state, given), end) for state, inputs, end in found for given in inputs]
    assert len(steps) == len(table.transitions)
    assert dict(steps) == table.transitions
