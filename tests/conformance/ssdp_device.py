"""Plays the rows of SSDP in which our side is a device, and the peer a control point."""

from __future__ import annotations

import contextlib
import re
import socket
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from exchange import Message, filled, fits
from runtime_threads import LoopThread, ReactorThread
from ssdp_messages import (
    DEVICE,
    EMBEDDED,
    EMBEDDED_SERVICE,
    NLS,
    SERVICE,
    AddAddress,
    Announces,
    Begin,
    Flood,
    OffLink,
    Pause,
    Reads,
    RemoveAddress,
    Search,
    Silence,
    SsdpRow,
    Stop,
)
from ssdp_network import GROUPS, HOPS, PATIENCE, PORT, Ear, Heard, Lane, address_of, url_host

import propchange
import propchange.twisted
from propchange import Device, Service, StateVariable
from tests.interop.wire import enter, inside

_QUIET = 0.4
"""Seconds in which nothing more may come."""

_PATIENCE = 20.0
"""Seconds that a slow machine has besides."""

_LEARNT = {"BOOTID.UPNP.ORG": "boot", "CONFIGID.UPNP.ORG": "config", "01-NLS": "nls"}

_NUMBER = "~[0-9]{1,10}"


class Front(Protocol):
    """A hosted device on one of our runtimes, in another thread."""

    def begin(self, device: Device, **options: Any) -> None:
        """Host ``device``."""

    def stop(self) -> None:
        """End the device that is hosted, if any."""

    def end(self) -> None:
        """End, and leave nothing."""


class AsyncioDevice:
    """``propchange.host``."""

    def __init__(self, namespace: str) -> None:
        self._thread = LoopThread(enter=partial(enter, namespace))
        self._hosted: Any = None

    def begin(self, device: Device, **options: Any) -> None:
        self._hosted = propchange.host(device, **options)
        self._thread.run(self._hosted.__aenter__())

    def stop(self) -> None:
        if self._hosted is not None:
            self._thread.run(self._hosted.close())
        self._hosted = None

    def end(self) -> None:
        self.stop()
        self._thread.close()


class TwistedDevice:
    """``propchange.twisted.host``."""

    def __init__(self, namespace: str) -> None:
        self._thread = ReactorThread(enter=partial(enter, namespace))
        self._hosted: Any = None

    def begin(self, device: Device, **options: Any) -> None:
        reactor = self._thread.reactor
        self._thread.run(self._begin, device, {"reactor": reactor, **options})

    def _begin(self, device: Device, options: dict[str, Any]) -> Any:
        self._hosted = propchange.twisted.host(device, **options)
        return self._hosted.open()

    def stop(self) -> None:
        if self._hosted is not None:
            self._thread.run(self._hosted.close)
        self._hosted = None

    def end(self) -> None:
        self.stop()
        self._thread.close()


MakeFront = Callable[[str], Front]


class DevicePlayer:
    """Plays a row on ``lane``, with addresses of ``family``."""

    def __init__(self, row: SsdpRow, family: str, lane: Lane, make: MakeFront) -> None:
        self._row = row
        self._family = family
        self._here = lane.lans.here
        self._near = lane.lans.near
        self._added: list[RemoveAddress] = []
        self._stack = contextlib.ExitStack()
        self._ears = lane.ears(family)
        for ear in self._ears.values():
            self._stack.callback(ear.close)
        state = self._stack.enter_context(tempfile.TemporaryDirectory())
        self._options = {"uda": row.uda, "state_directory": Path(state), **row.options}
        self._places = {
            each: url_host(address_of(lane.lans.here, interface, family))
            for each, interface in (("near", "eth0"), ("far", "eth1"))
        }
        group = url_host(GROUPS[family].upper())
        self._udn = f"uuid:{uuid.uuid4()}"
        self._names = {
            "udn": self._udn,
            "embedded": f"{self._udn}-embedded",
            "group": f"{group}:{PORT}",
            "uda": row.uda,
        }
        # What a step has looked at is not looked at again.
        self._seen = {name: len(ear.heard) for name, ear in self._ears.items()}
        self._last: Message | None = None
        self._front = make(lane.lans.here.namespace)
        self._stack.callback(self._front.end)

    def play(self) -> None:
        """Play the row."""
        with self._stack:
            try:
                for step in self._row.steps:
                    getattr(self, f"_do_{type(step).__name__.lower()}")(step)
            finally:
                for step in self._added:
                    with contextlib.suppress(RuntimeError):
                        self._here.ip(f"addr del {step.address} dev {step.interface}")

    def _filled(self, text: str) -> str:
        return filled(text, self._names).decode("latin-1")

    # --- our side ---

    def _do_begin(self, step: Begin) -> None:
        lamp, lock = (
            Service(type=each, variables=[StateVariable("ui1", name="Level")])
            for each in (SERVICE, EMBEDDED_SERVICE)
        )
        drawer = Device("Drawer", services=[lock], type=EMBEDDED, udn=self._names["embedded"])
        device = Device("Bench", services=[lamp], devices=[drawer], type=DEVICE, udn=self._udn)
        self._front.begin(device, **self._options | dict(step.options))

    def _do_stop(self, step: Stop) -> None:
        for name, ear in self._ears.items():
            self._seen[name] = len(ear.heard)
        self._front.stop()

    def _do_addaddress(self, step: AddAddress) -> None:
        self._here.ip(f"addr add {step.address} dev {step.interface}")
        self._added.append(RemoveAddress(step.address, step.interface))

    def _do_removeaddress(self, step: RemoveAddress) -> None:
        self._here.ip(f"addr del {step.address} dev {step.interface}")

    def _do_pause(self, step: Pause) -> None:
        time.sleep(step.seconds)
        for name, ear in self._ears.items():
            self._seen[name] = len(ear.heard)

    def _do_offlink(self, step: OffLink) -> None:
        self._near.ip(f"addr add {step.address}/32 dev eth0")
        self._stack.callback(self._near.ip, f"addr del {step.address}/32 dev eth0")
        self._here.ip(f"route add {step.address}/32 dev eth0")
        self._stack.callback(self._here.ip, f"route del {step.address}/32 dev eth0")

    # --- what the peer hears ---

    def _of_device(self, heard: list[Heard], since: int) -> list[tuple[Heard, Message]]:
        """The messages of the device; other devices of the network have other UDNs."""
        udn = self._udn.encode()
        found = [each for each in heard[since:] if udn in each.data]
        return [(each, Message.of(each.data)) for each in found if _is_of_device(each.data)]

    def _do_announces(self, step: Announces) -> None:
        ear, since = self._ears[step.host], self._seen[step.host]
        wanted = Counter(
            (self._filled(target), self._filled(_usn(target, udn))) for target, udn in step.targets
        )

        def of_kind(heard: list[Heard]) -> list[tuple[Heard, Message]]:
            found = self._of_device(heard, since)
            return [each for each in found if each[1].headers.get("NTS") == step.kind]

        def count(heard: list[Heard]) -> Counter[tuple[str, str]]:
            return Counter((each.headers["NT"], each.headers["USN"]) for _, each in of_kind(heard))

        ear.wait(
            lambda heard: all(count(heard)[each] >= step.least for each in wanted), step.within
        )
        found = count(ear.heard)
        few = {each: found[each] for each in wanted if found[each] < step.least}
        assert not few, f"too few: {few}"
        assert not found.keys() - wanted.keys(), f"others: {found.keys() - wanted.keys()}"
        if step.most:
            time.sleep(step.then if step.most > step.least else 0)
            many = {each: n for each, n in count(ear.heard).items() if n > step.most}
            assert not many, f"too many: {many}"
        checked = of_kind(ear.heard)
        for heard, each in checked:
            self._check_notify(step, heard, each)
        if step.learn:
            for header in _LEARNT:
                values = {each.headers.get(header) for _, each in checked}
                assert len(values) == 1, f"{header}: {values}"
            self._learn(checked[-1][1])
        self._seen[step.host] = len(ear.heard)

    def _check_notify(self, step: Announces, heard: Heard, found: Message) -> None:
        assert heard.to_group, found
        assert _host_of(heard.source) == self._places[step.host].strip("[]"), heard.source
        assert heard.hops == HOPS[self._family], heard
        assert found.line == "NOTIFY * HTTP/1.1", found
        expected: dict[str, str | None] = {"HOST": "{group}"}
        location = "~http://" + re.escape(self._places[step.host]) + r":[0-9]+/description\.xml"
        if step.kind == "ssdp:alive":
            expected |= {"CACHE-CONTROL": "max-age=1800", "SERVER": _server(self._row.uda)}
        if step.kind != "ssdp:byebye":
            expected |= {"LOCATION": location}
        expected |= {"NT": found.headers["NT"], "NTS": step.kind, "USN": found.headers["USN"]}
        expected |= self._state(step.learn, byebye=step.kind == "ssdp:byebye")
        if step.kind == "ssdp:update":
            expected |= {"NEXTBOOTID.UPNP.ORG": _NUMBER, "01-NLS": "~.{1,64}"}
        self._check(found, expected | step.headers)

    def _state(self, learn: bool, *, byebye: bool = False) -> dict[str, str | None]:
        """BOOTID, CONFIGID, the port of searches and the signature, as UDA has them."""
        values = {
            header: "~.+" if learn else self._names.get(name, "~.+")
            for header, name in _LEARNT.items()
        }
        if self._row.uda == "1.0":
            return {"OPT": NLS, "01-NLS": values["01-NLS"]}
        return {"OPT": NLS, **values, **({} if byebye else {"SEARCHPORT.UPNP.ORG": "?~[0-9]+"})}

    def _check(self, found: Message, expected: Mapping[str, str | None]) -> None:
        """``found`` has exactly these headers. A value that begins with ``?`` may be missing."""
        headers = found.headers
        for name, value in expected.items():
            if value is None or (value.startswith("?") and name not in headers):
                assert name not in headers, f"{name}: {headers}"
                continue
            assert name in headers, f"{name} is missing: {headers}"
            assert self._is_expected(value, headers[name]), f"{name}: {headers[name]}, not {value}"
        assert not headers.keys() - expected.keys(), f"more headers: {headers}"
        assert not found.body, found
        self._last = found

    def _is_expected(self, expected: str, found: str) -> bool:
        """``expected`` may begin with ``>``, a higher number than, or with ``!``, not."""
        if expected[0:1] == ">":
            return int(found) > int(self._filled(expected[1:]))
        if expected[0:1] == "!":
            return found != self._filled(expected[1:])
        return fits(expected.removeprefix("?"), found, self._names)

    def _learn(self, found: Message) -> None:
        """Keep what the next messages are compared with."""
        for header, name in _LEARNT.items():
            if header in found.headers:
                self._names[name] = found.headers[header]
        location = found.headers.get("LOCATION")
        if location:
            self._names["location"] = location
        port = found.headers.get("SEARCHPORT.UPNP.ORG", str(PORT))
        assert int(port) == PORT or 49_152 <= int(port) <= 65_535
        self._names["search_port"] = port

    def _do_silence(self, step: Silence) -> None:
        ear = self._ears[step.host]
        time.sleep(step.seconds)
        found = self._of_device(ear.heard, self._seen[step.host])
        assert not found, f"heard: {found}"

    def _do_reads(self, step: Reads) -> None:
        url = self._names["location"]
        match = re.fullmatch(r"http://\[?([^\]]+?)\]?:([0-9]+)(/.*)", url)
        assert match
        host, port, path = match.groups()
        scope = f"%{self._near.index()}" if host.startswith("fe80") else ""

        def get() -> bytes:
            with socket.create_connection((host + scope, int(port)), PATIENCE) as connection:
                authority = url.split("/")[2]
                connection.sendall(f"GET {path} HTTP/1.0\r\nHOST: {authority}\r\n\r\n".encode())
                data = b""
                while piece := connection.recv(65_536):
                    data += piece
                return data

        answer = inside(self._near.namespace, get)
        assert answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.0 200 ")), answer[:200]
        for text in (self._udn, self._names["embedded"], f'configId="{self._names.get("config")}"'):
            assert self._row.uda == "1.0" or text.encode() in answer, text

    # --- searches ---

    def _do_search(self, step: Search) -> None:
        ear = self._ears[step.host]
        asking = self._asking(step, ear)
        try:
            to = self._target_of(step, ear)
            for _ in range(step.times):
                asking.sendto(self._filled(step.data).encode("latin-1"), to)
            found = _answers_to(asking, len(step.answers), step.within, self._udn)
        finally:
            asking.close()
        wanted = Counter(tuple(map(self._filled, each)) for each in step.answers)
        got = Counter((each.headers["ST"], each.headers["USN"]) for each, _ in found)
        assert got == wanted, f"missing: {wanted - got}; others: {got - wanted}"
        for each, source in found:
            assert _host_of(source) == self._places[step.host].strip("[]"), source
            self._check_answer(step, each)

    def _check_answer(self, step: Search, found: Message) -> None:
        assert found.line == "HTTP/1.1 200 OK", found
        location = "~http://" + re.escape(self._places[step.host]) + r":[0-9]+/description\.xml"
        expected: dict[str, str | None] = {
            "CACHE-CONTROL": "max-age=1800",
            "DATE": "~[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT",
            "EXT": "",
            "LOCATION": location,
            "SERVER": _server(self._row.uda),
            "ST": found.headers["ST"],
            "USN": found.headers["USN"],
        }
        self._check(found, expected | self._state(learn=False) | step.headers)

    def _asking(self, step: Search, ear: Ear) -> socket.socket:
        own = step.source or ear.address.own
        address: Any = (own, 0, 0, ear.address.index) if self._family != "IPv4" else (own, 0)
        family = socket.AF_INET6 if self._family != "IPv4" else socket.AF_INET

        def opened() -> socket.socket:
            made = socket.socket(family, socket.SOCK_DGRAM)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            if self._family != "IPv4":
                index = ear.address.index.to_bytes(4, "little")
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            else:
                own_interface = socket.inet_aton(ear.address.own)
                made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, own_interface)
            made.bind(address)
            return made

        return inside(ear.host.namespace, opened)  # type: ignore[no-any-return] # as opened does

    def _target_of(self, step: Search, ear: Ear) -> Any:
        if step.to == "group":
            return ear.at(GROUPS[self._family], PORT)
        return ear.at(self._places[step.host].strip("[]"), int(self._names["search_port"]))

    def _do_flood(self, step: Flood) -> None:
        ear = self._ears["near"]
        data = self._filled(step.data).encode("latin-1")
        asking = [self._asking(Search(step.data), ear) for _ in range(step.number)]
        try:
            for each in asking:
                each.sendto(data, ear.at(GROUPS[self._family], PORT))
            time.sleep(1.5)
            received = 0
            for each in asking:
                each.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    while True:
                        received += len(each.recv(65_536))
        finally:
            for each in asking:
                each.close()
        assert 0 < received <= step.most, received


def _usn(target: str, udn: str) -> str:
    return udn if target == udn else f"{udn}::{target}"


def _server(uda: str) -> str:
    return rf"~[^ ]+/[^ ]+ UPnP/{uda} propchange/[^ ]+"


def _host_of(source: Any) -> str:
    return str(source[0]).partition("%")[0]


def _is_of_device(data: bytes) -> bool:
    return data.startswith((b"NOTIFY", b"HTTP/1.1 200"))


def _answers_to(
    asking: socket.socket, count: int, within: float, udn: str
) -> list[tuple[Message, Any]]:
    """The answers that come to ``asking`` within so many seconds, and from where each comes. A
    slow machine has longer for the first ``count``."""
    begun = time.monotonic()
    found: list[tuple[Message, Any]] = []
    while True:
        seconds = within + _QUIET if len(found) >= count else within + _PATIENCE
        if (left := begun + seconds - time.monotonic()) <= 0:
            break
        asking.settimeout(left)
        try:
            data, source = asking.recvfrom(65_536)
        except TimeoutError:
            break
        if udn.encode() in data:
            found.append((Message.of(data), source))
    return found
