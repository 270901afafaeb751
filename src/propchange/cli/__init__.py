"""The ``propchange`` command, with ``demo`` and ``watch``. Needs the extra ``cli``."""

from __future__ import annotations

import sys

__all__ = ["main"]

_NEEDED = frozenset({"click", "rich", "typer"})


def main() -> None:
    """The console script. Raises SystemExit with the status."""
    try:
        from propchange.cli.app import app
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _NEEDED:
            raise
        sys.exit(f"propchange: the command needs {missing}: pip install 'propchange[cli]'")
    app()
