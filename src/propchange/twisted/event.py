"""Another name of :mod:`propchange.cohen3`, the same module object."""

from __future__ import annotations

import sys

from propchange import cohen3
from propchange.cohen3 import (
    Event,
    EventProtocol,
    EventServer,
    EventSubscriptionServer,
    NotificationProtocol,
    PeerResponse,
    hostname,
    install,
    send_notification,
    subscribe,
    unsubscribe,
    web_server_port,
)

__all__ = [
    "Event",
    "EventProtocol",
    "EventServer",
    "EventSubscriptionServer",
    "NotificationProtocol",
    "PeerResponse",
    "hostname",
    "install",
    "send_notification",
    "subscribe",
    "unsubscribe",
    "web_server_port",
]

sys.modules[__name__] = cohen3
