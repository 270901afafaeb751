"""The whole table."""

from __future__ import annotations

import publisher_rows_answers
import publisher_rows_callbacks
import publisher_rows_events
import publisher_rows_http
import publisher_rows_renew
import publisher_rows_subscribe

HTTP = publisher_rows_http.ROWS
"""Those where it matters how the bytes come in."""

ROWS = (
    *publisher_rows_subscribe.ROWS,
    *publisher_rows_callbacks.ROWS,
    *publisher_rows_renew.ROWS,
    *HTTP,
    *publisher_rows_events.ROWS,
    *publisher_rows_answers.ROWS,
)
