"""Searches for devices that have said goodbye and that nobody follows.

Anybody on a link can send an ssdp:byebye in the name of any device, and the next ssdp:alive of that
device may be a quarter of an hour away. So a device is searched for once after its goodbye: one
that is still there answers. The same holds for a device that was displaced by others. The searches
are bounded for all devices together.
"""

from __future__ import annotations

from propchange.core.discovery.advertised import AdvertisedDevice
from propchange.core.limits import Limits


class Goodbyes:
    """The devices to search for. Of ``Limits.search_burst`` devices, each is searched for by
    itself. If there are more, one search for all devices takes the place of those for each."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._waiting: dict[str, tuple[AdvertisedDevice, float]] = {}
        self._searched: dict[str, AdvertisedDevice] = {}  # in the last search
        self._all_at: float | None = None
        self._not_before = 0.0

    def add(self, device: AdvertisedDevice, now: float) -> None:
        """``device`` has said goodbye, or was displaced."""
        due = now + self._limits.byebye_check_seconds
        if len(self._waiting) < self._limits.search_burst:
            self._waiting[device.key] = (device, due)
        elif self._all_at is None:
            self._all_at = due

    def heard(self, key: str) -> AdvertisedDevice | None:
        """The device with this key announces itself. Returns what was known of it if it was
        searched for: the answer to a search for a UDN names neither its types nor that it is a root
        device."""
        self._waiting.pop(key, None)
        return self._searched.pop(key, None)

    def next_deadline(self) -> float | None:
        """When to call :meth:`take_due`. None: not before another goodbye."""
        times = [due for _, due in self._waiting.values()]
        if self._all_at is not None:
            times.append(self._all_at)
        return max(min(times), self._not_before) if times else None

    def take_due(self, now: float) -> list[AdvertisedDevice | None]:
        """The devices to search for now. None stands for all devices."""
        deadline = self.next_deadline()
        if deadline is None or deadline > now:
            return []
        self._not_before = now + self._limits.search_refill_seconds
        self._searched.clear()
        if self._all_at is not None and self._all_at <= now:
            self._waiting.clear()
            self._all_at = None
            return [None]
        due = [device for device, at in self._waiting.values() if at <= now]
        for device in due:
            del self._waiting[device.key]
            self._searched[device.key] = device
        return list(due)
