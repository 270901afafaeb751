"""The ``propchange`` command: ``call``, ``demo``, ``discover``, ``host``, ``watch``. It needs the
extra ``cli``."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    import click

__all__ = ["main"]


def main() -> None:
    """The console script. Raises SystemExit with the exit status."""
    try:
        _main()
    except KeyboardInterrupt:
        sys.exit(130)


def _main() -> NoReturn:
    try:
        import click

        from propchange.cli.commands import command
    except ImportError as error:
        _refuse_to_run_without(error)
    # Where the shell has closed a standard stream (`>&-`), a socket would get its descriptor and
    # the texts written to it. os.open takes the lowest free one.
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    try:
        sys.exit(command().main(prog_name="propchange", standalone_mode=False))
    except click.UsageError as error:
        _refuse_command_line(error)
    except click.Abort:
        sys.exit(130)
    except BrokenPipeError:  # the reader of the help has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(0)
    except OSError as error:  # the help cannot be written
        sys.exit(f"propchange: {error.strerror or error}")
    except ImportError as error:  # of a command
        _refuse_to_run_without(error)


def _refuse_command_line(error: click.UsageError) -> NoReturn:
    """Write ``error`` in one line, which says where the options are listed; without any argument,
    the help."""
    path = " ".join(["propchange", *(each for each in sys.argv[1:2] if not each.startswith("-"))])
    if error.ctx is not None:
        path = error.ctx.command_path
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
    else:
        words = " ".join(error.format_message().split())
        see = f" See {path} --help." if words.endswith((".", "?")) else f"; see {path} --help"
        print(f"propchange: {words}{see}", file=sys.stderr)
    sys.exit(2)


def _refuse_to_run_without(error: ImportError) -> NoReturn:
    missing = (error.name or "").partition(".")[0]
    if missing not in ("click", "rich"):
        raise error
    sys.exit(f"propchange: the command needs {missing}: pip install 'propchange[cli]'")
