from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from propchange.core.deadlines import Deadlines


def test_the_earliest_deadline_comes_first_whatever_the_order_of_setting() -> None:
    deadlines: Deadlines[str] = Deadlines()
    assert (deadlines.next(), len(deadlines)) == (None, 0)
    deadlines.set("late", 30.0)
    deadlines.set("early", 10.0)
    deadlines.set("middle", 20.0)
    assert (deadlines.next(), len(deadlines)) == (10.0, 3)


def test_a_deadline_is_due_exactly_at_its_time_and_not_before() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("a", 10.0)
    assert deadlines.pop_due(9.999) is None
    assert deadlines.pop_due(10.0) == "a"
    assert deadlines.pop_due(10.0) is None
    assert "a" not in deadlines


def test_setting_again_moves_the_deadline_in_either_direction() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("a", 10.0)
    deadlines.set("a", 20.0)
    assert (deadlines.next(), len(deadlines)) == (20.0, 1)
    deadlines.set("a", 5.0)
    assert deadlines.pop_due(5.0) == "a"
    assert deadlines.next() is None


def test_a_cleared_deadline_never_comes() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("a", 10.0)
    deadlines.set("b", 11.0)
    deadlines.clear("a")
    deadlines.clear("never set")
    assert ("a" in deadlines, "b" in deadlines) == (False, True)
    assert deadlines.pop_due(100.0) == "b"
    assert deadlines.pop_due(100.0) is None


def test_equal_deadlines_come_in_the_order_of_setting_even_if_keys_cannot_be_compared() -> None:
    deadlines: Deadlines[object] = Deadlines()
    first, second = object(), object()
    deadlines.set(first, 1.0)
    deadlines.set(second, 1.0)
    assert [deadlines.pop_due(1.0), deadlines.pop_due(1.0)] == [first, second]


def test_a_key_that_is_moved_all_the_time_takes_no_more_room() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("still", 5_000.0)
    for number in range(10_000):
        deadlines.set("moved", 10_000.0 - number)
    assert len(deadlines._heap) <= 2 * len(deadlines) + 64
    assert [deadlines.pop_due(1e9), deadlines.pop_due(1e9)] == ["moved", "still"]


def test_keys_that_come_and_go_take_no_more_room() -> None:
    deadlines: Deadlines[int] = Deadlines()
    for number in range(10_000):
        deadlines.set(number, float(number))
        deadlines.clear(number)
    assert len(deadlines._heap) <= 65
    assert deadlines.next() is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["set", "clear", "pop"]),
            st.integers(0, 5),
            st.integers(0, 20).map(float),
        ),
        max_size=120,
    )
)
def test_deadlines_do_what_a_plain_dictionary_would_do(steps) -> None:
    deadlines: Deadlines[int] = Deadlines()
    model: dict[int, tuple[float, int]] = {}
    for serial, (step, key, when) in enumerate(steps):
        if step == "set":
            deadlines.set(key, when)
            model[key] = (when, serial)
        elif step == "clear":
            deadlines.clear(key)
            model.pop(key, None)
        else:
            due = [(at, number, key) for key, (at, number) in model.items() if at <= when]
            expected = min(due)[2] if due else None
            assert deadlines.pop_due(when) == expected
            if expected is not None:
                del model[expected]
        assert len(deadlines) == len(model)
        assert deadlines.next() == min((at for at, _ in model.values()), default=None)
