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

# MUSTs whose break is still to be written.
_OWED = """
    SUB-02 SUB-03 SUB-04 SUB-05 SUB-06 SUB-07 SUB-10 SUB-11 SUB-13 SUB-14
    SUB-15 SUB-16 SUB-17 SUB-18 SUB-19 SUB-21 SUB-22 SUB-25 SUB-30 SUB-32
    SUB-33 SUB-40 SUB-41 SUB-42 SUB-44 SUB-45 SUB-46 SUB-48 SUB-51 SUB-52
    SUB-55 SUB-56 SUB-58 SUB-60 SUB-71 SUB-73 SUB-77
    REN-01 REN-02 REN-03 REN-04 REN-05 REN-08 REN-09 REN-11
    UNS-02 UNS-03 UNS-04 UNS-05 UNS-06
    NOT-01 NOT-03 NOT-04 NOT-05 NOT-07 NOT-08 NOT-09 NOT-10 NOT-11 NOT-12
    SEQ-01 SEQ-02 SEQ-03 SEQ-04 SEQ-05 SEQ-06
    XML-01 XML-02 XML-03 XML-04 XML-05 XML-07 XML-08
    EVT-01 EVT-04 EVT-06 EVT-07
    RSP-01 RSP-02 RSP-03 RSP-05
    FAIL-01 FAIL-04 FAIL-05
    CP-01 CP-04 CP-07 CP-08 CP-09 CP-10 CP-13 CP-15
    SCPD-02 SCPD-04
    MOD-01 MOD-02 MOD-03 MOD-04 MOD-05
    LC-05 LC-07 LC-09 LC-10 LC-12
    MC-02 MC-03 MC-04 MC-05 MC-06 MC-07 MC-08 MC-09 MC-10 MC-11
    MC-14 MC-16 MC-18 MC-19 MC-20 MC-21
    V6-01 V6-02 V6-03 V6-04 V6-05 V6-06 V6-08 V6-10 V6-11 V6-12
    V6-13 V6-14 V6-15
    NLS-01 NLS-02
    CSX-01
"""
OWED = frozenset(_OWED.split())


@pytest.mark.parametrize(
    "broken", BREAKS, ids=[f"{b.clause}-{b.role}-{n}" for n, b in enumerate(BREAKS)]
)
def test_a_break_changes_one_place_of_the_sources(broken: Break) -> None:
    assert broken.role in ROLES
    assert broken.file.startswith("src/propchange/")
    assert (ROOT / broken.file).read_text("utf-8").count(broken.old) == 1, broken.source
    assert broken.new != broken.old


@pytest.mark.parametrize("name", sorted({b.clause for b in BREAKS}))
def test_a_break_is_of_a_clause_that_binds_somebody_and_in_the_file_of_its_family(
    name: str,
) -> None:
    assert CLAUSES[name].binds
    files = {b.source for b in BREAKS if b.clause == name}
    assert files == {f"{CLAUSES[name].family}.toml"}


def test_no_break_stands_there_twice() -> None:
    assert [b for b, times in Counter(BREAKS).items() if times > 1] == []


def test_every_must_that_binds_us_has_a_break() -> None:
    musts = {name for name, clause in CLAUSES.items() if clause.is_must}
    assert musts - {b.clause for b in BREAKS} - OWED == set()


def test_a_break_that_does_not_fit_is_told(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("a = 1\na = 1\n", "utf-8")
    broken = Break("SUB-70", "publisher", "module.py", "a = 1", "a = 2", "SUB.toml")
    with pytest.raises(ValueError, match=r"SUB\.toml: `old` of SUB-70 is 2 times in module\.py"):
        broken.apply(tmp_path)
