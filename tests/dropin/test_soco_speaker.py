"""A program that treats its speakers as Home Assistant's integration does, with the drop-in."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import soco
from soco import config, events_asyncio

from lab.programs import free_port
from lab.sonos_like import SonosLike
from propchange.dropin.soco import event_listener as listening
from propchange.dropin.soco import install, uninstall
from tests.wire import Until

SERVICES = (
    "alarmClock",
    "avTransport",
    "contentDirectory",
    "deviceProperties",
    "renderingControl",
    "zoneGroupTopology",
)


class Player(soco.SoCo):
    household_id = "Sonos_propchange"


class Speaker:
    """Unavailable when a renewal fails: it then gives everything back, and subscribes to everything
    again when the speaker is heard of."""

    def __init__(self, player: Any) -> None:
        self.player = player
        self.available = True
        self.failures = 0
        self.volume: int | None = None
        self.seen: list[str] = []
        self._subscriptions: list[Any] = []
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def _start(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def subscribe(self) -> None:
        async with self._lock:
            have = {each.service.service_type.lower() for each in self._subscriptions}
            missing = [name for name in SERVICES if name.lower() not in have]
            results = await asyncio.gather(*map(self._follow, missing), return_exceptions=True)
            if any(isinstance(result, Exception) for result in results):
                await self._offline()

    async def _follow(self, name: str) -> None:
        service = getattr(self.player, name)
        subscription = await service.subscribe(auto_renew=True, requested_timeout=1200)
        subscription.callback = self._event
        subscription.auto_renew_fail = self._renewal_failed
        self._subscriptions.append(subscription)

    def _event(self, event: Any) -> None:
        self.activity()
        self.seen.append(event.service.service_type)
        if "volume" in event.variables:
            self.volume = int(event.variables["volume"]["Master"])

    def _renewal_failed(self, _: Exception) -> None:
        self.failures += 1
        self._start(self.offline())

    async def offline(self) -> None:
        async with self._lock:
            await self._offline()

    async def _offline(self) -> None:
        if not self.available:
            return
        self.available = False
        ending = [subscription.unsubscribe() for subscription in self._subscriptions]
        await asyncio.gather(*ending, return_exceptions=True)
        self._subscriptions = []

    def activity(self) -> None:
        """It was heard of: an event, an announcement, an answer."""
        was_available, self.available = self.available, True
        if not was_available:
            self._start(self.subscribe())

    @property
    def settled(self) -> bool:
        return len(self._subscriptions) == len(SERVICES) and not self._tasks


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    limits = replace(listening.LIMITS, backoff_first_seconds=0.05)
    monkeypatch.setattr(listening, "LIMITS", limits)
    monkeypatch.setattr(config, "EVENTS_MODULE", events_asyncio)
    monkeypatch.setattr(config, "EVENT_LISTENER_PORT", free_port())
    install(discovery=False)
    Player.zone_group_states.clear()
    yield
    uninstall()


@pytest.mark.slow
async def test_a_speaker_that_is_away_for_long_is_unavailable_and_then_followed_again(
    until: Until,
) -> None:
    async with SonosLike(grant=3) as device:
        speaker = Speaker(Player(device.address, device.port))
        await speaker.subscribe()
        await until(lambda: speaker.volume == 20)
        await device.stop()
        await until(lambda: not speaker.available)
        await until(lambda: not speaker._tasks)
        device.volume = 41
        await device.start()
        await asyncio.sleep(0.3)
        assert not device.subscribers  # what it has given back does not come again
        speaker.activity()
        await until(lambda: speaker.settled and speaker.volume == 41)
        speaker.seen.clear()
        device.set_volume(42)
        await until(lambda: speaker.volume == 42)
        await asyncio.sleep(0.1)
        assert speaker.seen == ["RenderingControl"]  # once
        assert len(device.subscribers) == len(SERVICES)
        await speaker.offline()
        await events_asyncio.event_listener.async_stop()
        assert not device.subscribers


@pytest.mark.slow
async def test_a_speaker_that_restarts_is_available_all_the_time(until: Until) -> None:
    async with SonosLike(grant=5) as device:
        speaker = Speaker(Player(device.address, device.port))
        await speaker.subscribe()
        await until(lambda: speaker.volume == 20)
        await device.stop()
        device.volume = 41
        await device.start()
        await until(lambda: speaker.volume == 41)
        await until(lambda: len(device.subscribers) == len(SERVICES))
        assert speaker.available
        assert speaker.failures == 0
        await speaker.offline()
        await events_asyncio.event_listener.async_stop()
