"""The chunked transfer coding, taken apart (RFC 9112 §7.1).

Here and not in httptools, because httptools does not tell where in its input a message ends: the
header of the next one could not be bounded before it is parsed, nor could the trailer of this.
"""

from __future__ import annotations

import re

from propchange.core.limits import Limits
from propchange.errors import RemoteProtocolError

__all__ = ["ChunkedBody"]

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\t -~\x80-\xff]*)?\r\n")
# A size with its extension. Those that are in use take some 70 bytes.
_LINE_BYTES = 1_024
_SIZE_LINE, _DATA, _DATA_END, _TRAILER = range(4)


class ChunkedBody:
    """One body as it arrives: feed it until :attr:`done`, then take :attr:`body`. Chunk
    extensions and trailers are read over, within bounds."""

    def __init__(self, limits: Limits) -> None:
        self.body = bytearray()
        self.done = False
        self._limits = limits
        self._state = _SIZE_LINE
        self._left = 0  # of the chunk
        self._line = b""  # as far as it is there
        self._trailer_bytes = 0
        self._framing_bytes = 0

    def feed(self, data: bytes, position: int) -> int:
        """Take ``data`` from ``position`` on, to the end of the body or of the data; returns
        where it stopped. Raises RemoteProtocolError with status 400, 413 (the body is too large)
        or 431 (the trailer is)."""
        size = len(data)
        while position < size and not self.done:
            if self._state == _DATA:
                end = min(size, position + self._left)
                self.body += data[position:end]
                self._left -= end - position
                position = end
                if not self._left:
                    self._state = _DATA_END
            else:
                position = self._feed_line(data, position)
        return position

    def _feed_line(self, data: bytes, position: int) -> int:
        most = position + _LINE_BYTES
        end = data.find(b"\n", position, most) + 1
        line = self._line + data[position : end or most]
        if self._state == _TRAILER:
            if self._trailer_bytes + len(line) > self._limits.header_bytes:
                raise RemoteProtocolError("the trailer is too large", status=431)
        elif self._state == _DATA_END:
            if not b"\r\n".startswith(line):
                raise RemoteProtocolError("a chunk is longer than its size", status=400)
        elif len(line) > _LINE_BYTES:
            raise RemoteProtocolError("the extension of a chunk is too long", status=400)
        if end:
            self._line = b""
            self._take(line)
            return end
        self._line = line
        return min(len(data), most)

    def _take(self, line: bytes) -> None:
        """A line is whole."""
        if self._state == _SIZE_LINE:
            match = _SIZE.fullmatch(line)
            if not match:
                raise RemoteProtocolError("the size of a chunk is malformed", status=400)
            self._left = int(match[1], 16)
            # Each chunk costs as much as kilobytes of data do: a body of tiny ones is an attack.
            self._framing_bytes += len(line) + 2
            if self._framing_bytes > self._limits.header_bytes + len(self.body) // 8:
                raise RemoteProtocolError("the chunks are too small", status=400)
            if self._left + len(self.body) > self._limits.body_bytes:
                raise RemoteProtocolError("the body is too large", status=413)
            self._state = _DATA if self._left else _TRAILER
        elif self._state == _DATA_END:
            self._state = _SIZE_LINE
        elif line == b"\r\n":
            self.done = True
        else:
            self._trailer_bytes += len(line)
