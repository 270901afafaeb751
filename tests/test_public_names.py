"""The public names of the package: what its users may rely on, all of it and nothing else.

A name that is added or taken away here is a change of the public surface and belongs into
CHANGELOG.md.
"""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

from propchange import errors

PUBLIC = {
    "propchange": """
        Action
        ActionError
        Argument
        Cause
        Change
        Changes
        ConnectionFailed
        ControlPoint
        ControlPointStats
        DeliveryError
        DescriptionError
        Device
        DeviceDescription
        Diagnosis
        Event
        Facts
        HostStats
        HostedDevice
        Limits
        LocalProtocolError
        MulticastEvent
        MulticastEvents
        MulticastMissed
        MulticastPolicy
        MulticastScope
        PropchangeError
        ProtocolError
        RemoteDevice
        RemoteProtocolError
        RemoteService
        Request
        Response
        Service
        ServiceDescription
        Sighting
        SightingKind
        StateVariable
        Status
        StatusChange
        Subscription
        SubscriptionError
        SubscriptionLost
        SubscriptionRefused
        TimedOut
        Verdict
        action
        argument
        host
    """,
    "propchange.asgi": "application",
    "propchange.blocking": """
        Closed
        ControlPoint
        HostedDevice
        MulticastEvents
        RemoteDevice
        RemoteService
        Sighting
        Subscription
        host
    """,
    "propchange.cohen3": """
        Event
        EventProtocol
        EventServer
        EventSubscriptionServer
        NotificationProtocol
        PeerResponse
        hostname
        install
        send_notification
        subscribe
        unsubscribe
        web_server_port
    """,
    "propchange.dropin.async_upnp_client": """
        AiohttpNotifyServer
        UpnpEventHandler
        UpnpEventHandlerRegister
        UpnpNotifyServer
        install
        uninstall
    """,
    "propchange.dropin.soco": """
        install
        uninstall
    """,
    "propchange.core": """
        AdvertisedDevice
        Advertisement
        AdvertisementIgnored
        AdvertisementKind
        AnswerUnreported
        AttemptFailed
        AttemptTimedOut
        BootIdWanted
        CDS_EVENT
        CONTAINERS
        Cause
        Change
        ConnectionHistory
        Convert
        DEFAULT_LIMITS
        DataType
        Datagram
        Delivery
        DeliveryAddress
        DeliveryFailure
        DeliveryURL
        DescriptionWanted
        DeviceAppeared
        DeviceChanged
        DeviceChecked
        DeviceEmbedded
        DeviceGone
        DeviceMoved
        DeviceRebooted
        DeviceReturned
        Diagnosis
        Disowned
        Endpoint
        Event
        EventMessage
        EventedVariable
        ExpectedService
        Expired
        Facts
        Failure
        Fold
        ForeignSource
        GoneBy
        Granted
        HeaderPairs
        InitialEventDelivered
        InterfaceKind
        LastChangeFold
        Limits
        LocalAddress
        Mended
        MergeFailed
        Merged
        MessageAbandoned
        MulticastEvent
        MulticastFilter
        MulticastMerged
        MulticastMessage
        MulticastMissed
        MulticastPolicy
        MulticastReception
        MulticastRefused
        MulticastScope
        MulticastTooLarge
        MulticastVerification
        NotBelieved
        NotifyRefused
        OnLink
        OutgoingRequest
        Presence
        PresenceOutcome
        Probe
        PublisherOutcome
        PublisherPolicy
        PublisherProtocol
        Reach
        Refused
        RefusedNotify
        RenewalAnswered
        RenewalFailed
        Renewed
        Request
        RequestKind
        Response
        SearchWanted
        SeqUnreliable
        ServiceIdentity
        StateVariable
        Status
        StatusChange
        Subscribed
        SubscriberOutcome
        SubscriberPolicy
        SubscriberProtocol
        SubscriptionRecord
        Unreadable
        Unsubscribed
        Verdict
        addressed_to
        data_type
        diagnose
        failure_of_errno
        judge_url_host
        redirect_url
    """,
    "propchange.http": """
        RequestParser
        ResponseParser
        encode_datagram
        encode_delivery
        encode_request
        encode_response
        parse_datagram
    """,
    "propchange.metrics": "collector",
    "propchange.testing": """
        DELIVER
        Fate
        Link
        Message
        REFUSED
        SILENT
        UNREACHABLE
    """,
    "propchange.twisted": """
        ControlPoint
        HostedDevice
        MulticastEvents
        RemoteDevice
        RemoteService
        Service
        Sighting
        SightingKind
        Site
        Subscription
        host
        install
    """,
    "propchange.upnp.standard": """
        AVTransport
        ConnectionManager
        ContentDirectory
        Dimming
        RenderingControl
        SwitchPower
        WANCommonInterfaceConfig
        WANIPConnection
    """,
}


def test_the_readme_lists_each_public_room():
    text = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
    listed = text.partition("Public are the names that ")[2].partition(" export.")[0]
    assert sorted(re.findall(r"`([\w.]+)`", listed)) == sorted(PUBLIC)


@pytest.mark.parametrize("room", PUBLIC)
def test_the_room_exports_these_names_and_no_other(room):
    module = importlib.import_module(room)
    expected = PUBLIC[room].split()
    assert sorted(module.__all__) == sorted(expected)
    assert expected == sorted(expected)
    assert all(hasattr(module, name) for name in expected)
    # Submodules that were imported are attributes of a package. A module that is no package has
    # imports of its own, which __all__ leaves out.
    if hasattr(module, "__path__"):
        attributes = {
            name
            for name, value in vars(module).items()
            if not name.startswith("_") and not isinstance(value, types.ModuleType)
        }
        assert attributes - {"TYPE_CHECKING", "annotations"} <= set(expected)


SUBSCRIPTION = """
    accepted callback close diagnose event_url expires_in full_state gaps granted last_event_at
    last_event_in losses merged polled problems record renewals service sid state status
    status_cause status_reason values
"""
DEVICE = """
    description device_type friendly_name multicast_events services services_named udn url
"""
SERVICE = """
    actions call control control_url conversions description device event_url full_name
    multicast_events name problems service_id service_type subscribe typed unique_name variables
"""
SIGHTING = """
    description description_url device friendly_name is_root kind locations server types udn
"""
HOSTED_DEVICE = """
    close description_url description_urls device drain port receive response_lost response_sent
    stats subscribed subscriptions udn
"""
MEMBERS = {
    "propchange.ControlPoint": """
        close device devices discovery_links fetch limits multicast_events port receive receive_ssdp
        search stats subscribe_url
    """,
    "propchange.Subscription": SUBSCRIPTION + "updates",
    "propchange.MulticastEvents": "close dropped merged updates",
    "propchange.blocking.ControlPoint": """
        close device devices discovery_links fetch limits multicast_events open port receive
        receive_ssdp search stats subscribe_url
    """,
    "propchange.blocking.Subscription": SUBSCRIPTION + "get get_nowait updates",
    "propchange.blocking.MulticastEvents": "close dropped get get_nowait merged updates",
    "propchange.blocking.RemoteDevice": DEVICE,
    "propchange.blocking.RemoteService": SERVICE,
    "propchange.blocking.Sighting": SIGHTING,
    "propchange.blocking.HostedDevice": HOSTED_DEVICE + "open run",
    "propchange.RemoteDevice": DEVICE,
    "propchange.RemoteService": SERVICE,
    "propchange.Sighting": SIGHTING,
    "propchange.HostedDevice": HOSTED_DEVICE,
    "propchange.Event": """
        changes details is_initial left_out merged polled problems received seq sid
        subscription
    """,
    "propchange.StatusChange": "cause count http_status index reason status subscription",
    # With the names that an EventServer of Cohen3's reads and calls.
    "propchange.twisted.ControlPoint": """
        add_web_resource close coherence device device_gone device_rebooted device_returned devices
        discovery_links fetch hostname limits listen multicast_events now receive
        receive_notify receive_ssdp search stats subscribe web_server_port
    """,
    "propchange.twisted.HostedDevice": HOSTED_DEVICE + "open",
    "propchange.twisted.Subscription": SUBSCRIPTION + "closed on_event on_status when_granted",
    "propchange.twisted.MulticastEvents": "close closed on_event on_missed",
    "propchange.twisted.RemoteDevice": DEVICE,
    "propchange.twisted.RemoteService": SERVICE,
    "propchange.twisted.Sighting": SIGHTING,
}


@pytest.mark.parametrize("name", MEMBERS)
def test_the_class_has_these_public_members_and_no_other(name):
    room, _, called = name.rpartition(".")
    members: set[str] = set()
    for cls in getattr(importlib.import_module(room), called).__mro__:
        members.update(vars(cls))
        if cls.__module__.startswith("propchange."):
            members.update(re.findall(r"self\.(\w+)\b[^=\n]* = ", inspect.getsource(cls)))
    assert {each for each in members if not each.startswith("_")} == set(MEMBERS[name].split())


def test_the_package_imports_none_of_its_optional_modules_and_no_other_package_for_them():
    optional = ("asgi", "blocking", "cohen3", "dropin", "twisted")
    others = ("aiohttp", "async_upnp_client", "soco", "starlette", "twisted", "uvicorn")
    names = (*(f"propchange.{name}" for name in optional), *others)
    program = f"import sys, propchange; print([n for n in {names} if n in sys.modules])"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert found.stdout == b"[]\n"


def test_every_exception_is_public():
    assert set(errors.__all__) <= set(PUBLIC["propchange"].split())


def test_the_outcomes_of_each_protocol_are_public():
    from propchange import core

    for union in (core.PublisherOutcome, core.SubscriberOutcome, core.PresenceOutcome):
        for outcome in union.__args__:
            assert getattr(core, outcome.__name__) is outcome
