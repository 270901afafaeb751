"""Another thread closes a control point while this one uses it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from propchange.blocking import Closed, ControlPoint
from propchange.blocking.loop_thread import LoopThread
from propchange.core.wire.messages import Endpoint, Request
from tests.blocking.devices import Hosted

USES: dict[str, Callable[[ControlPoint, Any, str], object]] = {
    "device": lambda point, _, url: point.device(url),
    "fetch": lambda point, _, url: point.fetch(url),
    "port": lambda point, _, url: point.port,
    "subscribe": lambda _, remote, url: remote["Thermometer"].subscribe().close(),
    "subscribe_url": lambda point, _, url: point.subscribe_url(
        url.replace("description.xml", "Thermometer/event")
    ).close(),
}


@pytest.mark.parametrize("use", USES)
def test_a_thread_whose_control_point_is_closed_gets_one_exception(
    device: Hosted, use: str
) -> None:
    url, raised = device.hosted.description_url, []
    for wait in (0.0, 0.002, 0.005, 0.01, 0.02):
        point = ControlPoint(interface="127.0.0.1", discovery=False).open()
        remote = point.device(url)

        def work(point: ControlPoint = point, remote: Any = remote) -> None:
            try:
                while True:
                    USES[use](point, remote, url)
            except Exception as error:  # noqa: BLE001 - the type is what is tested
                raised.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(wait)
        point.close()
        thread.join()
    assert [type(error) for error in raised] == [Closed] * 5
    assert {str(error) for error in raised} == {"the control point was closed: make another"}


def test_a_failure_without_an_end_keeps_its_exception(point: ControlPoint) -> None:
    with pytest.raises(Exception, match="no connection to 127") as caught:
        point.fetch("http://127.0.0.1:1/description.xml")
    assert not isinstance(caught.value, Closed)


def test_after_its_end_an_event_is_answered_412_as_on_asyncio() -> None:
    with ControlPoint(
        listen=False, callback_url="http://127.0.0.1:8000/events/{token}", discovery=False
    ) as point:
        pass
    headers = ((b"HOST", b"127.0.0.1:8000"), (b"NT", b"upnp:event"), (b"NTS", b"upnp:propchange"))
    headers += ((b"SID", b"uuid:1"), (b"SEQ", b"0"))
    ends = {"peer": Endpoint("127.0.0.1", 1), "local": Endpoint("127.0.0.1", 8000)}
    assert point.receive(Request("NOTIFY", "/events/x", headers, b"", **ends)).status == 412


def test_a_call_that_comes_while_the_loop_ends_does_not_begin() -> None:
    begun, raised, came = [], [], threading.Event()

    async def call() -> None:
        begun.append(True)
        await asyncio.sleep(3600)

    def use() -> None:
        try:
            thread.run(call)
        except Exception as error:  # noqa: BLE001 - the type is what is tested
            raised.append(error)

    async def ends_late() -> AsyncIterator[None]:
        """asyncio ends the generators of a loop after its tasks, and then closes the loop."""
        try:
            yield
        finally:
            loop: Any = asyncio.get_running_loop()
            call_soon = loop.call_soon_threadsafe
            loop.call_soon_threadsafe = lambda *of: (call_soon(*of), came.set())
            user.start()
            assert came.wait(30)
            for _ in range(3):
                await asyncio.sleep(0)

    @asynccontextmanager
    async def context() -> AsyncIterator[None]:
        await anext(generator)
        yield

    generator, user = ends_late(), threading.Thread(target=use)
    thread = LoopThread(context(), "it was closed")
    thread.start()
    thread.stop()
    user.join()
    assert begun == []
    assert [(type(error), str(error)) for error in raised] == [(Closed, "it was closed")]
