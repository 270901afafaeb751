"""Every test of core begins without the verdicts that an earlier one left in a cache."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_host_was_judged_before() -> None:
    # Imported here, so that a break of the sources fails the collection of the tests that need it.
    from propchange.core.wire.refusals import judge_authority

    judge_authority.cache_clear()
