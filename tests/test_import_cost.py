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
CONTROL_POINT = "from propchange import ControlPoint"
HOST = "from propchange import Device, Service, StateVariable, host"
# Modules that take long to import, and are needed later or never.
NOT_NEEDED = {
    "ctypes",
    "email.utils",
    "fractions",
    "hashlib",
    "http.client",
    "ifaddr",
    "importlib.metadata",
    "json",
    "pathlib",
    "platformdirs",
    "secrets",
    "tempfile",
    "urllib.request",
    "xml.etree.ElementTree",
}


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


@pytest.mark.slow
@pytest.mark.parametrize("package", LAZY_PACKAGES)
def test_dir_and_help_show_every_public_name_before_it_is_used(package: str) -> None:
    program = f"""
import inspect, {package} as room
print({{*room.__all__}} <= {{*dir(room)}}, {{*room.__all__}} <= {{*dict(inspect.getmembers(room))}})
"""
    assert run(program) == "True True\n"


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("statement", [CONTROL_POINT, HOST])
def test_neither_side_loads_a_module_that_it_does_not_need_at_import(statement: str) -> None:
    loaded = loaded_by(statement)
    assert loaded & NOT_NEEDED == set()
    assert len(loaded) < 220


@pytest.mark.slow
def test_nothing_is_imported_once_a_host_and_a_control_point_have_been_entered() -> None:
    """A peer may come when no descriptor is left, and an import needs one."""
    program = """
import asyncio, sys
from propchange import ControlPoint, Device, Service, StateVariable, action, host

class Lamp(Service, type="urn:example-org:service:Lamp:1"):
    level = StateVariable("ui1", initial=0)
    colour = StateVariable("string", initial="")

    @action
    def set_level(self, new_level: level) -> None:
        self.level = new_level

class NothingIsFound:
    def find_spec(self, name, path=None, target=None):
        print(name)
        raise OSError(24, "Too many open files")

async def ask(port, request):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.readline()
    writer.close()
    return answer.decode().split()[1]

async def main():
    lamp = Lamp()
    device = Device("Lamp", services=[lamp])
    async with (
        host(device, interface="127.0.0.1", announce=False) as hosted,
        ControlPoint(interface="127.0.0.1") as control_point,
    ):
        sys.meta_path.insert(0, NothingIsFound())
        remote = await control_point.device(hosted.description_url)
        service = remote["Lamp"]
        async with service.subscribe() as subscription:
            await service.call("SetLevel", NewLevel=7)
            lamp.colour = "<red & blue>"
            async for event in subscription:
                if subscription.values.get("Colour"):
                    break
            notify = (
                "NOTIFY {} HTTP/1.1\\r\\nHOST: 127.0.0.1\\r\\nNT: upnp:event\\r\\n"
                "NTS: upnp:propchange\\r\\nSID: {}\\r\\nSEQ: 9\\r\\nCONTENT-LENGTH: 9\\r\\n\\r\\n"
                "<a>&b</c>"
            )
            path = subscription.callback.partition("//")[2].partition("/")[2]
            notify = notify.format("/" + path, subscription.sid).encode()
            assert await ask(control_point.port, notify) == "400"
        assert await ask(hosted.port, b"GET /no HTTP/1.1\\r\\nHOST: 127.0.0.1\\r\\n\\r\\n") == "404"

asyncio.run(main())
"""
    assert run(program) == ""


@pytest.mark.slow
def test_a_control_point_loads_no_publisher_and_a_host_no_subscriber() -> None:
    control_point = loaded_by(CONTROL_POINT)
    host = loaded_by(HOST)
    assert "propchange.core.subscriber.protocol" in control_point
    assert "propchange.core.publisher.protocol" in host
    assert modules_of("propchange.core.publisher.", control_point) == set()
    assert modules_of("propchange.core.subscriber.", host) == {"connection_history"}
    assert "propchange.driver.host" not in control_point
    assert "propchange.driver.control_point" not in host


def modules_of(room: str, loaded: set[str]) -> set[str]:
    return {name.removeprefix(room) for name in loaded if name.startswith(room)}


@pytest.mark.slow
def test_import_propchange_costs_a_fraction_of_import_asyncio() -> None:
    program = """
import time
begun = time.process_time()
import asyncio
between = time.process_time()
import propchange
print((time.process_time() - between) / (between - begun))
"""
    assert min(float(run(program)) for _ in range(3)) < 0.25
