"""What a host answers besides SUBSCRIBE: the description, the SCPDs, control."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import NamedTuple

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.publisher.judge import PublisherPolicy
from propchange.core.wire.messages import HeaderPairs, Request, Response
from propchange.core.wire.refusals import HOST_MISSING, judge_host
from propchange.upnp.control import ActionCall, Control, ReportRefusal
from propchange.upnp.description import build_description
from propchange.upnp.device import PlacedDevice
from propchange.upnp.hosted_url import DESCRIPTION_PATH
from propchange.upnp.service import OnAction, Service

_XML = (b"CONTENT-TYPE", b'text/xml; charset="utf-8"')


class Asked(NamedTuple):
    """A request to the controlURL of a service whose program reads SOAP itself."""

    on_action: OnAction
    request: Request


class HostedDocuments:
    """The answers to GET, HEAD and POST for one placed device, whose URLs are below ``prefix``. The
    documents are made once. ``refused`` is called with each request to a controlURL that runs no
    action, with each one whose HOST or ORIGIN is foreign, and with the reason."""

    def __init__(
        self,
        placed: PlacedDevice,
        policy: PublisherPolicy,
        date: Callable[[], bytes],
        limits: Limits = DEFAULT_LIMITS,
        refused: ReportRefusal = lambda request, why: None,
        *,
        prefix: str = "",
    ) -> None:
        self._policy = policy
        self._refused = refused
        self._date = date
        self._prefix = prefix
        self.control = Control(policy, date, limits, refused)
        """Judges calls, and makes the responses to them."""
        description = prefix + DESCRIPTION_PATH
        self._documents = {description: self._description(placed, None)}
        self._controls: dict[str, Service] = {}
        for service in placed.all_services():
            self._documents[f"{prefix}/{service.scpd_path}"] = service.service.scpd(policy.uda)
            self._controls[f"{prefix}/{service.control_path}"] = service.service
        self.config_id = zlib.crc32(b"\0".join(self._documents.values())) & 0xFFFFFF
        """The configId of the description, which is also CONFIGID in announcements: 24 bits that
        change when a document does (UDA 2.0 §1.2.2, §2.3)."""
        self._documents[description] = self._description(placed, self.config_id)

    def _description(self, placed: PlacedDevice, config_id: int | None) -> bytes:
        return build_description(
            placed.device,
            udn=placed.udn,
            uda=self._policy.uda,
            prefix=f"{self._prefix}/",
            config_id=config_id,
        )

    def respond(self, request: Request) -> Response | ActionCall | Asked | None:
        """The answer, or the call of an action that is to be run. None when the request is not for
        a document or a controlURL."""
        path = request.target.partition("?")[0]
        document = self._documents.get(path)
        if document is not None:
            return self._give(request, document)
        service = self._controls.get(path)
        if service is None:
            return None
        if service.on_action is None:
            return self.control.judge(request, service)
        refusal = judge_host(request, self._policy.hosts)
        if refusal is not None:
            self._refused(request, refusal)
            return self._answer(request, refusal.status, ())
        if request.method != "POST":
            return self._answer(request, 405, ((b"ALLOW", b"POST"),))
        return Asked(service.on_action, request)

    def _give(self, request: Request, document: bytes) -> Response:
        refusal = judge_host(request, self._policy.hosts)
        # HTTP/1.0 needs no HOST. A browser always sends HOST, so no web page can read a document
        # this way.
        if refusal is not None and (refusal is not HOST_MISSING or request.http_version != "1.0"):
            self._refused(request, refusal)
            return self._answer(request, refusal.status, ())
        if request.method not in ("GET", "HEAD"):
            return self._answer(request, 405, ((b"ALLOW", b"GET, HEAD"),))
        return self._answer(request, 200, (_XML,), document)

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
