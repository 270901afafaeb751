"""Datagrams that wait until more is known of their device."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.multicast.held_datagrams import HeldDatagrams
from propchange.core.multicast.message import MulticastMessage, MulticastScope
from propchange.core.wire.messages import Endpoint, Request

LIMITS = replace(DEFAULT_LIMITS, held_datagrams=6, held_per_device=3, multicast_hold_seconds=3.0)
MESSAGE = MulticastMessage("uuid:1::urn:x", "urn:id", 0, "", 7, b"<a/>")


DEVICE = Endpoint("10.0.0.1", 5)


def datagram(seq: int, source: Endpoint | None = DEVICE) -> Request:
    request = replace(MESSAGE, seq=seq).request(MulticastScope.IPV4)
    request.peer = source
    return request


def test_the_datagrams_of_a_device_are_given_back_in_order() -> None:
    held = HeldDatagrams(LIMITS)
    first, other, second = datagram(0), datagram(0), datagram(1)
    assert held.hold("a", first, 1.0, known=True)
    assert held.hold("b", other, 1.0, known=True)
    assert held.hold("a", second, 2.0, known=False)
    assert (len(held), held.devices) == (3, ("a", "b"))
    assert [each.request for each in held.take("a")] == [first, second]
    assert held.take("a") == []
    assert [each.request for each in held.take_all()] == [other]
    assert len(held) == 0


def test_a_datagram_is_held_for_three_seconds() -> None:
    held = HeldDatagrams(LIMITS)
    assert held.next_deadline() is None
    early, late = datagram(0), datagram(1)
    held.hold("a", early, 1.0, known=True)
    held.hold("a", late, 2.0, known=True)
    assert held.next_deadline() == 4.0
    assert held.take_due(3.9) == []
    assert [each.request for each in held.take_due(4.0)] == [early]
    assert held.next_deadline() == 5.0
    assert [each.request for each in held.take_due(9.0)] == [late]
    assert len(held) == 0


def test_a_repetition_is_held_once_and_another_address_or_seq_is_no_repetition() -> None:
    held = HeldDatagrams(replace(LIMITS, held_per_device=9))
    here, again = Endpoint("fe80::1", 5, 3), Endpoint("fe80::1", 6, 3)
    elsewhere = Endpoint("fe80::1", 5, 4)
    for source in (here, again, elsewhere, None, None):
        assert held.hold("a", datagram(0, source), 0.0, known=True)
    assert len(held) == 3
    held.hold("a", datagram(1, here), 0.0, known=True)
    assert len(held) == 4


def test_one_device_and_all_devices_have_room_for_so_many() -> None:
    held = HeldDatagrams(LIMITS)
    assert [held.hold("a", datagram(seq), 0.0, known=True) for seq in range(4)] == [
        *[True] * 3,
        False,
    ]
    assert all(held.hold("b", datagram(seq), 0.0, known=True) for seq in range(3))
    assert not held.hold("c", datagram(0), 0.0, known=True)


def test_invented_devices_leave_half_of_the_room_to_those_that_are_known() -> None:
    held = HeldDatagrams(LIMITS)
    taken = [held.hold(f"forged {n}", datagram(0), 0.0, known=False) for n in range(100)]
    assert taken.count(True) == 3
    assert all(held.hold(f"known {n}", datagram(0), 0.0, known=True) for n in range(3))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from("abcd"), st.integers(0, 5), st.booleans()),
        st.floats(0, 2),
        st.sampled_from("ABCD"),
    ),
    max_size=60,
)


@given(STEPS)
def test_whatever_happens_the_room_is_counted_right(
    steps: list[tuple[str, int, bool] | float | str],
) -> None:
    held, now = HeldDatagrams(LIMITS), 0.0
    for step in steps:
        if isinstance(step, tuple):
            held.hold(step[0], datagram(step[1]), now, known=step[2])
        elif isinstance(step, float):
            now += step
            assert all(each.until <= now for each in held.take_due(now))
        else:
            held.take(step.lower())
        assert len(held) <= LIMITS.held_datagrams
        deadline = held.next_deadline()
        assert (deadline is None) is (len(held) == 0)
        assert deadline is None or deadline <= now + LIMITS.multicast_hold_seconds
    for _ in held.take_all():
        pass
    assert (held._count, held._unknown) == (0, 0)
