"""A device with the paths of a Sonos player, made of raw sockets; right, or wrong as it is told.

It has Sonos' event paths, its description, its household and its topology, so that SoCo works with
it unchanged. In a test: ``async with SonosLike() as player``. As a process:

    python -m lab.sonos_like ADDRESS [PORT] [--grant SECONDS] [--announce] [--boot N]

prints {"ready": URL} and then obeys lines of standard input, the names of :class:`SonosLike`'s
methods with their arguments: ``set_volume 7``, ``set_topology Kitchen``, ``refuse_renewals``. It
answers {"done": line}, and tells each request as {"asked": …}.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import random
import socket
import sys
from collections import Counter
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import urlsplit
from xml.sax.saxutils import escape, quoteattr

__all__ = ["EVENT_PATHS", "SonosLike", "Subscriber"]

EVENT_PATHS = {
    "AlarmClock": "/AlarmClock/Event",
    "DeviceProperties": "/DeviceProperties/Event",
    "ZoneGroupTopology": "/ZoneGroupTopology/Event",
    "ContentDirectory": "/MediaServer/ContentDirectory/Event",
    "RenderingControl": "/MediaRenderer/RenderingControl/Event",
    "AVTransport": "/MediaRenderer/AVTransport/Event",
    "Queue": "/MediaRenderer/Queue/Event",
}

_RCS = "urn:schemas-upnp-org:metadata-1-0/RCS/"
_AVT = "urn:schemas-upnp-org:metadata-1-0/AVT/"
_GROUP = ("239.255.255.250", 1900)
_ZONE_PLAYER = "urn:schemas-upnp-org:device:ZonePlayer:1"


@dataclass(eq=False)
class Subscriber:
    """One subscription, by its SID."""

    sid: str
    service: str
    callback: str
    seq: itertools.count[int] = field(default_factory=itertools.count)
    wrong: set[str] = field(default_factory=set)
    """What the player does wrong with this subscription next: a method of it each."""
    queue: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)


@dataclass(frozen=True)
class Asked:
    """A request that came."""

    method: str
    path: str
    fields: dict[str, str]

    @property
    def is_renewal(self) -> bool:
        return self.method == "SUBSCRIBE" and "SID" in self.fields


class SonosLike:
    """One player of one household. ``grant`` is what it grants, in seconds."""

    def __init__(self, address: str = "127.0.0.1", port: int = 0, *, grant: int = 300) -> None:
        self.address = address
        self.port = port
        self.grant = grant
        self.uid = "RINCON_PROPCHANGE01400"
        self.volume = 20
        self.state = "STOPPED"
        self.room = "Kitchen"
        self.asked: list[Asked] = []
        self.subscribers: dict[str, Subscriber] = {}
        self.statuses: list[int] = []
        """How events were answered; 0 for not at all."""
        self.refused_subscribes = 0
        self._refused: Counter[str] = Counter()
        self.early = False
        """Whether the initial event is sent before the answer to SUBSCRIBE."""
        self._answered = asyncio.Event()
        self.failing_actions: set[str] = set()
        self.held = asyncio.Event()
        self.held.set()
        """Cleared: events wait."""
        # A player that starts again gives no SID that it has given before.
        self._numbers = itertools.count(random.randrange(1, 10**9))
        self._tasks: set[asyncio.Task[Any]] = set()
        self._connections: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @property
    def base_url(self) -> str:
        return f"http://{self.address}:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, on the same port if it did before, and know no SID."""
        self._server = await asyncio.start_server(
            self._serve, self.address, self.port, reuse_address=True
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """End without a word, as without power."""
        self.subscribers.clear()
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._connections):
            connection.transport.abort()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()

    def of(self, method: str) -> list[Asked]:
        return [each for each in self.asked if each.method == method]

    def renewals(self) -> list[Asked]:
        return [each for each in self.asked if each.is_renewal]

    def subscribes(self, service: str | None = None) -> list[Asked]:
        """The requests for a new subscription."""
        path = None if service is None else EVENT_PATHS[service]
        return [
            each
            for each in self.of("SUBSCRIBE")
            if not each.is_renewal and path in {None, each.path}
        ]

    # --- what it does, and does wrong ---

    def set_volume(self, volume: int | str) -> None:
        self.volume = int(volume)
        self.change("RenderingControl")

    def send_mute(self) -> None:
        """Send an event of RenderingControl that has Mute alone."""
        change = _lastchange(_RCS, '<Mute channel="Master" val="0"/>')
        self.send("RenderingControl", _propertyset({"LastChange": change}))

    def set_state(self, state: str) -> None:
        self.state = state
        self.change("AVTransport")

    def set_topology(self, room: str) -> None:
        self.room = room
        self.change("ZoneGroupTopology")

    def forget(self) -> None:
        """Know no SID any more, as after a restart that nobody has noticed."""
        self.subscribers.clear()

    def refuse_subscribes(self, times: int | str = 1) -> None:
        """Refuse the first requests of each subscriber."""
        self.refused_subscribes = int(times)
        self._refused.clear()

    def refuse_renewals(self) -> None:
        """Refuse the next renewal of each subscription."""
        self._do_wrong("refuse_renewals")

    def rename_sids(self) -> None:
        """Answer the next renewals with another SID, which the events then have."""
        self._do_wrong("rename_sids")

    def cut(self) -> None:
        """Send only a part of the next event."""
        self._do_wrong("cut")

    def break_lastchange(self) -> None:
        """Send the next event with a LastChange that is not well-formed."""
        self._do_wrong("break_lastchange")

    def lose(self) -> None:
        """Do not send the next event: the SEQ of the one after it shows a gap."""
        self._do_wrong("lose")

    def _do_wrong(self, what: str) -> None:
        for subscriber in self.subscribers.values():
            subscriber.wrong.add(what)

    @staticmethod
    def _does_wrong(subscriber: Subscriber, what: str) -> bool:
        does = what in subscriber.wrong
        subscriber.wrong.discard(what)
        return does

    def change(self, service: str) -> None:
        """Send the state of a service to its subscribers."""
        for subscriber in tuple(self.subscribers.values()):
            if subscriber.service == service:
                self._send(subscriber)

    def send(self, service: str, body: str) -> None:
        """Send an event with this propertyset."""
        for subscriber in tuple(self.subscribers.values()):
            if subscriber.service == service:
                self._queue(subscriber, body)

    # --- its state ---

    def properties(self, service: str) -> dict[str, str]:
        if service == "RenderingControl":
            values = (
                f'<Volume channel="Master" val="{self.volume}"/>'
                '<Volume channel="LF" val="100"/><Volume channel="RF" val="100"/>'
                '<Mute channel="Master" val="0"/>'
            )
            return {"LastChange": _lastchange(_RCS, values)}
        if service == "AVTransport":
            values = (
                f'<TransportState val="{self.state}"/><CurrentPlayMode val="NORMAL"/>'
                f"<CurrentTrackMetaData val={quoteattr(RADIO)}/>"
            )
            return {"LastChange": _lastchange(_AVT, values)}
        if service == "ZoneGroupTopology":
            return {
                "ZoneGroupState": self.topology(),
                "ThirdPartyMediaServersX": "2:secret",
                "ZonePlayerUUIDsInGroup": self.uid,
            }
        return {
            "AlarmClock": {"AlarmListVersion": f"{self.uid}:1"},
            "DeviceProperties": {"ZoneName": self.room, "MicEnabled": "1"},
            "ContentDirectory": {"FavoritesUpdateID": f"{self.uid},1", "ContainerUpdateIDs": ""},
            "Queue": {
                "LastChange": '<Event xmlns="urn:schemas-sonos-com:metadata-1-0/Queue/">'
                '<QueueID val="0"><UpdateID val="3"/></QueueID></Event>'
            },
        }[service]

    def topology(self) -> str:
        location = f"{self.base_url}/xml/device_description.xml"
        return (
            f'<ZoneGroupState><ZoneGroups><ZoneGroup Coordinator="{self.uid}" ID="{self.uid}:1">'
            f'<ZoneGroupMember UUID="{self.uid}" Location="{location}" BootSeq="7" '
            f"ZoneName={quoteattr(self.room)}/></ZoneGroup></ZoneGroups><VanishedDevices/>"
            "</ZoneGroupState>"
        )

    def description(self) -> str:
        def service(name: str) -> str:
            place = EVENT_PATHS[name].removesuffix("/Event")
            return (
                f"<service><serviceType>urn:schemas-upnp-org:service:{name}:1</serviceType>"
                f"<serviceId>urn:upnp-org:serviceId:{name}</serviceId>"
                f"<controlURL>{place}/Control</controlURL>"
                f"<eventSubURL>{place}/Event</eventSubURL><SCPDURL>/xml/{name}1.xml</SCPDURL>"
                "</service>"
            )

        def device(kind: str, suffix: str, under: str, inside: str = "") -> str:
            services = "".join(
                service(name)
                for name, path in EVENT_PATHS.items()
                if path.rpartition(f"/{name}/")[0] == under
            )
            return (
                f"<device><deviceType>urn:schemas-upnp-org:device:{kind}:1</deviceType>"
                f"<friendlyName>{escape(self.room)}</friendlyName>"
                "<manufacturer>Sonos, Inc.</manufacturer><modelName>Sonos Play:1</modelName>"
                f"<UDN>uuid:{self.uid}{suffix}</UDN><serviceList>{services}</serviceList>"
                f"{inside}</device>"
            )

        server = device("MediaServer", "_MS", "/MediaServer")
        renderer = device("MediaRenderer", "_MR", "/MediaRenderer")
        inside = f"<deviceList>{server}{renderer}</deviceList>"
        return (
            '<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><specVersion>'
            "<major>1</major><minor>0</minor></specVersion>"
            f"{device('ZonePlayer', '', '', inside)}</root>"
        )

    # --- its server ---

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, path, _ = head[0].split(" ")
                lines = (line.partition(":") for line in head[1:] if line)
                fields = {name.strip().upper(): value.strip() for name, _, value in lines}
                body = await reader.readexactly(int(fields.get("CONTENT-LENGTH", 0)))
                asked = Asked(method, path, fields)
                self.asked.append(asked)
                answer, subscriber = self._answer(asked, body.decode())
                if subscriber is not None and self.early:
                    self._begin(subscriber)
                    await self._answered.wait()
                writer.write(answer)
                await writer.drain()
                if subscriber is not None and not self.early:
                    self._begin(subscriber)
        finally:
            self._tasks.discard(task)
            self._connections.discard(writer)
            writer.close()

    def _answer(self, asked: Asked, body: str) -> tuple[bytes, Subscriber | None]:
        services = {path: name for name, path in EVENT_PATHS.items()}
        if asked.method == "GET" and asked.path == "/xml/device_description.xml":
            return _response(200, self.description(), {"CONTENT-TYPE": "text/xml"}), None
        if asked.method == "GET" and asked.path.startswith("/xml/"):
            name = asked.path.removeprefix("/xml/").removesuffix("1.xml")
            return _response(200, _scpd(name), {"CONTENT-TYPE": "text/xml"}), None
        if asked.method == "POST":
            return self._act(asked), None
        service = services.get(asked.path)
        if service is None:
            return _response(404), None
        sid = asked.fields.get("SID", "")
        if asked.method == "UNSUBSCRIBE":
            known = self.subscribers.pop(sid, None)
            return _response(200 if known else 412), None
        if asked.method != "SUBSCRIBE":
            return _response(405), None
        if sid:
            return self._renew(sid), None
        callback = asked.fields["CALLBACK"].strip("<>")
        authority = urlsplit(callback).netloc
        if self._refused[authority] < self.refused_subscribes:
            self._refused[authority] += 1
            return _response(503), None
        sid = f"uuid:{self.uid}_sub{next(self._numbers):010}"
        subscriber = self.subscribers[sid] = Subscriber(sid, service, callback)
        return self._grants(sid), subscriber

    def _renew(self, sid: str) -> bytes:
        subscriber = self.subscribers.get(sid)
        if subscriber is None or self._does_wrong(subscriber, "refuse_renewals"):
            self.subscribers.pop(sid, None)
            return _response(412)
        if self._does_wrong(subscriber, "rename_sids"):
            del self.subscribers[sid]
            subscriber.sid = sid = f"uuid:{self.uid}_sub{next(self._numbers):010}"
            self.subscribers[sid] = subscriber
        return self._grants(sid)

    def _grants(self, sid: str) -> bytes:
        return _response(200, "", {"SID": sid, "TIMEOUT": f"Second-{self.grant}"})

    def _act(self, asked: Asked) -> bytes:
        action = asked.fields.get("SOAPACTION", "").strip('"').rpartition("#")[2]
        text = {
            "GetHouseholdID": "Sonos_propchange",
            "GetZoneGroupState": self.topology(),
            "GetVolume": str(self.volume),
        }.get(action)
        if text is None or action in self.failing_actions:
            return _response(501)
        name = next(result for act, result in _ACTIONS.values() if act == action)
        inside = f"<{name}>{escape(text)}</{name}>"
        envelope = (
            '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
            f'<u:{action}Response xmlns:u="urn:schemas-upnp-org:service:Any:1">{inside}'
            f"</u:{action}Response></s:Body></s:Envelope>"
        )
        return _response(200, envelope, {"CONTENT-TYPE": 'text/xml; charset="utf-8"'})

    # --- its events ---

    def _start(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _begin(self, subscriber: Subscriber) -> None:
        self._start(self._deliver(subscriber))
        self._send(subscriber)

    def _send(self, subscriber: Subscriber) -> None:
        properties = self.properties(subscriber.service)
        if "LastChange" in properties and self._does_wrong(subscriber, "break_lastchange"):
            properties["LastChange"] = properties["LastChange"].replace("</InstanceID>", "", 1)
        self._queue(subscriber, _propertyset(properties))

    def _queue(self, subscriber: Subscriber, body: str) -> None:
        number = next(subscriber.seq)
        if self._does_wrong(subscriber, "lose"):
            return
        where = urlsplit(subscriber.callback)
        encoded = body.encode()
        head = (
            f"NOTIFY {where.path or '/'} HTTP/1.1\r\nHOST: {where.netloc}\r\n"
            "CONTENT-TYPE: text/xml\r\nNT: upnp:event\r\nNTS: upnp:propchange\r\n"
            f"SID: {subscriber.sid}\r\nSEQ: {number}\r\nCONTENT-LENGTH: {len(encoded)}\r\n"
            "CONNECTION: close\r\n\r\n"
        )
        message = head.encode() + encoded
        if self._does_wrong(subscriber, "cut"):
            message = message[: -len(encoded) // 2]
        subscriber.queue.put_nowait(message)

    async def _deliver(self, subscriber: Subscriber) -> None:
        where = urlsplit(subscriber.callback)
        while (message := await subscriber.queue.get()) is not None:
            await self.held.wait()
            status = 0
            with contextlib.suppress(OSError, TimeoutError, IndexError, ValueError):
                async with asyncio.timeout(5):
                    reader, writer = await asyncio.open_connection(where.hostname, where.port)
                    try:
                        writer.write(message)
                        writer.write_eof()
                        status = int((await reader.read(4096)).split(b" ")[1])
                    finally:
                        writer.close()
            self.statuses.append(status)
            self._answered.set()


RADIO = (
    '<DIDL-Lite xmlns:dc="http://purl.org/dc/elements/1.1/" '
    'xmlns:upnp="urn:schemas-upnp-org:metadata-1-0/upnp/" '
    'xmlns="urn:schemas-upnp-org:metadata-1-0/DIDL-Lite/"><item id="-1" parentID="-1" '
    'restricted="true"><dc:title>A &amp; B</dc:title>'
    "<upnp:class>object.item.audioItem.musicTrack</upnp:class>"
    '<res protocolInfo="http-get:*:audio/mpeg:*">http://127.0.0.1/a.mp3</res></item></DIDL-Lite>'
)


def _lastchange(namespace: str, values: str) -> str:
    return f'<Event xmlns="{namespace}"><InstanceID val="0">{values}</InstanceID></Event>'


def _propertyset(properties: dict[str, str]) -> str:
    inside = "".join(
        f"<e:property><{name}>{escape(text)}</{name}></e:property>"
        for name, text in properties.items()
    )
    return f'<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0">{inside}</e:propertyset>'


def _response(status: int, body: str = "", more: dict[str, str] | None = None) -> bytes:
    encoded = body.encode()
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        *(f"{name}: {value}" for name, value in (more or {}).items()),
        f"CONTENT-LENGTH: {len(encoded)}",
        "SERVER: Linux UPnP/1.0 Sonos/83.1-61210 (ZPS12)",
        "CONNECTION: close",
    ]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode() + encoded


_ACTIONS = {
    "DeviceProperties": ("GetHouseholdID", "CurrentHouseholdID"),
    "ZoneGroupTopology": ("GetZoneGroupState", "ZoneGroupState"),
    "RenderingControl": ("GetVolume", "CurrentVolume"),
}

_VARIABLES = {
    "RenderingControl": '<stateVariable sendEvents="yes"><name>LastChange</name>'
    '<dataType>string</dataType></stateVariable><stateVariable sendEvents="no">'
    "<name>Volume</name><dataType>ui2</dataType></stateVariable>"
}


def _scpd(service: str) -> str:
    """The description of a service. It has one action, without an in argument."""
    actions = ""
    if service in _ACTIONS:
        action, result = _ACTIONS[service]
        actions = (
            f"<actionList><action><name>{action}</name><argumentList><argument>"
            f"<name>{result}</name><direction>out</direction>"
            "<relatedStateVariable>Text</relatedStateVariable></argument></argumentList></action>"
            "</actionList>"
        )
    return (
        '<scpd xmlns="urn:schemas-upnp-org:service-1-0"><specVersion><major>1</major>'
        f"<minor>0</minor></specVersion>{actions}<serviceStateTable>"
        '<stateVariable sendEvents="no"><name>Text</name><dataType>string</dataType>'
        f"</stateVariable>{_VARIABLES.get(service, '')}</serviceStateTable></scpd>"
    )


class Announcements:
    """The SSDP messages of a player, from its address."""

    def __init__(self, player: SonosLike, boot: int) -> None:
        self._player = player
        self._boot = boot
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(
            socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(player.address)
        )

    def say(self, nts: str) -> None:
        player = self._player
        udn = f"uuid:{player.uid}"
        for target in ("upnp:rootdevice", udn, _ZONE_PLAYER):
            usn = udn if target == udn else f"{udn}::{target}"
            lines = [
                "NOTIFY * HTTP/1.1",
                "HOST: 239.255.255.250:1900",
                "CACHE-CONTROL: max-age = 1800",
                f"LOCATION: {player.base_url}/xml/device_description.xml",
                f"NT: {target}",
                f"NTS: {nts}",
                "SERVER: Linux UPnP/1.0 Sonos/83.1-61210 (ZPS12)",
                f"USN: {usn}",
                f"X-RINCON-BOOTSEQ: {self._boot}",
                f"BOOTID.UPNP.ORG: {self._boot}",
            ]
            message = "\r\n".join([*lines, "", ""]).encode()
            with contextlib.suppress(OSError):
                self._socket.sendto(message, _GROUP)


def _tell(**told: object) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


async def _main(options: argparse.Namespace) -> None:
    player = SonosLike(options.address, options.port, grant=options.grant)
    async with player:
        announcements = Announcements(player, options.boot) if options.announce else None
        if announcements is not None:
            announcements.say("ssdp:alive")
        _tell(ready=player.base_url)
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := (await reader.readline()).decode().strip():
            command, *arguments = line.split()
            if command == "quit":
                break
            if command == "byebye":
                if announcements is not None:
                    announcements.say("ssdp:byebye")
            elif command == "alive":
                if announcements is not None:
                    announcements.say("ssdp:alive")
            elif command == "asked":
                _tell(asked=[[each.method, each.path, each.fields] for each in player.asked])
                continue
            else:
                getattr(player, command)(*arguments)
            _tell(done=line)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("port", type=int, nargs="?", default=1400)
    parser.add_argument("--grant", type=int, default=300)
    parser.add_argument("--boot", type=int, default=1)
    parser.add_argument("--announce", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(_main(_options()))
