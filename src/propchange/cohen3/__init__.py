"""The eight names of Cohen3's ``coherence.upnp.core.event``, on the rules of the core.

:class:`EventServer` takes the NOTIFY requests of a control point, as :class:`Event`;
:class:`EventSubscriptionServer` takes the SUBSCRIBE and UNSUBSCRIBE requests of a service.
:func:`subscribe` and :func:`unsubscribe` send these, :func:`send_notification` sends events.
:class:`EventProtocol` and :class:`NotificationProtocol` read answers. All of it may be used without
Cohen3. ``propchange.twisted.event`` is another name of this module.
"""

from __future__ import annotations

import importlib
import sys
import types

from propchange.cohen3 import event_server
from propchange.cohen3.answer import PeerResponse
from propchange.cohen3.event_protocol import EventProtocol, subscribe, unsubscribe
from propchange.cohen3.event_server import Event, EventServer
from propchange.cohen3.event_subscription_server import EventSubscriptionServer
from propchange.cohen3.notification import NotificationProtocol, send_notification

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

_REPLACED = "coherence.upnp.core.event"

hostname: str | None
web_server_port: int | None
"""The host and the port that delivery URLs name, as the latest :class:`EventServer` found them."""


def _kept(name: str) -> property:
    return property(
        lambda _: getattr(event_server, name),
        lambda _, value: setattr(event_server, name, value),
    )


class _Module(types.ModuleType):
    """Reads and writes the two global names where :class:`EventServer` has them."""

    hostname = _kept("hostname")
    web_server_port = _kept("web_server_port")


sys.modules[__name__].__class__ = _Module


def install() -> None:
    """From here on ``coherence.upnp.core.event`` is this module.

    Call it before anything of Cohen3 is imported; again does nothing. Raises RuntimeError when
    Cohen3's own module is loaded already, because what has been imported from it would stay.
    """
    ours = sys.modules[__name__]
    loaded = sys.modules.setdefault(_REPLACED, ours)
    if loaded is not ours:
        raise RuntimeError(
            f"{_REPLACED} is loaded already: call propchange.cohen3.install() before the first "
            "import of coherence"
        )
    package, _, name = _REPLACED.rpartition(".")
    try:
        # So that it is also an attribute of its package. The package itself is empty.
        setattr(importlib.import_module(package), name, ours)
    except ImportError:
        return  # Cohen3 is not installed
    except BaseException:
        del sys.modules[_REPLACED]
        raise
