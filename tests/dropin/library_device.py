"""A device for async_upnp_client in memory: the requester is the device."""

from __future__ import annotations

import errno
import itertools
from collections.abc import Callable, Mapping
from typing import Any

from async_upnp_client.client import UpnpRequester, UpnpService
from async_upnp_client.client_factory import UpnpFactory
from async_upnp_client.const import HttpRequest, HttpResponse
from async_upnp_client.event_handler import UpnpNotifyServer
from async_upnp_client.exceptions import UpnpConnectionError

EVENT_URL = "http://10.0.0.7:1400/evt/{}"
DESCRIPTION_URL = "http://10.0.0.7:1400/device.xml"
UDN = "uuid:00000000-0000-0000-0000-000000000007"

SERVICES = {
    "RenderingControl": {"LastChange": "string", "Volume": "ui2", "Mute": "boolean"},
    "AVTransport": {"LastChange": "string", "TransportState": "string"},
    "ConnectionManager": {"SinkProtocolInfo": "string", "CurrentConnectionIDs": "string"},
}
_EVENTED = ("LastChange", "SinkProtocolInfo", "CurrentConnectionIDs")


def _service(name: str) -> str:
    return (
        f"<service><serviceType>urn:schemas-upnp-org:service:{name}:1</serviceType>"
        f"<serviceId>urn:upnp-org:serviceId:{name}</serviceId><SCPDURL>/{name}.xml</SCPDURL>"
        f"<controlURL>/ctl/{name}</controlURL><eventSubURL>/evt/{name}</eventSubURL></service>"
    )


DEVICE = (
    '<root xmlns="urn:schemas-upnp-org:device-1-0"><specVersion><major>1</major><minor>0</minor>'
    "</specVersion><device><deviceType>urn:schemas-upnp-org:device:MediaRenderer:1</deviceType>"
    f"<friendlyName>Renderer</friendlyName><manufacturer>-</manufacturer><UDN>{UDN}</UDN>"
    f"<modelName>-</modelName><serviceList>{''.join(map(_service, SERVICES))}</serviceList>"
    "</device></root>"
)


def _scpd(variables: Mapping[str, str]) -> str:
    table = "".join(
        f'<stateVariable sendEvents="{"yes" if name in _EVENTED else "no"}"><name>{name}</name>'
        f"<dataType>{data_type}</dataType></stateVariable>"
        for name, data_type in variables.items()
    )
    return (
        '<scpd xmlns="urn:schemas-upnp-org:service-1-0"><specVersion><major>1</major>'
        f"<minor>0</minor></specVersion><serviceStateTable>{table}</serviceStateTable></scpd>"
    )


def propertyset(**values: str) -> str:
    inside = "".join(f"<e:property><{n}>{text}</{n}></e:property>" for n, text in values.items())
    return f'<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0">{inside}</e:propertyset>'


def refused() -> UpnpConnectionError:
    """What the requesters of the library raise if nothing listens on the port."""
    error = UpnpConnectionError("refused")
    error.__cause__ = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
    return error


Answer = HttpResponse | Exception | Callable[[HttpRequest], Any]


class LibraryDevice(UpnpRequester):
    """Answers the requests of a program. ``answers`` has the next answers to SUBSCRIBE, renewals
    and UNSUBSCRIBE by their kind, and ``usual`` the answers after them."""

    def __init__(self) -> None:
        self.requests: list[HttpRequest] = []
        self.sids = (f"uuid:{number}" for number in itertools.count(1))
        self.timeout = "Second-1800"
        self.answers: dict[str, list[Answer]] = {"SUBSCRIBE": [], "RENEW": [], "UNSUBSCRIBE": []}
        self.usual: dict[str, Answer] = {}

    def sent(self, kind: str) -> list[HttpRequest]:
        return [each for each in self.requests if _kind(each) == kind]

    def grant(self, request: HttpRequest) -> HttpResponse:
        sid = request.headers.get("SID") or next(self.sids)
        return HttpResponse(200, {"sid": sid, "timeout": self.timeout}, "")

    async def async_http_request(self, http_request: HttpRequest) -> HttpResponse:
        kind = _kind(http_request)
        if kind == "GET":
            path = http_request.url.rpartition("/")[2].removesuffix(".xml")
            return HttpResponse(200, {}, _scpd(SERVICES[path]) if path in SERVICES else DEVICE)
        self.requests.append(http_request)
        waiting = self.answers.get(kind)
        answer: Any = waiting.pop(0) if waiting else self.usual.get(kind)
        if answer is None:
            return HttpResponse(200, {}, "") if kind == "UNSUBSCRIBE" else self.grant(http_request)
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            answer = answer(http_request)
            if hasattr(answer, "__await__"):
                answer = await answer
        return answer  # type: ignore[no-any-return] - as the test has set it


def _kind(request: HttpRequest) -> str:
    return "RENEW" if request.method == "SUBSCRIBE" and "SID" in request.headers else request.method


class WebServer(UpnpNotifyServer):
    """The web server of a program, which has a handler of its own."""

    url = "http://10.0.0.2:8123/api/notify"
    stopped = False

    @property
    def callback_url(self) -> str:
        return self.url

    async def async_start_server(self) -> None:
        pass

    async def async_stop_server(self) -> None:
        self.stopped = True


async def service_of(device: LibraryDevice, name: str = "RenderingControl") -> UpnpService:
    """A service of the device, as a program gets it. Keep it: its device keeps it not."""
    upnp_device = await UpnpFactory(device).async_create_device(DESCRIPTION_URL)
    return upnp_device.service(f"urn:schemas-upnp-org:service:{name}:1")


def notify(sid: str, seq: int | None, body: str, **headers: str) -> HttpRequest:
    fields = {"NT": "upnp:event", "NTS": "upnp:propchange", "SID": sid, **headers}
    if seq is not None:
        fields["SEQ"] = str(seq)
    fields = {name: value for name, value in fields.items() if value}
    return HttpRequest("NOTIFY", WebServer.url, fields, body)
