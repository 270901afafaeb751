"""Events and status changes as an application receives them, and the judgement of SEQ."""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, overload

from propchange.core.record import brief
from propchange.core.values.state_variables import StateVariable
from propchange.core.wire.headers import LARGEST_SEQ, next_seq
from propchange.printable import printable

Convert = Mapping[str, Callable[[str], object]]
"""Variable -> the function that makes a value of its text. The function raises ValueError for a
text that does not fit the declared data type. Any other exception counts as a ValueError, so that
an error of the program loses no event."""


T = TypeVar("T")
D = TypeVar("D")


class Changes(dict[str, Any]):
    """Variable -> typed value, of one event. A dict by the names on the wire.

    ``changes[Thermometer.temperature]`` is the value by the variable that a class of the program
    declares, with the type of the class; so are :meth:`get` and ``in``. It raises KeyError if the
    event does not have the variable. If the device declares another data type whose values are of
    another kind, it raises TypeError, and the value is in ``changes["Temperature"]``.
    """

    __slots__ = ()

    # A name of the event is found by dict itself. The methods of Python below cost receiving
    # nothing: what fills this dict calls none of them.

    def __missing__(self, key: object) -> Any:
        if isinstance(key, StateVariable):
            return key.typed(self[key.name])
        raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return dict.__contains__(self, key.name if isinstance(key, StateVariable) else key)

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, key: StateVariable[T], /) -> T: ...
        @overload
        def __getitem__(self, key: str, /) -> Any: ...
        def __getitem__(self, key: StateVariable[T] | str, /) -> Any:
            """The value by the name on the wire, or by the variable of a class."""

    @overload
    def get(self, key: StateVariable[T], default: None = None, /) -> T | None: ...
    @overload
    def get(self, key: StateVariable[T], default: D, /) -> T | D: ...
    @overload
    def get(self, key: str, default: Any = None, /) -> Any: ...
    def get(self, key: StateVariable[Any] | str, default: Any = None, /) -> Any:
        """The value, or ``default`` if the event does not have the variable. Raises TypeError as
        ``changes[key]``."""
        try:
            return self[key]
        except KeyError:
            return default


class Change(NamedTuple):
    """One variable in an event.

    ``value`` has the type that the service description declares; it is None when the text does
    not fit that type, or when the variable is not declared. ``previous`` is the value before, None
    at first. ``instance`` and ``channel`` are those of a LastChange. ``text`` is as received.
    """

    variable: str
    value: object
    previous: object
    instance: int | None
    channel: str | None
    text: str

    def __repr__(self) -> str:
        shown = (f"{name}={brief(repr(value), 40)}" for name, value in self._asdict().items())
        return brief(f"Change({', '.join(shown)})")


def read_changes(
    pairs: Iterable[tuple[str, str]],
    convert: Convert | None,
    known: Mapping[str, object],
    *,
    undeclared: Collection[str] = (),
) -> tuple[Changes, list[Change]]:
    """The values that the (variable, text) ``pairs`` give, and all of them in detail.

    A text that does not fit its type, and a variable that ``convert`` does not have, are in the
    details alone, with the value None (XML-06). The variables ``undeclared`` may be missing from
    ``convert``; their value is then the text. ``convert`` None: the value of each is its text.
    ``known`` are the values before.
    """
    changes = Changes()
    details: list[Change] = []
    for name, text in pairs:
        value: object = text
        if convert is not None:
            try:
                value = convert[name](text)
            except Exception:  # noqa: BLE001 - a program's function may raise anything
                if name in convert or name not in undeclared:
                    details.append(Change(name, None, known.get(name), None, None, text))
                    continue
        # As Change(…), which makes receiving a NOTIFY of a device that connects anew 6 % slower.
        details.append(tuple.__new__(Change, (name, value, known.get(name), None, None, text)))
        changes[name] = value
    return changes, details


@dataclass(slots=True, eq=False, repr=False)
class Event:
    """One event message, decoded (UDA 2.0 §4.3.2).

    ``subscription`` is the Subscription of the control point, or the SubscriptionRecord if the
    program calls the protocol itself.
    ``changes`` maps variables to typed values, by the name on the wire or by the variable of a
    class: see :class:`Changes`. Of a LastChange it has the values of InstanceID 0
    and the channel Master or none. ``details`` has everything: a LastChange as received, and behind
    it all values in it. ``received`` has the (variable, text) pairs of the message, as they came
    and in order; it is empty for polled values, and if several messages were merged into this
    event. ``is_initial``: this is the full state, after a subscription was granted.
    ``merged`` counts the events that were merged into this one because the application was behind,
    or because of its ``minimum_interval``; the values of a LastChange and the containers of
    ContainerUpdateIDs are all in it.
    ``left_out`` counts the variables for which a merged event had no room; the values of the
    subscription have them. ``problems`` has a sentence for each kind of deviation that was mended
    in the message. ``polled``: it is no message; the values were polled because no events come, see
    ``poll`` of :meth:`propchange.RemoteService.subscribe`. Its ``seq`` is None.
    """

    subscription: Any
    sid: str
    seq: int | None
    changes: Changes
    details: tuple[Change, ...]
    received: tuple[tuple[str, str], ...] = field(default=(), init=False)
    _: KW_ONLY
    is_initial: bool = False
    merged: int = 0
    left_out: int = 0
    problems: tuple[str, ...] = ()
    polled: bool = False

    def __repr__(self) -> str:
        initial = " initial" if self.is_initial else ""
        number = "polled" if self.polled else self.seq
        return brief(f"<Event {number}{initial} {dict(self.changes)}>")


class Status(enum.Enum):
    """The status of a subscription, for its application."""

    SUBSCRIBING = "subscribing"
    """Not granted yet, or granted and without its initial event."""
    ACTIVE = "active"
    """Granted, and events arrive."""
    DEAF = "deaf"
    """Granted, and the initial event has not come: the device probably cannot reach us. Other
    addresses of this machine are tried, and the same ones again, until an event arrives. Also:
    events are lost again and again, and fresh subscriptions follow at growing intervals."""
    RESUBSCRIBING = "resubscribing"
    """It was granted; the device is away, or a fresh subscription is being made. ``values`` may
    be out of date until the status is ACTIVE again."""
    REFUSED = "refused"
    """The first SUBSCRIBE failed, and the application does not keep trying."""
    CLOSED = "closed"
    """Ended by the application."""


class Cause(enum.Enum):
    """Why a status changed, for programs. The words are in ``StatusChange.reason``."""

    INITIAL_EVENT = "initial-event"
    """ACTIVE: the initial event has come, and with it the full state."""
    NOTHING_EVENTED = "nothing-evented"
    """ACTIVE: granted, no event has come, and the service description declares no evented variable.
    The device owes no initial event."""
    NO_INITIAL_EVENT = "no-initial-event"
    """DEAF: granted, and ``Limits.initial_event_seconds`` later no event has come."""
    REFUSED = "refused"
    """The device answered SUBSCRIBE without a grant."""
    UNREACHABLE = "unreachable"
    """No connection to the device, or no answer from it."""
    SHORTAGE = "shortage"
    """This machine has no file descriptor, memory or port left for a connection to the device."""
    DESCRIPTION = "description"
    """The description cannot be used to find the event URL again: it cannot be read, has not the
    service any more, or is another device's."""
    RENEWAL_REFUSED = "renewal-refused"
    """The device answered the renewal with another status than 200: it has forgotten the SID."""
    EXPIRED = "expired"
    """The granted duration ended without an answer to a renewal."""
    MISSED_EVENT = "missed-event"
    """A gap in SEQ."""
    EVENT_UNREADABLE = "event-unreadable"
    """An event came, and its body, or the LastChange in it, cannot be read."""
    EVENT_REFUSED = "event-refused"
    """An event came and was refused for its header, for example its HOST or its SID."""
    EVENT_CUT = "event-cut"
    """Only a part of an event came, or several connections of the device brought no request."""
    NEW_SID = "new-sid"
    """The device answered a renewal with another SID, and sent no initial event for that SID."""
    OUTAGE = "outage"
    """Renewals had no answer for a while, so events may have been missed."""
    SUSPENDED = "suspended"
    """This machine or process stood still, so events may have been missed."""
    ADDRESS_LOST = "address-lost"
    """The address that events were sent to is no longer one of this machine's."""
    DEVICE_GONE = "device-gone"
    """ssdp:byebye, or its advertisements have expired."""
    DEVICE_REBOOTED = "device-rebooted"
    """Another BOOTID, or alive after a byebye."""
    DEVICE_MOVED = "device-moved"
    """Its description is at another URL."""
    CLOSED = "closed"
    """The application has closed it."""


class StatusChange(NamedTuple):
    """The status of a subscription changes to ``status``. ``subscription`` is as in
    :class:`Event`. ``reason`` says why in words, ``cause``
    for programs. ``http_status`` is the status of the device's answer, 0 if there was none or if
    it is not the cause."""

    subscription: Any
    status: Status
    cause: Cause
    reason: str
    http_status: int = 0

    def __repr__(self) -> str:
        words = f"{self.status.value} ({self.cause.value}): {printable(self.reason)}"
        return brief(f"<StatusChange {words}>")

    def __str__(self) -> str:
        return f"{self.status.value}: {self.reason}"


# --- SEQ ---

_TRUSTED_REPEATS = 1
"""Different messages with one SEQ that are believed to be an accident."""

_TRUSTED_REPAIRS = 3
"""Fresh subscriptions in a row that may begin with a gap; beyond that SEQ is unreliable."""

_TRUSTING_RUN = 8
"""Messages in order after which SEQ is believed again. The number doubles each time, so that a
device that loses count again and again costs ever fewer fresh subscriptions."""

_LONGEST_RUN = 4_096

_FIRST = 3
"""The contents of the messages up to this SEQ are remembered. A device that begins its count anew
begins with one of them."""

_HALF = LARGEST_SEQ // 2


class SeqVerdict(enum.Enum):
    """The result of judging a SEQ."""

    EXPECTED = enum.auto()
    DUPLICATE = enum.auto()
    """The message before, again: not an event."""
    REPEATED = enum.auto()
    """The SEQ of the message before, and another content: an event."""
    UNRELIABLE = enum.auto()
    """From here on SEQ is not believed: it was repeated or missing too often. An event."""
    MISSED = enum.auto()
    """Messages before this one are missing, or may be missing since SEQ was not believed. An event.
    The state has to be repaired."""
    LATE = enum.auto()
    """Older than the newest message. Not an event, since its values may be out of date. The state
    has to be repaired."""


_EXPECTED = SeqVerdict.EXPECTED


class Sequence:
    """The SEQs of one subscription, over all its SIDs (UDA 2.0 §4.3.2, §4.3.1; CP-01, CP-02).

    ======================================  ============  ========  ==============
    message                                 verdict       an event  expected next
    ======================================  ============  ========  ==============
    the expected SEQ                        EXPECTED      yes       the following
    the lost one, again                     EXPECTED      yes       the following
    a later SEQ                             MISSED        yes       the following
    the message before, again               DUPLICATE     no        as before
    the SEQ before, another content         REPEATED      yes       as before
    an older SEQ                            LATE          no        as before
    an older SEQ, the count begins anew     LATE          no        the following
    no SEQ, or too many of these            UNRELIABLE    yes       anything
    ======================================  ============  ========  ==============

    So messages that a device repeats late, or that overtake each other, do not bring older values
    back, however many they are. The other reason for an older SEQ is a device that begins its count
    anew without a new SID. Its messages must not wait for the repair. The first few SEQs tell these
    apart: if the content of one of them differs from what came before, it is no repetition. 1
    follows the largest SEQ: of two SEQs, that one is older from which the way forward to the other
    is shorter.
    """

    __slots__ = (
        "_content",
        "_first",
        "_last",
        "_late",
        "_lost",
        "_needed",
        "_repairs",
        "_repeats",
        "_run",
        "_wrapped",
        "expected",
        "reliable",
    )

    def __init__(self) -> None:
        self.reliable = True
        """False once the device has shown that its SEQ means nothing; then every message is an
        event and gaps are not repaired, until enough of them have come in order."""
        self.expected = 0
        """The SEQ of the next message, while SEQ is reliable."""
        self._repairs = 0
        self._repeats = 0
        self._needed = _TRUSTING_RUN
        self.restart()

    def restart(self) -> None:
        """A new SID: the next message is the initial event, SEQ 0."""
        self.expected = 0
        self._last: int | None = None
        self._lost: int | None = None
        # The last late message: SEQ and content.
        self._late: tuple[int, int] | None = None
        self._content = 0
        # SEQ -> content, up to _FIRST.
        self._first: dict[int, int] = {}
        self._wrapped = False
        self._run = 0

    def has_taken(self, seq: int) -> bool:
        """Whether a message with ``seq`` or a later SEQ was taken."""
        return self.reliable and self._is_before(seq, self.expected) and seq != self._lost

    def lose(self, seq: int) -> None:
        """Note that the message with ``seq`` has come and is lost. It then leaves no gap."""
        if self.reliable and not self._is_before(seq, self.expected):
            self._lost = seq
            self._expect_after(seq)

    def judge(self, seq: int | None, content: int) -> SeqVerdict:
        """Judge a message by its SEQ (None: it had none) and a hash of its content."""
        if not self.reliable:
            return self._follow(seq, content)
        if seq == self.expected:
            if seq:
                self._repairs = 0
            if seq == LARGEST_SEQ:
                self._advance(seq, content)
                return _EXPECTED
            # As _advance, whose calls make receiving a NOTIFY 6 % slower.
            self._last = seq
            self._content = content
            self.expected = seq + 1
            if seq <= _FIRST:
                self._first[seq] = content
            return _EXPECTED
        if seq is None:
            self.reliable = False
            return SeqVerdict.UNRELIABLE
        if seq == self._lost and self.expected == next_seq(seq):
            self._lost = None
            self._advance(seq, content)
            return _EXPECTED  # the device has sent it again
        if seq == self._last:
            if content == self._content:
                return SeqVerdict.DUPLICATE
            self._content = content
            self._first.pop(seq, None)
            self._repeats += 1
            if self._repeats > _TRUSTED_REPEATS:
                self.reliable = False
                return SeqVerdict.UNRELIABLE
            return SeqVerdict.REPEATED
        if self._last is not None and self._is_before(seq, self._last):
            return self._judge_older(seq, content)
        self._repairs += 1
        reliable = self.reliable = self._repairs <= _TRUSTED_REPAIRS
        self._advance(seq, content)
        return SeqVerdict.MISSED if reliable else SeqVerdict.UNRELIABLE

    def _judge_older(self, seq: int, content: int) -> SeqVerdict:
        """Judge a message that is older than the last one."""
        if self._late == (seq, content):
            return SeqVerdict.DUPLICATE
        self._late = (seq, content)
        if self._first.get(seq, content) != content:
            self._begin_anew(seq, content)
        elif seq <= _FIRST:
            self._first[seq] = content
        return SeqVerdict.LATE

    def _follow(self, seq: int | None, content: int) -> SeqVerdict:
        """Judge while SEQ is not believed. After enough messages in order SEQ is believed again,
        and MISSED asks for a repair of what was lost meanwhile."""
        in_order = seq is not None and self._last is not None and seq == next_seq(self._last)
        self._run = self._run + 1 if in_order else 0
        if seq is None or self._run < self._needed:
            self._last, self._content = seq, content
            return SeqVerdict.EXPECTED
        self.reliable = True
        self._repairs = self._repeats = 0
        self._needed = min(2 * self._needed, _LONGEST_RUN)
        self._begin_anew(seq, content)
        return SeqVerdict.MISSED

    def _begin_anew(self, seq: int, content: int) -> None:
        """The count goes on from ``seq``, whatever came before."""
        self.expected, self._first, self._wrapped = 0, {}, False
        self._advance(seq, content)

    def _advance(self, seq: int, content: int) -> None:
        self._last = seq
        self._content = content
        self._expect_after(seq)
        if seq <= _FIRST:
            self._first[seq] = content

    def _expect_after(self, seq: int) -> None:
        following = next_seq(seq)
        if self.expected - following > _HALF:
            self._wrapped, self._first = True, {}
        self.expected = following

    def _is_before(self, seq: int, other: int) -> bool:
        """Whether ``seq`` is older than ``other``."""
        if seq == 0 or other == 0:
            return seq < other
        back = other - seq
        return 0 < (back % LARGEST_SEQ if self._wrapped else back) < _HALF
