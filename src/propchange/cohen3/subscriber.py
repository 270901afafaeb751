"""The dict of a subscriber, as services of Cohen3 keep it."""

from __future__ import annotations

import time
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from propchange.core.subscriber.requests import authority_and_target, http_url
from propchange.core.wire.headers import format_timeout, parse_timeout
from propchange.core.wire.messages import (
    Delivery,
    DeliveryAddress,
    DeliveryURL,
    Endpoint,
    EventMessage,
)
from propchange.errors import LocalProtocolError
from propchange.http import encode_delivery

__all__ = ["Subscriber", "addresses_of", "keep", "seconds_left"]

_A_DAY = 86_400.0
"""Seconds that a subscriber is kept whose ``timeout`` or ``created`` cannot be read."""


class Subscriber(dict[str, Any]):
    """The dict of a subscriber: ``sid``, ``callback``, ``seq``, ``timeout``, ``created``.

    Programs read and write these five. The attributes are facts of its SUBSCRIBE: ``urls`` are its
    delivery URLs as they were judged, ``source`` is the local address to send from, ``peer`` the
    host that sent the SUBSCRIBE, ``uda`` the version of UDA that its messages follow. ``expires``
    is in seconds of the reactor's clock and holds while (created, timeout) is ``stamp``. ``table``
    is the dict of subscribers that it stands in.
    """

    source: Endpoint | None = None
    peer = ""
    uda = "1.1"
    table: MutableMapping[str, Any] | None = None
    expires = 0.0
    stamp: tuple[Any, Any] = (None, None)

    def __init__(self, fields: Mapping[str, Any], urls: tuple[DeliveryURL, ...]) -> None:
        super().__init__(fields)
        self.urls = urls

    def withdraw(self) -> None:
        """Take this subscriber, or the copy of it that a program keeps, out of its table."""
        if self.table is not None:
            self.table.pop(self["sid"], None)


def keep(subscriber: MutableMapping[str, Any], duration: int, now: float) -> None:
    """``subscriber`` is granted ``duration`` seconds from ``now``, a time of the reactor."""
    subscriber["timeout"] = format_timeout(duration).decode("ascii")
    subscriber["created"] = time.time()
    if isinstance(subscriber, Subscriber):
        subscriber.expires = now + duration
        subscriber.stamp = (subscriber["created"], subscriber["timeout"])


def seconds_left(subscriber: MutableMapping[str, Any], now: float) -> float:
    """The seconds until ``subscriber`` expires. By ``now``, a time of the reactor, which no change
    of the date disturbs; by the date when a program has written ``created`` or ``timeout``."""
    stamp = subscriber.get("created"), subscriber.get("timeout")
    if isinstance(subscriber, Subscriber) and stamp == subscriber.stamp:
        return subscriber.expires - now
    try:
        duration = parse_timeout(str(subscriber["timeout"]).encode("latin-1"))
        return float(subscriber["created"]) + (duration or _A_DAY) - time.time()
    except (KeyError, TypeError, ValueError):
        return _A_DAY


def addresses_of(subscriber: MutableMapping[str, Any]) -> tuple[DeliveryAddress, ...]:
    """Where messages to ``subscriber`` are sent, in this order: to the delivery URLs of its
    SUBSCRIBE, or to the ``callback`` that a program has written. None for what no NOTIFY can be
    sent to."""
    urls: tuple[DeliveryURL, ...] = getattr(subscriber, "urls", ())
    callback = subscriber["callback"]
    if isinstance(callback, bytes):
        callback = callback.decode("latin-1")
    if not urls or urls[0].url != callback:
        url = _delivery_url(callback)
        urls = () if url is None else (url,)
    source = getattr(subscriber, "source", None)
    uda = getattr(subscriber, "uda", "1.1")
    addresses = (DeliveryAddress(str(subscriber["sid"]), url, source, uda) for url in urls)
    return tuple(address for address in addresses if _can_be_written(address))


def _can_be_written(address: DeliveryAddress) -> bool:
    try:
        encode_delivery(Delivery(address, 0, _EMPTY, None))
    except LocalProtocolError:
        return False
    return True


_EMPTY = EventMessage((), b"")


@lru_cache(maxsize=1024)
def _delivery_url(callback: str) -> DeliveryURL | None:
    url = callback.strip("<> ")
    try:
        parts = urlsplit(http_url(url))
    except ValueError:
        return None
    authority, target = authority_and_target(url)
    host, _, zone = (parts.hostname or "").partition("%")
    scope = int(zone) if zone.isdecimal() else 0
    return DeliveryURL(url, Endpoint(host, parts.port or 80, scope), authority, target)
