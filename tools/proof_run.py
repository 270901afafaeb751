"""Run tests against a copy of the sources until one notices; the child of prove_clauses.py.

    PYTHONPATH=COPY/src python tools/proof_run.py COPY NODES RESULT

NODES holds one node id a line. RESULT becomes a JSON object: `noticed` is the first test that
failed as a test should, `why` its last word, `unusable` what failed otherwise (a crash of the
patched module, a fixture, the collection), `passed` how many tests saw nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

# What an exception of these types, raised in the patched sources, tells of is a bad patch.
_CRASHES = (AttributeError, ImportError, NameError, SyntaxError, TypeError)


class FirstNotice:
    """A pytest plugin that stops the session at the first test that notices."""

    def __init__(self, sources: Path) -> None:
        self._sources = sources
        self.noticed: str | None = None
        self.why = ""
        self.unusable: list[str] = []
        self.passed = 0

    def _is_crash(self, raised: pytest.ExceptionInfo[BaseException]) -> bool:
        where = Path(str(raised.traceback[-1].path)) if raised.traceback else Path()
        if isinstance(raised.value, ImportError | NameError | SyntaxError):
            return True
        return isinstance(raised.value, _CRASHES) and where.is_relative_to(self._sources)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[Any]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.passed:
            self.passed += report.when == "call"
        elif report.failed and call.excinfo is not None:
            why = f"{call.excinfo.typename}: {call.excinfo.value}".strip().splitlines()[0]
            if report.when == "call" and not self._is_crash(call.excinfo):
                self.noticed = item.nodeid
                self.why = why
                item.session.shouldstop = "noticed"
            else:
                self.unusable.append(f"{item.nodeid} ({report.when}): {why}")
        return report

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            last = str(report.longrepr).strip().splitlines()[-1]
            self.unusable.append(f"{report.nodeid} (collection): {last}")


def main() -> int:
    copy, nodes, result = (Path(argument).resolve() for argument in sys.argv[1:])
    sources = copy / "src"
    notice = FirstNotice(sources)
    arguments = ["-q", "-p", "no:cacheprovider", "--timeout=30"]
    status = pytest.main([*arguments, f"@{nodes}"], plugins=[notice])
    elsewhere = [
        f"{name} was imported from {module.__file__}"
        for name, module in sorted(sys.modules.items())
        if name.split(".")[0] == "propchange"
        and not Path(str(module.__file__)).is_relative_to(sources)
    ]
    if status not in (
        pytest.ExitCode.OK,
        pytest.ExitCode.TESTS_FAILED,
        pytest.ExitCode.INTERRUPTED,
    ):
        notice.unusable.append(f"pytest ended with {status!s}")
    if elsewhere or "propchange" not in sys.modules:
        notice.unusable.append(elsewhere[0] if elsewhere else "propchange was never imported")
        notice.noticed = None
    outcome = {
        "noticed": notice.noticed,
        "why": notice.why,
        "unusable": notice.unusable,
        "passed": notice.passed,
    }
    result.write_text(json.dumps(outcome), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
