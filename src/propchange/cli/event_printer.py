"""Prints the events and statuses of subscriptions, for ``watch`` and ``demo``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from datetime import timedelta
from math import inf
from typing import Any

from propchange import (
    DescriptionError,
    Event,
    MulticastEvent,
    PropchangeError,
    Request,
    Response,
    Status,
    Subscription,
    SubscriptionRefused,
)
from propchange.cli.event_table import EventTable
from propchange.cli.exit_status import CommandFailed
from propchange.cli.lines import (
    DeviceLine,
    DiagnosisLine,
    EndLine,
    EventLine,
    GrantedFor,
    MulticastLine,
    ProblemLine,
    Source,
    StatusLine,
    now,
)
from propchange.cli.output import LineFormat, Writer
from propchange.cli.terminal import TerminalLines
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
"""Subscriptions, with the names of their services in the output."""

FindAgain = Callable[[Source, Exception], Coroutine[Any, Any, Wanted]]


async def _fail(source: Source, error: Exception) -> Wanted:
    raise error


def _nothing() -> None:
    pass


_KEPT_BYTES = 4_194_304
"""Bytes of NOTIFY bodies that are kept until their events are printed. Above that, the oldest are
dropped, and their events are printed without the NOTIFY."""

_REFUSALS_PRINTED = 64
"""Different refused requests that are printed. An attacker can send any number of them."""

_PROBLEMS_PRINTED = 1_024
"""Different problems of devices that are printed at most. A device chooses the words of some."""

_PATHS_KEPT = 16_384
"""Delivery paths whose service is remembered. Each fresh subscription has a new path; a control
point has 4,096 subscriptions at most."""


class EventPrinter:
    """Prints the events and statuses of subscriptions to ``writer`` in ``form``.

    ``count``: end after this many events. ``messages``: print each event with its NOTIFY.
    ``lines_at_end``: the form of the lines after the table.
    Give :meth:`tap` to the control point and call :meth:`run`.
    """

    def __init__(
        self,
        writer: Writer,
        form: LineFormat | EventTable,
        *,
        count: int | None = None,
        messages: bool = False,
        lines_at_end: LineFormat | None = None,
    ) -> None:
        self._writer = writer
        self._form = form
        if lines_at_end is None:
            assert not isinstance(form, EventTable)
            lines_at_end = form
        self._lines_at_end = lines_at_end
        self._left = inf if count is None else count
        self._keep_messages = messages
        self.find_again: FindAgain = _fail
        """Called with the source of a service that cannot be subscribed to, and the error. Returns
        the subscriptions to print instead, or raises the error to print."""
        self.failed: dict[Source, str] = {}
        """Why services could not be subscribed to, if that was printed and they are tried again.
        The same reason is not printed again."""
        self.ending: Callable[[], object] = _nothing
        """Called before the output ends because enough events have come."""
        self._begun = False
        self._group: asyncio.TaskGroup | None = None
        # The subscriptions that are printed: until they are granted, and from then on.
        self._asking: dict[Subscription, Source] = {}
        self._sources: dict[SubscriptionRecord, Source] = {}
        # Granted subscriptions that the control point closes in the end.
        self._left_to_close: dict[SubscriptionRecord, Source] = {}
        self._granted: set[SubscriptionRecord] = set()
        self._failures: list[tuple[Source, Exception]] = []
        self._refusals: set[tuple[Source | None, str]] = set()
        self._problems: set[tuple[str, str]] = set()
        self._paths: dict[str, Source] = {}
        self._last_request: Request | None = None
        self._messages: dict[tuple[bytes, bytes], Request] = {}
        self._kept_bytes = 0

    async def run(
        self,
        wanted: Sequence[tuple[Source, Coroutine[Any, Any, Wanted]]],
        seconds: float | None = None,
    ) -> None:
        """Find the ``wanted`` subscriptions, enter them and print until ``count`` events have come,
        ``seconds`` have passed or the output has ended. The control point closes the subscriptions,
        all at once. The source in each item of ``wanted`` names it in the output until it is found.

        A target that cannot be found, and a service that cannot be subscribed to, get a status
        line. If no service can be subscribed to, the first error is raised, a PropchangeError or
        CommandFailed. Raises CommandFailed if the output cannot be written."""
        await self._writer.run(self._print_all(wanted), seconds)

    async def _print_all(
        self, wanted: Sequence[tuple[Source, Coroutine[Any, Any, Wanted]]]
    ) -> None:
        async with asyncio.TaskGroup() as self._group:
            for source, finding in wanted:
                self.start(self._find(source, finding))
        if self._failures:
            raise self._failures[0][1]

    async def run_with(
        self, works: Iterable[Coroutine[Any, Any, None]], seconds: float | None = None
    ) -> None:
        """Run ``works``, which call :meth:`start` and :meth:`add`, until all has ended, as
        :meth:`run` does. Raises what they raise."""
        await self._writer.run(self._run_all(works), seconds)

    async def _run_all(self, works: Iterable[Coroutine[Any, Any, None]]) -> None:
        failed: Exception | None = None
        try:
            async with asyncio.TaskGroup() as self._group:
                for work in works:
                    self.start(work)
        except* (PropchangeError, CommandFailed) as errors:
            failed = errors.exceptions[0]
        # Python before 3.11.4 makes a group of what is raised inside of ``except*``.
        if failed is not None:
            raise failed

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run ``work`` beside the printing, until it ends or the printing does."""
        assert self._group is not None
        return self._group.create_task(work)

    def add(self, source: Source, subscription: Subscription) -> asyncio.Task[None]:
        """Enter ``subscription`` and print it too."""
        return self.start(self._print_updates(source, subscription))

    async def _find(self, source: Source, finding: Coroutine[Any, Any, Wanted]) -> None:
        try:
            found = await finding
        except (PropchangeError, CommandFailed) as error:
            self._fail(source, error)
            return
        self.begin(each for each, _ in found)
        for each, subscription in found:
            self.add(each, subscription)

    async def _print_updates(self, source: Source, subscription: Subscription) -> None:
        self._asking[subscription] = source
        try:
            await subscription.__aenter__()
        except (PropchangeError, ValueError) as error:
            if isinstance(error, ValueError):
                error = DescriptionError(f"the event URL of {source.service}: {error}")
            self._forget(subscription)
            await self._find(source, self.find_again(source, error))
            return
        try:
            await self._print_entered(source, subscription)
        finally:
            self._forget(subscription)

    def _forget(self, subscription: Subscription) -> None:
        self._asking.pop(subscription, None)
        with contextlib.suppress(RuntimeError):  # not entered
            record = subscription.record
            source = self._sources.pop(record, None)
            if (
                source is not None
                and record in self._granted
                and record.status is not Status.CLOSED
            ):
                self._left_to_close[record] = source
            self._granted.discard(record)

    async def _print_entered(self, source: Source, subscription: Subscription) -> None:
        is_lost = False
        described = self._describe(source, subscription)
        async for update in subscription.updates():
            described = described or self._describe(source, subscription)
            if isinstance(update, Event):
                for problem in update.problems:
                    self.problem(source, problem)
                self._event(source, update)
            elif update.status is Status.SUBSCRIBING and self._is_known(source, update.reason):
                continue
            elif update.status is not Status.CLOSED:
                self.failed.pop(source, None)
                status = update.status.value
                if update.status is Status.RESUBSCRIBING and not is_lost:
                    is_lost, status = True, "lost"
                elif update.status is Status.ACTIVE:
                    is_lost = False
                self.status(source, status, update.reason, cause=update.cause.value)
                if update.status is Status.DEAF:
                    self.start(self._diagnose(source, subscription))
            await self._writer.room()

    def _is_known(self, source: Source, reason: str) -> bool:
        return source in self.failed and self.failed[source].endswith(reason)

    def _describe(self, source: Source, subscription: Subscription) -> bool:
        """Print the problems of the service description. False if that was not read yet."""
        service, record = subscription.service, subscription.record
        if service is None:
            return True
        if record.grant is None:
            return False
        if record.convert is None:
            self.status(source, "untyped", "no service description: the values are texts")
        for problem in service.problems:
            self.problem(source, problem)
        return True

    def _fail(self, source: Source, error: Exception) -> None:
        self._failures.append((source, error))
        self._print_failures()

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
                source = self._source_of(record)
                if source is not None:
                    self._granted.add(record)
                    self._remember_path(record, source)
                self._grant(record, status, sid, duration, f", SID {sid}")
                self._print_failures()
            case RenewalAnswered(record, sid, duration):
                self._grant(record, "renewed", sid, duration)
            case RenewalFailed(record, reason):
                self.status(self._source_of(record), "renewal-failed", reason)
            case SeqUnreliable(record):
                reason = "the device does not count SEQ: a missed event cannot be noticed"
                self.status(self._source_of(record), "seq-unreliable", reason)
            case ForeignSource(record, host, refused):
                verb = "refused" if refused else "accepted"
                reason = f"events from {host} instead of {record.device_host} are {verb}"
                self.status(self._source_of(record), "foreign-source", reason)
            case NotifyRefused(peer, target, status, reason):
                host = peer.host if peer else "an unknown peer"
                refusal = f"{host} was answered {status}: {reason}"
                source = self._source_at(target)
                key = (source, refusal)
                if key not in self._refusals and len(self._refusals) < _REFUSALS_PRINTED:
                    self._refusals.add(key)
                    self.status(source, "notify-refused", refusal)

    def _source_of(self, record: SubscriptionRecord) -> Source | None:
        source = self._sources.get(record)
        if source is not None:
            return source
        for subscription, source in self._asking.items():
            with contextlib.suppress(RuntimeError):  # not entered yet
                if subscription.record is record:
                    del self._asking[subscription]
                    self._sources[record] = source
                    return source
        return None

    def _source_at(self, path: str) -> Source | None:
        """The service that has or had the delivery path ``path``."""
        if path in self._paths:
            return self._paths[path]
        for subscription, source in self._asking.items():
            with contextlib.suppress(RuntimeError):  # not entered yet
                if subscription.record.path == path:
                    return source
        return None

    def _remember_path(self, record: SubscriptionRecord, source: Source) -> None:
        if record.path:
            self._paths[record.path] = source
            if len(self._paths) > _PATHS_KEPT:
                del self._paths[next(iter(self._paths))]

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

    # --- the end ---

    @contextlib.asynccontextmanager
    async def saying_what_was_closed(self) -> AsyncIterator[None]:
        """Leave it after the control point is closed: prints, on a terminal, the services that it
        has unsubscribed from, and those whose device did not answer."""
        try:
            yield
        finally:
            services: dict[tuple[str, str], list[str]] = {}
            for record, source in self._left_to_close.items():
                services.setdefault((source.device, record.status_reason), []).append(
                    source.service
                )
            if isinstance(self._lines_at_end, TerminalLines):
                for (device, reason), names in services.items():
                    line = EndLine(now(), device, names, reason)
                    self._writer.put(self._lines_at_end.ended(line))

    # --- lines ---

    def begin(self, sources: Iterable[Source]) -> None:
        """Print the head, once, with room for the names of ``sources``."""
        if not self._begun:
            self._begun = True
            self._writer.put(self._form.begin(sources))

    def _put(self, line: str) -> None:
        self.begin(())
        self._writer.put(line)

    def _event(self, source: Source, event: Event) -> None:
        if self._left:
            message = self._take_message(event)
            self._put_event(self._form.event(EventLine(now(), source, event, message)))

    def multicast(self, source: Source, event: MulticastEvent) -> None:
        """Print a multicast event. It counts as an event."""
        if self._left:
            self._put_event(self._lines_at_end.multicast(MulticastLine(now(), source, event)))

    def _put_event(self, lines: str) -> None:
        self._left -= 1
        self._put(lines)
        if not self._left:
            self.ending()
            self._writer.end()

    async def _diagnose(self, source: Source, subscription: Subscription) -> None:
        diagnosis = await subscription.diagnose()
        self._put(self._form.diagnosis(DiagnosisLine(now(), source, diagnosis)))

    def device(self, line: DeviceLine) -> None:
        """Print a device that has appeared, changed or gone."""
        self._put(self._form.device(line))

    def problem(self, source: Source, problem: str) -> None:
        """Print ``problem``, once for each device."""
        key = (source.udn or source.device, problem)
        if key not in self._problems and len(self._problems) < _PROBLEMS_PRINTED:
            self._problems.add(key)
            self._put(self._form.problem(ProblemLine(now(), source, problem)))

    def _grant(
        self,
        record: SubscriptionRecord,
        status: str,
        sid: str,
        duration: float,
        more: str = "",
    ) -> None:
        grant, reason = GrantedFor(sid), "without an end"
        if duration != inf:
            grant = GrantedFor(sid, duration, now() + timedelta(seconds=duration))
            reason = f"{duration:g} s"
        self.status(self._source_of(record), status, reason + more, grant)

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
        grant: GrantedFor | None = None,
        *,
        cause: str = "",
    ) -> None:
        """Print a status line. The arguments are those of :class:`.StatusLine`."""
        line = StatusLine(now(), source, status, reason, grant, cause)
        self._put(self._form.status(line))
