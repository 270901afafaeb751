"""The side of a control point that hears events: EventServer, its events and its delivery URL."""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from propchange.cohen3.dispatcher import EventDispatcher, Logger
from propchange.cohen3.subscription import ServiceSubscription
from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.local_addresses import address_of
from propchange.core.subscriber.judge import (
    Notification,
    SubscriberPolicy,
    judge_notify,
    notify_response,
)
from propchange.core.subscriber.notify_routing import EarlyMessages
from propchange.core.wire.headers import parse_sid
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.core.wire.propertyset import parse_propertyset
from propchange.core.wire.refusals import Refusal, refusal_response
from propchange.driver.machine import product
from propchange.driver.reporting import Warnings, logger_named
from propchange.errors import RemoteProtocolError
from propchange.twisted.messages import (
    EventHead,
    answer,
    answer_ok,
    read_body,
    read_request,
)

POLICY = SubscriberPolicy(shared_path="/events", user_agent=product("1.1"))
"""The policy of an :class:`EventServer` and of :func:`subscribe`, unless another one is given."""

hostname: str | None = None
web_server_port: int | None = None
current: EventServer | None = None
"""The latest :class:`EventServer`, and the host and port of its delivery URLs. None before the
first server."""

_NOTIFY = "UDA 2.0 §4.3.2"


class Event(dict[str, str], Logger):
    """An event message: variable -> text.

    ``elements`` is a parsed propertyset, anything with the ``findall`` of ElementTree. ``raw`` are
    its bytes, which are parsed when there are no ``elements``. Raises RemoteProtocolError when
    ``raw`` alone is given and is no propertyset.
    """

    logCategory = "event"
    ns: ClassVar[str] = "urn:schemas-upnp-org:event-1-0"

    def __init__(
        self, sid: str | bytes, elements: Any = None, raw: bytes | str | None = None
    ) -> None:
        self._sid = sid.decode("latin-1") if isinstance(sid, bytes) else sid
        self.raw = raw
        if elements is not None:
            self.from_elements(elements)
        elif raw is not None:
            body = raw.encode() if isinstance(raw, str) else raw
            self.update(parse_propertyset(body, DEFAULT_LIMITS))

    def get_sid(self) -> str:
        """The SID, a str."""
        return self._sid

    def from_elements(self, elements: Any) -> None:
        """Take over the variables of a parsed propertyset."""
        properties = elements.findall(f"{{{self.ns}}}property")
        if not properties:
            self.warning("an event without properties of the right namespace")
            properties = elements.findall("property")
        for one in properties:
            for variable in one:
                if isinstance(variable.tag, str):  # neither a comment nor an instruction
                    self[variable.tag.rpartition("}")[2]] = variable.text or ""


class _Received(NamedTuple):
    event: Event
    seq: int | None
    source: str


class EventServer(EventDispatcher, Resource, Logger):
    """The web resource that a control point's events arrive at, all on one path.

    Uses ``control_point.coherence``: its ``add_web_resource("events", self)``, ``hostname`` and
    ``web_server_port``, which make the delivery URL. Judges each NOTIFY (200, 400, 412, 413 by UDA
    2.0 §4.3.2) and calls ``control_point.propagate`` with an :class:`Event`.

    A SID is known when :func:`subscribe` was granted it or, for a control point of Cohen3's, when
    it stands in Cohen3's table. A control point that was never granted anything is given every
    event. An event that comes before the answer to its SUBSCRIBE waits for the answer.

    Dispatches ``event_server_message_received(command, headers, data)`` for each request, where
    ``command`` is ``{"method": …, "path": …}``. An exception of a listener or of the control point
    is logged and never changes the answer. A control point with a method
    ``receive_notify(request)``, such as :class:`propchange.twisted.ControlPoint`, answers itself.
    """

    isLeaf = True
    logCategory = "event_server"

    def __init__(
        self,
        control_point: Any,
        *,
        policy: SubscriberPolicy = POLICY,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        global hostname, web_server_port, current  # noqa: PLW0603 - the API that is carried on
        Resource.__init__(self)  # type: ignore[no-untyped-call] # Twisted's
        EventDispatcher.__init__(self)
        self.register_event("event_server_message_received")
        self.control_point = control_point
        self.coherence = control_point.coherence
        self._own = getattr(control_point, "receive_notify", None)
        self._own_cut = getattr(control_point, "_request_cut", None)
        self._policy = policy
        self._limits = limits
        # None until a first SID is granted.
        self._granted: dict[str, ServiceSubscription] | None = None
        self._warnings = Warnings(logger_named(self.logCategory))
        self.early: EarlyMessages[_Received] = EarlyMessages(limits)
        self.coherence.add_web_resource("events", self)
        hostname = self.coherence.hostname
        web_server_port = self.coherence.web_server_port
        current = self
        self.info("events arrive at %s", delivery_url())

    def render(self, request: Any) -> bytes | int:
        """Answer a request of any method, as a site asks for it."""
        response, message = self._judge(request)
        # The answer to most events is the same few bytes.
        usual = response.status == 200 and message.keep_alive and message.http_version == "1.1"
        if usual and answer_ok(request):
            return NOT_DONE_YET
        return answer(request, response)

    def render_NOTIFY(self, request: Any) -> bytes:
        """Answer a NOTIFY: the status is in ``request``, the result the empty body."""
        return answer(request, self._judge(request)[0])

    def _judge(self, request: Any) -> tuple[Response, Request]:
        data, refusal = read_body(request, self._limits)
        self.dispatch_request("event_server_message_received", request, data)
        message = read_request(request, data)
        if refusal is None:
            if self._own is not None:
                return self._own(message), message
            # The delivery URL has no path below this resource and no query.
            exact = not getattr(request, "postpath", ()) and b"?" not in request.uri
            refusal = self._receive(request, message, exact)
        if refusal is None:
            return notify_response(message), message
        self.info("%s answered %d: %s", message, refusal.status, refusal.reason)
        if self.judges:
            self._note_loss(message, f"an event was answered {refusal.status}: {refusal.reason}")
        return refusal_response(refusal, self._policy, message), message

    @property
    def judges(self) -> bool:
        """Whether this object judges the events. Otherwise the control point does."""
        return self._own is None

    def _judge_notify(self, request: Any, message: Request) -> Notification | Refusal:
        """The verdict on ``message``. A head that was accepted before is not judged again."""
        basis = self._policy, hostname, web_server_port
        head = message.head
        if isinstance(head, EventHead) and message.seq >= 0:
            known: tuple[object, str] = head.verdict
            if known[0] == basis:
                return Notification(known[1], message.seq, message.body)
        verdict = judge_notify(message, self._policy, _advertised(message))
        if isinstance(verdict, Notification):
            EventHead.learn(request, message, (basis, verdict.sid), self._limits)
        return verdict

    def _receive(self, request: Any, message: Request, exact: bool) -> Refusal | None:
        verdict = self._judge_notify(request, message)
        if isinstance(verdict, Refusal):
            return verdict
        if not exact:
            return Refusal(412, f"{message.target[:80]!a} is no delivery URL", _NOTIFY)
        sid = verdict.sid
        table = self._cohen3_table()
        known = self._granted if table is None else table
        unknown = self.early.expected if known is None else sid not in known
        source = "" if message.peer is None else message.peer.host
        if unknown and not self.early.may_be_early(sid, verdict.seq, source):
            return Refusal(412, f"{sid} is no subscription of this control point", _NOTIFY)
        try:
            pairs = parse_propertyset(verdict.body, self._limits)
        except RemoteProtocolError as error:
            return Refusal(error.status, str(error.args[0]), error.clause)
        event = Event(sid)
        event.raw = verdict.body
        event.update(pairs)
        if not unknown:
            return self._take(event, verdict.seq, source)
        received = _Received(event, verdict.seq, source)
        if not self.early.hold(sid, received, source, len(verdict.body)):
            return Refusal(412, f"no room for an early event of {sid}", _NOTIFY)
        return None

    def _take(self, event: Event, seq: int | None, source: str) -> Refusal | None:
        """Propagate an event of a known SID, unless it is a repetition or late. Refuse it if it
        does not come from the device and ``require_device_source`` is set."""
        sid = event.get_sid()
        known = None if self._granted is None else self._granted.get(sid)
        if known is None or known.grant is None:
            self._propagate(event)
            return None
        device = known.grant.device
        if device and source != device:
            refused = self._policy.require_device_source
            what = "refused" if refused else "taken"
            line = f"an event for {known.grant.url} came from {source}, not from {device}: {what}"
            self._warnings.warn(("source", known.grant.url, source), line)
            if refused:
                return Refusal(412, "events are accepted only from the device's address", "")
        former = known.former
        wanted = known.take(sid, seq, hash(event.raw))
        if former is not None and known.former is None:
            self.forget(former, known, known.service)
        if wanted:
            self._propagate(event)
        return None

    def _propagate(self, event: Event) -> None:
        try:
            if event:
                self.control_point.propagate(event)
        except Exception:  # noqa: BLE001 - an application's fault is not the device's
            self.exception("the control point failed at an event of %s", event.get_sid())

    def request_cut(self, message: Request, refusal: Refusal) -> None:
        """Note that a NOTIFY did not come whole. A :class:`propchange.twisted.Site` calls this."""
        if self.judges:
            self._note_loss(message, f"an event was cut off: {refusal.reason}")
        elif self._own_cut is not None:
            self._own_cut(message, refusal)

    def _note_loss(self, message: Request, reason: str) -> None:
        """Note that ``message`` was not taken. If it was an event of a subscription, it is lost."""
        try:
            sid = parse_sid(message.fields.get(b"sid"))
        except ValueError:
            return
        known = (self._granted or {}).get(sid)
        grant = None if known is None else known.grant
        if known is None or grant is None:
            return
        # A message from another host may be forged.
        if message.peer is None or grant.device in ("", message.peer.host):
            known.lost(reason)

    def granted(self, sid: str, subscription: ServiceSubscription) -> None:
        """Note that ``sid`` was granted to ``subscription``, and take its early events."""
        granted = self._granted or {}
        if sid not in granted:
            # Leave out the services that were garbage-collected without unsubscribing.
            granted = {s: each for s, each in granted.items() if each.service is not None}
        granted[sid] = subscription
        self._granted = granted
        for received in self.early.take(sid):
            self._take(*received)

    def forget(self, sid: str, subscription: ServiceSubscription, service: Any = None) -> None:
        """Note that ``sid`` is no longer granted to ``subscription``. With ``service``, also remove
        it from Cohen3's table.

        Another subscription may have the same SID: that of another device, or of an earlier server.
        """
        if self._granted is not None and self._granted.get(sid) is subscription:
            del self._granted[sid]
        table = self._cohen3_table()
        if service is not None and table is not None and table.get(sid) is service:
            del table[sid]

    def _cohen3_table(self) -> dict[str, Any] | None:
        """Cohen3's dict of SID -> service, for a control point of Cohen3's."""
        module = sys.modules.get("coherence.upnp.devices.control_point")
        kind = getattr(module, "ControlPoint", None)
        if kind is None or not isinstance(self.control_point, kind):
            return None
        table: dict[str, Any] = sys.modules["coherence.upnp.core.service"].__dict__["subscribers"]
        return table


@lru_cache(maxsize=4)  # called for every event
def _authority(host: str | None, port: int | None) -> str | None:
    return None if host is None or port is None else str(Endpoint(host, port))


def _advertised(message: Request) -> str | None:
    """The authority that HOST may name, beside that of the socket: the one of the delivery URL."""
    authority, local = _authority(hostname, web_server_port), message.local
    if local is None or local.port == web_server_port:
        return authority
    # The port is mapped.
    mapped = _authority_towards(hostname, web_server_port, local)
    host = message.fields.get(b"host", b"").decode("latin-1")
    return mapped if host == mapped else authority


def _authority_towards(host: str | None, port: int | None, local: Endpoint | None) -> str | None:
    if host is not None and local is not None and not _can_be_given(host, local):
        host = local.host
    return _authority(host and host.partition("%")[0], port)


def _can_be_given(host: str, local: Endpoint) -> bool:
    """Whether ``host`` may be in a delivery URL for the device at the other end of a connection
    with the local address ``local``. The two addresses must be of one family (V6-05), and both or
    neither of them loopback. If one of them is link-local, they must be equal (V6-04). A name is
    always allowed."""
    address, own = address_of(host.partition("%")[0]), address_of(local.host)
    if address is None or own is None:
        return address is None
    if address.is_unspecified or address.version != own.version:
        return False
    of_link = own.version == 6 and (own.is_link_local or address.is_link_local)
    return address == own if of_link else address.is_loopback == own.is_loopback


def delivery_url(local: Endpoint | None = None) -> str | None:
    """The delivery URL of the latest :class:`EventServer`, for a device at the other end of a
    connection with the local address ``local``; None: any device. None before the first server."""
    authority = _authority_towards(hostname, web_server_port, local)
    return None if authority is None else f"http://{authority}/events"
