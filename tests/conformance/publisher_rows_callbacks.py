"""CALLBACK: which URLs are taken, how they are called, and which are refused (CallStranger)."""

from __future__ import annotations

from exchange import Change, Quiet
from publisher_messages import (
    CANCELLED,
    INITIAL,
    PRECONDITION_FAILED,
    STATE,
    ask,
    event,
    granted,
    only_in_memory,
    renew,
    row,
    subscribe,
    unsubscribe,
)

LOOPBACK = only_in_memory("this stage is on loopback, where all addresses are the same host")

TARGETS = tuple(
    row(
        f"the callback {url[:40]!r} is called at {target[:30]!r}, unaltered",
        "NOT-01 NOT-02 SUB-16",
        ask(subscribe(CALLBACK=f"<{url}>"), granted()),
        event(0, STATE, target=target),
        Change({"Alarm": "1"}),
        event(1, {"Alarm": "1"}, target=target),
        feeds=("whole",),
    )
    for url, target in (
        ("http://{cb1}", "/"),
        ("http://{cb1}/", "/"),
        ("http://{cb1}?a=b", "/?a=b"),
        ("http://{cb1}/a/../b//c;d=e?f=g&h=%20i%2F", "/a/../b//c;d=e?f=g&h=%20i%2F"),
        ("http://{cb1}/~a!$&'()*+,;=:@", "/~a!$&'()*+,;=:@"),
        ("HTTP://{cb1}/CB", "/CB"),
        ("http://{cb1}/" + "a" * 900, "/" + "a" * 900),
    )
)

SEVERAL = (
    *(
        row(
            f"two URLs, {name}, are one list",
            "AMB-12 FAIL-01",
            ask(subscribe(CALLBACK=callback, extra=extra), granted()),
            event(0, STATE, target="/a"),
            Quiet(),
            feeds=("whole", "bytes"),
        )
        for name, callback, extra in (
            ("side by side", "<http://{cb1}/a><http://{cb2}/b>", ()),
            ("with blanks between", "<http://{cb1}/a>  <http://{cb2}/b>", ()),
            ("with a comma between", "<http://{cb1}/a>, <http://{cb2}/b>", ()),
            ("in two header lines", "<http://{cb1}/a>", ("Callback: <http://{cb2}/b>",)),
        )
    ),
    row(
        "the last one counts as much as the first",
        "FAIL-01 AMB-12",
        ask(
            subscribe(CALLBACK="<http://{dead}/a>", extra=("CALLBACK: <http://{cb2}/b>",)),
            granted(),
        ),
        event(0, STATE, to="cb2", target="/b"),
    ),
    row(
        "one that may not be called condemns all, wherever it stands",
        "CSX-01 CSX-03 SUB-71",
        ask(subscribe(CALLBACK="<http://{cb1}/a><http://192.0.2.7/b>"), PRECONDITION_FAILED),
        ask(subscribe(CALLBACK="<http://192.0.2.7/b><http://{cb1}/a>"), PRECONDITION_FAILED),
        ask(subscribe(CALLBACK="<http://{cb1}/a><https://{cb2}/b>"), PRECONDITION_FAILED),
        ask(subscribe(CALLBACK="<http://{cb1}/a><>"), PRECONDITION_FAILED),
        ask(
            subscribe(CALLBACK="<http://{cb1}/a>", extra=("CALLBACK: <http://192.0.2.7/>",)),
            PRECONDITION_FAILED,
        ),
        Quiet(),
    ),
    row(
        "a lenient publisher leaves out those that may not be called",
        "CSX-03 SUB-71",
        ask(subscribe(CALLBACK="<http://192.0.2.7/a><ftp://{cb1}/b><http://{cb2}/c>"), granted()),
        event(0, STATE, to="cb2", target="/c"),
        ask(subscribe(CALLBACK="<http://192.0.2.7/a><ftp://{cb1}/b>"), PRECONDITION_FAILED),
        policy={"lenient_callbacks": True},
    ),
    row(
        "six URLs are the most, and seven are refused: none is left out",
        "SUB-16 CSX-05 AMB-12",
        ask(subscribe(CALLBACK="<http://{dead}/>" * 5 + "<http://{cb1}/cb>"), granted()),
        INITIAL,
        ask(subscribe(CALLBACK="<http://{cb1}/cb>" * 7), PRECONDITION_FAILED),
        ask(
            subscribe(
                CALLBACK="<http://{cb1}/cb>" * 4, extra=("CALLBACK: " + "<http://{cb1}/cb>" * 3,)
            ),
            PRECONDITION_FAILED,
        ),
        Quiet(),
        feeds=("whole",),
    ),
    row(
        "a callback of another policy is refused before it is called",
        "CSX-01",
        ask(subscribe(CALLBACK="<http://{peer}:9/cb>"), granted()),
        ask(subscribe(CALLBACK="<http://192.0.2.7:9/cb>"), PRECONDITION_FAILED),
        policy={"callbacks": "same-host"},
    ),
    row(
        "a publisher that is told to call anybody still calls hosts only",
        "CSX-01 CSX-05",
        ask(subscribe(CALLBACK="<http://239.255.255.250:1900/>"), PRECONDITION_FAILED),
        ask(subscribe(CALLBACK="<http://255.255.255.255/>"), PRECONDITION_FAILED),
        ask(subscribe(CALLBACK="<http://0.0.0.0/>"), PRECONDITION_FAILED),
        ask(subscribe(CALLBACK="<http://{cb1}/cb>"), granted()),
        INITIAL,
        policy={"callbacks": "any"},
    ),
)

REFUSED = tuple(
    row(
        f"the CALLBACK {callback[:60]!r} is answered 412",
        clauses,
        ask(subscribe(CALLBACK=callback), PRECONDITION_FAILED),
        Quiet(),
        feeds=("whole",),
    )
    for clauses, callbacks in (
        (
            "SUB-71",
            (
                "",
                "<>",
                "< >",
                "banana",
                "http://{cb1}/cb",
                "<http://{cb1}/cb",
                "http://{cb1}/cb>",
                "<<http://{cb1}/cb>>",
                "<http://{cb1}/cb>banana",
                "banana<http://{cb1}/cb>",
                "<http://{cb1}/cb>;<http://{cb1}/cb>",
                "<http://{cb1}/c b>",
                "< http://{cb1}/cb>",
                "<http://{cb1}/cb >",
                "<http://{cb1}/cb#part>",
                '<http://{cb1}/"cb">',
                "<http://{cb1}/cb\\x>",
                "<http://{cb1}/c\xe9>",
                "</cb>",
                "<//{cb1}/cb>",
                "<http:/{cb1}/cb>",
                "<http:{cb1}/cb>",
                "<http:///cb>",
                "<http://>",
                "<http://:80/cb>",
                "<http://{peer}:0/cb>",
                "<http://{peer}:65536/cb>",
                "<http://{peer}:x/cb>",
                "<http://{peer}:-1/cb>",
            ),
        ),
        (
            "SUB-71",
            (
                "<https://{cb1}/cb>",
                "<ftp://{cb1}/cb>",
                "<httpu://{cb1}/cb>",
                "<http+unix://{cb1}/>",
            ),
        ),
        (
            "SUB-16",
            ("<http://{cb1}/" + "a" * 1100 + ">",),
        ),
        (
            "SUB-74 CSX-01 CSX-03 CSX-04",
            (
                "<http://192.0.2.7/cb>",
                "<http://8.8.8.8:53/cb>",
                "<http://192.168.77.7/cb>",
                "<http://172.16.7.7:80/cb>",
                "<http://169.254.7.7/cb>",
                "<http://localhost:9/cb>",
                "<http://subscriber.example/cb>",
                "<http://239.255.255.250:1900/cb>",
                "<http://255.255.255.255/cb>",
                "<http://0.0.0.0:9/cb>",
                "<http://0.1.2.3:9/cb>",
                "<http://240.0.0.1/cb>",
                "<http://2130706433/cb>",
                "<http://0x7f000001/cb>",
                "<http://127.1/cb>",
                "<http://127.0.0.01/cb>",
                "<http://user@{cb1}/cb>",
                "<http://user:word@{cb1}/cb>",
                "<http://192.0.2.7@{cb1}/cb>",
                "<http://{cb1}@192.0.2.7/cb>",
                "<http://{host}/cb>",
                "<http://{host}{path}>",
            ),
        ),
    )
    for callback in callbacks
)

ON_LINK = (
    *(
        row(
            f"a callback on {host} is off the link of 10.0.0.0/24",
            "CSX-01 CSX-04 SUB-74",
            ask(subscribe(CALLBACK=f"<http://{host}:9001/cb>"), PRECONDITION_FAILED),
            Quiet(),
            feeds=("whole",),
            not_on=LOOPBACK,
        )
        for host in ("10.0.1.2", "127.0.0.1", "10.0.0.255", "10.0.0.0", "192.168.0.2")
    ),
    row(
        "a callback to another host of the link is called",
        "CSX-01",
        ask(subscribe(CALLBACK="<http://10.0.0.77:9001/cb><http://{cb1}/cb>"), granted()),
        INITIAL,
        not_on=LOOPBACK,
    ),
    row(
        "a renewal and a cancellation judge no callback",
        "CSX-03",
        ask(subscribe(), granted()),
        INITIAL,
        ask(renew(), granted()),
        ask(unsubscribe(), CANCELLED),
    ),
)

ROWS = TARGETS + SEVERAL + REFUSED + ON_LINK
