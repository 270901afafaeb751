"""The rows of a side name only clauses that bind that side."""

from __future__ import annotations

from clauses import load_clauses
from exchange import Row
from publisher_table import ROWS as PUBLISHER_ROWS
from ssdp_rows_control_point import ROWS as CONTROL_POINT_ROWS
from ssdp_rows_device import ROWS as DEVICE_ROWS
from subscriber_table import ROWS as SUBSCRIBER_ROWS

CLAUSES = load_clauses()


def _of_others(role: str, rows: tuple[Row, ...]) -> dict[str, list[str]]:
    """The rows that name clauses which do not bind ``role``."""
    found = {
        row.name: [name for name in row.clauses if role not in CLAUSES[name].who] for row in rows
    }
    return {name: others for name, others in found.items() if others}


def test_what_is_played_to_a_publisher_shows_what_binds_publishers() -> None:
    assert _of_others("publisher", PUBLISHER_ROWS) == {}


def test_what_is_played_to_a_subscriber_shows_what_binds_subscribers() -> None:
    assert _of_others("subscriber", SUBSCRIBER_ROWS) == {}


def test_what_a_control_point_hears_shows_what_binds_subscribers() -> None:
    assert _of_others("subscriber", CONTROL_POINT_ROWS) == {}


def test_what_a_device_announces_shows_what_binds_publishers() -> None:
    assert _of_others("publisher", DEVICE_ROWS) == {}


def test_each_row_of_ssdp_says_what_it_shows_and_has_a_name_of_its_own() -> None:
    rows = (*CONTROL_POINT_ROWS, *DEVICE_ROWS)
    assert [row.name for row in rows if not row.rule] == []
    for of_a_role in (CONTROL_POINT_ROWS, DEVICE_ROWS):
        assert len({row.name for row in of_a_role}) == len(of_a_role)
