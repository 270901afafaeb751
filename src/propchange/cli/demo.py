"""``propchange demo``: two simulated devices, and a control point that prints their events.

They use real sockets of this machine. ``propchange watch`` takes the URLs that the demo prints, in
another terminal, or with ``--lan`` on another machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
from collections.abc import Callable
from typing import NamedTuple

from propchange import ControlPoint, Device, HostedDevice, Service, StateVariable, host
from propchange.cli.event_printer import EventPrinter
from propchange.cli.exit_status import CommandFailed
from propchange.cli.lines import Source
from propchange.cli.output import output
from propchange.cli.watch import sources_of
from propchange.driver.machine import Interfaces

__all__ = ["Playback", "Simulation", "Thermometer", "demo", "simulations"]

_LOOPBACK = "127.0.0.1"

_ALARM_FROM = 23.0

_TRACKS = (
    "Clair de lune",
    "Gymnopédie No. 1",
    "The Lark Ascending",
    "Spiegel im Spiegel",
)


class Thermometer(Service, type="urn:example-org:service:Thermometer:1"):
    """A temperature in degrees Celsius, and an alarm when it is too warm."""

    temperature = StateVariable("r4", initial=21.0)
    alarm = StateVariable("boolean", initial=False)


class Playback(Service, type="urn:example-org:service:Playback:1"):
    """The track that a media renderer plays, and its volume."""

    transport_state = StateVariable(
        "string", initial="STOPPED", allowed=("STOPPED", "PLAYING", "PAUSED_PLAYBACK")
    )
    current_track = StateVariable("ui4", initial=1)
    current_track_title = StateVariable("string", initial=_TRACKS[0])
    volume = StateVariable("ui2", initial=30, minimum=0, maximum=100)
    mute = StateVariable("boolean", initial=False)


class Simulation(NamedTuple):
    """A simulated device. ``step`` changes its variables; it is called every ``interval``
    seconds."""

    device: Device
    step: Callable[[], None]
    interval: float


def simulations(randomness: random.Random) -> tuple[Simulation, ...]:
    """The devices of the demo, before their first step."""
    thermometer, playback = Thermometer(), Playback()
    return (
        Simulation(
            Device("Thermometer", services=[thermometer], model_name="propchange demo"),
            lambda: move_thermometer(thermometer, randomness),
            0.6,
        ),
        Simulation(
            Device("Media renderer", services=[playback], model_name="propchange demo"),
            lambda: move_playback(playback, randomness),
            0.9,
        ),
    )


def move_thermometer(thermometer: Thermometer, randomness: random.Random) -> None:
    """Change the temperature, with a pull towards 21.5 °C, and the alarm in the same event."""
    pull = (21.5 - thermometer.temperature) * 0.2
    with thermometer.batch():
        thermometer.temperature = round(thermometer.temperature + pull + randomness.gauss(0, 1), 1)
        thermometer.alarm = thermometer.temperature >= _ALARM_FROM


def move_playback(playback: Playback, randomness: random.Random) -> None:
    """Press a random button of the remote control."""
    pressed = randomness.choice(("louder", "softer", "mute", "pause", "next"))
    if playback.transport_state == "STOPPED":
        playback.transport_state = "PLAYING"
    elif pressed in ("louder", "softer"):
        by = randomness.randint(1, 8) * (1 if pressed == "louder" else -1)
        playback.volume = min(100, max(0, playback.volume + by))
    elif pressed == "mute":
        playback.mute = not playback.mute
    elif pressed == "pause":
        playing = playback.transport_state == "PLAYING"
        playback.transport_state = "PAUSED_PLAYBACK" if playing else "PLAYING"
    else:
        with playback.batch():
            playback.current_track = playback.current_track % len(_TRACKS) + 1
            playback.current_track_title = _TRACKS[playback.current_track - 1]
            playback.transport_state = "PLAYING"


def _address(*, lan: bool) -> str:
    if not lan:
        return _LOOPBACK
    address = Interfaces().default_address()
    if address == _LOOPBACK:
        raise CommandFailed("this machine has no address that other machines could reach")
    return address


async def demo(seconds: float | None, *, lan: bool = False) -> None:
    """Run the demo for ``seconds``, or without an end. ``lan``: at an address that other machines
    can reach. Raises CommandFailed if there is no such address."""
    address = _address(lan=lan)
    writer, form = output(sys.stdout, json=False)
    printer = EventPrinter(writer, form)
    async with (
        writer,
        contextlib.AsyncExitStack() as running,
        ControlPoint(interface=address, tap=printer.tap) as control_point,
    ):
        for name, service in (("Thermometer", "Thermometer"), ("Media renderer", "Playback")):
            form.expect(Source(name, service))
        writer.put(form.begin())
        wanted = []
        for simulation in simulations(random.Random()):  # noqa: S311 - a simulation
            hosted = await running.enter_async_context(host(simulation.device, interface=address))
            device = await control_point.device(hosted.description_url)
            wanted += [
                (source, service.subscribe()) for service, source in sources_of(device).items()
            ]
            running.push_async_callback(_ended, asyncio.create_task(_simulate(simulation, hosted)))
            printer.status(Source(device.friendly_name, ""), "hosted", hosted.description_url)
        await printer.run(wanted, seconds)


async def _simulate(simulation: Simulation, hosted: HostedDevice) -> None:
    await hosted.subscribed()
    while True:
        await asyncio.sleep(simulation.interval)
        simulation.step()


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
