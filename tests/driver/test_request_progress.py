"""What a listener knows of the next request of a connection."""

from __future__ import annotations

import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.wire.messages import Endpoint
from propchange.driver.request_progress import LOOKS, RequestProgress
from propchange.http import RequestParser

BEGINNING = b"NOTIFY /path HTTP/1.1\r\nSEQ: 1\r\n"


@pytest.fixture
def parser() -> RequestParser:
    ends = Endpoint("10.0.0.1", 4000), Endpoint("10.0.0.2", 80)
    return RequestParser(DEFAULT_LIMITS, peer=ends[0], local=ends[1])


def test_each_request_that_begins_can_be_reported_once(parser: RequestParser) -> None:
    progress = RequestProgress(parser)
    for _ in range(2):
        progress.begin()
        assert progress.begun is None
        parser.feed(BEGINNING)
        assert progress.begun is not None
        assert progress.begun.target == "/path"
        progress.reported = True
        assert progress.begun is None
        progress.asked = True
        assert len(parser.feed(b"Content-Length: 0\r\n\r\n")) == 1


def test_a_connection_stands_still_after_so_many_looks_without_bytes(parser: RequestParser) -> None:
    progress = RequestProgress(parser)
    for _ in range(2):
        looks = [progress.stands_still() for _ in range(LOOKS)]
        assert looks == [False] * (LOOKS - 1) + [True]
        progress.move()
        assert not progress.stands_still()
    progress.begin()
    assert not progress.stands_still()


def test_a_connection_is_wasted_until_a_request_or_a_report(parser: RequestParser) -> None:
    progress = RequestProgress(parser)
    assert progress.wasted
    assert not progress.unreadable
    parser.feed(b"\x16\x03\x01")
    assert progress.unreadable
    progress.reported = True
    assert not progress.wasted


def test_behind_a_request_only_bytes_that_are_not_the_rest_of_a_refused_one_are_wasted(
    parser: RequestParser,
) -> None:
    progress = RequestProgress(parser)
    progress.asked = True
    assert not progress.wasted
    parser.feed(BEGINNING[:3])
    assert progress.wasted
    assert not progress.unreadable
    progress.refused = True
    assert not progress.wasted
    progress.refused, progress.over = False, True
    assert not progress.wasted
