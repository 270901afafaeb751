"""The clause list has every clause, and the code that keeps a clause exists."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from clauses import LEVELS, VERSIONS, WHO, Clause, load_clauses

CLAUSES = load_clauses()


def _resolve(name: str) -> Any:
    """`module:qualified.name`, or `module:TABLE[key, key]` for a row of a table."""
    module, colon, what = name.partition(":")
    assert colon, name
    found = re.fullmatch(r"([\w.]+)(?:\[(.+)\])?", what)
    assert found, name
    kept = attrgetter(found[1])(import_module(module))
    if found[2] is None:
        return kept
    assert isinstance(kept, Mapping), name
    return kept[tuple(found[2].split(", "))]


def test_all_clauses_are_there() -> None:
    numbers: dict[str, list[int]] = {}
    for clause in CLAUSES.values():
        numbers.setdefault(clause.family, []).append(int(clause.id.rpartition("-")[2]))
    assert sum(map(len, numbers.values())) == 242
    assert all(listed == sorted(set(listed)) for listed in numbers.values())


@pytest.mark.parametrize("clause", CLAUSES.values(), ids=CLAUSES)
def test_a_clause_says_whom_it_binds_and_how(clause: Clause) -> None:
    assert clause.who
    assert set(clause.who) <= set(WHO)
    assert set(clause.levels) <= set(VERSIONS)
    assert set(clause.levels.values()) <= set(LEVELS)
    assert clause.rule.endswith(".")


@pytest.mark.parametrize("clause", CLAUSES.values(), ids=CLAUSES)
def test_what_keeps_a_clause_is_there_or_why_nothing_does(clause: Clause) -> None:
    assert bool(clause.kept_by or clause.later) is not bool(clause.reason)
    for name in clause.kept_by:
        assert _resolve(name) is not None


def test_a_clause_whose_level_and_versions_do_not_agree_is_refused(tmp_path: Path) -> None:
    listed = tmp_path / "clauses.toml"
    listed.write_text(
        '[SUB-01]\nwho = ["publisher"]\nlevel = { "1.0" = "MUST" }\n'
        'versions = ["1.0", "1.1"]\nrule = "Something."\n',
        "utf-8",
    )
    with pytest.raises(ValueError, match="SUB-01: level and versions do not agree"):
        load_clauses(listed)
