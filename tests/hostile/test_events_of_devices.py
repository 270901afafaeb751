"""Events that a device makes to cost a control point time or memory, over sockets."""

from __future__ import annotations

import gc
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from propchange.core.subscriber.events import Event
from propchange.core.wire.xml import escape_text
from tests.asyncio.conftest import raw_device
from tests.driver.conftest import driven, pytest_generate_tests
from tests.driver.test_control_point import opened, subscribe

__all__ = ["driven", "pytest_generate_tests", "raw_device"]

Until = Callable[[Callable[[], object]], Awaitable[None]]

KNOWN = "".join(f'<InstanceID val="{number}"><A val="1"/></InstanceID>' for number in range(4_000))
ORDINARY = "".join(
    f'<InstanceID val="0"><A val="{number}"/></InstanceID>' for number in range(4_000)
)
HOSTILE = {
    "declarations without an end": "<?xml" * 40_000,
    "instances that go": "<Event>"
    + "".join(f'<InstanceID val="{number}"/>' for number in range(9_900))
    + "</Event>",
    "instances that come and go": "<Event>"
    + '<InstanceID val="1"/><InstanceID val="1"><A val="1"/></InstanceID>' * 3_000
    + "</Event>",
    "names that are none": "<StateEvent>" + "<x:1/>" * 19_000 + "</StateEvent>",
    "digits": f'<Event><InstanceID val="{"1" * 200_000}"/></Event>',
    "ampersands": f"<Event>{'&' * 40_000}</Event>",
    "a name": f"<StateEvent><{'a' * 200_000}/></StateEvent>",
}


@pytest.mark.parametrize("kind", HOSTILE)
async def test_no_lastchange_costs_many_times_an_ordinary_one_of_its_size(
    driven: Any, raw_device: Any, until: Until, kind: str
) -> None:
    async with raw_device() as device, opened(driven) as driver:
        held, record = subscribe(driver, device.event_url)
        await until(lambda: held.grants)
        seq = 0

        async def cost(text: str) -> float:
            nonlocal seq
            gc.disable()  # a collection of what other tests have left would be measured too
            begin = time.process_time()
            try:
                answer = await device.notify(
                    record.callback, record.sid, seq, LastChange=escape_text(text)
                )
                seconds = time.process_time() - begin
            finally:
                gc.enable()
            seq += 1
            assert answer.status == 200
            return seconds

        await cost(f"<Event>{KNOWN}</Event>")
        ordinary = min([await cost(f"<Event>{ORDINARY}</Event>") for _ in range(2)])
        # Once alone: afterwards the instances are gone.
        assert await cost(HOSTILE[kind]) < 12 * ordinary
        await until(lambda: len([it for it in held.items if isinstance(it, Event)]) == seq)


async def test_a_device_fills_neither_the_queue_nor_the_state(
    driven: Any, raw_device: Any, until: Until
) -> None:
    limits = {"state_characters": 100_000, "fold_keys": 50}
    async with raw_device() as device, opened(driven, **limits) as driver:
        held, record = subscribe(driver, device.event_url)
        await until(lambda: held.grants)
        for seq in range(80):
            values = {f"V{seq}": "x" * 20_000} if seq % 2 else {f"V{seq}": "1", "A": str(seq)}
            answer = await device.notify(record.callback, record.sid, seq, **values)
            assert answer.status == 200
        events = [item for item in held.items if isinstance(item, Event)]
        assert len(events) == 80
        assert sum(len(text) for text in record.values.values() if isinstance(text, str)) < 101_000
        assert record.values["A"] == "78"
        assert "have no room for 'V79'" in events[-1].problems[0]
