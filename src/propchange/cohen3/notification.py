"""Notifications of programs that write their propertysets themselves, as Cohen3 does."""

from __future__ import annotations

from collections.abc import MutableMapping
from functools import lru_cache
from typing import Any

from twisted.internet.defer import Deferred

from propchange.cohen3.answer import AnswerProtocol, PeerResponse
from propchange.cohen3.outbox import QueuedNotification, outbox_of, warn_unless_taken, warnings_of
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.publisher.delivery_share import origin_of
from propchange.core.publisher.judge import NewSubscription
from propchange.core.wire.headers import next_seq
from propchange.core.wire.messages import DeliveryAddress, Response
from propchange.twisted.runtime import Reactor, default_reactor


class NotificationProtocol(AnswerProtocol):
    """Reads the answer to a NOTIFY that was sent over this connection."""

    logCategory = "notification_protocol"

    def __init__(self) -> None:
        super().__init__(DEFAULT_LIMITS.attempt_seconds, reactor=None, limits=DEFAULT_LIMITS)

    def settled(self, result: Response | Exception) -> None:
        """The subscriber has answered, or there is no answer."""
        if isinstance(result, Response):
            peer = self.transport.getPeer().host
            warn_unless_taken(result.status, peer, warnings_of(self.reactor))


class Subscriber(dict[str, Any]):
    """The dict of a subscriber: ``sid``, ``callback``, ``seq``, ``timeout``, ``created``.

    Programs read and write these five. ``addresses`` are the delivery URLs of its SUBSCRIBE, in
    their order. ``peer`` is the host that sent it, and ``origin`` its address and IPv6 prefix.
    ``table`` is the dict of subscribers that has this one. ``expires`` is the time of the end by
    the runtime's clock, for the (created, timeout) in ``stamp``. If a program has written other
    values, the end follows from these.
    """

    expires = 0.0
    stamp: tuple[Any, Any] = (None, None)

    def __init__(
        self, sid: str, verdict: NewSubscription, uda: str, table: MutableMapping[str, Any]
    ) -> None:
        super().__init__(sid=sid, callback=verdict.urls[0].url, seq=0)
        source = verdict.local and verdict.local._replace(port=0)
        self.addresses = tuple(DeliveryAddress(sid, url, source, uda) for url in verdict.urls)
        self.peer = verdict.peer.host
        self.origin = origin_of(verdict.peer)
        self.table = table


def send_notification(
    s: MutableMapping[str, Any], xml: bytes | str, *, reactor: Reactor | None = None
) -> tuple[Deferred[PeerResponse], QueuedNotification]:
    """Send the propertyset ``xml``, text as UTF-8, to the subscriber ``s``, a dict with at least
    ``sid``, ``callback`` and ``seq``. ``s["seq"]`` is spent at once.

    Returns a Deferred and an object whose ``disconnect()`` gives the notification up. The Deferred
    fires with the subscriber's response, a :class:`PeerResponse` of any status, or fails with
    :exc:`~propchange.errors.DeliveryError` when there is none. Notifications of one subscriber
    are sent in the order of the calls, each after the answer to the one before. A subscriber that
    answers 412 is taken out of its service's dict.

    If ``Limits.waiting_messages`` notifications wait for the subscriber, this one is merged with
    the last of them: it takes over the SEQ, and the Deferred of the last one fails. So a slow
    subscriber misses intermediate values, but neither the last value nor a SEQ.
    """
    outbox = outbox_of(s, reactor or default_reactor())
    notification = outbox.push(_encoded(xml) if isinstance(xml, str) else xml, int(s["seq"]))
    s["seq"] = next_seq(notification.seq)
    return notification.deferred, notification


# A service sends the same text to all its subscribers. Their waiting notifications share the bytes.
@lru_cache(maxsize=4)
def _encoded(xml: str) -> bytes:
    return xml.encode()
