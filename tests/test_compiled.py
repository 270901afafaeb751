"""The compiled build: what it needs of the sources, and what it says when it is not possible.

These tests read the sources. `make compiled` compiles them and runs the tests of core and http."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
import zipfile
from importlib.metadata import requires
from pathlib import Path

import compiled_build
import pytest
from compiled_build import MODULES, SOURCE, path_of
from hatchling.build import get_requires_for_build_wheel
from packaging.requirements import Requirement

import propchange

ROOT = SOURCE.parent
INTERPRETED_BASES = {"NamedTuple", "Enum", "IntEnum"}


def classes_of(path: Path) -> list[ast.ClassDef]:
    return [
        node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)
    ]


def base_names(node: ast.ClassDef) -> set[str]:
    return {ast.unparse(base).partition("[")[0].rpartition(".")[2] for base in node.bases}


def is_interpreted(node: ast.ClassDef) -> bool:
    """Whether mypyc leaves the class to the interpreter."""
    marked = any(ast.unparse(each) == "interpreted" for each in node.decorator_list)
    return marked or bool(base_names(node) & INTERPRETED_BASES)


@pytest.mark.parametrize("module", MODULES)
def test_each_compiled_module_exists(module: str) -> None:
    assert (SOURCE / path_of(module)).is_file()


def test_the_modules_are_compiled_all_or_none() -> None:
    files = [str(importlib.import_module(module).__file__) for module in MODULES]
    assert len({Path(file).suffix for file in files}) == 1


def test_no_class_of_the_interpreter_derives_from_a_compiled_class() -> None:
    sources = {str(path_of(module)) for module in MODULES}
    compiled = {
        node.name
        for source in sources
        for node in classes_of(SOURCE / source)
        if not is_interpreted(node)
    }
    wrong = [
        f"{path}: {node.name}; mark its base with @interpreted, or add the module to MODULES"
        for path in (SOURCE / "propchange").rglob("*.py")
        if str(path.relative_to(SOURCE)) not in sources
        for node in classes_of(path)
        if base_names(node) & compiled
    ]
    assert not wrong


def test_each_protocol_in_a_compiled_module_may_be_implemented_elsewhere() -> None:
    wrong = [
        f"{module}: {node.name} needs @interpreted"
        for module in MODULES
        for node in classes_of(SOURCE / path_of(module))
        if "Protocol" in base_names(node) and not is_interpreted(node)
    ]
    assert not wrong


def test_each_compiled_class_that_may_be_empty_says_so_itself() -> None:
    """In `if found:`, where found is a value or None, mypyc looks for None and `__bool__` alone: an
    object with `__len__`, or a list, would count as true when it is empty."""
    containers = {"list", "dict", "set", "tuple", "OrderedDict", "deque"}
    wrong = []
    for module in MODULES:
        for node in classes_of(SOURCE / path_of(module)):
            methods = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
            may_be_empty = "__len__" in methods or base_names(node) & containers
            if may_be_empty and "__bool__" not in methods:
                wrong.append(f"{module}: {node.name} needs __bool__")
    assert not wrong


def test_programs_can_derive_from_each_public_class() -> None:
    public = [getattr(propchange, name) for name in propchange.__all__]
    compiled = [each for each in public if hasattr(each, "__mypyc_attrs__")]
    assert not compiled


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CC", "no-such-compiler -O2")
    with pytest.raises(compiled_build.BuildError, match=r"a C compiler \(no-such-compiler\)"):
        compiled_build.build(tmp_path / "build")
    assert not (tmp_path / "build").exists()


def test_an_editable_installation_is_not_compiled() -> None:
    done = hatchling("editable", PROPCHANGE_COMPILE="1")
    assert done.returncode == 1
    assert "PROPCHANGE_COMPILE: an editable installation is not compiled" in done.stderr


@pytest.mark.parametrize("compiled", ["0", "1"])
def test_an_isolated_build_has_what_the_compiled_modules_import(
    monkeypatch: pytest.MonkeyPatch, compiled: str
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PROPCHANGE_COMPILE", compiled)
    needed = {Requirement(each).name for each in get_requires_for_build_wheel()}
    runtime = {Requirement(each).name for each in requires("propchange") or () if ";" not in each}
    assert needed == ({"mypy", "setuptools", *runtime} if compiled == "1" else set())
    assert "httptools" in runtime


def test_the_default_wheel_is_pure(tmp_path: Path) -> None:
    done = hatchling("standard", str(tmp_path), PROPCHANGE_COMPILE="0")
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if name.endswith((".so", ".pyd"))]


def hatchling(
    version: str, directory: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Build a wheel of this version of the target ``wheel``."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", f"wheel:{version}"]
    return subprocess.run(
        command + (["--directory", directory] if directory else []),
        check=False,
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
