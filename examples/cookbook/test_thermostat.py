"""Tests of a device of one's own, without sockets and without waiting.

usage: pytest test_thermostat.py

The first test calls the service. The others connect it to a subscriber over a simulated network,
whose faults and clock the test sets.
"""

from propchange import Service, StateVariable, action
from propchange.testing import DELIVER, REFUSED, Link

PATH = "/Thermostat"


class Thermostat(Service, type="urn:example-org:service:Thermostat:1"):
    target = StateVariable("r4", initial=20.0, minimum=5.0, maximum=30.0)
    heating = StateVariable("boolean")

    @action
    def set_target(self, new_target: float) -> None:
        with self.batch():
            self.target = new_target
            self.heating = new_target > 20


def test_the_action_heats_above_twenty_degrees() -> None:
    thermostat = Thermostat()
    thermostat.set_target(21.5)
    assert thermostat.heating


def test_a_change_of_both_is_one_event() -> None:
    link, thermostat = Link(), Thermostat()
    link.add_service(PATH, thermostat)
    record = link.subscribe(PATH)
    link.run(1)
    thermostat.set_target(21.5)
    link.run(1)
    initial, event = link.events(record)
    assert initial.changes == {"Target": "20.0", "Heating": "0"}
    assert event.changes == {"Target": "21.5", "Heating": "1"}


def test_the_subscriber_has_the_last_value_after_an_hour_without_a_network() -> None:
    link, thermostat = Link(), Thermostat()
    link.add_service(PATH, thermostat)
    record = link.subscribe(PATH)
    link.run(1)
    link.fate = lambda message: REFUSED
    thermostat.set_target(25.0)
    link.run(3600)
    link.fate = lambda message: DELIVER
    link.run(1800)
    assert record.values["Target"] == "25.0"
