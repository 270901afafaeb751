"""A device that announces itself on the loopback interface, and answers searches."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from typing import Any, Self

from propchange.upnp.device import Device, place_device
from propchange.upnp.ssdp import Announcement, SSDPMessage, announced_targets

GROUP = ("239.255.255.250", 1900)


class Announcer(asyncio.DatagramProtocol):
    """Announces ``device`` as being at ``location``. ``searches`` are the targets it was asked
    for; ``silent``: it answers none; ``shy``: none but those for itself by its UDN."""

    def __init__(
        self, device: Device, location: str, *, boot_id: int = 1, uda: str = "1.1"
    ) -> None:
        assert device.udn is not None
        self.udn = device.udn
        self.targets = list(announced_targets(place_device(device, device.udn)))
        self.location = location
        self.boot_id = boot_id
        self.uda = uda
        self.silent = False
        self.shy = False
        self.searches: list[str] = []
        self.datagrams: list[bytes] = []

    async def __aenter__(self) -> Self:
        group, here = map(socket.inet_aton, (GROUP[0], "127.0.0.1"))
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, here)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group + here)
        sock.bind(("", GROUP[1]))
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, sock=sock)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._transport.close()
        await asyncio.sleep(0)

    @property
    def announcement(self) -> Announcement:
        return Announcement(
            location=self.location,
            server="Linux/6 UPnP/1.1 test/1",
            uda=self.uda,
            boot_id=self.boot_id,
        )

    def send(self, messages: Sequence[SSDPMessage | bytes], *, times: int = 1) -> None:
        for message in [*messages] * times:
            data = message if isinstance(message, bytes) else message.encode()
            with contextlib.suppress(BlockingIOError):
                self._transport.sendto(data, GROUP)

    def alive(self, *, times: int = 3) -> None:
        self.send([self.announcement.alive(target) for target in self.targets], times=times)

    def byebye(self, *, times: int = 3) -> None:
        self.send([self.announcement.byebye(target) for target in self.targets], times=times)

    def update(self, next_boot_id: int) -> None:
        self.send([self.announcement.update(target, next_boot_id) for target in self.targets])
        self.boot_id = next_boot_id

    def connection_made(self, transport: Any) -> None:
        # The first search may come before the endpoint is told.
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if not data.startswith(b"M-SEARCH") or b"ST:" not in data:
            return
        self.datagrams.append(data)
        fields = dict(line.split(":", 1) for line in data.decode().split("\r\n") if ":" in line)
        wanted = fields["ST"].strip()
        self.searches.append(wanted)
        for target in self.targets:
            if self.silent or (self.shy and wanted != self.udn):
                continue
            if wanted in {"ssdp:all", target.target}:
                self._transport.sendto(self.announcement.search_response(target).encode(), addr)
