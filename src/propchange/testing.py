"""Both protocols back to back, over a simulated network, on a clock that the test moves.

::

    link = Link()
    link.add_service("/evt", {"Temperature": EventedVariable("20")})
    record = link.subscribe("/evt")
    link.run(1)
    link.update("/evt", {"Temperature": "21"})
    link.run(1)
    assert record.values == {"Temperature": "21"}

Every message is encoded to bytes and parsed again. Nothing sleeps: :meth:`Link.run` moves the clock
from one deadline or arrival to the next.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_interface, ip_network
from typing import Any, Literal, Protocol, TypeVar

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.local_addresses import LocalAddress, OnLink
from propchange.core.multicast.message import Datagram, ServiceIdentity
from propchange.core.multicast.publication import MulticastPolicy
from propchange.core.publisher.judge import PublisherPolicy
from propchange.core.publisher.outcomes import AttemptTimedOut, PublisherOutcome
from propchange.core.publisher.protocol import PublisherProtocol
from propchange.core.publisher.records import EventedVariable, evented_variable
from propchange.core.record import Record
from propchange.core.subscriber.events import Event, StatusChange
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.subscriber.outcomes import SubscriberOutcome
from propchange.core.subscriber.protocol import SubscriberProtocol
from propchange.core.subscriber.record import SubscriptionRecord
from propchange.core.subscriber.requests import (
    Failure,
    OutgoingRequest,
    RequestKind,
    authority_and_target,
)
from propchange.core.values.state_variables import StateVariable
from propchange.core.wire.messages import Delivery, DeliveryFailure, Endpoint, Request, Response
from propchange.http import (
    RequestParser,
    ResponseParser,
    encode_datagram,
    encode_delivery,
    encode_request,
    encode_response,
    parse_datagram,
)

__all__ = ["DELIVER", "REFUSED", "SILENT", "UNREACHABLE", "Fate", "Link", "Message"]

M = TypeVar("M", Request, Response)

Message = Literal["SUBSCRIBE", "UNSUBSCRIBE", "DESCRIBE", "NOTIFY", "answer", "datagram"]


@dataclass(slots=True, eq=False, repr=False)
class Fate(Record):
    """The fate of one message. Each number in ``arrivals`` is a delay in seconds, after which a
    copy arrives; without a number the message is lost. ``told``: the sender of a lost message
    gets ``failure`` at once (a refused connection, a broken one, …). Else it waits for its time
    limit."""

    arrivals: tuple[float, ...] = (0.0,)
    told: bool = True
    failure: Failure = Failure.SILENCE


DELIVER = Fate()
"""The message arrives at once."""
REFUSED = Fate((), failure=Failure.REFUSED)
"""The message is lost: nothing listens at the other end."""
UNREACHABLE = Fate((), failure=Failure.UNREACHABLE)
"""The message is lost: there is no route to the other end."""
SILENT = Fate((), told=False)
"""The message is lost, and the sender gets no sign of it."""


class LinkedService(Protocol):
    """What a :class:`Link` needs of a :class:`propchange.Service`."""

    @property
    def variables(self) -> Mapping[str, StateVariable[Any]]: ...

    def _initial_texts(self) -> dict[str, str]: ...

    def _attach_sink(self, sink: _ServiceSink, /) -> None: ...


_Declared = Callable[[], Mapping[str, EventedVariable]]


def _same(variables: Mapping[str, EventedVariable]) -> Mapping[str, EventedVariable]:
    return variables


def _evented_variables(service: LinkedService, multicast: bool) -> Mapping[str, EventedVariable]:
    texts = service._initial_texts()
    return {
        name: evented_variable(service.variables[name], text, multicast=multicast)
        for name, text in texts.items()
    }


class Link:
    """One publisher, one subscriber, the network between them and the time ``now``, in seconds.

    ``fate`` returns the :class:`Fate` of each message. ``publisher_host`` and ``subscriber_host``
    are the addresses. A test may set further faults: ``deaf`` has addresses of the subscriber that
    the publisher cannot reach; ``answers`` may return a status that answers a request instead of
    the publisher; ``timeout`` replaces TIMEOUT in answers, and ``seq`` the SEQ of NOTIFYs.
    ``publisher_outcomes`` and ``subscriber_outcomes`` collect the outcomes.

    Multicast events go to the groups of ``multicast``, from each address of ``multicast_from``,
    with the BOOTID ``boot_id``. Expect them with ``link.subscriber.multicast``.
    """

    def __init__(
        self,
        *,
        fate: Callable[[Message], Fate] = lambda message: DELIVER,
        publisher_policy: PublisherPolicy | None = None,
        subscriber_policy: SubscriberPolicy | None = None,
        limits: Limits = DEFAULT_LIMITS,
        jitter: Callable[[], float] = lambda: 0.0,
        publisher_host: str = "10.0.0.1",
        subscriber_host: str = "10.0.0.2",
        multicast: MulticastPolicy | None = None,
        multicast_from: Sequence[str] = ("10.0.0.1",),
    ) -> None:
        self.fate = fate
        self.now = 0.0
        self.limits = limits
        self.publisher_end = Endpoint(publisher_host, 8000)
        self.subscriber_end = Endpoint(subscriber_host, 9000)
        self._publisher_policy = publisher_policy
        self._multicast = multicast
        self.multicast_from = tuple(multicast_from)
        self.boot_id = 1
        self._services: dict[str, tuple[_Declared, ServiceIdentity | None]] = {}
        self._at_next_turn: list[Callable[[], None]] = []
        self._sids = (f"uuid:{number:08d}" for number in itertools.count(1))
        tokens = (f"path-{number}" for number in itertools.count(1))
        self.subscriber = SubscriberProtocol(
            new_token=lambda: next(tokens),
            jitter=jitter,
            policy=subscriber_policy,
            limits=limits,
        )
        self.publisher = self._new_publisher()
        self.publisher_outcomes: list[PublisherOutcome] = []
        self.subscriber_outcomes: list[SubscriberOutcome] = []
        self.described_at: dict[SubscriptionRecord, str] = {}
        """The event URL in a description that is read again. Without an entry, reading fails."""
        self.deaf: set[str] = set()
        self.answers: Callable[[Request], int | None] = lambda request: None
        self.timeout: bytes | None = None
        self.seq: Callable[[int], int] = lambda seq: seq
        self.subscribes: list[tuple[float, str]] = []
        """The time of each SUBSCRIBE and DESCRIBE, and the SID that a renewal had."""
        self._serial = itertools.count()
        self._wire: list[tuple[float, int, Callable[[], None]]] = []
        self._waiting: set[Delivery] = set()
        self._asleep = False
        self.have_addresses(subscriber_host)

    def _new_publisher(self) -> PublisherProtocol:
        return PublisherProtocol(
            new_sid=lambda: next(self._sids),
            on_link=lambda _: (OnLink(ip_network("10.0.0.0/24"), 0),),
            policy=self._publisher_policy,
            limits=self.limits,
            multicast=self._multicast,
            boot_id=lambda: self.boot_id,
        )

    # --- for a test ---

    def add_service(
        self,
        path: str,
        service: Mapping[str, EventedVariable] | LinkedService,
        identity: ServiceIdentity | None = None,
    ) -> None:
        """Publish ``service`` at the event URL ``path``: the variables by name, as
        :meth:`PublisherProtocol.add_service`, or a :class:`propchange.Service`. An assignment to
        a variable of that is an event then, as if it was hosted. It has no action URL: a test calls
        its methods."""
        if isinstance(service, Mapping):
            declared: _Declared = partial(_same, service)
        else:
            declared = partial(_evented_variables, service, identity is not None)
            service._attach_sink(_ServiceSink(self, path))
        self._services[path] = (declared, identity)
        self.publisher.add_service(path, declared(), identity)

    def url(self, path: str) -> str:
        """The event URL of the service at ``path``."""
        return f"http://{self.publisher_end}{path}"

    def subscribe(self, path: str, **options: Any) -> SubscriptionRecord:
        """Subscribe to the service at ``path``. ``options`` are those of
        :meth:`SubscriberProtocol.subscribe`."""
        record = self.subscriber.subscribe(self.url(path), self.now, **options)
        self._drain()
        return record

    def unsubscribe(self, record: SubscriptionRecord) -> None:
        """As :meth:`SubscriberProtocol.unsubscribe`."""
        self.subscriber.unsubscribe(record, self.now)
        self._drain()

    def update(self, path: str, changes: Mapping[str, str]) -> None:
        """As :meth:`PublisherProtocol.update`."""
        self.publisher.update(path, changes, self.now)
        self._drain()

    def restart_publisher(self) -> None:
        """Restart the device: it has no subscription, and its services have their first values
        again. A :class:`propchange.Service` has the values that it has now."""
        self.publisher = self._new_publisher()
        for path, (declared, identity) in self._services.items():
            self.publisher.add_service(path, declared(), identity)

    def move_publisher(self, endpoint: Endpoint) -> None:
        """Restart the device at another address or port."""
        self.publisher_end = endpoint
        self.restart_publisher()

    def have_addresses(self, *hosts: str) -> None:
        """Give the subscriber's machine these addresses, each in a /24 network. The system prefers
        the first. NOTIFYs to other addresses are lost."""
        self.subscriber_end = Endpoint(hosts[0], self.subscriber_end.port)
        self._addresses = tuple(
            LocalAddress(host, 0, ip_interface(f"{host}/24").network, "eth0", 1) for host in hosts
        )
        self.subscriber.addresses_changed(self._addresses, self.now)
        self._drain()

    def suspend(self, seconds: float) -> None:
        """Suspend the subscriber's machine for ``seconds``. Messages to it are lost meanwhile,
        without a sign for the sender."""
        self._asleep = True
        self.run(seconds)
        self._asleep = False
        self.subscriber.clock_jumped(seconds, self.now)
        self._drain()

    def run(self, seconds: float) -> None:
        """Advance the clock by ``seconds``. All that is due meanwhile happens, in order."""
        end = self.now + seconds
        turn, self._at_next_turn = self._at_next_turn, []
        for callback in turn:
            callback()
        # A test may have called one of the protocols directly.
        self._drain()
        while (due := self._next_due()) is not None and due <= end:
            self.now = max(self.now, due)
            if self._wire and self._wire[0][0] <= self.now:
                _, _, arrive = heapq.heappop(self._wire)
                arrive()
            else:
                self.publisher.handle_deadline(self.now)
                if not self._asleep:
                    self.subscriber.handle_deadline(self.now)
            self._drain()
        self.now = end

    def events(self, record: SubscriptionRecord) -> list[Event]:
        """The events of ``record`` so far."""
        events = (each for each in self.subscriber_outcomes if isinstance(each, Event))
        return [event for event in events if event.subscription is record]

    def statuses(self, record: SubscriptionRecord) -> list[StatusChange]:
        """The status changes of ``record`` so far."""
        changes = (each for each in self.subscriber_outcomes if isinstance(each, StatusChange))
        return [change for change in changes if change.subscription is record]

    # --- the wire ---

    def _next_due(self) -> float | None:
        times = [self.publisher.next_deadline()]
        if not self._asleep:
            times.append(self.subscriber.next_deadline())
        if self._wire:
            times.append(self._wire[0][0])
        return min((time for time in times if time is not None), default=None)

    def _drain(self) -> None:
        moved = True
        while moved:
            requests = self.subscriber.take_requests()
            for request in requests:
                self._send_request(request)
            deliveries = self.publisher.take_deliveries(self.limits.delivery_connections)
            for delivery in deliveries:
                self._send_delivery(delivery)
            datagrams = self.publisher.take_datagrams()
            for datagram in datagrams:
                self._send_datagram(datagram)
            moved = bool(requests or deliveries or datagrams)
        self.subscriber_outcomes += self.subscriber.take_outcomes()
        for outcome in self.publisher.take_outcomes():
            self.publisher_outcomes.append(outcome)
            if isinstance(outcome, AttemptTimedOut):
                self._waiting.discard(outcome.delivery)

    def _carry(
        self,
        message: Message,
        arrive: Callable[[], None],
        lost: Callable[[Failure], None],
        *,
        fate: Fate | None = None,
    ) -> None:
        """Put ``message`` on the wire. ``lost`` is called if it does not arrive."""
        fate = fate or self.fate(message)
        for delay in fate.arrivals:
            self._at(self.now + delay, arrive)
        if not fate.arrivals:
            patience = 0.0 if fate.told else 2 * self.limits.request_seconds
            self._at(self.now + patience, lambda: lost(fate.failure))

    def _send_datagram(self, datagram: Datagram) -> None:
        data = encode_datagram(datagram)

        def arrive(source: str) -> None:
            peer = Endpoint(source, 49_152)
            request = parse_datagram(data, self.limits, peer=peer, local=datagram.scope.group)
            if not self._asleep:
                self.subscriber.receive_datagram(request)

        for host in self.multicast_from:
            # The sender gets no sign of a lost datagram.
            self._carry("datagram", partial(arrive, host), lambda failure: None)

    def _at(self, when: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._wire, (when, next(self._serial), act))

    def _send_request(self, outgoing: OutgoingRequest) -> None:
        ends = outgoing.kind is RequestKind.UNSUBSCRIBE

        def lost(failure: Failure) -> None:
            self.subscriber.request_failed(outgoing, _WORDS[failure], self.now, failure)

        if not ends:
            self.subscribes.append((self.now, "" if outgoing.kind is _SUBSCRIBE else outgoing.sid))
        if outgoing.kind is RequestKind.DESCRIBE:
            self._carry("DESCRIBE", lambda: self._describe(outgoing), lost)
            return
        local = self.subscriber_end
        if outgoing.source is not None:
            local = outgoing.source._replace(port=local.port)
        if local.host not in self._hosts:
            self._at(self.now, lambda: lost(Failure.NO_SOURCE))
            return
        data = encode_request(outgoing.build(local))
        message: Message = "UNSUBSCRIBE" if ends else "SUBSCRIBE"

        def arrive() -> None:
            remote = self.publisher_end
            request = _parse_request(data, local, remote, self.limits)
            status = self.answers(request)
            if status is None:
                response = self.publisher.receive_request(request, self.now)
            else:
                response = Response(status)
            answer = encode_response(response)
            if response.receipt is not None:
                self.publisher.response_sent(response, self.now)
            self._carry("answer", lambda: answered(answer, remote), lost)

        def answered(answer: bytes, remote: Endpoint) -> None:
            (response,) = ResponseParser(self.limits).feed(answer)
            outgoing.remote = remote
            if self.timeout is not None and b"timeout" in response.fields:
                response = _with(response, b"TIMEOUT", self.timeout)
            self.subscriber.response_received(outgoing, response, self.now)

        at_device = authority_and_target(outgoing.url)[0] == str(self.publisher_end)
        self._carry(message, arrive, lost, fate=None if at_device else REFUSED)

    def _describe(self, outgoing: OutgoingRequest) -> None:
        record = outgoing.subscription
        url = self.described_at.get(record)
        if url is None:
            failure = Failure.DESCRIPTION
            self.subscriber.request_failed(outgoing, _WORDS[failure], self.now, failure)
        else:
            self.subscriber.described(outgoing, url, record.convert, self.now)

    def _send_delivery(self, delivery: Delivery) -> None:
        data = encode_delivery(delivery)
        publisher, remote = self.publisher, self.publisher_end
        to = delivery.address.url.endpoint
        self._waiting.add(delivery)

        def ended(result: int | DeliveryFailure) -> None:
            if delivery in self._waiting:
                self._waiting.discard(delivery)
                publisher.delivery_ended(delivery, result, self.now)

        def lost(_: Failure) -> None:
            ended(DeliveryFailure.CONNECT)

        def arrive() -> None:
            if self._asleep:
                return
            request = _parse_request(data, remote, to, self.limits)
            seq = self.seq(delivery.seq)
            if seq != delivery.seq:
                request = _with(request, b"SEQ", b"%d" % seq)
            answer = encode_response(self.subscriber.receive_notify(request, self.now))
            self._carry("answer", lambda: answered(answer), lost)

        def answered(answer: bytes) -> None:
            (response,) = ResponseParser(self.limits).feed(answer)
            ended(response.status)

        reached = to.host in self._hosts and to.host not in self.deaf
        fits = reached and to.port == self.subscriber_end.port
        self._carry("NOTIFY", arrive, lost, fate=None if fits else UNREACHABLE)

    @property
    def _hosts(self) -> set[str]:
        return {address.host for address in self._addresses}


_SUBSCRIBE = RequestKind.SUBSCRIBE

_WORDS = {
    Failure.SILENCE: "the wire is cut",
    Failure.BROKEN: "the connection broke",
    Failure.REFUSED: "connection refused",
    Failure.UNREACHABLE: "no route to host",
    Failure.NO_SOURCE: "cannot assign requested address",
    Failure.SHORTAGE: "no file descriptor is left",
    Failure.DESCRIPTION: "no description",
}


class _ServiceSink:
    """Gives the assignments to a service to a :class:`Link`."""

    def __init__(self, link: Link, path: str) -> None:
        self._link = link
        self._path = path

    def check_caller(self) -> None:
        """A test has one thread."""

    def publish(self, changes: dict[str, str]) -> None:
        self._link.update(self._path, changes)

    def when_turn_ends(self, callback: Callable[[], None]) -> Callable[[], object]:
        # The turn of the loop is what a test does between two runs.
        turn = self._link._at_next_turn
        turn.append(callback)
        return partial(_remove, turn, callback)


def _remove(turn: list[Callable[[], None]], callback: Callable[[], None]) -> None:
    if callback in turn:
        turn.remove(callback)


def _parse_request(data: bytes, peer: Endpoint, local: Endpoint, limits: Limits) -> Request:
    (request,) = RequestParser(limits, peer=peer, local=local).feed(data)
    return request


def _with(message: M, header: bytes, value: bytes) -> M:
    """``message`` with another value of ``header``."""
    headers = [(name, value if name.upper() == header else text) for name, text in message.headers]
    if isinstance(message, Request):
        method, target, peer = message.method, message.target, message.peer
        return Request(method, target, headers, message.body, peer=peer, local=message.local)
    return Response(message.status, headers, message.body)
