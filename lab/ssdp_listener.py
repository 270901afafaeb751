"""Listens to announcements on one interface: ``python -m lab.ssdp_listener INTERFACE SECONDS``.

It searches for root devices, and prints {"location": …} for each location that it hears, once.
"""

from __future__ import annotations

import json
import re
import select
import socket
import struct
import sys
import time

_SEARCH = (
    b'M-SEARCH * HTTP/1.1\r\nHOST: x\r\nMAN: "ssdp:discover"\r\n'
    b"MX: 1\r\nST: upnp:rootdevice\r\n\r\n"
)
_LOCATION = re.compile(rb"\r\nLOCATION: *(\S+)\r", re.IGNORECASE)


def main(interface: str, seconds: str) -> None:
    index = socket.if_nametoindex(interface)
    listening = []
    for family, group in (
        (socket.AF_INET, "239.255.255.250"),
        (socket.AF_INET6, "ff02::c"),
        (socket.AF_INET6, "ff05::c"),
    ):
        for port in (1900, 0):
            sock = socket.socket(family, socket.SOCK_DGRAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET:
                sock.bind(("239.255.255.250" if port else "", port))
                membership = socket.inet_aton(group) + struct.pack("=II", 0, index)
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
                sock.setsockopt(
                    socket.IPPROTO_IP, socket.IP_MULTICAST_IF, bytes(8) + membership[8:]
                )
                to: tuple[object, ...] = (group, 1900)
            else:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.bind((group if port else "::", port, 0, index))
                membership = socket.inet_pton(family, group) + struct.pack("=I", index)
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, membership)
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
                to = (group, 1900, 0, index)
            listening.append(sock)
            if not port:
                sock.sendto(_SEARCH, to)
    until, heard = time.monotonic() + float(seconds), set()
    while (left := until - time.monotonic()) > 0:
        for sock in select.select(listening, [], [], left)[0]:
            for location in _LOCATION.findall(sock.recv(65_536)):
                if location not in heard:
                    heard.add(location)
                    print(json.dumps({"location": location.decode()}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
