"""The chunked transfer coding, taken apart (RFC 9112 §7.1)."""

from __future__ import annotations

import re

from propchange.core.limits import Limits
from propchange.errors import RemoteProtocolError

__all__ = ["ChunkedBody"]

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n\0]*)?\r\n")
_LINE_BYTES = 1_024
_DATA, _AFTER_DATA, _SIZE_LINE, _TRAILER = range(4)


class ChunkedBody:
    """One body as it arrives. Chunk extensions and trailers are read over, and bounded."""

    __slots__ = ("_left", "_limits", "_line", "_state", "_trailer_bytes", "body", "done")

    def __init__(self, limits: Limits) -> None:
        self.body = bytearray()
        self.done = False
        self._limits = limits
        self._state = _SIZE_LINE
        self._left = 0
        self._line = b""
        self._trailer_bytes = 0

    def feed(self, data: bytes, position: int) -> int:
        """Take ``data`` from ``position`` on, up to the end of the body or of the data; returns
        the new position. Raises RemoteProtocolError with status 400 or 413."""
        size = len(data)
        while position < size and not self.done:
            if self._state == _DATA:
                end = min(size, position + self._left)
                self.body += memoryview(data)[position:end]
                self._left -= end - position
                position = end
                if not self._left:
                    self._state = _AFTER_DATA
            else:
                position = self._feed_line(data, position)
        return position

    def _feed_line(self, data: bytes, position: int) -> int:
        end = data.find(b"\n", position, position + _LINE_BYTES) + 1
        line = self._line + data[position : end or position + _LINE_BYTES]
        most = 2 if self._state == _AFTER_DATA else _LINE_BYTES
        if self._state == _TRAILER:
            most = self._limits.header_bytes
        if len(line) > most:
            raise RemoteProtocolError("the chunked body is malformed", status=400)
        if end:
            self._line = b""
            self._end_line(line)
            return end
        self._line = line
        return min(len(data), position + _LINE_BYTES)

    def _end_line(self, line: bytes) -> None:
        if self._state == _SIZE_LINE:
            match = _SIZE.fullmatch(line)
            if not match:
                raise RemoteProtocolError("the size of a chunk is malformed", status=400)
            self._left = int(match[1], 16)
            if self._left + len(self.body) > self._limits.body_bytes:
                raise RemoteProtocolError("the body is too large", status=413)
            self._state = _DATA if self._left else _TRAILER
        elif self._state == _AFTER_DATA:
            if line != b"\r\n":
                raise RemoteProtocolError("a chunk is longer than its size", status=400)
            self._state = _SIZE_LINE
        elif line == b"\r\n":
            self.done = True
        else:
            self._trailer_bytes += len(line)
            if self._trailer_bytes > self._limits.header_bytes:
                raise RemoteProtocolError("the trailer is too large", status=431)
