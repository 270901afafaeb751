"""The command line: what the commands and their options are called."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import version
from ipaddress import ip_address
from typing import Annotated

import typer

from propchange.cli.demo import demo as run_demo
from propchange.cli.discover import DiscoverOptions
from propchange.cli.discover import discover as run_discover
from propchange.cli.running import run
from propchange.cli.watch import WatchOptions
from propchange.cli.watch import watch as run_watch
from propchange.driver.interfaces import ports_of

__all__ = ["app"]

app = typer.Typer(
    name="propchange",
    help="UPnP eventing (GENA): watch what devices tell, and see it work.",
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


def _callback_host(text: str | None) -> str | None:
    """An address that a device can call: no port, no zone, not "any"."""
    if text is None:
        return None
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        address = ip_address(bare)
    except ValueError:
        if re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", bare) is None:
            raise typer.BadParameter("an IP address or a host name, without a port") from None
        return bare
    if address.is_unspecified or address.is_multicast or getattr(address, "scope_id", None):
        raise typer.BadParameter("an address that the device can connect to")
    return bare


def _ports(text: str) -> Sequence[int]:
    """``P`` or ``P-Q``, as :class:`propchange.ControlPoint` takes them."""
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
    """UPnP eventing (GENA): watch what devices tell, and see it work."""


@app.command()
def demo(
    seconds: Annotated[
        float | None,
        typer.Option(min=0, help="End after so many seconds. Without it, Ctrl-C ends the demo."),
    ] = None,
    lan: Annotated[
        bool,
        typer.Option(
            "--lan",
            help="Host the devices where other machines can reach them, at the URLs that are "
            "printed, and not on the loopback interface.",
        ),
    ] = False,
) -> None:
    """Simulate a thermometer and a media renderer, and print their events.

    A control point subscribes to both over real sockets of this machine. Off a terminal it prints
    JSON Lines, as watch does.
    """
    raise typer.Exit(run(run_demo(seconds, lan=lan), endless=seconds is None))


@app.command()
def discover(
    seconds: Annotated[
        float, typer.Option(min=0, help="How long to listen; 0: until Ctrl-C.")
    ] = 5.0,
    type: Annotated[
        str | None,
        typer.Option(
            metavar="T",
            help="Only devices with this device or service type, embedded ones too: a whole type, "
            "or a short name such as MediaRenderer.",
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="JSON Lines, as always off a terminal.")
    ] = False,
    interface: Annotated[
        str | None,
        typer.Option(metavar="I", help="The one interface, or address of it, to search from."),
    ] = None,
) -> None:
    """Search for devices and print them as they appear, with the services that send events.

    Status 1 when there are none.
    """
    options = DiscoverOptions(seconds=seconds or None, type=type, json=json, interface=interface)
    raise typer.Exit(run(run_discover(options), endless=not seconds))


@app.command()
def watch(  # noqa: PLR0917 - typer calls it by name
    url: Annotated[
        str,
        typer.Argument(
            help="A device description, an event URL, or the UDN of a device (uuid:…), which is "
            "searched for and followed.",
            show_default=False,
        ),
    ],
    service: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A service to watch, by its short name, serviceId or type; can be repeated. "
            "Without it, all that send events.",
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="JSON Lines, as always off a terminal.")
    ] = False,
    raw: Annotated[
        bool,
        typer.Option(
            "--raw",
            help="Values as the texts received, not typed; on a terminal also each NOTIFY whole.",
        ),
    ] = False,
    count: Annotated[
        int | None, typer.Option(min=1, help="End after so many events, of all services together.")
    ] = None,
    diagnose: Annotated[
        bool,
        typer.Option(
            "--diagnose",
            help="Say whether events arrive and, if not, why and what to do, with the facts; then "
            "end, with status 0 if they do.",
        ),
    ] = False,
    port: Annotated[
        Sequence[int] | None,
        typer.Option(
            metavar="P[-Q]",
            parser=_ports,
            help="The port to take events on, or a range of which the first free one is taken: "
            "what a firewall has to let in. Without it, any free one.",
        ),
    ] = None,
    callback_host: Annotated[
        str | None,
        typer.Option(
            metavar="H",
            callback=_callback_host,
            help="The address that devices are to send events to, where it is not the one that "
            "connects to them (NAT, containers).",
        ),
    ] = None,
    callback_port: Annotated[
        int | None,
        typer.Option(
            metavar="P",
            min=1,
            max=65535,
            help="The port that devices are to send events to. Events are taken on it too, unless "
            "--port says otherwise.",
        ),
    ] = None,
    duration: Annotated[
        int,
        typer.Option(
            metavar="S",
            min=1,
            max=_LONGEST_DURATION,
            help="The duration in seconds to ask for in TIMEOUT; subscriptions are renewed "
            "before it ends. It is not how long watch runs.",
        ),
    ] = 1800,
) -> None:
    """Subscribe to a device's services and print their events and how the subscriptions are.

    Ctrl-C unsubscribes and ends with status 0, or 130 when --count has not been reached.
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
