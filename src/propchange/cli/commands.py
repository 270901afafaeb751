"""The commands. Each is imported when it is run: together they take 150 ms."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from functools import partial

import click

from propchange.cli.statuses import EXIT_STATUSES

_LINES = {
    "bridge": "Send the events of devices to a broker.",
    "call": "Call an action of a device and print its out arguments.",
    "demo": "Simulate two devices and print their events.",
    "discover": "Search for devices and print each of them.",
    "host": "Host the device that FILE.toml describes.",
    "watch": "Print the events of the services of devices.",
}
"""The first line of the help of each command."""

_SHELLS = ("bash", "zsh", "fish")


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

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the exit statuses into the help."""
        with formatter.section("Exit status"):
            formatter.write_dl(list(EXIT_STATUSES))


def command() -> Commands:
    """The whole command, with the options that it has without one of its commands."""
    made = Commands(
        help="UPnP eventing (GENA): find devices, print their events, call their actions, "
        "and host a device. propchange COMMAND --help has the options of each command.",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    version = "Print the versions of propchange, Python, the event loop and the system, and exit."
    click.option(
        "--version",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=partial(_print, _version),
        help=version,
    )(made)
    click.option(
        "--completion",
        type=click.Choice(_SHELLS),
        is_eager=True,
        expose_value=False,
        callback=partial(_print, _completion),
        help="Print the script with which this shell completes the command, and exit. For bash, "
        'write into ~/.bashrc: eval "$(propchange --completion bash)"',
    )(made)
    return made


def _print(
    text: Callable[[click.Context, str], str],
    ctx: click.Context,
    _: click.Parameter,
    value: str | None,
) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(text(ctx, value))
        ctx.exit()


def _version(_: click.Context, __: str) -> str:
    from propchange.cli.version import version_text

    return version_text()


def _completion(ctx: click.Context, shell: str) -> str:
    from propchange.cli.completion import completion_script

    return completion_script(ctx.command, shell)
