"""Which request leaves next to a device."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.subscriber.device_slots import CallTurn, DeviceSlots, device_address

DEVICE = ("10.0.0.1", 8000)


@dataclass(eq=False)
class Asked:
    """A request of eventing."""

    name: str
    address: tuple[str, int] = DEVICE
    wanted: bool = True

    def __repr__(self) -> str:
        return self.name


def slots_of(most: int) -> DeviceSlots[Asked]:
    return DeviceSlots(replace(DEFAULT_LIMITS, requests_per_device=most))


def put(slots: DeviceSlots[Asked], count: int, prefix: str = "r") -> list[Asked]:
    requests = [Asked(f"{prefix}{number}") for number in range(count)]
    for request in requests:
        slots.put(request)
    return requests


def queue_calls(slots: DeviceSlots[Asked], count: int) -> list[CallTurn]:
    """Begin calls, and give those that have to wait."""
    turns = [CallTurn(DEVICE) for _ in range(count)]
    return [turn for turn in turns if not slots.begin_call(turn)]


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://10.0.0.1/x", ("10.0.0.1", 80)),
        ("http://10.0.0.1:8000", DEVICE),
        ("http://[fe80::1%25eth0]:5/", ("fe80::1%25eth0", 5)),
        ("", ("", 80)),
    ],
)
def test_the_address_of_a_device_is_its_host_and_port(url: str, address: tuple[str, int]) -> None:
    assert device_address(url) == address


def test_a_call_to_a_device_that_is_asked_nothing_leaves_at_once() -> None:
    slots = slots_of(4)
    turn = CallTurn(DEVICE)
    assert slots.begin_call(turn)
    assert not slots.ready
    slots.end_call(turn)
    slots.end_call(turn)  # the end of a call is counted once
    assert slots._devices == {}


@pytest.mark.parametrize(("most", "calls"), [(1, 1), (2, 1), (4, 3)])
def test_calls_that_hang_leave_a_slot_for_renewals(most: int, calls: int) -> None:
    slots = slots_of(most)
    waiting = queue_calls(slots, 10)
    assert len(waiting) == 10 - calls
    assert slots.take() == ([], [])
    (renewal,) = put(slots, 1)
    assert slots.take() == ([renewal] if most > 1 else [], [])


@pytest.mark.parametrize(("most", "requests"), [(1, 1), (2, 1), (4, 3)])
def test_requests_that_hang_leave_a_slot_for_calls(most: int, requests: int) -> None:
    slots = slots_of(most)
    hanging = put(slots, 10)
    assert slots.take() == (hanging[:requests], [])
    turn = CallTurn(DEVICE)
    assert not slots.begin_call(turn)
    assert slots.take() == ([], [turn] if most > 1 else [])


@pytest.mark.parametrize("most", [1, 2, 3, 4])
def test_no_more_than_the_slots_are_under_way_and_none_is_idle(most: int) -> None:
    slots = slots_of(most)
    requests, turns = [*put(slots, 9)], queue_calls(slots, 9)
    under_way: list[Asked | CallTurn] = []
    left = 0
    while True:
        taken_requests, taken_turns = slots.take()
        under_way += [*taken_requests, *taken_turns]
        waiting = len(requests) + len(turns) - left - len(under_way)
        assert len(under_way) <= most
        assert len(under_way) >= min(most - 1, waiting) or not waiting
        if not under_way:
            break
        ended = under_way.pop(0)
        left += 1
        if isinstance(ended, CallTurn):
            slots.end_call(ended)
        else:
            slots.end(ended)
    assert left == 18
    assert slots._devices == {}
    assert not slots.ready


def test_calls_and_requests_that_wait_for_one_slot_take_turns() -> None:
    slots = slots_of(1)
    put(slots, 3)
    queue_calls(slots, 3)
    order = ""
    for _ in range(6):
        requests, turns = slots.take()
        order += "r" * len(requests) + "c" * len(turns)
        for request in requests:
            slots.end(request)
            slots.end(request)
        for turn in turns:
            slots.end_call(turn)
    assert order in ("rcrcrc", "crcrcr")


def test_a_stream_of_calls_delays_a_renewal_by_one_call_and_a_stream_of_requests_a_call() -> None:
    slots = slots_of(1)
    first = CallTurn(DEVICE)
    assert slots.begin_call(first)
    waiting = queue_calls(slots, 5)
    (renewal,) = put(slots, 1)
    slots.end_call(first)
    assert slots.take() == ([renewal], [])
    others = put(slots, 5)
    slots.end(renewal)
    assert slots.take() == ([], waiting[:1])
    slots.end_call(waiting[0])
    assert slots.take() == (others[:1], [])


def test_requests_of_one_kind_leave_in_order() -> None:
    slots = slots_of(2)
    requests, turns = put(slots, 3), queue_calls(slots, 3)
    for request, turn in zip(requests, turns, strict=True):
        assert slots.take() == ([request], [turn])
        slots.end(request)
        slots.end_call(turn)


def test_a_call_that_is_given_up_before_its_turn_does_not_leave() -> None:
    slots = slots_of(1)
    under_way = CallTurn(DEVICE)
    assert slots.begin_call(under_way)
    given_up, next_one = queue_calls(slots, 2)
    slots.end_call(given_up)
    slots.end_call(under_way)
    assert slots.take() == ([], [next_one])
    (alone,) = put(slots, 1)
    slots.end_call(next_one)
    alone.wanted = False
    assert slots.take() == ([], [])
    assert slots._devices == {}


def test_the_last_call_that_waits_is_forgotten_when_it_is_given_up() -> None:
    slots = slots_of(4)
    (unwanted,) = put(slots, 1)
    unwanted.wanted = False
    (turn,) = queue_calls(slots, 1)
    slots.end_call(turn)
    assert slots.take() == ([], [])
    slots.end_call(turn)
    slots.end(unwanted)
    assert slots._devices == {}


def test_one_device_does_not_wait_for_another() -> None:
    slots = slots_of(1)
    assert slots.begin_call(CallTurn(DEVICE))
    assert slots.begin_call(CallTurn(("10.0.0.2", 8000)))
    other = Asked("other", ("10.0.0.1", 8001))
    slots.put(other)
    assert slots.take() == ([other], [])


def test_the_other_requests_to_the_device_of_a_call_are_counted() -> None:
    slots = slots_of(3)
    turn = CallTurn(DEVICE)
    assert slots.begin_call(turn)
    assert slots.others_of(turn) == 0
    put(slots, 3)
    assert slots.others_of(turn) == 3
    slots.take()
    queue_calls(slots, 2)
    assert slots.others_of(turn) == 5
