"""Writes an event as a body that ``parse_event_xml`` of SoCo can read.

A message in order is written again as it came, and SoCo reads the same from it. Where events were
merged, because the program was behind, or where SoCo cannot read a LastChange that propchange has
mended, the LastChange is written anew from the values in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from propchange.core.limits import Limits
from propchange.core.subscriber.events import Event
from propchange.core.values.lastchange import (
    LastChangeEntry,
    format_lastchange,
    parse_lastchange,
)
from propchange.core.wire.propertyset import write_propertyset
from propchange.errors import RemoteProtocolError

Parse = Callable[[str], dict[str, Any]]
"""``soco.events_base.parse_event_xml``."""

_LAST_CHANGE = "LastChange"
_RENDERING = "urn:schemas-upnp-org:metadata-1-0/RCS/"
_TRANSPORT = "urn:schemas-upnp-org:metadata-1-0/AVT/"
_QUEUE = "urn:schemas-sonos-com:metadata-1-0/Queue/"
"""Its LastChange has a QueueID where the others have an InstanceID."""

READS_FILES = "x-sonos-http"
"""With this in the body, parse_event_xml sends requests, and takes the time of their answers."""


def body_of(event: Event, service_type: str, limits: Limits) -> str:
    """The propertyset of ``event``, for :data:`Parse`."""
    pairs = event.received or tuple(_merged(event, service_type, limits))
    return _text(pairs)


def read(
    parse: Parse, event: Event, body: str, service_type: str, limits: Limits
) -> dict[str, Any]:
    """The variables of ``event``, whose ``body`` is that of :func:`body_of`. Raises what ``parse``
    raises if it can read neither the body nor a LastChange that is written anew."""
    try:
        return parse(body)
    except Exception:
        received = dict(event.received)
        text = received.get(_LAST_CHANGE)
        written = None if text is None else _written_anew(text, service_type, limits)
        if written is None:
            raise
        if written:
            received[_LAST_CHANGE] = written
        else:
            del received[_LAST_CHANGE]
    return parse(_text(received.items()))


def _text(pairs: Iterable[tuple[str, str]]) -> str:
    return write_propertyset(pairs).decode()


def _written_anew(text: str, service_type: str, limits: Limits) -> str | None:
    """A LastChange with the values of ``text``, empty if it has none; None if it cannot be read, or
    not be written."""
    try:
        read = parse_lastchange(text, limits)
    except RemoteProtocolError:
        return None
    if read.is_log or read.namespace == _QUEUE:
        return None
    return _lastchange(read.namespace, service_type, read.entries) if read.entries else ""


def _merged(event: Event, service_type: str, limits: Limits) -> Iterable[tuple[str, str]]:
    entries: list[LastChangeEntry] = []
    newest = None
    for variable, _, _, instance, channel, text in event.details:
        if instance is not None:
            entries.append(LastChangeEntry(instance, variable, channel, text))
        elif variable == _LAST_CHANGE:
            newest = text
        else:
            yield variable, text
    if newest is None:
        return
    try:
        namespace = parse_lastchange(newest, limits).namespace
    except RemoteProtocolError:
        namespace = ""
    if entries and namespace != _QUEUE:
        yield _LAST_CHANGE, _lastchange(namespace, service_type, entries)
    else:
        yield _LAST_CHANGE, newest


def _lastchange(namespace: str, service_type: str, entries: Iterable[LastChangeEntry]) -> str:
    if namespace not in {_RENDERING, _TRANSPORT}:
        # SoCo finds nothing without the right one.
        namespace = _RENDERING if service_type.endswith("RenderingControl") else _TRANSPORT
    # SoCo reads the first instance alone.
    return format_lastchange(namespace, sorted(entries, key=lambda entry: entry.instance or 0))
