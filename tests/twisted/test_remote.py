"""Devices and services by their descriptions, on Twisted, in memory."""

from __future__ import annotations

from typing import Any

import pytest

from propchange.core.subscriber.events import Cause, Status
from propchange.core.wire.messages import Request
from propchange.errors import (
    ConnectionFailed,
    DescriptionError,
    SubscriptionRefused,
    TimedOut,
)
from tests.twisted.devices import DESCRIPTION, SCPD, Device, reply

HOME = "10.0.0.1:8000"


@pytest.fixture
def device(reactor: Any) -> Device:
    return Device(reactor)


def test_a_device_tells_who_it_is_and_what_it_has(device: Device) -> None:
    remote = device.device()
    assert (remote.udn, remote.friendly_name) == ("uuid:workbench", "Workbench")
    service = remote["Thermometer"]
    assert service.event_url == "http://10.0.0.1:8000/event"
    assert (repr(remote), repr(service)) == (
        "<RemoteDevice 'Workbench' uuid:workbench>",
        f"<RemoteService Thermometer of 'Workbench' {service.full_name}>",
    )
    assert service.full_name == "uuid:workbench/urn:example-org:serviceId:Thermometer"
    variables = device.result(service.variables())
    assert variables["Temperature"].data_type.name == "r4"
    assert device.result(service.variables()) is variables
    assert [target for _, _, target in device.asked] == ["/description.xml", "/scpd.xml"]


def test_events_have_the_types_that_the_service_declares(device: Device) -> None:
    subscription, events, changes = device.subscribe()
    assert device.notify(subscription, Temperature="20.5", Odd="x") == 200
    assert events[0].changes == {"Temperature": 20.5}
    assert subscription.values == {"Temperature": 20.5}
    assert subscription.full_state == {("Temperature", None, None): 20.5}
    assert [change.status for change in changes] == [Status.ACTIVE]
    assert subscription.service.device.udn == "uuid:workbench"
    assert (subscription.granted, subscription.merged) == (300, 0)


@pytest.mark.parametrize("scpd", [None, "<html/>"])
def test_without_a_usable_service_description_values_are_texts(
    device: Device, scpd: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    device.answers[HOME, "GET", "/scpd.xml"] = reply(404) if scpd is None else reply(200, scpd)
    subscription, events, _ = device.subscribe()
    device.notify(subscription, Temperature="20.5")
    assert events[0].changes == {"Temperature": "20.5"}
    assert "the values of Thermometer stay texts" in caplog.text


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (reply(404), DescriptionError, "was answered with 404"),
        (reply(200, "<html>"), DescriptionError, ""),
        (b"what?\r\n\r\n", DescriptionError, "was not answered in HTTP"),
        (b"", ConnectionFailed, "was closed"),
    ],
)
def test_what_cannot_be_read_is_told(
    device: Device, answer: bytes, error: type[Exception], words: str
) -> None:
    device.answers[HOME, "GET", "/description.xml"] = answer
    failure = device.device()
    assert failure.check(error)
    assert words in failure.getErrorMessage()


def test_a_url_that_is_none_and_a_device_that_is_away_are_told(device: Device) -> None:
    assert device.device("ftp://10.0.0.1/").check(ValueError)
    assert device.device("http://10.0.0.99/x").check(ConnectionFailed)


def test_a_description_that_does_not_come_is_given_up(device: Device, reactor: Any) -> None:
    failures: list[Any] = []
    device.point.device("http://10.0.0.1:8000/description.xml").addErrback(failures.append)
    reactor.accept()
    reactor.pump([30, 1])
    assert failures[0].check(TimedOut)


def test_a_description_elsewhere_says_where_it_was_found(device: Device) -> None:
    there = reply(302, more="LOCATION: /description.xml\r\n")
    device.answers[HOME, "GET", "/moved"] = there
    assert device.device(f"http://{HOME}/moved").url == f"http://{HOME}/description.xml"


def test_redirects_are_not_followed_for_ever(device: Device) -> None:
    device.answers[HOME, "GET", "/a"] = reply(302, more="LOCATION: /a\r\n")
    assert "answered with 302" in device.device(f"http://{HOME}/a").getErrorMessage()
    assert device.asked.count((HOME, "GET", "/a")) == device.point.limits.redirects + 1


def test_a_service_without_events_says_so_at_once(device: Device) -> None:
    device.put(HOME, DESCRIPTION.replace("/event<", "<"))
    with pytest.raises(DescriptionError, match="Thermometer of Workbench sends no events"):
        device.device()["Thermometer"].subscribe(print)


def test_a_refusal_is_told_to_who_waits_for_the_grant(device: Device) -> None:
    device.answers[HOME, "SUBSCRIBE", "/event"] = reply(503)
    subscription, _, _ = device.subscribe(wait=True)
    failure = device.result(subscription.when_granted)
    assert failure.check(SubscriptionRefused)
    assert failure.value.status == 503


# --- where a device is ---


def subscribed(device: Device) -> tuple[Any, list[Any], list[Any]]:
    subscription, events, changes = device.subscribe()
    device.notify(subscription, Temperature="20")
    return subscription, events, changes


def test_a_device_whose_event_url_has_moved_is_found_by_its_description(device: Device) -> None:
    subscription, events, changes = subscribed(device)
    device.remove(HOME)
    device.put(HOME, DESCRIPTION.replace("/event<", "/other<"), event="/other")
    device.run_until(lambda: subscription.sid == "uuid:2")
    assert subscription.event_url == f"http://{HOME}/other"
    device.notify(subscription, Temperature="21")
    assert events[-1].is_initial
    assert subscription.values == {"Temperature": 21.0}
    assert [(change.status, change.cause) for change in changes[1:]] == [
        (Status.RESUBSCRIBING, Cause.RENEWAL_REFUSED),
        (Status.ACTIVE, Cause.INITIAL_EVENT),
    ]


def test_a_device_whose_events_are_at_another_port_is_found_by_its_description(
    device: Device,
) -> None:
    subscription, events, _ = subscribed(device)
    elsewhere = DESCRIPTION.replace("/event<", "http://10.0.0.1:8001/event<")
    device.remove(HOME)
    device.put(HOME, elsewhere, event="/nowhere")
    device.put("10.0.0.1:8001")
    device.run(200)
    assert subscription.event_url == "http://10.0.0.1:8001/event"
    device.notify(subscription, Temperature="21")
    assert events[-1].is_initial


def test_another_device_at_the_old_url_is_not_taken_for_it(device: Device) -> None:
    subscription, _, changes = subscribed(device)
    device.remove(HOME)
    device.put(HOME, DESCRIPTION.replace("uuid:workbench", "uuid:stranger"), event="/other")
    asked = len(device.asked)
    device.run(200)
    assert subscription.status is Status.RESUBSCRIBING
    assert "is the description of another device now" in subscription.record.failure.reason
    later = [key[1:] for key in device.asked[asked:]]
    assert ("SUBSCRIBE", "/other") not in later
    assert [change.cause for change in changes[1:]] == [Cause.RENEWAL_REFUSED, Cause.DESCRIPTION]


def test_a_device_that_was_away_for_an_hour_is_found_again(device: Device) -> None:
    subscription, events, changes = subscribed(device)
    device.remove(HOME)
    device.run(3_600)
    assert subscription.status is Status.RESUBSCRIBING
    device.put(HOME, DESCRIPTION.replace("/event<", "/other<"), event="/other")
    before = device.sids
    device.run_until(lambda: device.sids > before)
    device.notify(subscription, Temperature="22")
    assert events[-1].is_initial
    assert subscription.status is Status.ACTIVE
    assert len(changes) <= 4


def test_types_that_were_known_outlive_a_service_description_that_is_gone(device: Device) -> None:
    subscription, events, _ = subscribed(device)
    device.remove(HOME)
    device.put(HOME, DESCRIPTION.replace("/event<", "/other<"), event="/other")
    device.answers[HOME, "GET", "/scpd.xml"] = reply(404)
    device.run(200)
    device.notify(subscription, Temperature="21")
    assert events[-1].changes == {"Temperature": 21.0}


def test_a_bare_event_url_has_no_description(device: Device) -> None:
    subscription = device.point.subscribe(f"http://{HOME}/event", print)
    device.run()
    assert subscription.service is None
    assert subscription.sid == "uuid:1"
    assert all(method != "GET" for _, method, _ in device.asked)


def test_after_closing_no_device_is_read(device: Device) -> None:
    device.result(device.point.close())
    with pytest.raises(RuntimeError, match="closed"):
        device.point.device(f"http://{HOME}/description.xml")


def test_closing_ends_what_is_being_read(device: Device, reactor: Any) -> None:
    failures: list[Any] = []
    device.point.device(f"http://{HOME}/description.xml").addErrback(failures.append)
    _, transport = reactor.accept()
    device.point.close()
    assert transport.disconnecting


def test_a_document_is_read(device: Device) -> None:
    document, found_at = device.result(device.point.fetch("http://10.0.0.1:8000/scpd.xml"))
    assert document.decode() == SCPD
    assert found_at == "http://10.0.0.1:8000/scpd.xml"
    missing = device.result(device.point.fetch("http://10.0.0.1:8000/nothing"))
    assert missing.check(DescriptionError)


def test_a_tap_sees_what_passes(reactor: Any) -> None:
    seen: list[Any] = []
    device = Device(reactor, tap=seen.append)
    subscription, events, _ = device.subscribe()
    device.notify(subscription, Temperature="20")
    device.result(subscription.close())
    requests = [each.method for each in seen if isinstance(each, Request)]
    assert requests == ["SUBSCRIBE", "NOTIFY", "UNSUBSCRIBE"]
    assert events[0] in seen


def test_a_subscription_that_waits_fires_once_it_is_granted(device: Device) -> None:
    subscription, _, _ = device.subscribe(wait=True)
    assert subscription.when_granted.called
    assert device.result(subscription.when_granted) is subscription
    keeps_trying, _, _ = device.subscribe()
    assert keeps_trying.when_granted is None
