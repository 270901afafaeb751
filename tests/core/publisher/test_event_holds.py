"""The events of an action wait until its answer has been written, and never for long."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.multicast.message import MulticastScope, ServiceIdentity
from propchange.core.publisher.judge import PublisherPolicy
from propchange.core.publisher.protocol import PublisherProtocol
from propchange.core.publisher.records import EventedVariable
from tests.core.publisher.test_protocol import Device, shown

HELD = DEFAULT_LIMITS.held_event_seconds
UNREAD = DEFAULT_LIMITS.unread_answer_seconds
IPV4 = MulticastScope.IPV4
ANOTHER = "http://10.0.0.2:9001/events"


def subscribed(*urls: str) -> Device:
    device = Device()
    for url in urls or (ANOTHER,):
        device.subscribe(url)
    return device


def hold(device: Device, path: str = "/evt"):
    return device.protocol.hold(path, device.now)


def release(device: Device, held) -> None:
    device.protocol.release(held, device.now)


def test_an_event_of_an_action_leaves_after_the_answer() -> None:
    device = subscribed()
    held = hold(device)
    device.update(A="1")
    assert device.take() == []
    release(device, held)
    assert shown(device.take_one()) == (1, {"A": "1"})


def test_assignments_during_an_action_are_sent_in_their_order_each_as_an_event() -> None:
    device = subscribed()
    held = hold(device)
    device.update(A="of the action")
    device.update(B="of somebody else")
    device.update(A="of somebody else")
    assert device.drain() == []
    release(device, held)
    assert [shown(each) for each in device.drain()] == [
        (1, {"A": "of the action"}),
        (2, {"B": "of somebody else"}),
        (3, {"A": "of somebody else"}),
    ]


def test_events_from_before_the_action_do_not_wait() -> None:
    device = subscribed()
    device.update(A="1")
    device.update(A="2")
    first = device.take_one()
    held = hold(device)
    device.update(A="3")
    device.end(first)
    second = device.take_one()
    assert shown(second) == (2, {"A": "2"})
    device.end(second)
    assert device.take() == []
    release(device, held)
    assert shown(device.take_one()) == (3, {"A": "3"})


def test_other_services_are_not_held() -> None:
    device = subscribed()
    hold(device, "/other")
    device.protocol.update("/other", {"X": "1"}, device.now)
    device.update(A="1")
    assert shown(device.take_one()) == (1, {"A": "1"})


def test_all_holds_from_before_a_message_must_end_and_later_ones_do_not_count() -> None:
    device = subscribed()
    first = hold(device)
    device.update(A="1")
    second = hold(device)
    device.update(A="2")
    release(device, second)
    assert device.take() == []
    third = hold(device)
    device.update(A="3")
    release(device, first)
    assert [shown(each) for each in device.drain()] == [(1, {"A": "1"}), (2, {"A": "2"})]
    release(device, third)
    assert [shown(each) for each in device.drain()] == [(3, {"A": "3"})]


def test_a_subscription_that_begins_during_an_action_has_its_initial_event_at_once() -> None:
    device = Device()
    held = hold(device)
    device.update(A="1")
    device.owe()
    initial = device.take_one()
    assert shown(initial) == (0, {"A": "1", "B": "0"})
    device.end(initial)
    release(device, held)
    assert device.take() == []  # it has the value already


def test_a_hold_ends_by_itself() -> None:
    device = subscribed()
    held = hold(device)
    device.update(A="1")
    assert device.protocol.holds(held)
    assert device.deadline() == HELD
    device.at(HELD - 0.01)
    assert device.take() == []
    device.at(HELD)
    assert not device.protocol.holds(held)
    assert shown(device.take_one()) == (1, {"A": "1"})
    release(device, held)  # nothing happens any more
    device.protocol.hasten(held, device.now)
    assert device.take() == []


def test_a_hold_ends_soon_once_the_action_has_ended() -> None:
    device = subscribed()
    held = hold(device)
    device.update(A="1")
    device.at(2)
    device.protocol.hasten(held, device.now)
    device.at(2 + UNREAD - 0.01)
    assert device.take() == []
    device.at(2 + UNREAD)
    assert shown(device.take_one()) == (1, {"A": "1"})


def test_the_end_of_an_action_never_makes_its_hold_longer() -> None:
    device = subscribed()
    held = hold(device)
    device.update(A="1")
    device.at(HELD - 0.1)
    device.protocol.hasten(held, device.now)
    device.at(HELD)
    assert shown(device.take_one()) == (1, {"A": "1"})


def test_holds_without_end_delay_no_message_by_more_than_one_hold() -> None:
    """A control point that calls actions all the time and reads no answer."""
    device = subscribed()
    step = HELD / 4
    sent = []
    for number in range(1, 41):
        device.at(number * step)
        hold(device)
        device.update(A=str(number))
        sent += [int(shown(each)[1]["A"]) for each in device.drain()]
        if sent:
            assert number - sent[-1] <= 4
    assert sent == list(range(1, sent[-1] + 1))
    assert len(sent) >= 36


def test_many_messages_wait_by_the_usual_rules() -> None:
    device = subscribed()
    held = hold(device)
    for number in range(10_000):
        device.update(A=str(number))
    backlog = device.protocol._services["/evt"].backlog
    assert len(backlog._log) < 10 * DEFAULT_LIMITS.waiting_messages
    release(device, held)
    sent = [shown(each) for each in device.drain()]
    assert len(sent) == DEFAULT_LIMITS.waiting_messages
    assert sent[-1][1] == {"A": "9999"}


def test_a_subscriber_that_is_far_behind_is_not_kept_behind_by_holds() -> None:
    device = Device()
    device.subscribe(ANOTHER)
    device.update(A="first")
    slow = device.take_one()
    for number in range(1, 30):
        device.update(A=str(number))
    hold(device)
    device.update(A="30")
    device.end(slow)
    assert shown(device.drain()[-1])[1] == {"A": "30"}


def test_a_subscriber_that_was_merging_when_a_hold_began_gets_the_rest_afterwards() -> None:
    device = Device(limits=replace(DEFAULT_LIMITS, waiting_messages=3))
    device.subscribe(ANOTHER)
    device.update(A="first")
    slow = device.take_one()
    device.update(A="1")
    held = hold(device)
    for number in range(2, 9):
        device.update(A=str(number))
    device.end(slow)
    assert [shown(each) for each in device.drain()] == [(2, {"A": "1"})]
    release(device, held)
    assert [shown(each) for each in device.drain()] == [(3, {"A": "2"}), (4, {"A": "8"})]


def test_a_moderated_change_that_falls_due_during_an_action_waits_too() -> None:
    device = Device(A=EventedVariable("0", minimum_interval=2.0))
    device.subscribe(ANOTHER)
    device.update(A="1")
    device.drain()
    device.at(1)
    device.update(A="2")
    held = hold(device)
    device.at(2)
    assert device.take() == []
    release(device, held)
    assert shown(device.take_one()) == (2, {"A": "2"})


def test_the_publisher_is_settled_only_when_the_held_events_have_left() -> None:
    device = subscribed()
    held = hold(device)
    device.update(A="1")
    assert device.take() == []
    assert not device.protocol.settled
    release(device, held)
    assert not device.protocol.settled
    device.drain()
    assert device.protocol.settled


def test_a_hold_needs_the_path_of_a_service() -> None:
    with pytest.raises(KeyError):
        hold(Device(), "/nothing")


def test_a_hold_without_an_event_leaves_nothing_behind() -> None:
    device = Device()
    for _ in range(3):
        release(device, hold(device))
    holds = device.protocol._holds
    assert (len(holds), holds._holds, device.deadline()) == (0, {}, None)


def test_multicast_events_wait_for_the_answer_too() -> None:
    device = Device(A=EventedVariable("0"))
    protocol = PublisherProtocol(
        new_sid=lambda: "uuid:1",
        on_link=lambda _: (),
        policy=PublisherPolicy(uda="2.0"),
        boot_id=lambda: 1,
    )
    identity = ServiceIdentity(
        "uuid:2", "urn:example-org:service:S:1", "urn:example-org:serviceId:S"
    )
    variable = EventedVariable("0", level="upnp:/info")
    protocol.add_service("/evt", {"A": variable, "B": variable}, identity)
    protocol.add_service("/other", {"A": variable}, identity)
    device.protocol = protocol

    def texts() -> list[bytes]:
        return [each.message.body for each in protocol.take_datagrams() if each.scope is IPV4]

    device.update(A="before")
    held = hold(device)
    device.update(A="of the action")
    device.update(B="of somebody else")
    protocol.update("/other", {"A": "of another service"}, device.now)
    (before, other) = texts()
    assert b"before" in before
    assert b"of another service" in other
    assert texts() == []
    assert not protocol.settled
    release(device, held)
    (first, second) = texts()
    assert b"of the action" in first
    assert b"of somebody else" in second
    assert protocol.settled


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("update"), st.sampled_from("AB")),
        st.tuples(st.just("hold"), st.just("")),
        st.tuples(st.just("release"), st.integers(0, 5)),
        st.tuples(st.just("deliver"), st.booleans()),
        st.tuples(st.just("wait"), st.sampled_from([0.1, 1.0, HELD])),
    ),
    max_size=40,
)


@given(STEPS)
def test_no_event_leaves_too_soon_none_is_lost_and_the_last_value_arrives(steps) -> None:
    device = Device()
    device.subscribe(ANOTHER)
    seconds = 0.0
    running: list = []
    recorded: dict[str, tuple[list, float]] = {}  # text -> holds from before it, time
    last: dict[str, str] = {}
    in_flight: list = []
    sent: list[str] = []

    def take() -> None:
        for delivery in device.take():
            in_flight.append(delivery)
            for text in sorted(dict(delivery.message.changes).values(), key=int):
                sent.append(text)
                if delivery.message.updates == 1:
                    holds, when = recorded[text]
                    assert not any(map(device.protocol.holds, holds))
                    assert seconds >= when

    for number, (what, which) in enumerate(steps, 1):
        if what == "update":
            text = str(number)
            recorded[text] = ([each for each in running if device.protocol.holds(each)], seconds)
            device.update(**{which: text})
            last[which] = text
        elif what == "hold":
            running.append(hold(device))
        elif what == "release" and running:
            release(device, running.pop(which % len(running)))
        elif what == "wait":
            seconds += which
            device.at(seconds)
        elif what == "deliver":
            take()
            if which and in_flight:
                device.end(in_flight.pop())
    for _ in range(len(steps) + 20):
        seconds += 1
        device.at(seconds)
        take()
        while in_flight:
            device.end(in_flight.pop())
    assert set(last.values()) <= set(sent)
    assert sent == sorted(sent, key=int)
    assert device.protocol.settled
