"""LastChange and ContainerUpdateIDs between both protocols, on a clock of the test's."""

from __future__ import annotations

import pytest

from propchange.core.publisher.records import EventedVariable
from propchange.core.subscriber.events import Event
from propchange.core.subscriber.record import SubscriptionRecord
from propchange.core.values.lastchange import (
    RCS,
    LastChangeEntry,
    LastChangeFold,
    format_lastchange,
    parse_lastchange,
)
from propchange.core.values.merging import CONTAINERS
from propchange.testing import DELIVER, Fate, Link


def delta(**values: object) -> dict[str, str]:
    """``Volume_1=20`` is the Volume of instance 1, ``Volume=20`` that of 0."""
    entries = []
    for key, value in values.items():
        name, _, number = key.partition("_")
        entries.append(LastChangeEntry(int(number or 0), name, None, str(value)))
    return {"LastChange": format_lastchange(RCS, entries)}


def rendering(link: Link, **values: object) -> None:
    first = delta(**values)["LastChange"]
    fold = LastChangeFold(RCS)
    link.add_service(
        "/rcs", {"LastChange": EventedVariable(first, minimum_interval=0.2, merge=fold)}
    )


def new_events(link: Link, record: SubscriptionRecord) -> list[Event]:
    """Those since the last call, which forgets whatever else was reported."""
    events = link.events(record)
    link.subscriber_outcomes.clear()
    return events


@pytest.mark.clause("LC-01")
@pytest.mark.clause("LC-06")
@pytest.mark.clause("MOD-03")
@pytest.mark.clause("MOD-04")
def test_the_first_change_goes_out_at_once_and_those_of_a_period_together() -> None:
    link = Link()
    rendering(link, Volume=0, Mute=0)
    record = link.subscribe("/rcs")
    link.run(1)
    new_events(link, record)
    for volume in range(1, 10):
        link.update("/rcs", delta(Volume=volume))
        link.run(0.01)
    link.update("/rcs", delta(Mute=1))
    (first,) = new_events(link, record)
    assert first.changes == {"Volume": "1"}
    link.run(0.05)
    assert new_events(link, record) == []
    link.run(0.1)
    (second,) = new_events(link, record)
    assert second.changes == {"Volume": "9", "Mute": "1"}
    link.run(5)
    assert new_events(link, record) == []


@pytest.mark.clause("LC-07")
@pytest.mark.clause("EVT-03")
@pytest.mark.clause("MOD-08")
def test_a_new_subscriber_is_told_the_state_of_all_instances_and_what_is_held_back() -> None:
    link = Link()
    rendering(link, Volume=0, Mute=0)
    link.update("/rcs", delta(Volume_1=5))
    link.update("/rcs", delta(Volume=7))
    record = link.subscribe("/rcs")
    link.run(0.15)
    (initial,) = new_events(link, record)
    assert initial.is_initial
    assert record.full_state == {
        ("Volume", 0, None): "7",
        ("Mute", 0, None): "0",
        ("Volume", 1, None): "5",
    }
    link.run(1)
    assert [event.changes for event in new_events(link, record)] == [{"Volume": "7"}]


def test_whoever_is_behind_loses_nothing() -> None:
    """Two hundred changes of many variables while each NOTIFY takes half a minute."""
    link = Link()
    rendering(link, Volume=0)
    record = link.subscribe("/rcs")
    link.run(1)
    seen = new_events(link, record)
    link.fate = lambda message: Fate((29.0,)) if message == "answer" else DELIVER
    for number in range(200):
        link.update("/rcs", delta(**{f"V{number % 50}": number, "Volume": number}))
        link.run(0.25)
        seen += new_events(link, record)
    link.run(700)
    seen += new_events(link, record)
    state = {name: value for (name, _, _), value in record.full_state.items()}
    assert state == {"Volume": "199", **{f"V{key}": str(150 + key) for key in range(50)}}
    assert record.gaps == 0
    assert len(seen) < 25


@pytest.mark.clause("LC-10")
def test_a_value_that_changed_and_changed_back_within_a_period_is_not_told() -> None:
    link = Link()
    rendering(link, Volume=0)
    record = link.subscribe("/rcs")
    link.run(1)
    link.update("/rcs", delta(Volume=1))
    link.run(0.05)
    new_events(link, record)
    link.update("/rcs", delta(Volume=2))
    link.update("/rcs", delta(Volume=1))
    link.run(2)
    assert new_events(link, record) == []


@pytest.mark.clause("LC-12")
def test_container_update_ids_pile_up_within_a_period_and_are_kept_for_new_subscribers() -> None:
    link = Link()
    variable = EventedVariable("", minimum_interval=0.2, merge=CONTAINERS)
    link.add_service("/cds", {"ContainerUpdateIDs": variable})
    record = link.subscribe("/cds")
    link.run(1)
    assert [event.changes for event in new_events(link, record)] == [{"ContainerUpdateIDs": ""}]
    for text in ("1,1", "2,1", "3,1", "2,2"):
        link.update("/cds", {"ContainerUpdateIDs": text})
    link.run(1)
    told = [event.changes["ContainerUpdateIDs"] for event in new_events(link, record)]
    assert told == ["1,1", "3,1,2,2"]
    link.update("/cds", {"ContainerUpdateIDs": "9,9"})
    link.run(1)
    late = link.subscribe("/cds")
    link.run(1)
    assert late.values == {"ContainerUpdateIDs": "9,9"}


def test_what_is_no_last_change_is_refused_and_changes_nothing() -> None:
    link = Link()
    rendering(link, Volume=3)
    with pytest.raises(ValueError, match="not a LastChange"):
        link.update("/rcs", {"LastChange": "junk"})
    record = link.subscribe("/rcs")
    link.run(1)
    assert record.values == {"Volume": "3"}


def test_the_raw_last_change_stands_in_the_details() -> None:
    link = Link()
    rendering(link, Volume=3)
    record = link.subscribe("/rcs")
    link.run(1)
    (event,) = new_events(link, record)
    assert parse_lastchange(event.details[0].text).entries == (
        LastChangeEntry(0, "Volume", None, "3"),
    )
