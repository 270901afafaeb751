"""Endpoints from the addresses of sockets, and binding."""

from __future__ import annotations

import socket

import pytest

from propchange.core.wire.messages import Endpoint
from propchange.driver.sockets import endpoint_of, ports_of, scoped_host, socket_from, zone_of


@pytest.mark.parametrize(
    ("sockaddr", "endpoint"),
    [
        (("192.0.2.1", 80), Endpoint("192.0.2.1", 80)),
        (("2001:db8:0:0::1", 80, 0, 0), Endpoint("2001:db8::1", 80)),
        (("2001:db8::1", 80, 0, 7), Endpoint("2001:db8::1", 80)),
        (("fe80::1", 80, 0, 7), Endpoint("fe80::1", 80, 7)),
        (("fe80::1%eth0", 80, 0, 7), Endpoint("fe80::1", 80, 7)),
        (("::ffff:192.0.2.1", 80, 0, 0), Endpoint("192.0.2.1", 80)),
    ],
)
def test_an_endpoint_has_no_zone_and_no_mapped_address(
    sockaddr: tuple[object, ...], endpoint: Endpoint
) -> None:
    assert endpoint_of(sockaddr) == endpoint


def test_the_socket_functions_are_given_the_scope() -> None:
    assert scoped_host(Endpoint("fe80::1", 80, 7)) == "fe80::1%7"
    assert scoped_host(Endpoint("192.0.2.1", 80)) == "192.0.2.1"


@pytest.mark.parametrize(
    ("name", "zone"),
    [("eth0.100", "eth0.100"), ("br-lan", "br-lan"), ("my lan", "7"), ("a]b", "7"), ("12", "7")],
)
def test_the_zone_in_a_url_is_the_name_of_the_interface_if_a_url_can_have_it(
    name: str, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "if_indextoname", {7: name}.__getitem__)
    assert zone_of(7) == zone


def test_the_zone_of_an_interface_that_has_gone_is_its_number() -> None:
    assert zone_of(2**30) == str(2**30)


@pytest.mark.parametrize("source", ["fe80::1", "febf::1"])
def test_a_link_local_source_on_an_unknown_link_is_not_bound_to(source: str) -> None:
    with socket_from(Endpoint("fd00::1", 80), Endpoint(source, 0)) as sock:
        assert sock.getsockname()[0] == "::"


def test_a_single_port_is_a_range_of_one() -> None:
    assert ports_of(0) == (0,)
    assert ports_of((49152, 49200)) == (49152, 49200)


@pytest.mark.parametrize(
    ("ports", "problem"),
    [((), "at least one"), (-1, "not -1"), (65_536, "not 65536"), ((80, 0), "one of several")],
)
def test_what_cannot_be_listened_on_is_told(ports: int | tuple[int, ...], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        ports_of(ports)


@pytest.mark.skipif(not hasattr(socket, "IP_BIND_ADDRESS_NO_PORT"), reason="Linux has this")
@pytest.mark.parametrize("host", ["127.0.0.9", "::1"])
def test_a_bound_socket_gets_its_port_when_it_connects(host: str) -> None:
    """Else bind() looks for a port that no connection of this machine has."""
    with socket_from(Endpoint(host, 9), Endpoint(host, 0)) as sock:
        assert sock.getsockname()[:2] == (host, 0)


def test_a_socket_is_bound_to_the_port_that_was_given() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = endpoint_of(server.getsockname())
        with pytest.raises(OSError, match="in use"):
            socket_from(Endpoint("127.0.0.1", 9), taken)
