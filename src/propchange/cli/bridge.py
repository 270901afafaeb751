"""``propchange bridge``: send the events of devices to a broker."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from propchange import ControlPoint
from propchange.bridge.configuration import (
    DEFAULT_DURATION,
    ConfigurationError,
    bridge_duration,
    bridge_limits,
    bridge_settings,
    broker_settings,
    read_configuration,
)
from propchange.bridge.nats_settings import nats_settings
from propchange.bridge.output import Output
from propchange.bridge.service_watching import ServiceWatching
from propchange.bridge.topics import part
from propchange.cli.exit_status import CommandFailed, run
from propchange.cli.garbage_collection import program_left_out
from propchange.cli.lines import escape
from propchange.cli.metrics_port import MetricsAddress, metrics_port_option, metrics_served
from propchange.cli.options import exclude_option, interface_option, make_control_point
from propchange.cli.targets import Target, find_devices
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.record import Record

if TYPE_CHECKING:
    from propchange.bridge.mqtt import MqttOutput
    from propchange.bridge.nats import NatsOutput

Tables = dict[str, dict[str, Any]]


@dataclass(slots=True, eq=False, repr=False)
class BridgeOptions(Record):
    """The command line of ``propchange bridge``."""

    targets: Sequence[str]
    mqtt: str | None
    nats: str | None
    segment: str | None
    config: Path | None
    bridge_id: str | None
    distinct: bool | None
    home_assistant: bool | None
    commands: bool | None
    duration: int | None
    interface: str | None
    exclude: Sequence[str]
    metrics_port: MetricsAddress | None


@click.command()
@click.argument("targets", metavar="[URL|UDN]…", nargs=-1)
@click.option(
    "--mqtt",
    metavar="URL",
    help="The broker: mqtt://[user@]host[:port], or mqtts://… for TLS. The password is in the "
    "environment variable PROPCHANGE_MQTT_PASSWORD.",
)
@click.option(
    "--nats",
    metavar="URL",
    help="Instead of a broker: the NATS servers with JetStream, nats://host[:port], separated by "
    "commas. Collectors there share the devices. User and password are in the environment: "
    "PROPCHANGE_NATS_USER and PROPCHANGE_NATS_PASSWORD.",
)
@click.option(
    "--segment",
    metavar="NAME",
    help="With --nats: the network segment. Collectors of one segment share its devices.",
)
@click.option(
    "--config",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Read the settings in this TOML file. The command line comes first.",
)
@click.option(
    "--id",
    "bridge_id",
    metavar="NAME",
    help="The name of this bridge on the broker, which no other bridge there has. Without it, the "
    "name of this machine.",
)
@click.option(
    "--distinct/--no-distinct",
    default=None,
    help="Publish each variable on a topic of its own too.",
)
@click.option(
    "--home-assistant/--no-home-assistant",
    default=None,
    help="Offer the devices to Home Assistant by its MQTT discovery.",
)
@click.option(
    "--commands/--no-commands",
    default=None,
    help="Carry out commands. Everybody who may publish to the broker can then control the "
    "devices.",
)
@click.option(
    "--duration",
    metavar="S",
    type=int,
    help="Ask for this duration in TIMEOUT, in seconds. Subscriptions are renewed at half of it; "
    "by then, the bridge notices a device that has gone or restarted without an announcement. It "
    f"does not end the bridge.  [default: {DEFAULT_DURATION}]",
)
@interface_option
@exclude_option
@metrics_port_option
def bridge(**options: Any) -> None:
    """Send the events of devices to a broker.

    Subscribes to all services of all devices on the network that send events, or to those of the
    devices that are named by URL, by UDN (uuid:…) or by host:port. Publishes the state of each
    service to propchange/UDN/SERVICE, retained, and whether it is true now to
    propchange/UDN/SERVICE/availability.

    With --nats, several bridges are collectors that share the devices: each device is subscribed to
    by one of them, and by another one if that dies. They write the events to the stream
    propchange.UDN.SERVICE, and the states to the bucket propchange-state.

    Ctrl-C and SIGTERM publish that the bridge has ended, and end it with exit status 0. Exit status
    1: the broker refuses the bridge, or another bridge has its id. 2: the command line or the file
    is wrong.
    """
    sys.exit(run(_bridge(BridgeOptions(**options)), endless=True))


async def _bridge(options: BridgeOptions) -> None:
    try:
        tables = _read(options.config)
        output, nats = _output(options, tables)
        limits = bridge_limits(tables["bridge"])
        duration = bridge_duration(tables["bridge"], options.duration)
    except ConfigurationError as error:
        raise CommandFailed(str(error), status=2) from error
    table = tables["bridge"]
    targets = options.targets or table.get("devices", [])
    for each in targets:
        try:
            Target(each).check()
        except ValueError as error:
            raise CommandFailed(str(error), status=2) from error
    control_point = make_control_point(
        interface=options.interface or table.get("interface"),
        exclude=options.exclude or table.get("exclude", []),
        discovery=True,
        limits=limits,
        duration=duration,
    )
    numbers = partial(_numbers, output, nats)
    async with metrics_served(options.metrics_port, control_point, numbers), control_point:
        watching = ServiceWatching(
            control_point,
            output,
            finders=[partial(_find, control_point, Target(each)) for each in targets],
            say=_say,
            # Of collectors, the owner of a device subscribes to it.
            subscribe=nats is None,
        )
        if nats is not None:
            nats.watching = watching
        with program_left_out():
            await watching.run()


def _read(path: Path | None) -> Tables:
    if path is None:
        return read_configuration("", "")
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    return read_configuration(text, str(path))


def _output(options: BridgeOptions, tables: Tables) -> tuple[Output, NatsOutput | None]:
    """What the states go to, the second time if it is NATS. Raises ConfigurationError, and
    CommandFailed without a broker."""
    settings = bridge_settings(
        tables,
        bridge_id=options.bridge_id,
        distinct=options.distinct,
        commands=options.commands,
        home_assistant=options.home_assistant,
        default_id=part(socket.gethostname() or "propchange"),
    )
    mqtt, nats = options.mqtt, options.nats
    if mqtt is None and nats is None:
        mqtt, nats = tables["mqtt"].get("url"), tables["nats"].get("url")
    if mqtt is not None and nats is not None:
        raise CommandFailed("give --mqtt or --nats; for both, run two bridges", status=2)
    if nats is not None:
        collecting = _collecting(options, tables["nats"], nats, settings.bridge_id)
        return collecting, collecting
    if mqtt is None:
        raise CommandFailed(
            "give the broker: --mqtt mqtt://host, or url in the table [mqtt] of --config", status=2
        )
    try:
        from propchange.bridge.mqtt import MqttOutput
    except ModuleNotFoundError as error:
        if error.name not in ("aiomqtt", "paho"):
            raise
        raise CommandFailed(
            f"--mqtt needs {error.name}: pip install 'propchange[bridge]'"
        ) from error
    output = MqttOutput(broker_settings(mqtt, tables["mqtt"], os.environ), settings, say=_say)
    if settings.home_assistant:
        from propchange.bridge.discovery_messages import DiscoveryMessages

        output.add(
            DiscoveryMessages(
                output,
                commands=settings.commands,
                prefix=settings.home_assistant_prefix,
                version=metadata.version("propchange"),
                forget_after=settings.home_assistant_forget_after,
            )
        )
    if settings.commands:
        from propchange.bridge.command_running import CommandRunning

        output.add(CommandRunning(output, _say))
    return output, None


def _collecting(
    options: BridgeOptions, table: dict[str, Any], urls: str | list[str], name: str
) -> NatsOutput:
    settings = nats_settings(urls, table, os.environ, name=name, segment=options.segment)
    try:
        from propchange.bridge.nats import NatsOutput
    except ModuleNotFoundError as error:
        if error.name != "nats":
            raise
        raise CommandFailed("--nats needs nats-py: pip install 'propchange[nats]'") from error
    return NatsOutput(settings, say=_say)


def _numbers(output: Output, nats: NatsOutput | None) -> Any:
    """The numbers of the output, for metrics. Raises ImportError without prometheus-client."""
    from propchange.bridge.metrics import mqtt_numbers, nats_numbers

    if nats is not None:
        return nats_numbers(nats.collector)
    return mqtt_numbers(cast("MqttOutput", output).counters)


async def _find(control_point: ControlPoint, target: Target) -> Any:
    return await find_devices(control_point, target)


def _say(line: str) -> None:
    most = DEFAULT_LIMITS.log_line_characters
    cut = line if len(line) <= most else f"{line[:most]}…"
    click.echo(f"propchange: {escape(cut)}", err=True)
