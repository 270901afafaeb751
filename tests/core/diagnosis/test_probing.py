"""How the result of a probe connection is read."""

from __future__ import annotations

import errno

import pytest

from propchange.core.diagnosis.facts import failed_probe


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ECONNREFUSED, "refuses connections"),
        (errno.ECONNRESET, "refuses connections (words)"),
        (errno.EHOSTUNREACH, "does not answer (words)"),
        (errno.ENETUNREACH, "cannot be reached (words)"),
        (None, "cannot be reached (words)"),
    ],
)
def test_an_error_of_the_system_says_who_is_there(number: int | None, told: str) -> None:
    assert str(failed_probe("192.0.2.1:80", number, "words")) == f"192.0.2.1:80 {told}"
