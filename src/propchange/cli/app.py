"""The command line: commands, options and their help."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from propchange.cli.demo import demo as run_demo
from propchange.cli.discover import DiscoverOptions
from propchange.cli.discover import discover as run_discover
from propchange.cli.exit_status import run
from propchange.cli.watch import WatchOptions
from propchange.cli.watch import watch as run_watch
from propchange.driver.sockets import ports_of

__all__ = ["app"]

_LONGEST_DURATION = 31_536_000
"""A year, in seconds."""

_json = click.option("--json", is_flag=True, help="Print JSON Lines, on a terminal too.")


def _ports(text: str) -> Sequence[int]:
    """``P`` or ``P-Q`` as the ports for :class:`propchange.ControlPoint`."""
    first, dash, last = text.partition("-")
    if not first.isdecimal() or not (last.isdecimal() or not dash):
        raise click.BadParameter("give a port or a range of ports, such as 49152 or 49152-49200")
    try:
        return ports_of(range(int(first), int(last or first) + 1))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="propchange", message="propchange %(version)s")
def app() -> None:
    """UPnP eventing (GENA): find devices and print their events."""


@app.command()
@click.option(
    "--seconds",
    type=click.FloatRange(min=0),
    help="End after this many seconds. Without it, Ctrl-C ends the demo.",
)
@click.option(
    "--lan",
    is_flag=True,
    help="Host the devices at an address that other machines can reach, instead of on the loopback "
    "interface. The URLs are printed.",
)
def demo(seconds: float | None, lan: bool) -> None:
    """Simulate two devices and print their events.

    A control point subscribes to a thermometer and a media renderer over real sockets of this
    machine. If the output is no terminal, demo prints JSON Lines, as watch does.
    """
    sys.exit(run(run_demo(seconds, lan=lan), endless=seconds is None))


@app.command()
@click.option(
    "--seconds",
    type=click.FloatRange(min=0),
    default=5.0,
    show_default=True,
    help="Listen for this many seconds. With 0, Ctrl-C ends the search.",
)
@click.option(
    "--type",
    metavar="T",
    help="Print only devices with this device or service type, embedded ones included. A whole "
    "type, or a short name such as MediaRenderer.",
)
@_json
@click.option(
    "--interface", metavar="I", help="Search from this interface only: a name or an address."
)
def discover(**options: Any) -> None:
    """Search for devices and print each of them.

    A device is printed as it appears, with its services that send events. The exit status is 1 if
    no device is found.
    """
    sys.exit(run(run_discover(DiscoverOptions(**options)), endless=not options["seconds"]))


@app.command()
@click.argument("url")
@click.option(
    "--service",
    "services",
    multiple=True,
    metavar="NAME",
    help="Watch this service, by its short name, serviceId or type. Can be repeated. Without it, "
    "watch all services that send events.",
)
@_json
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
    "exit status is 0 if events arrive.",
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
    type=click.IntRange(1, _LONGEST_DURATION),
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
    sys.exit(run(run_watch(wanted), endless=wanted.count is None and not wanted.diagnose))
