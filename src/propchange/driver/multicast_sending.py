"""The sockets that multicast events leave by: one for each interface and scope (UDA 2.0 §4.3.3)."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence

from propchange.core.limits import Limits
from propchange.core.local_addresses import LocalAddress
from propchange.core.multicast.message import Datagram, MulticastScope
from propchange.core.multicast.publication import MulticastPolicy
from propchange.driver.machine import seconds_to_next_look
from propchange.driver.multicast_places import MulticastPlaces
from propchange.driver.multicast_sockets import joined_sending_socket
from propchange.driver.reporting import Warnings, logger_named
from propchange.driver.runtime import Runtime
from propchange.driver.sockets import socket_address
from propchange.http.datagrams import encode_datagram


class MulticastSending:
    """Sends multicast events on every interface of this machine that the device uses.

    ``addresses`` reads the addresses of the device; it raises OSError if that fails. Call
    :meth:`look`, then :meth:`send` for the events, and in the end :meth:`close`. The addresses are
    read again before an event is sent, if they were read ``Limits.link_seconds`` ago: an event that
    is sent later than that reaches a new interface. A datagram that the system refuses is dropped:
    the subscribers get the event by unicast too.
    """

    def __init__(
        self,
        runtime: Runtime,
        addresses: Callable[[], Sequence[LocalAddress]],
        policy: MulticastPolicy,
        limits: Limits,
    ) -> None:
        self._now = runtime.now
        self._policy = policy
        self._limits = limits
        self._warnings = Warnings(logger_named("propchange.publisher"), limits)
        self.places = MulticastPlaces(
            addresses,
            policy.scopes,
            self._open,
            clock=runtime.now,
            limits=limits,
            warnings=self._warnings,
            purpose="multicast events are not sent",
        )
        self._look_at: float | None = None

    def _open(self, scope: MulticastScope, address: LocalAddress) -> socket.socket:
        hops = self._policy.hops_of(scope)
        return joined_sending_socket(scope.group, address, hops=hops)

    def look(self) -> None:
        """Read the addresses, and open and close sockets accordingly."""
        begun = self._now()
        self.places.look()
        now = self._now()
        self._look_at = now + seconds_to_next_look(now - begun, self._limits)

    def send(self, datagrams: Iterable[Datagram]) -> None:
        """Send each of ``datagrams`` to its group, on every interface."""
        if self._look_at is None or self._now() >= self._look_at:
            self.look()
        for datagram in datagrams:
            scope = datagram.scope
            data = b""
            for place, (address, sock) in self.places.sockets.items():
                if place.scope is not scope:
                    continue
                data = data or encode_datagram(datagram)
                group = scope.group._replace(scope=address.scope)
                try:
                    sock.sendto(data, socket_address(group))
                except OSError as error:
                    where = f"{place.interface} to {scope.group}"
                    why = f"a multicast event was not sent by {where}: {error}"
                    self._warnings.warn(("multicast send", place, error.errno), why)

    def close(self) -> None:
        """Close all sockets."""
        self.places.close()
