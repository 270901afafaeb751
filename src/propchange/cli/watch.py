"""``propchange watch``: print the events of a device's services, or with ``--diagnose`` say whether
they arrive and why not."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TextIO
from urllib.parse import urlsplit

from propchange import (
    ConnectionFailed,
    ControlPoint,
    DescriptionError,
    PropchangeError,
    RemoteDevice,
    RemoteProtocolError,
    RemoteService,
    Status,
    StatusChange,
    Subscription,
    SubscriptionRefused,
)
from propchange.cli.event_printer import EventPrinter
from propchange.cli.exit_status import CommandFailed
from propchange.cli.jsonlines import JSONLines, diagnosis_object, json_line
from propchange.cli.lines import DiagnosisLine, Source, escape, now
from propchange.cli.output import LineFormat, Writer, output
from propchange.cli.terminal import TerminalLines

__all__ = ["WatchOptions", "sources_of", "watch", "write_diagnoses"]

Wanted = list[tuple[Source, Subscription]]

_SPARE_SECONDS = 1.0
"""Added to the time that a SUBSCRIBE and an initial event may take together."""


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """The command line of ``propchange watch``."""

    url: str
    services: Sequence[str] = ()
    json: bool = False
    raw: bool = False
    count: int | None = None
    port: Sequence[int] | None = None
    callback_host: str | None = None
    callback_port: int | None = None
    duration: int = 1800
    diagnose: bool = False


async def watch(options: WatchOptions) -> None:
    """Print events until ``options.count`` of them have come, or without an end. With
    ``options.diagnose``: print the diagnoses instead.

    Raises CommandFailed or a PropchangeError with a sentence for the user."""
    if options.diagnose:
        await _diagnose(options)
        return
    writer, form = output(sys.stdout, json=options.json, raw=options.raw)
    async with writer:
        printer = EventPrinter(
            writer,
            form,
            count=options.count,
            keep_messages=options.raw and isinstance(form, TerminalLines),
        )
        async with _control_point(options, printer.tap) as control_point:
            await _watch(control_point, printer, writer, form, options)


def _control_point(
    options: WatchOptions, tap: Callable[[object], None] | None = None
) -> ControlPoint:
    try:
        return ControlPoint(
            port=options.port or options.callback_port or 0,
            callback_host=options.callback_host and options.callback_host.strip("[]"),
            callback_port=options.callback_port,
            duration=options.duration,
            discovery=_is_udn(options.url),
            tap=tap,
        )
    except ValueError as error:
        raise CommandFailed(str(error), status=2) from error


async def _device(control_point: ControlPoint, url: str) -> RemoteDevice:
    return await (control_point.device(udn=url) if _is_udn(url) else control_point.device(url))


def _source_of(url: str) -> Source:
    """The name of an event URL without a description: its two halves."""
    parts = urlsplit(url)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    return Source(parts.netloc, path or "/")


async def _watch(
    control_point: ControlPoint,
    printer: EventPrinter,
    writer: Writer,
    form: LineFormat,
    options: WatchOptions,
) -> None:
    url = options.url
    not_a_description: Exception | None = None
    try:
        wanted = _of_device(await _device(control_point, url), options.services)
    except ValueError as error:
        raise CommandFailed(str(error), status=2) from error
    except (DescriptionError, RemoteProtocolError, ConnectionFailed) as error:
        # Without a connection, nothing shows that this is an event URL.
        if isinstance(error.__cause__, OSError):
            raise
        if options.services:
            raise CommandFailed(
                f"--service needs the URL of a device description; {url} is none: {error}"
            ) from error
        not_a_description = error
        wanted = [(_source_of(url), control_point.subscribe_url(url))]
    for source, _ in wanted:
        form.expect(source)
    writer.put(form.begin())
    try:
        await printer.run(wanted)
    except PropchangeError as error:
        if not_a_description is None:
            raise
        tried = str(error)
        if isinstance(error, SubscriptionRefused):
            tried = f"SUBSCRIBE was answered with {error.status}"
        raise CommandFailed(
            f"{url} is neither the URL of a device description ({not_a_description}) "
            f"nor an event URL ({tried})"
        ) from error


def _is_udn(url: str) -> bool:
    return url[:5].lower() == "uuid:"


def _of_device(device: RemoteDevice, names: Sequence[str], *, wait: bool = True) -> Wanted:
    """Subscriptions to the services with these names, or to all that send events."""
    evented = [service for service in device.services if service.event_url]
    chosen = evented
    if names:
        try:
            chosen = list(dict.fromkeys(device[name] for name in names))
        except LookupError as error:
            raise CommandFailed(str(error.args[0])) from error
        for service in chosen:
            if service not in evented:
                others = ", ".join(other.name for other in evented) or "none"
                problem = service.description.event_url_problem
                raise CommandFailed(
                    f"{service.name} of {device.friendly_name} "
                    f"{f'cannot be subscribed to: {problem}' if problem else 'sends no events'}; "
                    f"services that do: {others}"
                )
    if not chosen:
        there = ", ".join(service.name for service in device.services) or "none"
        problems = [s.description.event_url_problem for s in device.services]
        raise CommandFailed(
            "; ".join(
                (
                    f"no service of {device.friendly_name} sends events",
                    f"there are: {there}",
                    *filter(None, problems),
                )
            )
        )
    sources = sources_of(device)
    return [(sources[service], service.subscribe(wait=wait)) for service in chosen]


def sources_of(device: RemoteDevice) -> dict[RemoteService, Source]:
    """The names of the services of ``device`` in the output: the short name, or the serviceId
    where two services have the same short name."""
    counts = Counter(service.name for service in device.services)
    name = device.friendly_name or device.udn or device.url
    return {
        service: Source(name, service.name if counts[service.name] == 1 else service.service_id)
        for service in device.services
    }


# --- --diagnose ---


async def _diagnose(options: WatchOptions) -> None:
    url = options.url
    async with _control_point(options) as control_point:
        try:
            device = await _device(control_point, url)
            wanted = _of_device(device, options.services, wait=False)
        except ValueError as error:
            raise CommandFailed(str(error), status=2) from error
        except PropchangeError:
            if _is_udn(url):
                raise
            # A subscription to the URL finds out why it is no description.
            wanted = [(_source_of(url), control_point.subscribe_url(url, wait=False))]
        found = await _diagnose_all(control_point, wanted)
    _, form = output(sys.stdout, json=options.json)
    write_diagnoses(sys.stdout, url, found, as_json=isinstance(form, JSONLines))


async def _diagnose_all(control_point: ControlPoint, wanted: Wanted) -> list[DiagnosisLine]:
    """Enter the subscriptions, wait for an event of each, and diagnose them.

    Each must be made with ``wait=False``. The wait ends early with a status other than ACTIVE, and
    at the latest after the time that a SUBSCRIBE and an initial event may take. Raises
    CommandFailed for an event URL that cannot be used."""
    limits = control_point.limits
    seconds = limits.request_seconds + limits.initial_event_seconds + _SPARE_SECONDS

    async def one(source: Source, subscription: Subscription) -> DiagnosisLine:
        try:
            await subscription.__aenter__()
        except ValueError as error:
            raise CommandFailed(f"the event URL of {source.service}: {error}") from error
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                async for update in subscription.updates():
                    if isinstance(update, StatusChange) and update.status is not Status.ACTIVE:
                        break
                    if subscription.last_event_in is not None:
                        break
        diagnosis = await subscription.diagnose()
        return DiagnosisLine(now(), source, diagnosis)

    return list(await asyncio.gather(*(one(*each) for each in wanted)))


def write_diagnoses(
    stream: TextIO | None, url: str, found: Sequence[DiagnosisLine], *, as_json: bool
) -> None:
    """Write the facts and verdicts to ``stream``: lines for people, or one JSON object.

    Raises CommandFailed after that, with the first diagnosis that is not well; also if ``stream``
    cannot be written."""
    bad = next((each for each in found if not each.diagnosis.well), None)
    if stream is not None:
        text = _as_json(url, found) if as_json else "".join(map(_as_lines, found))
        try:
            stream.write(text)
            stream.flush()
        except OSError as error:
            raise CommandFailed(f"cannot write the output: {error.strerror}") from error
    if bad is not None:
        of = f"{bad.source.service}: " if len(found) > 1 else ""
        raise CommandFailed(f"{of}{bad.diagnosis}")


def _as_json(url: str, found: Sequence[DiagnosisLine]) -> str:
    well = all(each.diagnosis.well for each in found)
    services = [each.source._asdict() | diagnosis_object(each.diagnosis) for each in found]
    return json_line({"url": url, "well": well, "services": services})


def _as_lines(each: DiagnosisLine) -> str:
    facts = [(escape(name), escape(fact)) for name, fact in each.diagnosis.facts.lines()]
    facts.append(("verdict", each.diagnosis.verdict.value))
    if each.diagnosis.well:
        facts.append(("", escape(str(each.diagnosis))))
    width = max(len(name) for name, _ in facts)
    lines = [f"{escape(each.source.device)} {escape(each.source.service)}"]
    lines += [f"  {name:{width}}  {fact}" for name, fact in facts]
    return "\n".join(lines) + "\n"
