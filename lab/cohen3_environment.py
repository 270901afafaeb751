"""An environment of its own for Cohen3: Twisted 21.7 and what else it still runs on.

It is built once, from the hashed pins in tests/compat/cohen3, in the cache folder of the user.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from lab.programs import Missing

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
    pins = _PINS.read_bytes() + _SHIM.encode() + b"pth"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "propchange" / f"cohen3-{hashlib.sha256(pins).hexdigest()[:16]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Several processes may want it at once: one builds, the others wait.
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _build(folder)
    return folder / "bin" / "python"


def _python_3_11() -> str:
    if sys.version_info[:2] == (3, 11):
        return sys.executable
    found = shutil.which("python3.11")
    if found is None:
        raise Missing("Twisted 21.7 is tested on Python 3.11 only, and there is no python3.11")
    return found


def _build(folder: Path) -> None:
    """Create the environment in ``folder``; a failure leaves no folder."""
    building = folder.with_name(f"{folder.name}.{os.getpid()}")
    commands = [
        [_python_3_11(), "-m", "venv", str(building)],
        [
            str(building / "bin" / "python"),
            *("-m", "pip", "--disable-pip-version-check", "install", "--quiet"),
            *("--require-hashes", "-r", str(_PINS)),
        ],
    ]
    try:
        for command in commands:
            made = subprocess.run(command, capture_output=True, text=True, check=False)
            if made.returncode:
                raise Missing((made.stderr.strip() or made.stdout.strip() or "?").splitlines()[-1])
        packages = next((building / "lib").glob("python3.*/site-packages"))
        # Debian's Python has a sitecustomize of its own, which would hide one of ours.
        (packages / "cohen3_shim.py").write_text(_SHIM)
        (packages / "cohen3_shim.pth").write_text("import cohen3_shim\n")
        # A virtual environment keeps working where it is moved, but for its scripts.
        building.rename(folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)
