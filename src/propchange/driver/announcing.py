"""Announces a hosted device by SSDP, and answers searches for it, on either runtime.

:class:`.Announcements` decides what is sent and when, :class:`.AnnouncedAddresses` has the sockets.
:class:`Announcing` connects them: it reads the addresses of this machine every
``Limits.link_seconds``, gives datagrams to the schedule, and sends its messages.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from propchange.core.discovery.advertisement import AdvertisementKind
from propchange.core.discovery.announcements import Announcements, OutgoingMessage
from propchange.core.limits import Limits
from propchange.core.local_addresses import LocalAddress
from propchange.core.record import Record
from propchange.core.wire.messages import Endpoint
from propchange.driver.announced_addresses import AnnouncedAddresses
from propchange.driver.boot_id import LARGEST_BOOT_ID, BootId
from propchange.driver.carriers import Carriers
from propchange.driver.machine import seconds_to_next_look
from propchange.driver.reporting import Warnings, logger_named
from propchange.driver.runtime import Armed, Runtime, Signal, Timer
from propchange.errors import RemoteProtocolError
from propchange.upnp.device import PlacedDevice
from propchange.upnp.ssdp import (
    IPV4_GROUP,
    Announcement,
    announced_targets,
    group_of,
    read_search,
)

if TYPE_CHECKING:
    from pathlib import Path  # takes 1 ms and 0.6 MB to import

SHORTEST_MAX_AGE = 5
"""The shortest max-age in seconds. UDA recommends 1800 (UDA 2.0 §1.2.2)."""

_LONGEST_LOCATION = f"http://[{'f' * 39}]:65535/{'d' * 32}"

_logger = logger_named("propchange.discovery")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class AnnouncementPolicy(Record):
    """How a hosted device announces itself.

    - ``announce``: whether it does.
    - ``max_age``: seconds for which an announcement is valid.
    - ``state_directory``: the folder where BOOTID is kept; see :class:`.BootId`.
    - ``secure_location``: the https URL of the description, for SECURELOCATION.UPNP.ORG (SEC-01).
      None: the device has none.

    Raises ValueError for values that cannot be sent.
    """

    announce: bool = True
    max_age: int = 1_800
    state_directory: Path | None = None
    secure_location: str | None = None

    def __post_init__(self) -> None:
        """Refuse values that cannot be sent."""
        if self.max_age < SHORTEST_MAX_AGE:
            raise ValueError(f"max_age is at least {SHORTEST_MAX_AGE} s, not {self.max_age}")
        if self.secure_location is not None and not self.secure_location.startswith("https://"):
            raise ValueError(f"secure_location is an https URL, not {self.secure_location!r}")


NOT_ANNOUNCED = AnnouncementPolicy(announce=False)


class Announcing:
    """Announces the root device ``placed``. Call :meth:`start`, and in the end :meth:`close`.

    ``addresses`` reads the addresses of the device; it raises OSError if that fails. ``location``
    returns the URL of the description at one of them; None if the device does not listen there yet.
    ``date`` returns the value of DATE. ``server`` is the value of SERVER, ``config_id`` the
    configId of the description. ``hops`` is the TTL; None: the default. ``longest_location``
    is the longest URL that ``location`` can return; None: that of any address.
    """

    def __init__(
        self,
        runtime: Runtime,
        placed: PlacedDevice,
        *,
        uda: str,
        server: str,
        config_id: int,
        policy: AnnouncementPolicy,
        boot_id: BootId,
        addresses: Callable[[], Sequence[LocalAddress]],
        location: Callable[[LocalAddress], str | None],
        date: Callable[[], bytes],
        limits: Limits,
        hops: int | None = None,
        longest_location: str | None = None,
    ) -> None:
        self._runtime = runtime
        self._carriers = Carriers()
        self._uda = uda
        self._server = server
        self._config_id = config_id
        self._policy = policy
        self._boot_id = boot_id
        self._read = addresses
        self._location = location
        self._date = date
        self._limits = limits
        self._warnings = Warnings(_logger, limits)
        targets = tuple(announced_targets(placed))
        longest = self._values(longest_location or _LONGEST_LOCATION, LARGEST_BOOT_ID, 65_535)
        self._announcements = Announcements(
            targets,
            uda=uda,
            max_age=policy.max_age,
            answer_bytes=max(
                len(longest.search_response(each, date().decode()).encode()) for each in targets
            ),
            limits=limits,
            random=random.random,
            rise=boot_id.rise,
        )
        self._addresses = AnnouncedAddresses(
            runtime,
            self._receive,
            serves=lambda each: location(each) is not None,
            hops=hops,
            limits=limits,
        )
        self._timer = Timer(runtime.call_later, limits, self._deadline, clock=runtime.now)
        self._next_look: Armed | None = None
        self._started = False
        self._ended = Signal(runtime)

    @property
    def addresses(self) -> tuple[LocalAddress, ...]:
        """The addresses from which the device announces itself."""
        return self._addresses.open

    @property
    def boot_id(self) -> int:
        """The BOOTID that control points have heard of last; 0 before the start."""
        return self._announcements.heard_boot_id

    # --- start and end ---

    def start(self) -> None:
        """Announce the device, and follow the addresses of this machine."""
        self._started = True
        number = self._boot_id.begin()
        self._follow()
        self._carriers.returned(self.addresses)  # note those that have none
        self._announcements.begin(
            number, self.addresses, self._runtime.now(), byebye_first=self._boot_id.crashed
        )
        self._pump()

    async def close(self) -> None:
        """Say goodbye, which takes some tenths of a second, and close the sockets. If this call is
        cancelled, the goodbye is said at once. Safe to call again."""
        if not self._started:
            return
        self._started = False
        if self._next_look is not None:
            self._next_look.cancel()
        self._announcements.end(self._runtime.now())
        self._pump()
        try:
            if not self._announcements.ended:
                await self._ended.wait()
        finally:
            self._announcements.hasten_end()
            self._pump()
            self._timer.close()
            self._addresses.close()

    # --- addresses ---

    def look(self) -> None:
        """Read the addresses of this machine, and announce what has changed. After :meth:`close`
        it does nothing."""
        if not self._started:
            return
        self._follow()
        now = self._runtime.now()
        self._announcements.change_addresses(self.addresses, now)
        if self._carriers.returned(self.addresses):
            self._announcements.announce_again(now)
        self._pump()
        self._addresses.close_gone()

    def _follow(self) -> None:
        if self._next_look is not None:
            self._next_look.cancel()
        begun = self._runtime.now()
        try:
            self._addresses.follow(self._read())
        except OSError as error:
            self._warnings.warn("addresses", f"the addresses of this machine: {error}")
        seconds = seconds_to_next_look(self._runtime.now() - begun, self._limits)
        self._next_look = self._runtime.call_later(seconds, self.look)

    # --- in and out ---

    def _receive(
        self, data: bytes, source: Endpoint, own: Sequence[LocalAddress], multicast: bool
    ) -> None:
        try:
            search = read_search(data, multicast=multicast, limits=self._limits)
        except RemoteProtocolError as error:
            _logger.debug("from %s: %s", source.host, error)
            return
        if search is not None:
            now = self._runtime.now()
            self._announcements.receive_search(search, source, own, len(data), now)
            self._timer.set(self._announcements.next_deadline())

    def _deadline(self, now: float) -> None:
        self._announcements.handle_deadline(now)
        self._pump()

    def _pump(self) -> None:
        for message in self._announcements.take_messages():
            self._send(message)
        self._timer.set(self._announcements.next_deadline())
        if self._announcements.ended:
            self._ended.set()

    def _send(self, message: OutgoingMessage) -> None:
        address, target = message.address, message.target
        location = self._location(address)
        if location is None:
            return
        group = group_of(address)
        boot_id = message.boot_id
        values = self._values(
            location,
            boot_id,
            self._addresses.search_port(address),
            nls=message.next_boot_id or boot_id,
            group=group,
        )
        if message.kind is AdvertisementKind.ALIVE:
            datagram = values.alive(target)
        elif message.kind is AdvertisementKind.BYEBYE:
            datagram = values.byebye(target)
        elif message.next_boot_id is not None:
            datagram = values.update(target, message.next_boot_id)
        else:
            datagram = values.search_response(target, self._date().decode())
        self._addresses.send(address, datagram.encode(), message.to or group)

    def _values(
        self,
        location: str,
        boot_id: int,
        search_port: int | None,
        *,
        nls: int = 0,
        group: Endpoint = IPV4_GROUP,
    ) -> Announcement:
        """The values of a message. The network location signature is BOOTID, which changes with
        every address (NLS-02)."""
        return Announcement(
            location=location,
            server=self._server,
            uda=self._uda,
            max_age=self._policy.max_age,
            boot_id=boot_id,
            config_id=self._config_id,
            search_port=search_port,
            nls=str(nls or boot_id),
            secure_location=self._policy.secure_location,
            host=str(group),
        )
