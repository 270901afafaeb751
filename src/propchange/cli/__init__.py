"""The ``propchange`` command: ``call``, ``demo``, ``discover``, ``host``, ``watch``. It needs the
extra ``cli``."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

__all__ = ["main"]


def main() -> None:
    """The console script. Raises SystemExit with the exit status."""
    try:
        import click

        from propchange.cli.commands import Commands
    except KeyboardInterrupt:
        sys.exit(130)
    except ImportError as error:
        _refuse_to_run_without(error)
    # Where the shell has closed a standard stream (`>&-`), a socket would get its descriptor and
    # the texts written to it. os.open takes the lowest free one.
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    app = Commands(
        help="UPnP eventing (GENA): find devices, print their events, call their actions, "
        "and host a device.",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    click.version_option(package_name="propchange", message="propchange %(version)s")(app)
    try:
        app()
    except ImportError as error:  # of a command
        _refuse_to_run_without(error)


def _refuse_to_run_without(error: ImportError) -> NoReturn:
    missing = (error.name or "").partition(".")[0]
    if missing not in ("click", "rich"):
        raise error
    sys.exit(f"propchange: the command needs {missing}: pip install 'propchange[cli]'")
