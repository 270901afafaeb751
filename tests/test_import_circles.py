"""The contract that no import goes in a circle."""

from __future__ import annotations

import grimp
import pytest
from import_circles import find_circles, judge

EDGES = ["aa.one>aa.two", "aa.two>aa.one", "aa.two>bb.one", "bb.one>bb.two", "bb.two>bb.three"]


def graph(*edges: str) -> grimp.ImportGraph:
    made = grimp.ImportGraph()
    for edge in edges:
        importer, imported = edge.split(">")
        made.add_import(importer=importer, imported=imported)
    return made


def test_a_circle_is_found_however_many_modules_it_has() -> None:
    assert find_circles(graph(*EDGES)) == [["aa.one", "aa.two"]]
    circles = find_circles(graph(*EDGES, "bb.three>bb.one", "bb.three>cc"))
    assert sorted(circles) == [["aa.one", "aa.two"], ["bb.one", "bb.three", "bb.two"]]


def test_modules_that_only_look_downwards_are_no_circle() -> None:
    assert find_circles(graph("a>b", "a>c", "b>d", "c>d", "d>e")) == []


@pytest.mark.parametrize("exceptions", [set(), {"bb"}, {"aa"}, {"aa", "bb"}])
def test_a_circle_is_excused_by_its_package_and_an_excuse_for_none_is_refused(
    exceptions: set[str],
) -> None:
    circles = [] if "aa" in exceptions else [["aa.one", "aa.two"]]
    assert judge(graph(*EDGES), exceptions) == (circles, sorted(exceptions - {"aa"}))


def test_a_circle_across_packages_is_excused_by_none_of_them() -> None:
    circles, _ = judge(graph("aa.one>bb.one", "bb.one>aa.one"), {"aa"})
    assert circles == [["aa.one", "bb.one"]]
