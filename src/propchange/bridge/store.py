"""What collectors ask of the store that they share: reads, and writes that name the revision they
follow.

The store refuses a write if another one came between. So of two collectors that both take
themselves for the owner of a device, only one can write. Nothing here depends on clocks.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

from propchange.core.record import Record


class Place(enum.Enum):
    """Where a key is."""

    LEASES = "leases"
    """A bucket: the collectors that live. The store removes a key that is not written for the
    duration of a lease."""
    CLAIMS = "claims"
    """A bucket: the owner of each device."""
    STATE = "state"
    """A bucket: the current state of each service."""
    EVENTS = "events"
    """A stream: the events of each service, a subject each."""


class Ask(enum.Enum):
    """What an operation does."""

    GET = "get"
    """Read the last value of the key, or the last message of the subject."""
    PUT = "put"
    """Write, if the revision of the key is still the given one; 0: if there is no value."""
    DELETE = "delete"
    """Delete, if the revision of the key is still the given one."""
    LIST = "list"
    """Read which session has written each key of the states."""


class Outcome(enum.Enum):
    """How an operation ended."""

    DONE = "done"
    CONFLICT = "conflict"
    """Another write came between. Nothing was written."""
    UNKNOWN = "unknown"
    """No answer came. It may have been done or not."""
    FAILED = "failed"
    """The store refuses it for another reason, and will again."""


@dataclass(slots=True, eq=False, repr=False)
class Operation(Record):
    """One request to the store. ``term`` and ``message_id`` are those of an event: the store takes
    two messages with one id as one. ``session`` is that of the writer of a state."""

    ask: Ask
    place: Place
    key: str
    value: bytes = b""
    revision: int = 0
    term: int = 0
    message_id: str = ""
    session: str = ""


@dataclass(slots=True, eq=False, repr=False)
class Answer(Record):
    """The answer. ``revision`` is that of the value written or read; 0: there is none. ``listed``:
    keys, and the sessions that have written them."""

    outcome: Outcome
    revision: int = 0
    value: bytes = b""
    term: int = 0
    message_id: str = ""
    reason: str = ""
    listed: tuple[tuple[str, str], ...] = ()


class Store(Protocol):
    """A store that keeps the rules above."""

    def perform(self, operation: Operation) -> Awaitable[Answer]:
        """Do ``operation``. Raises nothing: what fails is an answer."""
        ...
