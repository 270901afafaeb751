"""The subscriber's table through ``http`` and ``core`` together, on a clock that the row moves."""

from __future__ import annotations

from collections import Counter

from exchange import every_feed, one_feed, played_on
from subscriber_in_memory import MemoryStage, MountedStage
from subscriber_messages import FRONTS, SubscriberRow
from subscriber_player import Player
from subscriber_table import ROWS

NOT_BEHIND_A_WEB_SERVER = {
    "a NOTIFY to the delivery URL with a query is answered 412": "the query may be another one"
}
"""Rows that a web server in front decides, with the reason."""


def is_behind_a_web_server(row: SubscriberRow) -> bool:
    """Whether the row leaves CALLBACK to the control point, and no web server decides it."""
    names_callback = row.policy.keys() & {"callback_host", "callback_port", "shared_path"}
    return not names_callback and row.name not in NOT_BEHIND_A_WEB_SERVER


@played_on(ROWS, "memory", every_feed)
def test_a_subscriber_keeps_the_clauses(row: SubscriberRow, feed: str) -> None:
    Player(row, MemoryStage(row, feed), feed).play()


@played_on([row for row in ROWS if is_behind_a_web_server(row)], "memory", one_feed)
def test_a_subscriber_behind_a_web_server_keeps_the_clauses(row: SubscriberRow, feed: str) -> None:
    Player(row, MountedStage(row, feed), feed).play()


def test_the_rows_that_a_web_server_decides_are_there() -> None:
    assert NOT_BEHIND_A_WEB_SERVER.keys() <= {row.name for row in ROWS}


def test_no_two_rows_have_one_name() -> None:
    assert [name for name, times in Counter(row.name for row in ROWS).items() if times > 1] == []


def test_every_row_is_played_on_several_fronts_or_says_why_not() -> None:
    for row in ROWS:
        assert row.not_on.keys() < set(FRONTS), row.name
        assert all(len(reason) > 10 for reason in row.not_on.values()), row.name
