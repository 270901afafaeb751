"""The page of clauses that tools/conformance.py writes, and what it complains of."""

from __future__ import annotations

from dataclasses import replace

from clauses import Clause, MarkedTest

from conformance import Exchange, complaints, load_exchanges, page

MUST = Clause(
    "SUB-70",
    ("publisher",),
    {"1.0": "SHOULD", "1.1": "MUST", "2.0": "MUST"},
    "A | of <URL>.",
    ("propchange.core.rules:_judge_head", "propchange.core:Anything"),
    "",
)
MAY = Clause("SUB-12", ("subscriber",), {"1.1": "MAY", "2.0": "MAY"}, "May.", ("x:y",), "")
NONE = Clause("SUB-60", ("publisher",), dict.fromkeys(("1.0", "1.1"), "MUST"), "Is.", (), "why")
LATER = Clause("MC-18", ("receiver",), {"1.1": "MUST"}, "Joins.", (), "", "no sockets")


def _marked(*nodes: str) -> list[MarkedTest]:
    return [MarkedTest(node, frozenset({"SUB-70"}), slow=False) for node in nodes]


def test_a_row_has_level_rule_keepers_and_tests_with_their_cases_counted() -> None:
    tests = {"SUB-70": _marked("tests/b.py::test_x[2]", "tests/b.py::test_x[1]", "tests/a.py::t")}
    assert page({"SUB-70": MUST}, tests).splitlines()[-1] == (
        "| SUB-70 | SHOULD in 1.0; MUST in 1.1, 2.0 | publisher | A \\| of &lt;URL>. "
        "| [`core.rules:_judge_head`](../src/propchange/core/rules.py)"
        "<br>[`core:Anything`](../src/propchange/core/__init__.py) "
        "| [`a.py::t`](../tests/a.py)<br>[`b.py::test_x`](../tests/b.py) (2) |"
    )


def test_of_a_table_of_exchanges_the_first_few_sentences_are_told_once() -> None:
    cases = ("d", "c", "b | e, whole", "b | e, bytes", "a <x>")
    table = [f"tests/conformance/x.py::t[{case}]" for case in cases]
    row = page({"SUB-70": MUST}, {"SUB-70": _marked(*table, "tests/conformance/y.py::t[c]")})
    assert row.splitlines()[-1].endswith(
        "| [`conformance/x.py::t`](../tests/conformance/x.py) (5): "
        "a &lt;x>; b \\| e; c; and 1 more<br>[`conformance/y.py::t`](../tests/conformance/y.py) |"
    )


def test_a_clause_that_binds_nobody_has_its_reason_instead() -> None:
    row = page({"SUB-60": NONE}, {}).splitlines()[-1]
    assert row == "| SUB-60 | MUST in 1.0, 1.1 | publisher | Is. | binds nobody here: why |  |"


def test_a_clause_that_is_not_kept_yet_says_so_and_is_counted_apart() -> None:
    whole = page({"SUB-60": NONE, "SUB-70": MUST, "MC-18": LATER}, {})
    assert whole.splitlines()[-1] == (
        "| MC-18 | MUST in 1.1 | receiver | Joins. | not kept yet: no sockets |  |"
    )
    assert (
        "Of 3 clauses 1 are kept here (0 of them in part so far), 1 bind us and are\n"
        "not kept yet, and 1 bind nobody here"
    ) in whole
    assert list(complaints({"MC-18": LATER}, {"MC-18": _marked("tests/a.py::t")})) == [
        "MC-18 is said not to be kept yet, and tests/a.py::t names it"
    ]


def test_a_clause_that_is_kept_in_part_has_its_tests_and_what_is_missing() -> None:
    tests = {"SUB-70": _marked("tests/a.py::t")}
    in_part = {"SUB-70": replace(MUST, later="the sockets")}
    row = page(in_part, tests).splitlines()[-1]
    assert row.endswith("__init__.py)<br>not yet: the sockets | [`a.py::t`](../tests/a.py) |")
    assert "1 are kept here (1 of them in part so far), 0 bind us" in page(in_part, tests)
    assert not list(complaints(in_part, tests))
    assert list(complaints(in_part, {}))


def test_a_must_without_a_test_and_a_test_of_what_binds_nobody_are_told() -> None:
    clauses = {clause.id: clause for clause in (MUST, MAY, NONE)}
    assert list(complaints(clauses, {"SUB-60": _marked("tests/a.py::t")})) == [
        "SUB-70 binds the publisher, and no test names it",
        "SUB-60 is said to bind nobody, and tests/a.py::t names it",
    ]
    assert not list(complaints({"SUB-70": MUST, "SUB-12": MAY}, {"SUB-70": _marked("x")}))


def test_the_exchanges_of_ssdp_are_a_table_by_their_paragraphs() -> None:
    exchanges = [
        Exchange("UDA 2.0 §1.3.3", "device", "a search | is answered", ("IPv4", "IPv6")),
        Exchange("UDA 2.0 §1.2.2", "control point", "a device appears", ("IPv4",)),
    ]
    assert page({}, {}, exchanges).splitlines()[-2:] == [
        "| UDA 2.0 §1.2.2 | control point | a device appears | IPv4 |",
        "| UDA 2.0 §1.3.3 | device | a search \\| is answered | IPv4, IPv6 |",
    ]


def test_both_sides_of_ssdp_have_exchanges() -> None:
    sides = [each.side for each in load_exchanges()]
    assert min(sides.count("device"), sides.count("control point")) > 50
