"""For each known reason why no events come, the verdict names that reason."""

from __future__ import annotations

import dataclasses
from ipaddress import ip_interface
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.diagnosis.facts import Facts, Probe, Reach, RefusedNotify, refusal_in_words
from propchange.core.diagnosis.rules import RULES, diagnose
from propchange.core.diagnosis.verdicts import Diagnosis, Verdict
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.local_addresses import InterfaceKind, LocalAddress, interface_kind
from propchange.core.subscriber.events import Cause, Status
from propchange.core.subscriber.record import Loss
from propchange.core.wire.messages import Endpoint
from propchange.core.wire.refusals import Part

DEVICE = "192.168.1.20"


def own(text: str, interface: str, *, scope: int = 0) -> LocalAddress:
    address = ip_interface(text)
    kind = interface_kind(interface)
    return LocalAddress(str(address.ip), scope, address.network, interface, 1, kind)


LO = own("127.0.0.1/8", "lo")
ETH0 = own("192.168.1.5/24", "eth0")
ETH1 = own("10.1.0.5/24", "eth1")
WG0 = own("10.8.0.2/32", "wg0")
DOCKER0 = own("172.17.0.1/16", "docker0")
INSIDE = own("172.17.0.2/16", "eth0")._replace(kind=InterfaceKind.VIRTUAL)
LINK = own("fe80::5/64", "eth0", scope=2)


def facts(**more: Any) -> Facts:
    """A subscription that was granted 5 seconds ago by a device in the same network, with a
    listener that answers, and nothing has come."""
    usual: dict[str, Any] = {
        "event_url": f"http://{DEVICE}:49152/event",
        "status": Status.DEAF,
        "device": DEVICE,
        "device_probe": Probe(f"{DEVICE}:49152", Reach.ACCEPTED),
        "sid": "uuid:1",
        "granted_for": 5.0,
        "duration": 1800.0,
        "advertised": Endpoint("192.168.1.5", 41234),
        "self_connect": Probe("192.168.1.5:41234", Reach.ACCEPTED),
        "own": (LO, ETH0),
        "source": "192.168.1.5",
        "connections": 0,
        "heard": False,
    }
    return Facts(**(usual | more))


def from_here(host: str, reach: Reach = Reach.ACCEPTED, **more: Any) -> Facts:
    """The same, with ``host`` in CALLBACK."""
    advertised = Endpoint(host, 41234)
    return facts(advertised=advertised, self_connect=Probe(str(advertised), reach), **more)


BEHIND = "http://192.168.1.5:8000/events/{token}"


def behind(reach: Reach, detail: str = "") -> Facts:
    """The same behind a web server of the program."""
    return facts(
        callback_url=BEHIND,
        advertised=Endpoint("192.168.1.5", 8000),
        self_connect=Probe(BEHIND, reach, detail),
        connections=None,
        heard=None,
    )


def ungranted(**more: Any) -> Facts:
    usual = {"status": Status.SUBSCRIBING, "granted_for": None, "sid": "", "duration": None}
    return facts(**(usual | more))


def unconnected(reach: Reach, detail: str = "") -> Facts:
    return ungranted(device_probe=Probe(f"{DEVICE}:49152", reach, detail), failure="no connection")


SHAPES = {
    "closed": (facts(status=Status.CLOSED), Verdict.CLOSED, "closed"),
    "a name that nobody knows": (
        unconnected(Reach.UNRESOLVED),
        Verdict.NAME_UNKNOWN,
        "is a name that does not resolve",
    ),
    "no descriptor": (
        unconnected(Reach.SHORTAGE, "Too many open files"),
        Verdict.SHORTAGE,
        (
            "was not asked: this machine has no descriptor or memory for a connection "
            "(Too many open files)"
        ),
    ),
    "no descriptor for a connection to the own listener": (
        from_here("192.168.1.99", Reach.SHORTAGE),
        Verdict.SHORTAGE,
        "was not asked: this machine has no descriptor or memory for a connection",
    ),
    "no route": (
        unconnected(Reach.UNREACHABLE, "Network is unreachable"),
        Verdict.NO_ROUTE,
        "192.168.1.20:49152 cannot be reached (Network is unreachable)",
    ),
    "a device that is off": (
        unconnected(Reach.SILENT),
        Verdict.DEVICE_SILENT,
        "192.168.1.20:49152 does not answer",
    ),
    "a device whose program has ended": (
        unconnected(Reach.REFUSED),
        Verdict.CONNECTION_REFUSED,
        "192.168.1.20:49152 refuses connections",
    ),
    "a device that has gone, and the subscription does not know yet": (
        facts(
            status=Status.ACTIVE,
            last_event_ago=600.0,
            device_probe=Probe(f"{DEVICE}:49152", Reach.REFUSED),
        ),
        Verdict.CONNECTION_REFUSED,
        "refuses connections; the last event came 10 min ago",
    ),
    "all is well": (
        facts(status=Status.ACTIVE, last_event_ago=30.0, heard=True, connections=1),
        Verdict.EVENTS_ARRIVE,
        "the last one came 30 s ago, so the subscription is quiet and not deaf",
    ),
    "nothing is evented": (
        facts(status=Status.ACTIVE, owes_event=False),
        Verdict.NOTHING_EVENTED,
        "no event is due: its service description declares no evented variable",
    ),
    "nothing is evented, and what came was refused": (
        facts(status=Status.ACTIVE, owes_event=False, refused=RefusedNotify(DEVICE, 400, "no XML")),
        Verdict.NOTIFY_REFUSED,
        "what it sends was answered 400: no XML",
    ),
    "a device that refuses": (
        ungranted(failure="the device answered SUBSCRIBE with 412: why", failure_status=412),
        Verdict.SUBSCRIBE_REFUSED,
        "the device answered SUBSCRIBE with 412: why",
    ),
    "a device that does not answer renewals": (
        facts(
            status=Status.RESUBSCRIBING,
            reason="the device cannot be asked to renew: no answer within 30 s",
            last_event_ago=300.0,
            heard=True,
        ),
        Verdict.NO_ANSWER,
        "192.168.1.20 does not answer as it should: the device cannot be asked to renew",
    ),
    "events that arrive, and one that was refused": (
        facts(
            status=Status.ACTIVE,
            last_event_ago=3.0,
            refused=RefusedNotify(DEVICE, 400, "no XML", Part.BODY, 60.0),
        ),
        Verdict.EVENTS_ARRIVE,
        "quiet and not deaf; before that, an event was answered 400: no XML",
    ),
    "events that arrive, after others were lost": (
        facts(status=Status.ACTIVE, last_event_ago=3.0, losses=2),
        Verdict.EVENTS_ARRIVE,
        "quiet and not deaf; 2 were lost before, and the state was restored",
    ),
    "an event that was refused since the last one": (
        facts(
            status=Status.ACTIVE,
            last_event_ago=60.0,
            heard=True,
            refused=RefusedNotify(DEVICE, 400, "no XML", Part.BODY, 3.0),
        ),
        Verdict.NOTIFY_REFUSED,
        "192.168.1.20 does send, but what it sends was answered 400: no XML",
    ),
    "a renewal that was answered with another SID": (
        facts(awaits_new_sid=True, sid="uuid:2", heard=True, last_event_ago=60.0),
        Verdict.NEW_SID,
        "192.168.1.20 has answered the renewal with another SID, uuid:2, and has sent no initial",
    ),
    "an event was missed, and the next fresh subscription waits": (
        facts(lost=Loss(Cause.MISSED_EVENT, "events before SEQ 3 were missed", 1.0), heard=True),
        Verdict.EVENT_LOST,
        "an event was lost: events before SEQ 3 were missed",
    ),
    "an event that was cut since the last one": (
        facts(
            status=Status.RESUBSCRIBING,
            reason="an event did not come whole",
            granted_for=2.0,
            lost=Loss(Cause.EVENT_CUT, "its connection ended", 1.0),
        ),
        Verdict.CUT_SHORT,
        "no whole request comes over its connections: its connection ended",
    ),
    "connections without a request since the last event": (
        facts(status=Status.ACTIVE, last_event_ago=40.0, heard=True, connections=35, empty=31),
        Verdict.CUT_SHORT,
        "192.168.1.20 connects to 192.168.1.5:41234, but no whole request comes",
    ),
    "a device that does not answer": (
        ungranted(failure="192.168.1.20:49152 did not answer within 30 s"),
        Verdict.NO_ANSWER,
        "192.168.1.20 does not answer as it should: 192.168.1.20:49152 did not answer",
    ),
    "a SUBSCRIBE is out": (
        ungranted(asked_for=2.0),
        Verdict.PENDING,
        "SUBSCRIBE has been without an answer for 2 s",
    ),
    "a SUBSCRIBE is to come": (ungranted(), Verdict.PENDING, "about to be sent"),
    "granted a moment ago": (
        facts(status=Status.SUBSCRIBING, granted_for=0.5),
        Verdict.PENDING,
        "granted 0.5 s ago: the initial event may take 5 s",
    ),
    "a device that is slow": (
        facts(slow=True, connections=1, refused=RefusedNotify(DEVICE, 412, "late")),
        Verdict.SLOW,
        "192.168.1.20 does send, but its initial event comes later than 5 s after the grant",
    ),
    "event messages that are refused": (
        facts(
            heard=True, connections=3, refused=RefusedNotify("192.168.1.1", 412, "HOST is another")
        ),
        Verdict.NOTIFY_REFUSED,
        "192.168.1.1 does send, but what it sends was answered 412: HOST is another",
    ),
    "a listener that is full": (
        facts(connections=1, turned_away=4),
        Verdict.LISTENER_FULL,
        "4 were turned away",
    ),
    "a firewall that resets connections": (
        facts(heard=True, connections=2),
        Verdict.CUT_SHORT,
        (
            "192.168.1.20 connects to 192.168.1.5:41234, but no whole request comes over its "
            "connections"
        ),
    ),
    "a service that never sends, of a device that does": (
        facts(connections=4, others_hear=True),
        Verdict.NEVER_SENDS,
        (
            "no event from 192.168.1.20 in 5 s for this service, although events of its other "
            "services arrive"
        ),
    ),
    "a web server that is not running": (
        behind(Reach.REFUSED),
        Verdict.WEB_SERVER_AWAY,
        (
            "no event from 192.168.1.20 in 5 s: from here, nothing answers at "
            "http://192.168.1.5:8000/events/{token}: it refuses connections"
        ),
    ),
    "a web server whose name nobody knows": (
        behind(Reach.UNRESOLVED),
        Verdict.WEB_SERVER_AWAY,
        "nothing answers at http://192.168.1.5:8000/events/{token}: it is a name that does not",
    ),
    "a web server without the application": (
        behind(Reach.SOMEBODY_ELSE, "status 404"),
        Verdict.NOT_PASSED_ON,
        (
            "something else answers at http://192.168.1.5:8000/events/{token} (status 404), and "
            "what is sent there does not come to this control point"
        ),
    ),
    "another program in place of the web server": (
        behind(Reach.SOMEBODY_ELSE),
        Verdict.NOT_PASSED_ON,
        "something else answers at http://192.168.1.5:8000/events/{token}, and what",
    ),
    "a web server that changes the path": (
        behind(Reach.CHANGED, "not the path, which names the subscription"),
        Verdict.NOT_PASSED_ON,
        (
            "the web server at http://192.168.1.5:8000/events/{token} passes requests on, but not "
            "the path, which names the subscription"
        ),
    ),
    "a web server that nobody has tried": (
        facts(callback_url=BEHIND, self_connect=None, heard=None, connections=None),
        Verdict.CALLBACK_OVERRIDE,
        (
            "no event from 192.168.1.20 in 5 s: it was told to send to 192.168.1.5:41234, as "
            "callback_url says"
        ),
    ),
    "a web server that works, and a firewall": (
        behind(Reach.ACCEPTED),
        Verdict.UNHEARD,
        (
            "in 5 s, although the web server at 192.168.1.5:8000 passes on what is sent from here: "
            "a firewall drops"
        ),
    ),
    "an override that leads nowhere": (
        from_here("203.0.113.9", Reach.SILENT, callback_host="203.0.113.9"),
        Verdict.CALLBACK_OVERRIDE,
        "as callback_host says, and from here 203.0.113.9:41234 does not answer",
    ),
    "overrides that lead to another program": (
        from_here(
            "192.168.1.5", Reach.SOMEBODY_ELSE, callback_host="192.168.1.5", callback_port=41234
        ),
        Verdict.CALLBACK_OVERRIDE,
        "as callback_host and callback_port say, and from here 192.168.1.5:41234 is answered by",
    ),
    "an override that nobody has tried": (
        facts(callback_port=41234, self_connect=None),
        Verdict.CALLBACK_OVERRIDE,
        "it was told to send to 192.168.1.5:41234, as callback_port says",
    ),
    "an address that has changed": (
        from_here("192.168.1.99", Reach.UNREACHABLE),
        Verdict.ADDRESS_GONE,
        "192.168.1.99:41234, which is no address of this machine any more",
    ),
    "a listener on another address": (
        from_here("192.168.1.5", Reach.REFUSED),
        Verdict.NOT_LISTENING,
        "from here, 192.168.1.5:41234 refuses connections",
    ),
    "a port that another program has": (
        from_here("192.168.1.5", Reach.SOMEBODY_ELSE),
        Verdict.NOT_LISTENING,
        "is answered by another program",
    ),
    "a firewall of this machine": (
        from_here("192.168.1.5", Reach.SILENT),
        Verdict.LOCAL_FIREWALL,
        "not even from here, 192.168.1.5:41234 does not answer",
    ),
    "a device on loopback": (
        from_here("127.0.0.1", device="127.0.0.1"),
        Verdict.LOOPBACK,
        "no connection from 127.0.0.1 in 5 s: it was told to send to 127.0.0.1:41234, where only",
    ),
    "inside a container": (
        from_here("172.17.0.2", own=(LO, INSIDE)),
        Verdict.CONTAINER,
        (
            "granted, but no connection from 192.168.1.20 in 5 s: it cannot reach "
            "172.17.0.2:41234, which looks like an address of a container"
        ),
    ),
    "the address of a container bridge": (
        from_here("172.17.0.1", own=(LO, ETH0, DOCKER0)),
        Verdict.CONTAINER,
        "an address of the bridge docker0 to containers or virtual machines",
    ),
    "a VPN that takes the default route": (
        from_here("10.8.0.2", own=(LO, ETH1, WG0)),
        Verdict.VPN,
        "10.8.0.2:41234, the address of wg0, which looks like a VPN that carries the route",
    ),
    "several interfaces": (
        from_here("10.1.0.5", own=(LO, ETH0, ETH1)),
        Verdict.OTHER_INTERFACE,
        "10.1.0.5:41234, the address of eth1, but it is in the network of eth0 (192.168.1.0/24)",
    ),
    "link-local IPv6": (
        from_here("fe80::5", own=(LO, ETH0, LINK), device="fe80::20"),
        Verdict.LINK_LOCAL,
        "[fe80::5]:41234, a link-local address",
    ),
    "a router that translates addresses": (
        from_here("10.1.0.5", own=(LO, ETH1)),
        Verdict.ROUTER_BETWEEN,
        "but it is in none of the networks of this machine (10.1.0.0/24): a router is between",
    ),
    "a firewall that drops, or a device that never sends": (
        facts(),
        Verdict.UNHEARD,
        (
            "no connection from 192.168.1.20 in 5 s, although the listener answers at "
            "192.168.1.5:41234 from here: a firewall drops what it sends to 192.168.1.5:41234, "
            "or it never sends"
        ),
    ),
}


@pytest.mark.parametrize(("known", "verdict", "words"), SHAPES.values(), ids=SHAPES)
def test_each_known_shape_names_its_cause(known: Facts, verdict: Verdict, words: str) -> None:
    diagnosis = diagnose(known)

    assert diagnosis.verdict is verdict
    assert words in diagnosis.sentence
    assert diagnosis.facts is known
    assert diagnosis.well is (verdict in (Verdict.EVENTS_ARRIVE, Verdict.NOTHING_EVENTED))


def test_every_rule_has_a_shape_and_every_verdict_one_rule() -> None:
    assert {verdict for _, verdict, _ in SHAPES.values()} == set(Verdict)
    assert [rule.verdict for rule in RULES] == list(Verdict)


def test_a_diagnosis_reads_as_one_line_with_its_advice() -> None:
    inside = diagnose(from_here("172.17.0.2", own=(LO, INSIDE)))

    assert str(inside) == f"{inside.sentence}; {inside.advice}"
    assert inside.advice.startswith("pass --callback-host")
    assert str(Diagnosis(Verdict.CLOSED, "closed", "", facts())) == "closed"


def test_the_address_in_the_device_s_own_network_is_suggested() -> None:
    several = diagnose(from_here("10.1.0.5", own=(LO, ETH0, ETH1)))

    assert several.advice.endswith("(192.168.1.5 of eth0 is in the device's network)")


def test_where_no_network_is_shared_the_likeliest_address_is_suggested() -> None:
    vpn = diagnose(from_here("10.8.0.2", own=(LO, ETH1, WG0, DOCKER0)))

    assert vpn.advice.endswith("(10.1.0.5 of eth1 is the likeliest)")
    alone = diagnose(from_here("10.8.0.2", own=(LO, WG0, DOCKER0)))
    assert alone.advice.endswith("can reach")


def test_a_container_next_to_the_device_is_not_blamed() -> None:
    """Two containers on one bridge reach each other."""
    verdict = diagnose(from_here("172.17.0.2", own=(LO, INSIDE), device="172.17.0.3")).verdict

    assert verdict is Verdict.UNHEARD


def test_a_peer_inside_the_vpn_is_not_blamed_on_it() -> None:
    inside = own("10.8.0.2/24", "wg0")
    verdict = diagnose(from_here("10.8.0.2", own=(LO, inside), device="10.8.0.9")).verdict

    assert verdict is Verdict.UNHEARD


def test_an_override_that_answers_from_here_is_not_blamed() -> None:
    verdict = diagnose(facts(callback_host="192.168.1.5")).verdict

    assert verdict is Verdict.UNHEARD


def test_what_nobody_has_looked_at_is_not_claimed() -> None:
    """What the core knows by itself, without an interface and without a probe."""
    known = facts(device_probe=None, self_connect=None, own=(), heard=None, connections=None)

    assert str(diagnose(known)).startswith(
        "granted, but no event from 192.168.1.20 in 5 s: it cannot reach 192.168.1.5:41234, or "
        "never sends;"
    )
    nowhere = dataclasses.replace(
        known, device=None, advertised=None, granted_for=None, failure="x"
    )
    assert diagnose(nowhere).sentence == "the device does not answer as it should: x"
    assert "send to nowhere" not in diagnose(dataclasses.replace(known, advertised=None)).sentence


def test_a_host_name_in_callback_is_no_address_that_has_gone() -> None:
    named = from_here("nas.example", own=(LO, ETH0))

    assert diagnose(named).verdict is Verdict.UNHEARD


def test_addresses_that_were_tried_before_are_told() -> None:
    diagnosis = diagnose(facts(tried=("10.1.0.5:41234",)))

    assert "in 5 s (nor at 10.1.0.5:41234)" in diagnosis.sentence


def test_what_a_status_means_is_told_for_every_status() -> None:
    def told(status: int, *, named: bool = False) -> str:
        return refusal_in_words(status, "192.168.1.5:41234", named=named)

    assert told(400) == "it calls the request malformed"
    assert "take no names in HOST" in told(400, named=True)
    assert told(412, named=True).startswith("it will not send events to 192.168.1.5:41234;")
    assert "no room for another" in told(503)
    assert told(599) == told(500)
    assert "does not want this subscription" in told(302)


@pytest.mark.parametrize(
    ("part", "advice"),
    [
        (Part.BODY, "the text of its event is damaged"),
        (Part.SIZE, "raise Limits.body_bytes"),
        (Part.FRAMING, "CONTENT-LENGTH"),
        (Part.REST, "MTU"),
        (Part.HEADER, "NT, NTS, SEQ"),
        (Part.HOST, "hosts= admits other HOSTs"),
        (Part.SOURCE, "require_device_source"),
        (Part.SUBSCRIPTION, "a path or a SID"),
    ],
)
def test_the_advice_on_a_refused_event_is_about_the_part_that_was_wrong(
    part: Part, advice: str
) -> None:
    told = diagnose(facts(heard=True, refused=RefusedNotify(DEVICE, 400, "why", part)))
    assert told.verdict is Verdict.NOTIFY_REFUSED
    assert advice in told.advice
    assert ("proxy" in told.advice) is (part in (Part.HOST, Part.SOURCE))


@st.composite
def any_facts(draw: st.DrawFn) -> Facts:
    """Facts in every combination, also those that no subscription has."""

    def maybe(strategy: st.SearchStrategy[Any]) -> Any:
        return draw(st.none() | strategy)

    hosts = st.sampled_from(["192.168.1.5", "10.8.0.2", "127.0.0.1", "fe80::5", "nas.example"])
    spans = st.sampled_from([0.0, 4.9, 5.0, 3600.0])
    details = st.text().filter(lambda text: "None" not in text)
    probes = st.builds(Probe, st.just("x:1"), st.sampled_from(Reach), detail=details)
    failure, failure_status = draw(st.sampled_from([("", 0), ("it failed", 0), ("no", 412)]))
    return Facts(
        event_url="http://x/",
        status=draw(st.sampled_from(Status)),
        reason=draw(st.sampled_from(["", "why"])),
        device=maybe(hosts.filter(lambda host: host != "nas.example")),
        device_probe=maybe(probes),
        asked_for=maybe(spans),
        failure=failure,
        failure_status=failure_status,
        granted_for=maybe(spans),
        duration=maybe(st.just(1800.0)),
        advertised=maybe(st.builds(Endpoint, hosts, st.just(41234))),
        callback_host=maybe(hosts),
        callback_url=maybe(st.just(BEHIND)),
        tried=draw(st.sampled_from([(), ("10.1.0.5:1",)])),
        self_connect=maybe(probes),
        own=tuple(draw(st.sets(st.sampled_from([LO, ETH0, ETH1, WG0, DOCKER0, INSIDE, LINK])))),
        in_container=maybe(st.booleans()),
        connections=maybe(st.integers(0, 3)),
        heard=maybe(st.booleans()),
        turned_away=draw(st.integers(0, 1)),
        empty=draw(st.integers(0, 4)),
        refused=maybe(
            st.builds(
                RefusedNotify, st.just(DEVICE), st.just(412), st.just("why"), st.sampled_from(Part)
            ).flatmap(lambda it: spans.map(lambda ago: it._replace(ago=ago)))
        ),
        lost=maybe(st.builds(Loss, st.sampled_from(Cause), st.just("why"), st.just(0.0))),
        losses=draw(st.integers(0, 2)),
        awaits_new_sid=draw(st.booleans()),
        slow=draw(st.booleans()),
        last_event_ago=maybe(spans),
        others_hear=draw(st.booleans()),
    )


@given(any_facts())
def test_whatever_is_known_there_is_a_verdict_and_it_claims_no_more(known: Facts) -> None:
    diagnosis = diagnose(known)

    told = str(diagnosis)
    assert diagnosis.sentence
    assert "None" not in told
    assert "None" not in str(known.lines())
    if diagnosis.well:
        assert known.lost is None
        assert known.empty < DEFAULT_LIMITS.wasted_connections
        assert known.refused is None or known.refused.ago > (known.last_event_ago or 0.0)
    if known.heard is not False:
        assert "no connection from" not in told
    if known.self_connect is None:
        assert "from here" not in told
    if known.device_probe is None:
        assert diagnosis.verdict not in (
            Verdict.NAME_UNKNOWN,
            Verdict.NO_ROUTE,
            Verdict.DEVICE_SILENT,
            Verdict.CONNECTION_REFUSED,
        )
    if known.callback_url is not None:
        settings_of_a_listener = ("--port", "--callback", "callback_host", "interface=", "port=")
        assert not any(each in diagnosis.advice for each in settings_of_a_listener)
    if not known.own:
        assert diagnosis.verdict not in (
            Verdict.CONTAINER,
            Verdict.VPN,
            Verdict.OTHER_INTERFACE,
            Verdict.ROUTER_BETWEEN,
            Verdict.ADDRESS_GONE,
        )


# --- the facts as lines ---


def test_the_facts_are_lines_for_people() -> None:
    lines = dict(
        facts(
            tried=("10.1.0.5:41234",),
            listening=(Endpoint("0.0.0.0", 41234), Endpoint("::", 41234)),
            own=(LO, ETH0, ETH1),
            in_container=True,
            connections=3,
            connected_ago=4.0,
            heard=True,
            empty=1,
            turned_away=2,
            refused=RefusedNotify(DEVICE, 400, "no HOST"),
            last_event_ago=7.0,
        ).lines()
    )

    assert lines == {
        "event URL": "http://192.168.1.20:49152/event",
        "status": "deaf",
        "device": "192.168.1.20",
        "connecting to the device": "192.168.1.20:49152 accepts connections",
        "SUBSCRIBE": "granted 5 s ago for 1800 s, SID uuid:1",
        "CALLBACK": "192.168.1.5:41234 (IPv4, the address of eth0 from which SUBSCRIBE was sent)",
        "tried before": "10.1.0.5:41234",
        "listening on": "0.0.0.0:41234, [::]:41234",
        "connecting to ourselves": "192.168.1.5:41234 accepts connections",
        "source address": "192.168.1.5",
        "address 127.0.0.1/8": "on lo, this machine itself",
        "address 192.168.1.5/24": "on eth0, a network interface, usable, the device's network",
        "address 10.1.0.5/24": "on eth1, a network interface, usable",
        "container": "this program runs in one",
        "connections from 192.168.1.20": "3, the last 4 s ago",
        "ended without a request": "1",
        "turned away": "2",
        "refused event messages": "192.168.1.20 was answered 400: no HOST",
        "last event": "7 s ago",
    }


def line(what: str, **more: Any) -> str | None:
    return dict(facts(**more).lines()).get(what)


def test_the_line_of_callback_says_why_this_address() -> None:
    v6 = own("2001:db8::5/64", "eth0")

    assert line("CALLBACK", advertised=None) is None
    assert line("CALLBACK", own=()) == (
        "192.168.1.5:41234 (the address from which SUBSCRIBE was sent)"
    )
    assert line("CALLBACK", callback_host="192.168.1.5") == (
        "192.168.1.5:41234 (callback_host=192.168.1.5)"
    )
    assert line("CALLBACK", callback_url=BEHIND) == f"192.168.1.5:41234 (callback_url={BEHIND})"
    assert line("CALLBACK", own=(v6,), advertised=Endpoint("2001:db8::5", 1)) == (
        "[2001:db8::5]:1 (IPv6, the address of eth0 from which SUBSCRIBE was sent)"
    )


def test_the_line_of_subscribe_says_how_it_was_answered() -> None:
    assert line("SUBSCRIBE", duration=inf) == "granted 5 s ago without an end, SID uuid:1"
    # A grant that has ended: the fresh subscription is being made.
    assert line("SUBSCRIBE", duration=None) == "granted 5 s ago, SID uuid:1"
    assert line("SUBSCRIBE", granted_for=None, failure="no answer") == "no answer"
    assert line("SUBSCRIBE", granted_for=None, asked_for=3.0) == "no answer for 3 s"
    assert line("SUBSCRIBE", granted_for=None) is None


def test_the_lines_tell_none_from_unknown() -> None:
    assert line("connections from 192.168.1.20") == "none"
    assert line("connections from 192.168.1.20", connections=None) is None
    assert line("connections from the device", device=None) == "none"
    assert line("last event") == "none"
    assert line("status", reason="why") == "deaf: why"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"),
        (5, "5 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7200, "2 h"),
        (172_800, "2 days"),
    ],
)
def test_spans_are_told_in_a_fitting_unit(seconds: float, words: str) -> None:
    assert line("last event", last_event_ago=seconds) == f"{words} ago"
