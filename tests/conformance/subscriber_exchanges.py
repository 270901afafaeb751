"""Every exchange with our subscriber."""

from __future__ import annotations

import pytest
import subscriber_asks
import subscriber_hears
import subscriber_keeps
import subscriber_reads
from subscriber_exchange import Exchange

__all__ = ["EXCHANGES", "rows"]

EXCHANGES: tuple[Exchange, ...] = (
    *subscriber_asks.EXCHANGES,
    *subscriber_keeps.EXCHANGES,
    *subscriber_hears.EXCHANGES,
    *subscriber_reads.EXCHANGES,
)


def rows(front: str) -> list[object]:
    """Those that are played on ``front``, for ``parametrize``, with the marks of their clauses."""
    return [
        pytest.param(each, id=each.name, marks=[pytest.mark.clause(name) for name in each.clauses])
        for each in EXCHANGES
        if front not in each.but and not (front == "plain site" and "event" in each.but)
    ]
