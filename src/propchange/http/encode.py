"""Messages to bytes."""

from __future__ import annotations

from http import HTTPStatus

from propchange.core.messages import Delivery, DeliveryAddress, HeaderPairs, Request, Response
from propchange.errors import LocalProtocolError

__all__ = ["encode_delivery", "encode_request", "encode_response"]

_REASONS = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}


def encode_delivery(delivery: Delivery) -> bytes:
    """The NOTIFY request of one delivery (UDA 2.0 §4.3.2).

    What does not change is made once: the head per delivery address, the length and body per
    event message. Raises LocalProtocolError when the address holds what a header cannot.
    """
    address = delivery.address
    message = delivery.message
    framed = message.framed
    if framed is None:
        body = message.body
        framed = message.framed = b"\r\nCONTENT-LENGTH: %d\r\n\r\n%b" % (len(body), body)
    return b"%b%d%b" % (address.head or _delivery_head(address), delivery.seq, framed)


def _delivery_head(address: DeliveryAddress) -> bytes:
    url = address.url
    content_type = "text/xml" if address.uda == "1.0" else 'text/xml; charset="utf-8"'
    lines = (
        f"NOTIFY {url.target} HTTP/1.1",
        f"HOST: {url.authority}",
        f"CONTENT-TYPE: {content_type}",
        "NT: upnp:event",
        "NTS: upnp:propchange",
        f"SID: {address.sid}",
        "SEQ: ",
    )
    head = "\r\n".join(lines)
    if head.count("\n") != len(lines) - 1 or not head.isascii():
        raise LocalProtocolError("the delivery address cannot be written into a header")
    address.head = head.encode("ascii")
    return address.head


def encode_request(request: Request) -> bytes:
    """A request as it goes over the wire. CONTENT-LENGTH is added when there is a body. Raises
    LocalProtocolError for a line that would break the message."""
    start = f"{request.method} {request.target} HTTP/{request.http_version}"
    return _encode(start.encode("ascii"), request.headers, request.body, len(request.body) > 0)


def encode_response(response: Response, *, head_only: bool = False) -> bytes:
    """A response as it goes over the wire, without its body when it answers HEAD
    (``head_only``). CONTENT-LENGTH is added where it is missing, CONNECTION: close where the
    response closes. Raises LocalProtocolError for a line that would break the message."""
    status = response.status
    start = b"HTTP/%b %d %b" % (
        response.http_version.encode("ascii"),
        status,
        _REASONS.get(status, b"Unknown"),
    )
    headers = response.headers
    if response.close and not any(name.lower() == b"connection" for name, _ in headers):
        headers = (*headers, (b"CONNECTION", b"close"))
    encoded = _encode(start, headers, response.body, status >= 200 and status != 204)
    return encoded[: len(encoded) - len(response.body)] if head_only else encoded


def _encode(start: bytes, headers: HeaderPairs, body: bytes, measured: bool) -> bytes:
    parts = [start]
    for name, value in headers:
        parts.append(b"%b: %b" % (name, value))
        if name.lower() in (b"content-length", b"transfer-encoding"):
            measured = False
    if measured:
        parts.append(b"CONTENT-LENGTH: %d" % len(body))
    head = b"\r\n".join(parts)
    if head.count(b"\n") != len(parts) - 1 or head.count(b"\r") != len(parts) - 1 or b"\0" in head:
        raise LocalProtocolError("a header value would break the message")
    return b"%b\r\n\r\n%b" % (head, body)
