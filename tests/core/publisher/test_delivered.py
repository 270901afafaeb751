"""``delivered``, the short way for deliveries that were answered with 200."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.publisher.judge import PublisherPolicy
from propchange.core.publisher.outcomes import AttemptTimedOut
from propchange.core.publisher.records import EventedVariable
from propchange.core.wire.headers import LARGEST_SEQ
from propchange.core.wire.messages import Delivery, DeliveryFailure
from tests.core.publisher.test_protocol import Device

LIMITS = replace(
    DEFAULT_LIMITS,
    connections_per_delivery_endpoint=2,
    waiting_messages=2,
    subscriptions=8,
    attempt_seconds=25.0,
    message_seconds=30.0,
)
URLS = [f"http://10.0.0.2:{port}/" for port in (1, 2, 3)]
FAILURES = [412, 500, DeliveryFailure.STALE, DeliveryFailure.CONNECT]


class Twins:
    """Two publishers with the same inputs. Answers with 200 go to ``delivered`` of the first one,
    and to ``delivery_ended`` of the other one."""

    def __init__(self, limits: Any = LIMITS) -> None:
        self.devices = [self._device(limits) for _ in range(2)]
        self.in_flight: list[tuple[Delivery, Delivery]] = []

    def _device(self, limits: Any) -> Device:
        device = Device(
            policy=PublisherPolicy(uda="2.0", callbacks="any", initial_event_delay=0),
            limits=limits,
            A=EventedVariable("0"),
            B=EventedVariable("0"),
        )
        device.at(0.0)
        return device

    def subscribe(self, urls: list[str], statevar: str = "") -> None:
        """Both get a SUBSCRIBE. If they grant it, the initial event may be taken."""
        for device in self.devices:
            response = device.ask(*urls, statevar=statevar)
            if response.status == 200:
                device.sent(response)

    def take(self, limit: int = 100) -> None:
        """Both begin the same deliveries, in the same order."""
        taken = [device.take(limit) for device in self.devices]
        self.in_flight += zip(*taken, strict=True)

    def answer(self, pairs: list[tuple[Delivery, Delivery]]) -> None:
        """Each of ``pairs`` is answered with 200."""
        for pair in pairs:
            if pair in self.in_flight:  # else it has timed out
                self.in_flight.remove(pair)
        first, other = self.devices
        first.protocol.delivered([pair[0] for pair in pairs], first.now)
        for pair in pairs:
            other.end(pair[1], 200)

    def fail(self, pair: tuple[Delivery, Delivery], result: int | DeliveryFailure) -> None:
        self.in_flight.remove(pair)
        for device, delivery in zip(self.devices, pair, strict=True):
            device.end(delivery, result)

    def state(self, device: Device) -> dict[str, Any]:
        """All that the next decisions depend on."""
        queue = device.protocol._queue
        return {
            "subscriptions": [
                (
                    each.sid,
                    each.state,
                    each.seq,
                    each.heard,
                    each.cursor,
                    each.merge_at,
                    each.message is None,
                    each.route,
                    each.fresh,
                    each.refusals,
                    each.took_event,
                )
                for each in device.protocol.subscriptions
            ],
            "loads": [
                (
                    load.endpoint,
                    load.in_flight,
                    load.users,
                    load.most,
                    load.taken,
                    load.failures,
                    load.paused,
                    load.share is None,
                    [each.sid for each in load.waiting],
                )
                for load in queue._endpoints.loads.values()
            ],
            "in flight": [(each.address.sid, each.seq) for each in queue._in_flight],
            "shortened": len(queue._shortened),
            "places": [(each.address.sid, each.seq) for each in queue._endpoints.places],
            "ready": [getattr(each, "sid", None) for each in queue._ready],
            "quiet": [each.sid for each in device.protocol._services["/evt"].quiet],
            "deadline": device.deadline(),
            "settled": device.protocol.settled,
        }

    def compare(self) -> None:
        first, other = self.devices
        assert self.state(first) == self.state(other)
        outcomes = [device.outcomes() for device in self.devices]
        for one, two in zip(*outcomes, strict=True):
            assert type(one) is type(two)
            if isinstance(one, AttemptTimedOut) and isinstance(two, AttemptTimedOut):
                self.in_flight.remove((one.delivery, two.delivery))
            else:
                assert one == two


@given(st.data())
def test_delivered_does_what_the_ends_of_its_deliveries_do_one_by_one(data: st.DataObject) -> None:
    twins = Twins()
    for urls in (URLS[:1], URLS[:1], URLS[:2], URLS[2:]):
        twins.subscribe(urls)
        twins.take()
        twins.answer(twins.in_flight[:])
    twins.compare()
    former: list[tuple[Delivery, Delivery]] = []
    clock = 0.0
    for _ in range(data.draw(st.integers(5, 30))):
        step = data.draw(st.sampled_from(["event"] * 5 + ["subscribe", "cancel", "renew", "wait"]))
        sids = twins.devices[0].sids()
        before = list(twins.in_flight)
        if step == "event":
            name, text = data.draw(st.sampled_from("AAB")), str(data.draw(st.integers(0, 9)))
            for device in twins.devices:
                device.update(**{name: text})
            twins.take(data.draw(st.sampled_from([1, 3, 100, 100])))
            before = list(twins.in_flight)
            answered: list[tuple[Delivery, Delivery]] = []
            for pair in before:
                result = data.draw(st.sampled_from([200, 200, 200, None, *FAILURES]))
                if result == 200:
                    answered.append(pair)
                elif result is not None:
                    twins.fail(pair, result)
            # A runtime may report the end of an attempt that has timed out or ended already.
            answered += data.draw(st.sampled_from([[], [], former[-2:]]))
            twins.answer(answered)
        elif step == "subscribe":
            urls = data.draw(st.lists(st.sampled_from(URLS), min_size=1, max_size=2))
            twins.subscribe(urls, statevar=data.draw(st.sampled_from(["", "", "A"])))
        elif step in ("cancel", "renew") and sids:
            sid = data.draw(st.sampled_from(sids))
            for device in twins.devices:
                _ = device.unsubscribe(sid) if step == "cancel" else device.renew(sid)
        elif step == "wait":
            clock += data.draw(st.sampled_from([0.5, 6.0, 26.0]))
            for device in twins.devices:
                device.at(clock)
        twins.compare()
        former += [pair for pair in before if pair not in twins.in_flight]


def test_seq_1_follows_the_largest_seq_in_delivered_too() -> None:
    device = Device()
    device.subscribe()
    (subscription,) = device.protocol.subscriptions
    subscription.seq = LARGEST_SEQ
    for text in ("1", "2"):
        device.update(A=text)
        delivery = device.take_one()
        device.protocol.delivered([delivery], device.now)
    assert delivery.seq == 1


def test_an_attempt_that_was_shortened_leaves_no_deadline_when_it_is_delivered() -> None:
    device = Device(limits=replace(DEFAULT_LIMITS, attempt_seconds=70.0))
    device.subscribe()
    device.update(A="1")
    delivery = device.take_one()
    assert device.protocol._queue.next_deadline() == device.now + 60.0
    device.protocol.delivered([delivery], device.now)
    assert device.protocol._queue.next_deadline() is None
