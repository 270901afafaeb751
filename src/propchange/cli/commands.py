"""The commands. Each is imported when it is run: together they take 150 ms."""

from __future__ import annotations

import importlib
import sys

import click

_LINES = {
    "bridge": "Send the events of devices to a broker.",
    "call": "Call an action of a device and print its out arguments.",
    "demo": "Simulate two devices and print their events.",
    "discover": "Search for devices and print each of them.",
    "host": "Host the device that FILE.toml describes.",
    "watch": "Print the events of the services of devices.",
}
"""The first line of the help of each command."""


class Commands(click.Group):
    """The group of all commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands."""
        return list(_LINES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command ``cmd_name``, imported; None if there is none."""
        if cmd_name not in _LINES:
            return None
        try:
            module = importlib.import_module(f"propchange.cli.{cmd_name}")
        except KeyboardInterrupt:
            sys.exit(130)
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of the commands into the help, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_LINES.items()))
