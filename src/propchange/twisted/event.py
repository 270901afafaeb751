"""Events, with the names of Cohen3's ``coherence.upnp.core.event``, on the rules of the core.

:class:`EventServer` takes the NOTIFY requests of a control point and :class:`Event` is what is in
one; :class:`EventSubscriptionServer` takes the SUBSCRIBE and UNSUBSCRIBE requests of a service;
:func:`subscribe` and :func:`unsubscribe` send them, over an :class:`EventProtocol`;
:func:`send_notification` sends events, over a :class:`NotificationProtocol`.

All of it may be used without Cohen3. To put it in the place of Cohen3's, call
:func:`propchange.twisted.install` before Cohen3 is imported.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any
from urllib.parse import urljoin, urlsplit

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from propchange.core.headers import is_infinite, parse_sid, parse_timeout
from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.messages import Endpoint, Request, Response
from propchange.core.propertyset import parse_propertyset
from propchange.core.rules import (
    Refusal,
    SubscriberPolicy,
    judge_notify,
    notify_response,
    refusal_response,
)
from propchange.core.subscribing import (
    addressed_to,
    http_url,
    leads_inside,
    redirect_url,
    renewal_message,
    subscribe_message,
    unsubscribe_message,
)
from propchange.core.timing import backoff
from propchange.errors import LocalProtocolError, PropchangeError, RemoteProtocolError
from propchange.twisted.contents import Event
from propchange.twisted.courses import course_of, renewable
from propchange.twisted.deliveries import NotificationProtocol
from propchange.twisted.dispatching import EventDispatcher, Logger
from propchange.twisted.exchanges import Exchange, connect
from propchange.twisted.messages import OK, answer, answer_at_once, read_body, read_request
from propchange.twisted.notifying import PeerResponse, send_notification
from propchange.twisted.reactors import Reactor, default_reactor
from propchange.twisted.reporting import product
from propchange.twisted.subscriptions import EventSubscriptionServer

__all__ = [
    "Event",
    "EventProtocol",
    "EventServer",
    "EventSubscriptionServer",
    "NotificationProtocol",
    "PeerResponse",
    "endpoint_of_url",
    "hostname",
    "own_delivery_url",
    "send_notification",
    "subscribe",
    "unsubscribe",
    "web_server_port",
]

hostname: str | None = None
"""The host that delivery URLs name, as the latest :class:`EventServer` found it."""

web_server_port: int | None = None
"""The port that delivery URLs name, as the latest :class:`EventServer` found it."""

_server: EventServer | None = None

_RECEIVED = "event_server_message_received"

_NOTIFY = "UDA 2.0 §4.3.2"

_POLICY = SubscriberPolicy(shared_path="/events", user_agent=product("1.1"))

_INFINITE_SECONDS = 1800
"""An infinite grant is renewed as if it were this: else a device that forgot it goes unnoticed."""


class EventServer(EventDispatcher, Resource, Logger):
    """The web resource that a control point's events arrive at, all on one path.

    Uses ``control_point.coherence``: its ``add_web_resource("events", self)``, ``hostname`` and
    ``web_server_port``, from which the delivery URL is made. Judges each NOTIFY (200, 400, 412,
    413 by UDA 2.0 §4.3.2) and gives an :class:`Event` to ``control_point.propagate``.

    A SID is known when :func:`subscribe` has been granted it, or when it stands in the table of
    Cohen3, for a control point of Cohen3's. A control point that nothing was ever subscribed
    for is given every event, since there is no table that could tell. An event that comes before
    the answer to its SUBSCRIBE is held until then.

    Dispatches ``event_server_message_received(command, headers, data)`` for each request:
    ``command`` is ``{"method": …, "path": …}``, ``headers`` those of the request. What a
    listener or the control point raises is logged and never changes the answer.

    A control point with a ``receive_notify(request)`` of its own, as
    :class:`propchange.twisted.ControlPoint` is one, answers by itself.
    """

    isLeaf = True
    logCategory = "event_server"

    def __init__(
        self,
        control_point: Any,
        *,
        policy: SubscriberPolicy = _POLICY,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        global hostname, web_server_port, _server  # noqa: PLW0603 - the API that is carried on
        Resource.__init__(self)  # type: ignore[no-untyped-call] # Twisted's
        EventDispatcher.__init__(self)
        self.register_event(_RECEIVED)
        self.control_point = control_point
        self.coherence = control_point.coherence
        self._policy = policy
        self._limits = limits
        self._own = getattr(control_point, "receive_notify", None)
        self._granted: set[str] = set()
        self._ever_granted = False
        self._subscribing = 0
        self._early: list[Event] = []
        self.coherence.add_web_resource("events", self)
        hostname = self.coherence.hostname
        web_server_port = self.coherence.web_server_port
        _server = self
        self.info("events arrive at %s", _callback())

    def render(self, request: Any) -> bytes | int:
        """Answer a request of any method, as a site asks for it."""
        response, message = self._judge(request)
        # The answer to most events is the same few bytes.
        usual = response.status == 200 and message.keep_alive and message.http_version == "1.1"
        if usual and answer_at_once(request, OK):
            return NOT_DONE_YET
        return answer(request, response)

    def render_NOTIFY(self, request: Any) -> bytes:
        """Answer a NOTIFY: the status is in ``request``, the result the empty body."""
        response, _ = self._judge(request)
        return answer(request, response)

    def _judge(self, request: Any) -> tuple[Response, Request]:
        body = read_body(request, self._limits)
        data = body if isinstance(body, bytes) else b""
        if self.event_dispatcher_event_callbacks[_RECEIVED]:
            command = {"method": request.method, "path": request.path}
            self.dispatch_event(_RECEIVED, command, request.requestHeaders.copy(), data)
        message = read_request(request, data)
        if isinstance(body, Refusal):
            verdict: Refusal | None = body
        elif self._own is not None:
            return self._own(message), message
        else:
            # The delivery URL is this resource itself, and nothing below it or asked of it.
            exact = not getattr(request, "postpath", ()) and b"?" not in request.uri
            verdict = self._receive(message, exact)
        if verdict is None:
            return notify_response(self._policy, message), message
        self.info("%s answered %d: %s", message, verdict.status, verdict.reason)
        return refusal_response(verdict, self._policy, message), message

    def _receive(self, message: Request, exact: bool) -> Refusal | None:
        verdict = judge_notify(message, self._policy, _advertised())
        if isinstance(verdict, Refusal):
            return verdict
        if not exact:
            return Refusal(412, f"{message.target[:80]!a} is no delivery URL", _NOTIFY)
        sid = verdict.sid
        known = self._knows(sid)
        early = not known and self._subscribing > 0
        if known is False and not early:
            return Refusal(412, f"{sid} is no subscription of this control point", _NOTIFY)
        try:
            pairs = parse_propertyset(verdict.body, self._limits)
        except RemoteProtocolError as error:
            return Refusal(error.status, str(error.args[0]), error.clause)
        event = Event.of(sid, verdict.body, pairs)
        if early:
            if not self._has_room(sid):
                return Refusal(412, f"no room for an early event of {sid}", _NOTIFY)
            self._early.append(event)
        else:
            self._propagate(event)
        return None

    def _has_room(self, sid: str) -> bool:
        most = self._limits.early_messages
        return len(self._early) < most * self._subscribing and (
            sum(event.get_sid() == sid for event in self._early) < most
        )

    def _propagate(self, event: Event) -> None:
        if not event:
            return
        try:
            self.control_point.propagate(event)
        except Exception:  # noqa: BLE001 - an application's fault is not the device's
            self.exception("the control point failed at an event of %s", event.get_sid())

    def _knows(self, sid: str) -> bool | None:
        """Whether there is such a subscription; None when there is no table that could tell."""
        table = _cohen3_table(self.control_point)
        if table is not None:
            return sid in table
        return sid in self._granted if self._ever_granted else None

    # --- what subscribe() tells ---

    def subscribing(self) -> None:
        """A SUBSCRIBE is on its way: events may overtake its answer."""
        self._subscribing += 1

    def settled(self) -> None:
        """A SUBSCRIBE has been answered, or never will be."""
        self._subscribing -= 1
        if not self._subscribing:
            self._early.clear()

    def granted(self, sid: str) -> None:
        """``sid`` has been granted: here is what came too early."""
        self._granted.add(sid)
        self._ever_granted = True
        early = [event for event in self._early if event.get_sid() == sid]
        self._early = [event for event in self._early if event.get_sid() != sid]
        for event in early:
            self._propagate(event)

    def forget(self, sid: str) -> None:
        """``sid`` is no longer granted."""
        self._granted.discard(sid)


def _cohen3_table(control_point: Any) -> dict[str, Any] | None:
    """Cohen3's dict of SID -> service, if ``control_point`` is one of Cohen3's."""
    module = sys.modules.get("coherence.upnp.devices.control_point")
    kind = getattr(module, "ControlPoint", None)
    if kind is None or not isinstance(control_point, kind):
        return None
    table: dict[str, Any] = sys.modules["coherence.upnp.core.service"].__dict__["subscribers"]
    return table


def _advertised() -> str | None:
    return _authority(hostname, web_server_port)


@lru_cache(maxsize=4)
def _authority(host: str | None, port: int | None) -> str | None:
    if host is None or port is None:
        return None
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def own_delivery_url() -> str | None:
    """The delivery URL of the latest :class:`EventServer`, None before there is one."""
    return None if _advertised() is None else _callback()


def _callback() -> str:
    return f"http://{_advertised()}/events"


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
        if self.renewed not in (None, sid) and _server is not None:
            _server.forget(str(self.renewed))
        service.set_sid(sid)
        timeout = response.fields.get(b"timeout")
        granted: float | None = _INFINITE_SECONDS
        if not is_infinite(timeout):
            granted = parse_timeout(timeout, lenient=True)
        course = course_of(service)
        course.failures = 0
        course.told = renewable(int(granted or min(course.asked or 1800, 1800)))
        try:
            service.set_timeout(course.told)
        finally:
            if _server is not None:
                _server.granted(sid)


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
    server = _server if action == "subscribe" and not sid else None
    if action == "subscribe":
        connection.renewed = sid
        service.event_connection = connection
    elif _server is not None and sid is not None:
        _server.forget(sid)
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
        attempt = connect(reactor, endpoint_of_url(url), asking, limits=limits)
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
            course = course_of(service)
            course.failures += 1
            connection.wait(
                backoff(course.failures, limits),
                lambda: _send(service, action, reactor, limits, persistent=persistent),
            )

    def got(response: Response) -> PeerResponse:
        if action == "subscribe" and response.status != 200 and sid:
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
    course = course_of(service)
    timeout = int(getattr(service, "timeout", 0) or 0)
    if not course.asked or timeout != course.told:
        course.asked = timeout or _POLICY.duration
    duration = course.asked
    if action != "subscribe":
        return unsubscribe_message(url, sid, _POLICY) if sid else None
    if sid:
        return renewal_message(url, sid, _POLICY, duration=duration)
    if _advertised() is None:
        raise LocalProtocolError("no EventServer was made: there is no delivery URL to subscribe")
    return subscribe_message(url, _callback(), _POLICY, duration=duration)


def _text(url: str | bytes) -> str:
    return url.decode("utf-8") if isinstance(url, bytes) else str(url)


def endpoint_of_url(url: str) -> Endpoint:
    """Where to connect to for an http URL; the host may be a name."""
    parts = urlsplit(url)
    host, _, zone = (parts.hostname or "").partition("%")
    return Endpoint(host, parts.port or 80, int(zone) if zone.isdecimal() else 0)


def _sid_known(service: Any) -> str | None:
    sid = service.get_sid()
    return (sid.decode("latin-1") if isinstance(sid, bytes) else sid) or None


def _resubscribe(service: Any, sid: str, reactor: Reactor, limits: Limits) -> None:
    """The device does not know ``sid`` any more (CP-01)."""
    if _server is not None:
        _server.forget(sid)
        table = _cohen3_table(_server.control_point)
        if table is not None and table.get(sid) is service:
            del table[sid]
    service.set_sid(None)
    _send(service, "subscribe", reactor, limits, persistent=True)
