"""SUBSCRIBE, renewal and UNSUBSCRIBE for services as Cohen3 has them.

Such a service keeps its own SID and timeout, and calls :func:`subscribe` to renew. This module
sends the requests, and repeats them; :mod:`.subscription` decides when a fresh subscription
replaces the present one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast
from urllib.parse import urljoin

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from propchange.cohen3 import event_server
from propchange.cohen3.answer import AnswerProtocol, PeerResponse
from propchange.cohen3.event_server import POLICY, delivery_url
from propchange.cohen3.subscription import ServiceSubscription, subscription_of
from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.local_addresses import address_of
from propchange.core.subscriber.judge import granted_sid
from propchange.core.subscriber.requests import (
    addressed_to,
    http_url,
    renewal_message,
    subscribe_message,
    unsubscribe_message,
)
from propchange.core.subscriber.timing import backoff, granted_duration, kept_duration
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.core.wire.urls import host_in
from propchange.driver.own_interfaces import own_addresses
from propchange.driver.requests import Answer, Requests, locate
from propchange.errors import DescriptionError, LocalProtocolError, PropchangeError
from propchange.twisted.runtime import Reactor, TwistedRuntime


class EventProtocol(AnswerProtocol):
    """One request to the event URL of ``service``. ``action`` is "subscribe", for new subscriptions
    and renewals, or "unsubscribe". :meth:`send` sends it. An owner that writes the request
    itself connects this protocol instead, which then reads the answer.

    After a grant it calls ``service.set_sid`` and ``service.set_timeout``. After any other answer
    to a SUBSCRIBE it calls ``service.process_event({})``, which Cohen3's services wait for.
    """

    logCategory = "event_protocol"

    def __init__(
        self,
        service: Any,
        action: str,
        *,
        reactor: Reactor | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        super().__init__(limits.request_seconds, reactor=reactor, limits=limits)
        self.service = service
        self.action = action
        self.waiting = False  # this stands for the pause before the request is sent again
        self._limits = limits
        self._subscribes = action == "subscribe"
        self._afresh = False  # give the present SID back first
        self._given_up = False
        self._renewed: str | None = None
        self._callback = ""
        self._device = ""
        self._sent_at: float | None = None
        self._request: Deferred[Any] | None = None
        # Requests for this service that wait. Each gets whether this one has ended by itself.
        self._finished: list[Deferred[bool]] = []

    def send(self) -> Deferred[PeerResponse | None]:
        """Send the request, as :func:`subscribe` does."""
        return Deferred.fromCoroutine(self._send())

    async def _send(self) -> PeerResponse | None:
        service, subscribes, known = self.service, self._subscribes, subscription_of(self.service)
        outstanding = getattr(service, "event_connection", None)
        if isinstance(outstanding, EventProtocol) and outstanding.waiting:
            self._afresh = subscribes and (self._afresh or outstanding._afresh)
            outstanding.teardown()
        elif subscribes and isinstance(outstanding, EventProtocol):
            turn: Deferred[bool] = Deferred()
            outstanding._finished.append(turn)
            return await self._send() if await turn else None
        url = http_url(urljoin(_text(service.get_base_url()), _text(service.get_event_sub_url())))
        sid = _sid_of(service)
        server = event_server.current
        if not subscribes:
            if sid is None:
                return None
            for over in (sid, known.former):
                if server is not None and over is not None:
                    server.forget(over, known)
            known.ended()
        else:
            self._afresh = self._afresh or (sid is not None and known.is_quiet(self._now()))
            if (sid is None or self._afresh) and delivery_url() is None:
                raise LocalProtocolError("no EventServer was made: there is no delivery URL")
            service.event_connection = self
            if self._afresh and sid is not None:
                if not await self._give_back(url, sid):
                    return None
                sid = None
        self._renewed = sid
        early = server.early if server is not None and subscribes and sid is None else None
        if early is not None:
            early.expect(host_in(url))
        self._sent_at = self._now()
        try:
            message = partial(self._message, url, sid)
            response = await self._ask(url, message, self._limits.request_seconds)
            self.settled(response)
        except (PropchangeError, CancelledError, ValueError) as error:
            # A request that the service or the owner of its Deferred gave up is not sent again.
            given_up = self._given_up or isinstance(error, CancelledError)
            self.settled(error)
            if given_up:
                self.info("%s to %s was given up", self.action, url)
            else:
                self.warning("%s to %s: %s", self.action, url, error)
                if not isinstance(error, DescriptionError):  # it would fail again
                    self._follow_up(url, sid, None)
            return None
        finally:
            if early is not None:
                early.settle()
        self._follow_up(url, sid, response.status)
        return PeerResponse.of(response)

    async def _ask(
        self, url: str, message: Callable[[Endpoint], Request], seconds: float
    ) -> Response:
        """The answer to ``message(local)``, sent to ``url``."""
        requests = Requests(TwistedRuntime(self._reactor), self._limits, own=own_addresses)
        asking = requests.follow(
            url,
            lambda led_to, local: addressed_to(message(local), led_to),
            seconds=seconds,
            giver=_host_of(_text(self.service.get_base_url())),
        )
        self._request = Deferred.fromCoroutine(asking)
        answer: Answer = await self._request
        self._device = answer.peer.host
        return answer.response

    async def _give_back(self, url: str, sid: str) -> bool:
        """Send an UNSUBSCRIBE for ``sid``, which a fresh subscription replaces (CP-01). False if
        the program has given up the fresh subscription."""
        self._forget(sid)
        message = unsubscribe_message(url, sid, POLICY)
        try:
            await self._ask(url, lambda _: message, self._limits.unsubscribe_seconds)
        except CancelledError:
            return False
        except (PropchangeError, ValueError) as error:
            self.info("unsubscribe to %s: %s", url, error)
        return True

    def _forget(self, sid: str) -> None:
        """``sid`` is no longer good."""
        known, server = subscription_of(self.service), event_server.current
        for over in (sid, known.former):
            if server is not None and over is not None:
                server.forget(over, known, self.service)
        known.ended()
        self.service.set_sid(None)

    def _follow_up(self, url: str, sid: str | None, status: int | None) -> None:
        """Send what follows from the end of a SUBSCRIBE, which renewed ``sid`` unless that is None.
        ``status`` is None when there was no answer."""
        service, known = self.service, subscription_of(self.service)
        granted = status == 200 and _sid_of(service) is not None
        if not self._subscribes or granted:
            return
        if sid is not None and status is not None:
            self.warning("%s has forgotten %s: subscribing afresh", url, sid)
            self._forget(sid)
            self._again().begin()
            return
        if _sid_of(service) != sid or getattr(service, "event_connection", None) is not None:
            return  # the service has sent another request meanwhile, which replaces this one
        if sid is None:
            known.failures += 1
            pause = backoff(known.failures, self._limits)
        else:
            left = known.renewal_failed(self._now(), self._limits)
            pause = backoff(known.failures, self._limits) if left is None else left
            if left is None:
                self.warning("%s: no renewal of %s was answered: subscribing afresh", url, sid)
                self._forget(sid)
        self.info("%s is asked again in %.0f s", url, pause)
        self._again().wait(pause)

    def _again(self) -> EventProtocol:
        return EventProtocol(self.service, self.action, reactor=self._reactor, limits=self._limits)

    def wait(self, pause: float) -> None:
        """Send the request in ``pause`` seconds."""
        self.waiting = True
        self.service.event_connection = self
        self._request = deferLater(cast(Any, self.reactor), pause, self._pause_over)
        self._request.addErrback(lambda _: None)  # it was torn down

    def _pause_over(self) -> None:
        self.waiting = False
        self.service.event_connection = None
        self.begin()

    def begin(self) -> None:
        """Send the request. Nothing waits for its answer, so an error is logged."""
        self.send().addErrback(
            lambda failure: self.error("%s: %s", self.action, failure.getErrorMessage())
        )

    def _now(self) -> float:
        return TwistedRuntime(self._reactor).now()

    def _message(self, url: str, sid: str | None, local: Endpoint) -> Request:
        """The request, from the address ``local``."""
        known = subscription_of(self.service)
        timeout = int(getattr(self.service, "timeout", 0) or 0)
        if not known.asked or timeout != known.timeout:
            known.asked = timeout or POLICY.duration
        if not self._subscribes:
            assert sid is not None
            return unsubscribe_message(url, sid, POLICY)
        if sid is not None:
            return renewal_message(url, sid, POLICY, duration=known.asked)
        self._callback = delivery_url(local) or ""
        return subscribe_message(url, self._callback, POLICY, duration=known.asked)

    def teardown(self) -> None:
        """Give the request up, and the connection, unless there was an answer."""
        self._given_up = self._given_up or not self.done
        if self._afresh and self._given_up:
            subscription_of(self.service).repair_given_up()
        request, self._request = self._request, None
        if request is not None:
            request.cancel()
        self.end()
        if getattr(self.service, "event_connection", None) is self:
            self.service.event_connection = None
        while self._finished:
            self._finished.pop(0).callback(not self._given_up)

    def settled(self, result: Response | Exception) -> None:
        """The device has answered, or will not."""
        if isinstance(result, Response):
            if result.status != 200:
                self.warning("%s was answered with %d", self.action, result.status)
            try:
                if self._subscribes:
                    self._inform_service(result)
            except Exception:  # noqa: BLE001 - the connection is to be ended all the same
                self.exception("the service failed at the answer to its SUBSCRIBE")
        self.done = True
        self.teardown()

    def _inform_service(self, response: Response) -> None:
        service, server = self.service, event_server.current
        sid = granted_sid(response, self._renewed)
        if sid is None:
            service.process_event({})
            return
        known = subscription_of(service)
        service.set_sid(sid)
        granted = granted_duration(response.fields.get(b"timeout"), known.asked or POLICY.duration)
        known.granted(
            sid,
            renewed=self._renewed,
            url=urljoin(_text(service.get_base_url()), _text(service.get_event_sub_url())),
            callback=self._callback,
            device=self._device,
            duration=granted,
            sent_at=self._now() if self._sent_at is None else self._sent_at,
            runtime=TwistedRuntime(self._reactor),
            limits=self._limits,
            afresh=partial(_subscribe_afresh, known, self._reactor, self._limits),
            watched=server is not None and server.judges,
        )
        seconds = int(kept_duration(granted, self._limits))
        # Cohen3's services renew 30 s before the end of this time. A grant of less than 60 s is
        # renewed at its half: a service that gets less than 30 s would renew at once, again and
        # again.
        known.timeout = max(seconds, 30 + max(seconds // 2, 1))
        try:
            service.set_timeout(known.timeout)
        finally:
            if server is not None:
                server.granted(sid, known)


def _subscribe_afresh(
    known: ServiceSubscription, reactor: Reactor | None, limits: Limits, pause: float
) -> None:
    """Give the SID of a service back and subscribe afresh, ``pause`` seconds from now."""
    service = known.service
    if service is None:
        return
    another = EventProtocol(service, "subscribe", reactor=reactor, limits=limits)
    another._afresh = True
    outstanding = getattr(service, "event_connection", None)
    if isinstance(outstanding, EventProtocol):
        if not outstanding.waiting:
            another.begin()  # after that request
            return
        outstanding.teardown()
    another.wait(pause)


def subscribe(
    service: Any,
    action: str = "subscribe",
    *,
    reactor: Reactor | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Deferred[PeerResponse | None]:
    """Send a SUBSCRIBE for ``service``: a renewal when ``get_sid()`` gives a SID, else a new one
    with the delivery URL ``http://{hostname}:{web_server_port}/events``. With another ``action``
    send an UNSUBSCRIBE. A 307 is followed (UDA 2.0 §2.1).

    Uses ``service.get_base_url()``, ``get_event_sub_url()``, ``timeout`` (the seconds to ask for,
    0 for 1800), ``get_sid()``, ``set_sid()``, ``set_timeout()`` and ``process_event()``. While a
    SUBSCRIBE is under way its ``event_connection`` is the :class:`EventProtocol`, and a second
    SUBSCRIBE waits.

    The Deferred fires with the device's response, a :class:`PeerResponse`, once the service
    knows of it. Without a response it fires with None, and the reason is logged. A SUBSCRIBE that
    is not granted is sent again, after growing pauses. A renewal without an answer is sent again
    until the SID is given up, at the end of the granted time or after ``limits.renewal_failures``.
    After that, and after a refused renewal, SUBSCRIBE is sent until it is granted.
    ``event_connection.teardown()`` ends the attempts, also during a pause.

    The host of the delivery URL is ``hostname`` if the device can use that: it has the family and
    scope of the connection that carries the SUBSCRIBE. Otherwise the host is the local address of
    that connection.

    Fails with LocalProtocolError when no :class:`EventServer` was made, and with ValueError for a
    URL that is not http.
    """
    return EventProtocol(service, action, reactor=reactor, limits=limits).send()


def unsubscribe(
    service: Any,
    action: str = "unsubscribe",
    *,
    reactor: Reactor | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Deferred[PeerResponse | None]:
    """Send an UNSUBSCRIBE for the SID of ``service``, as :func:`subscribe` does. Without a SID
    nothing is sent, and the Deferred has fired with None."""
    return subscribe(service, action, reactor=reactor, limits=limits)


def _text(url: str | bytes) -> str:
    return url.decode("utf-8") if isinstance(url, bytes) else str(url)


def _host_of(base: str) -> Endpoint | None:
    """The host of the URL ``base`` of a device; None if the host is a name."""
    endpoint = locate(base)
    return None if address_of(endpoint.host) is None else endpoint


def _sid_of(service: Any) -> str | None:
    sid = service.get_sid()
    return (sid.decode("latin-1") if isinstance(sid, bytes) else sid) or None
