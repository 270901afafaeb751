from __future__ import annotations

import logging

import pytest

from propchange.asyncio.reporting import Warnings


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
