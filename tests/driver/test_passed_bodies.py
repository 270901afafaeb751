"""Bodies that a web server of the program passes on: what they hold together stays within caps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.wire.messages import Endpoint
from propchange.driver.passed_bodies import PassedBodies

LIMITS = replace(DEFAULT_LIMITS, held_bytes=1_000, connections=6, connections_per_address=4)
HOSTS = ("192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "")


class Body:
    def __init__(self, host: str) -> None:
        self.peer = Endpoint(host, 5)
        self.transport = self
        self.held_bytes = 0
        self.is_shed = False

    def shed(self) -> None:
        assert not self.is_shed
        self.is_shed = True


Steps = st.lists(
    st.tuples(
        st.sampled_from(["begin", "grow", "complete", "forget"]),
        st.integers(0, 9),
        st.sampled_from(HOSTS),
        st.integers(0, 600),
    ),
    max_size=60,
)


@given(Steps)
def test_the_bodies_that_arrive_hold_at_most_the_cap_and_leave_nothing(steps: Any) -> None:
    bodies = PassedBodies(LIMITS, lambda: 0.0)
    arriving: list[Body] = []
    whole: list[Body] = []
    for step, number, host, size in steps:
        if step == "begin":
            body = Body(host)
            if bodies.admit(body):
                arriving.append(body)
        elif step == "forget" and whole:
            bodies.forget(whole.pop(number % len(whole)))
        elif arriving and step != "forget":
            body = arriving[number % len(arriving)]
            if step == "grow":
                bodies.hold(body, body.held_bytes + size)
            else:
                bodies.complete(body)
                arriving.remove(body)
                whole.append(body)
        arriving = [each for each in arriving if not each.is_shed]
        assert len(arriving) <= LIMITS.connections
        assert not any(body.is_shed for body in whole)
        held = sum(body.held_bytes for body in (*arriving, *whole))
        assert held <= LIMITS.held_bytes or not arriving
    for body in (*arriving, *whole):
        bodies.forget(body)
    assert (bodies._held_bytes, len(bodies._arriving)) == (0, 0)
    assert not bodies._shares._per_address


def test_a_host_that_holds_much_is_given_up_before_one_that_holds_little() -> None:
    bodies = PassedBodies(LIMITS, lambda: 0.0)
    calm, hostile = Body("192.0.2.1"), [Body("192.0.2.2") for _ in range(3)]
    for body, size in ((calm, 300), *((each, 250) for each in hostile)):
        assert bodies.admit(body)
        bodies.hold(body, size)
    assert not calm.is_shed
    assert [each.is_shed for each in hostile] == [True, False, False]


def test_a_host_with_subscriptions_keeps_its_place() -> None:
    bodies = PassedBodies(LIMITS, lambda: 0.0, known=lambda: {"192.0.2.1"})
    bodies._shares._known_until = -1.0
    device = Body("192.0.2.1")
    assert bodies.admit(device)
    for number in range(20):
        assert bodies.admit(Body(f"192.0.2.{2 + number}"))
    assert not device.is_shed
