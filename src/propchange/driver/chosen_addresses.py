"""The addresses of this machine that a device or a control point uses."""

from __future__ import annotations

from collections.abc import Collection

from propchange.core.local_addresses import LocalAddress, address_of
from propchange.core.wire.messages import Endpoint
from propchange.driver.machine import Interfaces, rank
from propchange.driver.reporting import logger_named
from propchange.errors import ConnectionFailed

_logger = logger_named("propchange.http")


def check_exclude(interface: str | None, exclude: Collection[str]) -> frozenset[str]:
    """``exclude`` as a set. Raises TypeError for a single name instead of a collection, ValueError
    if ``interface`` is one of the names."""
    if isinstance(exclude, str):
        raise TypeError(f"exclude is a list of names, such as exclude=[{exclude!r}]")
    if interface is not None and any(_is_of(interface, name) for name in exclude):
        raise ValueError(f"interface and exclude both name {interface}")
    return frozenset(exclude)


class ChosenAddresses:
    """Those addresses of ``interfaces`` that a program uses.

    ``interface`` is the name of an interface, or one address; None: all. ``exclude`` are names of
    interfaces that are not used; a name that no interface has excludes one that comes later. The
    addresses of an alias (``eth0:1``) belong to its interface, and have a name of their own too.
    """

    def __init__(
        self,
        interfaces: Interfaces,
        interface: str | None = None,
        exclude: Collection[str] = (),
    ) -> None:
        self.interfaces = interfaces
        self.interface = interface
        self._exclude = check_exclude(interface, exclude)
        given, _, self._zone = (interface or "").partition("%")
        address = address_of(given)
        self._host = None if address is None else str(address)

    @property
    def host(self) -> str | None:
        """The one chosen address, as it was given; None if an interface or all were chosen."""
        return None if self._host is None else self.interface

    @property
    def is_interface(self) -> bool:
        """Whether one interface was chosen by its name."""
        return self.interface is not None and self._host is None

    def check(self) -> None:
        """Raise ConnectionFailed if no interface has the chosen name. Log a warning for each
        excluded name that no interface has. Both texts name the interfaces."""
        if not (self.is_interface or self._exclude):
            return
        there = self.interfaces.names()
        names = ", ".join(sorted(there))
        if self.is_interface and self.interface not in there:
            raise ConnectionFailed(f"there is no interface {self.interface!r}; there are: {names}")
        for problem in self.unknown_names():
            _logger.warning("%s", problem)

    def unknown_names(self) -> list[str]:
        """A sentence for each excluded name that no interface has now."""
        there = self.interfaces.names()
        problems = []
        for name in sorted(self._exclude - there):
            of = {each.interface for each in self.interfaces.addresses() if each.host == name}
            if of:
                problem = f"exclude takes names, and {name} is an address of {min(of)}"
            else:
                problem = (
                    f"exclude names {name!r}, and there is no such interface now; there are: "
                    f"{', '.join(sorted(there))}"
                )
            problems.append(problem)
        return problems

    def read(self) -> tuple[LocalAddress, ...]:
        """Read the addresses of this machine now, and return the chosen ones. Raises OSError if
        they cannot be read."""
        return self._choose(self.interfaces.refresh())

    def present(self) -> tuple[LocalAddress, ...]:
        """The chosen addresses, as they were read last."""
        return self._choose(self.interfaces.addresses())

    def has(self, address: LocalAddress) -> bool:
        """Whether ``address`` is a chosen one."""
        return self._is_chosen(address) and not self.leaves_out(address)

    def _choose(self, known: Collection[LocalAddress]) -> tuple[LocalAddress, ...]:
        return tuple(filter(self.has, known))

    def _is_chosen(self, address: LocalAddress) -> bool:
        if self._host is not None:
            zones = ("", address.interface, str(address.interface_index))
            return address.host == self._host and self._zone in zones
        return self.interface is None or _is_of(address.interface, self.interface)

    def leaves_out(self, address: LocalAddress) -> bool:
        """Whether ``address`` belongs to an excluded interface."""
        return any(_is_of(address.interface, name) for name in self._exclude)

    def excludes(self, local: Endpoint) -> bool:
        """Whether the address ``local`` of this machine belongs to an excluded interface. True also
        if the interface is not known."""
        if not self._exclude:
            return False
        address = self.interfaces.address_at(local)
        return address is None or self.leaves_out(address)

    def refuses(self, local: Endpoint) -> bool:
        """Whether the address ``local`` of this machine is not a chosen one. True also if its
        interface is not known."""
        if not (self._exclude or self.is_interface):
            return False
        address = self.interfaces.address_at(local)
        return address is None or not self.has(address)

    def by_rank(self) -> tuple[str, ...]:
        """The chosen addresses without zones. The first one is the one to advertise: the source
        address of SSDP's multicast, else that of the default route. The others follow by the
        width of their scope, IPv4 first."""
        present = sorted(self.present(), key=rank)
        if not present:
            return ()
        first = self.interfaces.default_address(present)
        return tuple(dict.fromkeys((first, *(each.host for each in present))))


def _is_of(interface: str, name: str) -> bool:
    """Whether ``interface`` has the name ``name`` or is an alias of it."""
    return interface == name or interface.startswith(f"{name}:")
