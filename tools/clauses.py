"""The clause list, the tests that name a clause, and the breaks that prove them.

`docs/clauses.toml` is the list. A test names what it shows with `@pytest.mark.clause("SUB-70")`.
A break (`tests/conformance/breaks/FAMILY.toml`) is a patch that takes one rule out of the sources.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
CLAUSES = ROOT / "docs" / "clauses.toml"
BREAKS = ROOT / "tests" / "conformance" / "breaks"

VERSIONS = ("1.0", "1.1", "2.0")
WHO = ("publisher", "subscriber", "receiver")
ROLES = ("publisher", "subscriber", "multicast")
LEVELS = ("MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY", "none")
MUSTS = frozenset({"MUST", "MUST NOT"})
DEMANDS = MUSTS | {"SHOULD", "SHOULD NOT"}


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause. `levels` is by version. `reason`: why it binds nobody here. `later`: what is
    missing, where the clause binds us and is not kept yet, or is kept in part."""

    id: str
    who: tuple[str, ...]
    levels: Mapping[str, str]
    rule: str
    kept_by: tuple[str, ...]
    reason: str
    later: str = ""

    @property
    def family(self) -> str:
        return self.id.rpartition("-")[0]

    @property
    def kept(self) -> bool:
        return bool(self.kept_by)

    @property
    def is_must(self) -> bool:
        """Whether it is kept and a MUST in any version, and so needs a break."""
        return self.kept and not MUSTS.isdisjoint(self.levels.values())

    @property
    def is_demand(self) -> bool:
        """Whether it is kept and a MUST or a SHOULD in any version, and so needs a test."""
        return self.kept and not DEMANDS.isdisjoint(self.levels.values())


def source_of(module: str) -> str:
    """The file of a module, from the root of the project: `src/propchange/core/limits.py`."""
    path = "src/" + module.replace(".", "/")
    return f"{path}/__init__.py" if (ROOT / path).is_dir() else f"{path}.py"


def definitions(
    tree: ast.AST, inside: str = "", *, local: bool = False
) -> Iterator[tuple[str, int, int]]:
    """The functions, classes and constants of a module: qualified name, first and last line.
    ``local``: the variables of a function are not among them."""
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                first = min(each.lineno for each in (node, *node.decorator_list))
                yield inside + node.name, first, node.end_lineno or first
                is_function = not isinstance(node, ast.ClassDef)
                yield from definitions(node, f"{inside}{node.name}.", local=is_function)
            case (
                ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name))
            ) if not local:
                yield inside + name, node.lineno, node.end_lineno or node.lineno
            case ast.stmt():
                yield from definitions(node, inside, local=local)


@dataclass(frozen=True, slots=True)
class Break:
    """A patch that takes the rule of `clause` out: in the definition `where`
    (`module:qualified.name`), `old`, which is there once, becomes `new`.

    White space in `old` counts only between two words. The lines of `new` after the first are
    indented as the line is in which `old` begins.
    """

    clause: str
    role: str
    where: str
    old: str
    new: str
    source: str = field(compare=False)

    @property
    def file(self) -> str:
        """The module that it changes, from the root of the project."""
        return source_of(self.where.partition(":")[0])

    def patched(self, text: str) -> str:
        """The source of the module with the rule taken out. Raises ValueError unless `old` is in
        the definition exactly once."""
        name = self.where.partition(":")[2]
        places = [
            found.span()
            for called, first, last in definitions(ast.parse(text))
            if called == name
            for found in self._places(text, first, last)
        ]
        if len(places) != 1:
            raise ValueError(
                f"{self.source}: `old` of {self.clause} is {len(places)} times in {self.where}"
            )
        ((start, end),) = places
        line = text[text.rfind("\n", 0, start) + 1 : start]
        indent = line[: len(line) - len(line.lstrip())]
        return text[:start] + self.new.replace("\n", f"\n{indent}") + text[end:]

    def _places(self, text: str, first: int, last: int) -> Iterator[re.Match[str]]:
        """Where `old` is in these lines of the module."""
        lines = text.splitlines(keepends=True)
        start = len("".join(lines[: first - 1]))
        end = start + len("".join(lines[first - 1 : last]))
        parts = [
            rf"\b{word}\b" if word.isalnum() or word.isidentifier() else re.escape(word)
            for word in re.findall(r"\w+|[^\w\s]", self.old)
        ]
        return re.compile(r"\s*".join(parts)).finditer(text, start, end)

    def apply(self, root: Path) -> None:
        """Patch the module below `root`. Raises ValueError as `patched` does."""
        path = root / self.file
        path.write_text(self.patched(path.read_text("utf-8")), "utf-8")

    @property
    def taken_out(self) -> str:
        """The lines of `old` that `new` does not have, on one line; where it has them all, what
        it adds."""
        old, new = ([line.strip() for line in text.splitlines()] for text in (self.old, self.new))
        gone = [line for line in old if line not in new]
        return " ".join(gone) or "with " + " ".join(line for line in new if line not in old)


@dataclass(frozen=True, slots=True)
class MarkedTest:
    """A test as pytest collected it, with the clauses that it is marked with."""

    node: str
    clauses: frozenset[str]
    slow: bool

    @property
    def name(self) -> str:
        """`file::function`, without parameters."""
        return self.node.partition("[")[0]

    @property
    def case(self) -> str:
        """The parameters, "" where there are none."""
        return self.node.partition("[")[2].removesuffix("]")


def _clause(name: str, row: Mapping[str, Any]) -> Clause:
    level, versions = row["level"], row["versions"]
    levels = dict(level) if isinstance(level, dict) else dict.fromkeys(versions, level)
    if list(levels) != versions:
        raise ValueError(f"{name}: level and versions do not agree")
    return Clause(
        name,
        tuple(row["who"]),
        levels,
        row["rule"],
        tuple(row.get("kept_by", ())),
        row.get("reason", ""),
        row.get("later", ""),
    )


def load_clauses(path: Path = CLAUSES) -> dict[str, Clause]:
    """The clause list, in its own order."""
    return {
        name: _clause(name, row) for name, row in tomllib.loads(path.read_text("utf-8")).items()
    }


def load_breaks(folder: Path = BREAKS) -> list[Break]:
    """All breaks, by family and then as they stand in the file."""
    return [
        Break(**row, source=path.name)
        for path in sorted(folder.glob("*.toml"))
        for row in tomllib.loads(path.read_text("utf-8"))["break"]
    ]


def clauses_of(item: pytest.Item) -> Iterator[str]:
    """The ids that a collected test is marked with."""
    for mark in item.iter_markers("clause"):
        yield from mark.args


class _Collected:
    """A pytest plugin that keeps what was collected."""

    def __init__(self) -> None:
        self.tests: list[MarkedTest] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            clauses = frozenset(clauses_of(item))
            slow = item.get_closest_marker("slow") is not None
            if clauses:
                self.tests.append(MarkedTest(item.nodeid, clauses, slow))


def collect_marked_tests(paths: Iterable[str] = ("tests",)) -> list[MarkedTest]:
    """Let pytest collect, and return the tests that name a clause.

    Raises RuntimeError, with what pytest printed, when the collection fails.
    """
    collected = _Collected()
    printed = io.StringIO()
    arguments = ["--collect-only", "-q", f"--rootdir={ROOT}"]
    with contextlib.chdir(ROOT), contextlib.redirect_stdout(printed):
        status = pytest.main([*arguments, *paths], plugins=[collected])
    if status is not pytest.ExitCode.OK:
        raise RuntimeError(f"pytest cannot collect the tests:\n{printed.getvalue()[-4000:]}")
    return collected.tests
