"""``propchange watch``: print the events of a device's services, or with ``--diagnose`` say whether
they arrive and why not."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TextIO
from urllib.parse import urlsplit

import click

from propchange import (
    ConnectionFailed,
    ControlPoint,
    DescriptionError,
    PropchangeError,
    RemoteDevice,
    RemoteProtocolError,
    RemoteService,
    StatusChange,
    Subscription,
    SubscriptionRefused,
)
from propchange.cli.event_printer import EventPrinter, Wanted
from propchange.cli.exit_status import CommandFailed, run
from propchange.cli.jsonlines import JSONLines, diagnosis_object, json_line
from propchange.cli.lines import DiagnosisLine, Source, escape, now
from propchange.cli.output import output
from propchange.cli.terminal import TerminalLines
from propchange.driver.sockets import ports_of


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """The command line of ``propchange watch``."""

    url: str
    services: Sequence[str]
    json: bool
    raw: bool
    count: int | None
    diagnose: bool
    port: Sequence[int] | None
    callback_host: str | None
    callback_port: int | None
    duration: int

    @property
    def is_udn(self) -> bool:
        """Whether ``url`` is the UDN of a device."""
        return self.url[:5].lower() == "uuid:"

    @property
    def source(self) -> Source:
        """The name of ``url`` as an event URL without a description: its two halves."""
        parts = urlsplit(self.url)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        return Source(parts.netloc, path or "/")


def _ports(text: str) -> Sequence[int]:
    """``P`` or ``P-Q`` as the ports for :class:`propchange.ControlPoint`."""
    first, dash, last = text.partition("-")
    if not first.isdecimal() or not (last.isdecimal() or not dash):
        raise click.BadParameter("give a port or a range of ports, such as 49152 or 49152-49200")
    try:
        return ports_of(range(int(first), int(last or first) + 1))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command()
@click.argument("url")
@click.option(
    "--service",
    "services",
    multiple=True,
    metavar="NAME",
    help="Watch this service, by its short name, serviceId or type. Can be repeated. Without it, "
    "watch all services that send events.",
)
@click.option("--json", is_flag=True, help="Print JSON Lines, on a terminal too.")
@click.option(
    "--raw",
    is_flag=True,
    help="Print values as the texts received. On a terminal, print each NOTIFY too.",
)
@click.option(
    "--count", type=click.IntRange(min=1), help="End after this many events of all services."
)
@click.option(
    "--diagnose",
    is_flag=True,
    help="Say whether events arrive and, if not, why and what to do, with the facts. Then end. The "
    "exit status is 0 if events arrive, or if none are due.",
)
@click.option(
    "--port",
    metavar="P[-Q]",
    type=_ports,
    help="Receive events on this port, or on the first free port of this range: the one to open in "
    "a firewall. Without it, on any free port.",
)
@click.option(
    "--callback-host",
    metavar="H",
    help="Let devices send events to this address instead of the one that connects to them (NAT, "
    "containers).",
)
@click.option(
    "--callback-port",
    metavar="P",
    type=click.IntRange(1, 65535),
    help="Let devices send events to this port. Events are received on it too, unless --port is "
    "given.",
)
@click.option(
    "--duration",
    metavar="S",
    type=click.IntRange(1, 31_536_000),  # a year
    default=1800,
    show_default=True,
    help="Ask for this duration in TIMEOUT, in seconds. Subscriptions are renewed before it ends. "
    "It does not end watch.",
)
def watch(**options: Any) -> None:
    """Print the events of a device's services.

    Subscribes to the services, and prints the status of the subscriptions too.

    URL is the URL of a device description, an event URL, or the UDN of a device (uuid:…). A device
    with that UDN is searched for, and followed to a new address.

    Ctrl-C unsubscribes and ends with exit status 0, or 130 before --count is reached.
    """
    wanted = WatchOptions(**options)
    sys.exit(run(_watch(wanted), endless=wanted.count is None and not wanted.diagnose))


async def _watch(options: WatchOptions) -> None:
    """Print events until ``options.count`` of them have come, or without an end. With
    ``options.diagnose``: print the diagnoses instead.

    Raises CommandFailed or a PropchangeError with a sentence for the user."""
    if options.diagnose:
        await _diagnose(options)
        return
    url = options.url
    not_a_description: Exception | None = None
    writer, form = output(sys.stdout, json=options.json, raw=options.raw)
    messages = options.raw and isinstance(form, TerminalLines)
    printer = EventPrinter(writer, form, count=options.count, messages=messages)
    async with writer, _control_point(options, printer.tap) as control_point:
        try:
            wanted = await _of_device(control_point, options)
        except (DescriptionError, RemoteProtocolError, ConnectionFailed) as error:
            # Without a connection, nothing shows that this is an event URL.
            if isinstance(error.__cause__, OSError):
                raise
            if options.services:
                raise CommandFailed(
                    f"--service needs the URL of a device description, and {url} is not the URL "
                    f"of a device description: {error}"
                ) from error
            not_a_description = error
            wanted = [(options.source, control_point.subscribe_url(url))]
        writer.put(form.begin(source for source, _ in wanted))
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


def _control_point(
    options: WatchOptions, tap: Callable[[object], None] | None = None
) -> ControlPoint:
    try:
        return ControlPoint(
            port=options.port or options.callback_port or 0,
            callback_host=options.callback_host and options.callback_host.strip("[]"),
            callback_port=options.callback_port,
            duration=options.duration,
            discovery=options.is_udn,
            tap=tap,
        )
    except ValueError as error:
        raise CommandFailed(str(error), status=2) from error


async def _of_device(control_point: ControlPoint, options: WatchOptions) -> Wanted:
    """Subscriptions to the services of the device that ``options`` name, or to all that send
    events."""
    url = options.url
    try:
        device = await (
            control_point.device(udn=url) if options.is_udn else control_point.device(url)
        )
        sources = sources_of(device)
        return [
            (sources[service], service.subscribe(wait=not options.diagnose))
            for service in _chosen(device, options.services)
        ]
    except ValueError as error:
        raise CommandFailed(str(error), status=2) from error


def _chosen(device: RemoteDevice, names: Sequence[str]) -> list[RemoteService]:
    evented = [service for service in device.services if service.event_url]
    if not names and not evented:
        there = ", ".join(service.name for service in device.services) or "none"
        said = [f"no service of {device.friendly_name} sends events", f"there are: {there}"]
        problems = [service.description.event_url_problem for service in device.services]
        raise CommandFailed("; ".join([*said, *filter(None, problems)]))
    try:
        chosen = list(dict.fromkeys(device[name] for name in names)) or evented
    except LookupError as error:
        raise CommandFailed(str(error.args[0])) from error
    for service in chosen:
        if service not in evented:
            others = ", ".join(other.name for other in evented) or "none"
            problem = service.description.event_url_problem
            why = f"cannot be subscribed to: {problem}" if problem else "sends no events"
            raise CommandFailed(
                f"{service.name} of {device.friendly_name} {why}; services that do: {others}"
            )
    return chosen


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
    async with _control_point(options) as control_point:
        try:
            wanted = await _of_device(control_point, options)
        except PropchangeError:
            if options.is_udn:
                raise
            # The diagnosis of a subscription to the URL says why it is not a description.
            wanted = [(options.source, control_point.subscribe_url(options.url, wait=False))]
        limits = control_point.limits
        # The time for a SUBSCRIBE and an initial event, and a second to spare.
        seconds = limits.request_seconds + limits.initial_event_seconds + 1.0
        found = await asyncio.gather(*(_diagnosed(*each, seconds) for each in wanted))
    _, form = output(sys.stdout, json=options.json)
    write_diagnoses(sys.stdout, options.url, found, as_json=isinstance(form, JSONLines))


async def _diagnosed(source: Source, subscription: Subscription, seconds: float) -> DiagnosisLine:
    """Enter ``subscription``, made with ``wait=False``, wait for an event, and diagnose it.

    The wait ends early with a change of the status, and at the latest after ``seconds``. Raises
    CommandFailed for an event URL that cannot be used."""
    try:
        await subscription.__aenter__()
    except ValueError as error:
        raise CommandFailed(f"the event URL of {source.service}: {error}") from error
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            async for update in subscription.updates():
                if isinstance(update, StatusChange) or subscription.last_event_in is not None:
                    break
    return DiagnosisLine(now(), source, await subscription.diagnose())


def write_diagnoses(
    stream: TextIO | None, url: str, found: Sequence[DiagnosisLine], *, as_json: bool
) -> None:
    """Write the facts and verdicts to ``stream``: lines for people, or one JSON object.

    Raises CommandFailed after that, with the first diagnosis that is not well; also if ``stream``
    cannot be written."""
    bad = [each for each in found if not each.diagnosis.well]
    if as_json:
        services = [each.source._asdict() | diagnosis_object(each.diagnosis) for each in found]
        text = json_line({"url": url, "well": not bad, "services": services})
    else:
        text = "".join(map(_as_lines, found))
    if stream is not None:
        try:
            stream.write(text)
            stream.flush()
        except OSError as error:
            raise CommandFailed(f"cannot write the output: {error.strerror}") from error
    if bad:
        of = f"{bad[0].source.service}: " if len(found) > 1 else ""
        raise CommandFailed(f"{of}{bad[0].diagnosis}")


def _as_lines(each: DiagnosisLine) -> str:
    facts = [*each.diagnosis.facts.lines(), ("verdict", each.diagnosis.verdict.value)]
    if each.diagnosis.well:
        facts.append(("", str(each.diagnosis)))
    width = max(len(name) for name, _ in facts)
    lines = [f"{each.source.device} {each.source.service}"]
    lines += [f"  {name:{width}}  {fact}" for name, fact in facts]
    return "".join(f"{escape(line)}\n" for line in lines)
