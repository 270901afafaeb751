"""A multicast port for each test: datagrams of tests that run at the same time do not mix."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator

import pytest

from propchange.core.multicast import message


@pytest.fixture
def own_port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Send and receive multicast events on a port that no other test has, instead of 7900."""
    for port in random.sample(range(20_000, 32_000), 50):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as reserving:
            try:
                reserving.bind(("127.0.0.1", port))
            except OSError:
                continue
            monkeypatch.setattr(message, "MULTICAST_PORT", port)
            yield port
            return
    raise AssertionError("fifty ports are taken")
