"""Prints the events and statuses of subscriptions, for ``watch`` and ``demo``."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime, timedelta
from math import inf

from propchange import (
    DescriptionError,
    Event,
    PropchangeError,
    Request,
    Response,
    Status,
    Subscription,
    SubscriptionRefused,
)
from propchange.cli.lines import DiagnosisLine, EventLine, Source, StatusLine, now
from propchange.cli.output import LineFormat, Writer
from propchange.core import (
    ForeignSource,
    Granted,
    NotifyRefused,
    RenewalAnswered,
    RenewalFailed,
    SeqUnreliable,
    SubscriptionRecord,
)

Wanted = list[tuple[Source, Subscription]]

_KEPT_BYTES = 4_194_304
"""Bytes of NOTIFY bodies that are kept until their events are printed. Above that, the oldest are
dropped, and their events are printed without the NOTIFY."""

_REFUSALS_PRINTED = 64
"""Different refused requests that are printed. An attacker can send any number of them."""


class EventPrinter:
    """Prints the events and statuses of subscriptions to ``writer`` in ``form``.

    ``count``: end after this many events. ``messages``: print each event with its NOTIFY.
    Give :meth:`tap` to the control point and call :meth:`run`.
    """

    def __init__(
        self, writer: Writer, form: LineFormat, *, count: int | None = None, messages: bool = False
    ) -> None:
        self._writer = writer
        self._form = form
        self._left = inf if count is None else count
        self._keep_messages = messages
        self._wanted: Wanted = []
        self._granted: set[SubscriptionRecord] = set()
        self._failures: list[tuple[Source, PropchangeError]] = []
        self._refusals: set[str] = set()
        self._last_request: Request | None = None
        self._messages: dict[tuple[bytes, bytes], Request] = {}
        self._kept_bytes = 0

    async def run(self, wanted: Wanted, seconds: float | None = None) -> None:
        """Enter the subscriptions and print until ``count`` events have come, ``seconds`` have
        passed or the output has ended. The control point closes the subscriptions, all at once.

        A service that cannot be subscribed to gets a status line. If no service can be, the
        PropchangeError of the first is raised. Raises CommandFailed if the output cannot be
        written."""
        self._wanted = wanted
        await self._writer.run(self._print_all(), seconds)

    async def _print_all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for source, subscription in self._wanted:
                group.create_task(self._print_updates(group, source, subscription))
        if self._failures:
            raise self._failures[0][1]

    async def _print_updates(
        self, group: asyncio.TaskGroup, source: Source, subscription: Subscription
    ) -> None:
        try:
            await subscription.__aenter__()
        except (PropchangeError, ValueError) as error:
            if isinstance(error, ValueError):
                error = DescriptionError(f"the event URL of {source.service}: {error}")
            self._failures.append((source, error))
            self._print_failures()
            return
        if subscription.service is not None and subscription.record.convert is None:
            self.status(source, "untyped", "no service description: the values are texts")
        is_lost = False
        async for update in subscription.updates():
            if isinstance(update, Event):
                self._event(source, update)
            elif update.status is not Status.CLOSED:
                status = update.status.value
                if update.status is Status.RESUBSCRIBING and not is_lost:
                    is_lost, status = True, "lost"
                elif update.status is Status.ACTIVE:
                    is_lost = False
                self.status(source, status, update.reason, cause=update.cause.value)
                if update.status is Status.DEAF:
                    group.create_task(self._diagnose(source, subscription))
            await self._writer.room()

    # --- the tap of the control point ---

    def tap(self, passing: object) -> None:
        """For ``ControlPoint(tap=…)``: prints outcomes that no update of a subscription reports,
        and keeps NOTIFYs as received."""
        match passing:
            case Request(method="NOTIFY"):
                self._last_request = passing if self._keep_messages else None
            case Response(status=200) if self._last_request is not None:
                self._keep(self._last_request)
                self._last_request = None
            case Granted(record, sid, duration):
                status = "resubscribed" if record in self._granted else "granted"
                self._granted.add(record)
                self._grant(record, status, duration, f", SID {sid}")
                self._print_failures()
            case RenewalAnswered(record, _, duration):
                self._grant(record, "renewed", duration)
            case RenewalFailed(record, reason):
                self.status(self._source_of(record), "renewal-failed", reason)
            case SeqUnreliable(record):
                reason = "the device does not count SEQ: a missed event cannot be noticed"
                self.status(self._source_of(record), "seq-unreliable", reason)
            case ForeignSource(record, host, refused):
                verb = "refused" if refused else "accepted"
                reason = f"events from {host} instead of {record.device_host} are {verb}"
                self.status(self._source_of(record), "foreign-source", reason)
            case NotifyRefused(peer, _, status, reason):
                host = peer.host if peer else "an unknown peer"
                refusal = f"{host} was answered {status}: {reason}"
                if refusal not in self._refusals and len(self._refusals) < _REFUSALS_PRINTED:
                    self._refusals.add(refusal)
                    self.status(None, "notify-refused", refusal)

    def _source_of(self, record: SubscriptionRecord) -> Source | None:
        for source, subscription in self._wanted:
            with contextlib.suppress(RuntimeError):  # not entered yet
                if subscription.record is record:
                    return source
        return None

    def _keep(self, message: Request) -> None:
        key = (message.fields.get(b"sid", b""), message.fields.get(b"seq", b""))
        self._messages[key] = message
        self._kept_bytes += len(message.body)
        while self._kept_bytes > _KEPT_BYTES:
            oldest = self._messages.pop(next(iter(self._messages)))
            self._kept_bytes -= len(oldest.body)

    def _take_message(self, event: Event) -> Request | None:
        seq = b"" if event.seq is None else str(event.seq).encode("ascii")
        message = self._messages.pop((event.sid.encode("latin-1"), seq), None)
        if message is not None:
            self._kept_bytes -= len(message.body)
        return None if event.merged else message

    # --- lines ---

    def _event(self, source: Source, event: Event) -> None:
        if not self._left:
            return
        self._left -= 1
        message = self._take_message(event)
        self._writer.put(self._form.event(EventLine(now(), source, event, message)))
        if not self._left:
            self._writer.end()

    async def _diagnose(self, source: Source, subscription: Subscription) -> None:
        diagnosis = await subscription.diagnose()
        self._writer.put(self._form.diagnosis(DiagnosisLine(now(), source, diagnosis)))

    def _grant(
        self, record: SubscriptionRecord, status: str, duration: float, more: str = ""
    ) -> None:
        until, reason = None, "without an end"
        if duration != inf:
            until, reason = now() + timedelta(seconds=duration), f"{duration:g} s"
        self.status(self._source_of(record), status, reason + more, until)

    def _print_failures(self) -> None:
        """Print the services that cannot be subscribed to, unless that is all of them."""
        if self._granted:
            for source, error in self._failures:
                status = "refused" if isinstance(error, SubscriptionRefused) else "failed"
                self.status(source, status, str(error))
            self._failures.clear()

    def status(
        self,
        source: Source | None,
        status: str,
        reason: str,
        until: datetime | None = None,
        *,
        cause: str = "",
    ) -> None:
        """Print a status line. The arguments are those of :class:`.StatusLine`."""
        line = StatusLine(now(), source, status, reason, until, cause)
        self._writer.put(self._form.status(line))
