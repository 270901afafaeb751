"""Which address discovery speaks from on each link, on machines that the test makes up."""

from __future__ import annotations

import ifaddr
import pytest

from propchange.asyncio.discovery import Discovery
from propchange.asyncio.documents import Documents
from propchange.asyncio.interfaces import own_interfaces
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.subscriber.protocol import SubscriberProtocol


def adapter(name: str, index: int, *hosts: str) -> ifaddr.Adapter:
    return ifaddr.Adapter(
        name,
        name,
        [
            ifaddr.IP((host, 0, index if host.startswith("fe80") else 0), 64, name)
            if ":" in host
            else ifaddr.IP(host, 24, name)
            for host in hosts
        ],
        index,
    )


async def spoken_from(*adapters: ifaddr.Adapter) -> list[str]:
    """The addresses that a control point on a machine with these adapters would search from."""
    interfaces = own_interfaces(adapters=lambda: adapters)
    discovery = Discovery(
        SubscriberProtocol(new_token=lambda: "x", jitter=lambda: 0.0),
        interfaces=interfaces,
        host=None,
        documents=Documents(SubscriberPolicy(), DEFAULT_LIMITS),
        policy=SubscriberPolicy(),
        changed=lambda: None,
        off_link_locations=False,
        limits=DEFAULT_LIMITS,
        tap=None,
    )
    links = discovery._wanted_links(interfaces.addresses())
    await discovery.close()
    return [address.host for address in links.values()]


@pytest.mark.clause("V6-10")
async def test_what_goes_to_the_link_leaves_from_the_link_local_address() -> None:
    lan = adapter("eth0", 2, "192.168.1.5", "2001:db8::5", "fd00::5", "fe80::5", "fe80::6")
    assert await spoken_from(lan) == ["192.168.1.5", "fe80::5"]


@pytest.mark.clause("V6-10")
async def test_a_link_without_a_link_local_address_is_not_spoken_to_over_ipv6() -> None:
    assert await spoken_from(adapter("eth0", 2, "192.168.1.5", "2001:db8::5", "fd00::5")) == [
        "192.168.1.5"
    ]
