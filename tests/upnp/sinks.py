"""What a service publishes to in the tests, instead of to a host."""

from __future__ import annotations

from collections.abc import Callable


class Sink:
    """Keeps what is published. ``refuse`` and ``refuse_caller`` are raised, ``during`` is called
    while a service publishes. The turns of its loop are the test's to take."""

    def __init__(self) -> None:
        self.published: list[dict[str, str]] = []
        self.refuse: BaseException | None = None
        self.refuse_caller: Exception | None = None
        self.during: Callable[[], None] | None = None
        self.waiting: list[Callable[[], None]] = []

    def check_caller(self) -> None:
        if self.refuse_caller:
            raise self.refuse_caller

    def publish(self, changes: dict[str, str]) -> None:
        if self.during:
            self.during()
        if self.refuse:
            raise self.refuse
        self.published.append(changes)

    def when_turn_ends(self, callback: Callable[[], None]) -> Callable[[], None]:
        self.waiting.append(callback)
        return lambda: self.waiting.remove(callback) if callback in self.waiting else None

    def take_turn(self) -> None:
        for callback in self.waiting.copy():
            callback()
