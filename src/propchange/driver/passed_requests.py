"""The requests that a web server of the program passes on to a hosted device.

The web server has read the bytes, and writes the answers. So what :class:`.ServerConnection` does
for the requests of our own listener is done here for one request: its size is judged, exceptions
become a 500, and an answer that takes time runs to its end even if nobody waits for it any more.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Collection

from propchange.core.limits import Limits
from propchange.core.wire.messages import HeaderPairs, Request, Response
from propchange.core.wire.refusals import EMPTY, judge_size
from propchange.driver.passed_bodies import PassedBodies
from propchange.driver.reporting import Warnings, logger_named
from propchange.driver.runtime import Future, Runtime, Tasks, settle


class PassedRequests:
    """Answers requests by ``respond``. ``sent`` and ``lost`` are called with the responses that
    have left or cannot leave. ``headers`` returns the headers of the answers that are made here,
    ``known`` the addresses with subscriptions. Make and use it in the thread of the loop, and in
    the end call :meth:`close`."""

    def __init__(
        self,
        runtime: Runtime,
        respond: Callable[[Request], Response | Awaitable[Response]],
        *,
        limits: Limits,
        sent: Callable[[Response], object],
        lost: Callable[[Response], object],
        headers: Callable[[], HeaderPairs],
        known: Callable[[], Collection[str]],
    ) -> None:
        self._runtime = runtime
        self._respond = respond
        self._limits = limits
        self._sent = sent
        self._lost = lost
        self._headers = headers
        self._thread = threading.get_ident()
        self._tasks = Tasks(runtime)
        self._warnings = Warnings(logger_named("propchange.http"), limits)
        self._closing = False
        self.bodies = PassedBodies(limits, runtime.now, known=known, headers=headers)
        """The bodies of the requests that are not passed on yet."""

    def receive(self, request: Request) -> Response | Awaitable[Response]:
        """The response to ``request``, or an awaitable of it. Does not raise for what a peer has
        sent. Raises RuntimeError in another thread than that of the loop."""
        self._check_thread("receive", "request")
        if self._closing:
            return self._refuse(request, 503)
        refusal = judge_size(request, self._limits)
        if refusal is not None:
            return self._refuse(request, refusal.status)
        try:
            answer = self._respond(request)
        except Exception:  # noqa: BLE001 - it is logged
            return self._failed(request)
        if isinstance(answer, Response):
            return answer
        answered: Future[Response] = self._runtime.future()
        self._tasks.start(self._await(request, answer, answered))
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
        """Answer later requests with 503. Answers that are not made yet are 503 too."""
        self._closing = True
        await self._tasks.close()

    def _check_thread(self, method: str, argument: str) -> None:
        if threading.get_ident() != self._thread:
            raise RuntimeError(
                f"call {method}() in the thread of the loop of the device; from another thread use "
                f"{self._runtime.from_thread}(hosted.{method}, {argument})"
            )

    async def _await(
        self, request: Request, answer: Awaitable[Response], answered: Future[Response]
    ) -> None:
        try:
            response = await answer
        except Exception:  # noqa: BLE001 - it is logged
            response = self._failed(request)
        except BaseException:  # it was cancelled
            settle(answered, self._refuse(request, 503))
            raise
        if not answered.done():
            answered.set_result(response)
        elif response.receipt is not None:  # nobody waits for it
            self._lost(response)

    def _failed(self, request: Request) -> Response:
        self._warnings.exception("answer", f"no answer was made to {request!r}")
        return self._refuse(request, 500)

    def _refuse(self, request: Request, status: int) -> Response:
        headers = (*self._headers(), EMPTY)
        return Response(status, headers, http_version=request.http_version, close=True)
