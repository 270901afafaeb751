"""Judges and answers requests to a controlURL (UDA 2.0 §3).

:class:`Control` turns a request into an :class:`ActionCall` with checked arguments, or into the
:class:`.Response` that refuses it. The runtime runs the action, and :class:`Control` turns the
result into the response.

A request that is not the call of an action, or that a web page has sent, is *refused*: the response
is an HTTP status without a body. A call whose action cannot be run, or has failed, is answered with
a *fault*: the status 500 with a UPnPError.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.publisher.judge import PublisherPolicy
from propchange.core.wire.messages import Request, Response
from propchange.core.wire.refusals import Refusal, judge_host, refuse_repeated
from propchange.errors import ActionError, RemoteProtocolError
from propchange.upnp.actions import Action, ErrorCode
from propchange.upnp.service import Service
from propchange.upnp.soap import (
    SOAP_NAMESPACE,
    Call,
    build_answer,
    build_fault,
    parse_call,
    parse_soapaction,
)

_CLAUSE = "UDA 2.0 §3.1.1"
_XML = (b"CONTENT-TYPE", b'text/xml; charset="utf-8"')
_EXT = (b"EXT", b"")
_CONTENT_TYPES = frozenset({b"text/xml", b"application/xml", b"application/soap+xml"})
_ONCE = frozenset({b"content-type", b"soapaction", b"man"})
# Of M-POST (UDA 1.0 §3.2.1): the SOAPACTION has the prefix that ns= gives.
_MAN = re.compile(rb'"%b" *+; *+ns *+= *+"?([0-9]{1,8})"?' % re.escape(SOAP_NAMESPACE.encode()))
_VERSION = re.compile(r"[1-9][0-9]{0,7}")


class ActionCall(NamedTuple):
    """A call whose action is to be run. ``inputs``: the values of the in arguments, by wire name.
    ``service_type`` is the type in the call, which may be an earlier version than ``service``.
    ``problems`` has a sentence for each deviation that was accepted."""

    service: Service
    action: Action
    inputs: dict[str, Any]
    request: Request
    service_type: str
    problems: tuple[str, ...]


ReportRefusal = Callable[[Request, Refusal | ActionError], object]
"""Called with a request to a controlURL that runs no action, and the reason."""


class Control:
    """Judges calls, and makes the responses to them. ``date`` returns the value of DATE.
    ``refused`` is called for each request that runs no action."""

    def __init__(
        self,
        policy: PublisherPolicy,
        date: Callable[[], bytes],
        limits: Limits = DEFAULT_LIMITS,
        refused: ReportRefusal = lambda request, why: None,
    ) -> None:
        self._refused = refused
        self._policy = policy
        self._date = date
        self._limits = limits
        self._server = (b"SERVER", policy.server.encode("latin-1", "replace"))

    def judge(self, request: Request, service: Service) -> ActionCall | Response:
        """The call in a request to the controlURL of ``service``, or the response that refuses
        it."""
        refusal = judge_host(request, self._policy.hosts) or _judge_head(request)
        if refusal is None:
            try:
                return self._judge_call(request, service)
            except ActionError as error:
                self._refused(request, error)
                return self.fault(request, error)
            except RemoteProtocolError as error:
                refusal = Refusal(error.status or 400, str(error.args[0]), _CLAUSE)
        self._refused(request, refusal)
        return self._refuse(request, refusal)

    def _judge_call(self, request: Request, service: Service) -> ActionCall:
        called_type, called = _read_soapaction(request)
        call = parse_call(request.body, self._limits)
        service_type = _judge_types(call, called_type, service.service_type)
        if call.action != called:
            raise ActionError(
                ErrorCode.INVALID_ACTION,
                f"{ErrorCode.INVALID_ACTION.words}: SOAPACTION and the body name different actions",
            )
        action = service._find_action(called)
        inputs = action.read_inputs(call.texts)
        return ActionCall(service, action, inputs, request, service_type, call.problems)

    def answer(self, call: ActionCall, result: object) -> Response:
        """The response with ``result``, which the method of the action has returned. Raises
        TypeError or ValueError for a result that does not fit the out arguments, and ValueError for
        one that is too long to be sent."""
        texts = call.action.write_outputs(result)
        body = build_answer(call.service_type, call.action.name, texts)
        most = self._limits.write_buffer_bytes - self._limits.header_bytes
        if len(body) > most:
            answer = f"the answer to {call.action.name}"
            raise ValueError(f"{answer} has {len(body)} bytes, and at most {most} are sent")
        return self._respond(call.request, 200, body)

    def fault(self, request: Request, error: ActionError) -> Response:
        """The response with ``error`` (UDA 2.0 §3.2.5)."""
        return self._respond(request, 500, build_fault(error.code, error.description))

    def _refuse(self, request: Request, refusal: Refusal) -> Response:
        allow = ((b"ALLOW", b"POST, M-POST"),) if refusal.status == 405 else ()
        return Response(
            refusal.status,
            ((b"DATE", self._date()), self._server, *allow, (b"CONTENT-LENGTH", b"0")),
            http_version=request.http_version,
            close=not request.keep_alive,
        )

    def _respond(self, request: Request, status: int, body: bytes) -> Response:
        return Response(
            status,
            (_XML, (b"DATE", self._date()), _EXT, self._server),
            body,
            http_version=request.http_version,
            close=not request.keep_alive,
        )


def _judge_head(request: Request) -> Refusal | None:
    if request.method not in ("POST", "M-POST"):
        return Refusal(405, f"{request.method[:40]!a} was sent to a controlURL", _CLAUSE)
    if repeated := request.repeated & _ONCE:
        return refuse_repeated(repeated)
    media_type = request.fields.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if media_type not in _CONTENT_TYPES:
        # A web page can make a browser send a form or a plain text to any host. Before it sends
        # XML, the browser asks the host for permission.
        return Refusal(415, "CONTENT-TYPE is not text/xml", _CLAUSE)
    if request.method == "M-POST" and _MAN.fullmatch(request.fields.get(b"man", b"")) is None:
        return Refusal(510, "an M-POST names the namespace of SOAP in MAN", "UDA 1.0 §3.2.1")
    return None


def _read_soapaction(request: Request) -> tuple[str, str]:
    """The service type and the name of the action in SOAPACTION. Raises ActionError 401."""
    name = b"soapaction"
    if request.method == "M-POST" and (man := _MAN.fullmatch(request.fields[b"man"])) is not None:
        name = man[1] + b"-soapaction"
    value = request.fields.get(name)
    try:
        if value is None:
            raise ValueError("SOAPACTION is missing")
        return parse_soapaction(value)
    except ValueError as error:
        words = ErrorCode.INVALID_ACTION.words
        raise ActionError(ErrorCode.INVALID_ACTION, f"{words}: {error}") from None


def _judge_types(call: Call, header_type: str, own_type: str) -> str:
    """The service type for the answer: from the body, or else from SOAPACTION. Both must be the
    type of the service, or an earlier version of it (UDA 2.0 §2.3). Raises ActionError 401."""
    for service_type in (header_type, call.service_type or header_type):
        if not _covers(own_type, service_type):
            raise ActionError(
                ErrorCode.INVALID_ACTION,
                f"{ErrorCode.INVALID_ACTION.words}: the service is {own_type}",
            )
    return call.service_type or header_type


def _covers(own_type: str, service_type: str) -> bool:
    """Whether a service of ``own_type`` has the actions of ``service_type``."""
    if service_type == own_type:
        return True
    own, _, version = own_type.rpartition(":")
    asked, _, older = service_type.rpartition(":")
    return own == asked and _VERSION.fullmatch(older) is not None and int(older) <= int(version)
