from __future__ import annotations

from propchange.core.subscriber.events import Cause, Change, Event, Status, StatusChange


def test_an_event_shows_its_changes_and_whether_it_is_the_full_state() -> None:
    detail = Change("A", 1, None, None, None, "1")
    initial = Event(None, "uuid:1", 0, {"A": 1}, (detail,), is_initial=True)
    later = Event(None, "uuid:1", 1, {"A": 2}, (), is_initial=False, merged=3)
    assert repr(initial) == "<Event 0 initial {'A': 1}>"
    assert repr(later) == "<Event 1 {'A': 2}>"
    assert (initial.merged, later.merged) == (0, 3)
    assert initial.details == (detail,)


def test_a_status_change_has_no_http_status_unless_the_device_gave_one() -> None:
    assert StatusChange(None, Status.ACTIVE, Cause.INITIAL_EVENT, "").http_status == 0


def test_statuses_and_causes_are_the_words_that_programs_may_write_down() -> None:
    assert {status.value for status in Status} == {
        "subscribing",
        "active",
        "deaf",
        "resubscribing",
        "refused",
        "closed",
    }
    assert {cause.value for cause in Cause} == {
        "event-unreadable",
        "event-refused",
        "event-cut",
        "new-sid",
        "initial-event",
        "no-initial-event",
        "nothing-evented",
        "refused",
        "unreachable",
        "description",
        "renewal-refused",
        "expired",
        "missed-event",
        "outage",
        "suspended",
        "address-lost",
        "shortage",
        "device-gone",
        "device-rebooted",
        "device-moved",
        "closed",
    }


def test_a_status_change_reads_as_its_status_and_the_reason() -> None:
    change = StatusChange(None, Status.DEAF, Cause.NO_INITIAL_EVENT, "no event in 5 s")
    assert str(change) == "deaf: no event in 5 s"
