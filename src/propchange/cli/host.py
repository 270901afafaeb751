"""``propchange host``: host a device that a TOML file describes, and set its variables by lines of
standard input."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import click

import propchange
from propchange import HostedDevice
from propchange.cli.exit_status import CommandFailed, run
from propchange.cli.garbage_collection import program_left_out
from propchange.cli.lines import HostedLine, Source, escape, now
from propchange.cli.options import exclude_option, interface_option
from propchange.cli.output import LineFormat, Writer, output
from propchange.cli.publisher_printer import PublisherPrinter
from propchange.cli.standard_input import LINE_BYTES, lines_of
from propchange.cli.terminal import TerminalLines
from propchange.core.record import Record
from propchange.core.wire.refusals import UDA_VERSIONS
from propchange.driver.reporting import logger_named
from propchange.upnp.assignments import Assignments, names_in_lines
from propchange.upnp.device import place_device
from propchange.upnp.device_file import BadDeviceFile, DeviceFile, read_device_file

_FILE_BYTES = 1_048_576
"""Bytes of a device file; the file of a renderer has about a thousand. Bounds the memory for a FILE
that is something else, such as /dev/zero."""

_PROBLEMS_PRINTED = 20

_DRAIN_SECONDS = 5.0
"""How long ``--until-eof`` waits for subscribers to take the last events."""


@dataclass(slots=True, eq=False, repr=False)
class HostOptions(Record):
    """The command line of ``propchange host``."""

    file: str
    interface: str | None
    exclude: Sequence[str]
    port: int
    announce: bool
    udn: str | None
    uda: str | None
    json: bool
    until_eof: bool


@click.command()
@click.argument("file", metavar="FILE.toml", type=click.Path())
@interface_option
@exclude_option
@click.option(
    "--port",
    metavar="P",
    type=click.IntRange(0, 65535),
    default=0,
    help="Listen on this TCP port instead of on any free one. Control points find the device again "
    "there after a restart.",
)
@click.option(
    "--announce/--no-announce",
    default=True,
    help="Announce the device by SSDP, so that control points find it, or not.",
)
@click.option("--udn", metavar="UDN", help="Use this UDN instead of that of the file.")
@click.option(
    "--uda",
    type=click.Choice(UDA_VERSIONS),
    help="Follow this version of the UPnP Device Architecture instead of that of the file.",
)
@click.option("--json", is_flag=True, help="Print JSON Lines, on a terminal too.")
@click.option(
    "--until-eof",
    is_flag=True,
    help="End at the end of standard input, once the last events are delivered. Without it, a "
    "signal ends the device.",
)
def host(**options: Any) -> None:
    """Host the device that FILE.toml describes.

    Lines of standard input set its variables: RenderingControl.Volume=13, or the JSON
    {"RenderingControl": {"Volume": 13, "Mute": true}}, which is one event with both. A line that is
    wrong is answered on standard error and changes nothing. Control points can call its actions,
    which change the variables.

    Prints the URL of the description and the event URLs, then what control points do: JSON Lines if
    the output is not a terminal. Ctrl-C ends the device.
    """
    wanted = HostOptions(**options)
    sys.exit(run(_host(wanted), endless=True))


async def _host(options: HostOptions) -> None:
    """Host the device until standard output has ended, or standard input with
    ``options.until_eof``. Raises CommandFailed for a file that cannot be used, and a
    PropchangeError if the device cannot be hosted."""
    device, uda = _device_of(options.file)
    writer, form = output(sys.stdout, json=options.json)
    errors = Writer(sys.stderr)
    printer = PublisherPrinter(writer, form)
    try:
        hosting = propchange.host(
            device,
            interface=options.interface,
            exclude=options.exclude,
            port=options.port,
            announce=options.announce,
            udn=options.udn,
            uda=options.uda or uda,
            tap=printer.tap,
        )
    except ValueError as error:
        raise CommandFailed(str(error), status=2) from error
    async with writer, errors, _warnings_on(errors), hosting as hosted:
        if options.announce and options.interface is None and _is_loopback(hosted):
            errors.put(
                "propchange: this machine has no address that others can reach; the device is "
                "announced once there is one\n"
            )
        assignments = _begin(hosted, writer, form, printer, errors)
        with program_left_out():
            lines = _assign_lines(hosted, assignments, errors, until_eof=options.until_eof)
            await writer.run(lines)


@asynccontextmanager
async def _warnings_on(errors: Writer) -> AsyncIterator[None]:
    """Print the warnings about announcing and listening on ``errors``. Those of the publisher are
    printed as its outcomes."""
    handler = _WarningLines(errors)
    loggers = [logger_named(f"propchange.{name}") for name in ("discovery", "http")]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


class _WarningLines(logging.Handler):
    """Writes a line for each warning. The loggers bound the number of lines and escape their
    texts."""

    def __init__(self, errors: Writer) -> None:
        super().__init__(logging.WARNING)
        self._errors = errors

    def emit(self, record: logging.LogRecord) -> None:
        if not self._errors.is_full:
            self._errors.put(f"propchange: {record.getMessage()}\n")


def _device_of(path: str) -> DeviceFile:
    try:
        with Path(path).open("rb") as file:
            data = file.read(_FILE_BYTES + 1)
        if len(data) > _FILE_BYTES:
            raise CommandFailed(
                f"{path}: a device file has at most {_FILE_BYTES:,} bytes; give a TOML file that "
                "describes a device",
                status=2,
            )
        return read_device_file(data.decode("utf-8-sig"))
    except OSError as error:
        wanted = "give the path of a TOML file that describes a device"
        raise CommandFailed(f"cannot read {path}: {error.strerror}; {wanted}", status=2) from error
    except UnicodeDecodeError as error:
        raise CommandFailed(
            f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8", status=2
        ) from error
    except BadDeviceFile as error:
        problems = [f"{path}: {problem}" for problem in error.problems[:_PROBLEMS_PRINTED]]
        if more := len(error.problems) - len(problems):
            problems.append(f"{path}: and {more} more")
        raise CommandFailed(*problems, status=2) from error


def _is_loopback(hosted: HostedDevice) -> bool:
    """Whether only this machine can reach ``hosted``."""
    hosts = (urlsplit(url).hostname or "" for url in hosted.description_urls)
    return all(ip_address(host).is_loopback for host in hosts)


def _begin(
    hosted: HostedDevice,
    writer: Writer,
    form: LineFormat,
    printer: PublisherPrinter,
    errors: Writer,
) -> Assignments:
    """Print the URLs of ``hosted``, and a warning on ``errors`` if it sends no events."""
    placed = place_device(hosted.device, hosted.udn)
    names, event_urls = names_in_lines(placed), {}
    for service, name in names.items():
        source = Source(hosted.device.friendly_name, name, service.udn, service.service_id)
        printer.controls[f"/{service.control_path}"] = source, service.service
        if service.event_path:
            path = f"/{service.event_path}"
            event_urls[name] = urljoin(hosted.description_url, path)
            printer.sources[path] = source
    line = HostedLine(
        now(), hosted.device.friendly_name, hosted.udn, hosted.description_urls, event_urls
    )
    writer.put(form.hosted(line))
    if not event_urls:
        errors.put(
            "propchange: no service of the device sends events: nobody can subscribe to it\n"
        )
    assignments = Assignments(placed)
    if isinstance(form, TerminalLines):
        example = assignments.example if sys.stdin is not None and sys.stdin.isatty() else ""
        writer.put(form.begin_hosted(printer.sources.values(), example))
    return assignments


async def _assign_lines(
    hosted: HostedDevice, assignments: Assignments, errors: Writer, *, until_eof: bool
) -> None:
    """Make the assignments of the lines of standard input. A wrong line is answered on
    ``errors``."""
    number = 0
    async for line in lines_of(sys.stdin):
        number += 1
        try:
            if line is None:
                raise ValueError(f"it has more than {LINE_BYTES:,} bytes")
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            assignments.apply(text)
        except UnicodeDecodeError as error:
            _complain(errors, number, f"byte {error.start} is not UTF-8")
        except ValueError as error:
            _complain(errors, number, str(error))
        await errors.room()
    if until_eof:
        await hosted.drain(_DRAIN_SECONDS)
        return
    await asyncio.Event().wait()  # until a signal


def _complain(errors: Writer, number: int, problem: str) -> None:
    errors.put(f"propchange: line {number}: {escape(problem)}\n")
