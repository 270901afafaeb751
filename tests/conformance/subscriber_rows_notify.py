"""NOTIFY to a subscriber: its head, its framing, and the answer."""

from __future__ import annotations

from typing import Any

from exchange import Answer, Has, Quiet, Sees, Send, Told, answers
from subscriber_messages import BODY, SubscriberRow, begin, notify, propertyset, row

from propchange.core.wire.messages import Endpoint

_OWN_SITE = {"plain site": "twisted.web.server.Site answers it by itself"}
_NOT_THE_RESOURCE = {"event": "the web server answers for what is not at /events"}
_NEXT = propertyset(Temperature="21")
_TOLD = Sees((Told(1, {"Temperature": "21"}),))
_CLOSED = {"CONNECTION": "close"}


def _answered(
    name: str,
    clauses: str,
    data: bytes,
    answer: Answer | int,
    *,
    told: bool = False,
    **options: Any,
) -> SubscriberRow:
    """``data`` gets ``answer``. It is told as event 1 or, if not, has changed nothing: event 1
    that comes behind it is."""
    steps = (
        *begin(),
        Send(data, answers(answer)),
        *(() if told else (Send(notify(_NEXT, 1)),)),
    )
    return row(name, clauses, *steps, _TOLD, Has({"gaps": 0}), **options)


def _taken(name: str, clauses: str, data: bytes, **options: Any) -> SubscriberRow:
    return _answered(name, clauses, data, 200, told=True, **options)


def _with(**changes: str | None) -> bytes:
    return notify(_NEXT, 1, **changes)


def _chunked(body: bytes, **changes: str | None) -> bytes:
    """A NOTIFY whose body is given as it goes over the wire."""
    headers = {"CONTENT_LENGTH": None, "TRANSFER_ENCODING": "chunked", **changes}
    return notify(b"", 1, **headers) + body


_CHUNKS = b"1f\r\n" + _NEXT[:31] + b"\r\n%X\r\n" % len(_NEXT[31:]) + _NEXT[31:] + b"\r\n"

_REFUSED = tuple(
    _answered(
        f"a NOTIFY {words} is answered {code}",
        clauses,
        _with(**changes),
        code,
        not_on=_NOT_THE_RESOURCE if changes.get("path") in ("/nowhere", "*") else {},
    )
    for words, code, clauses, changes in (
        ("without NT", 400, "RSP-02", {"NT": None}),
        ("without NTS", 400, "RSP-02", {"NTS": None}),
        ("without NT and NTS", 400, "RSP-02", {"NT": None, "NTS": None}),
        ("without NT, with another NTS", 400, "RSP-02", {"NT": None, "NTS": "ssdp:alive"}),
        ("with another NT, without NTS", 400, "RSP-02", {"NT": "upnp:x", "NTS": None}),
        ("without NT and SID", 400, "RSP-02", {"NT": None, "SID": None}),
        ("without NTS, with an unknown SID", 400, "RSP-02", {"NTS": None, "SID": "uuid:no"}),
        ("without NT, to an unknown path", 400, "RSP-02", {"NT": None, "path": "/nowhere"}),
        ("with an empty NT", 412, "RSP-03", {"NT": ""}),
        ("with another NT", 412, "RSP-03", {"NT": "upnp:rootdevice"}),
        ("with NT in other letters", 412, "RSP-03 SUB-25", {"NT": "UPNP:Event"}),
        ("with another NTS", 412, "RSP-03", {"NTS": "ssdp:alive"}),
        ("with NTS in other letters", 412, "RSP-03 SUB-25", {"NTS": "upnp:PropChange"}),
        ("with NT and NTS exchanged", 412, "RSP-03", {"NT": "upnp:propchange"}),
        ("without SID", 412, "RSP-03", {"SID": None}),
        ("with an empty SID", 412, "RSP-03", {"SID": ""}),
        ("with an unknown SID", 412, "RSP-03 RSP-07", {"SID": "uuid:no"}),
        ("with its SID in other letters", 412, "RSP-03 SUB-25", {"SID": "UUID:ONE"}),
        ("to an unknown path", 412, "RSP-07", {"path": "/nowhere"}),
        ("to *", 412, "RSP-07", {"path": "*"}),
        ("to a path below the delivery URL", 412, "RSP-07", {"path": "{path}/below"}),
        ("to the delivery URL with a query", 412, "RSP-07", {"path": "{path}?x=1"}),
        ("without HOST", 400, "SUB-11 RSP-02", {"HOST": None}),
        ("with an empty HOST", 400, "RSP-02", {"HOST": ""}),
        ("with a name for HOST", 400, "RSP-02", {"HOST": "evil.example"}),
        ("with the address and no port for HOST", 400, "RSP-02", {"HOST": "127.0.0.1"}),
        ("with another port in HOST", 400, "RSP-02", {"HOST": "127.0.0.1:1"}),
        ("with another address in HOST", 400, "RSP-02", {"HOST": "192.0.2.1:80"}),
        ("with a zone in HOST", 400, "RSP-02 V6-07", {"HOST": "[fe80::1%eth0]:80"}),
    )
)

_REPEATED = tuple(
    _answered(
        f"a NOTIFY with two {name} is answered 400",
        "RSP-02 AMB-12",
        _with(X_FIRST=f"1\r\n{name}: {value}"),
        400,
    )
    for name, value in (
        ("HOST", "{here}"),
        ("NT", "upnp:event"),
        ("NTS", "upnp:propchange"),
        ("SID", "uuid:one"),
        ("SEQ", "1"),
    )
)

_SEQS = tuple(
    _answered(
        f"a NOTIFY with SEQ {value or 'empty'} is answered 400",
        "RSP-04",
        notify(_NEXT, value),
        400,
    )
    for value in ("", "-1", "+1", "1.0", "one", "0x1", "1 2", "4294967296", "9" * 30)
)

_METHODS = tuple(
    _answered(
        f"{method} to a delivery URL is answered 405, and told what is right",
        "SUB-07 SUB-75",
        notify(line=f"{method} {{path}} HTTP/1.1"),
        Answer(405, {"ALLOW": "NOTIFY"}),
    )
    for method in ("GET", "POST", "PUT", "SUBSCRIBE", "UNSUBSCRIBE", "M-SEARCH", "FETCH", "Notify")
)

_HEADS = (
    _taken("a NOTIFY is answered 200 with nothing behind its head", "RSP-01", _with()),
    _taken(
        "header names count in any case, with or without spaces around their values",
        "SUB-25",
        b"NOTIFY {path} HTTP/1.1\r\nhost:{here}\r\nnt:  upnp:event \r\nNts:\tupnp:propchange\t\r\n"
        b"sid: uuid:one\r\nSeq: 1\r\ncontent-Length: %d\r\n\r\n%b" % (len(_NEXT), _NEXT),
    ),
    _taken("unknown headers are ignored", "SUB-07", _with(X_VENDOR="1", LVL="upnp:/info")),
    _taken("an offer to upgrade is ignored", "SUB-07", _with(UPGRADE="h2c", X="1")),
    *(
        _taken(f"a body is read whatever its type, {words}", "XML-10", _with(CONTENT_TYPE=type_))
        for words, type_ in (
            ("without charset", "text/xml"),
            ("application/xml", "application/xml"),
            ("unknown", "x"),
            ("or none", None),
        )
    ),
    _taken(
        "a request target in absolute form is its path",
        "SUB-07",
        _with(path="http://{here}{path}"),
        not_on=_OWN_SITE,
    ),
    _answered(
        "HTTP/1.0 is answered in HTTP/1.0, and the connection ends",
        "RSP-05 SUB-30",
        _with(line="NOTIFY {path} HTTP/1.0"),
        Answer(200, version="1.0", ends=True),
        told=True,
    ),
    _answered(
        "a refusal of HTTP/1.0 is in HTTP/1.0, and the connection ends",
        "RSP-05 SUB-30",
        _with(line="NOTIFY {path} HTTP/1.0", NT=None),
        Answer(400, version="1.0", ends=True),
    ),
    _answered(
        "HTTP/1.0 with keep-alive keeps its connection",
        "RSP-05",
        _with(line="NOTIFY {path} HTTP/1.0", CONNECTION="Keep-Alive"),
        Answer(200, {"CONNECTION": "keep-alive"}, version="1.0"),
        told=True,
        not_on={"plain site": "twisted.web ends every connection of HTTP/1.0"},
    ),
    *(
        _answered(
            f"the connection ends after CONNECTION: {value}",
            "RSP-05",
            _with(CONNECTION=value),
            Answer(200, _CLOSED, ends=True),
            told=True,
            not_on={} if "," not in value else _OWN_SITE,
        )
        for value in ("close", "Close", "keep-alive, close", "close, x")
    ),
    _answered(
        "the connection ends after a refusal with CONNECTION: close",
        "RSP-05",
        _with(CONNECTION="close", SID="uuid:no"),
        Answer(412, _CLOSED, ends=True),
    ),
    row(
        "a connection serves one NOTIFY after another",
        "SUB-07",
        *begin(),
        Send(_with(), connection="kept"),
        Send(
            notify(_NEXT, 2, NT=None),
            answers(400),
            connection="kept",
        ),
        Send(
            notify(_NEXT, 2, SID="uuid:no"),
            answers(412),
            connection="kept",
        ),
        Send(notify(_NEXT, 2), connection="kept"),
        Send(
            notify(b"<no", 3),
            answers(400),
            connection="kept",
        ),
        Send(notify(_NEXT, 3), connection="kept"),
        Sees(tuple(Told(seq, {"Temperature": "21"}) for seq in (1, 2, 3))),
    ),
    row(
        "NOTIFY requests that come in one piece are answered in their order",
        "SUB-07 RSP-06",
        *begin(),
        Send(
            _with() + notify(_NEXT, 2) + notify(_NEXT, 3, SID="uuid:no") + notify(_NEXT, 3),
            answers(200, 200, 412, 200),
        ),
        Sees(tuple(Told(seq, {"Temperature": "21"}) for seq in (1, 2, 3))),
    ),
    row(
        "what comes behind a NOTIFY with CONNECTION: close is not answered",
        "RSP-05",
        *begin(),
        Send(
            _with(CONNECTION="close") + notify(_NEXT, 2),
            answers(Answer(200, ends=True)),
        ),
        _TOLD,
    ),
    row(
        "an empty line behind a body is none of the next request",
        "SUB-07",
        *begin(),
        Send(_with() + b"\r\n" + notify(_NEXT, 2), answers(200, 200)),
        Sees(tuple(Told(seq, {"Temperature": "21"}) for seq in (1, 2))),
    ),
)

_FRAMES = (
    _taken("a chunked NOTIFY is taken", "SUB-34 NOT-06", _chunked(_CHUNKS + b"0\r\n\r\n")),
    _taken(
        "unknown extensions of chunks and trailers are read over",
        "SUB-34",
        _chunked(
            _CHUNKS.replace(b"1f\r\n", b'1F;name=value;quoted="a b"\r\n', 1)
            + b"0;last\r\nX-Trailer: 1\r\nSID: uuid:no\r\n\r\n"
        ),
    ),
    _taken(
        "Chunked in other letters is chunked",
        "SUB-34",
        _chunked(_CHUNKS + b"0\r\n\r\n", TRANSFER_ENCODING="Chunked"),
    ),
    row(
        "a chunked NOTIFY may be followed by another on its connection",
        "SUB-34",
        *begin(),
        Send(_chunked(_CHUNKS + b"0\r\n\r\n") + notify(_NEXT, 2), answers(200, 200)),
        Sees(tuple(Told(seq, {"Temperature": "21"}) for seq in (1, 2))),
    ),
    *(
        _answered(
            f"{words} is answered {code}",
            "SUB-07 RSP-02",
            data,
            Answer(code, version=version, ends=True),
            not_on=_OWN_SITE,
        )
        for words, data, code, version in (
            (
                "a chunked NOTIFY with a length too",
                _chunked(_CHUNKS + b"0\r\n\r\n", CONTENT_LENGTH="9"),
                400,
                "1.1",
            ),
            (
                "a chunk whose size is no number",
                _chunked(b"xyz\r\n" + _NEXT + b"\r\n0\r\n\r\n"),
                400,
                "1.1",
            ),
            ("a Content-Length that is no number", _with(CONTENT_LENGTH="many"), 400, "1.1"),
            ("a Content-Length below nought", _with(CONTENT_LENGTH="-1"), 400, "1.1"),
            (
                "two different lengths",
                _with(CONTENT_LENGTH=f"{len(_NEXT)}\r\nCONTENT-LENGTH: 9"),
                400,
                "1.1",
            ),
            ("a space before a colon", _with(X="1\r\nNT : upnp:event"), 400, "1.1"),
            ("a header line without a colon", _with(X="1\r\nNonsense"), 400, "1.1"),
            ("a request line of two words", _with(line="NOTIFY {path}"), 400, "1.1"),
            ("a request line of nonsense", b"nonsense\r\n\r\n", 400, "1.1"),
            ("HTTP/2.0", _with(line="NOTIFY {path} HTTP/2.0"), 505, "1.1"),
        )
    ),
    _taken(
        'TRANSFER-ENCODING: "chunked" in quotes is chunked',
        "NOT-06",
        _chunked(_CHUNKS + b"0\r\n\r\n", TRANSFER_ENCODING='"chunked"'),
        not_on=_OWN_SITE,
    ),
    _answered(
        "another transfer coding in quotes is answered 400",
        "NOT-06",
        _chunked(_CHUNKS + b"0\r\n\r\n", TRANSFER_ENCODING='"gzip, chunked"'),
        Answer(400, ends=True),
        not_on=_OWN_SITE,
    ),
    _answered(
        "another transfer coding is answered 501",
        "SUB-07",
        _chunked(_CHUNKS + b"0\r\n\r\n", TRANSFER_ENCODING="gzip, chunked"),
        Answer(501, ends=True),
        not_on=_OWN_SITE,
    ),
    _answered(
        "HTTP/1.0 knows no chunks",
        "SUB-30",
        _chunked(_CHUNKS + b"0\r\n\r\n", line="NOTIFY {path} HTTP/1.0"),
        Answer(400, version="1.0", ends=True),
        not_on=_OWN_SITE,
    ),
    _answered(
        "a NOTIFY without a length has no body",
        "RSP-02",
        notify(b"", 1, CONTENT_LENGTH=None),
        400,
    ),
    row(
        "a body that is longer than its length is cut, and what is over is no request",
        "RSP-02",
        *begin(),
        Send(
            notify(_NEXT, 1, CONTENT_LENGTH=str(len(_NEXT) - 10)) + b"\r\n\r\n",
            answers(400, Answer(400, ends=True)),
        ),
        Send(notify(_NEXT, 1)),
        _TOLD,
        not_on=_OWN_SITE,
    ),
    row(
        "a body that is cut off by the end of the stream is answered 400",
        "RSP-02",
        *begin(),
        Send(
            notify(_NEXT[:-5], 1, CONTENT_LENGTH=str(len(_NEXT))),
            answers(Answer(400, ends=True)),
            ends=True,
        ),
        Send(notify(_NEXT, 1)),
        _TOLD,
        not_on=_OWN_SITE,
    ),
    row(
        "who waits for 100 Continue before the body gets it",
        "SUB-07",
        *begin(),
        Send(_with(EXPECT="100-continue"), waits=True),
        _TOLD,
    ),
    row(
        "who has the body at hand gets no 100 Continue",
        "SUB-07",
        *begin(),
        Send(_with(EXPECT="100-continue")),
        _TOLD,
        not_on={"plain site": "twisted.web says so all the same"},
    ),
    _answered(
        "a body that is too large is answered 413",
        "SUB-07",
        notify(BODY + b" " * 3000, 1),
        Answer(413, ends=True),
        limits={"body_bytes": 2000},
        not_on=_OWN_SITE,
    ),
    _answered(
        "a chunked body that is too large is answered 413",
        "SUB-07",
        _chunked(b"BB8\r\n" + b" " * 3000 + b"\r\n0\r\n\r\n"),
        Answer(413, ends=True),
        limits={"body_bytes": 2000},
        not_on=_OWN_SITE,
    ),
    _answered(
        "a header that is too large is answered 431",
        "SUB-07",
        _with(X="x" * 20_000),
        Answer(431, ends=True),
        not_on=_OWN_SITE,
    ),
    _answered(
        "a request target that is too long is answered 414",
        "SUB-07",
        _with(path="{path}" + "x" * 3000),
        Answer(414, ends=True),
        not_on=_OWN_SITE,
    ),
)

_SOURCES = (
    row(
        "an event from another address than the device's is taken",
        "RSP-03",
        *begin(),
        Send(_with(), source="127.0.0.2"),
        _TOLD,
        Has({"foreign": ["127.0.0.2"]}),
        ends=(Endpoint("127.0.0.1", 8080), Endpoint("127.0.0.1", 9000)),
    ),
    row(
        "an event from another address is answered 412 where that is wanted",
        "RSP-03",
        *begin(),
        Send(
            _with(),
            answers(412),
            source="127.0.0.2",
        ),
        Send(_with()),
        _TOLD,
        policy={"require_device_source": True},
        not_on={"event": "it has no such setting"},
    ),
    row(
        "a name for HOST is taken where it was said to be ours",
        "RSP-02",
        *begin(),
        Send(_with(HOST="kitchen.example")),
        _TOLD,
        policy={"hosts": frozenset({"kitchen.example"})},
        not_on={"event": "it has no such setting"},
    ),
    row(
        "events over IPv6 find their subscription, however the address in HOST is written",
        "V6-06",
        *begin(),
        Send(_with()),
        Sees((Told(1, {"Temperature": "21"}),)),
        host="::1",
    ),
    row(
        "a stray NOTIFY before anything came leaves the subscription as it was",
        "RSP-07",
        *begin(),
        Send(
            notify(_NEXT, 7, SID="uuid:former"),
            answers(412),
        ),
        Send(_with()),
        _TOLD,
        Quiet(60),
    ),
)

ROWS = (*_REFUSED, *_REPEATED, *_SEQS, *_METHODS, *_HEADS, *_FRAMES, *_SOURCES)
