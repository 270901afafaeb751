"""``propchange call``: call an action of a device, or list the actions that there are."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from propchange import (
    ActionError,
    DescriptionError,
    PropchangeError,
    RemoteDevice,
    RemoteService,
)
from propchange.cli.exit_status import CommandFailed, run
from propchange.cli.lines import (
    ActionLine,
    AnswerLine,
    FaultLine,
    ProblemLine,
    ServiceLine,
    Source,
    escape,
    now,
)
from propchange.cli.names import Names
from propchange.cli.options import Seconds, exclude_option, interface_option, make_control_point
from propchange.cli.output import LineFormat, Writer, output
from propchange.cli.targets import Target, find_devices
from propchange.core.record import Record
from propchange.core.values.data_types import shown
from propchange.driver.reporting import logger_named
from propchange.printable import listed
from propchange.upnp.actions import Action
from propchange.upnp.device_file import nearest

_READERS = 4
"""Service descriptions that are read at the same time. A small device serves few connections."""

_NAMES_SHOWN = 64
"""Names that an error lists. A service description may have thousands."""


@dataclass(slots=True, eq=False, repr=False)
class CallOptions(Record):
    """The command line of ``propchange call``."""

    target: str
    service: str | None
    action: str | None
    arguments: Sequence[str]
    timeout: float
    json: bool
    interface: str | None
    exclude: Sequence[str]


@click.command()
@click.argument("target", metavar="URL")
@click.argument("service", metavar="[SERVICE]", required=False)
@click.argument("action", metavar="[ACTION]", required=False)
@click.argument("arguments", metavar="[NAME=VALUE]…", nargs=-1)
@click.option(
    "--timeout",
    metavar="S",
    type=Seconds(min_open=True),
    default=30.0,
    show_default=True,
    help="Wait this many seconds for the answer.",
)
@click.option("--json", is_flag=True, help="Print JSON Lines, on a terminal too.")
@interface_option
@exclude_option
def call(**options: Any) -> None:
    """Call an action of a device and print its out arguments.

    URL is the URL of a device description, the UDN of a device (uuid:…), or host:port as in the
    URL of its description. A UDN and host:port are searched for. SERVICE is the short name, the
    serviceId or the type of a service, or UDN/serviceId.

    Without ACTION, prints the actions of the service, with their arguments and the values that
    these take. Without SERVICE, prints the services and the names of their actions.

    NAME=VALUE is an argument of the action; all of them are needed, in any order. A boolean is
    yes or no, true or false, 1 or 0. NAME= is the empty text, and NAME="$(cat FILE)" the text of a
    file. Each out argument is printed as a line NAME=VALUE.

    The exit status is 0 after an answer, 3 after a fault, such as 701: The door is blocked; 2 if
    the device has no such service, action, argument or value; 1 if it cannot be reached. The
    action is sent once: after a timeout it may have been done.
    """
    sys.exit(run(_call(CallOptions(**options)), endless=False))


async def _call(options: CallOptions) -> None:
    """Call the action, or print what can be called.

    Raises CommandFailed or a PropchangeError with a sentence for the user."""
    target = Target(options.target)
    writer, form = output(sys.stdout, json=options.json)
    control_point = make_control_point(
        interface=options.interface,
        exclude=options.exclude,
        discovery=True if target.is_searched else None,
    )

    def say(sentence: str) -> None:
        _say(f"{target.text}: {sentence}")

    with _warnings_printed():
        async with writer, control_point:
            try:
                devices = await find_devices(control_point, target, say)
            except ValueError as error:
                raise CommandFailed(str(error), status=2) from error
            except DescriptionError as error:
                if target.is_searched:
                    raise
                wanted = "give the URL of a device description, as propchange discover prints it"
                raise CommandFailed(f"{error}; {wanted}") from error
            if options.service is None:
                await writer.run(_list_services(devices, writer, form))
            else:
                service = service_named(devices, options.service)
                source = _sources(devices)[service]
                if options.action is None:
                    await writer.run(_list_actions(service, source, writer, form))
                else:
                    # Not by Writer.run: the action is called whether or not somebody reads.
                    await _call_action(service, source, options, writer, form)
            await writer.taken()
            writer.check()


@contextlib.contextmanager
def _warnings_printed() -> Iterator[None]:
    """Print what the control point warns of, such as an answer that does not fit."""
    warnings = _StandardError(logging.WARNING)
    logger = logger_named("propchange")
    logger.addHandler(warnings)
    try:
        yield
    finally:
        logger.removeHandler(warnings)


class _StandardError(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _say(record.getMessage())


def _say(sentence: str) -> None:
    with contextlib.suppress(OSError):  # nobody reads
        click.echo(f"propchange: {escape(sentence)}", err=True)


async def _call_action(
    service: RemoteService, source: Source, options: CallOptions, writer: Writer, form: LineFormat
) -> None:
    assert options.action is not None
    try:
        async with asyncio.timeout(options.timeout):
            actions = await service.actions()
    except TimeoutError:
        raise CommandFailed(
            f"the service description of {service.unique_name} was not read within "
            f"{options.timeout:g} s; nothing was called; allow more time with --timeout"
        ) from None
    action = _action_named(service, actions, options.action)
    try:
        arguments = read_arguments(action, options.arguments)
        values = await service.call(action.name, timeout=options.timeout, **arguments)
    except (ValueError, TypeError) as error:
        raise CommandFailed(str(error), status=2) from error
    except ActionError as error:
        writer.put(form.fault(FaultLine(now(), source, action.name, error)))
        await writer.taken()
        raise
    writer.put(form.answer(AnswerLine(now(), source, action, values)))


async def _list_actions(
    service: RemoteService, source: Source, writer: Writer, form: LineFormat
) -> None:
    actions = await service.actions()
    for problem in service.problems:
        writer.put(form.problem(ProblemLine(now(), source, problem)))
    if not actions:
        there = "propchange call with the URL alone lists the services that have actions"
        raise CommandFailed(f"{service.unique_name} has no actions; {there}")
    for action in actions.values():
        writer.put(form.action(ActionLine(now(), source, action)))
        await writer.room()


async def _list_services(devices: Sequence[RemoteDevice], writer: Writer, form: LineFormat) -> None:
    """Print the services that have actions, and those whose description cannot be read."""
    at_once = asyncio.Semaphore(_READERS)

    async def read(service: RemoteService, source: Source) -> ServiceLine:
        actions: tuple[str, ...] | None = None
        problem = None
        async with at_once:
            try:
                actions = tuple(await service.actions())
            except (PropchangeError, ValueError) as error:
                problem = str(error)
        return ServiceLine(now(), source, service.service_type, actions, problem)

    printed = 0
    async with asyncio.TaskGroup() as tasks:
        read_in_order = [tasks.create_task(read(*each)) for each in _sources(devices).items()]
        for reading in read_in_order:
            line = await reading
            if line.actions or line.problem:
                printed += 1
                writer.put(form.service(line))
                await writer.room()
    if not printed:
        devices_named = ", ".join(device.friendly_name or device.url for device in devices)
        instead = "propchange watch prints the events of its services"
        raise CommandFailed(f"no service of {devices_named} has actions; {instead}")


def _sources(devices: Sequence[RemoteDevice]) -> dict[RemoteService, Source]:
    names = Names()
    return {service: name for device in devices for service, name in names.of(device).items()}


# --- names and values of the command line ---


def service_named(devices: Sequence[RemoteDevice], name: str) -> RemoteService:
    """The service of ``devices`` with this name. Raises CommandFailed for an unknown name, and for
    one that several services have."""
    found = [service for device in devices for service in device.services_named(name)]
    if len(found) == 1:
        return found[0]
    if found:
        several = listed((_telling_name(service, devices) for service in found), _NAMES_SHOWN)
        raise CommandFailed(f"several services are called {name}; write: {several}", status=2)
    known = [service.unique_name for device in devices for service in device.services]
    of = " and ".join(device.friendly_name or device.url for device in devices)
    have = "has" if len(devices) == 1 else "have"
    raise _unknown(f"{of} {have} no service {shown(name)}", name, known)


def _telling_name(service: RemoteService, devices: Sequence[RemoteDevice]) -> str:
    return service.unique_name if len(devices) == 1 else service.full_name


def _action_named(service: RemoteService, actions: Mapping[str, Action], name: str) -> Action:
    if name in actions:
        return actions[name]
    raise _unknown(f"{service.unique_name} has no action {shown(name)}", name, actions)


def read_arguments(action: Action, words: Iterable[str]) -> dict[str, object]:
    """The in arguments of ``action`` from words ``NAME=VALUE``, typed, by their names.

    Raises CommandFailed for a word that is no argument, for a text that is no value of the data
    type, and for a missing argument."""
    inputs = {argument.name: argument for argument in action.inputs}
    values: dict[str, object] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            there = f"; there are: {listed(inputs, _NAMES_SHOWN)}" if inputs else "; there are none"
            raise CommandFailed(f"{shown(word)} is no argument: write NAME=VALUE{there}", status=2)
        if name not in inputs:
            raise _unknown(f"{action.name} has no argument {shown(name)}", name, inputs)
        if name in values:
            raise CommandFailed(f"{name} is given twice; give it once", status=2)
        try:
            values[name] = inputs[name].variable.data_type.parse(text)
        except ValueError as error:
            raise CommandFailed(f"{name}: {error}", status=2) from error
    missing = [name for name in inputs if name not in values]
    if missing:
        needed = (f"{name} ({inputs[name].variable.data_type.name})" for name in missing)
        needs = listed(needed, _NAMES_SHOWN)
        raise CommandFailed(f"{action.name} also needs {needs}", status=2)
    return values


def _unknown(what: str, name: str, known: Iterable[str]) -> CommandFailed:
    known = list(known)
    there = f"; there are: {listed(known, _NAMES_SHOWN)}" if known else "; there are none"
    return CommandFailed(f"{what}{there}{nearest(name, known)}", status=2)
