"""Whatever a device sends: its state is what the program sees, or the program is told otherwise."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from propchange.core.diagnosis.rules import diagnose
from propchange.core.publisher.judge import PublisherPolicy
from propchange.core.publisher.records import EventedVariable
from propchange.core.subscriber.events import Status
from propchange.core.subscriber.outcomes import SeqUnreliable
from propchange.core.wire.messages import Delivery, DeliveryFailure, Request, Response
from propchange.core.wire.refusals import Part, Refusal
from propchange.http import RequestParser, encode_delivery
from propchange.testing import Link

pytestmark = pytest.mark.slow

SOON = 10.0
"""Seconds within which a loss that the bytes show is said."""

SECONDS = st.sampled_from([0.0, 0.3, 1.0, 3.0, 7.0, 20.0, 65.0])
PLAYS = st.sampled_from(
    [
        *("whole", "whole", "whole", "late", "twice", "garbage", "cut", "cut head", "too long"),
        *("other host", "no nt", "other sid", "no seq", "broken lastchange", "empty", "dropped"),
    ]
)


class Device(Link):
    """A device that sends each message as the next of ``plays`` says, and answers a renewal with
    another SID if ``renames``: its events then have the old SID, the new one, or do not come."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.plays = itertools.cycle(["whole"])
        self.renames: str | None = None
        self.sids: dict[str, str] = {}
        self.silent: set[str] = set()
        self.shown_at: float | None = None
        """When bytes came that show a loss; None if there were none since all was right."""
        self.wasted = 0

    def _send_delivery(self, delivery: Delivery) -> None:
        sid = delivery.address.sid
        play = next(self.plays)
        self._waiting.add(delivery)
        if sid in self.silent:
            self._at(self.now, lambda: self._ended(delivery, 200))
            return
        data = encode_delivery(delivery)
        if sid in self.sids:
            data = data.replace(sid.encode(), self.sids[sid].encode())
        if play == "whole":
            self._at(self.now, lambda: self._arrive(delivery, data))
        elif play == "late":
            self._at(self.now + 4.0, lambda: self._arrive(delivery, data))
        elif play == "twice":
            self._at(self.now, lambda: self._arrive(delivery, data))
            self._at(self.now + 0.5, lambda: self._arrive(delivery, data))
        elif play in ("empty", "dropped"):
            self._at(self.now, lambda: self._nothing(delivery, play))
        else:
            self._at(self.now, lambda: self._arrive(delivery, BROKEN[play](data), shows=True))

    def _nothing(self, delivery: Delivery, play: str) -> None:
        if play == "empty":
            self.subscriber.connection_wasted(self.publisher_end.host, "it is empty", self.now)
            self.wasted += 1
            if self.wasted >= self.limits.wasted_connections:
                self._show()
        self._ended(delivery, DeliveryFailure.CONNECT)

    def _show(self) -> None:
        if self.shown_at is None:
            self.shown_at = self.now

    def _arrive(self, delivery: Delivery, data: bytes, *, shows: bool = False) -> None:
        record = next(iter(self.subscriber.subscriptions), None)
        if shows and record is not None and record.path and record.path.encode() in data:
            self._show()
        parser = RequestParser(self.limits, peer=self.publisher_end, local=self.subscriber_end)
        status = 400
        for request in parser.feed(data):
            status = self.subscriber.receive_notify(request, self.now).status
        if parser.in_message or parser.error is not None:
            cut = Refusal(0, "it ended", "", Part.REST if parser.in_message else Part.FRAMING)
            assert parser.begun is not None
            self.subscriber.request_cut(parser.begun, cut, self.now)
        if status == 200 and not shows:
            self.wasted = 0
        self._ended(delivery, status)

    def _ended(self, delivery: Delivery, result: int | DeliveryFailure) -> None:
        if delivery in self._waiting:
            self._waiting.discard(delivery)
            self.publisher.delivery_ended(delivery, result, self.now)

    def answer(self, request: Request, response: Response) -> Response:
        """The answer to a request of the control point."""
        sid = request.fields.get(b"sid")
        if sid is None or self.renames is None or response.status != 200:
            return response
        own = sid.decode()
        theirs = next((old for old, new in self.sids.items() if new == own), own)
        name = f"uuid:renamed-{len(self.subscribes)}"
        if self.renames == "goes on":
            self.sids[theirs] = name
        elif self.renames == "silent":
            self.silent.add(theirs)
            self._show()
        headers = [
            (key, name.encode() if key == b"SID" else text) for key, text in response.headers
        ]
        return Response(200, headers, receipt=response.receipt)


BROKEN: dict[str, Any] = {
    "garbage": lambda data: data.replace(b"<e:property>", b"<e:propert", 1),
    "cut": lambda data: data[:-7],
    "cut head": lambda data: data.partition(b"SEQ")[0],
    "too long": lambda data: data.replace(b"CONTENT-LENGTH: ", b"CONTENT-LENGTH: 99999"),
    "other host": lambda data: data.replace(b"HOST: ", b"HOST: x"),
    "no nt": lambda data: data.replace(b"NT: ", b"X: ", 1),
    "other sid": lambda data: data.replace(b"SID: uuid", b"SID: dddd"),
    "no seq": lambda data: data.replace(b"SEQ: ", b"SEQ: x"),
    "broken lastchange": lambda data: (
        data.replace(b"&lt;Event", b"&lt;Even", 1)
        if b"LastChange" in data
        else data.replace(b"<e:property>", b"<e:propert", 1)
    ),
}


class AnsweringPublisher:
    """The publisher of a device that answers requests in its own way."""

    def __init__(self, publisher: Any, device: Any) -> None:
        self._publisher = publisher
        self._device = device

    def __getattr__(self, name: str) -> Any:
        return getattr(self._publisher, name)

    def receive_request(self, request: Request, now: float) -> Any:
        return self._device.answer(request, self._publisher.receive_request(request, now))


class LossMachine(RuleBasedStateMachine):
    @initialize(
        jitters=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=4),
        duration=st.sampled_from([12, 300]),
    )
    def begin(self, jitters: list[float], duration: int) -> None:
        in_turn = itertools.cycle(jitters)
        self.serial = 0
        self.unreliable = False
        self.device = device = Device(
            jitter=lambda: next(in_turn),
            publisher_policy=PublisherPolicy(
                minimum_duration=1, default_duration=duration, maximum_duration=duration
            ),
        )
        device.add_service("/evt", {"A": EventedVariable("0"), "B": EventedVariable("0")})
        device.publisher = AnsweringPublisher(device.publisher, device)
        self.record = device.subscribe("/evt")
        device.run(1)

    # --- what happens ---

    @rule(name=st.sampled_from(["A", "B"]), times=st.integers(1, 3), seconds=SECONDS)
    def update(self, name: str, times: int, seconds: float) -> None:
        for _ in range(times):
            self.serial += 1
            self.device.update("/evt", {name: str(self.serial)})
            self._run(0.1)
        self._run(seconds)

    @rule(plays=st.lists(PLAYS, min_size=1, max_size=5), seconds=SECONDS)
    def play(self, plays: list[str], seconds: float) -> None:
        self.device.plays = itertools.cycle(plays)
        self._run(seconds)

    @rule(how=st.sampled_from([None, "goes on", "silent", "old SID"]), seconds=SECONDS)
    def rename(self, how: str | None, seconds: float) -> None:
        self.device.renames = how
        self._run(seconds)

    @rule(seconds=SECONDS)
    def wait(self, seconds: float) -> None:
        self._run(seconds)

    def _run(self, seconds: float) -> None:
        end = self.device.now + seconds
        while self.device.now < end:
            self.device.run(min(0.5, end - self.device.now))
            self.the_state_is_right_or_the_status_says_otherwise()

    # --- what is true all the time ---

    @property
    def right(self) -> bool:
        texts: dict[str, str] = self.device.publisher._services["/evt"].texts
        return bool(self.record.values == texts)

    @invariant()
    def the_state_is_right_or_the_status_says_otherwise(self) -> None:
        device, record = self.device, self.record
        self._take_outcomes()
        if self.right or record.status is not Status.ACTIVE:
            device.shown_at = None
        elif device.shown_at is not None and not self.unreliable:
            assert device.now - device.shown_at <= SOON

    def _take_outcomes(self) -> None:
        for outcome in self.device.subscriber_outcomes:
            self.unreliable |= isinstance(outcome, SeqUnreliable)
        self.device.subscriber_outcomes.clear()

    @invariant()
    def a_diagnosis_calls_nothing_well_that_is_lost(self) -> None:
        record = self.record
        diagnosis = diagnose(self.device.subscriber.facts(record, self.device.now))
        if diagnosis.well:
            assert record.status is Status.ACTIVE
            assert (record.loss, record.doubt) == (None, None)

    @invariant()
    def the_device_is_not_hammered(self) -> None:
        sent = [when for when, _ in self.device.subscribes]
        for first, begin in enumerate(sent):
            for number, moment in enumerate(sent[first : first + 40], start=1):
                assert number <= self.device.limits.subscribe_burst + (moment - begin) + 1e-6
        del self.device.subscribes[:-40]

    # --- the end ---

    def teardown(self) -> None:
        if not hasattr(self, "device"):
            return
        device, record = self.device, self.record
        note(f"before the end: {record} {record.status} {record.loss} {record.repair}")
        device.plays, device.renames = itertools.cycle(["whole"]), None
        device.silent.clear()
        device.run(70)
        self.serial += 1
        device.update("/evt", {"A": str(self.serial)})
        device.run(70)
        note(f"at the end: {record} {record.status} {record.values}")
        assert record.status is Status.ACTIVE
        self._take_outcomes()
        if not self.unreliable:
            assert self.right
        device.unsubscribe(record)
        device.run(60)
        assert device.subscriber.next_deadline() is None
        assert not device.subscriber._routing._sids
        assert not device.subscriber._routing._by_host


TestLosses = LossMachine.TestCase
TestLosses.settings = settings(
    max_examples=settings().max_examples,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
