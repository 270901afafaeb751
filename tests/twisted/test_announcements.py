"""SSDP messages that a program hands to the control point, and the outcome of each."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from propchange.core.subscriber.events import Cause, Status
from tests.twisted.devices import DESCRIPTION, Device, reply

HOME = "http://10.0.0.1:8000/description.xml"
THERE = "http://10.0.0.1:8001/description.xml"


class Neighbourhood(Device):
    """A device, and a program that hears SSDP."""

    def __init__(self, reactor: Any) -> None:
        self.searched: list[str] = []
        super().__init__(reactor, search=self.searched.append)

    def announce(self, url: str = HOME, boot_id: int = 1, **headers: str) -> None:
        told = {
            "nt": "upnp:rootdevice",
            "nts": "ssdp:alive",
            "usn": "uuid:workbench::upnp:rootdevice",
            "location": url,
            "cache-control": "max-age=1800",
            "bootid.upnp.org": str(boot_id),
        }
        self.point.receive_ssdp(told | headers, "10.0.0.1", "10.0.0.2")
        self.run(1)

    def active(self) -> tuple[Any, list[Any], list[Any]]:
        subscription, events, changes = self.subscribe()
        self.notify(subscription, Temperature="20")
        return subscription, events, changes

    def hear_again(self, subscription: Any) -> None:
        before = self.sids
        self.run_until(lambda: self.sids > before or subscription.status is Status.RESUBSCRIBING)
        self.run(3)
        self.notify(subscription, Temperature="21")


@pytest.fixture
def near(reactor: Any) -> Neighbourhood:
    return Neighbourhood(reactor)


def causes(changes: list[Any]) -> list[tuple[Status, Cause]]:
    return [(change.status, change.cause) for change in changes[1:]]


def test_a_device_that_is_back_on_another_port_is_found_there(near: Neighbourhood) -> None:
    subscription, events, changes = near.active()
    near.announce()
    near.remove("10.0.0.1:8000")
    near.put("10.0.0.1:8001")
    near.announce(THERE, boot_id=2)
    near.run(1)
    near.notify(subscription, Temperature="21")
    assert subscription.event_url == "http://10.0.0.1:8001/event"
    assert subscription.service.device.url == THERE
    assert events[-1].is_initial
    assert causes(changes) == [
        (Status.RESUBSCRIBING, Cause.DEVICE_MOVED),
        (Status.ACTIVE, Cause.INITIAL_EVENT),
    ]


def test_another_url_of_the_same_description_has_moved_nobody(near: Neighbourhood) -> None:
    """GUPnP announces one by its UDN, whichever URL of it the application was given."""
    subscription, _, changes = near.active()
    other = "http://10.0.0.1:8000/workbench.xml"
    near.answers["10.0.0.1:8000", "GET", "/workbench.xml"] = reply(200, DESCRIPTION)
    near.announce(other)
    near.run(3)
    assert subscription.service.device.url == other
    assert subscription.sid == "uuid:1"
    assert causes(changes) == []


@pytest.mark.clause("CP-08")
def test_a_device_that_has_restarted_is_subscribed_to_at_once(near: Neighbourhood) -> None:
    subscription, events, changes = near.active()
    near.announce()
    near.restart()
    near.announce(boot_id=2)
    near.run(1)
    near.notify(subscription, Temperature="21")
    assert subscription.sid == "uuid:2"
    assert events[-1].is_initial
    assert causes(changes)[0] == (Status.RESUBSCRIBING, Cause.DEVICE_REBOOTED)


@pytest.mark.clause("CP-07")
def test_a_device_that_has_said_goodbye_is_waited_for(near: Neighbourhood) -> None:
    subscription, events, changes = near.active()
    near.announce()
    near.remove("10.0.0.1:8000")
    near.announce(nts="ssdp:byebye")
    near.run(120)
    assert causes(changes) == [(Status.RESUBSCRIBING, Cause.DEVICE_GONE)]
    assert all(method != "UNSUBSCRIBE" for _, method, _ in near.asked)
    assert near.searched.count("uuid:workbench") >= 1
    near.put("10.0.0.1:8000")
    near.announce(boot_id=2)
    near.run(1)
    near.notify(subscription, Temperature="21")
    assert events[-1].is_initial
    assert len(changes) == 3


def test_a_device_that_does_not_answer_is_searched_for(near: Neighbourhood) -> None:
    subscription, _, _ = near.active()
    near.announce()
    near.remove("10.0.0.1:8000")
    near.run_until(lambda: subscription.status is Status.RESUBSCRIBING)
    near.run(1)
    assert set(near.searched) == {"uuid:workbench"}
    assert len(near.searched) <= near.point.limits.search_burst
    near.put("10.0.0.1:8001")
    answer = {
        "ST": "upnp:rootdevice",
        "USN": "uuid:workbench::upnp:rootdevice",
        "LOCATION": THERE,
        "BOOTID.UPNP.ORG": "1",
    }
    near.point.receive_ssdp(answer, "10.0.0.1")
    near.run(3)
    near.notify(subscription, Temperature="21")
    assert subscription.status is Status.ACTIVE
    assert subscription.event_url == "http://10.0.0.1:8001/event"


def test_a_datagram_may_be_handed_over_as_it_came(near: Neighbourhood) -> None:
    subscription, _, _ = near.active()
    near.restart()
    for boot_id in (1, 2):
        near.point.receive_ssdp(
            "NOTIFY * HTTP/1.1\r\nNT: upnp:rootdevice\r\nNTS: ssdp:alive\r\n"
            f"USN: uuid:workbench::upnp:rootdevice\r\nLOCATION: {HOME}\r\n"
            f"BOOTID.UPNP.ORG: {boot_id}\r\n\r\n",
            "10.0.0.1",
        )
        near.run(1)
    assert subscription.sid == "uuid:2"
    assert subscription.status_cause is Cause.DEVICE_REBOOTED


@pytest.mark.clause("CP-10")
def test_an_update_that_was_announced_changes_nothing(near: Neighbourhood) -> None:
    subscription, _, changes = near.active()
    near.announce()
    near.announce(**{"nts": "ssdp:update", "nextbootid.upnp.org": "2"})
    near.announce(boot_id=2)
    assert subscription.sid == "uuid:1"
    assert causes(changes) == []


def test_a_sender_that_claims_to_be_a_device_elsewhere_is_not_believed(near: Neighbourhood) -> None:
    subscription, _, changes = near.active()
    near.announce()
    near.put("10.0.0.1:8001", DESCRIPTION.replace("uuid:workbench", "uuid:stranger"))
    near.announce(THERE)
    near.run(2)
    assert subscription.service.device.url == HOME
    assert causes(changes) == []


def test_a_location_off_the_link_is_not_asked(
    near: Neighbourhood, caplog: pytest.LogCaptureFixture
) -> None:
    near.active()
    near.announce()
    asked = len(near.asked)
    near.announce("http://198.51.100.7/description.xml")
    near.run(2)
    assert len(near.asked) == asked
    assert "uuid:workbench from 10.0.0.1: LOCATION leads to 198.51.100.7" in caplog.text


@pytest.mark.parametrize(
    ("message", "source"),
    [
        ({}, "10.0.0.1"),
        ("what is this", "10.0.0.1"),
        (b"M-SEARCH * HTTP/1.1\r\nST: ssdp:all\r\n\r\n", "10.0.0.1"),
        ({"NTS": "ssdp:alive", "USN": "uuid:x", "LOCATION": HOME}, "no address"),
        ({"MAN": '"ssdp:discover"', "ST": "ssdp:all"}, "10.0.0.1"),
    ],
)
def test_what_announces_nothing_is_passed_over(
    near: Neighbourhood, message: dict[str, str] | str | bytes, source: str
) -> None:
    near.point.receive_ssdp(message, source)
    near.run(1)
    assert near.asked == []


@pytest.mark.slow
def test_a_device_that_nobody_holds_is_followed_no_more(near: Neighbourhood) -> None:
    held = [near.device()]
    near.announce()
    near.put("10.0.0.3:8000", DESCRIPTION.replace("workbench", "other"))
    held.append(near.device("http://10.0.0.3:8000/description.xml"))
    followed = near.point._driver.discovery._followed
    assert len(followed._followed) == 2
    del held[0]
    gc.collect()
    held.append(near.device("http://10.0.0.3:8000/description.xml"))
    assert [device.udn for device in followed._followed] == ["uuid:other"]


def test_a_closed_control_point_hears_nothing_and_leaves_nothing(
    near: Neighbourhood, reactor: Any
) -> None:
    near.active()
    near.announce()
    near.announce(THERE)
    near.point.close()
    near.run(3)
    near.announce(THERE, boot_id=3)
    assert reactor.getDelayedCalls() == []
