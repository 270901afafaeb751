"""Standard input becomes lines, with a bound."""

from __future__ import annotations

import asyncio
import io
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.cli.standard_input import LineSplitter, lines_of


@given(st.lists(st.binary(max_size=12)), st.integers(1, 9))
def test_lines_do_not_depend_on_how_the_bytes_come(parts: list[bytes], most: int) -> None:
    whole = b"".join(parts)
    splitter = LineSplitter(most)
    found = [line for part in parts for line in splitter.feed(part)] + splitter.end()

    lines = whole.split(b"\n")
    if not lines[-1]:
        lines.pop()
    assert found == [None if len(line) > most else line.rstrip(b"\r") for line in lines]


def test_a_line_that_is_too_long_is_not_kept() -> None:
    splitter = LineSplitter(10)
    for _ in range(1000):
        assert splitter.feed(b"x" * 1000) == []
        assert len(splitter._begun) <= 10
    assert splitter.feed(b"\nnext\n") == [None, b"next"]


@pytest.fixture
def pipe() -> Iterator[tuple[TextIO, int]]:
    reading, writing = os.pipe()
    with os.fdopen(reading) as stream:
        yield stream, writing


async def _all(stream: TextIO | None) -> list[bytes | None]:
    return [line async for line in lines_of(stream)]


def test_a_pipe_is_read_to_its_end(pipe: tuple[TextIO, int]) -> None:
    stream, writing = pipe
    os.write(writing, b"one\r\ntwo\n\nlast")
    os.close(writing)

    assert asyncio.run(_all(stream)) == [b"one", b"two", b"", b"last"]


def test_a_non_blocking_pipe_is_waited_for(pipe: tuple[TextIO, int]) -> None:
    stream, writing = pipe
    os.set_blocking(stream.fileno(), False)

    async def write() -> list[bytes | None]:
        reading = asyncio.create_task(_all(stream))
        for _ in range(20):
            await asyncio.sleep(0.01)
        os.write(writing, b"late\n")
        os.close(writing)
        return await reading

    assert asyncio.run(write()) == [b"late"]


def test_a_file_is_read_to_its_end() -> None:
    with tempfile.TemporaryFile("w+") as file:
        file.write("one\ntwo\n")
        file.flush()
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        assert asyncio.run(_all(file)) == [b"one", b"two"]


def test_a_stream_that_is_no_file_has_no_lines() -> None:
    assert asyncio.run(_all(None)) == []
    assert asyncio.run(_all(io.StringIO("x"))) == []


class _Unreadable(io.StringIO):
    """A stream whose descriptor is that of a folder."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._descriptor = os.open(folder, os.O_RDONLY)

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        os.close(self._descriptor)
        super().close()


def test_a_descriptor_that_cannot_be_read_has_no_lines(tmp_path: Path) -> None:
    with _Unreadable(str(tmp_path)) as stream:
        assert asyncio.run(_all(stream)) == []


def test_other_work_goes_on_during_a_flood(pipe: tuple[TextIO, int]) -> None:
    stream, writing = pipe
    os.write(writing, b"x\n" * 100)
    os.close(writing)
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def work_on_each() -> int:
        turning = asyncio.create_task(turn())
        number_of_lines = 0
        async for _ in lines_of(stream):
            number_of_lines += 1
            time.sleep(0.001)  # noqa: ASYNC251 - the work of the caller
        turning.cancel()
        return number_of_lines

    assert asyncio.run(work_on_each()) == 100
    assert turns > 20
