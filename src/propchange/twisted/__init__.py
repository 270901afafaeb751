"""Services and control points on Twisted. Cohen3's events are in :mod:`propchange.cohen3`."""

from __future__ import annotations

from propchange.driver.discovery import SightingKind
from propchange.twisted.control_point import ControlPoint
from propchange.twisted.remote import RemoteDevice, RemoteService, Sighting
from propchange.twisted.service import Service
from propchange.twisted.site import Site
from propchange.twisted.subscription import Subscription

__all__ = [
    "ControlPoint",
    "RemoteDevice",
    "RemoteService",
    "Service",
    "Sighting",
    "SightingKind",
    "Site",
    "Subscription",
    "install",
]


def install() -> None:
    """Let :mod:`propchange.cohen3` replace ``coherence.upnp.core.event``: the same as
    :func:`propchange.cohen3.install`."""
    from propchange import cohen3  # it imports this package

    cohen3.install()
