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
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import calls, fan_out, latency, network, receiving, report
from benchmarks.fan_out import REQUIRED
from benchmarks.processes import PEER_CPU, TARGET_CPU, Worker
from benchmarks.programs import compiler
from benchmarks.results import (
    COST,
    RATE,
    Figures,
    Incorrect,
    Measured,
    Results,
    Row,
    Variant,
    Wanted,
    always,
    faster,
    in_turns,
)

__all__ = ["main"]

ROUNDS = 5
SECONDS = 0.4
"""Short enough that all contestants of a row meet the same weather on a shared machine."""

_DESCRIPTORS = 20_000

TRUSTED = ("propchange", "bare", "C on epoll", "to ", "none")
"""When one of these loses or reorders something, the run fails. A peer that does is told of."""


def _receiving(
    rounds: int,
    seconds: float,
    *,
    on_uvloop: bool = True,
    with_peers: bool = True,
    wanted: Wanted = always,
) -> Iterator[Row]:
    """Receiving on kept connections, and async-upnp-client for orientation."""
    from benchmarks import others

    bare_name = f"bare {'uvloop' if on_uvloop else 'asyncio'}"
    row = Row("receiving", f"receiving on {receiving.CONNECTIONS} connections", required=REQUIRED)
    if not wanted(row.title):
        return
    row.goals = [faster(0.88, bare_name), faster(9, "async-upnp-client")]
    points = {
        "propchange": receiving.propchange_control_point,
        "async-upnp-client": others.async_upnp_client_control_point,
    }
    with ExitStack() as stack:
        generator = stack.enter_context(Worker(receiving.generator, PEER_CPU))

        def one(name: str, program: Callable[[], Any]) -> Measured:
            worker = stack.enter_context(Worker(program, TARGET_CPU, on_uvloop=on_uvloop))
            if name == bare_name:
                generator.ask("connect", name, worker.ask("port"))
            else:
                worker.ask("subscribe", generator.ask("device", name))

            def run() -> Figures:
                worker.ask("begin")
                sent, took, lost, busy = generator.ask("run", name, seconds)
                heard, disorder, cpu = worker.ask("end", sent)
                if heard != sent or disorder or lost:
                    raise Incorrect(f"{heard} of {sent} events, {disorder} bad, {lost} lost")
                return {RATE: sent / took, COST: cpu / sent * 1e6, "load busy": busy / took}

            return run

        each = {"propchange": one("propchange", points["propchange"])}
        each[bare_name] = one(bare_name, receiving.bare)
        each["async-upnp-client"] = one("async-upnp-client", points["async-upnp-client"])
        yield in_turns(row, each, rounds)


FAMILIES: dict[str, Callable[..., Iterator[Row]]] = {
    "fan-out": fan_out.rows,
    "latency": latency.rows,
    "receiving": _receiving,
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
    parser.add_argument("--seconds", type=float, default=SECONDS, help="per round")
    parser.add_argument("--only", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--row", default="", help="only rows whose title contains this")
    parser.add_argument("--without-speed", action="store_true", help="asyncio's own loop")
    parser.add_argument("--without-peers", action="store_true")
    parser.add_argument("--write", action="store_true", help="results.json, RESULTS.md and plots")
    options = parser.parse_args(arguments)

    began = time.perf_counter()
    name = "without uvloop" if options.without_speed else "with uvloop"
    network.enter()
    _raise_descriptors()
    variant = Variant(name, machine(options.rounds, options.seconds))
    for what, value in variant.machine.items():
        print(f"{what}: {value}")
    failed = False
    for family in options.only:
        for row in FAMILIES[family](
            options.rounds,
            options.seconds,
            on_uvloop=not options.without_speed,
            with_peers=not options.without_peers,
            wanted=lambda title: options.row in title,
        ):
            print(f"\n{report.console(row)}", flush=True)
            variant.rows.append(row)
            failed |= row.failed(TRUSTED)
    if options.write:
        path = report.FOLDER / "results.json"
        results = Results.load(path)
        results.add(variant)
        results.save(path)
        report.write()
    print(f"\n{time.perf_counter() - began:.0f} s" + (", failed" if failed else ""))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
