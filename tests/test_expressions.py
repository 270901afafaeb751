"""No regular expression takes more than linear time, whatever text a peer sends to it."""

from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import propchange
from tests.ambiguity import is_ambiguous

SOURCE = Path(propchange.__file__).parent
ANCHORED = frozenset({"match", "fullmatch"})
# Functions of the package that are given an expression, and match a whole text.
MATCHING = frozenset({"_matched"})
FUNCTIONS = ("match", "fullmatch", "search", "sub", "subn", "findall", "finditer", "split")

LINEAR_ALL_THE_SAME = {
    # Each item ends at its comma: one is appended to the text, so no item fails.
    r"((?:[^,\\]|\\.)*+),",
}

# Collects, in another process, what is compiled while the package is imported.
COLLECT = """
import importlib, json, pkgutil, re, sys
found = []
compile_, internal = re.compile, re._compile

def note(pattern, flags):
    frame = sys._getframe(2)
    while frame.f_globals.get("__name__") == "re":
        frame = frame.f_back
    if frame.f_globals.get("__name__", "").startswith("propchange"):
        compiled = internal(pattern, flags)
        text = compiled.pattern
        is_bytes = isinstance(text, bytes)
        found.append([
            frame.f_globals["__name__"], frame.f_lineno,
            text.decode("latin-1") if is_bytes else text, is_bytes, compiled.flags,
        ])
    return internal(pattern, flags)

re._compile = note
import propchange
for module in pkgutil.walk_packages(propchange.__path__, "propchange."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print(json.dumps(found))
"""


def expressions() -> list[tuple[str, str | bytes, int, bool]]:
    """(place, expression, flags, whether it searches) of each one in the package."""
    ran = subprocess.run(
        [sys.executable, "-c", COLLECT], capture_output=True, check=True, text=True
    )
    found = []
    modules: dict[str, ast.Module] = {}
    for module, line, text, is_bytes, flags in json.loads(ran.stdout):
        if module not in modules:
            path = importlib.import_module(module).__file__
            assert path is not None
            modules[module] = ast.parse(Path(path).read_text())
        pattern = text.encode("latin-1") if is_bytes else text
        searches = is_searched(modules[module], line)
        found.append((f"{module}:{line}", pattern, flags & ~re.UNICODE, searches))
    return found + written_inside_of_functions()


def is_searched(tree: ast.Module, line: int) -> bool:
    """Whether the expression that ``line`` compiles is used for anything but matches that begin at
    a known place. True if its uses are not known."""
    names = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and node.lineno <= line <= (node.end_lineno or line)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    called = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name | ast.Attribute)
        and (node.value.id if isinstance(node.value, ast.Name) else node.value.attr) in names
    }
    called.discard("pattern")
    called.update(
        "fullmatch" if node.func.id in MATCHING else node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        for argument in node.args
        if isinstance(argument, ast.Name) and argument.id in names
    )
    return not called or not called <= ANCHORED


def written_inside_of_functions() -> list[tuple[str, str | bytes, int, bool]]:
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "re"
                and node.func.attr in FUNCTIONS
                and isinstance(node.args[0], ast.Constant)
            ):
                place = f"{path.relative_to(SOURCE)}:{node.lineno}"
                text = node.args[0].value
                found.append((place, text, 0, node.func.attr not in ANCHORED))
    return found


@pytest.mark.slow
def test_no_expression_of_the_package_is_ambiguous() -> None:
    found = {each[1:]: each[0] for each in expressions()}
    assert len(found) > 50
    ambiguous = [
        f"{place}: {pattern!r}"
        for (pattern, flags, searches), place in found.items()
        if pattern not in LINEAR_ALL_THE_SAME and is_ambiguous(pattern, flags, searches=searches)
    ]
    assert ambiguous == []


@pytest.mark.parametrize(
    ("pattern", "searches"),
    [
        (r"(a+)+b", False),
        (r"a*a*b", False),
        (r"[0-9]+\.?[0-9]*", False),
        (r"(?:ab|[ab]b)*d", False),
        (r"(?:a|ab?|b)*c", False),
        (r"\s*x?\s*y", False),
        (r"<\?xml[^>]*>", True),
        (rb"[ \t]*\r\n", True),
        (r"x[a-z]*$", True),
        (r'"http://x/"[^,]*;\s*ns\s*=\s*"?[0-9]+"?', True),
    ],
)
def test_an_expression_that_reads_a_text_in_several_ways_is_found(pattern, searches) -> None:
    assert is_ambiguous(pattern, searches=searches)


@pytest.mark.parametrize(
    ("pattern", "searches"),
    [
        (r"<\?xml[^>]*>", False),
        (r"[0-9]+(?:\.[0-9]*)?", False),
        (r"\bmax-age\s*=\s*\"?([0-9]{1,10})", True),
        (rb"(?<!\r)\n", True),
        (r"[a-z]+:[a-z]+", False),
        (r"x[a-z]*", True),
    ],
)
def test_an_expression_that_reads_each_text_in_one_way_is_not(pattern, searches) -> None:
    assert not is_ambiguous(pattern, searches=searches)
