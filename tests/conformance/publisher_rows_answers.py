"""How a publisher goes on after each answer to a NOTIFY, and after none."""

from __future__ import annotations

from exchange import OK, Advance, Change, Quiet, Reply
from publisher_messages import (
    CANCELLED,
    PRECONDITION_FAILED,
    STATE,
    UNKNOWN_SID,
    PublisherRow,
    ask,
    event,
    granted,
    renew,
    row,
    subscribe,
    subscribed,
    unsubscribe,
)

NOT_FOUND = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
FAILED = "HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\n\r\n"
ELSEWHERE = (
    "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://{cb2}/c\r\nContent-Length: 0\r\n\r\n"
)
TWO = "<http://{cb1}/a><http://{cb2}/b>"


def settles(name: str, reply: str) -> PublisherRow:
    return row(
        f"{name} settles the message",
        "FAIL-02",
        ask(subscribe(CALLBACK=TWO), granted()),
        event(0, STATE, target="/a", reply=reply),
        Change({"Alarm": "1"}),
        event(1, {"Alarm": "1"}, target="/a", reply=reply),
        Change({"Alarm": "0"}),
        event(2, {"Alarm": "0"}, target="/a", reply=reply),
        feeds=("whole",),
    )


def abandons(name: str, reply: str, clauses: str = "FAIL-02 FAIL-04 SEQ-07") -> PublisherRow:
    return row(
        f"{name} abandons the message with its SEQ, and keeps the subscription",
        clauses,
        ask(subscribe(), granted()),
        event(0, STATE, reply=reply),
        Change({"Alarm": "1"}),
        event(1, {"Alarm": "1"}, reply=reply),
        Change({"Alarm": "0"}),
        event(2, {"Alarm": "0"}),
        ask(renew(), granted()),
        feeds=("whole",),
    )


SETTLED = (
    row(
        "200, and the end of the connection behind it, settles the message",
        "FAIL-02",
        ask(subscribe(CALLBACK=TWO), granted()),
        event(0, STATE, target="/a", ends=True),
        Change({"Alarm": "1"}),
        event(1, {"Alarm": "1"}, target="/a", ends=True),
        Change({"Alarm": "0"}),
        event(2, {"Alarm": "0"}, target="/a"),
    ),
    settles("200", OK),
    settles("200 without a length", "HTTP/1.1 200 OK\r\n\r\n"),
    settles("200 without a reason", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"),
    settles("200 with a body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    settles(
        "200 in chunks",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n",
    ),
    settles("200 that closes", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"),
    settles("200 of HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\n"),
    settles("200 behind a 100", "HTTP/1.1 100 Continue\r\n\r\n" + OK),
    settles("200 behind a 102", "HTTP/1.1 102 Processing\r\nA: b\r\n\r\n" + OK),
    settles("200 with bare line feeds", "HTTP/1.1 200 OK\nContent-Length: 0\n\n"),
    settles("204", "HTTP/1.1 204 No Content\r\n\r\n"),
    settles("202", "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"),
)

ABANDONED = (
    *(
        abandons(str(status), f"HTTP/1.1 {status} So\r\nContent-Length: 0\r\n\r\n")
        for status in (400, 401, 403, 404, 405, 408, 410, 413, 429, 500, 501, 503, 599)
    ),
    abandons("the end of the connection", "", "FAIL-03 FAIL-04 SEQ-07"),
    abandons("junk", "banana\r\n\r\n"),
    abandons("an answer that is no number", "HTTP/1.1 two hundred\r\n\r\n"),
    *(
        abandons(
            f"a redirect with {status}, which is not followed,",
            f"HTTP/1.1 {status} There\r\nLocation: http://{{cb2}}/b\r\nContent-Length: 0\r\n\r\n",
            "SUB-77 FAIL-02 FAIL-04",
        )
        for status in (301, 302, 303, 307, 308)
    ),
)

DISOWNED = (
    *(
        row(
            f"412 to the {name} ends the subscription",
            "FAIL-05 AMB-15",
            *before,
            Change({"Alarm": "1"}),
            Quiet(),
            ask(renew(), PRECONDITION_FAILED),
            ask(unsubscribe(), PRECONDITION_FAILED),
            uda=uda,
            feeds=("whole",),
        )
        for uda in ("1.0", "1.1", "2.0")
        for name, before in (
            (
                f"initial event of UDA {uda}",
                (ask(subscribe(), granted()), event(0, STATE, reply=UNKNOWN_SID)),
            ),
            (
                f"second event of UDA {uda}",
                (
                    *subscribed(),
                    Change({"Temperature": "21"}),
                    event(1, {"Temperature": "21"}, reply=UNKNOWN_SID),
                ),
            ),
        )
    ),
    row(
        "412 is no reason to try another delivery URL",
        "FAIL-02 FAIL-05",
        ask(subscribe(CALLBACK=TWO), granted()),
        event(0, STATE, target="/a", reply=UNKNOWN_SID),
        Quiet(),
        ask(renew(), PRECONDITION_FAILED),
    ),
    row(
        "412 to one subscription ends no other",
        "FAIL-05 AMB-15",
        *subscribed(),
        ask(subscribe(CALLBACK="<http://{cb2}/b>"), granted()),
        event(0, STATE, to="cb2", target="/b", reply=UNKNOWN_SID),
        ask(renew("{sid1}"), granted()),
        Change({"Alarm": "1"}),
        event(1, {"Alarm": "1"}, sid="{sid1}"),
    ),
)

SEVERAL_URLS = (
    row(
        "delivery URLs are tried in order, with the same SEQ, and from the first for each event",
        "FAIL-01 FAIL-02 SEQ-08",
        ask(subscribe(CALLBACK=TWO), granted()),
        event(0, STATE, target="/a", reply=FAILED),
        event(0, STATE, target="/b", to="cb2"),
        Change({"Alarm": "1"}),
        event(1, {"Alarm": "1"}, target="/a", reply=""),
        event(1, {"Alarm": "1"}, target="/b", to="cb2"),
        Change({"Alarm": "0"}),
        event(2, {"Alarm": "0"}, target="/a"),
        Quiet(),
        feeds=("whole",),
    ),
    row(
        "a kept-alive connection that turns out closed is no attempt: another one is made at once",
        "FAIL-02 SEQ-08 EVT-08",
        *subscribed(),
        Change({"Alarm": "1"}),
        event(1, {"Alarm": "1"}, reply=""),
        event(1, {"Alarm": "1"}),
        Change({"Alarm": "0"}),
        event(2, {"Alarm": "0"}),
        Quiet(),
        feeds=("whole",),
        not_on={"memory": "there each NOTIFY has a connection of its own"},
    ),
    row(
        "one that does not listen is passed over, for each event anew",
        "FAIL-01 FAIL-03 SEQ-08",
        ask(subscribe(CALLBACK="<http://{dead}/a><http://{cb2}/b>"), granted()),
        event(0, STATE, target="/b", to="cb2"),
        Change({"Alarm": "1"}),
        event(1, {"Alarm": "1"}, target="/b", to="cb2"),
    ),
    row(
        "a redirect is no success: the next delivery URL is tried, and not where it leads",
        "SUB-77 FAIL-01 FAIL-02",
        ask(subscribe(CALLBACK=TWO), granted()),
        event(0, STATE, target="/a", reply=ELSEWHERE),
        event(0, STATE, target="/b", to="cb2", reply=ELSEWHERE),
        Quiet(),
        feeds=("whole",),
    ),
    row(
        "when all fail the message is abandoned, and the next has the next SEQ",
        "FAIL-01 FAIL-03 FAIL-04 SEQ-07 SEQ-08",
        ask(subscribe(CALLBACK=TWO), granted()),
        event(0, STATE, target="/a", reply=""),
        event(0, STATE, target="/b", to="cb2", reply=NOT_FOUND),
        Change({"Alarm": "1"}),
        event(1, {"Alarm": "1"}, target="/a"),
        Quiet(),
        feeds=("whole",),
    ),
)

SILENCE = (
    row(
        "no answer in 30 s abandons that message, not the subscription; the next has the next SEQ",
        "FAIL-03 FAIL-04 SEQ-07",
        ask(subscribe(), granted()),
        event(0, STATE, reply=None),
        Change({"Alarm": "1"}),
        Advance(29.9),
        Quiet(),
        Advance(0.2),
        event(1, {"Alarm": "1"}),
        Reply(OK),
        Quiet(),
        ask(renew(), granted()),
    ),
    row(
        "no answer in 30 s goes on to the next delivery URL, with the same SEQ",
        "FAIL-01 FAIL-03 SEQ-08",
        ask(subscribe(CALLBACK=TWO), granted()),
        event(0, STATE, target="/a", reply=None),
        Advance(30.1),
        event(0, STATE, target="/b", to="cb2"),
        Reply(OK),
        Quiet(),
    ),
    row(
        "a subscriber that never answers keeps its subscription until it expires",
        "FAIL-04 REN-11",
        ask(subscribe(TIMEOUT="Second-100"), granted(100)),
        event(0, STATE, reply=None),
        Advance(31),
        Change({"Alarm": "1"}),
        event(1, {"Alarm": "1"}, reply=None),
        Advance(31),
        Change({"Alarm": "0"}),
        event(2, {"Alarm": "0"}, reply=None),
        Advance(31),
        ask(renew(TIMEOUT="Second-100"), granted(100)),
        Advance(101),
        ask(renew(), PRECONDITION_FAILED),
        Change({"Alarm": "1"}),
        Quiet(),
    ),
    row(
        "no answer in time is told of on the runtimes too",
        "FAIL-03 FAIL-04 SEQ-07",
        ask(subscribe(), granted()),
        event(0, STATE, reply=None),
        Change({"Alarm": "1"}),
        event(1, {"Alarm": "1"}),
        limits={"attempt_seconds": 0.3},
        feeds=("whole",),
        not_on={
            "memory": "there the clock is moved",
            "dict": "its limits are those of the process",
        },
    ),
    row(
        "who is silent can still renew and cancel",
        "FAIL-04 UNS-04",
        ask(subscribe(), granted()),
        event(0, STATE, reply=None),
        ask(renew(), granted()),
        ask(unsubscribe(), CANCELLED),
        Change({"Alarm": "1"}),
        Reply(OK),
        Quiet(),
    ),
)

ROWS = SETTLED + ABANDONED + DISOWNED + SEVERAL_URLS + SILENCE
