"""The head of requests and of responses: everything before the body."""

from __future__ import annotations

import re

import httptools

__all__ = [
    "TOKEN",
    "HeaderLines",
    "is_strict_request_head",
    "is_transfer_codings",
    "keeps_alive",
    "lenient_header_lines",
    "needs_strict_check",
]

TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
"""The expression of a token, such as a method or a header's name (RFC 9110 §5.6.2)."""

_NAME = re.compile(TOKEN)
_LINE = re.compile(rb"\r?\n")
_CODINGS = re.compile(rb"%b(?:[ \t]*,[ \t]*%b)*" % (TOKEN, TOKEN))
_STRICT_REQUEST_HEAD = re.compile(
    rb"%b [!-~]+ HTTP/1\.[01]\r\n(?:%b:[\t -~\x80-\xff]*\r\n)*\r\n" % (TOKEN, TOKEN)
)
_LIBERTIES = (
    b"GET / HTTP/1.1\r\nA B: 1\r\n\r\n",
    b"GET / HTTP/1.1\r\nA: 1\r\n 2\r\n\r\n",
)


class HeaderLines(list[tuple[bytes, bytes]]):
    """The header pairs of one message, filled by httptools."""

    __slots__ = ()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by httptools for each header line."""
        self.append((name, value))


def keeps_alive(connection: bytes | None, http_version: str) -> bool:
    """Whether the connection may carry another message after one with this value of Connection,
    None if it has none (RFC 9112 §9.3)."""
    if connection is None:
        return http_version == "1.1"
    options = [option.strip() for option in connection.lower().split(b",")]
    return b"close" not in options and (http_version == "1.1" or b"keep-alive" in options)


def is_transfer_codings(value: bytes) -> bool:
    """Whether the value of a Transfer-Encoding is well-formed, whether or not it is known."""
    return _CODINGS.fullmatch(value) is not None


def is_strict_request_head(head: bytes) -> bool:
    """Whether ``head`` is a request line and header lines, exactly as RFC 9112 writes them."""
    return _STRICT_REQUEST_HEAD.fullmatch(head) is not None


def needs_strict_check() -> bool:
    """Whether the installed httptools accepts malformed request heads, as those before 0.6.4 do."""
    for liberty in _LIBERTIES:
        try:
            httptools.HttpRequestParser(HeaderLines()).feed_data(liberty)
        except httptools.HttpParserError:
            continue
        return True
    return False


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
