from __future__ import annotations

import asyncio
from ipaddress import ip_network
from typing import Any

import pytest

from propchange.asyncio import interfaces
from propchange.asyncio.interfaces import endpoint_of
from propchange.core.local_addresses import OnLink
from propchange.core.wire.messages import Endpoint


def test_this_machine_has_addresses() -> None:
    hosts = {address.host for address in interfaces.addresses()}
    assert "127.0.0.1" in hosts
    assert interfaces.default_address() in hosts
    assert OnLink(ip_network("127.0.0.0/8"), 0) in interfaces.on_link_for(Endpoint("127.0.0.1", 1))


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


@pytest.mark.parametrize("from_source", [True, False])
async def test_a_link_local_endpoint_is_reached_with_its_scope(
    wire: Any, from_source: bool
) -> None:
    own = next((address for address in interfaces.addresses() if address.scope), None)
    if own is None:
        pytest.skip("no interface of this machine has a link-local IPv6 address")

    class Protocol(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

    door = wire.listen(own.host, scope=own.scope)
    to = Endpoint(own.host, door.port, own.scope)
    source = own.endpoint if from_source else None
    protocol = await interfaces.connect(Protocol, to, source)
    peer = await door.accept()
    assert peer.sock.getpeername()[3] == own.scope
    protocol.transport.close()
    assert await peer.rest() == b""
    door.close()
    with pytest.raises(OSError):
        await interfaces.connect(Protocol, to, source)
