"""Polling: reads the values of a subscription by other means while no events come (CP-15).

If a device refuses SUBSCRIBE, or cannot reach this machine, a program can still read the values by
actions. The protocol decides when to read them; the runtime calls the program's function.

**When values are polled.** An attempt to subscribe has failed and no event has come since; or the
subscription is DEAF; or it is granted and the service description declares no evented variable.
SUBSCRIBE goes on meanwhile. The first event that makes the subscription ACTIVE ends the polling. It
begins again for the same reasons.

**How often.** A subscription has one poll at a time. A poll begins ``interval`` seconds after the
begin of the one before, even if polling has ended and begun again in between. If a poll takes
longer than ``interval``, the next one begins ``interval`` seconds after its end.

**What becomes of the values.** They become an :class:`.Event` with ``polled``, in one order with
the other events. The first one after polling has begun has all values, the next ones those that
differ from the values of the subscription. If an event has come or polling has ended since a poll
began, its result is dropped, because the event may be newer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isnan
from typing import Any

from propchange.core.deadlines import Deadlines
from propchange.core.record import Record
from propchange.core.subscriber.current_values import StateKey, no_room
from propchange.core.subscriber.events import Cause, Change, Changes, Event, Status
from propchange.core.subscriber.record import SubscriptionRecord
from propchange.core.values.lastchange import is_master
from propchange.core.values.state_variables import StateVariable

_WANTED = (Status.SUBSCRIBING, Status.RESUBSCRIBING)


@dataclass(slots=True, eq=False, repr=False)
class _Poll(Record):
    """The polling of one subscription. ``next_at`` is the earliest time of the next poll. ``new``
    is True until the first values have come since polling began. ``began_at`` is the time of the
    poll that is under way, None without one. ``valid``: its result may be used. ``event_at`` is the
    time of the last event before it."""

    interval: float
    next_at: float
    new: bool = True
    began_at: float | None = None
    valid: bool = False
    event_at: float | None = None


class Polling:
    """The polling of all subscriptions of one subscriber. ``give`` takes each event of polled
    values, and the time.

    After an input of the protocol the runtime calls :meth:`take`. It ends each poll by
    :meth:`polled` or :meth:`failed`.
    """

    def __init__(self, give: Callable[[Event, float], None]) -> None:
        self._give = give
        self._polls: dict[SubscriptionRecord, _Poll] = {}
        self.timers: Deadlines[SubscriptionRecord] = Deadlines()
        self.due: list[SubscriptionRecord] = []
        """The subscriptions whose values are to be polled now."""

    def add(self, record: SubscriptionRecord, interval: float, now: float) -> None:
        """Poll the values of ``record`` while no events come."""
        self._polls[record] = _Poll(interval, now)

    def follow(self, record: SubscriptionRecord, status: Status, cause: Cause) -> bool:
        """Note that ``record`` has ``status`` because of ``cause``. Returns whether its polling
        begins now."""
        poll = self._polls.get(record)
        if poll is None:
            return False
        if status is Status.ACTIVE:
            wanted = cause is Cause.NOTHING_EVENTED
        elif status in _WANTED:
            wanted = record.polled or record.failure is not None
        else:
            wanted = status is Status.DEAF
        if wanted is record.polled:
            return False
        record.polled = wanted
        if wanted:
            poll.new = True
            if poll.began_at is None:
                self.timers.set(record, poll.next_at)
        else:
            self._stop(record, poll)
        return wanted

    def interval(self, record: SubscriptionRecord) -> float:
        """Seconds between the polls of ``record``, which was added."""
        return self._polls[record].interval

    def _stop(self, record: SubscriptionRecord, poll: _Poll) -> None:
        poll.valid = False
        self.timers.clear(record)
        if record in self.due:
            self.due.remove(record)
            poll.began_at = None

    def forget(self, record: SubscriptionRecord) -> None:
        """Poll the values of ``record`` no more."""
        poll = self._polls.pop(record, None)
        if poll is not None:
            record.polled = False
            self._stop(record, poll)

    def handle_deadline(self, now: float) -> None:
        """Begin the polls that are due."""
        while (record := self.timers.pop_due(now)) is not None:
            poll = self._polls[record]
            poll.began_at, poll.next_at = now, now + poll.interval
            poll.valid, poll.event_at = True, record.last_event_at
            self.due.append(record)

    def take(self) -> list[SubscriptionRecord]:
        """The subscriptions whose values are to be polled now."""
        due, self.due = self.due, []
        return due

    def polled(self, record: SubscriptionRecord, values: Mapping[Any, object], now: float) -> None:
        """The poll of ``record`` has given ``values``: variable -> value, or its text. The variable
        is its name, the variable of a class, or a key of ``full_state``.

        Raises TypeError for another key; the poll has failed then."""
        poll = self._ended(record, now)
        if poll is not None:
            event = _polled_event(record, values, everything=poll.new)
            poll.new = False
            if event is not None:
                self._give(event, now)

    def failed(self, record: SubscriptionRecord, now: float) -> None:
        """The poll of ``record`` has given nothing. The next one follows at its time."""
        self._ended(record, now)

    def _ended(self, record: SubscriptionRecord, now: float) -> _Poll | None:
        """Note the end of a poll. Returns it if its result may be used, else None."""
        poll = self._polls.get(record)
        if poll is None or poll.began_at is None:
            return None
        valid = poll.valid and poll.event_at == record.last_event_at
        poll.began_at, poll.valid = None, False
        if record.polled:
            late = poll.next_at <= now
            poll.next_at = now + poll.interval if late else poll.next_at
            self.timers.set(record, poll.next_at)
        return poll if valid else None


def _polled_event(
    record: SubscriptionRecord, values: Mapping[Any, object], *, everything: bool
) -> Event | None:
    """The event with the polled ``values`` that differ from the values of ``record``, or with
    ``everything``; None if no value differs. Updates the values of ``record``."""
    convert = record.convert or {}
    changes, details = Changes(), []
    for key, given in values.items():
        if given is None:
            continue  # not known
        name, instance, channel = place = _place_of(key, record)
        plain = not instance and is_master(channel)
        known = record.values.get(name) if plain else record.instances.get(place)
        value, text = given, _text_of(given)
        if isinstance(given, str) and name in convert:
            try:
                value = convert[name](given)
            except Exception:  # noqa: BLE001 - a program's function may raise anything
                if everything:
                    details.append(Change(name, None, known, instance, channel, text))
                continue
        if everything or not _equal(known, value):
            details.append(Change(name, value, known, instance, channel, text))
            if plain:
                changes[name] = value
    if not details:
        return None
    left_out = record.take_polled(changes, details)
    event = Event(record, record.sid, None, changes, tuple(details), polled=True)
    if left_out:
        event.problems = (no_room(left_out),)
    return event


def _place_of(key: object, record: SubscriptionRecord) -> StateKey:
    """The variable that ``key`` names, with its instance and channel. Raises TypeError for another
    key."""
    match key:
        case StateVariable(name=str(name)) | str(name):
            return name, *record.place_of(name)
        case (str(name), (int() | None) as instance, (str() | None) as channel):
            return name, instance, channel
    raise TypeError(
        "a polled value has the name of its variable, the variable of a class, or (name, instance, "
        f"channel), not {key!r}"
    )


def _text_of(value: object) -> str:
    """``value`` as a device would write it, approximately."""
    return str(int(value)) if isinstance(value, bool) else str(value)


def _equal(one: object, other: object) -> bool:
    try:
        if isinstance(one, float) and isinstance(other, float) and isnan(one):
            return isnan(other)
        return bool(one == other)
    except Exception:  # noqa: BLE001 - the values are objects of a program's functions
        return False
