"""Multicast events as datagrams, through ``http`` and ``core``: what a publisher puts on the wire,
byte for byte, and what a receiver makes of bytes.

There is no socket in it and no stream: a datagram arrives whole or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.multicast.message import MulticastScope, ServiceIdentity
from propchange.core.multicast.publication import MulticastPolicy
from propchange.core.multicast.reception import (
    MulticastEvent,
    MulticastMissed,
    MulticastOutcome,
    MulticastReception,
    MulticastRefused,
)
from propchange.core.publisher.judge import PublisherPolicy
from propchange.core.publisher.protocol import PublisherProtocol
from propchange.core.publisher.records import EventedVariable
from propchange.core.values.data_types import data_type
from propchange.core.wire.messages import Endpoint
from propchange.errors import RemoteProtocolError
from propchange.http import encode_datagram, parse_datagram

IDENTITY = ServiceIdentity(
    "uuid:4d696e69-0000-4000-8000-000000000001",
    "urn:example.org:service:Door:1",
    "urn:example-org:serviceId:Door",
)
SECOND = ServiceIdentity(IDENTITY.udn, IDENTITY.service_type, "urn:example-org:serviceId:Door2")
DEVICE, SECOND_ADDRESS, STRANGER = "192.0.2.1", "192.0.2.2", "192.0.2.66"


def clauses(*ids: str) -> pytest.MarkDecorator:
    return pytest.mark.clause(*ids)


def body(**changes: str) -> str:
    properties = "".join(
        f"<e:property><{name}>{text}</{name}></e:property>\n" for name, text in changes.items()
    )
    return (
        '<?xml version="1.0"?>\n<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0">\n'
        f"{properties}</e:propertyset>"
    )


def wire(
    seq: int | str,
    content: str,
    *,
    host: str = "239.255.255.246:7900",
    svcid: str = IDENTITY.service_id,
    level: str = "upnp:/info",
    boot_id: int = 7,
) -> str:
    return (
        "NOTIFY * HTTP/1.1\r\n"
        f"HOST: {host}\r\n"
        'CONTENT-TYPE: text/xml; charset="utf-8"\r\n'
        "USN: uuid:4d696e69-0000-4000-8000-000000000001::urn:example-org:service:Door:1\r\n"
        f"SVCID: {svcid}\r\n"
        "NT: upnp:event\r\n"
        "NTS: upnp:propchange\r\n"
        f"SEQ: {seq}\r\n"
        f"LVL: {level}\r\n"
        f"BOOTID.UPNP.ORG: {boot_id}\r\n"
        f"CONTENT-LENGTH: {len(content.encode())}\r\n"
        "\r\n"
        f"{content}"
    )


# --- what a publisher sends ---


IPV4 = MulticastPolicy(scopes=(MulticastScope.IPV4,))


@dataclass(frozen=True)
class Sent:
    """``steps`` in order: a dict is a change of Open, Count or Fault; a number is seconds that go
    by. ``datagrams`` is all that leaves."""

    steps: tuple[dict[str, str] | float, ...]
    datagrams: tuple[str, ...]
    policy: MulticastPolicy = IPV4
    uda: str = "1.1"


TWICE = replace(IPV4, retransmissions=1, interval=0.5)
ALL_SCOPES = MulticastPolicy(scopes=tuple(MulticastScope))

SENT = [
    pytest.param(
        Sent(({"Open": "1"},), (wire(0, body(Open="1")),)),
        id="the first change is SEQ 0 with all headers of the architecture",
        marks=clauses("MC-01", "MC-02", "MC-03", "MC-04", "MC-05", "MC-06", "MC-07", "MC-08"),
    ),
    pytest.param(
        Sent(
            ({"Open": "1"}, {"Open": "0"}),
            (wire(0, body(Open="1")), wire(1, body(Open="0"))),
        ),
        id="the next change is SEQ 1",
        marks=clauses("MC-09", "MC-11"),
    ),
    pytest.param(
        Sent(
            ({"Open": "1", "Fault": "jammed", "Count": "9"},),
            (
                wire(0, body(Open="1", Count="9")),
                wire(1, body(Fault="jammed"), level="example.org:/fault/"),
            ),
        ),
        id="one event per level",
        marks=clauses("MC-10", "AMB-8"),
    ),
    pytest.param(
        Sent(({"Quiet": "1"},), ()),
        id="a variable that is not multicast stays where it is",
        marks=clauses("MC-01"),
    ),
    pytest.param(Sent((10.0,), ()), id="without a change nothing leaves", marks=clauses("MC-20")),
    pytest.param(
        Sent(
            ({"Fault": "a & b < ü"},),
            (wire(0, body(Fault="a &amp; b &lt; ü"), level="example.org:/fault/"),),
        ),
        id="markup is escaped, and the length is in bytes",
        marks=clauses("MC-12", "MC-04"),
    ),
    pytest.param(
        Sent(
            ({"Open": "1"},),
            tuple(
                wire(0, body(Open="1"), host=host)
                for host in (
                    "239.255.255.246:7900",
                    "[FF02::130]:7900",
                    "[FF05::130]:7900",
                    "[FF0E::130]:7900",
                )
            ),
            policy=ALL_SCOPES,
        ),
        id="every scope has the same event with its own HOST",
        marks=clauses("MC-19", "V6-08", "V6-09"),
    ),
    pytest.param(
        Sent(
            ({"Open": "1"}, 0.5, {"Open": "0"}, 0.5),
            (
                wire(0, body(Open="1")),
                wire(0, body(Open="1")),
                wire(1, body(Open="0")),
                wire(1, body(Open="0")),
            ),
            policy=TWICE,
        ),
        id="a message is sent again with its SEQ",
        marks=clauses("MC-15", "MC-09"),
    ),
    pytest.param(
        Sent(
            ({"Count": "1"}, 0.5, {"Count": "2"}, 0.5, 0.5),
            (
                wire(0, body(Count="1")),
                wire(0, body(Count="1")),
                wire(1, body(Count="2")),
                wire(1, body(Count="2")),
            ),
            policy=TWICE,
        ),
        id="sending again starts no interval of moderation",
        marks=clauses("MC-24", "MC-15"),
    ),
    pytest.param(
        Sent(
            ({"Open": "x" * 700, "Count": "y" * 700},),
            (wire(0, body(Open="x" * 700)), wire(1, body(Count="y" * 700))),
        ),
        id="what one datagram cannot carry is two events",
        marks=clauses("MC-14"),
    ),
    pytest.param(
        Sent(({"Open": "x" * 1400}, {"Open": "1"}), (wire(0, body(Open="1")),)),
        id="what no datagram can carry is not sent by multicast",
        marks=clauses("MC-14"),
    ),
    pytest.param(
        Sent(({"Open": "1"},), (), uda="1.0"),
        id="a UDA 1.0 device has no multicast events",
        marks=clauses("MC-01"),
    ),
]


@pytest.mark.parametrize("row", SENT)
def test_a_publisher_sends(row: Sent) -> None:
    now = 100.0
    publisher = PublisherProtocol(
        new_sid=lambda: "uuid:1",
        on_link=lambda _: (),
        policy=PublisherPolicy(uda=row.uda),
        multicast=row.policy,
        boot_id=lambda: 7,
    )
    publisher.add_service(
        "/door/event",
        {
            "Open": EventedVariable("0", level="upnp:/info"),
            "Count": EventedVariable("0", level="upnp:/info", minimum_interval=0.5),
            "Fault": EventedVariable("", level="example.org:/fault/"),
            "Quiet": EventedVariable("0"),
        },
        IDENTITY,
    )
    sent = []
    for step in row.steps:
        if isinstance(step, dict):
            publisher.update("/door/event", step, now)
        else:
            now += step
            publisher.handle_deadline(now)
        sent += [encode_datagram(datagram).decode() for datagram in publisher.take_datagrams()]
    assert sent == list(row.datagrams)


# --- what a receiver makes of it ---


OPEN = body(Open="1")
EVENT = "event 0 upnp:/info Open=True"


@dataclass(frozen=True)
class Received:
    """``datagrams`` arrive in order, each as text or with the address that it comes from;
    ``outcomes`` is all that is told, in short."""

    datagrams: tuple[str | tuple[str, str], ...]
    outcomes: tuple[str, ...]


def without(name: str, datagram: str) -> str:
    lines = datagram.split("\r\n")
    kept = [line for line in lines if not line.startswith(f"{name}:")]
    assert len(kept) == len(lines) - 1
    return "\r\n".join(kept)


RECEIVED = [
    pytest.param(
        Received((wire(0, OPEN),), (EVENT,)),
        id="an event is told with typed values",
        marks=clauses("MC-12"),
    ),
    pytest.param(
        Received((wire(0, OPEN).replace("HTTP/1.1", "HTTP/1.0"),), (EVENT,)),
        id="the start line of the printed example is accepted",
        marks=clauses("MC-03", "AMB-10"),
    ),
    pytest.param(
        Received((without("CONTENT-LENGTH", wire(0, OPEN)),), (EVENT,)),
        id="without CONTENT-LENGTH the body is the rest",
        marks=clauses("MC-04", "AMB-10"),
    ),
    pytest.param(
        Received((wire("0007", OPEN),), ("event 7 upnp:/info Open=True",)),
        id="leading zeros of SEQ are ignored",
        marks=clauses("MC-09"),
    ),
    pytest.param(
        Received(
            (wire(0, OPEN, level="upnp:/never-heard"),), ("event 0 upnp:/never-heard Open=True",)
        ),
        id="an unknown level is opaque",
        marks=clauses("MC-10"),
    ),
    pytest.param(
        Received(
            (
                wire(0, OPEN)
                .replace("HOST", "host")
                .replace("SEQ:", "seq:  ")
                .replace("LVL", "Lvl"),
            ),
            (EVENT,),
        ),
        id="header names are read in any case",
        marks=clauses("MC-13"),
    ),
    pytest.param(
        Received((wire(0, OPEN, host="[FF02::130]:7900"),), (EVENT,)),
        id="over IPv6 it is the same event",
        marks=clauses("V6-08"),
    ),
    pytest.param(
        Received(
            (
                wire(0, OPEN),
                wire(0, OPEN),
                (SECOND_ADDRESS, wire(0, OPEN, host="[FF02::130]:7900")),
            ),
            (EVENT,),
        ),
        id="sent again and over another interface it is told once",
        marks=clauses("MC-16", "MC-15", "MC-19"),
    ),
    pytest.param(
        Received(
            (wire(0, OPEN), wire(0, OPEN, svcid=SECOND.service_id)),
            (EVENT, EVENT),
        ),
        id="two services of one type have SEQs of their own",
        marks=clauses("AMB-8", "AMB-9", "MC-16"),
    ),
    pytest.param(
        Received(
            (wire(4294967295, OPEN), wire(1, OPEN)),
            ("event 4294967295 upnp:/info Open=True", "event 1 upnp:/info Open=True"),
        ),
        id="1 follows the largest SEQ",
        marks=clauses("MC-09"),
    ),
    pytest.param(
        Received(
            (wire(0, OPEN), wire(3, OPEN)),
            (EVENT, "missed 2 before 3", "event 3 upnp:/info Open=True"),
        ),
        id="a gap is told",
        marks=clauses("MC-22"),
    ),
    pytest.param(
        Received((wire(0, body(Open="1", Password="x")),), (EVENT,)),
        id="a variable that is not multicast is dropped",
        marks=clauses("MC-12", "MC-23"),
    ),
    pytest.param(
        Received((wire(0, OPEN.replace("<e:property>", "<e:new/><e:property>", 1)),), (EVENT,)),
        id="an unknown element is ignored as in unicast",
        marks=clauses("MC-12"),
    ),
    pytest.param(
        Received(((STRANGER, wire(0, OPEN)),), (f"refused UNKNOWN_SOURCE {STRANGER}",)),
        id="another address than the device's is not believed",
        marks=clauses("MC-23"),
    ),
    pytest.param(
        Received((wire(0, OPEN, boot_id=8),), (f"refused OTHER_BOOT_ID {DEVICE}",)),
        id="another boot id than the recorded one is not believed",
        marks=clauses("MC-23"),
    ),
    pytest.param(
        Received((wire(0, OPEN, svcid="urn:x"),), (f"refused UNKNOWN_SERVICE {DEVICE}",)),
        id="a service that is not expected is not believed",
        marks=clauses("MC-23"),
    ),
    pytest.param(
        Received(
            (wire(0, OPEN).replace("0000-4000", "0000-4001"),),
            (f"refused UNKNOWN_SERVICE {DEVICE}",),
        ),
        id="a device that is not known is not believed",
        marks=clauses("MC-23"),
    ),
    pytest.param(
        Received((wire(0, body(Password="x")),), (f"refused UNKNOWN_VARIABLES {DEVICE}",)),
        id="an event of nothing that is multicast is not believed",
        marks=clauses("MC-23"),
    ),
    pytest.param(
        Received(
            ((STRANGER, wire(0, OPEN)), (STRANGER, wire(1, OPEN)), wire(0, OPEN)),
            (f"refused UNKNOWN_SOURCE {STRANGER}", EVENT),
        ),
        id="a forger is told once and spends no SEQ",
        marks=clauses("MC-23"),
    ),
    *(
        pytest.param(
            Received((broken, wire(0, OPEN)), (f"refused UNREADABLE {DEVICE}", EVENT)),
            id=f"what is broken is refused and spends no SEQ: {name}",
            marks=clauses("MC-13"),
        )
        for name, broken in {
            "empty": "",
            "not HTTP": "\0\1\2",
            "cut short": wire(0, OPEN)[:-1],
            "chunked": wire(0, OPEN).replace("SEQ", "TRANSFER-ENCODING: chunked\r\nSEQ"),
            "another method": wire(0, OPEN).replace("NOTIFY", "M-SEARCH"),
            "another target": wire(0, OPEN).replace(" * ", " /event "),
            "NT of SSDP": wire(0, OPEN).replace("NT: upnp:event", "NT: upnp:rootdevice"),
            "NTS of SSDP": wire(0, OPEN).replace("upnp:propchange", "ssdp:alive"),
            "no NT": without("NT", wire(0, OPEN)),
            "no USN": without("USN", wire(0, OPEN)),
            "no SVCID": without("SVCID", wire(0, OPEN)),
            "no SEQ": without("SEQ", wire(0, OPEN)),
            "no BOOTID": without("BOOTID.UPNP.ORG", wire(0, OPEN)),
            "SEQ too large": wire(4294967296, OPEN),
            "SEQ twice": wire(0, OPEN).replace("SEQ", "SEQ: 1\r\nSEQ"),
            "no propertyset": wire(0, "<html/>"),
            "not XML": wire(0, "Open=1"),
        }.items()
    ),
]


def in_short(outcome: MulticastOutcome) -> str:
    match outcome:
        case MulticastEvent(seq=seq, level=level, changes=changes):
            told = " ".join(f"{name}={value}" for name, value in changes.items())
            return f"event {seq} {level} {told}"
        case MulticastMissed(seq=seq, count=count):
            return f"missed {count} before {seq}"
        case MulticastRefused(source=source, reason=reason):
            return f"refused {reason.name} {source.host if source else ''}"


@pytest.mark.parametrize("row", RECEIVED)
def test_a_receiver_makes_of_it(row: Received) -> None:
    outcomes: list[MulticastOutcome] = []
    reception = MulticastReception(DEFAULT_LIMITS, outcomes.append)
    for identity in (IDENTITY, SECOND):
        reception.expect(
            identity,
            variables=["Open", "Count"],
            sources=[DEVICE, SECOND_ADDRESS],
            boot_id=7,
            convert={"Open": data_type("boolean").parse},
        )
    for datagram in row.datagrams:
        source, text = (DEVICE, datagram) if isinstance(datagram, str) else datagram
        peer = Endpoint(source, 49_152)
        try:
            request = parse_datagram(text.encode(), DEFAULT_LIMITS, peer=peer)
        except RemoteProtocolError as error:
            reception.unreadable(peer, str(error))
        else:
            reception.receive(request)
    assert [in_short(outcome) for outcome in outcomes] == list(row.outcomes)
