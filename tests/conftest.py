"""What every suite shares: hypothesis at three depths, and no proxy from the environment."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# A machine shared by several builds is slow now and then: no test fails for that.
settings.register_profile(
    "check", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("ci", settings.get_profile("check"), max_examples=200, print_blob=True)
settings.register_profile("long", settings.get_profile("ci"), max_examples=5_000)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") == "true" else "check")
)


@pytest.fixture(autouse=True)
def no_ambient_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """UPnP stays on the link. The tests' own HTTP clients must not leave it either."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
