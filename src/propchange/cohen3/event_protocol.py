"""SUBSCRIBE and UNSUBSCRIBE for services as Cohen3 has them, which keep their own SID and timeout:
the half of :mod:`propchange.twisted.event` that asks devices.

A service renews by itself and calls :func:`subscribe` for it. What that cannot know is here: when
it must be tried again, and when it must be a new subscription. Each is logged with its reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin
from weakref import WeakKeyDictionary

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from propchange.cohen3 import event_server
from propchange.cohen3.dispatcher import Logger
from propchange.cohen3.event_server import POLICY, own_delivery_url
from propchange.cohen3.notification import PeerResponse
from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.subscriber.requests import (
    addressed_to,
    http_url,
    leads_inside,
    redirect_url,
    renewal_message,
    subscribe_message,
    unsubscribe_message,
)
from propchange.core.subscriber.timing import backoff
from propchange.core.wire.headers import is_infinite, parse_sid, parse_timeout
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.errors import LocalProtocolError, PropchangeError
from propchange.twisted.exchanges import Exchange, connect
from propchange.twisted.reactors import Reactor, default_reactor
from propchange.twisted.requests import locate

__all__ = ["EventProtocol", "subscribe", "unsubscribe"]

_INFINITE_SECONDS = 1800
"""An infinite grant is renewed as if it were this: else a device that forgot it goes unnoticed."""


_RENEWED_BEFORE = 30
"""Cohen3's services renew so many seconds before the time that ``set_timeout`` is told."""


@dataclass(eq=False, slots=True)
class _Course:
    """What is remembered of a service from one SUBSCRIBE to the next. Its ``timeout`` is what it
    was told last, which says when to renew and not how long to ask for."""

    asked: int = 0
    told: int | None = None
    failures: int = 0


_courses: WeakKeyDictionary[Any, _Course] = WeakKeyDictionary()


def _course_of(service: Any) -> _Course:
    """The course of ``service``, the same each time, for as long as the service is there."""
    return _courses.setdefault(service, _Course())


def _renewable(seconds: int) -> int:
    """What to tell a service that renews :data:`_RENEWED_BEFORE` seconds before the end, so that
    it renews at half of a short grant: it would renew one below 30 s at once, and again at once."""
    if seconds >= 2 * _RENEWED_BEFORE:
        return seconds
    return _RENEWED_BEFORE + max(seconds // 2, 1)


class EventProtocol(Exchange, Logger):
    """A connection to the event URL of ``service``, for one request: ``action`` is "subscribe",
    for new subscriptions and renewals, or "unsubscribe".

    The answer may come in any number of chunks. A grant is told with ``service.set_sid`` and
    ``service.set_timeout``; any other answer to a SUBSCRIBE with ``service.process_event({})``,
    which is what Cohen3's services wait for.
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
        Exchange.__init__(self, reactor=reactor, limits=limits)
        self.service = service
        self.action = action
        self.attempt: Deferred[Any] | None = None
        self.finished: list[Deferred[bool]] = []
        self.given_up = False
        self.renewed: str | None = None
        self.url = ""
        self.redirects = 0
        self.led_to: str | None = None
        self._again: Any = None

    @property
    def waiting(self) -> bool:
        """Whether nothing is under way but a pause until the next attempt."""
        return self._again is not None

    def wait(self, seconds: float, attempt: Callable[[], object]) -> None:
        """Call ``attempt`` after ``seconds``, unless torn down before: until then this object is
        the ``event_connection`` of the service."""

        def begin() -> None:
            self.teardown()
            attempt()

        self.service.event_connection = self
        self._again = (self._reactor or default_reactor()).callLater(seconds, begin)

    def teardown(self) -> None:
        """End the connection, whatever is under way on it, and the attempts to come."""
        self.given_up = self.given_up or not self.done
        again, self._again = self._again, None
        if again is not None and again.active():
            again.cancel()
        attempt, self.attempt = self.attempt, None
        if self.transport is None and attempt is not None:
            attempt.cancel()
        self.end()
        if getattr(self.service, "event_connection", None) is self:
            self.service.event_connection = None
        finished, self.finished = self.finished, []
        for waiting in finished:
            waiting.callback(not self.given_up)

    def go_on(self, other: EventProtocol) -> None:
        """``other`` stands for this one from here on: this one's request goes to where
        :attr:`led_to` says."""
        other.redirects = self.redirects - 1
        other.renewed = self.renewed
        other.finished, self.finished = self.finished, []
        if getattr(self.service, "event_connection", None) is self:
            self.service.event_connection = other

    def answered(self, response: Response) -> None:
        """The device has answered."""
        if self.redirects and not self.given_up:
            self.led_to = redirect_url(self.url, response)
            if self.led_to is not None:
                self.end()
                super().answered(response)
                return
        if response.status != 200:
            self.warning("%s was answered with %d", self.action, response.status)
        if self.action == "subscribe":
            try:
                self._take(response)
            except Exception:  # noqa: BLE001 - the connection is to be ended all the same
                self.exception("the service failed at the answer to its SUBSCRIBE")
        self.done = True
        self.teardown()
        super().answered(response)

    def broken(self, error: PropchangeError) -> None:
        """The device will not answer."""
        self.debug("%s: %s", self.action, error)
        self.done = True
        self.teardown()
        super().broken(error)

    def _take(self, response: Response) -> None:
        service = self.service
        sid = _sid_of(response)
        if sid is None and response.status == 200 and b"sid" not in response.fields:
            sid = self.renewed  # a renewal that was granted in few words
        if sid is None:
            service.process_event({})
            return
        server = event_server.current
        if self.renewed not in (None, sid) and server is not None:
            server.forget(str(self.renewed))
        service.set_sid(sid)
        timeout = response.fields.get(b"timeout")
        granted: float | None = _INFINITE_SECONDS
        if not is_infinite(timeout):
            granted = parse_timeout(timeout, lenient=True)
        course = _course_of(service)
        course.failures = 0
        course.told = _renewable(int(granted or min(course.asked or 1800, 1800)))
        try:
            service.set_timeout(course.told)
        finally:
            if server is not None:
                server.granted(sid)


def _sid_of(response: Response) -> str | None:
    """The SID that ``response`` grants, None when it grants none."""
    if response.status != 200:
        return None
    try:
        return parse_sid(response.fields.get(b"sid"))
    except ValueError:
        return None


def subscribe(
    service: Any,
    action: str = "subscribe",
    *,
    reactor: Reactor | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Deferred[PeerResponse | None]:
    """Send a SUBSCRIBE for ``service``: a renewal when ``get_sid()`` gives a SID, else a new one
    with the delivery URL ``http://{hostname}:{web_server_port}/events``. With another ``action``
    send an UNSUBSCRIBE.

    Uses ``service.get_base_url()``, ``get_event_sub_url()``, ``timeout`` (the seconds to ask for,
    0 for 1800), ``get_sid()``, ``set_sid()``, ``set_timeout()``, ``process_event()`` and
    ``event_connection``, which is the :class:`EventProtocol` while a SUBSCRIBE is under way; a
    second one waits for it. A 307 is followed (UDA 2.0 §2.1).

    The Deferred fires with the device's response, a :class:`PeerResponse`, once the service
    knows of it; with None when there was none, which is logged, and, for a renewal, tried again.
    A renewal that is refused is followed by a new subscription, which is tried until it is granted.
    Between the attempts ``event_connection`` waits; its ``teardown()`` ends them. Fails with
    LocalProtocolError when there is no :class:`EventServer` to name, ValueError for what is no
    http URL.
    """
    return _send(service, action, reactor or default_reactor(), limits)


def _send(
    service: Any, action: str, reactor: Reactor, limits: Limits, *, persistent: bool = False
) -> Deferred[PeerResponse | None]:
    """As :func:`subscribe`; ``persistent`` tries a new subscription again, too."""
    outstanding = getattr(service, "event_connection", None)
    if isinstance(outstanding, EventProtocol) and outstanding.waiting:
        persistent = persistent or not service.get_sid()
        outstanding.teardown()
    elif action == "subscribe" and isinstance(outstanding, EventProtocol):
        turn: Deferred[bool] = Deferred()
        outstanding.finished.append(turn)
        return turn.addCallback(
            lambda goes_on: (
                _send(service, action, reactor, limits, persistent=persistent) if goes_on else None
            )
        )
    sid = _sid_known(service)
    try:
        url = http_url(urljoin(_text(service.get_base_url()), _text(service.get_event_sub_url())))
        request = _message(service, action, url, sid)
    except (ValueError, LocalProtocolError):
        return fail(Failure())  # type: ignore[no-untyped-call] # Twisted's
    if request is None:
        return succeed(None)
    connection = EventProtocol(service, action, reactor=reactor, limits=limits)
    connection.redirects = limits.redirects
    latest = event_server.current
    server = latest if action == "subscribe" and not sid else None
    if action == "subscribe":
        connection.renewed = sid
        service.event_connection = connection
    elif latest is not None and sid is not None:
        latest.forget(sid)
    if server is not None:
        server.subscribing()

    def ask(
        asking: EventProtocol,
        url: str,
        message: Request,
        led: Response | None = None,
        asked: Endpoint | None = None,
    ) -> Deferred[Any]:
        asking.url = url
        attempt = connect(reactor, locate(url).endpoint, asking, limits=limits)
        asking.attempt = attempt

        def send(_: object) -> Any:
            if led is not None and asked and asking.peer and leads_inside(asked, asking.peer):
                asking.redirects = 0
                asking.answered(led)
                return led
            return asking.request(message)

        return attempt.addCallback(send).addCallback(go_on)

    def go_on(response: Response) -> Any:
        nonlocal connection
        led_to = connection.led_to
        if led_to is None:
            return response
        before, connection = (
            connection,
            EventProtocol(service, action, reactor=reactor, limits=limits),
        )
        before.go_on(connection)
        return ask(connection, led_to, addressed_to(request, led_to), response, before.peer)

    done = ask(connection, url, request)

    def settled(result: Any) -> Any:
        if server is not None:
            server.settled()
        return result

    def again(wanted_sid: str | None) -> None:
        # What somebody has asked for meanwhile takes the place of this.
        outstanding = getattr(service, "event_connection", None)
        if _sid_known(service) == wanted_sid and outstanding is None:
            course = _course_of(service)
            course.failures += 1
            pause = backoff(course.failures, limits)
            connection.info("%s is asked again in %.0f s", url, pause)
            connection.wait(
                pause,
                lambda: _send(service, action, reactor, limits, persistent=persistent),
            )

    def got(response: Response) -> PeerResponse:
        if action == "subscribe" and response.status != 200 and sid:
            connection.warning("%s has forgotten %s: subscribing afresh", url, sid)
            _resubscribe(service, sid, reactor, limits)
        elif persistent and action == "subscribe" and not sid and not service.get_sid():
            again(None)
        return PeerResponse.of(response)

    def failed(failure: Failure) -> None:
        given_up = connection.given_up  # by the service, which may be gone
        connection.done = True
        connection.teardown()
        connection.warning("%s to %s: %s", action, url, failure.getErrorMessage())
        if action == "subscribe" and (sid or persistent) and not given_up:
            again(sid)

    # Its own, which has fired when the answer is there and not before.
    answered: Deferred[PeerResponse | None] = Deferred(lambda _: connection.teardown())
    done.addBoth(settled).addCallbacks(got, failed)
    done.addBoth(lambda result: None if answered.called else answered.callback(result))
    return answered


def unsubscribe(
    service: Any,
    action: str = "unsubscribe",
    *,
    reactor: Reactor | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Deferred[PeerResponse | None]:
    """Send an UNSUBSCRIBE for the SID of ``service``; as :func:`subscribe`. Without a SID there is
    nothing to send, and the Deferred has fired with None."""
    return subscribe(service, action, reactor=reactor, limits=limits)


def _message(service: Any, action: str, url: str, sid: str | None) -> Request | None:
    course = _course_of(service)
    timeout = int(getattr(service, "timeout", 0) or 0)
    if not course.asked or timeout != course.told:
        course.asked = timeout or POLICY.duration
    duration = course.asked
    if action != "subscribe":
        return unsubscribe_message(url, sid, POLICY) if sid else None
    if sid:
        return renewal_message(url, sid, POLICY, duration=duration)
    callback = own_delivery_url()
    if callback is None:
        raise LocalProtocolError("no EventServer was made: there is no delivery URL to subscribe")
    return subscribe_message(url, callback, POLICY, duration=duration)


def _text(url: str | bytes) -> str:
    return url.decode("utf-8") if isinstance(url, bytes) else str(url)


def _sid_known(service: Any) -> str | None:
    sid = service.get_sid()
    return (sid.decode("latin-1") if isinstance(sid, bytes) else sid) or None


def _resubscribe(service: Any, sid: str, reactor: Reactor, limits: Limits) -> None:
    """The device does not know ``sid`` any more (CP-01)."""
    server = event_server.current
    if server is not None:
        server.lose(sid, service)
    service.set_sid(None)
    _send(service, "subscribe", reactor, limits, persistent=True)
