from __future__ import annotations

import errno

import pytest

from propchange.core.subscriber.failures import Failure, failure_of_errno


@pytest.mark.parametrize(
    ("number", "failure"),
    [
        (errno.ECONNREFUSED, Failure.REFUSED),
        (errno.EHOSTUNREACH, Failure.UNREACHABLE),
        (errno.ENETUNREACH, Failure.UNREACHABLE),
        (errno.ETIMEDOUT, Failure.UNREACHABLE),
        (errno.EADDRNOTAVAIL, Failure.NO_SOURCE),
        (errno.EPERM, Failure.SILENCE),
        (None, Failure.SILENCE),
    ],
)
def test_the_systems_error_says_who_is_missing(number, failure) -> None:
    assert failure_of_errno(number, bound=True) is failure


def test_no_address_can_be_missing_where_none_was_asked_for() -> None:
    assert failure_of_errno(errno.EADDRNOTAVAIL, bound=False) is Failure.SILENCE
