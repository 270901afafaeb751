"""A control point or a hosted device as an ASGI application, for a web server of the program.

    control_point = ControlPoint(
        listen=False, callback_url="http://192.168.1.5:8000/events/{token}"
    )
    app = Starlette(routes=[Mount("/events", application(control_point))])

The web server reads the bytes of a request and writes those of its answer. Between the two, the
code of our own listener judges the request: its parser reads the head once more, the body has the
caps and the deadline of :class:`propchange.Limits`, and ``receive()`` makes the answer.
``docs/own-web-server.md`` says which guards are those of the web server.

The application is called in the loop in which the control point or the device was entered.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import quote

from propchange.asyncio.control_point import ControlPoint
from propchange.asyncio.host import HostedDevice
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.wire.messages import Endpoint, Request, Response, parse_address
from propchange.core.wire.refusals import CONNECTION_ENDED, Refusal, stalled, unread
from propchange.driver.passed_bodies import PassedBodies
from propchange.driver.reporting import Warnings, logger_named
from propchange.errors import RemoteProtocolError
from propchange.http.encode import response_headers
from propchange.http.passed_head import judge_passed_head

__all__ = ["application"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_NOBODY = Endpoint("", 0)
_PATH_CHARACTERS = "/:@!$&'()*+,;="  # that a path may have beside letters, digits and "-._~"
_logger = logger_named("propchange.http")


def application(of: ControlPoint | HostedDevice) -> Application:
    """An ASGI 3 application that passes requests to ``of``: a control point with ``callback_url``,
    or a device that is hosted with ``url``.

    It answers HTTP, with 503 before ``of`` is entered, and refuses websockets. If it is what the
    server runs, and not a part of another application, it enters ``of`` when the server starts and
    leaves it when the server ends, unless the program has entered it before.

    Raises TypeError for another object, for example of :mod:`propchange.twisted`, and ValueError
    for a control point without ``callback_url`` and a device without ``url``."""
    if not isinstance(of, (ControlPoint, HostedDevice)):
        raise TypeError(
            "application() takes a propchange.ControlPoint, or what propchange.host() returns, "
            f"not {of!r}"
        )
    if of._passed_url is None:
        is_device = isinstance(of, HostedDevice)
        missing = (
            'url="http://192.168.1.5:8000/upnp"'
            if is_device
            else ('callback_url="http://192.168.1.5:8000/events/{token}"')
        )
        raise ValueError(
            f"{of!r} does not know where your web server is: give it listen=False and {missing}"
        )

    warnings = Warnings(_logger)

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            if of._passed_bodies is None:
                line = f"requests are answered with 503 until the program enters {of!r}: async with"
                warnings.warn("not entered", line)
            await _ASGIExchange(of, scope, receive, send).run()
        elif kind == "lifespan":
            await _run_lifespan(of, receive, send)
        elif kind == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000, "reason": ""})
        else:
            raise ValueError(f"this application serves http and lifespan, not {kind!r}")

    return serve


async def _run_lifespan(of: ControlPoint | HostedDevice, receive: Receive, send: Send) -> None:
    """Enter ``of`` and leave it with the server, unless the program has entered it."""
    await receive()  # lifespan.startup
    # Who has left it cannot enter it again: the server ends with that reason.
    enters = of._passed_bodies is None or of._has_ended
    if enters:
        try:
            await of.__aenter__()
        except Exception as error:  # noqa: BLE001 - the server logs it, and ends
            message = f"{type(error).__name__}: {error}"
            await send({"type": "lifespan.startup.failed", "message": message})
            return
    try:
        await send({"type": "lifespan.startup.complete"})
        await receive()  # lifespan.shutdown
    finally:
        if enters:
            await of.close()
    await send({"type": "lifespan.shutdown.complete"})


def _read_scope(scope: Scope, *, below_mount: bool) -> Request:
    """The request as the web server describes it, without its body. ``below_mount``: without the
    path at which the application is mounted, if the server says it."""
    path: bytes = scope.get("raw_path") or quote(scope["path"], _PATH_CHARACTERS).encode()
    mount = quote(scope.get("root_path", ""), _PATH_CHARACTERS).encode()
    if below_mount and path.startswith(mount + b"/"):
        path = path.removeprefix(mount)
    query = scope.get("query_string") or b""
    target = b"%b?%b" % (path, query) if query else path
    headers = [(bytes(name), bytes(value)) for name, value in scope["headers"]]
    authority = [value for name, value in headers if name == b":authority"]
    headers = [pair for pair in headers if not pair[0].startswith(b":")]
    if authority and all(name.lower() != b"host" for name, _ in headers):
        headers.insert(0, (b"host", authority[0]))
    return Request(
        scope["method"],
        target.decode("latin-1"),
        headers,
        peer=_endpoint(scope.get("client")),
        local=_endpoint(scope.get("server")),
        http_version=scope.get("http_version", "1.1"),
    )


def _endpoint(address: Any) -> Endpoint | None:
    """One end of the connection; None if the server does not know it, or names no IP address."""
    try:
        host, port = address
        parse_address(host)
        return Endpoint.of(host, int(port))
    except (TypeError, ValueError):
        return None


class _ASGIExchange:
    """One request and its answer (a :class:`.PassedBody`)."""

    def __init__(
        self,
        of: ControlPoint | HostedDevice,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        self._of = of
        self._is_entered = of._passed_bodies is not None
        self._bodies = of._passed_bodies or PassedBodies(DEFAULT_LIMITS, time.monotonic)
        self._limits = self._bodies.limits
        self._receive = receive
        self._send = send
        # A path of a device has no secret, so the mount is taken off. A token may be in root_path.
        self._request = _read_scope(scope, below_mount=isinstance(of, HostedDevice))
        self._http_1 = self._request.http_version.startswith("1.")
        self._unread = True  # a part of the body may not have come
        self._was_cut = False
        self._deadline: asyncio.Timeout
        self._is_shed = False
        self.held_bytes = 0
        self.peer = self._request.peer or _NOBODY
        self.transport = self

    async def run(self) -> None:
        """Receive the request, and answer it."""
        if not self._is_entered:
            await self._answer(self._refusal(503))
            return
        try:
            if not await self._read():
                return
            self._unread = False
            response = await self._judged()
        except RemoteProtocolError as error:
            response = self._refused(error)
        finally:
            self._bodies.forget(self)
        await self._answer(response)

    # --- the request ---

    async def _read(self) -> bool:
        """Judge the head, then receive the body. Returns False if the peer has gone. Raises
        RemoteProtocolError for a request that is refused before it is whole."""
        self._request, length = judge_passed_head(self._request, self._limits)
        if length == 0:
            return True
        if not self._bodies.admit(self):
            raise RemoteProtocolError("there is no room for its body", status=503)
        try:
            async with asyncio.timeout(self._limits.read_seconds) as self._deadline:
                return await self._read_body()
        except TimeoutError:
            self._raise_if_shed()
            raise RemoteProtocolError("it was not complete in time", status=408) from None

    async def _read_body(self) -> bool:
        loop, limits = asyncio.get_running_loop(), self._limits
        body = bytearray()
        more = True
        while more:
            stall = loop.call_later(limits.stall_seconds, self._stalled)
            try:
                message = await self._receive()
            finally:
                stall.cancel()
            if message["type"] == "http.disconnect":
                self._cut(CONNECTION_ENDED)
                return False
            self._unread = more = message.get("more_body", False)
            body += message.get("body") or b""
            if len(body) > limits.body_bytes:
                raise RemoteProtocolError("the body is too large", status=413)
            self._bodies.hold(self, len(body))
            self._raise_if_shed()
        self._bodies.complete(self)
        self._request.body = bytes(body)
        return True

    def shed(self) -> None:
        """Receive no more, and answer with 503."""
        self._is_shed = True
        if not self._deadline.expired():
            self._deadline.reschedule(asyncio.get_running_loop().time())

    def _raise_if_shed(self) -> None:
        if self._is_shed:
            reason = "too many requests, or bytes of them, are under way; try again later"
            raise RemoteProtocolError(reason, status=503)

    def _stalled(self) -> None:
        self._cut(stalled(self._limits.stall_seconds))

    def _cut(self, refusal: Refusal) -> None:
        """Report once that the request does not come whole."""
        if not self._was_cut:
            self._was_cut = True
            self._bodies.cut(self._request, refusal)

    def _refused(self, error: RemoteProtocolError) -> Response:
        status, reason = error.status or 400, str(error)
        self._cut(unread(status, reason))
        _logger.debug("a request from %s was refused: %s", self._request.peer, reason)
        return self._refusal(status)

    def _refusal(self, status: int) -> Response:
        return self._bodies.refuse(status, self._request.http_version)

    # --- the answer ---

    async def _judged(self) -> Response:
        try:
            answer = self._of.receive(self._request)
            return answer if isinstance(answer, Response) else await answer
        except Exception:  # noqa: BLE001 - it is logged
            self._bodies.warnings.exception("answer", f"no answer was made to {self._request!r}")
            return self._refusal(500)

    async def _answer(self, response: Response) -> None:
        """Write ``response``, and tell a device whether it has left."""
        of, has_left = self._of, False
        try:
            if response.receipt is None or not await self._peer_has_gone():
                async with asyncio.timeout(self._limits.answer_seconds):
                    await self._write(response)
                has_left = True
        except OSError as error:  # also that it took too long
            _logger.debug("no answer could be sent to %s: %s", self._request.peer, error)
        finally:
            if response.receipt is not None and isinstance(of, HostedDevice):
                (of.response_sent if has_left else of.response_lost)(response)

    async def _write(self, response: Response) -> None:
        headers = response_headers(response, connection=self._http_1)
        start = {"type": "http.response.start", "status": response.status, "headers": headers}
        await self._send(start)
        body = b"" if self._request.method == "HEAD" else response.body
        if self._unread:
            # Else a server might reset the connection, which would destroy the answer.
            await self._send({"type": "http.response.body", "body": body, "more_body": True})
            await self._linger()
            body = b""
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def _linger(self) -> None:
        """Receive and drop the rest of a body that is not read, for a bounded time."""
        dropped = 0
        try:
            async with asyncio.timeout(self._limits.linger_seconds):
                while dropped <= self._limits.body_bytes:
                    message = await self._receive()
                    if not message.get("more_body", False):
                        return
                    dropped += len(message.get("body") or b"")
        except TimeoutError:
            return

    async def _peer_has_gone(self) -> bool:
        """Whether the server knows that the peer has gone, so that an answer cannot arrive."""
        if b"expect" in self._request.fields:  # a server answers 100 Continue to who receives
            return False
        while True:
            receiving = asyncio.ensure_future(self._receive())
            await asyncio.sleep(0)
            if not receiving.done():
                receiving.cancel()
                return False
            if receiving.result()["type"] == "http.disconnect":
                return True
