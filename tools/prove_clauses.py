"""Take rules out of the sources, one at a time, and see that a test that names the clause notices.

    python tools/prove_clauses.py                 30 MUSTs at random; the seed is printed
    python tools/prove_clauses.py --all           every break
    python tools/prove_clauses.py SUB-70 REN-07   these clauses

Each break of `tests/conformance/breaks` is applied to a copy of `src`, and the tests marked with
its clause are run against that copy until one fails. A crash of the patched module, a failing
fixture or a failing collection is no proof, nor is a test that fails without the break. Ends with
1 if a break went unnoticed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from clauses import (
    ROOT,
    Break,
    MarkedTest,
    collect_marked_tests,
    load_breaks,
    load_clauses,
)

WIDTH = 72


@dataclass(frozen=True, slots=True)
class Found:
    """The result of a run, as proof_run.py wrote it."""

    noticed: str | None
    why: str
    unusable: list[str]
    passed: int


@dataclass(frozen=True, slots=True)
class Proof:
    """A break, and the result of the tests that ran with it."""

    broken: Break
    found: Found

    def __str__(self) -> str:
        broken, found = self.broken, self.found
        taken = broken.taken_out
        taken = taken if len(taken) <= WIDTH else taken[: WIDTH - 1] + "…"
        where = broken.file.removeprefix("src/propchange/")
        head = f"{broken.clause:8} {broken.role:10} {where}: {taken}"
        if found.noticed:
            return f"{head}\n         noticed by {found.noticed}"
        told = "".join(f"\n         {line}" for line in found.unusable[:3])
        return f"{head}\n         NOT NOTICED; {found.passed} tests passed{told}"


def _environment(copy: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(copy / "src"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HYPOTHESIS_PROFILE": "prove",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(copy / "hypothesis"),
    }


def _rank(test: MarkedTest) -> int:
    """The order of the tests: the pure rooms, then in memory, then over sockets, then the slow
    ones."""
    _, room, *rest = test.node.split("/")
    if test.slow or room in {"interop", "compat"}:
        return 3
    if room in {"core", "http", "upnp"}:
        return 0
    return 1 if room == "conformance" and "_in_memory" in rest[0] else 2


def _run(copy: Path, tests: list[str]) -> Found:
    nodes, result = copy / "nodes", copy / "result.json"
    nodes.write_text("".join(f"{node}\n" for node in tests), "utf-8")
    result.unlink(missing_ok=True)
    runner = str(ROOT / "tools" / "proof_run.py")
    ended = subprocess.run(
        [sys.executable, runner, str(copy), str(nodes), str(result)],
        cwd=ROOT,
        env=_environment(copy),
        capture_output=True,
        text=True,
        check=False,
    )
    if not result.exists():
        last = (ended.stdout + ended.stderr).strip().splitlines()[-1:]
        return Found(None, "", last or ["the run ended without a word"], 0)
    return Found(**json.loads(result.read_text("utf-8")))


def prove(broken: Break, tests: list[MarkedTest]) -> Proof:
    """Apply one break to a copy and run the tests that name its clause against it."""
    if not tests:
        return Proof(broken, Found(None, "", ["no test names the clause"], 0))
    with tempfile.TemporaryDirectory(prefix="propchange-break-") as folder:
        copy = Path(folder)
        # With the byte code, which saves a second a run, but for the module that changes.
        shutil.copytree(ROOT / "src", copy / "src")
        path = copy / broken.file
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            compiled.unlink()
        try:
            broken.apply(copy)
        except ValueError as error:
            return Proof(broken, Found(None, "", [str(error)], 0))
        found = Found(None, "", [], 0)
        for _, asked in groupby(sorted(tests, key=_rank), key=_rank):
            latest = _run(copy, [test.node for test in asked])
            found = Found(
                latest.noticed,
                latest.why,
                found.unusable + latest.unusable,
                found.passed + latest.passed,
            )
            if found.noticed:
                break
    return Proof(broken, found)


def fails_anyway(nodes: list[str]) -> str | None:
    """The first of these tests that fails without a break, or None."""
    if not nodes:
        return None
    with tempfile.TemporaryDirectory(prefix="propchange-whole-") as folder:
        shutil.copytree(ROOT / "src", Path(folder) / "src")
        found = _run(Path(folder), nodes)
    return found.noticed or next(iter(found.unusable), None)


def main() -> int:
    parser = argparse.ArgumentParser(description="Prove that the tests of a clause can fail.")
    parser.add_argument("ids", nargs="*", metavar="CLAUSE", help="these instead of random ones")
    parser.add_argument("--pick", type=int, default=30, metavar="N", help="how many, at random")
    parser.add_argument("--seed", type=int, help="the seed of an earlier run")
    parser.add_argument("--all", action="store_true", help="every break there is")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="how many at a time")
    chosen = parser.parse_args()

    clauses, breaks = load_clauses(), load_breaks()
    if unknown := sorted(set(chosen.ids) - clauses.keys()):
        parser.error(f"no such clause: {', '.join(unknown)}")
    if chosen.ids:
        picked = list(dict.fromkeys(chosen.ids))
    elif chosen.all:
        picked = [name for name in clauses if any(b.clause == name for b in breaks)]
    else:
        seed = secrets.randbelow(1_000_000) if chosen.seed is None else chosen.seed
        musts = [name for name, clause in clauses.items() if clause.is_must]
        picked = random.Random(seed).sample(musts, min(chosen.pick, len(musts)))
        print(f"{len(picked)} of {len(musts)} MUSTs, seed {seed}", flush=True)

    marked: defaultdict[str, list[MarkedTest]] = defaultdict(list)
    for test in collect_marked_tests():
        for name in test.clauses:
            marked[name].append(test)
    owed = [name for name in picked if not any(b.clause == name for b in breaks)]
    work = [b for name in picked for b in breaks if b.clause == name]
    proofs = []
    with ThreadPoolExecutor(chosen.jobs) as pool:
        for proof in pool.map(lambda broken: prove(broken, marked[broken.clause]), work):
            print(proof, flush=True)
            proofs.append(proof)

    for name in owed:
        print(f"{name:8} has no break")
    noticed = sorted({proof.found.noticed for proof in proofs if proof.found.noticed})
    anyway = fails_anyway(noticed)
    if anyway:
        print(f"and without a break fails {anyway}: that proves nothing")
    unnoticed = sum(proof.found.noticed is None for proof in proofs)
    print(
        f"{len(picked)} clauses, {len(proofs)} breaks: {len(proofs) - unnoticed} noticed, "
        f"{unnoticed} not; {len(owed)} clauses without a break"
    )
    return 1 if unnoticed or owed or anyway or not proofs else 0


if __name__ == "__main__":
    sys.exit(main())
