"""Measures a publisher with many subscribers: ``python -m benchmarks.load``; see README.md."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial

import uvloop

from lab.load_publisher import Publisher
from lab.subscribers import BAD, Subscriber, Subscribers


def milliseconds(values: Sequence[float], share: float) -> float:
    """The quantile of ``values``, which are seconds."""
    ordered = sorted(values)
    at = min(int(len(ordered) * share), len(ordered) - 1)
    return round(ordered[at] * 1000, 1) if ordered else float("nan")


async def wait(condition: Callable[[], bool], seconds: float) -> float:
    """Wait for ``condition``, for ``seconds`` at most. Returns how long it took."""
    begin = time.monotonic()
    while not condition() and time.monotonic() - begin < seconds:  # noqa: ASYNC110 - nothing may tell it, that would cost
        await asyncio.sleep(0.01)
    return time.monotonic() - begin


def have(all_of: Sequence[Subscriber], number: int) -> bool:
    """Whether each of ``all_of`` has change ``number``."""
    return all(each.text.startswith(f"{number}:") for each in all_of)


@contextlib.asynccontextmanager
async def _ready(
    publisher: Publisher, kinds: Sequence[str], *, per_address: int, first: int = 0
) -> AsyncIterator[tuple[Subscribers, float]]:
    """The subscribers, after their initial events, and the seconds that these took."""
    path = publisher.path
    async with Subscribers(kinds, per_address=per_address, first=first) as subscribers:
        answers = await subscribers.subscribe(publisher.port, path)
        refused = Counter(answer[9:12] for answer in answers if b" 200 " not in answer[:13])
        if refused:
            print(f"refused: {refused}")
        took = await wait(lambda: all(each.received for each in subscribers.good), 30)
        yield subscribers, took
    publisher.close()


async def changes(publisher: Publisher, kinds: Sequence[str], rate: float, seconds: float) -> str:
    """Send changes to subscribers of these kinds. Prints what the good subscribers received, and
    how late."""
    async with _ready(publisher, kinds, per_address=1) as (subscribers, first):
        good = subscribers.good
        number = await publisher.ask("run", 1, 1)
        await wait(lambda: have(good, number), 10)
        opened = sum(each.opened for each in good)
        for each in good:
            each.latencies.clear()
        await publisher.ask("measure")
        half = await publisher.ask("run", rate, seconds / 2)
        resident = (await publisher.ask("figures"))["resident_kb"]
        number = await publisher.ask("run", rate, seconds / 2)
        assert number > half
        after = await wait(lambda: have(good, number), 30)
        figures = await publisher.ask("figures")
        latencies = [each for subscriber in good for each in subscriber.latencies]
        return (
            f"first {first:.2f} s, p50 {milliseconds(latencies, 0.5)} ms, "
            f"p99 {milliseconds(latencies, 0.99)} ms, {len(latencies)} events, "
            f"{sum(each.opened for each in good) - opened} opened again, "
            f"{sum(each.gaps for each in good)} gaps, "
            f"{sum(not have([each], number) for each in good)} without the last, "
            f"{after:.2f} s after; {figures}, "
            f"{figures['resident_kb'] - resident:+} kB in the last half"
        )


async def _endpoints(options: argparse.Namespace) -> None:
    for count in options.count or (350, 500, 2000):
        publisher = Publisher(options.runtime, options.limits, options.descriptors)
        told = await changes(publisher, ["good"] * count, options.rate or 2, options.seconds or 6)
        print(f"{options.runtime:8}{count:6} endpoints: {told}", flush=True)


@contextlib.asynccontextmanager
async def _beside(
    publisher: Publisher, kinds: Sequence[str], per_address: int
) -> AsyncIterator[None]:
    """Bad subscribers, in a process of their own: their work is no latency of the good ones."""
    words = [str(publisher.port), publisher.path, str(per_address), *kinds]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "lab.subscribers",
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"subscribed\n"
        yield
    finally:
        process.stdin.close()
        await process.wait()


@contextlib.asynccontextmanager
async def _fifty_good(
    options: argparse.Namespace, bad: Sequence[str], per_address: int
) -> AsyncIterator[tuple[Publisher, Subscribers]]:
    """A publisher with 50 good subscribers, beside the ``bad`` ones."""
    publisher = Publisher(options.runtime, options.limits, options.descriptors)
    async with (
        _beside(publisher, bad, per_address),
        _ready(publisher, ["good"] * 50, per_address=per_address, first=50) as (subscribers, _),
    ):
        number = await publisher.ask("run", 1, 1)
        await wait(lambda: have(subscribers.good, number), 10)
        for each in subscribers.good:
            each.latencies.clear()
        yield publisher, subscribers


async def _bad(options: argparse.Namespace) -> None:
    """Fifty good subscribers of one publisher, and fifty of another one that also has fifty bad
    subscribers. The two publishers take turns, so that other programs disturb both alike."""
    rate, seconds = options.rate or 10, options.seconds or 60
    for per_address in (1, 100):
        for kind in options.kinds:
            bad = BAD * 5 if kind == "all" else (kind,) * 50
            async with (
                _fifty_good(options, (), per_address) as alone,
                _fifty_good(options, bad, per_address) as beside,
            ):
                told = await _in_turns(alone, beside, rate, seconds)
            where = "one address" if per_address > 1 else "an address each"
            print(f"{options.runtime:8}{kind}, {where}: {told}", flush=True)


_TURN_SECONDS = 2.0


async def _in_turns(
    alone: tuple[Publisher, Subscribers],
    beside: tuple[Publisher, Subscribers],
    rate: float,
    seconds: float,
) -> str:
    """Send changes at each of the two publishers for ``seconds``, in turns. Returns the figures of
    their good subscribers."""
    publisher, subscribers = beside
    opened = sum(each.opened for each in subscribers.good)
    await publisher.ask("measure")
    resident, half = 0, 0.0
    number = 0
    latencies: tuple[list[list[float]], ...] = ([], [])
    turns = 2 * max(round(seconds / _TURN_SECONDS / 2), 1)
    for turn in range(turns):
        if turn == turns // 2:
            resident, half = (await publisher.ask("figures"))["resident_kb"], time.monotonic()
        for taken, (sender, takers) in zip(latencies, (alone, beside), strict=True):
            number = await sender.ask("run", rate, seconds / turns)
            await wait(partial(have, takers.good, number), 10)
            taken.append([late for one in takers.good for late in one.latencies])
            for one in takers.good:
                one.latencies.clear()
    figures = await publisher.ask("figures")
    grown = (figures["resident_kb"] - resident) / resident * 60 / (time.monotonic() - half)
    good = subscribers.good
    lines, p99, usual = [], [], []
    for taken in latencies:
        everything = [late for turn in taken for late in turn]
        p99.append(milliseconds(everything, 0.99))
        usual.append(statistics.median(milliseconds(turn, 0.99) for turn in taken))
        lines.append(
            f"p50 {milliseconds(everything, 0.5)} p99 {p99[-1]} ms, "
            f"median of the p99 of each turn {usual[-1]:.1f} ms"
        )
    return (
        f"{lines[0]} alone, {lines[1]} beside, p99 {p99[1] / p99[0]:.2f} times, "
        f"of a turn {usual[1] / usual[0]:.2f} times, "
        f"{sum(map(len, latencies[1]))} events, "
        f"{sum(each.opened for each in good) - opened} opened again, "
        f"{sum(each.gaps for each in good)} gaps, "
        f"{sum(not have([each], number) for each in good)} without the last; {figures}, "
        f"resident {100 * grown:+.2f} % a minute in the last half"
    )


async def _subscriptions(options: argparse.Namespace) -> None:
    """Many subscriptions on few endpoints: the cost of an idle one, and the changes sent to it."""
    for count in options.count or (1_000, 10_000):
        limits = {
            "subscriptions": 2 * count,
            "subscriptions_per_service": 2 * count,
        } | options.limits
        publisher = Publisher(options.runtime, limits, options.descriptors)
        await publisher.ask("measure")
        before = (await publisher.ask("figures"))["resident_kb"]
        ready = _ready(publisher, ["good"] * count, per_address=options.per_address or 250)
        async with ready as (subscribers, first):
            figures = await publisher.ask("figures")
            print(f"{options.runtime:8}{count:6} subscribe: {figures}", flush=True)
            await asyncio.sleep(1)
            idle = (await publisher.ask("figures"))["resident_kb"]
            await publisher.ask("measure")
            number = await publisher.ask("run", options.rate or 1, options.seconds or 10)
            after = await wait(partial(have, subscribers.all, number), 30)
            figures = await publisher.ask("figures")
            latencies = [each for one in subscribers.all for each in one.latencies]
            print(
                f"{options.runtime:8}{count:6} subscriptions: first {first:.2f} s, "
                f"{(idle - before) / count:.2f} kB each, connections included, "
                f"p50 {milliseconds(latencies, 0.5)} ms, p99 {milliseconds(latencies, 0.99)} ms, "
                f"{sum(each.received for each in subscribers.all)} messages of "
                f"{count * (number + 1)}, {sum(each.gaps for each in subscribers.all)} gaps, "
                f"{sum(not have([each], number) for each in subscribers.all)} without the last, "
                f"{after:.2f} s after; {figures}",
                flush=True,
            )


async def _idle(options: argparse.Namespace) -> None:
    """Subscriptions that wait for a change, all of one endpoint: the memory of one, and the time of
    a garbage collection."""
    for count in options.count or (10_000,):
        limits = {
            "subscriptions": 2 * count,
            "subscriptions_per_service": 2 * count,
            "subscriptions_per_address": 2 * count,
        } | options.limits
        publisher = Publisher(options.runtime, limits, options.descriptors)
        await publisher.ask("trace")
        async with _ready(publisher, ["good"] * count, per_address=count) as (subscribers, _):
            await asyncio.sleep(3)
            grown, collecting, frozen = await publisher.ask("traced")
            print(
                f"{options.runtime:8}{sum(each.received for each in subscribers.all):6} idle "
                f"subscriptions of one endpoint: {grown / count:.0f} bytes each, a full garbage "
                f"collection takes {collecting} ms, after gc.freeze() {frozen} ms",
                flush=True,
            )


async def _storm(options: argparse.Namespace) -> None:
    """SUBSCRIBE requests, each from an address of its own, at a pace that does not follow the
    answers."""
    rate, seconds = options.rate or 2_000, options.seconds or 10
    publisher = Publisher(options.runtime, options.limits, options.descriptors)
    took: list[float] = []
    answers: Counter[str] = Counter()

    async with Subscribers(
        ["good"] * int(rate * seconds), per_address=options.per_address or 1
    ) as subscribers:

        async def one(subscriber: Subscriber) -> None:
            begin = time.monotonic()
            try:
                answer = await subscribers.subscribe_one(subscriber, publisher.port, publisher.path)
            except OSError as error:
                answers[type(error).__name__] += 1
            else:
                answers[answer[9:12].decode() or "none"] += 1
                took.append(time.monotonic() - begin)

        await publisher.ask("measure")
        tasks = []
        begin = time.monotonic()
        for number, subscriber in enumerate(subscribers.all):
            tasks.append(asyncio.create_task(one(subscriber)))
            ahead = begin + number / rate - time.monotonic()
            if ahead > 0:
                await asyncio.sleep(ahead)
        paced = time.monotonic() - begin
        await asyncio.gather(*tasks)
        granted = [each for each in subscribers.all if each.received]
        figures = await publisher.ask("figures")
        print(
            f"{options.runtime:8}{len(subscribers.all)} SUBSCRIBE in {paced:.1f} s: "
            f"{dict(answers)}, p50 {milliseconds(took, 0.5)} ms, "
            f"p99 {milliseconds(took, 0.99)} ms, all in {time.monotonic() - begin:.1f} s, "
            f"{len(granted)} initial events; {figures}",
            flush=True,
        )
    publisher.close()


async def _first(options: argparse.Namespace) -> None:
    """A change for endpoints that have no connection, and the same by bare connecting."""
    for count in options.count or (8_000,):
        limits = {
            "subscriptions": 2 * count,
            "subscriptions_per_service": 2 * count,
            "delivery_connections": count + 100,
            "delivery_idle_seconds": 1.0,
        } | options.limits
        publisher = Publisher(options.runtime, limits, options.descriptors)
        before, _ = await publisher.ask("collect")
        async with _ready(publisher, ["good"] * count, per_address=1) as (subscribers, first):
            await wait(lambda: not any(each.connections for each in subscribers.all), 30)
            await publisher.ask("measure")
            begin = time.monotonic()
            number = await publisher.ask("run", 1, 0.1)
            await wait(partial(have, subscribers.all, number), 60)
            took = time.monotonic() - begin
            figures = await publisher.ask("figures")
            objects, collecting = await publisher.ask("collect")
            print(
                f"{options.runtime:8}{count} endpoints without a connection: first {first:.2f} s, "
                f"a change {took:.2f} s, "
                f"{sum(not have([each], number) for each in subscribers.all)} without it, "
                f"{sum(each.gaps for each in subscribers.all)} gaps; {figures}; "
                f"{(objects - before) / count:.1f} objects for each connection with its "
                f"subscription, {objects} in all, a full garbage collection takes {collecting} ms",
                flush=True,
            )
            hosts = [each.host for each in subscribers.all]
            if options.runtime == "twisted":
                continue
            bare, cpu = await publisher.ask("connect", hosts, subscribers.ports["good"])
            print(
                f"{options.runtime:8}bare connecting: {bare:.2f} s ({took / bare:.2f} times), "
                f"{cpu:.2f} s of processor time ({figures['cpu_seconds'] / cpu:.2f} times)"
            )


SCENARIOS = {
    "endpoints": _endpoints,
    "bad": _bad,
    "subscriptions": _subscriptions,
    "idle": _idle,
    "storm": _storm,
    "first": _first,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.load", description=__doc__)
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("--runtime", default="uvloop", choices=("asyncio", "uvloop", "twisted"))
    parser.add_argument("--count", type=int, nargs="*", help="of subscribers")
    parser.add_argument("--kinds", nargs="*", default=["all", *BAD], help="of bad ones")
    parser.add_argument("--rate", type=float, help="changes per second")
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--limits", type=json.loads, default={}, help="as a JSON object")
    parser.add_argument("--per-address", type=int, default=0, help="subscribers; not all scenarios")
    parser.add_argument("--descriptors", type=int, default=0, help="RLIMIT_NOFILE of the publisher")
    options = parser.parse_args()
    uvloop.run(SCENARIOS[options.scenario](options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
