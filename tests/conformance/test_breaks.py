"""Each break fits the sources, and every MUST that binds us has one.

That each break is noticed is seen by `make prove-clauses`.
"""

from __future__ import annotations

import ast
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
    text = (ROOT / broken.file).read_text("utf-8")
    patched = ast.parse(broken.patched(text))  # raises unless `old` is there once
    assert ast.dump(patched) != ast.dump(ast.parse(text))


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


MODULE = """\
TABLE = {"a": 1, "b": 2}


class Peer:
    limit: int = 4

    @property
    def fits(self) -> bool:
        if (
            self.limit > 1 and self.limit  # a comment
            < 9
        ):
            return True
        return self.limit == 1


def fits(limit: int) -> bool:
    def inner() -> bool:
        return limit == 1

    return inner() or limit == 1
"""


def _break(where: str, old: str, new: str) -> Break:
    return Break("SUB-70", "publisher", f"module:{where}", old, new, "SUB.toml")


@pytest.mark.parametrize(
    ("where", "old", "new", "line"),
    [
        ("TABLE", '"b": 2', '"b": 3', 'TABLE = {"a": 1, "b": 3}'),
        ("Peer.limit", "= 4", "= 5", "    limit: int = 5"),
        ("Peer", "limit: int = 4", "limit = 4", "    limit = 4"),
        ("Peer.fits", "return self.limit == 1", "return False", "        return False"),
        ("Peer.fits", "@property", "@cached", "    @cached"),
        ("fits.inner", "limit == 1", "True", "        return True"),
        ("fits", "return inner() or", "return", "    return limit == 1"),
    ],
)
def test_a_break_is_looked_for_in_the_definition_that_it_names(
    where: str, old: str, new: str, line: str
) -> None:
    patched = _break(where, old, new).patched(MODULE)
    assert [it for it in patched.splitlines() if it not in MODULE.splitlines()] == [line]


def test_white_space_counts_only_between_two_words() -> None:
    broken = _break("Peer.fits", "if (self.limit>1 and self.limit", "if (0 and 0")
    assert "        if (0 and 0  # a comment\n" in broken.patched(MODULE)
    for other in ("self.limit > 1 andself.limit", "elf.limit > 1"):
        with pytest.raises(ValueError, match="is 0 times"):
            _break("Peer.fits", other, "").patched(MODULE)


def test_more_lines_are_indented_as_the_first() -> None:
    broken = _break("Peer.fits", "return True", "if self:\n    return False\nreturn True")
    assert (
        "            if self:\n                return False\n            return True\n"
    ) in broken.patched(MODULE)


@pytest.mark.parametrize(("where", "times"), [("fits", 2), ("fits.limit", 0), ("TABLE", 0)])
def test_a_break_that_does_not_fit_is_told(tmp_path: Path, where: str, times: int) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "module.py").write_text(MODULE, "utf-8")
    told = rf"SUB\.toml: `old` of SUB-70 is {times} times in module:{where}"
    with pytest.raises(ValueError, match=told):
        _break(where, "limit == 1", "True").apply(tmp_path)
    _break("Peer.limit", "4", "5").apply(tmp_path)
    assert "int = 5" in (tmp_path / "src" / "module.py").read_text("utf-8")
