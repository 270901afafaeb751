"""Subscriptions that were made at an address which this machine has no longer (CP-13).

A device that moves to another address gives its subscriptions up (UDA 2.0 §0.5). But a subscriber
does not know of the move before it hears an announcement or renews, and until then it should get
its events. So a subscription of a former address ends step by step:

1. Events are sent to it as before, from the address that the system chooses.
2. Each renewal of it is answered 412, as for an unknown SID. So the subscriber subscribes anew.
3. Events are still sent to it until the new subscription is granted, so that the subscriber misses
   none. As every subscription, it also ends with its duration, and by a 412 of the subscriber.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from propchange.core.publisher.records import Subscription
from propchange.core.wire.messages import Endpoint, Request


class FormerSubscriptions:
    """The subscriptions whose renewal was refused because their address has gone. ``has_address``
    returns whether this machine has the address of an endpoint; the port is ignored."""

    def __init__(self, has_address: Callable[[Endpoint], bool]) -> None:
        self._has_address = has_address
        self._refused: dict[str, dict[Subscription, None]] = {}

    def refuse(self, subscription: Subscription, renewal: Request) -> str:
        """The reason to refuse ``renewal``; empty if it may be granted. A renewal that comes in at
        the address of the subscription shows that the address is there."""
        made_at = subscription.routes[0].address.source
        if made_at is None:  # the system chooses the address of each event
            return ""
        peer = subscription.peer.host
        if subscription not in self._refused.get(peer, ()):
            local = renewal.local
            if local is None or (local.host, local.scope) == (made_at.host, made_at.scope):
                return ""
            if self._has_address(made_at):
                return ""
            self._refused.setdefault(peer, {})[subscription] = None
        return (
            f"{subscription.sid} was made at {made_at.host}, which is no address of this device "
            "any more; subscribe anew"
        )

    def of(self, peer: str) -> Collection[Subscription]:
        """The refused subscriptions of the subscriber at the address ``peer``, oldest first."""
        return tuple(self._refused.get(peer, ()))

    def replaced_by(self, new: Subscription) -> Collection[Subscription]:
        """The refused subscriptions that ``new`` replaces: to the same service, by the same
        subscriber, with one of its delivery URLs."""
        return [
            old
            for old in self.of(new.peer.host)
            if old.service is new.service and not set(old.callbacks).isdisjoint(new.callbacks)
        ]

    def forget(self, subscription: Subscription) -> None:
        """Note that ``subscription`` has ended."""
        refused = self._refused.get(subscription.peer.host)
        if refused is not None and subscription in refused:
            del refused[subscription]
            if not refused:
                del self._refused[subscription.peer.host]
