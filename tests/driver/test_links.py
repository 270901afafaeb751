"""The links that discovery listens on, with interfaces that the test defines."""

from __future__ import annotations

from typing import Any

import ifaddr
import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.local_addresses import InterfaceKind
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.driver.links import Links
from propchange.driver.machine import Interfaces


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


def links_of(runtime: Any, read: Any) -> Links:
    """The links of a machine whose adapters ``read`` gives."""
    interfaces = Interfaces(
        clock=lambda: 0.0,
        adapters=read,
        source_towards=lambda _: None,
        kind_of=lambda *_: InterfaceKind.ORDINARY,
    )
    return Links(runtime, interfaces, lambda *_: None, SubscriberPolicy(), DEFAULT_LIMITS)


def spoken_from(*adapters: ifaddr.Adapter) -> list[str]:
    """The addresses that a control point on a machine with these adapters would search from."""
    links = links_of(None, lambda: adapters)
    return [address.host for address in links.wanted(links._interfaces.addresses()).values()]


@pytest.mark.clause("V6-10")
def test_what_goes_to_the_link_leaves_from_the_link_local_address() -> None:
    lan = adapter("eth0", 2, "192.168.1.5", "2001:db8::5", "fd00::5", "fe80::5", "fe80::6")
    assert spoken_from(lan) == ["192.168.1.5", "fe80::5"]


@pytest.mark.clause("V6-10")
def test_a_link_without_a_link_local_address_is_not_spoken_to_over_ipv6() -> None:
    assert spoken_from(adapter("eth0", 2, "192.168.1.5", "2001:db8::5", "fd00::5")) == [
        "192.168.1.5"
    ]


async def test_an_interface_that_appears_is_listened_on_and_one_that_goes_is_not(
    driven: Any,
) -> None:
    adapters: list[Any] = []

    def read() -> list[Any]:
        if None in adapters:
            raise OSError("the system says no")
        return adapters

    links = links_of(driven.runtime, read)
    links.start(None)
    assert links.addresses == ()
    adapters.append(adapter("lo", 1, "127.0.0.1"))
    links.look()
    links.look()
    assert (links.addresses, links.interfaces) == (("127.0.0.1",), ("lo",))
    # An address that is none any more when it is to be listened on, and a better interface.
    gone = adapter("gone0", 9, "192.0.2.77")
    adapters.append(gone)
    links.look()
    assert links.addresses == ()
    adapters.remove(gone)
    links.look()
    adapters.append(None)
    links.look()
    assert links.addresses == ("127.0.0.1",)
    links.close()
    assert links.addresses == ()
