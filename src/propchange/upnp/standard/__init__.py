"""Declarations of evented services from the standards of the UPnP Forum.

Each class has the state variables of its standard, optional ones included, with their data types,
allowed values, eventing and moderation. Make an instance, or a subclass. ``without=[…]`` removes
optional variables. An attribute of the same name replaces a variable, for another range or other
allowed values; it is evented as in the standard::

    class Amplifier(RenderingControl, without=["Brightness", "Contrast", "Sharpness"]):
        volume = StateVariable("ui2", maximum=31)

Where a standard leaves a value to the vendor, the declaration has a default.
"""

from __future__ import annotations

from propchange.upnp.standard.av_transport import AVTransport
from propchange.upnp.standard.connection_manager import ConnectionManager
from propchange.upnp.standard.content_directory import ContentDirectory
from propchange.upnp.standard.internet_gateway import WANCommonInterfaceConfig, WANIPConnection
from propchange.upnp.standard.lighting import Dimming, SwitchPower
from propchange.upnp.standard.rendering_control import RenderingControl

__all__ = [
    "AVTransport",
    "ConnectionManager",
    "ContentDirectory",
    "Dimming",
    "RenderingControl",
    "SwitchPower",
    "WANCommonInterfaceConfig",
    "WANIPConnection",
]
