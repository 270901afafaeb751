"""One device and one subscriber, with failures between them in random order.

Whatever happens: SUBSCRIBEs stay within the token bucket, no status is told twice in a row, and
once nothing is wrong any more, within a renewal interval and five seconds the subscriber knows
what the publisher knows.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from math import inf

from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.publisher.judge import PublisherPolicy
from propchange.core.publisher.records import EventedVariable
from propchange.core.subscriber.events import Cause, Event, Status, StatusChange
from propchange.core.subscriber.outcomes import SeqUnreliable
from propchange.core.subscriber.record import SubscriptionRecord
from propchange.core.subscriber.requests import Failure
from propchange.core.subscriber.states import SubscriberState as S
from propchange.core.wire.messages import Endpoint
from propchange.testing import DELIVER, Fate, Link, Message

DEVICE = "uuid:device"
DURATION = 20
LIMITS = replace(DEFAULT_LIMITS, request_seconds=8.0)
"""What a request in silence waits for would hide how soon the next one is made."""

HOSTS = ("10.0.0.2", "10.0.0.3", "10.0.0.4")
SECONDS = st.sampled_from([0.0, 0.4, 1.0, 3.0, 6.0, 12.0, 25.0, 70.0])
FATES = st.sampled_from(
    [
        Fate((0.3,)),
        Fate((2.0,)),
        Fate((9.0,)),
        Fate((0.0, 0.0)),
        Fate((0.1, 2.5)),
        *(Fate((), failure=failure) for failure in Failure if failure is not Failure.DESCRIPTION),
        Fate((), told=False),
    ]
)
KINDS = st.sampled_from(["SUBSCRIBE", "UNSUBSCRIBE", "DESCRIBE", "NOTIFY", "answer"])
TIMEOUTS = st.sampled_from(
    [None, b"Second-1", b"Second-3", b"Second-infinite", b"junk", b"", b"Second-0", b"300"]
)


class RecoveryMachine(RuleBasedStateMachine):
    record: SubscriptionRecord

    @initialize(
        jitters=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=5),
        describable=st.booleans(),
        hosts=st.integers(1, 3),
    )
    def begin(self, jitters: list[float], describable: bool, hosts: int) -> None:
        self.weather: dict[Message, Fate] = {}
        self.serial = 0
        self.last: tuple[Status, Cause] | None = None
        self.causes: list[Cause] = []
        self.seq: dict[str, int] = {}
        self.believed = True
        in_turn = itertools.cycle(jitters)

        self.link = link = Link(
            fate=lambda message: self.weather.get(message, DELIVER),
            jitter=lambda: next(in_turn),
            limits=LIMITS,
            publisher_policy=PublisherPolicy(
                minimum_duration=1, default_duration=DURATION, maximum_duration=DURATION
            ),
        )
        link.have_addresses(*HOSTS[:hosts])
        link.add_service("/evt", {"A": EventedVariable("0"), "B": EventedVariable("0")})
        self.record = link.subscribe(
            "/evt", duration=DURATION, device=DEVICE, describable=describable
        )
        link.described_at[self.record] = link.url("/evt")

    # --- what happens ---

    @rule(name=st.sampled_from(["A", "B"]), times=st.integers(1, 4), seconds=SECONDS)
    def update(self, name: str, times: int, seconds: float) -> None:
        for _ in range(times):
            self.serial += 1
            self.link.update("/evt", {name: str(self.serial)})
        self.link.run(seconds)

    @rule(seconds=SECONDS)
    def wait(self, seconds: float) -> None:
        self.link.run(seconds)

    @rule(weather=st.dictionaries(KINDS, FATES, max_size=4), seconds=SECONDS)
    def change_weather(self, weather: dict[Message, Fate], seconds: float) -> None:
        self.weather = weather
        self.link.run(seconds)

    @rule(status=st.sampled_from([None, None, 400, 404, 412, 500, 503, 200]), seconds=SECONDS)
    def answer(self, status: int | None, seconds: float) -> None:
        self.link.answers = lambda request: status
        self.link.run(seconds)

    @rule(timeout=TIMEOUTS, seconds=SECONDS)
    def grant(self, timeout: bytes | None, seconds: float) -> None:
        self.link.timeout = timeout
        self.link.run(seconds)

    @rule(
        seq=st.sampled_from([lambda n: n, lambda n: 0, lambda n: 2 * n, lambda n: n % 3]),
        seconds=SECONDS,
    )
    def miscount(self, seq, seconds: float) -> None:
        self.link.seq = seq
        self.link.run(seconds)

    @rule(moves=st.booleans(), known=st.booleans(), seconds=SECONDS)
    def restart(self, moves: bool, known: bool, seconds: float) -> None:
        link = self.link
        if moves and self.record.describable:
            end = link.publisher_end
            link.move_publisher(Endpoint("10.0.0.1", 8000 + (end.port + 1) % 3))
            link.described_at[self.record] = link.url("/evt")
        else:
            link.restart_publisher()
        if known:
            link.subscriber.device_rebooted(DEVICE, link.now)
        link.run(seconds)

    @rule(
        news=st.lists(
            st.sampled_from(["device_gone", "device_rebooted", "device_moved"]), max_size=6
        ),
        seconds=SECONDS,
    )
    def announce(self, news: list[str], seconds: float) -> None:
        for what in news:
            getattr(self.link.subscriber, what)(DEVICE, self.link.now)
            self.link.run(0.1)
        self.link.run(seconds)

    @rule(hosts=st.sets(st.sampled_from(HOSTS), min_size=1), seconds=SECONDS)
    def change_addresses(self, hosts: set[str], seconds: float) -> None:
        self.link.have_addresses(*sorted(hosts))
        self.link.run(seconds)

    @rule(hosts=st.sets(st.sampled_from(HOSTS)), seconds=SECONDS)
    def deafen(self, hosts: set[str], seconds: float) -> None:
        self.link.deaf = hosts
        self.link.run(seconds)

    @rule(slept=st.sampled_from([11.0, 30.0, 4_000.0]), seconds=SECONDS)
    def suspend(self, slept: float, seconds: float) -> None:
        self.link.suspend(slept)
        self.link.run(seconds)

    # --- what is true all the time ---

    @invariant()
    def a_status_is_told_once(self) -> None:
        outcomes = self.link.subscriber_outcomes
        for outcome in outcomes:
            if isinstance(outcome, SeqUnreliable):
                self.believed = False
            elif isinstance(outcome, Event) and self.believed and outcome.seq is not None:
                assert outcome.seq > self.seq.get(outcome.sid, -1) or self.link.seq(3) != 3
                self.seq[outcome.sid] = outcome.seq
            if not isinstance(outcome, StatusChange):
                continue
            told = (outcome.status, outcome.cause)
            assert told != self.last
            assert outcome.reason
            assert outcome.reason == outcome.reason.strip().rstrip(".")
            self.last = told
        if self.last is not None:
            assert self.last == (self.record.status, self.record.status_cause)
        outcomes.clear()

    @invariant()
    def the_status_says_how_it_is(self) -> None:
        record = self.record
        if record.status is Status.ACTIVE:
            assert record.state is S.ACTIVE
        if record.state is S.ACTIVE:
            assert record.status is Status.ACTIVE
        if record.state is S.DEAF:
            assert record.status is Status.DEAF
        # Whatever it waits for comes to an end: somebody is always asked again.
        assert self.link.subscriber.next_deadline() is not None

    @invariant()
    def requests_stay_within_the_token_bucket(self) -> None:
        sent = [when for when, _ in self.link.subscribes]
        for first, begin in enumerate(sent):
            for number, moment in enumerate(sent[first : first + 40], start=1):
                assert number <= LIMITS.subscribe_burst + (moment - begin) + 1e-6
        del self.link.subscribes[:-40]

    # --- the end ---

    def teardown(self) -> None:
        if not hasattr(self, "link"):
            return
        link, record = self.link, self.record
        note(f"before the end: {record} {record.status} {record.failures} {record.sources.bound}")
        # What is under way has its time, and a publisher sends a message for a minute.
        late = self._is_slow()
        self.weather, link.answers, link.timeout = {}, lambda request: None, None
        link.seq, link.deaf = (lambda seq: seq), set()
        # Between renewals, as last granted; before any grant backoff has no such bound.
        longest = record.interval if record.interval < inf else LIMITS.backoff_most_seconds
        link.run(longest + 5 + late)
        # GENA cannot tell that the last event was lost; the next one does.
        self.serial += 1
        link.update("/evt", {"A": str(self.serial)})
        link.run(5)
        self.a_status_is_told_once()
        note(f"at the end: {record} {record.values} {link.publisher._services['/evt'].texts}")
        assert record.state is S.ACTIVE
        assert record.values["A"] == str(self.serial)
        if self.believed:
            assert record.values == link.publisher._services["/evt"].texts
        link.unsubscribe(record)
        link.run(100)
        assert record.state is S.CLOSED
        assert link.subscriber.next_deadline() is None
        assert not link.subscriber._routing._late

    def _is_slow(self) -> float:
        """How much longer what is already under way may take."""
        return LIMITS.request_seconds + 9.0


TestRecovery = RecoveryMachine.TestCase
TestRecovery.settings = settings(
    max_examples=settings().max_examples,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
