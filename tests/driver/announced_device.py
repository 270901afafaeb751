"""A device that announces itself over sockets, on a machine whose interfaces the test defines.

They are all on the loopback interface, which counts as an ordinary one here.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import ifaddr

from propchange.core.discovery.advertisement import Advertisement, AdvertisementKind
from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.local_addresses import InterfaceKind, LocalAddress
from propchange.core.wire.messages import Endpoint
from propchange.driver.announcing import AnnouncementPolicy, Announcing
from propchange.driver.boot_id import BootId
from propchange.driver.machine import Interfaces
from propchange.driver.multicast_sockets import joined_socket, sending_socket
from propchange.errors import RemoteProtocolError
from propchange.upnp.device import Device, place_device
from propchange.upnp.service import Service
from propchange.upnp.ssdp import IPV4_GROUP, read_datagram

LOOPBACK = LocalAddress("127.0.0.1", 0, ip_network("127.0.0.0/24"), "lo", 1)
ALIVE, BYEBYE = AdvertisementKind.ALIVE, AdvertisementKind.BYEBYE
UPDATE, RESPONSE = AdvertisementKind.UPDATE, AdvertisementKind.RESPONSE


class Clock(Service, type="urn:example-org:service:Clock:2"):
    pass


def adapter(name: str, *hosts: str, index: int = 0) -> ifaddr.Adapter:
    return ifaddr.Adapter(name, name, [ifaddr.IP(host, 24, name) for host in hosts], index)


class Neighbour:
    """Another program on the link: what it hears of the device."""

    def __init__(self, udn: str, group: Endpoint) -> None:
        self.udn = udn
        self._group = (group.host, group.port)
        self._joined = joined_socket(group, LOOPBACK)
        self.own = sending_socket(LOOPBACK)

    def close(self) -> None:
        self._joined.close()
        self.own.close()

    async def next(self, *kinds: AdvertisementKind) -> tuple[Advertisement, Endpoint]:
        """The next message of the device with one of ``kinds``, and its source."""
        loop = asyncio.get_running_loop()
        sock = self.own if kinds == (RESPONSE,) else self._joined
        while True:
            data, source = await loop.sock_recvfrom(sock, 65_536)
            with contextlib.suppress(RemoteProtocolError):
                said = read_datagram(data)
                if said is not None and said.udn == self.udn and said.kind in kinds:
                    return said, Endpoint(*source)

    async def many(self, number: int, *kinds: AdvertisementKind) -> list[Advertisement]:
        return [(await self.next(*kinds))[0] for _ in range(number)]

    def search(self, target: str, to: tuple[str, int] | None = None) -> None:
        """Send a search to the group with MX, or to an address without."""
        mx = "" if to else "MX: 1\r\n"
        text = f'M-SEARCH * HTTP/1.1\r\nHOST: x\r\nMAN: "ssdp:discover"\r\n{mx}ST: {target}\r\n\r\n'
        self.own.sendto(text.encode(), to or self._group)


class Announced:
    """A device of a machine with ``adapters``, which the test changes."""

    def __init__(
        self,
        runtime: Any,
        folder: Path,
        *,
        uda: str = "1.1",
        services: Sequence[Service] = (),
        limits: Limits = DEFAULT_LIMITS,
        group: Endpoint = IPV4_GROUP,
        **policy: Any,
    ) -> None:
        self.udn = f"uuid:{uuid.uuid4()}"
        self.adapters: list[Any] = [adapter("eth0", "127.0.0.1")]
        self.kind = InterfaceKind.ORDINARY
        self.kinds: dict[str, InterfaceKind] = {}
        self.neighbour = Neighbour(self.udn, group)
        self.announcing = Announcing(
            runtime,
            place_device(Device("Wall", services=services or [Clock()]), self.udn),
            uda=uda,
            server="Linux/6 UPnP/1.1 test/1",
            config_id=77,
            policy=AnnouncementPolicy(state_directory=folder, **policy),
            boot_id=BootId(self.udn, folder),
            addresses=Interfaces(
                adapters=self._adapters, kind_of=lambda name, _: self.kinds.get(name, self.kind)
            ).refresh,
            location=lambda own: f"http://{own.host}:8123/description.xml",
            date=lambda: b"today",
            limits=limits,
        )

    def _adapters(self) -> list[Any]:
        if None in self.adapters:
            raise OSError("the system says no")
        return self.adapters


@contextlib.asynccontextmanager
async def announced(driven: Any, folder: Path, **options: Any) -> AsyncIterator[Announced]:
    device = Announced(driven.runtime, folder, **options)
    try:
        yield device
    finally:
        await driven.run(device.announcing.close())
        device.neighbour.close()
