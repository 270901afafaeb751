"""Measures propchange beside its peers, and writes the results; see README.md."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from benchmarks import (
    calls,
    fan_out,
    idle,
    latency,
    network,
    on_twisted,
    receiving,
    report,
    subscribing,
)
from benchmarks.processes import PEER_CPU, TARGET_CPU
from benchmarks.programs import compiler
from benchmarks.results import Incorrect, Results, Row, Variant
from lab import cohen3_environment
from lab.programs import Missing

__all__ = ["main"]

ROUNDS = 5
SECONDS = 0.4
"""Rounds are short, so that other programs of the machine slow all contestants of a row alike."""
SECONDS_WITHOUT_SPEED = 0.2
"""For the record only."""

_DESCRIPTORS = 20_000


FAMILIES: dict[str, Callable[..., Iterator[Row]]] = {
    "fan-out": fan_out.rows,
    "latency": latency.rows,
    "receiving": receiving.rows,
    "subscribing": subscribing.rows,
    "idle": idle.rows,
    "twisted": on_twisted.rows,
    "calls": calls.rows,
}


def machine(rounds: int, seconds: float) -> dict[str, str]:
    """What the figures depend on."""
    cpu = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        named = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = named[0].partition(":")[2].strip() if named else cpu
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    where = (
        f"target on processor {TARGET_CPU}, load on {PEER_CPU}"
        if TARGET_CPU is not None
        else "processors not to be chosen: the figures mean little"
    )
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    packages = ("uvloop", "httptools", "async-upnp-client", "Twisted", "SoCo")
    return {
        "propchange": _first_line(["git", "describe", "--always", "--dirty"]) or "no repository",
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": f"{cpu}, {processors} processors, {where}",
        "load average before": load,
        "system": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "libraries": ", ".join(filter(None, map(_version, packages))),
        "network": network.reason() or "a namespace of its own, loopback",
        "file descriptors": f"{resource.getrlimit(resource.RLIMIT_NOFILE)[0]:,}",
        "load": _first_line([compiler() or "cc", "--version"]) or "no compiler",
        "rounds": f"{rounds} of about {seconds:g} s, in turns; the median (least to greatest)",
    }


def _first_line(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.partition("\n")[0].strip()


def _version(package: str) -> str:
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return ""


def _raise_descriptors() -> None:
    """For this process and those that it starts. A row that needs more says so."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limits in ((_DESCRIPTORS, max(hard, _DESCRIPTORS)), (hard, hard)):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        except (ValueError, OSError):
            continue
        return


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 1 when something was lost or reordered, or far too slow."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each contestant")
    parser.add_argument("--seconds", type=float, help="per round")
    parser.add_argument("--only", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--row", default="", help="only rows whose title contains this")
    parser.add_argument("--without-speed", action="store_true", help="asyncio's own loop")
    parser.add_argument("--without-peers", action="store_true")
    parser.add_argument("--write", action="store_true", help="results.json, RESULTS.md and plots")
    options = parser.parse_args(arguments)
    if compiler() is None:
        parser.error("the load is written in C: install gcc, or set CC to a C compiler")
    if options.seconds is None:
        options.seconds = SECONDS_WITHOUT_SPEED if options.without_speed else SECONDS

    began = time.perf_counter()
    name = "without uvloop" if options.without_speed else "with uvloop"
    if not options.without_peers:
        with suppress(Missing):  # its rows say why
            cohen3_environment.python()  # before there is no way to a package index
    network.enter()
    _raise_descriptors()
    variant = Variant(name, machine(options.rounds, options.seconds))
    if PEER_CPU is not None:  # this process shall not disturb the target
        os.sched_setaffinity(0, {PEER_CPU})
    for what, value in variant.machine.items():
        print(f"{what}: {value}")
    failed = []
    for family in options.only:
        rows = FAMILIES[family](
            options.rounds,
            options.seconds,
            on_uvloop=not options.without_speed,
            with_peers=not options.without_peers,
            wanted=lambda title: options.row in title,
        )
        try:
            for row in rows:
                print(f"\n{report.console(row)}", flush=True)
                row.when = f"{variant.machine['propchange']}, {variant.machine['date']}"
                variant.rows.append(row)
                if row.failed():
                    failed.append(row.title)
        except (Incorrect, RuntimeError, OSError) as error:
            print(f"\n{family}: NO MORE ROWS: {error}", flush=True)
            failed.append(family)
    if options.write:
        path = report.FOLDER / "results.json"
        results = Results.load(path)
        results.add(variant, some_rows=bool(options.row))
        results.save(path)
        report.write()
    print(
        f"\n{time.perf_counter() - began:.0f} s"
        + (f", failed: {'; '.join(failed)}" if failed else "")
    )
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
