"""The SUBSCRIBE for a new subscription, and how a subscriber takes each answer."""

from __future__ import annotations

from exchange import Has, Quiet, Reply, Sees, Send, Status, Step, Told, Unsubscribe, answers
from subscriber_messages import (
    ACTIVE,
    CANCELLED,
    SubscriberRow,
    grant,
    notify,
    propertyset,
    renewal,
    row,
    subscribe,
    unsubscribe,
)

from propchange.core.wire.messages import Endpoint

_EVENT_IS_1_1 = {"event": "its requests are those of UDA 1.1"}
_EVENT_TELLS_ANSWERS = {"event": "subscribe() fires with the answer, and tries again for nobody"}
_MEMORY_ALONE = dict.fromkeys(("asyncio", "twisted", "event"), "no such address is this machine's")
_AGENT_2_0 = r"~\S+/\S+ UPnP/2\.0 \S+/\S+"
_SOON = {"backoff_first_seconds": 0.05}

_FIRST_EVENT: tuple[Step, ...] = (
    Send(notify()),
    Sees((ACTIVE, Told(0, {"Temperature": "20"}, initial=True))),
)

_REQUESTS = (
    row(
        "a SUBSCRIBE of UDA 1.1 has HOST, USER-AGENT, CALLBACK, NT and TIMEOUT and nothing else",
        "SUB-06 SUB-10 SUB-11 SUB-12 SUB-14 SUB-15 SUB-17 SUB-18 SUB-19 SUB-20 SUB-21 SUB-30"
        " SUB-31",
        subscribe(),
        grant(),
        *_FIRST_EVENT,
    ),
    row(
        "a SUBSCRIBE of UDA 1.0 has no USER-AGENT",
        "SUB-10 SUB-12 SUB-21",
        subscribe(USER_AGENT=None),
        grant(),
        *_FIRST_EVENT,
        uda="1.0",
        not_on=_EVENT_IS_1_1,
    ),
    row(
        "a SUBSCRIBE of UDA 2.0 has the friendly name of the control point",
        "SUB-12 SUB-13 SUB-21",
        subscribe(USER_AGENT=_AGENT_2_0, CPFN__UPNP__ORG="Kitchen panel"),
        grant(),
        *_FIRST_EVENT,
        uda="2.0",
        policy={"friendly_name": "Kitchen panel"},
        not_on=_EVENT_IS_1_1,
    ),
    row(
        "the duration that is wanted is asked for in whole seconds",
        "SUB-20",
        subscribe(timeout="Second-300"),
        grant(timeout="Second-300"),
        Has({"granted": 300}),
        subscription={"duration": 300},
    ),
    row(
        "some variables alone are asked for with STATEVAR",
        "SUB-23 SUB-53",
        subscribe(
            USER_AGENT=_AGENT_2_0, CPFN__UPNP__ORG="propchange", STATEVAR="Temperature,Alarm"
        ),
        grant(ACCEPTED_STATEVAR="Temperature,Alarm"),
        Has({"accepted": ("Temperature", "Alarm")}),
        *_FIRST_EVENT,
        uda="2.0",
        subscription={"variables": ("Temperature", "Alarm")},
        not_on=_EVENT_IS_1_1,
    ),
    row(
        "the accepted variables are read in the other spelling of the clause too",
        "AMB-3",
        subscribe(USER_AGENT=_AGENT_2_0, CPFN__UPNP__ORG="propchange", STATEVAR="Temperature"),
        Reply(
            b"HTTP/1.1 200 OK\r\nSID: uuid:one\r\nTIMEOUT: Second-1800\r\n"
            b"ACCEPTED_STATEVAR: Temperature\r\nContent-Length: 0\r\n\r\n"
        ),
        Has({"accepted": ("Temperature",)}),
        uda="2.0",
        subscription={"variables": ("Temperature",)},
        not_on=_EVENT_IS_1_1,
    ),
    row(
        "a device that says nothing of STATEVAR is taken to event all",
        "SUB-53",
        subscribe(USER_AGENT=_AGENT_2_0, CPFN__UPNP__ORG="propchange", STATEVAR="Temperature"),
        grant(),
        Has({"accepted": None}),
        Send(notify(propertyset(Temperature="20", Alarm="0"))),
        Sees((ACTIVE, Told(0, {"Temperature": "20", "Alarm": "0"}, initial=True))),
        uda="2.0",
        subscription={"variables": ("Temperature",)},
        not_on=_EVENT_IS_1_1,
    ),
    row(
        "before UDA 2.0 no STATEVAR is sent",
        "",
        subscribe(),
        grant(),
        Has({"accepted": None}),
        subscription={"variables": ("Temperature",)},
        not_on=_EVENT_IS_1_1,
    ),
    row(
        "the path and the query of the event URL are the request target",
        "SUB-10",
        subscribe(path="/ctl/evt%20a?service=1&x="),
        grant(),
        *_FIRST_EVENT,
        event_url="http://{device}/ctl/evt%20a?service=1&x=",
        not_on={"event": "its service gives the path alone"},
    ),
    row(
        "an event URL without a path is asked for at /, and a fragment stays at home",
        "SUB-10",
        subscribe(path="/"),
        grant(),
        *_FIRST_EVENT,
        event_url="http://{device}#here",
    ),
    row(
        "HOST and CALLBACK over IPv6 have their literals in brackets",
        "V6-05 V6-06 SUB-11",
        subscribe(HOST=r"~\[::1\]:\d+", CALLBACK=r"~<http://\[::1\]:\d+/.+>"),
        grant(),
        *_FIRST_EVENT,
        Unsubscribe(),
        unsubscribe(HOST=r"~\[::1\]:\d+"),
        CANCELLED,
        host="::1",
        ends=(Endpoint("::1", 8080), Endpoint("::1", 9000)),
    ),
    row(
        "a zone is in neither HOST nor CALLBACK, and the callback is the very address of the link",
        "V6-02 V6-03 V6-04 V6-07",
        subscribe(HOST="[fe80::1]:8080", CALLBACK=r"~<http://\[fe80::2\]:9000/[^%]+>"),
        grant(timeout="Second-300"),
        *_FIRST_EVENT,
        renewal(HOST="[fe80::1]:8080", within=150),
        grant(),
        Unsubscribe(),
        unsubscribe(HOST="[fe80::1]:8080"),
        CANCELLED,
        event_url="http://[fe80::1%25eth0]:8080/evt",
        ends=(Endpoint("fe80::1", 8080, 3), Endpoint("fe80::2", 9000, 3)),
        not_on=_MEMORY_ALONE,
    ),
    row(
        "HOST has no port where the event URL has none",
        "SUB-11",
        subscribe(HOST="10.0.0.1"),
        grant(),
        *_FIRST_EVENT,
        event_url="http://10.0.0.1/evt",
        ends=(Endpoint("10.0.0.1", 80), Endpoint("10.0.0.2", 9000)),
        not_on=dict.fromkeys(("asyncio", "twisted", "event"), "port 80 is not free for tests"),
    ),
    row(
        "another address for CALLBACK is sent, and taken in HOST",
        "SUB-17",
        subscribe(CALLBACK=r"~<http://192\.0\.2\.7:4000/.+>"),
        grant(),
        Send(notify(HOST="192.0.2.7:4000")),
        Send(notify(seq=1, HOST="10.0.0.2:9000")),
        Send(
            notify(seq=2, HOST="192.0.2.7"),
            answers(400),
        ),
        Sees(
            (
                ACTIVE,
                Told(0, {"Temperature": "20"}, initial=True),
                Told(1, {"Temperature": "20"}),
            )
        ),
        policy={"callback_host": "192.0.2.7", "callback_port": 4000},
        not_on=_MEMORY_ALONE,
    ),
)


def _renewal(
    name: str, clauses: str, answer: bytes, sid: str = "uuid:one", **has: object
) -> SubscriberRow:
    """``answer``, whose connection then ends, grants."""
    return row(
        name,
        clauses,
        subscribe(),
        Reply(answer, ends=True),
        Send(notify(SID=sid)),
        Sees((ACTIVE, Told(0, {"Temperature": "20"}, initial=True))),
        Has({"sid": sid, **has}),
    )


_ANSWERS = (
    _renewal(
        "an HTTP/1.0 answer without a length is whole with its head",
        "SUB-30",
        b"HTTP/1.0 200 OK\r\nSID: uuid:one\r\nTIMEOUT: Second-1800\r\n\r\n",
    ),
    _renewal(
        "an answer that ends its connection is as good",
        "SUB-30",
        b"HTTP/1.1 200 OK\r\nSID: uuid:one\r\nTIMEOUT: Second-1800\r\nConnection: close\r\n\r\n",
    ),
    _renewal(
        "a chunked answer with an unknown extension and a trailer is as good",
        "SUB-30",
        b"HTTP/1.1 200 OK\r\nSID: uuid:one\r\nTIMEOUT: Second-1800\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0;ext=1\r\nX-Trailer: 1\r\n\r\n",
    ),
    _renewal(
        "interim answers are passed over",
        "SUB-30",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nSID: uuid:one\r\nTIMEOUT: Second-1800\r\nContent-Length: 0\r\n\r\n",
    ),
    _renewal(
        "header names count in any case, whatever spaces surround their values",
        "SUB-25",
        b"HTTP/1.1 200 OK\r\nsid:uuid:one\r\ntimeout:   Second-300  \r\ncontent-length: 0\r\n\r\n",
        granted=300,
    ),
    _renewal(
        "a device of a later UPnP version is subscribed to all the same",
        "SUB-44",
        b"HTTP/1.1 200 OK\r\nSERVER: OS/1 UPnP/3.1 x/1\r\nSID: uuid:one\r\n"
        b"TIMEOUT: Second-1800\r\nContent-Length: 0\r\n\r\n",
    ),
    _renewal(
        "an answer with a body is read to its end",
        "SUB-30",
        b"HTTP/1.1 200 OK\r\nSID: uuid:one\r\nTIMEOUT: Second-1800\r\n"
        b"Content-Length: 15\r\n\r\n<html>Ok</html>",
    ),
    _renewal(
        "a SID that is no UUID is taken as it is",
        "SUB-45",
        b"HTTP/1.1 200 OK\r\nSID: uuid:RINCON_000E58A0_sub0000000007\r\n"
        b"TIMEOUT: Second-1800\r\nContent-Length: 0\r\n\r\n",
        "uuid:RINCON_000E58A0_sub0000000007",
    ),
    _renewal(
        "a SID without uuid: is taken as it is",
        "SUB-45",
        b"HTTP/1.1 200 OK\r\nSID: 4711\r\nTIMEOUT: Second-1800\r\nContent-Length: 0\r\n\r\n",
        "4711",
    ),
    *(
        row(
            f"a grant {words} lasts {granted}{'' if granted == 'infinite' else ' s'}",
            clauses,
            subscribe(),
            grant(timeout=timeout),
            *_FIRST_EVENT,
            Has({"granted": granted}),
        )
        for words, timeout, granted, clauses in (
            ("of Second-60", "Second-60", 60, "CP-05"),
            ("of second-300 in lower case", "second-300", 300, "CP-05"),
            ("of 300 without Second-", "300", 300, "CP-05"),
            ("of Second-1200.0", "Second-1200.0", 1200, "CP-05"),
            ("of Second-0:20:00", "Second-0:20:00", 1200, "CP-05"),
            ("of Second-infinite", "Second-infinite", "infinite", "CP-05"),
            ("of infinite", "infinite", "infinite", "CP-05"),
            ("that does not say how long", None, 1800, "CP-05"),
            ("of Second-0", "Second-0", 1800, "CP-05 AMB-7"),
            ("of Second--5", "Second--5", 1800, "CP-05 AMB-7"),
            ("of banana", "banana", 1800, "CP-05 AMB-7"),
            ("of more seconds than fit", "Second-99999999999999999999", 4294967295, "CP-05"),
        )
    ),
    *(
        row(
            f"a first SUBSCRIBE that is answered {code} is refused",
            "",
            subscribe(),
            Reply(f"HTTP/1.1 {code} No\r\nContent-Length: 0\r\n\r\n".encode()),
            Sees((Status("refused", "refused", code),)),
            persistent=False,
            not_on=_EVENT_TELLS_ANSWERS,
        )
        for code in (400, 404, 412, 500, 503)
    ),
    row(
        "a grant without a SID is none",
        "SUB-45",
        subscribe(),
        grant(sid=None),
        Sees((Status("refused", "refused", 200),)),
        persistent=False,
        not_on=_EVENT_TELLS_ANSWERS,
    ),
    row(
        "a grant with an empty SID is none",
        "SUB-45",
        subscribe(),
        grant(sid=""),
        Sees((Status("refused", "refused", 200),)),
        persistent=False,
        not_on=_EVENT_TELLS_ANSWERS,
    ),
    row(
        "a connection that ends without an answer is no answer",
        "",
        subscribe(),
        Reply(ends=True),
        Sees((Status("refused", "unreachable"),)),
        persistent=False,
        not_on=_EVENT_TELLS_ANSWERS,
    ),
    row(
        "what is not HTTP is no answer",
        "",
        subscribe(),
        Reply(b"220 mail.example ESMTP\r\n\r\n", ends=True),
        Sees((Status("refused", "unreachable"),)),
        persistent=False,
        not_on=_EVENT_TELLS_ANSWERS,
    ),
    row(
        "a device that cannot serve now is asked again later",
        "",
        subscribe(),
        Reply(b"HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n"),
        Sees((Status("subscribing", "refused", 503),)),
        subscribe(),
        grant(),
        *_FIRST_EVENT,
        limits=_SOON,
        not_on=_EVENT_TELLS_ANSWERS,
    ),
    row(
        "a device that does not answer in time is asked again",
        "",
        subscribe(),
        subscribe(),
        grant(),
        Sees((Status("subscribing", "unreachable"),)),
        Send(notify()),
        Sees((ACTIVE, Told(0, {"Temperature": "20"}, initial=True))),
        limits={"request_seconds": 1.5, **_SOON},
        not_on=_EVENT_TELLS_ANSWERS,
    ),
)


def _redirect(location: str | None, code: int = 307) -> Reply:
    header = "" if location is None else f"Location: {location}\r\n"
    return Reply(f"HTTP/1.1 {code} There\r\n{header}Content-Length: 0\r\n\r\n".encode())


_REDIRECTS = (
    row(
        "a 307 is followed with the same headers, to another path of the device",
        "SUB-77",
        subscribe(),
        _redirect("/moved?to=1"),
        subscribe(path="/moved?to=1"),
        grant(),
        *_FIRST_EVENT,
    ),
    row(
        "a 307 is followed to a whole URL, and the subscription is cancelled there",
        "SUB-77 UNS-02",
        subscribe(),
        _redirect("http://{device}/moved#part"),
        subscribe(path="/moved"),
        grant(),
        *_FIRST_EVENT,
        Unsubscribe(),
        unsubscribe(path="/moved"),
        CANCELLED,
        not_on={"event": "its service keeps the event URL of the description"},
    ),
    row(
        "three 307 are followed in a row, and the fourth is the answer",
        "SUB-77",
        subscribe(),
        *(
            step
            for number in range(3)
            for step in (_redirect(f"/{number}"), subscribe(path=f"/{number}"))
        ),
        _redirect("/3"),
        Sees((Status("refused", "refused", 307),)),
        Quiet(1.0),
        persistent=False,
        not_on=_EVENT_TELLS_ANSWERS,
    ),
    *(
        row(
            f"{words} is the answer",
            "SUB-77",
            subscribe(),
            answer,
            Sees((Status("refused", "refused", int(answer.data[9:12])),)),
            Quiet(1.0),
            persistent=False,
            not_on=_EVENT_TELLS_ANSWERS,
        )
        for words, answer in (
            ("a 302, which no device may use,", _redirect("/moved", 302)),
            ("a 301", _redirect("/moved", 301)),
            ("a 308", _redirect("/moved", 308)),
            ("a 307 without LOCATION", _redirect(None)),
            ("a 307 with an empty LOCATION", _redirect("")),
            ("a 307 to https", _redirect("https://{device}/moved")),
            ("a 307 to no URL", _redirect("http://[::1/")),
            ("a 307 with a user in its URL", _redirect("http://you@{device}/moved")),
        )
    ),
    row(
        "a 307 to a renewal and to an UNSUBSCRIBE is followed too",
        "SUB-77",
        subscribe(),
        grant(timeout="Second-2"),
        *_FIRST_EVENT,
        renewal(),
        _redirect("/moved"),
        renewal(path="/moved"),
        grant(),
        Has({"renewals": 1}),
        Unsubscribe(),
        unsubscribe(),
        _redirect("/moved"),
        unsubscribe(path="/moved"),
        CANCELLED,
        not_on={"event": "Cohen3's services renew by themselves"},
    ),
    row(
        "a 307 to an event URL written in other letters is followed",
        "SUB-77",
        subscribe(),
        _redirect("HTTP://{device}/mü"),
        subscribe(path="/m%C3%BC"),
        grant(),
        *_FIRST_EVENT,
    ),
)

_EARLY = (
    row(
        "an initial event before the answer to SUBSCRIBE is taken and told after it",
        "SUB-59",
        subscribe(),
        Send(notify()),
        Sees(()),
        grant(),
        Sees((ACTIVE, Told(0, {"Temperature": "20"}, initial=True))),
        Send(notify(propertyset(Temperature="21"), 1)),
        Sees((Told(1, {"Temperature": "21"}),)),
    ),
    row(
        "several events before the answer are told in order",
        "SUB-59",
        subscribe(),
        Send(notify()),
        Send(notify(propertyset(Temperature="21"), 1)),
        grant(),
        Sees(
            (
                ACTIVE,
                Told(0, {"Temperature": "20"}, initial=True),
                Told(1, {"Temperature": "21"}),
            )
        ),
    ),
    row(
        "an event before the answer with another SID than the answer's is not told",
        "SUB-59 RSP-07",
        subscribe(),
        Send(notify(propertyset(Temperature="99"), SID="uuid:forged")),
        grant(),
        Send(notify()),
        Sees((ACTIVE, Told(0, {"Temperature": "20"}, initial=True))),
    ),
    row(
        "events of a subscription that was refused are answered 412",
        "RSP-03 RSP-07",
        subscribe(),
        Reply(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"),
        Sees((Status("subscribing", "refused", 503),)),
        Send(
            notify(),
            answers(412),
        ),
        not_on={
            "event": "a server that nothing was ever subscribed for takes every event: "
            "there is no table that could tell"
        },
    ),
)

ROWS = (*_REQUESTS, *_ANSWERS, *_REDIRECTS, *_EARLY)
