"""Which subscription a NOTIFY belongs to, and whether it is accepted.

By default each SUBSCRIBE has an unguessable path of its own. So even an event message that
overtakes the answer with the SID finds its subscription. On a shared path, which some frameworks
need, only the SID names the subscription. Early messages are kept until a SUBSCRIBE is granted
their SID.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Collection
from typing import Generic, NamedTuple, TypeVar

from propchange.core.limits import Limits
from propchange.core.local_addresses import is_loopback
from propchange.core.subscriber.connection_history import ConnectionHistory
from propchange.core.subscriber.judge import SubscriberPolicy, judge_notify, notify_response
from propchange.core.subscriber.outcomes import ForeignSource, NotifyRefused, SubscriberOutcome
from propchange.core.subscriber.record import SubscriptionRecord
from propchange.core.subscriber.states import SubscriberState
from propchange.core.wire.headers import parse_seq, parse_sid
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.core.wire.propertyset import RepeatedBody, read_propertyset
from propchange.core.wire.refusals import Part, Refusal, refusal_response
from propchange.core.wire.urls import host_in
from propchange.errors import RemoteProtocolError

T = TypeVar("T")

_FOREIGN_SOURCES_LOGGED = 16
"""Per subscription, so that an attacker cannot fill the log."""

_LATE_SIDS = 16
"""Per subscription: a device may be a minute late, and another SID is tried every five seconds."""

_EARLY_OVERHEAD = 1_024
"""Bytes that an early message takes beside its body, approximately."""

_KEPT_ROOM = 7 / 8
"""The part of the room for early messages that is still used when some had to be dropped."""

_UNKNOWN = Refusal(
    412, "no subscription has this path and SID", "UDA 2.0 §4.3.2", Part.SUBSCRIPTION
)
_FOREIGN = Refusal(412, "events are accepted only from the device's address", "", Part.SOURCE)
_NO_ROOM = Refusal(
    503, "no room for another event until SUBSCRIBE is answered", "", Part.SUBSCRIPTION
)
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_FORMER_SIDS = 4
"""Former SIDs that are kept per grant. A device may answer every renewal with another SID."""

_SUBSCRIBING = SubscriberState.SUBSCRIBING


class Received(NamedTuple):
    """An event message: ``content`` is a hash of its body, ``pairs`` are (variable, text),
    ``problems`` are the deviations that were mended."""

    sid: str
    seq: int | None
    content: int
    pairs: tuple[tuple[str, str], ...]
    problems: tuple[str, ...] = ()


class _Early(NamedTuple, Generic[T]):
    message: T
    size: int


class RefusedEvent(NamedTuple):
    """A refused message that was an event of ``record``. ``seq`` is its SEQ, None if not known or
    if the message is not from the device."""

    record: SubscriptionRecord
    refusal: Refusal
    seq: int | None


class EarlyMessages(Generic[T]):
    """The event messages that have overtaken the answer to their SUBSCRIBE, on a shared path.

    An initial event may come before the answer with its SID. On a shared path only the SID names
    the subscription. So the message, of any type, is kept until an answer names the SID, while a
    SUBSCRIBE is unanswered.

    Anybody may send such a message. So each source address has its own room: for one SID at most
    ``limits.early_messages``, and for all its SIDs that number times the unanswered SUBSCRIBEs. A
    message without room is refused. With ``replaces``, it replaces the last message of its SID
    instead, and SEQ then shows the gap. Above ``limits.early_bytes`` for all messages, those of the
    source with the most bytes are dropped.
    """

    def __init__(self, limits: Limits, *, replaces: bool = False) -> None:
        self._most = limits.early_messages
        self._most_bytes = limits.early_bytes
        self._replaces = replaces
        self._kept: dict[str, dict[str, list[_Early[T]]]] = {}  # source -> SID -> messages
        self._sizes: Counter[str] = Counter()  # of those of each source
        self._total = 0
        self._devices: set[str] = set()
        self._unanswered = 0

    def __len__(self) -> int:
        return sum(map(self._count, self._kept))

    def _count(self, source: str) -> int:
        return sum(map(len, self._kept.get(source, {}).values()))

    @property
    def expected(self) -> bool:
        """Whether a SUBSCRIBE is unanswered."""
        return self._unanswered > 0

    def expect(self, device: str = "") -> None:
        """A SUBSCRIBE is sent to the address ``device``, empty if that is not known. Call
        :meth:`settle` when it was answered or has failed."""
        self._unanswered += 1
        self._devices.add(device)

    def settle(self) -> None:
        """A SUBSCRIBE was answered or has failed. After the last one all messages are dropped."""
        self._unanswered -= 1
        if not self._unanswered:
            self._devices.clear()
            for source in tuple(self._kept):
                self._drop(source)

    def may_be_early(self, sid: str, seq: int | None, source: str) -> bool:
        """Whether a message for the unknown ``sid`` may have overtaken an answer: it is an initial
        event, has no SEQ, or follows a kept message from the same ``source``. Other messages are
        answered with 412, which stops their publisher (SUB-59, RSP-07)."""
        return self.expected and (not seq or sid in self._kept.get(source, {}))

    def hold(self, sid: str, message: T, source: str, size: int) -> bool:
        """Keep ``message``, whose body has ``size`` bytes, from the address ``source``. False if
        there is no room."""
        kept = self._kept.get(source, {}).get(sid, [])
        early = _Early(message, size + _EARLY_OVERHEAD)
        if len(kept) < self._most and self._count(source) < self._most * self._unanswered:
            kept.append(early)
        elif kept and self._replaces:
            self._resize(source, -kept[-1].size)
            kept[-1] = early
        else:
            return False
        self._kept.setdefault(source, {})[sid] = kept
        self._resize(source, early.size)
        if self._total > self._most_bytes:
            self._make_room()
        return source in self._kept

    def _make_room(self) -> None:
        """Drop what uses most, and a part more than necessary: a flood must not look at all sources
        with each message."""
        room = self._most_bytes * _KEPT_ROOM
        sources = sorted(
            self._kept, key=lambda each: (each not in self._devices, self._sizes[each])
        )
        while self._total > room:
            self._drop(sources.pop())

    def _drop(self, source: str) -> None:
        del self._kept[source]
        self._resize(source, -self._sizes[source])

    def _resize(self, source: str, size: int) -> None:
        self._sizes[source] += size
        self._total += size
        if not self._sizes[source]:
            del self._sizes[source]

    def has_others(self, sid: str) -> bool:
        """Whether messages for another SID are kept."""
        return any(other != sid for kept in self._kept.values() for other in kept)

    def take(self, sid: str) -> list[T]:
        """Remove and return the messages for ``sid``, which an answer has named, in order."""
        taken = []
        for source, by_sid in self._kept.items():
            for early in by_sid.pop(sid, ()):
                self._resize(source, -early.size)
                taken.append(early.message)
        return taken


class NotifyRouting:
    """The paths and SIDs of the subscriptions. ``report`` takes the outcomes, which are all for a
    log; ``history`` is as for :class:`.SubscriberProtocol`."""

    def __init__(
        self,
        policy: SubscriberPolicy,
        limits: Limits,
        new_token: Callable[[], str],
        report: Callable[[SubscriberOutcome], None],
        history: ConnectionHistory | None = None,
    ) -> None:
        self._history = history
        self._policy = policy
        self._callback = policy.callback
        self._limits = limits
        self._new_token = new_token
        self._report = report
        self.refused_event: RefusedEvent | None = None
        """The event that the last call of :meth:`receive` or :meth:`refuse` refused, or None."""
        self.paths: dict[str, SubscriptionRecord] = {}
        """The subscriptions by their secret paths. Read it only."""
        self._sids: dict[str, SubscriptionRecord] = {}
        self._by_host: dict[str, dict[SubscriptionRecord, None]] = {}
        # The messages that come before the answer with the SID: on the shared path, and for each
        # SUBSCRIBE that is unanswered.
        self._early_on_shared_path: EarlyMessages[Received] = EarlyMessages(limits, replaces=True)
        self._early: dict[SubscriptionRecord, EarlyMessages[Received]] = {}
        # SIDs that were given back before anything came, the last ones of each subscription.
        self._late: dict[str, SubscriptionRecord] = {}

    def expect(self, record: SubscriptionRecord) -> None:
        """A SUBSCRIBE is about to be sent: set the path of ``record``."""
        record.device_host = None
        record.former_sids, record.awaits_new_sid = (), False
        if self._callback.has_token:
            record.path = self._callback.path(self._new_token())
            self.paths[record.path] = record
            early: EarlyMessages[Received] = EarlyMessages(self._limits, replaces=True)
        else:
            record.path = self._callback.path("")
            early = self._early_on_shared_path
        self._early[record] = early
        early.expect(host_in(record.event_url))

    def grant(self, record: SubscriptionRecord, sid: str) -> list[Received]:
        """Set the SID of ``record``. Returns its messages that came before the answer, in order."""
        record.sid = sid
        host = record.device_host = None if record.remote is None else record.remote.host
        if host is not None:
            self._by_host.setdefault(host, {})[record] = None
        self._sids[sid] = record
        early = self._early[record].take(sid)
        self._stop_subscribing(record)
        return early

    def has_strays(self, record: SubscriptionRecord, sid: str) -> bool:
        """Whether messages for the secret path of ``record`` came before the grant of ``sid``, and
        have another SID."""
        return self._callback.has_token and self._early[record].has_others(sid)

    def adopt(self, record: SubscriptionRecord, sid: str) -> None:
        """Note that a renewal was answered with another SID (REN-12). Events with the former SIDs
        are taken until one with the new SID has come."""
        former = (*record.former_sids, record.sid)
        for each in former[:-_FORMER_SIDS]:
            self._forget_sid(record, each)
        record.former_sids, record.awaits_new_sid = former[-_FORMER_SIDS:], True
        record.sid = sid
        record.head = None
        self._sids[sid] = record

    def forget(self, record: SubscriptionRecord) -> None:
        """``record`` has no grant any more, or its SUBSCRIBE has failed: refuse its events."""
        if self.paths.get(record.path) is record:
            del self.paths[record.path]
        for sid in (record.sid, *record.former_sids):
            self._forget_sid(record, sid)
        if record.device_host is not None:
            of_host = self._by_host.get(record.device_host, {})
            of_host.pop(record, None)
            if not of_host:
                self._by_host.pop(record.device_host, None)
        self._stop_subscribing(record)
        record.path, record.former_path = "", record.path
        record.head = None

    def give_up(self, record: SubscriptionRecord) -> None:
        """The SID of ``record`` is given back since no initial event has come. A later event for it
        sets ``record.slow``."""
        record.late_sids.append(record.sid)
        self._late[record.sid] = record
        if len(record.late_sids) > _LATE_SIDS:
            self._late.pop(record.late_sids.pop(0), None)

    def stop_waiting(self, record: SubscriptionRecord) -> None:
        """Forget the SIDs of ``record`` that were given back."""
        for sid in record.late_sids:
            self._late.pop(sid, None)
        record.late_sids.clear()

    def _forget_sid(self, record: SubscriptionRecord, sid: str) -> None:
        # Two devices may grant the same SID: it is then the later one's.
        if self._sids.get(sid) is record:
            del self._sids[sid]

    def of_host(self, host: str) -> Collection[SubscriptionRecord]:
        """The granted subscriptions to the device at ``host``."""
        return self._by_host.get(host, {})

    def _stop_subscribing(self, record: SubscriptionRecord) -> None:
        early = self._early.pop(record, None)
        if early is not None:
            early.settle()

    def receive(
        self, request: Request, now: float
    ) -> tuple[Response, SubscriptionRecord | None, Received]:
        """The answer to ``request``, the subscription and the event message. The subscription is
        None if there is no event to take: the message was refused, or came early and is kept."""
        path = request.target
        record = self.paths.get(path)
        if record is None:
            path = self._callback.path_of(path)
            record = self.paths.get(path)
        head = request.head
        # A head that was accepted for this path, and now differs in SEQ and CONTENT-LENGTH alone,
        # is not judged again. Without this such a NOTIFY takes 1.7 times as long.
        known = record is not None and head is not None and record.head is head
        if known and request.seq >= 0:
            assert record is not None
            early = False
            seq: int | None = request.seq
            sid, body = record.sid, request.body
        else:
            advertised = None if record is None else record.advertised
            authority = advertised.authority if advertised else self._callback.authority or None
            verdict = judge_notify(request, self._policy, authority)
            if isinstance(verdict, Refusal):
                return self._refuse(request, path, verdict, now, self._addressed(request, path))
            sid, seq, body = verdict
            early = record is not None and record.state is _SUBSCRIBING
            if record is None and self._callback.is_shared(path):
                record = self._sids.get(sid)
                source = _source_of(request)
                early = record is None and self._early_on_shared_path.may_be_early(sid, seq, source)
            if not early and (record is None or record.sid != sid):
                former = record is not None and sid in record.former_sids
                if record is None or not (former and record.awaits_new_sid):
                    self._note_slow(sid)
                    lost = None if former else self._addressed(request, path)
                    return self._refuse(request, path, _UNKNOWN, now, lost)
            if record is not None and self._is_foreign(record, request.peer):
                return self._refuse(request, path, _FOREIGN, now, None)
        try:
            pairs, problems = read_propertyset(body, self._limits)
        except RemoteProtocolError as error:
            refusal = Refusal(error.status, str(error.args[0]), error.clause, Part.BODY)
            return self._refuse(request, path, refusal, now, record)
        # As Received(…), which makes receiving a NOTIFY 5 % slower.
        received = tuple.__new__(Received, (sid, seq, hash(body), pairs, problems))
        if early:
            messages = self._early_on_shared_path if record is None else self._early[record]
            if not messages.hold(sid, received, _source_of(request), len(body)):
                return self._refuse(request, path, _NO_ROOM, now, record)
            return notify_response(request), None, received
        assert record is not None
        if known:
            if record.forms < self._limits.learned_bodies:
                record.forms += 1
                record.form = RepeatedBody.learn(body, self._limits)
        else:
            if record.former_sids:
                if sid != record.sid:
                    return notify_response(request), record, received
                self._heard_new_sid(record, seq)
            record.head = head
            record.answer = notify_response(request)
        return record.answer, record, received

    def _heard_new_sid(self, record: SubscriptionRecord, seq: int | None) -> None:
        """Note that an event with the SID of the last renewal has come. Some devices begin SEQ
        again then, others continue it."""
        if record.awaits_new_sid:
            record.awaits_new_sid = False
            for former in record.former_sids:
                self._forget_sid(record, former)
            if seq == 0:
                record.sequence.restart()

    def _addressed(self, request: Request, path: str) -> SubscriptionRecord | None:
        """The subscription to which a message for ``path`` is addressed, even a malformed one; or
        None.

        A message to another path than that of its SID counts if it is from the device, and the path
        is not that of the former grant: devices may grant one SID twice."""
        record = self.paths.get(path)
        if record is not None:
            return record if _is_event(request) else None
        try:
            record = self._sids.get(parse_sid(request.fields.get(b"sid", b"")))
        except ValueError:
            return None
        if record is None or self._callback.is_shared(path):
            return record
        is_own = request.peer is not None and request.peer.host == record.device_host
        is_former = bool(path) and path == record.former_path
        return record if is_own and not is_former else None

    def cut(self, request: Request, refusal: Refusal) -> RefusedEvent | None:
        """The event that ``request`` was: only its beginning has come, or it cannot be parsed for
        the reason of ``refusal``. None if it was no event of a subscription."""
        record = self._addressed(request, self._callback.path_of(request.target))
        return None if record is None else self._refused(record, request, refusal)

    def refuse(self, request: Request, refusal: Refusal, now: float) -> Response:
        """The answer to ``request``, which the runtime refuses for the reason of ``refusal``. Sets
        :attr:`refused_event`."""
        path = self._callback.path_of(request.target)
        return self._refuse(request, path, refusal, now, self._addressed(request, path))[0]

    def _refused(
        self, record: SubscriptionRecord, request: Request, refusal: Refusal
    ) -> RefusedEvent:
        seq = None
        host, peer = record.device_host, request.peer
        if host is None or peer is None or host == peer.host:
            with contextlib.suppress(ValueError):
                if parse_sid(request.fields.get(b"sid", b"")) == record.sid or host is None:
                    seq = parse_seq(request.fields.get(b"seq"))
        return RefusedEvent(record, refusal, seq)

    def _note_slow(self, sid: str) -> None:
        """A message came for a SID that was given up for lack of one: the device is slow."""
        record = self._late.get(sid)
        if record is not None:
            record.slow = True
            self.stop_waiting(record)

    def _is_foreign(self, record: SubscriptionRecord, peer: Endpoint | None) -> bool:
        """Log a message from another address than that of the device. Returns True if the message
        is refused: the address of the device is required, and this one is another or not known."""
        if record.device_host is None:
            return False
        refused = self._policy.require_device_source
        if peer is None or record.device_host == peer.host:
            return refused and peer is None
        if self._hides_source(record, peer):
            return refused
        logged = record.foreign_sources
        if peer.host not in logged and len(logged) < _FOREIGN_SOURCES_LOGGED:
            logged.add(peer.host)
            self._report(ForeignSource(record, peer.host, refused))
        return refused

    def _hides_source(self, record: SubscriptionRecord, peer: Endpoint) -> bool:
        """Whether ``peer`` is a proxy on this machine that passes on events of another machine."""
        device = record.remote
        elsewhere = device is not None and not is_loopback(device)
        return elsewhere and self._callback.is_whole and is_loopback(peer)

    def _refuse(
        self,
        request: Request,
        path: str,
        refusal: Refusal,
        now: float,
        record: SubscriptionRecord | None,
    ) -> tuple[Response, None, Received]:
        """The answer to a refused message for ``path``. ``record`` is the subscription of the
        message."""
        status, reason, peer = refusal.status, refusal.reason, request.peer
        self._report(NotifyRefused(peer, request.target, status, reason))
        if self._history is not None and peer is not None:
            self._history.refused(peer, path, status, reason, now, part=refusal.part)
        if record is not None:
            self.refused_event = self._refused(record, request, refusal)
        return refusal_response(refusal, self._policy, request), None, _NOTHING


def _is_event(request: Request) -> bool:
    """Whether a request for the path of a subscription was an event. The method of an event may be
    damaged; the method of a health check is intact."""
    return request.method not in _SAFE_METHODS or b"sid" in request.fields


def _source_of(request: Request) -> str:
    return "" if request.peer is None else request.peer.host


_NOTHING = Received("", None, 0, ())
