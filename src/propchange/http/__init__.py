"""HTTP/1.1 bytes to core messages and back. No sockets."""

from __future__ import annotations

from .datagrams import encode_datagram, parse_datagram
from .encode import encode_delivery, encode_request, encode_response
from .requests import RequestParser
from .responses import ResponseParser

__all__ = [
    "RequestParser",
    "ResponseParser",
    "encode_datagram",
    "encode_delivery",
    "encode_request",
    "encode_response",
    "parse_datagram",
]
