"""Declarations of evented services from the standards of the UPnP Forum.

Each class has the state variables of its standard, optional ones included, with their data types,
allowed values, eventing and moderation, and the actions. Make a subclass. ``@action`` above a
method with the name of an action implements it. The actions that only read variables are answered
from the values. :func:`propchange.host` refuses a service that lacks an action that its standard
requires; optional ones are left out of the service description. ``without=[…]`` removes optional
variables, and their actions. An attribute of the same name replaces a variable, for another range
or other allowed values; it is evented as in the standard::

    class Amplifier(RenderingControl, without=["Brightness", "Contrast", "Sharpness"]):
        volume = StateVariable("ui2", maximum=31)

        @action
        def set_volume(self, instance_id: int, channel: str, desired_volume: int) -> None:
            self.check_instance(instance_id, channel)["Volume", channel] = desired_volume

        @action
        def select_preset(self, instance_id: int, preset_name: str) -> None:
            self.volume = 10

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
