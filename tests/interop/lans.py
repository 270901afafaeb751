"""Fixtures of the tests on two LANs. A module that uses them has LANs and programs of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest

from lab.fixtures import Start, missing, programs
from lab.networks import Host
from lab.peers import PEERS
from lab.programs import Missing
from lab.two_lans import TwoLans, two_lans
from tests.interop.seeing import Seer

__all__ = ["RUNTIMES", "lans_fixture", "see", "start_here_fixture"]

RUNTIMES = ("asyncio", "twisted")
_SEER = {"asyncio": PEERS / "see_propchange.py", "twisted": PEERS / "see_twisted.py"}


@pytest.fixture(scope="module", name="lans")
def lans_fixture() -> Iterator[TwoLans]:
    """The LANs of this module."""
    try:
        with two_lans() as lans:
            yield lans
    except Missing as error:
        missing(error)


@pytest.fixture(scope="module", name="start_here")
def start_here_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts programs that run until the end of the module."""
    with programs(tmp_path_factory.mktemp("programs")) as start:
        yield start


def see(start: Start, host: Host, runtime: str, **options: object) -> Seer:
    """Start a control point of propchange on ``host`` that sees devices. ``options`` are fields of
    Limits and arguments of ControlPoint."""
    return Seer(start(*host.prefix, sys.executable, _SEER[runtime], json.dumps(options)))
