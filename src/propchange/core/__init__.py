"""The protocol of UPnP eventing: rules, states and schedules. No I/O, no clock, no randomness.

For the author of a runtime or of a web framework: :class:`PublisherProtocol` and
:class:`SubscriberProtocol` take inputs with the time, and their ``take_…`` methods return what to
send and what has happened. ``docs/sans-io.md`` shows a program that drives one of them.

The names below are public. No other name in the rooms inside is; it may change at any time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from propchange.lazy_names import lazy_names as _lazy_names

if TYPE_CHECKING:
    from propchange.core.diagnosis.facts import Facts, Probe, Reach, RefusedNotify
    from propchange.core.diagnosis.rules import diagnose
    from propchange.core.diagnosis.verdicts import Diagnosis, Verdict
    from propchange.core.discovery.advertised import (
        AdvertisedDevice,
        AdvertisementIgnored,
        DeviceAppeared,
        DeviceChanged,
        DeviceEmbedded,
        DeviceGone,
        DeviceMoved,
        DeviceRebooted,
        DeviceReturned,
        GoneBy,
        PresenceOutcome,
        SearchWanted,
    )
    from propchange.core.discovery.advertisement import Advertisement, AdvertisementKind
    from propchange.core.discovery.presence import Presence
    from propchange.core.limits import DEFAULT_LIMITS, Limits
    from propchange.core.local_addresses import InterfaceKind, LocalAddress, OnLink
    from propchange.core.multicast.message import (
        Datagram,
        MulticastMessage,
        MulticastScope,
        ServiceIdentity,
    )
    from propchange.core.multicast.publication import (
        MulticastMerged,
        MulticastPolicy,
        MulticastTooLarge,
    )
    from propchange.core.multicast.reception import (
        ExpectedService,
        MulticastEvent,
        MulticastMissed,
        MulticastReception,
        MulticastRefused,
        NotBelieved,
    )
    from propchange.core.multicast.verification import (
        BootIdWanted,
        DescriptionWanted,
        MulticastFilter,
        MulticastVerification,
    )
    from propchange.core.publisher.judge import PublisherPolicy
    from propchange.core.publisher.outcomes import (
        AnswerUnreported,
        AttemptFailed,
        AttemptTimedOut,
        Disowned,
        Expired,
        InitialEventDelivered,
        Merged,
        MergeFailed,
        MessageAbandoned,
        PublisherOutcome,
        Refused,
        Renewed,
        Subscribed,
        Unsubscribed,
    )
    from propchange.core.publisher.protocol import PublisherProtocol
    from propchange.core.publisher.records import EventedVariable
    from propchange.core.subscriber.connection_history import ConnectionHistory
    from propchange.core.subscriber.events import (
        Cause,
        Change,
        Convert,
        Event,
        Status,
        StatusChange,
    )
    from propchange.core.subscriber.judge import SubscriberPolicy
    from propchange.core.subscriber.outcomes import (
        DeviceChecked,
        ForeignSource,
        Granted,
        Mended,
        NotifyRefused,
        RenewalAnswered,
        RenewalFailed,
        SeqUnreliable,
        SubscriberOutcome,
        Unreadable,
    )
    from propchange.core.subscriber.protocol import SubscriberProtocol
    from propchange.core.subscriber.record import SubscriptionRecord
    from propchange.core.subscriber.requests import (
        Failure,
        OutgoingRequest,
        RequestKind,
        addressed_to,
        failure_of_errno,
        redirect_url,
    )
    from propchange.core.url_hosts import judge_url_host
    from propchange.core.values.data_types import DataType, data_type
    from propchange.core.values.lastchange import CDS_EVENT, LastChangeFold
    from propchange.core.values.merging import CONTAINERS, Fold
    from propchange.core.values.state_variables import StateVariable
    from propchange.core.wire.messages import (
        Delivery,
        DeliveryAddress,
        DeliveryFailure,
        DeliveryURL,
        Endpoint,
        EventMessage,
        HeaderPairs,
        Request,
        Response,
    )
else:  # hidden from type checkers: __getattr__ would make them accept any name
    __getattr__, __dir__ = _lazy_names(
        globals(),
        {
            "diagnosis.facts": "Facts Probe Reach RefusedNotify",
            "diagnosis.rules": "diagnose",
            "diagnosis.verdicts": "Diagnosis Verdict",
            "discovery.advertised": (
                "AdvertisedDevice AdvertisementIgnored DeviceAppeared DeviceChanged "
                "DeviceEmbedded DeviceGone DeviceMoved DeviceRebooted DeviceReturned GoneBy "
                "PresenceOutcome SearchWanted"
            ),
            "discovery.advertisement": "Advertisement AdvertisementKind",
            "discovery.presence": "Presence",
            "limits": "DEFAULT_LIMITS Limits",
            "local_addresses": "InterfaceKind LocalAddress OnLink",
            "multicast.message": "Datagram MulticastMessage MulticastScope ServiceIdentity",
            "multicast.publication": "MulticastMerged MulticastPolicy MulticastTooLarge",
            "multicast.reception": (
                "ExpectedService MulticastEvent MulticastMissed MulticastReception "
                "MulticastRefused NotBelieved"
            ),
            "multicast.verification": (
                "BootIdWanted DescriptionWanted MulticastFilter MulticastVerification"
            ),
            "publisher.judge": "PublisherPolicy",
            "publisher.outcomes": (
                "AnswerUnreported AttemptFailed AttemptTimedOut Disowned Expired "
                "InitialEventDelivered Merged MergeFailed MessageAbandoned PublisherOutcome "
                "Refused Renewed Subscribed Unsubscribed"
            ),
            "publisher.protocol": "PublisherProtocol",
            "publisher.records": "EventedVariable",
            "subscriber.connection_history": "ConnectionHistory",
            "subscriber.events": "Cause Change Convert Event Status StatusChange",
            "subscriber.judge": "SubscriberPolicy",
            "subscriber.outcomes": (
                "DeviceChecked ForeignSource Granted Mended NotifyRefused RenewalAnswered "
                "RenewalFailed SeqUnreliable SubscriberOutcome Unreadable"
            ),
            "subscriber.protocol": "SubscriberProtocol",
            "subscriber.record": "SubscriptionRecord",
            "subscriber.requests": (
                "Failure OutgoingRequest RequestKind addressed_to failure_of_errno redirect_url"
            ),
            "url_hosts": "judge_url_host",
            "values.data_types": "DataType data_type",
            "values.lastchange": "CDS_EVENT LastChangeFold",
            "values.merging": "CONTAINERS Fold",
            "values.state_variables": "StateVariable",
            "wire.messages": (
                "Delivery DeliveryAddress DeliveryFailure DeliveryURL Endpoint EventMessage "
                "HeaderPairs Request Response"
            ),
        },
    )

__all__ = [
    "CDS_EVENT",
    "CONTAINERS",
    "DEFAULT_LIMITS",
    "AdvertisedDevice",
    "Advertisement",
    "AdvertisementIgnored",
    "AdvertisementKind",
    "AnswerUnreported",
    "AttemptFailed",
    "AttemptTimedOut",
    "BootIdWanted",
    "Cause",
    "Change",
    "ConnectionHistory",
    "Convert",
    "DataType",
    "Datagram",
    "Delivery",
    "DeliveryAddress",
    "DeliveryFailure",
    "DeliveryURL",
    "DescriptionWanted",
    "DeviceAppeared",
    "DeviceChanged",
    "DeviceChecked",
    "DeviceEmbedded",
    "DeviceGone",
    "DeviceMoved",
    "DeviceRebooted",
    "DeviceReturned",
    "Diagnosis",
    "Disowned",
    "Endpoint",
    "Event",
    "EventMessage",
    "EventedVariable",
    "ExpectedService",
    "Expired",
    "Facts",
    "Failure",
    "Fold",
    "ForeignSource",
    "GoneBy",
    "Granted",
    "HeaderPairs",
    "InitialEventDelivered",
    "InterfaceKind",
    "LastChangeFold",
    "Limits",
    "LocalAddress",
    "Mended",
    "MergeFailed",
    "Merged",
    "MessageAbandoned",
    "MulticastEvent",
    "MulticastFilter",
    "MulticastMerged",
    "MulticastMessage",
    "MulticastMissed",
    "MulticastPolicy",
    "MulticastReception",
    "MulticastRefused",
    "MulticastScope",
    "MulticastTooLarge",
    "MulticastVerification",
    "NotBelieved",
    "NotifyRefused",
    "OnLink",
    "OutgoingRequest",
    "Presence",
    "PresenceOutcome",
    "Probe",
    "PublisherOutcome",
    "PublisherPolicy",
    "PublisherProtocol",
    "Reach",
    "Refused",
    "RefusedNotify",
    "RenewalAnswered",
    "RenewalFailed",
    "Renewed",
    "Request",
    "RequestKind",
    "Response",
    "SearchWanted",
    "SeqUnreliable",
    "ServiceIdentity",
    "StateVariable",
    "Status",
    "StatusChange",
    "Subscribed",
    "SubscriberOutcome",
    "SubscriberPolicy",
    "SubscriberProtocol",
    "SubscriptionRecord",
    "Unreadable",
    "Unsubscribed",
    "Verdict",
    "addressed_to",
    "data_type",
    "diagnose",
    "failure_of_errno",
    "judge_url_host",
    "redirect_url",
]
