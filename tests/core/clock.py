"""A protocol on a clock that the test moves."""

from __future__ import annotations

from typing import Any

BEGINNING = 1_000.0


class OnAClock:
    """Base of the classes that drive one protocol. ``now`` begins at 1000 seconds."""

    protocol: Any

    def __init__(self) -> None:
        self.now = BEGINNING

    def at(self, seconds: float) -> None:
        """Move the clock to ``seconds`` after the beginning."""
        self.now = BEGINNING + seconds
        self.protocol.handle_deadline(self.now)

    def deadline(self) -> float | None:
        """The next deadline in seconds after the beginning."""
        when = self.protocol.next_deadline()
        return None if when is None else when - BEGINNING

    def outcomes(self) -> list[Any]:
        return list(self.protocol.take_outcomes())
