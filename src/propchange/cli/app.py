"""The command line: commands, options and their help."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer

from propchange.cli.demo import demo as run_demo
from propchange.cli.discover import DiscoverOptions
from propchange.cli.discover import discover as run_discover
from propchange.cli.exit_status import run
from propchange.cli.watch import WatchOptions
from propchange.cli.watch import watch as run_watch
from propchange.driver.interfaces import ports_of

__all__ = ["app"]

app = typer.Typer(
    name="propchange",
    help="UPnP eventing (GENA): find devices and print their events.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_LONGEST_DURATION = 31_536_000
"""A year, in seconds."""


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"propchange {version('propchange')}")
        raise typer.Exit


def _ports(text: str) -> Sequence[int]:
    """``P`` or ``P-Q`` as the ports for :class:`propchange.ControlPoint`."""
    first, dash, last = text.partition("-")
    if not first.isdecimal() or not (last.isdecimal() or not dash):
        raise typer.BadParameter("a port, or two with a dash between: 49152 or 49152-49200")
    ports = range(int(first), int(last or first) + 1)
    try:
        return ports_of(ports)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


@app.callback()
def propchange(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """UPnP eventing (GENA): find devices and print their events."""


@app.command()
def demo(
    seconds: Annotated[
        float | None,
        typer.Option(min=0, help="End after this many seconds. Without it, Ctrl-C ends the demo."),
    ] = None,
    lan: Annotated[
        bool,
        typer.Option(
            "--lan",
            help="Host the devices at an address that other machines can reach, instead of on the "
            "loopback interface. The URLs are printed.",
        ),
    ] = False,
) -> None:
    """Simulate a thermometer and a media renderer, and print their events.

    A control point subscribes to both over real sockets of this machine. If the output is no
    terminal, it prints JSON Lines, as watch does.
    """
    raise typer.Exit(run(run_demo(seconds, lan=lan), endless=seconds is None))


@app.command()
def discover(
    seconds: Annotated[
        float, typer.Option(min=0, help="Seconds to listen; 0: until Ctrl-C.")
    ] = 5.0,
    type: Annotated[
        str | None,
        typer.Option(
            metavar="T",
            help="Print only devices with this device or service type, embedded ones included. A "
            "whole type, or a short name such as MediaRenderer.",
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print JSON Lines, on a terminal too.")
    ] = False,
    interface: Annotated[
        str | None,
        typer.Option(metavar="I", help="Search from this interface only: a name or an address."),
    ] = None,
) -> None:
    """Search for devices and print each as it appears, with the services that send events.

    The exit status is 1 if there are none.
    """
    options = DiscoverOptions(seconds=seconds or None, type=type, json=json, interface=interface)
    raise typer.Exit(run(run_discover(options), endless=not seconds))


@app.command()
def watch(  # noqa: PLR0917 - typer calls it by name
    url: Annotated[
        str,
        typer.Argument(
            help="The URL of a device description, an event URL, or the UDN of a device (uuid:…). "
            "A device with that UDN is searched for, and followed to a new address.",
            show_default=False,
        ),
    ],
    service: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Watch this service, by its short name, serviceId or type. Can be repeated. "
            "Without it, watch all services that send events.",
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print JSON Lines, on a terminal too.")
    ] = False,
    raw: Annotated[
        bool,
        typer.Option(
            "--raw",
            help="Print values as the texts received. On a terminal, print each NOTIFY too.",
        ),
    ] = False,
    count: Annotated[
        int | None,
        typer.Option(min=1, help="End after this many events of all services."),
    ] = None,
    diagnose: Annotated[
        bool,
        typer.Option(
            "--diagnose",
            help="Say whether events arrive and, if not, why and what to do, with the facts. Then "
            "end. The exit status is 0 if events arrive.",
        ),
    ] = False,
    port: Annotated[
        Sequence[int] | None,
        typer.Option(
            metavar="P[-Q]",
            parser=_ports,
            help="Receive events on this port, or on the first free port of this range: the one "
            "to open in a firewall. Without it, on any free port.",
        ),
    ] = None,
    callback_host: Annotated[
        str | None,
        typer.Option(
            metavar="H",
            help="Let devices send events to this address instead of the one that connects to "
            "them (NAT, containers).",
        ),
    ] = None,
    callback_port: Annotated[
        int | None,
        typer.Option(
            metavar="P",
            min=1,
            max=65535,
            help="Let devices send events to this port. Events are received on it too, unless "
            "--port is given.",
        ),
    ] = None,
    duration: Annotated[
        int,
        typer.Option(
            metavar="S",
            min=1,
            max=_LONGEST_DURATION,
            help="Ask for this duration in TIMEOUT, in seconds. Subscriptions are renewed before "
            "it ends. It does not end watch.",
        ),
    ] = 1800,
) -> None:
    """Subscribe to the services of a device and print their events and the subscriptions' status.

    Ctrl-C unsubscribes and ends with exit status 0, or 130 before --count is reached.
    """
    options = WatchOptions(
        url=url,
        services=tuple(service or ()),
        json=json,
        raw=raw,
        count=count,
        diagnose=diagnose,
        port=port,
        callback_host=callback_host,
        callback_port=callback_port,
        duration=duration,
    )
    raise typer.Exit(run(run_watch(options), endless=count is None and not diagnose))
