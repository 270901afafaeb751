"""What uvicorn itself decides, so that ``propchange.asgi`` never sees the request, or not as it was
sent: the rows that are not played on it, by name, and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from exchange import Row

R = TypeVar("R", bound=Row)

FRAMING = "its parser refuses the request with a 400 of its own"
VERSION = "it answers HTTP/1.0 in HTTP/1.1, and ends the connection"
CODINGS = "its parser refuses another transfer coding with 400 instead of 501"
TRAILERS = "it takes the trailers of a body for header fields"
TIME = "it has no time for the head of a request"
ENDS = "it ends a connection whose peer has ended its half, without an answer"
CONTINUE = "it sends 100 Continue even if the body is there already"
METHODS = "its parser knows a list of methods, and refuses others"
UPGRADE = "it forgets the request behind one with Upgrade"
AUTHORITY = "it takes the authority out of a target, and compares it with nothing"
QUERY = "a web server of the program may take the query away, so it is not looked at"
SLASH = "a web server of the program may end the path with a slash, so that is not looked at"

ASGI = {
    "a NOTIFY to the delivery URL with a query is answered 412": QUERY,
    "a path below an event URL is none": SLASH,
}
"""What is not played through ``propchange.asgi`` whatever the server is."""

BOTH = ASGI | {
    '"chunked" in quotes is malformed, and answered 400': FRAMING,
    "HTTP/0.9 is not compatible": FRAMING,
    "HTTP/2.0 is not compatible": FRAMING,
    "HTTP/3.1 is not compatible": FRAMING,
    "a Content-Length below zero is malformed, and answered 400": FRAMING,
    "a Content-Length that is no number is malformed, and answered 400": FRAMING,
    "a Content-Length with a sign is malformed, and answered 400": FRAMING,
    "a NUL in CALLBACK is answered 400": FRAMING,
    "a NUL in a header value is answered 400": FRAMING,
    "a bare carriage return in a header value is answered 400": FRAMING,
    "a blank before the colon is answered 400": FRAMING,
    "a body beyond the cap is answered 413": FRAMING,  # a length of thirty digits
    "a chunk longer than its size is malformed, and answered 400": FRAMING,
    "a chunk of a negative size is malformed, and answered 400": FRAMING,
    "a chunk without a size is malformed, and answered 400": FRAMING,
    "a chunked body with extensions and trailers is read over": TRAILERS,
    "a folded header line is answered 400": FRAMING,
    "a header line without a colon is answered 400": FRAMING,
    "a header line without a name is answered 400": FRAMING,
    "a renewal works over another connection, and over HTTP/1.0": VERSION,
    "a request line of four words is answered 400": FRAMING,
    "a request line of one word is answered 400": FRAMING,
    "a request line of two words is answered 400": FRAMING,
    "a request that does not come whole in time is answered 408": TIME,
    "a request that its sender ends half-way is answered 400": ENDS,
    "a subscriber of HTTP/1.0 gets events with their length": VERSION,
    "a transfer coding that nobody knows is answered 501": CODINGS,
    "a version that is none is answered 400": FRAMING,
    "an HTTP/1.0 SUBSCRIBE has an HTTP/1.0 answer, and its end, before the initial event": VERSION,
    "an HTTP/1.0 SUBSCRIBE may keep the connection": VERSION,
    "an HTTP/1.0 SUBSCRIBE with Connection: close as well": VERSION,
    "another protocol is answered 400": FRAMING,
    "bare line feeds is answered 400": FRAMING,
    "HOST is missing: 400, over HTTP/1.0 too": VERSION,
    "junk is answered 400": FRAMING,
    "refusals have the version of their request, and end what it ends": VERSION,
    "requests before the junk are answered first": FRAMING,
    "two Content-Lengths is malformed, and answered 400": FRAMING,
    "HTTP/1.0 is answered in HTTP/1.0, and the connection ends": VERSION,
    "HTTP/1.0 knows no chunks": VERSION,
    "HTTP/1.0 with keep-alive keeps its connection": VERSION,
    "HTTP/2.0 is answered 505": FRAMING,
    'TRANSFER-ENCODING: "chunked" in quotes is chunked': CODINGS,
    "a Content-Length below nought is answered 400": FRAMING,
    "a Content-Length that is no number is answered 400": FRAMING,
    "a body that is cut off by the end of the stream is answered 400": ENDS,
    "a body that is longer than its length is cut, and what is over is no request": FRAMING,
    "a chunk whose size is no number is answered 400": FRAMING,
    "a refusal of HTTP/1.0 is in HTTP/1.0, and the connection ends": VERSION,
    "a request line of nonsense is answered 400": FRAMING,
    "a space before a colon is answered 400": FRAMING,
    "another transfer coding in quotes is answered 400": CODINGS,
    "two different lengths is answered 400": FRAMING,
    "who ends its side of the connection right after the request is answered": ENDS,
    "who has the body at hand gets no 100 Continue": CONTINUE,
}

BY_PARSER = {
    "httptools": {
        "Content-Length beside chunks is malformed, and answered 400": FRAMING,
        "HTTP/1.2 is compatible with HTTP/1.1, and answered so": FRAMING,
        "HTTP/1.9 is compatible with HTTP/1.1, and answered so": FRAMING,
        "a request target on another server is answered 400": AUTHORITY,
        "header fields that nobody knows are ignored": UPGRADE,
        "the method FROB-NICATE is unknown: 405": METHODS,
        "the method RENEW is unknown: 405": METHODS,
        "the method SUBSCRIBED is unknown: 405": METHODS,
        "the method subscribe is unknown: 405": METHODS,
        "FETCH to a delivery URL is answered 405, and told what is right": METHODS,
        "Notify to a delivery URL is answered 405, and told what is right": METHODS,
        "a chunked NOTIFY with a length too is answered 400": FRAMING,
        "unknown extensions of chunks and trailers are read over": TRAILERS,
    },
    "h11": {
        "Host that comes twice is answered 400": FRAMING,
        "an empty line too many between requests is read over": FRAMING,
        "a NOTIFY with two HOST is answered 400": FRAMING,
        "a NOTIFY without HOST is answered 400": FRAMING,
        "an empty line behind a body is none of the next request": FRAMING,
        "another transfer coding is answered 501": CODINGS,
    },
}


def on_uvicorn(rows: Iterable[R], parser: str) -> list[R]:
    """``rows``, with the reasons why some are not played on uvicorn with ``parser``. What is not
    played on asyncio is not played there either."""
    return _on(rows, parser, BOTH | BY_PARSER[parser])


def on_asgi(rows: Iterable[R]) -> list[R]:
    """As :func:`on_uvicorn`, for a server that takes all that our own listener takes."""
    return _on(rows, "asgi", ASGI)


def _on(rows: Iterable[R], front: str, reasons: dict[str, str]) -> list[R]:
    found = []
    for row in rows:
        not_on = dict(row.not_on)
        reason = reasons.get(row.name, not_on.get("asyncio"))
        if reason is not None:
            not_on[front] = reason
        found.append(replace(row, not_on=not_on))
    return found
