"""``propchange demo``: two simulated devices, and a control point that prints their events.

The devices use real sockets of this machine. ``propchange watch`` takes the URLs that the demo
prints, in another terminal, or with ``--lan`` on another machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys

import click

from propchange import ControlPoint, Device, HostedDevice, Service, StateVariable, host
from propchange.cli.event_printer import EventPrinter, Wanted
from propchange.cli.exit_status import CommandFailed, run
from propchange.cli.lines import Source
from propchange.cli.options import Seconds
from propchange.cli.output import output
from propchange.cli.targets import Names
from propchange.driver.machine import Interfaces

_LOOPBACK = "127.0.0.1"

_TRACKS = ("Clair de lune", "Gymnopédie No. 1", "The Lark Ascending", "Spiegel im Spiegel")


class Thermometer(Service, type="urn:example-org:service:Thermometer:1"):
    """A temperature in degrees Celsius, and an alarm when it is too warm."""

    temperature = StateVariable("r4", initial=21.0)
    alarm = StateVariable("boolean", initial=False)

    def step(self, randomness: random.Random) -> None:
        """Change the temperature, with a pull towards 21.5 °C, and the alarm in the same event."""
        pull = (21.5 - self.temperature) * 0.2
        with self.batch():
            self.temperature = round(self.temperature + pull + randomness.gauss(0, 1), 1)
            self.alarm = self.temperature >= 23.0


class Playback(Service, type="urn:example-org:service:Playback:1"):
    """The track that a media renderer plays, and its volume."""

    transport_state = StateVariable(
        "string", initial="STOPPED", allowed=("STOPPED", "PLAYING", "PAUSED_PLAYBACK")
    )
    current_track = StateVariable("ui4", initial=1)
    current_track_title = StateVariable("string", initial=_TRACKS[0])
    volume = StateVariable("ui2", initial=30, minimum=0, maximum=100)
    mute = StateVariable("boolean", initial=False)

    def step(self, randomness: random.Random) -> None:
        """Press a random button of the remote control."""
        pressed = randomness.choice(("louder", "softer", "mute", "pause", "next"))
        if self.transport_state == "STOPPED":
            self.transport_state = "PLAYING"
        elif pressed in ("louder", "softer"):
            by = randomness.randint(1, 8) * (1 if pressed == "louder" else -1)
            self.volume = min(100, max(0, self.volume + by))
        elif pressed == "mute":
            self.mute = not self.mute
        elif pressed == "pause":
            playing = self.transport_state == "PLAYING"
            self.transport_state = "PAUSED_PLAYBACK" if playing else "PLAYING"
        else:
            with self.batch():
                self.current_track = self.current_track % len(_TRACKS) + 1
                self.current_track_title = _TRACKS[self.current_track - 1]
                self.transport_state = "PLAYING"


@click.command()
@click.option(
    "--seconds",
    type=Seconds(),
    help="End after this many seconds. Without it, Ctrl-C ends the demo.",
)
@click.option(
    "--lan",
    is_flag=True,
    help="Host the devices where other machines find and reach them, instead of on the loopback "
    "interface. The URLs are printed.",
)
def demo(seconds: float | None, lan: bool) -> None:
    """Simulate two devices and print their events.

    A control point subscribes to a thermometer and a media renderer over real sockets of this
    machine. If the output is not a terminal, demo prints JSON Lines, as watch does.
    """
    sys.exit(run(_demo(seconds, lan=lan), endless=seconds is None))


async def _demo(seconds: float | None, *, lan: bool) -> None:
    """Run the demo for ``seconds``, or without an end. ``lan``: at an address that other machines
    can reach. Raises CommandFailed if there is no such address."""
    address = Interfaces().default_address() if lan else _LOOPBACK
    if lan and address == _LOOPBACK:
        raise CommandFailed("this machine has no address that other machines could reach")
    writer, form = output(sys.stdout, json=False)
    printer = EventPrinter(writer, form)
    async with (
        writer,
        contextlib.AsyncExitStack() as running,
        ControlPoint(interface=address, tap=printer.tap) as control_point,
    ):
        simulated = (("Thermometer", Thermometer(), 0.6), ("Media renderer", Playback(), 0.9))
        printer.begin(Source(name, type(each).__name__) for name, each, _ in simulated)
        wanted: Wanted = []
        names = Names()
        for name, service, interval in simulated:
            device = Device(name, services=[service], model_name="propchange demo")
            hosted = await running.enter_async_context(
                host(device, interface=None if lan else address)
            )
            remote = await control_point.device(hosted.description_url)
            wanted += [(source, each.subscribe()) for each, source in names.of(remote).items()]
            running.callback(asyncio.create_task(_simulate(service, interval, hosted)).cancel)
            printer.status(Source(name, ""), "hosted", hosted.description_url)

        async def found() -> Wanted:
            return wanted

        await printer.run([(Source("demo", ""), found())], seconds)


async def _simulate(service: Thermometer | Playback, interval: float, hosted: HostedDevice) -> None:
    await hosted.subscribed()
    randomness = random.Random()  # noqa: S311 - a simulation
    while True:
        await asyncio.sleep(interval)
        service.step(randomness)
