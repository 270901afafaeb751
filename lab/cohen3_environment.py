"""An environment of its own for Cohen3: Twisted 21.7 and what else it still runs on."""

from __future__ import annotations

from pathlib import Path

from lab.own_environment import environment_python, python_of

__all__ = ["python"]

_PINS = Path(__file__).parent.parent / "tests" / "compat" / "cohen3" / "requirements.txt"

# What Python 3.10 took out of `collections`, for the package that Cohen3's events stand on.
_SHIM = """
import collections
import collections.abc

for name in collections.abc.__all__:
    if not hasattr(collections, name):
        setattr(collections, name, getattr(collections.abc, name))
"""


def python() -> Path:
    """The Python of an environment that has Cohen3. Raises Missing if it cannot be built."""
    return environment_python(
        "cohen3",
        lambda: python_of((3, 11), "Twisted 21.7 is tested on Python 3.11 only"),
        _PINS,
        recipe=_SHIM.encode() + b"pth",
        finish=_add_shim,
    )


def _add_shim(packages: Path) -> None:
    # Debian's Python has a sitecustomize of its own, which would hide one of ours.
    (packages / "cohen3_shim.py").write_text(_SHIM)
    (packages / "cohen3_shim.pth").write_text("import cohen3_shim\n")
