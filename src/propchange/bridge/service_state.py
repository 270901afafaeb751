"""The present state of a service, as the outputs of the bridge send it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from propchange.core.record import Record
from propchange.core.subscriber.events import Event, Status
from propchange.upnp.plain_values import named_changes, plain_value

GONE = "gone"
"""The status of a service whose device has said goodbye, or whose announcements have expired."""

VARIABLES_KEPT = 1_024
"""Variables of one service whose values are kept, those of all instances of a LastChange included.
A renderer has about 40. Bounds a device that sends ever new names."""


CHARACTERS_KEPT = 262_144
"""Characters of the names and values of one service that are kept, twice those of a payload. Bounds
a device that sends megabytes in ever new variables."""


_COUNTED = 4_096
"""Variables without room that are counted."""


@dataclass(slots=True, eq=False, repr=False)
class ServiceState(Record):
    """What is known of a service. One object for each service, which changes.

    ``udn`` is the UDN of its device, ``root_udn`` that of the root device, both without ``uuid:``
    and in lower case. ``device_name`` and ``device_model`` are the friendlyName and the modelName
    of its device. ``service`` is the name of the service in topics and subjects: no other service
    of ``udn`` has it.

    ``values`` has the value of each variable as JSON has it, where JSON has its type, and
    ``texts`` has it as received. The names are those of ``watch``: ``Volume``, and ``Volume[0,LF]``
    for another instance or channel of a LastChange. Both are empty before the first event.
    ``left_out`` counts the variables for which there was no room.

    ``sid`` and ``seq`` are those of the last event; ``seq`` is None if its values were polled.
    ``time`` is when it came, None before the first. ``status`` is the value of a :class:`.Status`
    or ``gone``, and ``reason`` says why in words.
    """

    udn: str
    root_udn: str
    device_name: str
    device_model: str
    service: str
    service_id: str
    service_type: str
    values: dict[str, str | int | float | bool] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    left_out: int = 0
    sid: str = ""
    seq: int | None = None
    time: datetime | None = None
    status: str = Status.SUBSCRIBING.value
    reason: str = ""
    _characters: int = 0
    _without_room: set[int] = field(default_factory=set)

    @property
    def is_online(self) -> bool:
        """Whether events arrive, so that ``values`` are those of the device."""
        return self.status == Status.ACTIVE.value

    @property
    def has_values(self) -> bool:
        """Whether an event has come."""
        return self.time is not None

    def receive(self, event: Event, time: datetime) -> None:
        """Take the values of ``event``, which came at ``time``."""
        if event.is_initial:
            self.clear()
        for name, change in named_changes(event):
            former = self.texts.pop(name, None)
            if former is not None:
                self._characters -= len(name) + len(former)
            size = len(name) + len(change.text)
            full = len(self.texts) >= VARIABLES_KEPT
            if full or self._characters + size > CHARACTERS_KEPT:
                # The former value is not true any more.
                self.values.pop(name, None)
                if len(self._without_room) < _COUNTED:
                    self._without_room.add(hash(name))
                continue
            self._without_room.discard(hash(name))
            self._characters += size
            self.values[name] = plain_value(change)
            self.texts[name] = change.text
        self.left_out = len(self._without_room)
        self.sid, self.seq, self.time = event.sid, event.seq, time

    def clear(self) -> None:
        """Forget all values."""
        self.values, self.texts, self.left_out = {}, {}, 0
        self._characters = 0
        self._without_room = set()
