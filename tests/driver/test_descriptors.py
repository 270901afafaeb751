"""The connections that are closed when no file descriptor is left, and the log lines about that."""

from __future__ import annotations

import errno
import logging

import pytest

from propchange.driver.descriptors import Descriptors, descriptor_limit


class Giver:
    def __init__(self, has: int) -> None:
        self.has = has

    def give_back(self, count: int) -> int:
        given = min(count, self.has)
        self.has -= given
        return given


class Closed(Giver):
    def give_back(self, count: int) -> int:
        raise RuntimeError("Event loop is closed")


SHORT = OSError(errno.EMFILE, "Too many open files")


def test_connections_that_can_be_opened_again_are_closed_first() -> None:
    descriptors = Descriptors()
    pools, tables = [Giver(3), Giver(3)], [Giver(9)]
    for pool in pools:
        descriptors.add_pool(pool)
    for table in tables:
        descriptors.add_table(table)
    assert descriptors.short(SHORT, 4) == 4
    assert (sum(pool.has for pool in pools), tables[0].has) == (2, 9)
    assert descriptors.short(SHORT, 4) == 2
    assert descriptors.short(SHORT, 4) == 4
    assert tables[0].has == 5
    assert descriptors.short(SHORT) == 0


def test_one_whose_loop_was_closed_stops_nobody() -> None:
    descriptors = Descriptors()
    closed, alive = Closed(1), Giver(1)
    descriptors.add_pool(closed)
    descriptors.add_pool(alive)
    assert descriptors.short(SHORT, 1) == 1


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EMFILE, f"it may have {descriptor_limit()} (ulimit -n"),
        (errno.ENFILE, "fs.file-max"),
        (errno.ENOBUFS, "no memory left"),
        (errno.EADDRNOTAVAIL, "ip_local_port_range"),
    ],
)
def test_the_log_says_once_what_is_missing_and_what_to_do(
    number: int, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    descriptors = Descriptors()
    for _ in range(9):
        descriptors.short(OSError(number, "x"))
    (record,) = caplog.records
    assert words in record.getMessage()
