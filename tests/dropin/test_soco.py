"""A SoCo program on asyncio with the drop-in, beside a device that has the paths of a Sonos."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
import soco
from soco import config, events_asyncio
from soco.exceptions import SoCoException
from soco.services import Queue

from lab.programs import free_port
from lab.sonos_like import SonosLike
from propchange.dropin.soco import event_listener as listening
from propchange.dropin.soco import install, kept_subscription, uninstall
from propchange.dropin.soco import subscription as ours
from tests.wire import Until

pytestmark = pytest.mark.slow  # waits for players as long as SoCo does


class Player(soco.SoCo):
    """A player whose household is known, so that SoCo does not ask for it."""

    household_id = "Sonos_propchange"


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    limits = replace(
        listening.LIMITS,
        backoff_first_seconds=0.05,
        subscribe_burst=100,
        subscribe_refill_seconds=0.01,
    )
    monkeypatch.setattr(listening, "LIMITS", limits)
    monkeypatch.setattr(config, "EVENTS_MODULE", events_asyncio)
    monkeypatch.setattr(config, "EVENT_LISTENER_PORT", free_port())
    install(discovery=False)
    Player.zone_group_states.clear()
    yield
    uninstall()


def player_of(device: SonosLike) -> Any:
    return Player(device.address, device.port)


class Heard:
    """A callback, and the events that it was called with."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def __call__(self, event: Any) -> None:
        self.events.append(event)

    @property
    def volumes(self) -> list[int]:
        return [int(event.variables["volume"]["Master"]) for event in self.events]


async def subscribed(device: SonosLike, **options: Any) -> tuple[Any, Heard]:
    subscription = await player_of(device).renderingControl.subscribe(**options)
    subscription.callback = heard = Heard()
    return subscription, heard


async def end(*subscriptions: Any) -> None:
    for subscription in subscriptions:
        await subscription.unsubscribe(strict=False)
    await events_asyncio.event_listener.async_stop()


# --- what a subscription is ---


async def test_subscribing_gives_a_future_of_the_subscription(until: Until) -> None:
    async with SonosLike(grant=300) as device:
        service = player_of(device).renderingControl
        future = service.subscribe(requested_timeout=120)
        assert isinstance(future, asyncio.Future)
        assert events_asyncio.subscriptions_map.count == 1  # one is being made
        subscription = await future
        assert isinstance(subscription, events_asyncio.Subscription)
        assert subscription.service is service
        assert subscription.is_subscribed
        assert subscription.sid == next(iter(device.subscribers))
        assert subscription.timeout == 300
        assert subscription.requested_timeout == 120
        assert 298 < subscription.time_left <= 300
        assert subscription.event_listener is events_asyncio.event_listener
        assert events_asyncio.subscriptions_map.get_subscription(subscription.sid) is subscription
        [asked] = device.subscribes()
        assert asked.fields["TIMEOUT"] == "Second-120"
        sid = subscription.sid
        assert await subscription.unsubscribe() is None
        assert [each.fields["SID"] for each in device.of("UNSUBSCRIBE")] == [sid]
        assert not subscription.is_subscribed
        assert subscription.time_left == 0
        assert events_asyncio.subscriptions_map.count == 0
        await subscription.unsubscribe()  # again: nothing
        assert len(device.of("UNSUBSCRIBE")) == 1
        await end()


async def test_without_a_callback_events_wait_in_the_queue(until: Until) -> None:
    async with SonosLike() as device:
        subscription = await player_of(device).avTransport.subscribe()
        await until(subscription.events.qsize)
        event = subscription.events.get_nowait()
        assert (event.seq, event.sid) == ("0", subscription.sid)
        assert event.service is subscription.service
        assert abs(event.timestamp - time.time()) < 10
        assert event.transport_state == "STOPPED"
        assert event.variables["current_track_meta_data"].title == "A & B"
        await end(subscription)


async def test_a_program_that_reads_no_events_keeps_the_newest_alone(
    until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ours, "LIMITS", replace(listening.LIMITS, waiting_events=3))
    async with SonosLike() as device:
        subscription = await player_of(device).renderingControl.subscribe()
        for volume in range(1, 9):
            device.set_volume(volume)
        await until(lambda: subscription.events.left_out == 6)
        volumes = [subscription.events.get().variables["volume"]["Master"] for _ in range(3)]
        assert volumes == ["6", "7", "8"]
        assert subscription.events.empty()
        await end(subscription)


async def test_events_come_in_order_and_none_comes_twice(until: Until) -> None:
    async with SonosLike() as device:
        subscription, heard = await subscribed(device, auto_renew=True)
        for volume in range(1, 60):
            device.set_volume(volume)
            if not volume % 7:
                await asyncio.sleep(0.01)
        await until(lambda: len(heard.events) == 60)
        assert heard.volumes == [20, *range(1, 60)]
        assert [event.seq for event in heard.events] == [str(n) for n in range(60)]
        assert subscription.events.empty()
        await end(subscription)


async def test_the_first_events_wait_until_the_program_has_set_its_callbacks(
    until: Until,
) -> None:
    """As Home Assistant subscribes: to all services together."""
    async with SonosLike() as device:
        player = player_of(device)
        heard = Heard()
        subscriptions = []

        async def follow(service: Any) -> None:
            subscription = await service.subscribe(auto_renew=True, requested_timeout=1200)
            subscription.callback = heard
            subscriptions.append(subscription)

        names = ("alarmClock", "avTransport", "contentDirectory", "deviceProperties")
        names += ("renderingControl", "zoneGroupTopology")
        services = [*(getattr(player, name) for name in names), Queue(player)]
        await asyncio.gather(*map(follow, services))
        await until(lambda: len(heard.events) == 7)
        assert all(subscription.events.empty() for subscription in subscriptions)
        types = {event.service.service_type: event for event in heard.events}
        assert types["AlarmClock"].alarm_list_version == f"{device.uid}:1"
        assert types["Queue"].update_id == "3"
        assert types["DeviceProperties"].zone_name == "Kitchen"
        assert types["ZoneGroupTopology"].variables["third_party_media_servers_x"] == "[redacted]"
        await end(*subscriptions)


async def test_an_event_before_the_answer_to_subscribe_comes_to_the_callback(
    until: Until,
) -> None:
    async with SonosLike() as device:
        device.early = True
        subscription, heard = await subscribed(device, auto_renew=True)
        await until(lambda: heard.volumes == [20])
        assert subscription.events.empty()
        await end(subscription)


async def test_a_program_that_raises_loses_nothing(
    until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    async with SonosLike() as device:
        subscription, heard = await subscribed(device)

        def raising(event: Any) -> None:
            heard(event)
            raise LookupError("a fault of the program")

        subscription.callback = raising
        subscription.service._update_cache_on_event = raising
        await until(lambda: heard.events)
        device.set_volume(3)
        await until(lambda: heard.volumes[-1:] == [3])
        assert device.statuses == [200, 200]
        assert "a fault of the program" in caplog.text
        await end(subscription)


async def test_the_topology_is_known_before_the_callback_is_called(until: Until) -> None:
    async with SonosLike() as device:
        player = player_of(device)
        subscription = await player.zoneGroupTopology.subscribe(auto_renew=True)
        rooms: list[str] = []
        state = player.zone_group_state

        def look(_: Any) -> None:
            rooms.extend(each.player_name for each in state.get_all_zones(player))

        subscription.callback = look
        assert state.has_subscriptions
        await until(lambda: rooms)
        device.set_topology("Bath")
        await until(lambda: len(rooms) == 2)
        assert rooms == ["Kitchen", "Bath"]
        assert not device.of("POST")  # events have brought it
        await subscription.unsubscribe()
        assert not state.has_subscriptions
        await end()


# --- strict, and misuse ---


@pytest.mark.parametrize("auto_renew", [False, True])
async def test_with_strict_a_failure_raises_the_exception_of_aiohttp(auto_renew: bool) -> None:
    async with SonosLike() as device:
        device.refuse_subscribes(1)
        subscription = events_asyncio.Subscription(player_of(device).renderingControl)
        with pytest.raises(aiohttp.ClientResponseError) as refused:
            await subscription.subscribe(auto_renew=auto_renew)
        assert refused.value.status == 503
        assert not subscription.is_subscribed
        with pytest.raises(SoCoException, match="once unsubscribed"):
            await subscription.subscribe()
        await device.stop()
        with pytest.raises(aiohttp.ClientConnectorError, match="Cannot connect to host 127"):
            await player_of(device).renderingControl.subscribe(auto_renew=auto_renew)
        assert events_asyncio.subscriptions_map.count == 0
        assert not events_asyncio.event_listener.is_running  # nothing is left to listen for
        await end()


async def test_without_strict_it_is_tried_until_the_player_grants(until: Until) -> None:
    async with SonosLike() as device:
        device.refuse_subscribes(2)
        service = player_of(device).renderingControl
        subscription = await service.subscribe(auto_renew=True, strict=False)
        assert not subscription.is_subscribed
        subscription.callback = heard = Heard()
        await until(lambda: heard.events)
        assert subscription.is_subscribed
        assert len(device.subscribes()) == 3
        await end(subscription)


async def test_a_subscription_is_used_once() -> None:
    async with SonosLike() as device:
        subscription, _ = await subscribed(device)
        with pytest.raises(SoCoException, match="more than once"):
            await subscription.subscribe()
        await subscription.unsubscribe()
        with pytest.raises(SoCoException, match="Cannot resubscribe"):
            await subscription.subscribe()
        with pytest.raises(SoCoException, match="once unsubscribed"):
            await subscription.renew()
        fresh = events_asyncio.Subscription(subscription.service)
        await fresh.unsubscribe()
        with pytest.raises(SoCoException, match="before subscribing"):
            await fresh.renew()
        assert await fresh.renew(strict=False) is fresh
        await end()


async def test_a_program_that_does_not_wait_for_the_grant_gives_it_back(until: Until) -> None:
    async with SonosLike() as device:
        future = player_of(device).renderingControl.subscribe(auto_renew=True)
        await asyncio.sleep(0)
        future.cancel()
        await until(lambda: device.of("UNSUBSCRIBE"))
        assert events_asyncio.subscriptions_map.count == 0
        await end()


# --- renewing ---


async def test_a_program_renews_for_as_long_as_it_wants(until: Until) -> None:
    async with SonosLike(grant=40) as device:
        subscription, _ = await subscribed(device, requested_timeout=40)
        await until(lambda: device.statuses)
        device.grant = 77
        assert await subscription.renew(requested_timeout=77) is subscription
        [renewal] = device.renewals()
        assert renewal.fields["TIMEOUT"] == "Second-77"
        assert subscription.timeout == 77
        assert 70 < subscription.time_left <= 77
        await end(subscription)


async def test_a_renewal_that_is_refused_is_followed_by_a_fresh_subscription(
    until: Until,
) -> None:
    async with SonosLike() as device:
        subscription, heard = await subscribed(device)
        await until(lambda: heard.events)
        first = subscription.sid
        device.forget()
        device.volume = 5
        await subscription.renew()
        assert subscription.sid != first
        assert subscription.is_subscribed
        assert events_asyncio.subscriptions_map.get_subscription(subscription.sid) is subscription
        await until(lambda: heard.volumes == [20, 5])
        await end(subscription)


async def test_a_renewal_without_an_answer_raises_and_a_later_one_succeeds(
    until: Until,
) -> None:
    async with SonosLike() as device:
        subscription, heard = await subscribed(device)
        await until(lambda: heard.events)
        failures: list[Exception] = []
        subscription.auto_renew_fail = failures.append
        await device.stop()
        with pytest.raises(aiohttp.ClientConnectorError):
            await subscription.renew()
        assert [type(each) for each in failures] == [aiohttp.ClientConnectorError]
        assert not subscription.is_subscribed
        assert await subscription.renew(strict=False) is subscription
        assert len(failures) == 2
        await device.start()
        await subscription.renew()
        assert subscription.is_subscribed
        await until(lambda: len(heard.events) == 2)
        await end(subscription)


async def test_without_auto_renew_it_ends_after_its_time(until: Until) -> None:
    async with SonosLike(grant=2) as device:
        player = player_of(device)
        subscription = await player.zoneGroupTopology.subscribe(requested_timeout=2)
        subscription.callback = heard = Heard()
        await until(lambda: heard.events)
        await until(device.renewals)  # events are not lost meanwhile
        assert subscription.time_left > 0
        await until(lambda: not subscription.time_left)
        await until(lambda: device.of("UNSUBSCRIBE"))
        assert not player.zone_group_state.has_subscriptions
        with pytest.raises(SoCoException, match="after expiry"):
            await subscription.renew()
        await subscription.unsubscribe()
        assert events_asyncio.subscriptions_map.count == 0
        await end()


async def test_without_a_duration_it_lasts_a_day_whatever_was_granted(until: Until) -> None:
    async with SonosLike(grant=2) as device:
        subscription, heard = await subscribed(device)
        assert subscription.timeout == 2
        assert subscription.time_left > 86_000
        await until(lambda: len(device.renewals()) >= 2)
        device.set_volume(9)
        await until(lambda: heard.volumes[-1:] == [9])
        await end(subscription)


# --- when the player is away ---


async def test_auto_renew_fail_is_called_when_soco_would_call_it_and_events_come_again(
    until: Until,
) -> None:
    async with SonosLike(grant=3) as device:
        player = player_of(device)
        subscription = await player.zoneGroupTopology.subscribe(auto_renew=True)
        subscription.callback = heard = Heard()
        failures: list[Exception] = []
        subscription.auto_renew_fail = failures.append
        await until(lambda: heard.events)
        await device.stop()
        await until(lambda: failures)
        assert isinstance(failures[0], aiohttp.ClientConnectorError)
        assert not subscription.is_subscribed
        assert subscription.time_left == 0
        assert not player.zone_group_state.has_subscriptions
        device.room = "Bath"
        await device.start()
        await until(lambda: subscription.is_subscribed)
        await until(lambda: "Bath" in heard.events[-1].zone_group_state)
        assert player.zone_group_state.has_subscriptions
        assert len(failures) == 1
        await end(subscription)


async def test_a_player_that_restarts_in_between_is_no_failure(until: Until) -> None:
    async with SonosLike(grant=4) as device:
        subscription, heard = await subscribed(device, auto_renew=True)
        failures: list[Exception] = []
        subscription.auto_renew_fail = failures.append
        await until(lambda: heard.events)
        first = subscription.sid
        await device.stop()
        device.volume = 44
        await device.start()
        await until(lambda: heard.volumes[-1:] == [44])
        assert subscription.sid != first
        assert subscription.is_subscribed
        assert failures == []
        await end(subscription)


async def test_a_program_that_subscribes_by_a_new_object_gets_no_event_twice(
    until: Until,
) -> None:
    async with SonosLike(grant=2) as device:
        old, heard = await subscribed(device, auto_renew=True)
        failures: list[Exception] = []
        old.auto_renew_fail = failures.append
        await until(lambda: heard.events)
        await device.stop()
        await until(lambda: failures)
        await device.start()
        new, heard_anew = await subscribed(device, auto_renew=True)
        await until(lambda: heard_anew.events)
        device.set_volume(50)
        await until(lambda: heard_anew.volumes[-1:] == [50])
        before = len(heard.events)
        device.set_volume(51)
        await until(lambda: heard_anew.volumes[-1:] == [51])
        await asyncio.sleep(1.5)  # the old one would have been tried again
        assert len(heard.events) == before
        assert len(device.subscribers) == 1
        await end(old, new)


async def test_a_program_that_ends_a_lost_subscription_does_not_wait_for_the_player(
    until: Until,
) -> None:
    """As Home Assistant does when a speaker is away; it subscribes anew when the speaker is
    heard of."""
    async with SonosLike(grant=2) as device:
        subscription, heard = await subscribed(device, auto_renew=True)
        lost = asyncio.Event()
        subscription.auto_renew_fail = lambda _: lost.set()
        await until(lambda: heard.events)
        await device.stop()
        await lost.wait()
        await subscription.unsubscribe()
        await device.start()
        again, heard_again = await subscribed(device, auto_renew=True)
        await until(lambda: heard_again.events)
        assert len(device.subscribers) == 1
        await end(again)


@pytest.mark.parametrize("auto_renew", [False, True])
async def test_an_object_that_the_program_drops_is_given_back_where_soco_would_forget_it(
    until: Until, auto_renew: bool
) -> None:
    async with SonosLike() as device:
        subscription, heard = await subscribed(device, auto_renew=auto_renew)
        await until(lambda: heard.events)
        del subscription
        gc.collect()
        if not auto_renew:
            await until(lambda: device.of("UNSUBSCRIBE"))
            await until(lambda: not events_asyncio.event_listener.is_running)
        device.set_volume(7)
        if auto_renew:
            await until(lambda: heard.volumes[-1:] == [7])
        await end()
        assert not device.subscribers


async def test_an_unsubscribe_that_the_player_refuses_raises_only_with_strict() -> None:
    async with SonosLike() as device:
        for strict in (True, False):
            subscription, _ = await subscribed(device)
            device.forget()
            if strict:
                with pytest.raises(aiohttp.ClientResponseError):
                    await subscription.unsubscribe()
            else:
                await subscription.unsubscribe(strict=False)
            assert not subscription.is_subscribed
        await end()


# --- losses ---

WRONG: dict[str, Callable[[SonosLike], object]] = {
    "forgets its subscribers": SonosLike.forget,
    "renews with another SID": SonosLike.rename_sids,
    "refuses a renewal": SonosLike.refuse_renewals,
    "loses an event": SonosLike.lose,
    "sends a part of an event": SonosLike.cut,
    "sends a LastChange that is not well-formed": SonosLike.break_lastchange,
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_whatever_the_player_does_wrong_the_program_has_the_state_again(
    until: Until, wrong: str
) -> None:
    async with SonosLike(grant=3) as device:
        subscription, heard = await subscribed(device, auto_renew=True)
        failures: list[Exception] = []
        subscription.auto_renew_fail = failures.append
        await until(lambda: heard.events)
        WRONG[wrong](device)
        device.set_volume(31)
        renewals = len(device.renewals())
        await until(lambda: len(device.renewals()) > renewals)
        device.set_volume(32)
        await until(lambda: heard.volumes[-1:] == [32])
        assert subscription.is_subscribed
        assert subscription.sid in device.subscribers
        assert failures == []
        await end(subscription)


# --- events that SoCo asks the player about ---


async def test_an_event_that_takes_long_to_read_keeps_its_place_and_delays_no_answer(
    until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, may_end = threading.Event(), threading.Event()
    theirs = kept_subscription.parse_event_xml

    def slow(body: str) -> Any:
        if "x-sonos-http" in body:
            reading.set()
            may_end.wait(10)
        return theirs(body)

    monkeypatch.setattr(kept_subscription, "parse_event_xml", slow)
    async with SonosLike() as device:
        subscription, heard = await subscribed(device)
        await until(lambda: heard.events)
        device.state = "x-sonos-http:song"
        body = device.properties("RenderingControl")["LastChange"]
        body = body.replace('val="20"', 'val="21"').replace("</Ins", '<X val="x-sonos-http"/></Ins')
        escaped = body.replace("&", "&amp;").replace("<", "&lt;")
        device.send(
            "RenderingControl",
            '<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0"><e:property>'
            f"<LastChange>{escaped}</LastChange></e:property></e:propertyset>",
        )
        await until(reading.is_set)
        for volume in range(22, 30):
            device.set_volume(volume)
        await until(lambda: len(device.statuses) == 10)  # all are answered
        assert heard.volumes == [20]
        may_end.set()
        await until(lambda: len(heard.events) == 10)
        assert heard.volumes == list(range(20, 30))
        await end(subscription)


async def test_a_household_that_is_not_known_is_asked_for_beside_the_loop(until: Until) -> None:
    async with SonosLike() as device:
        player = soco.SoCo(device.address, device.port)
        subscription = await player.zoneGroupTopology.subscribe()
        subscription.callback = heard = Heard()
        await until(lambda: heard.events)
        assert player.zone_group_state.has_subscriptions
        assert {each._player_name for each in player.zone_group_state.all_zones} == {"Kitchen"}
        await end(subscription)


# --- the listener ---


async def test_the_listener_runs_from_the_first_subscription_to_some_time_after_the_last(
    until: Until,
) -> None:
    listener = events_asyncio.event_listener
    assert not listener.is_running
    async with SonosLike() as device:
        subscription, _ = await subscribed(device)
        assert listener.is_running
        assert listener.address == ("127.0.0.1", config.EVENT_LISTENER_PORT)
        await subscription.unsubscribe()
        assert not listener.is_running
        again, heard = await subscribed(device)  # within the grace: the same port
        assert listener.is_running
        assert listener.address[1] == config.EVENT_LISTENER_PORT
        await until(lambda: heard.events)
        listener._stop_grace_seconds = 0.05
        try:
            await again.unsubscribe()
            await until(lambda: listener.port is None)
        finally:
            listener._stop_grace_seconds = 5.0
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", config.EVENT_LISTENER_PORT)
        await listener.async_stop()
        await listener.async_stop()


async def test_a_program_starts_and_stops_the_listener_itself(until: Until) -> None:
    listener = events_asyncio.event_listener
    async with SonosLike() as device:
        player = player_of(device)
        listener.start(player)  # as with SoCo, nothing
        assert not listener.is_running
        await listener.async_start(player)
        await listener.async_start(player)
        assert listener.is_running
        first, heard = await subscribed(device, auto_renew=True)
        await until(lambda: heard.events)
        await listener.async_stop()
        assert not listener.is_running
        assert not first.is_subscribed
        assert not device.subscribers  # it was given back
        second, heard = await subscribed(device)
        await until(lambda: heard.events)
        await end(second)


async def test_a_port_that_is_taken_is_left_out(until: Until) -> None:
    with socket.create_server(("0.0.0.0", config.EVENT_LISTENER_PORT)):
        async with SonosLike() as device:
            subscription, heard = await subscribed(device)
            taken = config.EVENT_LISTENER_PORT
            assert taken < events_asyncio.event_listener.address[1] < taken + 100
            await until(lambda: heard.events)
            await end(subscription)


async def test_the_addresses_of_the_settings_are_used(
    until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "EVENT_LISTENER_IP", "127.0.0.1")
    monkeypatch.setattr(config, "EVENT_ADVERTISE_IP", "localhost")
    async with SonosLike() as device:
        subscription, heard = await subscribed(device)
        listener = events_asyncio.event_listener
        assert listener.address == ("127.0.0.1", config.EVENT_LISTENER_PORT)
        [asked] = device.subscribes()
        assert asked.fields["CALLBACK"].startswith(f"<http://localhost:{listener.address[1]}/")
        await until(lambda: heard.events)
        await end(subscription)


async def test_a_listener_that_cannot_listen_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "EVENT_LISTENER_IP", "192.0.2.77")
    async with SonosLike() as device:
        with pytest.raises(OSError, match=r"192\.0\.2\.77"):
            await player_of(device).renderingControl.subscribe()
        await events_asyncio.event_listener.async_start(player_of(device))
        assert not events_asyncio.event_listener.is_running
        assert events_asyncio.subscriptions_map.count == 0


@pytest.mark.parametrize("busy", [False, True])
async def test_the_fallback_of_large_households_subscribes_from_a_loop_of_its_own(
    until: Until, busy: bool
) -> None:
    """SoCo finds events_asyncio by the name of config.EVENTS_MODULE for it."""
    async with SonosLike() as device:
        player = player_of(device)
        held = []
        if busy:
            held, heard = [await player.renderingControl.subscribe(auto_renew=True)], Heard()
            held[0].callback = heard
        device.failing_actions.add("GetZoneGroupState")
        device.room = "Attic"
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, player.zone_group_state.update_zgs_by_event, player)
        assert {each._player_name for each in player.zone_group_state.all_zones} == {"Attic"}
        assert len(device.subscribers) == busy
        assert events_asyncio.event_listener.is_running is busy
        if busy:
            device.set_volume(8)
            await until(lambda: heard.volumes[-1:] == [8])
        await end(*held)


def test_a_second_loop_of_a_program_begins_anew() -> None:
    async def main() -> None:
        async with SonosLike() as device:
            subscription = await player_of(device).renderingControl.subscribe(auto_renew=True)
            while subscription.events.empty():
                await asyncio.sleep(0.01)

    for _ in range(2):
        asyncio.run(main())  # without async_stop()
    assert events_asyncio.subscriptions_map.count == 0


async def test_an_announced_restart_is_noticed_before_the_next_renewal(until: Until) -> None:
    listener = events_asyncio.event_listener
    listener.discovery = True
    async with SonosLike(grant=3600) as device:
        subscription, heard = await subscribed(device, auto_renew=True)
        await until(lambda: heard.events)
        await until(lambda: subscription._kept.record.device == f"uuid:{device.uid}")
        point = subscription._listening.point

        def announce(boot: int) -> None:
            message = {
                "NT": "upnp:rootdevice",
                "NTS": "ssdp:alive",
                "USN": f"uuid:{device.uid}::upnp:rootdevice",
                "LOCATION": f"{device.base_url}/xml/device_description.xml",
                "CACHE-CONTROL": "max-age=1800",
                "BOOTID.UPNP.ORG": str(boot),
            }
            point.receive_ssdp(message, device.address)

        announce(7)
        device.forget()
        device.volume = 3
        announce(8)
        await until(lambda: heard.volumes[-1:] == [3])
        assert subscription.sid in device.subscribers
        await end(subscription)


# --- misuse, and players that do not do what they should ---


@pytest.mark.parametrize("seconds", [0, -1])
async def test_a_duration_below_a_second_is_not_refused_here(seconds: int) -> None:
    async with SonosLike(grant=300) as device:
        subscription, _ = await subscribed(device, requested_timeout=seconds)
        assert subscription.timeout == 300
        assert subscription.requested_timeout == seconds
        assert await subscription.renew(seconds) is subscription
        assert [each.fields["TIMEOUT"] for each in device.of("SUBSCRIBE")] == ["Second-1"] * 2
        await end(subscription)


async def test_a_grant_without_a_sid_is_a_failure(
    until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with SonosLike() as device:
        grants = device._grants
        monkeypatch.setattr(device, "_grants", lambda _: grants("").replace(b"SID: \r\n", b""))
        service = player_of(device).renderingControl
        with pytest.raises(aiohttp.ClientResponseError, match="without a usable SID"):
            await service.subscribe()
        async with asyncio.timeout(10):
            subscription = await service.subscribe(strict=False)
        assert not subscription.is_subscribed
        monkeypatch.setattr(device, "_grants", grants)
        await until(lambda: subscription.is_subscribed)
        await end(subscription)


async def test_a_player_that_does_not_answer_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "LIMITS", replace(listening.LIMITS, request_seconds=0.3))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        player: Any = Player(*silent.getsockname())
        with pytest.raises(TimeoutError):
            await player.renderingControl.subscribe()
        await events_asyncio.event_listener.async_stop()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_unsubscribing_after_a_loop_that_was_closed_without_its_end_does_not_raise() -> None:
    kept = []

    async def program() -> None:
        async with SonosLike() as device:
            kept.extend(await subscribed(device))

    async def other_program() -> None:
        await kept[0].unsubscribe(strict=False)
        assert not events_asyncio.event_listener.live
        await events_asyncio.event_listener.async_stop()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(program())
    loop.close()
    asyncio.run(other_program())
    assert not kept[0].is_subscribed
    assert events_asyncio.subscriptions_map.count == 0
    kept.clear()
    gc.collect()  # the sockets of that loop


async def test_a_subscribe_that_is_stopped_raises_an_exception_of_aiohttp() -> None:
    async with SonosLike() as device:
        future = player_of(device).renderingControl.subscribe()
        while not events_asyncio.event_listener.live:
            await asyncio.sleep(0)
        while not events_asyncio.event_listener.is_running:
            await asyncio.sleep(0)
        await events_asyncio.event_listener.async_stop()
        with pytest.raises(aiohttp.ClientConnectionError, match="ended"):
            await future


def test_a_loop_that_ends_with_a_subscription_leaves_no_task(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def program() -> None:
        async with SonosLike() as device:
            await subscribed(device)

    for _ in range(2):
        asyncio.run(program())
        gc.collect()
    assert not [each for each in caplog.records if each.name == "asyncio"]
