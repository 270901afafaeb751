"""Devices that count, and record what they have delivered:
``python -m lab.recording_devices OPTIONS``.

OPTIONS is a JSON object: ``address``, ``devices``, ``per_second`` (changes of each device). Each
device has one service, with one variable, Number. It prints {"ready": [the URLs of the
descriptions]}. Its commands are the lines ``go``, ``rest``, ``report`` and ``records``. ``go`` and
``rest`` are answered with {"counts": whether they count}; ``report`` with {"report": {UDN: [the
number, [the callbacks of all subscribers]]}}; ``records`` with {"records": [[UDN, SID, SEQ, the
number, the host of the subscriber, the time]…]}, the events that were answered with 200 since the
last ``records``. It ends with its stdin.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys
import time
from dataclasses import dataclass, field
from typing import Any

PATIENCE = 30.0
"""Seconds that an answer to an event may take."""

_TYPE = "urn:example-org:service:Counting:1"

_DESCRIPTION = f"""<root xmlns="urn:schemas-upnp-org:device-1-0"><specVersion><major>1</major>\
<minor>0</minor></specVersion><device><deviceType>urn:example-org:device:Counter:1</deviceType>\
<friendlyName>UDN</friendlyName><manufacturer>m</manufacturer><modelName>m</modelName>\
<UDN>uuid:UDN</UDN><serviceList><service><serviceType>{_TYPE}</serviceType>\
<serviceId>urn:example-org:serviceId:Counting</serviceId><SCPDURL>/UDN/scpd</SCPDURL>\
<controlURL>/UDN/control</controlURL><eventSubURL>/UDN/event</eventSubURL></service></serviceList>\
</device></root>"""

_SCPD = """<scpd xmlns="urn:schemas-upnp-org:service-1-0"><specVersion><major>1</major>\
<minor>0</minor></specVersion><serviceStateTable><stateVariable sendEvents="yes">\
<name>Number</name><dataType>ui4</dataType></stateVariable></serviceStateTable></scpd>"""


@dataclass
class Subscriber:
    sid: str
    callback: str
    seq: int = 0
    waiting: asyncio.Queue[tuple[int, int]] = field(default_factory=asyncio.Queue)
    sending: asyncio.Task[None] | None = None


@dataclass
class Device:
    udn: str
    number: int = 0
    subscribers: dict[str, Subscriber] = field(default_factory=dict)


class Devices:
    """All devices, on one listener."""

    def __init__(self, address: str, count: int) -> None:
        self.address, self.port, self._sids = address, 0, 0
        self.devices = {f"counter-{each}": Device(f"counter-{each}") for each in range(count)}
        self.records: list[tuple[str, str, int, int, str, float]] = []
        self.counts = asyncio.Event()

    # --- requests ---

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, path, _ = head.split(" ", 2)
            fields = {k.upper(): v for k, v in re.findall(r"\r\n([^:\r]+): *([^\r]*)", head)}
            writer.write(self._answer(method, path, fields))
            await writer.drain()
        writer.close()

    def _answer(self, method: str, path: str, fields: dict[str, str]) -> bytes:
        udn, _, what = path.strip("/").partition("/")
        device, more, body = self.devices[udn], "", ""
        if method == "GET":
            body = _SCPD if what else _DESCRIPTION.replace("UDN>uuid:UDN<", f"UDN>uuid:{udn}<")
            body = body.replace("/UDN/", f"/{udn}/").replace(">UDN<", f">{udn}<")
            more = "CONTENT-TYPE: text/xml\r\n"
        elif method == "SUBSCRIBE":
            sid = fields.get("SID")
            if sid is None:
                self._sids += 1
                sid = f"uuid:{udn}-{self._sids}"
                subscriber = Subscriber(sid, fields["CALLBACK"].strip("<>"))
                device.subscribers[sid] = subscriber
                subscriber.sending = asyncio.create_task(self._send(device, subscriber))
                self._put(subscriber, device.number)
            elif sid not in device.subscribers:
                return b"HTTP/1.1 412 Precondition Failed\r\nCONTENT-LENGTH: 0\r\n\r\n"
            more = f"SID: {sid}\r\nTIMEOUT: Second-300\r\n"
        elif (gone := device.subscribers.pop(fields.get("SID", ""), None)) and gone.sending:
            gone.sending.cancel()
        length = f"CONTENT-LENGTH: {len(body)}\r\nCONNECTION: close\r\n"
        return f"HTTP/1.1 200 OK\r\n{more}{length}\r\n{body}".encode()

    # --- events ---

    def _put(self, subscriber: Subscriber, number: int) -> None:
        subscriber.waiting.put_nowait((subscriber.seq, number))
        subscriber.seq += 1

    async def _send(self, device: Device, to: Subscriber) -> None:
        """Send the events in order. The first one waits until SUBSCRIBE is answered."""
        await asyncio.sleep(0.02)
        found = re.match(r"http://([^:/]+):(\d+)(.*)", to.callback)
        assert found is not None
        host, port, path = found.groups()
        while True:
            seq, number = await to.waiting.get()
            body = (
                '<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0"><e:property>'
                f"<Number>{number}</Number></e:property></e:propertyset>"
            )
            message = (
                f"NOTIFY {path} HTTP/1.1\r\nHOST: {host}:{port}\r\nCONTENT-TYPE: text/xml\r\n"
                f"NT: upnp:event\r\nNTS: upnp:propchange\r\nSID: {to.sid}\r\nSEQ: {seq}\r\n"
                f"CONTENT-LENGTH: {len(body)}\r\nCONNECTION: close\r\n\r\n{body}"
            )
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    reader, writer = await asyncio.open_connection(host, int(port))
                    try:
                        writer.write(message.encode())
                        answer = await reader.readline()
                    finally:
                        writer.close()
                if b" 200 " in answer:
                    now = time.time()
                    self.records.append((device.udn, to.sid, seq, number, host, now))

    async def count(self, per_second: float) -> None:
        while True:
            await self.counts.wait()
            for device in self.devices.values():
                device.number += 1
                for each in device.subscribers.values():
                    # A subscriber that takes nothing is not kept for ever.
                    if each.waiting.qsize() < 1_000:
                        self._put(each, device.number)
            await asyncio.sleep(1 / per_second)

    # --- commands ---

    def obey(self, line: str) -> None:
        told: dict[str, Any]
        if line == "report":
            report = {
                udn: [each.number, [s.callback for s in each.subscribers.values()]]
                for udn, each in self.devices.items()
            }
            told = {"report": report}
        elif line == "records":
            told, self.records = {"records": self.records}, []
        else:
            (self.counts.set if line == "go" else self.counts.clear)()
            told = {"counts": line == "go"}
        print(json.dumps(told), flush=True)


async def main(options: dict[str, Any]) -> None:
    devices = Devices(options["address"], options["devices"])
    server = await asyncio.start_server(devices.serve, options["address"], 0)
    port = server.sockets[0].getsockname()[1]
    urls = [f"http://{options['address']}:{port}/{udn}" for udn in devices.devices]
    print(json.dumps({"ready": urls}), flush=True)
    counting = asyncio.create_task(devices.count(options.get("per_second", 10)))
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        devices.obey(line.decode().strip())
    counting.cancel()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
