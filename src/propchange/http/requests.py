"""Requests from bytes. Strict: what is not exactly HTTP/1 is refused."""

from __future__ import annotations

import httptools

from propchange.core.limits import Limits
from propchange.core.messages import Endpoint, Request
from propchange.errors import RemoteProtocolError

from .chunked import ChunkedBody
from .heads import HeaderLines

__all__ = ["RequestParser"]

_START_LINE_EXTRA = 32  # method, two spaces, version and line end beside the target
_VERSIONS = {b"HTTP/1.1": "1.1", b"HTTP/1.0": "1.0"}


class RequestParser:
    """The requests of one connection.

    After an error :attr:`error` says what to answer before closing; nothing more is parsed. The
    same holds, without an error, after a request whose ``keep_alive`` is False.
    """

    __slots__ = (
        "_buffer",
        "_chunked",
        "_ended",
        "_left",
        "_limits",
        "_local",
        "_parts",
        "_peer",
        "_request",
        "error",
        "expect_continue",
    )

    def __init__(self, limits: Limits, *, peer: Endpoint, local: Endpoint) -> None:
        self._limits = limits
        self._peer = peer
        self._local = local
        self._buffer = bytearray()  # an unfinished head
        self._request: Request | None = None  # one whose body is not whole
        self._parts: list[bytes] = []
        self._left = 0
        self._chunked: ChunkedBody | None = None
        self._ended = False
        self.error: RemoteProtocolError | None = None
        self.expect_continue = False

    @property
    def in_message(self) -> bool:
        """Whether some bytes of an unfinished request are there."""
        return bool(self._buffer) or self._request is not None

    def feed(self, data: bytes) -> list[Request]:
        """The requests that ``data`` completes, in order; see :attr:`error` afterwards."""
        requests: list[Request] = []
        position = 0
        size = len(data)
        try:
            while position < size and not self._ended:
                if self._request is None:
                    position = self._feed_head(data, position, requests)
                else:
                    position = self._feed_body(data, position, requests)
        except RemoteProtocolError as error:
            self.error = error
            self._end()
        return requests

    def end(self) -> None:
        """The stream has ended. A request that is not whole becomes an error with status 400."""
        if self.in_message and not self._ended:
            self.error = RemoteProtocolError("the request is not whole", status=400)
        self._end()

    def _end(self) -> None:
        self._ended = True
        self._buffer.clear()
        self._request = self._chunked = None
        self._parts.clear()

    def _feed_head(self, data: bytes, position: int, requests: list[Request]) -> int:
        buffer = self._buffer
        if not buffer:
            while data[position : position + 1] in (b"\r", b"\n"):
                position += 1
        known = len(buffer)
        if known:
            buffer += data[position : position + self._limits.header_bytes + 4]
            end = buffer.find(b"\r\n\r\n", max(0, known - 3)) + 4
            if end > 3:
                position += end - known
                head = bytes(buffer[:end])
                buffer.clear()
            else:
                self._bound_head(buffer)
                return len(data)
        else:
            end = data.find(b"\r\n\r\n", position) + 4
            if end > 3:
                head = data[position:end]
                position = end
            else:
                buffer += data[position : position + self._limits.header_bytes + 4]
                self._bound_head(buffer)
                return len(data)
        self._bound_head(head)
        return self._open(head, data, position, requests)

    def _bound_head(self, head: bytes | bytearray) -> None:
        limits = self._limits
        line = head.find(b"\n")
        if (line if line >= 0 else len(head)) > limits.target_bytes + _START_LINE_EXTRA:
            raise RemoteProtocolError("the request target is too long", status=414)
        if len(head) > limits.header_bytes:
            raise RemoteProtocolError("the header is too large", status=431)

    def _open(self, head: bytes, data: bytes, position: int, requests: list[Request]) -> int:
        limits = self._limits
        lines = head.count(b"\n") - 2
        if lines > limits.header_count:
            raise RemoteProtocolError("too many header lines", status=431)
        try:
            method, target, version = head[: head.find(b"\r\n")].split(b" ")
            http_version = _VERSIONS[version]
            path = target.decode("ascii")
            name = method.decode("ascii")
        except (ValueError, KeyError):
            raise RemoteProtocolError("the request line is malformed", status=400) from None
        headers = HeaderLines()
        try:
            httptools.HttpRequestParser(headers).feed_data(head)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError as error:
            raise RemoteProtocolError(f"the header is malformed: {error}", status=400) from None
        if len(headers) != lines:
            raise RemoteProtocolError("folded header lines are not accepted", status=400)
        request = Request(
            name,
            path,
            headers,
            peer=self._peer,
            local=self._local,
            http_version=http_version,
            keep_alive=http_version == "1.1",
        )
        fields = request.fields
        connection = fields.get(b"connection")
        if connection is not None:
            tokens = [token.strip() for token in connection.lower().split(b",")]
            request.keep_alive = b"close" not in tokens and (
                request.keep_alive or b"keep-alive" in tokens
            )
        if b"transfer-encoding" in fields:
            if fields[b"transfer-encoding"].lower() != b"chunked":
                raise RemoteProtocolError("unknown transfer coding", status=501)
            self._chunked = ChunkedBody(limits)
            self._request = request
        else:
            length = fields.get(b"content-length")
            if length is not None and length != b"0":
                size = int(length)
                if size > limits.body_bytes:
                    raise RemoteProtocolError("the body is too large", status=413)
                end = position + size
                if end <= len(data):
                    request.body = data[position:end]
                    position = end
                else:
                    self._request = request
                    self._left = size
        if self._request is None:
            self._complete(request, requests)
        elif b"expect" in fields and http_version == "1.1":
            self.expect_continue = fields[b"expect"].lower() == b"100-continue"
        return position

    def _feed_body(self, data: bytes, position: int, requests: list[Request]) -> int:
        request = self._request
        assert request is not None
        self.expect_continue = False
        if self._chunked is not None:
            position = self._chunked.feed(data, position)
            if self._chunked.done:
                request.body = bytes(self._chunked.body)
                self._chunked = None
                self._complete(request, requests)
            return position
        part = data[position : position + self._left]
        self._parts.append(part)
        self._left -= len(part)
        if not self._left:
            request.body = b"".join(self._parts)
            self._parts.clear()
            self._complete(request, requests)
        return position + len(part)

    def _complete(self, request: Request, requests: list[Request]) -> None:
        self._request = None
        requests.append(request)
        if not request.keep_alive:
            self._end()
