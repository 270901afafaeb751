"""Finds devices and calls their actions, by the standard library, in a process of its own: it runs
on a host of a lab network. ``remote_control.py ADDRESS`` takes one command a line:

    find PORT                                     {"find": URL of the root device that serves there}
    call {"url": …, "service": …, "action": …, "arguments": {…}}   {"call": HTTP status}
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import sys
import time
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urljoin, urlsplit
from xml.sax.saxutils import escape

SEARCH = (
    b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n"
    b'MAN: "ssdp:discover"\r\nMX: 1\r\nST: upnp:rootdevice\r\n\r\n'
)


def find(address: str, port: int, seconds: float = 15.0) -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as searching:
        group = socket.inet_aton(address)
        searching.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, group)
        searching.bind((address, 0))
        searching.settimeout(0.5)  # then it asks again
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            searching.sendto(SEARCH, ("239.255.255.250", 1900))
            with contextlib.suppress(TimeoutError):
                while True:
                    answer = searching.recv(65536).decode("latin-1")
                    found = re.search(r"(?im)^location: *(\S+)", answer)
                    if found is not None and urlsplit(found[1]).port == port:
                        return found[1]
    return None


def call(url: str, service: str, action: str, arguments: dict[str, Any]) -> int:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            description = answer.read().decode()
        for found in re.findall(r"(?s)<service>.*?</service>", description):
            (type_,) = re.findall(r"<serviceType>(.*?)</serviceType>", found)
            if f":{service}:" in type_:
                (control,) = re.findall(r"<controlURL>(.*?)</controlURL>", found)
                break
        else:
            return 404
        values = "".join(f"<{name}>{escape(str(v))}</{name}>" for name, v in arguments.items())
        body = (
            '<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
            's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>'
            f'<u:{action} xmlns:u="{type_}">{values}</u:{action}></s:Body></s:Envelope>'
        )
        headers = {"Content-Type": 'text/xml; charset="utf-8"'}
        headers["SOAPACTION"] = f'"{type_}#{action}"'
        request = urllib.request.Request(urljoin(url, control), body.encode(), headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


if __name__ == "__main__":
    print(json.dumps({"ready": sys.argv[1]}), flush=True)
    for line in sys.stdin:
        command, _, argument = line.partition(" ")
        if command == "find":
            result: object = find(sys.argv[1], int(argument))
        else:
            result = call(**json.loads(argument))
        print(json.dumps({command: result}), flush=True)
