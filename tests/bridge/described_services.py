"""Service descriptions of devices, for the tests of what Home Assistant is offered.

Those of standard services are made of the classes in ``propchange.upnp.standard``. The others are
written as their makers write them, cut to the variables and actions that a rule is about.
"""

from __future__ import annotations

from typing import Any

from propchange.upnp import standard
from propchange.upnp.description import DeviceDescription
from propchange.upnp.scpd import ServiceContents, build_scpd, parse_scpd
from propchange.upnp.service import Service

STANDARD = (
    "AVTransport",
    "ConnectionManager",
    "ContentDirectory",
    "Dimming",
    "RenderingControl",
    "SwitchPower",
    "WANCommonInterfaceConfig",
    "WANIPConnection",
)


def of_class(service_class: type[Service]) -> ServiceContents:
    """What a control point reads of a service of this class with all of its actions."""
    variables: dict[str, Any] = dict(service_class._class_variables)
    if any(each.evented == "LastChange" for each in variables.values()):
        variables["LastChange"] = standard.AVTransport().variables["LastChange"]
    made = (getattr(service_class, name) for name in dir(service_class))
    actions = [each.action for each in made if hasattr(each, "action")]
    return parse_scpd(build_scpd(variables.values(), actions))


def of_standard(name: str) -> ServiceContents:
    return of_class(getattr(standard, name))


def scpd(variables: str, actions: str = "") -> ServiceContents:
    """The contents of a service description with these parts, a line each.

    A line of ``variables`` is ``[evented] name type [min..max[/step] | a|b|c]``. A line of
    ``actions`` is ``name argument=variable …``: its in arguments.
    """
    table = "".join(map(_variable, filter(None, map(str.split, variables.splitlines()))))
    listed = "".join(map(_action, filter(None, map(str.split, actions.splitlines()))))
    return parse_scpd(
        f'<scpd xmlns="urn:schemas-upnp-org:service-1-0"><actionList>{listed}</actionList>'
        f"<serviceStateTable>{table}</serviceStateTable></scpd>".encode()
    )


def _variable(words: list[str]) -> str:
    evented = words[0] == "evented"
    name, data_type, *more = words[evented:]
    inside = ""
    if more and ".." in more[0]:
        bounds, _, step = more[0].partition("/")
        least, most = bounds.split("..")
        inside = f"<minimum>{least}</minimum><maximum>{most}</maximum>"
        inside += f"<step>{step}</step>" if step else ""
        inside = f"<allowedValueRange>{inside}</allowedValueRange>"
    elif more:
        values = "".join(f"<allowedValue>{each}</allowedValue>" for each in more[0].split("|"))
        inside = f"<allowedValueList>{values}</allowedValueList>"
    return (
        f'<stateVariable sendEvents="{"yes" if evented else "no"}"><name>{name}</name>'
        f"<dataType>{data_type}</dataType>{inside}</stateVariable>"
    )


def _action(words: list[str]) -> str:
    name, *arguments = words
    inside = ""
    for each in arguments:
        argument, _, related = each.partition("=")
        inside += (
            f"<argument><name>{argument}</name><direction>in</direction>"
            f"<relatedStateVariable>{related}</relatedStateVariable></argument>"
        )
    return f"<action><name>{name}</name><argumentList>{inside}</argumentList></action>"


WEMO = scpd(
    """
    evented BinaryState Boolean
    evented CountdownEndTime string
    FriendlyName string
    """,
    """
    SetBinaryState BinaryState=BinaryState
    ChangeFriendlyName FriendlyName=FriendlyName
    """,
)

SONOS_RENDERING = scpd(
    """
    evented LastChange string
    Mute boolean
    Volume ui2 0..100/1
    Bass i2 -10..10/1
    HeadphoneConnected boolean
    OutputFixed boolean
    PresetNameList string
    A_ARG_TYPE_Channel string Master|LF|RF
    A_ARG_TYPE_InstanceID ui4
    A_ARG_TYPE_MuteChannel string Master|LF|RF|SpeakerOnly
    """,
    """
    SetMute InstanceID=A_ARG_TYPE_InstanceID Channel=A_ARG_TYPE_MuteChannel DesiredMute=Mute
    SetVolume InstanceID=A_ARG_TYPE_InstanceID Channel=A_ARG_TYPE_Channel DesiredVolume=Volume
    SetBass InstanceID=A_ARG_TYPE_InstanceID DesiredBass=Bass
    SetOutputFixed InstanceID=A_ARG_TYPE_InstanceID DesiredFixed=OutputFixed
    """,
)

SONOS_PROPERTIES = scpd(
    """
    evented ZoneName string
    evented MicEnabled ui4
    LEDState string On|Off
    evented ButtonLockState string On|Off
    """,
    """
    SetZoneAttributes DesiredZoneName=ZoneName DesiredIcon=Icon
    SetLEDState DesiredLEDState=LEDState
    SetButtonLockState DesiredButtonLockState=ButtonLockState
    """,
)

SONOS_TOPOLOGY = scpd(
    """
    evented ZoneGroupState string
    evented ThirdPartyMediaServersX string
    evented AvailableSoftwareUpdate string
    """
)

GATEWAY_LINK = scpd(
    """
    evented PhysicalLinkStatus string Up|Down
    evented EnabledForInternet boolean
    TotalBytesSent ui4
    """,
    "SetEnabledForInternet NewEnabledForInternet=EnabledForInternet",
)


def device(**texts: Any) -> DeviceDescription:
    """A description at 192.0.2.7 with these texts."""
    given = {
        "url": "http://192.0.2.7:1400/description.xml",
        "udn": "uuid:RINCON_1",
        "friendly_name": "Kitchen",
        "device_type": "urn:schemas-upnp-org:device:ZonePlayer:1",
    }
    return DeviceDescription(**{**given, **texts})
