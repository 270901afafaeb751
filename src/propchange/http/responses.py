"""Responses from bytes. Lenient: accepts deviations that have only one meaning."""

from __future__ import annotations

import re

import httptools

from propchange.core.limits import Limits
from propchange.core.wire.messages import Response
from propchange.errors import RemoteProtocolError
from propchange.http.framing import (
    CHUNKED,
    NEEDS_STRICT_CHECK,
    TO_THE_END,
    TOKEN,
    HeaderLines,
    MessageParser,
    keeps_alive,
)

_STATUS_LINE = re.compile(rb"HTTP/([0-9]\.[0-9])[ \t]+([1-9][0-9]{2})(?:[ \t][^\n]*|\r?)\n")
_NAME = re.compile(TOKEN)
_LINE = re.compile(rb"\r?\n")
# UPnP gives their responses no body.
_WITHOUT_BODY = frozenset({"NOTIFY", "SUBSCRIBE", "UNSUBSCRIBE"})
_REMEMBERED_BYTES = 1_024
# Responses that connections share. Most subscribers answer with the same few.
_KNOWN_RESPONSES = 16
_INTERIM_RESPONSES = 16
# A request is sent only after the last one was answered. So several responses at once are an attack
# or a fault.
_RESPONSES_AT_ONCE = 16


class ResponseParser(MessageParser[Response]):
    """The responses that arrive on one connection, for the side that asked.

    Call :meth:`feed` with the bytes that are received, and :meth:`end` at the end of the stream. It
    returns 16 responses at most. ``feed(b"")`` returns the next ones while :attr:`rest` is not 0.

    Bare line feeds, folded lines, a missing reason phrase and several equal Content-Lengths are
    accepted. Interim responses (1xx) are ignored.

    ``Response.close`` is True when the connection cannot carry another request; bytes behind such a
    response are dropped. After an error, :attr:`error` is a RemoteProtocolError and nothing more is
    parsed. The parser does not know which request a response answers, nor whether there was one.
    """

    _HEAD_END = re.compile(rb"\n\r?\n")

    def __init__(self, limits: Limits, known: dict[bytes, Response] | None = None) -> None:
        """``known`` are the latest responses of several connections, by their bytes. Pass the same
        mapping to parsers that have the same limits and expect the same method, all the time."""
        super().__init__(limits)
        self._known = known
        self._method = ""
        self._interim = 0  # interim responses before the next one
        # Subscribers answer each event with the same bytes. The last response that came in one
        # piece is kept with its bytes: that saves 3.6 of the 13 us of a delivery with its socket.
        self._remembered: bytes | None = None
        self._result = Response(0)

    def expect(self, method: str) -> None:
        """Say which method the next responses answer, until another call. A response to HEAD has no
        body. A response to NOTIFY, SUBSCRIBE or UNSUBSCRIBE without a length has none either:
        waiting for the end of the connection could take long."""
        self._method = method
        self._remembered = None

    @property
    def started(self) -> bool:
        """Whether a part of a response has been received."""
        return bool(self._buffer or self._rest) or self._message is not None or self._interim > 0

    def feed(self, data: bytes) -> list[Response]:
        """The responses that ``data`` completes, in order. Check :attr:`error` afterwards."""
        if data == self._remembered:
            return [self._result]
        self._remembered = None
        fresh = not (self.started or self._ended or self._empty)
        if fresh and self._known and (known := self._known.get(data)) is not None:
            # Other connections have brought the same bytes. One object for all of them is one
            # object less on each for the garbage collector to visit.
            self._remembered = data
            self._result = known
            return [known]
        self.keep(data)
        responses: list[Response] = []
        while self._rest and len(responses) < _RESPONSES_AT_ONCE:
            responses += self._parse_some(_RESPONSES_AT_ONCE - len(responses))
        if self.error is not None:
            self.error.status = 0  # a response is not answered
        between = not (self.started or self._ended or self._empty_cr)
        if fresh and between and len(responses) == 1 and len(data) <= _REMEMBERED_BYTES:
            self._remembered = data
            self._result = responses[0]
            if self._known is not None:
                self._known[data] = responses[0]
                if len(self._known) > _KNOWN_RESPONSES:
                    del self._known[next(iter(self._known))]
        return responses

    def end(self) -> Response | None:
        """Note that the stream has ended. Returns the response that ends with it, or None. An
        incomplete response becomes :attr:`error`."""
        response = self._message
        if response is not None and self._left == TO_THE_END:
            response.body = bytes(self._body)
            self._end()
            return response
        if self.started:
            self.error = RemoteProtocolError("the response is not whole")
        self._end()
        return None

    def _end(self) -> None:
        super()._end()
        self._remembered = None
        self._interim = 0

    def _bound(self, head: bytes | bytearray, known: int) -> None:
        if len(head) > self._limits.header_bytes:
            raise RemoteProtocolError("the header of the response is too large")

    def _open(self, head: bytes, data: bytes, position: int, messages: list[Response]) -> int:
        limits = self._limits
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
        body = 0
        if status in (101, 204, 304) or self._method == "HEAD":
            response.close = response.close or status == 101
        elif b"transfer-encoding" in fields:
            if fields[b"transfer-encoding"].lower() != b"chunked":
                raise RemoteProtocolError("only the transfer coding chunked is known")
            body = CHUNKED
        elif b"content-length" in fields:
            body = _length(fields[b"content-length"], limits)
        else:
            response.close = True
            body = 0 if self._method in _WITHOUT_BODY else TO_THE_END
        self._last = response.close
        return self._begin(response, body, data, position, messages)


def _header_lines(head: bytes) -> HeaderLines:
    headers = HeaderLines()
    if not NEEDS_STRICT_CHECK:
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
    """The number in a Content-Length, which may be there several times."""
    lengths = {length.strip() for length in value.split(b",")}
    length = lengths.pop()
    if lengths or not length.isdigit():
        raise RemoteProtocolError("the Content-Length of the response is malformed")
    # A number of very many digits would not even be converted.
    if len(length) > 15 or int(length) > limits.body_bytes:
        raise RemoteProtocolError("the body of the response is too large")
    return int(length)


def lenient_header_lines(head: bytes) -> HeaderLines:
    """The header pairs of a response head that httptools refuses, with bare line feeds, folded
    lines or white space before a colon. A line that is no header line is ignored."""
    pairs = HeaderLines()
    for line in _LINE.split(head)[1:]:
        name, colon, value = line.partition(b":")
        name = name.strip()
        value = value.strip(b" \t\0")
        if line[:1] in (b" ", b"\t") and pairs:
            pairs[-1] = (pairs[-1][0], pairs[-1][1] + b" " + line.strip())
        elif colon and _NAME.fullmatch(name) and not re.search(rb"[\r\0]", value):
            pairs.append((name, value))
    return pairs
