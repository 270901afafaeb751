"""Which delivery URLs a publisher may call (CallStranger, CVE-2020-12695)."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.local_addresses import OnLink
from propchange.core.publisher.callback_guard import CALLBACK_POLICIES, judge_callbacks
from propchange.core.wire.messages import DeliveryURL, Endpoint
from propchange.errors import RemoteProtocolError

PEER = Endpoint("192.168.1.9", 50000)
LOCAL = Endpoint("192.168.1.2", 8123)
LAN = (OnLink(IPv4Network("192.168.1.0/24")),)

PEER_6 = Endpoint("fe80::9", 50000, 3)
LOCAL_6 = Endpoint("fe80::2", 8123, 3)
GLOBAL_PEER_6 = Endpoint("2001:db8:1::9", 50000)
GLOBAL_LOCAL_6 = Endpoint("2001:db8:1::2", 8123)
LAN_6 = (OnLink(IPv6Network("2001:db8:1::/64"), 3), OnLink(IPv6Network("fe80::/64"), 3))

LOOPBACK = Endpoint("127.0.0.1", 50000)

NO_HOST = "does not name its host by a literal IP address without a zone"
NO_SINGLE_HOST = "which is no single host"
OFF_LINK = (
    "which is not on the network of 192.168.1.2 (192.168.1.0/24), where the SUBSCRIBE came in"
)
ALLOW = 'the setting callbacks="any" of the device allows it'
OWN_MACHINE = "an address of the device's own machine"
ITSELF = "the device itself; name an address of the subscriber that the device can reach"
OWN_LISTENER = "the device's own listener"
CHARACTERS = "has characters that the URL of a request cannot have"
UNREADABLE = "does not name an address: "
PORT = UNREADABLE + "the port is not a number from 1 to 65535"
FAMILY = "both have to be of the same family"


def judge(
    *urls: str,
    peer: Endpoint | None = PEER,
    local: Endpoint | None = LOCAL,
    on_link: tuple[OnLink, ...] = LAN,
    policy: str = "on-link",
    lenient: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    own_hosts: frozenset[str] = frozenset(),
    own_callback: str = "",
    **own: Any,
) -> tuple[DeliveryURL, ...]:
    return judge_callbacks(
        urls,
        peer=peer,
        local=local,
        on_link=on_link,
        policy=policy,
        lenient=lenient,
        limits=limits,
        own_hosts=own_hosts,
        own_callback=own_callback,
        **own,
    )


def refusal(
    *urls: str,
    peer: Endpoint | None = PEER,
    local: Endpoint | None = LOCAL,
    on_link: tuple[OnLink, ...] = LAN,
    policy: str = "on-link",
    lenient: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    own_hosts: frozenset[str] = frozenset(),
    **own: Any,
) -> RemoteProtocolError:
    with pytest.raises(RemoteProtocolError) as caught:
        judge(
            *urls,
            peer=peer,
            local=local,
            on_link=on_link,
            policy=policy,
            lenient=lenient,
            limits=limits,
            own_hosts=own_hosts,
            **own,
        )
    assert caught.value.status == 412
    return caught.value


# --- taking a URL apart ---


@pytest.mark.clause("NOT-01")
@pytest.mark.clause("NOT-02")
@pytest.mark.clause("NOT-03")
@pytest.mark.parametrize(
    ("url", "port", "authority", "target"),
    [
        ("http://192.168.1.9", 80, "192.168.1.9", "/"),
        ("http://192.168.1.9/", 80, "192.168.1.9", "/"),
        ("http://192.168.1.9:/", 80, "192.168.1.9:", "/"),
        ("http://192.168.1.9:1/a", 1, "192.168.1.9:1", "/a"),
        ("http://192.168.1.9:65535/a/b?c=d/e", 65535, "192.168.1.9:65535", "/a/b?c=d/e"),
        ("http://192.168.1.9:00080/", 80, "192.168.1.9:00080", "/"),
        ("http://192.168.1.9?a=b", 80, "192.168.1.9", "/?a=b"),
        ("HTTP://192.168.1.9:49152/a//b/../%7e?x?y;z@w:1", 49152, "192.168.1.9:49152",
         "/a//b/../%7e?x?y;z@w:1"),
    ],
)  # fmt: skip
def test_a_delivery_url_is_kept_as_it_was_written(
    url: str, port: int, authority: str, target: str
) -> None:
    assert judge(url) == (DeliveryURL(url, Endpoint("192.168.1.9", port, 0), authority, target),)


@pytest.mark.clause("V6-06")
def test_the_endpoint_of_an_ipv6_url_has_no_brackets() -> None:
    (judged,) = judge(
        "http://[2001:DB8:1:0::A]:81/x", peer=GLOBAL_PEER_6, local=GLOBAL_LOCAL_6, on_link=LAN_6
    )
    assert judged.endpoint == Endpoint("2001:db8:1::a", 81, 0)
    assert judged.authority == "[2001:DB8:1:0::A]:81"


@pytest.mark.clause("FAIL-01")
def test_several_urls_keep_their_order() -> None:
    urls = ("http://192.168.1.11/", "http://192.168.1.9/", "http://192.168.1.10/")
    assert tuple(judged.url for judged in judge(*urls)) == urls


@pytest.mark.clause("SUB-71")
@pytest.mark.parametrize("policy", CALLBACK_POLICIES)
@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "does not begin with http://"),
        ("192.168.1.9", "does not begin with http://"),
        ("https://192.168.1.9/", "does not begin with http://"),
        ("ftp://192.168.1.9/", "does not begin with http://"),
        ("http:/192.168.1.9/", "does not begin with http://"),
        ("xhttp://192.168.1.9/", "does not begin with http://"),
        ("//192.168.1.9/", "does not begin with http://"),
        ("http://", UNREADABLE),
        ("http:///path", UNREADABLE),
        ("http://:80/", UNREADABLE),
        ("http://user@192.168.1.9/", "has a user name; leave it out"),
        ("http://192.168.1.9:80@evil/", "has a user name; leave it out"),
        ("http://192.168.1.9:0/", PORT),
        ("http://192.168.1.9:65536/", PORT),
        ("http://192.168.1.9:99999/", PORT),
        ("http://192.168.1.9:100000/", PORT),
        ("http://192.168.1.9:-1/", PORT),
        ("http://192.168.1.9:8o/", PORT),
        ("http://192.168.1.9:80:80/", PORT),
        ("http://fe80::9/", UNREADABLE),
        ("http://[fe80::9/", UNREADABLE),
        ("http://[fe80::9]x/", UNREADABLE),
        ("http://192.168.1.9/ ", CHARACTERS),
        ("http://192.168.1.9/a b", CHARACTERS),
        ("http://192.168.1.9/a\r\nX: y", CHARACTERS),
        ("http://192.168.1.9/\x00", CHARACTERS),
        ("http://192.168.1.9/\x7f", CHARACTERS),
        ("http://192.168.1.9/\xe9", CHARACTERS),
        ('http://192.168.1.9/"', CHARACTERS),
        ("http://192.168.1.9/<", CHARACTERS),
        ("http://192.168.1.9/>", CHARACTERS),
        ("http://192.168.1.9/#a", CHARACTERS),
        ("http://192.168.1.9\\@evil/", CHARACTERS),
        ("http:\\\\192.168.1.9/", CHARACTERS),
        ("http:192.168.1.9/", "does not begin with http://"),
        ("HTTPS://192.168.1.9/", "does not begin with http://"),
        ("http\t://192.168.1.9/", CHARACTERS),
        ("ht\ntp://192.168.1.9/", CHARACTERS),
        ("http://192.168\n.1.9/", CHARACTERS),
        ("http://192.168.1\t.9/", CHARACTERS),
        ("\x20http://192.168.1.9/", CHARACTERS),
        ("http://\uff11\uff19\uff12.168.1.9/", CHARACTERS),
        ("http://192\u3002168\u30021\u30029/", CHARACTERS),
        ("http://\u2460.168.1.9/", CHARACTERS),
        ("http://%31%39%32.168.1.9/", UNREADABLE),
        ("http://192.168.1.9%2f@evil/", "has a user name; leave it out"),
        ("http://192.168.1.9%00.evil/", UNREADABLE),
        ("http://192.168.1.9:+80/", PORT),
        ("http://192.168.1.9:0x50/", PORT),
        ("http://192.168.1.9: 80/", CHARACTERS),
        ("http://192.168.1.9:80:/", PORT),
    ],
)
def test_what_is_no_plain_http_url_is_refused_412(url: str, reason: str, policy: str) -> None:
    error = refusal(url, policy=policy)
    assert reason in error.args[0]
    assert error.clause == ("UDA 2.0 §4.1.1" if reason == NO_HOST else "UDA 2.0 §4.1.2")


@pytest.mark.clause("CSX-03")
@pytest.mark.parametrize("policy", CALLBACK_POLICIES)
@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "subscriber.local",
        "192.168.1",
        "192.168.1.009",
        "0xc0a80109",
        "3232235785",
        "0300.0250.1.9",
        "0xc0.0xa8.0x1.0x9",
        "192.168.265",
        "127.1",
        "0",
        "xn--1-9ka.xn--168-1ra",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "192.168.1.9.nip.io",
        "192.168.1.9.",
    ],
)
def test_a_host_that_is_no_literal_address_is_refused_412(host: str, policy: str) -> None:
    error = refusal(f"http://{host}/", policy=policy)
    assert error.args[0] == f"the callback 'http://{host}/' {NO_HOST}"
    assert error.clause == "UDA 2.0 §4.1.1"


@pytest.mark.clause("CSX-03")
@pytest.mark.parametrize("policy", CALLBACK_POLICIES)
@pytest.mark.parametrize(
    "host", ["[192.168.1.9]", "[fe80::1%eth0]", "[fe80::1%25eth0]", "[]", "[::g]"]
)
def test_brackets_without_a_literal_address_are_refused_412(host: str, policy: str) -> None:
    error = refusal(f"http://{host}/", policy=policy)
    reason = UNREADABLE + "there is no IPv6 address without a zone in the brackets"
    assert error.args[0] == f"the callback 'http://{host}/' {reason}"
    assert error.clause == "UDA 2.0 §4.1.2"


@pytest.mark.clause("SUB-16")
def test_a_url_may_be_as_long_as_the_limit_and_no_longer() -> None:
    url = "http://192.168.1.9/".ljust(1024, "x")
    assert judge(url)[0].url == url
    error = refusal(url + "x")
    assert str(error) == (
        "a callback URL has 1025 bytes, and this device keeps at most 1024 and may not cut it "
        "(UDA 2.0 §4.1.2)"
    )
    assert (
        "at most 20 "
        in refusal(
            "http://192.168.1.9/12", limits=replace(DEFAULT_LIMITS, callback_url_bytes=20)
        ).args[0]
    )


def test_a_reason_shows_the_start_of_the_url_without_its_control_characters() -> None:
    reason = refusal("\x1b[2J\xe9".ljust(1000, "x")).args[0]
    assert "'\\x1b[2J\\xe9" in reason
    assert "x" * 95 in reason
    assert "x" * 96 not in reason


# --- addresses that no policy allows ---


@pytest.mark.clause("CSX-01")
@pytest.mark.parametrize("policy", CALLBACK_POLICIES)
@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("0.0.0.0", NO_SINGLE_HOST),
        ("0.1.2.3", NO_SINGLE_HOST),
        ("224.0.0.1", NO_SINGLE_HOST),
        ("239.255.255.250", NO_SINGLE_HOST),
        ("240.0.0.1", NO_SINGLE_HOST),
        ("255.255.255.255", NO_SINGLE_HOST),
        ("192.168.1.255", NO_SINGLE_HOST),
        ("192.168.1.0", NO_SINGLE_HOST),
        ("127.0.0.1", ITSELF),
        ("127.255.0.1", ITSELF),
    ],
)
def test_no_policy_allows_what_is_no_other_host(host: str, reason: str, policy: str) -> None:
    error = refusal(f"http://{host}:49152/", policy=policy)
    assert error.args[0] == f"the callback leads to {host}, {reason}"
    assert error.clause == "UDA 2.0 §4.1.1"


@pytest.mark.parametrize("policy", CALLBACK_POLICIES)
@pytest.mark.parametrize(
    ("host", "reason"),
    [("::", NO_SINGLE_HOST), ("ff02::c", NO_SINGLE_HOST), ("ff05::130", NO_SINGLE_HOST),
     ("::1", ITSELF)],
)  # fmt: skip
def test_no_policy_allows_what_is_no_other_ipv6_host(host: str, reason: str, policy: str) -> None:
    error = refusal(f"http://[{host}]/", peer=PEER_6, local=LOCAL_6, on_link=LAN_6, policy=policy)
    assert error.args[0] == f"the callback leads to {host}, {reason}"
    assert error.clause == "UDA 2.0 §4.1.1"


@pytest.mark.parametrize("prefix", [30, 31, 32])
def test_the_two_ends_of_a_point_to_point_link_are_hosts(prefix: int) -> None:
    """A /30 has a broadcast address, a /31 and a /32 have none (RFC 3021)."""
    network = IPv4Network(f"10.0.0.8/{prefix}")
    peer = Endpoint("10.0.0.8", 50000)
    url = f"http://{network.broadcast_address}/"
    if prefix == 30:
        refusal(url, peer=peer, on_link=(OnLink(network),))
    else:
        assert judge(url, peer=peer, on_link=(OnLink(network),))


def test_one_url_of_the_devices_own_listener_may_be_allowed() -> None:
    own = "http://192.168.1.2:8123/events"
    peer = LOCAL._replace(port=50000)
    (accepted,) = judge(own, peer=peer, own_callback=own)
    assert accepted.endpoint == Endpoint("192.168.1.2", 8123)
    with pytest.raises(RemoteProtocolError, match=OWN_LISTENER):
        judge(f"{own}/below", peer=peer, own_callback=own)


@pytest.mark.parametrize("policy", CALLBACK_POLICIES)
def test_the_devices_own_listener_is_refused(policy: str) -> None:
    url = "http://192.168.1.2:8123/event"
    error = refusal(url, policy=policy, peer=LOCAL._replace(port=50000))
    assert error.args[0] == (
        "the callback leads to 192.168.1.2 port 8123, the device's own listener"
    )
    assert error.clause == "UDA 2.0 §4.1.1"


@pytest.mark.parametrize("policy", CALLBACK_POLICIES)
def test_a_subscriber_on_the_devices_host_has_another_port(policy: str) -> None:
    peer = LOCAL._replace(port=50000)
    assert judge("http://192.168.1.2:8124/", policy=policy, peer=peer)
    assert judge("http://192.168.1.2:8122/", policy=policy, peer=peer)


@pytest.mark.clause("V6-05")
@pytest.mark.parametrize("policy", CALLBACK_POLICIES)
def test_a_callback_of_the_other_family_is_refused(policy: str) -> None:
    over_4 = refusal("http://[2001:db8:1::9]/", policy=policy, on_link=LAN + LAN_6)
    assert over_4.args[0] == (
        "the callback leads to 2001:db8:1::9, and the SUBSCRIBE came over IPv4; "
        "both have to be of the same family"
    )
    assert over_4.clause == "UDA 2.0 §A.7"
    over_6 = refusal(
        "http://192.168.1.9/", policy=policy, peer=PEER_6, local=LOCAL_6, on_link=LAN + LAN_6
    )
    assert "came over IPv6; both have" in over_6.args[0]


@pytest.mark.parametrize("policy", CALLBACK_POLICIES)
def test_an_ipv4_mapped_callback_is_refused(policy: str) -> None:
    """It would be judged as IPv6 and called as IPv4."""
    error = refusal(
        "http://[::ffff:192.168.1.9]/",
        policy=policy,
        peer=GLOBAL_PEER_6,
        local=GLOBAL_LOCAL_6,
        on_link=(OnLink(IPv6Network("::/0")),),
    )
    assert FAMILY in error.args[0]


def test_a_mapped_connection_counts_as_ipv4() -> None:
    peer = Endpoint("::ffff:192.168.1.9", 50000)
    local = Endpoint("::ffff:192.168.1.2", 8123)
    for policy in CALLBACK_POLICIES:
        (judged,) = judge("http://192.168.1.9/", peer=peer, local=local, policy=policy)
        assert judged.endpoint == Endpoint("192.168.1.9", 80)
        assert (
            OWN_LISTENER
            in refusal("http://192.168.1.2:8123/", peer=peer, local=local, policy=policy).args[0]
        )


# --- loopback ---


@pytest.mark.parametrize("policy", CALLBACK_POLICIES)
def test_loopback_is_for_loopback_peers(policy: str) -> None:
    assert judge(
        "http://127.0.0.1:49152/", peer=LOOPBACK, local=LOOPBACK, on_link=(), policy=policy
    )
    peer_6 = Endpoint("::1", 50000)
    (judged,) = judge("http://[::1]/", peer=peer_6, local=peer_6, on_link=(), policy=policy)
    assert judged.endpoint == Endpoint("::1", 80, 0)


def test_a_loopback_peer_may_name_any_loopback_address_but_on_same_host() -> None:
    url = "http://127.0.0.2/"
    assert judge(url, peer=LOOPBACK, local=LOOPBACK, on_link=())
    refusal(url, peer=LOOPBACK, local=LOOPBACK, on_link=(), policy="same-host")


def test_a_loopback_peer_may_not_aim_at_the_network() -> None:
    on_link = (OnLink(IPv4Network("127.0.0.0/8")),)
    error = refusal("http://192.168.1.9/", peer=LOOPBACK, local=LOOPBACK, on_link=on_link)
    assert "not on the network of 127.0.0.1 (127.0.0.0/8)" in error.args[0]


# --- the device's own machine ---

OWN_HOSTS = frozenset({"192.168.1.2", "192.168.1.3", "10.7.0.2", "2001:db8:1::2"})


@pytest.mark.clause("CSX-05")
@pytest.mark.parametrize("policy", ["on-link", "any"])
@pytest.mark.parametrize("host", ["192.168.1.2", "192.168.1.3", "10.7.0.2"])
@pytest.mark.parametrize("port", [22, 8123])
def test_nobody_elsewhere_has_events_sent_to_the_devices_own_machine(
    host: str, port: int, policy: str
) -> None:
    on_link = (*LAN, OnLink(IPv4Network("10.7.0.0/16")))
    error = refusal(f"http://{host}:{port}/", policy=policy, own_hosts=OWN_HOSTS, on_link=on_link)
    assert (OWN_LISTENER if port == 8123 else OWN_MACHINE) in error.args[0]


@pytest.mark.parametrize("policy", ["on-link", "any"])
@pytest.mark.parametrize("peer", ["192.168.1.2", "192.168.1.3"])
def test_a_program_on_the_devices_own_machine_may_name_its_addresses_but_not_the_listener(
    peer: str, policy: str
) -> None:
    subscriber = Endpoint(peer, 50000)
    url = "http://192.168.1.3:49152/"
    assert judge(url, peer=subscriber, policy=policy, own_hosts=OWN_HOSTS)
    url = "http://192.168.1.3:8123/"
    error = refusal(url, peer=subscriber, policy=policy, own_hosts=OWN_HOSTS)
    assert OWN_LISTENER in error.args[0]
    assert judge(url, peer=subscriber, policy=policy, own_hosts=OWN_HOSTS, own_callback=url)


def test_a_loopback_listener_is_refused_under_each_address_of_loopback() -> None:
    local = Endpoint("127.0.0.1", 8123)
    for host in ("127.0.0.1", "127.0.0.2", "127.255.255.254"):
        error = refusal(f"http://{host}:8123/", peer=LOOPBACK, local=local, on_link=())
        assert OWN_LISTENER in error.args[0]


@pytest.mark.clause("CSX-05")
def test_the_one_url_of_the_own_listener_is_for_programs_of_this_machine() -> None:
    own = "http://192.168.1.2:8123/events"
    with pytest.raises(RemoteProtocolError, match=OWN_MACHINE):
        judge(own, own_callback=own)


# --- the three policies ---


@pytest.mark.clause("CSX-01")
@pytest.mark.clause("CSX-05")
def test_a_subscriber_of_another_network_may_not_name_a_host_of_this_one() -> None:
    peer = Endpoint("10.9.0.5", 50000)
    error = refusal("http://192.168.1.9/", peer=peer)
    assert error.args[0] == (
        "the callback leads to 192.168.1.9, and the SUBSCRIBE came from 10.9.0.5, which is not on "
        f"the network of 192.168.1.2 (192.168.1.0/24), where the SUBSCRIBE came in; {ALLOW}"
    )
    assert judge("http://192.168.1.9/", peer=peer, policy="any")


@pytest.mark.clause("CSX-01")
def test_a_subscriber_of_another_network_is_refused_in_words_that_fit() -> None:
    peer = Endpoint("10.9.0.5", 50000)
    assert refusal("http://10.9.0.5/", peer=peer).args[0] == (
        "the subscriber 10.9.0.5 is not on the network of 192.168.1.2 (192.168.1.0/24), where the "
        'SUBSCRIBE came in; the setting callbacks="same-host" of the device allows it'
    )
    assert judge("http://10.9.0.5/", peer=peer, policy="same-host")


@pytest.mark.parametrize("policy", ["on-link", "any"])
@pytest.mark.parametrize(
    "host",
    [
        "::7f00:1",
        "::192.168.1.9",
        "::ffff:0:192.168.1.9",
        "64:ff9b::192.168.1.9",
        "64:ff9b:1::7f00:1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2002:7f00:1::1",
        "2002:c0a8:109::1",
    ],
)
def test_an_ipv6_address_that_stands_for_an_ipv4_address_is_refused(host: str, policy: str) -> None:
    everywhere = (OnLink(IPv6Network("fe80::/64"), 3),)
    error = refusal(
        f"http://[{host}]/", peer=PEER_6, local=LOCAL_6, on_link=everywhere, policy=policy
    )
    assert "which stands for an IPv4 address behind a translator or a tunnel" in error.args[0]


def test_a_network_that_has_a_6to4_prefix_is_a_network() -> None:
    on_link = (OnLink(IPv6Network("2002:c000:204:1::/64")),)
    peer, local = Endpoint("2002:c000:204:1::9", 1), Endpoint("2002:c000:204:1::2", 8123)
    assert judge("http://[2002:c000:204:1::9]/", peer=peer, local=local, on_link=on_link)


@pytest.mark.parametrize("policy", CALLBACK_POLICIES)
def test_the_anycast_address_of_the_routers_is_no_single_host(policy: str) -> None:
    error = refusal(
        "http://[2001:db8:1::]/",
        peer=GLOBAL_PEER_6,
        local=GLOBAL_LOCAL_6,
        on_link=LAN_6,
        policy=policy,
    )
    assert NO_SINGLE_HOST in error.args[0]


@pytest.mark.clause("CSX-01")
@pytest.mark.clause("CSX-04")
@pytest.mark.clause("SUB-74")
@pytest.mark.parametrize(
    "host", ["8.8.8.8", "192.168.0.255", "192.168.2.1", "10.0.0.1", "172.16.0.1", "169.254.7.7"]
)
def test_off_link_is_refused_by_default_private_or_not(host: str) -> None:
    error = refusal(f"http://{host}/")
    assert str(error) == f"the callback leads to {host}, {OFF_LINK}; {ALLOW} (UDA 2.0 §4.1.1)"
    assert judge(f"http://{host}/", policy="any")[0].endpoint.host == host


@pytest.mark.clause("CSX-01")
@pytest.mark.parametrize("host", ["192.168.1.1", "192.168.1.9", "192.168.1.254"])
def test_on_link_is_every_host_of_the_prefix(host: str) -> None:
    assert judge(f"http://{host}/")[0].endpoint.host == host


def test_on_link_is_each_prefix_of_the_interface() -> None:
    on_link = (*LAN, OnLink(IPv4Network("10.1.0.0/16")))
    assert judge("http://10.1.2.3/", on_link=on_link)
    refusal("http://10.2.0.1/", on_link=on_link)


@pytest.mark.clause("CSX-03")
def test_auto_ip_is_on_link_where_the_interface_has_it() -> None:
    assert judge("http://169.254.7.7/", on_link=(*LAN, OnLink(IPv4Network("169.254.0.0/16"))))


def test_without_prefixes_nothing_is_on_link() -> None:
    reason = refusal("http://192.168.1.9/", on_link=()).args[0]
    assert reason == (
        "no network of the address that the SUBSCRIBE was sent to (192.168.1.2) is known, so the "
        f"callback to 192.168.1.9 cannot be judged; {ALLOW}"
    )


def test_same_host_is_the_peer_alone() -> None:
    assert judge("http://192.168.1.9:1/", policy="same-host", on_link=())
    error = refusal("http://192.168.1.10/", policy="same-host")
    assert str(error) == (
        "the callback leads to 192.168.1.10, and this device calls back only the address that a "
        f"SUBSCRIBE came from, here 192.168.1.9; {ALLOW} (UDA 2.0 §4.1.1)"
    )


# --- IPv6 ---


@pytest.mark.clause("V6-07")
@pytest.mark.parametrize("policy", CALLBACK_POLICIES)
def test_a_link_local_callback_gets_the_scope_of_the_connection(policy: str) -> None:
    for on_link in (LAN_6, ()):
        (judged,) = judge(
            "http://[fe80::9]:81/", peer=PEER_6, local=LOCAL_6, on_link=on_link, policy=policy
        )
        assert judged.endpoint == Endpoint("fe80::9", 81, 3)


def test_the_scope_is_that_of_the_local_end_else_of_the_peer_else_of_the_interface() -> None:
    def scope(local: int, peer: int, *on_link: OnLink) -> int:
        (judged,) = judge(
            "http://[fe80::9]/",
            peer=PEER_6._replace(scope=peer),
            local=LOCAL_6._replace(scope=local),
            on_link=on_link,
        )
        return judged.endpoint.scope

    link = OnLink(IPv6Network("fe80::/64"), 7)
    assert scope(5, 6, link) == 5
    assert scope(0, 6, link) == 6
    assert scope(0, 0, link) == 7
    assert scope(0, 0, OnLink(IPv6Network("fe80::/64"), 0), link) == 7
    assert scope(0, 0, OnLink(IPv6Network("2001:db8::/64"), 8), link) == 7


@pytest.mark.clause("V6-02")
@pytest.mark.parametrize("policy", CALLBACK_POLICIES)
def test_a_link_local_callback_without_a_link_is_refused(policy: str) -> None:
    error = refusal(
        "http://[fe80::9]/",
        peer=PEER_6._replace(scope=0),
        local=LOCAL_6._replace(scope=0),
        on_link=LAN_6[:1],
        policy=policy,
    )
    assert str(error) == (
        "the callback leads to fe80::9, and the SUBSCRIBE did not come over a link where that "
        "address has a meaning (UDA 2.0 §A.7)"
    )


def test_a_link_local_callback_is_on_link_for_a_global_connection() -> None:
    (judged,) = judge("http://[fe80::9]/", peer=GLOBAL_PEER_6, local=GLOBAL_LOCAL_6, on_link=LAN_6)
    assert judged.endpoint == Endpoint("fe80::9", 80, 3)


def test_a_global_ipv6_callback_is_on_link_by_its_prefix_and_has_no_scope() -> None:
    (judged,) = judge("http://[2001:db8:1::10]/", peer=PEER_6, local=LOCAL_6, on_link=LAN_6)
    assert judged.endpoint == Endpoint("2001:db8:1::10", 80, 0)
    error = refusal("http://[2001:db8:2::10]/", peer=PEER_6, local=LOCAL_6, on_link=LAN_6)
    assert "not on the network of fe80::2 (2001:db8:1::/64, fe80::/64)" in error.args[0]


def test_an_ipv4_auto_ip_callback_has_no_scope() -> None:
    (judged,) = judge(
        "http://169.254.7.7/",
        peer=Endpoint("169.254.7.7", 1, 4),
        local=Endpoint("169.254.7.8", 1, 4),
        on_link=(OnLink(IPv4Network("169.254.0.0/16"), 4),),
    )
    assert judged.endpoint == Endpoint("169.254.7.7", 80, 0)


# --- several URLs ---


@pytest.mark.clause("CSX-03")
def test_one_bad_url_condemns_all() -> None:
    error = refusal("http://192.168.1.9/", "http://8.8.8.8/", "http://192.168.1.10/")
    assert "8.8.8.8" in error.args[0]


def test_lenient_leaves_the_bad_ones_out() -> None:
    judged = judge(
        "http://8.8.8.8/", "http://192.168.1.9/", "nonsense", "http://192.168.1.10/", lenient=True
    )
    assert [url.endpoint.host for url in judged] == ["192.168.1.9", "192.168.1.10"]


def test_lenient_refuses_when_none_is_left_and_says_why() -> None:
    error = refusal("http://9.9.9.9/", "http://8.8.8.8/", lenient=True)
    assert "8.8.8.8" in error.args[0]
    assert error.clause == "UDA 2.0 §4.1.1"


@pytest.mark.clause("SUB-71")
@pytest.mark.parametrize("lenient", [False, True])
def test_no_url_at_all_is_refused(lenient: bool) -> None:
    assert str(refusal(lenient=lenient)) == "CALLBACK names no URL (UDA 2.0 §4.1.2)"


@pytest.mark.clause("CSX-05")
@given(
    host=st.one_of(
        st.ip_addresses(v=4), st.ip_addresses(v=6), st.ip_addresses(network="192.168.1.0/24")
    ),
    port=st.integers(min_value=0, max_value=70_000),
)
def test_whatever_is_accepted_is_on_link_and_not_the_listener(host: object, port: int) -> None:
    literal = f"[{host}]" if ":" in str(host) else str(host)
    try:
        (judged,) = judge(f"http://{literal}:{port}/")
    except RemoteProtocolError:
        return
    assert ip_address(judged.endpoint.host) in LAN[0].network
    assert judged.endpoint != LOCAL
    assert judged.endpoint.port == port


@given(st.text(max_size=60))
def test_any_text_is_accepted_or_refused(text: str) -> None:
    for url in (text, f"http://{text}", f"http://192.168.1.9{text}"):
        for policy in CALLBACK_POLICIES:
            with contextlib.suppress(RemoteProtocolError):
                assert len(judge(url, policy=policy)) == 1


# --- behind a web server ---

OWN = frozenset({LOCAL.host})


@pytest.mark.parametrize(
    ("url", "leads_to_device"),
    [
        ("http://192.168.1.2:8000/upnp", True),
        ("http://192.168.1.2:8000/upnp?x", True),
        ("http://192.168.1.2:8000/upnp/Switch/event", True),
        ("http://192.168.1.2:8000/upnp2/x", False),
        ("http://192.168.1.2:8000/events/x", False),
        ("http://192.168.1.2:8000", False),
        ("http://192.168.1.2:8001/upnp", False),
    ],
)
def test_a_web_server_may_have_the_device_and_a_control_point_that_hears_it(
    url: str, leads_to_device: bool
) -> None:
    """The program subscribes to its own device; its events come in at another path."""
    here = {"peer": LOCAL, "own_hosts": OWN, "own_port": 8000, "own_prefix": "/upnp"}
    if leads_to_device:
        assert OWN_LISTENER in str(refusal(url, **here))
    else:
        assert judge(url, **here)[0].url == url


def test_where_a_subscribe_came_in_may_be_unknown_and_its_port_known() -> None:
    assert judge("http://192.168.1.9/", local=None, own_hosts=OWN)
    here = {"peer": LOCAL, "local": None, "own_hosts": OWN}
    assert judge("http://192.168.1.2:8000/", **here)
    assert OWN_LISTENER in str(refusal("http://192.168.1.2:8000/", **here, own_port=8000))


@pytest.mark.clause("SUB-71")
@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:9000/", ITSELF),
        ("http://192.168.1.2:9000/", f"{OWN_MACHINE}, and the SUBSCRIBE came from another"),
        ("http://239.255.255.250/", NO_SINGLE_HOST),
        ("http://[::ffff:10.0.0.1]/", FAMILY),
        ("http://[fe80::1]/", "did not come over a link"),
    ],
)
def test_a_subscriber_that_is_not_known_is_none_of_this_machine(url: str, reason: str) -> None:
    """The policy "any" leaves the rules that no policy changes."""
    unknown = {"peer": None, "policy": "any", "own_hosts": OWN}
    assert reason in str(refusal(url, **unknown))
    assert judge("http://203.0.113.9/", "http://[2001:db8::1]/", **unknown)
