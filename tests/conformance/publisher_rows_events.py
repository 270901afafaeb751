"""The NOTIFY of a publisher: SEQ, body, order, and moderation."""

from __future__ import annotations

from exchange import OK, Advance, Change, LastSeq, Quiet, Reply
from publisher_messages import (
    CANCELLED,
    OWN_EVENTS,
    STATE,
    Variable,
    ask,
    event,
    granted,
    row,
    subscribe,
    subscribed,
    unsubscribe,
)

NOT_A_DICT = {"dict": OWN_EVENTS}

NUMBERS = (
    row(
        "SEQ is 0 in the initial event, one more in each later one, with no zeros before it",
        "SEQ-01 SEQ-02 SEQ-05 EVT-04 EVT-06",
        *subscribed(),
        *(
            step
            for number in range(1, 12)
            for step in (
                Change({"Temperature": str(20 + number)}),
                event(number, {"Temperature": str(20 + number)}),
            )
        ),
        feeds=("whole",),
    ),
    row(
        "4294967295 is followed by 1",
        "SEQ-03",
        *subscribed(),
        LastSeq(4294967293),
        Change({"Alarm": "1"}),
        event(4294967294, {"Alarm": "1"}),
        Change({"Alarm": "0"}),
        event(4294967295, {"Alarm": "0"}),
        Change({"Alarm": "1"}),
        event(1, {"Alarm": "1"}),
        Change({"Alarm": "0"}),
        event(2, {"Alarm": "0"}),
    ),
    row(
        "each subscription has its own SEQ, and so the same change has two",
        "SEQ-01 AMB-1",
        *subscribed(),
        Change({"Alarm": "1"}),
        event(1, {"Alarm": "1"}),
        ask(subscribe(CALLBACK="<http://{cb2}/b>"), granted()),
        event(0, {"Temperature": "20", "Alarm": "1"}, to="cb2", target="/b"),
        ask(unsubscribe("{sid1}"), CANCELLED),
        Change({"Alarm": "0"}),
        event(1, {"Alarm": "0"}, to="cb2", target="/b"),
    ),
    row(
        "who subscribes anew gets a new SID, all values, and SEQ 0",
        "SEQ-02 EVT-01 SUB-45",
        *subscribed(),
        Change({"Temperature": "21"}),
        event(1, {"Temperature": "21"}),
        ask(unsubscribe(), CANCELLED),
        ask(subscribe(), granted()),
        event(0, {"Temperature": "21", "Alarm": "0"}, sid="{sid2}"),
    ),
)

BODIES = (
    row(
        "markup in values is escaped, and what is not ASCII is UTF-8",
        "XML-04 NOT-10 NOT-05 XML-09",
        *subscribed(),
        *(
            step
            for number, text in enumerate(
                (
                    "<a b=\"c\">&amp;'d'</a>",
                    "]]>",
                    "Grüße, Ελλάδα, 日本, \U0001f600",
                    "http://192.0.2.1/?a=b&c=d",
                    " two  blanks ",
                    "a\tb\nc\r\nd\re",
                    "long " * 60_000,
                    "",
                ),
                1,
            )
            for step in (
                Change({"Temperature": text}),
                event(number, {"Temperature": text}),
            )
        ),
        feeds=("whole",),
    ),
    row(
        "variables that change together are in one message, each in a property of its own",
        "EVT-05 XML-02 XML-03",
        *subscribed(),
        Change({"Temperature": "21", "Alarm": "1"}),
        event(1, {"Temperature": "21", "Alarm": "1"}),
        Quiet(),
    ),
    row(
        "a variable that changes twice is in two messages",
        "XML-03 EVT-06",
        *subscribed(),
        Change({"Alarm": "1"}),
        Change({"Alarm": "0"}),
        event(1, {"Alarm": "1"}),
        event(2, {"Alarm": "0"}),
    ),
    row(
        "an equal value is no event",
        "EVT-07",
        *subscribed(),
        Change({"Temperature": "20"}),
        Change({"Temperature": "20", "Alarm": "0"}),
        Quiet(),
        Change({"Temperature": "20", "Alarm": "1"}),
        event(1, {"Alarm": "1"}),
    ),
    row(
        "a variable without a value yet is sent empty",
        "EVT-02 XML-02",
        ask(subscribe(), granted()),
        event(0, {"Status": ""}),
        variables=(Variable("Status", ""),),
    ),
)

ORDER = (
    row(
        "one NOTIFY of a subscription is in flight at a time",
        "EVT-08 SEQ-02",
        ask(subscribe(), granted()),
        event(0, STATE, reply=None),
        Change({"Alarm": "1"}),
        Change({"Alarm": "0"}),
        Quiet(),
        Reply(OK),
        event(1, {"Alarm": "1"}, reply=None),
        Quiet(),
        Reply(OK),
        event(2, {"Alarm": "0"}),
        feeds=("whole",),
    ),
    row(
        "a change before the SUBSCRIBE is in the initial event, and one behind it is an event",
        "EVT-09 EVT-01 EVT-08",
        Change({"Temperature": "21"}),
        ask(subscribe(), granted()),
        event(0, {"Temperature": "21", "Alarm": "0"}, reply=None),
        Change({"Alarm": "1"}),
        Quiet(),
        Reply(OK),
        event(1, {"Alarm": "1"}),
    ),
    row(
        "who does not answer delays nobody else",
        "FAIL-08 EVT-08",
        ask(subscribe(CALLBACK="<http://{cb2}/slow>"), granted()),
        event(0, STATE, to="cb2", target="/slow", reply=None),
        *subscribed(),
        Change({"Alarm": "1"}),
        event(1, {"Alarm": "1"}, sid="{sid2}"),
        Change({"Alarm": "0"}),
        event(2, {"Alarm": "0"}, sid="{sid2}"),
        Reply(OK),
        event(1, {"Alarm": "1"}, to="cb2", target="/slow", sid="{sid1}"),
        event(2, {"Alarm": "0"}, to="cb2", target="/slow", sid="{sid1}"),
        feeds=("whole",),
    ),
    row(
        "what waits for a subscriber that is behind is bounded: the newest are merged",
        "FAIL-07 SEQ-07",
        ask(subscribe(), granted()),
        event(0, STATE, reply=None),
        *(Change({"Temperature": str(number)}) for number in range(100, 140)),
        Change({"Alarm": "1"}),
        Reply(OK),
        event(1, {"Temperature": "100"}),
        event(2, {"Temperature": "101"}),
        event(3, {"Temperature": "139", "Alarm": "1"}),
        Quiet(),
        limits={"waiting_messages": 3},
        not_on=NOT_A_DICT,
        feeds=("whole",),
    ),
)

MODERATED = (Variable("Position", "0", type="i4", interval=2.0), Variable("Alarm", "0"))
MOVED = (Variable("Level", "0", type="i4", delta=5), Variable("Alarm", "0"))
FAST = (Variable("Position", "0", type="i4", interval=0.25), Variable("Alarm", "0"))

MODERATION = (
    row(
        "a moderated variable: the first change at once, then the newest when its time has come",
        "MOD-01 MOD-02 MOD-03 MOD-04",
        ask(subscribe(), granted()),
        event(0, {"Position": "0", "Alarm": "0"}),
        Advance(10),
        Change({"Position": "1"}),
        event(1, {"Position": "1"}),
        Advance(0.5),
        Change({"Position": "2"}),
        Change({"Position": "3"}),
        Quiet(),
        Advance(1.4),
        Quiet(),
        Advance(0.2),
        event(2, {"Position": "3"}),
        Advance(1.8),
        Change({"Position": "4"}),
        Quiet(),
        Advance(0.2),
        event(3, {"Position": "4"}),
        Advance(2.1),
        Change({"Position": "5"}),
        event(4, {"Position": "5"}),
        variables=MODERATED,
    ),
    row(
        "what is moderated holds up nothing else, and is current in an initial event",
        "MOD-06 MOD-07 MOD-08 EVT-01",
        ask(subscribe(), granted()),
        event(0, {"Position": "0", "Alarm": "0"}),
        Advance(10),
        Change({"Position": "1"}),
        event(1, {"Position": "1"}),
        Change({"Position": "2", "Alarm": "1"}),
        event(2, {"Alarm": "1"}),
        ask(subscribe(CALLBACK="<http://{cb2}/b>"), granted()),
        event(0, {"Position": "2", "Alarm": "1"}, to="cb2", target="/b"),
        variables=MODERATED,
    ),
    row(
        "the time between two events is kept on the runtimes too",
        "MOD-02 MOD-03",
        ask(subscribe(), granted()),
        event(0, {"Position": "0", "Alarm": "0"}),
        Change({"Position": "1"}),
        Change({"Position": "2"}),
        Change({"Position": "3"}),
        event(1, {"Position": "1"}),
        Quiet(),
        event(2, {"Position": "3"}),
        variables=FAST,
        feeds=("whole",),
        not_on={**NOT_A_DICT, "memory": "there the clock is moved"},
    ),
    row(
        "a variable with a least move is evented once it has moved that far, either way",
        "MOD-05",
        ask(subscribe(), granted()),
        event(0, {"Level": "0", "Alarm": "0"}),
        Change({"Level": "4"}),
        Quiet(),
        Change({"Level": "5"}),
        event(1, {"Level": "5"}),
        Change({"Level": "1"}),
        Quiet(),
        Change({"Level": "0"}),
        event(2, {"Level": "0"}),
        variables=MOVED,
        not_on=NOT_A_DICT,
        feeds=("whole",),
    ),
)

ROWS = NUMBERS + BODIES + ORDER + MODERATION
