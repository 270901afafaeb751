"""Responses from bytes. Lenient: what a peer can only have meant is taken so."""

from __future__ import annotations

import re

import httptools

from propchange.core.limits import Limits
from propchange.core.wire.messages import Response
from propchange.errors import RemoteProtocolError
from propchange.http.chunked import ChunkedBody
from propchange.http.message_head import (
    HeaderLines,
    keeps_alive,
    lenient_header_lines,
    needs_strict_check,
)

__all__ = ["ResponseParser"]

_NEEDS_STRICT_CHECK = needs_strict_check()
_STATUS_LINE = re.compile(rb"HTTP/([0-9]\.[0-9])[ \t]+([1-9][0-9]{2})(?:[ \t][^\n]*|\r?)\n")
_HEAD_END = re.compile(rb"\n\r?\n")
# UPnP gives their responses no body.
_WITHOUT_BODY = frozenset({"NOTIFY", "SUBSCRIBE", "UNSUBSCRIBE"})
_REMEMBERED_BYTES = 1_024
_INTERIM_RESPONSES = 16
_EMPTY_LINE_BYTES = 4
_TO_THE_END = -1


class ResponseParser:
    """The responses that arrive on one connection, for the side that asked.

    Give it what is received with :meth:`feed`, and call :meth:`end` at the end of the stream.
    Bare line feeds, folded lines, a missing reason, several equal Content-Lengths and other
    liberties are taken. Interim responses (1xx) are passed over.

    ``Response.close`` is True when the connection cannot carry another request; what follows such
    a response is dropped. After an error, :attr:`error` holds a RemoteProtocolError and nothing
    more is parsed. Which request a response answers is for the caller to know: bytes that nobody
    asked for become responses, an error, or :attr:`started`.
    """

    __slots__ = (
        "_body",
        "_buffer",
        "_chunked",
        "_empty",
        "_ended",
        "_interim",
        "_left",
        "_limits",
        "_method",
        "_remembered",
        "_response",
        "_result",
        "error",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._method = ""
        self._buffer = bytearray()  # a head that is not whole
        self._empty = 0  # bytes of empty lines before it
        self._interim = 0  # interim responses before it
        self._response: Response | None = None  # one whose body is not whole
        self._body = bytearray()
        self._left = 0
        self._chunked: ChunkedBody | None = None
        self._ended = False
        # Peers repeat themselves: what was last received in one piece, and what it is.
        self._remembered: bytes | None = None
        self._result = Response(0)
        self.error: RemoteProtocolError | None = None

    def expect(self, method: str) -> None:
        """From here on the responses answer requests of this method, until another call. One to
        HEAD has no body. One to NOTIFY, SUBSCRIBE or UNSUBSCRIBE that gives no length is whole
        with its head, instead of with the end of the connection; it may stay open for long."""
        self._method = method
        self._remembered = None

    @property
    def started(self) -> bool:
        """Whether any byte of a response that is not whole is there."""
        return bool(self._buffer) or self._response is not None or self._interim > 0

    def feed(self, data: bytes) -> list[Response]:
        """The responses that ``data`` completes, in order. Look at :attr:`error` afterwards."""
        if data == self._remembered:
            return [self._result]
        self._remembered = None
        responses: list[Response] = []
        fresh = not self.started
        position = 0
        size = len(data)
        try:
            while position < size and not self._ended:
                if self._response is None:
                    position = self._feed_head(data, position, responses)
                else:
                    position = self._feed_body(self._response, data, position, responses)
        except RemoteProtocolError as error:
            error.status = 0  # nobody can be told
            self.error = error
            self._end()
        between = not (self.started or self._ended)
        if fresh and between and len(responses) == 1 and size <= _REMEMBERED_BYTES:
            self._remembered = data
            self._result = responses[0]
        return responses

    def end(self) -> Response | None:
        """The stream has ended. The response that is whole by that, or None; one that is not
        becomes :attr:`error`."""
        response = self._response
        if response is not None and self._left == _TO_THE_END:
            response.body = bytes(self._body)
            self._end()
            return response
        if self.started:
            self.error = RemoteProtocolError("the response is not whole")
        self._end()
        return None

    def _end(self) -> None:
        self._ended = True
        self._remembered = None
        self._buffer.clear()
        self._body.clear()
        self._response = self._chunked = None
        self._interim = 0

    def _feed_head(self, data: bytes, position: int, responses: list[Response]) -> int:
        most = self._limits.header_bytes
        buffer = self._buffer
        known = len(buffer)
        if known:
            buffer += data[position : position + most]
            found = _HEAD_END.search(buffer, max(0, known - 2))
            if found:
                head = bytes(buffer[: found.end()])
                buffer.clear()
                return self._open(head, data, position + found.end() - known, responses)
        else:
            if data[position] in b"\r\n":
                self._empty += 1
                if self._empty > _EMPTY_LINE_BYTES:
                    raise RemoteProtocolError("empty lines instead of a response")
                return position + 1
            found = _HEAD_END.search(data, position)
            if found:
                end = found.end()
                return self._open(data[position:end], data, end, responses)
            buffer += data[position : position + most + 1]
        if len(buffer) > most:
            raise RemoteProtocolError("the header of the response is too large")
        return len(data)

    def _open(self, head: bytes, data: bytes, position: int, responses: list[Response]) -> int:
        """A head is whole; ``position`` is behind it in ``data``."""
        limits = self._limits
        self._empty = 0
        if len(head) > limits.header_bytes or head.count(b"\n") - 2 > limits.header_count:
            raise RemoteProtocolError("the header of the response is too large")
        line = _STATUS_LINE.match(head)
        if line is None:
            raise RemoteProtocolError("the status line is malformed")
        status = int(line[2])
        if status < 200 and status != 101:
            self._interim += 1
            if self._interim > _INTERIM_RESPONSES:
                raise RemoteProtocolError("too many interim responses")
            return position
        self._interim = 0
        http_version = line[1].decode("ascii")
        response = Response(status, _header_lines(head), http_version=http_version)
        fields = response.fields
        response.close = not keeps_alive(
            fields.get(b"connection"), "1.0" if http_version < "1.1" else "1.1"
        )
        left = 0
        if status in (101, 204, 304) or self._method == "HEAD":
            response.close = response.close or status == 101
        elif b"transfer-encoding" in fields:
            if fields[b"transfer-encoding"].lower() != b"chunked":
                raise RemoteProtocolError("only the transfer coding chunked is known")
            self._chunked = ChunkedBody(limits)
            left = 1
        elif b"content-length" in fields:
            left = _length(fields[b"content-length"], limits)
        else:
            response.close = True
            left = 0 if self._method in _WITHOUT_BODY else _TO_THE_END
        if left:
            self._response = response
            self._left = left
        else:
            self._complete(response, responses)
        return position

    def _feed_body(
        self, response: Response, data: bytes, position: int, responses: list[Response]
    ) -> int:
        if self._chunked is not None:
            position = self._chunked.feed(data, position)
            if self._chunked.done:
                response.body = bytes(self._chunked.body)
                self._chunked = None
                self._complete(response, responses)
            return position
        if self._left == _TO_THE_END:
            self._body += data[position:]
            if len(self._body) > self._limits.body_bytes:
                raise RemoteProtocolError("the body of the response is too large")
            return len(data)
        end = min(len(data), position + self._left)
        self._body += data[position:end]
        self._left -= end - position
        if not self._left:
            response.body = bytes(self._body)
            self._body.clear()
            self._complete(response, responses)
        return end

    def _complete(self, response: Response, responses: list[Response]) -> None:
        self._response = None
        responses.append(response)
        if response.close:
            self._end()


def _header_lines(head: bytes) -> HeaderLines:
    headers = HeaderLines()
    if not _NEEDS_STRICT_CHECK:
        try:
            httptools.HttpResponseParser(headers).feed_data(head)
        except httptools.HttpParserUpgrade:
            return headers
        except httptools.HttpParserError:
            pass
        else:
            return headers
    return lenient_header_lines(head)


def _length(value: bytes, limits: Limits) -> int:
    """The one number in a Content-Length that may be written several times."""
    lengths = {length.strip() for length in value.split(b",")}
    length = lengths.pop()
    if lengths or not length.isdigit():
        raise RemoteProtocolError("the Content-Length of the response is malformed")
    # A number of very many digits would not even be converted.
    if len(length) > 15 or int(length) > limits.body_bytes:
        raise RemoteProtocolError("the body of the response is too large")
    return int(length)
