"""The words of the exchange tables: what a row is made of, and what is expected.

A row is one exchange between a *peer*, which the test plays, and *our side*, which is tested: a
publisher whose peer is a control point, or a subscriber whose peer is a device. It is data: the
bytes that the peer sends, the messages that reach it, and what the application does and sees.
``publisher_rows_*`` and ``subscriber_rows_*`` hold the rows. The player of each side plays them on
a *stage*: in memory on a clock that the row moves, or over sockets against a runtime.

Text and bytes of a row have names in braces, which a stage fills in. In the rows of a publisher:
``{host}``, ``{address}`` and ``{port}`` are the authority of the publisher and its parts,
``{path}`` and ``{other}`` the event URLs of its two services, ``{cb1}`` and ``{cb2}`` the
authorities of two callbacks, ``{peer}`` their host, ``{dead}`` an authority where nobody listens,
``{sid}`` the SID granted last, ``{sid1}`` the first. In the rows of a subscriber: ``{device}`` is
the authority of the device, ``{listener}`` that of our listener, ``{callback}`` the delivery URL
of the last SUBSCRIBE, ``{here}`` and ``{path}`` its authority and its path. An expected value that
begins with ``~`` is a regular expression for the whole value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import pytest

FEEDS = ("whole", "bytes", "followed")
"""How a message of the peer arrives: in one piece, byte by byte, or in one piece with the next
message behind it."""

OK = "HTTP/1.1 200 OK\r\nCONTENT-LENGTH: 0\r\n\r\n"


# --- messages ---


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of our side, without a body. ``headers`` are there, among others; ``without``
    names some that are not. ``ends``: our side ends the connection behind it."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    version: str = "1.1"
    ends: bool = False
    without: tuple[str, ...] = ()


def answers(*expected: Answer | int) -> tuple[Answer, ...]:
    """Several answers in their order; a status alone is an answer."""
    return tuple(each if isinstance(each, Answer) else Answer(each) for each in expected)


@dataclass(frozen=True, slots=True)
class Reply:
    """The peer answers the oldest message that waits for an answer. ``ends``: and ends the
    connection; without ``data``, instead of an answer."""

    data: str | bytes = ""
    ends: bool = False


# --- steps ---


@dataclass(frozen=True, slots=True)
class Send:
    """The peer sends ``data`` in one piece, and gets an answer to each request in it.

    ``connection`` is the name of the connection, which is opened where none of that name is open;
    "" is a connection of its own. ``fresh``: it is opened anew. ``source``: the address that the
    peer sends from, where it is not its own. ``waits``: the peer sends the body only when it was
    told ``100 Continue``. ``ends``: it ends its half of the connection behind the data.
    """

    data: str | bytes
    answers: tuple[Answer, ...] = (Answer(200),)
    connection: str = ""
    fresh: bool = False
    source: str = ""
    waits: bool = False
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Receive:
    """The next message of our side reaches the peer, with these headers and no others.

    ``variables`` are the text of each variable in its propertyset; None: it has no body. ``to``
    names the callback. ``reply`` is the peer's answer; None: none yet. On a clock that the test
    owns the message comes ``earliest`` to ``within`` seconds from now.
    """

    line: str
    headers: Mapping[str, str]
    variables: Mapping[str, str] | None = None
    to: str = ""
    reply: Reply | None = None
    within: float = 3.0
    earliest: float = 0.0


@dataclass(frozen=True, slots=True)
class End:
    """The peer ends the connection that it sent over last."""


@dataclass(frozen=True, slots=True)
class Quiet:
    """No message of our side reaches the peer for so many seconds; over sockets, for a moment."""

    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Wait:
    """So many seconds go by, few enough for a test to wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Advance:
    """So many seconds go by, on a clock that the test owns."""

    seconds: float


@dataclass(frozen=True, slots=True)
class LastSeq:
    """As if very many events had gone by, the last with this SEQ."""

    seq: int


@dataclass(frozen=True, slots=True)
class Change:
    """The application assigns these values of the service at ``path``, all at once."""

    values: Mapping[str, str]
    path: str = "{path}"


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """The application ends its subscription."""


@dataclass(frozen=True, slots=True)
class Told:
    """An event that the application gets."""

    seq: int | None
    changes: Mapping[str, str]
    initial: bool = False


@dataclass(frozen=True, slots=True)
class Status:
    """A change of status that the application gets."""

    status: str
    cause: str
    http: int = 0


@dataclass(frozen=True, slots=True)
class Sees:
    """What the application gets since the last of these steps, in order, and nothing else."""

    told: tuple[Told | Status, ...]


@dataclass(frozen=True, slots=True)
class Has:
    """What the subscription shows: values, sid, gaps, renewals, granted, accepted and more."""

    shown: Mapping[str, Any]


Step = (
    Send
    | Receive
    | Reply
    | End
    | Quiet
    | Wait
    | Advance
    | LastSeq
    | Change
    | Unsubscribe
    | Sees
    | Has
)


# --- rows ---


@dataclass(frozen=True)
class Row:
    """One exchange. ``name`` is a sentence, ``clauses`` are those that it shows. ``policy`` are
    fields of the policy of our side, or keywords for a control point; ``limits`` are fields of
    Limits. ``not_on`` says of a front why the row is not played there."""

    name: str
    clauses: tuple[str, ...]
    steps: tuple[Step, ...]
    uda: str = "1.1"
    policy: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)
    feeds: tuple[str, ...] = FEEDS
    not_on: Mapping[str, str] = field(default_factory=dict)


def played_on(rows: Iterable[Row], front: str, feeds: Callable[[int, Row], Iterable[str]]) -> Any:
    """Decorates a test that takes ``row`` and ``feed``: the rows that are played on ``front``,
    each in the ``feeds`` for its number, marked with its clauses. `make check` plays the first of
    its feeds, `make test` all."""
    return pytest.mark.parametrize(
        ("row", "feed"),
        [
            pytest.param(
                each,
                feed,
                id=f"{each.name}, {feed}",
                marks=[
                    *(pytest.mark.clause(clause) for clause in each.clauses),
                    *([pytest.mark.slow] if at else []),
                ],
            )
            for number, each in enumerate(rows)
            if front not in each.not_on
            for at, feed in enumerate(feeds(number, each))
        ],
    )


def every_feed(number: int, row: Row) -> Iterable[str]:
    """Each way of feeding that the row has."""
    return row.feeds


def one_feed(number: int, row: Row) -> Iterable[str]:
    """One of the ways, which goes round from row to row."""
    return (row.feeds[number % len(row.feeds)],)


# --- bytes ---


def message(line: str, headers: Mapping[str, str | None], *extra: str) -> str:
    """The head of a message; a header that is None is left out, ``extra`` are further lines."""
    lines = [line, *(f"{name}: {value}" for name, value in headers.items() if value is not None)]
    return "\r\n".join([*lines, *extra, "", ""])


def filled(data: str | bytes, names: Mapping[str, str]) -> bytes:
    """The bytes of a row, with the names in braces replaced."""
    text = data if isinstance(data, str) else data.decode("latin-1")
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value)
    return text.encode("latin-1")


def pieces(data: bytes, feed: str) -> list[bytes]:
    """What is fed at once."""
    return [data[at : at + 1] for at in range(len(data))] if feed == "bytes" else [data]


@dataclass
class Message:
    """A message of our side, taken apart by means that are not ours."""

    line: str
    lines: list[tuple[str, str]]
    body: bytes = b""

    @classmethod
    def of(cls, data: bytes) -> Message:
        """The message in ``data``, whose body is all that follows its head."""
        head, end, body = data.partition(b"\r\n\r\n")
        assert end, f"no whole message: {data!r}"
        line, *lines = head.decode("latin-1").split("\r\n")
        pairs = [(name, value) for name, _, value in (each.partition(": ") for each in lines)]
        return cls(line, pairs, body)

    @property
    def headers(self) -> dict[str, str]:
        headers = {name.upper(): value for name, value in self.lines}
        assert len(headers) == len(self.lines), f"a header came twice: {self.lines}"
        return headers


def split_answers(data: bytes) -> list[Message]:
    """The answers in ``data``, each without a body."""
    return [Message.of(each + b"\r\n\r\n") for each in data.split(b"\r\n\r\n")[:-1]]


def fits(expected: str, value: str, names: Mapping[str, str]) -> bool:
    """Whether a value is the expected one, or matches the expression behind ``~``."""
    wanted = filled(expected, names).decode("latin-1")
    if wanted.startswith("~"):
        return re.fullmatch(wanted[1:], value) is not None
    return wanted == value


def check_answer(
    expected: Answer,
    answer: Message,
    names: Mapping[str, str],
    *,
    always: Mapping[str, str] | None = None,
    never: tuple[str, ...] = (),
) -> None:
    """``answer`` is the expected one. Every answer has the headers ``always`` and none of
    ``never``."""
    reason = HTTPStatus(expected.status).phrase
    assert answer.line == f"HTTP/{expected.version} {expected.status} {reason}", answer
    headers = answer.headers
    for name, value in {"CONTENT-LENGTH": "0", **(always or {}), **expected.headers}.items():
        assert name in headers, f"{name} is missing: {headers}"
        assert fits(value, headers[name], names), (name, headers[name])
    assert not {*never, *expected.without} & headers.keys(), headers
    if expected.version == "1.1":
        assert (headers.get("CONNECTION") == "close") is expected.ends, headers
    assert answer.body == b""


def check_head(expected: Receive, received: Message, names: Mapping[str, str]) -> None:
    """``received`` has the line and exactly the headers of ``expected``."""
    assert received.line == filled(expected.line, names).decode("latin-1")
    headers = received.headers
    assert sorted(headers) == sorted(expected.headers), received
    for name, value in expected.headers.items():
        assert fits(value, headers[name], names), f"{name}: {headers[name]}"
