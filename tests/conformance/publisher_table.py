"""The whole table."""

from __future__ import annotations

import publisher_rows_answers
import publisher_rows_callbacks
import publisher_rows_events
import publisher_rows_http
import publisher_rows_renew
import publisher_rows_subscribe

ROWS = (
    *publisher_rows_subscribe.ROWS,
    *publisher_rows_callbacks.ROWS,
    *publisher_rows_renew.ROWS,
    *publisher_rows_http.ROWS,
    *publisher_rows_events.ROWS,
    *publisher_rows_answers.ROWS,
)
