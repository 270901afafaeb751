"""``propchange --completion SHELL``: the script with which a shell completes the command.

A shell completes commands, options, the values of options, names of network interfaces and names of
files. It completes no URL and no UDN: that would search the network at each press of a key.
"""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, CompletionItem, ShellComplete, get_completion_class


def completion_script(command: click.Command, shell: str) -> str:
    """The script for ``shell``, bash, zsh or fish."""
    made = get_completion_class(shell)
    assert made is not None
    completion = made(command, {}, "propchange", "_PROPCHANGE_COMPLETE")
    if isinstance(completion, BashComplete):
        # Its source() runs bash to check the version, also where the script is for another machine.
        return ShellComplete.source(completion)
    # Fish cuts each line at its commas; the help of an option may have one.
    return completion.source().replace('string split ","', 'string split -m 1 ","')


def complete_interface(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem]:
    """The names of the network interfaces of this machine that begin with ``begun``."""
    import ifaddr

    names = {each.nice_name for each in ifaddr.get_adapters()}
    return [CompletionItem(name) for name in sorted(names) if name.startswith(begun)]
