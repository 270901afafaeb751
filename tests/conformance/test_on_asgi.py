"""The tables against ``propchange.asgi``, with a server in front that takes all that our own
listener takes. Which rows a server such as uvicorn decides itself: ``rows_of_uvicorn.py``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from exchange import one_feed, played_on
from fronts_on_asgi import ASGIFronts, ASGIStage
from publisher_messages import PublisherRow
from publisher_player import Player
from publisher_table import ROWS as PUBLISHER_ROWS
from rows_of_uvicorn import on_asgi
from runtime_threads import LoopThread
from subscriber_messages import SubscriberRow
from subscriber_table import ROWS as SUBSCRIBER_ROWS
from test_subscriber_over_sockets import Played, playing, whole

pytestmark = pytest.mark.slow  # many seconds in all


@pytest.fixture(scope="module")
def thread() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.close()


@played_on(on_asgi(PUBLISHER_ROWS), "asgi", one_feed)
def test_a_device_as_an_application(row: PublisherRow, feed: str, thread: LoopThread) -> None:
    stage = ASGIStage(row, thread)
    try:
        Player(row, stage, feed).play()
    finally:
        stage.shut()


@pytest.fixture(scope="module")
def on_application(request: pytest.FixtureRequest) -> Iterator[Played]:
    test = "test_a_control_point_as_an_application"
    with playing(ASGIFronts(), 12, test, request.session) as played:
        yield played


@pytest.mark.xdist_group("subscriber-asgi")
@played_on(on_asgi(SUBSCRIBER_ROWS), "asgi", whole)
def test_a_control_point_as_an_application(
    row: SubscriberRow, feed: str, on_application: Played
) -> None:
    on_application(row)
