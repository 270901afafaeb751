"""Two LANs: three hosts on one, a fourth on the other, and one of the three on both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lab.networks import Host, Network, Switch

__all__ = ["TwoLans", "two_lans"]


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
            self._plug(host, self.home, number, "eth0")
        self.plug_into_office()
        self._plug(self.far, self.office, 4, "eth0")

    def plug_into_office(self) -> None:
        """Give ``here`` the interface eth1, the same one each time."""
        self._plug(self.here, self.office, 1, "eth1")

    def unplug_from_office(self) -> None:
        """Take the interface eth1 from ``here``."""
        self.here.ip("link del eth1")

    def _plug(self, host: Host, switch: Switch, number: int, interface: str) -> None:
        lan = 77 if switch is self.home else 78
        addresses = f"10.{lan}.0.{number}/24", f"fd{lan}::{number}/64"
        mac = f"02:00:00:00:{lan}:{number:02}"
        self.network.plug(host, switch, interface, *addresses, mac=mac)


@contextmanager
def two_lans() -> Iterator[TwoLans]:
    """The two LANs, until the context is left. Raises Missing as Network does."""
    with Network() as network:
        yield TwoLans(network)
