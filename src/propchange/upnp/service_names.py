"""The names of the services of a description: names to find a service by, and names that no other
service has."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Generic, Protocol, TypeVar

from propchange.core.discovery.advertisement import udn_key


class Named(Protocol):
    """A service in a description."""

    @property
    def service_type(self) -> str:
        """Its type."""

    @property
    def service_id(self) -> str:
        """Its serviceId."""

    @property
    def name(self) -> str:
        """Its short name."""

    @property
    def id_tail(self) -> str:
        """The part behind the last colon of the serviceId."""

    @property
    def event_url(self) -> str:
        """Its event URL, perhaps empty."""

    @property
    def udn(self) -> str:
        """The UDN of its device."""


N = TypeVar("N", bound=Named)


class ServiceNames(Generic[N]):
    """The names of ``services``, all services of one description. Equal ones count once.

    :attr:`short` has the shortest name of each service that no other service has: the short name;
    else the serviceId; else the UDN of the device, a slash and one of these; else the event URL.
    :meth:`named` finds the service by it.
    """

    def __init__(self, services: Iterable[N]) -> None:
        self._services = tuple(dict.fromkeys(services))
        self._levels: tuple[dict[str, list[N]], ...] = tuple({} for _ in range(7))
        """The services by their names. A name in one level hides the same name in the next ones."""
        for service in self._services:
            udn = udn_key(service.udn)
            plain: list[tuple[str, ...]] = [
                (service.service_type,),
                (service.service_id,),
                tuple(dict.fromkeys((service.name, service.id_tail))),
            ]
            behind_udn = [tuple(f"{udn}/{each}" for each in names if each) for names in plain]
            every = (*plain, (service.event_url,), *behind_udn)
            for level, names in zip(self._levels, every, strict=True):
                for name in filter(None, names):
                    level.setdefault(name, []).append(service)
        self.short = {service: self._shortest(service) for service in self._services}

    def named(self, name: str) -> tuple[N, ...]:
        """The services with this name, in their order.

        A name is the full type; else the serviceId; else the short name or the tail of the
        serviceId; else the event URL; each of the first three also behind the UDN of the device
        and a slash; else the full type in a later version.
        """
        found = tuple(self._exactly(name))
        wanted, version = _split_version(name)
        if found or version < 0:
            return found
        types = ((service, *_split_version(service.service_type)) for service in self._services)
        return tuple(
            service for service, offered, later in types if offered == wanted and later > version
        )

    def of_type(self, service_type: str) -> tuple[tuple[N, ...], tuple[N, ...]]:
        """The services with this type: those in this version or a later one, which does all that
        an earlier one does (UDA 2.0 §2.3), and those in an earlier version."""
        wanted, version = _split_version(service_type)
        fitting: list[N] = []
        earlier: list[N] = []
        for service in self._services:
            offered, present = _split_version(service.service_type)
            if offered == wanted and present >= 0:
                (fitting if present >= version else earlier).append(service)
        return tuple(fitting), tuple(earlier)

    def telling(self, service: N) -> str:
        """The UDN and serviceId of ``service``; its shortest name if another service has these."""
        full = f"{service.udn}/{service.service_id}"
        if service.service_id and self._is_only(service, full):
            return full
        return self.short.get(service, full)

    def _exactly(self, name: str) -> Sequence[N]:
        udn, slash, rest = name.partition("/")
        keys = (name, f"{udn_key(udn)}/{rest}") if slash else (name,)
        found = (level[key] for key in keys for level in self._levels if key in level)
        return next(found, ())

    def _is_only(self, service: N, name: str) -> bool:
        # A copy of the list would have a cost: all services may have the same name.
        found = self._exactly(name)
        return len(found) == 1 and found[0] == service

    def _shortest(self, service: N) -> str:
        udn, service_id = service.udn, service.service_id
        names = (service.name, service_id, f"{udn}/{service.name}", f"{udn}/{service_id}")
        only = (name for name in names if self._is_only(service, name))
        return next(only, service.event_url or f"{udn}/{service_id}")


def _split_version(service_type: str) -> tuple[str, int]:
    name, _, version = service_type.rpartition(":")
    return name, int(version) if re.fullmatch("[0-9]{1,9}", version) else -1
