"""Several assignments, one event.

A batch keeps, for every variable that was assigned inside it, the value from before. The
values themselves are set at once, so that code inside the batch reads what it wrote; anybody
else gets the value from before until the batch has ended.

Who is inside is told by a context variable. Code that runs in another context while a batch
is open can only do so because the batch was left open across an ``await``; such a batch is
*broken*: its values are rolled back there and then, and the code inside it gets a
``RuntimeError`` at its next assignment or at the end of the ``with``.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Protocol

__all__ = ["BROKEN_MESSAGE", "Batch", "BatchOwner", "BatchState", "enclosing_batch", "is_inside"]

BROKEN_MESSAGE = (
    "a batch() was left open while other code ran, so its assignments have been undone: "
    "a batch is not to be held across an await"
)

_innermost: ContextVar[Batch | None] = ContextVar("propchange_batch", default=None)


class BatchState(enum.Enum):
    """NEW -> OPEN -> CLOSED, or NEW -> OPEN -> BROKEN -> CLOSED."""

    NEW = "not entered yet"
    OPEN = "open"
    BROKEN = "rolled back while open"
    CLOSED = "ended"


class BatchOwner(Protocol):
    """What a batch needs of its service."""

    def open_batch(self, batch: Batch) -> None:
        """``batch`` is being entered. Raises when it must not be."""

    def close_batch(self, batch: Batch, keep: bool) -> None:
        """``batch`` is being left; ``keep`` is False after an exception."""


def enclosing_batch() -> Batch | None:
    """The innermost batch, of whichever service, that the running code was entered in and that
    has not ended. The next ones follow by ``around``."""
    batch = _innermost.get()
    while batch is not None and batch.state is BatchState.CLOSED:
        batch = batch.around
    return batch


def is_inside(batch: Batch) -> bool:
    """Whether the running code was entered in ``batch``, which has not ended."""
    around = _innermost.get()
    while around is not None and around is not batch:
        around = around.around
    return around is not None


class Batch:
    """What :meth:`Service.batch` returns: a context manager to be entered once.

    ``parent`` is the next outer batch of the same service; ``before`` holds the values from
    before this batch, in the order of the first assignments.
    """

    def __init__(self, owner: BatchOwner) -> None:
        self.owner = owner
        self.state = BatchState.NEW
        self.parent: Batch | None = None
        self.around: Batch | None = None
        self.before: dict[Any, Any] = {}
        self.cancel_watch: Callable[[], object] | None = None

    def has(self, key: Any) -> bool:
        """Whether the value under ``key`` was assigned in this batch or one around it."""
        batch: Batch | None = self
        while batch is not None:
            if key in batch.before:
                return True
            batch = batch.parent
        return False

    def __enter__(self) -> None:
        if self.state is not BatchState.NEW:
            raise RuntimeError("a batch can be entered only once: call batch() again")
        self.owner.open_batch(self)
        self.state = BatchState.OPEN
        self.around = enclosing_batch()
        _innermost.set(self)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.owner.close_batch(self, keep=exc_type is None)
        finally:
            self.state = BatchState.CLOSED
            # Not ContextVar.reset: it raises when an async generator ends in another context.
            _innermost.set(enclosing_batch())
