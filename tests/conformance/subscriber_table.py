"""Every exchange with a subscriber."""

from __future__ import annotations

import subscriber_rows_notify
import subscriber_rows_propertyset
import subscriber_rows_renew
import subscriber_rows_subscribe

ROWS = (
    *subscriber_rows_subscribe.ROWS,
    *subscriber_rows_renew.ROWS,
    *subscriber_rows_notify.ROWS,
    *subscriber_rows_propertyset.ROWS,
)
