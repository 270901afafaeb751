"""The event handler and the notify server of async_upnp_client, on the protocols of propchange."""

try:
    from async_upnp_client.event_handler import UpnpNotifyServer
except ImportError as error:
    raise ImportError(
        "propchange.dropin.async_upnp_client needs the library itself: pip install "
        f"async-upnp-client ({error})"
    ) from error

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
