"""The facts that the subscriber's protocol has for a diagnosis, and how a failed probe is read."""

from __future__ import annotations

import dataclasses
import errno
import itertools
from collections.abc import Iterator
from ipaddress import ip_interface
from typing import Any

import pytest

from propchange.core.diagnosis.facts import RefusedNotify, failed_probe
from propchange.core.diagnosis.rules import diagnose
from propchange.core.diagnosis.verdicts import Verdict
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.local_addresses import LocalAddress, interface_kind
from propchange.core.subscriber.connection_history import ConnectionHistory
from propchange.core.subscriber.events import Status, StatusChange
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.subscriber.protocol import SubscriberProtocol
from propchange.core.subscriber.record import SubscriptionRecord
from propchange.core.subscriber.requests import OutgoingRequest, RequestKind
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.core.wire.refusals import Part

URL = "http://10.0.0.1:8000/evt"
DEVICE = Endpoint("10.0.0.1", 50_000)
HERE = Endpoint("10.0.0.2", 9000)


def own(text: str, interface: str = "eth0") -> LocalAddress:
    address = ip_interface(text)
    kind = interface_kind(interface)
    return LocalAddress(str(address.ip), 0, address.network, interface, 1, kind)


class Point:
    """A protocol whose listener tells who connects, and a device that grants everything."""

    def __init__(self, *, listens: bool = True, **policy: Any) -> None:
        self.now = 0.0
        self.sids = (f"uuid:{number}" for number in itertools.count())
        tokens: Iterator[str] = (f"token{number}" for number in itertools.count())
        self.history = ConnectionHistory(DEFAULT_LIMITS)
        self.protocol = SubscriberProtocol(
            new_token=lambda: next(tokens),
            jitter=lambda: 0.0,
            policy=SubscriberPolicy(**policy),
            history=self.history if listens else None,
        )
        self.tell_addresses(own("10.0.0.2/24"))

    def tell_addresses(self, *addresses: LocalAddress, others: Any = ()) -> None:
        self.protocol.addresses_changed(addresses, self.now, others=others)

    def subscribe(self, url: str = URL) -> SubscriptionRecord:
        return self.protocol.subscribe(url, self.now)

    def requests(self) -> list[OutgoingRequest]:
        return self.protocol.take_requests()

    def grant(
        self, request: OutgoingRequest, local: Endpoint = HERE, remote: Endpoint = DEVICE
    ) -> None:
        request.build(local)
        request.remote = remote._replace(port=8000)
        headers = ((b"SID", next(self.sids).encode()), (b"TIMEOUT", b"Second-1800"))
        self.protocol.response_received(request, Response(200, headers), self.now)

    def next_subscribe(self) -> OutgoingRequest:
        """The SUBSCRIBE that follows once the UNSUBSCRIBE before it is answered."""
        (request,) = self.requests()
        if request.kind is RequestKind.UNSUBSCRIBE:
            request.build(HERE)
            self.protocol.response_received(request, Response(200, ()), self.now)
            (request,) = self.requests()
        assert request.kind is RequestKind.SUBSCRIBE
        return request

    def granted(self, url: str = URL) -> SubscriptionRecord:
        record = self.subscribe(url)
        (request,) = self.requests()
        self.grant(request)
        return record

    def notify(self, record: SubscriptionRecord, **more: str) -> Response:
        headers = {
            "HOST": "10.0.0.2:9000",
            "NT": "upnp:event",
            "NTS": "upnp:propchange",
            "SID": record.sid,
            "SEQ": "0",
        } | more
        body = (
            b'<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0"><e:property><A>1</A>'
            b"</e:property></e:propertyset>"
        )
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        request = Request("NOTIFY", record.path, pairs, body, peer=DEVICE, local=HERE)
        return self.protocol.receive_notify(request, self.now)

    def at(self, now: float) -> None:
        self.now = now
        self.protocol.handle_deadline(now)

    def deaf(self) -> StatusChange:
        self.at(self.now + 5)
        changes = [o for o in self.protocol.take_outcomes() if isinstance(o, StatusChange)]
        (change,) = [change for change in changes if change.status is Status.DEAF]
        return change

    def verdict(self, record: SubscriptionRecord) -> Verdict:
        return diagnose(self.protocol.facts(record, self.now)).verdict


def test_the_reason_of_deaf_is_the_verdict_on_what_is_known() -> None:
    point = Point()
    point.tell_addresses(own("172.17.0.1/16", "docker0"))
    point.subscribe()
    (request,) = point.requests()
    point.grant(request, Endpoint("172.17.0.1", 41_234))

    assert point.deaf().reason.startswith(
        "granted, but no connection from 10.0.0.1 in 5 s: it cannot reach 172.17.0.1:41234, which "
        "looks like an address of the bridge docker0 to containers or virtual machines; pass "
        "--callback-host"
    )


def test_no_connection_is_not_claimed_where_nobody_tells_of_them() -> None:
    point = Point(listens=False)
    point.granted()

    assert point.deaf().reason.startswith("granted, but no event from 10.0.0.1 in 5 s: ")


def test_a_device_that_connects_and_says_nothing_is_cut_short() -> None:
    point = Point()
    record = point.granted()
    point.now = 1.0
    point.history.connected(DEVICE, 1.0)
    point.history.ended_empty(DEVICE, 2.0)

    assert "but no whole request comes over its connections" in point.deaf().reason
    facts = point.protocol.facts(record, 7.0)
    assert (facts.connections, facts.connected_ago, facts.heard, facts.empty) == (1, 6.0, True, 1)


def test_what_comes_to_the_next_address_says_nothing_of_the_first() -> None:
    point = Point()
    point.tell_addresses(own("10.9.0.5/24", "tun0"), own("10.0.0.2/24"))
    record = point.subscribe()
    (request,) = point.requests()
    point.grant(request, Endpoint("10.9.0.5", 9000))
    assert "which looks like a VPN" in point.deaf().reason

    point.next_subscribe().build(HERE)
    point.history.connected(DEVICE, point.now)
    point.history.ended_empty(DEVICE, point.now)
    point.history.turned_away(DEVICE, point.now)

    assert point.verdict(record) is Verdict.VPN
    facts = point.protocol.facts(record, point.now)
    assert (facts.heard, facts.empty, facts.turned_away) == (False, 0, 0)


def test_what_came_to_the_first_address_is_remembered_while_the_next_is_tried() -> None:
    point = Point()
    point.tell_addresses(own("10.0.0.2/24"), own("10.0.1.2/24", "eth1"))
    record = point.granted()
    point.history.connected(DEVICE, 1.0)
    point.history.ended_empty(DEVICE, 1.0)
    assert "no whole request" in point.deaf().reason

    point.next_subscribe().build(Endpoint("10.0.1.2", 9000))
    assert point.verdict(record) is Verdict.CUT_SHORT


def test_what_came_before_the_subscribe_says_nothing_of_it() -> None:
    point = Point()
    point.history.connected(DEVICE, 1.0)
    point.history.ended_empty(DEVICE, 1.0)
    point.history.turned_away(DEVICE, 1.0)
    point.history.refused(DEVICE, "/old", 412, "unknown", 1.0)
    point.now = 2.0
    record = point.granted()

    facts = point.protocol.facts(record, 3.0)
    assert (facts.connections, facts.heard, facts.empty, facts.turned_away) == (1, False, 0, 0)
    assert facts.refused is None


def test_a_device_that_is_turned_away_is_told() -> None:
    point = Point()
    point.granted()
    point.history.turned_away(DEVICE, 1.0)

    assert "1 were turned away" in point.deaf().reason


def test_an_event_message_that_is_refused_is_told_with_its_reason() -> None:
    point = Point()
    record = point.granted()
    assert point.notify(record, HOST="elsewhere:80").status == 400

    change = point.deaf()
    assert "10.0.0.1 does send, but what it sends was answered 400: " in change.reason
    refused = point.protocol.facts(record, point.now).refused
    assert isinstance(refused, RefusedNotify)
    assert (refused.host, refused.status) == ("10.0.0.1", 400)


def test_a_refused_message_for_the_path_counts_from_whatever_address() -> None:
    point = Point(require_device_source=True)
    record = point.granted()
    point.history.refused(
        Endpoint("10.0.0.9", 1), record.path, 412, "another address", 1.0, part=Part.SOURCE
    )
    point.history.refused(Endpoint("10.0.0.8", 1), "/other", 412, "stray", 1.0)

    assert point.protocol.facts(record, 2.0).refused == RefusedNotify(
        "10.0.0.9", 412, "another address", Part.SOURCE, 1.0
    )
    record.path = ""
    assert point.protocol.facts(record, 2.0).refused is None


def test_a_service_that_never_sends_is_known_by_another_that_does() -> None:
    point = Point()
    first, second = point.granted(), point.granted("http://10.0.0.1:8000/other")
    point.history.connected(DEVICE, 0.0)
    point.notify(first)

    assert "although events of its other services arrive at 10.0.0.2:9000" in point.deaf().reason
    assert point.verdict(second) is Verdict.NEVER_SENDS
    assert point.verdict(first) is Verdict.EVENTS_ARRIVE


def test_another_address_that_is_tried_meanwhile_does_not_hide_that_it_never_sends() -> None:
    point = Point()
    point.tell_addresses(own("10.0.0.2/24"), own("10.0.0.3/24", "eth1"))
    first, second = point.granted(), point.granted("http://10.0.0.1:8000/other")
    point.history.connected(DEVICE, 0.0)
    point.notify(first)
    point.deaf()
    for request in point.requests():
        if request.kind is RequestKind.UNSUBSCRIBE:  # which the fresh SUBSCRIBE waits for
            point.protocol.request_failed(request, "no answer", point.now)
    (again,) = [each for each in point.requests() if each.kind is RequestKind.SUBSCRIBE]
    point.grant(again, Endpoint("10.0.0.3", 9000))
    assert second.advertised.authority == "10.0.0.3:9000"

    assert point.verdict(second) is Verdict.NEVER_SENDS


def test_a_deaf_subscription_goes_on_being_about_the_address_that_was_tried_first() -> None:
    point = Point()
    point.tell_addresses(own("10.0.0.2/24"), own("10.0.0.3/24", "eth1"))
    record = point.granted()
    point.deaf()
    (unsubscribe,) = point.requests()
    assert unsubscribe.kind is RequestKind.UNSUBSCRIBE
    point.protocol.request_failed(unsubscribe, "no answer", point.now)
    (subscribe,) = point.requests()
    point.now = 6.0
    assert point.protocol.facts(record, 6.0).granted_for == 6.0
    point.grant(subscribe, Endpoint("10.0.0.3", 9000))
    point.at(11.0)

    facts = point.protocol.facts(record, 11.0)
    assert facts.advertised == HERE
    assert facts.granted_for == 11.0
    assert facts.tried == ("10.0.0.3:9000",)
    assert not [o for o in point.protocol.take_outcomes() if isinstance(o, StatusChange)]


def test_once_events_arrive_it_is_about_the_address_that_works() -> None:
    point = Point()
    record = point.granted()
    point.deaf()
    assert record.deafness is not None
    point.notify(record)

    assert record.deafness is None
    facts = point.protocol.facts(record, point.now)
    assert (facts.status, facts.last_event_ago) == (Status.ACTIVE, 0.0)


def test_an_interface_that_was_chosen_does_not_hide_the_others() -> None:
    point = Point()
    point.tell_addresses(own("10.9.0.2/24", "eth1"), others=(own("10.0.0.2/24"),))
    point.subscribe()
    (request,) = point.requests()
    point.grant(request, Endpoint("10.9.0.2", 9000))

    assert "but it is in the network of eth0 (10.0.0.0/24)" in point.deaf().reason


def test_before_a_grant_the_facts_say_how_far_it_is() -> None:
    point = Point()
    record = point.subscribe()
    (request,) = point.requests()
    assert point.protocol.facts(record, 2.0).asked_for == 2.0
    assert point.protocol.facts(record, 2.0).advertised is None
    assert point.verdict(record) is Verdict.PENDING
    point.protocol.request_failed(request, "no route", 3.0)

    facts = point.protocol.facts(record, 3.0)
    assert (facts.asked_for, facts.failure, facts.device) == (None, "no route", "10.0.0.1")
    assert diagnose(facts).verdict is Verdict.NO_ANSWER


def test_the_device_is_known_by_its_answer_where_the_url_has_a_name() -> None:
    point = Point()
    record = point.granted("http://thermometer:8000/evt")
    assert point.protocol.facts(record, 1.0).device == "10.0.0.1"
    record.device_host = None
    assert point.protocol.facts(record, 1.0).device == "10.0.0.1"
    record.remote = None
    facts = point.protocol.facts(record, 1.0)
    assert (facts.device, facts.connections) == (None, None)


@pytest.mark.parametrize(
    ("host", "source", "advertised"),
    [
        (None, Endpoint("10.0.0.2", 9000), Endpoint("10.0.0.2", 9000)),
        (None, Endpoint("fe80::2", 9000, 3), Endpoint("fe80::2", 9000, 3)),
        ("nas.example", Endpoint("fe80::2", 9000, 3), Endpoint("nas.example", 9000)),
        ("2001:db8::1", Endpoint("10.0.0.2", 9000), Endpoint("2001:db8::1", 9000)),
    ],
)
def test_the_advertised_address_has_its_scope_where_it_is_one_of_this_machine(
    host: str | None, source: Endpoint, advertised: Endpoint
) -> None:
    point = Point(callback_host=host)
    record = point.subscribe()
    assert record.advertised_endpoint is None
    (request,) = point.requests()
    point.grant(request, source)

    assert record.advertised_endpoint == advertised
    facts = point.protocol.facts(record, 1.0)
    assert facts.overrides == ({} if host is None else {"callback_host": host})
    assert dataclasses.is_dataclass(facts)


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ECONNREFUSED, "refuses connections"),
        (errno.ECONNRESET, "refuses connections (words)"),
        (errno.EHOSTUNREACH, "does not answer (words)"),
        (errno.ENETUNREACH, "cannot be reached (words)"),
        (
            errno.EMFILE,
            "was not asked: this machine has no descriptor or memory for a connection (words)",
        ),
        (None, "cannot be reached (words)"),
    ],
)
def test_an_error_of_the_system_says_who_is_there(number: int | None, told: str) -> None:
    assert str(failed_probe("192.0.2.1:80", number, "words")) == f"192.0.2.1:80 {told}"


def test_only_the_link_of_a_link_local_device_is_its_network() -> None:
    network = ip_interface("fe80::2/64").network
    links = [LocalAddress("fe80::2", n, network, f"eth{n}", n) for n in (2, 3)]
    point = Point()
    point.tell_addresses(*links)
    record = point.subscribe("http://[fe80::1%eth3]:8000/evt")
    (request,) = point.requests()
    point.grant(request, local=Endpoint("fe80::2", 9000, 3), remote=Endpoint("fe80::1", 8000, 3))
    facts = point.protocol.facts(record, point.now)
    assert facts.near == facts.usable == (links[1],)
    assert facts.own_advertised == links[1]
    lines = dict(facts.lines())
    assert lines["address fe80::2%eth2/64"] == "on eth2, a network interface"
    assert lines["address fe80::2%eth3/64"].endswith("usable, the device's network")


def test_behind_a_web_server_nobody_knows_whether_the_device_has_connected() -> None:
    """The web server accepts the connections, and a proxy connects in place of devices."""
    url = "http://10.0.0.2:9000/events/{token}"
    point = Point(callback_url=url)
    record = point.granted()
    point.now = 5.0
    facts = point.protocol.facts(record, point.now)
    assert (facts.connections, facts.heard, facts.callback_url) == (None, None, url)
    assert facts.overrides == {"callback_url": url}
    point.history.connected(DEVICE, 6.0)  # a listener of our own behind a proxy or NAT
    facts = point.protocol.facts(record, 7.0)
    assert (facts.connections, facts.heard) == (1, True)


def test_a_refused_event_is_found_by_its_subscription_whatever_prefix_was_stripped() -> None:
    point = Point(callback_url="http://10.0.0.2:9000/events/{token}")
    record = point.granted()
    record.path, whole = f"/{record.path.rpartition('/')[2]}", record.path
    assert point.notify(record, HOST="evil.example").status == 400
    record.path = whole
    refused = point.protocol.facts(record, 7.0).refused
    assert refused is not None
    assert (refused.host, refused.status, refused.part) == (DEVICE.host, 400, Part.HOST)
