"""Ends the event handlers of a test."""

from __future__ import annotations

from dataclasses import replace

import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.dropin.async_upnp_client import event_handler


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No discovery, and short waits."""
    monkeypatch.setattr(event_handler.SETTINGS, "discovery", False)
    limits = replace(
        DEFAULT_LIMITS,
        backoff_first_seconds=0.05,
        subscribe_burst=100,
        subscribe_refill_seconds=0.01,
    )
    monkeypatch.setattr(event_handler, "DEFAULT_LIMITS", limits)
