"""Peers that try to fill the log, against the listeners of both runtimes."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from typing import Any

import pytest

from propchange.cohen3.outbox import warn_unless_taken
from propchange.core.limits import DEFAULT_LIMITS
from propchange.driver.reporting import Warnings, logger_named
from tests.asyncio.conftest import ask
from tests.hostile.fronts import point

__all__ = ["point"]

SOURCES = 300
MOST = DEFAULT_LIMITS.log_lines + 5


def port_of(control_point: Any) -> int:
    return int(control_point._begun().listener.port)


async def test_many_sources_in_turn_are_some_dozens_of_lines(
    point: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with point(discovery=False) as (control_point, _):
        port = port_of(control_point)
        for _ in range(2):
            for number in range(SOURCES):
                source = f"127.77.{number // 250}.{1 + number % 250}"
                text = f"NOTIFY /{number} HTTP/1.1\nHOST: {{host}}\nNT: upnp:event\nNTS: x"
                assert (await ask(port, text, source=source)).status in (400, 412)
        lines = [record for record in caplog.records if record.levelno >= logging.INFO]
        assert 1 <= len(lines) <= MOST


@pytest.mark.parametrize("count", [40, 1_000])
async def test_pipelined_requests_and_a_reset_are_no_lines(
    point: Any, caplog: pytest.LogCaptureFixture, count: int
) -> None:
    caplog.set_level(logging.INFO)
    async with point(discovery=False) as (control_point, _):
        port = port_of(control_point)
        request = b"GET /x HTTP/1.1\r\nHOST: 127.0.0.1:%d\r\n\r\n" % port
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", port)) as peer:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                peer.setblocking(False)
                await asyncio.get_running_loop().sock_sendall(peer, request * count)
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        lines = [record for record in caplog.records if record.levelno >= logging.INFO]
        assert len(lines) <= MOST


def test_notifications_that_nobody_takes_are_some_dozens_of_lines(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    warnings = Warnings(logger_named("notification_protocol"))
    for number in range(50_000):
        warn_unless_taken(400 + number % 150, f"10.0.{number % 250}.{number % 199}", warnings)
    assert 1 <= len(caplog.records) <= MOST
