"""A media renderer that does what it is told, right or wrong, in a process of its own.

Its argument is an object in JSON: ``address``, ``port``, ``duration``, the seconds that it grants,
and ``boot``, the BOOTID of its announcements. It prints ``{"ready": URL of the description}``, and
one line for each command of its stdin:

=================== ==============================================================================
``volume N``        another volume, 0 to 1000: an event to each subscriber
``mute 0``, ``1``   the same for Mute
``lose 0``, ``1``   another Mute, and the event of it is lost: SEQ counts it
``rules {…}``       break these rules from now on, and no other; see RULES
``alive``           announce itself (SSDP), as it does when it starts
``byebye``          say goodbye
``forget``          forget the subscriptions, as a restart does
``counts``          the SUBSCRIBE requests so far: address and port of CALLBACK -> number
=================== ==============================================================================
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
import socket
import struct
import sys
from collections import Counter
from html import escape
from typing import Any
from urllib.parse import urlsplit

RULES = {
    "subscribe": "status with which a fresh SUBSCRIBE is refused",
    "renewal": "status with which a renewal is refused; the subscription goes on",
    "new_sid": "a renewal is answered with another SID, which counts from then on",
    "silent": "what is granted gets no events",
    "cut": "the connection of an event ends within the body",
    "malformed": "the text of LastChange is no XML",
    "early": "the initial event comes before the answer to SUBSCRIBE",
}

UDN = "uuid:5c17a6d2-0b1f-4c3e-9d6c-7a1f0c0a1b2c"
TYPE = "urn:schemas-upnp-org:device:MediaRenderer:1"

_VERSION = "<specVersion><major>1</major><minor>0</minor></specVersion>"
_STATE = '<stateVariable sendEvents="{}"><name>{}</name><dataType>{}</dataType>{}</stateVariable>'
_RANGE = "<allowedValueRange><minimum>0</minimum><maximum>1000</maximum></allowedValueRange>"
_LAST_CHANGE = _STATE.format("yes", "LastChange", "string", "")
_INSTANCE = _STATE.format("no", "A_ARG_TYPE_InstanceID", "ui4", "")

SERVICES = {
    "AVTransport": (
        [("GetTransportInfo", [("CurrentTransportState", "TransportState")])],
        _LAST_CHANGE + _INSTANCE + _STATE.format("no", "TransportState", "string", ""),
    ),
    "RenderingControl": (
        [
            ("GetVolume", [("CurrentVolume", "Volume")]),
            ("GetMute", [("CurrentMute", "Mute")]),
            ("SetVolume", []),
            ("SetMute", []),
        ],
        _LAST_CHANGE
        + _INSTANCE
        + _STATE.format("no", "A_ARG_TYPE_Channel", "string", "")
        + _STATE.format("no", "Mute", "boolean", "")
        + _STATE.format("no", "Volume", "ui2", _RANGE),
    ),
    "ConnectionManager": (
        [("GetProtocolInfo", [("Source", "SourceProtocolInfo"), ("Sink", "SinkProtocolInfo")])],
        _STATE.format("yes", "SourceProtocolInfo", "string", "")
        + _STATE.format("yes", "SinkProtocolInfo", "string", ""),
    ),
}


def tell(**told: object) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def _argument(name: str, direction: str, variable: str) -> str:
    return (
        f"<argument><name>{name}</name><direction>{direction}</direction>"
        f"<relatedStateVariable>{variable}</relatedStateVariable></argument>"
    )


def scpd(service: str) -> str:
    actions, variables = SERVICES[service]
    written = ""
    for name, results in actions:
        arguments = ""
        if service != "ConnectionManager":
            arguments += _argument("InstanceID", "in", "A_ARG_TYPE_InstanceID")
        if service == "RenderingControl":
            arguments += _argument("Channel", "in", "A_ARG_TYPE_Channel")
        arguments += "".join(_argument(result, "out", variable) for result, variable in results)
        written += f"<action><name>{name}</name><argumentList>{arguments}</argumentList></action>"
    return (
        f'<scpd xmlns="urn:schemas-upnp-org:service-1-0">{_VERSION}'
        f"<actionList>{written}</actionList>"
        f"<serviceStateTable>{variables}</serviceStateTable></scpd>"
    )


def description() -> str:
    services = "".join(
        f"<service><serviceType>urn:schemas-upnp-org:service:{name}:1</serviceType>"
        f"<serviceId>urn:upnp-org:serviceId:{name}</serviceId><SCPDURL>/{name}.xml</SCPDURL>"
        f"<controlURL>/{name}/control</controlURL><eventSubURL>/{name}/event</eventSubURL></service>"
        for name in SERVICES
    )
    return (
        f'<root xmlns="urn:schemas-upnp-org:device-1-0">{_VERSION}<device>'
        f"<deviceType>{TYPE}</deviceType><friendlyName>Scripted</friendlyName>"
        "<manufacturer>propchange</manufacturer><modelName>Scripted</modelName>"
        f"<UDN>{UDN}</UDN><serviceList>{services}</serviceList></device></root>"
    )


class Subscriber:
    """One subscription: its events leave one after the other."""

    def __init__(self, sid: str, service: str, callback: str) -> None:
        self.sid = sid
        self.service = service
        self.callback = callback
        self.until = 0.0
        self.seq = itertools.count()
        self.turn = asyncio.Lock()


class Renderer:
    """The renderer that ``options`` describe."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.address, self.port = options["address"], options["port"]
        self.duration, self.boot = options["duration"], options["boot"]
        self.state = {"Volume": "0", "Mute": "0"}
        self.rules: dict[str, Any] = {}
        self.subscribers: dict[str, Subscriber] = {}
        self.counts: Counter[str] = Counter()
        self.tasks: set[asyncio.Task[None]] = set()
        self.sids = itertools.count(1)

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.port}/desc.xml"

    def soon(self, what: Any) -> None:
        task = asyncio.ensure_future(what)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def run(self) -> None:
        server = await asyncio.start_server(self.serve, "0.0.0.0", self.port)
        self.announce("ssdp:alive")
        tell(ready=self.url)
        lines = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        while line := (await lines.readline()).decode().strip():
            command, _, argument = line.partition(" ")
            result = getattr(self, f"do_{command}")(argument)
            tell(**{command: argument if result is None else result})
        server.close()

    # --- commands ---

    def do_volume(self, argument: str) -> None:
        self.change("Volume", argument)

    def do_mute(self, argument: str) -> None:
        self.change("Mute", argument)

    def change(self, variable: str, value: str) -> None:
        self.state[variable] = value
        for subscriber in self.subscribers.values():
            self.soon(self.notify(subscriber, variable))

    def do_lose(self, argument: str) -> None:
        self.state["Mute"] = argument
        for subscriber in self.subscribers.values():
            next(subscriber.seq)

    def do_rules(self, argument: str) -> None:
        self.rules = json.loads(argument)
        assert self.rules.keys() <= RULES.keys()

    def do_alive(self, _: str) -> None:
        self.announce("ssdp:alive")

    def do_byebye(self, _: str) -> None:
        self.announce("ssdp:byebye")

    def do_forget(self, _: str) -> None:
        self.subscribers.clear()

    def do_counts(self, _: str) -> dict[str, int]:
        return dict(self.counts)

    def announce(self, kind: str) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            here = socket.inet_aton(self.address)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, here)
            sock.bind((self.address, 0))
            for target in ("upnp:rootdevice", UDN, TYPE):
                usn = UDN if target == UDN else f"{UDN}::{target}"
                message = (
                    "NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n"
                    f"CACHE-CONTROL: max-age=1800\r\nLOCATION: {self.url}\r\nNT: {target}\r\n"
                    f"NTS: {kind}\r\nSERVER: scripted/1 UPnP/1.1 scripted/1\r\nUSN: {usn}\r\n"
                    f"BOOTID.UPNP.ORG: {self.boot}\r\nCONFIGID.UPNP.ORG: 1\r\n\r\n"
                )
                with contextlib.suppress(OSError):
                    sock.sendto(message.encode(), ("239.255.255.250", 1900))

    # --- requests ---

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            line, *rest = head.split("\r\n")
            fields = {n.strip().upper(): v.strip() for n, _, v in (r.partition(":") for r in rest)}
            body = await reader.readexactly(int(fields.get("CONTENT-LENGTH", "0")))
            method, target, _ = line.split(" ")
            writer.write(await self.answer(method, target, fields, body.decode()))
            await writer.drain()
        writer.close()

    async def answer(self, method: str, target: str, fields: dict[str, str], body: str) -> bytes:
        name = target.strip("/").removesuffix(".xml").partition("/")[0]
        if method == "GET":
            return self.response(200, description() if name == "desc" else scpd(name))
        if method == "POST":
            return self.response(200, self.call(name, body))
        if method == "UNSUBSCRIBE":
            return self.response(200 if self.subscribers.pop(fields["SID"], None) else 412)
        return await self.subscribe(name, fields)

    def response(self, status: int, body: str = "", **fields: str) -> bytes:
        more = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return (
            f"HTTP/1.1 {status} Scripted\r\nCONTENT-TYPE: text/xml\r\n{more}"
            f"CONTENT-LENGTH: {len(body)}\r\nCONNECTION: close\r\n\r\n{body}"
        ).encode()

    def call(self, service: str, body: str) -> str:
        found = re.search(r"<(?:\w+:)?Body[^>]*>\s*<(?:\w+:)?(\w+)", body)
        action = found[1] if found else ""
        values = {
            "GetTransportInfo": {"CurrentTransportState": "STOPPED"},
            "GetVolume": {"CurrentVolume": self.state["Volume"]},
            "GetMute": {"CurrentMute": self.state["Mute"]},
            "GetProtocolInfo": {"Source": "", "Sink": ""},
        }[action]
        results = "".join(f"<{name}>{value}</{name}>" for name, value in values.items())
        return (
            '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
            's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>'
            f'<u:{action}Response xmlns:u="urn:schemas-upnp-org:service:{service}:1">{results}'
            f"</u:{action}Response></s:Body></s:Envelope>"
        )

    async def subscribe(self, service: str, fields: dict[str, str]) -> bytes:
        now = asyncio.get_running_loop().time()
        for each in [each for each in self.subscribers.values() if each.until < now]:
            del self.subscribers[each.sid]
        if sid := fields.get("SID"):
            known = self.subscribers.get(sid)
            if known is not None:
                self.counts[urlsplit(known.callback).netloc] += 1
            if known is None or self.rules.get("renewal"):
                return self.response(self.rules.get("renewal") or 412)
            if self.rules.get("new_sid"):
                self.subscribers[known.sid + "-2"] = self.subscribers.pop(known.sid)
                known.sid += "-2"
            return self.granted(known)
        callback = fields["CALLBACK"].strip("<>")
        self.counts[urlsplit(callback).netloc] += 1
        if status := self.rules.get("subscribe"):
            return self.response(status)
        subscriber = Subscriber(f"uuid:{self.boot}-{next(self.sids)}", service, callback)
        subscriber.until = now + self.duration
        self.subscribers[subscriber.sid] = subscriber
        if self.rules.get("early"):
            await self.notify(subscriber)
        else:
            self.soon(self.notify(subscriber, wait=0.05))
        return self.granted(subscriber)

    def granted(self, subscriber: Subscriber) -> bytes:
        subscriber.until = asyncio.get_running_loop().time() + self.duration
        return self.response(200, SID=subscriber.sid, TIMEOUT=f"Second-{self.duration}")

    # --- events ---

    async def notify(self, subscriber: Subscriber, *variables: str, wait: float = 0.0) -> None:
        """An event of these variables; of all without any."""
        await asyncio.sleep(wait)
        async with subscriber.turn:
            if subscriber.until < asyncio.get_running_loop().time():
                return
            number = next(subscriber.seq)
            if subscriber.service != "RenderingControl" and number:
                return  # nothing of it changes
            if self.rules.get("silent"):
                return
            message = self.message(subscriber, number, variables or tuple(self.state))
            if self.rules.get("cut"):
                message = message[:-60]
            where = urlsplit(subscriber.callback)
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(5):
                    reader, writer = await asyncio.open_connection(where.hostname, where.port)
                    try:
                        writer.write(message)
                        if self.rules.get("cut"):
                            await writer.drain()
                            sock = writer.get_extra_info("socket")
                            linger = struct.pack("ii", 1, 0)  # it is reset, not closed
                            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                        else:
                            await reader.read()
                    finally:
                        writer.close()

    def message(self, subscriber: Subscriber, number: int, variables: tuple[str, ...]) -> bytes:
        properties = {"LastChange": self.last_change(subscriber.service, variables)}
        if subscriber.service == "ConnectionManager":
            properties = {"SourceProtocolInfo": "", "SinkProtocolInfo": "http-get:*:audio/wav:*"}
        written = "".join(
            f"<e:property><{name}>{escape(value)}</{name}></e:property>"
            for name, value in properties.items()
        )
        body = (
            '<?xml version="1.0"?><e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0">'
            f"{written}</e:propertyset>"
        )
        where = urlsplit(subscriber.callback)
        return (
            f"NOTIFY {where.path or '/'} HTTP/1.1\r\nHOST: {where.netloc}\r\n"
            f"CONTENT-TYPE: text/xml\r\nNT: upnp:event\r\nNTS: upnp:propchange\r\n"
            f"SID: {subscriber.sid}\r\nSEQ: {number}\r\nCONTENT-LENGTH: {len(body)}\r\n"
            f"CONNECTION: close\r\n\r\n{body}"
        ).encode()

    def last_change(self, service: str, variables: tuple[str, ...]) -> str:
        if self.rules.get("malformed"):
            return '<Event><InstanceID val="0"><Volume val="1" </Event>'
        if service == "AVTransport":
            kind, text = "AVT", '<TransportState val="STOPPED"/>'
        else:
            kind = "RCS"
            text = "".join(
                f'<{name} channel="Master" val="{self.state[name]}"/>' for name in variables
            )
        return (
            f'<Event xmlns="urn:schemas-upnp-org:metadata-1-0/{kind}/"><InstanceID val="0">{text}'
            "</InstanceID></Event>"
        )


if __name__ == "__main__":
    asyncio.run(Renderer(json.loads(sys.argv[1])).run())
