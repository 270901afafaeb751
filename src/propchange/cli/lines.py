"""The lines that the commands print, without a form, and the escaping of their text.

:mod:`.terminal` writes the lines for people, :mod:`.jsonlines` for programs. A device chooses its
names and values. Escaped, they cannot move the cursor, colour the line, ring the bell, reverse the
reading order or break a line into two.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from propchange import (
    ActionError,
    DeviceDescription,
    Diagnosis,
    Event,
    MulticastEvent,
    Request,
    Sighting,
)
from propchange.printable import is_harmless, printable
from propchange.upnp.actions import Action
from propchange.upnp.description import ServiceDescription
from propchange.upnp.plain_values import plain
from propchange.upnp.service_names import ServiceNames


class Source(NamedTuple):
    """A service of a device, by the names in its description. ``service`` is a name that no other
    service of the root device has. Without a description, the two halves of the event URL. An
    empty ``service``: the whole device. ``udn`` is the UDN of the device with the service, which
    may be an embedded device, ``service_id`` the serviceId; both are empty if not known."""

    device: str
    service: str
    udn: str = ""
    service_id: str = ""


class EventLine(NamedTuple):
    """An event. ``message`` is its NOTIFY as received; None for a merged event, and without
    ``--raw``."""

    time: datetime
    source: Source
    event: Event
    message: Request | None = None


class MulticastLine(NamedTuple):
    """A multicast event."""

    time: datetime
    source: Source
    event: MulticastEvent


class GrantedFor(NamedTuple):
    """A grant or a renewal. ``duration`` is in seconds, ``until`` is the time of its end; both are
    None if it is infinite."""

    sid: str
    duration: float | None = None
    until: datetime | None = None


class StatusLine(NamedTuple):
    """A status. ``source`` is None if the status belongs to no device. ``grant`` is the grant or
    renewal, else None. ``cause`` is the value of the :class:`.Cause` of a status change, else
    empty."""

    time: datetime
    source: Source | None
    status: str
    reason: str
    grant: GrantedFor | None = None
    cause: str = ""


class EndLine(NamedTuple):
    """The subscriptions to the services ``names`` of ``device`` were closed at the end of the
    command. ``reason`` is "unsubscribed", or what the device answered to UNSUBSCRIBE."""

    time: datetime
    device: str
    names: Sequence[str]
    reason: str


class ProblemLine(NamedTuple):
    """A fault in the descriptions or events of a device that was mended or left out. Printed once
    for each device and problem."""

    time: datetime
    source: Source
    problem: str


class DiagnosisLine(NamedTuple):
    """The diagnosis of a subscription."""

    time: datetime
    source: Source
    diagnosis: Diagnosis


class DeviceLine(NamedTuple):
    """A device that has appeared, changed or gone. ``description`` is None if it was not read;
    ``problem`` says why, except for a device that has gone. With a description, it says why the
    device is not watched."""

    time: datetime
    sighting: Sighting
    description: DeviceDescription | None
    problem: str | None

    @property
    def description_url(self) -> str:
        """The URL at which the description was read; without it, the first announced one."""
        return self.description.url if self.description else self.sighting.description_url

    @property
    def named(self) -> list[tuple[str, ServiceDescription]]:
        """The services, those of embedded devices included, each with its shortest name that no
        other one has."""
        if self.description is None:
            return []
        short = ServiceNames(self.description.all_services()).short
        return [(name, service) for service, name in short.items()]

    @property
    def evented(self) -> list[str]:
        """The names of the services that send events."""
        return [name for name, service in self.named if service.event_url]


class HostedLine(NamedTuple):
    """A device that ``propchange host`` has begun to host. ``description_urls`` are the URLs of its
    description, one for each address. ``event_urls`` has the event URL of each service that sends
    events, by the name of the service, at the first address."""

    time: datetime
    device: str
    udn: str
    description_urls: tuple[str, ...]
    event_urls: dict[str, str]


class ServiceLine(NamedTuple):
    """A service that can be called. ``actions`` are the names of its actions; None if its service
    description cannot be read, and ``problem`` says why."""

    time: datetime
    source: Source
    service_type: str
    actions: tuple[str, ...] | None
    problem: str | None = None


class ActionLine(NamedTuple):
    """An action of a service, with its arguments."""

    time: datetime
    source: Source
    action: Action


class AnswerLine(NamedTuple):
    """The answer to a call of ``action``. ``values`` are the out arguments, typed. A value that is
    not of its declared type is None."""

    time: datetime
    source: Source
    action: Action
    values: Mapping[str, object]

    def plain_values(self) -> Iterator[tuple[str, str | int | float | bool | None]]:
        """The name of each out argument, and its value if JSON has the type of it, else its text on
        the wire."""
        variables = {each.name: each.variable for each in self.action.outputs}
        for name, value in self.values.items():
            if value is None or isinstance(value, str):
                yield name, value
            else:
                yield name, plain(value, variables[name].format(value))


class FaultLine(NamedTuple):
    """The fault that a device answered a call with."""

    time: datetime
    source: Source
    action: str
    error: ActionError


class CalledLine(NamedTuple):
    """A call of an action of a hosted device, and its answer. ``peer`` is the address of the
    control point. ``arguments`` are the in arguments, ``results`` the out arguments; None for a
    fault, which is ``error`` then. A value whose type JSON does not have is its text on the wire.
    ``left_out`` says how many lines before it were left out; empty for none."""

    time: datetime
    source: Source
    peer: str
    action: str
    arguments: Mapping[str, str | int | float | bool]
    results: Mapping[str, str | int | float | bool] | None
    error: ActionError | None = None
    left_out: str = ""


def now() -> datetime:
    """The time of a line, with this machine's offset from UTC."""
    return datetime.now().astimezone()


# --- escaping ---

_CANDIDATE = re.compile(r"[^\x20-\x7e]")

escape = printable


def escape_json(document: str) -> str:
    r"""``document``, JSON with characters that are not ASCII, with the same characters as JSON's
    ``\u`` escapes."""
    return _CANDIDATE.sub(lambda m: m[0] if is_harmless(m[0]) else json.dumps(m[0])[1:-1], document)
