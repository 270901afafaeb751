"""A program whose own web server receives the events: ``ControlPoint(listen=False)``."""

from __future__ import annotations

from typing import Any

import pytest

from propchange import ConnectionFailed, ControlPoint, Request, Status
from propchange.core.wire.propertyset import format_propertyset
from tests.outer_server import OuterServer


async def test_a_program_receives_events_through_its_own_web_server(raw_device: Any) -> None:
    async with raw_device() as device, OuterServer(mount="/upnp") as server:
        url = server.url("/events/{token}")
        async with ControlPoint(listen=False, callback_url=url, discovery=False) as point:
            server.receive = point.receive
            async with point.subscribe_url(device.event_url) as subscription:
                callback = device.of("SUBSCRIBE")[0].fields["callback"].strip("<>")
                assert callback.startswith(server.url("/events/"))
                assert (await device.notify(callback, "uuid:1", 0, A="1")).status == 200
                event = await anext(subscription)
                assert dict(event.changes) == {"A": "1"}
                assert subscription.status is Status.ACTIVE
            with pytest.raises(RuntimeError, match="opens no port; see callback_url"):
                _ = point.port
            assert repr(point) == f"<ControlPoint: events at {url}, 0 subscriptions>"


async def test_before_it_is_entered_it_answers_503_and_after_its_end_412() -> None:
    """The events of a former process must stop, those that come too early need not."""
    point = ControlPoint(listen=False, callback_url="http://127.0.0.1:8000/{token}")
    headers = (
        (b"HOST", b"127.0.0.1:8000"),
        (b"NT", b"upnp:event"),
        (b"NTS", b"upnp:propchange"),
        (b"SID", b"uuid:1"),
        (b"SEQ", b"4"),
    )
    assert point.receive(Request("NOTIFY", "/x", headers)).status == 503
    async with point:
        assert point.receive(Request("NOTIFY", "/x", headers)).status == 412
    assert point.receive(Request("NOTIFY", "/x", headers)).status == 412


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({}, r"callback_url=\"http://192\.168\.1\.5:8000/events/\{token\}\""),
        (
            {"callback_host": "192.168.1.5", "callback_port": 8000},
            "listen=False needs callback_url",
        ),
        ({"callback_url": "http://192.168.1.5/{token}", "port": 80}, "no port is opened"),
    ],
)
def test_listen_false_says_what_to_write(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ControlPoint(listen=False, **wrong)


@pytest.mark.one_loop
@pytest.mark.parametrize("interface", [None, "127.0.0.1", "lo"])
async def test_discovery_takes_place_as_with_a_listener(interface: str | None) -> None:
    async with (
        ControlPoint(interface=interface) as listening,
        ControlPoint(
            interface=interface, listen=False, callback_url="http://127.0.0.1:8000/{token}"
        ) as other,
    ):
        assert other.discovery_links == listening.discovery_links


@pytest.mark.parametrize("interface", ["192.0.2.99", "fe80::1%nowhere", "nas.local"])
async def test_an_interface_that_is_none_is_told(interface: str) -> None:
    point = ControlPoint(
        interface=interface, listen=False, callback_url="http://192.0.2.99:8000/{token}"
    )
    with pytest.raises(ConnectionFailed, match=f"{interface} is no address of this machine"):
        await point.__aenter__()


async def test_with_an_interface_subscribe_leaves_from_there(raw_device: Any) -> None:
    async with (
        raw_device() as device,
        OuterServer() as server,
        ControlPoint(
            interface="127.0.0.7", listen=False, callback_url=server.url(), discovery=False
        ) as point,
    ):
        server.receive = point.receive
        async with point.subscribe_url(device.event_url) as subscription:
            assert device.peers == ["127.0.0.7"]
            assert subscription.record.callback.startswith(server.url("/"))


@pytest.mark.parametrize("host", ["proxy.example:8000", "{host}"])
async def test_behind_a_proxy_a_listener_of_its_own_takes_what_the_proxy_makes_of_the_path(
    raw_device: Any, ask: Any, host: str
) -> None:
    """``callback_url`` names the proxy; HOST is its name or that of the listener."""
    async with (
        raw_device() as device,
        ControlPoint(
            interface="127.0.0.1",
            callback_url="http://proxy.example:8000/home/upnp/{token}",
            discovery=False,
        ) as point,
        point.subscribe_url(device.event_url) as subscription,
    ):
        callback = device.of("SUBSCRIBE")[0].fields["callback"].strip("<>")
        assert callback.startswith("http://proxy.example:8000/home/upnp/")
        token = callback.rpartition("/")[2]
        body = format_propertyset([("A", "1")])
        for path, status in (("/upnp/" + token[::-1], 412), (f"/upnp/{token}", 200)):
            text = f"NOTIFY {path} HTTP/1.1\nHOST: {host}\nNT: upnp:event\nNTS: upnp:propchange"
            answer = await ask(point.port, f"{text}\nSID: uuid:1\nSEQ: 0", body=body)
            assert answer.status == status
        assert dict((await anext(subscription)).changes) == {"A": "1"}
