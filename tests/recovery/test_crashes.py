"""A publisher and a control point that are killed in mid-traffic agree again after a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.crashes import RUNTIMES, crashes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_after_each_crash_both_ends_agree_and_no_old_subscription_is_left(
    runtime: str, tmp_path: Path
) -> None:
    with crashes(runtime, tmp_path, seed=7) as running:
        for victim in ("device", "control point", "device", "control point", "device"):
            running.crash(victim)
