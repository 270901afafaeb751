"""What the judges of both sides refuse: HOST, the method, policies that are none."""

from __future__ import annotations

import tomllib
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.publisher.judge import (
    PublisherPolicy,
    judge_subscribe,
    judge_unsubscribe,
    subscribe_response,
)
from propchange.core.subscriber.judge import (
    SubscriberPolicy,
    judge_notify,
    notify_response,
)
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.core.wire.refusals import (
    CONNECTION_ENDED,
    PRODUCT,
    UDA_VERSIONS,
    Part,
    Refusal,
    empty_response,
    judge_authority,
    judge_host,
    judge_size,
    refusal_response,
    stalled,
    unread,
)
from tests.core.judging import (
    CALLBACK,
    EMPTY,
    HOST,
    LAN,
    LISTENER,
    LOCAL,
    NT,
    NTS,
    POLICY,
    SEQ,
    SERVER,
    SID,
    SIGNED,
    Header,
    notify,
    request,
    status,
    subscribe,
    unsubscribe,
)

# --- repeated headers ---


def test_other_headers_may_come_more_than_once() -> None:
    extra = [(b"X-Any", b"1"), (b"X-Any", b"2")]
    assert status(subscribe(CALLBACK, NT, *extra)) == 200
    assert status(unsubscribe(SID, *extra)) == 200
    assert status(notify(NT, NTS, SID, SEQ, *extra)) == 200


@pytest.mark.clause("SUB-75")
@pytest.mark.parametrize("method", ["GET", "subscribe", "M-SEARCH", "X\x1b[2J"])
def test_another_method_is_answered_405(method: str) -> None:
    shown = ascii(method)
    made = request(method, CALLBACK, NT)
    for verdict, expected in (
        (judge_subscribe(made, POLICY, DEFAULT_LIMITS, LAN), "SUBSCRIBE"),
        (judge_unsubscribe(made, POLICY), "UNSUBSCRIBE"),
        (judge_notify(made, LISTENER), "NOTIFY"),
    ):
        assert verdict == Refusal(
            405, f"{shown} was sent where {expected} is expected", "UDA 2.0 §2.1"
        )


@pytest.mark.clause("SUB-07")
@pytest.mark.parametrize("http_version", ["1.0", "1.1"])
def test_a_missing_host_is_answered_400(http_version: str) -> None:
    refusal = Refusal(400, "HOST is missing", "UDA 2.0 §2.1", Part.HOST)

    def without(method: str, *headers: Header) -> Request:
        return request(method, *headers, host=None, http_version=http_version)

    assert judge_host(without("GET"), frozenset()) == refusal
    assert (
        judge_subscribe(without("SUBSCRIBE", CALLBACK, NT), POLICY, DEFAULT_LIMITS, LAN) == refusal
    )
    assert judge_unsubscribe(without("UNSUBSCRIBE", SID), POLICY) == refusal
    assert judge_notify(without("NOTIFY", NT, NTS, SID, SEQ), LISTENER) == refusal


def is_foreign(refusal: Refusal | None) -> bool:
    """Whether it is the refusal of a HOST that names another listener."""
    if refusal is None:
        return False
    assert refusal._replace(reason="") == Refusal(400, "", "RFC 9110 §7.4", Part.HOST)
    return refusal.reason.startswith("HOST is not the address and port of this connection, but ")


def host(
    value: bytes,
    *extra: str,
    local: Endpoint | None = LOCAL,
    advertised: str | None = None,
) -> Refusal | None:
    made = request("NOTIFY", host=(b"HOST", value), local=local)
    if advertised is not None:
        return judge_authority(value, made.local, frozenset(extra), advertised)
    return judge_host(made, frozenset(extra))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"192.168.1.5", "192.168.1.5:80"),
        (b"[fd00::5]:8000", "[fd00::5]:8000"),
        (b"x" * 70 + b":1", "x" * 64 + "…:1"),
    ],
)
def test_a_foreign_host_is_named_with_its_port_in_the_reason(value: bytes, shown: str) -> None:
    refusal = host(value)
    assert refusal is not None
    assert f"this connection, but {shown}; send" in refusal.reason


def test_a_foreign_host_is_answered_400_by_every_judge() -> None:
    foreign = (b"HOST", b"evil.example:8123")
    made = request("SUBSCRIBE", CALLBACK, NT, host=foreign)
    refused = judge_subscribe(made, POLICY, DEFAULT_LIMITS, LAN)
    assert isinstance(refused, Refusal)
    assert is_foreign(refused)
    assert judge_unsubscribe(request("UNSUBSCRIBE", SID, host=foreign), POLICY) == refused
    assert judge_notify(request("NOTIFY", NT, NTS, SID, SEQ, host=foreign), LISTENER) == refused


@pytest.mark.parametrize(
    ("origin", "code"),
    [
        (b"http://%b" % HOST[1], 200),
        (b"HTTP://%b" % HOST[1], 200),
        (b"https://%b" % HOST[1], 403),
        (b"http://evil.example", 403),
        (b"http://evil.example:8123", 403),
        (b"null", 403),
        (b"", 403),
        (b"http://%b.evil.example" % HOST[1], 403),
    ],
)
def test_what_a_web_page_of_another_site_sends_is_answered_403_by_every_judge(
    origin: bytes, code: int
) -> None:
    page = (b"Origin", origin)
    made = request("SUBSCRIBE", CALLBACK, NT, page)
    assert status(judge_subscribe(made, POLICY, DEFAULT_LIMITS, LAN)) == code
    assert status(judge_unsubscribe(request("UNSUBSCRIBE", SID, page), POLICY)) == code
    assert status(judge_notify(request("NOTIFY", NT, NTS, SID, SEQ, page), LISTENER)) == code
    refused = judge_host(request("POST", page), frozenset())
    assert (200 if refused is None else refused.status) == code


def test_two_origins_are_not_one() -> None:
    own = (b"ORIGIN", b"http://%b" % HOST[1])
    refused = judge_host(request("POST", own, own), frozenset())
    assert refused is not None
    assert refused.status == 403


def test_a_host_of_the_policy_is_accepted_by_every_judge() -> None:
    named = (b"HOST", b"tv.example:8123")
    policy = PublisherPolicy(hosts=frozenset({"tv.example"}))
    made = request("SUBSCRIBE", CALLBACK, NT, host=named)
    assert status(judge_subscribe(made, policy, DEFAULT_LIMITS, LAN)) == 200
    assert status(judge_unsubscribe(request("UNSUBSCRIBE", SID, host=named), policy)) == 200
    listener = SubscriberPolicy(hosts=frozenset({"tv.example"}))
    assert status(judge_notify(request("NOTIFY", NT, NTS, SID, SEQ, host=named), listener)) == 200


@pytest.mark.parametrize(
    ("value", "local"),
    [
        (b"192.168.1.2:8123", LOCAL),
        (b"192.168.1.2:08123", LOCAL),
        (b"192.168.1.2", Endpoint("192.168.1.2", 80)),
        (b"192.168.1.2:", Endpoint("192.168.1.2", 80)),
        (b"192.168.1.2:80", Endpoint("192.168.1.2", 80)),
        (b"192.168.1.2:8123", Endpoint("::ffff:192.168.1.2", 8123)),
        (b"[::ffff:192.168.1.2]:8123", LOCAL),
        (b"[fe80::2]:8123", Endpoint("fe80::2", 8123, 3)),
        (b"[FE80:0::0002]:8123", Endpoint("fe80::2", 8123, 3)),
        (b"[::1]", Endpoint("::1", 80)),
    ],
)
def test_a_host_that_is_the_address_of_the_connection_is_right(
    value: bytes, local: Endpoint
) -> None:
    assert host(value, local=local) is None


@pytest.mark.parametrize(
    "value",
    [
        b"192.168.1.2",
        b"192.168.1.2:80",
        b"192.168.1.2:8124",
        b"192.168.1.3:8123",
        b"192.168.1.02:8123",
        b"localhost:8123",
        b"evil.example",
        b"evil.example:8123",
        b"[::1]:8123",
    ],
)
def test_a_host_that_is_another_is_answered_400(value: bytes) -> None:
    assert is_foreign(host(value))
    assert is_foreign(host(value, local=None))


@pytest.mark.parametrize(
    "value", [b"", b"192.168.1.2:0", b"a b", b"192.168.1.2:8123, 192.168.1.2:8123"]
)
def test_a_host_that_cannot_be_read_is_answered_400(value: bytes) -> None:
    verdict = host(value)
    assert verdict is not None
    assert (verdict.status, verdict.clause) == (400, "UDA 2.0 §2.1")
    assert "HOST" in verdict.reason


@pytest.mark.clause("V6-07")
def test_a_host_with_a_zone_is_answered_400() -> None:
    assert host(b"[fe80::2%3]:8123", local=Endpoint("fe80::2", 8123, 3)) == Refusal(
        400,
        "HOST is malformed: there is no IPv6 address without a zone in the brackets",
        "UDA 2.0 §2.1",
        Part.HOST,
    )


def test_a_repeated_host_is_answered_400_even_when_both_are_right() -> None:
    made = request("GET", HOST, (b"X", b"1"), (b"X", b"2"))
    assert judge_host(made, frozenset()) == Refusal(400, "HOST came more than once", "UDA 2.0 §2.1")


def test_another_header_may_be_repeated_beside_host() -> None:
    assert judge_host(request("GET", (b"X", b"1"), (b"X", b"2")), frozenset()) is None


@pytest.mark.parametrize(
    ("value", "entry", "accepted"),
    [
        (b"tv.local", "tv.local", True),
        (b"TV.LOCAL:8123", "tv.Local", True),
        (b"tv.local:1", "tv.local", True),
        (b"tv.local:8080", "tv.local:8080", True),
        (b"tv.local", "tv.local:80", True),
        (b"tv.local:80", "tv.local", True),
        (b"tv.local", "tv.local:8080", False),
        (b"tv.local:8080", "tv.local:80", False),
        (b"tv.local:8080", "tv.local:8081", False),
        (b"xtv.local", "tv.local", False),
        (b"10.0.0.1:99", "10.0.0.1", True),
        (b"[fd00:0::1]:99", "[fd00::1]", True),
        (b"[fd00:0::1]:99", "[FD00::1]:99", True),
        (b"[fd00::1]:98", "[fd00::1]:99", False),
    ],
)
def test_an_extra_host_is_taken_with_its_port_or_for_every_port(
    value: bytes, entry: str, accepted: bool
) -> None:
    assert is_foreign(host(value, entry)) is not accepted
    assert is_foreign(host(value, "other", entry, "third:1")) is not accepted
    assert is_foreign(host(value, entry, local=None)) is not accepted


@pytest.mark.parametrize(
    ("value", "advertised", "accepted"),
    [
        (b"203.0.113.5:9000", "203.0.113.5:9000", True),
        (b"203.0.113.5:9001", "203.0.113.5:9000", False),
        (b"203.0.113.5", "203.0.113.5:80", True),
        (b"203.0.113.5:80", "203.0.113.5", True),
        (b"203.0.113.5:9000", "203.0.113.5", False),
        (b"NAT.example:9000", "nat.Example:9000", True),
        (b"[fd00::1]", "[fd00:0::1]:80", True),
        (b"192.168.1.2:8123", "203.0.113.5:9000", True),
    ],
)
def test_the_advertised_authority_is_accepted(
    value: bytes, advertised: str, accepted: bool
) -> None:
    assert is_foreign(host(value, advertised=advertised)) is not accepted
    made = request("NOTIFY", NT, NTS, SID, SEQ, host=(b"HOST", value))
    assert status(judge_notify(made, LISTENER, advertised)) == (200 if accepted else 400)


# --- NOTIFY ---


HEADER = st.tuples(
    st.sampled_from([b"HOST", b"SID", b"NT", b"NTS", b"SEQ", b"CALLBACK", b"TIMEOUT", b"STATEVAR"]),
    st.one_of(
        st.sampled_from([HOST[1], CALLBACK[1], NT[1], NTS[1], SID[1], SEQ[1]]),
        st.binary(max_size=20),
    ),
)


@given(st.lists(HEADER, max_size=8))
def test_no_headers_make_a_judge_fail(headers: list[Header]) -> None:
    for hosted in (HOST, None):
        made = request("SUBSCRIBE", *headers, host=hosted)
        verdict = judge_subscribe(made, PublisherPolicy(uda="2.0"), DEFAULT_LIMITS, LAN)
        assert status(verdict) in (200, 400, 412)
        made = request("UNSUBSCRIBE", *headers, host=hosted)
        assert status(judge_unsubscribe(made, POLICY)) in (200, 400, 412)
        made = request("NOTIFY", *headers, host=hosted)
        assert status(judge_notify(made, LISTENER)) in (200, 400, 412)


# --- policies ---


def test_the_product_token_has_the_version_of_the_package() -> None:
    pyproject = Path(__file__).parents[3] / "pyproject.toml"
    version = tomllib.loads(pyproject.read_text("utf-8"))["project"]["version"]
    major, minor, *_ = version.split(".")
    assert f"propchange/{major}.{minor}" == PRODUCT


@pytest.mark.clause("SUB-44")
@pytest.mark.parametrize("uda", UDA_VERSIONS)
def test_a_policy_signs_with_its_version_of_the_architecture(uda: str) -> None:
    signature = f"unknown/0.0 UPnP/{uda} propchange/0.1"
    assert PublisherPolicy(uda=uda).server == signature
    assert SubscriberPolicy(uda=uda).user_agent == signature


def test_a_given_signature_is_kept() -> None:
    assert PublisherPolicy(server="a/1 UPnP/1.1 b/2").server == "a/1 UPnP/1.1 b/2"
    assert SubscriberPolicy(user_agent="a/1 UPnP/1.1 b/2").user_agent == "a/1 UPnP/1.1 b/2"


def test_a_policy_cannot_be_changed() -> None:
    for policy in (POLICY, LISTENER):
        with pytest.raises(FrozenInstanceError):
            policy.uda = "2.0"  # type: ignore[misc]  # it is frozen


def test_there_are_three_versions_of_the_architecture() -> None:
    assert UDA_VERSIONS == ("1.0", "1.1", "2.0")
    message = r"^uda is one of 1\.0, 1\.1, 2\.0, not '3\.0'$"
    with pytest.raises(ValueError, match=message):
        PublisherPolicy(uda="3.0")
    with pytest.raises(ValueError, match=message):
        SubscriberPolicy(uda="3.0")


def test_a_policy_refuses_hosts_that_cannot_be_read() -> None:
    message = r"^'http://tv' in hosts is no name or address, with or without a port$"
    hosts = frozenset({"http://tv"})
    with pytest.raises(ValueError, match=message):
        PublisherPolicy(hosts=hosts)
    with pytest.raises(ValueError, match=message):
        SubscriberPolicy(hosts=hosts)


# --- responses ---


@pytest.mark.parametrize("code", [400, 404, 412, 503])
def test_a_refusal_is_answered_with_its_status(code: int) -> None:
    refusal = Refusal(code, "a reason", "UDA 2.0 §4.1.2")
    response = refusal_response(refusal, SIGNED, request("SUBSCRIBE"))
    assert (response.status, list(response.headers), response.body) == (
        code,
        [SERVER, EMPTY],
        b"",
    )
    response = refusal_response(refusal, LISTENER, request("NOTIFY"))
    assert (response.status, list(response.headers)) == (code, [EMPTY])


@pytest.mark.clause("SUB-75")
def test_a_405_says_which_methods_there_are() -> None:
    refusal = Refusal(405, "", "")
    response = refusal_response(refusal, SIGNED, request("GET"))
    assert response.status == 405
    assert list(response.headers) == [SERVER, EMPTY, (b"ALLOW", b"SUBSCRIBE, UNSUBSCRIBE")]
    response = refusal_response(refusal, LISTENER, request("GET"))
    assert list(response.headers) == [EMPTY, (b"ALLOW", b"NOTIFY")]


@pytest.mark.clause("SUB-32")
@pytest.mark.clause("SUB-56")
@pytest.mark.clause("RSP-05")
@pytest.mark.parametrize(
    ("http_version", "answered"), [("1.0", "1.0"), ("1.1", "1.1"), ("1.2", "1.1"), ("2.0", "1.1")]
)
@pytest.mark.parametrize("keep_alive", [False, True])
def test_an_answer_has_the_version_and_the_connection_of_its_request(
    http_version: str, answered: str, keep_alive: bool
) -> None:
    made = request("ANY", http_version=http_version, keep_alive=keep_alive)
    responses: list[Response] = [
        subscribe_response("uuid:1", 300, SIGNED, made),
        empty_response(200, made, SIGNED),
        notify_response(made),
        refusal_response(Refusal(412, "", ""), SIGNED, made),
        refusal_response(Refusal(412, "", ""), LISTENER, made),
    ]
    for response in responses:
        assert response.http_version == answered
        assert response.close is not keep_alive


@pytest.mark.parametrize("value", ["a/1\r\nX: y", "a/1\nX: y", "a/1\0", "\xe4/1", "a\u2028b"])
def test_a_product_of_more_than_one_line_is_no_policy(value: str) -> None:
    with pytest.raises(ValueError, match="one line of printable ASCII"):
        PublisherPolicy(server=value)
    with pytest.raises(ValueError, match="one line of printable ASCII"):
        SubscriberPolicy(user_agent=value)


# --- sizes ---


SMALL = Limits(target_bytes=20, header_count=2, header_bytes=60, body_bytes=10)


@pytest.mark.parametrize(
    ("target", "headers", "body", "refused"),
    [
        ("/" + 19 * "x", ((b"A", b"b"), (b"A", b"b")), 10 * b"x", None),
        ("/" + 20 * "x", (), b"", 414),
        ("/", 3 * ((b"A", b"b"),), b"", 431),
        ("/", ((b"A", 51 * b"b"),), b"", None),
        ("/", ((b"A", 52 * b"b"),), b"", 431),
        ("/", (), 11 * b"x", 413),
    ],
)
def test_a_request_above_a_cap_is_refused_whoever_has_read_it(
    target: str, headers: tuple[Header, ...], body: bytes, refused: int | None
) -> None:
    refusal = judge_size(Request("GET", target, headers, body), SMALL)
    assert (refusal and refusal.status) == refused


@pytest.mark.parametrize(
    ("status", "part"),
    [(400, Part.FRAMING), (413, Part.SIZE), (408, Part.REST), (503, Part.REST)],
)
def test_the_status_of_a_request_that_was_not_read_tells_what_was_wrong_with_it(
    status: int, part: Part
) -> None:
    assert unread(status, "why") == Refusal(status, "why", "", part)


def test_a_request_that_does_not_come_whole_has_no_status() -> None:
    assert stalled(4.5) == Refusal(0, "nothing more came for 4.5 s", "", Part.REST)
    assert (CONNECTION_ENDED.status, CONNECTION_ENDED.part) == (0, Part.REST)
