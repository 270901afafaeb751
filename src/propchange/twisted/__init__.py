"""Devices, services and control points on Twisted. :mod:`propchange.cohen3` has Cohen3's events."""

from __future__ import annotations

import importlib.util

if importlib.util.find_spec("twisted") is None:
    raise ModuleNotFoundError(
        "propchange.twisted needs Twisted: pip install 'propchange[twisted]'", name="twisted"
    )

from propchange.driver.sightings import SightingKind
from propchange.twisted.control_point import ControlPoint
from propchange.twisted.host import HostedDevice, host
from propchange.twisted.multicast import MulticastEvents
from propchange.twisted.remote import RemoteDevice, RemoteService, Sighting
from propchange.twisted.service import Service
from propchange.twisted.site import Site
from propchange.twisted.subscription import Subscription

__all__ = [
    "ControlPoint",
    "HostedDevice",
    "MulticastEvents",
    "RemoteDevice",
    "RemoteService",
    "Service",
    "Sighting",
    "SightingKind",
    "Site",
    "Subscription",
    "host",
    "install",
]


def install() -> None:
    """Let :mod:`propchange.cohen3` replace ``coherence.upnp.core.event``: the same as
    :func:`propchange.cohen3.install`."""
    from propchange import cohen3  # it imports this package

    cohen3.install()
