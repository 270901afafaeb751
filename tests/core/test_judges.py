"""The judges of SUBSCRIBE, UNSUBSCRIBE and NOTIFY, and the responses that tell their verdicts."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.local_addresses import OnLink
from propchange.core.publisher.judge import (
    Cancellation,
    NewSubscription,
    PublisherPolicy,
    Renewal,
    judge_subscribe,
    judge_unsubscribe,
    subscribe_response,
    unsubscribe_response,
)
from propchange.core.subscriber.judge import (
    Notification,
    SubscriberPolicy,
    judge_notify,
    notify_response,
)
from propchange.core.wire.messages import DeliveryURL, Endpoint, Request, Response
from propchange.core.wire.refusals import (
    UDA_VERSIONS,
    Refusal,
    judge_authority,
    judge_host,
    refusal_response,
)
from propchange.errors import LocalProtocolError

PEER = Endpoint("192.168.1.9", 50000)
LOCAL = Endpoint("192.168.1.2", 8123)
LAN = (OnLink(IPv4Network("192.168.1.0/24")),)
POLICY = PublisherPolicy()
LISTENER = SubscriberPolicy()

HOST = (b"Host", b"192.168.1.2:8123")
CALLBACK = (b"Callback", b"<http://192.168.1.9:49152/event>")
NT = (b"NT", b"upnp:event")
NTS = (b"NTS", b"upnp:propchange")
SID = (b"SID", b"uuid:1")
SEQ = (b"SEQ", b"7")
TIMEOUT = (b"Timeout", b"Second-300")

Header = tuple[bytes, bytes]


def request(
    method: str,
    *headers: Header,
    host: Header | None = HOST,
    body: bytes = b"",
    peer: Endpoint | None = PEER,
    local: Endpoint | None = LOCAL,
    http_version: str = "1.1",
    keep_alive: bool = True,
) -> Request:
    return Request(
        method,
        "/event",
        (*([host] if host else []), *headers),
        body,
        peer=peer,
        local=local,
        http_version=http_version,
        keep_alive=keep_alive,
    )


def subscribe(*headers: Header, policy: PublisherPolicy = POLICY) -> object:
    return judge_subscribe(request("SUBSCRIBE", *headers), policy, DEFAULT_LIMITS, LAN)


def unsubscribe(*headers: Header, policy: PublisherPolicy = POLICY) -> object:
    return judge_unsubscribe(request("UNSUBSCRIBE", *headers), policy)


def notify(*headers: Header, policy: SubscriberPolicy = LISTENER) -> object:
    return judge_notify(request("NOTIFY", *headers, body=b"<x/>"), policy)


@pytest.fixture(autouse=True)
def no_host_was_judged_before() -> None:
    judge_authority.cache_clear()


def status(verdict: object) -> int:
    """The status of a refusal, 200 for everything else."""
    return verdict.status if isinstance(verdict, Refusal) else 200


# --- SUBSCRIBE, new ---


def test_a_good_subscribe_is_a_new_subscription() -> None:
    verdict = judge_subscribe(
        request("SUBSCRIBE", CALLBACK, NT, TIMEOUT), POLICY, DEFAULT_LIMITS, LAN
    )
    assert verdict == NewSubscription(
        urls=(
            DeliveryURL(
                "http://192.168.1.9:49152/event",
                Endpoint("192.168.1.9", 49152),
                "192.168.1.9:49152",
                "/event",
            ),
        ),
        duration=300,
        statevar=None,
        http_version="1.1",
        local=LOCAL,
        peer=PEER,
        close=False,
    )
    assert isinstance(verdict, NewSubscription)


@pytest.mark.clause("SUB-31")
@pytest.mark.clause("SUB-56")
def test_the_version_and_the_end_of_the_connection_are_told() -> None:
    verdict = judge_subscribe(
        request("SUBSCRIBE", CALLBACK, NT, http_version="1.0", keep_alive=False),
        POLICY,
        DEFAULT_LIMITS,
        LAN,
    )
    assert isinstance(verdict, NewSubscription)
    assert verdict.http_version == "1.0"
    assert verdict.close is True


@pytest.mark.clause("SUB-25")
def test_header_names_are_read_in_any_case() -> None:
    assert status(subscribe((b"cAlLbAcK", CALLBACK[1]), (b"nt", NT[1]))) == 200


@pytest.mark.clause("SUB-70")
@pytest.mark.clause("REN-07")
@pytest.mark.clause("AMB-5")
@pytest.mark.parametrize(
    "headers",
    [
        (SID, NT),
        (SID, CALLBACK),
        (SID, NT, CALLBACK),
        ((b"SID", b""), NT, CALLBACK),
        (SID, (b"NT", b"upnp:wrong")),
        (SID, (b"CALLBACK", b"nonsense")),
    ],
)
def test_a_sid_with_nt_or_callback_is_answered_400(headers: tuple[Header, ...]) -> None:
    refusal = Refusal(
        400,
        "a request with a SID carries neither NT nor CALLBACK; leave the SID out to subscribe, or "
        "the others to renew or cancel",
        "UDA 2.0 §4.1.2",
    )
    assert subscribe(*headers) == refusal
    assert unsubscribe(*headers) == refusal


@pytest.mark.clause("SUB-71")
@pytest.mark.clause("AMB-6")
@pytest.mark.clause("REN-08")
@pytest.mark.parametrize("headers", [(), (NT,), (TIMEOUT,)])
def test_a_missing_callback_is_answered_412(headers: tuple[Header, ...]) -> None:
    assert subscribe(*headers) == Refusal(
        412, "there is neither a CALLBACK, to subscribe, nor a SID, to renew", "UDA 2.0 §4.1.2"
    )


@pytest.mark.clause("SUB-71")
@pytest.mark.parametrize("value", [b"", b"http://192.168.1.9/", b"<http://192.168.1.9/", b"junk"])
def test_a_callback_that_is_no_list_is_answered_412(value: bytes) -> None:
    assert subscribe(NT, (b"CALLBACK", value)) == Refusal(
        412, "CALLBACK is not a list of URLs, each inside its own < and >", "UDA 2.0 §4.1.2"
    )


@pytest.mark.clause("SUB-71")
@pytest.mark.clause("SUB-74")
def test_a_callback_that_may_not_be_called_is_answered_412() -> None:
    assert subscribe(NT, (b"CALLBACK", b"<http://8.8.8.8/>")) == Refusal(
        412,
        "the callback leads to 8.8.8.8, which is not on the network that the SUBSCRIBE came in "
        "from (192.168.1.9); subscribe over the network of the callback",
        "UDA 2.0 §4.1.1",
    )


def test_the_policy_says_which_callbacks_may_be_called() -> None:
    away = (b"CALLBACK", b"<http://8.8.8.8/><http://192.168.1.9/>")
    assert status(subscribe(NT, away)) == 412
    assert status(subscribe(NT, away, policy=PublisherPolicy(callbacks="any"))) == 200
    lenient = subscribe(NT, away, policy=PublisherPolicy(lenient_callbacks=True))
    assert isinstance(lenient, NewSubscription)
    assert [url.url for url in lenient.urls] == ["http://192.168.1.9/"]
    neighbour = (b"CALLBACK", b"<http://192.168.1.10/>")
    assert status(subscribe(NT, neighbour)) == 200
    assert status(subscribe(NT, neighbour, policy=PublisherPolicy(callbacks="same-host"))) == 412


def test_the_limits_bound_the_callback() -> None:
    two = (b"CALLBACK", b"<http://192.168.1.9/a><http://192.168.1.9/b>")
    for limits, expected in (
        (DEFAULT_LIMITS, 200),
        (replace(DEFAULT_LIMITS, callback_urls=2, callback_url_bytes=20), 200),
        (replace(DEFAULT_LIMITS, callback_urls=1), 412),
        (replace(DEFAULT_LIMITS, callback_url_bytes=19), 412),
    ):
        verdict = judge_subscribe(request("SUBSCRIBE", two, NT), POLICY, limits, LAN)
        assert status(verdict) == expected


@pytest.mark.clause("AMB-12")
def test_several_callback_lines_are_one_list() -> None:
    other = (b"CALLBACK", b"<http://192.168.1.10/>")
    verdict = subscribe(CALLBACK, NT, other)
    assert isinstance(verdict, NewSubscription)
    assert [url.endpoint.host for url in verdict.urls] == ["192.168.1.9", "192.168.1.10"]
    assert status(subscribe(NT, *[CALLBACK] * 6)) == 200
    assert status(subscribe(NT, *[CALLBACK] * 7)) == 412


@pytest.mark.clause("SUB-72")
@pytest.mark.parametrize(
    "headers",
    [(), ((b"NT", b""),), ((b"NT", b"upnp:propchange"),), ((b"NT", b"UPNP:EVENT"),),
     ((b"NT", b"upnp:events"),)],
)  # fmt: skip
def test_an_nt_that_is_missing_or_wrong_is_answered_412(headers: tuple[Header, ...]) -> None:
    assert subscribe(CALLBACK, *headers) == Refusal(
        412, "NT is missing or is not upnp:event", "UDA 2.0 §4.1.2"
    )


def test_a_new_subscription_is_not_judged_without_the_ends_of_its_connection() -> None:
    for peer, local in ((None, LOCAL), (PEER, None)):
        with pytest.raises(
            LocalProtocolError,
            match=r"^a SUBSCRIBE is judged with both addresses of its connection$",
        ):
            judge_subscribe(
                request("SUBSCRIBE", CALLBACK, NT, peer=peer, local=local, host=(b"Host", b"tv")),
                PublisherPolicy(hosts=frozenset({"tv"})),
                DEFAULT_LIMITS,
                LAN,
            )


@pytest.mark.clause("AMB-13")
def test_a_body_changes_nothing() -> None:
    verdict = judge_subscribe(
        request("SUBSCRIBE", CALLBACK, NT, body=b"x"), POLICY, DEFAULT_LIMITS, LAN
    )
    assert isinstance(verdict, NewSubscription)


# --- STATEVAR ---


@pytest.mark.clause("SUB-23")
@pytest.mark.clause("SUB-24")
@pytest.mark.parametrize(
    ("uda", "names"), [("1.0", None), ("1.1", None), ("2.0", ("Volume", "Mute"))]
)
def test_statevar_is_read_by_a_device_of_2_0_only(uda: str, names: tuple[str, ...] | None) -> None:
    verdict = subscribe(
        CALLBACK, NT, (b"STATEVAR", b"Volume, Mute"), policy=PublisherPolicy(uda=uda)
    )
    assert isinstance(verdict, NewSubscription)
    assert verdict.statevar == names


@pytest.mark.clause("AMB-4")
def test_statevar_that_is_absent_or_no_list_is_none() -> None:
    policy = PublisherPolicy(uda="2.0")
    for headers in ((), ((b"STATEVAR", b""),), ((b"STATEVAR", b"A,,B"),)):
        verdict = subscribe(CALLBACK, NT, *headers, policy=policy)
        assert isinstance(verdict, NewSubscription)
        assert verdict.statevar is None
    verdict = judge_subscribe(
        request("SUBSCRIBE", CALLBACK, NT, (b"STATEVAR", b"A,B")),
        policy,
        replace(DEFAULT_LIMITS, statevar_names=1),
        LAN,
    )
    assert isinstance(verdict, NewSubscription)
    assert verdict.statevar is None


# --- durations ---


@pytest.mark.clause("SUB-20")
@pytest.mark.clause("SUB-22")
@pytest.mark.clause("SUB-47")
@pytest.mark.clause("AMB-7")
@pytest.mark.clause("AMB-16")
@pytest.mark.clause("REN-04")
@pytest.mark.parametrize(
    ("timeout", "duration"),
    [
        (None, 1800),
        (b"", 1800),
        (b"Second-infinite", 1800),
        (b"Second-0", 1800),
        (b"Second--1", 1800),
        (b"banana", 1800),
        (b"300", 1800),
        (b"Second-300.5", 1800),
        (b"Second-1", 60),
        (b"Second-59", 60),
        (b"Second-60", 60),
        (b"Second-61", 61),
        (b"Second-300", 300),
        (b"second-300", 300),
        (b"Second-1800", 1800),
        (b"Second-86399", 86399),
        (b"Second-86400", 86400),
        (b"Second-86401", 86400),
        (b"Second-99999999999999999999", 86400),
    ],
)
def test_the_duration_is_what_was_asked_for_within_bounds(
    timeout: bytes | None, duration: int
) -> None:
    headers = [(b"TIMEOUT", timeout)] if timeout is not None else []
    new = subscribe(CALLBACK, NT, *headers)
    assert isinstance(new, NewSubscription)
    assert (new.duration, type(new.duration)) == (duration, int)
    assert subscribe(SID, *headers) == Renewal("uuid:1", duration)


def test_the_bounds_of_the_duration_are_the_policys() -> None:
    policy = PublisherPolicy(minimum_duration=10, default_duration=20, maximum_duration=30)
    for timeout, duration in ((b"Second-5", 10), (b"junk", 20), (b"Second-31", 30)):
        assert subscribe(SID, (b"TIMEOUT", timeout), policy=policy) == Renewal("uuid:1", duration)


def test_the_default_duration_is_within_the_bounds_too() -> None:
    for bounds, duration in (({"maximum_duration": 60}, 60), ({"minimum_duration": 3600}, 3600)):
        policy = PublisherPolicy(**bounds)
        assert subscribe(SID, policy=policy) == Renewal("uuid:1", duration)


@pytest.mark.parametrize("timeout", [b"Second-1", b"Second-300", b"Second-1800", b"junk"])
def test_a_device_of_dlna_grants_300(timeout: bytes) -> None:
    policy = PublisherPolicy(dlna=True)
    assert subscribe(SID, (b"TIMEOUT", timeout), policy=policy) == Renewal("uuid:1", 300)


# --- SUBSCRIBE, renewal; UNSUBSCRIBE ---


def test_a_sid_alone_is_a_renewal() -> None:
    verdict = subscribe(SID, TIMEOUT)
    assert verdict == Renewal("uuid:1", 300)
    assert isinstance(verdict, Renewal)


@pytest.mark.clause("REN-06")
def test_statevar_is_ignored_in_a_renewal() -> None:
    policy = PublisherPolicy(uda="2.0")
    assert subscribe(SID, (b"STATEVAR", b"A"), policy=policy) == Renewal("uuid:1", 1800)


@pytest.mark.clause("REN-08")
@pytest.mark.clause("UNS-06")
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "the SID is missing or empty"),
        (b"x" * 257, "the SID is longer than 256 bytes"),
        (b"uuid:\xff", "the SID has characters that are not printable ASCII"),
    ],
)
def test_a_sid_that_nobody_gave_out_is_answered_412(value: bytes, reason: str) -> None:
    assert subscribe((b"SID", value)) == Refusal(412, reason, "UDA 2.0 §4.1.3")
    assert unsubscribe((b"SID", value)) == Refusal(412, reason, "UDA 2.0 §4.1.4")


def test_an_unsubscribe_with_a_sid_is_a_cancellation() -> None:
    verdict = unsubscribe(SID)
    assert verdict == Cancellation("uuid:1")
    assert isinstance(verdict, Cancellation)
    assert unsubscribe(SID, TIMEOUT) == Cancellation("uuid:1")


@pytest.mark.clause("UNS-06")
@pytest.mark.clause("UNS-08")
@pytest.mark.parametrize("headers", [(), (NT,), (CALLBACK,), (NT, CALLBACK)])
def test_an_unsubscribe_without_a_sid_is_answered_412(headers: tuple[Header, ...]) -> None:
    assert unsubscribe(*headers) == Refusal(412, "the SID is missing or empty", "UDA 2.0 §4.1.4")


@pytest.mark.clause("UNS-05")
@pytest.mark.parametrize("extra", [NT, CALLBACK])
def test_an_unsubscribe_with_a_sid_and_more_is_answered_400(extra: Header) -> None:
    assert status(unsubscribe(SID, extra)) == 400


# --- what all three have in common ---


@pytest.mark.clause("AMB-12")
@pytest.mark.parametrize("name", [b"SID", b"NT", b"TIMEOUT"])
def test_a_repeated_header_of_a_subscription_is_answered_400(name: bytes) -> None:
    refusal = Refusal(400, f"{name.decode()} came more than once", "UDA 2.0 §2.1")
    headers = ((name, b"x"), (name.lower(), b"x"))
    assert subscribe(*headers) == refusal
    assert unsubscribe(*headers) == refusal


@pytest.mark.parametrize("name", [b"HOST", b"SID", b"NT", b"NTS", b"SEQ"])
def test_a_repeated_header_of_an_event_is_answered_400(name: bytes) -> None:
    good = dict([HOST, NT, NTS, SID, SEQ])
    repeated = [(key, value) for key, value in good.items() if key.upper() == name]
    verdict = notify(NT, NTS, SID, SEQ, *repeated)
    assert verdict == Refusal(400, f"{name.decode()} came more than once", "UDA 2.0 §2.1")


def test_all_headers_that_came_more_than_once_are_named() -> None:
    verdict = subscribe(SID, SID, NT, NT, (b"X", b""), (b"X", b""))
    assert verdict == Refusal(400, "NT, SID came more than once", "UDA 2.0 §2.1")


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


def test_a_long_method_is_not_told_in_full() -> None:
    verdict = judge_notify(request("X" * 1000), LISTENER)
    assert isinstance(verdict, Refusal)
    assert verdict.reason == f"'{'X' * 40}' was sent where NOTIFY is expected"


@pytest.mark.clause("SUB-07")
@pytest.mark.parametrize("http_version", ["1.0", "1.1"])
def test_a_missing_host_is_answered_400(http_version: str) -> None:
    refusal = Refusal(400, "HOST is missing", "UDA 2.0 §2.1")

    def without(method: str, *headers: Header) -> Request:
        return request(method, *headers, host=None, http_version=http_version)

    assert judge_host(without("GET"), frozenset()) == refusal
    assert (
        judge_subscribe(without("SUBSCRIBE", CALLBACK, NT), POLICY, DEFAULT_LIMITS, LAN) == refusal
    )
    assert judge_unsubscribe(without("UNSUBSCRIBE", SID), POLICY) == refusal
    assert judge_notify(without("NOTIFY", NT, NTS, SID, SEQ), LISTENER) == refusal


FOREIGN = Refusal(
    400,
    "HOST is not the address and port of this connection; send the request to the address "
    "itself, or add the name to the accepted hosts",
    "RFC 9110 §7.4",
)


def host(
    value: bytes,
    *extra: str,
    local: Endpoint | None = LOCAL,
    advertised: str | None = None,
) -> Refusal | None:
    made = request("NOTIFY", host=(b"HOST", value), local=local)
    return judge_host(made, frozenset(extra), advertised)


def test_a_foreign_host_is_answered_400_by_every_judge() -> None:
    foreign = (b"HOST", b"evil.example:8123")
    made = request("SUBSCRIBE", CALLBACK, NT, host=foreign)
    assert judge_subscribe(made, POLICY, DEFAULT_LIMITS, LAN) == FOREIGN
    assert judge_unsubscribe(request("UNSUBSCRIBE", SID, host=foreign), POLICY) == FOREIGN
    assert judge_notify(request("NOTIFY", NT, NTS, SID, SEQ, host=foreign), LISTENER) == FOREIGN


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
    assert host(value) == FOREIGN
    assert host(value, local=None) == FOREIGN


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
        400, "HOST has no IPv6 address without a zone in its brackets", "UDA 2.0 §2.1"
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
    assert host(value, entry) == (None if accepted else FOREIGN)
    assert host(value, "other", entry, "third:1") == (None if accepted else FOREIGN)
    assert host(value, entry, local=None) == (None if accepted else FOREIGN)


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
    expected = None if accepted else FOREIGN
    assert host(value, advertised=advertised) == expected
    made = request("NOTIFY", NT, NTS, SID, SEQ, host=(b"HOST", value))
    assert status(judge_notify(made, LISTENER, advertised)) == (200 if accepted else 400)


# --- NOTIFY ---


def test_a_good_event_is_a_notification() -> None:
    verdict = notify(NT, NTS, SID, SEQ)
    assert verdict == Notification(sid="uuid:1", seq=7, body=b"<x/>")
    assert isinstance(verdict, Notification)


@pytest.mark.clause("NOT-04")
@pytest.mark.parametrize("value", [b"text/xml", b'text/xml; charset="utf-8"', b"text/html", b""])
def test_any_content_type_is_taken(value: bytes) -> None:
    assert status(notify(NT, NTS, SID, SEQ, (b"CONTENT-TYPE", value))) == 200


@pytest.mark.clause("RSP-02")
@pytest.mark.parametrize("headers", [(NT,), (NTS,), ()])
@pytest.mark.parametrize("sid", [(), (SID,)])
def test_a_missing_nt_or_nts_is_answered_400(
    headers: tuple[Header, ...], sid: tuple[Header, ...]
) -> None:
    assert notify(SEQ, *headers, *sid) == Refusal(400, "NT or NTS is missing", "UDA 2.0 §4.3.2")


@pytest.mark.clause("RSP-03")
@pytest.mark.parametrize("value", [b"", b"upnp:events", b"UPNP:event", b"upnp:propchange"])
def test_a_wrong_nt_is_answered_412(value: bytes) -> None:
    refusal = Refusal(412, "NT is not upnp:event", "UDA 2.0 §4.3.2")
    assert notify((b"NT", value), NTS, SID, SEQ) == refusal


@pytest.mark.clause("RSP-03")
@pytest.mark.parametrize("value", [b"", b"upnp:propchanged", b"upnp:PropChange", b"upnp:event"])
def test_a_wrong_nts_is_answered_412(value: bytes) -> None:
    refusal = Refusal(412, "NTS is not upnp:propchange", "UDA 2.0 §4.3.2")
    assert notify(NT, (b"NTS", value), SID, SEQ) == refusal


@pytest.mark.clause("RSP-03")
@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ((), "the SID is missing or empty"),
        (((b"SID", b""),), "the SID is missing or empty"),
        (((b"SID", b"x" * 257),), "the SID is longer than 256 bytes"),
        (((b"SID", b"\x01"),), "the SID has characters that are not printable ASCII"),
    ],
)
def test_a_missing_sid_is_answered_412(headers: tuple[Header, ...], reason: str) -> None:
    assert notify(NT, NTS, SEQ, *headers) == Refusal(412, reason, "UDA 2.0 §4.3.2")


@pytest.mark.clause("RSP-04")
@pytest.mark.parametrize("value", [b"", b"-1", b"x", b"4294967296"])
def test_a_seq_that_is_no_number_is_answered_400(value: bytes) -> None:
    assert notify(NT, NTS, SID, (b"SEQ", value)) == Refusal(
        400, "SEQ is a decimal number from 0 to 4294967295", "UDA 2.0 §4.3.2"
    )


@pytest.mark.clause("RSP-04")
def test_a_missing_seq_is_taken() -> None:
    assert notify(NT, NTS, SID) == Notification("uuid:1", None, b"<x/>")


def test_a_missing_seq_is_answered_400_when_the_table_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("propchange.core.subscriber.judge._SEQ_MAY_MISS", False)
    assert notify(NT, NTS, SID) == Refusal(400, "SEQ is missing", "UDA 2.0 §4.3.2")
    assert status(notify(NT, NTS, SID, SEQ)) == 200


@pytest.mark.clause("AMB-5")
def test_what_is_malformed_is_answered_before_what_is_wrong() -> None:
    wrong = (b"NT", b"wrong")
    assert status(notify(wrong, NTS, (b"SID", b""), (b"SEQ", b"x"))) == 400
    assert status(notify(wrong, (b"SID", b""))) == 400


@pytest.mark.clause("SUB-25")
def test_an_event_with_lower_case_names_is_taken() -> None:
    headers = [(name.lower(), b"  " + value + b"\t") for name, value in (NT, NTS, SID, SEQ)]
    assert notify(*headers) == Notification("uuid:1", 7, b"<x/>")


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


@pytest.mark.clause("V6-07")
@pytest.mark.parametrize(
    "host",
    ["fe80::1%eth0", "[::1]", "tv.example:80", "0.0.0.0", "::", "", "a b", "http://tv"],
)
def test_a_callback_host_is_something_that_a_device_can_call(host: str) -> None:
    with pytest.raises(ValueError, match="no address or name that a device can call"):
        SubscriberPolicy(callback_host=host)


@pytest.mark.parametrize("host", ["192.0.2.7", "fd00::1", "tv.example", "TV"])
def test_a_callback_host_is_a_name_or_an_address(host: str) -> None:
    assert SubscriberPolicy(callback_host=host, callback_port=65_535).callback_host == host


@pytest.mark.parametrize("port", [0, -1, 65_536])
def test_a_callback_port_is_a_port(port: int) -> None:
    with pytest.raises(ValueError, match="a port is from 1 to 65535"):
        SubscriberPolicy(callback_port=port)


@pytest.mark.clause("SUB-13")
@pytest.mark.parametrize("name", ["", " ", "a\r\nNT: x", "a\0"])
def test_a_friendly_name_is_what_a_header_can_carry(name: str) -> None:
    with pytest.raises(ValueError, match="is no name that a header can carry"):
        SubscriberPolicy(friendly_name=name)


def test_a_policy_has_the_values_of_the_design() -> None:
    assert (
        POLICY.uda,
        POLICY.callbacks,
        POLICY.lenient_callbacks,
        POLICY.default_duration,
        POLICY.minimum_duration,
        POLICY.maximum_duration,
        POLICY.dlna,
        POLICY.hosts,
    ) == ("1.1", "on-link", False, 1800, 60, 86400, False, frozenset())
    assert (
        LISTENER.uda,
        LISTENER.duration,
        LISTENER.hosts,
        LISTENER.require_device_source,
        LISTENER.friendly_name,
        LISTENER.callback_host,
        LISTENER.callback_port,
        LISTENER.shared_path,
    ) == ("1.1", 1800, frozenset(), False, "propchange", None, None, None)


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


def test_a_policy_refuses_a_callback_policy_that_does_not_exist() -> None:
    with pytest.raises(ValueError, match=r"^callbacks is one of on-link, same-host, any$"):
        PublisherPolicy(callbacks="none")


@pytest.mark.parametrize(
    ("minimum", "default", "maximum", "valid"),
    [
        (1, 1, 1, True),
        (0, 1, 1, False),
        (2, 1, 3, True),
        (1, 3, 2, True),
        (3, 1, 2, False),
        (1, 0, 1, False),
        (2, 2, 3, True),
        (1, 3, 3, True),
    ],
)
def test_a_policy_refuses_durations_out_of_order(
    minimum: int, default: int, maximum: int, valid: bool
) -> None:
    def make() -> PublisherPolicy:
        return PublisherPolicy(
            minimum_duration=minimum, default_duration=default, maximum_duration=maximum
        )

    if valid:
        assert make().default_duration == default
        return
    with pytest.raises(
        ValueError,
        match=(r"^durations are at least 1 second, and the minimum is not above the maximum$"),
    ):
        make()


def test_a_subscriber_asks_for_a_second_at_least() -> None:
    assert SubscriberPolicy(duration=1).duration == 1
    with pytest.raises(ValueError, match=r"^a duration is at least 1 second, not 0$"):
        SubscriberPolicy(duration=0)


# --- responses ---

SIGNED = PublisherPolicy(server="Linux/6.1 UPnP/1.1 propchange/0.1")
SERVER = (b"SERVER", b"Linux/6.1 UPnP/1.1 propchange/0.1")
DATE = (b"DATE", b"Sun, 22 Nov 2026 10:00:00 GMT")
EMPTY = (b"CONTENT-LENGTH", b"0")


def date() -> bytes:
    return DATE[1]


@pytest.mark.clause("SUB-43")
@pytest.mark.clause("SUB-44")
@pytest.mark.clause("SUB-46")
@pytest.mark.clause("SUB-48")
@pytest.mark.clause("SUB-49")
def test_a_subscription_is_granted_with_sid_and_timeout() -> None:
    response = subscribe_response("uuid:1", 1800, SIGNED, request("SUBSCRIBE"))
    assert response.status == 200
    assert list(response.headers) == [
        SERVER,
        (b"SID", b"uuid:1"),
        EMPTY,
        (b"TIMEOUT", b"Second-1800"),
    ]
    assert response.body == b""
    assert response.receipt is None
    assert (response.http_version, response.close) == ("1.1", False)
    dated = subscribe_response("uuid:1", 1800, SIGNED, request("SUBSCRIBE"), date=date)
    assert list(dated.headers) == [DATE, *response.headers]


@pytest.mark.clause("SUB-51")
@pytest.mark.clause("AMB-3")
def test_accepted_names_are_told_with_a_hyphen() -> None:
    response = subscribe_response("uuid:1", 60, SIGNED, request("SUBSCRIBE"), ("A", "B"), date=date)
    assert list(response.headers) == [
        DATE,
        SERVER,
        (b"SID", b"uuid:1"),
        EMPTY,
        (b"TIMEOUT", b"Second-60"),
        (b"ACCEPTED-STATEVAR", b"A,B"),
    ]


@pytest.mark.clause("UNS-04")
def test_a_cancellation_is_answered_200() -> None:
    response = unsubscribe_response(SIGNED, request("UNSUBSCRIBE"))
    assert (response.status, list(response.headers)) == (200, [SERVER, EMPTY])
    dated = unsubscribe_response(SIGNED, request("UNSUBSCRIBE"), date=date)
    assert (dated.status, list(dated.headers)) == (200, [DATE, SERVER, EMPTY])


@pytest.mark.clause("RSP-01")
def test_an_event_is_answered_200_without_a_body() -> None:
    response = notify_response(LISTENER, request("NOTIFY"))
    assert (response.status, list(response.headers), response.body) == (200, [EMPTY], b"")
    assert notify_response(LISTENER, request("NOTIFY")) is response
    dated = notify_response(LISTENER, request("NOTIFY"), date=date)
    assert (dated.status, list(dated.headers)) == (200, [DATE, EMPTY])


@pytest.mark.parametrize("code", [400, 404, 412, 503])
def test_a_refusal_is_answered_with_its_status(code: int) -> None:
    refusal = Refusal(code, "a reason", "UDA 2.0 §4.1.2")
    response = refusal_response(refusal, SIGNED, request("SUBSCRIBE"))
    assert (response.status, list(response.headers), response.body) == (
        code,
        [SERVER, EMPTY],
        b"",
    )
    response = refusal_response(refusal, LISTENER, request("NOTIFY"), date=date)
    assert (response.status, list(response.headers)) == (code, [DATE, EMPTY])


@pytest.mark.clause("SUB-75")
def test_a_405_says_which_methods_there_are() -> None:
    refusal = Refusal(405, "", "")
    response = refusal_response(refusal, SIGNED, request("GET"), date=date)
    assert response.status == 405
    assert list(response.headers) == [DATE, SERVER, EMPTY, (b"ALLOW", b"SUBSCRIBE, UNSUBSCRIBE")]
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
        unsubscribe_response(SIGNED, made),
        notify_response(LISTENER, made),
        notify_response(LISTENER, made, date=date),
        refusal_response(Refusal(412, "", ""), SIGNED, made),
        refusal_response(Refusal(412, "", ""), LISTENER, made),
    ]
    for response in responses:
        assert response.http_version == answered
        assert response.close is not keep_alive
