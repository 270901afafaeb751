"""The publisher's table through ``http`` and ``core`` together, on a clock that the row moves."""

from __future__ import annotations

import pytest
from publisher_exchanges import FRONTS, Row, played_on
from publisher_memory import MemoryStage
from publisher_player import Player
from publisher_table import ROWS


@pytest.mark.parametrize(("row", "feed"), played_on(ROWS, "memory"))
def test_a_publisher_keeps_the_clauses(row: Row, feed: str) -> None:
    stage = MemoryStage(row)
    Player(row, stage, feed).play()
    assert stage.is_quiet()


def test_each_row_has_one_name_and_tells_where_it_is_not_played() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    for row in ROWS:
        assert set(row.not_on) <= set(FRONTS)
        assert all(row.not_on.values()), row.name
        assert len(row.not_on) < len(FRONTS), row.name
