"""The requests that a web server of the program passes on to a hosted device or a control point.

The web server reads the bytes of a request, and writes those of its answer. The rest of what
:class:`.ServerConnection` does for a request of our own listener is done here: its size is judged,
an exception becomes a 500, and an action runs to its end even if nobody waits for its answer.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Awaitable, Callable, Collection, Coroutine
from functools import lru_cache
from typing import Any

from propchange.core.limits import Limits
from propchange.core.wire.messages import (
    Endpoint,
    HeaderPairs,
    Request,
    Response,
    parse_address,
)
from propchange.core.wire.refusals import EMPTY, Part, Refusal, judge_size
from propchange.driver.passed_bodies import PassedBodies
from propchange.driver.reporting import Warnings, logger_named
from propchange.driver.runtime import Future, Runtime, Tasks
from propchange.errors import LocalProtocolError, RemoteProtocolError
from propchange.http import encode_response
from propchange.http.requests import origin_form


class PassedRequests:
    """Answers requests by ``respond``. ``sent`` and ``lost`` are called with the responses that
    have left or cannot leave. ``headers`` returns the headers of the answers that are made here,
    ``known`` the addresses with subscriptions. ``excluded`` returns whether an address of this
    machine is on an excluded interface. ``cut`` is that of :class:`.PassedBodies`, and is called
    with each request that is refused here. ``owner`` is the name of the device or control point in
    errors. ``checks``: a program makes some of the answers, so each is checked. Make and use it in
    the thread of the loop, and in the end call :meth:`close`."""

    def __init__(
        self,
        runtime: Runtime,
        respond: Callable[[Request], Response | Awaitable[Response]],
        *,
        limits: Limits,
        known: Callable[[], Collection[str]],
        excluded: Callable[[Endpoint], bool],
        sent: Callable[[Response], object] = lambda _: None,
        lost: Callable[[Response], object] = lambda _: None,
        headers: Callable[[], HeaderPairs] = tuple,
        cut: Callable[[Request, Refusal], object] | None = None,
        owner: str = "hosted",
        checks: bool = True,
    ) -> None:
        self._owner = owner
        self._checks = checks
        self._runtime = runtime
        self._respond = respond
        self._limits = limits
        self._sent = sent
        self._lost = lost
        self._headers = headers
        self._excluded = excluded
        self.thread = threading.get_ident()
        """The ident of the thread of the loop."""
        self._tasks = Tasks(runtime)
        self._warnings = Warnings(logger_named("propchange.http"), limits)
        self._closing = False
        self.bodies = PassedBodies(limits, runtime.now, known=known, cut=cut, headers=headers)
        """The bodies of the requests that are not passed on yet."""

    def receive(self, request: Request) -> Response | Awaitable[Response]:
        """The response to ``request``, or an awaitable of it. Does not raise for what a peer has
        sent. Raises RuntimeError in another thread than that of the loop, and TypeError for what is
        no Request of bytes."""
        self._check_thread("receive", "request")
        _check_request(request, f"{self._owner}.receive()")
        request = as_on_own_listener(request)
        if self._closing:
            return self._refuse(request, 503, "the device has left the network")
        admitted = self._admit(request)
        if isinstance(admitted, Response):
            return admitted
        try:
            answer = self._respond(admitted)
        except Exception:  # noqa: BLE001 - it is logged
            return self._failed(request)
        if isinstance(answer, Response):
            return self._checked(request, answer)
        answered: Future[Response] = self._runtime.future()
        task = self._tasks.start(self._await(request, answer, answered))

        def ended(_: object) -> None:
            if not answered.done():  # it was cancelled, perhaps before it began
                answered.set_result(self._refuse(request, 503, "the device has left the network"))
            if isinstance(answer, Coroutine):
                answer.close()

        task.add_done_callback(ended)
        return answered

    def response_sent(self, response: Response) -> None:
        """All bytes of ``response`` have left. Raises RuntimeError in another thread than that of
        the loop."""
        self._check_thread("response_sent", "response")
        if response.receipt is not None:
            self._sent(response)

    def response_lost(self, response: Response) -> None:
        """``response`` cannot leave. Raises RuntimeError in another thread than that of the
        loop."""
        self._check_thread("response_lost", "response")
        if response.receipt is not None:
            self._lost(response)

    async def close(self) -> None:
        """Answer later requests with 503, and those that wait for their answers too."""
        self._closing = True
        await self._tasks.close()

    def _check_thread(self, method: str, argument: str) -> None:
        if threading.get_ident() != self.thread:
            # It returns no answer, which a web server with threads has to write.
            blocking = ", or propchange.blocking, whose receive() any thread may call"
            raise RuntimeError(
                f"call {self._owner}.{method}() in the thread of its loop; from another thread use "
                f"{self._runtime.from_thread}({self._owner}.{method}, {argument})"
                f"{blocking if method == 'receive' else ''}"
            )

    def _admit(self, request: Request) -> Request | Response:
        """``request`` for its path, or the answer to one that is refused before it is judged."""
        if request.local is not None and self._excluded(request.local):
            return self._refuse(request, 403, "it came to an excluded interface")
        try:
            request = with_target(request, _origin_form(request))
            refusal = judge_size(request, self._limits)
        except RemoteProtocolError as error:
            refusal = Refusal(error.status or 400, str(error), error.clause, Part.FRAMING)
        if refusal is None:
            return request
        self.bodies.cut(request, refusal)
        return self._refuse(request, refusal.status, refusal.reason)

    async def _await(
        self, request: Request, answer: Awaitable[Response], answered: Future[Response]
    ) -> None:
        try:
            response = self._checked(request, await answer)
        except Exception:
            if self._closing:  # it was cancelled
                raise
            response = self._failed(request)
        if not answered.done():
            answered.set_result(response)
        elif response.receipt is not None:  # nobody waits for it
            self._lost(response)

    def _checked(self, request: Request, response: Response) -> Response:
        """``response``, or a 500 instead of one that a program has made and that cannot be
        written."""
        if not self._checks:
            return response
        try:
            encode_response(response, head_only=True)
            size, most = len(response.body), self._limits.write_buffer_bytes
            if size > most:  # as on our own listener
                raise LocalProtocolError(f"it has {size} bytes, and at most {most} are sent")
        except LocalProtocolError:
            if response.receipt is not None:
                self._lost(response)
            return self._failed(request)
        return response

    def _failed(self, request: Request) -> Response:
        self._warnings.exception("answer", f"no answer was made to {request!r}")
        return self._refuse(request, 500, "no answer was made")

    def _refuse(self, request: Request, status: int, reason: str) -> Response:
        self._warnings.logger.debug("%s was answered %d: %s", request.peer, status, reason)
        headers = (*self._headers(), EMPTY)
        return Response(status, headers, http_version=request.http_version, close=True)


def _check_request(request: Any, receiver: str) -> None:
    """Raise TypeError if the program has passed something else than a Request with a method and a
    target of text, and headers and a body of bytes."""
    if not isinstance(request, Request):
        raise TypeError(f"{receiver} takes a propchange.Request, not {type(request).__name__}")
    line: tuple[Any, ...] = (request.method, request.target)
    if not all(isinstance(each, str) for each in line):
        raise TypeError("method and target of a Request are str")
    if not isinstance(request.body, (bytes, bytearray)):
        raise TypeError(f"the body of a Request is bytes, not {type(request.body).__name__}")
    for pair in request.headers:
        match pair:
            case (bytes(), bytes()):
                continue
        raise TypeError(
            'headers of a Request are pairs of bytes such as (b"HOST", b"192.168.1.5:8000"), not '
            f'{pair!r}; of a mapping of str they are [(n.encode("latin-1"), v.encode("latin-1")) '
            "for n, v in headers.items()]"
        )


def as_on_own_listener(request: Request) -> Request:
    """``request`` as our own listener would describe it: its ends have addresses in their shortest
    form, IPv4-mapped ones as IPv4, without zones. An end that has no address is None. A later
    version of HTTP than 1.1 is 1.1."""
    peer, local = _usual(request.peer), _usual(request.local)
    version = "1.0" if request.http_version == "1.0" else "1.1"
    if (peer, local, version) == (request.peer, request.local, request.http_version):
        return request
    return with_changes(request, peer=peer, local=local, http_version=version)


def with_target(request: Request, target: str) -> Request:
    """A copy of ``request`` for another target."""
    return request if target == request.target else with_changes(request, target=target)


def with_changes(request: Request, **changes: Any) -> Request:
    """A copy of ``request`` in which some attributes have other values."""
    values: dict[str, Any] = {name: getattr(request, name) for name in _ATTRIBUTES}
    return Request(**(values | changes))


_ATTRIBUTES = (
    "method", "target", "headers", "body", "peer", "local", "http_version", "keep_alive"
)  # fmt: skip


def _usual(end: Endpoint | None) -> Endpoint | None:
    if end is None:
        return None
    host, _, zone = end.host.partition("%")
    return _endpoint(host, end.port, end.scope or _scope_of(zone) if zone else end.scope)


@lru_cache(maxsize=1024)  # called for each request; ends are few
def _endpoint(host: str, port: int, scope: int) -> Endpoint | None:
    try:
        return Endpoint.of(str(parse_address(host)), port, scope)
    except ValueError:
        return None


def _scope_of(zone: str) -> int:
    try:
        return int(zone) if zone.isdecimal() else socket.if_nametoindex(zone)
    except OSError:  # there is no such interface
        return 0


def _origin_form(request: Request) -> str:
    target = request.target
    if target.startswith("/") or target == "*":
        return target
    return origin_form(request.method, target, request.fields.get(b"host", b""))
