"""An environment of its own with Home Assistant's schemas of MQTT discovery."""

from __future__ import annotations

from pathlib import Path

from lab.own_environment import environment_python, python_of

__all__ = ["python"]

_PINS = Path(__file__).parent.parent / "tests" / "compat" / "home_assistant" / "requirements.txt"


def python() -> Path:
    """The Python of an environment that has them. Raises Missing if it cannot be built."""
    return environment_python(
        "home-assistant",
        lambda: python_of((3, 12), "this version of Home Assistant runs on Python 3.12"),
        _PINS,
        # The packages that the schemas do not use are left out. Compiling the thousand others of
        # Home Assistant takes longer than installing them.
        options=("--no-deps", "--no-compile"),
    )
