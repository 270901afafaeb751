"""``propchange bridge``: send the events of devices to a broker."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import click

from propchange import ControlPoint
from propchange.bridge.output import Output
from propchange.bridge.service_watching import ServiceWatching
from propchange.cli.exit_status import CommandFailed, run
from propchange.cli.lines import escape
from propchange.cli.options import exclude_option, interface_option, make_control_point
from propchange.cli.targets import Target, find_devices
from propchange.core.record import Record


@dataclass(slots=True, eq=False, repr=False)
class BridgeOptions(Record):
    """The command line of ``propchange bridge``."""

    targets: Sequence[str]
    mqtt: str | None
    bridge_id: str | None
    distinct: bool | None
    interface: str | None
    exclude: Sequence[str]


@click.command()
@click.argument("targets", metavar="[URL|UDN]…", nargs=-1)
@click.option("--mqtt", metavar="URL", help="The broker: mqtt://host:port, or mqtts:// for TLS.")
@click.option("--id", "bridge_id", metavar="NAME", help="The name of this bridge on the broker.")
@click.option(
    "--distinct/--no-distinct",
    default=None,
    help="Publish each variable on a topic of its own too.",
)
@interface_option
@exclude_option
def bridge(**options: Any) -> None:
    """Send the events of devices to a broker."""
    sys.exit(run(_bridge(BridgeOptions(**options)), endless=True))


async def _bridge(options: BridgeOptions) -> None:
    control_point = make_control_point(
        interface=options.interface, exclude=options.exclude, discovery=True
    )
    async with control_point:
        await ServiceWatching(
            control_point,
            _output(options),
            finders=[partial(_find, control_point, Target(each)) for each in options.targets],
            say=_say,
        ).run()


async def _find(control_point: ControlPoint, target: Target) -> Any:
    return await find_devices(control_point, target)


def _output(options: BridgeOptions) -> Output:
    raise CommandFailed("give the broker, for example --mqtt mqtt://localhost", status=2)


def _say(line: str) -> None:
    click.echo(f"propchange: {escape(line)}", err=True)
