"""HTTP/1.1 bytes to core messages and back. No sockets."""

from __future__ import annotations

from propchange.http.datagrams import encode_datagram, parse_datagram
from propchange.http.encode import encode_delivery, encode_request, encode_response
from propchange.http.requests import RequestParser
from propchange.http.responses import ResponseParser

__all__ = [
    "RequestParser",
    "ResponseParser",
    "encode_datagram",
    "encode_delivery",
    "encode_request",
    "encode_response",
    "parse_datagram",
]
