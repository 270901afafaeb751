"""Renewal, cancellation and expiry."""

from __future__ import annotations

from exchange import OK, Advance, Change, Quiet, Reply, Wait
from publisher_messages import (
    BAD_REQUEST,
    CANCELLED,
    INITIAL,
    OWN_EVENTS,
    PRECONDITION_FAILED,
    STATE,
    UNKNOWN_SID,
    ask,
    event,
    granted,
    renew,
    row,
    subscribe,
    subscribed,
    unsubscribe,
)

SID_OF_300 = "uuid:" + "x" * 295

RENEWALS = (
    row(
        "a renewal is answered like a SUBSCRIBE, with the same SID; no event follows, SEQ goes on",
        "REN-04 REN-05",
        *subscribed(),
        ask(renew(TIMEOUT="Second-300"), granted(300, headers={"SID": "{sid}"})),
        Quiet(),
        Change({"Alarm": "1"}),
        event(1, {"Alarm": "1"}),
        ask(renew(TIMEOUT=None), granted(1800, headers={"SID": "{sid}"})),
        ask(renew(TIMEOUT="Second-1"), granted(60, headers={"SID": "{sid}"})),
        Change({"Alarm": "0"}),
        event(2, {"Alarm": "0"}),
    ),
    *(
        row(
            f"a renewal with {name}: {value!r} is answered 400, and changes nothing",
            "REN-07",
            *subscribed(),
            ask(renew(**{name: value}), BAD_REQUEST),
            ask(renew(), granted()),
            Quiet(),
        )
        for name, value in (
            ("NT", "upnp:event"),
            ("CALLBACK", "<http://{cb1}/cb>"),
            ("NT", ""),
        )
    ),
    *(
        row(
            f"a renewal with the SID {sid[:20]!r} is answered 412",
            "REN-08",
            *subscribed(),
            ask(renew(sid), PRECONDITION_FAILED),
            Change({"Alarm": "1"}),
            event(1, {"Alarm": "1"}),
            feeds=("whole",),
        )
        for sid in (
            "uuid:unknown",
            "",
            "{sid}x",
            "UUID:{sid}",
            "<{sid}>",
            "{sid}, {sid}",
            "x" * 300,
        )
    ),
    row(
        "the SID of another service's subscription is unknown here",
        "REN-10 UNS-06",
        *subscribed(),
        ask(renew("{sid1}", "{other}"), PRECONDITION_FAILED),
        ask(unsubscribe("{sid1}", "{other}"), PRECONDITION_FAILED),
        ask(renew("{sid1}"), granted()),
    ),
    row(
        "an expired SID is invalid: renewal and cancellation are answered 412, no event comes",
        "REN-08 REN-11 UNS-06 SUB-46",
        *subscribed(TIMEOUT="Second-60", answer=granted(60)),
        Advance(59.9),
        Change({"Alarm": "1"}),
        event(1, {"Alarm": "1"}),
        Advance(0.2),
        Change({"Alarm": "0"}),
        Quiet(),
        ask(renew(), PRECONDITION_FAILED),
        ask(unsubscribe(), PRECONDITION_FAILED),
        ask(subscribe(), granted()),
        INITIAL,
    ),
    row(
        "a duration of 1 s is over after 1 s, on the runtimes too",
        "REN-08 REN-11 UNS-06 SUB-46",
        *subscribed(TIMEOUT="Second-1", answer=granted(1)),
        ask(renew(TIMEOUT="Second-1"), granted(1)),
        Wait(1.1),
        Change({"Alarm": "1"}),
        Quiet(),
        ask(renew(), PRECONDITION_FAILED),
        ask(unsubscribe(), PRECONDITION_FAILED),
        *subscribed(TIMEOUT="Second-1", answer=granted(1))[:1],
        event(0, {"Temperature": "20", "Alarm": "1"}, sid="{sid2}"),
        policy={"minimum_duration": 1},
        feeds=("whole",),
    ),
    row(
        "a renewal counts from when it is made, also when it shortens the duration",
        "REN-04 REN-11 SUB-46",
        *subscribed(),
        Advance(1000),
        ask(renew(TIMEOUT="Second-1800"), granted(1800)),
        Advance(1799),
        Change({"Alarm": "1"}),
        event(1, {"Alarm": "1"}),
        ask(renew(TIMEOUT="Second-60"), granted(60)),
        Advance(61),
        Change({"Alarm": "0"}),
        Quiet(),
        ask(renew(), PRECONDITION_FAILED),
    ),
    row(
        "messages that wait when a subscription expires are not sent",
        "REN-11 EVT-08",
        ask(subscribe(TIMEOUT="Second-10"), granted(10)),
        event(0, STATE, reply=None),
        Change({"Alarm": "1"}),
        Advance(10.1),
        Reply(OK),
        Quiet(),
        policy={"minimum_duration": 1},
    ),
    row(
        "a renewal works over another connection, and over HTTP/1.0",
        "REN-04 SUB-32",
        *subscribed(),
        ask(renew(version="1.0"), granted(version="1.0", ends=True), fresh=True),
        ask(renew(CONNECTION="close"), granted(ends=True), fresh=True),
        Quiet(),
    ),
)

CANCELLATIONS = (
    row(
        "an UNSUBSCRIBE is answered 200, and nothing comes any more; the next is answered 412",
        "UNS-04 UNS-06 UNS-07",
        *subscribed(),
        ask(unsubscribe(), CANCELLED),
        Change({"Alarm": "1"}),
        Quiet(),
        ask(unsubscribe(), PRECONDITION_FAILED),
        ask(renew(), PRECONDITION_FAILED),
    ),
    *(
        row(
            f"an UNSUBSCRIBE with SID and {name} is answered 400, and cancels nothing",
            "UNS-05",
            *subscribed(),
            ask(unsubscribe(**{name: value}), BAD_REQUEST),
            Change({"Alarm": "1"}),
            event(1, {"Alarm": "1"}),
        )
        for name, value in (("NT", "upnp:event"), ("CALLBACK", "<http://{cb1}/cb>"))
    ),
    *(
        row(
            f"an UNSUBSCRIBE with {name} and no SID is answered 412",
            "UNS-08 UNS-06",
            *subscribed(),
            ask(unsubscribe(None, **{name: value}), PRECONDITION_FAILED),
            ask(renew(), granted()),
        )
        for name, value in (
            ("NT", "upnp:event"),
            ("CALLBACK", "<http://{cb1}/cb>"),
            ("TIMEOUT", "Second-1800"),
        )
    ),
    *(
        row(
            f"an UNSUBSCRIBE with the SID {sid!r} is answered 412",
            "UNS-06",
            *subscribed(),
            ask(unsubscribe(sid), PRECONDITION_FAILED),
            ask(renew(), granted()),
            feeds=("whole",),
        )
        for sid in ("uuid:unknown", "", None, "{sid}x")
    ),
    row(
        "an UNSUBSCRIBE may carry a TIMEOUT, which says nothing",
        "UNS-04",
        *subscribed(),
        ask(unsubscribe(TIMEOUT="Second-1800"), CANCELLED),
    ),
    row(
        "one is cancelled, the other goes on",
        "UNS-04 SEQ-01",
        *subscribed(),
        ask(subscribe(CALLBACK="<http://{cb2}/b>"), granted()),
        event(0, STATE, target="/b", to="cb2"),
        ask(unsubscribe("{sid1}"), CANCELLED),
        Change({"Alarm": "1"}),
        event(1, {"Alarm": "1"}, target="/b", to="cb2", sid="{sid2}"),
        Quiet(),
    ),
    row(
        "who cancels while the initial event is on its way gets no other",
        "SUB-58 AMB-14 UNS-04",
        ask(subscribe(), granted()),
        event(0, STATE, reply=None),
        Change({"Alarm": "1"}),
        ask(unsubscribe(), CANCELLED),
        Reply(OK),
        Quiet(),
        ask(unsubscribe(), PRECONDITION_FAILED),
    ),
    row(
        "who cancels before the initial event gets it all the same, once",
        "SUB-58 AMB-14",
        ask(subscribe(), granted()),
        ask(unsubscribe(), CANCELLED),
        Change({"Alarm": "1"}),
        event(0, {"Temperature": "20", "Alarm": "1"}, reply=UNKNOWN_SID),
        Change({"Alarm": "0"}),
        Quiet(),
        policy={"initial_event_delay": 0.3},
        not_on={"memory": "the same with a clock follows", "dict": OWN_EVENTS},
    ),
    row(
        "who cancels before the initial event gets it all the same, once, by the clock",
        "SUB-58 AMB-14",
        ask(subscribe(), granted()),
        Quiet(),
        ask(unsubscribe(), CANCELLED),
        ask(unsubscribe(), PRECONDITION_FAILED),
        Change({"Alarm": "1"}),
        Quiet(),
        Advance(0.3),
        event(0, {"Temperature": "20", "Alarm": "1"}, reply=UNKNOWN_SID),
        Change({"Alarm": "0"}),
        Quiet(),
        policy={"initial_event_delay": 0.3},
    ),
)

ROWS = RENEWALS + CANCELLATIONS
