"""Several assignments, one event.

A batch keeps the value from before it for each variable that is assigned inside it. The values
themselves are set at once, so code inside the batch reads what it wrote. All other code reads the
values from before until the batch has ended.

A context variable says which code is inside. Other code can run while a batch is open only if the
batch was left open across an ``await``. Such a batch is *broken*: its values are rolled back at
once, and the code inside it gets a ``RuntimeError`` at its next assignment or at the end of the
``with``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Any

BROKEN_MESSAGE = (
    "a batch() was left open while other code ran, so its assignments have been undone: "
    "a batch is not to be held across an await"
)

_innermost: ContextVar[Batch | None] = ContextVar("propchange_batch", default=None)


def enclosing_batch() -> Batch | None:
    """The innermost batch of any service that the running code is inside, or None. Its ``around``
    is the next one."""
    batch = _innermost.get()
    while batch is not None and batch.ended:
        batch = batch.around
    return batch


def is_inside(batch: Batch) -> bool:
    """Whether the running code is inside ``batch``, which has not ended."""
    around = _innermost.get()
    while around is not None and around is not batch:
        around = around.around
    return around is not None


class Batch:
    """The context manager that :meth:`Service.batch` returns. It can be entered once.

    It calls ``enter(batch)`` and ``leave(batch, keep)`` of the service; ``keep`` is False after an
    exception. ``parent`` is the next outer batch of the same service, ``around`` that of any
    service. ``before`` has the values from before this batch, in the order of the first
    assignments.
    """

    def __init__(
        self, enter: Callable[[Batch], None], leave: Callable[[Batch, bool], None]
    ) -> None:
        self._enter = enter
        self._leave = leave
        self._entered = self.ended = False
        self.parent: Batch | None = None
        self.around: Batch | None = None
        self.before: dict[Any, Any] = {}
        self.cancel_watch: Callable[[], object] = lambda: None

    def has(self, key: Any) -> bool:
        """Whether ``key`` was assigned in this batch or in one of its parents."""
        return key in self.before or (self.parent is not None and self.parent.has(key))

    def __enter__(self) -> None:
        if self._entered:
            raise RuntimeError("a batch can be entered only once: call batch() again")
        self._enter(self)
        self._entered = True
        self.around = enclosing_batch()
        _innermost.set(self)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._leave(self, exc_type is None)
        finally:
            self.ended = True
            # Not ContextVar.reset: it raises when an async generator ends in another context.
            _innermost.set(enclosing_batch())
