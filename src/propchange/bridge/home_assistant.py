"""What Home Assistant is offered of a device: the payload of its MQTT device discovery.

Each evented variable becomes an entity. Its platform follows from the data type, the allowed values
and the action that sets the variable. What the payload has depends on the descriptions of the
device alone, not on its values: Home Assistant removes an entity that is not offered any more, and
with it what a user has changed in it.

A device chooses all names and texts. In a template they are only ever string literals, and each
list is bounded.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from propchange.bridge.json_objects import json_object, member_object
from propchange.bridge.setters import Setter, find_setter
from propchange.bridge.topics import PART_CHARACTERS, Topics
from propchange.core.record import Record
from propchange.core.values.state_variables import StateVariable
from propchange.printable import printable
from propchange.upnp.description import DeviceDescription
from propchange.upnp.instances import LAST_CHANGE
from propchange.upnp.scpd import ServiceContents
from propchange.upnp.tied_action import ARGUMENT_TYPE

PREFIX = "homeassistant"
"""The first part of the topics of Home Assistant, unless its user has chosen another."""

IDENTITY = "propchange_"
"""How each identity begins that the bridge gives to Home Assistant."""

STATE_CHARACTERS = 255
"""Characters of the longest state that Home Assistant takes."""

_COMPONENTS = 256
"""Entities of one device. A renderer has about 60. Bounds a device that declares thousands of
variables."""

_PAYLOAD_CHARACTERS = 262_144
"""Characters of one payload. An entity has about 900 of them. Bounds a device whose names are long,
and what a broker and Home Assistant keep of it."""

_OPTIONS = 128
"""Allowed values of one entity. Bounds a list that no user would choose from."""

_OPTION_CHARACTERS = 8_192
"""Characters of all allowed values of one entity, each of which is in the payload twice."""

_TEXT_CHARACTERS = 255
"""Characters of a name or a text of the device."""

_SMALLEST_STEP = 0.001
"""The smallest step that Home Assistant takes."""

_LARGEST_NUMBER = 2**53
"""JSON and JavaScript keep integers up to this one exactly."""

# Each change of these is an event, and none of them is a state.
_NO_STATES = frozenset({LAST_CHANGE, "TransferIDs", "ContainerUpdateIDs"})

# They hold a document or a long list, which is longer than a state.
_DOCUMENTS = frozenset(
    {"SourceProtocolInfo", "SinkProtocolInfo", "ZoneGroupState", "ThirdPartyMediaServersX"}
)

# A service that events through LastChange has no eventing for these (AVTransport:1 §2.3.1).
_POSITIONS = frozenset(
    f"{kind}{what}Position" for kind in ("Relative", "Absolute") for what in ("Time", "Counter")
)

# False for the infinities and for no number, which a text of a device may be.
_FINITE = "-1e300 < v < 1e300"

_TOO_MANY = "the device has too many variables"

_PLAIN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_")
_DIAGNOSTIC = ("ID", "IDs", "Version", "ListVersion")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class OfferedService(Record):
    """A service whose variables are offered. ``part`` is its name in topics, ``contents`` its
    service description. ``callable``: it has a controlURL."""

    part: str
    contents: ServiceContents
    callable: bool = True


@dataclass(slots=True, eq=False, repr=False)
class Discovery(Record):
    """The discovery of one device. ``payload`` is empty if no entity is offered. ``left_out`` has
    the reason for each variable that is not offered, by the part of its service and its name."""

    topic: str
    payload: dict[str, Any] = field(default_factory=dict)
    left_out: dict[tuple[str, str], str] = field(default_factory=dict)


def discovery(
    device: DeviceDescription,
    udn: str,
    services: Sequence[OfferedService],
    topics: Topics,
    *,
    root: DeviceDescription | None = None,
    via: str = "",
    commands: bool = False,
    prefix: str = PREFIX,
    version: str = "",
) -> Discovery:
    """The discovery of ``device``, whose UDN is the part ``udn`` in topics.

    ``root`` is its root device. ``via`` is the part of the UDN of the device that embeds it and is
    offered too; "" if there is none. With ``commands``, variables that an action sets can be set.
    """
    made = Discovery(discovery_topic(udn, prefix))
    repeated = Counter(
        name for each in services for name in offered_variables(each.contents.variables)
    )
    components: dict[str, dict[str, Any]] = {}
    left = _PAYLOAD_CHARACTERS
    for service in services:
        actions = service.contents.actions.values() if commands and service.callable else ()
        for name, variable in service.contents.variables.items():
            if reason := why_left_out(variable, service.contents.variables):
                made.left_out[service.part, name] = reason
                continue
            if len(components) == _COMPONENTS or left < 0:
                made.left_out[service.part, name] = _TOO_MANY
                continue
            component = {
                **entity(variable, find_setter(variable, actions)),
                "name": _entity_name(name, service.part if repeated[name] > 1 else ""),
                "unique_id": f"{_device_id(udn)}_{_plain(service.part)}_{_plain(name)}",
                "state_topic": topics.service(udn, service.part),
                "availability": _availability(topics, udn, service.part),
                "availability_mode": "all",
            }
            if "payload_on" in component or component["platform"] in ("number", "select"):
                component["command_topic"] = f"{topics.variable(udn, service.part, name)}/set"
                component["qos"] = 1
            if name.endswith(_DIAGNOSTIC) and component["platform"] == "sensor":
                component["entity_category"] = "diagnostic"
            left -= len(json.dumps(component))
            if left < 0:
                made.left_out[service.part, name] = _TOO_MANY
                continue
            components[f"{_plain(service.part)}_{_plain(name)}"] = component
    if components:
        made.payload = {
            "device": _device_block(device, udn, root or device, via),
            "origin": {"name": "propchange", **({"sw_version": version} if version else {})},
            "components": components,
        }
    return made


def discovery_topic(udn: str, prefix: str = PREFIX) -> str:
    """The topic of the discovery of the device with this part in topics."""
    return f"{prefix}/device/{_device_id(udn)}/config"


def read_owner(payload: bytes) -> str | None:
    """The bridge that has published a discovery message: its part in topics. None for a message of
    another program."""
    components = member_object(json_object(payload).get("components"))
    for component in components.values():
        availability = member_object(component).get("availability")
        first = availability[0] if isinstance(availability, list) and availability else None
        topic = str(member_object(first).get("topic", ""))
        owner = re.fullmatch(rf".*/bridge/([^/]{{1,{PART_CHARACTERS}}})/availability", topic)
        return None if owner is None else owner[1]
    return None


def removal(wanted: Mapping[str, Any], former: Mapping[str, Any]) -> dict[str, Any]:
    """The payload that removes the entities of ``former`` that ``wanted`` does not have, or has on
    another platform; empty if there are none. Home Assistant keeps an entity that is left out, and
    removes one that has its platform alone.

    Publish it before ``wanted``, and do not retain it. It has no other entity: Home Assistant drops
    the rest of a payload if it still works at one entity of the payload before."""
    kept = {key: each["platform"] for key, each in wanted["components"].items()}
    removed = {}
    for key, component in member_object(former.get("components")).items():
        platform = member_object(component).get("platform")
        if isinstance(platform, str) and kept.get(key) != platform and len(component) > 1:
            removed[key] = {"platform": platform}
    return {**wanted, "components": removed} if removed else {}


# --- which variables ---


def offered_variables(variables: Mapping[str, StateVariable[Any]]) -> Iterator[str]:
    """The names of those of ``variables``, all of one service, that are offered."""
    return (name for name, each in variables.items() if not why_left_out(each, variables))


def why_left_out(variable: StateVariable[Any], variables: Mapping[str, StateVariable[Any]]) -> str:
    """Why ``variable``, one of ``variables``, is not offered; empty if it is."""
    name = variable.name
    if name.startswith(ARGUMENT_TYPE):
        return "it only describes arguments of actions"
    if name in _NO_STATES:
        return "it is a list of changes, not a state"
    if not variable.evented and (not _has_last_change(variables) or name in _POSITIONS):
        return "the device sends no events of it"
    if variable.data_type.python_type is bytes:
        return "it is binary"
    if name in _DOCUMENTS or name.endswith("MetaData"):
        return f"it is longer than the {STATE_CHARACTERS} characters of a state"
    return ""


def _has_last_change(variables: Mapping[str, StateVariable[Any]]) -> bool:
    """Whether a service with ``variables`` events the others through LastChange."""
    last_change = variables.get(LAST_CHANGE)
    return last_change is not None and bool(last_change.evented)


# --- entities ---


def entity(variable: StateVariable[Any], setter: Setter | None) -> dict[str, Any]:
    """The platform of ``variable``, and the options that belong to it. ``setter``: how it can be
    set; None: it cannot."""
    value = f'(value_json | default({{}})).get("values", {{}}).get({_literal(variable.name)})'
    if variable.data_type.python_type is bool:
        words = "'ON' if v is true else 'OFF' if v is false else none"
        options: dict[str, Any] = {"platform": "binary_sensor"}
        if setter is not None:
            options = {
                "platform": "switch",
                "payload_on": "1",
                "payload_off": "0",
                "state_on": "ON",
                "state_off": "OFF",
            }
    elif variable.data_type.numeric:
        span = None if setter is None else _span(variable, setter)
        # JSON has no such numbers, so the payload has their texts.
        if variable.data_type.python_type is Decimal:
            value = f"{value} | float(none)"
        elif variable.data_type.name in ("ui8", "i8", "int"):
            value = f"{value} | int(none)"
        words = f"v if v is number and v is not boolean and {_FINITE} else none"
        if span is not None:
            options = {"platform": "number", **span}
            words = f"v if v is number and {span['min']!r} <= v <= {span['max']!r} else none"
        else:
            options = {"platform": "sensor"}
            if not variable.name.endswith(_DIAGNOSTIC):
                options["state_class"] = "measurement"
    elif chosen := _options(variable, setter):
        # A text that is not in the list would leave the former state in place.
        words = f"v if v in [{', '.join(map(_literal, chosen))}] else none"
        options = {"platform": "select", "options": chosen}
        if setter is None:
            options = {"platform": "sensor", "device_class": "enum", "options": chosen}
    else:
        options = {"platform": "sensor"}
        words = f"v if v is string and v | length <= {STATE_CHARACTERS} else none"
    return {**options, "value_template": f"{{% set v = {value} %}}{{{{ {words} }}}}"}


def _span(variable: StateVariable[Any], setter: Setter) -> dict[str, Any] | None:
    """The options min, max and step of a number. None without a range: Home Assistant would take
    1 to 100 for it."""
    argument = setter.argument.variable
    bounds: list[Any] = []
    for bound, narrower in (("minimum", max), ("maximum", min)):
        declared = [
            each
            for each in (getattr(variable, bound), getattr(argument, bound))
            if each is not None
        ]
        if not declared and variable.data_type.python_type is int:
            declared = [getattr(argument.data_type, bound) or 0]
        if not declared:
            return None
        bounds.append(narrower(declared))
    least, most = bounds
    if not -_LARGEST_NUMBER <= least < most <= _LARGEST_NUMBER:
        return None
    step = argument.step or variable.step
    if step is None:
        step = 1 if argument.data_type.python_type is int else _SMALLEST_STEP
    return {
        "min": _number(least),
        "max": _number(most),
        "step": max(_number(step), _SMALLEST_STEP),
    }


def _number(value: Any) -> int | float:
    return value if isinstance(value, int) else float(value)


def _options(variable: StateVariable[Any], setter: Setter | None) -> list[str]:
    """The allowed values to choose from; empty if there are none, or too many."""
    allowed = variable.allowed
    if setter is not None and setter.argument.variable.allowed is not None:
        settable = setter.argument.variable.allowed
        allowed = settable if allowed is None else tuple(e for e in allowed if e in settable)
    # Home Assistant reads the state "None" as unknown.
    chosen = [
        each
        for each in allowed or ()
        if each.strip() and len(each) <= STATE_CHARACTERS and each.lower() != "none"
    ]
    if len(chosen) > _OPTIONS or sum(map(len, chosen)) > _OPTION_CHARACTERS:
        return []
    return chosen


def _literal(text: str) -> str:
    r"""``text`` as a string literal of a template. Every character but a letter, a digit and an
    underscore of ASCII is escaped, as ``\x20``."""
    escaped = "".join(
        each if each.isascii() and (each.isalnum() or each == "_") else _escape(ord(each))
        for each in text
    )
    return f'"{escaped}"'


def _escape(code: int) -> str:
    return (
        f"\\x{code:02x}"
        if code < 0x100
        else f"\\u{code:04x}"
        if code < 0x10000
        else f"\\U{code:08x}"
    )


def _availability(topics: Topics, udn: str, service: str) -> list[dict[str, str]]:
    return [
        {"topic": topic, "value_template": "{{ (value_json | default({})).get('state') }}"}
        for topic in (topics.bridge_availability, topics.availability(udn, service))
    ]


# --- names and identities ---


def _plain(text: str) -> str:
    """``text`` as a part of an identity, of the characters that Home Assistant takes. Different
    texts have different parts: two hyphens are only before a hash."""
    if _PLAIN_ID.fullmatch(text) and "--" not in text:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    kept = re.sub(r"[^A-Za-z0-9_]+", "_", text)[:40]
    return f"{kept}--{digest}"


def _device_id(udn: str) -> str:
    return f"{IDENTITY}{_plain(udn)}"


def _entity_name(variable: str, service: str) -> str:
    words = " ".join(each for each in _WORDS.split(variable) if each)
    return _text(f"{service} {words}" if service else words)


def _text(text: str) -> str:
    """A text of the device for people, bounded, on one line and without control characters."""
    one_line = printable(" ".join(text.split()))
    return one_line.encode("utf-8", "replace").decode()[:_TEXT_CHARACTERS]


def _device_block(
    device: DeviceDescription, udn: str, root: DeviceDescription, via: str
) -> dict[str, Any]:
    block: dict[str, Any] = {
        "identifiers": [_device_id(udn)],
        # Other integrations of Home Assistant name a device of UPnP so.
        "connections": [["upnp", _text(device.udn)]],
        "name": _text(device.friendly_name) or _text(device.udn) or udn,
    }
    texts = {
        "manufacturer": device.manufacturer,
        "model": device.model_name,
        "model_id": device.model_number,
        "serial_number": device.serial_number,
        "configuration_url": _configuration_url(device.presentation_url, root),
        "via_device": _device_id(via) if via else "",
    }
    block |= {key: cleaned for key, text in texts.items() if (cleaned := _text(text))}
    return block


def _configuration_url(presentation: str, root: DeviceDescription) -> str:
    """The presentationURL, if it leads to the host of the device by HTTP. Home Assistant shows it
    as a link: a device must not choose where on the Internet it leads."""
    if len(presentation) > _TEXT_CHARACTERS:
        return ""
    try:
        parts = urlsplit(presentation)
        hosts = {urlsplit(root.url).hostname}
    except ValueError:
        return ""
    if root.host is not None:
        hosts.add(root.host.host.lower())
    if parts.scheme not in ("http", "https") or parts.hostname not in hosts or "%" in parts.netloc:
        return ""
    return presentation


def offered_embedders(root: DeviceDescription, offered: Iterable[str]) -> dict[str, str]:
    """For each UDN of the tree, the UDN of the nearest device that embeds it and is in ``offered``;
    "" if there is none. Home Assistant refuses to name a device that it does not know."""
    known = set(offered)
    found: dict[str, str] = {}

    def visit(device: DeviceDescription, embedder: str) -> None:
        found.setdefault(device.udn, embedder)
        for each in device.devices:
            visit(each, device.udn if device.udn in known else embedder)

    visit(root, "")
    return found
