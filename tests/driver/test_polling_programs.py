"""``subscribe(poll=…)`` of programs on both runtimes, with a device that does what it is told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from lab.scripted import Asked, ScriptedDevice, granted
from propchange import Device, Event, Limits, Status, StatusChange, action, host
from propchange.errors import SubscriptionRefused
from propchange.upnp.standard import RenderingControl, SwitchPower
from tests.hostile.fronts import point, result
from tests.wire import Until

__all__ = ["point"]

REFUSED = b"HTTP/1.1 503 Service Unavailable\r\nCONTENT-LENGTH: 0\r\n\r\n"


class Heard:
    """What a program hears of its subscription."""

    def __init__(self, subscription: Any) -> None:
        self.subscription = subscription
        self.updates: list[Event | StatusChange] = []

    @property
    def events(self) -> list[tuple[bool, int | None, dict[str, Any]]]:
        found = (each for each in self.updates if isinstance(each, Event))
        return [(each.polled, each.seq, dict(each.changes)) for each in found]


@contextlib.asynccontextmanager
async def subscribed(control_point: Any, url: Any, **options: Any) -> AsyncIterator[Heard]:
    """A subscription that waits, on either runtime, and what is heard of it. ``url`` is that of
    events, or a service."""
    if not hasattr(control_point, "subscribe_url"):
        updates: list[Any] = []
        subscription = control_point.subscribe(
            url, updates.append, on_status=updates.append, wait=True, **options
        )
        assert await result(subscription.when_granted) is subscription
        heard = Heard(subscription)
        heard.updates = updates
        yield heard
        await result(subscription.close())
        return
    by_url = isinstance(url, str)
    subscribe = partial(control_point.subscribe_url, url) if by_url else url.subscribe
    async with subscribe(**options) as subscription:
        heard = Heard(subscription)

        async def iterate() -> None:
            async for update in subscription.updates():
                heard.updates.append(update)

        task = asyncio.ensure_future(iterate())
        yield heard
    await task


def refusing(asked: Asked) -> bytes:
    return REFUSED


@pytest.mark.slow
async def test_a_refused_subscription_is_entered_and_polled_until_events_come(
    point: Any, until: Until
) -> None:
    value = 7

    async def poll() -> dict[str, int]:
        return {"Value": value}

    async with ScriptedDevice(refusing) as device, point() as (control_point, _):
        options = {"poll": poll, "poll_interval": 0.05}
        async with subscribed(control_point, device.event_url, **options) as heard:
            assert heard.subscription.polled
            await until(lambda: heard.events == [(True, None, {"Value": 7})])
            value = 8
            await until(lambda: heard.events[1:] == [(True, None, {"Value": 8})])
            assert heard.subscription.values == {"Value": 8}
            assert "the values are polled every 0.05 s" in heard.subscription.status_reason
            device.script = device.behave
            await until(lambda: heard.subscription.status is Status.ACTIVE)
            assert not heard.subscription.polled
            await until(lambda: heard.events[2:] == [(False, 0, {"Value": "0"})])
            assert heard.subscription.values == {"Value": "0"}


@pytest.mark.slow
async def test_a_deaf_subscription_is_polled_and_again_when_it_is_deaf_again(
    point: Any, until: Until
) -> None:
    device = ScriptedDevice()

    def silent(asked: Asked) -> bytes:
        if asked.method == "SUBSCRIBE" and not asked.is_renewal:
            device.begin(asked)
            return granted(device.sid)
        return device.behave(asked)

    device.script = silent
    limits = Limits(initial_event_seconds=0.1)
    async with device, point(limits=limits) as (control_point, _):
        options = {"poll": lambda: {"Value": "polled"}, "poll_interval": 0.05}
        async with subscribed(control_point, device.event_url, **options) as heard:
            assert not heard.subscription.polled
            await until(lambda: heard.subscription.status is Status.DEAF)
            await until(lambda: heard.events == [(True, None, {"Value": "polled"})])
            device.script = device.behave
            await until(lambda: heard.events[-1] == (False, 0, {"Value": "0"}))
            assert heard.subscription.status is Status.ACTIVE
            # An event is lost, and the fresh subscription is deaf.
            device.script = silent
            await device.notify("3", seq=7)
            await until(lambda: heard.subscription.status is Status.DEAF)
            await until(lambda: heard.events[-1] == (True, None, {"Value": "polled"}))
            assert heard.subscription.values == {"Value": "polled"}


class Sound(RenderingControl):
    @action
    def select_preset(self, instance_id: int, preset_name: str) -> None:
        """Has no effect."""


class Power(SwitchPower):
    @action
    def set_target(self, new_target_value: bool) -> None:
        self.target = self.status = new_target_value


@pytest.mark.slow
async def test_a_device_whose_events_do_not_arrive_is_read_by_its_get_actions(
    point: Any, until: Until
) -> None:
    sound, power = Sound(), Power()
    device = Device("Amplifier", services=[sound, power])
    # Nobody listens at the port in CALLBACK.
    options = {"limits": Limits(initial_event_seconds=0.1), "callback_port": 9}
    async with (
        host(device, interface="127.0.0.1") as hosted,
        point(discovery=False, **options) as (control_point, _),
    ):
        remote = await result(control_point.device(hosted.description_url))
        options = {"poll": True, "poll_interval": 0.1}
        async with subscribed(control_point, remote["SwitchPower"], **options) as heard:
            expected = {"Target": False, "Status": False}
            await until(lambda: heard.events == [(True, None, expected)])
            power.status = True
            await until(lambda: heard.events[1:] == [(True, None, {"Status": True})])
            assert heard.subscription.state["Status"] is True
            assert heard.subscription.status is Status.DEAF
        async with subscribed(control_point, remote["RenderingControl"], **options) as heard:
            await until(lambda: heard.events)
            assert heard.subscription.values["PresetNameList"] == "FactoryDefaults"
            sound.volume = 33
            await until(lambda: heard.events[1:] == [(True, None, {"Volume": 33})])
            # As a LastChange has them.
            assert heard.subscription.full_state["Volume", 0, "Master"] == 33
            assert heard.subscription.full_state["Brightness", 0, None] == 0


async def test_without_poll_a_refusal_raises(point: Any) -> None:
    async with ScriptedDevice(refusing) as device, point() as (control_point, _):
        with pytest.raises(SubscriptionRefused):
            async with subscribed(control_point, device.event_url):
                pass


async def test_poll_true_needs_a_description(point: Any) -> None:
    async with point() as (control_point, _):
        with pytest.raises(ValueError, match="poll=True needs the description"):
            async with subscribed(control_point, "http://127.0.0.1:9/event", poll=True):
                pass
