from __future__ import annotations

from math import inf

import pytest

from propchange.core.publisher.records import EventedVariable
from propchange.core.subscriber.events import Cause, Status
from propchange.core.subscriber.record import SubscriptionRecord
from propchange.core.subscriber.view import SubscriptionView
from propchange.testing import Link


class Read(SubscriptionView):
    def __init__(self, link: Link, record: SubscriptionRecord) -> None:
        self._link = link
        self._subscribed = record

    @property
    def record(self) -> SubscriptionRecord:
        return self._subscribed

    def _now(self) -> float:
        return self._link.now


@pytest.fixture
def link() -> Link:
    link = Link()
    link.add_service("/evt", {"Temperature": EventedVariable("20")})
    return link


def test_a_subscription_without_an_answer_has_nothing_to_tell(link: Link) -> None:
    standing = Read(link, link.subscribe("/evt"))
    assert (standing.status, standing.sid, standing.granted) == (Status.SUBSCRIBING, "", None)
    assert (standing.expires_in, standing.last_event_at, standing.last_event_in) == (None,) * 3
    assert (standing.status_cause, standing.status_reason) == (None, "")


def test_a_granted_subscription_tells_its_state_and_how_long_it_lasts(link: Link) -> None:
    standing = Read(link, link.subscribe("/evt", duration=300))
    link.run(1)
    link.update("/evt", {"Temperature": "21"})
    link.run(9)
    assert standing.status is Status.ACTIVE
    assert standing.status_cause is Cause.INITIAL_EVENT
    assert standing.status_reason == "events arrive"
    assert standing.sid.startswith("uuid:")
    assert standing.event_url == link.url("/evt")
    assert standing.callback.startswith(f"http://{link.subscriber_end}/")
    assert (standing.granted, standing.expires_in) == (300, 290)
    assert (standing.last_event_at, standing.last_event_in) == (1, 9)
    assert (standing.renewals, standing.gaps, standing.accepted) == (0, 0, None)
    assert standing.problems == ()
    assert standing.losses == 0
    assert not standing.polled
    assert standing.values == {"Temperature": "21"}
    assert standing.full_state == {("Temperature", None, None): "21"}


def test_a_grant_that_is_overdue_has_no_time_left_and_an_infinite_one_never_ends(
    link: Link,
) -> None:
    standing = Read(link, link.subscribe("/evt"))
    link.run(1)
    grant = standing.record.grant
    standing.record.grant = grant._replace(expires=0.5)
    assert standing.expires_in == 0.0
    standing.record.grant = grant._replace(expires=inf)
    assert standing.expires_in == inf
