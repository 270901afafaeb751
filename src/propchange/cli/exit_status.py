"""Runs the coroutine of a command: signals, exit status, and a line for an error.

SIGINT (Ctrl-C), SIGTERM and SIGHUP unsubscribe first. A second SIGINT ends the process at once. The
statuses are those of :data:`.statuses.EXIT_STATUSES`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from propchange import (
    ActionError,
    PropchangeError,
    SubscriptionRefused,
    TimedOut,
)
from propchange.cli.lines import escape

_SIGNALS = [each for each in signal.Signals if each.name in ("SIGINT", "SIGTERM", "SIGHUP")]


_MOST_CHARACTERS = 4_000
"""Characters of a line on standard error. A device chooses the description of a fault."""


class CommandFailed(Exception):
    """The command cannot continue. Each of ``lines`` is a line for the user; without any, the
    output says why."""

    def __init__(self, *lines: str, status: int = 1) -> None:
        super().__init__(*lines)
        self.lines = lines
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
        lines = error.lines if isinstance(error, CommandFailed) else (with_advice(error),)
        text = "".join(f"propchange: {escape(_cut(line))}\n" for line in lines)
        if sys.stderr is not None:
            with contextlib.suppress(OSError):
                print(text, end="", file=sys.stderr, flush=True)
        return error.status if isinstance(error, CommandFailed) else _status_of(error)
    return 128 + received if received and not endless else 0


def with_advice(error: PropchangeError) -> str:
    """The sentence of ``error``, and what to do."""
    text = str(error)
    if isinstance(error, ActionError):
        advice = "propchange call URL SERVICE lists the actions and the values that they take"
    elif isinstance(error, SubscriptionRefused):
        advice = "propchange watch --diagnose says more"
    elif isinstance(error, TimedOut) or text.startswith("no connection to"):
        advice = "check that the device is on, and its URL: propchange discover prints the URLs"
    else:
        return text
    return f"{text}; {advice}"


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
