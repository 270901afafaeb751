"""Runs the contestants in turns and compares them; see README.md."""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from benchmarks import calling, fan_out, others, receiving
from benchmarks.processes import PEER_CPU, TARGET_CPU, Worker

__all__ = ["main"]

REQUIRED = 0.5
"""The least share of the bare contestant's speed. Below it the shape of the library is wrong:
its rules and guards would cost more than the network does."""

AIM = 0.75
"""What is aimed at. Above it, what is left is mostly the sockets' own cost."""

CALLS_REQUIRED = 1.0
CALLS_AIM = 3.0
"""Multiples of async-upnp-client's speed, for calls of actions at either end."""

ROUNDS = 7
SECONDS = 0.6
"""Short enough that both contestants of a pair meet the same weather on a shared machine."""

BURST = 10
"""Events assigned at once: below Limits.waiting_messages, so that none is merged."""


class Sample(NamedTuple):
    """One round of one contestant."""

    operations: int
    seconds: float
    cpu_seconds: float
    peer_cpu_seconds: float


Contestant = Callable[[], Sample]


class Figures:
    """The medians of a contestant's rounds."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.rate = statistics.median(s.operations / s.seconds for s in samples)
        self.cpu = statistics.median(s.cpu_seconds / s.operations * 1e6 for s in samples)
        self.peer = statistics.median(s.peer_cpu_seconds / s.seconds for s in samples)


def in_turns(contestants: Sequence[Contestant], rounds: int) -> list[Figures]:
    """A B A B …, the first round of each being for warming up."""
    samples: list[list[Sample]] = [[] for _ in contestants]
    for number in range(rounds + 1):
        for contestant, taken in zip(contestants, samples, strict=True):
            sample = contestant()
            if number:
                taken.append(sample)
    return [Figures(taken) for taken in samples]


@contextmanager
def fan_out_contestants() -> Iterator[Callable[[int, bool, float], tuple[Contestant, Contestant]]]:
    """Gives what makes the pair for a size of burst, a kind of answer, and a length."""
    with ExitStack() as stack:
        sink = stack.enter_context(Worker(fan_out.sink, PEER_CPU))
        ours = stack.enter_context(Worker(fan_out.propchange_host, TARGET_CPU))
        bare = stack.enter_context(Worker(fan_out.bare, TARGET_CPU))
        sink.ask("open", "propchange")
        sink.ask("subscribe", "propchange", ours.ask("port"))
        bare.ask("connect", sink.ask("open", "bare"))

        def run(
            worker: Worker, name: str, burst: int, *, dated: bool, seconds: float, ordered: bool
        ) -> Sample:
            sink.ask("prepare", name, dated)
            operations, took, cpu = worker.ask("run", seconds, burst)
            received, disorder, connections, _, peer = sink.ask("count", name, operations)
            _check(name, received == operations, f"{received} of {operations} delivered")
            _check(name, not (ordered and disorder), f"{disorder} out of order")
            _check(name, connections == fan_out.SUBSCRIBERS, f"{connections} connections")
            return Sample(operations, took, cpu, peer)

        def pair(burst: int, dated: bool, seconds: float) -> tuple[Contestant, Contestant]:
            return (
                lambda: run(ours, "propchange", burst, dated=dated, seconds=seconds, ordered=True),
                # Its SEQ is always the same.
                lambda: run(bare, "bare", burst, dated=dated, seconds=seconds, ordered=False),
            )

        yield pair


@contextmanager
def receiving_contestants(
    control_point: Callable[[], Any],
) -> Iterator[Callable[[float], tuple[Contestant, Contestant]]]:
    """As above; ``control_point`` is ours, or whose turn it is."""
    with ExitStack() as stack:
        generator = stack.enter_context(Worker(receiving.generator, PEER_CPU))
        ours = stack.enter_context(Worker(control_point, TARGET_CPU))
        bare = stack.enter_context(Worker(receiving.bare, TARGET_CPU))
        ours.ask("subscribe", generator.ask("device", "propchange"))
        generator.ask("connect", "bare", bare.ask("port"))

        def run(worker: Worker, name: str, seconds: float) -> Sample:
            worker.ask("begin")
            sent, took, lost, peer = generator.ask("run", name, seconds)
            heard, disorder, cpu = worker.ask("end", sent)
            _check(name, heard == sent, f"{heard} of {sent} heard")
            _check(name, not disorder, f"{disorder} out of order, or not as they were sent")
            _check(name, not lost, f"{lost} connections lost")
            return Sample(sent, took, cpu, peer)

        yield lambda seconds: (
            lambda: run(ours, "propchange", seconds),
            lambda: run(bare, "bare", seconds),
        )


@contextmanager
def calling_contestants(
    peer: Callable[[], Any],
    other: Callable[[], Any],
) -> Iterator[Callable[[int, float], tuple[Contestant, Contestant]]]:
    """Ours and ``other``, control points that call ``peer``, a device: gives what makes the pair
    for a number of calls at a time."""
    with ExitStack() as stack:
        device = stack.enter_context(Worker(peer, PEER_CPU))
        control_points = [
            stack.enter_context(Worker(each, TARGET_CPU))
            for each in (calling.propchange_control_point, other)
        ]
        url = device.ask("url")

        def run(worker: Worker, at_once: int, seconds: float) -> Sample:
            before = device.ask("cpu")
            calls, took, cpu = worker.ask("run", url, seconds, at_once)
            return Sample(calls, took, cpu, device.ask("cpu") - before)

        for each in control_points:
            each.ask("open", url)
        ours, theirs = control_points
        yield lambda at_once, seconds: (
            lambda: run(ours, at_once, seconds),
            lambda: run(theirs, at_once, seconds),
        )


@contextmanager
def serving_contestants() -> Iterator[Callable[[float], tuple[Contestant, Contestant]]]:
    """Devices that serve calls."""
    with ExitStack() as stack:
        peer = stack.enter_context(Worker(calling.callers, PEER_CPU))
        devices = [
            stack.enter_context(Worker(each, TARGET_CPU))
            for each in (calling.propchange_device, calling.async_upnp_client_device)
        ]

        def run(worker: Worker, seconds: float) -> Sample:
            url = worker.ask("url")
            before = worker.ask("cpu")
            good, bad, took, busy = peer.ask("run", url, seconds)
            _check(url, not bad, f"{bad} calls were not answered 200")
            return Sample(good, took, worker.ask("cpu") - before, busy)

        for each in devices:
            peer.ask("open", each.ask("url"))
        ours, theirs = devices
        yield lambda seconds: (lambda: run(ours, seconds), lambda: run(theirs, seconds))


def _check(name: str, right: bool, what: str) -> None:
    if not right:
        raise RuntimeError(f"{name}: {what}")


class Table:
    """Prints the rows as they come, and knows whether one was too slow."""

    def __init__(self, other: str = "bare", required: float = REQUIRED, aim: float = AIM) -> None:
        self.failed = False
        self._required = required
        self._aim = aim
        print(f"{'':40}{'propchange':>20}{other:>20}{'ratio':>14}{'peer':>8}")
        print(
            f"{'':40}{'per s':>10}{'CPU-µs':>10}{'per s':>10}{'CPU-µs':>10}"
            f"{'per s':>7}{'CPU':>7}{'busy':>8}"
        )

    def row(self, title: str, ours: Figures, bare: Figures, *, judged: bool = True) -> None:
        """``ours`` has to stand the comparison, if it is ``judged``."""
        by_rate = ours.rate / bare.rate
        by_cpu = bare.cpu / ours.cpu
        verdict = ""
        if not judged:
            verdict = "  for orientation"
        elif min(by_rate, by_cpu) < self._required:
            self.failed = True
            verdict = "  too slow"
        elif min(by_rate, by_cpu) < self._aim:
            verdict = "  enough"
        print(
            f"{title:40}{ours.rate:>10,.0f}{ours.cpu:>10.2f}{bare.rate:>10,.0f}{bare.cpu:>10.2f}"
            f"{by_rate:>7.2f}{by_cpu:>7.2f}{ours.peer:>8.0%}{verdict}",
            flush=True,
        )


def main() -> int:
    """The exit status: 1 when propchange is too slow somewhere."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each contestant")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="per round")
    parser.add_argument("--only", choices=("fan-out", "receiving", "calls"))
    options = parser.parse_args()

    began = time.perf_counter()
    where = (
        f"targets on processor {TARGET_CPU}, peers on {PEER_CPU}"
        if TARGET_CPU is not None
        else "processors not to be chosen here: the figures mean little"
    )
    print(f"Python {platform.python_version()}, uvloop; {where}; {options.rounds} rounds\n")
    failed = False
    if options.only != "calls":
        failed = against_bare(options.only, options.rounds, options.seconds)
    if options.only in (None, "calls"):
        failed |= calls(options.rounds, options.seconds)
    print(f"\n{time.perf_counter() - began:.0f} s")
    return int(failed)


def against_bare(only: str | None, rounds: int, seconds: float) -> bool:
    """Events, compared with bare uvloop. Whether propchange is too slow."""
    table = Table()
    if only != "receiving":
        with fan_out_contestants() as fan_out_pair:
            people = f"to {fan_out.SUBSCRIBERS}"
            for title, burst, dated in (
                (f"fan-out {people}, one event at a time", 1, False),
                (f"fan-out {people}, {BURST} events at once", BURST, False),
                (f"fan-out {people}, answers with DATE", 1, True),
            ):
                table.row(title, *in_turns(fan_out_pair(burst, dated, seconds), rounds))
    if only != "fan-out":
        title = f"receiving on {receiving.CONNECTIONS} connections"
        with receiving_contestants(receiving.propchange_control_point) as receiving_pair:
            table.row(title, *in_turns(receiving_pair(seconds), rounds))
        with receiving_contestants(others.async_upnp_client_control_point) as receiving_pair:
            pair = receiving_pair(seconds)
            table.row("  the same, async-upnp-client", *in_turns(pair, 3), judged=False)
    print(f"ratio: of bare's speed; {REQUIRED} required, {AIM} aimed at\n")
    return table.failed


def calls(rounds: int, seconds: float) -> bool:
    """Calls of actions, compared with async-upnp-client. Whether propchange is too slow."""
    table = Table("async-upnp-client", CALLS_REQUIRED, CALLS_AIM)
    theirs, session = calling.async_upnp_client_control_point, calling.async_upnp_client_session
    with calling_contestants(calling.bare_device, theirs) as pair:
        table.row("calls, one at a time", *in_turns(pair(1, seconds), rounds))
        table.row("calls, four at a time", *in_turns(pair(4, seconds), rounds))
    with calling_contestants(calling.bare_device, session) as pair:
        table.row("  one, theirs with a session", *in_turns(pair(1, seconds), 3), judged=False)
        table.row("  four, theirs with a session", *in_turns(pair(4, seconds), 3), judged=False)
    for title, device in (
        ("  four, device on propchange", calling.propchange_device),
        ("  four, device on async-upnp-client", calling.async_upnp_client_device),
    ):
        with calling_contestants(device, theirs) as pair:
            table.row(title, *in_turns(pair(4, seconds), 3), judged=False)
    with serving_contestants() as serving_pair:
        title = f"calls served on {calling.CONNECTIONS} connections"
        table.row(title, *in_turns(serving_pair(seconds), rounds))
    print(f"ratio: of async-upnp-client's speed; {CALLS_REQUIRED} required, {CALLS_AIM} aimed at")
    return table.failed


if __name__ == "__main__":
    sys.exit(main())
