"""The breaks that prove the marks can be applied.

That each break is noticed is seen by `make prove-clauses`.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from clauses import ROLES, ROOT, Break, load_breaks, load_clauses

CLAUSES = load_clauses()
BREAKS = load_breaks()


@pytest.mark.parametrize(
    "broken", BREAKS, ids=[f"{b.clause}-{b.role}-{n}" for n, b in enumerate(BREAKS)]
)
def test_a_break_changes_one_place_of_the_sources(broken: Break) -> None:
    assert broken.role in ROLES
    assert broken.file.startswith("src/propchange/")
    assert (ROOT / broken.file).read_text("utf-8").count(broken.old) == 1, broken.source
    assert broken.new != broken.old


@pytest.mark.parametrize("name", sorted({b.clause for b in BREAKS}))
def test_a_break_is_of_a_clause_that_is_kept_and_in_the_file_of_its_family(
    name: str,
) -> None:
    assert CLAUSES[name].kept
    files = {b.source for b in BREAKS if b.clause == name}
    assert files == {f"{CLAUSES[name].family}.toml"}


def test_no_break_stands_there_twice() -> None:
    assert [b for b, times in Counter(BREAKS).items() if times > 1] == []


def test_every_must_has_a_break_for_everyone_it_binds() -> None:
    broken = {(b.clause, b.role) for b in BREAKS}
    missing = [
        (name, whom)
        for name, clause in CLAUSES.items()
        if clause.is_must
        for whom in clause.who
        # Both ends of multicast events are one role here.
        if (name, whom) not in broken
        and (whom == "subscriber" or (name, "multicast") not in broken)
    ]
    assert missing == []


def test_a_break_that_does_not_fit_is_told(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("a = 1\na = 1\n", "utf-8")
    broken = Break("SUB-70", "publisher", "module.py", "a = 1", "a = 2", "SUB.toml")
    with pytest.raises(ValueError, match=r"SUB\.toml: `old` of SUB-70 is 2 times in module\.py"):
        broken.apply(tmp_path)
