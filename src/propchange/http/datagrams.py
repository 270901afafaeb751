"""Multicast datagrams, both ways. They look like HTTP requests and are not HTTP (UDA 2.0 §4.2)."""

from __future__ import annotations

import re

from propchange.core.limits import Limits
from propchange.core.multicast.message import Datagram
from propchange.core.wire.messages import Endpoint, Request
from propchange.errors import RemoteProtocolError
from propchange.http.encode import encode_request
from propchange.http.framing import TOKEN

_CLAUSE = "UDA 2.0 §4.2"
_START = re.compile(rb"(%b) ([!-~]+) HTTP/(1\.[01])" % TOKEN)
_LINE = re.compile(rb"(%b)[ \t]*:([\t -~\x80-\xff]*)" % TOKEN)


def encode_datagram(datagram: Datagram) -> bytes:
    """The bytes of a multicast event (UDA 2.0 §4.3.3)."""
    return encode_request(datagram.message.request(datagram.scope))


def parse_datagram(
    data: bytes, limits: Limits, *, peer: Endpoint | None = None, local: Endpoint | None = None
) -> Request:
    """The start line, the headers and the body of one datagram, from ``peer``.

    Without CONTENT-LENGTH the body is the rest of the datagram; with it, bytes behind the body are
    dropped. Raises RemoteProtocolError for a malformed datagram, for one that was cut short, and
    beyond ``limits.received_datagram_bytes``, ``header_bytes``, ``header_count`` and
    ``body_bytes``. Raises nothing else for any bytes.
    """
    if len(data) > limits.received_datagram_bytes:
        raise _refusal(f"longer than {limits.received_datagram_bytes} bytes")
    end = data.find(b"\r\n\r\n", 0, limits.header_bytes)
    if end < 0:
        raise _refusal(f"no empty line within {limits.header_bytes} bytes")
    first, *lines = data[:end].split(b"\r\n", limits.header_count + 1)
    if len(lines) > limits.header_count:
        raise _refusal(f"more than {limits.header_count} header lines")
    start = _START.fullmatch(first)
    if start is None:
        raise _refusal("the start line is not that of a request")
    headers = []
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None:
            raise _refusal("a header line has no name, no colon, or control characters")
        headers.append((match[1], match[2].strip(b" \t")))
    method, target, version = (part.decode("ascii") for part in start.groups())
    request = Request(
        method, target, headers, peer=peer, local=local, http_version=version, keep_alive=False
    )
    request.body = _body(request, data[end + 4 :], limits)
    return request


def _body(request: Request, rest: bytes, limits: Limits) -> bytes:
    fields = request.fields
    if b"transfer-encoding" in fields:
        raise _refusal("a datagram is not sent in chunks")
    length = fields.get(b"content-length")
    if length is not None:
        # A length of more digits cannot be right, and int() would be slow.
        if not re.fullmatch(rb"[0-9]{1,10}", length):
            raise _refusal("CONTENT-LENGTH is no number")
        if int(length) > len(rest):
            raise _refusal("shorter than its CONTENT-LENGTH says")
        rest = rest[: int(length)]
    if len(rest) > limits.body_bytes:
        raise _refusal(f"a body of more than {limits.body_bytes} bytes")
    return rest


def _refusal(reason: str) -> RemoteProtocolError:
    return RemoteProtocolError(reason, clause=_CLAUSE)
