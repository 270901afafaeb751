"""The judges of SUBSCRIBE and UNSUBSCRIBE, and the responses that carry their verdicts."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.local_addresses import OnLink
from propchange.core.publisher.judge import (
    UNKNOWN_PEER,
    AttemptVerdict,
    Cancellation,
    NewSubscription,
    PublisherPolicy,
    Renewal,
    arrived_at,
    judge_attempt,
    judge_room,
    judge_subscribe,
    judge_subscribe_anew,
    subscribe_response,
)
from propchange.core.wire.messages import DeliveryFailure, DeliveryURL, Endpoint
from propchange.core.wire.refusals import (
    Refusal,
)
from tests.core.judging import (
    CALLBACK,
    EMPTY,
    LAN,
    LOCAL,
    NT,
    PEER,
    POLICY,
    SERVER,
    SID,
    SIGNED,
    TIMEOUT,
    Header,
    request,
    status,
    subscribe,
    unsubscribe,
)

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
        local=LOCAL,
        peer=PEER,
    )
    assert isinstance(verdict, NewSubscription)


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
        "the callback leads to 8.8.8.8, which is not on the network of 192.168.1.2 "
        "(192.168.1.0/24), where the SUBSCRIBE came in; the setting "
        'callbacks="any" of the device allows it',
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


# --- behind a web server or a proxy ---

TV = frozenset({"tv"})
LOOPBACK = Endpoint("127.0.0.1", 8123)
LOOPBACK_6 = Endpoint("::1", 8123)


def behind(
    *, peer: Endpoint | None = PEER, local: Endpoint | None = LOCAL, **policy: Any
) -> NewSubscription | Renewal | Refusal:
    """The verdict on a SUBSCRIBE that a web server of this machine, whose address is ``LOCAL``,
    passes on."""
    return judge_subscribe_anew(
        request("SUBSCRIBE", CALLBACK, NT, peer=peer, local=local, host=(b"Host", b"tv")),
        PublisherPolicy(hosts=TV, **policy),
        DEFAULT_LIMITS,
        on_link=lambda at: LAN if at.host == LOCAL.host else (OnLink(ip_network("127.0.0.0/8")),),
        on_link_now=lambda at: LAN if at.host == LOCAL.host else (),
        own_hosts=lambda: frozenset({LOCAL.host}),
        own_towards=lambda peer: LOCAL if peer.host.startswith("192.168.1.") else None,
    )


@pytest.mark.clause("SUB-74")
@pytest.mark.parametrize("callbacks", ["on-link", "same-host", "any"])
@pytest.mark.parametrize("local", [None, LOOPBACK, LOOPBACK_6])
def test_a_subscriber_behind_a_proxy_of_this_machine_is_judged_by_its_own_network(
    local: Endpoint | None, callbacks: str
) -> None:
    """Events to it do not leave from loopback, which does not lead there."""
    granted = behind(local=local, callbacks=callbacks)
    assert isinstance(granted, NewSubscription)
    assert (granted.local, granted.peer) == (None, PEER)


@pytest.mark.clause("SUB-74")
def test_a_subscriber_of_another_network_is_refused_behind_a_proxy_too() -> None:
    far = Endpoint("203.0.113.9", 50_000)
    for local in (None, LOOPBACK):
        refused = behind(peer=far, local=local)
        assert isinstance(refused, Refusal)
        assert refused.status == 412
        assert refused.reason == (
            "the SUBSCRIBE of 203.0.113.9 was passed on by a proxy or a web server, and this "
            "machine has no network with 203.0.113.9, so the callback to 192.168.1.9 cannot be "
            'judged; the setting callbacks="any" of the device allows it'
        )


@pytest.mark.parametrize("callbacks", ["on-link", "same-host"])
@pytest.mark.parametrize("local", [None, LOCAL])
def test_without_the_address_of_the_subscriber_its_callback_cannot_be_judged(
    local: Endpoint | None, callbacks: str
) -> None:
    refused = behind(peer=None, local=local, callbacks=callbacks)
    assert isinstance(refused, Refusal)
    assert refused.status == 412
    assert refused.reason == (
        "the address of the subscriber is not known, because the web server or a proxy of this "
        "machine does not pass it on, so the callback cannot be judged; let the proxy set "
        'X-Forwarded-For and the web server read it, or the setting callbacks="any" of the device '
        "allows it"
    )


def test_a_subscriber_that_is_not_known_may_be_allowed_and_counts_as_one_address() -> None:
    for local in (None, LOCAL, LOOPBACK):
        granted = behind(peer=None, local=local, callbacks="any")
        assert isinstance(granted, NewSubscription)
        assert granted.peer == UNKNOWN_PEER
        assert granted.local == (LOCAL if local is LOCAL else None)


@pytest.mark.parametrize(
    ("peer", "local", "arrived"),
    [
        (PEER, LOCAL, LOCAL),
        (PEER, None, None),
        (PEER, LOOPBACK, None),
        (None, LOOPBACK, None),
        (LOOPBACK, LOOPBACK, LOOPBACK),
        (LOOPBACK_6, LOOPBACK, LOOPBACK),
        (LOOPBACK, LOCAL, LOCAL),
    ],
)
def test_loopback_is_not_where_a_peer_of_another_machine_has_arrived(
    peer: Endpoint | None, local: Endpoint | None, arrived: Endpoint | None
) -> None:
    assert arrived_at(request("SUBSCRIBE", peer=peer, local=local)) == arrived


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


# --- repeated headers ---


@pytest.mark.clause("AMB-12")
@pytest.mark.parametrize("name", [b"SID", b"NT", b"TIMEOUT"])
def test_a_repeated_header_of_a_subscription_is_answered_400(name: bytes) -> None:
    refusal = Refusal(400, f"{name.decode()} came more than once", "UDA 2.0 §2.1")
    headers = ((name, b"x"), (name.lower(), b"x"))
    assert subscribe(*headers) == refusal
    assert unsubscribe(*headers) == refusal


def test_all_headers_that_came_more_than_once_are_named() -> None:
    verdict = subscribe(SID, SID, NT, NT, (b"X", b""), (b"X", b""))
    assert verdict == Refusal(400, "NT, SID came more than once", "UDA 2.0 §2.1")


# --- policies ---


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


# --- responses ---


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


@pytest.mark.clause("SUB-51")
@pytest.mark.clause("AMB-3")
def test_accepted_names_are_told_with_a_hyphen() -> None:
    response = subscribe_response("uuid:1", 60, SIGNED, request("SUBSCRIBE"), ("A", "B"))
    assert list(response.headers) == [
        SERVER,
        (b"SID", b"uuid:1"),
        EMPTY,
        (b"TIMEOUT", b"Second-60"),
        (b"ACCEPTED-STATEVAR", b"A,B"),
    ]


# --- room, and the end of an attempt ---

V, F = AttemptVerdict, DeliveryFailure


@pytest.mark.clause("SUB-73")
def test_a_subscription_that_there_is_no_room_for_is_answered_503() -> None:
    limits = replace(
        DEFAULT_LIMITS,
        subscriptions=3,
        subscriptions_per_address=2,
        subscriptions_per_prefix=2,
        subscriptions_per_service=2,
    )
    assert judge_room("10.0.0.2", 1, 2, limits, of_prefix=1, of_service=1) is None
    of_all = judge_room("10.0.0.2", 0, 3, limits)
    of_one = judge_room("10.0.0.2", 2, 2, limits)
    assert of_all == Refusal(503, "no room for another subscription", "")
    assert of_one == Refusal(503, "no room for another subscription from 10.0.0.2", "")
    of_prefix = judge_room("fd00::2", 0, 2, limits, of_prefix=2)
    of_service = judge_room("fd00::2", 0, 2, limits, of_service=2)
    prefix = "no room for another subscription from the prefix of fd00::2"
    assert of_prefix == Refusal(503, prefix, "")
    assert of_service == Refusal(503, "no room for another subscription to this service", "")


@pytest.mark.clause("FAIL-02", "FAIL-05")
@pytest.mark.parametrize(
    ("result", "fresh", "another", "verdict"),
    [
        (200, False, True, V.DELIVERED),
        (299, True, False, V.DELIVERED),
        (412, False, True, V.DISOWNED),
        (199, False, True, V.NEXT_URL),
        (307, False, True, V.NEXT_URL),
        (500, False, True, V.NEXT_URL),
        (500, False, False, V.ABANDONED),
        (F.CONNECT, False, True, V.NEXT_URL),
        (F.TIMED_OUT, True, False, V.ABANDONED),
        (F.WAITED, False, True, V.NEXT_URL),
        (F.STALE, False, True, V.RETRY),
        (F.STALE, False, False, V.RETRY),
        (F.STALE, True, True, V.NEXT_URL),
        (F.STALE, True, False, V.ABANDONED),
    ],
)
def test_what_ends_the_search_for_a_delivery_url_and_what_goes_on(
    result: int | DeliveryFailure, fresh: bool, another: bool, verdict: AttemptVerdict
) -> None:
    assert judge_attempt(result, fresh, another) is verdict


def test_a_subscribe_that_is_refused_is_judged_once_more_by_the_prefixes_of_now() -> None:
    """The interface has got another prefix since its addresses were read."""
    asked: list[str] = []
    moved = (b"Callback", b"<http://10.9.0.2:9000/>")
    new = (*LAN, OnLink(ip_network("10.9.0.0/16")))

    def judge(*headers: Header, now: tuple[OnLink, ...], **how: Any) -> Any:
        def links(local: Endpoint, when: str, known: tuple[OnLink, ...]) -> tuple[OnLink, ...]:
            asked.append(when)
            return known

        return judge_subscribe_anew(
            request("SUBSCRIBE", *headers, **how),
            POLICY,
            DEFAULT_LIMITS,
            on_link=lambda local: links(local, "known", LAN),
            on_link_now=lambda local: links(local, "now", now),
            own_hosts=lambda: (),
        )

    assert isinstance(judge(moved, NT, now=new), NewSubscription)
    assert judge(moved, NT, now=LAN).status == 412
    assert asked == ["known", "now"] * 2
    asked.clear()
    assert isinstance(judge(CALLBACK, NT, now=()), NewSubscription)
    assert asked == ["known"]
    assert judge(CALLBACK, NT, now=LAN, local=None).status == 400  # by HOST
    assert asked == ["known"]
    # A renewal names no address.
    assert isinstance(judge(SID, now=()), Renewal)
    assert judge(SID, NT, now=()).status == 400
    assert judge((b"SID", b""), now=new).status == 412
    assert asked == ["known"]


@pytest.mark.clause("V6-14")
def test_events_leave_from_a_link_local_address_by_its_interface_whatever_the_subscriber_has() -> (
    None
):
    """The system tells the scope id of the link-local end of a connection only if the other end is
    link-local too."""
    links = (
        OnLink(ip_network("fd00::/64"), 4),
        OnLink(ip_network("fe80::/64"), 4),
        OnLink(ip_network("2001:db8::/32"), 4),
    )
    callback = (b"Callback", b"<http://[fd00::9]:9000/>")
    peer = Endpoint("fd00::9", 40_000)

    def local(address: Endpoint, on_link: tuple[OnLink, ...]) -> Endpoint:
        made = request(
            "SUBSCRIBE",
            callback,
            NT,
            host=(b"Host", str(address).encode()),
            peer=peer,
            local=address,
        )
        policy = replace(POLICY, callbacks="any")
        verdict = judge_subscribe(made, policy, DEFAULT_LIMITS, on_link)
        assert isinstance(verdict, NewSubscription)
        return verdict.local

    assert local(Endpoint("fe80::2", 80), links) == Endpoint("fe80::2", 80, 4)
    assert local(Endpoint("fe80::2", 80, 7), links) == Endpoint("fe80::2", 80, 7)
    assert local(Endpoint("fe80::2", 80), links[:1]) == Endpoint("fe80::2", 80)
    assert local(Endpoint("fd00::2", 80), links) == Endpoint("fd00::2", 80)
