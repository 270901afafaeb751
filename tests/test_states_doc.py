"""The page that `make states` draws shows every state, input and step of the tables."""

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
    assert page.count("stateDiagram-v2") == len(TABLES)
    for table in TABLES:
        for state in states_doc.Drawing(table).states:
            assert f'    state "{state.name}" as {state.name}\n' in page
        for given in states_doc.Drawing(table).inputs:
            assert f"\n| {states_doc.words(given)} | " in page


def test_inputs_that_lead_the_same_way_share_an_arrow() -> None:
    arrows = re.findall(r"^    (\S+) --> (\S+?)(?: : (.*))?$", lamps(), re.MULTILINE)
    assert arrows == [
        ("[*]", "OFF", ""),
        ("OFF", "ON", "pressed, tapped twice"),
        ("ON", "OFF", "pressed"),
        ("BROKEN", "[*]", ""),
    ]


def test_what_is_not_an_arrow_is_a_sentence() -> None:
    assert "- *dropped* leads to `BROKEN` from every other state." in lamps()
    assert "- *dusted* changes nothing in `OFF`." in lamps()


def test_states_and_inputs_are_told_in_the_words_of_their_docstrings() -> None:
    page = lamps()
    assert "    OFF : Dark, it saves power\n" in page
    assert "Nobody sees" not in page
    assert "| pressed | A finger, as a rule. |" in page
    assert "## Lamp\n\n**Lamp** (ours). Has a `switch`.\n\nThe end.\n\n```mermaid" in page


@pytest.mark.parametrize("table", TABLES)
def test_every_step_of_a_table_is_on_the_page_once(table: states_doc.Table) -> None:
    drawing = states_doc.Drawing(table)
    drawn = [
        *((state, given, end) for (state, end), given in drawing.arrows.items()),
        *((state, [given], state) for given, kept in drawing.stays.items() for state in kept),
        *(
            (state, [given], end)
            for given, end in drawing.everywhere.items()
            for state in drawing.states
            if state not in drawing.last
        ),
    ]
    steps = [((state, given), end) for state, inputs, end in drawn for given in inputs]
    assert len(steps) == len(table.transitions)
    assert dict(steps) == table.transitions
