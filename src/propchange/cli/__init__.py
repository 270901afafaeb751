"""The ``propchange`` command: ``call``, ``demo``, ``discover``, ``host``, ``watch``. It needs the
extra ``cli``."""

from __future__ import annotations

import os
import sys

__all__ = ["main"]


def main() -> None:
    """The console script. Raises SystemExit with the exit status."""
    try:
        import click

        from propchange.cli.call import call
        from propchange.cli.demo import demo
        from propchange.cli.discover import discover
        from propchange.cli.host import host
        from propchange.cli.watch import watch
    except KeyboardInterrupt:
        sys.exit(130)
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in ("click", "rich"):
            raise
        sys.exit(f"propchange: the command needs {missing}: pip install 'propchange[cli]'")
    # Where the shell has closed a standard stream (`>&-`), a socket would get its descriptor and
    # the texts written to it. os.open takes the lowest free one.
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    app = click.Group(
        commands=[call, demo, discover, host, watch],
        help="UPnP eventing (GENA): find devices, print their events, call their actions, "
        "and host a device.",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    click.version_option(package_name="propchange", message="propchange %(version)s")(app)
    app()
