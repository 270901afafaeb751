"""Renewal, cancellation, and missed events of a subscriber."""

from __future__ import annotations

from exchange import (
    Advance,
    Has,
    LastSeq,
    Quiet,
    Reply,
    Sees,
    Send,
    Status,
    Step,
    Told,
    Unsubscribe,
    Wait,
    answers,
)
from subscriber_messages import (
    ACTIVE,
    CANCELLED,
    begin,
    grant,
    notify,
    propertyset,
    renewal,
    row,
    subscribe,
    unsubscribe,
)

_SERVICE_RENEWS = {"event": "Cohen3's services renew by themselves"}
_TAKES_MINUTES = dict.fromkeys(
    ("asyncio", "twisted", "event"), "it takes minutes, and the runtime has no say in it"
)
_SEQ_IS_NOT_JUDGED = {"event": "an event of Cohen3's has no SEQ"}
_AGENT_2_0 = r"~\S+/\S+ UPnP/2\.0 \S+/\S+"


def _answer(code: int) -> Reply:
    return Reply(f"HTTP/1.1 {code} No\r\nContent-Length: 0\r\n\r\n".encode())


def _granted(timeout: str | None, sid: str = "uuid:one") -> tuple[Step, ...]:
    """Granted for that long, and the initial event told."""
    return (
        subscribe(),
        grant(sid, timeout),
        Send(notify(SID=sid)),
        Sees((ACTIVE, Told(0, {"Temperature": "20"}, initial=True))),
    )


def _again(sid: str = "uuid:two") -> tuple[Step, ...]:
    """A fresh subscription, granted, and its initial event told."""
    return (
        subscribe(),
        grant(sid),
        Send(notify(propertyset(Temperature="25"), SID=sid)),
        Sees((ACTIVE, Told(0, {"Temperature": "25"}, initial=True))),
    )


_RENEWALS = (
    row(
        "a renewal has HOST, SID and TIMEOUT and nothing else, and goes to the same URL in time",
        "REN-01 REN-02 REN-03 CP-04",
        *_granted("Second-2"),
        renewal(earliest=0.5, within=1.5),
        grant(),
        Has({"renewals": 1, "granted": 1800, "sid": "uuid:one"}),
        not_on=_SERVICE_RENEWS,
    ),
    row(
        "a renewal comes at half of the granted time, whatever was asked for",
        "CP-04 CP-05 REN-01",
        *_granted("Second-300"),
        renewal(earliest=100, within=150),
        grant(timeout="Second-600"),
        renewal(earliest=200, within=300),
        grant(timeout="Second-600"),
        Has({"renewals": 2}),
        not_on=_TAKES_MINUTES,
    ),
    row(
        "UDA 2.0 wants the friendly name in renewals and cancellations too",
        "SUB-13 REN-02 UNS-02",
        subscribe(USER_AGENT=_AGENT_2_0, CPFN__UPNP__ORG="propchange"),
        grant(timeout="Second-2"),
        Send(notify()),
        Sees((ACTIVE, Told(0, {"Temperature": "20"}, initial=True))),
        renewal(CPFN__UPNP__ORG="propchange"),
        grant(),
        Has({"renewals": 1}),
        Unsubscribe(),
        unsubscribe(CPFN__UPNP__ORG="propchange"),
        CANCELLED,
        uda="2.0",
        not_on={"event": "its requests are those of UDA 1.1"},
    ),
    row(
        "a renewal asks neither for variables nor as another agent",
        "REN-02",
        subscribe(USER_AGENT=_AGENT_2_0, CPFN__UPNP__ORG="propchange", STATEVAR="Temperature"),
        grant(timeout="Second-2", ACCEPTED_STATEVAR="Temperature"),
        renewal(CPFN__UPNP__ORG="propchange"),
        grant(),
        Has({"accepted": ("Temperature",), "renewals": 1}),
        uda="2.0",
        subscription={"variables": ("Temperature",)},
        not_on={"event": "its requests are those of UDA 1.1"},
    ),
    row(
        "SEQ goes on after a renewal",
        "SEQ-04",
        *_granted("Second-2"),
        renewal(),
        grant(),
        Has({"renewals": 1}),
        Send(notify(propertyset(Temperature="21"), 1)),
        Sees((Told(1, {"Temperature": "21"}),)),
        Quiet(60),
        not_on=_SERVICE_RENEWS,
    ),
    *(
        row(
            f"a renewal that is answered {code} is followed by a fresh subscription",
            "REN-12 CP-16",
            *_granted("Second-2"),
            renewal(),
            _answer(code),
            Sees((Status("resubscribing", "renewal-refused", code),)),
            *_again(),
            not_on=_SERVICE_RENEWS,
        )
        for code in (412, 404, 400, 500, 503)
    ),
    row(
        "another SID in the answer to a renewal is the SID from there on",
        "REN-12",
        *_granted("Second-2"),
        renewal(),
        grant("uuid:two", "Second-2"),
        Has({"sid": "uuid:two"}),
        Send(notify(propertyset(Temperature="21"), 1, SID="uuid:two")),
        Send(
            notify(propertyset(Temperature="22"), 2),
            answers(412),
        ),
        Sees((Told(1, {"Temperature": "21"}),)),
        renewal("uuid:two"),
        grant("uuid:two"),
        Has({"renewals": 2}),
        Unsubscribe(),
        unsubscribe("uuid:two"),
        CANCELLED,
        not_on=_SERVICE_RENEWS,
    ),
    row(
        "a renewal may be granted in few words",
        "REN-12 CP-05",
        *_granted("Second-2"),
        renewal(),
        Reply(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        Has({"renewals": 1, "sid": "uuid:one", "granted": 1800}),
        not_on=_SERVICE_RENEWS,
    ),
    row(
        "a renewal without an answer is tried again while the grant lasts",
        "REN-12 CP-04",
        *_granted("Second-300"),
        renewal(within=150),
        Reply(ends=True),
        renewal(within=10),
        Reply(ends=True),
        renewal(within=10),
        grant(),
        Has({"renewals": 1}),
        Sees(()),
        not_on=_TAKES_MINUTES,
    ),
    row(
        "a renewal whose connection ends is tried again",
        "REN-12",
        *_granted("Second-4"),
        renewal(),
        Reply(ends=True),
        renewal(),
        grant(),
        Has({"renewals": 1, "sid": "uuid:one"}),
        Sees(()),
        not_on=_SERVICE_RENEWS,
    ),
    row(
        "a renewal that is never answered is followed by a fresh subscription at the grant's end",
        "REN-12 CP-04",
        *_granted("Second-20"),
        renewal(within=10),
        subscribe(earliest=10, within=12),
        grant("uuid:two"),
        Sees((Status("resubscribing", "expired"),)),
        not_on=_TAKES_MINUTES,
    ),
    row(
        "a grant counts from when it was asked for",
        "CP-14",
        subscribe(),
        Advance(20.0),
        grant(timeout="Second-100"),
        Send(notify()),
        Sees((ACTIVE, Told(0, {"Temperature": "20"}, initial=True))),
        renewal(earliest=15, within=30),
        grant(timeout="Second-100"),
        Has({"renewals": 1}),
        not_on=_TAKES_MINUTES,
    ),
    row(
        "an infinite grant is refreshed all the same, and does not lapse",
        "CP-05",
        *_granted("Second-infinite"),
        renewal(within=900),
        Reply(ends=True),
        renewal(within=900),
        grant(timeout="Second-infinite"),
        Has({"renewals": 1, "granted": "infinite"}),
        Sees(()),
        not_on=_TAKES_MINUTES,
    ),
    row(
        "a grant of a second is not renewed more than once a second",
        "CP-04",
        *_granted("Second-1"),
        renewal(earliest=0.9, within=1.5),
        grant(timeout="Second-1"),
        renewal(earliest=0.9, within=1.5),
        grant(timeout="Second-1"),
        Has({"renewals": 2}),
        not_on=_SERVICE_RENEWS,
    ),
)

_CANCELLATIONS = (
    row(
        "an UNSUBSCRIBE has HOST and SID and nothing else",
        "UNS-01 UNS-02 UNS-03",
        *_granted("Second-1800"),
        Unsubscribe(),
        unsubscribe(),
        CANCELLED,
        Quiet(2000),
    ),
    row(
        "events that come before the UNSUBSCRIBE is answered are not refused",
        "UNS-01",
        *_granted("Second-1800"),
        Unsubscribe(),
        unsubscribe(),
        Send(notify(propertyset(Temperature="21"), 1)),
        CANCELLED,
        not_on={"event": "it forgets the SID when the UNSUBSCRIBE leaves"},
    ),
    row(
        "events after the UNSUBSCRIBE was answered are answered 412",
        "RSP-03 RSP-07",
        *_granted("Second-1800"),
        Unsubscribe(),
        unsubscribe(),
        CANCELLED,
        Wait(0.0),
        Send(
            notify(propertyset(Temperature="21"), 1),
            answers(412),
        ),
        not_on={
            "asyncio": "its exchange ends with the subscription",
            "twisted": "the answer may be on its way still",
        },
    ),
    *(
        row(
            f"an UNSUBSCRIBE that is answered {code} is not repeated",
            "UNS-01",
            *_granted("Second-1800"),
            Unsubscribe(),
            unsubscribe(),
            _answer(code),
            Quiet(2000),
        )
        for code in (412, 500)
    ),
    row(
        "an UNSUBSCRIBE without an answer is not repeated",
        "UNS-01",
        *_granted("Second-1800"),
        Unsubscribe(),
        unsubscribe(),
        Reply(ends=True),
        Quiet(2000),
    ),
    row(
        "before anything was granted there is nothing to cancel",
        "UNS-02",
        subscribe(),
        Unsubscribe(),
        _answer(503),
        Quiet(60),
        not_on={"event": "Cohen3's services tear the connection down"},
    ),
    row(
        "what is granted when nobody wants it any more is cancelled",
        "UNS-01 UNS-02",
        subscribe(),
        Unsubscribe(),
        grant(),
        unsubscribe(),
        CANCELLED,
        Quiet(2000),
        not_on={"event": "Cohen3's services tear the connection down"},
    ),
)


def _next(seq: int | str, text: str, **changes: str) -> Send:
    return Send(notify(propertyset(Temperature=text), seq, **changes))


def _told(seq: int, text: str) -> Told:
    return Told(seq, {"Temperature": text})


_MISSED = Status("resubscribing", "missed-event")
_REPAIR: tuple[Step, ...] = (unsubscribe(), CANCELLED, *_again())

_SEQUENCES = (
    row(
        "events are told in the order of their SEQ",
        "SEQ-04 CP-02",
        *begin(),
        _next(1, "21"),
        _next(2, "22"),
        Sees((_told(1, "21"), _told(2, "22"))),
    ),
    row(
        "1 comes after 4294967295",
        "SEQ-04",
        *begin(),
        LastSeq(4294967294),
        _next(4294967295, "21"),
        _next(1, "22"),
        _next(2, "23"),
        Sees((_told(4294967295, "21"), _told(1, "22"), _told(2, "23"))),
        Has({"gaps": 0}),
        Quiet(60),
        not_on=_SEQ_IS_NOT_JUDGED,
    ),
    row(
        "0 after 4294967295 is no event that was expected",
        "SEQ-04 CP-01",
        *begin(),
        LastSeq(4294967295),
        _next(0, "21"),
        Sees((_MISSED,)),
        *_REPAIR,
        not_on=_SEQ_IS_NOT_JUDGED,
    ),
    row(
        "leading zeros of SEQ are ignored",
        "SEQ-06",
        subscribe(),
        grant(),
        Send(notify(seq="0000")),
        _next("01", "21"),
        _next("00000000000000000002", "22"),
        Sees(
            (
                ACTIVE,
                Told(0, {"Temperature": "20"}, initial=True),
                _told(1, "21"),
                _told(2, "22"),
            )
        ),
        Has({"gaps": 0}),
    ),
    row(
        "an event that comes twice is answered 200 and told once",
        "CP-02",
        *begin(),
        _next(1, "21"),
        _next(1, "21"),
        _next(2, "22"),
        Sees((_told(1, "21"), _told(2, "22"))),
        Has({"gaps": 0}),
        not_on=_SEQ_IS_NOT_JUDGED,
    ),
    row(
        "a missed event is told, the subscription cancelled, and made anew for the whole state",
        "CP-01 CP-02 UNS-02",
        *begin(),
        _next(2, "22"),
        Sees((_told(2, "22"), _MISSED)),
        *_REPAIR,
        Has({"gaps": 1, "sid": "uuid:two", "values": {"Temperature": "25"}}),
        Send(notify(propertyset(Temperature="26"), 1, SID="uuid:two")),
        Sees((_told(1, "26"),)),
        not_on=_SEQ_IS_NOT_JUDGED,
    ),
    row(
        "a fresh SUBSCRIBE waits for the answer to the UNSUBSCRIBE",
        "CP-01",
        *begin(),
        _next(2, "22"),
        Sees((_told(2, "22"), _MISSED)),
        unsubscribe(),
        Quiet(1.0),
        CANCELLED,
        *_again(),
        not_on=_SEQ_IS_NOT_JUDGED,
    ),
    row(
        "a fresh SUBSCRIBE does not wait for ever",
        "CP-01",
        *begin(),
        _next(2, "22"),
        Sees((_told(2, "22"), _MISSED)),
        unsubscribe(),
        subscribe(earliest=0.2, within=0.4),
        grant("uuid:two"),
        Has({"sid": "uuid:two"}),
        limits={"unsubscribe_seconds": 0.3},
        not_on=_SEQ_IS_NOT_JUDGED,
    ),
    row(
        "a missed initial event is made good in the same way",
        "CP-01",
        subscribe(),
        grant(),
        _next(1, "21"),
        Sees((_told(1, "21"), _MISSED)),
        *_REPAIR,
        Has({"gaps": 1}),
        not_on=_SEQ_IS_NOT_JUDGED,
    ),
    row(
        "an event that comes late is not told, and the state is asked for anew",
        "CP-02 CP-01",
        *begin(),
        _next(1, "21"),
        _next(2, "22"),
        Sees((_told(1, "21"), _told(2, "22"))),
        _next(1, "20.9"),
        Sees((_MISSED,)),
        *_REPAIR,
        Has({"gaps": 1}),
        not_on=_SEQ_IS_NOT_JUDGED,
    ),
    row(
        "events of the SID before the repair are answered 412",
        "RSP-03 RSP-07 CP-01",
        *begin(),
        _next(5, "22"),
        Sees((_told(5, "22"), _MISSED)),
        unsubscribe(),
        CANCELLED,
        subscribe(),
        grant("uuid:two"),
        Has({"sid": "uuid:two"}),
        Send(
            notify(seq=6),
            answers(412),
        ),
        not_on=_SEQ_IS_NOT_JUDGED,
    ),
    row(
        "a repair goes on when the UNSUBSCRIBE is refused",
        "CP-01",
        *begin(),
        _next(5, "22"),
        Sees((_told(5, "22"), _MISSED)),
        unsubscribe(),
        _answer(412),
        *_again(),
        not_on=_SEQ_IS_NOT_JUDGED,
    ),
    row(
        "a device whose SEQ is always 0 is heard, and not asked to begin anew for ever",
        "CP-02",
        *begin(),
        _next(0, "21"),
        _next(0, "22"),
        _next(0, "23"),
        Sees((_told(0, "21"), _told(0, "22"), _told(0, "23"))),
        Has({"reliable": False, "gaps": 0}),
        Quiet(60),
    ),
    row(
        "a device that spends no SEQ on a message that failed is heard",
        "CP-02",
        *begin(),
        _next(1, "21"),
        _next(1, "22"),
        _next(2, "23"),
        Sees((_told(1, "21"), _told(1, "22"), _told(2, "23"))),
        Quiet(60),
    ),
    row(
        "a device that sends no SEQ is heard",
        "RSP-04 CP-02",
        subscribe(),
        grant(),
        Send(notify(seq=None)),
        Send(notify(propertyset(Temperature="21"), None)),
        Sees(
            (
                ACTIVE,
                Told(None, {"Temperature": "20"}, initial=True),
                Told(None, {"Temperature": "21"}),
            )
        ),
        Has({"reliable": False}),
    ),
    row(
        "a refused message does not count as an event",
        "CP-02 RSP-02",
        *begin(),
        Send(
            notify(b"<e:propertyset", 1),
            answers(400),
        ),
        _next(1, "21"),
        Sees((_told(1, "21"),)),
        Has({"gaps": 0}),
    ),
    row(
        "a device that never sends the initial event is told of, and heard when it does",
        "",
        subscribe(),
        grant(),
        Wait(1.1),
        Sees((Status("deaf", "no-initial-event"),)),
        Send(notify()),
        Sees((ACTIVE, Told(0, {"Temperature": "20"}, initial=True))),
        limits={"initial_event_seconds": 1.0},
        not_on={"event": "it tells no status"},
    ),
)

ROWS = (*_RENEWALS, *_CANCELLATIONS, *_SEQUENCES)
