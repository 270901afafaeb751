"""``python -m fuzz TARGET --seconds 600``, or ``all`` for each target in turn.

Each target runs under atheris in its own process, and prints one line of results. After a finding
the exit status is 1, and its bytes are in ``fuzz/findings/TARGET/``.
"""

from __future__ import annotations

import argparse
import importlib
import re
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
LONGEST = 4_096
_PROGRESS = re.compile(rb"^#([0-9]+)\s+(INITED|NEW|REDUCE|pulse|DONE|RELOAD).*? cov: ([0-9]+)")
_STATISTIC = re.compile(rb"stat::number_of_executed_units: ([0-9]+)")


def corpora(target: str) -> list[Path]:
    """The folders with inputs of ``target``: the first one takes new inputs."""
    found = [HERE / "work" / target, HERE / "corpus" / target, HERE / "regressions" / target]
    found[0].mkdir(parents=True, exist_ok=True)
    return [folder for folder in found if folder.is_dir()]


def run_here(target: str, arguments: list[str]) -> None:
    """Fuzz in this process, which never returns."""
    # By name: it is installed for fuzzing alone.
    atheris = importlib.import_module("atheris")

    with atheris.instrument_imports(include=["propchange"]):
        from fuzz.targets import TARGETS
    atheris.Setup([sys.argv[0], *arguments], TARGETS[target])
    atheris.Fuzz()


def run(target: str, seconds: int | None, runs: int | None, *, verbose: bool) -> bool:
    """Fuzz in another process and print a line of results. False after a finding."""
    findings = HERE / "findings" / target
    findings.mkdir(parents=True, exist_ok=True)
    options = [f"-max_len={LONGEST}", f"-artifact_prefix={findings}/", "-timeout=20"]
    options += ["-print_final_stats=1", "-rss_limit_mb=2048"]
    options += [] if seconds is None else [f"-max_total_time={seconds}"]
    options += [] if runs is None else [f"-runs={runs}"]
    dictionary = HERE / "dictionary.txt"
    command = [sys.executable, "-m", "fuzz", "--here", target, *options, f"-dict={dictionary}"]
    begin = time.monotonic()
    first = edges = newest = executed = 0
    newest_at = begin
    words: list[str] = []
    process = subprocess.Popen(
        [*command, *map(str, corpora(target))], stderr=subprocess.STDOUT, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    for line in process.stdout:
        if progress := _PROGRESS.match(line):
            executed, kind, found = int(progress[1]), progress[2], int(progress[3])
            if kind == b"INITED":
                first = found
            elif found > edges:
                newest, newest_at = executed, time.monotonic()
            edges = max(edges, found)
        elif statistic := _STATISTIC.search(line):
            executed = int(statistic[1])
        else:
            words.append(line.decode("utf-8", "replace"))
        if verbose:
            sys.stdout.buffer.write(line)
            sys.stdout.flush()
    failed = process.wait() != 0
    took, quiet = time.monotonic() - begin, time.monotonic() - newest_at
    print(
        f"{target}: {executed:,} executions in {took:.0f} s; {edges} edges, {first} by the corpus; "
        f"the newest at execution {newest:,}, {quiet:.0f} s before the end: "
        f"{'A FINDING' if failed else 'no finding'}",
        flush=True,
    )
    if failed and not verbose:
        print("".join(words[-60:]))
    return not failed


def main() -> int:
    """The command."""
    if sys.argv[1:2] == ["--here"]:
        run_here(sys.argv[2], sys.argv[3:])
    from fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("target", choices=[*TARGETS, "all"], help="all: each one in turn")
    parser.add_argument("--seconds", type=int, help="of each target; 600 without --runs")
    parser.add_argument("--runs", type=int, help="executions of each target")
    parser.add_argument("--verbose", action="store_true", help="show what libFuzzer prints")
    chosen = parser.parse_args()
    if chosen.seconds is None and chosen.runs is None:
        chosen.seconds = 600
    names = list(TARGETS) if chosen.target == "all" else [chosen.target]
    good = [run(name, chosen.seconds, chosen.runs, verbose=chosen.verbose) for name in names]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
