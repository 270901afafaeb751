"""The subscriber's table through ``http`` and ``core`` together, on a clock that the row moves."""

from __future__ import annotations

from collections import Counter

from exchange import every_feed, played_on
from subscriber_in_memory import MemoryStage
from subscriber_messages import FRONTS, SubscriberRow
from subscriber_player import Player
from subscriber_table import ROWS


@played_on(ROWS, "memory", every_feed)
def test_a_subscriber_keeps_the_clauses(row: SubscriberRow, feed: str) -> None:
    Player(row, MemoryStage(row, feed), feed).play()


def test_no_two_rows_have_one_name() -> None:
    assert [name for name, times in Counter(row.name for row in ROWS).items() if times > 1] == []


def test_every_row_is_played_on_several_fronts_or_says_why_not() -> None:
    for row in ROWS:
        assert row.not_on.keys() < set(FRONTS), row.name
        assert all(len(reason) > 10 for reason in row.not_on.values()), row.name
