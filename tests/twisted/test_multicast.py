"""A service on Twisted that sends multicast events, and the control point's end of a stream."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from propchange import MulticastPolicy, MulticastScope, StateVariable
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.multicast.message import read_multicast
from propchange.core.publisher.judge import PublisherPolicy
from propchange.driver.multicast_sockets import joined_socket
from propchange.http.datagrams import parse_datagram
from propchange.twisted import Service
from tests.driver.test_multicast_sending import LOOPBACK
from tests.multicast import own_port

__all__ = ["own_port"]


class Door(Service, type="urn:example-org:service:Door:1"):
    bell = StateVariable("ui4", multicast=True, level="upnp:/info")


@pytest.mark.clause("SCPD-04", "MC-11")
def test_a_service_that_knows_its_device_sends_multicast_events(
    reactor: Any, own_port: int
) -> None:
    policy = MulticastPolicy(scopes=(MulticastScope.IPV4,))
    door = Door(reactor=reactor, udn="porch", boot_id=lambda: 42, multicast=policy)
    with joined_socket(MulticastScope.IPV4.group, LOOPBACK) as receiver:
        receiver.settimeout(10)
        assert door.resource
        door.bell = 1
        reactor.advance(0)
        message = read_multicast(parse_datagram(receiver.recv(65_536), DEFAULT_LIMITS))
        door.close()
        assert (message.usn, message.svcid, message.boot_id) == (
            "uuid:porch::urn:example-org:service:Door:1",
            door.service_id,
            42,
        )
        receiver.settimeout(0.05)
        with pytest.raises(socket.timeout):
            receiver.recv(65_536)


def test_a_service_that_knows_no_device_says_that_it_sends_none(
    reactor: Any, caplog: pytest.LogCaptureFixture
) -> None:
    door = Door(reactor=reactor)
    assert door.resource
    door.bell = 1
    reactor.advance(0)
    (line,) = caplog.messages
    assert line == (
        "<Door urn:example-org:service:Door:1> sends no multicast events: give it the udn and the "
        "boot_id of its device"
    )
    door.close()
    old = Door(reactor=reactor, policy=PublisherPolicy(uda="1.0"))  # it has no multicast events
    assert old.resource
    assert len(caplog.messages) == 1
    old.close()


def test_a_udn_without_a_boot_id_is_refused(reactor: Any) -> None:
    for half in ({"udn": "porch"}, {"boot_id": lambda: 1}):
        with pytest.raises(ValueError, match="need both udn and boot_id"):
            Door(reactor=reactor, **half)
    everywhere = MulticastPolicy(scopes=(MulticastScope.GLOBAL,))
    with pytest.raises(ValueError, match="no multicast of global scope"):
        Door(reactor=reactor, policy=PublisherPolicy(uda="2.0"), multicast=everywhere)
