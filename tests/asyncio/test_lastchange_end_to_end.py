"""LastChange over real sockets: our device and our control point, and raw peers on either side."""

from __future__ import annotations

import asyncio
import dataclasses
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import pytest

from propchange import Change, ControlPoint, Device, Event, Limits, Subscription, host
from propchange.core.values.lastchange import parse_lastchange
from propchange.core.values.state_variables import StateVariable
from propchange.upnp.simulated_services import (
    SimulatedDirectory,
    SimulatedRendering,
    SimulatedTransport,
)

pytestmark = pytest.mark.slow

LOOPBACK = "127.0.0.1"


class Amplifier(
    SimulatedRendering,
    without=[
        *("Brightness", "Contrast", "Sharpness", "ColorTemperature"),
        *("RedVideoGain", "GreenVideoGain", "BlueVideoGain"),
        *("RedVideoBlackLevel", "GreenVideoBlackLevel", "BlueVideoBlackLevel"),
        *("HorizontalKeystone", "VerticalKeystone", "VolumeDB", "Loudness"),
    ],
):
    bass = StateVariable("i2", evented="LastChange", name="X_Bass")


async def changes_until(subscription: Subscription, name: str, value: object) -> list[Event]:
    """The events up to the one that brings ``name`` to ``value``."""
    events = []
    async for event in subscription:
        events.append(event)
        if event.changes.get(name) == value:
            break
    return events


@pytest.mark.clause("LC-07")
@pytest.mark.clause("LC-09")
async def test_a_renderer_whose_volume_moves_is_followed() -> None:
    amplifier = Amplifier()
    amplifier.volume = 10
    async with (
        host(Device("Amplifier", services=[amplifier]), interface=LOOPBACK) as hosted,
        ControlPoint(interface=LOOPBACK) as point,
    ):
        device = await point.device(hosted.description_url)
        async with device["RenderingControl"].subscribe() as subscription:
            initial = await anext(subscription)
            assert initial.is_initial
            assert initial.changes == {
                "PresetNameList": "FactoryDefaults",
                "Mute": False,
                "Volume": 10,
                "X_Bass": 0,
            }
            for volume in range(11, 41):
                amplifier.volume = volume
                await asyncio.sleep(0)
            amplifier.bass = -3
            events = await changes_until(subscription, "X_Bass", -3)
            assert [event.changes for event in events] == [
                {"Volume": 11},
                {"Volume": 40, "X_Bass": -3},
            ]
            assert events[1].details[1] == Change("Volume", 40, 11, 0, "Master", "40")
            assert subscription.values["Volume"] == 40
            assert "LastChange" not in subscription.values


@pytest.mark.clause("LC-04")
async def test_instances_and_channels_arrive_in_details_and_in_the_state() -> None:
    amplifier = Amplifier()
    async with (
        host(Device("Amplifier", services=[amplifier]), interface=LOOPBACK) as hosted,
        ControlPoint(interface=LOOPBACK) as point,
    ):
        device = await point.device(hosted.description_url)
        async with device["RenderingControl"].subscribe() as subscription:
            await anext(subscription)
            with amplifier.batch():
                amplifier.instance(0)["Volume", "LF"] = 20
                amplifier.add_instance(3)["Mute"] = True
            event = await anext(subscription)
            assert event.changes == {}
            told = {(c.variable, c.instance, c.channel): c.value for c in event.details[1:]}
            assert told[("Volume", 0, "LF")] == 20
            assert told[("Mute", 3, "Master")] is True
            assert subscription.full_state[("Volume", 0, "LF")] == 20
            assert subscription.full_state[("Mute", 3, "Master")] is True
            assert subscription.values["Mute"] is False
        # Whoever comes later is told all of it at once.
        async with device["RenderingControl"].subscribe() as late:
            await anext(late)
            assert late.full_state == subscription.full_state
            amplifier.remove_instance(3)
            await anext(late)
        async with device["RenderingControl"].subscribe() as last:
            await anext(last)
            assert {instance for _, instance, _ in last.full_state} == {0}


@pytest.mark.clause("LC-01")
@pytest.mark.clause("LC-03")
@pytest.mark.clause("LC-08")
async def test_the_bytes_on_the_wire_are_those_of_the_standard(ask, raw_subscriber) -> None:
    transport = SimulatedTransport()
    didl = '<DIDL-Lite><item id="1">A &amp; B</item></DIDL-Lite>'
    async with (
        raw_subscriber() as peer,
        host(Device("Player", services=[transport]), interface=LOOPBACK) as hosted,
    ):
        scpd = await ask(hosted.port, "GET /AVTransport/scpd.xml HTTP/1.1\nHOST: {host}")
        evented = {
            variable.findtext("{*}name")
            for variable in ElementTree.fromstring(scpd.body).iterfind(".//{*}stateVariable")
            if variable.get("sendEvents") == "yes"
        }
        assert evented == {"LastChange"}
        assert (await peer.subscribe(hosted.port, "/AVTransport/event")).status == 200
        _, initial = await peer.event()
        told = {e.variable for e in parse_lastchange(initial["LastChange"]).entries}
        assert {"TransportState", "AVTransportURI", "CurrentTrackMetaData"} <= told
        assert "RelativeTimePosition" not in told
        transport.current_track_meta_data = didl
        seq, changes = await peer.event()
        assert seq == 1
        assert list(changes) == ["LastChange"]
        root = ElementTree.fromstring(changes["LastChange"])
        assert root.tag == "{urn:schemas-upnp-org:metadata-1-0/AVT/}Event"
        (variable,) = root.iterfind("./{*}InstanceID[@val='0']/*")
        assert variable.get("val") == didl
        assert b"&amp;lt;DIDL-Lite&amp;gt;" in peer.requests[-1].body


async def test_subscribers_that_are_behind_are_told_the_whole_in_the_end(raw_subscriber) -> None:
    amplifier = Amplifier()
    limits = dataclasses.replace(Limits(), waiting_messages=2)
    opened = asyncio.Event()

    async def slow(request) -> bytes:
        await opened.wait()
        return b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH: 0\r\n\r\n"

    async with (
        raw_subscriber() as peer,
        host(
            Device("Amplifier", services=[amplifier]), interface=LOOPBACK, limits=limits
        ) as hosted,
    ):
        peer.answer = slow
        assert (await peer.subscribe(hosted.port, "/RenderingControl/event")).status == 200
        await peer.event()
        for number in range(6):
            with amplifier.batch():
                amplifier.instance(0)["Volume", f"C{number}"] = number
                amplifier.volume = number
            await asyncio.sleep(0.21)
        opened.set()
        assert await hosted.drain(5)
        state = {}
        for request in peer.requests[1:]:
            body = ElementTree.fromstring(request.body).findtext(".//LastChange") or ""
            state.update({entry[:3]: entry.text for entry in parse_lastchange(body).entries})
        assert state == {
            (0, "Volume", "Master"): "5",
            **{(0, "Volume", f"C{number}"): str(number) for number in range(6)},
        }
        assert len(peer.requests) == 3


SCPD = b"""<scpd xmlns="urn:schemas-upnp-org:service-1-0"><serviceStateTable>
<stateVariable sendEvents="yes"><name>LastChange</name><dataType>string</dataType></stateVariable>
<stateVariable sendEvents="no"><name>Volume</name><dataType>ui2</dataType></stateVariable>
<stateVariable sendEvents="no"><name>Mute</name><dataType>boolean</dataType></stateVariable>
</serviceStateTable></scpd>"""

EVENT = (
    '<Event xmlns="urn:schemas-upnp-org:metadata-1-0/RCS/"><InstanceID val="0">'
    '<Volume channel="Master" val="{}"/></InstanceID></Event>'
)


@pytest.mark.clause("XML-10")
@pytest.mark.clause("LC-08")
async def test_whatever_devices_do_to_a_last_change_the_volume_arrives(raw_device) -> None:
    async with (
        raw_device() as device,
        ControlPoint(interface=LOOPBACK) as point,
    ):
        device.documents["/scpd.xml"] = SCPD
        remote = await point.device(device.description_url)
        async with remote.services[0].subscribe() as subscription:
            bodies = [
                escape(EVENT.format(1)),
                EVENT.format(2),  # nested XML
                escape(escape(EVENT.format(3))),
                escape('<?xml version="1.0" encoding="utf-16"?>' + EVENT.format(4)),
                escape(EVENT.format(5).replace("<Volume", '<Title val="A & B"/><Volume')),
                escape(EVENT.format("x")),
                "junk",
                escape(EVENT.format(8)),
            ]
            for seq, body in enumerate(bodies):
                answer = await device.notify(
                    subscription.callback, subscription.sid, seq, LastChange=body
                )
                assert answer.status == 200
            events = [await anext(subscription) for _ in bodies]
            assert [event.changes for event in events] == [
                *[{"Volume": volume} for volume in range(1, 6)],
                {},
                {"LastChange": "junk"},
                {"Volume": 8},
            ]
            assert events[5].details[1].text == "x"
            assert events[5].details[1].value is None
            assert subscription.values == {"Volume": 8}


async def test_without_a_description_the_values_of_a_last_change_are_texts(raw_device) -> None:
    async with (
        raw_device() as device,
        ControlPoint(interface=LOOPBACK) as point,
        point.subscribe_url(device.event_url) as subscription,
    ):
        await device.notify(
            subscription.callback, subscription.sid, 0, LastChange=escape(EVENT.format(7))
        )
        event = await anext(subscription)
        assert event.changes == {"Volume": "7"}


@pytest.mark.clause("LC-12")
async def test_a_media_server_tells_which_containers_have_changed() -> None:
    directory = SimulatedDirectory()
    async with (
        host(Device("Server", services=[directory]), interface=LOOPBACK) as hosted,
        ControlPoint(interface=LOOPBACK) as point,
    ):
        device = await point.device(hosted.description_url)
        async with device["ContentDirectory"].subscribe() as subscription:
            assert (await anext(subscription)).changes["ContainerUpdateIDs"] == ""
            for update in range(1, 5):
                directory.container_updated(str(update % 2), update)
            told = [(await anext(subscription)).changes for _ in range(2)]
            assert told == [{"ContainerUpdateIDs": "1,1"}, {"ContainerUpdateIDs": "1,3,0,4"}]
        async with device["ContentDirectory"].subscribe() as late:
            assert (await anext(late)).changes["ContainerUpdateIDs"] == "1,3,0,4"
