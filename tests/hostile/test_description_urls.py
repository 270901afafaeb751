"""Descriptions whose URLs lead to other hosts, against the control points of both runtimes.

The device is at an address of this machine that is not loopback. To a control point it is another
host than loopback. The victim is a server on loopback, which must not be asked anything.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from propchange.driver.machine import Interfaces
from propchange.errors import DescriptionError, PropchangeError
from tests.asyncio.conftest import DESCRIPTION, SCPD, Doorkeeper, Message, RawDevice
from tests.hostile.fronts import point, result

__all__ = ["point"]

OUTSIDE = next(
    (each.host for each in Interfaces().addresses() if each.interface != "lo" and not each.scope),
    None,
)
pytestmark = pytest.mark.skipif(OUTSIDE is None, reason="only loopback here: no other host to be")


class Victim(Doorkeeper):
    """A server that would do what anybody on this machine asks."""

    async def answer(self, request: Message) -> bytes:
        return RawDevice.reply(200, "SID: uuid:victim\r\nTIMEOUT: Second-1800\r\n", b"<scpd/>")


class Attack:
    """A device and a victim. ``name`` writes the victim's address into a description."""

    def __init__(self, device: RawDevice, victim: Victim) -> None:
        self.device = device
        self.victim = victim
        self.url = f"http://{OUTSIDE}:{device.port}/description.xml"

    def describe(self, old: str, host: str, path: str = "/admin?reboot=1") -> None:
        new = f"http://{host}:{self.victim.port}{path}"
        document = DESCRIPTION.replace(f">{old}<".encode(), f">{new}<".encode())
        self.device.documents["/description.xml"] = document


@pytest.fixture
def attack() -> Any:
    @contextlib.asynccontextmanager
    async def attack() -> AsyncIterator[Attack]:
        device = RawDevice()
        device.host = str(OUTSIDE)
        async with device, Victim() as victim:
            yield Attack(device, victim)

    return attack


INSIDE = ["127.0.0.1", "127.1.2.3", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"]
NAMES = ["localhost", "2130706433", "127.1"]


@pytest.mark.parametrize("host", [*INSIDE, *NAMES])
async def test_an_event_url_on_loopback_is_asked_by_nobody(
    attack: Any, point: Any, host: str
) -> None:
    async with attack() as at, point() as (control_point, subscribe):
        at.describe("/event", host)
        device = await result(control_point.device(at.url))
        with pytest.raises(PropchangeError, match=r"it leads to .*, this machine itself"):
            await subscribe(device["Thermometer"])
        if host in INSIDE:
            (problem,) = device.description.problems
            assert "the eventSubURL" in problem
            assert device["Thermometer"].event_url == ""
        assert at.victim.requests == []
        assert at.victim.connections == 0


@pytest.mark.parametrize("host", [*INSIDE, *NAMES])
async def test_a_service_description_on_loopback_is_not_read(
    attack: Any, point: Any, host: str
) -> None:
    async with attack() as at, point() as (control_point, _):
        at.describe("/scpd.xml", host)
        device = await result(control_point.device(at.url))
        with pytest.raises(DescriptionError):
            await result(device["Thermometer"].variables())
        assert at.victim.connections == 0


@pytest.mark.parametrize("host", INSIDE)
async def test_a_url_base_on_loopback_is_ignored(attack: Any, point: Any, host: str) -> None:
    async with attack() as at, point() as (control_point, subscribe):
        base = f"<URLBase>http://{host}:{at.victim.port}/x/</URLBase><device>"
        document = DESCRIPTION.replace(b"<device>", base.encode())
        at.device.documents["/description.xml"] = document
        device = await result(control_point.device(at.url))
        assert "the URLBase was ignored" in device.description.problems[0]
        await subscribe(device["Thermometer"])
        assert at.device.of("SUBSCRIBE")
        assert at.victim.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "2130706433"])
@pytest.mark.parametrize("method", ["GET", "SUBSCRIBE"])
async def test_no_redirect_leads_to_loopback(
    attack: Any, point: Any, host: str, method: str
) -> None:
    async with attack() as at, point() as (control_point, subscribe):
        led_to = f"LOCATION: http://{host}:{at.victim.port}/admin\r\n"
        at.device.answers[method] = at.device.reply(307, led_to)

        async def attempt() -> None:
            device = await result(control_point.device(at.url))
            await subscribe(device["Thermometer"])

        with pytest.raises(PropchangeError, match="307"):
            await attempt()
        assert at.victim.connections == 0


async def call(service: Any) -> None:
    await result(service.call("Reset"))


SCPD_WITH_ACTION = SCPD.replace(
    b"<serviceStateTable>",
    b"<actionList><action><name>Reset</name></action></actionList><serviceStateTable>",
)


@pytest.mark.parametrize("host", [*INSIDE, *NAMES, "192.0.2.77"])
async def test_a_control_url_of_another_host_is_called_by_nobody(
    attack: Any, point: Any, host: str
) -> None:
    async with attack() as at, point() as (control_point, _):
        at.device.documents["/scpd.xml"] = SCPD_WITH_ACTION
        at.describe("/control", host)
        device = await result(control_point.device(at.url))
        with pytest.raises(PropchangeError, match=r"it leads to .*, (this machine|another host)"):
            await call(device["Thermometer"])
        assert at.victim.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "2130706433"])
async def test_no_redirect_of_a_call_leads_to_loopback(attack: Any, point: Any, host: str) -> None:
    async with attack() as at, point() as (control_point, _):
        at.device.documents["/scpd.xml"] = SCPD_WITH_ACTION
        led_to = f"LOCATION: http://{host}:{at.victim.port}/admin\r\n"
        at.device.answers["POST"] = at.device.reply(307, led_to)
        device = await result(control_point.device(at.url))
        for _ in range(2):
            with pytest.raises(PropchangeError, match="status 307"):
                await call(device["Thermometer"])
        assert at.victim.connections == 0


async def test_a_third_host_is_not_asked(attack: Any, point: Any) -> None:
    async with attack() as at, point() as (control_point, subscribe):
        at.device.documents["/description.xml"] = DESCRIPTION.replace(
            b">/event<", b">http://192.0.2.77/event<"
        )
        device = await result(control_point.device(at.url))
        with pytest.raises(DescriptionError, match=r"192\.0\.2\.77, another host than"):
            await subscribe(device["Thermometer"])
