"""Judges the head of a request that a web server of the program has read, as our own listener does.

Such a server accepts more than our own listener: longer heads, other transfer codings, targets in
other forms. So the head is written again and read by :class:`.RequestParser`. What our listener
refuses is refused here, with the same status.
"""

from __future__ import annotations

from propchange.core.limits import Limits
from propchange.core.wire.messages import Request
from propchange.errors import RemoteProtocolError
from propchange.http.framing import CHUNKED
from propchange.http.requests import RequestParser


class _HeadParser(RequestParser):
    """Reads one head, and no body."""

    length = 0

    def _begin(
        self, message: Request, length: int, data: bytes, position: int, messages: list[Request]
    ) -> int:
        self.length = length
        messages.append(message)
        return position


def judge_passed_head(received: Request, limits: Limits) -> tuple[Request, int | None]:
    """The request for the core, still without a body, and the length of its body: None if only
    the end of the body shows the length.

    ``received`` is the request as the web server describes it. Its ``http_version`` may be "2" or
    "3", where a request may have a body without CONTENT-LENGTH; the core gets "1.1" then. Raises
    RemoteProtocolError with a status of :class:`.RequestParser` for a head that our own listener
    refuses."""
    is_http_1 = received.http_version.startswith("1.")
    version = "1.0" if received.http_version == "1.0" else "1.1"
    line = f"{received.method} {received.target} HTTP/{version}"
    lines = [line.encode("utf-8", "surrogatepass")]
    lines += [b"%b: %b" % pair for pair in received.headers]
    head = b"%b\r\n\r\n" % b"\r\n".join(lines)
    ends = len(lines) + 1
    if head.count(b"\n") != ends or head.count(b"\r") != ends:
        raise RemoteProtocolError("the header is malformed: a line end is in it", status=400)
    parser = _HeadParser(limits, peer=received.peer, local=received.local)
    requests = parser.feed(head)
    if parser.error is not None:
        raise parser.error
    request = requests[0]
    if parser.length == CHUNKED or not (is_http_1 or b"content-length" in request.fields):
        return request, None
    return request, parser.length
