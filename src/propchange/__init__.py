"""UPnP eventing (GENA) for Python: devices publish state variables, control points subscribe."""

from __future__ import annotations

from propchange.lazy_names import lazy_names as _lazy_names

# Type checkers take this name for true. `typing` is not imported: asyncio does without it.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from propchange.asyncio.control_point import ControlPoint
    from propchange.asyncio.host import HostedDevice, host
    from propchange.asyncio.multicast import MulticastEvents
    from propchange.asyncio.remote import RemoteDevice, RemoteService, Sighting
    from propchange.asyncio.subscription import Subscription
    from propchange.core.diagnosis.facts import Facts
    from propchange.core.diagnosis.verdicts import Diagnosis, Verdict
    from propchange.core.limits import Limits
    from propchange.core.multicast.message import MulticastScope
    from propchange.core.multicast.publication import MulticastPolicy
    from propchange.core.multicast.reception import MulticastEvent, MulticastMissed
    from propchange.core.publisher.stats import HostStats
    from propchange.core.subscriber.events import (
        Cause,
        Change,
        Changes,
        Event,
        Status,
        StatusChange,
    )
    from propchange.core.subscriber.stats import ControlPointStats
    from propchange.core.values.state_variables import StateVariable
    from propchange.core.wire.messages import Request, Response
    from propchange.driver.sightings import SightingKind
    from propchange.errors import (
        ActionError,
        ConnectionFailed,
        DeliveryError,
        DescriptionError,
        LocalProtocolError,
        PropchangeError,
        ProtocolError,
        RemoteProtocolError,
        SubscriptionError,
        SubscriptionLost,
        SubscriptionRefused,
        TimedOut,
    )
    from propchange.upnp.action_methods import action, argument
    from propchange.upnp.actions import Action, Argument
    from propchange.upnp.description import DeviceDescription, ServiceDescription
    from propchange.upnp.device import Device
    from propchange.upnp.service import Service
else:  # hidden from type checkers: __getattr__ would make them accept any name
    __getattr__, __dir__ = _lazy_names(
        globals(),
        {
            "asyncio.control_point": "ControlPoint",
            "asyncio.host": "HostedDevice host",
            "asyncio.multicast": "MulticastEvents",
            "asyncio.remote": "RemoteDevice RemoteService Sighting",
            "asyncio.subscription": "Subscription",
            "core.diagnosis.facts": "Facts",
            "core.diagnosis.verdicts": "Diagnosis Verdict",
            "core.limits": "Limits",
            "core.multicast.message": "MulticastScope",
            "core.multicast.publication": "MulticastPolicy",
            "core.multicast.reception": "MulticastEvent MulticastMissed",
            "core.publisher.stats": "HostStats",
            "core.subscriber.events": "Cause Change Changes Event Status StatusChange",
            "core.subscriber.stats": "ControlPointStats",
            "core.values.state_variables": "StateVariable",
            "core.wire.messages": "Request Response",
            "driver.sightings": "SightingKind",
            "errors": (
                "ActionError ConnectionFailed DeliveryError DescriptionError "
                "LocalProtocolError PropchangeError ProtocolError RemoteProtocolError "
                "SubscriptionError SubscriptionLost SubscriptionRefused TimedOut"
            ),
            "upnp.action_methods": "action argument",
            "upnp.actions": "Action Argument",
            "upnp.description": "DeviceDescription ServiceDescription",
            "upnp.device": "Device",
            "upnp.service": "Service",
        },
    )

__all__ = [
    "Action",
    "ActionError",
    "Argument",
    "Cause",
    "Change",
    "Changes",
    "ConnectionFailed",
    "ControlPoint",
    "ControlPointStats",
    "DeliveryError",
    "DescriptionError",
    "Device",
    "DeviceDescription",
    "Diagnosis",
    "Event",
    "Facts",
    "HostStats",
    "HostedDevice",
    "Limits",
    "LocalProtocolError",
    "MulticastEvent",
    "MulticastEvents",
    "MulticastMissed",
    "MulticastPolicy",
    "MulticastScope",
    "PropchangeError",
    "ProtocolError",
    "RemoteDevice",
    "RemoteProtocolError",
    "RemoteService",
    "Request",
    "Response",
    "Service",
    "ServiceDescription",
    "Sighting",
    "SightingKind",
    "StateVariable",
    "Status",
    "StatusChange",
    "Subscription",
    "SubscriptionError",
    "SubscriptionLost",
    "SubscriptionRefused",
    "TimedOut",
    "Verdict",
    "action",
    "argument",
    "host",
]
