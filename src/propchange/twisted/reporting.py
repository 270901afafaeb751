"""What this front calls itself, and what it does when it is told nothing else."""

from __future__ import annotations

import platform

from propchange.core.publisher.judge import INITIAL_EVENT_DELAY, PublisherPolicy
from propchange.core.wire.headers import server_token
from propchange.core.wire.refusals import PRODUCT

__all__ = ["default_policy", "product"]


def default_policy() -> PublisherPolicy:
    """What a publisher follows that was given no policy: UDA 1.1, and an initial event 20 ms
    behind the answer, because GUPnP drops what comes within 5 ms."""
    return PublisherPolicy(server=product("1.1"), initial_event_delay=INITIAL_EVENT_DELAY)


def product(uda: str) -> str:
    """The value of SERVER and USER-AGENT."""
    return server_token(uda, PRODUCT, f"{platform.system()}/{platform.release()}")
