"""Which modules an import of propchange loads, and which packages it needs."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import propchange
from propchange import errors

_BLOCKED = (
    "async_upnp_client",
    "click",
    "defusedxml",
    "lxml",
    "rich",
    "twisted",
    "uvloop",
)

_IMPORT = f"""
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {_BLOCKED!r}:
            raise ImportError("blocked: " + name)

sys.meta_path.insert(0, Blocker())
before = set(sys.modules)
from propchange import *
from propchange.driver.machine import Interfaces
Interfaces()
known = sys.stdlib_module_names
new = {{name.partition(".")[0] for name in set(sys.modules) - before}} - known
# What httptools' compiler puts there has no spec.
print(*sorted(name for name in new if getattr(sys.modules[name], "__spec__", None)))
"""


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=30, check=False
    )


def test_no_exception_is_a_runtimes() -> None:
    for name in errors.__all__:
        for base in getattr(errors, name).__mro__:
            assert base in (Exception, BaseException, object) or base.__module__ == errors.__name__


def test_importing_it_needs_httptools_and_ifaddr_alone() -> None:
    ran = run_python("-W", "error", "-c", _IMPORT)
    assert ran.stderr == ""
    assert ran.stdout.split() == ["httptools", "ifaddr", "propchange"]


def test_the_package_asks_for_no_more_than_that_and_platformdirs() -> None:
    required = importlib.metadata.requires("propchange") or []
    plain = {line.split(">")[0] for line in required if "extra ==" not in line}
    # platformdirs is imported when a device announces itself.
    assert plain == {"httptools", "ifaddr", "platformdirs"}


def test_the_package_is_typed() -> None:
    assert (Path(propchange.__file__).parent / "py.typed").exists()
