"""What requests and responses share: their head, and where a message begins and ends in a stream
of bytes (RFC 9112 §6).

Both have empty lines, a head up to an empty line, then a body that is measured by Content-Length,
comes in chunks, or, for responses, lasts to the end of the stream. :class:`MessageParser` does that
for both. Its subclasses read the head.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import ClassVar, Generic, TypeVar

import httptools

from propchange.core.limits import Limits
from propchange.core.wire.messages import Request, Response
from propchange.errors import RemoteProtocolError

M = TypeVar("M", Request, Response)

TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
"""The expression of a token, such as a method or a header's name (RFC 9110 §5.6.2)."""

CHUNKED = -1
"""In place of a length: the body comes in chunks."""

TO_THE_END = -2
"""In place of a length: the body ends with the stream."""

# Some peers send one empty line too many behind a body (RFC 9112 §2.2).
_EMPTY_LINE_BYTES = 4
_CR, _LF = b"\r\n"
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\t -~\x80-\xff]*)?\r\n")
# A size with its extension. Extensions in use take some 70 bytes.
_LINE_BYTES = 1_024
# Lines and chunks that are decoded in one call: about a millisecond of work.
_LINES_AT_ONCE = 1_024
_TRAILER_LINE = re.compile(rb"%b:[\t -~\x80-\xff]*\r\n" % TOKEN)
_SIZE_LINE, _DATA, _DATA_END, _TRAILER = range(4)


class HeaderLines(list[tuple[bytes, bytes]]):
    """The header pairs of one message, filled by httptools."""

    __slots__ = ()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by httptools for each header line."""
        self.append((name, value))


def keeps_alive(connection: bytes | None, http_version: str) -> bool:
    """Whether the connection may carry another message after one with this value of Connection,
    None if it has none (RFC 9112 §9.3)."""
    if connection is None:
        return http_version == "1.1"
    options = [option.strip() for option in connection.lower().split(b",")]
    return b"close" not in options and (http_version == "1.1" or b"keep-alive" in options)


def needs_strict_check() -> bool:
    """Whether the installed httptools accepts malformed request heads, as those before 0.6.4 do."""
    for liberty in (b"GET / HTTP/1.1\r\nA B: 1\r\n\r\n", b"GET / HTTP/1.1\r\nA: 1\r\n 2\r\n\r\n"):
        try:
            httptools.HttpRequestParser(HeaderLines()).feed_data(liberty)
        except httptools.HttpParserError:
            continue
        return True
    return False


NEEDS_STRICT_CHECK = needs_strict_check()


class MessageParser(ABC, Generic[M]):
    """Takes a stream of bytes apart into messages. After an error, :attr:`error` holds it and
    nothing more is parsed. Memory is bounded by ``limits.header_bytes`` and ``body_bytes``.

    The messages and the error depend only on the bytes, not on how the stream is cut into pieces.
    The reported error is the first one in the order of the stream."""

    _HEAD_END: ClassVar[re.Pattern[bytes]]

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._buffer = bytearray()  # a head that is not whole
        self._empty = 0  # bytes of empty lines before it
        self._empty_cr = False  # the last of them is CR, which LF must follow
        self._message: M | None = None  # one whose body is not whole
        self._body = bytearray()
        self._left = 0  # of the body, in bytes
        self._chunked: ChunkedBody | None = None
        self._last = False  # nothing follows the message on its connection
        self._ended = False
        self._rest = b""
        self._position = 0  # bytes of _rest that are parsed
        self.error: RemoteProtocolError | None = None

    @property
    def rest(self) -> int:
        """The number of bytes that were received and are not parsed yet."""
        return len(self._rest) - self._position

    @property
    def held_bytes(self) -> int:
        """Bytes in memory: of the unfinished message, and of the rest."""
        chunked = self._chunked
        body = len(self._body) if chunked is None else len(chunked.body)
        return len(self._buffer) + body + len(self._rest)

    def keep(self, data: bytes) -> None:
        """Add ``data`` to :attr:`rest`, to be parsed later."""
        if data and not self._ended:
            self._rest = self._rest[self._position :] + data
            self._position = 0

    def _parse_some(self, most: int) -> list[M]:
        """The next messages of :attr:`rest`, ``most`` of them at most."""
        messages: list[M] = []
        self._position = self._parse(self._rest, self._position, messages, most)
        if self._position >= len(self._rest):
            self._rest = b""
            self._position = 0
        return messages

    @abstractmethod
    def _bound(self, head: bytes | bytearray, known: int) -> None:
        """Raise RemoteProtocolError for a head, whole or not, that is too long. ``known`` bytes of
        it were looked at before."""

    @abstractmethod
    def _open(self, head: bytes, data: bytes, position: int, messages: list[M]) -> int:
        """Read a whole head; ``position`` is behind it in ``data``. Sets ``_last``, and returns
        the result of :meth:`_begin`."""

    def _parse(self, data: bytes, position: int, messages: list[M], most: int) -> int:
        """Append the messages that ``data`` completes from ``position`` on. Returns the position to
        continue from. It is before the end of ``data`` after ``most`` messages or a number of
        chunks, so that the work of one call is bounded."""
        size = len(data)
        try:
            while position < size and not self._ended and len(messages) < most:
                if self._message is None:
                    position = self._feed_head(data, position, messages)
                else:
                    position = self._feed_body(self._message, data, position, messages)
                    if self._chunked is not None:
                        break
        except RemoteProtocolError as error:
            self.error = error
            self._end()
        return size if self._ended else position

    def _end(self) -> None:
        """Parse nothing more."""
        self._ended = True
        self._buffer.clear()
        self._body.clear()
        self._rest = b""
        self._position = 0
        self._message = self._chunked = None

    def _feed_head(self, data: bytes, position: int, messages: list[M]) -> int:
        most = self._limits.header_bytes
        buffer = self._buffer
        known = len(buffer)
        if known:
            buffer += data[position : position + most]
            # The empty line may have begun in what was there before.
            found = self._HEAD_END.search(buffer, max(0, known - 3))
            if found:
                end = found.end()
                head = bytes(buffer[:end])
                buffer.clear()
                self._empty = 0
                return self._open(head, data, position + end - known, messages)
        else:
            first = data[position]
            if self._empty_cr and first != _LF:
                raise RemoteProtocolError("a line ends with CR alone", status=400)
            if first in b"\r\n":
                self._empty_cr = first == _CR
                self._empty += 1
                if self._empty > _EMPTY_LINE_BYTES:
                    raise RemoteProtocolError("empty lines instead of a message", status=400)
                return position + 1
            found = self._HEAD_END.search(data, position)
            if found:
                end = found.end()
                self._empty = 0
                return self._open(data[position:end], data, end, messages)
            buffer += data[position : position + most + 1]
        self._bound(buffer, known)
        return len(data)

    def _begin(self, message: M, length: int, data: bytes, position: int, messages: list[M]) -> int:
        """The body of ``message`` has ``length`` bytes, or is :data:`CHUNKED` or lasts
        :data:`TO_THE_END`; it begins at ``position``. Returns the position to read from."""
        if length >= 0:
            end = position + length
            if end <= len(data):
                message.body = data[position:end]
                self._complete(message, messages)
                return end
        elif length == CHUNKED:
            self._chunked = ChunkedBody(self._limits)
        self._message = message
        self._left = length
        return position

    def _feed_body(self, message: M, data: bytes, position: int, messages: list[M]) -> int:
        if self._chunked is not None:
            position = self._chunked.feed(data, position)
            if self._chunked.done:
                message.body = bytes(self._chunked.body)
                self._chunked = None
                self._complete(message, messages)
            return position
        if self._left == TO_THE_END:
            self._body += data[position:]
            if len(self._body) > self._limits.body_bytes:
                raise RemoteProtocolError("the body is too large", status=413)
            return len(data)
        end = min(len(data), position + self._left)
        self._body += data[position:end]
        self._left -= end - position
        if not self._left:
            message.body = bytes(self._body)
            self._body.clear()
            self._complete(message, messages)
        return end

    def _complete(self, message: M, messages: list[M]) -> None:
        self._message = None
        messages.append(message)
        if self._last:
            self._end()


class ChunkedBody:
    """Decodes one body in the chunked transfer coding (RFC 9112 §7.1). Call :meth:`feed` until
    :attr:`done`, then read :attr:`body`. Chunk extensions and trailers are ignored, and bounded.

    httptools could decode it, but does not say where in its input a message ends. The head of the
    next message could then not be bounded before it is parsed, nor could the trailer of this one.
    """

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
        where decoding stopped: earlier after some hundred chunks. Raises RemoteProtocolError with
        status 400, 413 (the body is too large) or 431 (the trailer is too large)."""
        size = len(data)
        for _ in range(_LINES_AT_ONCE):
            if position >= size or self.done:
                break
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
        elif _TRAILER_LINE.fullmatch(line):
            self._trailer_bytes += len(line)
        else:
            raise RemoteProtocolError("a line of the trailer is malformed", status=400)
