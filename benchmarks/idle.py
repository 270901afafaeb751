"""What costs without an event: the memory of a subscription that waits, and imports."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.network import subscribers_of
from benchmarks.peers.publishers import PUBLISHERS
from benchmarks.publishers import PropchangePublisher
from benchmarks.results import Figures, Measured, Row, Wanted, always, below, in_turns
from benchmarks.sink import Sink

__all__ = ["BYTES", "IMPORT_MILLISECONDS", "MEGABYTES", "rows"]

BYTES = "bytes each"
IMPORT_MILLISECONDS = "ms"
MEGABYTES = "MB"

SUBSCRIPTIONS = 5_000
ADDRESSES = 20
IMPORTS = 11
"""The least number of fresh processes."""

_IMPORT = """
import asyncio
import json, time

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096

before, clock, cpu = resident(), time.perf_counter(), time.process_time()
{statement}
clock, cpu = time.perf_counter() - clock, time.process_time() - cpu
print(json.dumps({{"ms": clock * 1e3, "CPU-ms": cpu * 1e3, "MB": (resident() - before) / 1e6}}))
"""

STATEMENTS = {
    "propchange": "import propchange",
    "propchange, with ControlPoint": "from propchange import ControlPoint",
    "propchange, with host": "from propchange import Device, Service, StateVariable, host",
    "async-upnp-client": "import async_upnp_client.aiohttp, async_upnp_client.client_factory",
    "SoCo": "import soco",
}
"""What is imported after ``import asyncio``."""

_NO_PYC_FILES = "PYTHONDONTWRITEBYTECODE"
_PACKAGES = {"async-upnp-client": "async_upnp_client", "SoCo": "soco"}


def _import(statement: str) -> Figures:
    """The time and the resident set of an import, in a fresh process that has asyncio."""
    # The first process writes the .pyc files, as an installation does.
    variables = {name: text for name, text in os.environ.items() if name != _NO_PYC_FILES}
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT.format(statement=statement)],
        capture_output=True,
        text=True,
        check=False,
        env=variables,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().rpartition("\n")[2])
    figures: Figures = json.loads(done.stdout)
    return figures


def _importing(rounds: int, *, with_peers: bool) -> Row:
    row = Row(
        "idle",
        "import, in a process that has imported asyncio",
        note="each round is a fresh process, with .pyc files",
        goals=[below(60, IMPORT_MILLISECONDS), below(6, MEGABYTES)],
    )
    contestants: dict[str, Measured] = {}
    for name, statement in STATEMENTS.items():
        package = _PACKAGES.get(name)
        if package is None or (with_peers and importlib.util.find_spec(package) is not None):
            contestants[name] = lambda statement=statement: _import(statement)  # type: ignore[misc] # inferred wrongly
    return in_turns(row, contestants, max(rounds, IMPORTS))


def _subscription_bytes(publisher: Any, subscriptions: int) -> Figures:
    """The growth of the resident set by idle subscriptions, after some that made it warm."""
    try:
        publisher.start()
        url = publisher.event_url()
        base = subscribers_of(url.host)
        with Sink(ADDRESSES * 10, ADDRESSES, 1, base) as warm:
            warm.subscribe(url, at_once=1, keep=False)
            with Sink(subscriptions, ADDRESSES, 1, base) as sink:
                before = publisher.resident_bytes()
                sink.subscribe(url, at_once=8, keep=False)
                time.sleep(0.5)  # the answers of the last ones are read
                return {BYTES: (publisher.resident_bytes() - before) / subscriptions}
    finally:
        publisher.stop()


def rows(
    rounds: int,
    seconds: float,
    *,
    on_uvloop: bool = True,
    with_peers: bool = True,
    wanted: Wanted = always,
) -> Iterator[Row]:
    """The rows of the table, as they are measured."""
    title = "memory of an idle subscription"
    if wanted(title):
        # A run with shorter rounds than usual is a trial.
        subscriptions = min(int(seconds * 12_500), SUBSCRIPTIONS)
        limits = {
            "subscriptions": 2 * SUBSCRIPTIONS,
            "subscriptions_per_service": 2 * SUBSCRIPTIONS,
        }
        publishers = [PropchangePublisher(on_uvloop=on_uvloop, **limits)]
        if with_peers:
            publishers += [PUBLISHERS[n]() for n in ("async-upnp-client", "libupnp", "GUPnP")]
        row = Row("idle", title, goals=[below(2_000, BYTES)])
        row.note = (
            f"resident set, {subscriptions:,} subscriptions of {ADDRESSES} endpoints; "
            f"limits raised: {', '.join(limits)}"
        )
        contestants = {
            each.name: lambda each=each: _subscription_bytes(each, subscriptions)  # type: ignore[misc] # inferred wrongly
            for each in publishers
        }
        yield in_turns(row, contestants, rounds, warm=0)
    if wanted("import"):
        yield _importing(rounds, with_peers=with_peers)
