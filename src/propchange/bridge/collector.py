"""One collector: its lease, the devices that it owns, and what it writes for them.

Does no I/O and reads no clock. The program gives it what it sees on the network and what the store
shows, performs :meth:`Collector.operations`, and gives back the answers. It takes
:meth:`Collector.outcomes`: which devices to subscribe to.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from propchange.bridge.claims import Claims, Dropped, Forgotten, Moving, Taken
from propchange.bridge.collector_limits import DEFAULT_COLLECTOR_LIMITS, CollectorLimits
from propchange.bridge.leases import NEVER, Lease, LeaseValue, Neighbours
from propchange.bridge.shared_state import (
    Chain,
    ServiceOutput,
    WaitingEvent,
    WaitingTotals,
    characters_of,
)
from propchange.bridge.store import Answer, Operation, Outcome, Place
from propchange.bridge.unowned import UnownedStates

_FIRST = 4
"""Operations at the same time, in multiples of ``least_operations``, until it is known how fast the
store answers."""


class Collector:
    """The collector ``name``. ``session`` is a random text, new with each start. Collectors with
    one ``segment`` share the devices that they see."""

    def __init__(
        self,
        name: str,
        session: str,
        *,
        segment: str = "",
        limits: CollectorLimits = DEFAULT_COLLECTOR_LIMITS,
    ) -> None:
        self.name = name
        self.session = session
        self.limits = limits
        self.totals = WaitingTotals()
        self.lease = Lease(name, LeaseValue(session, segment), limits)
        self.neighbours = Neighbours(name, limits)
        self._outcomes: list[Taken | Dropped | Moving | Forgotten] = []
        self.claims = Claims(self.lease, self.neighbours, limits, self._receive)
        self.unowned = UnownedStates(self.lease, self.neighbours, limits)
        self.outputs: dict[str, ServiceOutput] = {}
        self._of_device: dict[str, dict[str, ServiceOutput]] = {}
        self._ready: dict[tuple[str, Place], None] = {}
        self._later: list[tuple[float, str, str]] = []
        # Services whose state is to be written again, and those whose write has no answer yet.
        self._again: deque[str] = deque()
        self._writing_again: set[str] = set()
        # Devices whose events are written before they are released, with the reason, and whether
        # this collector cannot reach them; without a reason: they move.
        self._releasing: dict[str, tuple[str, bool]] = {}
        self._suspected: dict[str, int] = {}
        # The operations that wait for an answer, by their identity, and when they were sent.
        self._in_flight: dict[int, float] = {}
        self._window = _FIRST * limits.least_operations
        self._narrowed_at = 0.0
        self._numbers = 0
        self._away = True
        self._connected = False

    @property
    def away(self) -> bool:
        """Whether the store is away."""
        return self._away

    # --- the network ---

    def see(self, udn: str, now: float) -> None:
        """This collector can reach the root device ``udn``."""
        if self._releasing.get(udn, ("", False))[0]:
            del self._releasing[udn]
        self.claims.see(udn, now)

    def leave(self, udn: str, reason: str, now: float) -> None:
        """The device has gone. Its events are written before it is released."""
        self._releasing[udn] = reason, False
        self._release(udn, now)

    def give_up(self, udn: str, reason: str, now: float) -> None:
        """This collector does not reach the device. If there is another one that may, the device is
        released, after its events are written."""
        if udn not in self._releasing:
            self._releasing[udn] = reason, True
            self._release(udn, now)

    def unsubscribed(self, udn: str, now: float) -> None:
        """The services of a device that moves are not subscribed to any more."""
        self._releasing.setdefault(udn, ("", False))
        self._release(udn, now)

    def open(self, udn: str, key: str, snapshot: Callable[[], Mapping[str, Any]]) -> None:
        """Write the service ``key`` of a device that is ours. ``snapshot`` returns its state."""
        term = self.claims[udn].taken
        if not term:
            return
        former = self.outputs.get(key)
        if former is not None:
            former.discard()
        output = ServiceOutput(
            udn, key, term, self.session, snapshot, self._suspect, self.limits, self.totals
        )
        self.outputs[key] = self._of_device.setdefault(udn, {})[key] = output
        self._wake(output)

    def event(
        self,
        key: str,
        values: Mapping[str, Any],
        sid: str,
        seq: int | None,
        time: str | None,
        *,
        initial: bool = False,
        polled: bool = False,
        merged: int = 0,
    ) -> None:
        """Write an event of a service that is open.

        The id of its message has SID, SEQ and a number of ours: there are devices that give each
        subscription the same SID, or each event the same SEQ."""
        output = self.outputs.get(key)
        if output is None or output.ended:
            return
        self._numbers += 1
        id = f"{self.session}.{self._numbers}.{sid}.{seq}"
        size = characters_of(values)
        output.put(WaitingEvent(id, sid, seq, time, dict(values), merged, initial, polled, size))
        self._wake(output)

    def state_changed(self, key: str) -> None:
        """The state of a service has changed without an event."""
        output = self.outputs.get(key)
        if output is not None and not output.ended:
            output.changed = True
            self._wake(output)

    # --- the store ---

    def store_away(self) -> None:
        """The store cannot be reached. Nothing is asked of it until it is back."""
        self._away, self._connected = True, False

    def store_connected(self, now: float) -> None:
        """There is a connection to the store. The own lease is renewed, and nothing else is asked:
        what others have written was not shown yet."""
        self._connected = True
        self.lease.renew_soon(now)

    def store_back(self, now: float) -> None:
        """The store can be reached, and the leases in it were given to :meth:`lease_seen`."""
        self._away, self._connected = False, True
        self.lease.renew_soon(now)
        # A server that was killed may have lost what it had answered: the states are written again,
        # after what is new. This also finds out which devices another collector has taken over.
        self._write_states()
        self.neighbours.store_answers(now)
        self.neighbours.store_back(now)
        self.unowned.look_at(now + self.limits.lease_seconds + self.limits.unowned_seconds)

    def _write_states(self) -> None:
        self._again = deque(self.outputs)

    def lease_seen(self, collector: str, revision: int, value: bytes, now: float) -> None:
        """A lease as the store shows it; revision 0 or no value: there is none."""
        self.neighbours.store_answers(now)
        self._died(self.neighbours.heard(collector, revision, value, now), now)

    def _died(self, sessions: set[str], now: float) -> None:
        if sessions:
            self.claims.died(sessions, now)
            self.unowned.look_at(now + self.limits.unowned_seconds)

    def claim_seen(self, udn: str, revision: int, value: bytes, now: float) -> None:
        """A claim as the store shows it."""
        self.claims.watched(udn, revision, value, now)

    @property
    def deadline(self) -> float:
        """When :meth:`operations` is to be called at the latest. Call it after each input too."""
        lease = NEVER if self.lease.waits else self.lease.deadline
        if self._away:
            return lease if self._connected else NEVER
        if len(self._in_flight) >= self._window:  # the next answer makes room
            return min(lease, self.neighbours.deadline)
        if self._ready:
            return 0.0
        if self._again and len(self._writing_again) < self.limits.again_operations:
            return 0.0
        later = self._later[0][0] if self._later else NEVER
        return min(
            lease, self.neighbours.deadline, self.claims.deadline, self.unowned.deadline, later
        )

    def operations(self, now: float) -> list[Operation]:
        """The operations that are due. Their answers go to :meth:`answered`."""
        if not self._connected:
            return []
        if self.lease.held(now) and not self._away:
            self.claims.offer(now)
        self.lease.value.devices = self.claims.owned
        due: list[Operation] = []
        lease = self.lease.operation(now)
        if lease is not None:
            due.append(lease)
        if self._away:
            return self._sent(due, now)
        due += self.neighbours.operations(now)
        room = self._window - len(self._in_flight) - len(due)
        for source in (
            self.claims.operations(now),
            self._writes(now),
            self._writes_again(now),
            self.unowned.operations(now),
        ):
            while room > 0 and (operation := next(source, None)) is not None:
                due.append(operation)
                room -= 1
        return self._sent(due, now)

    def _sent(self, operations: list[Operation], now: float) -> list[Operation]:
        for each in operations:
            self._in_flight[id(each)] = now
        first = _FIRST * self.limits.least_operations
        if len(self._in_flight) < first:  # it says nothing about more at the same time
            self._window = min(self._window, first)
        return operations

    def _pace(self, sent_at: float, now: float) -> None:
        """Ask more at the same time if the store answers soon, and half as much if it does not."""
        limits = self.limits
        if now - sent_at < limits.slow_seconds:
            self._window = min(self._window + 1, limits.operations)
        elif sent_at >= self._narrowed_at:  # one that was sent before is not counted
            self._window = max(self._window // 2, limits.least_operations)
            self._narrowed_at = now

    def _writes(self, now: float) -> Iterator[Operation]:
        while self._later and self._later[0][0] <= now:
            _, key, name = heapq.heappop(self._later)
            self._ready[key, Place(name)] = None
        while self._ready:
            key, place = next(iter(self._ready))
            del self._ready[key, place]
            output = self.outputs.get(key)
            if output is None:
                continue
            chain = output.events if place is Place.EVENTS else output.state
            if chain.in_flight is None and chain.not_before > now:
                heapq.heappush(self._later, (chain.not_before, key, place.value))
                continue
            operation = output.operation(chain, now)
            if operation is not None:
                yield operation
            else:
                self._settle(output, now)

    def _writes_again(self, now: float) -> Iterator[Operation]:
        while self._again and len(self._writing_again) < self.limits.again_operations:
            output = self.outputs.get(self._again.popleft())
            if output is None or output.ended:
                continue
            output.changed = True
            if output.state.not_before <= now and (
                operation := output.operation(output.state, now)
            ):
                self._writing_again.add(output.key)
                yield operation
            else:
                self._wake(output)

    def answered(self, operation: Operation, answer: Answer, now: float) -> None:
        """Receive the answer to an operation."""
        self._pace(self._in_flight.pop(id(operation), now), now)
        if self.unowned.asked(operation):
            self.unowned.answered(operation, answer, now)
        elif operation.place is Place.CLAIMS:
            self.claims.answered(operation, answer, now)
        elif operation.place is Place.LEASES:
            if answer.outcome in (Outcome.DONE, Outcome.CONFLICT):
                self.neighbours.store_answers(now)
            if operation.key == self.name:
                lapses = self.lease.lapses
                self.lease.answered(operation, answer, now)
                if self.lease.lapses > lapses:
                    self.claims.recheck(now)
                    # Another collector may have written that nobody owns them.
                    self._write_states()
            else:
                self._died(self.neighbours.answered(operation, answer, now), now)
        else:
            if operation.place is Place.STATE:
                self._writing_again.discard(operation.key)
            output = self.outputs.get(operation.key)
            if output is not None:
                is_event = operation.place is Place.EVENTS
                self._chain_answered(
                    output, output.events if is_event else output.state, operation, answer, now
                )
        while self._suspected:
            udn, term = self._suspected.popitem()
            self.claims.raise_term(udn, term, now)

    def _chain_answered(
        self,
        output: ServiceOutput,
        chain: Chain,
        operation: Operation,
        answer: Answer,
        now: float,
    ) -> None:
        if chain.in_flight is operation:
            output.answered(chain, answer, now)
            self._ready[output.key, chain.place] = None

    # --- the outcomes ---

    def outcomes(self) -> list[Taken | Dropped | Moving | Forgotten]:
        """What has happened to devices since the last call."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    @property
    def rests(self) -> bool:
        """Whether everything that was taken from devices was written."""
        return all(output.rests for output in self.outputs.values())

    def stop_claiming(self) -> None:
        """Claim no more devices: this collector is about to end."""
        self.lease.claims_from = NEVER

    def end(self, now: float) -> None:
        """Give the lease back: others take over at once."""
        self.stop_claiming()
        self.lease.value.ended = True
        self.lease.renew_soon(now)

    def _receive(self, outcome: Taken | Dropped | Moving | Forgotten) -> None:
        outputs = self._of_device.get(outcome.udn, {})
        if isinstance(outcome, Taken):
            self.totals.taken += 1
            outputs = {key: each for key, each in outputs.items() if not each.ended}
            for output in outputs.values():
                output.new_term(outcome.term)
                self._wake(output)
        elif isinstance(outcome, Dropped):
            self.totals.lost += outcome.lost
            self._releasing.pop(outcome.udn, None)
            for output in outputs.values():
                output.end(lost=outcome.lost)
                self._wake(output)
        elif isinstance(outcome, Moving):
            pass
        elif outcome.deleted:
            for output in outputs.values():
                output.deletes = True
                self._wake(output)
        else:
            for key in outputs:
                self.outputs.pop(key, None)
            self._of_device.pop(outcome.udn, None)
        self._outcomes.append(outcome)

    def _suspect(self, udn: str, term: int) -> None:
        self._suspected[udn] = max(term, self._suspected.get(udn, 0))

    def _wake(self, output: ServiceOutput) -> None:
        self._ready[output.key, Place.EVENTS] = None
        self._ready[output.key, Place.STATE] = None

    def _settle(self, output: ServiceOutput, now: float) -> None:
        """Nothing is to be written for ``output`` at present."""
        if output.ended and output.rests and not output.deletes and output.udn not in self.claims:
            self.outputs.pop(output.key, None)
            of_device = self._of_device.get(output.udn, {})
            of_device.pop(output.key, None)
            if not of_device:
                self._of_device.pop(output.udn, None)
        if output.udn in self._releasing and output.rests:
            self._release(output.udn, now)

    def _release(self, udn: str, now: float) -> None:
        outputs = self._of_device.get(udn, {}).values()
        if all(output.rests or output.ended for output in outputs):
            reason, unreachable = self._releasing.pop(udn)
            if not reason:
                self.claims.hand_over(udn, now)
            elif unreachable:
                self.claims.give_up(udn, reason, now)
            else:
                self.claims.leave(udn, reason, now)
