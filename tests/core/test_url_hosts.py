"""The hosts that a URL of a device may lead to."""

from ipaddress import IPv4Network, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.local_addresses import LocalAddress
from propchange.core.url_hosts import judge_url_host
from propchange.core.wire.messages import Endpoint

OWN = (
    LocalAddress("127.0.0.1", 0, IPv4Network("127.0.0.0/8"), "lo", 1),
    LocalAddress("::1", 0, IPv6Network("::1/128"), "lo", 1),
    LocalAddress("10.0.0.9", 0, IPv4Network("10.0.0.0/24"), "eth0", 2),
    LocalAddress("192.168.7.9", 0, IPv4Network("192.168.7.0/24"), "eth1", 3),
    LocalAddress("fe80::9", 2, IPv6Network("fe80::/64"), "eth0", 2),
)
DEVICE = "10.0.0.1"
HERE = "this machine itself"
OTHER = "another host than"


def at(host: str, port: int = 80) -> Endpoint:
    host, _, zone = host.partition("%")
    return Endpoint(host, port, int(zone or 0))


def refusal(led_to: str, giver: str, *, other_hosts: bool = False) -> str:
    try:
        judge_url_host(at(led_to), at(giver, 8080), OWN, other_hosts=other_hosts)
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("led_to", "giver"),
    [
        (DEVICE, DEVICE),
        ("::ffff:10.0.0.1", DEVICE),
        ("fe80::1%2", "fe80::1%2"),
        ("fe80:0::1", "fe80::1%2"),
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "::1"),
        ("10.0.0.9", "127.0.0.1"),
        ("10.0.0.9", "10.0.0.9"),
    ],
)
@pytest.mark.parametrize("other_hosts", [False, True])
def test_a_url_may_lead_to_the_host_that_gave_it(
    led_to: str, giver: str, other_hosts: bool
) -> None:
    assert refusal(led_to, giver, other_hosts=other_hosts) == ""


@pytest.mark.parametrize(
    "here",
    [
        "127.0.0.1",
        "127.8.9.10",
        "::1",
        "::ffff:127.0.0.1",
        "0.0.0.0",
        "::",
        "10.0.0.9",
        "::ffff:10.0.0.9",
        "192.168.7.9",
        "fe80::9%2",
    ],
)
@pytest.mark.parametrize("giver", [DEVICE, "192.0.2.1", "fe80::1%2"])
@pytest.mark.parametrize("other_hosts", [False, True])
def test_no_other_machine_can_name_an_address_of_this_one(
    here: str, giver: str, other_hosts: bool
) -> None:
    assert HERE in refusal(here, giver, other_hosts=other_hosts)


@pytest.mark.parametrize("here", ["127.0.0.1", "::1", "192.168.7.9"])
def test_a_device_at_an_address_of_this_machine_names_no_other_one(here: str) -> None:
    assert HERE in refusal(here, "10.0.0.9")


@pytest.mark.parametrize("other", ["10.0.0.2", "192.168.7.2", "8.8.8.8", "fe80::1%3", "fe80::2%2"])
@pytest.mark.parametrize("giver", [DEVICE, "127.0.0.1", "fe80::1%2"])
def test_a_url_leads_to_no_third_host(other: str, giver: str) -> None:
    assert OTHER in refusal(other, giver)


@pytest.mark.parametrize(
    ("other", "giver", "reason"),
    [
        ("10.0.0.2", DEVICE, ""),
        ("fe80::2%2", "fe80::1%2", ""),
        ("192.168.7.2", DEVICE, "not on the link"),
        ("8.8.8.8", DEVICE, "not on the link"),
        ("8.8.8.8", "8.8.4.4", "not on the link"),
        ("fe80::1%3", "fe80::1%2", "not on the link"),
        ("239.255.255.250", DEVICE, "no single host"),
        ("ff02::c", "fe80::1%2", "no single host"),
    ],
)
def test_by_option_it_leads_to_another_host_on_the_link_of_the_device(
    other: str, giver: str, reason: str
) -> None:
    found = refusal(other, giver, other_hosts=True)
    assert reason in found
    assert bool(found) is bool(reason)


@given(st.ip_addresses(), st.ip_addresses().filter(lambda each: not each.is_loopback))
def test_nothing_but_the_host_itself_is_allowed_by_default(led_to: object, giver: object) -> None:
    found = refusal(str(led_to).partition("%")[0], str(giver).partition("%")[0])
    mapped = getattr(led_to, "ipv4_mapped", None) or led_to
    assert bool(found) is (mapped != (getattr(giver, "ipv4_mapped", None) or giver))
