"""The messages between the protocols and a runtime: requests, responses, deliveries.

Header pairs are raw bytes in the order of the wire. An object that goes to many subscribers is
immutable and encoded once. A record that is made for each message has slots.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any, Final, NamedTuple, Protocol

from propchange.core.record import brief
from propchange.printable import printable

HeaderPairs = Sequence[tuple[bytes, bytes]]


parse_literal = lru_cache(maxsize=1024)(ip_address)
"""``ipaddress.ip_address``, which takes 3.4 us, with its latest results. A subscriber names the
address in CALLBACK that its SUBSCRIBE comes from."""


@lru_cache(maxsize=1024)  # called for each connection and each call; hosts are few
def parse_address(host: str) -> IPv4Address | IPv6Address:
    """The IP address in ``host``, without its zone. An IPv4-mapped address is returned as
    IPv4: a socket that serves both families shows its IPv4 peers as ``::ffff:a.b.c.d``. Raises
    ValueError for a name."""
    address = parse_literal(host.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address


def canonical_host(host: str) -> str:
    """``host`` in the form for comparisons: an address as :func:`parse_address` returns it, in its
    shortest form; a name unchanged."""
    try:
        return str(parse_address(host))
    except ValueError:
        return host


@lru_cache(maxsize=1024)  # called for each connection and each request; peers are few
def address_block(host: str) -> str:
    """The block of addresses that one host can use: an IPv4 address, or the /64 of an IPv6 address.
    A name is returned as it is."""
    try:
        address = parse_address(host)
    except ValueError:
        return host
    if address.version == 4:
        return str(address)
    return str(IPv6Network((int(address) >> 64 << 64, 64)))


class Endpoint(NamedTuple):
    """One end of a TCP connection: an IP literal without brackets or zone, a port, and for a
    link-local IPv6 address the scope id of its interface (0 elsewhere)."""

    host: str
    port: int
    scope: int = 0

    @classmethod
    def of(cls, host: str, port: int, scope: int = 0) -> Endpoint:
        """The endpoint of an address as a system or a peer writes it: in its shortest form, an
        IPv4-mapped address as IPv4, without a zone. ``scope`` is kept for a link-local IPv6
        address alone. A name stays as it is."""
        if ":" not in host:
            return cls(host, port)
        address = parse_address(host)
        has_scope = address.version == 6 and address.is_link_local
        return cls(str(address), port, scope if has_scope else 0)

    @property
    def scoped_host(self) -> str:
        """The host, with its scope id as a zone if it has one."""
        return f"{self.host}%{self.scope}" if self.scope else self.host

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@lru_cache(maxsize=1024)
def shared(endpoint: Endpoint) -> Endpoint:
    """An equal endpoint, the same object for the latest 1,024 of them. Thousands of subscriptions
    have few endpoints, and the garbage collector visits each object."""
    return endpoint


class RequestHead(Protocol):
    """The part that a request shares with the next requests of its connection."""

    def headers(self, seq: bytes, length: bytes) -> HeaderPairs:
        """The header pairs with these values of SEQ and CONTENT-LENGTH."""


class Request:
    """An HTTP request, received or to be sent. The core does not change it.

    ``target`` is the path and query. ``headers`` are pairs of raw bytes, in the order of the wire.
    ``peer`` and ``local`` are the ends of its connection, by which CALLBACK and HOST are judged;
    None where a web server of the program does not know them. ``keep_alive``: the connection may
    carry another request.

    ``head`` belongs to the reader of the request. If it is not None, it is one object for all
    requests of a connection whose heads differ in the numbers SEQ and CONTENT-LENGTH only. The core
    judges such a head once. ``seq`` is then the value of SEQ, -1 if that has ten digits or more.
    """

    __slots__ = (
        "_fields",
        "_headers",
        "_length",
        "_repeated",
        "_seq_digits",
        "body",
        "head",
        "http_version",
        "keep_alive",
        "local",
        "method",
        "peer",
        "seq",
        "target",
    )

    def __init__(
        self,
        method: str,
        target: str,
        headers: HeaderPairs,
        body: bytes = b"",
        *,
        peer: Endpoint | None = None,
        local: Endpoint | None = None,
        http_version: str = "1.1",
        keep_alive: bool = True,
    ) -> None:
        self.method = method
        self.target = target
        self._headers: HeaderPairs | None = headers
        self.body = body
        self.peer = peer
        self.local = local
        self.http_version = http_version
        self.keep_alive = keep_alive
        self.head: RequestHead | None = None
        self.seq = -1
        self._seq_digits = b""
        self._length = b""
        self._fields: dict[bytes, bytes] | None = None
        self._repeated: frozenset[bytes] = frozenset()

    def repeat(
        self, head: RequestHead, seq: int, seq_digits: bytes, length: bytes, body: bytes
    ) -> Request:
        """Another request with this ``head``, like the one that the head was made of. ``seq`` is
        its :attr:`seq`. ``seq_digits`` and ``length`` are the values of its headers; they are empty
        if these are the usual digits of ``seq`` and of the length of ``body``."""
        request = Request.__new__(Request)
        request.method = self.method
        request.target = self.target
        request._headers = None  # made when they are read
        request.body = body
        request.peer = self.peer
        request.local = self.local
        request.http_version = self.http_version
        request.keep_alive = self.keep_alive
        request.head = head
        request.seq = seq
        request._seq_digits = seq_digits
        request._length = length
        request._fields = None
        return request

    @property
    def headers(self) -> HeaderPairs:
        """The header pairs, in the order of the wire."""
        headers = self._headers
        if headers is None:
            assert self.head is not None
            seq = self._seq_digits or b"%d" % self.seq
            length = self._length or b"%d" % len(self.body)
            headers = self._headers = self.head.headers(seq, length)
        return headers

    def __repr__(self) -> str:
        return brief(printable(f"<Request {self.method} {self.target} from {self.peer}>"))

    @property
    def fields(self) -> dict[bytes, bytes]:
        """Lower-case header name -> value without surrounding white space. The values of a
        repeated name are joined with a comma and a space; the name is in :attr:`repeated`."""
        if self._fields is None:
            self._fields, self._repeated = _index(self.headers)
        return self._fields

    @property
    def repeated(self) -> frozenset[bytes]:
        """The lower-case names that occur more than once."""
        _ = self.fields
        return self._repeated


@dataclass(slots=True, eq=False, repr=False)
class Response:
    """An HTTP response, received or to be sent.

    ``close``: the connection ends after this response. ``receipt`` belongs to
    :class:`.PublisherProtocol`: if it is not None, call ``response_sent`` or ``response_lost`` with
    this response.
    """

    status: int
    headers: HeaderPairs = ()
    body: bytes = b""
    _: KW_ONLY
    http_version: str = "1.1"
    close: bool = False
    receipt: object | None = None
    _fields: dict[bytes, bytes] | None = field(default=None, init=False)

    def __repr__(self) -> str:
        return f"<Response {self.status}>"

    @property
    def fields(self) -> dict[bytes, bytes]:
        """Lower-case header name -> value, like :attr:`Request.fields`."""
        if self._fields is None:
            self._fields, _ = _index(self.headers)
        return self._fields


def _index(headers: HeaderPairs) -> tuple[dict[bytes, bytes], frozenset[bytes]]:
    fields: dict[bytes, bytes] = {}
    repeated: set[bytes] = set()
    for name, value in headers:
        key = name.lower()
        if key in fields:
            fields[key] = fields[key] + b", " + value.strip()
            repeated.add(key)
        else:
            fields[key] = value.strip()
    return fields, frozenset(repeated)


class DeliveryURL(NamedTuple):
    """One URL of a CALLBACK header, checked and split, not altered (UDA 2.0 §4.1.2).

    ``authority`` is the value of HOST, as the subscriber wrote it. ``target`` is the path and
    query, ``/`` if there are none. ``endpoint`` is the address and port to connect to.
    """

    url: str
    endpoint: Endpoint
    authority: str
    target: str


@dataclass(slots=True, eq=False, repr=False)
class EventMessage:
    """The body of an event message, shared by all subscriptions.

    ``changes`` are (variable, text) pairs; ``body`` is the encoded propertyset; ``updates``
    counts the changes of state that were merged into it, 1 when none was. In ``tail`` the
    ``http`` room keeps the end of the latest request that carried it: the SEQ ``tail_seq``, the
    header behind it and the body.
    """

    changes: tuple[tuple[str, str], ...]
    body: bytes
    updates: int = field(default=1, kw_only=True)
    tail: bytes = field(default=b"", init=False)
    tail_seq: int = field(default=-1, init=False)

    def __repr__(self) -> str:
        return f"<EventMessage {dict(self.changes)}>"


@dataclass(slots=True, eq=False, repr=False)
class DeliveryAddress:
    """Where the messages of one subscription go, by one of its delivery URLs.

    ``source`` is the local address to connect from (its port is not used), None for any.
    ``head`` is where the ``http`` room keeps the encoded head, ``pool`` where a runtime keeps its
    connections to the endpoint.
    """

    sid: str
    url: DeliveryURL
    source: Endpoint | None
    uda: str
    head: bytes | None = field(default=None, init=False)
    pool: Any = field(default=None, init=False)


class DeliveryFailure(enum.Enum):
    """Why an attempt got no status. The value is the reason in words."""

    CONNECT = "no connection"
    STALE = "the kept-alive connection was closed before any byte of the answer"
    BROKEN = "the connection broke, or the answer was not HTTP"
    TIMED_OUT = "no answer in time"
    WAITED = "no connection was free in time"
    """This says nothing about the endpoint."""


WAITING: Final = object()
"""The carrier of a delivery for which the runtime has no connection yet."""


@dataclass(slots=True, eq=False, repr=False)
class Delivery:
    """One attempt to bring one event message to one delivery URL.

    The runtime connects to ``address.url.endpoint`` from ``address.source``, sends what
    ``propchange.http`` makes of the delivery, and calls ``PublisherProtocol.delivery_ended``.
    ``fresh``: a connection that has carried a request before must not be used. ``carrier`` is a
    place where a runtime keeps the connection that carries it.
    """

    address: DeliveryAddress
    seq: int
    message: EventMessage
    subscription: Any
    fresh: bool = False
    carrier: Any = field(default=None, init=False)

    def __repr__(self) -> str:
        return f"<Delivery {self.address.sid} SEQ {self.seq} to {self.address.url.url}>"
