"""Plays the rows of SSDP in which our side is a control point, and the peer a device."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from exchange import Message, filled, fits
from runtime_threads import SECONDS, LoopThread, ReactorThread
from ssdp_messages import (
    DEVICE,
    EMBEDDED,
    EMBEDDED_SERVICE,
    SERVICE,
    Causes,
    Datagrams,
    Find,
    Hears,
    Leave,
    Move,
    Pause,
    Requests,
    Restart,
    SearchFor,
    Sees,
    SsdpRow,
)
from ssdp_network import GROUPS, PATIENCE, PORT, Ear, Lane, url_host
from twisted.internet.defer import Deferred

from propchange import (
    ConnectionFailed,
    ControlPoint,
    Device,
    Event,
    Request,
    Service,
    StateVariable,
    host,
)
from propchange.core.limits import DEFAULT_LIMITS
from propchange.twisted import ControlPoint as TwistedControlPoint
from tests.interop.wire import enter

LIMITS = replace(
    DEFAULT_LIMITS,
    settle_seconds=0.1,
    byebye_check_seconds=0.2,
    max_age_margin_seconds=0.0,
    check_refill_seconds=0.5,
    search_refill_seconds=0.5,
)

_QUIET = 0.5
"""Seconds in which nothing more may come."""


# --- the device ---


class PeerDevice:
    """The device of the peer at ``near``: its description, and the requests that it gets."""

    def __init__(self, thread: LoopThread, udn: str) -> None:
        self._thread = thread
        self.udn = udn
        self.embedded = f"{udn}-embedded"
        self.requests: list[str] = []
        self._hosted = self._host(0)
        self.port = self._hosted.port

    def again(self, port: int = 0) -> int:
        """Forget the subscriptions and be hosted again, at the same port or at ``port``."""
        self.close()
        self._hosted = self._host(port or self.port)
        return int(self._hosted.port)

    def close(self) -> None:
        if self._hosted is not None:
            self._thread.run(self._hosted.close())
        self._hosted = None

    def _host(self, port: int) -> Any:
        lamp, lock = (
            Service(type=each, variables=[StateVariable("ui1", name="Level")])
            for each in (SERVICE, EMBEDDED_SERVICE)
        )
        drawer = Device("Drawer", services=[lock], type=EMBEDDED, udn=self.embedded)
        device = Device("Bench", services=[lamp], devices=[drawer], type=DEVICE, udn=self.udn)
        return self._thread.run(self._open(device, port))

    async def _open(self, device: Device, port: int) -> Any:
        end = time.monotonic() + PATIENCE
        while True:
            hosted = host(device, port=port, announce=False, tap=self._tap)
            try:
                return await hosted.__aenter__()
            except ConnectionFailed:  # a connection of the last time has the port for a moment
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(0.1)

    def _tap(self, passing: object) -> None:
        if isinstance(passing, Request) and passing.method in ("SUBSCRIBE", "UNSUBSCRIBE"):
            renews = passing.method == "SUBSCRIBE" and b"sid" in passing.fields
            self.requests.append("renew" if renews else passing.method.lower())


# --- our side ---


class Front(Protocol):
    """A control point on one of our runtimes, in another thread."""

    seen: list[tuple[Any, ...]]
    causes: list[str]

    def follow(self, url: str) -> None:
        """Subscribe to the service of the device at ``url``; returns after its initial event."""

    def search(self, target: str) -> None:
        """Search for ``target``."""

    def find(self, udn: str) -> str:
        """The URL of the device ``udn``."""

    def end(self) -> None:
        """End, and leave nothing."""


def _point_options(row: SsdpRow) -> dict[str, Any]:
    return {"uda": row.uda, "discovery": True, "limits": LIMITS, **row.options}


class AsyncioFront:
    """``propchange.ControlPoint``."""

    def __init__(self, row: SsdpRow, namespace: str) -> None:
        self.seen: list[tuple[Any, ...]] = []
        self.causes: list[str] = []
        self._heard = threading.Event()
        self._thread = LoopThread(enter=partial(enter, namespace))
        self._tasks: list[asyncio.Task[None]] = []
        self._thread.run(self._begin(row))

    async def _begin(self, row: SsdpRow) -> None:
        self._point = ControlPoint(**_point_options(row))
        await self._point.__aenter__()
        self._tasks.append(asyncio.create_task(self._see()))

    async def _see(self) -> None:
        async for sighting in self._point.devices():
            self.seen.append((sighting.kind.value, sighting))

    def follow(self, url: str) -> None:
        self._thread.run(self._follow(url))
        assert self._heard.wait(SECONDS)

    async def _follow(self, url: str) -> None:
        device = await self._point.device(url)
        subscription = device["Lamp"].subscribe()
        await subscription.__aenter__()
        self._tasks.append(asyncio.create_task(self._update(subscription)))

    async def _update(self, subscription: Any) -> None:
        async for update in subscription.updates():
            if isinstance(update, Event):
                self._heard.set()
            else:
                self.causes.append(update.cause.value)

    def search(self, target: str) -> None:
        self._thread.loop.call_soon_threadsafe(self._point.search, target)

    def find(self, udn: str) -> str:
        return str(self._thread.run(self._point.device(udn=udn, timeout=PATIENCE)).url)

    def end(self) -> None:
        async def close() -> None:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._point.close()

        self._thread.run(close())
        self._thread.close()


class TwistedFront:
    """``propchange.twisted.ControlPoint``."""

    def __init__(self, row: SsdpRow, namespace: str) -> None:
        self.seen: list[tuple[Any, ...]] = []
        self.causes: list[str] = []
        self._heard = threading.Event()
        self._thread = ReactorThread(enter=partial(enter, namespace))
        self._thread.run(self._begin, row)

    def _begin(self, row: SsdpRow) -> None:
        self._point = TwistedControlPoint(reactor=self._thread.reactor, **_point_options(row))
        self._point.listen()
        Deferred.fromCoroutine(self._see())

    async def _see(self) -> None:
        async for sighting in self._point.devices():
            self.seen.append((sighting.kind.value, sighting))

    def follow(self, url: str) -> None:
        device = self._thread.run(self._point.device, url)
        self._thread.run(
            lambda: (
                device["Lamp"].subscribe(self._event, on_status=self._status, wait=True) and None
            )
        )
        assert self._heard.wait(SECONDS)

    def _event(self, event: Event) -> None:
        self._heard.set()

    def _status(self, change: Any) -> None:
        self.causes.append(change.cause.value)

    def search(self, target: str) -> None:
        self._thread.run(self._point.search, target)

    def find(self, udn: str) -> str:
        return str(self._thread.run(lambda: self._point.device(udn=udn, timeout=PATIENCE)).url)

    def end(self) -> None:
        self._thread.run(self._point.close)
        self._thread.close()


MakeFront = Callable[[SsdpRow, str], Front]


# --- playing ---


class ControlPointPlayer:
    """Plays a row on ``lane``, with addresses of ``family``."""

    def __init__(
        self, row: SsdpRow, family: str, lane: Lane, device_thread: LoopThread, make: MakeFront
    ) -> None:
        self._row = row
        self._lane = lane
        self._ears = lane.ears(family)
        near, far = self._ears["near"], self._ears["far"]
        self._device = PeerDevice(device_thread, f"uuid:{uuid.uuid4()}")
        self._taken = {"seen": 0, "causes": 0, "requests": 0}
        self._begun = time.monotonic()
        place = f"http://{url_host(near.address.own)}"
        group = url_host(GROUPS[family].upper())
        self._names = {
            "udn": self._device.udn,
            "embedded": self._device.embedded,
            "location": f"{place}:{self._device.port}/description.xml",
            "elsewhere": f"http://{url_host(far.address.own)}:8080/description.xml",
            "near": place,
            "group": f"{group}:{PORT}",
            "server": "Bench/1 UPnP/1.1 bench/1",
        }
        for name, ear, interface in (("seen", near, "eth0"), ("seen_elsewhere", far, "eth1")):
            # A link-local URL is of the link that it was announced on.
            zone = f"%{interface}" if family == "IPv6" else ""
            url = self._names["location" if ear is near else "elsewhere"]
            self._names[name] = url.replace(ear.address.own, ear.address.own + zone)
        self._front = make(row, lane.lans.here.namespace)

    def play(self) -> None:
        """Play the row."""
        try:
            if self._row.follows:
                self._front.follow(self._names["seen"])
                self._take("causes", len(self._front.causes))
                self._take("requests", len(self._device.requests))
            for step in self._row.steps:
                getattr(self, f"_do_{type(step).__name__.lower()}")(step)
        finally:
            with contextlib.ExitStack() as ends:
                for ear in self._ears.values():
                    ends.callback(ear.close)
                ends.callback(self._device.close)
                ends.callback(self._front.end)

    def _take(self, what: str, count: int) -> None:
        self._taken[what] = count

    def _filled(self, data: str | bytes) -> bytes:
        return filled(data, self._names)

    # --- the peer ---

    def _do_datagrams(self, step: Datagrams) -> None:
        ear = self._ears[step.host]
        to = self._searcher(ear) if step.answer else None
        for data in step.data:
            ear.send(self._filled(data), to)

    def _searcher(self, ear: Ear) -> Any:
        search = ear.wait(
            lambda heard: next(
                (each for each in reversed(heard) if each.data.startswith(b"M-SEARCH ")), None
            )
        )
        assert search, "no search came"
        return search.source

    def _do_restart(self, step: Restart) -> None:
        self._device.again()

    def _do_leave(self, step: Leave) -> None:
        self._device.close()

    def _do_move(self, step: Move) -> None:
        port = self._device.again(_free_port_beside(self._device.port))
        self._names["moved"] = f"{self._names['near']}:{port}/description.xml"

    def _do_pause(self, step: Pause) -> None:
        time.sleep(step.seconds)

    # --- the application ---

    def _do_searchfor(self, step: SearchFor) -> None:
        self._begun = time.monotonic()
        self._front.search(self._filled(step.target).decode())

    def _do_find(self, step: Find) -> None:
        assert self._front.find(self._names["udn"]) == self._names["seen"]

    def _do_sees(self, step: Sees) -> None:
        wanted = [(each.kind, self._filled(each.udn).decode(), each.shown) for each in step.seen]
        mine = (self._names["udn"], self._names["embedded"])

        def seen() -> list[Any]:
            return [each for each in self._front.seen if each[1].udn in mine]

        found = self._new("seen", seen, len(wanted))
        kinds = [(kind, sighting.udn) for kind, sighting in found]
        assert kinds == [each[:2] for each in wanted], kinds
        for (_, _, shown), (_, sighting) in zip(wanted, found, strict=True):
            for name, value in shown.items():
                found_value = getattr(sighting, name)
                assert found_value == self._with_names(value), (name, found_value)

    def _with_names(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._filled(value).decode()
        return tuple(map(self._with_names, value)) if isinstance(value, tuple) else value

    def _do_causes(self, step: Causes) -> None:
        found = self._new("causes", lambda: self._front.causes, len(step.causes))
        assert tuple(found) == step.causes, found

    def _do_requests(self, step: Requests) -> None:
        found = self._new("requests", lambda: self._device.requests, len(step.kinds))
        assert tuple(found) == step.kinds, found

    def _new(self, what: str, all_of: Callable[[], Sequence[Any]], number: int) -> list[Any]:
        """What has come since the last time, once there are ``number``, and nothing more comes."""
        before, end = self._taken[what], time.monotonic() + PATIENCE
        while len(all_of()) < before + number and time.monotonic() < end:
            time.sleep(0.01)
        quiet_until = time.monotonic() + _QUIET
        while len(all_of()) <= before + number and time.monotonic() < quiet_until:
            time.sleep(0.01)
        found = list(all_of())
        self._take(what, len(found))
        return found[before:]

    # --- what the peer hears ---

    def _do_hears(self, step: Hears) -> None:
        ear = self._ears[step.host]
        line = self._filled(step.line)

        def enough(heard: Sequence[Any]) -> list[Any]:
            fitting = [each for each in heard if _fits(each.data, line, step.headers, self._names)]
            return fitting if len(fitting) >= step.times else []

        found = ear.wait(enough)
        assert found, f"not heard: {step}; only {[each.data for each in ear.heard]}"
        for each in found:
            assert step.hops in (None, each.hops), each
        assert len({each.data for each in found}) == 1, found


def _fits(data: bytes, line: bytes, headers: Mapping[str, str], names: Mapping[str, str]) -> bool:
    if not data.startswith(line + b"\r\n"):
        return False
    found = Message.of(data)
    return (
        sorted(found.headers) == sorted(headers)
        and not found.body
        and all(fits(value, found.headers[name], names) for name, value in headers.items())
    )


def _free_port_beside(port: int) -> int:
    return port + 1 if port < 60_000 else port - 1
