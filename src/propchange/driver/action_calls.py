"""Calls actions: POST to a controlURL, and its answer (UDA 2.0 §3.1.1, §3.2).

An action runs once for each call. So a request whose bytes were written is not sent again: if its
connection breaks, the call fails, and the error says that the action may have run. A call is sent
again only after an answer which shows that the action has not run: a redirect (307), or the status
405, after which UDA 1.0 requires the method M-POST.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

from propchange.core.limits import Limits
from propchange.core.record import Record
from propchange.core.subscriber.device_slots import CallTurn, device_address
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.subscriber.protocol import SubscriberProtocol
from propchange.core.subscriber.requests import authority_and_target, friendly_name
from propchange.core.wire.messages import Endpoint, HeaderPairs, Request, Response
from propchange.driver.requests import Answer, KeptConnectionBroke, Requests
from propchange.driver.runtime import Future, Runtime, settle
from propchange.errors import (
    ActionError,
    ConnectionFailed,
    DescriptionError,
    PropchangeError,
    RemoteProtocolError,
    TimedOut,
)
from propchange.upnp.soap import SOAP_NAMESPACE, build_call, format_soapaction, parse_answer

_CONTENT_TYPE = (b"CONTENT-TYPE", b'text/xml; charset="utf-8"')
_MAN = (b"MAN", b'"%b"; ns=01' % SOAP_NAMESPACE.encode())
_OTHER_METHOD = {"POST": frozenset({405}), "M-POST": frozenset({405, 501, 510})}
"""The statuses with which a device says that it does not know the method (UDA 1.0 §3.2.1). 501 and
510 are from the HTTP Extension Framework (RFC 2774)."""


@dataclass(slots=True, eq=False, repr=False)
class CallForm(Record):
    """How a device takes calls, as far as it is known.

    ``method`` is the method that it takes. ``keeps``: its connections can be kept for the next
    call. False once a kept connection has broken without an answer.
    """

    method: str = "POST"
    keeps: bool = True


class NamedService(Protocol):
    """A service with a name for people."""

    @property
    def _called(self) -> str:
        """The service and its device, for people."""


class Callee(NamedTuple):
    """The service that is called. ``url`` is the controlURL. ``giver`` is the host whose
    description has the URL; None: the program gave it."""

    service: NamedService
    service_type: str
    url: str
    giver: Endpoint | None
    form: CallForm


_MOST_SECONDS = 86_400.0
"""Longer timers overflow in some event loops."""

REQUEST_ERRORS = (ConnectionFailed, TimedOut, DescriptionError, RemoteProtocolError)
"""The errors of a request to a device."""


def call_seconds(timeout: object, limits: Limits) -> float:
    """The seconds that a call may take, a day at most; None: ``limits.request_seconds``. Raises
    TypeError or ValueError for anything but a finite number above 0."""
    if timeout is None:
        return limits.request_seconds
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise TypeError(f"timeout is a number of seconds, not {timeout!r}")
    if not 0 < timeout < math.inf:
        raise ValueError(f"timeout is a finite number of seconds above 0, not {timeout!r}")
    return float(min(timeout, _MOST_SECONDS))


def with_prefix(error: PropchangeError, where: str) -> PropchangeError:
    """``error``, one of :data:`REQUEST_ERRORS`, as a new error whose text begins with ``where``."""
    text = f"{where}: {error.args[0]}"
    if isinstance(error, RemoteProtocolError):
        return RemoteProtocolError(text, status=error.status, clause=error.clause)
    return next(kind(text) for kind in REQUEST_ERRORS if isinstance(error, kind))


class ActionCalls:
    """Calls actions of devices. ``protocol`` gives each call its turn; ``changed`` is called when
    another request to a device may leave. ``source`` returns the address to connect from; None:
    any. ``tap`` is called with each Request and each Response.

    Call :meth:`begin` with the turns that have come, and in the end :meth:`close`.
    """

    def __init__(
        self,
        runtime: Runtime,
        protocol: SubscriberProtocol,
        requests: Requests,
        *,
        policy: SubscriberPolicy,
        changed: Callable[[], None],
        source: Callable[[], Endpoint | None],
        tap: Callable[[object], None] | None,
    ) -> None:
        self._runtime = runtime
        self._protocol = protocol
        self._requests = requests
        self._limits = requests.limits
        self._changed = changed
        self._source = source
        self._tap = tap
        self._closed = False
        self._waiting: dict[CallTurn, None] = {}
        headers = friendly_name(policy)
        if policy.uda != "1.0" and policy.user_agent:
            headers.insert(0, (b"USER-AGENT", policy.user_agent.encode("latin-1", "replace")))
        self._headers: HeaderPairs = (*headers, _CONTENT_TYPE)

    async def call(
        self,
        callee: Callee,
        action_name: str,
        texts: Mapping[str, str],
        *,
        until: float,
        seconds: float,
    ) -> tuple[dict[str, str], tuple[str, ...]]:
        """Call an action with the ``texts`` of its in arguments. Returns the texts of the out
        arguments, and one sentence for each deviation in the answer. Waiting for a slot of the
        device, connecting and the answer last ``until`` a time, at most: ``seconds`` after the
        program has called.

        Raises ActionError for a fault; RemoteProtocolError for an answer that cannot be read, with
        its status if that is not 2xx; ConnectionFailed; TimedOut; DescriptionError if nothing may
        be sent to the URL, or if a name or the URL in the description cannot be sent."""
        try:
            turn = CallTurn(device_address(callee.url))
            soapaction = format_soapaction(callee.service_type, action_name)
            body = build_call(callee.service_type, action_name, texts)
        except ValueError as error:  # the values were checked, so the description is wrong
            where = f"{action_name} of {callee.service._called}"
            raise DescriptionError(f"{where} cannot be called: {error}") from error
        message = _Message(until, seconds, self._headers, soapaction, body)
        try:
            await self._wait_for_turn(turn, message)
            answer = await self._ask(callee, message, turn)
            response = answer.response
            if 300 <= response.status < 400:
                reason = answer.refused or "the redirect is not followed"
                text = f"it was answered with the status {response.status}: {reason}"
                raise RemoteProtocolError(text, status=response.status)
            return self._read(response, action_name)
        except ActionError as error:
            error.add_note(f"the answer to {action_name} of {callee.service._called}")
            raise
        except REQUEST_ERRORS as error:
            where = f"{action_name} of {callee.service._called}{message.whether_sent(error)}"
            raise with_prefix(error, where) from error
        finally:
            self._waiting.pop(turn, None)
            self._protocol.end_call(turn)
            if self._protocol.changed:
                self._changed()

    def _read(self, response: Response, action_name: str) -> tuple[dict[str, str], tuple[str, ...]]:
        status = response.status
        try:
            return parse_answer(response.body, status, action_name, self._limits)
        except RemoteProtocolError as error:
            error.status = 0 if 200 <= status < 300 else status
            raise

    # --- turns ---

    async def _wait_for_turn(self, turn: CallTurn, message: _Message) -> None:
        if self._closed:
            raise ConnectionFailed("the control point was closed")
        if self._protocol.begin_call(turn):
            return
        waiting: Future[PropchangeError | None] = self._runtime.future()
        turn.carrier = waiting
        self._waiting[turn] = None
        self._changed()
        seconds = message.seconds
        late = TimedOut(f"other requests to the device were not answered within {seconds:g} s")
        left = max(message.until - self._runtime.now(), 0.001)
        alarm = self._runtime.call_later(left, partial(settle, waiting, late))
        try:
            error = await waiting
        finally:
            alarm.cancel()
            self._waiting.pop(turn, None)
        if error is not None:
            raise error

    def begin(self, turns: list[CallTurn]) -> None:
        """Send the calls whose ``turns`` have come."""
        for turn in turns:
            settle(turn.carrier, None)

    def close(self) -> None:
        """End the calls that wait for their turn, and send no further ones. The calls under way end
        with their connections."""
        self._closed = True
        for turn in tuple(self._waiting):
            settle(turn.carrier, ConnectionFailed("the control point was closed"))

    # --- requests ---

    async def _ask(self, callee: Callee, message: _Message, turn: CallTurn) -> Answer:
        form = callee.form
        method = form.method
        answer = await self._send(callee, message, method, turn)
        if answer.response.status in _OTHER_METHOD[method]:
            method = "M-POST" if method == "POST" else "POST"
            form.method = "POST"
            answer = await self._send(callee, message, method, turn)
        if answer.response.status not in _OTHER_METHOD[method]:
            form.method = method
        return answer

    async def _send(self, callee: Callee, message: _Message, method: str, turn: CallTurn) -> Answer:
        form, limits = callee.form, self._limits
        message.written = False

        def build(url: str, local: Endpoint) -> Request:
            request = message.to(url, method)
            message.written = True
            if self._tap is not None:
                self._tap(request)
            return request

        def kept_for() -> float:
            if self._protocol.others_of(turn):
                return limits.kept_seconds_while_others_wait
            return limits.kept_seconds

        left = message.until - self._runtime.now()
        if left <= 0:
            raise TimedOut("no time was left to send it")
        try:
            answer = await self._requests.follow(
                callee.url,
                build,
                source=self._source(),
                seconds=left,
                within=message.seconds,
                giver=callee.giver,
                kept_for=kept_for if form.keeps else None,
            )
        except KeptConnectionBroke:
            form.keeps = False
            raise
        except ValueError as error:
            raise DescriptionError(f"its controlURL cannot be used: {error}") from error
        if self._tap is not None:
            self._tap(answer.response)
        return answer


class _Message:
    """The request of one call. It must be answered ``until`` a time, which is ``seconds`` after the
    program has called. ``written``: its bytes were perhaps written, and no answer has come."""

    __slots__ = ("_body", "_headers", "_soapaction", "seconds", "until", "written")

    def __init__(
        self, until: float, seconds: float, headers: HeaderPairs, soapaction: bytes, body: bytes
    ) -> None:
        self.until = until
        self.seconds = seconds
        self._headers = headers
        self._soapaction = soapaction
        self._body = body
        self.written = False

    def to(self, url: str, method: str) -> Request:
        authority, target = authority_and_target(url)
        host = (b"HOST", authority.encode("ascii"))
        if method == "POST":
            own: HeaderPairs = ((b"SOAPACTION", self._soapaction),)
        else:
            own = (_MAN, (b"01-SOAPACTION", self._soapaction))
        return Request(method, target, (host, *self._headers, *own), self._body)

    def whether_sent(self, error: PropchangeError) -> str:
        """For the text of an error: whether the action may have run."""
        if not isinstance(error, ConnectionFailed | TimedOut):
            return ""
        return " (it may have run)" if self.written else " (it was not sent)"
