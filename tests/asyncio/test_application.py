"""Whatever the application does, the device gets its answers, other subscriptions go on, and
nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import statistics
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from propchange import ConnectionFailed, ControlPoint, Limits, Subscription
from propchange.core.subscriber.events import Status
from propchange.core.subscriber.outcomes import Granted
from tests.development_mode import IN_DEVELOPMENT, complaints

pytestmark = pytest.mark.slow  # each counts what is left behind, at many moments


_PATIENCE = 10
"""Times as long as an undisturbed answer that a disturbed one may take, at the median: what would
make a device wait takes a thousand times as long."""


def open_sockets() -> set[str]:
    """The sockets of this process, where the system lists them (Linux)."""
    found = set()
    for number in Path("/proc/self/fd").glob("*"):
        with contextlib.suppress(OSError):  # it was that of the listing itself
            found.add(os.readlink(number))
    return {each for each in found if each.startswith("socket:")}


@contextlib.asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    """Inside it, what is opened must have ended again: tasks and sockets."""
    gc.collect()
    tasks, sockets = asyncio.all_tasks(), open_sockets()
    yield
    for _ in range(100):
        gc.collect()
        if asyncio.all_tasks() == tasks and open_sockets() == sockets:
            return
        await asyncio.sleep(0.01)
    assert (asyncio.all_tasks(), open_sockets()) == (tasks, sockets)


async def answer_times(
    device: Any, subscription: Subscription, first_seq: int, number: int
) -> list[float]:
    """How long each of ``number`` event messages was without its answer, which is 200."""
    times = []
    for seq in range(first_seq, first_seq + number):
        begun = time.perf_counter()
        answer = await device.notify(subscription.callback, subscription.sid, seq, N=str(seq))
        times.append(time.perf_counter() - begun)
        assert answer.status == 200
    return times


async def test_a_consumer_that_never_reads_delays_no_answer_and_grows_no_queue(
    raw_device: Any,
) -> None:
    limits = Limits(waiting_events=16)
    async with raw_device() as device, ControlPoint(limits=limits) as point:
        read = await point.subscribe_url(device.event_url).__aenter__()
        unread = await point.subscribe_url(device.event_url).__aenter__()
        heard: list[int] = []

        async def consume() -> None:
            async for event in read:
                assert event.seq is not None
                heard.append(event.seq)

        consumer = asyncio.create_task(consume())
        undisturbed = await answer_times(device, read, 0, 150)
        disturbed = await answer_times(device, unread, 0, 150)
        assert statistics.median(disturbed) < _PATIENCE * statistics.median(undisturbed)
        while len(heard) < 150:
            await asyncio.sleep(0.001)
        assert heard == list(range(150))
        assert len(unread._queue) <= limits.waiting_events + 1
        assert unread.values == {"N": "149"}
        await point.close()
        await consumer


@pytest.mark.parametrize("stream", ["events", "updates"])
async def test_a_consumer_that_raises_ends_its_own_subscription_alone(
    raw_device: Any, stream: str
) -> None:
    async with nothing_left(), raw_device() as device, ControlPoint() as point:
        other = await point.subscribe_url(device.event_url).__aenter__()

        async def consume() -> None:
            async with point.subscribe_url(device.event_url) as subscription:
                ready.set_result(subscription)
                items = subscription if stream == "events" else subscription.updates()
                async for _ in items:
                    raise LookupError("the application's own")

        ready: asyncio.Future[Subscription] = asyncio.get_running_loop().create_future()
        consumer = asyncio.create_task(consume())
        raising = await ready
        answer = await device.notify(raising.callback, raising.sid, 0, N="0")
        assert answer.status == 200
        with pytest.raises(LookupError, match="own"):
            await consumer
        assert [m.fields["sid"] for m in device.of("UNSUBSCRIBE")] == [raising.sid]
        assert raising.status is Status.CLOSED
        await answer_times(device, other, 0, 3)
        assert (await anext(other)).is_initial


async def test_a_tap_that_raises_changes_nothing_and_is_told_once(
    raw_device: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def tap(passing: object) -> None:
        raise LookupError("the application's own")

    async with raw_device() as device:
        async with (
            ControlPoint(tap=tap) as point,
            point.subscribe_url(device.event_url) as subscription,
        ):
            await answer_times(device, subscription, 0, 3)
            assert [(await anext(subscription)).seq for _ in range(3)] == [0, 1, 2]
        assert len(device.of("UNSUBSCRIBE")) == 1
    (told,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "the tap raised" in told.message
    assert told.exc_info is not None


async def test_a_consumer_that_blocks_the_loop_loses_nothing(raw_device: Any) -> None:
    async with raw_device() as device, ControlPoint() as point:
        first = await point.subscribe_url(device.event_url).__aenter__()
        second = await point.subscribe_url(device.event_url).__aenter__()
        sending = [
            asyncio.create_task(answer_times(device, each, 0, 20)) for each in (first, second)
        ]
        async for event in first:
            time.sleep(0.02)  # noqa: ASYNC251 - what this is about
            if event.seq == 9:
                break
        await asyncio.gather(*sending)
        assert [(await anext(first)).seq for _ in range(10)] == list(range(10, 20))
        assert [(await anext(second)).seq for _ in range(20)] == list(range(20))
        assert first.status is second.status is Status.ACTIVE


async def test_a_cancelled_consumer_can_be_followed_by_another(raw_device: Any) -> None:
    async with (
        raw_device() as device,
        ControlPoint() as point,
        point.subscribe_url(device.event_url) as subscription,
    ):
        for stream in (subscription, subscription.updates()):
            consumer = asyncio.create_task(anext(stream))
            await asyncio.sleep(0)
            consumer.cancel()
            with pytest.raises(asyncio.CancelledError):
                await consumer
        await answer_times(device, subscription, 0, 2)
        assert [(await anext(subscription)).seq for _ in range(2)] == [0, 1]


async def test_a_subscribe_that_is_cancelled_leaves_nothing_at_the_device(raw_device: Any) -> None:
    """Also when the grant is under way: it is given back."""

    async with nothing_left(), raw_device() as device, ControlPoint() as point:
        for turns in range(12):
            subscribing = asyncio.create_task(point.subscribe_url(device.event_url).__aenter__())
            for _ in range(turns):
                await asyncio.sleep(0)
            subscribing.cancel()
            await asyncio.gather(subscribing, return_exceptions=True)
            if not subscribing.cancelled():
                await subscribing.result().close()
        await point.close()
        granted = {f"uuid:{number + 1}" for number in range(device.sids)}
        assert {m.fields["sid"] for m in device.of("UNSUBSCRIBE")} == granted


async def test_a_close_that_is_cancelled_goes_on_by_itself(raw_device: Any) -> None:
    async with nothing_left(), raw_device() as device, ControlPoint() as point:
        subscription = await point.subscribe_url(device.event_url).__aenter__()
        closing = asyncio.create_task(subscription.close())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert [item async for item in subscription] == []
        assert len(device.of("UNSUBSCRIBE")) == 1
        await subscription.close()


async def test_an_end_that_is_cancelled_at_any_moment_leaves_nothing(raw_device: Any) -> None:
    async with raw_device() as device:
        for turns in range(0, 30, 2):
            async with nothing_left():
                point = await ControlPoint().__aenter__()
                await point.subscribe_url(device.event_url).__aenter__()
                ending = asyncio.create_task(point.close())
                for _ in range(turns):
                    await asyncio.sleep(0)
                ending.cancel()
                ending.cancel()
                await asyncio.gather(ending, return_exceptions=True)
                await point.close()


async def test_a_control_point_that_is_being_closed_takes_no_subscription_more(
    raw_device: Any,
) -> None:
    async with nothing_left(), raw_device() as device:
        device.answers["UNSUBSCRIBE"] = None
        limits = Limits(unsubscribe_seconds=0.2)
        point = await ControlPoint(limits=limits).__aenter__()
        await point.subscribe_url(device.event_url).__aenter__()
        ending = asyncio.create_task(point.close())
        while not device.of("UNSUBSCRIBE"):
            await asyncio.sleep(0.001)
        with pytest.raises(RuntimeError, match="being closed"):
            await point.subscribe_url(device.event_url).__aenter__()
        await ending
        with pytest.raises(RuntimeError, match="was closed"):
            await point.subscribe_url(device.event_url).__aenter__()
        assert len(device.of("SUBSCRIBE")) == 1


async def test_a_control_point_can_be_closed_while_it_subscribes(raw_device: Any) -> None:
    async with nothing_left(), raw_device() as device:
        for turns in range(8):
            point = await ControlPoint().__aenter__()
            subscribing = asyncio.create_task(point.subscribe_url(device.event_url).__aenter__())
            for _ in range(turns):
                await asyncio.sleep(0)
            await point.close()
            (ended,) = await asyncio.gather(subscribing, return_exceptions=True)
            assert isinstance(ended, Subscription | ConnectionFailed | RuntimeError)
        granted = {f"uuid:{number + 1}" for number in range(device.sids)}
        assert {m.fields["sid"] for m in device.of("UNSUBSCRIBE")} == granted


async def test_start_and_stop_in_any_order(raw_device: Any) -> None:
    async with nothing_left(), raw_device() as device:
        never_entered = ControlPoint()
        await never_entered.close()
        point = ControlPoint()
        entered = await asyncio.gather(
            point.__aenter__(), point.__aenter__(), return_exceptions=True
        )
        assert entered[0] is point
        assert isinstance(entered[1], RuntimeError)
        subscription = point.subscribe_url(device.event_url)
        await subscription.close()
        entered = await asyncio.gather(
            subscription.__aenter__(), subscription.__aenter__(), return_exceptions=True
        )
        assert entered[0] is subscription
        assert isinstance(entered[1], RuntimeError)
        await asyncio.gather(subscription.close(), point.close(), subscription.close())
        await asyncio.gather(point.close(), subscription.close(), point.close())
        with pytest.raises(RuntimeError, match="once"):
            await point.__aenter__()
        assert len(device.of("UNSUBSCRIBE")) == 1


@pytest.mark.parametrize("ending", ["each", "all"])
async def test_a_hundred_subscriptions_begin_and_end_at_once_and_leave_nothing(
    raw_device: Any, ending: str
) -> None:
    granted = 0

    def tap(passing: object) -> None:
        nonlocal granted
        granted += isinstance(passing, Granted)

    async with nothing_left(), raw_device() as device:
        async with ControlPoint(tap=tap) as point:
            subscriptions = [point.subscribe_url(device.event_url) for _ in range(100)]
            await asyncio.gather(*(each.__aenter__() for each in subscriptions))
            await asyncio.gather(
                *(answer_times(device, each, 0, 1) for each in subscriptions[::10])
            )
            if ending == "each":
                await asyncio.gather(*(each.close() for each in subscriptions))
        assert granted == 100
        assert len({m.fields["sid"] for m in device.of("UNSUBSCRIBE")}) == 100
        assert all(each.status is Status.CLOSED for each in subscriptions)


# --- the loop ends, and nobody has closed anything ---

_ABANDONED = """
import asyncio
import sys

from propchange import ControlPoint


async def main():
    asyncio.get_running_loop().slow_callback_duration = 60  # this machine may be busy
    options = {"discovery": True, "interface": "127.0.0.1"} if sys.argv[2] == "discovers" else {}
    point = await ControlPoint(**options).__aenter__()
    if options:
        watching = asyncio.create_task(anext(point.devices()))
    subscription = await point.subscribe_url(sys.argv[1]).__aenter__()
    consumer = asyncio.create_task(anext(subscription.updates()))
    await point.subscribe_url(sys.argv[1], wait=False).__aenter__()
    await point.subscribe_url("http://127.0.0.1:1/", wait=False).__aenter__()
    await asyncio.sleep(0.05)
    if sys.argv[2] == "raises":
        raise LookupError("the application's own")
    if sys.argv[2] == "is cancelled":
        asyncio.current_task().cancel()
        await asyncio.sleep(1)


if sys.argv[3] == "uvloop":
    import uvloop

    factory = uvloop.new_event_loop
else:
    factory = None
with asyncio.Runner(loop_factory=factory) as runner:
    try:
        runner.run(main())
    except (LookupError, asyncio.CancelledError):
        print("ended")
    else:
        print("ended")
"""


@pytest.mark.parametrize("how", ["returns", "raises", "is cancelled", "discovers"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_a_program_that_ends_with_everything_open_takes_leave_and_leaves_no_warning(
    how: str, loop: str, raw_device: Any
) -> None:
    async with raw_device() as device:
        program = await asyncio.create_subprocess_exec(
            *(*IN_DEVELOPMENT, "-W", "error", "-c", _ABANDONED),
            *(device.event_url, how, loop),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(program.communicate(), 20)
        assert (out, complaints(err.decode())) == (b"ended\n", "")
        granted = {f"uuid:{number + 1}" for number in range(device.sids)}
        assert len(granted) == 2
        assert {m.fields["sid"] for m in device.of("UNSUBSCRIBE")} == granted


# --- diagnoses ---


async def test_a_diagnosis_that_is_cancelled_or_overtaken_by_the_end_leaves_nothing(
    raw_device: Any,
) -> None:
    async with raw_device() as device:
        for turns in range(0, 24, 3):
            async with nothing_left():
                point = await ControlPoint().__aenter__()
                subscription = await point.subscribe_url(device.event_url).__aenter__()
                cancelled, overtaken = (
                    asyncio.create_task(subscription.diagnose()) for _ in range(2)
                )
                for _ in range(turns):
                    await asyncio.sleep(0)
                cancelled.cancel()
                await point.close()
                await asyncio.gather(cancelled, return_exceptions=True)
                assert str(await overtaken)
                assert not point._driver.history.ours
                assert not point._driver.diagnoses.asked


async def test_a_hundred_diagnoses_at_once_delay_no_answer(raw_device: Any) -> None:
    async with nothing_left(), raw_device() as device, ControlPoint() as point:
        subscription = await point.subscribe_url(device.event_url).__aenter__()
        undisturbed = await answer_times(device, subscription, 0, 50)
        diagnosing = [asyncio.create_task(subscription.diagnose()) for _ in range(100)]
        disturbed = await answer_times(device, subscription, 50, 50)
        found = await asyncio.gather(*diagnosing)
        assert all(each.well for each in found)
        assert statistics.median(disturbed) < _PATIENCE * statistics.median(undisturbed)
