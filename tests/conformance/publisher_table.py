"""Every exchange with a publisher."""

from __future__ import annotations

from collections.abc import Iterable

import publisher_rows_answers
import publisher_rows_callbacks
import publisher_rows_events
import publisher_rows_http
import publisher_rows_renew
import publisher_rows_subscribe
from exchange import Row, every_feed, one_feed

ROWS = (
    *publisher_rows_subscribe.ROWS,
    *publisher_rows_callbacks.ROWS,
    *publisher_rows_renew.ROWS,
    *publisher_rows_http.ROWS,
    *publisher_rows_events.ROWS,
    *publisher_rows_answers.ROWS,
)


def feeds(number: int, row: Row) -> Iterable[str]:
    """Over sockets: every feed where it matters how the bytes arrive, else one of them."""
    every = row in publisher_rows_http.ROWS
    return every_feed(number, row) if every else one_feed(number, row)
