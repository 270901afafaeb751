"""The messages between a control point and a publisher, for the publisher's rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from exchange import OK, Advance, Answer, Receive, Reply, Row, Send, Step, message

FRONTS = ("memory", "asyncio", "service", "dict")
"""Where a row is played: ``http`` and ``core`` alone, ``propchange.host``,
``propchange.twisted.Service`` on its Site, and EventSubscriptionServer for a service whose dict of
subscribers is the truth, as Cohen3's is."""

CLOCK = "the clock is moved by more than a test can wait"
STATEVAR = "a service that writes its propertysets itself sends each to everybody"
OWN_EVENTS = "what such a service sends, and when, it decides itself"

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
class PublisherRow(Row):
    """An exchange with a publisher. ``ipv6`` plays it over IPv6; ``address``: the one of this host
    that the publisher has."""

    variables: tuple[Variable, ...] = THERMOMETER
    ipv6: bool = False
    address: str | None = None


def row(name: str, clauses: str, *steps: Step, **rest: Any) -> PublisherRow:
    """A row; ``clauses`` are ids with blanks between. One that moves the clock is for memory."""
    if any(isinstance(step, Advance) for step in steps):
        rest["not_on"] = dict.fromkeys(FRONTS[1:], CLOCK) | rest.get("not_on", {})
    return PublisherRow(name, tuple(clauses.split()), steps, **rest)


def only_in_memory(reason: str) -> dict[str, str]:
    """For ``not_on``."""
    return dict.fromkeys(FRONTS[1:], reason)


# --- answers of the publisher ---


def granted(duration: int = 1800, **rest: Any) -> Answer:
    """The answer to a SUBSCRIBE that is accepted, new or a renewal."""
    headers = {"SID": "~uuid:.+", "TIMEOUT": f"Second-{duration}", **rest.pop("headers", {})}
    without = (*rest.pop("without", ()), *({"ACCEPTED-STATEVAR"} - set(headers)))
    return Answer(200, headers, without=without, **rest)


def refused(status: int, **rest: Any) -> Answer:
    """An answer that grants nothing."""
    without = ("SID", "TIMEOUT", "ACCEPTED-STATEVAR", *rest.pop("without", ()))
    return Answer(status, without=without, **rest)


PRECONDITION_FAILED = refused(412)
BAD_REQUEST = refused(400)
MALFORMED = refused(400, ends=True)
CANCELLED = refused(200)


# --- requests of the control point ---


def ask(requests: str, *answers: Answer, **rest: Any) -> Send:
    """Requests in one piece, over the connection of the last ask while that is open."""
    return Send(requests, answers, connection="asking", **rest)


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
    return message(line, _changed(headers, changes), *extra) + body


def renew(sid: str = "{sid}", path: str = "{path}", **changes: Any) -> str:
    """A SUBSCRIBE that renews."""
    return subscribe(path, **{"CALLBACK": None, "NT": None, "SID": sid, **changes})


def unsubscribe(sid: str | None = "{sid}", path: str = "{path}", **changes: Any) -> str:
    """An UNSUBSCRIBE."""
    version, extra = changes.pop("version", "1.1"), changes.pop("extra", ())
    headers = _changed({"HOST": "{host}", "SID": sid}, changes)
    return message(f"UNSUBSCRIBE {path} HTTP/{version}", headers, *extra)


# --- event messages of the publisher ---


def event(
    seq: int,
    variables: Mapping[str, str],
    *,
    target: str = "/cb",
    to: str = "cb1",
    sid: str = "{sid}",
    reply: str | None = OK,
    ends: bool = False,
    host: str | None = None,
) -> Receive:
    """A NOTIFY arrives, with nothing else in its head than what UDA names. ``host``: HOST, where it
    is not the callback's authority in the usual form. ``reply``: the answer, None for none yet, ""
    for the end of the connection instead; ``ends``: the connection ends behind the answer."""
    headers = {
        "HOST": host or f"{{{to}}}",
        "CONTENT-TYPE": "{content-type}",
        "NT": "upnp:event",
        "NTS": "upnp:propchange",
        "SID": sid,
        "SEQ": str(seq),
        "CONTENT-LENGTH": "{length}",
    }
    answer = None if reply is None else Reply(reply, ends or not reply)
    return Receive(f"NOTIFY {target} HTTP/1.1", headers, variables, to, answer)


STATE = {"Temperature": "20", "Alarm": "0"}
INITIAL = event(0, STATE)


def subscribed(answer: Answer | None = None, **changes: Any) -> tuple[Step, Step]:
    """A subscription, with its initial event: two steps."""
    return ask(subscribe(**changes), answer or granted()), INITIAL
