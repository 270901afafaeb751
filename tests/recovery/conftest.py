"""Networks of hosts and switches that a test makes, and programs that run on the hosts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from lab import peers
from lab.faults.bench import Follower
from lab.fixtures import Start, missing, missing_fixture, start_fixture  # noqa: F401 - fixtures
from lab.networks import Host, Network
from lab.programs import Missing


@pytest.fixture
def network() -> Iterator[Network]:
    """An empty network."""
    try:
        with Network() as network:
            yield network
    except Missing as error:
        missing(error)


@pytest.fixture
def follow(start: Start) -> Callable[..., Follower]:
    """``follow(host, description_url, **options)`` starts a control point that follows Bench;
    ``options`` are fields of Limits and arguments of ControlPoint."""

    def follow(
        host: Host, description_url: str, *, duration: int = 4, **options: object
    ) -> Follower:
        command = peers.control_point("propchange", description_url, duration)
        return Follower("propchange", start(*host.prefix, *command, json.dumps(options)))

    return follow
