"""A control point on Twisted whose program has a web server of its own."""

from __future__ import annotations

from typing import Any

import pytest

from propchange.core.diagnosis.facts import Reach
from propchange.core.subscriber.events import Status
from propchange.errors import ConnectionFailed
from propchange.twisted import ControlPoint
from tests.twisted.devices import Device

URL = "http://10.0.0.2:9000/events/{token}"


def behind(reactor: Any, callback_url: str = URL, **how: Any) -> Device:
    return Device(reactor, listen=False, callback_url=callback_url, discovery=False, **how)


def test_a_program_receives_events_through_its_own_web_server(reactor: Any) -> None:
    device = behind(reactor)
    assert device.sites == []
    subscription, events, changes = device.subscribe()
    assert subscription.callback.startswith("http://10.0.0.2:9000/events/")
    assert device.notify(subscription, Temperature="20.5") == 200
    assert [event[0].changes for event in [events]] == [{"Temperature": 20.5}]
    assert changes[-1].status is Status.ACTIVE
    assert repr(device.point) == f"<ControlPoint: events at {URL}, 1 subscriptions>"
    device.result(device.point.close())
    assert device.notify(subscription, 1, Temperature="21") == 412


def test_it_begins_when_it_is_made_and_has_no_port(reactor: Any) -> None:
    point = behind(reactor).point
    with pytest.raises(RuntimeError, match="opens no port; see callback_url"):
        point.listen()
    assert point.hostname == "10.0.0.2"
    assert point.web_server_port == 9000


def test_one_url_for_all_is_possible(reactor: Any) -> None:
    device = behind(reactor, "http://10.0.0.2:9000/events")
    one, _, _ = device.subscribe()
    two, events, _ = device.subscribe()
    assert one.callback == two.callback == "http://10.0.0.2:9000/events"
    assert device.notify(two, Temperature="1") == 200
    assert len(events) == 1


def test_what_cannot_be_is_said(reactor: Any) -> None:
    with pytest.raises(ValueError, match="listen=False needs callback_url"):
        ControlPoint(reactor=reactor, listen=False)
    with pytest.raises(ValueError, match="give interface= to listen"):
        ControlPoint(reactor=reactor, interface="127.0.0.1")
    with pytest.raises(ConnectionFailed, match=r"192\.0\.2\.99 is no address of this machine"):
        behind(reactor, interface="192.0.2.99")


def test_a_web_server_that_does_not_run_is_told(reactor: Any) -> None:
    device = behind(reactor)
    subscription, _, _ = device.subscribe()
    diagnosis = device.result(subscription.diagnose())
    assert diagnosis.facts.self_connect.reach is Reach.REFUSED
    assert diagnosis.facts.listening == ()
