"""Two LANs: three hosts on one, a fourth on the other, and one of the three on both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lab.networks import Host, Network

__all__ = ["TwoLans", "two_lans"]

HOME, OFFICE = "10.77.0", "10.78.0"
HOME_V6, OFFICE_V6 = "fd77:", "fd78:"


class TwoLans:
    """The switches ``home`` and ``office``, and the hosts at them.

    ============ ================================ ================================
    host         at home                          at the office
    ============ ================================ ================================
    ``here``     eth0, 10.77.0.1, fd77::1         eth1, 10.78.0.1, fd78::1
    ``near``     eth0, 10.77.0.2, fd77::2
    ``third``    eth0, 10.77.0.3, fd77::3
    ``far``                                       eth0, 10.78.0.4, fd78::4
    ============ ================================ ================================

    Each interface has a link-local IPv6 address too. No host forwards.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.home, self.office = network.switch("home"), network.switch("office")
        self.here, self.near, self.third, self.far = map(
            network.host, ("here", "near", "third", "far")
        )
        for number, host in enumerate((self.here, self.near, self.third), 1):
            self.plug_into_home(host, number)
        self.plug_into_office(self.here, 1, "eth1")
        self.plug_into_office(self.far, 4)

    def plug_into_home(self, host: Host, number: int, interface: str = "eth0") -> None:
        """Give a host an interface at home, with both kinds of addresses."""
        addresses = f"{HOME}.{number}/24", f"{HOME_V6}:{number}/64"
        self.network.plug(host, self.home, interface, *addresses)

    def plug_into_office(self, host: Host, number: int, interface: str = "eth0") -> None:
        """The same at the office."""
        addresses = f"{OFFICE}.{number}/24", f"{OFFICE_V6}:{number}/64"
        self.network.plug(host, self.office, interface, *addresses)


@contextmanager
def two_lans() -> Iterator[TwoLans]:
    """The two LANs, until the context is left. Raises Missing as Network does."""
    with Network() as network:
        yield TwoLans(network)
