"""What a protocol knows of a subscription by itself, as the facts of a diagnosis."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from urllib.parse import urlsplit

from propchange.core.diagnosis.facts import Facts, RefusedNotify
from propchange.core.limits import Limits
from propchange.core.local_addresses import LocalAddress, address_of
from propchange.core.subscriber.connection_history import Caller, Callers
from propchange.core.subscriber.events import Status
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.subscriber.record import HeldSubscription

__all__ = ["known_facts"]


def known_facts(
    held: HeldSubscription,
    now: float,
    *,
    policy: SubscriberPolicy,
    limits: Limits,
    addresses: tuple[LocalAddress, ...],
    callers: Callers | None,
    others: Iterable[HeldSubscription],
) -> Facts:
    """The facts about ``held`` that need no look at the network. ``callers`` is None where nobody
    tells who connects; ``others`` are the subscriptions of the same listener.

    Of a deaf subscription they are about the first of the addresses that were tried: it is the one
    that the system has chosen."""
    asked_at, granted_at = held.asked_at, held.granted_at
    advertised = held.advertised_endpoint
    since, heard, empty, turned_away = asked_at, False, 0, 0
    if held.status is Status.DEAF and held.deafness is not None:
        asked_at, granted_at, advertised, heard, empty, turned_away = held.deafness
        # What comes to another address, while that is tried, says nothing of the first.
        since = held.asked_at if held.advertised_endpoint == advertised else inf
    granted = granted_at is not None
    device = _device(held)
    caller = None if callers is None or device is None else callers.of(device) or Caller()
    tried = [
        str(source._replace(port=advertised.port))
        for source in held.sources.in_vain
        if advertised is not None and source.host != advertised.host
    ]
    return Facts(
        event_url=held.event_url,
        status=held.status,
        # That of DEAF is a diagnosis itself.
        reason="" if held.status is Status.DEAF else held.status_reason,
        device=device,
        asked_for=None if held.outstanding is None else now - held.outstanding.sent_at,
        failure="" if granted else held.failure,
        failure_status=0 if granted else held.failure_status,
        sid=held.sid,
        granted_for=_ago(now, granted_at),
        duration=held.duration_granted,
        initial_due=limits.initial_event_seconds,
        advertised=advertised,
        callback_host=policy.callback_host,
        callback_port=policy.callback_port,
        tried=tuple(tried),
        own=addresses,
        connections=None if caller is None else caller.connections,
        connected_ago=_ago(now, None if caller is None else caller.connected_at),
        heard=None if caller is None else heard or _since(caller.connected_at, since),
        empty=caller.empty if caller and _since(caller.empty_at, since) else empty,
        turned_away=(
            caller.turned_away if caller and _since(caller.turned_away_at, since) else turned_away
        ),
        refused=_refused(held, callers, device, asked_at),
        slow=held.slow,
        last_event_ago=_ago(now, held.last_event_at),
        others_hear=any(
            other is not held
            and other.status is Status.ACTIVE
            and other.device_host == device
            and other.advertised_endpoint == advertised
            for other in others
        ),
    )


def _device(held: HeldSubscription) -> str | None:
    """The address that was asked, or is to be."""
    if held.device_host is not None:
        return held.device_host
    literal = address_of(urlsplit(held.event_url).hostname or "")
    if literal is not None:
        return str(literal)
    return None if held.remote is None else held.remote.host


def _ago(now: float, then: float | None) -> float | None:
    return None if then is None else now - then


def _since(then: float | None, asked_at: float) -> bool:
    return then is not None and then >= asked_at


def _refused(
    held: HeldSubscription, callers: Callers | None, device: str | None, asked_at: float
) -> RefusedNotify | None:
    """The last request that was refused since the SUBSCRIBE, for the path that CALLBACK named or
    from the device."""
    if callers is None:
        return None
    for_path = callers.refused_for(held.path) if held.path else None
    host, caller = for_path or (device or "", callers.of(device or ""))
    if caller is None or not _since(caller.refused_at, asked_at):
        return None
    return RefusedNotify(host, caller.refused_status, caller.refused_reason)
