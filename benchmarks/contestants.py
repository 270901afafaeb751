"""What takes part in a measurement: publishers and subscribers, each a process of its own."""

from __future__ import annotations

from typing import NamedTuple, Protocol

__all__ = ["Contestant", "EventURL", "Publisher"]


class EventURL(NamedTuple):
    """Where a publisher takes SUBSCRIBE."""

    host: str
    port: int
    path: str


class Contestant(Protocol):
    """A library in a process of its own, at its default settings."""

    @property
    def name(self) -> str:
        """As in the table, such as "libupnp 1.14.24"."""

    def start(self) -> None:
        """Start the process. RuntimeError says why it cannot run on this machine."""

    def cpu(self) -> float:
        """Seconds of processor time of the process so far, the kernel's work included."""

    def stop(self) -> None:
        """End the process. No error when it has not started."""


class Publisher(Contestant, Protocol):
    """A device with one evented variable."""

    @property
    def paced(self) -> bool:
        """Whether :meth:`publish` waits until the events are delivered. If it does not, it is
        called for ``at_once`` events at a time, and the next call waits for the subscribers."""

    def event_url(self) -> EventURL: ...

    def publish(self, events: int, at_once: int) -> str:
        """Publish ``events`` changes, ``at_once`` at a time. Returns the text of the last value
        as subscribers get it."""

    def publish_at(self, per_second: float, seconds: float) -> str:
        """Publish at a pace. Each value is the nanoseconds of CLOCK_MONOTONIC when it is
        assigned, or ends with a colon and these. Returns the last one."""
