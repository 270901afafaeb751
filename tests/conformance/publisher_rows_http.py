"""HTTP to a publisher: versions, connections, bodies, targets, HOST, and malformed requests."""

from __future__ import annotations

from exchange import Change, End, Quiet
from publisher_messages import (
    BAD_REQUEST,
    CANCELLED,
    INITIAL,
    MALFORMED,
    PRECONDITION_FAILED,
    STATE,
    ask,
    event,
    granted,
    only_in_memory,
    refused,
    renew,
    row,
    subscribe,
    subscribed,
    unsubscribe,
)

OTHERS = dict.fromkeys(("service", "dict"), "what else a site has is the program's own")
NOT_FOUND = refused(404)
LAST_412 = refused(412, version="1.0", ends=True)
LAST_404 = refused(404, version="1.0", ends=True)
NOT_ALLOWED = refused(405, headers={"ALLOW": "SUBSCRIBE, UNSUBSCRIBE"})
RIGHT = "HOST: {host}\r\nCALLBACK: <http://{cb1}/cb>\r\nNT: upnp:event\r\nTIMEOUT: Second-1800\r\n"
CHUNKED = "TRANSFER-ENCODING: chunked"

VERSIONS = (
    row(
        "an HTTP/1.0 SUBSCRIBE has an HTTP/1.0 answer, and its end, before the initial event",
        "SUB-30 SUB-31 SUB-32 SUB-33 SUB-56",
        ask(subscribe(version="1.0"), granted(version="1.0", ends=True)),
        INITIAL,
    ),
    row(
        "an HTTP/1.0 SUBSCRIBE with Connection: close as well",
        "SUB-32 SUB-56",
        ask(subscribe(version="1.0", CONNECTION="close"), granted(version="1.0", ends=True)),
        INITIAL,
    ),
    row(
        "an HTTP/1.0 SUBSCRIBE may keep the connection",
        "SUB-32 SUB-56",
        ask(
            subscribe(version="1.0", CONNECTION="Keep-Alive"),
            granted(version="1.0", headers={"CONNECTION": "~(?i)keep-alive"}),
        ),
        INITIAL,
        ask(renew(CONNECTION="close"), granted(ends=True)),
        feeds=("whole", "bytes"),
    ),
    *(
        row(
            f"with Connection: {value} the stream ends before the initial event",
            "SUB-56 SUB-48",
            ask(subscribe(CONNECTION=value), granted(ends=True)),
            INITIAL,
        )
        for value in ("close", "Close", "keep-alive, close", "close,TE", "TE,close")
    ),
    row(
        "with Connection: keep-alive the connection goes on",
        "SUB-56 SUB-48",
        *subscribed(CONNECTION="keep-alive"),
        ask(renew(CONNECTION="Keep-Alive"), granted()),
        ask(unsubscribe(), CANCELLED),
    ),
    *(
        row(
            f"HTTP/{version} is compatible with HTTP/1.1, and answered so",
            "SUB-31 SUB-32 SUB-30",
            ask(subscribe(version=version), granted()),
            INITIAL,
        )
        for version in ("1.2", "1.9")
    ),
    *(
        row(
            f"HTTP/{version} is not compatible",
            "SUB-31 SUB-75",
            ask(subscribe(version=version), refused(505, ends=True)),
            Quiet(),
        )
        for version in ("2.0", "0.9", "3.1")
    ),
    row(
        "refusals have the version of their request, and end what it ends",
        "SUB-32 SUB-56",
        ask(subscribe(version="1.0", NT=None), LAST_412),
        ask(unsubscribe("uuid:x", version="1.0"), LAST_412),
        ask(subscribe(NT=None, CONNECTION="close"), refused(412, ends=True)),
        ask(
            subscribe(version="1.0", extra=(CHUNKED,), body="0\r\n\r\n"),
            refused(400, version="1.0", ends=True),
        ),
        feeds=("whole",),
    ),
    row(
        "a subscriber of HTTP/1.0 gets events with their length",
        "SUB-33 NOT-05",
        ask(subscribe(version="1.0"), granted(version="1.0", ends=True)),
        INITIAL,
        Change({"Alarm": "1"}),
        event(1, {"Alarm": "1"}),
    ),
)

CONNECTIONS = (
    row(
        "requests that come in one piece are answered in their order",
        "SUB-30 SUB-07",
        ask(
            subscribe() + subscribe(NT=None) + unsubscribe("uuid:x") + subscribe("{path}/x"),
            granted(),
            PRECONDITION_FAILED,
            PRECONDITION_FAILED,
            NOT_FOUND,
        ),
        INITIAL,
    ),
    row(
        "two subscriptions in one piece are two subscriptions",
        "SUB-30 SUB-45 SUB-55",
        ask(
            subscribe() + subscribe(CALLBACK="<http://{cb2}/b>") + renew("uuid:x"),
            granted(),
            granted(),
            PRECONDITION_FAILED,
        ),
        event(0, STATE, sid="{sid1}"),
        event(0, STATE, sid="{sid2}", to="cb2", target="/b"),
    ),
    row(
        "what follows a request that ends the connection is not answered",
        "SUB-30 SUB-56",
        ask(subscribe(CONNECTION="close") + subscribe(), granted(ends=True)),
        INITIAL,
        Quiet(),
    ),
    row(
        "an empty line too many between requests is read over",
        "SUB-30",
        ask("\r\n" + subscribe(), granted()),
        INITIAL,
        ask("\r\n" + renew(), granted()),
    ),
    row(
        "who ends its side of the connection right after the request is answered",
        "SUB-30 SUB-40",
        ask(subscribe(), granted(), ends=True),
        INITIAL,
        feeds=("whole",),
    ),
    row(
        "of several addresses the publisher uses the one that was asked",
        "SUB-41 SUB-42 NOT-11",
        *subscribed(),
        Change({"Alarm": "1"}),
        event(1, {"Alarm": "1"}),
        address="127.0.0.2",
        not_on={"memory": "there each host has one address"},
    ),
    row(
        "a request that its sender ends half-way is answered 400",
        "SUB-75",
        ask(subscribe()[:-2], MALFORMED, ends=True),
        ask(subscribe(CONTENT_LENGTH="5", body="hell"), MALFORMED, ends=True),
        Quiet(),
    ),
    row(
        "a request that does not come whole in time is answered 408",
        "SUB-75",
        ask(subscribe()[:-2], refused(408, ends=True)),
        ask(
            subscribe(version="1.0", CONTENT_LENGTH="5", body="hell"),
            refused(408, version="1.0", ends=True),
        ),
        Quiet(),
        limits={"read_seconds": 0.2},
        feeds=("whole",),
        not_on={"memory": "that is the listener's to see"},
    ),
    row(
        "the end of the connection ends no subscription",
        "SUB-42 FAIL-04",
        *subscribed(),
        End(),
        Change({"Alarm": "1"}),
        event(1, {"Alarm": "1"}),
        ask(renew(), granted()),
    ),
)

BODIES = (
    row(
        "a SUBSCRIBE with a body is as good as one without",
        "AMB-13",
        ask(subscribe(CONTENT_LENGTH="5", body="hello"), granted()),
        INITIAL,
        ask(renew(CONTENT_LENGTH="5", body="again"), granted()),
        ask(unsubscribe(CONTENT_LENGTH="0"), CANCELLED),
    ),
    row(
        "a chunked body with extensions and trailers is read over",
        "AMB-13 SUB-30 SUB-34",
        ask(
            subscribe(
                extra=(CHUNKED,),
                body='5;name=value;other="q"\r\nhello\r\nA ;x\r\n0123456789\r\n'
                "000;last\r\nX-Trailer: 1\r\nNT: upnp:banana\r\n\r\n",
            ),
            granted(),
        ),
        INITIAL,
        ask(renew(), granted()),
    ),
    row(
        "Transfer-Encoding is read in any case",
        "SUB-25 SUB-30",
        ask(subscribe(extra=("transfer-encoding: CHUNKED",), body="0\r\n\r\n"), granted()),
        INITIAL,
    ),
    row(
        "who asks whether to send a body is told to, and then answered",
        "SUB-30",
        ask(
            subscribe(EXPECT="100-continue", CONTENT_LENGTH="5", body="hello"),
            granted(),
            waits=True,
        ),
        INITIAL,
    ),
    row(
        "who asks whether to send no body is answered at once",
        "SUB-30",
        ask(subscribe(EXPECT="100-continue"), granted()),
        INITIAL,
        ask(renew(EXPECT="100-continue", CONTENT_LENGTH="0"), granted()),
    ),
    row(
        "a body beyond the cap is answered 413",
        "AMB-13",
        ask(
            subscribe(CONTENT_LENGTH="2000000"),
            refused(413, ends=True),
        ),
        ask(
            subscribe(CONTENT_LENGTH="9" * 30),
            refused(413, ends=True),
        ),
        Quiet(),
    ),
    row(
        "one that asks before it sends a body beyond the cap gets no 100",
        "AMB-13 SUB-30",
        ask(
            subscribe(EXPECT="100-continue", CONTENT_LENGTH="2000000"),
            refused(413, ends=True),
        ),
    ),
    *(
        row(
            f"{name} is malformed, and answered 400",
            "SUB-75 SUB-30",
            ask(subscribe(extra=lines, body=body), MALFORMED),
            Quiet(),
        )
        for name, lines, body in (
            ("a Content-Length that is no number", ("Content-Length: five",), ""),
            ("a Content-Length below zero", ("Content-Length: -1",), ""),
            ("a Content-Length with a sign", ("Content-Length: +5",), ""),
            ("two Content-Lengths", ("Content-Length: 5", "Content-Length: 6"), ""),
            ("Content-Length beside chunks", ("Content-Length: 5", CHUNKED), "0\r\n\r\n"),
            ("a chunk without a size", (CHUNKED,), "\r\nhello\r\n0\r\n\r\n"),
            ("a chunk of a negative size", (CHUNKED,), "-5\r\nhello\r\n0\r\n\r\n"),
            ("a chunk longer than its size", (CHUNKED,), "2\r\nhello\r\n0\r\n\r\n"),
            ('"chunked" in quotes', ('Transfer-Encoding: "chunked"',), ""),
        )
    ),
    row(
        "a transfer coding that nobody knows is answered 501",
        "SUB-75",
        ask(subscribe(extra=("Transfer-Encoding: gzip",)), refused(501, ends=True)),
    ),
)

TARGETS = (
    row(
        "a path that is no event URL is answered 404",
        "SUB-76",
        ask(subscribe("/nothing"), NOT_FOUND),
        ask(renew("uuid:x", "/nothing"), NOT_FOUND),
        ask(unsubscribe("uuid:x", "/nothing"), NOT_FOUND),
        ask(subscribe("{path}x"), NOT_FOUND),
        ask(subscribe("/"), NOT_FOUND),
        Quiet(),
        not_on=OTHERS,
    ),
    row(
        "a path below an event URL is none",
        "SUB-76 SUB-04",
        ask(subscribe("{path}/below"), NOT_FOUND),
        ask(subscribe("{path}/"), NOT_FOUND),
        ask(renew("uuid:x", "{path}/below"), NOT_FOUND),
        ask(subscribe(version="1.0", path="{path}/below"), LAST_404),
        Quiet(),
    ),
    row(
        "a request target in absolute form is its path",
        "SUB-30",
        ask(subscribe("http://{host}{path}"), granted()),
        INITIAL,
        ask(renew(path="HTTP://{host}{path}"), granted()),
        ask(unsubscribe(path="http://{host}{path}"), CANCELLED),
    ),
    row(
        "a request target on another server is answered 400",
        "SUB-75",
        ask(subscribe("http://192.0.2.1{path}"), MALFORMED),
        ask(subscribe("https://{host}{path}"), MALFORMED),
        Quiet(),
    ),
    *(
        row(
            f"{method} is not for an event URL: 405, with what is",
            "SUB-75",
            ask(subscribe().replace("SUBSCRIBE", method, 1), NOT_ALLOWED),
            Quiet(),
        )
        for method in ("GET", "HEAD", "POST", "NOTIFY", "DELETE", "M-SEARCH", "OPTIONS")
    ),
    *(
        row(
            f"the method {method} is unknown: 405",
            "SUB-75",
            ask(subscribe().replace("SUBSCRIBE", method, 1), NOT_ALLOWED),
            Quiet(),
        )
        for method in ("subscribe", "RENEW", "SUBSCRIBED", "FROB-NICATE")
    ),
)

HOSTS = (
    row(
        "HOST is missing: 400, over HTTP/1.0 too",
        "SUB-75",
        ask(subscribe(HOST=None), BAD_REQUEST),
        ask(renew("uuid:x", HOST=None), BAD_REQUEST),
        ask(unsubscribe("uuid:x", HOST=None), BAD_REQUEST),
        ask(
            subscribe(version="1.0", HOST=None),
            refused(400, version="1.0", ends=True),
        ),
        Quiet(),
    ),
    *(
        row(
            f"HOST {value!r} is not this connection's: 400",
            "SUB-75",
            *subscribed(),
            ask(subscribe(HOST=value), BAD_REQUEST),
            ask(renew(HOST=value), BAD_REQUEST),
            ask(unsubscribe(HOST=value), BAD_REQUEST),
            ask(renew(), granted()),
            Quiet(),
            feeds=("whole",),
        )
        for value in (
            "",
            "{address}",
            "{address}:",
            "{address}:1",
            "{address}:0",
            "{address}:99999",
            "{address}:{port}x",
            "rebound.example:{port}",
            "localhost:{port}",
            "192.0.2.1:{port}",
            "user@{address}:{port}",
            "[fe80::1%eth0]:{port}",
            "{host}, {host}",
            "{host}/",
        )
    ),
    row(
        "a name that the device was told is taken, and no other",
        "SUB-07",
        *subscribed(HOST="thermometer.local:{port}"),
        ask(renew(HOST="THERMOMETER.local"), granted()),
        ask(renew(HOST="hygrometer.local"), BAD_REQUEST),
        policy={"hosts": frozenset({"thermometer.local"})},
    ),
    row(
        "HOST is judged before the subscription is touched",
        "REN-08",
        *subscribed(),
        ask(unsubscribe(HOST="rebound.example"), BAD_REQUEST),
        Change({"Alarm": "1"}),
        event(1, {"Alarm": "1"}),
    ),
)

JUNK = (
    *(
        row(
            f"{name} is answered 400",
            "SUB-75",
            ask(text, MALFORMED),
            Quiet(),
            feeds=("whole", "bytes"),
        )
        for name, text in (
            ("junk", "\x16\x03\x01\x02\x00\r\n\r\n"),
            ("a request line of one word", "SUBSCRIBE\r\n" + RIGHT + "\r\n"),
            ("a request line of two words", "SUBSCRIBE {path}\r\n" + RIGHT + "\r\n"),
            ("a request line of four words", "SUBSCRIBE {path} x HTTP/1.1\r\n" + RIGHT + "\r\n"),
            ("a version that is none", "SUBSCRIBE {path} HTTP/x.y\r\n" + RIGHT + "\r\n"),
            ("another protocol", "SUBSCRIBE {path} RTSP/1.0\r\n" + RIGHT + "\r\n"),
            ("a header line without a colon", subscribe(extra=("banana",))),
            ("a blank before the colon", subscribe(extra=("X-Blank : 1",))),
            ("a header line without a name", subscribe(extra=(": 1",))),
            ("a NUL in a header value", subscribe(TIMEOUT="Second-1800\0")),
            ("a NUL in CALLBACK", subscribe(CALLBACK="<http://{cb1}/cb>\0")),
            ("a bare carriage return in a header value", subscribe(extra=("X-Bare: a\rb",))),
            ("a folded header line", subscribe(extra=("X-Folded: a", " b"))),
            ("bare line feeds", subscribe().replace("\r\n", "\n")),
        )
    ),
    row(
        "a header beyond the caps is answered 431",
        "SUB-75",
        ask(
            subscribe(extra=tuple(f"X-{number}: 1" for number in range(100))),
            refused(431, ends=True),
        ),
        ask(
            subscribe(extra=tuple(f"X-{number}: " + "a" * 6000 for number in range(3))),
            refused(431, ends=True),
        ),
        feeds=("whole",),
    ),
    row(
        "a request target beyond the cap is answered 414",
        "SUB-75",
        ask(subscribe("/" + "a" * 3000), refused(414, ends=True)),
        feeds=("whole",),
    ),
    row(
        "requests before the junk are answered first",
        "SUB-75 SUB-30",
        ask(subscribe() + "banana\r\n\r\n", granted(), MALFORMED),
        INITIAL,
        ask(renew(), granted()),
    ),
)

IPV6 = (
    row(
        "over IPv6 all is the same, with the address in brackets",
        "V6-01 V6-06 V6-14 NOT-03",
        *subscribed(),
        Change({"Alarm": "1"}),
        event(1, {"Alarm": "1"}),
        ask(renew(), granted()),
        ask(unsubscribe(), CANCELLED),
        ipv6=True,
    ),
    row(
        "an IPv6 address is the same in each of its forms, and called as it was written",
        "V6-06 NOT-01 NOT-03",
        ask(
            subscribe(
                HOST="[0:0:0:0:0:0:0:1]:{port}", CALLBACK="<http://[0:0:0:0:0:0:0:1]:{cb1_port}/cb>"
            ),
            granted(),
        ),
        event(0, STATE, host="[0:0:0:0:0:0:0:1]:{cb1_port}"),
        ipv6=True,
        not_on={"memory": "there no address is ::1"},
    ),
    row(
        "the callback of an IPv6 SUBSCRIBE is of IPv6",
        "V6-05 V6-02",
        ask(subscribe(CALLBACK="<http://127.0.0.1:9/cb>"), PRECONDITION_FAILED),
        ask(subscribe(CALLBACK="<http://[::ffff:127.0.0.1]:9/cb>"), PRECONDITION_FAILED),
        ask(subscribe(CALLBACK="<http://{cb1}/cb><http://127.0.0.1:9/cb>"), PRECONDITION_FAILED),
        Quiet(),
        ipv6=True,
    ),
    row(
        "the callback of an IPv4 SUBSCRIBE is of IPv4",
        "V6-05 V6-02",
        ask(subscribe(CALLBACK="<http://[::1]:9/cb>"), PRECONDITION_FAILED),
        ask(subscribe(CALLBACK="<http://{cb1}/cb><http://[::1]:9/cb>"), PRECONDITION_FAILED),
        ask(subscribe(CALLBACK="<http://[::ffff:127.0.0.1]:9/cb>"), PRECONDITION_FAILED),
        Quiet(),
    ),
    *(
        row(
            f"an IPv6 callback {url} is answered 412",
            "V6-06 V6-07 SUB-71",
            ask(subscribe(CALLBACK=f"<{url}>"), PRECONDITION_FAILED),
            Quiet(),
            ipv6=True,
            feeds=("whole",),
        )
        for url in (
            "http://::1:9/cb",
            "http://[::1%25lo]:9/cb",
            "http://[::1%lo]:9/cb",
            "http://[::1/cb",
            "http://[::1]x:9/cb",
            "http://[::]:9/cb",
            "http://[ff02::1]:9/cb",
            "http://[2001:db8::1]:9/cb",
        )
    ),
    row(
        "a link-local callback without a link is answered 412",
        "V6-07",
        ask(subscribe(CALLBACK="<http://[fe80::1]:9/cb>"), PRECONDITION_FAILED),
        ipv6=True,
        not_on=only_in_memory("whether there is a link depends on the machine"),
    ),
)

ROWS = VERSIONS + CONNECTIONS + BODIES + TARGETS + HOSTS + JUNK + IPV6
