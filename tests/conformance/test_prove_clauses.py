"""tools/prove_clauses.py counts a break as noticed only if an assertion of a test fails."""

from __future__ import annotations

import pytest
from clauses import Break, MarkedTest
from prove_clauses import Proof, fails_anyway, prove

pytestmark = pytest.mark.slow  # each runs pytest in a process of its own

JUDGE = "propchange.core.publisher.judge:_judge_head"
OLD = 'if b"sid" in fields and (b"nt" in fields or b"callback" in fields):'
NODE = (
    "tests/core/publisher/test_judge.py::test_a_sid_with_nt_or_callback_is_answered_400[headers0]"
)


def _prove(new: str, *nodes: str) -> Proof:
    tests = [MarkedTest(node, frozenset({"SUB-70"}), slow=False) for node in nodes]
    return prove(Break("SUB-70", "publisher", JUDGE, OLD, new, "SUB.toml"), tests)


def test_a_rule_that_is_taken_out_is_noticed() -> None:
    proof = _prove("if False:", NODE)
    assert proof.found.noticed == NODE
    assert proof.found.why.startswith("AssertionError: assert Renewal(")
    assert str(proof) == (
        "SUB-70   publisher  core/publisher/judge.py: "
        'if b"sid" in fields and (b"nt" in fields or b"callback" in fields):\n'
        f"         noticed by {NODE}"
    )


def test_a_rule_that_is_left_as_it_is_is_not() -> None:
    proof = _prove(f"{OLD}  # as ever", NODE)
    assert proof.found.noticed is None
    assert proof.found.passed == 1
    assert str(proof).endswith("NOT NOTICED; 1 tests passed")


@pytest.mark.parametrize(
    ("new", "complaint"),
    [
        ("if no_such_name:", "(call): NameError"),
        ("if fields.no_such_method():", "(call): AttributeError"),
        ("if not:", "(collection): "),
        ("no_such_place:", "(collection): "),
    ],
)
def test_a_break_that_crashes_proves_nothing(new: str, complaint: str) -> None:
    proof = _prove(new, NODE)
    assert proof.found.noticed is None
    assert any(complaint in line for line in proof.found.unusable), proof.found.unusable


def test_a_break_that_does_not_fit_and_a_clause_without_tests_are_told() -> None:
    assert _prove("pass").found.unusable == ["no test names the clause"]
    stray = Break("SUB-70", "publisher", JUDGE, "not there", "x", "SUB.toml")
    proof = prove(stray, [MarkedTest(NODE, frozenset({"SUB-70"}), slow=False)])
    assert proof.found.unusable == [
        "SUB.toml: `old` of SUB-70 is 0 times in propchange.core.publisher.judge:_judge_head"
    ]


def test_a_test_that_passes_does_not_fail_anyway() -> None:
    assert fails_anyway([]) is None
    assert fails_anyway([NODE]) is None
