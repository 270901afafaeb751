"""SUBSCRIBE, renewal and UNSUBSCRIBE for services as Cohen3 has them.

Such a service keeps its own SID and timeout, and calls :func:`subscribe` to renew. This module
decides when a request is sent again, and when a renewal becomes a new subscription.
"""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import urljoin
from weakref import WeakKeyDictionary

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from propchange.cohen3 import event_server
from propchange.cohen3.answer import AnswerProtocol, PeerResponse
from propchange.cohen3.event_server import POLICY, own_delivery_url
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
from propchange.driver.machine import own_addresses
from propchange.driver.requests import Requests, locate
from propchange.errors import LocalProtocolError, PropchangeError
from propchange.twisted.runtime import Reactor, TwistedRuntime, default_reactor


class _Record:
    """What is remembered of a service: ``asked``, the seconds to ask for; ``timeout``, the latest
    argument of its ``set_timeout``; ``failures``, the number of them since the last grant.

    A service keeps that argument as its ``timeout``. Another value there was written by the
    program, and is asked for from then on."""

    asked = 0
    timeout: int | None = None
    failures = 0


_records: WeakKeyDictionary[Any, _Record] = WeakKeyDictionary()


def _record_of(service: Any) -> _Record:
    return _records.setdefault(service, _Record())


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
        self._persistent = False  # in the place of a renewal: sent again until it is granted
        self._given_up = False
        self._renewed: str | None = None
        self._request: Deferred[Any] | None = None
        # Requests for this service that wait. Each gets whether this one has ended by itself.
        self._finished: list[Deferred[bool]] = []

    def send(self) -> Deferred[PeerResponse | None]:
        """Send the request, as :func:`subscribe` does."""
        return Deferred.fromCoroutine(self._send())

    async def _send(self) -> PeerResponse | None:
        service, subscribes = self.service, self._subscribes
        outstanding = getattr(service, "event_connection", None)
        if isinstance(outstanding, EventProtocol) and outstanding.waiting:
            self._persistent = self._persistent or not service.get_sid()
            outstanding.teardown()
        elif subscribes and isinstance(outstanding, EventProtocol):
            turn: Deferred[bool] = Deferred()
            outstanding._finished.append(turn)
            return await self._send() if await turn else None
        sid = self._renewed = _sid_of(service)
        base = _text(service.get_base_url())
        url = urljoin(base, _text(service.get_event_sub_url()))
        message = self._message(http_url(url), sid)
        if message is None:
            return None
        server = event_server.current
        if server is not None and sid is not None and not subscribes:
            server.forget(sid)
        early = server.early if server is not None and subscribes and sid is None else None
        if early is not None:
            early.expect()
        if subscribes:
            service.event_connection = self
        requests = Requests(TwistedRuntime(self._reactor), self._limits, own=own_addresses)
        self._request = Deferred.fromCoroutine(
            requests.follow(
                url, lambda led_to, _: addressed_to(message, led_to), giver=_host_of(base)
            )
        )
        try:
            response = (await self._request).response
            self.settled(response)
        except (PropchangeError, CancelledError, ValueError) as error:
            # A request that the service or the owner of its Deferred gave up is not sent again.
            given_up = self._given_up or isinstance(error, CancelledError)
            self.settled(error)
            if given_up:
                self.info("%s to %s was given up", self.action, url)
            else:
                self.warning("%s to %s: %s", self.action, url, error)
                self._follow_up(url, sid, None)
            return None
        finally:
            if early is not None:
                early.settle()
        self._follow_up(url, sid, response.status)
        return PeerResponse.of(response)

    def _follow_up(self, url: str, sid: str | None, status: int | None) -> None:
        """Send what follows from the end of a SUBSCRIBE, which renewed ``sid`` unless that is None.
        ``status`` is None when there was no answer."""
        if not self._subscribes:
            return
        service, server = self.service, event_server.current
        refused = sid is not None and status not in (None, 200)
        renews_again = sid is not None and status is None
        wanted = renews_again or (self._persistent and not service.get_sid())
        outstanding = getattr(service, "event_connection", None)
        another = EventProtocol(service, self.action, reactor=self._reactor, limits=self._limits)
        another._persistent = self._persistent or refused
        if sid is not None and refused:
            self.warning("%s has forgotten %s: subscribing afresh", url, sid)
            if server is not None:
                server.forget(sid, service)
            service.set_sid(None)
            another.send()
        # What the service has asked for meanwhile takes the place of this.
        elif wanted and _sid_of(service) == sid and outstanding is None:
            record = _record_of(service)
            record.failures += 1
            pause = backoff(record.failures, self._limits)
            self.info("%s is asked again in %.0f s", url, pause)
            service.event_connection = another
            another.waiting = True
            reactor = cast(Any, self._reactor or default_reactor())
            another._request = deferLater(reactor, pause, another._send_now)
            another._request.addErrback(lambda _: None)  # it was torn down

    def _send_now(self) -> None:
        self.waiting = False
        self.service.event_connection = None
        self.send()

    def _message(self, url: str, sid: str | None) -> Request | None:
        """The request; None for an UNSUBSCRIBE without a SID, which is not sent."""
        record = _record_of(self.service)
        timeout = int(getattr(self.service, "timeout", 0) or 0)
        if not record.asked or timeout != record.timeout:
            record.asked = timeout or POLICY.duration
        if not self._subscribes:
            return unsubscribe_message(url, sid, POLICY) if sid else None
        if sid:
            return renewal_message(url, sid, POLICY, duration=record.asked)
        callback = own_delivery_url()
        if callback is None:
            raise LocalProtocolError("no EventServer was made: there is no delivery URL")
        return subscribe_message(url, callback, POLICY, duration=record.asked)

    def teardown(self) -> None:
        """Give the request up, and the connection, unless there was an answer."""
        self._given_up = self._given_up or not self.done
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
        if server is not None and self._renewed not in (None, sid):
            server.forget(str(self._renewed))
        service.set_sid(sid)
        record = _record_of(service)
        record.failures = 0
        granted = granted_duration(response.fields.get(b"timeout"), record.asked or POLICY.duration)
        seconds = int(kept_duration(granted, self._limits))
        # Cohen3's services renew 30 s before the end of this time. A grant of less than 60 s is
        # renewed at its half: a service that gets less than 30 s would renew at once, again and
        # again.
        record.timeout = max(seconds, 30 + max(seconds // 2, 1))
        try:
            service.set_timeout(record.timeout)
        finally:
            if server is not None:
                server.granted(sid)


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
    knows of it. It fires with None when there was no response. That is logged, and a renewal is
    sent again after a pause. After a renewal that is refused a new subscription is sent until it
    is granted. ``event_connection.teardown()`` ends the attempts, also during a pause.

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
    """The host that a device has in its description; None if it is a name."""
    endpoint = locate(base)
    return None if address_of(endpoint.host) is None else endpoint


def _sid_of(service: Any) -> str | None:
    sid = service.get_sid()
    return (sid.decode("latin-1") if isinstance(sid, bytes) else sid) or None
