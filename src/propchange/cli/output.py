"""Standard output, written in a thread, and the form of its lines.

While a reader stalls (``| less``, Ctrl-S in a terminal), NOTIFYs are answered and renewals are
sent. Events wait in the bounded queues of the subscriptions.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import select
import stat
import threading
from collections.abc import Callable, Coroutine
from typing import Any, BinaryIO, Self, TextIO

from propchange.cli.exit_status import CommandFailed
from propchange.cli.jsonlines import JSONLines
from propchange.cli.terminal import TerminalLines

LineFormat = JSONLines | TerminalLines

_ROOM = 65_536
"""Characters that may wait for the reader. Above that, :meth:`Writer.room` waits."""

_LAST_SECONDS = 1.0
"""How long leaving a Writer waits for the reader to take the rest."""


class Writer:
    """Writes texts to ``stream`` in order, each at once. An asynchronous context manager.

    ``ended`` is set once nothing more is written: the stream failed, its reader has gone, or
    :meth:`end` was called.
    """

    def __init__(self, stream: TextIO | None, *, encoding: str | None = None) -> None:
        self._stream = stream
        self._encoding = encoding or getattr(stream, "encoding", None) or "utf-8"
        self._fd: int | None = None
        # The stream that takes the bytes if there is no descriptor to write to.
        self._buffer: BinaryIO | None = None
        if stream is not None and os.name != "nt":
            with contextlib.suppress(OSError, ValueError):  # the stream is not a file
                self._fd = stream.fileno()
        elif stream is not None and not stream.isatty():
            # On Windows a console takes text. In a file or a pipe the text would be in the code
            # page.
            self._buffer = getattr(stream, "buffer", None)
        self._condition = threading.Condition()
        self._waiting: list[str] = []
        self._waiting_characters = 0
        self._writing = False
        self._closing = False
        self._thread = threading.Thread(target=self._write_all, daemon=True)
        self._loop: asyncio.AbstractEventLoop
        self._taken = asyncio.Event()
        self._done = asyncio.Event()
        self.ended = asyncio.Event()
        self._failure: OSError | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        if self._stream is None:
            self.end()
            self._done.set()
            return self
        if self._fd is not None and stat.S_ISFIFO(os.fstat(self._fd).st_mode):
            # The write end of a pipe becomes readable when its reader goes. This notices the end
            # of `| head` when no further event comes.
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
        """Write ``text`` as soon as the reader takes it. Do nothing once :attr:`ended` is set."""
        if not text or self.ended.is_set():
            return
        with self._condition:
            self._waiting.append(text)
            self._waiting_characters += len(text)
            self._condition.notify()

    @property
    def is_full(self) -> bool:
        """Whether so much waits for the reader that :meth:`room` waits."""
        return self._waiting_characters > _ROOM and not self.ended.is_set()

    async def room(self) -> None:
        """Wait until the reader has taken enough, or :attr:`ended` is set."""
        while self.is_full:
            self._taken.clear()
            await self._taken.wait()

    @property
    def is_idle(self) -> bool:
        """Whether the reader has taken everything."""
        return not self._waiting and not self._writing

    async def taken(self) -> None:
        """Wait until the reader has taken everything, or :attr:`ended` is set."""
        while not (self.is_idle or self.ended.is_set()):
            self._taken.clear()
            await self._taken.wait()

    def check(self) -> None:
        """Raise CommandFailed if the stream could not be written. If its reader has gone, that is
        no failure."""
        if self._failure is not None:
            raise CommandFailed(unwritable(self._failure))

    async def run(self, work: Coroutine[Any, Any, None], seconds: float | None = None) -> None:
        """Run ``work`` until it ends, :attr:`ended` is set or ``seconds`` have passed. Raises what
        ``work`` raises, and CommandFailed as :meth:`check` does."""
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(each) for each in (work, self.ended.wait())
        ]
        try:
            await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if tasks[0].done():
                tasks[0].result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self.check()

    def end(self, error: OSError | ValueError | None = None) -> None:
        """Drop the texts that are put from now on."""
        if isinstance(error, OSError) and error.errno not in (errno.EPIPE, errno.ECONNRESET):
            self._failure = error
        self.ended.set()
        self._taken.set()

    def _reader_has_gone(self) -> None:
        assert self._fd is not None
        poll = select.poll()
        poll.register(self._fd, 0)
        if poll.poll(0):
            self.end()
        self._loop.remove_reader(self._fd)

    # --- in the thread ---

    def _write_all(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    break
                text = "".join(self._waiting)
                self._waiting.clear()
                self._waiting_characters = 0
                self._writing = True
            try:
                self._write(text)
            except (OSError, ValueError) as error:
                self._in_loop(self.end, error)
                break
            self._writing = False
            self._in_loop(self._taken.set)
        self._in_loop(self._done.set)

    def _write(self, text: str) -> None:
        assert self._stream is not None
        encoded = text.encode(self._encoding, "backslashreplace")
        if self._buffer is not None:
            self._buffer.write(encoded)
            self._buffer.flush()
            return
        if self._fd is None:
            self._stream.write(text)
            self._stream.flush()
            return
        data = memoryview(encoded)
        while data:
            try:
                data = data[os.write(self._fd, data) :]
            except BlockingIOError:
                select.select([], [self._fd], [])

    def _in_loop(self, callback: Callable[..., object], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(callback, *arguments)


def unwritable(error: OSError) -> str:
    """The sentence for output that cannot be written."""
    return f"cannot write the output: {error.strerror}; write it to another place"


def write_whole(stream: TextIO, text: str, *, encoding: str | None = None) -> None:
    """Write ``text`` to ``stream`` now, in ``encoding``; None: the encoding of the stream. Raises
    OSError."""
    buffer = getattr(stream, "buffer", None)
    if buffer is None or (os.name == "nt" and stream.isatty()):
        stream.write(text)
    else:
        stream.flush()
        buffer.write(text.encode(encoding or stream.encoding, "backslashreplace"))
    stream.flush()


def output(
    stream: TextIO | None, *, json: bool, raw: bool = False, full: bool = False
) -> tuple[Writer, LineFormat]:
    """A writer to ``stream`` and the form of its lines: JSON Lines if ``json``, and whenever
    ``stream`` is not a terminal. ``raw`` and ``full`` are those of the form."""
    if json or stream is None or not stream.isatty():
        # JSON is UTF-8, whatever the encoding of the terminal.
        return Writer(stream, encoding="utf-8"), JSONLines(raw=raw)
    return Writer(stream), TerminalLines(stream, raw=raw, full=full)
