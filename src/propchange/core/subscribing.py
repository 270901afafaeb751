"""The requests that a subscriber sends (UDA 2.0 §4.1.2 to §4.1.4)."""

from __future__ import annotations

import enum
from collections.abc import Callable
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from propchange.core.headers import format_statevar, format_timeout, parse_statevar
from propchange.core.limits import Limits
from propchange.core.messages import Endpoint, Request, Response
from propchange.core.rules import SubscriberPolicy
from propchange.core.tolerance import accepts
from propchange.errors import LocalProtocolError

if TYPE_CHECKING:
    from propchange.core.held import HeldSubscription

__all__ = [
    "OutgoingRequest",
    "RequestKind",
    "accepted_variables",
    "authority_and_target",
    "http_url",
]


_ACCEPTED_STATEVAR = (
    b"accepted-statevar",
    *((b"accepted_statevar",) if accepts("subscriber", "accepted-statevar-underscore") else ()),
)


class RequestKind(enum.Enum):
    """What an outgoing request is for."""

    SUBSCRIBE = enum.auto()
    RENEW = enum.auto()
    UNSUBSCRIBE = enum.auto()
    DESCRIBE = enum.auto()
    """Not a message of eventing: the runtime reads the device's description again and calls
    ``SubscriberProtocol.described``."""


class OutgoingRequest:
    """A request for the runtime to send.

    The runtime connects to ``url`` (from the address ``source`` if given: the interface pair of
    the subscription, REN-03), builds the message with :meth:`build`, sets ``remote`` to the
    address that answered and ``url`` to where a redirect has led, and calls
    ``response_received`` or ``request_failed`` with this object.
    """

    __slots__ = ("_builder", "kind", "remote", "sent_at", "sid", "source", "subscription", "url")

    def __init__(
        self,
        kind: RequestKind,
        subscription: HeldSubscription,
        url: str,
        *,
        sid: str = "",
        source: Endpoint | None = None,
        sent_at: float,
        builder: Callable[[Endpoint], Request] | None = None,
    ) -> None:
        self.kind = kind
        self.subscription = subscription
        self.url = url
        self.sid = sid
        self.source = source
        self.sent_at = sent_at
        self.remote: Endpoint | None = None
        self._builder = builder

    @property
    def wanted(self) -> bool:
        """Whether the answer is still of use: not once the request has timed out, or the
        subscription has moved on, while the runtime had not got round to it."""
        return self.kind is RequestKind.UNSUBSCRIBE or self.subscription.outstanding is self

    def build(self, local: Endpoint) -> Request:
        """The message, for a connection whose local address is ``local.host``, with the listener
        at ``local.port``. Raises LocalProtocolError for DESCRIBE, and when it is no longer
        :attr:`wanted`."""
        if self._builder is None:
            raise LocalProtocolError("a DESCRIBE is made by whoever reads descriptions")
        if not self.wanted:
            raise LocalProtocolError("the time for this request is up")
        return self._builder(local)

    def __repr__(self) -> str:
        return f"<OutgoingRequest {self.kind.name} {self.url}>"


def http_url(url: str) -> str:
    """``url`` if it can be subscribed to. Raises ValueError with the reason otherwise."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{url!r} is not a URL: {error}") from None
    if parts.scheme.lower() != "http":
        raise ValueError(f"{url!r} is not an http:// URL")
    if not parts.hostname or port == 0:
        raise ValueError(f"{url!r} names no host and port to connect to")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(f"{url!r} has characters that no URL may have")
    return url


def has_literal_host(url: str) -> bool:
    """Whether ``url`` names its host by an IP address."""
    try:
        ip_address((urlsplit(url).hostname or "").partition("%")[0])
    except ValueError:
        return False
    return True


def authority_and_target(url: str) -> tuple[str, str]:
    """What HOST and the request line carry for ``url``: no zone, no credentials (V6-07)."""
    parts = urlsplit(url)
    host = (parts.hostname or "").partition("%")[0]
    if ":" in host:
        host = f"[{host}]"
    authority = host if parts.port is None else f"{host}:{parts.port}"
    target = parts.path or "/"
    if parts.query:
        target += f"?{parts.query}"
    return authority, target


def subscribe_message(
    url: str,
    callback: str,
    policy: SubscriberPolicy,
    *,
    duration: int,
    statevar: tuple[str, ...] = (),
) -> Request:
    """A SUBSCRIBE for a new subscription (UDA 2.0 §4.1.2)."""
    authority, target = authority_and_target(url)
    headers = [(b"HOST", authority.encode("ascii"))]
    headers += _identity(policy)
    headers += [
        (b"CALLBACK", f"<{callback}>".encode("ascii")),
        (b"NT", b"upnp:event"),
        (b"TIMEOUT", format_timeout(duration)),
    ]
    if statevar and policy.uda == "2.0":
        headers.append((b"STATEVAR", format_statevar(statevar)))
    return Request("SUBSCRIBE", target, headers)


def accepted_variables(
    asked: tuple[str, ...], response: Response, policy: SubscriberPolicy, limits: Limits
) -> tuple[str, ...] | None:
    """The variables that a grant says are all that will be evented; None when all are, which
    whoever did not ask for less may rely on (SUB-51, SUB-53). One clause spells the header in two
    ways, so both are read (AMB-3)."""
    if not asked or policy.uda != "2.0":
        return None
    found = (response.fields[name] for name in _ACCEPTED_STATEVAR if name in response.fields)
    return parse_statevar(next(found, None), limits)


def renewal_message(url: str, sid: str, policy: SubscriberPolicy, *, duration: int) -> Request:
    """A SUBSCRIBE that renews: neither CALLBACK nor NT (REN-02)."""
    authority, target = authority_and_target(url)
    headers = [
        (b"HOST", authority.encode("ascii")),
        (b"SID", sid.encode("latin-1")),
        (b"TIMEOUT", format_timeout(duration)),
    ]
    if policy.uda == "2.0":
        headers += _identity(policy)
    return Request("SUBSCRIBE", target, headers)


def unsubscribe_message(url: str, sid: str, policy: SubscriberPolicy) -> Request:
    """An UNSUBSCRIBE (UDA 2.0 §4.1.4)."""
    authority, target = authority_and_target(url)
    headers = [(b"HOST", authority.encode("ascii")), (b"SID", sid.encode("latin-1"))]
    if policy.uda == "2.0":
        headers += _identity(policy)
    return Request("UNSUBSCRIBE", target, headers)


def _identity(policy: SubscriberPolicy) -> list[tuple[bytes, bytes]]:
    """USER-AGENT since UDA 1.1 (SUB-12), and the friendly name that 2.0 wants (SUB-13)."""
    pairs: list[tuple[bytes, bytes]] = []
    if policy.uda != "1.0" and policy.user_agent:
        pairs.append((b"USER-AGENT", policy.user_agent.encode("latin-1", "replace")))
    if policy.uda == "2.0":
        pairs.append((b"CPFN.UPNP.ORG", policy.friendly_name.encode()))
    return pairs
