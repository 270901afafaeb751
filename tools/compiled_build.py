"""Builds propchange with the modules of its hot paths compiled by mypyc.

    python tools/compiled_build.py build/compiled

copies the package to that directory and compiles MODULES there, beside their sources. Nothing is
written below src. If the directory has a build of the same sources already, nothing is done.
`PROPCHANGE_COMPILE=1 pip install .` does the same by hatch_build.py.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent / "src"

MODULES = (
    "propchange.core.deadlines",
    "propchange.core.publisher.backlog",
    "propchange.core.publisher.delivery_endpoints",
    "propchange.core.publisher.delivery_queue",
    "propchange.core.publisher.delivery_share",
    "propchange.core.publisher.event_holds",
    "propchange.core.publisher.former_subscriptions",
    "propchange.core.publisher.moderation",
    "propchange.core.publisher.protocol",
    "propchange.core.publisher.records",
    "propchange.core.subscriber.event_queue",
    "propchange.core.subscriber.event_reception",
    "propchange.core.subscriber.losses",
    "propchange.core.subscriber.notify_routing",
    "propchange.core.subscriber.record",
    "propchange.core.subscriber.timing",
    "propchange.core.token_bucket",
    "propchange.core.transitions",
    "propchange.core.values.lastchange",
    "propchange.core.wire.headers",
    "propchange.core.wire.messages",
    "propchange.core.wire.propertyset",
    "propchange.core.wire.refusals",
    "propchange.driver.accepting",
    "propchange.driver.delivery_connection",
    "propchange.driver.delivery_pool",
    "propchange.driver.delivery_turns",
    "propchange.driver.publication",
    "propchange.driver.server_connection",
    "propchange.driver.stream_sockets",
    "propchange.driver.turns",
    "propchange.http.encode",
    "propchange.http.framing",
    "propchange.http.passed_head",
    "propchange.http.requests",
    "propchange.http.responses",
)
"""The modules that are compiled: those in which an event spends its time, and what they call."""

MARK = "sources.sha256"

_COMPILE = """
import sys
from mypyc.build import mypycify
from setuptools import setup

setup(
    name="propchange",
    packages=[],
    ext_modules=mypycify(
        ["--strict", "--config-file=", *sys.argv[1:]],
        opt_level="2",
        debug_level="0",
        multi_file=True,
        group_name="propchange",
    ),
    script_args=["--quiet", "build_ext", "--inplace", "--parallel=2"],
)
"""


class BuildError(Exception):
    """The compiled build is not possible here. Its text says why, and what to do."""


def path_of(module: str) -> Path:
    """The source of a module, relative to the directory of the package."""
    return Path(*module.split(".")).with_suffix(".py")


def missing_tools() -> list[str]:
    """What the compiled build needs and this machine does not have."""
    missing = [name for name in ("mypy", "setuptools") if find_spec(name) is None]
    if platform.python_implementation() != "CPython":
        missing.append("CPython")
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "").split()
    if os.name == "posix" and (not compiler or shutil.which(compiler[0]) is None):
        missing.append(f"a C compiler ({compiler[0] if compiler else 'cc'})")
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not header.exists():
        missing.append(f"the headers of Python ({header})")
    return missing


def fingerprint(source: Path) -> str:
    """A hash of everything that the compiled modules are made of."""
    seen = hashlib.sha256(f"{sys.version} {version('mypy')} {_COMPILE} {MODULES}".encode())
    for path in sorted((source / "propchange").rglob("*.py")):
        seen.update(f"{path.relative_to(source)} ".encode() + path.read_bytes())
    return seen.hexdigest()


def build(target: Path, source: Path = SOURCE) -> list[Path]:
    """Build into ``target``, which is emptied before. Returns the compiled files. Raises
    BuildError."""
    if missing := missing_tools():
        raise BuildError(
            f"the compiled build of propchange needs {', '.join(missing)}; without "
            "PROPCHANGE_COMPILE the build needs none of that"
        )
    shutil.rmtree(target, ignore_errors=True)
    leave_out = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd")
    shutil.copytree(source / "propchange", target / "propchange", ignore=leave_out)
    command = [sys.executable, "-c", _COMPILE, *(str(path_of(module)) for module in MODULES)]
    done = subprocess.run(
        command,
        check=False,
        cwd=target,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise BuildError(f"mypyc or the C compiler failed:\n{done.stdout}")
    shutil.rmtree(target / "build")
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    return sorted(target.rglob(f"*{suffix}"))


def main() -> int:
    parser = argparse.ArgumentParser(description="Build propchange with compiled modules.")
    parser.add_argument("target", type=Path, help="where to; it is emptied before")
    options = parser.parse_args()
    target = options.target.absolute()
    sources = fingerprint(SOURCE)
    mark = target / MARK
    if mark.exists() and mark.read_text() == sources:
        print(f"{target} is up to date")
        return 0
    try:
        built = build(target)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    mark.write_text(sources)
    print(f"{len(MODULES)} modules compiled into {target}: {len(built)} files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
