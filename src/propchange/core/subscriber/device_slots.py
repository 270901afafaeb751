"""Decides which request to a device is sent next: one of eventing, or the call of an action."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import urlsplit

from propchange.core.limits import Limits

DeviceAddress = tuple[str, int]
"""The host and port of a URL of a device, by which requests to it are counted."""


@lru_cache(maxsize=256)  # calls go to few URLs
def device_address(url: str) -> DeviceAddress:
    """The host and port in ``url``. Raises ValueError for a port that is no number."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 80


class Queued(Protocol):
    """A request of eventing in the queue."""

    @property
    def address(self) -> DeviceAddress:
        """The host and port that it goes to."""

    @property
    def wanted(self) -> bool:
        """Whether it is still to be sent."""


R = TypeVar("R", bound=Queued)


@dataclass(slots=True, eq=False, repr=False)
class CallTurn:
    """The turn of one call of an action to ``address``. In ``carrier`` a runtime keeps the
    coroutine that waits for the turn."""

    address: DeviceAddress
    carrier: Any = field(default=None, kw_only=True)


class _Device(Generic[R]):
    """The requests to one host and port."""

    __slots__ = ("call_was_last", "calls", "calls_under_way", "requests", "requests_under_way")

    def __init__(self) -> None:
        self.requests: deque[R] = deque()
        self.calls: dict[CallTurn, None] = {}
        self.requests_under_way: set[R] = set()
        self.calls_under_way: set[CallTurn] = set()
        self.call_was_last = False

    @property
    def under_way(self) -> int:
        return len(self.requests_under_way) + len(self.calls_under_way)

    @property
    def waits(self) -> bool:
        return bool(self.requests or self.calls)


class DeviceSlots(Generic[R]):
    """The requests to devices: those that wait to be sent and those that are under way.

    To one host and port ``Limits.requests_per_device`` are under way at once; the others wait.
    Requests of eventing leave in order, and so do calls. If both wait, they take turns. If there
    are several slots, each kind leaves one to the other: a renewal does not wait for an action that
    takes long, and a call does not wait for SUBSCRIBEs that the device does not answer.
    """

    def __init__(self, limits: Limits) -> None:
        self._most = limits.requests_per_device
        self._most_of_kind = max(self._most - 1, 1)
        self._devices: dict[DeviceAddress, _Device[R]] = {}
        self.ready: dict[DeviceAddress, None] = {}
        """The addresses whose next request may leave, in order. If it is empty, :meth:`take`
        returns nothing."""

    def put(self, request: R) -> None:
        """Queue a request of eventing."""
        self._device(request.address).requests.append(request)
        self.ready[request.address] = None

    def begin_call(self, turn: CallTurn) -> bool:
        """Returns True if the call may leave at once. Else it is queued, and :meth:`take` gives its
        ``turn`` later. In both cases :meth:`end_call` follows."""
        device = self._device(turn.address)
        if not device.waits and self._fits(device, device.calls_under_way):
            device.calls_under_way.add(turn)
            device.call_was_last = True
            return True
        device.calls[turn] = None
        self.ready[turn.address] = None
        return False

    def take(self) -> tuple[list[R], list[CallTurn]]:
        """The requests of eventing, and the turns of calls, that leave now."""
        requests: list[R] = []
        turns: list[CallTurn] = []
        ready, self.ready = self.ready, {}
        for address in ready:
            device = self._devices[address]
            while self._take_one(device, requests, turns):
                pass
            self._forget_idle(address, device)
        return requests, turns

    def _take_one(self, device: _Device[R], requests: list[R], turns: list[CallTurn]) -> bool:
        """Take the next request to ``device``. Returns False if none may leave."""
        call = bool(device.calls) and self._fits(device, device.calls_under_way)
        eventing = bool(device.requests) and self._fits(device, device.requests_under_way)
        if call and not (eventing and device.call_was_last):
            turn = next(iter(device.calls))
            del device.calls[turn]
            device.calls_under_way.add(turn)
            device.call_was_last = True
            turns.append(turn)
        elif eventing:
            request = device.requests.popleft()
            if request.wanted:
                device.requests_under_way.add(request)
                device.call_was_last = False
                requests.append(request)
        else:
            return False
        return True

    def end(self, request: R) -> None:
        """``request``, which was taken, has ended. Repeated calls do nothing."""
        device = self._devices.get(request.address)
        if device is not None and request in device.requests_under_way:
            device.requests_under_way.discard(request)
            self._freed(request.address, device)

    def end_call(self, turn: CallTurn) -> None:
        """The call has ended, or was given up before its turn. Repeated calls do nothing."""
        device = self._devices.get(turn.address)
        if device is not None:
            device.calls.pop(turn, None)
            device.calls_under_way.discard(turn)
            self._freed(turn.address, device)

    def others_of(self, turn: CallTurn) -> int:
        """The number of other requests to the device of this call, which is under way. Those that
        wait are counted too."""
        device = self._devices[turn.address]
        return device.under_way - 1 + len(device.requests) + len(device.calls)

    def _device(self, address: DeviceAddress) -> _Device[R]:
        device = self._devices.get(address)
        if device is None:
            device = self._devices[address] = _Device()
        return device

    def _fits(self, device: _Device[R], kind: Collection[object]) -> bool:
        """Whether another request may leave. ``kind`` has the requests under way of its kind."""
        return device.under_way < self._most and len(kind) < self._most_of_kind

    def _freed(self, address: DeviceAddress, device: _Device[R]) -> None:
        if device.waits:
            self.ready[address] = None
        else:
            self._forget_idle(address, device)

    def _forget_idle(self, address: DeviceAddress, device: _Device[R]) -> None:
        if not (device.waits or device.under_way):
            del self._devices[address]
            self.ready.pop(address, None)
