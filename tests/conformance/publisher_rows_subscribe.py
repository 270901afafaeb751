"""New subscriptions: when one is granted, for how long, and the headers of the answer."""

from __future__ import annotations

from exchange import Change, Quiet
from publisher_messages import (
    BAD_REQUEST,
    CANCELLED,
    INITIAL,
    PRECONDITION_FAILED,
    STATE,
    STATEVAR,
    ask,
    event,
    granted,
    refused,
    renew,
    row,
    subscribe,
    subscribed,
    unsubscribe,
)

UUID = "~uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

ACCEPTED = (
    row(
        "a SUBSCRIBE is granted, and the initial event follows its answer",
        "SUB-01 SUB-40 SUB-41 SUB-42 SUB-43 SUB-44 SUB-45 SUB-46 SUB-48 SUB-49"
        " SUB-50 SUB-55 SUB-57 EVT-01 NOT-01 NOT-03 NOT-04 NOT-05 NOT-07 NOT-08 NOT-09 XML-01"
        " XML-02 SEQ-02",
        ask(subscribe(), granted(headers={"SID": UUID})),
        INITIAL,
    ),
    *(
        row(
            f"a publisher of UDA {uda} names that version, and the content type that it has",
            "SUB-44 SUB-45 NOT-04 SUB-46",
            *subscribed(),
            Change({"Alarm": "1"}),
            event(1, {"Alarm": "1"}),
            ask(renew(), granted()),
            ask(unsubscribe(), CANCELLED),
            ask(unsubscribe(), PRECONDITION_FAILED),
            uda=uda,
        )
        for uda in ("1.0", "2.0")
    ),
    row(
        "each subscription has a SID of its own",
        "SUB-45 SEQ-01",
        *subscribed(),
        ask(subscribe(CALLBACK="<http://{cb2}/cb>"), granted()),
        event(0, STATE, to="cb2", sid="{sid2}"),
    ),
    row(
        "a publisher of UDA 2.0 does not insist on CPFN.UPNP.ORG, and takes it",
        "SUB-13",
        *subscribed(),
        ask(
            subscribe(
                CPFN_UPNP_ORG=None,
                USER_AGENT="OS/1 UPnP/2.0 point/1",
                extra=("CPFN.UPNP.ORG: Kitchen", "CPUUID.UPNP.ORG: 1"),
            ),
            granted(),
        ),
        INITIAL,
        uda="2.0",
    ),
    row(
        "names of header fields are read in any case, their values trimmed",
        "SUB-25 SUB-07",
        ask(
            "SUBSCRIBE {path} HTTP/1.1\r\nhost:{host}\r\ncallBACK:   <http://{cb1}/cb>\t \r\n"
            "Nt:upnp:event\r\ntimeout:\tSecond-1801 \r\n\r\n",
            granted(1801),
        ),
        INITIAL,
    ),
    *(
        row(
            f"values of header fields are case-sensitive: NT {nt}",
            "SUB-25 SUB-72",
            ask(subscribe(NT=nt), PRECONDITION_FAILED),
            Quiet(),
        )
        for nt in ("UPnP:event", "upnp:Event")
    ),
    row(
        "header fields that nobody knows are ignored",
        "SUB-07",
        ask(
            subscribe(
                USER_AGENT="Linux/6 UPnP/1.1 point/1",
                ACCEPT_ENCODING="gzip",
                NTS="ssdp:all",
                extra=(
                    "X-Unknown:",
                    "Cookie: a=b",
                    "X-Latin: Gr\xf6\xdfe",
                    "X-Long: " + "a" * 8000,
                    "Upgrade: h2c",
                    "Connection: Upgrade",
                    "TE: trailers",
                    "Expect: banana",
                ),
            ),
            granted(),
        ),
        INITIAL,
    ),
    row(
        "two services have two event URLs, each with its own variables",
        "SUB-04 SUB-01",
        ask(subscribe("{other}"), granted()),
        event(0, {"Humidity": "50"}),
        Change({"Alarm": "1"}),
        Quiet(),
        Change({"Humidity": "51"}, "{other}"),
        event(1, {"Humidity": "51"}),
    ),
    row(
        "who subscribes twice is told twice",
        "SUB-50 AMB-1",
        *subscribed(),
        ask(subscribe(CALLBACK="<http://{cb2}/cb>"), granted()),
        event(0, STATE, to="cb2"),
        Change({"Alarm": "1"}),
        event(1, {"Alarm": "1"}, sid="{sid1}"),
        event(1, {"Alarm": "1"}, to="cb2", sid="{sid2}"),
    ),
    row(
        "one that has no room answers 503, and has it again after an UNSUBSCRIBE",
        "SUB-73 AMB-2 SUB-50",
        *subscribed(),
        ask(subscribe(), refused(503)),
        ask(renew("{sid1}"), granted()),
        ask(unsubscribe("{sid1}"), CANCELLED),
        ask(subscribe(), granted()),
        INITIAL,
        limits={"subscriptions": 1},
    ),
    row(
        "one peer cannot take all the room",
        "SUB-73 CSX-05",
        *subscribed(),
        ask(subscribe(), refused(503)),
        limits={"subscriptions_per_address": 1},
    ),
)

# TIMEOUT as sent -> seconds granted, at the settings as they are.
DURATIONS = (
    (None, 1800),
    ("Second-1800", 1800),
    ("Second-1801", 1801),
    ("Second-300", 300),
    ("Second-60", 60),
    ("Second-59", 60),
    ("Second-1", 60),
    ("Second-86400", 86400),
    ("Second-86401", 86400),
    ("Second-4294967295", 86400),
    ("Second-4294967296", 86400),
    ("Second-" + "9" * 400, 86400),
    ("Second-001800", 1800),
    ("Second-infinite", 1800),
    ("infinite", 1800),
    ("Second-Infinite", 1800),
    ("second-300", 300),
    ("SECOND-300", 300),
    ("Second-0", 1800),
    ("Second-00", 1800),
    ("Second--1", 1800),
    ("Second-+300", 1800),
    ("Second-1800.0", 1800),
    ("Second-0:30:00", 1800),
    ("Second- 300", 1800),
    ("Second -300", 1800),
    ("Second-", 1800),
    ("Second-0x12c", 1800),
    ("Second-300, Second-400", 1800),
    ("300", 1800),
    ("Minute-5", 1800),
    ("banana", 1800),
    ("", 1800),
)

GRANTED = (
    *(
        row(
            f"TIMEOUT {'missing' if asked is None else asked[:24]!r} is granted {seconds} s",
            "SUB-20 SUB-22 SUB-46 SUB-47 AMB-7 AMB-16",
            ask(subscribe(TIMEOUT=asked), granted(str(seconds))),
            INITIAL,
            feeds=("whole",),
        )
        for asked, seconds in DURATIONS
    ),
    *(
        row(
            f"a publisher of UDA {uda} never grants an infinite duration",
            "SUB-22 SUB-46",
            ask(subscribe(TIMEOUT="Second-infinite"), granted(1800)),
            INITIAL,
            ask(renew(TIMEOUT="Second-infinite"), granted(1800)),
            ask(renew(TIMEOUT="infinite"), granted(1800)),
            uda=uda,
            feeds=("whole",),
        )
        for uda in ("1.0", "1.1", "2.0")
    ),
    row(
        "durations are settings, from 1 s up",
        "SUB-46 SUB-47 AMB-16",
        ask(subscribe(TIMEOUT="Second-1"), granted(1)),
        INITIAL,
        ask(subscribe(TIMEOUT="Second-5"), granted(2)),
        INITIAL,
        ask(subscribe(TIMEOUT=None), granted(2)),
        INITIAL,
        policy={"minimum_duration": 1, "maximum_duration": 2},
    ),
    row(
        "for DLNA it is 300 s, whatever was asked for",
        "SUB-47 AMB-16",
        *(
            step
            for asked in ("Second-1800", "Second-60", None, "Second-infinite")
            for step in (ask(subscribe(TIMEOUT=asked), granted(300)), INITIAL)
        ),
        ask(renew(TIMEOUT="Second-1800"), granted(300)),
        policy={"dlna": True},
    ),
)

REFUSED = (
    row(
        "a SUBSCRIBE with SID and NT is answered 400",
        "SUB-70 REN-07 AMB-5",
        ask(subscribe(CALLBACK=None, SID="uuid:x"), BAD_REQUEST),
        Quiet(),
    ),
    row(
        "a SUBSCRIBE with SID and CALLBACK is answered 400",
        "SUB-70 REN-07 AMB-5",
        ask(subscribe(NT=None, SID="uuid:x"), BAD_REQUEST),
        Quiet(),
    ),
    row(
        "a SUBSCRIBE with SID, NT and CALLBACK is answered 400, before anything else is judged",
        "SUB-70 REN-07 AMB-5",
        ask(subscribe(SID="uuid:x"), BAD_REQUEST),
        ask(subscribe(SID="uuid:x", NT="upnp:banana", CALLBACK="banana"), BAD_REQUEST),
        ask(subscribe(SID=""), BAD_REQUEST),
        Quiet(),
    ),
    row(
        "a SID that is known makes it no better",
        "SUB-70 REN-07",
        *subscribed(),
        ask(subscribe(SID="{sid}"), BAD_REQUEST),
        ask(renew(NT="upnp:event"), BAD_REQUEST),
        ask(renew(CALLBACK="<http://{cb1}/cb>"), BAD_REQUEST),
        ask(renew(), granted()),
        Quiet(),
    ),
    row(
        "a SUBSCRIBE with neither SID nor CALLBACK nor NT is answered 412",
        "AMB-6 SUB-71 REN-08",
        ask(subscribe(CALLBACK=None, NT=None), PRECONDITION_FAILED),
    ),
    row(
        "a missing CALLBACK is answered 412",
        "SUB-71",
        ask(subscribe(CALLBACK=None), PRECONDITION_FAILED),
        Quiet(),
    ),
    *(
        row(
            f"NT {nt!r} is answered 412",
            "SUB-72",
            ask(subscribe(NT=nt), PRECONDITION_FAILED),
            Quiet(),
            feeds=("whole",),
        )
        for nt in (None, "", "upnp:rootdevice", "upnp:propchange", "event", "upnp:event,")
    ),
    *(
        row(
            f"{name} that comes twice is answered 400",
            "AMB-12 SUB-75",
            ask(subscribe(extra=(f"{name}: {value}",)), BAD_REQUEST),
            Quiet(),
        )
        for name, value in (
            ("NT", "upnp:event"),
            ("TIMEOUT", "Second-1800"),
            ("Host", "{host}"),
            ("Timeout", "Second-300"),
        )
    ),
    row(
        "a renewal with two SIDs is answered 400",
        "AMB-12 REN-08",
        *subscribed(),
        ask(renew(extra=("SID: {sid}",)), BAD_REQUEST),
        ask(unsubscribe(extra=("Sid: {sid}",)), BAD_REQUEST),
        ask(renew(), granted()),
    ),
)

STATEVARS = (
    row(
        "an accepted STATEVAR is confirmed, and nothing else is evented",
        "SUB-51 EVT-01 AMB-3",
        ask(subscribe(STATEVAR="Alarm"), granted(headers={"ACCEPTED-STATEVAR": "Alarm"})),
        event(0, {"Alarm": "0"}),
        Change({"Temperature": "21"}),
        Quiet(),
        Change({"Temperature": "22", "Alarm": "1"}),
        event(1, {"Alarm": "1"}),
        uda="2.0",
        not_on={"dict": STATEVAR},
    ),
    row(
        "a STATEVAR with blanks, or all names, is a list as well",
        "SUB-51",
        ask(
            subscribe(STATEVAR="Alarm , Temperature"),
            granted(headers={"ACCEPTED-STATEVAR": "Alarm,Temperature"}),
        ),
        INITIAL,
        uda="2.0",
        not_on={"dict": STATEVAR},
    ),
    *(
        row(
            f"STATEVAR {names!r} is no list of evented variables: all are evented",
            "SUB-52 AMB-4",
            ask(subscribe(STATEVAR=names), granted(without=("ACCEPTED-STATEVAR",))),
            INITIAL,
            Change({"Alarm": "1"}),
            event(1, {"Alarm": "1"}),
            uda="2.0",
        )
        for names in ("Alarm,Pressure", "Pressure", "", "alarm", "Alarm,,Temperature", ",")
    ),
    *(
        row(
            f"a publisher of UDA {uda} knows no STATEVAR",
            "SUB-24 SUB-51",
            ask(subscribe(STATEVAR="Alarm"), granted(without=("ACCEPTED-STATEVAR",))),
            INITIAL,
            Change({"Temperature": "21"}),
            event(1, {"Temperature": "21"}),
            uda=uda,
        )
        for uda in ("1.0", "1.1")
    ),
    row(
        "a renewal keeps the accepted STATEVAR, whatever it says",
        "REN-06",
        ask(subscribe(STATEVAR="Alarm"), granted(headers={"ACCEPTED-STATEVAR": "Alarm"})),
        event(0, {"Alarm": "0"}),
        ask(renew(STATEVAR="Temperature"), granted(without=("ACCEPTED-STATEVAR",))),
        Change({"Temperature": "21"}),
        Quiet(),
        Change({"Alarm": "1"}),
        event(1, {"Alarm": "1"}),
        uda="2.0",
        not_on={"dict": STATEVAR},
    ),
)

ROWS = ACCEPTED + GRANTED + REFUSED + STATEVARS
