"""Standard output, written in a thread of its own.

A reader that stalls (``| less``, a terminal that is held) must not stall the subscriptions: their
events are still answered, and renewals go out. What the reader does not take waits, bounded, in
the inboxes of the subscriptions.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import select
import stat
import threading
from typing import Self, TextIO

__all__ = ["Writer"]

_ROOM = 65_536
"""Characters that may wait for the reader before :meth:`Writer.room` makes its caller wait."""

_LAST_SECONDS = 1.0
"""How long the end waits for the reader to take the rest."""


class Writer:
    """Writes texts to ``stream`` in order, each at once. An asynchronous context manager.

    ``ended`` is set when the stream can be written no more: ``failure`` is then the OSError, or
    None when its reader has gone.
    """

    def __init__(self, stream: TextIO | None, *, encoding: str | None = None) -> None:
        self._stream = stream
        self._encoding = encoding or getattr(stream, "encoding", None) or "utf-8"
        self._fd = _descriptor(stream)
        self._condition = threading.Condition()
        self._waiting: list[str] = []
        self._waiting_characters = 0
        self._closing = False
        self._thread = threading.Thread(target=self._write_all, daemon=True)
        self._loop: asyncio.AbstractEventLoop
        self._taken = asyncio.Event()
        self._done = asyncio.Event()
        self.ended = asyncio.Event()
        self.failure: OSError | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        if self._stream is None:
            self.ended.set()
            self._done.set()
            return self
        if self._fd is not None and stat.S_ISFIFO(os.fstat(self._fd).st_mode):
            # The write end of a pipe becomes readable when its reader goes: `| head` is noticed
            # although no event comes any more.
            with contextlib.suppress(NotImplementedError, OSError):
                self._loop.add_reader(self._fd, self._reader_has_gone)
        self._thread.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        with self._condition:
            self._closing = True
            self._condition.notify()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                await self._done.wait()
        if self._fd is not None:
            with contextlib.suppress(NotImplementedError, OSError):
                self._loop.remove_reader(self._fd)

    def put(self, text: str) -> None:
        """Write ``text`` as soon as the reader takes it. After the end it is dropped."""
        if not text or self.ended.is_set():
            return
        with self._condition:
            self._waiting.append(text)
            self._waiting_characters += len(text)
            self._condition.notify()

    async def room(self) -> None:
        """Wait until the reader has taken enough, or the stream has ended."""
        while self._waiting_characters > _ROOM and not self.ended.is_set():
            self._taken.clear()
            await self._taken.wait()

    # --- in the thread ---

    def _write_all(self) -> None:
        while True:
            with self._condition:
                while not self._waiting and not self._closing:
                    self._condition.wait()
                if not self._waiting:
                    break
                text = "".join(self._waiting)
                self._waiting.clear()
                self._waiting_characters = 0
            try:
                self._write(text)
            except (OSError, ValueError) as error:
                self._tell(lambda error=error: self._end(error))
                break
            self._tell(self._taken.set)
        self._tell(self._done.set)

    def _write(self, text: str) -> None:
        assert self._stream is not None
        if self._fd is None:
            self._stream.write(text)
            self._stream.flush()
            return
        data = memoryview(text.encode(self._encoding, "backslashreplace"))
        while data:
            try:
                data = data[os.write(self._fd, data) :]
            except BlockingIOError:
                select.select([], [self._fd], [])

    def _tell(self, callback: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended without waiting
            self._loop.call_soon_threadsafe(callback)  # type: ignore[arg-type] # callable

    # --- in the loop ---

    def _reader_has_gone(self) -> None:
        assert self._fd is not None
        poll = select.poll()
        poll.register(self._fd, 0)
        if poll.poll(0):
            self._end(None)
        self._loop.remove_reader(self._fd)

    def _end(self, error: OSError | ValueError | None) -> None:
        if not self.ended.is_set():
            if isinstance(error, OSError) and error.errno not in (errno.EPIPE, errno.ECONNRESET):
                self.failure = error
            self.ended.set()
            self._taken.set()


def _descriptor(stream: TextIO | None) -> int | None:
    """The number to write to, None where the stream itself must be written to: it is no file,
    or a console of Windows, which takes text."""
    if stream is None or os.name == "nt":
        return None
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return None
