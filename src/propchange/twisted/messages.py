"""Between the requests of ``twisted.web`` and the messages of the core."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

from twisted.web.http import HTTPChannel

from propchange.core.limits import Limits
from propchange.core.wire.messages import HeaderPairs, Request, Response
from propchange.core.wire.refusals import Refusal
from propchange.http.framing import keeps_alive
from propchange.http.requests import read_seq
from propchange.twisted.runtime import (
    Reactor,
    endpoint_of_address,
    is_plain,
    unwritten,
    write_at_once,
)
from propchange.twisted.site import Channel

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def read_body(request: Any, limits: Limits) -> tuple[bytes, Refusal | None]:
    """The body of a request of ``twisted.web``, from memory or from the file that a large one was
    put into. One larger than ``limits.body_bytes`` counts as empty, and comes with a 413."""
    content = request.content
    if type(content) is BytesIO:  # the usual case, and called for every event
        body = content.getvalue()
    else:
        content.seek(0)
        body = content.read(limits.body_bytes + 1)
        content.seek(0)
    if len(body) > limits.body_bytes:
        return b"", Refusal(413, "the body is too large", "")
    return bytes(body), None


_HEAD = "_propchange_head"
"""The attribute of a channel of ``twisted.web`` that has its :class:`EventHead`."""


class EventHead:
    """The head of an accepted event, kept with its connection of ``twisted.web``.

    The heads of the next events over a connection mostly differ in SEQ and CONTENT-LENGTH alone.
    They are not read or judged again, which would take as long as reading the body.

    ``verdict`` is the verdict on this head, for the resource that has judged it.
    """

    __slots__ = ("_length", "_line", "_pairs", "_request", "_seq", "lessons", "verdict")

    def __init__(self, request: Any, message: Request, lessons: int, verdict: Any) -> None:
        # Without the body, which would stay as long as the connection.
        self._request = Request(
            message.method, message.target, message.headers, peer=message.peer, local=message.local
        )
        self._line = request.method, request.uri, request.clientproto
        self._pairs: list[tuple[bytes, list[bytes]]] = list(
            request.requestHeaders.getAllRawHeaders()
        )
        names = [name.lower() for name, _ in self._pairs]
        self._seq = names.index(b"seq")
        self._length = names.index(b"content-length")
        self.lessons = lessons
        self.verdict = verdict

    @classmethod
    def learn(cls, request: Any, message: Request, verdict: Any, limits: Limits) -> None:
        """Keep the head of ``message``, which was read from ``request`` by :func:`read_request` and
        accepted, unless its connection ends or has learned too many heads."""
        channel: Any = getattr(request, "channel", None)
        if not isinstance(channel, HTTPChannel):
            return
        if not message.keep_alive or message.http_version == "1.0":
            return
        fields = message.fields
        if b"seq" not in fields or b"content-length" not in fields or message.repeated:
            return
        former: EventHead | None = getattr(channel, _HEAD, None)
        lessons = 1 if former is None else former.lessons + 1
        if lessons <= limits.learned_heads:
            setattr(channel, _HEAD, cls(request, message, lessons, verdict))

    def match(self, request: Any, body: bytes) -> Request | None:
        """The message of ``request`` if it has this head, but for the two numbers. Else None."""
        if self._line != (request.method, request.uri, request.clientproto):
            return None
        pairs = list(request.requestHeaders.getAllRawHeaders())
        known, seq, length = self._pairs, self._seq, self._length
        if len(pairs) != len(known):
            return None
        seq_name, seqs = pairs[seq]
        length_name, lengths = pairs[length]
        if seq_name != known[seq][0] or length_name != known[length][0]:
            return None
        pairs[seq], pairs[length] = known[seq], known[length]
        if pairs != known or len(seqs) != 1 or len(lengths) != 1 or not seqs[0].isdigit():
            return None
        return self._request.repeat(self, read_seq(seqs[0]), seqs[0], lengths[0], body)

    def headers(self, seq: bytes, length: bytes) -> HeaderPairs:
        """The header pairs of the event that has these numbers."""
        numbers = {b"seq": seq, b"content-length": length}
        return [(name, numbers.get(name.lower(), each)) for name, each in self._request.headers]


def read_request(request: Any, body: bytes) -> Request:
    """What the core is to judge. ``request`` is a ``twisted.web.http.Request``."""
    received: Request | None = getattr(request, "received", None)
    if received is not None:  # our own Site has read it
        return received
    known: EventHead | None = getattr(getattr(request, "channel", None), _HEAD, None)
    if known is not None:
        received = known.match(request, body)
        if received is not None:
            return received
    headers = [(n, value) for n, vs in request.requestHeaders.getAllRawHeaders() for value in vs]
    version = "1.0" if request.clientproto == b"HTTP/1.0" else "1.1"
    message = Request(
        request.method.decode("latin-1"),
        request.uri.decode("latin-1"),
        headers,
        body,
        peer=endpoint_of_address(request.getClientAddress()),
        local=endpoint_of_address(request.getHost()),
        http_version=version,
    )
    connection = message.fields.get(b"connection")
    if connection is not None or version == "1.0":
        message.keep_alive = keeps_alive(connection, version)
        channel: Any = getattr(request, "channel", None)
        if not message.keep_alive and getattr(channel, "persistent", False):
            # Twisted takes "close,TE" for one word.
            channel.persistent = False
            request.responseHeaders.setRawHeaders(b"Connection", [b"close"])
    return message


def answer(request: Any, response: Response) -> bytes:
    """Put ``response`` into ``request``, to be returned from ``render``."""
    if response.status != request.code:
        request.setResponseCode(response.status)
    for name, value in response.headers:
        if name != b"CONTENT-LENGTH":  # twisted.web counts by itself
            request.setHeader(name, value)
    if response.body:
        request.defaultContentType = None
    elif request.method == b"HEAD":
        request.setHeader(b"Content-Length", b"0")  # for which twisted.web does not count
    return response.body


def answer_ok(request: Any) -> bool:
    """Write an empty 200 that keeps the connection, without ``twisted.web``'s making of headers,
    which takes longer than judging an event. Returns False where that is not possible."""
    channel = getattr(request, "channel", None)
    if not isinstance(channel, (Channel, HTTPChannel)):
        return False
    request.startedWriting = 1
    if type(channel) is HTTPChannel and is_plain(channel.transport):
        write_at_once(channel.transport, _OK)
    else:
        channel.write(_OK)
    request.finish()
    return True


def call_when_left(request: Any, reactor: Reactor, left: Callable[[bool], object]) -> None:
    """Call ``left(True)`` once the answer to ``request`` has left this process, or
    ``left(False)`` when the connection was lost first.

    An answer that ends its connection has left with the end of the stream. The reactor writes a
    finished answer before the second turn after it. What a slow peer leaves is asked for again."""
    channel: Any = getattr(request, "channel", None)
    if isinstance(channel, Channel):  # our own Site knows
        channel.left = left
        return
    transport = getattr(channel, "transport", None)
    persistent = getattr(channel, "persistent", True)

    def look() -> None:
        waits = unwritten(transport) > 0
        if (waits or not persistent) and getattr(transport, "connected", persistent):
            reactor.callLater(0.02, look)
        else:
            left(not waits)

    request.notifyFinish().addCallbacks(
        lambda _: reactor.callLater(0, reactor.callLater, 0, look), lambda _: left(False)
    )
