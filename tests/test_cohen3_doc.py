"""The reference in docs/cohen3.md has the signatures of the code; its program uses all names."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
from twisted.web.resource import Resource

from lab import cohen3_environment
from lab.programs import Missing
from propchange import cohen3
from propchange.cohen3.dispatcher import EventDispatcher
from tests.compat.conftest import missing
from tests.development_mode import IN_DEVELOPMENT

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "cohen3.md").read_text("utf-8")
(PROGRAM,) = (
    block
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    if "DeviceService" in block
)
PRINTED = PAGE.partition(PROGRAM)[2].partition("```text\n")[2].partition("```")[0]
NAMES = {
    *("EventServer", "EventSubscriptionServer", "Event", "EventProtocol", "NotificationProtocol"),
    *("subscribe", "unsubscribe", "send_notification"),
}


def written() -> dict[str, ast.FunctionDef]:
    """The signatures of the page: of a function by its name, of a method by Class.name."""
    found: dict[str, ast.FunctionDef] = {}
    for block in re.findall(r"```pyi\n(.*?)```", PAGE, re.DOTALL):
        for node in ast.parse(block).body:
            if isinstance(node, ast.FunctionDef):
                found[node.name] = node
            elif isinstance(node, ast.ClassDef):
                methods = [each for each in node.body if isinstance(each, ast.FunctionDef)]
                found |= {f"{node.name}.{each.name}": each for each in methods}
    return found


WRITTEN = written()


def code_of(name: str) -> Any:
    """The object of the code that the page calls ``name``."""
    first, _, method = name.partition(".")
    found = EventDispatcher if first == "EventDispatcher" else getattr(cohen3, first)
    return getattr(found, method) if method else found


@pytest.mark.parametrize("name", WRITTEN)
def test_the_signature_is_that_of_the_code(name: str) -> None:
    (node,) = ast.parse(inspect.cleandoc("\n" + inspect.getsource(code_of(name)))).body
    assert isinstance(node, ast.FunctionDef)
    page = WRITTEN[name]
    assert ast.unparse(page.args) == ast.unparse(node.args)
    assert page.returns is not None
    assert node.returns is not None
    assert ast.unparse(page.returns) == ast.unparse(node.returns)


def test_each_of_the_eight_names_has_its_signature() -> None:
    assert {name.partition(".")[0] for name in WRITTEN} == {*NAMES, "EventDispatcher"}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_the_bases_of_a_class_and_its_log_category_are_those_of_the_code(name: str) -> None:
    kind = getattr(cohen3, name)
    if isinstance(kind, FunctionType):
        return
    bases = re.search(rf"^class {name}\((.*)\):$", PAGE, re.MULTILINE)
    assert bases is not None
    names = [each.partition("[")[0] for each in re.sub(r"\[.*?\]", "", bases[1]).split(", ")]
    assert names == [each.__name__ for each in kind.__bases__]
    assert f'`"{kind.logCategory}"`' in PAGE


class Coherence:
    hostname, web_server_port = "127.0.0.1", 8080

    def __init__(self) -> None:
        self.root = Resource()  # type: ignore[no-untyped-call] # Twisted's

    def add_web_resource(self, name: str, resource: Any) -> None:
        self.root.putChild(name.encode(), resource)  # type: ignore[no-untyped-call] # Twisted's


class ControlPoint:
    def __init__(self) -> None:
        self.coherence = Coherence()


class DeviceService:
    id, backend = "RenderingControl", None

    def __init__(self) -> None:
        self.subscribers: dict[str, Any] = {}

    def get_subscribers(self) -> dict[str, Any]:
        return self.subscribers


def test_the_attributes_of_the_tables_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["propchange.cohen3.event_server"]
    for name in ("hostname", "web_server_port", "current"):
        monkeypatch.setattr(module, name, None)  # what the EventServer below sets is taken back
    objects = [cohen3.EventServer(ControlPoint()), cohen3.EventSubscriptionServer(DeviceService())]
    for made in objects:
        section = PAGE.partition(f"### `{type(made).__name__}`")[2].partition("\n### ")[0]
        table = section.partition("| attribute |")[2].partition("\n\n")[0]
        names = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)))
        assert len(names) >= 4
        for name in names:
            assert hasattr(made, name), f"{type(made).__name__} has no {name}"
    assert cohen3.web_server_port == 8080


def test_a_port_that_changes_after_construction_does_not_reach_the_delivery_url(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module: Any = sys.modules["propchange.cohen3.event_server"]
    for name in ("hostname", "web_server_port", "current"):
        monkeypatch.setattr(module, name, None)
    control_point = ControlPoint()
    cohen3.EventServer(control_point)
    control_point.coherence.web_server_port = 9090
    assert module.delivery_url() == "http://127.0.0.1:8080/events"
    monkeypatch.setattr(cohen3, "web_server_port", 9090)
    assert module.delivery_url() == "http://127.0.0.1:9090/events"


def test_the_program_has_all_names_in_sixty_lines() -> None:
    used = {node.id for node in ast.walk(ast.parse(PROGRAM)) if isinstance(node, ast.Name)}
    assert used >= NAMES
    assert len([line for line in PROGRAM.splitlines() if line.strip()]) <= 60


def run(python: list[str], program: str, tmp_path: Path) -> str:
    path = tmp_path / "program.py"
    path.write_text(program)
    ran = subprocess.run(
        [*python, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": ""},
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.slow
def test_the_program_prints_what_the_page_says(tmp_path: Path) -> None:
    assert run([*IN_DEVELOPMENT, "-W", "error"], PROGRAM, tmp_path) == PRINTED


@pytest.mark.slow
def test_beside_cohen3_the_program_has_the_names_from_its_module(tmp_path: Path) -> None:
    try:
        python = cohen3_environment.python()
    except Missing as error:
        missing(str(error))
    program = "from propchange import cohen3\ncohen3.install()\nimport coherence\n" + PROGRAM
    program = program.replace(
        "from propchange.cohen3 import", "from coherence.upnp.core.event import"
    )
    assert run([str(python), "-W", "ignore"], program, tmp_path) == PRINTED
