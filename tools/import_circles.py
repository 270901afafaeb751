"""A contract for import-linter: no import goes in a circle, under TYPE_CHECKING either.

A circle is a strongly connected component of the graph of modules: each of its modules imports
each other one, directly or through the others. ``exceptions`` names packages that still have
circles; a package that has none left must be taken from the list.
"""

from __future__ import annotations

from typing import Any

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class NoCirclesContract(Contract):
    type_name = "no_circles"

    exceptions: Any = fields.SetField(subfield=fields.StringField(), required=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        circles, needless = judge(graph, self.exceptions or set())
        found = {"circles": circles, "needless": needless}
        return ContractCheck(kept=not circles and not needless, metadata=found)

    def render_broken_contract(self, check: ContractCheck) -> None:
        for circle in check.metadata["circles"]:
            output.print_error(f"These modules import each other: {', '.join(circle)}")
        for package in check.metadata["needless"]:
            output.print_error(f"{package} has no circle: take it from the exceptions")


def judge(graph: ImportGraph, exceptions: set[str]) -> tuple[list[list[str]], list[str]]:
    """The circles that no exception excuses, and the exceptions that excuse none."""
    circles, needless = [], set(exceptions)
    for circle in find_circles(graph):
        excused = {
            package
            for package in exceptions
            if all(module.startswith(f"{package}.") for module in circle)
        }
        needless -= excused
        if not excused:
            circles.append(circle)
    return circles, sorted(needless)


def find_circles(graph: ImportGraph) -> list[list[str]]:
    """The strongly connected components of more than one module (Tarjan's algorithm)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    circles: list[list[str]] = []

    def visit(module: str) -> None:
        order[module] = lowest[module] = len(order)
        path.append(module)
        for imported in graph.find_modules_directly_imported_by(module):
            if imported not in order:
                visit(imported)
            if imported in path:
                lowest[module] = min(lowest[module], lowest[imported])
        if lowest[module] == order[module]:
            at = path.index(module)
            if len(path) - at > 1:
                circles.append(sorted(path[at:]))
            del path[at:]

    for module in sorted(graph.modules):
        if module not in order:
            visit(module)
    return circles
