"""What a publisher is told, byte for byte, and what has to come back: the words of the tables.

A :class:`Row` is one exchange with a publisher, as data: who it is, what is sent to it, what it
answers, which NOTIFY arrives at the callback, what the callback answers. ``publisher_rows_*`` hold
the rows, ``publisher_player`` plays one, and a *stage* (in memory, over sockets) carries the
bytes.

In requests these stand for what a stage knows: ``{host}``, ``{address}`` and ``{port}`` the
authority of the publisher and its parts, ``{path}`` and ``{other}`` the event URLs of its two
services, ``{cb1}`` and ``{cb2}`` the authorities of two callbacks, ``{peer}`` their host,
``{dead}`` one where nobody listens, ``{sid}`` the SID granted last, ``{sid1}`` the first …
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

FRONTS = ("memory", "asyncio", "service", "dict")
"""Where a row is played: ``http`` and ``core`` alone, ``propchange.host``,
``propchange.twisted.Service`` on its Site, and EventSubscriptionServer for a service whose dict of
subscribers is the truth, as Cohen3's is."""

CLOCK = "the clock is moved by more than a test can wait"
STATEVAR = "a service that writes its propertysets itself sends each to everybody"
OWN_EVENTS = "what such a service sends, and when, it decides itself"

OK = "HTTP/1.1 200 OK\r\nCONTENT-LENGTH: 0\r\n\r\n"
UNKNOWN_SID = "HTTP/1.1 412 Precondition Failed\r\nCONTENT-LENGTH: 0\r\n\r\n"


@dataclass(frozen=True)
class Variable:
    """An evented variable of the publisher's first service."""

    name: str
    text: str
    type: str = "string"
    interval: float | None = None
    delta: float | None = None


THERMOMETER = (Variable("Temperature", "20"), Variable("Alarm", "0"))


@dataclass(frozen=True)
class Answer:
    """``status`` with its reason; ``headers`` that have to be there, each a pattern for its whole
    value; ``without``, names that must not; ``ends``: the connection ends behind it."""

    status: str
    version: str = "1.1"
    headers: Mapping[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    ends: bool = False


def granted(duration: str = "1800", **rest: Any) -> Answer:
    """The answer to a SUBSCRIBE that is accepted, new or a renewal."""
    headers = {"SID": "uuid:.+", "TIMEOUT": f"Second-{duration}", **rest.pop("headers", {})}
    without = (*rest.pop("without", ()), *({"ACCEPTED-STATEVAR"} - set(headers)))
    return Answer("200 OK", headers=headers, without=without, **rest)


def refused(status: str, **rest: Any) -> Answer:
    """An answer that grants nothing."""
    without = ("SID", "TIMEOUT", "ACCEPTED-STATEVAR", *rest.pop("without", ()))
    return Answer(status, without=without, **rest)


PRECONDITION_FAILED = refused("412 Precondition Failed")
BAD_REQUEST = refused("400 Bad Request")
MALFORMED = refused("400 Bad Request", ends=True)
CANCELLED = refused("200 OK")


@dataclass(frozen=True)
class Ask:
    """Send ``requests`` in one piece and read one answer to each. On the connection of the last
    Ask when that is still open and ``fresh`` is not set."""

    requests: tuple[str, ...]
    answers: tuple[Answer, ...]
    fresh: bool = False
    ends_stream: bool = False
    continues: bool = False
    """An interim 100 comes before the body is sent."""


def ask(request: str, answer: Answer, **rest: Any) -> Ask:
    """One request, one answer."""
    return Ask((request,), (answer,), **rest)


@dataclass(frozen=True)
class Notify:
    """A NOTIFY arrives, complete and with nothing else in its header than what UDA names.

    ``values``: variable -> text; ``to`` and ``target``: which callback, what of it; ``reply``: the
    bytes that answer it, None for none yet (see :class:`Reply`), "" for the end of the connection;
    ``hangs_up``: that comes behind the answer; ``host``: HOST, where it is not the callback's
    authority in the usual form.
    """

    seq: int
    values: Mapping[str, str]
    target: str = "/cb"
    to: str = "cb1"
    sid: str = "{sid}"
    reply: str | None = OK
    hangs_up: bool = False
    host: str | None = None


@dataclass(frozen=True)
class Reply:
    """Answer the oldest NOTIFY that waits for it."""

    reply: str


@dataclass(frozen=True)
class Change:
    """The service at ``path`` has new values, all at once."""

    values: Mapping[str, str]
    path: str = "{path}"


@dataclass(frozen=True)
class Advance:
    """Time goes by."""

    seconds: float


@dataclass(frozen=True)
class Wait:
    """So little time goes by that a test can wait for it."""

    seconds: float


@dataclass(frozen=True)
class Quiet:
    """No NOTIFY arrives."""


@dataclass(frozen=True)
class Close:
    """The peer ends the connection that it asked over."""


@dataclass(frozen=True)
class NextSeq:
    """The latest subscription has been told ``seq`` messages before."""

    seq: int


Step = Ask | Notify | Reply | Change | Advance | Wait | Quiet | Close | NextSeq


@dataclass(frozen=True)
class Row:
    """One exchange. ``settings`` are fields of PublisherPolicy, ``limits`` of Limits; ``ipv6``
    plays it over IPv6; ``address``: the one of this host that the publisher has; ``not_on``: front
    -> why it is not played there."""

    name: str
    clauses: tuple[str, ...]
    steps: tuple[Step, ...]
    uda: str = "1.1"
    settings: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)
    variables: tuple[Variable, ...] = THERMOMETER
    ipv6: bool = False
    address: str | None = None
    feeds: tuple[str, ...] = ("whole", "bytes", "followed")
    not_on: Mapping[str, str] = field(default_factory=dict)


def row(name: str, clauses: str, *steps: Step, **rest: Any) -> Row:
    """A row; ``clauses`` are ids with blanks between. One that moves the clock is for memory."""
    if any(isinstance(step, Advance) for step in steps):
        rest["not_on"] = dict.fromkeys(FRONTS[1:], CLOCK) | rest.get("not_on", {})
    return Row(name, tuple(clauses.split()), steps, **rest)


def only_in_memory(reason: str) -> dict[str, str]:
    """For ``not_on``."""
    return dict.fromkeys(FRONTS[1:], reason)


# --- requests ---


def request(line: str, headers: Mapping[str, str | None], extra: tuple[str, ...], body: str) -> str:
    """A request as text; a header that is None is left out, ``extra`` are further lines."""
    lines = [line, *(f"{name}: {value}" for name, value in headers.items() if value is not None)]
    return "\r\n".join([*lines, *extra, "", body])


def _changed(headers: Mapping[str, str | None], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {**headers, **{name.replace("_", "-"): value for name, value in changes.items()}}


def subscribe(
    path: str = "{path}",
    *,
    version: str = "1.1",
    extra: tuple[str, ...] = (),
    body: str = "",
    **changes: str | None,
) -> str:
    """A SUBSCRIBE that is right, but for ``changes`` of its headers (``_`` for ``-``)."""
    headers = {
        "HOST": "{host}",
        "CALLBACK": "<http://{cb1}/cb>",
        "NT": "upnp:event",
        "TIMEOUT": "Second-1800",
    }
    line = f"SUBSCRIBE {path} HTTP/{version}"
    return request(line, _changed(headers, changes), extra, body)


def renew(sid: str = "{sid}", path: str = "{path}", **changes: Any) -> str:
    """A SUBSCRIBE that renews."""
    return subscribe(path, **{"CALLBACK": None, "NT": None, "SID": sid, **changes})


def unsubscribe(sid: str | None = "{sid}", path: str = "{path}", **changes: Any) -> str:
    """An UNSUBSCRIBE."""
    version, extra = changes.pop("version", "1.1"), changes.pop("extra", ())
    headers = _changed({"HOST": "{host}", "SID": sid}, changes)
    return request(f"UNSUBSCRIBE {path} HTTP/{version}", headers, extra, "")


STATE = {"Temperature": "20", "Alarm": "0"}
INITIAL = Notify(0, STATE)


def subscribed(answer: Answer | None = None, **changes: Any) -> tuple[Step, Step]:
    """A subscription, with its initial event: two steps."""
    return ask(subscribe(**changes), answer or granted()), INITIAL


# --- for pytest ---


def played_on(
    rows: tuple[Row, ...], front: str, thoroughly: tuple[Row, ...] | None = None
) -> list[Any]:
    """The rows of ``front`` as parameters, with their marks: each in each way of feeding, or, when
    it is not among those to be played ``thoroughly``, in one of them, which goes round."""
    return [
        pytest.param(
            each,
            feed,
            id=f"{each.name}, {feed}",
            marks=[pytest.mark.clause(clause) for clause in each.clauses],
        )
        for number, each in enumerate(rows)
        if front not in each.not_on
        for feed in (
            each.feeds
            if thoroughly is None or each in thoroughly
            else (each.feeds[number % len(each.feeds)],)
        )
    ]
