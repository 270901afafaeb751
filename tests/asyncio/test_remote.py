"""RemoteDevice and RemoteService, read from descriptions."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from propchange import Device, Service, StateVariable, host
from propchange.asyncio.control_point import ControlPoint
from propchange.errors import ConnectionFailed, DescriptionError


class Lamp(Service, type="urn:example-org:service:Lamp:1"):
    on = StateVariable("boolean")


async def test_a_device_tells_who_it_is(raw_device: Any) -> None:
    async with raw_device() as device, ControlPoint() as point:
        remote = await point.device(device.description_url)
        assert remote.udn == "uuid:raw"
        assert remote.friendly_name == "Raw"
        assert remote.device_type == "urn:schemas-upnp-org:device:Basic:1"
        assert remote.url == device.description_url
        assert repr(remote) == "<RemoteDevice 'Raw' uuid:raw>"


async def test_services_of_one_name_in_embedded_devices_are_told_apart_by_the_udn() -> None:
    lamps = [Device(name, udn=f"uuid:{name}", services=[Lamp()]) for name in ("inner", "outer")]
    lamps[1].devices = (lamps[0],)
    async with host(lamps[1], interface="127.0.0.1") as hosted, ControlPoint() as point:
        remote = await point.device(hosted.description_url)
        outer, inner = remote.services
        ids = "urn:example-org:serviceId:Lamp", "urn:example-org:serviceId:Lamp2"
        assert repr(outer) == f"<RemoteService Lamp of 'outer' uuid:outer/{ids[0]}>"
        assert repr(inner) == f"<RemoteService Lamp of 'outer' uuid:inner/{ids[1]}>"
        subscription = inner.subscribe()
        called = f"Lamp of 'outer' uuid:inner/{ids[1]}"
        assert repr(subscription) == f"<Subscription {called}: not subscribed yet>"
        with pytest.raises(LookupError, match=f"uuid:outer/{ids[0]}, uuid:inner/{ids[1]}"):
            remote["Lamp"]
        assert "Lamp" in remote
        assert remote.services_named("Lamp") == (outer, inner)
        for service in remote.services:
            for name in (service.unique_name, service.full_name, service.event_url):
                assert remote[name] is service


async def test_a_control_point_says_what_it_is() -> None:
    point = ControlPoint()
    assert repr(point) == "<ControlPoint: not entered yet>"
    async with point:
        assert repr(point) == f"<ControlPoint: port {point.port}, 0 subscriptions>"
    assert repr(point) == "<ControlPoint: closed, 0 subscriptions>"


async def test_a_service_is_found_by_any_of_its_names(raw_device: Any) -> None:
    async with raw_device() as device, ControlPoint() as point:
        remote = await point.device(device.description_url)
        (service,) = remote.services
        for name in (
            "Thermometer",
            "urn:example-org:service:Thermometer:1",
            "urn:example-org:serviceId:Thermometer",
        ):
            assert remote[name] is service
            assert name in remote
        assert "AVTransport" not in remote
        with pytest.raises(LookupError, match="no service 'AVTransport'; there are: Therm"):
            remote["AVTransport"]
        assert service.device is remote
        assert service.service_type == "urn:example-org:service:Thermometer:1"
        assert service.service_id == "urn:example-org:serviceId:Thermometer"
        assert service.name == "Thermometer"
        assert service.event_url == device.event_url
        assert repr(service) == (
            "<RemoteService Thermometer of 'Raw' uuid:raw/urn:example-org:serviceId:Thermometer>"
        )


async def test_a_description_elsewhere_says_where_it_was_found(raw_device: Any) -> None:
    async with raw_device() as device, ControlPoint() as point:

        def answer(request: Any) -> bytes:
            if request.target == "/moved":
                return bytes(device.reply(302, "LOCATION: /description.xml\r\n"))
            return bytes(device.document(request))

        device.answers["GET"] = answer
        remote = await point.device(f"http://127.0.0.1:{device.port}/moved")
        assert remote.url == device.description_url


async def test_the_service_description_is_fetched_once_and_gives_the_types(raw_device: Any) -> None:
    async with raw_device() as device, ControlPoint() as point:
        remote = await point.device(device.description_url)
        variables = await remote["Thermometer"].variables()
        assert {name: v.data_type.name for name, v in variables.items()} == {
            "Temperature": "r4",
            "Alarm": "boolean",
        }
        async with remote["Thermometer"].subscribe() as subscription:
            assert subscription.service is remote["Thermometer"]
            await device.notify(
                subscription.callback, subscription.sid, 0, Temperature="2.5", Alarm="1"
            )
            event = await anext(subscription)
            assert event.changes == {"Temperature": 2.5, "Alarm": True}
            assert subscription.values == {"Temperature": 2.5, "Alarm": True}
        got = [request.target for request in device.of("GET")]
        assert got == ["/description.xml", "/scpd.xml"]


@pytest.mark.clause("XML-06")
async def test_a_value_that_does_not_fit_is_text_in_the_details_and_the_stream_goes_on(
    raw_device: Any,
) -> None:
    async with raw_device() as device, ControlPoint() as point:
        remote = await point.device(device.description_url)
        async with remote["Thermometer"].subscribe() as subscription:
            callback, sid = subscription.callback, subscription.sid
            await device.notify(callback, sid, 0, Temperature="20", Alarm="0")
            await device.notify(callback, sid, 1, Temperature="warm", Alarm="1", New="x")
            await device.notify(callback, sid, 2, Temperature="21")
            initial, odd, last = [await anext(subscription) for _ in range(3)]
            assert initial.details[0].previous is None
            assert odd.changes == {"Alarm": True}
            assert [(c.variable, c.value, c.previous, c.text) for c in odd.details] == [
                ("Temperature", None, 20.0, "warm"),
                ("Alarm", True, False, "1"),
                ("New", None, None, "x"),
            ]
            assert last.details[0].previous == 20.0
            assert subscription.values == {"Temperature": 21.0, "Alarm": True}


@pytest.mark.parametrize(
    "scpd_url",
    ["/missing.xml", "/garbage.xml", "", "https://127.0.0.1/scpd.xml", "http://127.0.0.1:1/x"],
)
async def test_without_a_usable_service_description_values_are_texts(
    raw_device: Any, caplog: pytest.LogCaptureFixture, scpd_url: str
) -> None:
    async with raw_device() as device, ControlPoint() as point:
        device.documents["/garbage.xml"] = b"<html>"
        device.documents["/description.xml"] = device.documents["/description.xml"].replace(
            b"/scpd.xml", scpd_url.encode()
        )
        remote = await point.device(device.description_url)
        async with remote["Thermometer"].subscribe() as subscription:
            await device.notify(
                subscription.callback, subscription.sid, 0, Temperature="20", New="x"
            )
            assert (await anext(subscription)).changes == {"Temperature": "20", "New": "x"}
    (record,) = (r for r in caplog.records if "the values of Thermometer stay texts" in r.message)
    assert record.levelno == logging.WARNING


async def test_a_service_description_that_is_no_http_leaves_texts_too(raw_device: Any) -> None:
    async with raw_device() as device, ControlPoint() as point:
        remote = await point.device(device.description_url)
        device.answers["GET"] = b"220 smtp ready\r\n\r\n"
        async with remote["Thermometer"].subscribe() as subscription:
            assert subscription.sid == "uuid:1"
        with pytest.raises(DescriptionError, match="not answered in HTTP"):
            await remote["Thermometer"].variables()


@pytest.mark.clause("SUB-03")
async def test_a_service_without_events_says_so_at_once(raw_device: Any) -> None:
    async with raw_device() as device, ControlPoint() as point:
        description = device.documents["/description.xml"]
        device.documents["/description.xml"] = description.replace(b">/event<", b"><")
        remote = await point.device(device.description_url)
        with pytest.raises(DescriptionError, match="Thermometer of Raw sends no events"):
            remote["Thermometer"].subscribe()
        device.documents["/description.xml"] = description.replace(
            b">/event<", b">ftp://192.0.2.7/event<"
        )
        remote = await point.device(device.description_url)
        wrong = r"Thermometer of Raw cannot be subscribed to: the eventSubURL .* is no http"
        with pytest.raises(DescriptionError, match=wrong):
            remote["Thermometer"].subscribe()
        assert device.of("SUBSCRIBE") == []


async def test_the_description_is_read_first_when_the_device_may_be_away(raw_device: Any) -> None:
    """``wait=False``: types come when the device does, and it is told that they are missing."""

    async with raw_device() as device, ControlPoint() as point:
        remote = await point.device(device.description_url)
        async with remote["Thermometer"].subscribe(wait=False) as subscription:
            while not subscription.sid:
                await asyncio.sleep(0.001)
            await device.notify(subscription.callback, subscription.sid, 0, Temperature="20")
            assert (await anext(subscription)).changes == {"Temperature": 20.0}
        got = [(request.method, request.target) for request in device.requests]
        assert got == [
            ("GET", "/description.xml"),
            ("GET", "/description.xml"),
            ("GET", "/scpd.xml"),
            ("SUBSCRIBE", "/event"),
            ("UNSUBSCRIBE", "/event"),
        ]


async def test_a_device_that_has_gone_refuses_with_connection_failed(raw_device: Any) -> None:
    async with raw_device() as device, ControlPoint() as point:
        remote = await point.device(device.description_url)
        await device.__aexit__()
        with pytest.raises(ConnectionFailed):
            await remote["Thermometer"].variables()
        with pytest.raises(ConnectionFailed):
            await remote["Thermometer"].subscribe().__aenter__()


async def test_a_last_change_is_taken_apart_and_a_malformed_one_is_told(
    raw_device: Any, caplog: pytest.LogCaptureFixture
) -> None:
    scpd = (
        b'<scpd xmlns="urn:schemas-upnp-org:service-1-0"><serviceStateTable>'
        b'<stateVariable sendEvents="yes"><name>LastChange</name><dataType>string</dataType>'
        b'</stateVariable><stateVariable sendEvents="no"><name>Volume</name>'
        b"<dataType>ui2</dataType></stateVariable></serviceStateTable></scpd>"
    )

    def last_change(inside: str) -> str:
        text = f'<Event xmlns="urn:schemas-upnp-org:metadata-1-0/RCS/">{inside}</Event>'
        return text.replace("&", "&amp;").replace("<", "&lt;")

    async with raw_device() as device, ControlPoint() as point:
        device.documents["/scpd.xml"] = scpd
        remote = await point.device(device.description_url)
        async with remote["Thermometer"].subscribe() as subscription:
            whole = (
                '<InstanceID val="0"><Volume channel="Master" val="7"/>'
                '<Volume channel="LF" val="3"/></InstanceID>'
            )
            for seq, text in enumerate((last_change(whole), "&lt;Event", "&lt;Event")):
                answer = await device.notify(
                    subscription.callback, subscription.sid, seq, LastChange=text
                )
                assert answer.status == 200
            event = await anext(subscription)
            assert event.changes["Volume"] == 7
            details = {(c.variable, c.instance, c.channel): c.value for c in event.details}
            assert details["Volume", 0, "Master"] == 7
            assert details["Volume", 0, "LF"] == 3
            assert subscription.values["Volume"] == 7
            assert subscription.full_state["Volume", 0, "LF"] == 3
            assert subscription.accepted is None
    told = [r for r in caplog.records if r.levelno == logging.WARNING and "/event (" in r.message]
    assert len(told) == 1
