"""Requests, responses and deliveries to bytes."""

from __future__ import annotations

import re
from http import HTTPStatus

from propchange.core.wire.messages import Delivery, DeliveryAddress, HeaderPairs, Request, Response
from propchange.errors import LocalProtocolError

_REASONS = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}
_WORD = re.compile(r"[!-~]+")


def encode_delivery(delivery: Delivery) -> bytes:
    """The NOTIFY request of one delivery (UDA 2.0 §4.3.2).

    The head up to SEQ is the same for all deliveries of an address, and is kept there. The rest is
    the same for all deliveries of a message with one SEQ, and is kept with the message:
    subscriptions of one age have one SEQ. Raises LocalProtocolError when the address holds what no
    header can carry.
    """
    address, message, seq = delivery.address, delivery.message, delivery.seq
    if message.tail_seq != seq:
        body = message.body
        message.tail = b"%d\r\nCONTENT-LENGTH: %d\r\n\r\n%b" % (seq, len(body), body)
        message.tail_seq = seq
    return (address.head or _delivery_head(address)) + message.tail


def _delivery_head(address: DeliveryAddress) -> bytes:
    url = address.url
    for text in (url.target, url.authority, address.sid):
        _check_word(text)
    content_type = "text/xml" if address.uda == "1.0" else 'text/xml; charset="utf-8"'
    head = (
        f"NOTIFY {url.target} HTTP/1.1\r\n"
        f"HOST: {url.authority}\r\n"
        f"CONTENT-TYPE: {content_type}\r\n"
        "NT: upnp:event\r\n"
        "NTS: upnp:propchange\r\n"
        f"SID: {address.sid}\r\n"
        "SEQ: "
    )
    address.head = head.encode("ascii")
    return address.head


def encode_request(request: Request) -> bytes:
    """The bytes of a request. CONTENT-LENGTH is added if there is a body and no such header. Raises
    LocalProtocolError for a header that would break the message."""
    _check_word(request.method)
    _check_word(request.target)
    lines = [f"{request.method} {request.target} HTTP/{request.http_version}".encode("ascii")]
    if not _append_headers(lines, request.headers, request.body) and request.body:
        lines.append(b"CONTENT-LENGTH: %d" % len(request.body))
    return b"%b\r\n\r\n%b" % (_joined(lines), request.body)


def encode_response(response: Response, *, head_only: bool = False) -> bytes:
    """The bytes of a response. ``head_only`` leaves out the body, for the answer to HEAD.

    CONTENT-LENGTH and CONNECTION are added where they are missing. CONNECTION is ``close`` for a
    response that closes the connection, and ``keep-alive`` for an HTTP/1.0 response that does not.
    Raises LocalProtocolError for a header that would break the message.
    """
    status, version, body = response.status, response.http_version, response.body
    lines = [b"HTTP/%b %d %b" % (version.encode("ascii"), status, _REASONS.get(status, b""))]
    if not _append_headers(lines, response.headers, body) and status >= 200 and status != 204:
        lines.append(b"CONTENT-LENGTH: %d" % len(body))
    if response.close != (version == "1.0") and b"connection" not in response.fields:
        lines.append(b"CONNECTION: close" if response.close else b"CONNECTION: keep-alive")
    return b"%b\r\n\r\n%b" % (_joined(lines), b"" if head_only else body)


def response_headers(response: Response, *, connection: bool = True) -> HeaderPairs:
    """The header pairs of a response that another server writes, with names in lower case.
    CONTENT-LENGTH is added as by :func:`encode_response`, and CONNECTION if the response closes the
    connection. Without ``connection`` that field is left out, as HTTP/2 wants it. Raises
    LocalProtocolError as :func:`encode_response`."""
    lines = [b""]
    pairs = [(name.lower(), value) for name, value in response.headers]
    status, body = response.status, response.body
    if not _append_headers(lines, pairs, body) and status >= 200 and status != 204:
        pairs.append((b"content-length", b"%d" % len(body)))
    _joined(lines)
    if response.close and b"connection" not in response.fields:
        pairs.append((b"connection", b"close"))
    return pairs if connection else [pair for pair in pairs if pair[0] != b"connection"]


def _append_headers(lines: list[bytes], headers: HeaderPairs, body: bytes) -> bool:
    """Append the headers to ``lines``. True when CONTENT-LENGTH is one of them."""
    measured = False
    for name, value in headers:
        lines.append(b"%b: %b" % (name, value))
        key = name.lower()
        if key == b"content-length":
            measured = True
            if value != b"%d" % len(body):
                raise LocalProtocolError("CONTENT-LENGTH is not the length of the body")
        elif key == b"transfer-encoding":
            raise LocalProtocolError("messages are sent with their length, not in chunks")
    return measured


def _joined(lines: list[bytes]) -> bytes:
    head = b"\r\n".join(lines)
    ends = len(lines) - 1
    if head.count(b"\n") != ends or head.count(b"\r") != ends or 0 in head:
        raise LocalProtocolError("a header cannot carry line ends or NULs")
    return head


def _check_word(text: str) -> None:
    if not _WORD.fullmatch(text):
        raise LocalProtocolError(f"a header cannot carry {text[:80]!r} as one word")
