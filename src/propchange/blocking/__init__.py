"""Control points and hosted devices without asyncio, for scripts and threads.

Each control point and each hosted device has a thread with an asyncio loop, in which it does
everything that :mod:`propchange` does. The methods and properties here run there, and wait
for the result. So any number of threads may use one control point. Nothing is decided here.

Functions of the program that the loop calls run in that thread too: the actions of a hosted device,
``tap`` and ``search``. They must not wait, and cannot call a method of this module that does. Only
the ``poll`` of a subscription has a thread of its own.
"""

from propchange.blocking.control_point import ControlPoint
from propchange.blocking.host import HostedDevice, host
from propchange.blocking.loop_thread import Closed
from propchange.blocking.multicast import MulticastEvents
from propchange.blocking.remote import RemoteDevice, RemoteService, Sighting
from propchange.blocking.subscription import Subscription

__all__ = [
    "Closed",
    "ControlPoint",
    "HostedDevice",
    "MulticastEvents",
    "RemoteDevice",
    "RemoteService",
    "Sighting",
    "Subscription",
    "host",
]
