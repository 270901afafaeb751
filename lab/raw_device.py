"""A device made of raw sockets, in a process of its own. It announces itself from each of its
addresses and sends the initial event of one service, Bench.

Its argument is an object in JSON: ``interface``, ``addresses``, ``port``, ``udn``, ``value`` of the
variable Value, ``form``, a key of FORMS, and the ``duration`` that it grants. It prints one JSON
object a line: ``ready``; ``asked`` for each request, with HOST and CALLBACK; for each event
``notified``, the status of the answer, or ``failed``.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import sys
import threading
import time
from typing import Any, NoReturn

SERVICE = "urn:propchange-test:service:Bench:1"

DESCRIPTION = """<root xmlns="urn:schemas-upnp-org:device-1-0"><specVersion><major>1</major>\
<minor>0</minor></specVersion>{base}<device>\
<deviceType>urn:propchange-test:device:Bench:1</deviceType><friendlyName>{name}</friendlyName>\
<manufacturer>m</manufacturer><modelName>m</modelName><UDN>{udn}</UDN><serviceList><service>\
<serviceType>{type}</serviceType><serviceId>urn:propchange-test:serviceId:Bench</serviceId>\
<SCPDURL>{scpd}</SCPDURL><controlURL>/control</controlURL><eventSubURL>{event}</eventSubURL>\
</service></serviceList></device></root>"""

SCPD = """<scpd xmlns="urn:schemas-upnp-org:service-1-0"><specVersion><major>1</major>\
<minor>0</minor></specVersion><serviceStateTable><stateVariable sendEvents="yes">\
<name>Value</name><dataType>string</dataType></stateVariable></serviceStateTable></scpd>"""

FORMS = {
    "relative": ("", "/scpd.xml", "/event"),
    "absolute": ("", "http://{host}/scpd.xml", "http://{host}/event"),
    "zone": ("", "http://{zoned}/scpd.xml", "http://{zoned}/event"),
    "four": ("", "http://{four}/scpd.xml", "http://{four}/event"),
    "base": ("<URLBase>http://{host}/</URLBase>", "scpd.xml", "event"),
}
"""URLBase, SCPDURL and eventSubURL. ``{zoned}`` has the zone of the device's own machine, and
``{four}`` the last address of the device."""


def tell(**told: object) -> None:
    """Write a line, in one piece: several threads do."""
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


class RawDevice:
    """The device that ``options`` describe."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._index = socket.if_nametoindex(options["interface"])
        self._subscriptions = 0

    def run(self) -> NoReturn:
        """Listen and announce without an end."""
        listener = socket.socket(socket.AF_INET6)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(("::", self._options["port"]))
        listener.listen(64)
        for address in self._options["addresses"]:
            threading.Thread(target=self._announce, args=(address,), daemon=True).start()
        tell(ready=self._options["udn"])
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _scope_of(self, address: str) -> int:
        return self._index if address.startswith("fe80") else 0

    def _announce(self, address: str) -> None:
        udn, port = self._options["udn"], self._options["port"]
        six = ":" in address
        group = "FF02::C" if six else "239.255.255.250"
        host, group_host = (f"[{each}]" if six else each for each in (address, group))
        to = (group, 1900, 0, self._index) if six else (group, 1900)
        while True:
            try:
                with socket.socket(
                    socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM
                ) as sock:
                    if six:
                        index = struct.pack("@I", self._index)
                        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
                        sock.bind((address, 0, 0, self._scope_of(address)))
                    else:
                        packed = socket.inet_aton(address)
                        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, packed)
                        sock.bind((address, 0))
                    for target in ("upnp:rootdevice", udn, SERVICE):
                        usn = udn if target == udn else f"{udn}::{target}"
                        message = (
                            f"NOTIFY * HTTP/1.1\r\nHOST: {group_host}:1900\r\n"
                            "CACHE-CONTROL: max-age=1800\r\n"
                            f"LOCATION: http://{host}:{port}/desc.xml\r\nNT: {target}\r\n"
                            f"NTS: ssdp:alive\r\nSERVER: raw/1 UPnP/1.0 raw/1\r\nUSN: {usn}\r\n\r\n"
                        )
                        sock.sendto(message.encode(), to)
            except OSError:
                pass  # the address is gone
            time.sleep(0.5)

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            received = b""
            while b"\r\n\r\n" not in received:
                more = connection.recv(65_536)
                if not more:
                    return
                received += more
            line, *rest = received.decode("latin-1").split("\r\n")
            fields = {n.strip().upper(): v.strip() for n, _, v in (r.partition(":") for r in rest)}
            method, target, _ = line.split(" ")
            host, callback = fields.get("HOST", ""), fields.get("CALLBACK", "")
            tell(asked=f"{method} {target}", host=host, callback=callback)
            connection.sendall(self._answer(method, target, host, fields))
        if method == "SUBSCRIBE" and callback:
            self._notify(callback, f"uuid:{self._options['udn'][5:]}-{self._subscriptions}")

    def _answer(self, method: str, target: str, host: str, fields: dict[str, str]) -> bytes:
        body, more = "", ""
        if method == "GET":
            body = SCPD if target == "/scpd.xml" else self._description(host)
            more = "CONTENT-TYPE: text/xml\r\n"
        elif method == "SUBSCRIBE":
            self._subscriptions += "SID" not in fields
            sid = fields.get("SID", f"uuid:{self._options['udn'][5:]}-{self._subscriptions}")
            more = f"SID: {sid}\r\nTIMEOUT: Second-{self._options['duration']}\r\n"
        length = f"CONTENT-LENGTH: {len(body)}\r\nCONNECTION: close\r\n"
        return f"HTTP/1.1 200 OK\r\n{more}{length}\r\n{body}".encode()

    def _description(self, host: str) -> str:
        base, scpd, event = FORMS[self._options["form"]]
        filled = DESCRIPTION.format(
            base=base, scpd=scpd, event=event, type=SERVICE, udn=self._options["udn"], name="Bench"
        )
        four = f"{self._options['addresses'][-1]}:{self._options['port']}"
        filled = filled.replace("{four}", four)
        return filled.replace("{host}", host).replace("{zoned}", host.replace("]", "%br-lan]"))

    def _notify(self, callback: str, sid: str) -> None:
        found = re.match(r"<http://(\[[^]]+\]|[^:/]+):([0-9]+)([^>]*)>", callback)
        assert found is not None
        host, port, path = found.groups()
        address = host.strip("[]")
        body = (
            '<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0"><e:property>'
            f"<Value>{self._options['value']}</Value></e:property></e:propertyset>"
        )
        message = (
            f"NOTIFY {path} HTTP/1.1\r\nHOST: {host}:{port}\r\nCONTENT-TYPE: text/xml\r\n"
            f"NT: upnp:event\r\nNTS: upnp:propchange\r\nSID: {sid}\r\nSEQ: 0\r\n"
            f"CONTENT-LENGTH: {len(body)}\r\nCONNECTION: close\r\n\r\n{body}"
        )
        time.sleep(0.05)
        try:
            if ":" in address:
                notifying = socket.socket(socket.AF_INET6)
                to: tuple[Any, ...] = (address, int(port), 0, self._scope_of(address))
            else:
                notifying = socket.socket(socket.AF_INET)
                to = (address, int(port))
            with notifying:
                notifying.settimeout(3)
                notifying.connect(to)
                notifying.sendall(message.encode())
                tell(notified=int(notifying.recv(4096).split(b" ")[1]))
        except OSError as error:
            tell(failed=str(error))


if __name__ == "__main__":
    RawDevice(json.loads(sys.argv[1])).run()
