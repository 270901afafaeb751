"""Where an HTTP message begins and ends in a stream of bytes (RFC 9112 §6).

Requests and responses are framed alike: empty lines, a head up to an empty line, then a body that
is measured by Content-Length, comes in chunks, or, for responses, lasts to the end of the stream.
:class:`MessageParser` does that for both; what a head says is for its subclasses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from propchange.core.limits import Limits
from propchange.core.wire.messages import Request, Response
from propchange.errors import RemoteProtocolError
from propchange.http.chunked import ChunkedBody

__all__ = ["CHUNKED", "TO_THE_END", "MessageParser"]

M = TypeVar("M", Request, Response)

CHUNKED = -1
"""In place of a length: the body comes in chunks."""

TO_THE_END = -2
"""In place of a length: the body ends with the stream."""

# Some peers send one empty line too many behind a body (RFC 9112 §2.2).
_EMPTY_LINE_BYTES = 4


class MessageParser(ABC, Generic[M]):
    """Takes a stream of bytes apart into messages. After an error, :attr:`error` holds it and
    nothing more is parsed. Memory is bounded by ``limits.header_bytes`` and ``body_bytes``."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._buffer = bytearray()  # a head that is not whole
        self._empty = 0  # bytes of empty lines before it
        self._message: M | None = None  # one whose body is not whole
        self._body = bytearray()
        self._left = 0  # of the body, in bytes
        self._chunked: ChunkedBody | None = None
        self._ended = False
        self.error: RemoteProtocolError | None = None

    @abstractmethod
    def _head_end(self, data: bytes | bytearray, start: int) -> int:
        """Where the first head of ``data`` ends, looked for from ``start``; 0 when it is not
        whole."""

    @abstractmethod
    def _bound(self, head: bytes | bytearray, known: int) -> None:
        """Raise RemoteProtocolError for a head, whole or not, that is too long. ``known`` bytes of
        it were looked at before."""

    @abstractmethod
    def _open(self, head: bytes, data: bytes, position: int, messages: list[M]) -> int:
        """Read a whole head; ``position`` is behind it in ``data``. Ends in :meth:`_begin`, and
        returns what that returns."""

    @abstractmethod
    def _is_last(self, message: M) -> bool:
        """Whether the connection carries nothing behind ``message``."""

    def _parse(self, data: bytes) -> list[M]:
        """The messages that ``data`` completes, in order."""
        messages: list[M] = []
        position = 0
        size = len(data)
        try:
            while position < size and not self._ended:
                if self._message is None:
                    position = self._feed_head(data, position, messages)
                else:
                    position = self._feed_body(self._message, data, position, messages)
        except RemoteProtocolError as error:
            self.error = error
            self._end()
        return messages

    def _end(self) -> None:
        """Parse nothing more."""
        self._ended = True
        self._buffer.clear()
        self._body.clear()
        self._message = self._chunked = None

    def _feed_head(self, data: bytes, position: int, messages: list[M]) -> int:
        most = self._limits.header_bytes
        buffer = self._buffer
        known = len(buffer)
        if known:
            buffer += data[position : position + most]
            # The empty line may have begun in what was there before.
            end = self._head_end(buffer, max(0, known - 3))
            if end:
                head = bytes(buffer[:end])
                buffer.clear()
                self._empty = 0
                return self._open(head, data, position + end - known, messages)
        else:
            if data[position] in b"\r\n":
                self._empty += 1
                if self._empty > _EMPTY_LINE_BYTES:
                    raise RemoteProtocolError("empty lines instead of a message", status=400)
                return position + 1
            end = self._head_end(data, position)
            if end:
                self._empty = 0
                return self._open(data[position:end], data, end, messages)
            buffer += data[position : position + most + 1]
        self._bound(buffer, known)
        return len(data)

    def _begin(self, message: M, length: int, data: bytes, position: int, messages: list[M]) -> int:
        """The body of ``message`` has ``length`` bytes, or is :data:`CHUNKED` or lasts
        :data:`TO_THE_END`; it begins at ``position``. Returns where reading goes on."""
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
        if self._is_last(message):
            self._end()
