"""``propchange --version``: the versions that a report of a fault needs."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform


def version_text() -> str:
    """The versions of propchange, Python, the event loop and the system, a line each."""
    return (
        f"propchange {importlib.metadata.version('propchange')}\n"
        f"{platform.python_implementation()} {platform.python_version()}\n"
        f"event loop: {_loop()}\n"
        f"system: {platform.system()} {platform.release()} {platform.machine()}"
    )


def _loop() -> str:
    """The event loop on which the commands run: uvloop if it is installed."""
    try:
        if importlib.util.find_spec("uvloop") is not None:
            return f"uvloop {importlib.metadata.version('uvloop')}"
    except (ValueError, importlib.metadata.PackageNotFoundError):
        pass  # a uvloop that cannot be imported
    return "asyncio"
