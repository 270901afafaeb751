"""The values of an event for JSON and for people, each with a name that no other one has."""

from __future__ import annotations

import math
from collections.abc import Iterator

from propchange.core.multicast.reception import MulticastEvent
from propchange.core.subscriber.events import Change, Event


def named_changes(
    event: Event | MulticastEvent, *, raw: bool = False
) -> Iterator[tuple[str, Change]]:
    """The changes of ``event``, each with its name in the output.

    The name is that of the variable. A change in a LastChange has its instance and channel too,
    ``Volume[0,LF]``, unless these are instance 0 and the master channel. A decoded LastChange
    yields its contents; with ``raw`` it yields its own text instead."""
    expanded = any(change.instance is not None for change in event.details)
    for change in event.details:
        if expanded and raw == (change.instance is not None):
            continue
        name, instance, channel = change.variable, change.instance or 0, change.channel
        if instance or channel not in (None, "", "Master"):
            name += f"[{instance},{channel}]" if channel else f"[{instance}]"
        yield name, change


def plain_value(change: Change) -> str | int | float | bool:
    """The value if JSON has its type, else the text as received: for times, binary data, UUIDs,
    infinities and a text that does not fit its declared type."""
    return plain(change.value, change.text)


def plain(value: object, text: str) -> str | int | float | bool:
    """``value`` if JSON has its type, else ``text``, which is the value on the wire."""
    if isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return text
