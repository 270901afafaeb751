"""Responses from bytes. Lenient: what a peer can only have meant is taken so."""

from __future__ import annotations

import re

import httptools

from propchange.core.limits import Limits
from propchange.core.messages import Response
from propchange.errors import RemoteProtocolError

from .chunked import ChunkedBody
from .heads import HeaderLines

__all__ = ["ResponseParser"]

_STATUS_LINE = re.compile(rb"HTTP/(\d\.\d)[ \t]+(\d{3})(?:[ \t][^\r\n]*)?\r?\n")
_HEAD_END = re.compile(rb"\n\r?\n")
_BODILESS = frozenset({"NOTIFY", "SUBSCRIBE", "UNSUBSCRIBE"})
_REMEMBERED_BYTES = 1_024
_INTERIM_RESPONSES = 16


class ResponseParser:
    """The responses of one connection.

    ``Response.close`` tells that the connection cannot carry another request; what comes after
    such a response is dropped. After an error nothing more is parsed.
    """

    __slots__ = (
        "_buffer",
        "_chunked",
        "_ended",
        "_interim",
        "_left",
        "_limits",
        "_method",
        "_parts",
        "_remembered",
        "_response",
        "_result",
        "error",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._method = ""
        self._buffer = bytearray()
        self._response: Response | None = None
        self._parts: list[bytes] = []
        self._left = 0  # -1: to the end of the stream
        self._chunked: ChunkedBody | None = None
        self._interim = 0
        self._ended = False
        self._remembered: bytes | None = None
        self._result: Response | None = None
        self.error: RemoteProtocolError | None = None

    def expect(self, method: str) -> None:
        """The responses from here on answer requests of that method: one to HEAD has no body, and
        one to SUBSCRIBE, UNSUBSCRIBE or NOTIFY has none either when it gives no length."""
        self._method = method
        self._remembered = None

    @property
    def started(self) -> bool:
        """Whether any byte of an unfinished response is there."""
        return bool(self._buffer) or self._response is not None or self._interim > 0

    def feed(self, data: bytes) -> list[Response]:
        """The responses that ``data`` completes, in order; see :attr:`error` afterwards."""
        if data == self._remembered and self._result is not None and not self.started:
            return [self._result]
        fresh = not self.started
        responses: list[Response] = []
        position = 0
        size = len(data)
        try:
            while position < size and not self._ended:
                if self._response is None:
                    position = self._feed_head(data, position, responses)
                else:
                    position = self._feed_body(data, position, responses)
        except RemoteProtocolError as error:
            self.error = error
            self._end()
        whole = fresh and len(responses) == 1 and not self.started and not self._ended
        if whole and size <= _REMEMBERED_BYTES:
            self._remembered, self._result = data, responses[0]
        return responses

    def end(self) -> Response | None:
        """The stream has ended. The response whose body that completes, or None; a response that
        is not whole becomes :attr:`error`."""
        response = self._response
        if response is not None and self._left < 0:
            response.body = b"".join(self._parts)
            self._end()
            return response
        if self.started:
            self.error = RemoteProtocolError("the response is not whole")
        self._end()
        return None

    def _end(self) -> None:
        self._ended = True
        self._buffer.clear()
        self._parts.clear()
        self._response = self._chunked = None
        self._interim = 0

    def _feed_head(self, data: bytes, position: int, responses: list[Response]) -> int:
        buffer = self._buffer
        known = len(buffer)
        buffer += data[position : position + self._limits.header_bytes + 4]
        if not known:
            while buffer.startswith((b"\r", b"\n")):
                del buffer[0]
                position += 1
        found = _HEAD_END.search(buffer, max(0, known - 2))
        if found is None:
            if len(buffer) > self._limits.header_bytes:
                raise RemoteProtocolError("the header of the response is too large")
            return len(data)
        head = bytes(buffer[: found.end()])
        buffer.clear()
        if len(head) > self._limits.header_bytes:
            raise RemoteProtocolError("the header of the response is too large")
        return self._open(head, data, position + len(head) - known, responses)

    def _open(self, head: bytes, data: bytes, position: int, responses: list[Response]) -> int:
        line = _STATUS_LINE.match(head)
        if line is None:
            raise RemoteProtocolError("the status line is malformed")
        status = int(line[2])
        if 100 <= status < 200 and status != 101:
            self._interim += 1
            if self._interim > _INTERIM_RESPONSES:
                raise RemoteProtocolError("too many interim responses")
            return position
        if head.count(b"\n") - 2 > self._limits.header_count:
            raise RemoteProtocolError("too many header lines")
        headers = HeaderLines()
        try:
            httptools.HttpResponseParser(headers).feed_data(head)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError as error:
            raise RemoteProtocolError(f"the header is malformed: {error}") from None
        response = Response(status, headers, http_version=line[1].decode())
        fields = response.fields
        connection = fields.get(b"connection", b"").lower()
        response.close = b"close" in connection or (
            response.http_version < "1.1" and b"keep-alive" not in connection
        )
        self._interim = 0
        if status in (101, 204, 304) or self._method == "HEAD":
            self._complete(response, responses)
        elif b"transfer-encoding" in fields:
            if fields[b"transfer-encoding"].lower() != b"chunked":
                raise RemoteProtocolError("unknown transfer coding")
            self._chunked = ChunkedBody(self._limits)
            self._response = response
        elif b"content-length" in fields:
            self._left = int(fields[b"content-length"])
            if self._left > self._limits.body_bytes:
                raise RemoteProtocolError("the body is too large")
            if self._left:
                self._response = response
            else:
                self._complete(response, responses)
        else:
            response.close = True
            if self._method in _BODILESS:
                self._complete(response, responses)
            else:
                self._left = -1
                self._response = response
        return position

    def _feed_body(self, data: bytes, position: int, responses: list[Response]) -> int:
        response = self._response
        assert response is not None
        if self._chunked is not None:
            position = self._chunked.feed(data, position)
            if self._chunked.done:
                response.body = bytes(self._chunked.body)
                self._chunked = None
                self._complete(response, responses)
            return position
        part = data[position:] if self._left < 0 else data[position : position + self._left]
        self._parts.append(part)
        if self._left < 0:
            if sum(map(len, self._parts)) > self._limits.body_bytes:
                raise RemoteProtocolError("the body is too large")
            return len(data)
        self._left -= len(part)
        if not self._left:
            response.body = b"".join(self._parts)
            self._parts.clear()
            self._complete(response, responses)
        return position + len(part)

    def _complete(self, response: Response, responses: list[Response]) -> None:
        self._response = None
        responses.append(response)
        if response.close:
            self._end()
