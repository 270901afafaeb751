"""A week on the virtual clock, with faults at random, and the program of `make soak`."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable

import pytest

from propchange.core.publisher.records import EventedVariable
from propchange.core.subscriber.events import Status
from propchange.core.subscriber.requests import Failure
from propchange.testing import DELIVER, REFUSED, SILENT, UNREACHABLE, Fate, Link

MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0
DEVICES = 10
SUBSCRIPTIONS = 10
"""Of each device."""


class Device:
    """A device, ten subscriptions to it, and the network between them, which has bad spells."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.bad = False
        self.number = 0
        self.changes = 0
        self.link = Link(fate=self.fate, jitter=self.random.random)
        variables = {"Number": EventedVariable("0"), "Text": EventedVariable("")}
        self.link.add_service("/event", variables)
        self.state = {"Number": "0", "Text": ""}
        self.records = [self.subscribe() for _ in range(SUBSCRIPTIONS)]
        self.faults: list[Callable[[], None]] = [
            self.spell,
            self.restart,
            self.suspend,
            self.other_address,
            self.deaf,
            self.new_subscription,
        ]

    def subscribe(self):
        return self.link.subscribe("/event", persistent=True)

    def fate(self, message: str) -> Fate:
        if not self.bad or self.random.random() < 0.6:
            return DELIVER
        delay = self.random.choice([0.01, 1.0, 10.0])
        broken = Fate((), failure=Failure.BROKEN)
        late, twice = Fate((delay,)), Fate((0.0, delay))
        return self.random.choice([SILENT, REFUSED, UNREACHABLE, broken, late, twice])

    # --- the faults ---

    def spell(self) -> None:
        """Messages are lost, late and repeated."""
        self.bad = True
        for _ in range(5):
            self.change()
            self.link.run(self.random.uniform(1, 5 * MINUTE))
        self.bad = False

    def restart(self) -> None:
        """The device restarts, with its first values."""
        self.link.restart_publisher()
        self.state = {"Number": "0", "Text": ""}

    def suspend(self) -> None:
        self.link.suspend(self.random.uniform(1, HOUR))

    def other_address(self) -> None:
        """The machine of the control point gets another address."""
        self.link.have_addresses(f"10.0.0.{self.random.randrange(10, 200)}")

    def deaf(self) -> None:
        """Events do not arrive, and renewals do."""
        self.link.deaf.add(self.link.subscriber_end.host)
        self.change()
        self.link.run(self.random.uniform(1, HOUR))
        self.link.deaf.clear()

    def new_subscription(self) -> None:
        """A subscription is closed, and another made."""
        self.link.unsubscribe(self.records.pop(0))
        self.records.append(self.subscribe())

    # --- the time ---

    def change(self) -> None:
        self.number += 1
        changes = {"Number": str(self.number)}
        if self.number % 5 == 0:
            changes["Text"] = "x" * self.random.randrange(1_000)
        self.state |= changes
        self.link.update("/event", changes)
        self.changes += 1

    def live(self, until: float) -> None:
        while self.link.now < until:
            self.link.run(self.random.uniform(1, 40 * MINUTE))
            self.change()
            if self.random.random() < 0.1:
                self.random.choice(self.faults)()
            # The link collects these for tests.
            self.link.publisher_outcomes.clear()
            self.link.subscriber_outcomes.clear()
            self.link.subscribes.clear()

    @property
    def agrees(self) -> bool:
        """Whether each subscription is active, and has the values of the device."""
        return all(
            record.values == self.state and record.status is Status.ACTIVE
            for record in self.records
        )


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1])
def test_after_a_week_of_faults_both_ends_agree_and_no_memory_has_grown(seed: int) -> None:
    devices = [Device(100 * seed + number) for number in range(DEVICES)]
    objects: list[int] = []
    for day in range(1, 8):
        for device in devices:
            device.live(day * DAY)
        gc.collect()
        objects.append(len(gc.get_objects()))
    for device in devices:
        device.link.run(2 * HOUR)
    assert all(device.agrees for device in devices)
    assert sum(device.changes for device in devices) > 5_000
    assert max(objects[-3:]) < 1.02 * max(objects[:2])
