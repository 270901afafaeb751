from __future__ import annotations

import logging
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.publisher.outcomes import MergeFailed, Refused
from propchange.core.subscriber.events import Cause, Status, StatusChange
from propchange.core.subscriber.outcomes import (
    ForeignSource,
    Granted,
    Mended,
    NotifyRefused,
    RenewalFailed,
    SeqUnreliable,
    SubscriberOutcome,
    Unreadable,
)
from propchange.core.subscriber.record import SubscriptionRecord
from propchange.core.wire.messages import Endpoint
from propchange.driver.publisher_reporting import report_publisher
from propchange.driver.reporting import Warnings, guarded
from propchange.driver.subscriber_reporting import report_subscriber


def test_a_merge_rule_that_fails_is_logged_once_per_variable(
    warnings: Warnings, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(5):
        report_publisher(MergeFailed("/evt", "Ids", f"ValueError({number})"), warnings)
    (line,) = told(caplog)
    assert line == (
        "/evt: the merge rule of Ids failed: ValueError(0); the newest text is sent, and changes "
        "may be missing"
    )


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Warnings:
    caplog.set_level(logging.DEBUG, logger="test.reporting")
    return Warnings(logging.getLogger("test.reporting"))


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


def test_what_repeats_is_told_once_and_then_counted(
    warnings: Warnings, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(1000):
        warnings.warn("kind", "away")
    assert told(caplog) == [
        "away",
        "away (10 times so far)",
        "away (100 times so far)",
        "away (1000 times so far)",
    ]


def test_a_refused_delivery_url_is_told_though_an_old_sid_had_the_same_status(
    warnings: Warnings, caplog: pytest.LogCaptureFixture
) -> None:
    peer = Endpoint("192.0.2.9", 5)
    for sid in ("uuid:1", "uuid:2"):
        report_publisher(Refused("/e", peer, 412, f"{sid} is unknown", "UDA 2.0 §4.1.2"), warnings)
    report_publisher(
        Refused("/e", peer, 412, "the callback leads away", "UDA 2.0 §4.1.1"), warnings
    )
    assert told(caplog) == [
        "192.0.2.9 was refused at /e with 412: uuid:1 is unknown",
        "192.0.2.9 was refused at /e with 412: the callback leads away",
    ]


def test_an_exception_is_logged_with_its_traceback_once_and_then_counted(
    warnings: Warnings, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(100):
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            warnings.raised(("failed", "SetTarget"), f"SetTarget failed, call {number}")
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.getMessage() for record in errors] == [
        "SetTarget failed, call 0",
        "SetTarget failed, call 9 (10 times so far)",
        "SetTarget failed, call 99 (100 times so far)",
    ]
    assert [bool(record.exc_info) for record in errors] == [True, False, False]


def test_the_repetitions_are_there_for_who_debugs(
    warnings: Warnings, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3):
        warnings.warn("kind", f"away {number}")
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("WARNING", "away 0"),
        ("DEBUG", "away 1"),
        ("DEBUG", "away 2"),
    ]


def test_kinds_are_counted_apart(warnings: Warnings, caplog: pytest.LogCaptureFixture) -> None:
    for kind in ("a", "b", "a", "b"):
        warnings.warn(kind, kind)
    assert told(caplog) == ["a", "b"]


def test_the_memory_of_kinds_is_bounded(
    warnings: Warnings, caplog: pytest.LogCaptureFixture
) -> None:
    for kind in range(257):
        warnings.warn(kind, str(kind))
    warnings.warn(256, "known still")
    warnings.warn(0, "forgotten, so told again")
    assert told(caplog)[-2:] == ["256", "forgotten, so told again"]


def test_a_percent_sign_in_a_message_is_just_that(
    warnings: Warnings, caplog: pytest.LogCaptureFixture
) -> None:
    warnings.warn("kind", "100 %s")
    assert told(caplog) == ["100 %s"]


# --- outcomes ---

HELD = SubscriptionRecord(
    "http://192.0.2.1/evt",
    persistent=True,
    describable=False,
    device=None,
    convert=None,
    duration_wanted=1800,
    limits=DEFAULT_LIMITS,
    begun_at=0.0,
)
HELD.device_host = "192.0.2.1"


@pytest.mark.parametrize(
    ("outcome", "level", "line"),
    [
        (
            StatusChange(HELD, Status.ACTIVE, Cause.INITIAL_EVENT, "events arrive"),
            "INFO",
            "http://192.0.2.1/evt: active: events arrive",
        ),
        (
            StatusChange(HELD, Status.DEAF, Cause.NO_INITIAL_EVENT, "no event"),
            "WARNING",
            "http://192.0.2.1/evt: deaf: no event",
        ),
        (RenewalFailed(HELD, "no answer"), "WARNING", "renewing http://192.0.2.1/evt: no answer"),
        (
            SeqUnreliable(HELD),
            "WARNING",
            "http://192.0.2.1/evt: its SEQ means nothing; missed events cannot be noticed",
        ),
        (
            Mended(HELD, "an &: read as text"),
            "WARNING",
            "http://192.0.2.1/evt: its events are not well-formed; an &: read as text",
        ),
        (Unreadable(HELD, "no LastChange"), "WARNING", "http://192.0.2.1/evt: no LastChange"),
        (
            ForeignSource(HELD, "192.0.2.9", refused=False),
            "WARNING",
            "an event for http://192.0.2.1/evt came from 192.0.2.9, not from 192.0.2.1: taken",
        ),
        (
            ForeignSource(HELD, "192.0.2.9", refused=True),
            "WARNING",
            "an event for http://192.0.2.1/evt came from 192.0.2.9, not from 192.0.2.1: refused",
        ),
        (
            NotifyRefused(Endpoint("192.0.2.9", 5), "/x", 412, "no such path"),
            "WARNING",
            "192.0.2.9 was answered 412 at /x: no such path",
        ),
        (
            NotifyRefused(None, "/x", 412, "no such path"),
            "WARNING",
            "an unknown peer was answered 412 at /x: no such path",
        ),
    ],
)
def test_an_outcome_is_told_in_one_line(
    outcome: SubscriberOutcome,
    level: str,
    line: str,
    warnings: Warnings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    report_subscriber(outcome, warnings)
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [(level, line)]


def test_what_is_no_trouble_is_there_for_who_debugs(
    warnings: Warnings, caplog: pytest.LogCaptureFixture
) -> None:
    report_subscriber(Granted(HELD, "uuid:1", 300.0), warnings)
    assert [r.levelname for r in caplog.records] == ["DEBUG"]


def test_a_tap_that_raises_is_told_once_and_called_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    passed: list[object] = []

    def tap(passing: object) -> None:
        passed.append(passing)
        raise ValueError("on purpose")

    call = guarded(tap, logging.getLogger("test.reporting"))
    call(1)
    call(2)
    assert passed == [1, 2]
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == [
        "the tap raised; it is called again all the same"
    ]


# --- many kinds ---


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


LIMITS = replace(DEFAULT_LIMITS, log_lines=5, log_line_seconds=10.0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def bounded(caplog: pytest.LogCaptureFixture, clock: Clock) -> Warnings:
    caplog.set_level(logging.INFO, logger="test.reporting")
    return Warnings(logging.getLogger("test.reporting"), LIMITS, clock)


def test_many_sources_in_turn_are_so_many_lines_and_then_counted(
    bounded: Warnings, caplog: pytest.LogCaptureFixture, clock: Clock
) -> None:
    for number in range(3_000):
        bounded.warn(("refused", f"10.0.{number % 300}.1"), f"{number % 300} was refused")
    assert len(told(caplog)) == 5
    clock.now = 10.0
    bounded.warn(("refused", "another"), "another was refused")
    assert told(caplog)[5:] == [
        f"another was refused ({told_left_out(caplog)} more lines of this kind were left out)"
    ]


def told_left_out(caplog: pytest.LogCaptureFixture) -> int:
    return int(told(caplog)[-1].partition("(")[2].split()[0])


def test_a_flood_for_a_while_is_a_line_every_so_often(
    bounded: Warnings, caplog: pytest.LogCaptureFixture, clock: Clock
) -> None:
    for _ in range(100_000):
        clock.now += 0.001
        bounded.warn(("refused", clock.now), "refused")
    assert len(told(caplog)) <= 5 + clock.now / 10


def test_a_flood_of_one_kind_leaves_room_for_the_others(
    bounded: Warnings, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(100):
        bounded.warn(("refused", number), "refused")
    bounded.warn(("away", 1), "away")
    bounded.info("back", "back")
    assert caplog.messages[-2:] == ["away", "back"]


def test_lines_that_only_inform_and_errors_are_bounded_too(
    bounded: Warnings, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(100):
        bounded.info(("moved", number), "moved")
        try:
            raise ValueError(number)
        except ValueError:
            bounded.exception("answer", "no answer was made")
    levels = [record.levelname for record in caplog.records]
    assert levels.count("INFO") == levels.count("ERROR") == 5
    assert caplog.records[1].exc_info


@pytest.mark.parametrize("kind", [NotifyRefused, ForeignSource, Unreadable, Mended, StatusChange])
def test_no_value_of_a_peer_makes_a_flood(
    kind: type, bounded: Warnings, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(1_000):
        text = f"text {number}"
        record: Any = SimpleNamespace(event_url=text, device_host=text)
        made: dict[type, Any] = {
            NotifyRefused: NotifyRefused(Endpoint(text, 1), text, number, text),
            ForeignSource: ForeignSource(record, text, True),
            Unreadable: Unreadable(record, text),
            Mended: Mended(record, text),
            StatusChange: StatusChange(record, Status.DEAF, Cause.REFUSED, text),
        }
        report_subscriber(made[kind], bounded)
    assert len(caplog.records) == 5
