"""Records the datagrams of SSDP that pass in a network namespace, with a packet socket."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from lab.programs import PATIENCE
from tests.interop.wire import inside

_ALL_PROTOCOLS = 0x0003
_IPV4, _IPV6 = 0x0800, 0x86DD
_PORT = 1900


class Datagram(NamedTuple):
    """One datagram: ``at`` is in seconds of ``time.monotonic``, ``source`` and ``destination`` are
    addresses without ports, ``fields`` has header names in upper case."""

    at: float
    interface: str
    source: str
    destination: str
    start: str
    fields: dict[str, str]

    @property
    def kind(self) -> str:
        """``ssdp:alive``, ``ssdp:byebye`` or ``ssdp:update``; ``M-SEARCH``; ``answer``."""
        if self.start.startswith("HTTP/"):
            return "answer"
        return self.fields.get("NTS", self.start.partition(" ")[0])

    @property
    def subject(self) -> str:
        """NT, or ST."""
        return self.fields.get("NT") or self.fields.get("ST", "")

    @property
    def udn(self) -> str:
        """The UDN in USN."""
        return self.fields.get("USN", "").partition("::")[0]

    def __repr__(self) -> str:
        return f"<{self.interface} {self.source} -> {self.destination}: {self.kind} {self.subject}>"


class SsdpWire:
    """All datagrams from or to port 1900 that pass in the namespace, from now on."""

    def __init__(self, namespace: str) -> None:
        self._socket = inside(namespace, _packet_socket)
        self._seen: list[Datagram] = []
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def datagrams(self) -> tuple[Datagram, ...]:
        """The datagrams so far."""
        with self._changed:
            return tuple(self._seen)

    def wait(
        self, wanted: Callable[[Datagram], bool], what: str, *, since: float = 0.0
    ) -> Datagram:
        """The first datagram from the time ``since`` on that is ``wanted``."""
        deadline = time.monotonic() + PATIENCE
        with self._changed:
            while True:
                for datagram in self._seen:
                    if datagram.at >= since and wanted(datagram):
                        return datagram
                if not self._changed.wait(deadline - time.monotonic()):
                    seen = "\n".join(repr(each) for each in self._seen if each.at >= since)
                    raise AssertionError(f"no {what} in {PATIENCE:g} s, but\n{seen}")

    def close(self) -> None:
        """Stop recording."""
        self._closing = True
        self._thread.join()
        self._socket.close()

    def _read(self) -> None:
        while not self._closing:
            try:
                packet, (interface, protocol, *_) = self._socket.recvfrom(1 << 17)
            except TimeoutError:
                continue
            at = time.monotonic()
            with contextlib.suppress(struct.error, ValueError), self._changed:
                read = _read_datagram(packet, protocol)
                if read is not None:
                    self._seen.append(Datagram(at, interface, *read))
                    self._changed.notify_all()


def _read_datagram(packet: bytes, protocol: int) -> tuple[str, str, str, dict[str, str]] | None:
    """Source, destination, start line and header of a datagram of SSDP; None for another packet."""
    if protocol == _IPV4:
        kind, at, addresses = packet[9], (packet[0] & 15) * 4, (packet[12:16], packet[16:20])
    elif protocol == _IPV6:
        kind, at, addresses = packet[6], 40, (packet[8:24], packet[24:40])
    else:
        return None
    if kind != socket.IPPROTO_UDP or _PORT not in struct.unpack_from("!HH", packet, at):
        return None
    head, _, _ = packet[at + 8 :].decode("latin-1").partition("\r\n\r\n")
    start, *lines = head.split("\r\n")
    fields = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields[name.strip().upper()] = value.strip()
    source, destination = (str(ipaddress.ip_address(each)) for each in addresses)
    return source, destination, start, fields


def _packet_socket() -> socket.socket:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL_PROTOCOLS))
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
    opened.settimeout(0.2)  # how long closing may take
    return opened
