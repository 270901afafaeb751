"""When an event leaves, played between both ends through their bytes."""

from __future__ import annotations

import pytest

from propchange.core.publisher.records import EventedVariable
from propchange.testing import Link


@pytest.mark.clause("EVT-04", "SUB-57")
def test_neither_the_initial_event_nor_a_change_waits_for_any_time_to_go_by() -> None:
    link = Link()
    link.add_service("/evt", {"A": EventedVariable("0")})
    held = link.subscribe("/evt")
    link.run(0)
    assert held.values == {"A": "0"}
    for number in range(1, 20):
        link.update("/evt", {"A": str(number)})
        link.run(0)
        assert held.values == {"A": str(number)}
    assert link.now == 0
