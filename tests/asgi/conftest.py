"""Coroutines as tests on asyncio, with the devices and subscribers of plain sockets."""

from __future__ import annotations

from tests.asyncio.conftest import give_ask, raw_device, raw_subscriber

__all__ = ["give_ask", "raw_device", "raw_subscriber"]
