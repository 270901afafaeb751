"""The addresses of this machine that a control point uses.

A program chooses them by ``interface=`` and ``exclude=``:

* Without ``interface=``, all addresses are used, but those of excluded interfaces.
* With the name of an interface, all addresses of the interface are used. A connection to a device
  leaves from one of the family and scope of the device.
* With one address, the listener has that address, and each SUBSCRIBE leaves from there. From
  another address, CALLBACK would name an address without a listener.
"""

from __future__ import annotations

from collections.abc import Collection

from propchange.core.local_addresses import LocalAddress, usable_towards
from propchange.core.subscriber.callback_address import is_own
from propchange.core.wire.messages import Endpoint
from propchange.driver.chosen_addresses import ChosenAddresses, check_exclude
from propchange.driver.machine import Interfaces, source_towards
from propchange.driver.requests import locate
from propchange.errors import ConnectionFailed


class ControlPointAddresses:
    """The addresses of ``interfaces`` that a control point uses. Until :meth:`choose` is called,
    these are all but those of the interfaces that ``exclude`` names."""

    def __init__(self, interfaces: Interfaces, exclude: Collection[str]) -> None:
        self.interfaces = interfaces
        self._exclude = exclude
        self._chosen = ChosenAddresses(interfaces, None, exclude)
        self.source: Endpoint | None = None
        """The one address that is used, with port 0; None: an interface or all are used. Set by the
        driver once it listens there."""

    def choose(self, interface: str | None) -> str | None:
        """Use ``interface`` alone, which is the name of an interface, an address or a host name;
        None: all. Returns the one host to listen on; None: all addresses. Raises ConnectionFailed
        if this machine has no such interface, ValueError if it is excluded."""
        check_exclude(interface, self._exclude)
        host = None if interface is None else self.interfaces.host_of(interface)
        named = interface if host is None else None
        self._chosen = ChosenAddresses(self.interfaces, named, self._exclude)
        self._chosen.check()
        return host

    def own(self, host: str) -> Endpoint:
        """The address ``host`` of this machine, which may have a zone. Raises ConnectionFailed for
        anything else."""
        try:
            endpoint = locate(f"http://[{host}]/" if ":" in host else f"http://{host}/")
            if is_own(endpoint, self.known()):
                return endpoint
        except ValueError:  # a name, or a zone that this machine does not have
            pass
        raise ConnectionFailed(f"{host} is no address of this machine")

    def known(self) -> tuple[LocalAddress, ...]:
        """All addresses of this machine, as they were read last; empty if they cannot be read."""
        try:
            return self.interfaces.addresses()
        except OSError:
            return ()

    def read(self) -> tuple[tuple[LocalAddress, ...], tuple[LocalAddress, ...]]:
        """Read the addresses of this machine. Returns those that are used, and the others. Raises
        OSError if they cannot be read."""
        addresses = self.interfaces.refresh()
        used = tuple(filter(self._is_used, addresses))
        return used, tuple(each for each in addresses if not self._is_used(each))

    def advertised(self, listening: str) -> str:
        """The host to advertise for a listener on ``listening``, which may be all addresses."""
        if listening not in ("0.0.0.0", "::"):
            return listening
        return next(iter(self._chosen.by_rank()), listening)

    def leaves_out(self, address: LocalAddress) -> bool:
        """Whether the interface of ``address`` is not used."""
        return not self._chosen.has(address)

    def excludes(self, local: Endpoint) -> bool:
        """Whether the interface of ``local``, an address of this machine, is not used. True also if
        the interface is not known."""
        return self._chosen.refuses(local)

    def source_towards(self, device: Endpoint) -> Endpoint | None:
        """The address to connect to ``device`` from, of its family and scope, if one interface was
        chosen by its name. None: any."""
        if not self._chosen.is_interface:
            return None
        usable = usable_towards(device.host, self._chosen.present())
        same = (each for each in usable if not device.scope or each.scope in (0, device.scope))
        return next((each.endpoint for each in same), None)

    def way_to(self, device: Endpoint) -> Endpoint | None:
        """The address that the system would connect to ``device`` from, if some interfaces are
        excluded. None: all are used, or there is no way."""
        host = source_towards(device) if self._exclude else None
        return None if host is None else Endpoint(host, 0, device.scope)

    def _is_used(self, address: LocalAddress) -> bool:
        one = self.source
        return not self.leaves_out(address) and (one is None or address.host == one.host)
