"""Write docs/conformance.md: clause by clause what is kept, by what, and the tests that show it.

    python tools/conformance.py            write the page
    python tools/conformance.py --check    write nothing

Both end with 1 when a clause that binds us has no test, or a mark names a clause that does not
bind us. The clauses are those of docs/clauses.toml, the tests are those that pytest collects with
a mark. The page is not committed.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from clauses import (
    ROOT,
    VERSIONS,
    Clause,
    MarkedTest,
    collect_marked_tests,
    load_clauses,
    source_of,
)

PAGE = ROOT / "docs" / "conformance.md"

# Where the cases of a test are exchanges, each called by a sentence.
TABLES = "tests/conformance/"
# How many of them are told for one clause, and the way of feeding that their names end with.
SENTENCES = 3
FEED = re.compile(r", (?:whole|bytes|followed)$")

FAMILIES = {
    "SUB": "A new subscription",
    "REN": "Renewal",
    "UNS": "Cancellation",
    "NOT": "The event message",
    "SEQ": "SEQ",
    "XML": "The propertyset",
    "EVT": "What is evented, and when",
    "RSP": "The answer to an event message",
    "FAIL": "A delivery that fails",
    "CP": "Recovery, durations, discovery",
    "SCPD": "Attributes of the service description",
    "MOD": "Moderation",
    "LC": "LastChange and other variables of the standard services",
    "MC": "Multicast events",
    "V6": "IPv6",
    "NLS": "Network location signatures",
    "SEC": "SECURELOCATION",
    "CSX": "Delivery URLs that may be called (CallStranger)",
    "AMB": "Ambiguities, as decided",
}

HEAD = """\
# Conformance

Clause by clause what the UPnP Device Architecture 1.0, 1.1 and 2.0 (2020) demand of a publisher, a
subscriber and a receiver of multicast events, what keeps it here, and the tests that show it.
{counts}

`make conformance` writes this page, from `clauses.toml` and the marks of the tests. The tests of
one clause are run by `.venv/bin/pytest --clause SUB-70`; `make prove-clauses` takes rules out of
the sources to see that those tests notice. The ids are the project's own: CONTRIBUTING.md says
what their letters mean.
"""

DISCOVERY = """
## Discovery: chapter 1, over UDP

Each row is an exchange of datagrams between our side and a peer of plain sockets, in network
namespaces, on asyncio and on Twisted (`tests/conformance/test_ssdp_over_sockets.py`).

| paragraph | our side | exchange | over |
|---|---|---|---|
"""

COLUMNS = "| clause | level | whom | rule | kept by | tests |\n|---|---|---|---|---|---|\n"


def _level(clause: Clause) -> str:
    """`MUST`, or `SHOULD in 1.0; MUST in 1.1, 2.0`; with the versions where not all have it."""
    parts = []
    for level, versions in groupby(clause.levels.items(), key=lambda pair: pair[1]):
        named = ", ".join(version for version, _ in versions)
        parts.append(level if named == ", ".join(VERSIONS) else f"{level} in {named}")
    return "; ".join(parts)


def _kept_by(name: str) -> str:
    module, _, what = name.partition(":")
    return f"[`{module.removeprefix('propchange.')}:{what}`](../{source_of(module)})"


def _tests(tests: Iterable[MarkedTest]) -> Iterator[str]:
    """Each test function once, with the number of its cases. A function that plays a table also
    has the names of its first rows, but those that a function above it has."""
    cases: defaultdict[str, list[str]] = defaultdict(list)
    for test in tests:
        cases[test.name].append(test.case)
    told: set[str] = set()
    for name, found in sorted(cases.items()):
        file, _, function = name.partition("::")
        shown = f"[`{file.removeprefix('tests/')}::{function}`](../{file})"
        if len(found) > 1:
            shown += f" ({len(found)})"
        sentences = {FEED.sub("", case) for case in found if case and file.startswith(TABLES)}
        sentences -= told
        told |= sentences
        if sentences:
            shown += ": " + "; ".join(_escaped(it) for it in sorted(sentences)[:SENTENCES])
            shown += f"; and {left} more" if (left := len(sentences) - SENTENCES) > 0 else ""
        yield shown


def _escaped(text: str) -> str:
    for character, reference in (("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("*", "\\*")):
        text = text.replace(character, reference)
    return text


def _row(clause: Clause, tests: Iterable[MarkedTest]) -> str:
    if clause.reason:
        kept, shown = f"binds nobody here: {clause.reason}", ""
    elif not clause.kept:
        kept, shown = f"not kept yet: {clause.later}", ""
    else:
        kept = "<br>".join(_kept_by(name) for name in clause.kept_by)
        kept += f"<br>not yet: {clause.later}" if clause.later else ""
        shown = "<br>".join(_tests(tests))
    whom = ", ".join(clause.who)
    cells = (clause.id, _level(clause), whom, _escaped(clause.rule), kept, shown)
    return "| " + " | ".join(cells) + " |\n"


class Exchange(NamedTuple):
    """A row of the table of SSDP: the paragraph of UDA that it shows, whose side it tests, its
    sentence, and the kinds of addresses that it is played with."""

    rule: str
    side: str
    sentence: str
    families: Sequence[str]


def load_exchanges() -> list[Exchange]:
    """The rows of the tables of SSDP."""
    sys.path.insert(0, str(ROOT / TABLES))
    sys.path.insert(0, str(ROOT))
    found = []
    for side in ("device", "control point"):
        rows = importlib.import_module(f"ssdp_rows_{side.replace(' ', '_')}").ROWS
        found += [Exchange(row.rule, side, row.name, row.families) for row in rows]
    return found


def _discovery(exchanges: Iterable[Exchange]) -> Iterator[str]:
    """The table of ``exchanges``, by their paragraphs."""

    def place(each: Exchange) -> tuple[str, str]:
        version, _, paragraph = each.rule.partition("§")
        return paragraph, version

    for rule, side, sentence, families in sorted(exchanges, key=place):
        yield f"| {rule} | {side} | {_escaped(sentence)} | {', '.join(families)} |\n"


def tests_by_clause(tests: Iterable[MarkedTest]) -> Mapping[str, list[MarkedTest]]:
    by_clause: defaultdict[str, list[MarkedTest]] = defaultdict(list)
    for test in tests:
        for name in test.clauses:
            by_clause[name].append(test)
    return by_clause


def page(
    clauses: Mapping[str, Clause],
    tests: Mapping[str, list[MarkedTest]],
    exchanges: Sequence[Exchange] = (),
) -> str:
    """The whole page: a table for each family of clauses, one line a clause, and a table of the
    exchanges of SSDP."""
    kept = sum(clause.kept for clause in clauses.values())
    in_part = sum(clause.kept and bool(clause.later) for clause in clauses.values())
    nobody = sum(bool(clause.reason) for clause in clauses.values())
    counts = (
        f"Of {len(clauses)} clauses {kept} are kept here ({in_part} of them in part so far), "
        f"{len(clauses) - kept - nobody} bind us and are\n"
        f"not kept yet, and {nobody} bind nobody here; each of these says what is missing, or why."
    )
    parts = [HEAD.format(counts=counts)]
    for family, rows in groupby(clauses.values(), key=lambda clause: clause.family):
        parts += [f"\n## {FAMILIES[family]}\n\n", COLUMNS]
        parts += [_row(clause, tests.get(clause.id, ())) for clause in rows]
    if exchanges:
        parts += [DISCOVERY, *_discovery(exchanges)]
    return "".join(parts)


def complaints(
    clauses: Mapping[str, Clause], tests: Mapping[str, list[MarkedTest]]
) -> Iterator[str]:
    """The errors: a MUST or a SHOULD that is kept and that no test names, and a test that names a
    clause which binds nobody or is not kept."""
    for clause in clauses.values():
        named = bool(tests.get(clause.id))
        if clause.is_demand and not named:
            yield f"{clause.id} binds the {' and the '.join(clause.who)}, and no test names it"
        if clause.reason and named:
            yield f"{clause.id} is said to bind nobody, and {tests[clause.id][0].node} names it"
        if clause.later and not clause.kept and named:
            yield f"{clause.id} is said not to be kept yet, and {tests[clause.id][0].node} names it"


def main() -> int:
    parser = argparse.ArgumentParser(description="Write docs/conformance.md.")
    parser.add_argument(
        "--check", action="store_true", help="look at the clauses and the marks, write nothing"
    )
    check: bool = parser.parse_args().check
    clauses = load_clauses()
    tests = tests_by_clause(collect_marked_tests())
    found = list(complaints(clauses, tests))
    if not check:
        PAGE.write_text(page(clauses, tests, load_exchanges()), "utf-8")
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
