"""The chunked transfer coding (RFC 9112 §7.1).

httptools could decode it, but does not say where in its input a message ends. The head of the next
message could then not be bounded before it is parsed, nor could the trailer of this one.
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
    """Decodes one body. Call :meth:`feed` until :attr:`done`, then read :attr:`body`. Chunk
    extensions and trailers are ignored, and bounded."""

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
        """Decode ``data`` from ``position`` on, to the end of the body or of the data, and return
        where decoding stopped. Raises RemoteProtocolError with status 400, 413 (the body is too
        large) or 431 (the trailer is too large)."""
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
        """Take a complete line."""
        if self._state == _SIZE_LINE:
            match = _SIZE.fullmatch(line)
            if not match:
                raise RemoteProtocolError("the size of a chunk is malformed", status=400)
            self._left = int(match[1], 16)
            # A chunk takes as long as kilobytes of data, so a body of tiny chunks is an attack.
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
