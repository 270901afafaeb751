"""``propchange watch``: print the events of a device's services."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TextIO
from urllib.parse import urlsplit

from propchange.asyncio.control_point import ControlPoint
from propchange.asyncio.remote import RemoteDevice, RemoteService
from propchange.asyncio.subscription import Subscription
from propchange.cli.diagnosing import diagnose_all, write_diagnoses
from propchange.cli.following import Follower
from propchange.cli.jsonlines import JSONLines
from propchange.cli.lines import LineFormat, Source
from propchange.cli.running import CommandFailed
from propchange.cli.terminal import TerminalLines
from propchange.cli.writing import Writer
from propchange.errors import (
    ConnectionFailed,
    DescriptionError,
    PropchangeError,
    RemoteProtocolError,
    SubscriptionRefused,
)

__all__ = ["WatchOptions", "output", "sources_of", "watch"]

Wanted = list[tuple[Source, Subscription]]


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
    """Print events until ``options.count`` of them have come, or for ever; or, with
    ``options.diagnose``, whether events come and why not.

    Raises CommandFailed or a PropchangeError with a sentence for the user."""
    if options.diagnose:
        await _diagnose(options)
        return
    writer, form = output(sys.stdout, json=options.json, raw=options.raw)
    async with writer:
        follower = Follower(
            writer,
            form,
            count=options.count,
            keep_messages=options.raw and isinstance(form, TerminalLines),
        )
        async with _control_point(options, follower.tap) as control_point:
            await _watch(control_point, follower, writer, form, options)


def _control_point(
    options: WatchOptions, tap: Callable[[object], None] | None = None
) -> ControlPoint:
    return ControlPoint(
        port=options.port or options.callback_port or 0,
        callback_host=options.callback_host,
        callback_port=options.callback_port,
        duration=options.duration,
        discovery=_is_udn(options.url),
        tap=tap,
    )


async def _device(control_point: ControlPoint, url: str) -> RemoteDevice:
    return await (control_point.device(udn=url) if _is_udn(url) else control_point.device(url))


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
            # Whatever is the matter with it, a subscription to it finds out.
            wanted = [(_source_of(url), control_point.subscribe_url(url, wait=False))]
        found = await diagnose_all(control_point, wanted)
    as_json = options.json or not is_terminal(sys.stdout)
    write_diagnoses(sys.stdout, url, found, as_json=as_json)


def _source_of(url: str) -> Source:
    """How an event URL without a description is called: by its two halves."""
    parts = urlsplit(url)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    return Source(parts.netloc, path or "/")


async def _watch(
    control_point: ControlPoint,
    follower: Follower,
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
        # A connection that was never made is no sign of an event URL.
        if isinstance(error.__cause__, OSError):
            raise
        if options.services:
            raise CommandFailed(
                f"--service needs the URL of a device description, and {url} is none: {error}"
            ) from error
        not_a_description = error
        wanted = [(_source_of(url), control_point.subscribe_url(url))]
    for source, _ in wanted:
        form.expect(source)
    writer.put(form.begin())
    try:
        await follower.follow(wanted)
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
    """Subscriptions to the services that are called so, or to all that send events."""
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
    """How the services of ``device`` are called in the output: by their short name, or their
    serviceId where another one has the same short name."""
    alike = Counter(service.name for service in device.services)
    called = device.friendly_name or device.udn or device.url
    return {
        service: Source(called, service.name if alike[service.name] == 1 else service.service_id)
        for service in device.services
    }


def is_terminal(stream: TextIO | None) -> bool:
    """Whether somebody looks at ``stream``."""
    return stream is not None and stream.isatty()


def output(stream: TextIO | None, *, json: bool, raw: bool = False) -> tuple[Writer, LineFormat]:
    """What writes to ``stream``, and in which form: JSON Lines when asked for, and wherever it
    is not a terminal."""
    if json or stream is None or not is_terminal(stream):
        # JSON is UTF-8, whatever the terminal would be.
        return Writer(stream, encoding="utf-8"), JSONLines(raw=raw)
    return Writer(stream), TerminalLines(stream, raw=raw)
