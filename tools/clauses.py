"""The clause list, the tests that name a clause, and the breaks that prove them.

`docs/clauses.toml` is the list. A test names what it shows with `@pytest.mark.clause("SUB-70")`.
A break (`tests/conformance/breaks/FAMILY.toml`) is a patch that takes one rule out of the sources.
"""

from __future__ import annotations

import contextlib
import io
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
    """One clause; `levels` is by version, `reason` says why it binds nobody here, `later` what is
    still missing where it binds and is not kept yet, or only in part."""

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


@dataclass(frozen=True, slots=True)
class Break:
    """A patch that takes the rule of `clause` out: `old`, once in `file`, becomes `new`."""

    clause: str
    role: str
    file: str
    old: str
    new: str
    source: str = field(compare=False)

    def apply(self, root: Path) -> None:
        """Patch `file` below `root`. Raises ValueError unless `old` is there exactly once."""
        path = root / self.file
        text = path.read_text("utf-8")
        found = text.count(self.old)
        if found != 1:
            raise ValueError(
                f"{self.source}: `old` of {self.clause} is {found} times in {self.file}"
            )
        path.write_text(text.replace(self.old, self.new), "utf-8")

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
