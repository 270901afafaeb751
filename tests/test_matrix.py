"""Which Pythons of a machine `make matrix` takes, and what it prints."""

from __future__ import annotations

import sys
from pathlib import Path

from tools import matrix


def _python(said: str, path: str = "/python") -> matrix.Python | None:
    return matrix.described(Path(path), said + "\n")


def test_the_newest_of_each_minor_version_is_taken() -> None:
    pythons = [
        _python("3.13.0 final", "/a"),
        _python("3.9.18 final"),
        _python("3.11.7 final", "/c"),
        _python("3.13.11 final", "/d"),
        _python("3.13.2t final", "/e"),
        None,
    ]

    taken = matrix.newest_of_each(pythons)

    assert [(each.name, str(each), str(each.path)) for each in taken] == [
        ("3.11", "3.11.7", "/c"),
        ("3.13t", "3.13.2t", "/e"),
        ("3.13", "3.13.11", "/d"),
    ]


def test_what_is_no_python_is_passed_over(tmp_path: Path) -> None:
    broken = tmp_path / "python3"
    broken.write_text("#!/bin/sh\necho hello\n")
    broken.chmod(0o755)

    assert matrix.ask(broken) is None
    assert matrix.ask(tmp_path / "gone") is None


def test_this_python_is_found_by_asking_it() -> None:
    here = matrix.ask(Path(sys.executable))

    assert here is not None
    assert here.version == sys.version_info[:3]
    assert here.name.rstrip("t") in matrix.declared()


def test_the_table_says_what_failed_and_which_python_is_not_here() -> None:
    python = _python("3.12.1 final")
    assert python is not None
    runs = [matrix.Run(python, "fast", 0, 58.04), matrix.Run(python, "dist", 2, 7.0)]

    assert matrix.table(runs, ["3.14"]).splitlines() == [
        "Python     target    seconds  result",
        "3.12.1     fast         58.0  passed",
        "3.12.1     dist          7.0  failed (status 2)",
        "3.14       is not on this machine",
    ]
