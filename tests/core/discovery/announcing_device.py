"""A device that announces itself, on a clock that the test moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_interface
from typing import Any

from propchange.core.discovery.announcements import Announcements, OutgoingMessage
from propchange.core.discovery.search_answers import Search, Target
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.local_addresses import LocalAddress
from propchange.core.wire.messages import Endpoint

UDN = "uuid:00000000-0000-0000-0000-00000000000a"
RENDERER = "urn:schemas-upnp-org:device:MediaRenderer:2"
TRANSPORT = "urn:schemas-upnp-org:service:AVTransport:3"
TARGETS = (
    Target("upnp:rootdevice", f"{UDN}::upnp:rootdevice"),
    Target(UDN, UDN),
    Target(RENDERER, f"{UDN}::{RENDERER}"),
    Target(TRANSPORT, f"{UDN}::{TRANSPORT}"),
)
ANSWER_BYTES = 400
SEARCH_BYTES = 100


def address(text: str, interface: str = "eth0", index: int = 2) -> LocalAddress:
    """``text`` is an address with its prefix length."""
    given = ip_interface(text)
    scope = index if given.version == 6 and given.is_link_local else 0
    return LocalAddress(str(given.ip), scope, given.network, interface, index)


LAN = address("192.168.1.5/24")
WIFI = address("10.0.0.5/24", "wlan0", 3)
LINK_LOCAL = address("fe80::5/64")
ULA = address("fd00::5/64")

PEER = Endpoint("192.168.1.77", 50_000)
"""A control point on the network of LAN."""


def many(number: int) -> tuple[Target, ...]:
    """The targets of a device with ``number`` services of different types."""
    types = [f"urn:example-org:service:Service{each:03}:1" for each in range(number)]
    return (*TARGETS[:3], *(Target(each, f"{UDN}::{each}") for each in types))


class AnnouncingDevice:
    """Its time begins at 1000 s. ``sent`` has each message with its time since then."""

    def __init__(
        self,
        *addresses: LocalAddress,
        targets: Sequence[Target] = TARGETS,
        uda: str = "1.1",
        max_age: int = 1_800,
        random: float = 0.5,
        boot_id: int = 7,
        byebye_first: bool = False,
        **limits: Any,
    ) -> None:
        self.now = 1_000.0
        self.boot_id = boot_id
        self.announcements = Announcements(
            targets,
            uda=uda,
            max_age=max_age,
            answer_bytes=ANSWER_BYTES,
            limits=replace(DEFAULT_LIMITS, **limits),
            random=lambda: random,
            rise=self.rise,
        )
        self.sent: list[tuple[float, OutgoingMessage]] = []
        self.announcements.begin(boot_id, addresses, self.now, byebye_first=byebye_first)
        self._take()

    def rise(self) -> int:
        self.boot_id += 1
        return self.boot_id

    def _take(self) -> None:
        self.sent += [(self.now - 1_000, each) for each in self.announcements.take_messages()]

    def run(self, seconds: float) -> list[OutgoingMessage]:
        """Let time pass, and return what is sent meanwhile."""
        until, before = self.now + seconds, len(self.sent)
        while (when := self.announcements.next_deadline()) is not None and when <= until:
            self.now = max(self.now, when)
            self.announcements.handle_deadline(self.now)
            self._take()
        self.now = until
        return [message for _, message in self.sent[before:]]

    def become(self, *addresses: LocalAddress) -> list[OutgoingMessage]:
        """Have these addresses from now on. Returns what is sent at once."""
        before = len(self.sent)
        self.announcements.change_addresses(addresses, self.now)
        self._take()
        return [message for _, message in self.sent[before:]]

    def plug_in(self) -> None:
        """The carrier of a link is back."""
        self.announcements.announce_again(self.now)
        self._take()

    def hear(
        self,
        target: str,
        mx: int | None = 1,
        source: Endpoint = PEER,
        *,
        own: Sequence[LocalAddress] = (LAN,),
        multicast: bool = True,
        size: int = SEARCH_BYTES,
    ) -> None:
        """Receive a search."""
        search = Search(target, mx, multicast)
        self.announcements.receive_search(search, source, own, size, self.now)

    def search(self, target: str, mx: int | None = 1, **options: Any) -> list[OutgoingMessage]:
        """The answers to a search within the next 6 s."""
        self.hear(target, mx, **options)
        return [message for message in self.run(6) if message.to is not None]

    def end(self) -> list[OutgoingMessage]:
        """Leave the network. Returns what is sent until the end."""
        before = len(self.sent)
        self.announcements.end(self.now)
        self._take()
        self.run(10)
        return [message for _, message in self.sent[before:]]
