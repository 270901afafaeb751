"""The ``propchange`` command, with ``demo`` and ``watch``. Needs the extra ``cli``."""

from __future__ import annotations

import os
import sys

__all__ = ["main"]

_NEEDED = frozenset({"click", "rich", "typer"})


def main() -> None:
    """The console script. Raises SystemExit with the status."""
    try:
        from propchange.cli.app import app
    except KeyboardInterrupt:
        sys.exit(130)
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _NEEDED:
            raise
        sys.exit(f"propchange: the command needs {missing}: pip install 'propchange[cli]'")
    _keep_standard_descriptors()
    app()


def _keep_standard_descriptors() -> None:
    """Where the shell has closed one (``>&-``), a socket would take its number, and what is meant
    for it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
