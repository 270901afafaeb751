"""Runs the coroutine of a command: signals, exit status, and a line for an error.

========  ==========================================================================
status    meaning
========  ==========================================================================
0         The command did its work, or a signal ended a command that has no other end.
1         The network or the device prevented it.
2         The command line is wrong; of ``call`` also: the service has no such action, or the
          action no such argument or value. Nothing was sent.
3         The device answered ``call`` with a fault.
128 + n   Signal n ended a command before its own end (``--count``, ``--seconds``):
          130 for SIGINT, 143 for SIGTERM.
========  ==========================================================================

SIGINT (Ctrl-C), SIGTERM and SIGHUP unsubscribe first. A second SIGINT ends the process at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from propchange import ActionError, PropchangeError
from propchange.cli.lines import escape

_SIGNALS = [each for each in signal.Signals if each.name in ("SIGINT", "SIGTERM", "SIGHUP")]


_MOST_CHARACTERS = 4_000
"""Characters of a line on standard error. A device chooses the description of a fault."""


class CommandFailed(Exception):
    """The command cannot continue. The message is one line for the user; ``more`` are further
    lines."""

    def __init__(self, message: str, *more: str, status: int = 1) -> None:
        super().__init__(message)
        self.lines = (message, *more)
        self.status = status


def run(command: Coroutine[Any, Any, None], *, endless: bool) -> int:
    """Run ``command`` to its end and return the exit status. ``endless``: only a signal ends the
    command, so a signal is no failure."""
    # The commands print what the loggers warn of.
    logging.getLogger("propchange").addHandler(logging.NullHandler())
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    with contextlib.suppress(ImportError):
        import uvloop

        loop_factory = uvloop.new_event_loop
    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            received = runner.run(_until_signal(command))
    except KeyboardInterrupt:  # outside of the coroutine
        return 128 + signal.SIGINT
    except (CommandFailed, PropchangeError) as error:
        lines = error.lines if isinstance(error, CommandFailed) else (str(error),)
        text = "".join(f"propchange: {escape(_cut(line))}\n" for line in lines)
        if sys.stderr is not None:
            with contextlib.suppress(OSError):
                print(text, end="", file=sys.stderr, flush=True)
        return error.status if isinstance(error, CommandFailed) else _status_of(error)
    return 128 + received if received and not endless else 0


def _cut(line: str) -> str:
    return line if len(line) <= _MOST_CHARACTERS else f"{line[:_MOST_CHARACTERS]}…"


def _status_of(error: PropchangeError) -> int:
    return 3 if isinstance(error, ActionError) else 1


async def _until_signal(command: Coroutine[Any, Any, None]) -> int:
    """Run ``command`` and return the number of the signal that ended it, 0 without a signal."""
    task = asyncio.create_task(command)
    loop = asyncio.get_running_loop()
    received = 0

    def stop(number: signal.Signals) -> None:
        nonlocal received
        received = number
        release()
        # Python's own handler would raise KeyboardInterrupt in any task.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        task.cancel()

    def release() -> None:
        with contextlib.suppress(NotImplementedError):
            for number in _SIGNALS:
                loop.remove_signal_handler(number)

    with contextlib.suppress(NotImplementedError):
        for number in _SIGNALS:
            if number.name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN:
                continue  # nohup
            loop.add_signal_handler(number, stop, number)
    try:
        await task
    except asyncio.CancelledError:
        # Loops on Windows take no signal handlers: asyncio itself cancels for Ctrl-C.
        received = received or signal.SIGINT
    finally:
        release()
    return received
