"""What an import of the package loads: names are imported when they are first used."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

LAZY_PACKAGES = ("propchange", "propchange.core")


def run(program: str) -> str:
    """What ``program`` prints in an interpreter of its own."""
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


def loaded_by(statement: str) -> set[str]:
    """The modules that ``statement`` loads beyond those of ``import asyncio``."""
    report = "print(json.dumps(sorted({*sys.modules} - before)))"
    program = f"import asyncio, json, sys; before = {{*sys.modules}}\n{statement}\n{report}"
    return set(json.loads(run(program)))


def imports_of_the_type_checker(package: str) -> dict[str, str]:
    """The public names that a type checker sees in ``package``, and their modules."""
    text = Path(importlib.import_module(package).__file__ or "").read_text()
    found = {}
    for statement in ast.parse(text).body:
        if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
            for line in statement.body:
                assert isinstance(line, ast.ImportFrom)
                assert line.module
                found.update({alias.name: line.module for alias in line.names})
    return found


@pytest.mark.parametrize("package", LAZY_PACKAGES)
def test_a_program_and_a_type_checker_find_the_same_names_in_the_same_modules(package: str) -> None:
    room = importlib.import_module(package)
    seen = imports_of_the_type_checker(package)
    assert sorted(seen) == sorted(room.__all__)
    for name, module in seen.items():
        assert getattr(room, name) is getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("package", LAZY_PACKAGES)
def test_dir_and_help_show_every_public_name_before_it_is_used(package: str) -> None:
    program = f"""
import inspect, {package} as room
print({{*room.__all__}} <= {{*dir(room)}}, {{*room.__all__}} <= {{*dict(inspect.getmembers(room))}})
"""
    assert run(program) == "True True\n"


@pytest.mark.parametrize("package", LAZY_PACKAGES)
def test_a_star_import_brings_every_public_name(package: str) -> None:
    program = f"from {package} import *\nimport {package} as room\n"
    assert run(program + "print({*room.__all__} <= {*globals()})") == "True\n"


@pytest.mark.parametrize("package", LAZY_PACKAGES)
def test_a_name_that_is_not_there_is_refused_as_in_any_module(package: str) -> None:
    room = importlib.import_module(package)
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
        _ = room.nothing
    assert not hasattr(room, "nothing")
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        exec(f"from {package} import nothing")


def test_no_dataclass_of_the_package_compiles_methods_that_a_record_has() -> None:
    program = """
import dataclasses, sys
from propchange import *
from propchange.core import *
for module in [each for name, each in sys.modules.items() if name.startswith("propchange.")]:
    for cls in vars(module).values():
        if dataclasses.is_dataclass(cls) and cls.__module__ == module.__name__:
            params = cls.__dataclass_params__
            if params.eq or params.repr:
                print(cls)
"""
    assert run(program) == ""


def test_a_public_name_is_looked_up_once() -> None:
    program = "import propchange; propchange.Limits; print('Limits' in vars(propchange))"
    assert run(program) == "True\n"


def test_import_propchange_loads_itself_alone() -> None:
    assert loaded_by("import propchange") - {"__future__"} == {
        "propchange",
        "propchange.lazy_names",
    }


def test_a_control_point_loads_no_publisher_and_a_host_no_subscriber() -> None:
    control_point = loaded_by("from propchange import ControlPoint")
    host = loaded_by("from propchange import Device, Service, StateVariable, host")
    assert "propchange.core.subscriber.protocol" in control_point
    assert "propchange.core.publisher.protocol" not in control_point
    assert "propchange.driver.host" not in control_point
    assert "propchange.core.publisher.protocol" in host
    assert "propchange.core.subscriber.protocol" not in host
    assert "propchange.driver.control_point" not in host


def test_import_propchange_costs_a_fraction_of_import_asyncio() -> None:
    program = """
import time
begun = time.process_time()
import asyncio
between = time.process_time()
import propchange
print((time.process_time() - between) / (between - begun))
"""
    assert min(float(run(program)) for _ in range(3)) < 0.5
