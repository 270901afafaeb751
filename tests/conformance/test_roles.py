"""A table of one role names the clauses that bind that role, and no others."""

from __future__ import annotations

from clauses import load_clauses
from publisher_table import ROWS
from subscriber_exchanges import EXCHANGES

CLAUSES = load_clauses()


def _of_others(role: str, named: tuple[str, ...]) -> list[str]:
    return [name for name in named if role not in CLAUSES[name].who]


def test_what_is_played_to_a_publisher_shows_what_binds_publishers() -> None:
    assert {
        row.name: other for row in ROWS if (other := _of_others("publisher", row.clauses))
    } == {}


def test_what_is_played_to_a_subscriber_shows_what_binds_subscribers() -> None:
    found = {each.name: _of_others("subscriber", each.clauses) for each in EXCHANGES}
    assert {name: others for name, others in found.items() if others} == {}
