"""Log lines whose number a peer cannot choose.

A peer can cause any number of outcomes: requests that are refused, events that fail. So the lines
are bounded twice. A warning that repeats is logged once, and then counted (:class:`Warnings`). A
peer that chooses another address or name each time would still cause a new warning each time; so
the lines of one kind are bounded too, whatever addresses and names they contain
(:class:`LineRate`). The texts of peers in a line are escaped (:mod:`propchange.printable`).
"""

from __future__ import annotations

import logging
import time
import traceback
from collections import Counter
from collections.abc import Callable, Hashable

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.token_bucket import TokenBucket
from propchange.printable import printable


class _Printable(logging.Filter):
    """Escapes and cuts the lines of a logger, and the texts of exceptions below them."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change ``record`` if it is not printable or too long."""
        message = record.getMessage()
        most = DEFAULT_LIMITS.log_line_characters
        shown = printable(message[: most + 1])
        if shown != message:
            record.msg, record.args = shown if len(shown) <= most else f"{shown[:most]}…", ()
        if record.exc_info and record.exc_info[0] is not None and not record.exc_text:
            lines = "".join(traceback.format_exception(*record.exc_info)).split("\n")
            record.exc_text = "\n".join(printable(line[:most]) for line in lines).rstrip("\n")
        return True


_PRINTABLE = _Printable()


def logger_named(name: str) -> logging.Logger:
    """The logger ``name``. Texts of peers are escaped in its lines."""
    logger = logging.getLogger(name)
    logger.addFilter(_PRINTABLE)  # no effect if the logger has this filter
    return logger


def repr_of(error: BaseException) -> str:
    """The repr of an exception of an application, whose own ``__repr__`` may raise."""
    try:
        return repr(error)
    except Exception:  # noqa: BLE001 - the code of an application may raise anything
        return f"a {type(error).__name__} without a repr"


def guarded(tap: Callable[[object], None], logger: logging.Logger) -> Callable[[object], None]:
    """A function that calls ``tap``, the function of an application. An exception of ``tap`` is
    logged, the first one with its traceback, and has no other effect."""
    failures = 0

    def call(passing: object) -> None:
        nonlocal failures
        try:
            tap(passing)
        except Exception as error:
            failures += 1
            if failures == 1:
                logger.exception("the tap raised; it is called again all the same")
            else:
                logger.debug("the tap raised: %s (%d times so far)", repr_of(error), failures)

    return call


class LineRate:
    """Bounds the lines of one kind: ``Limits.log_lines`` at once, then one every
    ``Limits.log_line_seconds``. A kind is a constant of the program, not a value of a peer."""

    def __init__(
        self, limits: Limits = DEFAULT_LIMITS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._kinds: dict[Hashable, TokenBucket] = {}
        self._left_out: Counter[Hashable] = Counter()

    def admit(self, kind: Hashable) -> str | None:
        """The text to append to one more line of ``kind``; None: leave the line out."""
        now, limits = self._clock(), self._limits
        bucket = self._kinds.get(kind)
        if bucket is None:
            if len(self._kinds) >= limits.log_kinds:
                oldest = next(iter(self._kinds))
                del self._kinds[oldest], self._left_out[oldest]
            bucket = TokenBucket(limits.log_lines, limits.log_line_seconds, now)
            self._kinds[kind] = bucket
        if bucket.ready_at(now) > now:
            self._left_out[kind] += 1
            return None
        bucket.spend(now)
        left_out = self._left_out.pop(kind, 0)
        return f" ({left_out} more lines of this kind were left out)" if left_out else ""


class Warnings:
    """The warnings of one host or control point on one logger.

    A ``kind`` is a constant of the program, or a tuple of a constant and values of a peer. Of the
    warnings of one kind, the first, the tenth, the hundredth and so on are logged, with their
    number. The others are logged on the debug level. :class:`LineRate` bounds the lines of all
    kinds with the same constant.
    """

    def __init__(
        self,
        logger: logging.Logger,
        limits: Limits = DEFAULT_LIMITS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.logger = logger
        self._limits = limits
        self._rate = LineRate(limits, clock)
        self._counts: dict[Hashable, int] = {}

    def warn(self, kind: Hashable, message: str) -> None:
        """Log ``message`` as a warning. Messages with equal ``kind`` are counted together."""
        self._log_counted(logging.WARNING, kind, message)

    def raised(self, kind: Hashable, message: str) -> None:
        """Log ``message`` as an error. Counted as :meth:`warn`; the first one comes with the
        exception that is handled and its traceback."""
        self._log_counted(logging.ERROR, kind, message)

    def _log_counted(self, level: int, kind: Hashable, message: str) -> None:
        count = self._counts.get(kind, 0) + 1
        if count == 1 and len(self._counts) >= self._limits.log_kinds:
            del self._counts[next(iter(self._counts))]
        self._counts[kind] = count
        if count > 1 and str(count).strip("0") != "1":
            self.logger.debug("%s", message)
            return
        times = f" ({count} times so far)" if count > 1 else ""
        with_traceback = level == logging.ERROR and count == 1
        self._log(level, kind, f"{message}{times}", exc_info=with_traceback)

    def info(self, kind: Hashable, message: str) -> None:
        """Log ``message`` on the info level. Repetitions are not counted."""
        if self.logger.isEnabledFor(logging.INFO):
            self._log(logging.INFO, kind, message)

    def exception(self, kind: Hashable, message: str) -> None:
        """Log ``message`` as an error, with the exception that is handled."""
        self._log(logging.ERROR, kind, message, exc_info=True)

    def _log(self, level: int, kind: Hashable, message: str, *, exc_info: bool = False) -> None:
        family = (level, kind[0] if isinstance(kind, tuple) else kind)
        left_out = self._rate.admit(family)
        if left_out is None:
            self.logger.debug("%s", message)
        else:
            self.logger.log(level, "%s%s", message, left_out, exc_info=exc_info)
