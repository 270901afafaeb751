from __future__ import annotations

import asyncio
import errno
import io
import os
import time
from collections.abc import Iterator
from typing import TextIO

import pytest

from propchange.cli import output
from propchange.cli.exit_status import CommandFailed
from propchange.cli.output import Writer, write_whole

PATIENCE = 15.0


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    """The end to read, a descriptor, and the end to write, a stream."""
    read, write = os.pipe()
    stream = os.fdopen(write, "w", encoding="utf-8")
    yield read, stream
    stream.close()
    try:
        os.close(read)
    except OSError as error:
        assert error.errno == errno.EBADF  # noqa: PT017 - the test has closed it


async def test_texts_arrive_in_order_and_at_once(pipe: tuple[int, TextIO]) -> None:
    read, stream = pipe

    async with Writer(stream) as writer:
        for text in ("one\n", "", "zwölf\n"):
            writer.put(text)
        arrived = b""
        while arrived != "one\nzwölf\n".encode():
            arrived += await asyncio.to_thread(os.read, read, 100)


async def test_what_the_streams_encoding_lacks_is_escaped(pipe: tuple[int, TextIO]) -> None:
    read, stream = pipe

    async with Writer(stream, encoding="ascii") as writer:
        writer.put("20 °C")
    assert os.read(read, 100) == rb"20 \xb0C"


async def test_a_stream_that_is_no_file_is_written_to_as_it_is() -> None:
    stream = io.StringIO()

    async with Writer(stream) as writer:
        writer.put("text")
    assert stream.getvalue() == "text"


class CodePage(io.TextIOWrapper):
    """Standard output of Windows in another code page, as a file or as a console."""

    def __init__(self, *, console: bool) -> None:
        self.bytes = io.BytesIO()
        self.console = console
        super().__init__(self.bytes, encoding="cp1252")

    def isatty(self) -> bool:
        return self.console


@pytest.mark.parametrize("console", [True, False])
async def test_on_windows_a_file_gets_utf_8_and_a_console_its_text(
    monkeypatch: pytest.MonkeyPatch, *, console: bool
) -> None:
    monkeypatch.setattr("propchange.cli.output.os.name", "nt")
    stream = CodePage(console=console)
    async with Writer(stream, encoding="utf-8") as writer:
        writer.put("20 °C\n")
    assert stream.bytes.getvalue() == "20 °C\n".encode("cp1252" if console else "utf-8")
    stream = CodePage(console=console)
    write_whole(stream, "20 °C", encoding="utf-8")
    assert stream.bytes.getvalue() == "20 °C".encode("cp1252" if console else "utf-8")


def test_a_whole_text_is_written_to_any_stream(pipe: tuple[int, TextIO]) -> None:
    read, stream = pipe
    write_whole(stream, "1 °C")
    assert os.read(read, 100) == "1 °C".encode()
    text = io.StringIO()
    write_whole(text, "1 °C", encoding="utf-8")
    assert text.getvalue() == "1 °C"


async def test_a_reader_that_goes_is_noticed_without_writing(pipe: tuple[int, TextIO]) -> None:
    read, stream = pipe
    async with Writer(stream) as writer:
        assert not writer.ended.is_set()
        os.close(read)
        await writer.ended.wait()
        writer.put("dropped")
        await writer.room()
        writer.check()


async def test_a_reader_that_has_gone_is_no_failure(pipe: tuple[int, TextIO]) -> None:
    read, stream = pipe
    os.close(read)
    async with Writer(stream) as writer:
        writer.put("text")
        await writer.ended.wait()
        writer.check()


async def test_a_full_disk_is_a_failure() -> None:
    with open("/dev/full", "w") as stream:  # noqa: ASYNC230 - a device
        async with Writer(stream) as writer:
            writer.put("text")
            await writer.ended.wait()
            with pytest.raises(CommandFailed, match="cannot write the output: No space left"):
                writer.check()


async def test_without_a_stream_it_has_ended_at_once() -> None:
    async with Writer(None) as writer:
        writer.put("text")
        assert writer.ended.is_set()


async def test_a_reader_that_stalls_holds_up_who_waits_for_room_and_nobody_else(
    pipe: tuple[int, TextIO],
) -> None:
    read, stream = pipe
    text = "x" * 100_000  # more than a pipe holds

    async with Writer(stream) as writer:
        writer.put(text)
        while writer._waiting_characters:  # until the thread is stuck in the pipe with it
            await asyncio.sleep(0)
        for _ in range(2):
            writer.put(text)
        waiting = asyncio.ensure_future(writer.room())
        for _ in range(10):
            await asyncio.sleep(0)
        assert not waiting.done()
        taken = 0
        while taken < 3 * len(text):
            taken += len(await asyncio.to_thread(os.read, read, 65_536))
        await waiting


async def test_a_reader_that_stalls_cannot_hold_up_the_end(
    pipe: tuple[int, TextIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, stream = pipe
    monkeypatch.setattr(output, "_LAST_SECONDS", 0.05)

    begun = time.monotonic()
    async with Writer(stream) as writer:
        writer.put("x" * 100_000)
    assert time.monotonic() - begun < PATIENCE / 2


async def test_a_pipe_that_does_not_block_is_waited_for(pipe: tuple[int, TextIO]) -> None:
    read, stream = pipe
    os.set_blocking(stream.fileno(), False)

    async with Writer(stream) as writer:
        writer.put("x" * 200_000)
        taken = 0
        while taken < 200_000:
            taken += len(await asyncio.to_thread(os.read, read, 65_536))
