"""The publisher's table against both services of the Twisted front, over loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from exchange import played_on
from publisher_messages import PublisherRow
from publisher_over_sockets import DictStage, ServiceStage
from publisher_player import Player
from publisher_table import ROWS, feeds
from runtime_threads import ReactorThread

pytestmark = pytest.mark.slow  # many seconds in all; `make check` plays the tables in memory


@pytest.fixture(scope="module")
def thread() -> Iterator[ReactorThread]:
    thread = ReactorThread()
    yield thread
    thread.close()


@played_on(ROWS, "service", feeds)
def test_a_service_of_twisted_keeps_the_clauses(
    row: PublisherRow, feed: str, thread: ReactorThread
) -> None:
    stage = ServiceStage(row, thread)
    try:
        Player(row, stage, feed).play()
    finally:
        stage.shut()


@played_on(ROWS, "dict", feeds)
def test_a_service_with_its_own_dict_keeps_the_clauses(
    row: PublisherRow, feed: str, thread: ReactorThread
) -> None:
    stage = DictStage(row, thread)
    try:
        Player(row, stage, feed).play()
    finally:
        stage.shut()
