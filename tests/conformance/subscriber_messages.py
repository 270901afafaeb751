"""The messages between a device and a subscriber, for the subscriber's rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from exchange import OK, Receive, Reply, Row, Sees, Send, Status, Step, Told, message

from propchange.core.wire.messages import Endpoint

FRONTS = ("memory", "asyncio", "twisted", "event", "plain site")
"""Where a row is played: ``http`` and ``core`` alone, the control points of both runtimes, and
EventServer with subscribe(), in a site of ours and in one of Twisted's own. What is not played on
``event`` is not played on ``plain site`` either."""


@dataclass(frozen=True)
class SubscriberRow(Row):
    """An exchange with a subscriber. ``subscription`` are keywords for ``subscribe``.
    ``event_url`` is where to subscribe, ``host`` the device's address; ``ends`` replaces the two
    addresses in memory (device, listener). ``persistent``: keep trying when the first SUBSCRIBE
    fails."""

    subscription: Mapping[str, Any] = field(default_factory=dict)
    event_url: str = "http://{device}/evt"
    host: str = "127.0.0.1"
    ends: tuple[Endpoint, Endpoint] | None = None
    persistent: bool = True


def row(name: str, clauses: str, *steps: Step, **rest: Any) -> SubscriberRow:
    """A row; ``clauses`` are ids with blanks between."""
    not_on = dict(rest.pop("not_on", {}))
    if "event" in not_on:
        not_on.setdefault("plain site", not_on["event"])
    return SubscriberRow(name, tuple(clauses.split()), steps, not_on=not_on, **rest)


# --- messages ---

USER_AGENT = r"~\S+/\S+ UPnP/1\.1 \S+/\S+"

BODY = (
    b'<?xml version="1.0"?>\n'
    b'<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0">\n'
    b"<e:property><Temperature>20</Temperature></e:property>\n"
    b"</e:propertyset>"
)


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
) -> Receive:
    """A SUBSCRIBE for a new subscription; a header is changed or, with None, left out by its
    name, _ for -."""
    headers: dict[str, str | None] = {
        "HOST": "{device}",
        "USER-AGENT": USER_AGENT,
        "CALLBACK": "<{callback}>",
        "NT": "upnp:event",
        "TIMEOUT": timeout,
    }
    return _received(f"SUBSCRIBE {path} HTTP/1.1", headers, changes, within, earliest)


def renewal(
    sid: str = "uuid:one",
    *,
    path: str = "/evt",
    timeout: str = "Second-1800",
    within: float = 3.0,
    earliest: float = 0.0,
    **changes: str | None,
) -> Receive:
    """A SUBSCRIBE that renews."""
    headers: dict[str, str | None] = {"HOST": "{device}", "SID": sid, "TIMEOUT": timeout}
    return _received(f"SUBSCRIBE {path} HTTP/1.1", headers, changes, within, earliest)


def unsubscribe(
    sid: str = "uuid:one", *, path: str = "/evt", within: float = 3.0, **changes: str | None
) -> Receive:
    """An UNSUBSCRIBE."""
    headers: dict[str, str | None] = {"HOST": "{device}", "SID": sid}
    return _received(f"UNSUBSCRIBE {path} HTTP/1.1", headers, changes, within, 0.0)


def _received(
    line: str,
    headers: dict[str, str | None],
    changes: Mapping[str, str | None],
    within: float,
    earliest: float,
) -> Receive:
    headers = headers | {_dashed(name): value for name, value in changes.items()}
    kept = {name: value for name, value in headers.items() if value is not None}
    return Receive(line, kept, within=within, earliest=earliest)


def _dashed(name: str) -> str:
    return name.replace("__", ".").replace("_", "-")


def grant(sid: str | None = "uuid:one", timeout: str | None = "Second-1800", **more: str) -> Reply:
    """200 to a SUBSCRIBE."""
    headers: dict[str, str | None] = {
        "DATE": "Tue, 24 Nov 2026 12:00:00 GMT",
        "SERVER": "OS/1 UPnP/1.1 device/1",
        "SID": sid,
        "CONTENT-LENGTH": "0",
        "TIMEOUT": timeout,
        **{_dashed(name): value for name, value in more.items()},
    }
    return Reply(message("HTTP/1.1 200 OK", headers))


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
    return message(line or f"NOTIFY {path} HTTP/1.1", headers).encode("latin-1") + body


ACTIVE = Status("active", "initial-event")

CANCELLED = Reply(OK)
"""The answer to an UNSUBSCRIBE."""

GRANTED = (subscribe(), grant())
"""What most exchanges begin with."""


def begin(body: bytes = BODY, **changes: str) -> tuple[Step, ...]:
    """Granted, and the initial event has been told."""
    return (
        *GRANTED,
        Send(notify(body)),
        Sees((ACTIVE, Told(0, changes or {"Temperature": "20"}, initial=True))),
    )
