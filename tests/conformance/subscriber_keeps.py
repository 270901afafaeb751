"""Exchanges about renewing and cancelling (section 2), and about missed events (section 4)."""

from __future__ import annotations

from subscriber_exchange import (
    ACTIVE,
    OK,
    Answers,
    Closes,
    Continues,
    Exchange,
    Has,
    Notifies,
    Quiet,
    Sees,
    Step,
    Told,
    Unsubscribes,
    Waits,
    begin,
    grant,
    notify,
    propertyset,
    renewal,
    status,
    subscribe,
    unsubscribe,
)

__all__ = ["EXCHANGES"]

_SERVICE_RENEWS = {"event": "Cohen3's services renew by themselves"}
_TAKES_MINUTES = dict.fromkeys(
    ("asyncio", "twisted", "event"), "it takes minutes, and the runtime has no say in it"
)
_SEQ_IS_NOT_JUDGED = {"event": "an event of Cohen3's has no SEQ"}
_AGENT_2_0 = r"~\S+/\S+ UPnP/2\.0 \S+/\S+"


def _answer(code: int) -> Answers:
    return Answers(f"HTTP/1.1 {code} No\r\nContent-Length: 0\r\n\r\n".encode())


def _granted(timeout: str | None, sid: str = "uuid:one") -> tuple[Step, ...]:
    """Granted for that long, and the initial event told."""
    return (
        subscribe(),
        grant(sid, timeout),
        Notifies(notify(SID=sid)),
        Sees((ACTIVE, Told(0, {"Temperature": "20"}, initial=True))),
    )


def _again(sid: str = "uuid:two") -> tuple[Step, ...]:
    """A fresh subscription, granted, and its initial event told."""
    return (
        subscribe(),
        grant(sid),
        Notifies(notify(propertyset(Temperature="25"), SID=sid)),
        Sees((ACTIVE, Told(0, {"Temperature": "25"}, initial=True))),
    )


_RENEWALS = (
    Exchange(
        "a renewal has HOST, SID and TIMEOUT and nothing else, and goes to the same URL in time",
        ("REN-01", "REN-02", "REN-03", "CP-04"),
        (
            *_granted("Second-2"),
            renewal(earliest=0.5, within=1.5),
            grant(),
            Has({"renewals": 1, "granted": 1800, "sid": "uuid:one"}),
        ),
        but=_SERVICE_RENEWS,
    ),
    Exchange(
        "a renewal comes at half of the granted time, whatever was asked for",
        ("CP-04", "CP-05", "REN-01"),
        (
            *_granted("Second-300"),
            renewal(earliest=100, within=150),
            grant(timeout="Second-600"),
            renewal(earliest=200, within=300),
            grant(timeout="Second-600"),
            Has({"renewals": 2}),
        ),
        but=_TAKES_MINUTES,
    ),
    Exchange(
        "UDA 2.0 wants the friendly name in renewals and cancellations too",
        ("SUB-13", "REN-02", "UNS-02"),
        (
            subscribe(USER_AGENT=_AGENT_2_0, CPFN__UPNP__ORG="propchange"),
            grant(timeout="Second-2"),
            Notifies(notify()),
            Sees((ACTIVE, Told(0, {"Temperature": "20"}, initial=True))),
            renewal(CPFN__UPNP__ORG="propchange"),
            grant(),
            Has({"renewals": 1}),
            Unsubscribes(),
            unsubscribe(CPFN__UPNP__ORG="propchange"),
            Answers(OK),
        ),
        uda="2.0",
        but={"event": "its requests are those of UDA 1.1"},
    ),
    Exchange(
        "a renewal asks neither for variables nor as another agent",
        ("REN-02",),
        (
            subscribe(USER_AGENT=_AGENT_2_0, CPFN__UPNP__ORG="propchange", STATEVAR="Temperature"),
            grant(timeout="Second-2", ACCEPTED_STATEVAR="Temperature"),
            renewal(CPFN__UPNP__ORG="propchange"),
            grant(),
            Has({"accepted": ("Temperature",), "renewals": 1}),
        ),
        uda="2.0",
        subscription={"variables": ("Temperature",)},
        but={"event": "its requests are those of UDA 1.1"},
    ),
    Exchange(
        "SEQ goes on after a renewal",
        ("SEQ-04",),
        (
            *_granted("Second-2"),
            renewal(),
            grant(),
            Has({"renewals": 1}),
            Notifies(notify(propertyset(Temperature="21"), 1)),
            Sees((Told(1, {"Temperature": "21"}),)),
            Quiet(60),
        ),
        but=_SERVICE_RENEWS,
    ),
    *(
        Exchange(
            f"a renewal that is answered {code} is followed by a fresh subscription",
            ("REN-12", "CP-16"),
            (
                *_granted("Second-2"),
                renewal(),
                _answer(code),
                Sees((status("resubscribing", "renewal-refused", code),)),
                *_again(),
            ),
            but=_SERVICE_RENEWS,
        )
        for code in (412, 404, 400, 500, 503)
    ),
    Exchange(
        "another SID in the answer to a renewal is the SID from there on",
        ("REN-12",),
        (
            *_granted("Second-2"),
            renewal(),
            grant("uuid:two", "Second-2"),
            Has({"sid": "uuid:two"}),
            Notifies(notify(propertyset(Temperature="21"), 1, SID="uuid:two")),
            Notifies(notify(propertyset(Temperature="22"), 2), (412,)),
            Sees((Told(1, {"Temperature": "21"}),)),
            renewal("uuid:two"),
            grant("uuid:two"),
            Has({"renewals": 2}),
            Unsubscribes(),
            unsubscribe("uuid:two"),
            Answers(OK),
        ),
        but=_SERVICE_RENEWS,
    ),
    Exchange(
        "a renewal may be granted in few words",
        ("REN-12", "CP-05"),
        (
            *_granted("Second-2"),
            renewal(),
            Answers(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
            Has({"renewals": 1, "sid": "uuid:one", "granted": 1800}),
        ),
        but=_SERVICE_RENEWS,
    ),
    Exchange(
        "a renewal without an answer is tried again while the grant lasts",
        ("REN-12", "CP-04"),
        (
            *_granted("Second-300"),
            renewal(within=150),
            Closes(),
            renewal(within=10),
            Closes(),
            renewal(within=10),
            grant(),
            Has({"renewals": 1}),
            Sees(()),
        ),
        but=_TAKES_MINUTES,
    ),
    Exchange(
        "a renewal whose connection ends is tried again",
        ("REN-12",),
        (
            *_granted("Second-4"),
            renewal(),
            Closes(),
            renewal(),
            grant(),
            Has({"renewals": 1, "sid": "uuid:one"}),
            Sees(()),
        ),
        but=_SERVICE_RENEWS,
    ),
    Exchange(
        "a renewal that is never answered is followed by a fresh subscription at the grant's end",
        ("REN-12", "CP-04"),
        (
            *_granted("Second-20"),
            renewal(within=10),
            subscribe(earliest=10, within=12),
            grant("uuid:two"),
            Sees((status("resubscribing", "expired"),)),
        ),
        but=_TAKES_MINUTES,
    ),
    Exchange(
        "a grant counts from when it was asked for",
        ("CP-14",),
        (
            subscribe(),
            Waits(20.0),
            grant(timeout="Second-100"),
            Notifies(notify()),
            Sees((ACTIVE, Told(0, {"Temperature": "20"}, initial=True))),
            renewal(earliest=15, within=30),
            grant(timeout="Second-100"),
            Has({"renewals": 1}),
        ),
        but=_TAKES_MINUTES,
    ),
    Exchange(
        "an infinite grant is refreshed all the same, and does not lapse",
        ("CP-05",),
        (
            *_granted("Second-infinite"),
            renewal(within=900),
            Closes(),
            renewal(within=900),
            grant(timeout="Second-infinite"),
            Has({"renewals": 1, "granted": "infinite"}),
            Sees(()),
        ),
        but=_TAKES_MINUTES,
    ),
    Exchange(
        "a grant of a second is not renewed more than once a second",
        ("CP-04",),
        (
            *_granted("Second-1"),
            renewal(earliest=0.9, within=1.5),
            grant(timeout="Second-1"),
            renewal(earliest=0.9, within=1.5),
            grant(timeout="Second-1"),
            Has({"renewals": 2}),
        ),
        but=_SERVICE_RENEWS,
    ),
)

_CANCELLATIONS = (
    Exchange(
        "an UNSUBSCRIBE has HOST and SID and nothing else",
        ("UNS-01", "UNS-02", "UNS-03"),
        (*_granted("Second-1800"), Unsubscribes(), unsubscribe(), Answers(OK), Quiet(2000)),
    ),
    Exchange(
        "events that come before the UNSUBSCRIBE is answered are not refused",
        ("UNS-01",),
        (
            *_granted("Second-1800"),
            Unsubscribes(),
            unsubscribe(),
            Notifies(notify(propertyset(Temperature="21"), 1)),
            Answers(OK),
        ),
        but={"event": "it forgets the SID when the UNSUBSCRIBE leaves"},
    ),
    Exchange(
        "events after the UNSUBSCRIBE was answered are answered 412",
        ("RSP-03", "RSP-07"),
        (
            *_granted("Second-1800"),
            Unsubscribes(),
            unsubscribe(),
            Answers(OK),
            Waits(0.0),
            Notifies(notify(propertyset(Temperature="21"), 1), (412,)),
        ),
        but={
            "asyncio": "its exchange ends with the subscription",
            "twisted": "the answer may be on its way still",
        },
    ),
    *(
        Exchange(
            f"an UNSUBSCRIBE that is answered {code} is not repeated",
            ("UNS-01",),
            (*_granted("Second-1800"), Unsubscribes(), unsubscribe(), _answer(code), Quiet(2000)),
        )
        for code in (412, 500)
    ),
    Exchange(
        "an UNSUBSCRIBE without an answer is not repeated",
        ("UNS-01",),
        (*_granted("Second-1800"), Unsubscribes(), unsubscribe(), Closes(), Quiet(2000)),
    ),
    Exchange(
        "before anything was granted there is nothing to cancel",
        ("UNS-02",),
        (subscribe(), Unsubscribes(), _answer(503), Quiet(60)),
        but={"event": "Cohen3's services tear the connection down"},
    ),
    Exchange(
        "what is granted when nobody wants it any more is cancelled",
        ("UNS-01", "UNS-02"),
        (subscribe(), Unsubscribes(), grant(), unsubscribe(), Answers(OK), Quiet(2000)),
        but={"event": "Cohen3's services tear the connection down"},
    ),
)


def _next(seq: int | str, text: str, **changes: str) -> Notifies:
    return Notifies(notify(propertyset(Temperature=text), seq, **changes))


def _told(seq: int, text: str) -> Told:
    return Told(seq, {"Temperature": text})


_MISSED = status("resubscribing", "missed-event")
_REPAIR: tuple[Step, ...] = (unsubscribe(), Answers(OK), *_again())

_SEQUENCES = (
    Exchange(
        "events are told in the order of their SEQ",
        ("SEQ-04", "CP-02"),
        (*begin(), _next(1, "21"), _next(2, "22"), Sees((_told(1, "21"), _told(2, "22")))),
    ),
    Exchange(
        "1 comes after 4294967295",
        ("SEQ-04",),
        (
            *begin(),
            Continues(4294967294),
            _next(4294967295, "21"),
            _next(1, "22"),
            _next(2, "23"),
            Sees((_told(4294967295, "21"), _told(1, "22"), _told(2, "23"))),
            Has({"gaps": 0}),
            Quiet(60),
        ),
        but=_SEQ_IS_NOT_JUDGED,
    ),
    Exchange(
        "0 after 4294967295 is no event that was expected",
        ("SEQ-04", "CP-01"),
        (*begin(), Continues(4294967295), _next(0, "21"), Sees((_MISSED,)), *_REPAIR),
        but=_SEQ_IS_NOT_JUDGED,
    ),
    Exchange(
        "leading zeros of SEQ are ignored",
        ("SEQ-06",),
        (
            subscribe(),
            grant(),
            Notifies(notify(seq="0000")),
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
    ),
    Exchange(
        "an event that comes twice is answered 200 and told once",
        ("CP-02",),
        (
            *begin(),
            _next(1, "21"),
            _next(1, "21"),
            _next(2, "22"),
            Sees((_told(1, "21"), _told(2, "22"))),
            Has({"gaps": 0}),
        ),
        but=_SEQ_IS_NOT_JUDGED,
    ),
    Exchange(
        "a missed event is told, the subscription cancelled, and made anew for the whole state",
        ("CP-01", "CP-02", "UNS-02"),
        (
            *begin(),
            _next(2, "22"),
            Sees((_told(2, "22"), _MISSED)),
            *_REPAIR,
            Has({"gaps": 1, "sid": "uuid:two", "values": {"Temperature": "25"}}),
            Notifies(notify(propertyset(Temperature="26"), 1, SID="uuid:two")),
            Sees((_told(1, "26"),)),
        ),
        but=_SEQ_IS_NOT_JUDGED,
    ),
    Exchange(
        "a fresh SUBSCRIBE waits for the answer to the UNSUBSCRIBE",
        ("CP-01",),
        (
            *begin(),
            _next(2, "22"),
            Sees((_told(2, "22"), _MISSED)),
            unsubscribe(),
            Quiet(1.0),
            Answers(OK),
            *_again(),
        ),
        but=_SEQ_IS_NOT_JUDGED,
    ),
    Exchange(
        "a fresh SUBSCRIBE does not wait for ever",
        ("CP-01",),
        (
            *begin(),
            _next(2, "22"),
            Sees((_told(2, "22"), _MISSED)),
            unsubscribe(),
            subscribe(earliest=0.2, within=0.4),
            grant("uuid:two"),
            Has({"sid": "uuid:two"}),
        ),
        limits={"unsubscribe_seconds": 0.3},
        but=_SEQ_IS_NOT_JUDGED,
    ),
    Exchange(
        "a missed initial event is made good in the same way",
        ("CP-01",),
        (
            subscribe(),
            grant(),
            _next(1, "21"),
            Sees((_told(1, "21"), _MISSED)),
            *_REPAIR,
            Has({"gaps": 1}),
        ),
        but=_SEQ_IS_NOT_JUDGED,
    ),
    Exchange(
        "an event that comes late is not told, and the state is asked for anew",
        ("CP-02", "CP-01"),
        (
            *begin(),
            _next(1, "21"),
            _next(2, "22"),
            Sees((_told(1, "21"), _told(2, "22"))),
            _next(1, "20.9"),
            Sees((_MISSED,)),
            *_REPAIR,
            Has({"gaps": 1}),
        ),
        but=_SEQ_IS_NOT_JUDGED,
    ),
    Exchange(
        "events of the SID before the repair are answered 412",
        ("RSP-03", "RSP-07", "CP-01"),
        (
            *begin(),
            _next(5, "22"),
            Sees((_told(5, "22"), _MISSED)),
            unsubscribe(),
            Answers(OK),
            subscribe(),
            grant("uuid:two"),
            Has({"sid": "uuid:two"}),
            Notifies(notify(seq=6), (412,)),
        ),
        but=_SEQ_IS_NOT_JUDGED,
    ),
    Exchange(
        "a repair goes on when the UNSUBSCRIBE is refused",
        ("CP-01",),
        (
            *begin(),
            _next(5, "22"),
            Sees((_told(5, "22"), _MISSED)),
            unsubscribe(),
            _answer(412),
            *_again(),
        ),
        but=_SEQ_IS_NOT_JUDGED,
    ),
    Exchange(
        "a device whose SEQ is always 0 is heard, and not asked to begin anew for ever",
        ("CP-02",),
        (
            *begin(),
            _next(0, "21"),
            _next(0, "22"),
            _next(0, "23"),
            Sees((_told(0, "21"), _told(0, "22"), _told(0, "23"))),
            Has({"reliable": False, "gaps": 0}),
            Quiet(60),
        ),
    ),
    Exchange(
        "a device that spends no SEQ on a message that failed is heard",
        ("CP-02",),
        (
            *begin(),
            _next(1, "21"),
            _next(1, "22"),
            _next(2, "23"),
            Sees((_told(1, "21"), _told(1, "22"), _told(2, "23"))),
            Quiet(60),
        ),
    ),
    Exchange(
        "a device that sends no SEQ is heard",
        ("RSP-04", "CP-02"),
        (
            subscribe(),
            grant(),
            Notifies(notify(seq=None)),
            Notifies(notify(propertyset(Temperature="21"), None)),
            Sees(
                (
                    ACTIVE,
                    Told(None, {"Temperature": "20"}, initial=True),
                    Told(None, {"Temperature": "21"}),
                )
            ),
            Has({"reliable": False}),
        ),
    ),
    Exchange(
        "a refused message does not count as an event",
        ("CP-02", "RSP-02"),
        (
            *begin(),
            Notifies(notify(b"<e:propertyset", 1), (400,)),
            _next(1, "21"),
            Sees((_told(1, "21"),)),
            Has({"gaps": 0}),
        ),
    ),
    Exchange(
        "a device that never sends the initial event is told of, and heard when it does",
        (),
        (
            subscribe(),
            grant(),
            Waits(1.1),
            Sees((status("deaf", "no-initial-event"),)),
            Notifies(notify()),
            Sees((ACTIVE, Told(0, {"Temperature": "20"}, initial=True))),
        ),
        limits={"initial_event_seconds": 1.0},
        but={"event": "it tells no status"},
    ),
)

EXCHANGES = (*_RENEWALS, *_CANCELLATIONS, *_SEQUENCES)
