"""The publisher's table through ``http`` and ``core`` together, on a clock that the row moves."""

from __future__ import annotations

from exchange import every_feed, played_on
from publisher_in_memory import MemoryStage
from publisher_messages import FRONTS, PublisherRow
from publisher_player import Player
from publisher_table import ROWS


@played_on(ROWS, "memory", every_feed)
def test_a_publisher_keeps_the_clauses(row: PublisherRow, feed: str) -> None:
    stage = MemoryStage(row)
    Player(row, stage, feed).play()
    assert stage.is_quiet()


def test_each_row_has_one_name_and_tells_where_it_is_not_played() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    for row in ROWS:
        assert set(row.not_on) <= set(FRONTS)
        assert all(row.not_on.values()), row.name
        assert len(row.not_on) < len(FRONTS), row.name
