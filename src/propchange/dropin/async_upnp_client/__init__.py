"""The event handler and the notify server of async_upnp_client, on the protocols of propchange."""

from async_upnp_client.event_handler import UpnpNotifyServer

from propchange.dropin.async_upnp_client.event_handler import (
    UpnpEventHandler,
    UpnpEventHandlerRegister,
)
from propchange.dropin.async_upnp_client.installation import install, uninstall
from propchange.dropin.async_upnp_client.notify_server import AiohttpNotifyServer

__all__ = [
    "AiohttpNotifyServer",
    "UpnpEventHandler",
    "UpnpEventHandlerRegister",
    "UpnpNotifyServer",
    "install",
    "uninstall",
]
