"""Runs make targets on every Python of this machine that the package supports: `make matrix`.

Each Python has an environment of its own in `.venvs`, from the same pins. Arguments are the
targets; without one they are `fast` and `dist`. The exit status is 1 if a target failed anywhere.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
TARGETS = ("fast", "dist")

_SAY_VERSION = """
import sys, sysconfig
threads = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
print("{}.{}.{}".format(*sys.version_info) + threads, sys.version_info.releaselevel)
"""


class Python(NamedTuple):
    """An interpreter: its version as numbers, whether it is free-threaded, and its path."""

    version: tuple[int, ...]
    free_threaded: bool
    path: Path

    @property
    def name(self) -> str:
        """The minor version, "3.13", or "3.13t" without the global lock."""
        return f"{self.version[0]}.{self.version[1]}{'t' * self.free_threaded}"

    def __str__(self) -> str:
        return ".".join(map(str, self.version)) + "t" * self.free_threaded


class Run(NamedTuple):
    """What one target gave on one Python."""

    python: Python
    target: str
    status: int
    seconds: float


def declared() -> tuple[str, ...]:
    """The minor versions that the classifiers of the package name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    versions = (re.search(r":: (3\.\d+)$", each) for each in project["classifiers"])
    return tuple(found[1] for found in versions if found)


def candidates() -> Iterator[Path]:
    """Paths that may be interpreters: of pyenv, of uv, and on PATH."""
    home = Path.home()
    pyenv = Path(os.environ.get("PYENV_ROOT", home / ".pyenv")) / "versions"
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR", home / ".local/share/uv/python"))
    for folder in (pyenv, uv):
        yield from sorted(folder.glob("*/bin/python3"))
    for name in ("python3", *(f"python{version}" for version in declared())):
        found = shutil.which(name)
        if found is not None:
            yield Path(found)


def described(path: Path, said: str) -> Python | None:
    """The Python at ``path`` that has printed ``said`` about itself; None for one that is not
    supported."""
    match = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)(t?) \w+\n", said)
    if match is None:
        return None
    python = Python(tuple(map(int, match.groups()[:3])), bool(match[4]), path)
    return python if python.version >= (3, 11) else None


def ask(path: Path) -> Python | None:
    """The Python at ``path``, None if it is not supported or does not run."""
    try:
        done = subprocess.run(
            [path, "-I", "-c", _SAY_VERSION], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return described(path, done.stdout)


def newest_of_each(pythons: Iterable[Python | None]) -> list[Python]:
    """The newest of ``pythons`` of each minor version, the oldest version first."""
    newest: dict[str, Python] = {}
    for python in pythons:
        if python is None:
            continue
        known = newest.get(python.name)
        if known is None or known.version < python.version:
            newest[python.name] = python
    return sorted(newest.values())


def run(python: Python, target: str) -> Run:
    """Make ``target`` on ``python``, with the output of make."""
    venv = f".venvs/{python.name}"
    began = time.monotonic()
    made = subprocess.run(
        ["make", "--no-print-directory", target, f"PYTHON={python.path}", f"VENV={venv}"],
        cwd=ROOT,
        check=False,
    )
    return Run(python, target, made.returncode, time.monotonic() - began)


def table(runs: Iterable[Run], absent: Iterable[str]) -> str:
    """The runs as lines, and the Pythons that are supported and not here."""
    lines = [f"{'Python':<10} {'target':<8} {'seconds':>8}  result"]
    for each in runs:
        result = "passed" if each.status == 0 else f"failed (status {each.status})"
        lines.append(f"{each.python!s:<10} {each.target:<8} {each.seconds:>8.1f}  {result}")
    lines += [f"{version:<10} is not on this machine" for version in absent]
    return "\n".join(lines)


def main() -> None:
    """Run the targets of the command line everywhere, and print the table."""
    targets = sys.argv[1:] or TARGETS
    pythons = newest_of_each(map(ask, candidates()))
    runs = []
    for python in pythons:
        environment = run(python, "venv")
        runs.append(environment)
        if environment.status == 0:
            runs += [run(python, target) for target in targets]
    here = {python.name for python in pythons}
    print(table(runs, [version for version in declared() if version not in here]))
    sys.exit(any(each.status for each in runs) or not pythons)


if __name__ == "__main__":
    main()
