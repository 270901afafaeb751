"""Prints what control points do with a hosted device, for ``propchange host``."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from propchange import Limits
from propchange.cli.lines import GrantedFor, Source, StatusLine, now
from propchange.cli.output import LineFormat, Writer
from propchange.core import (
    Disowned,
    Expired,
    InitialEventDelivered,
    Merged,
    MessageAbandoned,
    Refused,
    Renewed,
    Subscribed,
    Unsubscribed,
)
from propchange.driver.reporting import LineRate

_LINES = replace(Limits(), log_lines=1_000, log_line_seconds=0.1)
"""Lines of one status: a thousand at once, then ten a second, so that a peer cannot fill a disk.
Tests of control points with a thousand subscriptions see each one."""

_SIDS_KEPT = 8_192
"""SIDs whose service is remembered, twice as many as a publisher has subscriptions."""


class PublisherPrinter:
    """Prints the outcomes of a publisher to ``writer`` in ``form``.

    ``sources`` has the source of each event path. Give :meth:`tap` to the host. While the reader of
    ``writer`` stalls, lines are left out."""

    def __init__(self, writer: Writer, form: LineFormat) -> None:
        self._writer = writer
        self._form = form
        self._rate = LineRate(_LINES)
        self.sources: dict[str, Source] = {}
        self._sids: dict[str, Source] = {}

    def tap(self, passing: object) -> None:
        """For ``host(…, tap=…)``."""
        match passing:
            case Subscribed(sid, path, callbacks, peer, duration):
                self._remember(sid, path)
                who = peer.host if peer else "an unknown peer"
                reason = f"by {who}, with events to {' '.join(callbacks)}, SID {sid}"
                self._print(sid, "subscribed", reason, duration)
            case Renewed(sid, duration):
                self._print(sid, "renewed", f"SID {sid}", duration)
            case InitialEventDelivered(sid):
                self._print(sid, "delivered", f"the initial event, SID {sid}")
            case Unsubscribed(sid):
                self._print(sid, "unsubscribed", f"SID {sid}")
                self._sids.pop(sid, None)
            case Expired(sid):
                self._print(sid, "expired", f"it was not renewed, SID {sid}")
                self._sids.pop(sid, None)
            case Disowned(sid):
                self._print(sid, "disowned", f"an event was answered 412, SID {sid}")
                self._sids.pop(sid, None)
            case MessageAbandoned(sid, seq, reason):
                self._print(sid, "undelivered", f"the event with SEQ {seq}: {reason}, SID {sid}")
            case Merged(sid, seq, updates):
                reason = f"{updates} events into SEQ {seq}: the subscriber is behind, SID {sid}"
                self._print(sid, "merged", reason)
            case Refused(path, peer, status, reason, clause):
                who = peer.host if peer else "an unknown peer"
                where = f" ({clause})" if clause else ""
                reason = f"{who} was answered {status}: {reason}{where}"
                self._put(self.sources.get(path), "refused", reason)

    def _remember(self, sid: str, path: str) -> None:
        if path in self.sources:
            self._sids[sid] = self.sources[path]
            if len(self._sids) > _SIDS_KEPT:
                del self._sids[next(iter(self._sids))]

    def _print(self, sid: str, status: str, reason: str, duration: int | None = None) -> None:
        grant = None
        if duration is not None:
            grant = GrantedFor(sid, duration, now() + timedelta(seconds=duration))
        self._put(self._sids.get(sid), status, reason, grant)

    def _put(
        self, source: Source | None, status: str, reason: str, grant: GrantedFor | None = None
    ) -> None:
        if self._writer.is_full:
            return
        left_out = self._rate.admit(status)
        if left_out is not None:
            line = StatusLine(now(), source, status, reason + left_out, grant)
            self._writer.put(self._form.status(line))
