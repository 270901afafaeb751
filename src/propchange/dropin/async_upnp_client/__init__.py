"""The event handler and the notify server of async_upnp_client, on the protocols of propchange.

A program for async_upnp_client stays as it is. It calls :func:`install` before it imports the
library's names, or it imports :class:`UpnpEventHandler`, :class:`AiohttpNotifyServer` and
:class:`UpnpEventHandlerRegister` from here. SUBSCRIBE, renewals and UNSUBSCRIBE are sent by the
program's requester, events are given to ``service.on_event`` by
``service.notify_changed_state_variables``, as received.

A subscription goes on from ``async_subscribe`` until ``async_unsubscribe``, or until the program
has dropped the service. Beneath, it is renewed and made afresh, whatever the program does:

========================================  ==========================================================
what happens                              what the program sees
========================================  ==========================================================
the device grants                         the SID and the granted duration. The SID stays the same
                                          for the program, whatever SIDs the device grants later
an event before the grant                 it is given before ``async_subscribe`` returns
an event                                  one call of ``on_event``, with the texts as received. A
                                          repeated message is given once
the first SUBSCRIBE fails                 the exception of the requester, UpnpResponseError or
                                          UpnpSIDError. There is no subscription
``async_resubscribe``                     one renewal on the wire, so the answer is that of the
                                          device. Grants under two minutes: the third call in a row
                                          waits for a quarter of the grant
... and the device has forgotten it       a fresh SUBSCRIBE; the same SID is returned
... and the device is away                the exception, as with the library: the SID is unknown
                                          then, and a profile sets ``available`` to False. When the
                                          device is back, it is subscribed to afresh, ``available``
                                          is True again, and the initial event brings the state
a loss: a gap in SEQ, an unreadable or    ``on_event(service, [])`` once; then a fresh subscription,
cut event, a renewal without an answer,   whose initial event brings the state
byebye, a restart, a suspend
no initial event after the grant          a warning in the log that says why, and fresh
                                          subscriptions
the device moves                          its description is read at the new URL, the URLs of the
                                          program's UpnpDevice are changed to it, and the
                                          subscription is made afresh there
``UpnpDevice.reinit`` by the program      the next SUBSCRIBE goes to the new URL, and
                                          ``async_resubscribe`` sends one
the address of a notify server is gone    it also listens at the address that leads to the device,
                                          and fresh subscriptions name that, unless the program has
                                          given a ``callback_url``
the program subscribes again to a         once that is granted, the old subscription ends: no event
service                                   comes twice. Its SID leads to the new one, and giving
                                          it up leaves the new one alone
the program drops a service               UNSUBSCRIBE
a NOTIFY with an unknown SID              412, so that the device ends a subscription of a former
                                          process; 200 while a SUBSCRIBE is unanswered
``on_event`` raises                       the first exception is logged; the next event comes
========================================  ==========================================================

Restarts, byebye and moves are known at once by SSDP. The module listens to it beside the program,
on port 1900, which both share; ``install(discovery=False)`` turns that off. All event handlers of a
program share the sockets. A program may pass its own SSDP on by ``handler.receive_ssdp``. Without
SSDP, a restart is known at the next renewal. The module searches only for a followed device to
which a request has failed, once.

``AiohttpNotifyServer`` has the caps and guards of a propchange listener. HOST of an event must be
the address of the listener, with any port or none, or the authority of ``callback_url``;
``install(hosts=…)`` adds names, for a proxy that changes HOST. A web page cannot send an event
(Origin).
"""

try:
    # HttpRequest: without it the requesters have other parameters.
    from async_upnp_client.const import HttpRequest as _HttpRequest  # noqa: F401 - is it there?
    from async_upnp_client.event_handler import UpnpNotifyServer
except ImportError as error:
    raise ImportError(
        "propchange.dropin.async_upnp_client needs the library itself, version 0.44 or later: "
        f"pip install 'async-upnp-client>=0.44' ({error})"
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
