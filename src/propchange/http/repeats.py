"""Request heads that repeat: a device sends the same one again and again, but for two numbers.

What was found in order once need not be parsed once more where only digits stand in place of
other digits, since no rule of HTTP looks at which digits these are.
"""

from __future__ import annotations

import re

from propchange.core.limits import Limits
from propchange.core.messages import Request

__all__ = ["RepeatedHead"]

_NUMBER = re.compile(rb"\r\n(SEQ|CONTENT-LENGTH):[ \t]*([0-9]+)(?=\r\n)", re.IGNORECASE)
_DIGITS = 15
# How much longer than the first one a head can get.
_GROWTH = 2 * _DIGITS


class RepeatedHead:
    """A head with its SEQ and its CONTENT-LENGTH left open, made from a request that was parsed.

    Its requests all carry it as ``Request.head``. Use :meth:`learn`.
    """

    __slots__ = (
        "_begin",
        "_first",
        "_first_index",
        "_first_key",
        "_first_name",
        "_last",
        "_length_is_first",
        "_limit",
        "_middle",
        "_request",
        "_second_index",
        "_second_key",
        "_second_name",
    )

    def __init__(self, request: Request, head: bytes, limits: Limits) -> None:
        first, second = _NUMBER.finditer(head)
        self._request = request
        self._limit = limits.body_bytes
        self._first = head[: first.start(2)]
        self._begin = len(self._first)
        self._middle = head[first.end(2) : second.start(2)]
        self._last = head[second.end(2) :]
        self._first_key = first[1].lower()
        self._second_key = second[1].lower()
        self._length_is_first = self._first_key == b"content-length"
        names = [name for name, _ in request.headers]
        self._first_index = names.index(first[1])
        self._first_name = names[self._first_index]
        self._second_index = names.index(second[1])
        self._second_name = names[self._second_index]

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
        body = data[end + len(last) :]
        length = int(first if self._length_is_first else second)
        if length != len(body) or length > self._limit:
            return None
        request = self._request
        headers = list(request.headers)
        headers[self._first_index] = (self._first_name, first)
        headers[self._second_index] = (self._second_name, second)
        fields = request.fields.copy()
        fields[self._first_key] = first
        fields[self._second_key] = second
        return request.repeat(headers, fields, body, self)
