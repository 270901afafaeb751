"""Standard input as lines, read in a thread.

The thread reads the descriptor itself: an event loop cannot wait for a regular file, and would make
the terminal that standard output shares with standard input non-blocking.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import signal
import threading
import time
from collections.abc import AsyncIterator
from typing import Final, TextIO

LINE_BYTES: Final = 1_048_576
"""Bytes of a line. A LastChange with the metadata of a playlist reaches 200 kB. Bounds the memory
for input without an end of line."""

_CHUNK_BYTES = 65_536

_TURN_SECONDS = 0.002
"""Seconds that the caller works on lines in one turn of the loop, so that a flood of lines delays
no subscriber. An assignment takes 20 µs to some milliseconds."""

_BACKGROUND_SECONDS = 1.0
"""Seconds until a process in the background tries again to read the terminal."""


class LineSplitter:
    """Bytes to lines, without their ends. None stands for a line of more than ``most`` bytes."""

    def __init__(self, most: int = LINE_BYTES) -> None:
        self._most = most
        self._begun = bytearray()
        self._too_long = False

    def feed(self, data: bytes) -> list[bytes | None]:
        """The lines that end in ``data``."""
        *ends, rest = data.split(b"\n")
        lines = []
        for end in ends:
            self._take(end)
            lines.append(self._ended())
        self._take(rest)
        return lines

    def end(self) -> list[bytes | None]:
        """The last line, if it has no end of line."""
        return [self._ended()] if self._begun or self._too_long else []

    def _take(self, data: bytes) -> None:
        if len(self._begun) + len(data) > self._most:
            self._too_long = True
            self._begun.clear()
        elif not self._too_long:
            self._begun += data

    def _ended(self) -> bytes | None:
        line = None if self._too_long else bytes(self._begun).rstrip(b"\r")
        self._begun.clear()
        self._too_long = False
        return line


async def lines_of(stream: TextIO | None) -> AsyncIterator[bytes | None]:
    """The lines of ``stream`` until its end. None stands for a line of more than
    :data:`LINE_BYTES`. ``stream`` is not read further than one piece ahead of the caller."""
    try:
        descriptor = None if stream is None else stream.fileno()
    except (OSError, ValueError):  # it is not a file
        descriptor = None
    if descriptor is None:
        return
    reader = _Reader(descriptor)
    splitter = LineSplitter()
    while data := await reader.read():
        begun = time.monotonic()
        for line in splitter.feed(data):
            yield line
            if time.monotonic() - begun > _TURN_SECONDS:
                await asyncio.sleep(0)
                begun = time.monotonic()
    for line in splitter.end():
        yield line


class _Reader:
    """Reads ``descriptor`` in a thread that does not keep the process alive."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue()
        self._wanted = threading.Semaphore(0)
        if hasattr(signal, "SIGTTIN"):
            # A process in the background that reads the terminal would be stopped.
            signal.signal(signal.SIGTTIN, signal.SIG_IGN)
        threading.Thread(target=self._read_all, daemon=True).start()

    async def read(self) -> bytes:
        """The next piece; empty at the end."""
        self._wanted.release()
        return await self._pieces.get()

    def _read_all(self) -> None:
        data = b"x"
        while data:
            self._wanted.acquire()
            data = self._read()
            try:
                self._loop.call_soon_threadsafe(self._pieces.put_nowait, data)
            except RuntimeError:  # the loop is closed
                return

    def _read(self) -> bytes:
        while True:
            try:
                return os.read(self._descriptor, _CHUNK_BYTES)
            except BlockingIOError:  # another process has made it non-blocking
                select.select([self._descriptor], [], [])
            except OSError as error:
                if error.errno != errno.EIO or not os.isatty(self._descriptor):
                    return b""
                time.sleep(_BACKGROUND_SECONDS)
