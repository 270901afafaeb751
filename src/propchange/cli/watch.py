"""``propchange watch``: print the events of a device's services, or with ``--diagnose`` say whether
they arrive and why not."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TextIO

import click

from propchange import ControlPoint, StatusChange, Subscription
from propchange.cli.event_printer import EventPrinter
from propchange.cli.event_table import EventTable
from propchange.cli.exit_status import CommandFailed, run
from propchange.cli.garbage_collection import program_left_out
from propchange.cli.jsonlines import JSONLines, diagnosis_object, json_line, source_members
from propchange.cli.lines import DiagnosisLine, Source, now
from propchange.cli.metrics_port import MetricsAddress, metrics_port_option, metrics_served
from propchange.cli.multicast_printing import print_multicast
from propchange.cli.options import (
    Seconds,
    exclude_option,
    interface_option,
    make_control_point,
    nothing_found,
    wanted_type,
)
from propchange.cli.output import LineFormat, output, unwritable, write_whole
from propchange.cli.screen import Screen, can_draw
from propchange.cli.targets import Finding, Target
from propchange.cli.terminal import TerminalLines
from propchange.cli.watch_all import WatchAll
from propchange.core.record import Record
from propchange.driver.sockets import ports_of

_NOTHING_SECONDS = 5.0
"""Seconds after which ``watch --all`` says that it has found no device."""


@dataclass(slots=True, eq=False, repr=False)
class WatchOptions(Record):
    """The command line of ``propchange watch``."""

    targets: Sequence[str]
    all: bool
    type: str | None
    services: Sequence[str]
    wait: bool | None
    json: bool
    raw: bool
    full: bool
    count: int | None
    seconds: float | None
    diagnose: bool
    interface: str | None
    exclude: Sequence[str]
    port: Sequence[int] | None
    callback_host: str | None
    callback_port: int | None
    callback_url: str | None
    duration: int
    metrics_port: MetricsAddress | None
    minimum_interval: float | None
    multicast: bool


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
@click.argument("targets", metavar="URL…", nargs=-1)
@click.option(
    "--all",
    is_flag=True,
    help="Watch all devices on the network, as they come and go. On a terminal this is a table; "
    "with --full, --raw or --multicast, lines as for a URL.",
)
@click.option(
    "--type",
    metavar="T",
    callback=wanted_type,
    help="With --all: watch only devices of this type, or services of this type. A whole type, or "
    "a short name such as RenderingControl or RenderingControl:1.",
)
@click.option(
    "--service",
    "services",
    multiple=True,
    metavar="NAME",
    help="Watch this service, by its short name, serviceId, type, or UDN/serviceId; several with "
    "one name are all watched. Can be repeated. Without it, watch all services that send events.",
)
@click.option(
    "--wait/--no-wait",
    default=None,
    help="Keep trying when a device cannot be found, described or subscribed to, and say why. "
    "The default for a UDN.",
)
@click.option("--json", is_flag=True, help="Print JSON Lines, on a terminal too.")
@click.option("--full", is_flag=True, help="Do not cut values at the end of the line.")
@click.option(
    "--raw",
    is_flag=True,
    help="Print values as the texts received. On a terminal, print each NOTIFY too.",
)
@click.option(
    "--count", type=click.IntRange(min=1), help="End after this many events of all services."
)
@click.option("--seconds", type=Seconds(min_open=True), help="End after this many seconds.")
@click.option(
    "--diagnose",
    is_flag=True,
    help="Say whether events arrive and, if not, why and what to do, with the facts. Then end. The "
    "exit status is 0 if events arrive, or if none are due.",
)
@interface_option
@exclude_option
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
    "--callback-url",
    metavar="URL",
    help="Let devices send events to this URL, which a web server or a proxy passes on to --port. "
    "{token} in it stands for a secret of each subscription.",
)
@click.option(
    "--minimum-interval",
    metavar="S",
    type=Seconds(min_open=True),
    help="Print an event of a service at most once in this many seconds. Those between are merged "
    "into the next one.",
)
@click.option(
    "--multicast",
    is_flag=True,
    help="Print the events that devices send by multicast too.",
)
@click.option(
    "--duration",
    metavar="S",
    type=click.IntRange(1, 31_536_000),  # a year
    default=1800,
    show_default=True,
    help="Ask for this duration in TIMEOUT, in seconds. Subscriptions are renewed at half of it; "
    "by then, watch notices a restart without an announcement. It does not end watch.",
)
@metrics_port_option
def watch(**options: Any) -> None:
    """Print the events of the services of devices.

    Subscribes to the services, and prints the status of the subscriptions too.

    URL is the URL of a device description, an event URL, the UDN of a device (uuid:…), or host:port
    as in the URL of its description. Several can be given. A UDN and host:port are searched for. A
    device with a UDN is followed to a new address.

    With --all it needs no URL: it finds the devices.

    Ctrl-C unsubscribes and ends with exit status 0, or 130 before --count or --seconds is reached.
    """
    wanted = WatchOptions(**options)
    _check(wanted)
    endless = wanted.count is None and wanted.seconds is None and not wanted.diagnose
    sys.exit(run(_watch_all(wanted) if wanted.all else _watch(wanted), endless=endless))


def _check(options: WatchOptions) -> None:
    """Raise click.UsageError for options that exclude each other."""
    if options.all:
        if options.targets:
            raise click.UsageError("--all watches all devices: give no URL, or leave --all out")
        if options.diagnose:
            raise click.UsageError("--diagnose needs a URL, and does not work with --all")
        if options.wait is False:
            raise click.UsageError("--all waits for devices: --no-wait does not work with it")
        return
    if not options.targets:
        raise click.UsageError("give the URL of a device, or --all for all devices")
    if options.type is not None:
        raise click.UsageError("--type works with --all only; --service chooses services of a URL")
    if options.diagnose and options.metrics_port is not None:
        raise click.UsageError("--diagnose ends by itself: --metrics-port does not work with it")
    if options.diagnose and options.seconds is not None:
        raise click.UsageError("--diagnose ends by itself: --seconds does not work with it")


async def _watch(options: WatchOptions) -> None:
    """Print events until ``options.count`` of them have come, or without an end. With
    ``options.diagnose``: print the diagnoses instead.

    Raises CommandFailed or a PropchangeError with a sentence for the user."""
    if options.diagnose:
        await _diagnose(options)
        return
    writer, form = output(sys.stdout, json=options.json, raw=options.raw, full=options.full)
    messages = options.raw and isinstance(form, TerminalLines)
    targets = list(map(Target, dict.fromkeys(options.targets)))
    printer = EventPrinter(writer, form, count=options.count, messages=messages)
    searches = options.multicast or any(target.is_searched for target in targets) or None
    running = _control_point(options, discovery=searches, tap=printer.tap)
    async with (
        metrics_served(options.metrics_port, running),
        writer,
        printer.saying_what_was_closed(),
        running as control_point,
    ):
        finding = Finding(
            control_point,
            options.services,
            wait=options.wait,
            printer=printer,
            minimum_interval=options.minimum_interval,
            multicast=options.multicast,
        )
        printer.find_again = finding.find_again
        wanted = [(target.source, finding.find(target)) for target in targets]
        with program_left_out():
            await printer.run(wanted, options.seconds)


async def _watch_all(options: WatchOptions) -> None:
    """Watch all devices until ``options.count`` events have come, ``options.seconds`` have passed,
    or without an end.

    Raises CommandFailed if no device was found, or a PropchangeError, with a sentence for the
    user."""
    writer, form = output(sys.stdout, json=options.json, raw=options.raw, full=options.full)
    table = None
    lines_wanted = options.raw or options.full or options.multicast
    if isinstance(form, TerminalLines) and not lines_wanted:
        table = EventTable() if can_draw(sys.stdout) else None
    printer = EventPrinter(
        writer,
        form if table is None else table,
        count=options.count,
        messages=options.raw and isinstance(form, TerminalLines),
        lines_at_end=form,
    )
    running = _control_point(options, discovery=True, tap=printer.tap)
    async with (
        metrics_served(options.metrics_port, running),
        writer,
        printer.saying_what_was_closed(),
        running as control_point,
    ):
        all_devices = WatchAll(
            control_point,
            printer,
            type=options.type,
            services=options.services,
            expect=table.expect if table is not None else None,
            minimum_interval=options.minimum_interval,
        )
        links = control_point.discovery_links

        def nothing(seconds: float) -> str:
            return (
                "" if all_devices.watching.number else nothing_found(seconds, options.type, links)
            )

        async def say_nothing() -> None:
            if links:
                await asyncio.sleep(_NOTHING_SECONDS)
            if reason := nothing(_NOTHING_SECONDS):
                printer.status(None, "waiting", reason)

        works = [all_devices.watch(), say_nothing()]
        if options.multicast:
            events = control_point.multicast_events(options.type)
            works.append(print_multicast(printer, events))
        with program_left_out():
            if table is None:
                await printer.run_with(works, options.seconds)
            else:
                with Screen(sys.stdout, writer, table) as screen:
                    printer.ending = screen.finish
                    await printer.run_with([*works, screen.draw()], options.seconds)
        if not writer.ended.is_set() and (reason := nothing(options.seconds or 0)):
            raise CommandFailed(reason)


def _control_point(
    options: WatchOptions,
    *,
    discovery: bool | None = None,
    tap: Callable[[object], None] | None = None,
) -> ControlPoint:
    return make_control_point(
        port=options.port or options.callback_port or 0,
        callback_host=options.callback_host and options.callback_host.strip("[]"),
        callback_port=options.callback_port,
        callback_url=options.callback_url,
        duration=options.duration,
        interface=options.interface,
        exclude=options.exclude,
        discovery=discovery,
        tap=tap,
    )


# --- --diagnose ---


async def _diagnose(options: WatchOptions) -> None:
    targets = list(map(Target, dict.fromkeys(options.targets)))
    searches = any(target.is_searched for target in targets) or None
    async with _control_point(options, discovery=searches) as control_point:
        finding = Finding(control_point, options.services, wait=False)
        found = await asyncio.gather(*(_diagnose_target(finding, each) for each in targets))
    _, form = output(sys.stdout, json=options.json)
    write_diagnoses(sys.stdout, found, form)


async def _diagnose_target(finding: Finding, target: Target) -> Diagnosed:
    wanted = await finding.find_persistent(target)
    limits = finding.limits
    # The time for a SUBSCRIBE and an initial event, and a second to spare.
    seconds = limits.request_seconds + limits.initial_event_seconds + 1.0
    lines = await asyncio.gather(*(_diagnosed(*each, seconds) for each in wanted))
    return Diagnosed(target.text, lines)


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


class Diagnosed(NamedTuple):
    """The diagnoses of one target."""

    url: str
    lines: Sequence[DiagnosisLine]


def write_diagnoses(stream: TextIO | None, found: Sequence[Diagnosed], form: LineFormat) -> None:
    """Write the verdicts and facts to ``stream``: lines for people, or one JSON object for each
    target.

    Raises CommandFailed after that if a diagnosis is not well: with the first such one, or without
    a sentence if the lines for people have it. Raises it also if ``stream`` cannot be written."""
    lines = [line for each in found for line in each.lines]
    bad = [line for line in lines if not line.diagnosis.well]
    if isinstance(form, JSONLines):
        text, encoding = "".join(map(_as_json, found)), "utf-8"
    else:
        text, encoding = "\n".join(form.diagnoses(each.lines) for each in found), None
    if stream is not None:
        try:
            write_whole(stream, text, encoding=encoding)
        except OSError as error:
            raise CommandFailed(unwritable(error)) from error
    if bad and isinstance(form, JSONLines):
        of = f"{bad[0].source.service}: " if len(lines) > 1 else ""
        raise CommandFailed(f"{of}{bad[0].diagnosis}")
    if bad:
        raise CommandFailed


def _as_json(found: Diagnosed) -> str:
    services = [
        {
            **source_members(line.source),
            **diagnosis_object(line.diagnosis),
        }
        for line in found.lines
    ]
    well = all(line.diagnosis.well for line in found.lines)
    return json_line({"url": found.url, "well": well, "services": services})
