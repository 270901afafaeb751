"""How far the next request of a connection has come.

A request that ends early may be an event that is lost. So a listener reports the request that has
begun, or that its connection has brought none (*wasted*). Each is reported once.
"""

from __future__ import annotations

from propchange.core.wire.messages import Request
from propchange.http import RequestParser

LOOKS = 5
"""How often in ``Limits.stall_seconds`` a connection is looked at. So a request that makes no
progress is noticed a fifth of that time late at most."""


class RequestProgress:
    """The request that the bytes in ``parser`` begin."""

    __slots__ = ("_moved", "_parser", "_still", "asked", "over", "refused", "reported")

    def __init__(self, parser: RequestParser) -> None:
        self._parser = parser
        self._moved = False  # bytes have come since the last stands_still()
        self._still = 0  # calls of stands_still() in a row without such bytes
        self.asked = False
        """Whether a request, or something malformed, was received."""
        self.refused = False
        """Whether the last answer was a refusal."""
        self.reported = False
        """Whether it was reported that the request is not whole, or that there is none."""
        self.over = False
        """Whether no further request is answered."""

    def begin(self) -> None:
        """Another request begins."""
        self.reported = False
        self._still = 0

    def move(self) -> None:
        """Bytes were received."""
        self._moved = True

    def stands_still(self) -> bool:
        """Whether no bytes came in the last :data:`LOOKS` calls."""
        self._still = 0 if self._moved else self._still + 1
        self._moved = False
        return self._still >= LOOKS

    @property
    def begun(self) -> Request | None:
        """The request that has begun and is not whole, unless that was reported already."""
        if self.over or self.reported or not self._parser.in_message:
            return None
        return self._parser.begun

    @property
    def broken_request(self) -> Request | None:
        """The request that is malformed or overdue, as far as it was read. None if it was reported
        already, or if neither its first line nor its SID can be read."""
        return None if self.reported else self._parser.begun

    @property
    def wasted(self) -> bool:
        """Whether the connection has brought no request, or, behind the last one, the beginning of
        one that cannot be told."""
        if not self.asked:
            return not self.reported
        known = self.over or self.reported or self.refused
        return not known and self._parser.in_message

    @property
    def unreadable(self) -> bool:
        """Whether the connection has brought only bytes that no request begins with, or too few
        bytes to decide that."""
        return not self.asked and (self._parser.in_message or self._parser.error is not None)
