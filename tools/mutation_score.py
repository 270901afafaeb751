"""Judge what `mutmut run` found: the share of mutants killed, per module and in all.

    python tools/mutation_score.py --at-least 85

Reads `mutmut results --all true` of the same environment. A mutant that ran into mutmut's time
limit counts as killed, one that no test reaches as alive. Ends with 1 below the gate, and when
no mutant was tried or some were not.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

KILLED = {"killed", "timeout", "segfault", "caught by type check"}
LEFT_OUT = {"skipped"}
UNTRIED = {"not checked", "check was interrupted by user"}


def mutmut_results() -> str:
    mutmut = Path(sys.executable).with_name("mutmut")
    command = [str(mutmut), "results", "--all", "true"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def count_by_module(results: str) -> dict[str, Counter[str]]:
    """Lines are `package.module.x_function__mutmut_3: status`; other lines are no results."""
    modules: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for line in results.splitlines():
        mutant, colon, status = line.strip().rpartition(": ")
        if colon and "__mutmut_" in mutant:
            modules[mutant.rpartition(".")[0]][status] += 1
    return modules


def main() -> int:
    parser = argparse.ArgumentParser(description="Gate on the mutants killed.")
    parser.add_argument("--at-least", type=float, required=True, metavar="PERCENT")
    gate: float = parser.parse_args().at_least

    modules = count_by_module(mutmut_results())
    total: Counter[str] = sum(modules.values(), Counter())
    for name, statuses in [*sorted(modules.items()), ("all", total)]:
        tried = statuses.total() - sum(statuses[status] for status in LEFT_OUT)
        killed = sum(statuses[status] for status in KILLED)
        alive = {s: n for s, n in sorted(statuses.items()) if s not in KILLED | LEFT_OUT}
        told = ", ".join(f"{count} {status}" for status, count in alive.items())
        print(f"{killed / tried if tried else 0:7.1%}  {killed}/{tried}  {name}  {told}".rstrip())

    tried = total.total() - sum(total[status] for status in LEFT_OUT)
    untried = sum(total[status] for status in UNTRIED)
    if not tried or untried:
        print(f"{tried} mutants, {untried} of them not tried: no verdict")
        return 1
    score = 100 * sum(total[status] for status in KILLED) / tried
    print(f"{score:.1f} % killed, gate {gate:g} %")
    return 0 if score >= gate else 1


if __name__ == "__main__":
    sys.exit(main())
