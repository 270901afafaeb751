"""The evented services of the UPnP Forum's standards, declared and ready to be used.

A class here has the state variables of its standard, the optional ones too, with their types,
allowed values, eventing and moderation. Instantiate it, or make a subclass: ``without=[…]``
leaves out optional variables that the device does not have, and an attribute of the same name
declares a variable anew, for a vendor's own range or allowed values; it stays evented as it was::

    class Amplifier(RenderingControl, without=["Brightness", "Contrast", "Sharpness"]):
        volume = StateVariable("ui2", maximum=31)

Where a standard leaves a value to the vendor, what stands here is a choice to begin with.
"""

from propchange.upnp.standard.av_transport import AVTransport
from propchange.upnp.standard.connection_manager import ConnectionManager
from propchange.upnp.standard.content_directory import ContentDirectory
from propchange.upnp.standard.lighting import Dimming, SwitchPower
from propchange.upnp.standard.rendering_control import RenderingControl
from propchange.upnp.standard.wan import WANCommonInterfaceConfig, WANIPConnection

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
