"""A control point that does not use an interface, here that of loopback, on both runtimes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

import pytest

from propchange import ControlPoint
from propchange.driver.machine import Interfaces
from propchange.errors import ConnectionFailed
from tests.asyncio.conftest import RawDevice
from tests.hostile.fronts import point, result

__all__ = ["point"]

LOOPBACK = next(a.interface for a in Interfaces().addresses() if a.host == "127.0.0.1")


@pytest.mark.parametrize("exclude", [[LOOPBACK], ["docker9", LOOPBACK]])
async def test_nothing_is_sent_from_an_excluded_interface(point: Any, exclude: Any) -> None:
    async with RawDevice() as device, point(exclude=exclude, discovery=False) as (cp, _):
        with pytest.raises(ConnectionFailed, match=r"begins at 127\.0\.0\.1, an address that"):
            await result(cp.device(device.description_url))
        assert device.requests == []


async def test_no_connection_leaves_from_an_excluded_interface(point: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        async with point(exclude=[LOOPBACK], discovery=False) as (cp, _):
            with pytest.raises(ConnectionFailed, match=r"begins at 127\.0\.0\.1, an address that"):
                await result(cp.device(f"http://127.0.0.1:{server.getsockname()[1]}/"))
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


async def test_nothing_is_taken_and_nobody_is_heard_on_an_excluded_interface(point: Any) -> None:
    async with point(exclude=[LOOPBACK]) as (cp, _):
        assert not [link for link in cp.discovery_links if link in ("127.0.0.1", "::1")]
        for host in ("127.0.0.1", "127.0.0.7"):
            reader, writer = await asyncio.open_connection(host, cp._driver.port)
            with contextlib.suppress(ConnectionResetError):
                writer.write(b"NOTIFY / HTTP/1.1\r\nHOST: x\r\n\r\n")
                assert await reader.read() == b""
            writer.close()


async def test_the_other_interfaces_are_used(point: Any, caplog: pytest.LogCaptureFixture) -> None:
    async with RawDevice() as device, point(exclude=["docker9"]) as (cp, subscribed):
        remote = await result(cp.device(device.description_url))
        await subscribed(remote["Thermometer"])
        assert len(device.of("SUBSCRIBE")) == 1
    assert "exclude names 'docker9', and there is no such interface now; there are: " in caplog.text


async def test_an_interface_that_is_excluded_cannot_be_the_one() -> None:
    with pytest.raises(ValueError, match=f"both name {LOOPBACK}"):
        ControlPoint(interface=LOOPBACK, exclude=[LOOPBACK])
    with pytest.raises(TypeError, match="exclude is a list of names"):
        ControlPoint(exclude=LOOPBACK)
