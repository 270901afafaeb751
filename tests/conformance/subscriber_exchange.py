"""What an exchange between a device and our subscriber is made of.

An exchange is data: the requests that the device must get, the bytes that it answers and sends,
and what the application is told. ``subscriber_drivers`` play the same ones through ``http`` and
``core`` in memory, and over sockets against each runtime.

In bytes and expected values stand ``{device}``, the authority of the device; ``{here}``, that of
our listener; ``{callback}``, the delivery URL that the last SUBSCRIBE named; and ``{path}``, its
path. An expected value that begins with ``~`` is a regular expression.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from propchange.core.wire.messages import Endpoint

__all__ = [
    "ACTIVE",
    "BODY",
    "GRANTED",
    "OK",
    "USER_AGENT",
    "Answers",
    "Arrives",
    "Closes",
    "Continues",
    "Exchange",
    "Got",
    "Has",
    "Notifies",
    "Quiet",
    "Sees",
    "Told",
    "Unsubscribes",
    "Waits",
    "begin",
    "grant",
    "notify",
    "propertyset",
    "renewal",
    "status",
    "subscribe",
    "unsubscribe",
]


# --- what happens ---


@dataclass(frozen=True, slots=True)
class Arrives:
    """The device gets this request next, with these headers and no others, and no body. On a
    clock that the test owns it comes ``earliest`` to ``within`` seconds from now."""

    line: str
    headers: Mapping[str, str]
    within: float = 3.0
    earliest: float = 0.0


@dataclass(frozen=True, slots=True)
class Answers:
    """The device answers the request that arrived last. ``ends``: and ends the connection."""

    data: bytes
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Closes:
    """The device ends the connection instead of answering."""


@dataclass(frozen=True, slots=True)
class Got:
    """An answer of ours to a NOTIFY: no body, CONTENT-LENGTH 0, these headers among others, and
    none of ``without``. ``closes``: we end the connection after it."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    version: str = "1.1"
    closes: bool = False
    without: tuple[str, ...] = ("SID", "SEQ", "NT", "NTS", "TRANSFER-ENCODING")


@dataclass(frozen=True, slots=True)
class Notifies:
    """The device sends ``data``, over a connection of its own, or over the one called
    ``connection``, from the address ``source`` if not its own; and gets these answers. With
    ``rest`` it waits for ``100 Continue`` before it sends that; ``ends``: then it ends its half of
    the connection."""

    data: bytes
    answers: tuple[Got | int, ...] = (200,)
    connection: str = ""
    source: str = ""
    rest: bytes = b""
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """An event that the application is told."""

    seq: int | None
    changes: Mapping[str, str]
    initial: bool = False


@dataclass(frozen=True, slots=True)
class status:
    """A change of the status that the application is told."""

    status: str
    cause: str
    http: int = 0


@dataclass(frozen=True, slots=True)
class Sees:
    """What the application is told since the last of these, in order, and nothing else."""

    told: tuple[Told | status, ...]


@dataclass(frozen=True, slots=True)
class Has:
    """What the subscription shows: values, sid, gaps, renewals, granted, accepted."""

    shown: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Waits:
    """So many seconds go by. Only where the test owns the clock."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Quiet:
    """No request reaches the device for so many seconds; over sockets for a moment only."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Unsubscribes:
    """The application has had enough."""


@dataclass(frozen=True, slots=True)
class Continues:
    """As if very many events had come, the last with this SEQ."""

    seq: int


Step = Arrives | Answers | Closes | Notifies | Sees | Has | Waits | Quiet | Unsubscribes | Continues


@dataclass(frozen=True, slots=True)
class Exchange:
    """One exchange. ``name`` is a sentence; ``clauses`` are those that it shows.

    ``control_point`` are keywords for a control point, ``subscription`` for ``subscribe``, and
    ``limits`` what differs from the default ones. ``event_url`` is where to subscribe, ``host`` the
    device's address; ``ends`` replaces the two addresses in memory (device, listener).
    ``persistent``: keep trying when the first SUBSCRIBE fails. ``but`` says why it is not played on
    a front: ``memory``, ``asyncio``, ``twisted``, ``event`` (EventServer and subscribe()), or
    ``plain site``, which is ``event`` in a site of Twisted's own.
    """

    name: str
    clauses: tuple[str, ...]
    steps: tuple[Step, ...]
    uda: str = "1.1"
    control_point: Mapping[str, Any] = field(default_factory=dict)
    subscription: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)
    event_url: str = "http://{device}/evt"
    host: str = "127.0.0.1"
    ends: tuple[Endpoint, Endpoint] | None = None
    persistent: bool = True
    but: Mapping[str, str] = field(default_factory=dict)


# --- what is said again and again ---

USER_AGENT = r"~\S+/\S+ UPnP/1\.1 \S+/\S+"

BODY = (
    b'<?xml version="1.0"?>\n'
    b'<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0">\n'
    b"<e:property><Temperature>20</Temperature></e:property>\n"
    b"</e:propertyset>"
)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def propertyset(**variables: str) -> bytes:
    """A propertyset as most devices write it."""
    properties = "".join(
        f"<e:property><{name}>{text}</{name}></e:property>" for name, text in variables.items()
    )
    return (
        '<?xml version="1.0"?>'
        f'<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0">{properties}</e:propertyset>'
    ).encode()


def subscribe(
    *,
    path: str = "/evt",
    timeout: str = "Second-1800",
    within: float = 3.0,
    earliest: float = 0.0,
    **changes: str | None,
) -> Arrives:
    """A SUBSCRIBE for a new subscription; a header is changed or, with None, left out by its
    name, _ for -."""
    headers: dict[str, str | None] = {
        "HOST": "{device}",
        "USER-AGENT": USER_AGENT,
        "CALLBACK": "<{callback}>",
        "NT": "upnp:event",
        "TIMEOUT": timeout,
    }
    return _arrives(f"SUBSCRIBE {path} HTTP/1.1", headers, changes, within, earliest)


def renewal(
    sid: str = "uuid:one",
    *,
    path: str = "/evt",
    timeout: str = "Second-1800",
    within: float = 3.0,
    earliest: float = 0.0,
    **changes: str | None,
) -> Arrives:
    """A SUBSCRIBE that renews."""
    headers: dict[str, str | None] = {"HOST": "{device}", "SID": sid, "TIMEOUT": timeout}
    return _arrives(f"SUBSCRIBE {path} HTTP/1.1", headers, changes, within, earliest)


def unsubscribe(
    sid: str = "uuid:one", *, path: str = "/evt", within: float = 3.0, **changes: str | None
) -> Arrives:
    """An UNSUBSCRIBE."""
    headers: dict[str, str | None] = {"HOST": "{device}", "SID": sid}
    return _arrives(f"UNSUBSCRIBE {path} HTTP/1.1", headers, changes, within, 0.0)


def _arrives(
    line: str,
    headers: dict[str, str | None],
    changes: Mapping[str, str | None],
    within: float,
    earliest: float,
) -> Arrives:
    headers = headers | {_dashed(name): value for name, value in changes.items()}
    kept = {name: value for name, value in headers.items() if value is not None}
    return Arrives(line, kept, within, earliest)


def _dashed(name: str) -> str:
    return name.replace("__", ".").replace("_", "-")


def grant(
    sid: str | None = "uuid:one", timeout: str | None = "Second-1800", **more: str
) -> Answers:
    """200 to a SUBSCRIBE."""
    headers: dict[str, str | None] = {
        "DATE": "Tue, 24 Nov 2026 12:00:00 GMT",
        "SERVER": "OS/1 UPnP/1.1 device/1",
        "SID": sid,
        "CONTENT-LENGTH": "0",
        "TIMEOUT": timeout,
        **{_dashed(name): value for name, value in more.items()},
    }
    return Answers(_message("HTTP/1.1 200 OK", headers))


def notify(
    body: bytes = BODY,
    seq: int | str | None = 0,
    *,
    path: str = "{path}",
    line: str = "",
    **changes: str | None,
) -> bytes:
    """A NOTIFY; headers are changed as in :func:`subscribe`."""
    headers: dict[str, str | None] = {
        "HOST": "{here}",
        "CONTENT-TYPE": 'text/xml; charset="utf-8"',
        "NT": "upnp:event",
        "NTS": "upnp:propchange",
        "SID": "uuid:one",
        "SEQ": None if seq is None else str(seq),
        "CONTENT-LENGTH": str(len(body)),
    }
    headers |= {_dashed(name): value for name, value in changes.items()}
    return _message(line or f"NOTIFY {path} HTTP/1.1", headers) + body


def _message(line: str, headers: Mapping[str, str | None]) -> bytes:
    lines = [line, *(f"{name}: {value}" for name, value in headers.items() if value is not None)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


ACTIVE = status("active", "initial-event")

GRANTED = (subscribe(), grant())
"""What most exchanges begin with."""


def begin(body: bytes = BODY, **changes: str) -> tuple[Step, ...]:
    """Granted, and the initial event has been told."""
    return (
        *GRANTED,
        Notifies(notify(body)),
        Sees((ACTIVE, Told(0, changes or {"Temperature": "20"}, initial=True))),
    )
