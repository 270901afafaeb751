"""What a host answers besides SUBSCRIBE: the description, the SCPDs, control."""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable

from propchange.core.publisher.judge import PublisherPolicy
from propchange.core.wire.messages import HeaderPairs, Request, Response
from propchange.core.wire.refusals import HOST_MISSING, judge_host
from propchange.upnp.description import build_description
from propchange.upnp.device import PlacedDevice
from propchange.upnp.service import Service

DESCRIPTION_PATH = "/description.xml"

_XML = (b"CONTENT-TYPE", b'text/xml; charset="utf-8"')

_INVALID_ACTION = (
    b'<?xml version="1.0"?>\n'
    b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
    b's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body><s:Fault>'
    b"<faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>"
    b'<UPnPError xmlns="urn:schemas-upnp-org:control-1-0"><errorCode>401</errorCode>'
    b"<errorDescription>Invalid Action</errorDescription></UPnPError>"
    b"</detail></s:Fault></s:Body></s:Envelope>\n"
)


def _checked(given: object) -> Response:
    """``given`` if it is a response. Anything else would leave the control point waiting."""
    if not isinstance(given, Response):
        raise TypeError(f"on_action gives a Response, or an awaitable of one, not {given!r}")
    return given


async def _awaited(given: Awaitable[object]) -> Response:
    return _checked(await given)


class HostedDocuments:
    """The answers to GET, HEAD and POST for one placed device. The documents are made once."""

    def __init__(
        self, placed: PlacedDevice, policy: PublisherPolicy, date: Callable[[], bytes]
    ) -> None:
        self._policy = policy
        self._date = date
        self._documents = {DESCRIPTION_PATH: self._description(placed, None)}
        self._controls: dict[str, Service] = {}
        for service in placed.all_services():
            self._documents[f"/{service.scpd_path}"] = service.service.scpd(policy.uda)
            self._controls[f"/{service.control_path}"] = service.service
        self.config_id = zlib.crc32(b"\0".join(self._documents.values())) & 0xFFFFFF
        """The configId of the description, which is also CONFIGID in announcements: 24 bits that
        change when a document does (UDA 2.0 §1.2.2, §2.3)."""
        self._documents[DESCRIPTION_PATH] = self._description(placed, self.config_id)

    def _description(self, placed: PlacedDevice, config_id: int | None) -> bytes:
        return build_description(
            placed.device,
            udn=placed.udn,
            uda=self._policy.uda,
            prefix="/",
            config_id=config_id,
        )

    def respond(self, request: Request) -> Response | Awaitable[Response] | None:
        """The answer, None when the request is not for a document or a controlURL."""
        path = request.target.partition("?")[0]
        document, service = self._documents.get(path), self._controls.get(path)
        if document is None and service is None:
            return None
        refusal = judge_host(request, self._policy.hosts)
        # HTTP/1.0 needs no HOST. A browser always sends HOST, so no web page can read a document
        # this way.
        if refusal is HOST_MISSING and request.http_version == "1.0" and document is not None:
            refusal = None
        if refusal is not None:
            return self._answer(request, refusal.status, ())
        if document is not None:
            if request.method not in ("GET", "HEAD"):
                return self._answer(request, 405, ((b"ALLOW", b"GET, HEAD"),))
            return self._answer(request, 200, (_XML,), document)
        assert service is not None
        if request.method != "POST":
            return self._answer(request, 405, ((b"ALLOW", b"POST"),))
        if service.on_action is not None:
            given: object = service.on_action(request)
            return _awaited(given) if isinstance(given, Awaitable) else _checked(given)
        return self._answer(request, 500, (_XML, (b"EXT", b"")), _INVALID_ACTION)

    def _answer(
        self, request: Request, status: int, headers: HeaderPairs, body: bytes = b""
    ) -> Response:
        return Response(
            status,
            (
                (b"DATE", self._date()),
                (b"SERVER", self._policy.server.encode("latin-1", "replace")),
                *headers,
            ),
            body,
            http_version=request.http_version,
            close=not request.keep_alive,
        )
