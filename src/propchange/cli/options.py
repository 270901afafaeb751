"""Options that several commands have, and the control point that they describe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from propchange import ControlPoint
from propchange.cli.completion import complete_interface
from propchange.cli.exit_status import CommandFailed
from propchange.cli.lines import escape
from propchange.driver.chosen_addresses import ChosenAddresses
from propchange.driver.links import EVERYTHING
from propchange.driver.machine import Interfaces

_MOST_SECONDS = 31_536_000.0
"""A year. Timers of some loops take no more than a few hundred."""


if TYPE_CHECKING:
    _ParamType = click.ParamType[float]
else:  # it is not generic in click 8.1
    _ParamType = click.ParamType


class Seconds(_ParamType):
    """A number of seconds from 0 (with ``min_open``: above 0), at most a year."""

    name = "seconds"

    def __init__(self, *, min_open: bool = False) -> None:
        self._min_open = min_open

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number. Raises click.BadParameter."""
        try:
            seconds = float(value)
        except ValueError:
            self.fail(f"{value!r} is no number of seconds", param, ctx)
        if not 0 <= seconds <= _MOST_SECONDS or (self._min_open and not seconds):
            least = "above 0" if self._min_open else "from 0"
            self.fail(f"give {least} and at most {_MOST_SECONDS:.0f} seconds", param, ctx)
        return seconds


interface_option = click.option(
    "--interface",
    metavar="I",
    shell_complete=complete_interface,
    help="Use this interface only: a name or an address.",
)

exclude_option = click.option(
    "--exclude",
    multiple=True,
    metavar="I",
    shell_complete=complete_interface,
    help="Do not use the interface with this name. Can be repeated.",
)


def wanted_type(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    """The value of ``--type``; None for all types. Raises click.BadParameter for a text that no
    device can announce."""
    if text is None or text == EVERYTHING:
        return None
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise click.BadParameter("give a device type, a service type or a short name of one")
    return text


def make_control_point(
    *, interface: str | None, exclude: Sequence[str], **options: Any
) -> ControlPoint:
    """A control point with the options of a command. Prints a warning for each name of ``exclude``
    that no interface has. Raises CommandFailed for options that cannot be used."""
    try:
        made = ControlPoint(interface=interface, exclude=exclude, **options)
        chosen = ChosenAddresses(Interfaces(), interface, exclude)
    except ValueError as error:
        raise CommandFailed(str(error), status=2) from error
    for problem in chosen.unknown_names() if exclude else ():
        click.echo(f"propchange: {escape(problem)}", err=True)
    return made


NO_NETWORK = (
    "no device can be found: no interface of this machine has an address from which multicast can "
    "be sent; connect this machine to a network, or give the URL of a device to watch or call"
)
"""The sentence for a search that reaches no network."""


def nothing_found(seconds: float, type: str | None, addresses: tuple[str, ...]) -> str:
    """Why no device was found within ``seconds``, from ``addresses``. 0 seconds: without a
    limit."""
    if not addresses:
        return NO_NETWORK
    device = "no device" if type is None else f"no device with the type {type}"
    within = f" within {seconds:g} s" if seconds else ""
    return (
        f"{device} has answered{within} (searched from {', '.join(addresses)}). Check that the "
        "device is on the same network and that a firewall lets UDP port 1900 through both ways; "
        "multicast reaches neither the network of a container nor a guest Wi-Fi"
    )
