"""Requests as both sides receive them, and the judges that they are given to."""

from __future__ import annotations

from ipaddress import IPv4Network

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.local_addresses import OnLink
from propchange.core.publisher.judge import PublisherPolicy, judge_subscribe, judge_unsubscribe
from propchange.core.subscriber.judge import SubscriberPolicy, judge_notify
from propchange.core.wire.messages import Endpoint, Request
from propchange.core.wire.refusals import Refusal

PEER = Endpoint("192.168.1.9", 50000)
LOCAL = Endpoint("192.168.1.2", 8123)
LAN = (OnLink(IPv4Network("192.168.1.0/24")),)
POLICY = PublisherPolicy()
LISTENER = SubscriberPolicy()

HOST = (b"Host", b"192.168.1.2:8123")
CALLBACK = (b"Callback", b"<http://192.168.1.9:49152/event>")
NT = (b"NT", b"upnp:event")
NTS = (b"NTS", b"upnp:propchange")
SID = (b"SID", b"uuid:1")
SEQ = (b"SEQ", b"7")
TIMEOUT = (b"Timeout", b"Second-300")

SIGNED = PublisherPolicy(server="Linux/6.1 UPnP/1.1 propchange/0.1")
SERVER = (b"SERVER", b"Linux/6.1 UPnP/1.1 propchange/0.1")
DATE = (b"DATE", b"Sun, 22 Nov 2026 10:00:00 GMT")
EMPTY = (b"CONTENT-LENGTH", b"0")

Header = tuple[bytes, bytes]


def request(
    method: str,
    *headers: Header,
    host: Header | None = HOST,
    body: bytes = b"",
    peer: Endpoint | None = PEER,
    local: Endpoint | None = LOCAL,
    http_version: str = "1.1",
    keep_alive: bool = True,
) -> Request:
    return Request(
        method,
        "/event",
        (*([host] if host else []), *headers),
        body,
        peer=peer,
        local=local,
        http_version=http_version,
        keep_alive=keep_alive,
    )


def subscribe(*headers: Header, policy: PublisherPolicy = POLICY) -> object:
    return judge_subscribe(request("SUBSCRIBE", *headers), policy, DEFAULT_LIMITS, LAN)


def unsubscribe(*headers: Header, policy: PublisherPolicy = POLICY) -> object:
    return judge_unsubscribe(request("UNSUBSCRIBE", *headers), policy)


def notify(*headers: Header, policy: SubscriberPolicy = LISTENER) -> object:
    return judge_notify(request("NOTIFY", *headers, body=b"<x/>"), policy)


def status(verdict: object) -> int:
    """The status of a refusal, 200 for everything else."""
    return verdict.status if isinstance(verdict, Refusal) else 200


def date() -> bytes:
    return DATE[1]
