"""Plays faults, several at once, and notes when each begins and ends."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from lab.programs import Missing

T = TypeVar("T")


class FaultTime:
    """The time of one fault: when it begins and ends, and the waits during it."""

    began = 0.0
    ended = 0.0

    def wait(self, seconds: float) -> None:
        """Let the fault last."""
        time.sleep(seconds)

    def wait_until(self, happens: Callable[[], bool], seconds: float) -> bool:
        """Wait until something happens, and give whether it has, in ``seconds`` at most."""
        deadline = time.monotonic() + seconds
        while not happens():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    @contextlib.contextmanager
    def fault(self) -> Iterator[None]:
        """The fault begins when this is entered and is over when it is left."""
        self.began = time.monotonic()
        yield
        self.ended = time.monotonic()


def play_all(
    play: Callable[..., list[T]], plays: Sequence[tuple[Any, ...]], at_once: int
) -> list[T]:
    """Call ``play`` with each of ``plays``, ``at_once`` at a time, and return all results in order.
    Ends the program with a message if another program is missing."""
    began = time.monotonic()
    played: list[T] = []
    with ThreadPoolExecutor(at_once) as jobs:
        for job in [jobs.submit(play, *each) for each in plays]:
            try:
                played += job.result()
            except Missing as error:
                jobs.shutdown(cancel_futures=True)
                sys.exit(str(error))
            print(".", end="", file=sys.stderr, flush=True)
    print(f" {len(plays)} faults in {time.monotonic() - began:.0f} s", file=sys.stderr)
    return played
