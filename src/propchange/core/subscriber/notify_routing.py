"""Which subscription a NOTIFY belongs to, and whether it may be believed.

By default each SUBSCRIBE has a path of its own that nobody can guess, so that even an event
message which overtakes the answer with the SID finds its subscription. On a shared path (one for
all, as some frameworks need it) the SID alone tells, and early messages are held for whichever
SUBSCRIBE turns out to be granted that SID.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from propchange.core.limits import Limits
from propchange.core.subscriber.connection_history import Callers
from propchange.core.subscriber.judge import SubscriberPolicy, judge_notify, notify_response
from propchange.core.subscriber.outcomes import ForeignSource, NotifyRefused, SubscriberOutcome
from propchange.core.subscriber.record import HeldSubscription
from propchange.core.subscriber.states import SubscriberState
from propchange.core.wire.headers import parse_seq
from propchange.core.wire.messages import Request, Response
from propchange.core.wire.propertyset import parse_propertyset
from propchange.core.wire.refusals import Refusal, refusal_response
from propchange.errors import RemoteProtocolError

__all__ = ["Received", "Reception", "may_be_early"]

_FOREIGN_SOURCES_TOLD = 16
"""Per subscription: beyond it the list would only feed an attacker's log."""

_LATE_SIDS = 16
"""Per subscription: a device may be a minute late, and another SID is tried every five seconds."""

_SUBSCRIBING = SubscriberState.SUBSCRIBING


class Received(NamedTuple):
    """A propertyset for the SID ``sid``: ``content`` is a hash that tells two bodies apart,
    ``pairs`` are (variable, text)."""

    sid: str
    seq: int | None
    content: int
    pairs: tuple[tuple[str, str], ...]


def may_be_early(sid: str, seq: int | None, held: Iterable[str]) -> bool:
    """Whether a message for the unknown ``sid``, on a path that is shared, may have overtaken the
    answer that tells of it: it is an initial event, has no SEQ, or comes after one for that SID,
    which is among ``held``. Others are strays, and 412 stops their publisher (SUB-59, RSP-07)."""
    return not seq or sid in held


class Reception:
    """The paths and SIDs that are listened for. ``report`` takes the outcomes, all of them for a
    log; ``callers`` is as for :class:`.SubscriberProtocol`."""

    def __init__(
        self,
        policy: SubscriberPolicy,
        limits: Limits,
        new_token: Callable[[], str],
        report: Callable[[SubscriberOutcome], None],
        callers: Callers | None = None,
    ) -> None:
        self.callers = callers
        self._policy = policy
        self._limits = limits
        self._new_token = new_token
        self._report = report
        self._paths: dict[str, HeldSubscription] = {}
        self._sids: dict[str, HeldSubscription] = {}
        # On a shared path: those whose answer is to come.
        self._subscribing: set[HeldSubscription] = set()
        self._early: deque[Received] = deque(maxlen=limits.early_messages)
        # SIDs that were given back before anything came, the last ones of each subscription.
        self._late: dict[str, HeldSubscription] = {}

    def expect(self, held: HeldSubscription) -> None:
        """``held`` is about to SUBSCRIBE: give it its path. Which address the device has is not
        known before the answer."""
        held.device_host = None
        if self._policy.shared_path is None:
            held.path = f"/{self._new_token()}"
            self._paths[held.path] = held
        else:
            held.path = self._policy.shared_path
            self._subscribing.add(held)

    def grant(self, held: HeldSubscription, sid: str) -> list[Received]:
        """``held`` has the SID ``sid`` from now on; what had come for it before, in order."""
        held.sid = sid
        self._sids[sid] = held
        early = held.early
        held.early = []
        if self._policy.shared_path is not None:
            early = list(self._early)
            self._stop_subscribing(held)
        return [received for received in early if received.sid == sid]

    def adopt(self, held: HeldSubscription, sid: str) -> None:
        """A renewal was answered with another SID (REN-12)."""
        self._forget_sid(held)
        held.sid = sid
        held.head = None
        self._sids[sid] = held

    def forget(self, held: HeldSubscription) -> None:
        """``held`` is no longer granted, or its SUBSCRIBE has failed: what comes is a stray."""
        if self._paths.get(held.path) is held:
            del self._paths[held.path]
        self._forget_sid(held)
        self._stop_subscribing(held)
        held.path = ""
        held.head = None
        held.early = []

    def give_up(self, held: HeldSubscription) -> None:
        """No initial event has come under the SID of ``held``, which is given back. Should it
        come yet, then the device is not deaf but slow, and that is noted."""
        held.late_sids.append(held.sid)
        self._late[held.sid] = held
        if len(held.late_sids) > _LATE_SIDS:
            self._late.pop(held.late_sids.pop(0), None)

    def stop_waiting(self, held: HeldSubscription) -> None:
        """It does not matter any more whether it comes."""
        for sid in held.late_sids:
            self._late.pop(sid, None)
        held.late_sids.clear()

    def _forget_sid(self, held: HeldSubscription) -> None:
        # Two devices may grant the same SID: it is then the later one's.
        if self._sids.get(held.sid) is held:
            del self._sids[held.sid]

    def _stop_subscribing(self, held: HeldSubscription) -> None:
        self._subscribing.discard(held)
        if not self._subscribing:
            self._early.clear()

    def receive(
        self, request: Request, now: float
    ) -> tuple[Response, HeldSubscription | None, Received]:
        """The answer to ``request``, and the event message in it for a granted subscription;
        None where there is nothing to do but to answer."""
        held = self._paths.get(request.target)
        if held is not None and held.head is not None and held.head is request.head:
            return self._receive_like_before(held, request, now)
        verdict = judge_notify(request, self._policy, None if held is None else held.advertised)
        if isinstance(verdict, Refusal):
            return self._refuse(request, verdict, now)
        sid, seq, body = verdict
        early = held is not None and held.state is _SUBSCRIBING
        if held is None and request.target == self._policy.shared_path:
            held = self._sids.get(sid)
            early = (
                held is None
                and bool(self._subscribing)
                and may_be_early(sid, seq, (one.sid for one in self._early))
            )
        if not early and (held is None or held.sid != sid):
            if sid in self._late:
                slow = self._late[sid]
                slow.slow = True
                self.stop_waiting(slow)
            return self._refuse(
                request,
                Refusal(412, "no subscription has this path and SID", "UDA 2.0 §4.3.2"),
                now,
            )
        if held is not None and not self._has_expected_source(held, request):
            return self._refuse(
                request, Refusal(412, "events are taken from the device's address alone", ""), now
            )
        try:
            pairs = parse_propertyset(body, self._limits)
        except RemoteProtocolError as error:
            return self._refuse(
                request, Refusal(error.status, str(error.args[0]), error.clause), now
            )
        received = Received(sid, seq, hash(body), pairs)
        if early:
            # Matched once the answer has told the SID. When no more fit, the newest takes the
            # place of the last: its SEQ then shows that something is missing.
            waiting = self._early if held is None else held.early
            if len(waiting) < self._limits.early_messages:
                waiting.append(received)
            elif waiting[-1].sid == sid:
                waiting[-1] = received
            return notify_response(self._policy, request), None, received
        assert held is not None
        held.head = request.head
        held.answer = notify_response(self._policy, request)
        return held.answer, held, received

    def _receive_like_before(
        self, held: HeldSubscription, request: Request, now: float
    ) -> tuple[Response, HeldSubscription | None, Received]:
        """A request whose head differs from an accepted one in SEQ and CONTENT-LENGTH alone:
        these and the body are all there is to judge."""
        body = request.body
        try:
            seq = parse_seq(request.seq)
            pairs = parse_propertyset(body, self._limits)
        except ValueError as error:
            return self._refuse(request, Refusal(400, str(error), "UDA 2.0 §4.3.2"), now)
        except RemoteProtocolError as error:
            return self._refuse(
                request, Refusal(error.status, str(error.args[0]), error.clause), now
            )
        # Half the time of Received(…), which is the same.
        return held.answer, held, tuple.__new__(Received, (held.sid, seq, hash(body), pairs))

    def _has_expected_source(self, held: HeldSubscription, request: Request) -> bool:
        if held.device_host is None or request.peer is None:
            return True
        source = request.peer.host
        if source == held.device_host:
            return True
        refused = self._policy.require_device_source
        told = held.foreign_sources
        if source not in told and len(told) < _FOREIGN_SOURCES_TOLD:
            told.add(source)
            self._report(ForeignSource(held, source, refused))
        return not refused

    def _refuse(
        self, request: Request, refusal: Refusal, now: float
    ) -> tuple[Response, None, Received]:
        status, reason, peer = refusal.status, refusal.reason, request.peer
        self._report(NotifyRefused(peer, request.target, status, reason))
        if self.callers is not None and peer is not None:
            self.callers.refused(peer, request.target, status, reason, now)
        return refusal_response(refusal, self._policy, request), None, _NOTHING


_NOTHING = Received("", None, 0, ())
