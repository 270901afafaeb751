"""Endpoints from the addresses of sockets, and binding."""

from __future__ import annotations

import pytest

from propchange.core.wire.messages import Endpoint
from propchange.driver.sockets import endpoint_of


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
