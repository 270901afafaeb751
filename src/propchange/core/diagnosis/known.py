"""The facts of a diagnosis that the protocol itself knows."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from urllib.parse import urlsplit

from propchange.core.diagnosis.facts import Facts, RefusedNotify
from propchange.core.limits import Limits
from propchange.core.local_addresses import LocalAddress, address_of
from propchange.core.subscriber.connection_history import AddressHistory, ConnectionHistory
from propchange.core.subscriber.events import Status
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.subscriber.record import FailedAttempt, SubscriptionRecord

__all__ = ["known_facts"]


def known_facts(
    record: SubscriptionRecord,
    now: float,
    *,
    asked_at: float | None,
    policy: SubscriberPolicy,
    limits: Limits,
    addresses: tuple[LocalAddress, ...],
    callers: ConnectionHistory | None,
    others: Iterable[SubscriptionRecord],
) -> Facts:
    """The facts about ``record`` that need no access to the network.

    ``asked_at`` is when the pending request was sent, None without one. ``callers`` is None if the
    listener does not record connections. ``others`` are the subscriptions of the same listener.

    For a deaf subscription, the facts are about the first address that was tried: the system's
    choice."""
    granted_asked_at, granted_at = record.asked_at, record.granted_at
    advertised = record.advertised_endpoint
    since, heard, empty, turned_away = granted_asked_at, False, 0, 0
    if record.status is Status.DEAF and record.deafness is not None:
        granted_asked_at, granted_at, advertised, heard, empty, turned_away = record.deafness
        # Connections to another address, while that is tried, are no facts about the first.
        since = record.asked_at if record.advertised_endpoint == advertised else inf
    failure = (granted_at is None and record.failure) or FailedAttempt("", 0)
    device = _device(record)
    caller = None if callers is None or device is None else callers.of(device) or AddressHistory()
    tried = [
        str(source._replace(port=advertised.port))
        for source in record.sources.in_vain
        if advertised is not None and source.host != advertised.host
    ]
    return Facts(
        event_url=record.event_url,
        status=record.status,
        # The reason of DEAF is a diagnosis itself.
        reason="" if record.status is Status.DEAF else record.status_reason,
        device=device,
        asked_for=_ago(now, asked_at),
        failure=failure.reason,
        failure_status=failure.status,
        sid=record.sid,
        granted_for=_ago(now, granted_at),
        duration=record.duration_granted,
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
        refused=_refused(record, callers, device, granted_asked_at),
        slow=record.slow,
        last_event_ago=_ago(now, record.last_event_at),
        others_hear=any(
            other is not record
            and other.status is Status.ACTIVE
            and other.device_host == device
            and other.advertised_endpoint == advertised
            for other in others
        ),
    )


def _device(record: SubscriptionRecord) -> str | None:
    """The address that SUBSCRIBE was sent to, or will be."""
    if record.device_host is not None:
        return record.device_host
    literal = address_of(urlsplit(record.event_url).hostname or "")
    if literal is not None:
        return str(literal)
    return None if record.remote is None else record.remote.host


def _ago(now: float, then: float | None) -> float | None:
    return None if then is None else now - then


def _since(then: float | None, asked_at: float) -> bool:
    return then is not None and then >= asked_at


def _refused(
    record: SubscriptionRecord,
    callers: ConnectionHistory | None,
    device: str | None,
    asked_at: float,
) -> RefusedNotify | None:
    """The last request that was refused since the SUBSCRIBE, for the path that CALLBACK named or
    from the device."""
    if callers is None:
        return None
    for_path = callers.refused_for(record.path) if record.path else None
    host, caller = for_path or (device or "", callers.of(device or ""))
    if caller is None or not _since(caller.refused_at, asked_at):
        return None
    return RefusedNotify(host, caller.refused_status, caller.refused_reason)
