"""Request heads that repeat: a device sends the same one again and again, but for two numbers.

What was found in order once need not be parsed once more where only digits stand in place of
other digits, since no rule of HTTP looks at which digits these are.
"""

from __future__ import annotations

import re

from propchange.core.limits import Limits
from propchange.core.wire.messages import HeaderPairs, Request

__all__ = ["RepeatedHead"]

_NUMBER = re.compile(rb"\r\n(SEQ|CONTENT-LENGTH):[ \t]*([0-9]+)(?=\r\n)", re.IGNORECASE)
_DIGITS = 15
# How much longer than the first one a head can get.
_GROWTH = 2 * _DIGITS


class RepeatedHead:
    """A head with its SEQ and its CONTENT-LENGTH left open, made from a request that was parsed.

    Its requests all carry it as ``Request.head``. Use :meth:`learn`.
    """

    def __init__(self, request: Request, head: bytes, limits: Limits) -> None:
        first, second = _NUMBER.finditer(head)
        self._request = request
        self._limit = limits.body_bytes
        self._first = head[: first.start(2)]
        self._begin = len(self._first)
        self._middle = head[first.end(2) : second.start(2)]
        self._last = head[second.end(2) :]
        names = [name.lower() for name, _ in request.headers]
        self._seq_index = names.index(b"seq")
        self._length_index = names.index(b"content-length")
        self._length_is_first = self._length_index < self._seq_index

    @classmethod
    def learn(cls, request: Request, head: bytes, limits: Limits) -> RepeatedHead | None:
        """What ``head``, which was parsed to ``request``, looks like; None for one that is not of
        the usual kind: with one SEQ and one CONTENT-LENGTH, and far from the limits."""
        if (
            not request.keep_alive
            or len(head) + _GROWTH > min(limits.header_bytes, limits.target_bytes)
            or {key.lower() for key, _ in _NUMBER.findall(head)} != {b"seq", b"content-length"}
            or not request.repeated.isdisjoint((b"seq", b"content-length"))
            or b"expect" in request.fields
        ):
            return None
        return cls(request, head, limits)

    def match(self, data: bytes) -> Request | None:
        """The request, when ``data`` is this head with other numbers, and a body of that length."""
        begin = self._begin
        if not data.startswith(self._first):
            return None
        end = data.find(b"\r", begin, begin + _DIGITS)
        first = data[begin:end]
        middle = self._middle
        if not data.startswith(middle, end) or not first.isdigit():
            return None
        begin = end + len(middle)
        end = data.find(b"\r", begin, begin + _DIGITS)
        second = data[begin:end]
        last = self._last
        if not data.startswith(last, end) or not second.isdigit():
            return None
        seq, length = (second, first) if self._length_is_first else (first, second)
        body = data[end + len(last) :]
        size = int(length)
        if size != len(body) or size > self._limit:
            return None
        return self._request.repeat(self, seq, length, body)

    def headers(self, seq: bytes, length: bytes) -> HeaderPairs:
        """The header pairs of a request with this head and these numbers."""
        headers = list(self._request.headers)
        headers[self._seq_index] = (headers[self._seq_index][0], seq)
        headers[self._length_index] = (headers[self._length_index][0], length)
        return headers
