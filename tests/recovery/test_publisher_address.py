"""The machine of a publisher gets another address while it has subscribers."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from lab.load_publisher import Publisher
from lab.networks import Network
from lab.programs import Program

pytestmark = pytest.mark.slow


def events(subscriber: Program) -> list[dict[str, Any]]:
    return [line.told for line in subscriber.lines]


def wait(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    assert condition()


def check_order(told: list[dict[str, Any]]) -> None:
    """No gap, and nothing late. What was under way when the address went may have arrived: the
    answer to it got lost, so it comes again with the same SEQ."""
    seqs = [each["seq"] for each in told]
    assert seqs == sorted(seqs)
    assert sorted(set(seqs)) == list(range(seqs[-1] + 1))
    assert len(seqs) - len(set(seqs)) <= 2


@pytest.mark.parametrize("runtime", ["asyncio", "uvloop", "twisted"])
@pytest.mark.parametrize(
    ("before", "after"),
    [("10.77.0.2/24", "10.77.0.9/24"), ("fd00:77::2/64", "fd00:77::9/64")],
    ids=["ipv4", "ipv6"],
)
def test_no_event_is_lost_when_the_address_of_a_publisher_changes(
    network: Network, start: Any, runtime: str, before: str, after: str
) -> None:
    """The connections from the address that is gone get no answer. They are given up, and what was
    under way is sent once more, from the new address."""
    switch, device, control = network.switch(), network.host("device"), network.host("control")
    network.plug(device, switch, "eth0", before)
    own = "fd00:77::3" if ":" in before else "10.77.0.3"
    network.plug(control, switch, "eth0", f"{own}/{before.partition('/')[2]}")
    with Publisher(runtime, {}, prefix=device.prefix) as publisher:
        host = before.partition("/")[0]
        host = f"[{host}]" if ":" in host else host
        url = f"http://{host}:{publisher.port}{publisher.path}"
        subscriber = start(*control.prefix, sys.executable, "-m", "lab.raw_subscriber", own, url)
        wait(lambda: len(events(subscriber)) == 1)
        number = publisher.ask_now("run", 10, 0.5)
        wait(lambda: events(subscriber)[-1]["text"].startswith(f"{number}:"))
        old = events(subscriber)[-1]["from"]
        device.ip(f"addr del {before} dev eth0")
        device.ip(f"addr add {after} dev eth0")
        number = publisher.ask_now("run", 10, 1)
        wait(lambda: events(subscriber)[-1]["text"].startswith(f"{number}:"))
        told = events(subscriber)
        check_order(told)
        assert told[-1]["from"] != old
        # And back again.
        device.ip(f"addr del {after} dev eth0")
        device.ip(f"addr add {before} dev eth0")
        number = publisher.ask_now("run", 10, 1)
        wait(lambda: events(subscriber)[-1]["text"].startswith(f"{number}:"))
        told = events(subscriber)
        check_order(told)
        assert told[-1]["from"] == old
