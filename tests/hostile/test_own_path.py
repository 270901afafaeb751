"""A publisher answers at its own event URL and nowhere else."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from tests.hostile.listeners import (
    EventSubscriptionListener,
    Exchange,
    HostListener,
    ServiceListener,
    SiteListener,
    running,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore:twisted.web.resource._UnsafeNoResource"  # Twisted's own 404
)

PUBLISHERS = [HostListener, ServiceListener, SiteListener, EventSubscriptionListener]


def refused(target: str) -> tuple[int, ...]:
    # A site of the application's own has other resources, and * is about all of them.
    return (404, 405) if target == "*" else (404,)


@pytest.mark.clause("SUB-76")
@pytest.mark.parametrize("address", [None, "::1"])
@pytest.mark.parametrize("kind", PUBLISHERS, ids=lambda kind: kind.name)
def test_every_other_target_than_the_event_url_is_answered_404(
    kind: type[Any], address: str | None
) -> None:
    with running(kind, address=address) as listener:
        callback = f"http://{'[::1]' if address else listener.address}:9/"
        fresh = f"CALLBACK: <{callback}>\r\nNT: upnp:event\r\n"
        answer = listener.dial().send(listener.request("SUBSCRIBE", listener.path, fresh)).head()
        assert answer.startswith(b"HTTP/1.1 200 ")
        sid = next(
            line.partition(b":")[2].strip().decode()
            for line in answer.split(b"\r\n")
            if line.lower().startswith(b"sid:")
        )
        beside = [
            "*",
            "/../../etc/passwd",
            "/nothing",
            f"{listener.path}x",
            f"{listener.path.rstrip('/')}/x",
            f"/{listener.path}",
            f"{listener.path}{'' if listener.path == '/' else '/'}../x",
        ]
        for target in beside:
            for lines in (fresh, f"SID: {sid}\r\n"):
                status = listener.dial().send(listener.request("SUBSCRIBE", target, lines)).status()
                assert status in refused(target), target
            status = (
                listener.dial().send(listener.request("UNSUBSCRIBE", target, f"SID: {sid}\r\n"))
            ).status()
            assert status in refused(target), target
        renewal = listener.request("SUBSCRIBE", listener.path, f"SID: {sid}\r\n")
        assert listener.dial().send(renewal).status() == 200


def test_a_service_listens_on_all_addresses_of_both_families_at_one_port() -> None:
    class Everywhere(ServiceListener):
        def _enter(self) -> None:
            super()._enter()
            self.port = self.service.listen()

    with running(Everywhere) as listener:
        for address in ("127.0.0.1", "::1"):
            peer = Exchange((address, listener.port))
            host = f"[{address}]" if ":" in address else address
            request = f"GET / HTTP/1.1\r\nHOST: {host}:{listener.port}\r\n\r\n".encode()
            assert peer.send(request).status() == 405
            peer.close()


def test_a_service_says_that_its_port_is_taken_and_takes_another_of_a_range() -> None:
    class Taken(ServiceListener):
        def _enter(self) -> None:
            super()._enter()
            with pytest.raises(Exception, match=f"port {self.port} is taken"):
                self.service.listen(self.port, self.address)
            with pytest.raises(ValueError, match="65535"):
                self.service.listen(65_536)
            free = self.service.listen(range(self.port, self.port + 20), self.address)
            assert self.port < free < self.port + 20
            self.more = free

    with running(Taken) as listener:
        assert listener.dial().send(listener.good).status() == 404
        with socket.create_connection((listener.address, listener.more)) as peer:
            peer.sendall(b"GET")
