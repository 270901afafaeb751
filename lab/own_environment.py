"""Environments of Python of their own, for programs whose packages cannot be among ours.

Each is built once, from hashed pins, in the cache folder of the user.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from lab.programs import Missing

__all__ = ["NoPython", "environment_python", "python_of"]


class NoPython(Missing):
    """There is no Python of the version that an environment needs."""


def python_of(version: tuple[int, int], why: str) -> str:
    """A Python of this version. Raises NoPython with the reason ``why`` it must be this one."""
    if sys.version_info[:2] == version:
        return sys.executable
    name = f"python{version[0]}.{version[1]}"
    found = shutil.which(name)
    # A shim of pyenv is there for a version that is not switched on.
    shims = [Path(found).parent.parent] if found is not None else []
    for root in (os.environ.get("PYENV_ROOT"), Path.home() / ".pyenv", *shims):
        if root and (installed := sorted(Path(root).glob(f"versions/{name[6:]}.*/bin/{name}"))):
            return str(installed[-1])
    if found is None or Path(found).parent.name == "shims":
        raise NoPython(f"{why}, and there is no {name}")
    return found


def environment_python(
    name: str,
    base: Callable[[], str],
    pins: Path,
    *,
    options: Sequence[str] = (),
    recipe: bytes = b"",
    finish: Callable[[Path], object] = lambda packages: None,
) -> Path:
    """The Python of the environment ``name``, with the packages of ``pins``. ``base`` returns the
    Python to make it with. ``options`` are those of pip. ``finish`` is called with the folder of
    the packages; ``recipe`` is its part of what makes this environment another one. Raises Missing
    if it cannot be built."""
    key = pins.read_bytes() + recipe + " ".join(options).encode()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "propchange" / f"{name}-{hashlib.sha256(key).hexdigest()[:16]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Several processes may want it at once: one builds, the others wait.
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _build(folder, base(), pins, options, finish)
    return folder / "bin" / "python"


def _build(
    folder: Path,
    base: str,
    pins: Path,
    options: Sequence[str],
    finish: Callable[[Path], object],
) -> None:
    """Create the environment in ``folder``; a failure leaves no folder."""
    building = folder.with_name(f"{folder.name}.{os.getpid()}")
    commands = [
        [base, "-m", "venv", str(building)],
        [
            str(building / "bin" / "python"),
            *("-m", "pip", "--disable-pip-version-check", "install", "--quiet"),
            *("--require-hashes", "-r", str(pins), *options),
        ],
    ]
    try:
        for command in commands:
            made = subprocess.run(command, capture_output=True, text=True, check=False)
            if made.returncode:
                raise Missing((made.stderr.strip() or made.stdout.strip() or "?").splitlines()[-1])
        finish(next((building / "lib").glob("python3.*/site-packages")))
        # A virtual environment keeps working where it is moved, but for its scripts.
        building.rename(folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)
