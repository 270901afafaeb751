"""The URL in CALLBACK that the program gives, and the requests that a web server passes on."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.local_addresses import LocalAddress
from propchange.core.subscriber.callback_url import CallbackURL, callback_of_url
from propchange.core.subscriber.events import Status
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.subscriber.outcomes import ForeignSource
from propchange.core.subscriber.protocol import SubscriberProtocol
from propchange.core.subscriber.record import SubscriptionRecord
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.core.wire.propertyset import format_propertyset
from propchange.core.wire.refusals import Part, Refusal

LOCAL = Endpoint("172.17.0.2", 40_000)
DEVICE = Endpoint("192.168.1.9", 1400)
URL = "http://192.168.1.5:8000/events/{token}"


class Point:
    """A subscriber behind a web server, with the devices at its other end."""

    def __init__(
        self, callback_url: str = URL, *, remote: Endpoint = DEVICE, **policy: object
    ) -> None:
        self.tokens = 0
        self.remote = remote
        self.protocol = SubscriberProtocol(
            new_token=self._token,
            jitter=lambda: 0.0,
            policy=SubscriberPolicy(callback_url=callback_url, **policy),
        )

    def _token(self) -> str:
        self.tokens += 1
        return f"tok_en-{self.tokens:09}"

    def granted(self, sid: str = "uuid:1", service: str = "evt") -> SubscriptionRecord:
        """A subscription whose SUBSCRIBE was answered."""
        record, request = self.asked(service)
        self.grant(request, sid)
        return record

    def asked(self, service: str = "evt"):
        record = self.protocol.subscribe(f"http://{DEVICE}/{service}", 0.0)
        (request,) = self.protocol.take_requests()
        request.build(LOCAL)
        request.remote = self.remote
        return record, request

    def grant(self, request, sid: str) -> None:
        headers = ((b"SID", sid.encode()), (b"TIMEOUT", b"Second-1800"))
        self.protocol.response_received(request, Response(200, headers), 1.0)

    def notify(
        self,
        target: str,
        sid: str = "uuid:1",
        seq: int = 0,
        *,
        host: str = "192.168.1.5:8000",
        more: tuple[tuple[bytes, bytes], ...] = (),
        local: Endpoint | None = None,
        peer: Endpoint | None = None,
    ) -> int:
        """The status of an event message for ``target``."""
        headers = (
            (b"HOST", host.encode()),
            (b"NT", b"upnp:event"),
            (b"NTS", b"upnp:propchange"),
            (b"SID", sid.encode()),
            (b"SEQ", b"%d" % seq),
            *more,
        )
        body = format_propertyset([("A", str(seq))])
        request = Request("NOTIFY", target, headers, body, local=local, peer=peer)
        return self.protocol.receive_notify(request, 2.0).status


def target_of(record: SubscriptionRecord) -> str:
    url = urlsplit(record.callback)
    return f"{url.path}?{url.query}" if url.query else url.path


# --- CALLBACK ---


@pytest.mark.parametrize(
    ("given_url", "callback"),
    [
        (URL, "http://192.168.1.5:8000/events/tok_en-000000001"),
        ("http://nas.local/{token}/upnp?k=1", "http://nas.local/tok_en-000000001/upnp?k=1"),
        ("http://[fd00::5]:8000/{token}", "http://[fd00::5]:8000/tok_en-000000001"),
        ("http://192.168.1.5:8000/events", "http://192.168.1.5:8000/events"),
        ("http://192.168.1.5:8000", "http://192.168.1.5:8000/"),
        ("http://192.168.1.5/a%20b/{token}", "http://192.168.1.5/a%20b/tok_en-000000001"),
    ],
)
def test_callback_is_the_url_of_the_program_with_a_secret_for_its_token(
    given_url: str, callback: str
) -> None:
    assert Point(given_url).granted().callback == callback


def test_each_subscribe_has_a_token_of_its_own() -> None:
    point = Point()
    assert point.granted("uuid:1").callback != point.granted("uuid:2").callback


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("https://192.168.1.5/{token}", "begins with http://"),
        ("/events/{token}", "begins with http://"),
        ("", "begins with http://"),
        ("http://192.168.1.5/{token}#part", "no #fragment"),
        ("http:///events/{token}", "calls an address or a name"),
        ("http://user@192.168.1.5/{token}", "without a user"),
        ("http://{token}/events", "calls an address or a name"),
        ("http://0.0.0.0:8000/{token}", "a wildcard address"),
        ("http://[::]:8000/{token}", "a wildcard address"),
        ("http://239.255.255.250/{token}", "calls an address or a name"),
        ("http://[fe80::1%25eth0]/{token}", "a zone"),
        ("http://192.168.1.5:0/{token}", "calls an address or a name"),
        ("http://192.168.1.5:70000/{token}", "a port from 1 to 65535"),
        ("http://192.168.1.5/{token}/{token}", "in the path once"),
        ("http://192.168.1.5/events?{token}", "in the path once"),
        ("http://192.168.1.5/{sid}", "what can stand in braces, not {sid}"),
        ("http://192.168.1.5/{token:path}", "what can stand in braces, not {token:path}"),
        ("http://192.168.1.5/{token", "what can stand in braces, not {"),
        ("http://192.168.1.5/x}/{token}", "what can stand in braces, not }"),
        ("http://192.168.1.5/<{token}>", "other characters"),
        ("http://192.168.1.5/a b/{token}", "other characters"),
        ("http://192.168.1.5/é/{token}", "other characters"),
        ("http://192.168.1.5/%zz/{token}", "other characters"),
        ("http://192.168.1.5/{token}\r\nX: y", "other characters"),
        ("http://192.168.1.5/\n{token}", "other characters"),
        ("http://192.168.1.5/%7Btoken%7d", "with braces and not as %7B"),
        ("http://192.168.1.5/events-{token}", "a whole segment"),
        ("http://192.168.1.5/{token}.xml", "a whole segment"),
    ],
)
def test_what_no_device_can_call_is_no_callback_url(wrong: str, says: str) -> None:
    with pytest.raises(ValueError, match="is no callback_url") as refused:
        SubscriberPolicy(callback_url=wrong)
    assert says in str(refused.value)
    assert "write it as http://192.168.1.5:8000/events/{token}" in str(refused.value)


@pytest.mark.parametrize("wrong", [b"http://192.168.1.5/{token}", 8000])
def test_callback_url_is_a_text(wrong: Any) -> None:
    with pytest.raises(
        TypeError, match=r"a str such as http://192\.168\.1\.5:8000/events/\{token\}"
    ):
        SubscriberPolicy(callback_url=wrong)


@pytest.mark.parametrize(
    "other", [{"callback_host": "10.0.0.1"}, {"callback_port": 80}, {"shared_path": "/events"}]
)
def test_callback_url_excludes_the_settings_of_its_parts(other: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="leave out callback_host, callback_port and shared_path"):
        SubscriberPolicy(callback_url=URL, **other)


def lan(host: str) -> LocalAddress:
    return LocalAddress(host, 0, ip_network("192.168.1.0/24"), "eth0", 2)


def test_no_other_address_is_tried_when_the_program_names_the_url() -> None:
    """Not for a device that refuses the delivery URL, and not for one that sends nothing."""
    point = Point()
    point.protocol.addresses_changed((lan("192.168.1.5"), lan("192.168.1.6")), 0.0)
    record, request = point.asked()
    point.protocol.response_received(request, Response(412), 1.0)
    assert point.protocol.take_requests() == []
    assert "it will not send events to 192.168.1.5:8000" in record.status_reason
    point.protocol.handle_deadline(60.0)
    (request,) = point.protocol.take_requests()
    assert request.source is None
    request.build(Endpoint("192.168.1.6", 0))
    assert record.callback.startswith("http://192.168.1.5:8000/events/")
    request.remote = DEVICE
    point.grant(request, "uuid:1")
    point.protocol.handle_deadline(90.0)
    assert record.status is Status.DEAF
    assert "as callback_url says" in record.status_reason
    assert {each.source for each in point.protocol.take_requests()} <= {
        None, Endpoint("192.168.1.6", 0)
    }  # fmt: skip


def test_the_loss_of_an_own_address_is_told_as_that() -> None:
    """The URL stays, and a fresh subscription leaves from an address that is there."""
    point = Point()
    point.protocol.addresses_changed((lan(LOCAL.host), lan("192.168.1.5")), 0.0)
    record = point.granted()
    point.protocol.addresses_changed((lan("192.168.1.5"),), 2.0)
    assert record.status_reason == (
        "172.17.0.2, which SUBSCRIBE was sent from, is no longer an address of this machine"
    )


# --- what a web server passes on ---


def test_an_event_finds_its_subscription_by_the_path_in_callback() -> None:
    point = Point()
    one, two = point.granted("uuid:1"), point.granted("uuid:2", "other")
    assert point.notify(target_of(two), "uuid:2") == 200
    assert point.notify(target_of(one), "uuid:1") == 200
    assert one.values == two.values == {"A": "0"}
    assert point.notify(target_of(one), "uuid:2") == 412


_SEGMENT = st.text("abz09-_~.", min_size=1, max_size=6).filter(lambda each: each.strip("."))
_PREFIX = st.lists(_SEGMENT, max_size=4)
_BEHIND = st.lists(_SEGMENT, max_size=2)
_QUERY = st.sampled_from(["", "?", "?k=1", "?k=/a/b"])


def _encode(text: str, which: list[bool]) -> str:
    """``text`` with some of its characters as %xx, as a web server may write them."""
    marks = [*which, *[False] * len(text)]
    return "".join(
        f"%{ord(each):02x}" if mark else each for each, mark in zip(text, marks, strict=False)
    )


@given(
    before=_PREFIX,
    behind=_BEHIND,
    query=_QUERY,
    stripped=st.integers(0, 4),
    added=_PREFIX,
    encoded=st.lists(st.booleans(), max_size=16),
    slash=st.booleans(),
    keeps_query=st.booleans(),
    data=st.data(),
)
def test_a_mount_of_any_depth_passes_an_event_on_and_a_wrong_token_never_matches(
    *,
    before: list[str],
    behind: list[str],
    query: str,
    stripped: int,
    added: list[str],
    encoded: list[bool],
    slash: bool,
    keeps_query: bool,
    data: st.DataObject,
) -> None:
    """A web server may strip or add a prefix, encode characters, end the path with a slash, and
    drop the query."""
    path = "/".join(("", *before, "{token}", *behind))
    point = Point(f"http://192.168.1.5:8000{path}{query}")
    record = point.granted()
    token = "tok_en-000000001"
    segments = [*added, *before[stripped:], _encode(token, encoded), *behind]

    def target(last: list[str]) -> str:
        return "/" + "/".join(last) + ("/" if slash else "") + (query if keeps_query else "")

    assert point.notify(target(segments)) == 200
    assert record.values == {"A": "0"}

    other = data.draw(st.text("abtokenz019-_", min_size=len(token), max_size=len(token)))
    wrong = [*added, *before[stripped:], other, *behind]
    assert (point.notify(target(wrong), seq=1) == 412) is (other != token)
    assert point.notify(target([*added, *before[stripped:], *behind, "x"]), seq=2) == 412


def test_the_segments_behind_the_token_count() -> None:
    point = Point("http://192.168.1.5/{token}/upnp")
    point.granted()
    assert point.notify("/tok_en-000000001", host="192.168.1.5") == 412
    assert point.notify("/tok_en-000000001/other", host="192.168.1.5") == 412
    assert point.notify("/", host="192.168.1.5") == 412
    assert point.notify("*", host="192.168.1.5") == 412
    assert point.notify("/tok_en-000000001/upnp", host="192.168.1.5") == 200


def test_without_a_web_server_in_front_a_path_is_the_whole_path() -> None:
    """A listener of our own strips nothing, so nothing may be missing or added."""
    assert SubscriberPolicy().callback.path_of("/x/tok") == "/x/tok"
    assert SubscriberPolicy(shared_path="/events").callback.path_of("/mount/events/") == (
        "/mount/events/"
    )


# --- one URL for all ---


@pytest.mark.parametrize("target", ["/events", "/", "/mount/events/", "/other?x=1"])
def test_without_a_token_the_sid_names_the_subscription(target: str) -> None:
    """Whatever path the web server passes on."""
    point = Point("http://192.168.1.5:8000/events")
    one, two = point.granted("uuid:1"), point.granted("uuid:2", "other")
    assert one.callback == two.callback == "http://192.168.1.5:8000/events"
    assert point.notify(target, "uuid:2") == 200
    assert (one.values, two.values) == ({}, {"A": "0"})
    assert point.notify(target, "uuid:3", 5) == 412


def test_without_a_token_an_event_before_the_answer_is_kept_for_its_sid() -> None:
    """Two services of one device: each gets its own."""
    point = Point("http://192.168.1.5:8000/events")
    (one, first), (two, second) = point.asked("one"), point.asked("two")
    assert point.notify("/", "uuid:2") == 200
    assert point.notify("/events", "uuid:1") == 200
    point.grant(first, "uuid:1")
    assert (one.values, two.values) == ({"A": "0"}, {})
    point.grant(second, "uuid:2")
    assert two.values == {"A": "0"}


def test_without_a_token_a_sid_that_two_devices_grant_is_that_of_the_later() -> None:
    point = Point("http://192.168.1.5:8000/events")
    one, two = point.granted("uuid:1"), point.granted("uuid:1", "other")
    assert point.notify("/events", "uuid:1") == 200
    assert (one.values, two.values) == ({}, {"A": "0"})
    point.protocol.abandon(two)
    assert point.notify("/events", "uuid:1", 1) == 412


def test_with_a_token_two_devices_may_grant_one_sid() -> None:
    point = Point()
    one, two = point.granted("uuid:1"), point.granted("uuid:1", "other")
    assert point.notify(target_of(one), "uuid:1") == 200
    assert (one.values, two.values) == ({"A": "0"}, {})


# --- the guards ---


@pytest.mark.parametrize(
    ("host", "local", "status"),
    [
        ("192.168.1.5:8000", None, 200),
        ("192.168.1.5:8000", LOCAL, 200),
        ("172.17.0.2:40000", LOCAL, 200),
        ("172.17.0.2:40000", None, 400),
        ("192.168.1.5", None, 400),
        ("192.168.1.5:80", None, 400),
        ("evil.example:8000", LOCAL, 400),
        ("nas.local", None, 200),
        ("nas.local:1", None, 200),
    ],
)
def test_host_is_that_of_callback_url_or_the_address_of_the_connection(
    host: str, local: Endpoint | None, status: int
) -> None:
    """A web server may not know the address: then it does not count (DNS rebinding)."""
    point = Point(hosts=frozenset({"nas.local"}))
    record = point.granted()
    assert point.notify(target_of(record), host=host, local=local) == status


@pytest.mark.parametrize("target", ["/events/tok_en-000000009", "/", "/other", "/events/a/b"])
def test_a_stray_of_a_former_process_is_stopped(target: str) -> None:
    """It has the HOST of callback_url and a token of then; 412 ends it at its publisher."""
    assert Point().notify(target, seq=7) == 412


def test_a_web_page_is_refused() -> None:
    point = Point()
    target = target_of(point.granted())
    assert point.notify(target, more=((b"ORIGIN", b"http://evil.example"),)) == 403
    assert point.notify(target, more=((b"ORIGIN", b"http://192.168.1.5:8000"),)) == 200


_NAMES = st.sampled_from([b"HOST", b"Host", b"SID", b"SEQ", b"NT", b"NTS", b"ORIGIN", b"", b"X"])
_VALUES = st.sampled_from([b"192.168.1.5:8000", b"uuid:1", b"0", b"upnp:event", b"upnp:propchange"])
_ENDS = st.none() | st.builds(Endpoint, st.text(max_size=9), st.integers(0, 9))


@given(
    url=st.sampled_from([URL, "http://192.168.1.5:8000/events"]),
    method=st.sampled_from(["NOTIFY", "GET", "", "\x00"]) | st.text(max_size=5),
    target=st.text(max_size=40) | st.text("/%?.{}token 0", max_size=40),
    headers=st.lists(st.tuples(_NAMES | st.binary(max_size=5), _VALUES | st.binary(max_size=20))),
    body=st.binary(max_size=60),
    peer=_ENDS,
    local=_ENDS,
)
def test_whatever_a_web_server_passes_on_has_an_answer_and_changes_nothing(
    *,
    url: str,
    method: str,
    target: str,
    headers: list[tuple[bytes, bytes]],
    body: bytes,
    peer: Endpoint | None,
    local: Endpoint | None,
) -> None:
    point = Point(url)
    record = point.granted()
    request = Request(method, target, headers, body, peer=peer, local=local)
    assert point.protocol.receive_notify(request, 2.0).status in (400, 403, 405, 412)
    assert record.values == {}


def test_a_required_source_must_be_known() -> None:
    """A web server that does not say where a request came from vouches for nothing."""
    lenient, strict = Point(), Point(require_device_source=True)
    for point, statuses in ((lenient, [200, 200, 200]), (strict, [200, 412, 412])):
        target = target_of(point.granted())
        peers = (DEVICE._replace(port=5), None, Endpoint("127.0.0.1", 5))
        found = [point.notify(target, seq=seq, peer=peer) for seq, peer in enumerate(peers)]
        assert found == statuses


def test_a_proxy_on_this_machine_is_no_foreign_source_to_tell_of() -> None:
    """It hides where the event came from. Another host is told of, as without a web server."""
    point = Point()
    target = target_of(point.granted())
    for seq, (peer, told) in enumerate((("127.0.0.1", 0), ("192.168.1.77", 1))):
        point.protocol.take_outcomes()
        assert point.notify(target, seq=seq, peer=Endpoint(peer, 5)) == 200
        outcomes = point.protocol.take_outcomes()
        assert sum(isinstance(each, ForeignSource) for each in outcomes) == told


def test_a_device_on_this_machine_may_have_foreign_sources_on_it() -> None:
    """No other machine's event comes from loopback there, so nothing is hidden."""
    point = Point(remote=Endpoint("127.0.0.1", 49152))
    target = target_of(point.granted())
    point.protocol.take_outcomes()
    assert point.notify(target, seq=0, peer=Endpoint("127.0.0.2", 5)) == 200
    assert any(isinstance(each, ForeignSource) for each in point.protocol.take_outcomes())


def test_an_event_that_the_runtime_refuses_is_lost_to_its_subscription() -> None:
    """It was too large, say: a fresh subscription restores the state."""
    point = Point()
    record = point.granted()
    assert point.notify(target_of(record)) == 200
    headers = ((b"SID", b"uuid:1"), (b"SEQ", b"1"))
    request = Request("NOTIFY", target_of(record).removeprefix("/events"), headers)
    refusal = Refusal(413, "the body is too large", "", Part.SIZE)
    assert point.protocol.refuse(request, refusal, 3.0).status == 413
    assert record.doubt is not None
    stray = Request("NOTIFY", "/events/other", ((b"SID", b"uuid:2"), (b"SEQ", b"1")))
    other = point.granted("uuid:3", "other")
    assert point.protocol.refuse(stray, refusal, 3.0).status == 413
    assert other.doubt is None


def test_the_form_of_the_url_is_read_once() -> None:
    assert callback_of_url("http://Nas.Local:8000/x/{token}/y?z") == CallbackURL(
        "nas.local", 8000, "Nas.Local:8000", "/x/", "/y?z", has_token=True, is_whole=True
    )
