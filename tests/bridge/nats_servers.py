"""The NATS servers of :mod:`lab.nats_servers` for a test: it is skipped where one is missing."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.nats_servers import SERVERS, NatsServer

__all__ = ["SERVERS", "NatsServer", "nats_server", "program_of"]


def program_of(name: str) -> str:
    """The program of a server; skips without it, and fails with CI=true."""
    program = SERVERS[name]
    if shutil.which(program) is None:
        missing = f"no {program}: install nats-server of Debian, and requirements/dev.txt"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return program


@contextlib.contextmanager
def nats_server(name: str, folder: Path, *more: str) -> Iterator[NatsServer]:
    server = NatsServer(program_of(name), folder)
    server.start(*more)
    try:
        server.wait()
        yield server
    finally:
        server.close()
