"""Running a command's coroutine: the loop, signals, exit statuses and the one line of an error.

Exit statuses: 0 when the command has done what it was asked for, 1 when the network or the device
did not let it, 2 when the command line is wrong. SIGINT (Ctrl-C), SIGTERM and
SIGHUP unsubscribe first, and are the usual end of a command that has no other: 0. A command that
was to end by itself and could not (``--count``, ``--seconds``) gives 128 and the number of the
signal: 130, 143. A second signal kills at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from propchange.cli.escaping import escape
from propchange.errors import PropchangeError

__all__ = ["CommandFailed", "complain", "run"]

_SIGNALS = tuple(
    signal.Signals[name]
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if name in signal.Signals.__members__
)


class CommandFailed(Exception):
    """The command cannot go on; the message is the one line that says why."""

    def __init__(self, message: str, *, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


def run(command: Coroutine[Any, Any, None], *, endless: bool) -> int:
    """Run ``command`` to its end and return the exit status. ``endless``: it ends by a signal
    alone, so that one is no failure."""
    # What the loggers warn of is told by the commands themselves.
    logging.getLogger("propchange").addHandler(logging.NullHandler())
    try:
        with asyncio.Runner(loop_factory=_fast_loop()) as runner:
            received = runner.run(_until_signal(command))
    except KeyboardInterrupt:  # before or after all that could be interrupted
        return 128 + signal.SIGINT
    except CommandFailed as error:
        complain(str(error))
        return error.status
    except PropchangeError as error:
        complain(str(error))
        return 1
    return 128 + received if received and not endless else 0


def complain(message: str) -> None:
    """One line on standard error, if that can be written."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(f"propchange: {escape(message)}", file=sys.stderr, flush=True)


async def _until_signal(command: Coroutine[Any, Any, None]) -> int:
    """The number of the signal that ended ``command``, 0 when it ended by itself."""
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    received = 0

    def stop(number: signal.Signals) -> None:
        nonlocal received
        received = number
        release()
        # A KeyboardInterrupt would come up in whichever task runs then.
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
        await command
    except asyncio.CancelledError:
        # Where loops take no signals (Windows) asyncio itself cancels for Ctrl-C.
        received = received or signal.SIGINT
    finally:
        release()
    return received


def _fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
